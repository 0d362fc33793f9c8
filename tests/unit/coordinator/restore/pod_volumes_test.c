/* SPDX-License-Identifier: Apache-2.0
 *
 * The waiting container. JSON is written with ' for ".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/restore/pod_volumes.h"

#define WAIT_BEFORE_SECURITY                                                                       \
    "{'name':'restore-wait','image':'reg/xebec:1','imagePullPolicy':'IfNotPresent',"               \
    "'command':['/velero-restore-helper'],'args':['5f0c-1'],'env':["                               \
    "{'name':'POD_NAMESPACE','valueFrom':{'fieldRef':{'fieldPath':'metadata.namespace'}}},"        \
    "{'name':'POD_NAME','valueFrom':{'fieldRef':{'fieldPath':'metadata.name'}}}],"                 \
    "'resources':{'requests':{'cpu':'100m','memory':'128Mi'},"                                     \
    "'limits':{'cpu':'100m','memory':'128Mi'}},"                                                   \
    "'volumeMounts':[{'name':'data','mountPath':'/restores/data'}],'securityContext':"

#define LIMITED                                                                                    \
    "'allowPrivilegeEscalation':false,'readOnlyRootFilesystem':true,"                              \
    "'seccompProfile':{'type':'RuntimeDefault'},"
#define ROOT                                                                                       \
    "{" LIMITED "'runAsUser':0,'runAsGroup':0,'runAsNonRoot':false,"                               \
    "'capabilities':{'drop':['ALL'],'add':['DAC_OVERRIDE','FOWNER']}}"
#define NOT_ROOT LIMITED "'runAsNonRoot':true,'capabilities':{'drop':['ALL']}"

static struct xb_restore_context plain = {.restore_uid = "5f0c-1", .helper_image = "reg/xebec:1"};
static const char *const data_only[] = {"data"};

static xb_json *json(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) char *quoted = strdup(text);
    assert_non_null(quoted);
    for (char *c = quoted; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    xb_json *value = NULL;
    if (xb_json_parse(quoted, strlen(quoted), &value, &err) < 0) {
        fail_msg("%s in %s", err.text, quoted);
    }
    return value;
}

static void assert_json(xb_json *got, const char *want_text)
{
    XB_CLEANUP(xb_json_putp) xb_json *want = json(want_text);
    if (!json_object_equal(got, want)) {
        fail_msg("have %s\nwant %s",
                 json_object_to_json_string_ext(got, JSON_C_TO_STRING_NOSLASHESCAPE),
                 json_object_to_json_string_ext(want, JSON_C_TO_STRING_NOSLASHESCAPE));
    }
}

static xb_json *with_wait(const struct xb_restore_context *context, const char *text,
                          const char *const *volumes, size_t count)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *pod = json(text);
    if (xb_restore_add_wait(context, pod, volumes, count, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return pod;
}

/* The securityContext of the helper of a pod with the volume "data" and this spec. */
static void assert_security(const char *spec, const char *want)
{
    char text[2000];
    snprintf(text, sizeof text, "{'spec':{'volumes':[{'name':'data'}],%s}}", spec);
    XB_CLEANUP(xb_json_putp) xb_json *pod = with_wait(&plain, text, data_only, 1);
    xb_json *first = json_object_array_get_idx(xb_json_get(pod, "spec.initContainers"), 0);
    assert_string_equal(xb_json_str(first, "name", ""), "restore-wait");
    assert_json(xb_json_get(first, "securityContext"), want);
}

static void comes_first_and_alone(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = with_wait(&plain,
                             "{'spec':{'volumes':[{'name':'data'},{'name':'other'}],"
                             "'containers':[{'name':'a'}]}}",
                             data_only, 1);
    assert_json(pod, "{'spec':{'volumes':[{'name':'data'},{'name':'other'}],"
                     "'containers':[{'name':'a'}],"
                     "'initContainers':[" WAIT_BEFORE_SECURITY ROOT "}]}}");
}

static void replaces_old_ones(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = with_wait(&plain,
                             "{'spec':{'volumes':[{'name':'data'}],'containers':[{'name':'a'}],"
                             "'initContainers':[{'name':'first'},{'name':'restic-wait'},"
                             "{'name':'restore-wait','args':['old']},{'name':'second'}]}}",
                             data_only, 1);
    assert_json(xb_json_get(pod, "spec.initContainers"),
                "[" WAIT_BEFORE_SECURITY ROOT "},{'name':'first'},{'name':'second'}]");
    /* Twice is as once. */
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_restore_add_wait(&plain, pod, data_only, 1, &err), 0);
    assert_json(xb_json_get(pod, "spec.initContainers"),
                "[" WAIT_BEFORE_SECURITY ROOT "},{'name':'first'},{'name':'second'}]");
}

