/* SPDX-License-Identifier: Apache-2.0
 *
 * kopia's file layout: blobs lie where kopia looks for them, and only such files are blobs.
 */
#include "tests/harness/store_suite.h"

#include "shared/store/sharded/shards.h"

/* `.shards` of the store that open_store makes; NULL: none is written before. */
static const char *rules_text;
static bool make_new;

static struct xb_store *open_store(struct store_suite *suite)
{
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&suite->other, &err));
    if (rules_text) {
        suite_put(suite->other, ".shards", rules_text);
    }
    SUITE_OK(xb_store_sharded_open(xb_store_ref(suite->other), make_new, &store, &err));
    return store;
}

static void close_store(struct store_suite *suite, struct xb_store *store)
{
    xb_store_free(store);
    xb_store_free(suite->other);
}

/* The suite again under other rules. */
static int use_new(void **state)
{
    (void)state;
    rules_text = NULL;
    make_new = true;
    return 0;
}

static int use_flat(void **state)
{
    (void)state;
    rules_text = "{\"default\":[],\"maxNonShardedLength\":0}";
    make_new = false;
    return 0;
}

static int use_every_name(void **state)
{
    (void)state;
    rules_text = "{\"default\":[3,1,1],\"maxNonShardedLength\":0,\"overrides\":["
                 "{\"prefix\":\"ab\",\"shards\":[2,2]},{\"prefix\":\"a\",\"shards\":[]}]}";
    make_new = false;
    return 0;
}

struct example {
    const char *name, *path;
};

static void check_examples(const char *rules, const struct example *examples, size_t count)
{
    XB_CLEANUP(xb_shards_freep) struct xb_shards *shards = NULL;
    if (rules) {
        SUITE_OK(xb_shards_parse(rules, strlen(rules), &shards, &err));
    } else {
        SUITE_OK(xb_shards_assumed(&shards, &err));
    }
    for (size_t i = 0; i < count; i++) {
        char out[XB_STORE_NAME_BYTES_MAX + 1];
        SUITE_OK(xb_shards_path(shards, examples[i].name, out, &err));
        assert_string_equal(out, examples[i].path);
        assert_true(xb_shards_name(shards, examples[i].path, out));
        assert_string_equal(out, examples[i].name);
    }
}

/* kopia-format section 1, by the default of new repositories. */
static void paths(void **state)
{
    (void)state;
    static const struct example new_rule[] = {
        {"p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123", "p/9b3/3c6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123.f"},
        {"_log_20261123010203_ab12_1_2_3", "_/log/_20261123010203_ab12_1_2_3.f"},
        {"kopia.repository", "kopia.repository.f"},
        {"kopia.maintenance", "kopia.maintenance.f"},
        {"udmrepo.Repository", "udmrepo.Repository.f"},
        {"xe1", "xe1.f"},
        {"12345678901234567890", "12345678901234567890.f"},
        {"123456789012345678901", "1/234/56789012345678901.f"},
        {"xn0_01af86302f025fbea13d01ce270eec23-s22c915187800405e147-c1",
         "x/n0_/01af86302f025fbea13d01ce270eec23-s22c915187800405e147-c1.f"}};
    check_examples("{\"default\":[1,3],\"maxNonShardedLength\":20}\n", new_rule,
                   sizeof new_rule / sizeof *new_rule);
    static const struct example assumed[] = {
        {"p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123", "p9b/33c/6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123.f"},
        {"kopia.repository", "kopia.repository.f"}};
    check_examples(NULL, assumed, 2);
    static const struct example flat[] = {
        {"p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123", "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa-s0123.f"},
        {"x", "x.f"},
        {"a.f", "a.f.f"}};
    check_examples("{\"default\":[],\"maxNonShardedLength\":20}", flat, 3);
    check_examples("{}", flat, 3);
    check_examples("{\"default\":null,\"overrides\":null}", flat, 3);
}

