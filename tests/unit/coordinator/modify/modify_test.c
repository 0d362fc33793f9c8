/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource modifiers: each condition, alone and together, the three kinds of patches, values as
 * Velero takes them, rules in their order, and everything that a strict reader refuses, by its
 * path.
 */
#include <pthread.h>

#include "coordinator/modify/modify.h"
#include "tests/harness/probe.h"

#define DEPLOYMENT                                                                                 \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web-1\","        \
    "\"namespace\":\"shop\",\"labels\":{\"app\":\"web\",\"tier\":\"1\"}},\"spec\":{\"replicas\":"  \
    "3,\"paused\":false,\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":"        \
    "\"x:1\"}]}}}}"

struct told {
    unsigned applied, passed, failed;
    char last[600];
};

static void tell(void *context, enum xb_modify_outcome outcome, const char *text)
{
    struct told *told = context;
    told->applied += outcome == XB_MODIFY_APPLIED;
    told->passed += outcome == XB_MODIFY_TEST_FAILED;
    told->failed += outcome == XB_MODIFY_FAILED;
    snprintf(told->last, sizeof told->last, "%s", text);
}

/* The object that the text's rules make of `object`; the caller's. */
static xb_json *modify(const char *text, const char *resource, const char *object,
                       struct told *told)
{
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    xb_json *json = probe_json(object);
    PROBE_OK(xb_modifiers_parse(text, strlen(text), &modifiers, &err));
    PROBE_OK(xb_modifiers_apply(modifiers, resource, &json, tell, told, &err));
    return json;
}

/* Whether a rule of these conditions (a YAML flow mapping) is about the deployment. */
static bool fits(const char *conditions)
{
    char text[1000];
    struct told told = {0};
    snprintf(text, sizeof text,
             "version: v1\nresourceModifierRules:\n- conditions: %s\n  patches:\n"
             "  - {operation: remove, path: /spec/replicas}\n",
             conditions);
    XB_CLEANUP(xb_json_putp) xb_json *json = modify(text, "deployments.apps", DEPLOYMENT, &told);
    assert_int_equal(told.failed + told.passed, 0);
    assert_int_equal(told.applied, !xb_json_get(json, "spec.replicas"));
    return told.applied == 1;
}

static void each_condition(void **state)
{
    (void)state;
    assert_true(fits("{groupResource: deployments.apps}"));
    assert_false(fits("{groupResource: deployments}"));
    assert_true(fits("{groupResource: '*.apps'}"));
    assert_false(fits("{groupResource: '*'}"));
    assert_true(fits("{groupResource: '**'}"));
    assert_true(fits("{groupResource: '**', namespaces: [bank, shop]}"));
    assert_true(fits("{groupResource: '**', namespaces: ['sh*']}"));
    assert_true(fits("{groupResource: '**', namespaces: []}"));
    assert_false(fits("{groupResource: '**', namespaces: [bank]}"));
    assert_true(fits("{groupResource: '**', resourceNameRegex: '^web-\\d$'}"));
    assert_true(fits("{groupResource: '**', resourceNameRegex: eb}"));
    assert_false(fits("{groupResource: '**', resourceNameRegex: '^eb'}"));
    assert_true(fits("{groupResource: '**', labelSelector: {matchLabels: {app: web, tier: 1}}}"));
    assert_false(fits("{groupResource: '**', labelSelector: {matchLabels: {app: db}}}"));
    assert_true(fits("{groupResource: '**', labelSelector: {matchExpressions: [{key: tier, "
                     "operator: In, values: [1, 2]}, {key: x, operator: DoesNotExist}]}}"));
    assert_false(fits("{groupResource: '**', labelSelector: {matchExpressions: [{key: tier, "
                      "operator: NotIn, values: ['1']}]}}"));
    assert_true(fits("{groupResource: '**', matches: [{path: /spec/replicas, value: '3'}]}"));
    assert_true(fits("{groupResource: '**', matches: [{path: /spec/replicas, value: 3}]}"));
    assert_true(fits("{groupResource: '**', matches: [{path: /spec/paused, value: false}, {path: "
                     "/spec/template/spec/containers/0/image, value: 'x:1'}]}"));
    assert_false(fits("{groupResource: '**', matches: [{path: /spec/paused, value: false}, {path: "
                      "/spec/replicas, value: 4}]}"));
    assert_true(fits("{groupResource: '**', matches: [{path: /metadata/labels/tier, value: "
                     "'\"1\"'}]}"));
    assert_false(fits("{groupResource: '**', matches: [{path: /metadata/labels/tier, value: 1}]}"));
    assert_true(fits("{groupResource: '**', matches: [{path: /spec/strategy, value: 'null'}]}"));
    /* What is not there has no value: no reason for an error. */
    assert_false(fits("{groupResource: '**', matches: [{path: /spec/a/b, value: x}]}"));
    assert_false(fits("{groupResource: '**', matches: [{path: /spec/template/spec/containers/1, "
                      "value: x}]}"));
}

