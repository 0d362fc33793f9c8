/* SPDX-License-Identifier: Apache-2.0
 *
 * Which volumes of a pod are backed up from its file system: asked for or by default, never, or
 * wanted in vain.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/volumes.h"

/* "name:verdict[:claim];" for each, verdict T, S or M. */
static void check_with(xb_json *pod, const struct xb_volume_facts *facts, const char *expected)
{
    static const char letters[] = {
        [XB_VOLUME_TAKE] = 'T', [XB_VOLUME_SKIP] = 'S', [XB_VOLUME_MISSED] = 'M'};
    struct xb_buf text = XB_BUF_INIT(10000);
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    for (size_t i = 0; i < json_object_array_length(volumes); i++) {
        char space[XB_VOLUME_CLAIM_BYTES];
        xb_json *volume = json_object_array_get_idx(volumes, i);
        const char *claim = xb_volume_claim(pod, volume, space);
        const struct xb_volume_choice choice = xb_volume_choose(pod, volume, facts);
        assert_int_equal(choice.verdict == XB_VOLUME_TAKE, choice.reason == NULL);
        PROBE_OK(xb_buf_printf(&text, &err, "%s:%c%s%s;", xb_json_str(volume, "name", ""),
                               letters[choice.verdict], claim ? ":" : "", claim ? claim : ""));
    }
    assert_string_equal(text.data ? text.data : "", expected);
    xb_buf_free(&text);
}

static void check_pod(xb_json *pod, bool by_default, const char *expected)
{
    const struct xb_volume_facts facts = {.by_default = by_default};
    check_with(pod, &facts, expected);
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
    const struct xb_volume_facts may = {.by_default = true, .block_devices = true};
    check_with(block, &may, "raw:T:r;loose:M;");
    check_pod(block, false, "raw:S:r;loose:S;");
}

/* What the policies say comes before what annotations say, in both ways; but nothing makes a volume
 * readable that is not. */
static void policies(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *pod = make_pod(NOT_ASKED "\"a\"", "Running");
    struct xb_volume_facts facts = {.by_default = true, .action = XB_POLICY_FS_BACKUP};
    check_with(pod, &facts, "a:T:data;b:T;" REST_SKIPPED);
    facts.by_default = false;
    check_with(pod, &facts, "a:T:data;b:T;" REST_SKIPPED);
    facts.action = XB_POLICY_SKIP;
    check_with(pod, &facts, "a:S:data;b:S;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *asked = make_pod(ASKED "\"a,b\"", "Running");
    check_with(asked, &facts, "a:S:data;b:S;" REST_SKIPPED);
    facts.action = XB_POLICY_SNAPSHOT;
    check_with(asked, &facts, "a:M:data;b:M;" REST_SKIPPED);
    facts.action = XB_POLICY_CUSTOM;
    check_with(asked, &facts, "a:M:data;b:M;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp) xb_json *pending = make_pod("", "Pending");
    facts.action = XB_POLICY_FS_BACKUP;
    check_with(pending, &facts, "a:M:data;b:M;" REST_SKIPPED);
    assert_null(xb_volume_policy_reason(XB_POLICY_NONE));
    assert_null(xb_volume_policy_reason(XB_POLICY_FS_BACKUP));
}

/* A path of the node is taken where its agent may read it, and nowhere else. */
static void host_paths(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod =
        probe_json("{\"metadata\":{\"annotations\":{\"backup.velero.io/backup-volumes\":\"in\"}},"
                   "\"status\":{\"phase\":\"Running\"},\"spec\":{\"volumes\":["
                   "{\"name\":\"in\",\"hostPath\":{\"path\":\"/data/a\"}},"
                   "{\"name\":\"out\",\"hostPath\":{\"path\":\"/data/../etc\"}}],"
                   "\"containers\":[{\"volumeMounts\":[{\"name\":\"in\"},{\"name\":\"out\"}]}]}}");
    struct xb_volume_facts facts = {.by_default = true, .host_paths = "/srv:/data"};
    check_with(pod, &facts, "in:T;out:S;");
    facts.by_default = false;
    check_with(pod, &facts, "in:T;out:S;");
    facts.host_paths = "/srv";
    check_with(pod, &facts, "in:M;out:S;");
    facts.host_paths = NULL;
    check_with(pod, &facts, "in:M;out:S;");
    XB_CLEANUP(xb_json_putp) xb_json *claimed = make_pod("", "Running");
    XB_CLEANUP(xb_json_putp) xb_json *claim = probe_json("{}");
    XB_CLEANUP(xb_json_putp)
    xb_json *volume = probe_json("{\"spec\":{\"hostPath\":{\"path\":\"/data/pvc-1\"}}}");
    facts = (struct xb_volume_facts){
        .by_default = true, .claim = claim, .persistent_volume = volume, .host_paths = "/data"};
    check_with(claimed, &facts, "a:T:data;b:T;" REST_SKIPPED);
    facts.host_paths = "/data/pvc-10";
    struct xb_volume_choice choice = xb_volume_choose(
        claimed, json_object_array_get_idx(xb_json_get(claimed, "spec.volumes"), 0), &facts);
    assert_int_equal(choice.verdict, XB_VOLUME_MISSED);
    assert_non_null(strstr(choice.reason, "--host-path-allow"));
}

/* What is behind the claim, and whether the claim is in the backup at all. */
static void behind_the_claim(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *pod = make_pod("", "Running");
    XB_CLEANUP(xb_json_putp) xb_json *host = probe_json("{\"spec\":{\"hostPath\":{}}}");
    XB_CLEANUP(xb_json_putp) xb_json *claim = probe_json("{}");
    struct xb_volume_facts facts = {.by_default = true, .claims_left_out = true};
    check_with(pod, &facts, "a:S:data;b:T;" REST_SKIPPED);
    facts = (struct xb_volume_facts){.by_default = true, .persistent_volume = host, .claim = claim};
    check_with(pod, &facts, "a:M:data;b:M;" REST_SKIPPED);
    facts.persistent_volume = NULL;
    check_with(pod, &facts, "a:M:data;b:M;" REST_SKIPPED);
    XB_CLEANUP(xb_json_putp)
    xb_json *own = probe_json("{\"metadata\":{\"name\":\"web\"},\"spec\":{\"volumes\":[{\"name\":"
                              "\"tmp\",\"ephemeral\":{}}]}}");
    facts.claims_left_out = true;
    check_with(own, &facts, "tmp:S:web-tmp;");
}

static void in_use(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *pod = make_pod("", "Running");
    XB_CLEANUP(xb_json_putp) xb_json *pending = make_pod("", "Pending");
    assert_true(xb_volume_in_use(pod, "a"));
    assert_true(xb_volume_in_use(pod, "b"));
    assert_false(xb_volume_in_use(pod, "absent"));
    assert_true(xb_volume_pod_runs(pod));
    assert_false(xb_volume_pod_runs(pending));
    assert_false(xb_volume_pod_runs(NULL));
    assert_false(xb_volume_in_use(NULL, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opt_in),     cmocka_unit_test(opt_out),
        cmocka_unit_test(missed),     cmocka_unit_test(policies),
        cmocka_unit_test(host_paths), cmocka_unit_test(behind_the_claim),
        cmocka_unit_test(in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