/* A level ends where no more than its width is left; the first override that fits counts. */
static void short_names_and_overrides(void **state)
{
    (void)state;
    static const struct example levels[] = {
        {"a", "a.f"},          {"ab", "ab.f"},           {"abc", "ab/c.f"},
        {"abcde", "ab/cde.f"}, {"abcdef", "ab/cde/f.f"}, {"abcdefghij", "ab/cde/fghij.f"}};
    check_examples("{\"default\":[2,3,5]}", levels, 6);
    static const struct example overrides[] = {{"xn0_abcdefgh", "xn0_abcdefgh.f"},
                                               {"xs0_abcdefgh", "xs/0_abcdefgh.f"},
                                               {"x", "x.f"},
                                               {"qabc", "q/a/bc.f"},
                                               {"xabcdefghijk", "xa/bcdefghijk.f"}};
    check_examples("{\"default\":[1,1],\"maxNonShardedLength\":3,\"unknown\":{},\"overrides\":["
                   "{\"prefix\":\"xn\",\"shards\":[]},{\"prefix\":\"x\",\"shards\":[2]},"
                   "{\"prefix\":\"xs\",\"shards\":[1,1,1]}]}",
                   overrides, 5);
}

/* A file is a blob only at the place where its name is looked for. */
static void files_that_are_none(void **state)
{
    struct store_suite *suite = *state;
    use_new(NULL);
    struct xb_store *store = open_store(suite);
    suite_put(store, "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa", "pack");
    static const char *const strays[] = {"lost+found/x.f",
                                         "p/9b3/other",
                                         "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaab.f",
                                         "p/9b33c6aaaaaaaaaaaaaaaaaaaaaaaaac.f",
                                         "x.F",
                                         "y",
                                         ".f",
                                         "z.f.tmp",
                                         "..f",
                                         "...f",
                                         "p/9b3/3c6aaaaaaaaaaaaaaaaaaaaaaaaad/.f",
                                         "q/abc/.f",
                                         "p/9b3/short.f"};
    for (size_t i = 0; i < sizeof strays / sizeof *strays; i++) {
        suite_put(suite->other, strays[i], "stray");
    }
    suite_lists(store, "", "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa");
    suite_lists(store, "p", "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa");
    suite_lists(store, "p9b", "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa");
    suite_lists(store, "p9b33c6", "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa");
    suite_lists(store, "p9c", "");
    suite_lists(store, "q", "");
    close_store(suite, store);
}

/* Every prefix of every name finds it, once, whatever the rules. */
static void prefixes(void **state)
{
    struct store_suite *suite = *state;
    static const char *const all_rules[] = {
        "{\"default\":[1,3],\"maxNonShardedLength\":5}",
        "{\"default\":[3,3],\"maxNonShardedLength\":0}",
        "{\"default\":[],\"overrides\":[{\"prefix\":\"ab\",\"shards\":[1,1,1]}]}",
        "{\"default\":[2],\"overrides\":[{\"prefix\":\"abcd\",\"shards\":[1]},"
        "{\"prefix\":\"abc\",\"shards\":[4]},{\"prefix\":\"\",\"shards\":[]}]}"};
    static const char *const names[] = {"a",        "ab",  "abc", "abcd",      "abcde",
                                        "abcdefgh", "abd", "b",   "bcdefghijk"};
    make_new = false;
    for (size_t i = 0; i < sizeof all_rules / sizeof *all_rules; i++) {
        rules_text = all_rules[i];
        struct xb_store *store = open_store(suite);
        for (size_t k = 0; k < 9; k++) {
            suite_put(store, names[k], names[k]);
        }
        for (size_t k = 0; k < 9; k++) {
            for (size_t len = 0; len <= strlen(names[k]); len++) {
                char start[20] = "", want[100] = "";
                memcpy(start, names[k], len);
                for (size_t n = 0; n < 9; n++) {
                    if (strncmp(names[n], start, len) == 0) {
                        strncat(want, want[0] ? " " : "", 2);
                        strncat(want, names[n], 20);
                    }
                }
                suite_lists(store, start, want);
            }
        }
        close_store(suite, store);
    }
}

/* A new store gets kopia's present rule; one with files in it, or opened only, has the old one. */
static void absent_rules(void **state)
{
    struct store_suite *suite = *state;
    use_new(NULL);
    struct xb_store *store = open_store(suite);
    suite_holds(suite->other, ".shards", "{\"default\":[1,3],\"maxNonShardedLength\":20}\n");
    close_store(suite, store);
    make_new = false;
    store = open_store(suite);
    suite_put(store, "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa", "x");
    suite_holds(suite->other, "p9b/33c/6aaaaaaaaaaaaaaaaaaaaaaaaaa.f", "x");
    suite_absent(suite->other, ".shards");
    xb_store_free(store);
    SUITE_OK(xb_store_sharded_open(xb_store_ref(suite->other), true, &store, &err));
    suite_holds(store, "p9b33c6aaaaaaaaaaaaaaaaaaaaaaaaaa", "x");
    suite_absent(suite->other, ".shards");
    close_store(suite, store);
}

