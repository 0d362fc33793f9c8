/* SPDX-License-Identifier: Apache-2.0
 *
 * A store within a store is a store, and neither sees nor touches what lies beside it.
 */
#include "tests/harness/store_suite.h"

static const char prefix[] = "kopia/ns/";

/* The inner store stays open in suite->other, with neighbours that must not be seen. */
static struct xb_store *open_store(struct store_suite *suite)
{
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&suite->other, &err));
    suite_put(suite->other, "kopia/ns2/object", "beside");
    suite_put(suite->other, "kopia/ns", "beside");
    suite_put(suite->other, "object", "above");
    SUITE_OK(xb_store_prefix_open(xb_store_ref(suite->other), prefix, &store, &err));
    return store;
}

static void close_store(struct store_suite *suite, struct xb_store *store)
{
    suite_holds(suite->other, "kopia/ns2/object", "beside");
    suite_holds(suite->other, "kopia/ns", "beside");
    suite_holds(suite->other, "object", "above");
    xb_store_free(store);
    xb_store_free(suite->other);
}

/* Names gain the prefix on the way in; errors name the object as the inner store has it. */
static void names(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    suite_put(store, "a/b", "x");
    suite_holds(suite->other, "kopia/ns/a/b", "x");
    suite_lists(suite->other, "kopia/ns/", "kopia/ns/a/b");
    assert_string_equal(xb_store_describe(store), "memory/kopia/ns");
    SUITE_OK(xb_store_delete(store, "a/b", &err));
    suite_absent(suite->other, "kopia/ns/a/b");
    struct xb_store *deeper = NULL;
    SUITE_OK(xb_store_prefix_open(xb_store_ref(store), "x/", &deeper, &err));
    suite_put(deeper, "y", "deep");
    suite_holds(suite->other, "kopia/ns/x/y", "deep");
    suite_lists_folders(store, "", "x");
    xb_store_free(deeper);
    close_store(suite, store);
}

/* A prefix that is none is refused, and the inner store freed (a leak check sees it). */
static void bad_prefixes(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/", "a", "/a/", "a//", "../", "a/../", "./", "a/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_store *inner = NULL;
        struct xb_store *store = NULL;
        SUITE_OK(xb_store_mem_open(&inner, &err));
        SUITE_REFUSED(xb_store_prefix_open(inner, bad[i], &store, &err), XB_ERR_INVALID);
        assert_null(store);
    }
    char longest[XB_STORE_NAME_BYTES_MAX + 3];
    memset(longest, 'x', sizeof longest);
    memcpy(longest + XB_STORE_NAME_BYTES_MAX + 1, "/", 2);
    struct xb_store *inner = NULL;
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&inner, &err));
    SUITE_REFUSED(xb_store_prefix_open(inner, longest, &store, &err), XB_ERR_INVALID);
}

int main(void)
{
    static struct store_suite suite = {.open = open_store,
                                       .close = close_store,
                                       .name_bytes_max =
                                           XB_STORE_NAME_BYTES_MAX - (sizeof prefix - 1)};
    const struct CMUnitTest tests[] = {
        STORE_SUITE_TESTS(&suite),
        cmocka_unit_test_prestate(names, &suite),
        cmocka_unit_test(bad_prefixes),
    };
    return cmocka_run_group_tests_name("prefix", tests, NULL, NULL);
}
