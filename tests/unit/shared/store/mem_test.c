/* SPDX-License-Identifier: Apache-2.0
 *
 * The store in memory does what stores do: it is the model for the others.
 */
#include "tests/harness/store_suite.h"

static struct xb_store *open_store(struct store_suite *suite)
{
    (void)suite;
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&store, &err));
    return store;
}

static void close_store(struct store_suite *suite, struct xb_store *store)
{
    (void)suite;
    xb_store_free(store);
}

/* A callback may write: the listing neither fails nor shows a name twice. */
static int copy_object(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    char name[XB_STORE_NAME_BYTES_MAX + 8];
    snprintf(name, sizeof name, "copy-%s", item->name);
    return xb_store_put(context, name, "x", 1, NULL, err);
}

static void write_while_listing(void **state)
{
    (void)state;
    struct xb_store *store = open_store(NULL);
    suite_put(store, "x1", "");
    suite_put(store, "x2", "");
    SUITE_OK(xb_store_list(store, "x", copy_object, store, &err));
    suite_lists(store, "", "copy-x1 copy-x2 x1 x2");
    xb_store_free(store);
    xb_store_free(NULL);
}

int main(void)
{
    static struct store_suite suite = {.open = open_store,
                                       .close = close_store,
                                       .plain = true,
                                       .name_bytes_max = XB_STORE_NAME_BYTES_MAX};
    const struct CMUnitTest tests[] = {
        STORE_SUITE_TESTS(&suite),
        cmocka_unit_test(write_while_listing),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