/* Objects without a namespace are in all of them. */
static void cluster_scoped_objects_are_in_all_namespaces(void **state)
{
    (void)state;
    struct told told = {0};
    XB_CLEANUP(xb_json_putp)
    xb_json *json = modify("version: V1\nresourceModifierRules:\n- conditions: {groupResource: "
                           "persistentvolumes, namespaces: [a]}\n  patches:\n  - {operation: "
                           "replace, path: /spec/storageClassName, value: fast}\n",
                           "persistentvolumes",
                           "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{"
                           "\"name\":\"v\"},\"spec\":{\"storageClassName\":\"slow\"}}",
                           &told);
    assert_string_equal(xb_json_str(json, "spec.storageClassName", ""), "fast");
}

#define RULE                                                                                       \
    "version: v1\nresourceModifierRules:\n- conditions: {groupResource: deployments.apps}\n"       \
    "  %s:\n  - %s\n"

static void value_is(const char *value, const char *expected)
{
    char text[1000];
    char patch[500];
    struct told told = {0};
    snprintf(patch, sizeof patch, "{operation: add, path: /spec/x, value: %s}", value);
    snprintf(text, sizeof text, RULE, "patches", patch);
    XB_CLEANUP(xb_json_putp) xb_json *json = modify(text, "deployments.apps", DEPLOYMENT, &told);
    xb_json *spec = xb_json_get(json, "spec");
    assert_int_equal(told.applied, 1);
    assert_true(json_object_object_get_ex(spec, "x", NULL));
    xb_json *x = json_object_object_get(spec, "x");
    assert_string_equal(
        json_object_to_json_string_ext(x, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
        expected);
}

static void values_are_json_where_they_look_like_it(void **state)
{
    (void)state;
    value_is("text", "\"text\"");
    value_is("'1'", "1");
    value_is("1", "1");
    value_is("-1.5", "-1.5");
    value_is("true", "true");
    value_is("'false'", "false");
    value_is("'null'", "null");
    value_is("''", "\"\"");
    value_is("null", "\"\"");
    value_is("'\"1\"'", "\"1\"");
    value_is("'\"true\"'", "\"true\"");
    value_is("'{\"a\": [1, \"b\"]}'", "{\"a\":[1,\"b\"]}");
    value_is("'[1,2]'", "[1,2]");
    value_is("'a/b:c, d'", "\"a/b:c, d\"");
    value_is("'a\\tb'", "\"a\\tb\"");
    value_is("0x10", "16");
    value_is("'0x10'", "\"0x10\"");
    value_is("1.2.3", "\"1.2.3\"");
}

static void the_three_kinds_of_patches(void **state)
{
    (void)state;
    char text[1000];
    struct told told = {0};
    snprintf(text, sizeof text, RULE, "mergePatches",
             "patchData: |\n      {\"metadata\": {\"labels\": {\"tier\": null}}}\n"
             "  - patchData: |\n      spec: {template: {spec: {containers: [{name: b}]}}}");
    XB_CLEANUP(xb_json_putp) xb_json *merged = modify(text, "deployments.apps", DEPLOYMENT, &told);
    assert_null(xb_json_get(merged, "metadata.labels.tier"));
    xb_json *containers = xb_json_get(merged, "spec.template.spec.containers");
    probe_json_is(containers, "[{\"name\":\"b\"}]");
    snprintf(text, sizeof text, RULE, "strategicPatches",
             "patchData: |\n      spec: {template: {spec: {containers: [{name: b, image: z}]}}}\n"
             "  - patchData: '{\"spec\": {\"template\": {\"spec\": {\"containers\": [{\"name\": "
             "\"a\", \"$patch\": \"delete\"}]}}}}'");
    XB_CLEANUP(xb_json_putp)
    xb_json *strategic = modify(text, "deployments.apps", DEPLOYMENT, &told);
    containers = xb_json_get(strategic, "spec.template.spec.containers");
    probe_json_is(containers, "[{\"name\":\"b\",\"image\":\"z\"}]");
    assert_int_equal(told.applied, 2);
}

/* Conditions see the object as it came, patches as the rules before have left it. */
static void all_rules_apply_in_order(void **state)
{
    (void)state;
    struct told told = {0};
    XB_CLEANUP(xb_json_putp)
    xb_json *json = modify(
        "version: v1\n"
        "resourceModifierRules:\n"
        "- conditions: {groupResource: deployments.apps, resourceNameRegex: web}\n"
        "  patches:\n"
        "  - {operation: replace, path: /spec/replicas, value: 1}\n"
        "  - {operation: copy, from: /spec/replicas, path: /spec/was}\n"
        "- conditions: {groupResource: deployments.apps, matches: [{path: /spec/replicas, value: "
        "1}]}\n"
        "  patches: [{operation: add, path: /spec/never, value: x}]\n"
        "- conditions: {groupResource: deployments.apps, matches: [{path: /spec/replicas, value: "
        "3}]}\n"
        "  patches:\n"
        "  - {operation: Test, path: /spec/replicas, value: 1}\n"
        "  - {operation: move, from: /spec/was, path: /spec/moved}\n"
        "- conditions: {groupResource: deployments.apps}\n"
        "  patches:\n"
        "  - {operation: remove, path: /spec/moved}\n"
        "  - {operation: test, path: /spec/replicas, value: 3}\n",
        "deployments.apps", DEPLOYMENT, &told);
    assert_int_equal(xb_json_int(json, "spec.replicas", 0), 1);
    assert_int_equal(xb_json_int(json, "spec.moved", 0), 1);
    assert_null(xb_json_get(json, "spec.was"));
    assert_null(xb_json_get(json, "spec.never"));
    assert_int_equal(told.applied, 2);
    assert_int_equal(told.passed, 1);
    assert_non_null(strstr(told.last, "resourceModifierRules[3] (deployments.apps): patches[1]"));
}

/* A rule that cannot be applied is named, and leaves the object as it was; the next goes on. */
static void a_rule_that_fails_leaves_the_object(void **state)
{
    (void)state;
    static const char *const rules[][2] = {
        {"patches: [{operation: remove, path: /spec/paused}, {operation: remove, path: /spec/no}]",
         "patches[1] (remove): there is nothing at '/spec/no'"},
        {"patches: [{operation: remove, path: /kind}]", "no object any more"},
        {"mergePatches: [{patchData: '{\"metadata\": {\"name\": null}}'}]", "no object any more"},
        {"strategicPatches: [{patchData: 'spec: {replicas: 9}'}, {patchData: 'spec: {template: "
         "{spec: {containers: [{image: y}]}}}'}]",
         "strategicPatches[1]: field 'spec.template.spec.containers': element 0 lacks 'name'"}};
    XB_CLEANUP(xb_json_putp) xb_json *before = probe_json(DEPLOYMENT);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char text[1000];
        struct told told = {0};
        snprintf(text, sizeof text,
                 "version: v1\nresourceModifierRules:\n- conditions: {groupResource: '**'}\n  %s\n",
                 rules[i][0]);
        XB_CLEANUP(xb_json_putp)
        xb_json *json = modify(text, "deployments.apps", DEPLOYMENT, &told);
        assert_int_equal(told.failed, 1);
        assert_true(json_object_equal(json, before));
        if (!strstr(told.last, "resourceModifierRules[0] (**): ") ||
            !strstr(told.last, rules[i][1])) {
            fail_msg("'%s', want '%s'", told.last, rules[i][1]);
        }
    }
}

