/* SPDX-License-Identifier: Apache-2.0
 *
 * Which hooks a restored pod has, what goes into it, and when a command can run in it.
 */
#include "tests/harness/probe.h"

#include "shared/velero/restore_hooks.h"

#define E "post.hook.restore.velero.io/"
#define I "init.hook.restore.velero.io/"

static xb_json *pod_with(const char *annotations)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"p\",\"labels\":{\"app\":\"web\"},"
             "\"annotations\":{%s}},\"spec\":{\"containers\":[{\"name\":\"main\"},"
             "{\"name\":\"side\"}],\"initContainers\":[{\"name\":\"once\"},"
             "{\"name\":\"car\",\"restartPolicy\":\"Always\"}]}}",
             annotations);
    return probe_json(text);
}

static xb_json *restore_with(const char *resources)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"uid\":\"u\"},\"spec\":{\"hooks\":{\"resources\":%s}}}", resources);
    return probe_json(text);
}

/* "name container exec wait Fail|Continue [ready] words problem=...; ..." */
static void describe(const struct xb_hook_list *list, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        const struct xb_hook *hook = &list->hooks[i];
        at += (size_t)snprintf(out + at, size - at, "%s%s %s %d %d %s%s", at ? "; " : "",
                               hook->name, hook->container, hook->timeout_ms, hook->wait_ms,
                               hook->go_on ? "Continue" : "Fail", hook->wait_ready ? " ready" : "");
        for (size_t j = 0; hook->argv && hook->argv[j]; j++) {
            at += (size_t)snprintf(out + at, size - at, " [%.40s]", hook->argv[j]);
        }
        if (hook->problem) {
            at += (size_t)snprintf(out + at, size - at, " problem=%s", hook->problem);
        }
    }
}

static void check(const char *resources, const char *annotations, const char *wanted)
{
    char got[8192];
    struct xb_hook_list list;
    XB_CLEANUP(xb_json_putp) xb_json *restore = restore_with(resources);
    XB_CLEANUP(xb_json_putp) xb_json *pod = pod_with(annotations);
    PROBE_OK(xb_restore_hooks_of(restore, pod, &list, &err));
    describe(&list, got, sizeof got);
    xb_hook_list_free(&list);
    assert_string_equal(got, wanted);
}

static void commands_of_annotations(void **state)
{
    (void)state;
    check("[]", "", "");
    check("[]", "\"" E "container\":\"side\"", "");
    check("[]", "\"" E "command\":\"/bin/date -u\"",
          "from-annotation main 30000 0 Continue [/bin/date -u]");
    check("[]",
          "\"" E "command\":\"[\\\"a\\\",\\\"b c\\\"]\",\"" E "container\":\"car\",\"" E
          "on-error\":\"Fail\",\"" E "exec-timeout\":\"1m\",\"" E "wait-timeout\":\"1h\",\"" E
          "wait-for-ready\":\"true\"",
          "from-annotation car 60000 3600000 Fail ready [a] [b c]");
    check("[]", "\"" E "command\":\"a\",\"" E "wait-for-ready\":\"F\"",
          "from-annotation main 30000 0 Continue [a]");
}

