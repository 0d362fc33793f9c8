/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims by name: each has one entry, whose notes stay when others are added, and namespaces keep
 * claims of the same name apart.
 */
#include "coordinator/collect/claims.h"
#include "tests/harness/probe.h"

enum { MANY = 5000 };

static struct xb_claim *get(struct xb_claims *claims, const char *namespace, const char *name)
{
    struct xb_claim *claim = NULL;
    PROBE_OK(xb_claims_get(claims, namespace, name, &claim, &err));
    assert_string_equal(claim->namespace, namespace);
    assert_string_equal(claim->name, name);
    return claim;
}

static void by_name(void **state)
{
    struct xb_claims claims = {.count = 0};
    (void)state;
    get(&claims, "one", "data")->mounted = true;
    get(&claims, "two", "data")->collected = true;
    get(&claims, "one", "logs")->taken_by = strdup("web-0");
    assert_true(get(&claims, "one", "data")->mounted);
    assert_false(get(&claims, "one", "data")->collected);
    assert_false(get(&claims, "two", "data")->mounted);
    assert_string_equal(get(&claims, "one", "logs")->taken_by, "web-0");
    assert_int_equal(claims.count, 3);
    xb_claims_free(&claims);
    assert_int_equal(claims.count, 0);
    xb_claims_free(&claims);
}

static void many(void **state)
{
    struct xb_claims claims = {.count = 0};
    char name[32];
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            snprintf(name, sizeof name, "data-%d", i);
            struct xb_claim *claim = get(&claims, i % 2 ? "odd" : "even", name);
            assert_int_equal(claim->listed, round == 1 && i % 3 == 0);
            claim->listed = i % 3 == 0;
        }
        assert_int_equal(claims.count, MANY);
    }
    xb_claims_free(&claims);
}

/* A StatefulSet in many namespaces: the same name everywhere. */
static void same_name(void **state)
{
    struct xb_claims claims = {.count = 0};
    char namespace[32];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        snprintf(namespace, sizeof namespace, "team-%d", i);
        assert_false(get(&claims, namespace, "data-db-0")->mounted);
        get(&claims, namespace, "data-db-0")->mounted = true;
    }
    assert_int_equal(claims.count, MANY);
    xb_claims_free(&claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_name), cmocka_unit_test(many),
                                       cmocka_unit_test(same_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