static const struct xb_modifiers *shared_modifiers;

static void *apply_often(void *ret)
{
    struct told told = {0};
    for (int i = 0; i < 200; i++) {
        struct xb_error err = XB_ERROR_INIT;
        xb_json *json = NULL;
        if (xb_json_parse(DEPLOYMENT, strlen(DEPLOYMENT), &json, &err) < 0 ||
            xb_modifiers_apply(shared_modifiers, "deployments.apps", &json, tell, &told, &err) <
                0) {
            return ret;
        }
        json_object_put(json);
    }
    *(unsigned *)ret = told.applied;
    return ret;
}

/* What json-c keeps within its objects is not touched: a thread sanitizer would see it. */
static void threads_share_modifiers(void **state)
{
    (void)state;
    static const char text[] =
        "version: v1\nresourceModifierRules:\n"
        "- conditions: {groupResource: '*.apps', namespaces: [shop], resourceNameRegex: web, "
        "labelSelector: {matchLabels: {tier: 1}, matchExpressions: [{key: app, operator: In, "
        "values: [web, 2]}]}, matches: [{path: /spec/replicas, value: 3}]}\n"
        "  patches: [{operation: add, path: /spec/x, value: 1.5}, {operation: test, path: /spec/x, "
        "value: 1.5}]\n"
        "- conditions: {groupResource: '**'}\n"
        "  mergePatches: [{patchData: 'spec: {template: {spec: {containers: [{name: a, ports: "
        "[{containerPort: 80}]}]}}}'}]\n"
        "- conditions: {groupResource: '**'}\n"
        "  strategicPatches: [{patchData: 'spec: {template: {spec: {containers: [{name: a, ports: "
        "[{containerPort: 80, protocol: UDP}]}]}}}'}]\n";
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    pthread_t threads[4];
    unsigned applied[4] = {0};
    PROBE_OK(xb_modifiers_parse(text, strlen(text), &modifiers, &err));
    shared_modifiers = modifiers;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, apply_often, &applied[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(applied[i], 600);
    }
}