/* What makes no sense keeps the hook from running, and is named. */
static void problems_of_annotations(void **state)
{
    static const struct {
        const char *annotation, *problem;
    } all[] = {
        {"\"" E "command\":\"[\"", "annotation " E "command is no JSON list"},
        {"\"" E "command\":\"[]\"", "annotation " E "command is no list of words"},
        {"\"" E "command\":\"[1]\"", "annotation " E "command has a word that is no text"},
        {"\"" E "command\":\"a\",\"" E "container\":\"once\"", "the pod has no container 'once'"},
        {"\"" E "command\":\"a\",\"" E "on-error\":\"fail\"",
         "annotation " E "on-error is 'fail', want Fail or Continue"},
        {"\"" E "command\":\"a\",\"" E "exec-timeout\":\"soon\"",
         "annotation " E "exec-timeout is 'soon'"},
        {"\"" E "command\":\"a\",\"" E "exec-timeout\":\"-1s\"",
         "annotation " E "exec-timeout is '-1s'"},
        {"\"" E "command\":\"a\",\"" E "wait-timeout\":\"25h\"",
         "annotation " E "wait-timeout is '25h'"},
        {"\"" E "command\":\"a\",\"" E "wait-for-ready\":\"yes\"",
         "annotation " E "wait-for-ready is 'yes', want true or false"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct xb_hook_list list;
        XB_CLEANUP(xb_json_putp) xb_json *restore = restore_with("[]");
        XB_CLEANUP(xb_json_putp) xb_json *pod = pod_with(all[i].annotation);
        PROBE_OK(xb_restore_hooks_of(restore, pod, &list, &err));
        assert_int_equal(list.count, 1);
        if (!list.hooks[0].problem || !strstr(list.hooks[0].problem, all[i].problem)) {
            fail_msg("%s: %s", all[i].annotation, list.hooks[0].problem);
        }
        xb_hook_list_free(&list);
    }
}

static void commands_of_the_spec(void **state)
{
    (void)state;
    static const char spec[] =
        "[{\"name\":\"n\",\"includedNamespaces\":[\"n*\"],\"labelSelector\":{\"matchLabels\":"
        "{\"app\":\"web\"}},\"postHooks\":[{\"exec\":{\"command\":[\"a\"]}},"
        "{\"init\":{\"initContainers\":[]}},"
        "{\"exec\":{\"container\":\"side\",\"command\":[\"b\",\"\"],\"onError\":\"Fail\","
        "\"execTimeout\":\"5s\",\"waitTimeout\":\"7s\",\"waitForReady\":true}}]},"
        "{\"name\":\"m\",\"excludedNamespaces\":[\"ns\"],\"postHooks\":"
        "[{\"exec\":{\"command\":[\"c\"]}}]}]";
    check(spec, "", "n main 30000 0 Continue [a]; n side 5000 7000 Fail ready [b] []");
    /* An annotation beats them. */
    check(spec, "\"" E "command\":\"x\"", "from-annotation main 30000 0 Continue [x]");
    /* Of the other sort it does not. */
    check(spec, "\"" I "container-image\":\"i\"",
          "n main 30000 0 Continue [a]; n side 5000 7000 Fail ready [b] []");
}

static void check_init(const char *resources, const char *annotations, const char *wanted)
{
    XB_CLEANUP(xb_json_putp) xb_json *restore = restore_with(resources);
    XB_CLEANUP(xb_json_putp) xb_json *pod = pod_with(annotations);
    PROBE_OK(xb_restore_hooks_add_init(restore, pod, &err));
    probe_json_is(xb_json_get(pod, "spec.initContainers"), wanted);
}

#define OLD "{\"name\":\"once\"},{\"name\":\"car\",\"restartPolicy\":\"Always\"}"

static void init_containers(void **state)
{
    (void)state;
    static const char spec[] =
        "[{\"postHooks\":[{\"init\":{\"initContainers\":[{\"name\":\"a\",\"image\":\"i\","
        "\"command\":[\"c\"],\"env\":[{\"name\":\"X\"}]},{\"name\":\"once\"}]}}]}]";
    check_init("[]", "", "[" OLD "]");
    check_init("[]", "\"" I "container-name\":\"x\"", "[" OLD "]");
    check_init("[]", "\"" I "container-image\":\"i\",\"" I "container-name\":\"x\"",
               "[{\"name\":\"x\",\"image\":\"i\"}," OLD "]");
    check_init("[]",
               "\"" I "container-image\":\"i\",\"" I "container-name\":\"once\",\"" I
               "command\":\"[\\\"a\\\",\\\"b\\\"]\"",
               "[{\"name\":\"once\",\"image\":\"i\",\"command\":[\"a\",\"b\"]},"
               "{\"name\":\"car\",\"restartPolicy\":\"Always\"}]");
    check_init("[]", "\"" I "container-image\":\"i\"",
               "[{\"name\":\"velero-restore-init-2c3d28ef\",\"image\":\"i\"}," OLD "]");
    check_init(spec, "",
               "[{\"name\":\"a\",\"image\":\"i\",\"command\":[\"c\"],\"env\":[{\"name\":\"X\"}]},"
               "{\"name\":\"once\"},{\"name\":\"car\",\"restartPolicy\":\"Always\"}]");
    check_init(spec, "\"" I "container-image\":\"i\",\"" I "container-name\":\"x\"",
               "[{\"name\":\"x\",\"image\":\"i\"}," OLD "]");
}

static void init_containers_refused(void **state)
{
    static const char *const wrong[] = {
        "\"" I "container-image\":\"i\",\"" I "command\":\"[1]\"",
        "\"" I "container-image\":\"i\",\"" I "timeout\":\"soon\"",
    };
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *restore = restore_with("[]");
        XB_CLEANUP(xb_json_putp) xb_json *pod = pod_with(wrong[i]);
        PROBE_REFUSED(xb_restore_hooks_add_init(restore, pod, &err), XB_ERR_INVALID);
        probe_json_is(xb_json_get(pod, "spec.initContainers"), "[" OLD "]");
    }
}