/* An old one would wait for ever for the restore that it was made for. */
static void without_volumes_only_old_ones_go(void **state)
{
    (void)state;
    const struct xb_restore_context none = {.restore_uid = NULL};
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = with_wait(
        &none, "{'spec':{'initContainers':[{'name':'restore-wait'},{'name':'x'}]}}", NULL, 0);
    assert_json(pod, "{'spec':{'initContainers':[{'name':'x'}]}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *without = with_wait(&none, "{'spec':{'containers':[]}}", NULL, 0);
    assert_json(without, "{'spec':{'containers':[]}}");
}

static void mounts_each_volume_once(void **state)
{
    (void)state;
    const char *const volumes[] = {"data", "logs-2", "data"};
    XB_CLEANUP(xb_json_putp)
    xb_json *pod =
        with_wait(&plain, "{'spec':{'volumes':[{'name':'logs-2'},{'name':'data'}]}}", volumes, 3);
    xb_json *wait = json_object_array_get_idx(xb_json_get(pod, "spec.initContainers"), 0);
    assert_json(xb_json_get(wait, "volumeMounts"),
                "[{'name':'data','mountPath':'/restores/data'},"
                "{'name':'logs-2','mountPath':'/restores/logs-2'}]");
}

/* A device has no room for the sign that it is back: a folder of its own stands in its place, the
 * same one after another restore. */
static void devices_have_a_folder_for_the_sign(void **state)
{
    (void)state;
    static const char *const both[] = {"data", "raw"};
    static const char devices[] = "'containers':[{'name':'c','volumeDevices':[{'name':'raw',"
                                  "'devicePath':'/dev/x'}]}]";
    char text[1000];
    snprintf(text, sizeof text, "{'spec':{'volumes':[{'name':'data'},{'name':'raw'}],%s}}",
             devices);
    XB_CLEANUP(xb_json_putp) xb_json *pod = with_wait(&plain, text, both, 2);
    for (int again = 0; again < 2; again++) {
        struct xb_error err = XB_ERROR_INIT;
        assert_json(xb_json_get(pod, "spec.volumes"),
                    "[{'name':'data'},{'name':'raw'},{'name':'restore-wait-1','emptyDir':{}}]");
        xb_json *wait = json_object_array_get_idx(xb_json_get(pod, "spec.initContainers"), 0);
        assert_json(xb_json_get(wait, "volumeMounts"),
                    "[{'name':'data','mountPath':'/restores/data'},"
                    "{'name':'restore-wait-1','mountPath':'/restores/raw'}]");
        assert_int_equal(json_object_array_length(xb_json_get(pod, "spec.initContainers")), 1);
        assert_int_equal(xb_restore_add_wait(&plain, pod, both, 2, &err), 0);
    }
}

static void takes_what_is_configured(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *security = json("{'runAsUser':42}");
    const struct xb_restore_context context = {
        .restore_uid = "u",
        .helper_image = "other/image:2",
        .helper_command = "/bin/wait",
        .helper_cpu_request = "1",
        .helper_memory_request = "2Mi",
        .helper_cpu_limit = "3",
        .helper_memory_limit = "4Mi",
        .helper_security = security,
    };
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = with_wait(&context, "{'spec':{'volumes':[{'name':'data'}]}}", data_only, 1);
    xb_json *wait = json_object_array_get_idx(xb_json_get(pod, "spec.initContainers"), 0);
    assert_string_equal(xb_json_str(wait, "image", ""), "other/image:2");
    assert_json(xb_json_get(wait, "command"), "['/bin/wait']");
    assert_json(xb_json_get(wait, "args"), "['u']");
    assert_json(xb_json_get(wait, "resources"), "{'requests':{'cpu':'1','memory':'2Mi'},"
                                                "'limits':{'cpu':'3','memory':'4Mi'}}");
    assert_json(xb_json_get(wait, "securityContext"), "{'runAsUser':42}");
    /* The pod's part is its own. */
    assert_ptr_not_equal(xb_json_get(wait, "securityContext"), security);
}

/* Root on any volume, as long as nothing says that root would be refused. */
static void runs_as_root_as_a_rule(void **state)
{
    (void)state;
    assert_security("'containers':[],'securityContext':{}", ROOT);
    assert_security("'containers':[{'name':'a'}]", ROOT);
    assert_security("'securityContext':{'runAsUser':999},'containers':[{'name':'a'}]", ROOT);
    assert_security("'containers':[{'securityContext':{'runAsNonRoot':true}},{'name':'b'}]", ROOT);
    assert_security("'containers':[{'name':'b'},{'securityContext':{'runAsNonRoot':true}}]", ROOT);
    assert_security("'securityContext':{'runAsNonRoot':true},"
                    "'containers':[{'securityContext':{'runAsNonRoot':false}}]",
                    ROOT);
    assert_security("'containers':[{'securityContext':{'runAsNonRoot':true}}],"
                    "'initContainers':[{'name':'i'}]",
                    ROOT);
    /* How an old helper ran does not count. */
    assert_security("'containers':[{'name':'a'}],"
                    "'initContainers':[{'name':'restore-wait','securityContext':{"
                    "'runAsNonRoot':true}}]",
                    ROOT);
}

static void runs_as_the_application_where_root_is_refused(void **state)
{
    (void)state;
    assert_security("'securityContext':{'runAsNonRoot':true,'runAsUser':999},"
                    "'containers':[{'name':'a'}]",
                    "{" NOT_ROOT ",'runAsUser':999}");
    assert_security("'securityContext':{'runAsNonRoot':true},'containers':[{'name':'a'}],"
                    "'initContainers':[{'name':'restore-wait','securityContext':{"
                    "'runAsNonRoot':false}}]",
                    "{" NOT_ROOT ",'runAsUser':1000}");
    /* The user of the volume, not the first container. */
    assert_security("'securityContext':{'runAsUser':7},'containers':["
                    "{'securityContext':{'runAsNonRoot':true,'runAsUser':1}},"
                    "{'securityContext':{'runAsNonRoot':true,'runAsUser':2,'runAsGroup':3,"
                    "'seLinuxOptions':{'level':'s0:c1'}},"
                    "'volumeMounts':[{'name':'logs'},{'name':'data'}]}]",
                    "{" NOT_ROOT ",'runAsUser':2,'runAsGroup':3,"
                    "'seLinuxOptions':{'level':'s0:c1'}}");
    assert_security("'securityContext':{'runAsNonRoot':true,'runAsUser':0},"
                    "'containers':[{'name':'a'}]",
                    "{" NOT_ROOT ",'runAsUser':1000}");
}

static void refused(const struct xb_restore_context *context, const char *text, const char *volume,
                    enum xb_error_kind kind)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *pod = json(text);
    assert_true(xb_restore_add_wait(context, pod, &volume, 1, &err) < 0);
    assert_int_equal(err.kind, kind);
    assert_json(pod, text);
}

