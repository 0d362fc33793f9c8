/* SPDX-License-Identifier: Apache-2.0
 *
 * Which hooks a pod has: annotations, the spec, defaults, and what makes no sense.
 */
#include "tests/harness/probe.h"

#include "shared/velero/hooks.h"

#define CONTAINERS                                                                                 \
    "\"spec\":{\"containers\":[{\"name\":\"main\"},{\"name\":\"side\"}],"                          \
    "\"initContainers\":[{\"name\":\"once\"},{\"name\":\"car\",\"restartPolicy\":\"Always\"}]}"

static xb_json *pod_with(const char *annotations)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"labels\":{\"app\":\"web\"},"
             "\"annotations\":{%s}}," CONTAINERS "}",
             annotations);
    return probe_json(text);
}

/* The hooks in one line: "pre name container timeout Fail|Continue [words] problem=.. note=..; ..."
 */
static void describe(const struct xb_hooks *hooks, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int phase = 0; phase < XB_HOOK_PHASES; phase++) {
        const struct xb_hook_list *list = &hooks->phases[phase];
        for (size_t i = 0; i < list->count; i++) {
            const struct xb_hook *hook = &list->hooks[i];
            at += (size_t)snprintf(out + at, size - at, "%s%s %s %s %d %s", at ? "; " : "",
                                   xb_hook_phase_name((enum xb_hook_phase)phase), hook->name,
                                   hook->container, hook->timeout_ms,
                                   hook->go_on ? "Continue" : "Fail");
            for (size_t j = 0; hook->argv && hook->argv[j]; j++) {
                at += (size_t)snprintf(out + at, size - at, " [%.40s]", hook->argv[j]);
            }
            if (hook->ready && hook->end) {
                at +=
                    (size_t)snprintf(out + at, size - at, " <%.40s|%.40s>", hook->ready, hook->end);
            }
            at += (size_t)snprintf(out + at, size - at, "%s%s", hook->problem ? " problem" : "",
                                   hook->note ? " note" : "");
        }
    }
}

static void check(const char *spec, xb_json *pod, const char *wanted)
{
    char got[8192];
    struct xb_hooks hooks;
    char text[8192];
    snprintf(text, sizeof text, "{\"spec\":%s}", spec);
    xb_json *backup = probe_json(text);
    PROBE_OK(xb_hooks_of(backup, pod, &hooks, &err));
    describe(&hooks, got, sizeof got);
    assert_int_equal(xb_hooks_any(&hooks), wanted[0] != '\0');
    assert_string_equal(got, wanted);
    xb_hooks_free(&hooks);
    json_object_put(backup);
    json_object_put(pod);
}

#define P "pre.hook.backup.velero.io/"
#define Q "post.hook.backup.velero.io/"
#define U "hook.backup.velero.io/"

static void annotations(void **state)
{
    (void)state;
    check("{}", pod_with(""), "");
    check("{}", pod_with("\"" P "command\":\"/bin/date -u\""),
          "pre from-annotation main 30000 Fail [/bin/date -u]");
    check("{}",
          pod_with("\"" U "command\":\"a\",\"" U "container\":\"side\",\"" U "timeout\":\"1m\""),
          "pre from-annotation side 60000 Fail [a]");
    /* The prefixed one is meant, and brings nothing of the other along. */
    check("{}",
          pod_with("\"" U "command\":\"a\",\"" U "container\":\"side\",\"" P "command\":\"b\""),
          "pre from-annotation main 30000 Fail [b]");
    check("{}",
          pod_with("\"" P "command\":\"[\\\"a\\\",\\\"\\\",\\\"b c\\\"]\",\"" P
                   "on-error\":\"Continue\""),
          "pre from-annotation main 30000 Continue [a] [] [b c]");
    check("{}", pod_with("\"" Q "command\":\"x\",\"" Q "container\":\"car\""),
          "post from-annotation car 30000 Fail [x]");
    /* Without a command there is no hook. */
    check("{}", pod_with("\"" P "command\":\"\",\"" P "container\":\"side\""), "");
    check("{}", pod_with("\"" P "container\":\"side\",\"" P "timeout\":\"3s\""), "");
}