/* Whatever stands in `.shards` of a foreign folder: rules, or a refusal. */
static void hostile_rules(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "x",
                                      "[]",
                                      "null",
                                      "3",
                                      "\"x\"",
                                      "{",
                                      "{\"default\":3}",
                                      "{\"default\":[0]}",
                                      "{\"default\":[-1]}",
                                      "{\"default\":[65]}",
                                      "{\"default\":[1.5]}",
                                      "{\"default\":[\"1\"]}",
                                      "{\"default\":[null]}",
                                      "{\"default\":[1,1,1,1,1,1,1,1,1]}",
                                      "{\"default\":{}}",
                                      "{\"default\":[99999999999999999999]}",
                                      "{\"maxNonShardedLength\":\"20\"}",
                                      "{\"maxNonShardedLength\":-1}",
                                      "{\"overrides\":{}}",
                                      "{\"overrides\":[3]}",
                                      "{\"overrides\":[null]}",
                                      "{\"overrides\":[{\"prefix\":3}]}",
                                      "{\"overrides\":[{\"prefix\":\"a\\u0000b\"}]}",
                                      "{\"overrides\":[{\"prefix\":\"a\",\"shards\":[0]}]}",
                                      "{\"default\":[1,3]}{}",
                                      "{\"default\":[1,3]}x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_shards *shards = NULL;
        SUITE_REFUSED(xb_shards_parse(bad[i], strlen(bad[i]), &shards, &err), XB_ERR_CORRUPT);
        assert_null(shards);
        struct xb_store *inner = NULL;
        struct xb_store *store = NULL;
        SUITE_OK(xb_store_mem_open(&inner, &err));
        suite_put(inner, ".shards", bad[i]);
        SUITE_REFUSED(xb_store_sharded_open(inner, true, &store, &err), XB_ERR_CORRUPT);
        assert_null(store);
    }
    struct xb_buf many = XB_BUF_INIT(XB_SHARDS_TEXT_BYTES_MAX + 1);
    SUITE_OK(xb_buf_append_str(&many, "{\"overrides\":[{}", &err));
    for (int i = 0; i < XB_SHARDS_OVERRIDES_MAX; i++) {
        SUITE_OK(xb_buf_append_str(&many, ",{}", &err));
    }
    SUITE_OK(xb_buf_append_str(&many, "]}", &err));
    struct xb_shards *shards = NULL;
    SUITE_REFUSED(xb_shards_parse(many.data, many.len, &shards, &err), XB_ERR_CORRUPT);
    while (many.len <= XB_SHARDS_TEXT_BYTES_MAX) {
        SUITE_OK(xb_buf_append(&many, " ", 1, &err));
    }
    struct xb_store *inner = NULL;
    struct xb_store *store = NULL;
    SUITE_OK(xb_store_mem_open(&inner, &err));
    suite_put(inner, ".shards", many.data);
    SUITE_REFUSED(xb_store_sharded_open(inner, false, &store, &err), XB_ERR_FULL);
    xb_buf_free(&many);
}

int main(void)
{
    static struct store_suite suite = {.open = open_store,
                                       .close = close_store,
                                       .flat = true,
                                       .name_bytes_max =
                                           XB_STORE_NAME_BYTES_MAX - 2 - XB_SHARDS_LEVELS_MAX};
    const struct CMUnitTest suite_tests[] = {STORE_SUITE_TESTS(&suite)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(short_names_and_overrides),
        cmocka_unit_test_prestate(files_that_are_none, &suite),
        cmocka_unit_test_prestate(prefixes, &suite),
        cmocka_unit_test_prestate(absent_rules, &suite),
        cmocka_unit_test(hostile_rules),
    };
    return cmocka_run_group_tests_name("sharded, new rules", suite_tests, use_new, NULL) +
           cmocka_run_group_tests_name("sharded, flat", suite_tests, use_flat, NULL) +
           cmocka_run_group_tests_name("sharded, overrides", suite_tests, use_every_name, NULL) +
           cmocka_run_group_tests_name("sharded", tests, NULL, NULL);
}