static void refuses_what_cannot_work(void **state)
{
    (void)state;
    static const char pod[] =
        "{'spec':{'volumes':[{'name':'data'},{'name':'../x'},{'name':''},null],"
        "'initContainers':[{'name':'restic-wait'}]}}";
    const struct xb_restore_context no_uid = {.helper_image = "i"};
    const struct xb_restore_context no_image = {.restore_uid = "u", .helper_image = ""};
    refused(&plain, pod, "other", XB_ERR_INVALID);
    refused(&plain, pod, "../x", XB_ERR_INVALID);
    refused(&plain, pod, "", XB_ERR_INVALID);
    refused(&plain, pod,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            XB_ERR_INVALID);
    refused(&no_uid, pod, "data", XB_ERR_INVALID);
    refused(&no_image, pod, "data", XB_ERR_INVALID);
    refused(&plain, "{}", "data", XB_ERR_CORRUPT);
    refused(&plain, "[]", "data", XB_ERR_CORRUPT);
    refused(&plain, "{'spec':{'volumes':[{'name':'data'}],'initContainers':7}}", "data",
            XB_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_first_and_alone),
        cmocka_unit_test(replaces_old_ones),
        cmocka_unit_test(without_volumes_only_old_ones_go),
        cmocka_unit_test(mounts_each_volume_once),
        cmocka_unit_test(devices_have_a_folder_for_the_sign),
        cmocka_unit_test(takes_what_is_configured),
        cmocka_unit_test(runs_as_root_as_a_rule),
        cmocka_unit_test(runs_as_the_application_where_root_is_refused),
        cmocka_unit_test(refuses_what_cannot_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
