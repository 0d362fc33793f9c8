/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of texts: each is new once, however many there are; and no text can be chosen that counts
 * as another.
 */
#include "coordinator/collect/seen.h"
#include "shared/base/fnv.h"
#include "tests/harness/probe.h"

static bool is_new(struct xb_seen *seen, const char *text)
{
    bool new = false;
    PROBE_OK(xb_seen_add(seen, text, &new, &err));
    return new;
}

static void once(void **state)
{
    struct xb_seen seen = {.slots = NULL};
    (void)state;
    assert_false(xb_seen_has(&seen, "a"));
    assert_true(is_new(&seen, "a"));
    assert_false(is_new(&seen, "a"));
    assert_true(xb_seen_has(&seen, "a"));
    assert_false(xb_seen_has(&seen, ""));
    assert_true(is_new(&seen, ""));
    assert_int_equal(seen.count, 2);
    xb_seen_free(&seen);
    xb_seen_free(&seen);
}

static void many(void **state)
{
    struct xb_seen seen = {.slots = NULL};
    char text[32];
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            snprintf(text, sizeof text, "pods./web/web-%d", i);
            assert_int_equal(is_new(&seen, text), round == 0);
        }
    }
    assert_int_equal(seen.count, 20000);
    xb_seen_free(&seen);
}

/* Two texts that are one for the hash that tables of no consequence use. */
static void chosen_texts(void **state)
{
    static const char one[] = "8yn0iYCKYHlIj4-BwPqk";
    static const char other[] = "GReLUrM4wMqfg9yzV3KQ";
    struct xb_seen seen = {.slots = NULL};
    (void)state;
    assert_true(xb_fnv1a(one) == xb_fnv1a(other));
    assert_true(is_new(&seen, one));
    assert_false(xb_seen_has(&seen, other));
    assert_true(is_new(&seen, other));
    xb_seen_free(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(once), cmocka_unit_test(many),
                                       cmocka_unit_test(chosen_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