/* What makes no sense is said; a command or container that is none keeps the hook from running. */
static void commands(void **state)
{
    static const char *const wrong[] = {"[",
                                        "[]",
                                        "[1]",
                                        "[\\\"a\\\",null]",
                                        "[\\\"a\\\"",
                                        "[\\\"\\\"]",
                                        "[[\\\"a\\\"]]",
                                        "[\\\"a\\\\u0000b\\\"]",
                                        "[\\\"a\\\"] x"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char annotation[256];
        snprintf(annotation, sizeof annotation, "\"" P "command\":\"%s\"", wrong[i]);
        check("{}", pod_with(annotation), "pre from-annotation main 30000 Fail problem");
    }
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "container\":\"nope\""),
          "pre from-annotation  30000 Fail [a] problem");
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "container\":\"once\""),
          "pre from-annotation  30000 Fail [a] problem");
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "on-error\":\"continue\""),
          "pre from-annotation main 30000 Fail [a] note");
    static const char *const times[] = {"soon", "-1s", "5", "25h", "1e9s"};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        char annotation[256];
        snprintf(annotation, sizeof annotation, "\"" P "command\":\"a\",\"" P "timeout\":\"%s\"",
                 times[i]);
        check("{}", pod_with(annotation), "pre from-annotation main 30000 Fail [a] note");
    }
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "timeout\":\"0s\""),
          "pre from-annotation main 30000 Fail [a]");
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "timeout\":\"1ns\""),
          "pre from-annotation main 1 Fail [a]");
    check("{}", pod_with("\"" P "command\":\"a\",\"" P "timeout\":\"24h\""),
          "pre from-annotation main 86400000 Fail [a]");
    check("{}", pod_with("\"" P "command\":7"), "");
}

#define S "xebec.io/session-"

static void sessions(void **state)
{
    (void)state;
    check("{}", pod_with("\"" S "command\":\"sql\""),
          "session from-annotation main 30000 Fail [sql] <ready|end>");
    check("{}",
          pod_with("\"" S "command\":\"[\\\"a\\\",\\\"b\\\"]\",\"" S "container\":\"side\",\"" S
                   "ready\":\" held \",\"" S "end\":\"\",\"" S "timeout\":\"2s\",\"" S
                   "on-error\":\"Continue\""),
          "session from-annotation side 2000 Continue [a] [b] < held |>");
    check("{}", pod_with("\"" P "command\":\"p\",\"" S "command\":\"s\",\"" Q "command\":\"q\""),
          "pre from-annotation main 30000 Fail [p]; post from-annotation main 30000 Fail [q]; "
          "session from-annotation main 30000 Fail [s] <ready|end>");
    /* Without a command there is none. */
    check("{}", pod_with("\"" S "ready\":\"x\",\"" S "end\":\"y\""), "");
    static const char *const wrong[] = {"\"ready\":\"\"", "\"ready\":7", "\"ready\":\"a\\nb\"",
                                        "\"end\":\"a\\r\"", "\"end\":\"a\\u0000b\""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char annotation[256];
        struct xb_hooks hooks;
        snprintf(annotation, sizeof annotation, "\"" S "command\":\"s\",\"" S "%s", wrong[i] + 1);
        xb_json *pod = pod_with(annotation);
        PROBE_OK(xb_hooks_of(NULL, pod, &hooks, &err));
        assert_int_equal(hooks.phases[XB_HOOK_SESSION].count, 1);
        assert_non_null(strstr(hooks.phases[XB_HOOK_SESSION].hooks[0].problem, "annotation " S));
        xb_hooks_free(&hooks);
        json_object_put(pod);
    }
}

#define EXEC(word) "{\"exec\":{\"command\":[\"" word "\"]}}"
#define ONE(more) "{\"hooks\":{\"resources\":[{\"name\":\"r\"" more ",\"pre\":[" EXEC("a") "]}]}}"

