/* SPDX-License-Identifier: Apache-2.0
 *
 * The failing store fails as it was told, at the call it was told, and is else like its inner one.
 */
#include "tests/harness/store_suite.h"

#include "shared/base/clock.h"
#include "shared/store/fault/fault.h"

static struct xb_fault *fault;

static struct xb_store *open_store(struct store_suite *suite)
{
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&suite->other, &err));
    SUITE_OK(xb_store_fault_open(xb_store_ref(suite->other), &store, &fault, &err));
    return store;
}

static void close_store(struct store_suite *suite, struct xb_store *store)
{
    xb_store_free(store);
    xb_store_free(suite->other);
}

static void add(struct xb_fault_rule rule)
{
    SUITE_OK(xb_fault_add(fault, &rule, &err));
}

/* Makes one call of the kind, on "name"; the result is what the caller sees. */
static int make_call(struct xb_store *store, enum xb_fault_call call, struct xb_error *err)
{
    struct xb_store_upload *upload = NULL;
    struct xb_store_item item;
    struct xb_buf out = XB_BUF_INIT(100);
    struct suite_names all = {.count = 0};
    int r = 0;
    switch (call) {
    case XB_FAULT_PUT:
        return xb_store_put(store, "name", "new", 3, NULL, err);
    case XB_FAULT_GET:
        r = xb_store_get(store, "name", 0, XB_STORE_TO_END, &out, err);
        assert_true(r == 0 || out.len == 0);
        xb_buf_free(&out);
        return r;
    case XB_FAULT_STAT:
        return xb_store_stat(store, "name", &item, err);
    case XB_FAULT_DELETE:
        return xb_store_delete(store, "name", err);
    case XB_FAULT_LIST:
        r = xb_store_list(store, "name", suite_collect, &all, err);
        for (size_t i = 0; i < all.count; i++) {
            free(all.names[i]);
        }
        return r;
    case XB_FAULT_BEGIN:
    case XB_FAULT_WRITE:
    case XB_FAULT_COMMIT:
    case XB_FAULT_CALLS:
        break;
    }
    r = xb_store_upload_begin(store, "name", NULL, &upload, err);
    if (r == 0) {
        r = xb_store_upload_write(upload, "new", 3, err);
    }
    if (r == 0 && call != XB_FAULT_WRITE) {
        r = xb_store_upload_commit(upload, err);
    }
    xb_store_upload_free(upload);
    return r;
}

/* The n-th call fails with the kind that was asked for, and the next one works again. */
static void nth_call(void **state)
{
    struct store_suite *suite = *state;
    static const enum xb_error_kind kinds[] = {
        XB_ERR_RETRY,   XB_ERR_DENIED,    XB_ERR_NOT_FOUND, XB_ERR_CONFLICT, XB_ERR_CORRUPT,
        XB_ERR_INVALID, XB_ERR_CANCELLED, XB_ERR_FULL,      XB_ERR_IO,       XB_ERR_BUG};
    for (enum xb_fault_call call = 0; call < XB_FAULT_CALLS; call++) {
        struct xb_store *store = open_store(suite);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            suite_put(suite->other, "name", "old");
            add((struct xb_fault_rule){
                .call = call, .effect = XB_FAULT_FAIL, .nth = 3, .kind = kinds[k]});
            uint64_t before = xb_fault_count(fault, call);
            for (int n = 1; n <= 4; n++) {
                struct xb_error err = XB_ERROR_INIT;
                suite_put(suite->other, "name", "old");
                int r = make_call(store, call, &err);
                assert_int_equal(r < 0, n == 3);
                assert_int_equal(err.kind, n == 3 ? kinds[k] : XB_ERR_NONE);
                assert_int_equal(err.code, r);
                assert_true(n != 3 || strstr(err.text, "name"));
                if (n == 3) {
                    suite_holds(suite->other, "name", "old"); /* nothing was done */
                }
            }
            assert_int_equal(xb_fault_count(fault, call) - before, 4);
            xb_fault_clear(fault);
        }
        close_store(suite, store);
    }
}

