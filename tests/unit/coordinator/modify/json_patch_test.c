/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON patches and merge patches: the examples of RFC 6901, 6902 and 7386, indexes from the end,
 * and bounds on what a patch can make.
 */
#include "coordinator/modify/json_patch.h"
#include "tests/harness/probe.h"

enum { STEPS_MAX = 8 };

static enum xb_patch_operation operation(const char *name)
{
    for (int i = XB_PATCH_ADD; i <= XB_PATCH_TEST; i++) {
        if (strcmp(name, xb_patch_operation_name((enum xb_patch_operation)i)) == 0) {
            return (enum xb_patch_operation)i;
        }
    }
    fail_msg("no operation '%s'", name);
    return XB_PATCH_TEST;
}

/* `patch` as RFC 6902 writes it. */
static int apply(const char *document, const char *patch, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(document);
    XB_CLEANUP(xb_json_putp) xb_json *list = probe_json(patch);
    struct xb_patch_step steps[STEPS_MAX];
    size_t count = json_object_array_length(list);
    assert_true(count <= STEPS_MAX);
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(list, i);
        steps[i] = (struct xb_patch_step){.operation = operation(xb_json_str(one, "op", "")),
                                          .path = xb_json_str(one, "path", ""),
                                          .from = xb_json_str(one, "from", ""),
                                          .value = xb_json_get(one, "value")};
    }
    int r = xb_json_patch(json, steps, count, ret, err);
    probe_json_is(json, json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                 JSON_C_TO_STRING_NOSLASHESCAPE));
    return r;
}

static void makes(const char *document, const char *patch, const char *expected)
{
    XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *wanted = probe_json(expected);
    PROBE_OK(apply(document, patch, &result, &err));
    if (!json_object_equal(result, wanted)) {
        probe_json_is(result, expected);
    }
}

static void refused(const char *document, const char *patch, enum xb_error_kind kind)
{
    xb_json *result = NULL;
    PROBE_REFUSED(apply(document, patch, &result, &err), kind);
    assert_null(result);
}

/* RFC 6902, appendix A. */
static void examples_of_the_rfc(void **state)
{
    (void)state;
    makes("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
          "{\"foo\":\"bar\",\"baz\":\"qux\"}");
    makes("{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
          "{\"foo\":[\"bar\",\"qux\",\"baz\"]}");
    makes("{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
          "{\"foo\":\"bar\"}");
    makes("{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
          "{\"foo\":[\"bar\",\"baz\"]}");
    makes("{\"baz\":\"qux\",\"foo\":\"bar\"}",
          "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
          "{\"baz\":\"boo\",\"foo\":\"bar\"}");
    makes("{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
          "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
          "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}");
    makes("{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
          "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
          "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}");
    makes("{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
          "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},"
          "{\"op\":\"test\",\"path\":\"/foo/1\",\"value\":2}]",
          "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}");
    refused("{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]",
            XB_ERR_CONFLICT);
    makes("{\"foo\":\"bar\"}",
          "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
          "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}");
    refused("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]",
            XB_ERR_NOT_FOUND);
    makes("{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
          "{\"/\":9,\"~1\":10}");
    refused("{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]",
            XB_ERR_CONFLICT);
    makes("{\"foo\":[\"bar\"]}",
          "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
          "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}");
}

static void every_operation(void **state)
{
    (void)state;
    makes("{\"a\":{\"b\":[1,2]}}",
          "[{\"op\":\"copy\",\"from\":\"/a/b\",\"path\":\"/c\"},"
          "{\"op\":\"add\",\"path\":\"/c/0\",\"value\":0}]",
          "{\"a\":{\"b\":[1,2]},\"c\":[0,1,2]}");
    makes("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}");
    makes("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}");
    makes("{\"a\":null}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":2}]", "{\"a\":2}");
    makes("{\"a\":null}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"b\":null}");
    makes("{\"\":{\"x\":1}}", "[{\"op\":\"remove\",\"path\":\"//x\"}]", "{\"\":{}}");
    makes("{\"a/b\":1,\"c~1\":{\"d\":2}}",
          "[{\"op\":\"remove\",\"path\":\"/a~1b\"},"
          "{\"op\":\"replace\",\"path\":\"/c~01/d\","
          "\"value\":3}]",
          "{\"c~1\":{\"d\":3}}");
    /* What is not there is null. */
    makes("{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/b\",\"value\":null}]", "{\"a\":1}");
    makes("{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"\",\"path\":\"/b\"}]",
          "{\"a\":1,\"b\":{\"a\":1}}");
    /* Indexes from the end, as kubectl has them. */
    makes("{\"a\":[1,2,3]}", "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", "{\"a\":[1,2]}");
    makes("{\"a\":[1,2,3]}", "[{\"op\":\"replace\",\"path\":\"/a/-3\",\"value\":0}]",
          "{\"a\":[0,2,3]}");
    makes("{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/-1\",\"value\":3}]", "{\"a\":[1,2,3]}");
    makes("{\"a\":[1,2]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":3}]", "{\"a\":[1,2,3]}");
}