static void faults_of_the_spec(void **state)
{
    static const struct {
        const char *hook, *problem;
    } all[] = {
        {"{}", "postHooks[0]: want exec or init"},
        {"{\"exec\":{}}", "postHooks[0].exec.command: want a program"},
        {"{\"exec\":{\"command\":[\"a\"],\"onError\":\"Stop\"}}",
         "postHooks[0].exec.onError: want Continue or Fail"},
        {"{\"exec\":{\"command\":[\"a\"],\"execTimeout\":\"x\"}}", "postHooks[0].exec.execTimeout"},
        {"{\"exec\":{\"command\":[\"a\"],\"waitTimeout\":\"25h\"}}",
         "postHooks[0].exec.waitTimeout: want a time up to a day"},
        {"{\"exec\":{\"command\":[\"a\"],\"waitForReady\":\"true\"}}",
         "postHooks[0].exec.waitForReady: want true or false"},
        {"{\"init\":{\"initContainers\":[{\"name\":\"a\",\"image\":\"b\"}]}}",
         "postHooks[0].init.initContainers[0]: want a container with name, image and command"},
        {"{\"init\":{\"initContainers\":[{\"name\":\"a\",\"image\":\"b\",\"command\":[1]}]}}",
         "postHooks[0].init.initContainers[0]: command: want text"},
        {"{\"init\":{\"timeout\":\"x\"}}", "postHooks[0].init.timeout"},
        {"{\"init\":[]}", "postHooks[0].init: want an object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[512];
        struct xb_error err = XB_ERROR_INIT;
        snprintf(text, sizeof text, "[{\"postHooks\":[%s]}]", all[i].hook);
        XB_CLEANUP(xb_json_putp) xb_json *restore = restore_with(text);
        assert_true(xb_restore_hooks_check(restore, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        if (!strstr(err.text, all[i].problem)) {
            fail_msg("%s: %s", all[i].hook, err.text);
        }
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *good = restore_with(
        "[{\"name\":\"n\",\"postHooks\":[{\"init\":{\"initContainers\":[{\"name\":\"a\",\"image\":"
        "\"b\",\"command\":[\"c\"]}],\"timeout\":\"5m0s\"}},{\"exec\":{\"command\":[\"a\"],"
        "\"waitForReady\":false,\"waitTimeout\":\"0s\"}}]}]");
    PROBE_OK(xb_restore_hooks_check(good, &err));
    PROBE_OK(xb_restore_hooks_check(NULL, &err));
}

static void turns(void **state)
{
#define STATUS(state, ready)                                                                       \
    "{\"status\":{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"other\"},"              \
    "{\"name\":\"main\",\"ready\":" ready ",\"state\":{" state "}}],"                              \
    "\"initContainerStatuses\":[{\"name\":\"car\",\"state\":{\"running\":{}}}]}}"
    static const struct {
        const char *pod, *container;
        bool ready;
        enum xb_restore_hook_turn turn;
        const char *why;
    } all[] = {
        {STATUS("\"running\":{}", "false"), "main", false, XB_RESTORE_HOOK_RUNS, ""},
        {STATUS("\"running\":{}", "true"), "main", true, XB_RESTORE_HOOK_RUNS, ""},
        {STATUS("\"running\":{}", "false"), "main", true, XB_RESTORE_HOOK_WAITS,
         "it runs, but is not ready"},
        {STATUS("\"running\":{}", "false"), "car", false, XB_RESTORE_HOOK_RUNS, ""},
        {STATUS("\"waiting\":{\"reason\":\"ErrImagePull\",\"message\":\"no such\"}", "false"),
         "main", false, XB_RESTORE_HOOK_WAITS, "it waits: ErrImagePull, no such"},
        {STATUS("\"terminated\":{\"reason\":\"Error\",\"exitCode\":2}", "false"), "main", false,
         XB_RESTORE_HOOK_WAITS, "it has ended: Error, exit code 2"},
        {"{\"status\":{\"phase\":\"Pending\"}}", "main", false, XB_RESTORE_HOOK_WAITS,
         "the pod is Pending, on no node"},
        {"{\"status\":{\"phase\":\"Failed\"}}", "main", false, XB_RESTORE_HOOK_NEVER,
         "the pod has ended (Failed)"},
        {"{}", "main", true, XB_RESTORE_HOOK_WAITS, "the pod is Pending, on no node"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char why[400] = "";
        XB_CLEANUP(xb_json_putp) xb_json *pod = probe_json(all[i].pod);
        assert_int_equal(xb_restore_hook_look(pod, all[i].container, all[i].ready, why, sizeof why),
                         all[i].turn);
        assert_string_equal(why, all[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_annotations),
        cmocka_unit_test(problems_of_annotations),
        cmocka_unit_test(commands_of_the_spec),
        cmocka_unit_test(init_containers),
        cmocka_unit_test(init_containers_refused),
        cmocka_unit_test(faults_of_the_spec),
        cmocka_unit_test(turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