/* What would be refused, and the words by which. */
#define CONDITIONS "conditions: {groupResource: pods}"
#define REMOVE "patches: [{operation: remove, path: /a}]"
static const char *const bad_rules[][2] = {
    {"nothing: 1", "unknown field 'resourceModifierRules[0].nothing'"},
    {REMOVE, "'resourceModifierRules[0].conditions.groupResource' must be there"},
    {"conditions: {groupResource: ''}\n  " REMOVE, "groupResource' must be there"},
    {"conditions: {groupResource: '{a'}\n  " REMOVE, "conditions.groupResource': '{a'"},
    {"conditions: {groupResource: a, resource: b}\n  " REMOVE, "unknown field"},
    {"conditions: {groupResource: a, namespaces: b}\n  " REMOVE, "want a list of texts"},
    {"conditions: {groupResource: a, namespaces: ['[']}\n  " REMOVE, "namespaces[0]'"},
    {"conditions: {groupResource: a, resourceNameRegex: '(?=x)'}\n  " REMOVE,
     "conditions.resourceNameRegex': '(?=x)'"},
    {"conditions: {groupResource: a, resourceNameRegex: '('}\n  " REMOVE, "resourceNameRegex'"},
    {"conditions: {groupResource: a, labelSelector: {app: x}}\n  " REMOVE,
     "unknown field 'resourceModifierRules[0].conditions.labelSelector.app'"},
    {"conditions: {groupResource: a, labelSelector: {matchExpressions: [{key: a, operator: X}]}}"
     "\n  " REMOVE,
     "labelSelector.matchExpressions[0]: operator"},
    {"conditions: {groupResource: a, labelSelector: {matchLabels: {a: 'b c'}}}\n  " REMOVE,
     "labelSelector.matchLabels"},
    {"conditions: {groupResource: a, matches: [{value: b}]}\n  " REMOVE, "matches[0].path'"},
    {"conditions: {groupResource: a, matches: [{path: b}]}\n  " REMOVE, "begins with '/'"},
    {"conditions: {groupResource: a, matches: [{path: /b, value: '{'}]}\n  " REMOVE,
     "matches[0].value': '{' looks like"},
    {CONDITIONS, "there must be one of patches"},
    {CONDITIONS "\n  patches: []", "there must be one of patches"},
    {CONDITIONS "\n  " REMOVE "\n  mergePatches: [{patchData: 'a: 1'}]", "only one may be there"},
    {CONDITIONS "\n  patches: [{path: /a}]", "patches[0].operation': ''"},
    {CONDITIONS "\n  patches: [{operation: delete, path: /a}]", "'delete' is none of"},
    {CONDITIONS "\n  patches: [{operation: remove}]", "patches[0].path': '': it must be there"},
    {CONDITIONS "\n  patches: [{operation: move, path: /a}]", "patches[0].from'"},
    {CONDITIONS "\n  patches: [{operation: remove, path: /a, op: x}]", "unknown field"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a, value: {b: c}}]", "want a text"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a, value: '{b: c}'}]", "is no JSON"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a, value: 'a\"b'}]", "between quotes"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a, value: '007'}]", "'\"007\"'"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a, value: 'True'}]", "'\"True\"'"},
    {CONDITIONS "\n  patches: [{operation: add, path: /a~, value: b}]", "~0"},
    {CONDITIONS "\n  patches: [1]", "patches[0]': want a mapping"},
    {CONDITIONS "\n  mergePatches: [{patchData: {a: 1}}]", "want a text"},
    {CONDITIONS "\n  mergePatches: [{patchData: '[1]'}]", "want a text that is a YAML mapping"},
    {CONDITIONS "\n  mergePatches: [{}]", "want a text that is a YAML mapping"},
    {CONDITIONS "\n  strategicPatches: [{patchData: 'a: b: c'}]", "strategicPatches[0].patchData'"},
};