/* The answer is lost, the deed is done. */
static void lost_answers(void **state)
{
    struct store_suite *suite = *state;
    for (enum xb_fault_call call = 0; call < XB_FAULT_CALLS; call++) {
        struct xb_store *store = open_store(suite);
        suite_put(suite->other, "name", "old");
        add((struct xb_fault_rule){
            .call = call, .effect = XB_FAULT_LOSE_ANSWER, .kind = XB_ERR_RETRY});
        for (int n = 0; n < 2; n++) {
            SUITE_REFUSED(make_call(store, call, &err), XB_ERR_RETRY);
        }
        if (call == XB_FAULT_PUT || call == XB_FAULT_COMMIT) {
            suite_holds(suite->other, "name", "new");
        } else if (call == XB_FAULT_DELETE) {
            suite_absent(suite->other, "name");
        } else {
            suite_holds(suite->other, "name", "old");
        }
        close_store(suite, store);
    }
}

/* Reads come back short or altered, as if nothing were wrong. */
static void bad_reads(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    struct xb_buf out = XB_BUF_INIT(100);
    suite_put(store, "name", "abcdef");
    suite_put(store, "empty", "");
    SUITE_OK(xb_buf_append(&out, ">", 1, &err));
    add((struct xb_fault_rule){
        .call = XB_FAULT_GET, .effect = XB_FAULT_CUT, .nth = 1, .amount = 2});
    add((struct xb_fault_rule){
        .call = XB_FAULT_GET, .effect = XB_FAULT_CUT, .nth = 2, .amount = UINT64_MAX});
    add((struct xb_fault_rule){
        .call = XB_FAULT_GET, .effect = XB_FAULT_FLIP, .nth = 3, .amount = 8});
    add((struct xb_fault_rule){
        .call = XB_FAULT_GET, .effect = XB_FAULT_FLIP, .nth = 4, .amount = 8 * 6 + 1});
    add((struct xb_fault_rule){.call = XB_FAULT_GET, .effect = XB_FAULT_FLIP, .nth = 5});
    static const char *const wants[] = {">abcd", ">", ">accdef", ">cbcdef"};
    for (size_t i = 0; i < 4; i++) {
        out.len = 1;
        SUITE_OK(xb_store_get(store, "name", 0, XB_STORE_TO_END, &out, &err));
        assert_string_equal(out.data, wants[i]);
        assert_int_equal(out.len, strlen(wants[i]));
    }
    SUITE_OK(xb_store_get(store, "empty", 0, XB_STORE_TO_END, &out, &err));
    xb_buf_free(&out);
    suite_holds(store, "name", "abcdef");
    close_store(suite, store);
}

/* Listings show what was there when the rule was made; reads show what is there. */
static void stale_listing(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    suite_put(store, "a/old", "x");
    suite_put(store, "a/old2", "x");
    suite_put(store, "b/c/old", "x");
    add((struct xb_fault_rule){.call = XB_FAULT_LIST, .effect = XB_FAULT_STALE});
    suite_put(store, "a/new", "x");
    suite_put(store, "d/new", "x");
    SUITE_OK(xb_store_delete(store, "b/c/old", &err));
    suite_lists(store, "", "a/old a/old2 b/c/old");
    suite_lists(store, "a/", "a/old a/old2");
    suite_lists_folders(store, "", "a b");
    suite_lists_folders(store, "b/", "c");
    suite_holds(store, "a/new", "x");
    suite_absent(store, "b/c/old");
    struct suite_names few = {.stop_with = -ESHUTDOWN, .stop_at = 1};
    struct xb_error told = XB_ERROR_INIT;
    assert_int_equal(xb_store_list(store, "", suite_collect, &few, &told), -ESHUTDOWN);
    free(few.names[0]);
    xb_fault_clear(fault);
    suite_lists(store, "", "a/new a/old a/old2 d/new");
    suite_lists_folders(store, "", "a d");
    close_store(suite, store);
}