/* All or nothing, and nothing by accident. */
static void what_leads_nowhere_is_refused(void **state)
{
    (void)state;
    static const char *const nowhere[] = {
        "[{\"op\":\"remove\",\"path\":\"/b\"}]",
        "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]",
        "[{\"op\":\"replace\",\"path\":\"/l/2\",\"value\":1}]",
        "[{\"op\":\"replace\",\"path\":\"/l/-\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/3\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/-4\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/01\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/1e0\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/+1\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/-0\",\"value\":1}]",
        "[{\"op\":\"add\",\"path\":\"/l/99999999999999999999\",\"value\":1}]",
        "[{\"op\":\"remove\",\"path\":\"/l/-3\"}]",
        "[{\"op\":\"add\",\"path\":\"/a/x\",\"value\":1}]",
        "[{\"op\":\"copy\",\"from\":\"/b\",\"path\":\"/c\"}]",
        "[{\"op\":\"move\",\"from\":\"/o\",\"path\":\"/o/p/q\"}]",
        "[{\"op\":\"test\",\"path\":\"/b/c\",\"value\":null}]"};
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        refused("{\"a\":1,\"l\":[1,2],\"o\":{\"p\":{}}}", nowhere[i], XB_ERR_NOT_FOUND);
    }
    refused("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"\"}]", XB_ERR_INVALID);
    refused("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"a\"}]", XB_ERR_INVALID);
    refused("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/a~\"}]", XB_ERR_INVALID);
    refused("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/~2\"}]", XB_ERR_INVALID);
    /* The step before is not kept. */
    refused("{\"a\":1}",
            "[{\"op\":\"remove\",\"path\":\"/a\"},{\"op\":\"remove\",\"path\":\"/b\"}]",
            XB_ERR_NOT_FOUND);
}

/* A patch of a few lines cannot make an object of any size or depth. */
static void bombs_are_refused(void **state)
{
    (void)state;
    const struct xb_patch_step twice = {.operation = XB_PATCH_COPY, .from = "/a", .path = "/a/-"};
    struct xb_patch_step steps[200];
    XB_CLEANUP(xb_json_putp) xb_json *wide = probe_json("{\"a\":[1,2]}");
    XB_CLEANUP(xb_json_putp) xb_json *deep = probe_json("{\"a\":{}}");
    xb_json *result = NULL;
    for (size_t i = 0; i < 200; i++) {
        steps[i] = twice;
    }
    PROBE_REFUSED(xb_json_patch(wide, steps, 200, &result, &err), XB_ERR_FULL);
    char *text = malloc((1 << 20) + 1);
    assert_non_null(text);
    memset(text, 'x', 1 << 20);
    text[1 << 20] = '\0';
    XB_CLEANUP(xb_json_putp) xb_json *large = json_object_new_string(text);
    free(text);
    for (size_t i = 0; i < 200; i++) {
        steps[i] =
            (struct xb_patch_step){.operation = XB_PATCH_ADD, .path = "/a/-", .value = large};
    }
    PROBE_OK(xb_json_patch(wide, steps, 7, &result, &err));
    json_object_put(result);
    result = NULL;
    PROBE_REFUSED(xb_json_patch(wide, steps, 8, &result, &err), XB_ERR_FULL);
    const struct xb_patch_step deeper = {.operation = XB_PATCH_COPY, .from = "", .path = "/a/b"};
    const struct xb_patch_step back = {.operation = XB_PATCH_MOVE, .from = "/a/b", .path = "/a"};
    for (size_t i = 0; i < 200; i++) {
        steps[i] = i % 2 ? back : deeper;
    }
    PROBE_REFUSED(xb_json_patch(deep, steps, 200, &result, &err), XB_ERR_FULL);
    assert_null(result);
}

static void merges(const char *document, const char *patch, const char *expected)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(document);
    XB_CLEANUP(xb_json_putp) xb_json *change = probe_json(patch);
    XB_CLEANUP(xb_json_putp) xb_json *wanted = probe_json(expected);
    XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
    PROBE_OK(xb_json_merge_patch(json, change, &result, &err));
    if (!json_object_equal(result, wanted)) {
        probe_json_is(result, expected);
    }
}

/* RFC 7386, appendix A. */
static void merge_examples_of_the_rfc(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        merges(cases[i][0], cases[i][1], cases[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_rfc),           cmocka_unit_test(every_operation),
        cmocka_unit_test(what_leads_nowhere_is_refused), cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(merge_examples_of_the_rfc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