static void selection(void **state)
{
    static const struct {
        const char *spec;
        bool taken;
    } cases[] = {
        {ONE(""), true},
        {ONE(",\"includedNamespaces\":[\"ns\"]"), true},
        {ONE(",\"includedNamespaces\":[\"n*\"]"), true},
        {ONE(",\"includedNamespaces\":[\"*\"]"), true},
        {ONE(",\"includedNamespaces\":[\"other\"]"), false},
        {ONE(",\"includedNamespaces\":[\"ns\"],\"excludedNamespaces\":[\"n?\"]"), false},
        {ONE(",\"includedResources\":[\"pods\"]"), true},
        {ONE(",\"includedResources\":[\"po\"]"), true},
        {ONE(",\"includedResources\":[\"*\"]"), true},
        {ONE(",\"includedResources\":[\"secrets\"]"), false},
        {ONE(",\"excludedResources\":[\"pods\"]"), false},
        {ONE(",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}"), true},
        {ONE(",\"labelSelector\":{\"matchLabels\":{\"app\":\"db\"}}"), false},
        {ONE(",\"labelSelector\":{}"), true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check(cases[i].spec, pod_with(""), cases[i].taken ? "pre r main 30000 Fail [a]" : "");
    }
}

static void several(void **state)
{
    static const char spec[] = "{\"hooks\":{\"resources\":[{\"name\":\"r\",\"pre\":[" EXEC(
        "a") "," EXEC("b") "],\"post\":[" EXEC("c") "]},{\"name\":\"s\",\"pre\":[{\"exec\":{"
                                                    "\"command\":[\"d\"],\"container\":\"side\","
                                                    "\"onError\":\"Continue\",\"timeout\":\"2s\"}}]"
                                                    ",\"post\":[{}]}]}}";
    (void)state;
    check(
        spec, pod_with(""),
        "pre r main 30000 Fail [a]; pre r main 30000 Fail [b]; pre s side 2000 Continue [d]; post "
        "r main 30000 Fail [c]");
    /* An annotation stands for the whole of its phase. */
    check(spec, pod_with("\"" U "command\":\"x\""),
          "pre from-annotation main 30000 Fail [x]; post r main 30000 Fail [c]");
}

static void pods_that_have_ended(void **state)
{
    static const char *const phases[] = {"Succeeded", "Failed"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char text[1024];
        snprintf(text, sizeof text,
                 "{\"metadata\":{\"namespace\":\"ns\",\"annotations\":{\"" P
                 "command\":\"a\"}}," CONTAINERS ",\"status\":{\"phase\":\"%s\"}}",
                 phases[i]);
        check(ONE(""), probe_json(text), "");
    }
    check("{}", probe_json("{\"metadata\":{\"annotations\":{\"" P "command\":\"a\"}}}"),
          "pre from-annotation  30000 Fail [a] problem");
}

static void too_many(void **state)
{
    struct xb_buf text = XB_BUF_INIT(65536);
    struct xb_hooks hooks;
    (void)state;
    PROBE_OK(xb_buf_append_str(&text, "{\"spec\":{\"hooks\":{\"resources\":[", &err));
    for (int i = 0; i <= XB_HOOKS_MAX; i++) {
        PROBE_OK(xb_buf_printf(&text, &err, "%s{\"pre\":[" EXEC("a") "]}", i ? "," : ""));
    }
    PROBE_OK(xb_buf_append_str(&text, "]}}}", &err));
    xb_json *backup = probe_json(text.data);
    xb_json *pod = pod_with("");
    PROBE_OK(xb_hooks_check(backup, &err));
    PROBE_REFUSED(xb_hooks_of(backup, pod, &hooks, &err), XB_ERR_INVALID);
    json_object_put(pod);
    json_object_put(backup);
    xb_buf_free(&text);
}

static void digests(void **state)
{
    static const char *const pods[] = {"\"" P "command\":\"a\"",
                                       "\"" U "command\":\"a\"",
                                       "\"" P "command\":\"b\"",
                                       "\"" P "command\":\"a\",\"" P "container\":\"side\"",
                                       "\"" P "command\":\"a\",\"" P "timeout\":\"31s\"",
                                       "\"" P "command\":\"a\",\"" P "on-error\":\"Continue\"",
                                       "\"" P "command\":\"[\\\"a\\\",\\\"\\\"]\"",
                                       "\"" Q "command\":\"a\"",
                                       "\"" S "command\":\"a\"",
                                       "\"" S "command\":\"a\",\"" S "end\":\"b\""};
    char seen[sizeof pods / sizeof *pods][XB_HOOKS_DIGEST_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        struct xb_hooks hooks;
        xb_json *pod = pod_with(pods[i]);
        PROBE_OK(xb_hooks_of(NULL, pod, &hooks, &err));
        PROBE_OK(xb_hooks_digest(&hooks, seen[i], &err));
        xb_hooks_free(&hooks);
        json_object_put(pod);
        for (size_t j = 0; j < i; j++) {
            assert_int_equal(strcmp(seen[i], seen[j]) == 0, i == 1 && j == 0);
        }
    }
}

/* Every fault names its field. */
static void faults(void **state)
{
    static const char *const cases[][2] = {
        {"{\"hooks\":[]}", "spec.hooks:"},
        {"{\"hooks\":{\"resources\":{}}}", "spec.hooks.resources:"},
        {"{\"hooks\":{\"resources\":[7]}}", "spec.hooks.resources[0]:"},
        {"{\"hooks\":{\"resources\":[{\"name\":7}]}}", "spec.hooks.resources[0].name:"},
        {"{\"hooks\":{\"resources\":[{},{\"includedNamespaces\":\"a\"}]}}",
         "spec.hooks.resources[1].includedNamespaces:"},
        {"{\"hooks\":{\"resources\":[{\"excludedNamespaces\":[\"a\",7]}]}}",
         "spec.hooks.resources[0].excludedNamespaces[1]:"},
        {"{\"hooks\":{\"resources\":[{\"includedResources\":[null]}]}}",
         "spec.hooks.resources[0].includedResources[0]:"},
        {"{\"hooks\":{\"resources\":[{\"excludedResources\":{}}]}}",
         "spec.hooks.resources[0].excludedResources:"},
        {"{\"hooks\":{\"resources\":[{\"labelSelector\":[]}]}}",
         "spec.hooks.resources[0].labelSelector:"},
        {"{\"hooks\":{\"resources\":[{\"labelSelector\":{\"matchLabels\":{\"a\":7}}}]}}",
         "spec.hooks.resources[0].labelSelector:"},
        {"{\"hooks\":{\"resources\":[{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\","
         "\"operator\":\"Like\"}]}}]}}",
         "spec.hooks.resources[0].labelSelector.matchExpressions[0]:"},
        {"{\"hooks\":{\"resources\":[{\"pre\":{}}]}}", "spec.hooks.resources[0].pre:"},
        {"{\"hooks\":{\"resources\":[{\"post\":[{}]}]}}", "spec.hooks.resources[0].post[0].exec:"},
        {"{\"hooks\":{\"resources\":[{\"pre\":[{\"exec\":{}}]}]}}",
         "spec.hooks.resources[0].pre[0].exec.command:"},
        {"{\"hooks\":{\"resources\":[{\"pre\":[{\"exec\":{\"command\":[]}}]}]}}",
         "spec.hooks.resources[0].pre[0].exec.command:"},
        {"{\"hooks\":{\"resources\":[{\"pre\":[{\"exec\":{\"command\":[\"a\",{}]}}]}]}}",
         "spec.hooks.resources[0].pre[0].exec.command[1]:"},
        {"{\"hooks\":{\"resources\":[{\"pre\":[" EXEC("a") ",{\"exec\":{\"command\":[\"a\"],"
                                                           "\"onError\":\"fail\"}}]}]}}",
         "spec.hooks.resources[0].pre[1].exec.onError:"},
        {"{\"hooks\":{\"resources\":[{\"post\":[{\"exec\":{\"command\":[\"a\"],\"timeout\":\"x\"}}]"
         "}]}}",
         "spec.hooks.resources[0].post[0].exec.timeout:"},
        {"{\"hooks\":{\"resources\":[{\"post\":[{\"exec\":{\"command\":[\"a\"],\"timeout\":\"-1s\"}"
         "}]}]}}",
         "spec.hooks.resources[0].post[0].exec.timeout:"},
        {"{\"hooks\":{\"resources\":[{\"post\":[{\"exec\":{\"command\":[\"a\"],\"container\":{}}}]}"
         "]}}",
         "spec.hooks.resources[0].post[0].exec.container:"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1024];
        struct xb_error err = XB_ERROR_INIT;
        snprintf(text, sizeof text, "{\"spec\":%s}", cases[i][0]);
        xb_json *backup = probe_json(text);
        assert_true(xb_hooks_check(backup, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0) {
            fail_msg("%s: %s", cases[i][0], err.text);
        }
        json_object_put(backup);
    }
    xb_json *good = probe_json("{\"spec\":" ONE("") "}");
    PROBE_OK(xb_hooks_check(good, &err));
    PROBE_OK(xb_hooks_check(NULL, &err));
    json_object_put(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotations), cmocka_unit_test(commands),
        cmocka_unit_test(sessions),    cmocka_unit_test(selection),
        cmocka_unit_test(several),     cmocka_unit_test(pods_that_have_ended),
        cmocka_unit_test(too_many),    cmocka_unit_test(digests),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