/* A rule for some names leaves the others alone, and does not count them. */
static void only_some_names(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    char prefix[] = "p";
    add((struct xb_fault_rule){.call = XB_FAULT_PUT,
                               .effect = XB_FAULT_FAIL,
                               .nth = 2,
                               .name_prefix = prefix,
                               .kind = XB_ERR_FULL});
    prefix[0] = 'z'; /* the rule has its own copy */
    suite_put(store, "q1", "x");
    suite_put(store, "p1", "x");
    suite_put(store, "q2", "x");
    SUITE_REFUSED(xb_store_put(store, "p2", "x", 1, NULL, &err), XB_ERR_FULL);
    suite_put(store, "p3", "x");
    assert_int_equal(xb_fault_count(fault, XB_FAULT_PUT), 5);
    assert_int_equal(xb_fault_count(fault, XB_FAULT_BEGIN), 0);
    suite_lists(store, "", "p1 p3 q1 q2");
    close_store(suite, store);
}

/* A slow call takes at least as long as it was told to, and then meets the other rules. */
static void slow_calls(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    add((struct xb_fault_rule){
        .call = XB_FAULT_STAT, .effect = XB_FAULT_DELAY, .nth = 1, .amount = 20});
    add((struct xb_fault_rule){
        .call = XB_FAULT_STAT, .effect = XB_FAULT_FAIL, .nth = 1, .kind = XB_ERR_IO});
    struct xb_store_item item;
    int64_t start_ns = xb_clock_mono_ns();
    SUITE_REFUSED(xb_store_stat(store, "name", &item, &err), XB_ERR_IO);
    assert_true(xb_clock_mono_ns() - start_ns >= 20 * XB_NS_PER_MS);
    SUITE_REFUSED(xb_store_stat(store, "name", &item, &err), XB_ERR_NOT_FOUND);
    close_store(suite, store);
}

/* Rules that make no sense, and more rules than there is room for, are refused. */
static void bad_rules(void **state)
{
    struct store_suite *suite = *state;
    struct xb_store *store = open_store(suite);
    static const struct xb_fault_rule bad[] = {
        {.call = XB_FAULT_CALLS, .effect = XB_FAULT_DELAY},
        {.call = XB_FAULT_PUT, .effect = XB_FAULT_DELAY + 1},
        {.call = XB_FAULT_PUT, .effect = XB_FAULT_FAIL},
        {.call = XB_FAULT_PUT, .effect = XB_FAULT_LOSE_ANSWER},
        {.call = XB_FAULT_PUT, .effect = XB_FAULT_CUT, .amount = 1},
        {.call = XB_FAULT_LIST, .effect = XB_FAULT_FLIP, .amount = 1},
        {.call = XB_FAULT_GET, .effect = XB_FAULT_STALE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SUITE_REFUSED(xb_fault_add(fault, &bad[i], &err), XB_ERR_INVALID);
    }
    struct xb_fault_rule rule = {.call = XB_FAULT_LIST, .effect = XB_FAULT_STALE, .nth = 1000};
    for (int i = 0; i < XB_FAULT_RULES_MAX; i++) {
        add(rule);
    }
    rule.name_prefix = "x";
    SUITE_REFUSED(xb_fault_add(fault, &rule, &err), XB_ERR_FULL);
    suite_put(store, "works", "x");
    suite_lists(store, "", "works");
    close_store(suite, store);
}

int main(void)
{
    static struct store_suite suite = {.open = open_store,
                                       .close = close_store,
                                       .plain = true,
                                       .name_bytes_max = XB_STORE_NAME_BYTES_MAX};
    const struct CMUnitTest tests[] = {
        STORE_SUITE_TESTS(&suite),
        cmocka_unit_test_prestate(nth_call, &suite),
        cmocka_unit_test_prestate(lost_answers, &suite),
        cmocka_unit_test_prestate(bad_reads, &suite),
        cmocka_unit_test_prestate(stale_listing, &suite),
        cmocka_unit_test_prestate(only_some_names, &suite),
        cmocka_unit_test_prestate(slow_calls, &suite),
        cmocka_unit_test_prestate(bad_rules, &suite),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
