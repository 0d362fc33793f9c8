/* SPDX-License-Identifier: Apache-2.0
 *
 * Which volumes of a pod are backed up from its file system: asked for or by default, never, or
 * wanted in vain.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/volumes.h"

/* "name:verdict[:claim];" for each, verdict T, S or M. */
static int note(void *context, const struct xb_volume_choice *choice, struct xb_error *err)
{
    static const char letters[] = {
        [XB_VOLUME_TAKE] = 'T', [XB_VOLUME_SKIP] = 'S', [XB_VOLUME_MISSED] = 'M'};
    assert_int_equal(choice->verdict == XB_VOLUME_TAKE, choice->reason == NULL);
    return xb_buf_printf(context, err, "%s:%c%s%s;", choice->volume, letters[choice->verdict],
                         choice->claim ? ":" : "", choice->claim ? choice->claim : "");
}

static void check_pod(xb_json *pod, bool by_default, const char *expected)
{
    struct xb_buf text = XB_BUF_INIT(10000);
    PROBE_OK(xb_choose_volumes(pod, by_default, note, &text, &err));
    assert_string_equal(text.data ? text.data : "", expected);
    xb_buf_free(&text);
}

/* Volumes a (a claim) and b (emptyDir), both mounted, and one of each kind that is never taken. */
static xb_json *make_pod(const char *annotations, const char *phase)
{
    char text[3000];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"annotations\":{%s}},\"status\":{\"phase\":\"%s\"},\"spec\":{"
             "\"volumes\":[{\"name\":\"a\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}},"
             "{\"name\":\"b\",\"emptyDir\":{}},{\"name\":\"host\",\"hostPath\":{\"path\":\"/\"}},"
             "{\"name\":\"s\",\"secret\":{}},{\"name\":\"c\",\"configMap\":{}},"
             "{\"name\":\"p\",\"projected\":{}},{\"name\":\"d\",\"downwardAPI\":{}},"
             "{\"name\":\"default-token-x1\",\"emptyDir\":{}}],"
             "\"containers\":[{\"volumeMounts\":[{\"name\":\"a\"},{\"name\":\"host\"},"
             "{\"name\":\"s\"},{\"name\":\"c\"},{\"name\":\"p\"},{\"name\":\"d\"},"
             "{\"name\":\"default-token-x1\"}]}],"
             "\"initContainers\":[{\"volumeMounts\":[{\"name\":\"b\"}]}]}}",
             annotations, phase);
    return probe_json(text);
}

#define ASKED "\"backup.velero.io/backup-volumes\":"
#define NOT_ASKED "\"backup.velero.io/backup-volumes-excludes\":"
#define REST_SKIPPED "host:S;s:S;c:S;p:S;d:S;default-token-x1:S;"

static void opt_in(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *none = make_pod("", "Running");
    check_pod(none, false, "a:S:data;b:S;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *one = make_pod(ASKED "\"a\"", "Running");
    check_pod(one, false, "a:T:data;b:S;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *both = make_pod(ASKED "\" b , a,\"", "Running");
    check_pod(both, false, "a:T:data;b:T;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *near = make_pod(ASKED "\"aa,ab,,A\"", "Running");
    check_pod(near, false, "a:S:data;b:S;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *odd = make_pod(ASKED "7", "Running");
    check_pod(odd, false, "a:S:data;b:S;" REST_SKIPPED);
}

static void opt_out(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *all = make_pod("", "Running");
    check_pod(all, true, "a:T:data;b:T;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *but = make_pod(NOT_ASKED "\"b,x\"", "Running");
    check_pod(but, true, "a:T:data;b:S;" REST_SKIPPED);
    /* The annotation that excludes has no say where nothing is taken by default. */
    XB_CLEANUP(xb_json_putp) xb_json *mixed = make_pod(ASKED "\"b\"," NOT_ASKED "\"b\"", "Running");
    check_pod(mixed, false, "a:S:data;b:T;" REST_SKIPPED);
    check_pod(mixed, true, "a:T:data;b:S;" REST_SKIPPED);
}

/* Wanted and not to be had is a warning; never a silence. */
static void missed(void **state)
{
    (void)state;
    static const char *const phases[] = {"Pending", "Succeeded", "Failed", "Unknown", ""};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *pod = make_pod(ASKED "\"a\"", phases[i]);
        check_pod(pod, false, "a:M:data;b:S;" REST_SKIPPED);
        check_pod(pod, true, "a:M:data;b:M;" REST_SKIPPED);
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *asked = make_pod(ASKED "\"host,s,c,p,d,default-token-x1\"", "Running");
    check_pod(asked, false, "a:S:data;b:S;host:M;s:M;c:M;p:M;d:M;default-token-x1:M;");
    XB_CLEANUP(xb_json_putp)
    xb_json *block = probe_json(
        "{\"status\":{\"phase\":\"Running\"},\"spec\":{\"volumes\":[{\"name\":\"raw\","
        "\"persistentVolumeClaim\":{\"claimName\":\"r\"}},{\"name\":\"loose\",\"emptyDir\":{}}],"
        "\"containers\":[{\"volumeDevices\":[{\"name\":\"raw\"}],\"volumeMounts\":{\"name\":"
        "\"loose\"}}]}}");
    check_pod(block, true, "raw:M:r;loose:M;");
    check_pod(block, false, "raw:S:r;loose:S;");
}

static int refuse(void *context, const struct xb_volume_choice *choice, struct xb_error *err)
{
    (void)choice;
    return ++*(int *)context == 2 ? xb_error_set(err, XB_ERR_FULL, -E2BIG, "enough") : 0;
}

static void odd_pods(void **state)
{
    (void)state;
    static const char *const pods[] = {"null", "{}", "[]", "{\"spec\":{\"volumes\":{}}}",
                                       "{\"spec\":{\"volumes\":[]}}"};
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *pod = probe_json(pods[i]);
        check_pod(pod, true, "");
    }
    int seen = 0;
    XB_CLEANUP(xb_json_putp) xb_json *pod = make_pod("", "Running");
    PROBE_REFUSED(xb_choose_volumes(pod, true, refuse, &seen, &err), XB_ERR_FULL);
    assert_int_equal(seen, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opt_in),
        cmocka_unit_test(opt_out),
        cmocka_unit_test(missed),
        cmocka_unit_test(odd_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