static void what_is_wrong_is_refused_by_its_path(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"", "no YAML mapping"},
        {"- a", "no YAML mapping"},
        {"version: v1", "there must be a rule"},
        {"version: v1\nresourceModifierRules: []", "there must be a rule"},
        {"version: v2\nresourceModifierRules: [1]", "'v2', want v1"},
        {"version: v1\nresourceModifierRules: [1]", "resourceModifierRules[0]': want a mapping"},
        {"version: v1\nrules: []", "unknown field 'rules'"},
        {"version: v1\nversion: v1", "twice"}};
    char text[1000];
    for (size_t i = 0; i < sizeof bad_rules / sizeof *bad_rules + sizeof texts / sizeof *texts;
         i++) {
        const char *const *one = i < sizeof texts / sizeof *texts
                                     ? texts[i]
                                     : bad_rules[i - sizeof texts / sizeof *texts];
        bool rule = i >= sizeof texts / sizeof *texts;
        struct xb_modifiers *modifiers = NULL;
        struct xb_error err = XB_ERROR_INIT;
        snprintf(text, sizeof text, "%s%s\n", rule ? "version: v1\nresourceModifierRules:\n- " : "",
                 one[0]);
        int r = xb_modifiers_parse(text, strlen(text), &modifiers, &err);
        if (r == 0 || err.kind != XB_ERR_INVALID || !strstr(err.text, one[1])) {
            fail_msg("%s: %d '%s', want '%s'", text, r, err.text, one[1]);
        }
        assert_null(modifiers);
    }
}

static void a_config_map_has_one_key(void **state)
{
    (void)state;
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *none = probe_json("{\"data\":{}}");
    XB_CLEANUP(xb_json_putp) xb_json *two = probe_json("{\"data\":{\"a\":\"\",\"b\":\"\"}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *one = probe_json("{\"data\":{\"rules.yaml\":\"version: v1\\nresourceModifierRules:\\n"
                              "- conditions: {groupResource: a}\\n  patches: [{operation: remove, "
                              "path: /a}]\\n\"}}");
    PROBE_REFUSED(xb_modifiers_from_config_map(none, &modifiers, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_modifiers_from_config_map(two, &modifiers, &err), XB_ERR_INVALID);
    PROBE_OK(xb_modifiers_from_config_map(one, &modifiers, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_condition),
        cmocka_unit_test(cluster_scoped_objects_are_in_all_namespaces),
        cmocka_unit_test(values_are_json_where_they_look_like_it),
        cmocka_unit_test(the_three_kinds_of_patches),
        cmocka_unit_test(all_rules_apply_in_order),
        cmocka_unit_test(a_rule_that_fails_leaves_the_object),
        cmocka_unit_test(threads_share_modifiers),
        cmocka_unit_test(what_is_wrong_is_refused_by_its_path),
        cmocka_unit_test(a_config_map_has_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
