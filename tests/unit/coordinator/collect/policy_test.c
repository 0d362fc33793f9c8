/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource policies: each condition, alone and together, the first rule that fits, the filters, and
 * everything that a strict reader refuses, by the name of the field.
 */
#include "coordinator/collect/policy.h"
#include "tests/harness/probe.h"

static struct xb_policy *parse(const char *text)
{
    struct xb_policy *policy = NULL;
    PROBE_OK(xb_policy_parse(text, strlen(text), &policy, &err));
    return policy;
}

/* A volume of a claim: 10 GiB of class "fast", made by a CSI driver. */
#define CLAIM                                                                                      \
    "{\"metadata\":{\"labels\":{\"app.kubernetes.io/name\":\"db\",\"tier\":\"gold\"}},"            \
    "\"spec\":{\"volumeMode\":\"Filesystem\",\"accessModes\":[\"ReadWriteOnce\","                  \
    "\"ReadOnlyMany\"]},\"status\":{\"phase\":\"Bound\"}}"
#define CSI_VOLUME                                                                                 \
    "{\"spec\":{\"capacity\":{\"storage\":\"10Gi\"},\"storageClassName\":\"fast\","                \
    "\"csi\":{\"driver\":\"d.example\",\"volumeAttributes\":{\"a\":\"1\",\"b\":\"true\"}}}}"
#define NFS_VOLUME                                                                                 \
    "{\"spec\":{\"capacity\":{\"storage\":\"500M\"},\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}}"

/* Whether a rule of these conditions (a YAML flow mapping) is about the volume. */
static bool fits(const char *conditions, const char *pod_volume, const char *claim,
                 const char *volume)
{
    char text[1000];
    snprintf(text, sizeof text,
             "version: v1\nvolumePolicies:\n- conditions: %s\n  action: {type: skip}\n",
             conditions);
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = parse(text);
    XB_CLEANUP(xb_json_putp) xb_json *pod_json = pod_volume ? probe_json(pod_volume) : NULL;
    XB_CLEANUP(xb_json_putp) xb_json *claim_json = claim ? probe_json(claim) : NULL;
    XB_CLEANUP(xb_json_putp) xb_json *volume_json = volume ? probe_json(volume) : NULL;
    const struct xb_policy_volume described = {
        .pod_volume = pod_json, .claim = claim_json, .persistent_volume = volume_json};
    enum xb_policy_action action = xb_policy_match(policy, &described);
    assert_true(action == XB_POLICY_SKIP || action == XB_POLICY_NONE);
    return action == XB_POLICY_SKIP;
}

static bool fits_csi(const char *conditions)
{
    return fits(conditions, "{\"persistentVolumeClaim\":{\"claimName\":\"data\"}}", CLAIM,
                CSI_VOLUME);
}

static bool fits_nfs(const char *conditions)
{
    return fits(conditions, NULL, NULL, NFS_VOLUME);
}

static bool fits_empty_dir(const char *conditions)
{
    return fits(conditions, "{\"emptyDir\":{}}", NULL, NULL);
}

static void everything(void **state)
{
    (void)state;
    assert_true(fits_csi("{}"));
    assert_true(fits_csi(""));
    assert_true(fits_nfs("{}"));
    assert_true(fits_empty_dir("{}"));
    assert_true(fits("{}", NULL, CLAIM, NULL));
    assert_true(fits_csi("{storageClass: [], volumeTypes: [], pvcLabels: {}, pvcPhase: []}"));
}

static void capacity(void **state)
{
    (void)state;
    assert_true(fits_csi("{capacity: \"10Gi,10Gi\"}"));
    assert_true(fits_csi("{capacity: \" 1Gi , 11Gi \"}"));
    assert_true(fits_csi("{capacity: \"10737418240,\"}"));
    assert_true(fits_csi("{capacity: \",10.0Gi\"}"));
    assert_true(fits_csi("{capacity: \",\"}"));
    assert_true(fits_csi("{capacity: \"0,0\"}"));
    assert_false(fits_csi("{capacity: \"10737418241,\"}"));
    assert_false(fits_csi("{capacity: \"0,9.99Gi\"}"));
    assert_true(fits_nfs("{capacity: \"0.5G,500M\"}"));
    /* What has no capacity counts as nothing. */
    assert_true(fits_empty_dir("{capacity: \"0,1\"}"));
    assert_false(fits_empty_dir("{capacity: \"1,\"}"));
}

static void kinds_of_volumes(void **state)
{
    (void)state;
    assert_true(fits_csi("{storageClass: [slow, fast]}"));
    assert_false(fits_csi("{storageClass: [slow]}"));
    assert_false(fits_nfs("{storageClass: [fast, \"\"]}"));
    assert_true(fits_nfs("{nfs: {}}"));
    assert_true(fits_nfs("{nfs: {server: s}}"));
    assert_true(fits_nfs("{nfs: {path: /p}}"));
    assert_true(fits_nfs("{nfs: {server: s, path: /p}}"));
    assert_false(fits_nfs("{nfs: {server: s, path: /q}}"));
    assert_false(fits_nfs("{nfs: {server: other}}"));
    assert_false(fits_csi("{nfs: {}}"));
    assert_true(fits_csi("{csi: {}}"));
    assert_true(fits_csi("{csi: {driver: d.example}}"));
    assert_true(fits_csi("{csi: {driver: d.example, volumeAttributes: {b: true, a: 1}}}"));
    assert_false(fits_csi("{csi: {driver: d.example, volumeAttributes: {a: 2}}}"));
    assert_false(fits_csi("{csi: {driver: d.example, volumeAttributes: {c: 1}}}"));
    assert_false(fits_csi("{csi: {driver: other}}"));
    assert_false(fits_nfs("{csi: {}}"));
    assert_true(fits_csi("{volumeTypes: [emptyDir, csi]}"));
    assert_true(fits_empty_dir("{volumeTypes: [emptyDir]}"));
    assert_false(fits_empty_dir("{volumeTypes: [csi, nfs]}"));
    assert_false(fits_csi("{volumeTypes: [capacity]}")); /* a field of it, and no type */
    assert_true(fits("{volumeTypes: [storageOS]}", NULL, NULL, "{\"spec\":{\"storageos\":{}}}"));
}

static void claims(void **state)
{
    (void)state;
    assert_true(fits_csi("{pvcLabels: {app.kubernetes.io/name: db}}"));
    assert_true(fits_csi("{pvcLabels: {app.kubernetes.io/name: db, tier: gold}}"));
    assert_false(fits_csi("{pvcLabels: {tier: silver}}"));
    assert_false(fits_csi("{pvcLabels: {tier: gold, more: x}}"));
    assert_false(fits_nfs("{pvcLabels: {tier: gold}}"));
    assert_true(fits_csi("{pvcPhase: [Pending, Bound]}"));
    assert_false(fits_csi("{pvcPhase: [Pending]}"));
    assert_false(fits_nfs("{pvcPhase: [Bound]}"));
    assert_true(fits("{pvcPhase: [Bound]}", NULL, CLAIM, NULL));
    assert_true(fits_csi("{pvcVolumeMode: Filesystem}"));
    assert_false(fits_csi("{pvcVolumeMode: Block}"));
    assert_true(fits_csi("{pvcAccessModes: [ReadOnlyMany, ReadWriteOnce]}"));
    assert_false(fits_csi("{pvcAccessModes: [ReadWriteOnce]}"));
    assert_false(fits_csi("{pvcAccessModes: [ReadWriteOnce, ReadWriteOnce]}"));
    assert_false(fits_nfs("{pvcAccessModes: [ReadWriteOnce]}"));
    /* All of a rule's conditions must hold. */
    assert_true(
        fits_csi("{capacity: \"1Gi,20Gi\", storageClass: [fast], csi: {}, pvcLabels: {tier: "
                 "gold}, pvcPhase: [Bound], volumeTypes: [csi]}"));
    assert_false(
        fits_csi("{capacity: \"1Gi,20Gi\", storageClass: [fast], csi: {}, pvcLabels: {tier:"
                 " gold}, pvcPhase: [Lost], volumeTypes: [csi]}"));
}

static void first_rule(void **state)
{
    (void)state;
    XB_CLEANUP(xb_policy_freep)
    struct xb_policy *policy =
        parse("version: v1\nvolumePolicies:\n- conditions: {nfs: {}}\n  action: {type: snapshot}\n"
              "- conditions:\n    csi: {}\n  action:\n    type: fs-backup\n"
              "- conditions: {csi: {driver: d.example}}\n  action: {type: skip}\n"
              "- action: {type: custom, parameters: {a: {b: [1]}}}\n");
    XB_CLEANUP(xb_json_putp) xb_json *csi = probe_json(CSI_VOLUME);
    XB_CLEANUP(xb_json_putp) xb_json *nfs = probe_json(NFS_VOLUME);
    struct xb_policy_volume volume = {.persistent_volume = csi};
    assert_int_equal(xb_policy_match(policy, &volume), XB_POLICY_FS_BACKUP);
    volume.persistent_volume = nfs;
    assert_int_equal(xb_policy_match(policy, &volume), XB_POLICY_SNAPSHOT);
    volume.persistent_volume = NULL;
    assert_int_equal(xb_policy_match(policy, &volume), XB_POLICY_CUSTOM);
    assert_int_equal(xb_policy_match(NULL, &volume), XB_POLICY_NONE);
    XB_CLEANUP(xb_policy_freep) struct xb_policy *none = parse("version: v1\n");
    assert_int_equal(xb_policy_match(none, &volume), XB_POLICY_NONE);
}

/* ---- what is refused ---- */

static void check_refused(const char *text, const char *names)
{
    struct xb_policy *policy = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_policy_parse(text, strlen(text), &policy, &err) < 0);
    assert_null(policy);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    if (!strstr(err.text, names)) {
        print_error("'%s' does not name '%s'\n", err.text, names);
    }
    assert_non_null(strstr(err.text, names));
}

#define RULE(conditions)                                                                           \
    "version: v1\nvolumePolicies:\n- action: {type: skip}\n- conditions: {" conditions             \
    "}\n  action: {type: skip}\n"
#define WHERE "volumePolicies[1].conditions."

static void refused(void **state)
{
    static const char *const cases[][2] = {
        {"", "mapping"},
        {"- a", "mapping"},
        {"version: v2", "version"},
        {"volumePolicies: []", "version"},
        {"version: [v1]", "version"},
        {"version: v1\nvolumePolicy: []", "volumePolicy"},
        {"version: v1\nversion: v1", "version"},
        {"version: v1\nvolumePolicies: {}", "volumePolicies"},
        {"version: v1\nvolumePolicies: [x]", "volumePolicies[0]"},
        {"version: v1\nvolumePolicies: [{}]", "volumePolicies[0].action.type"},
        {"version: v1\nvolumePolicies: [{action: {type: keep}}]", "volumePolicies[0].action.type"},
        {"version: v1\nvolumePolicies: [{action: skip}]", "volumePolicies[0].action"},
        {"version: v1\nvolumePolicies: [{action: {type: skip, how: x}}]",
         "volumePolicies[0].action.how"},
        {"version: v1\nvolumePolicies: [{action: {type: skip, parameters: 1}}]",
         "volumePolicies[0].action.parameters"},
        {"version: v1\nvolumePolicies: [{action: {type: skip}, if: {}}]", "volumePolicies[0].if"},
        {RULE("capcity: \"1,2\""), WHERE "capcity"},
        {RULE("capacity: 10Gi"), WHERE "capacity"},
        {RULE("capacity: \"1,2,3\""), WHERE "capacity"},
        {RULE("capacity: \"1x,2\""), WHERE "capacity"},
        {RULE("capacity: \"2,1\""), WHERE "capacity"},
        {RULE("capacity: [1]"), WHERE "capacity"},
        {RULE("storageClass: fast"), WHERE "storageClass"},
        {RULE("storageClass: [[fast]]"), WHERE "storageClass"},
        {RULE("storageClass: {a: b}"), WHERE "storageClass"},
        {RULE("nfs: []"), WHERE "nfs"},
        {RULE("nfs: {host: a}"), WHERE "nfs.host"},
        {RULE("nfs: {server: [a]}"), WHERE "nfs.server"},
        {RULE("csi: x"), WHERE "csi"},
        {RULE("csi: {drivers: a}"), WHERE "csi.drivers"},
        {RULE("csi: {volumeAttributes: {a: b}}"), WHERE "csi.driver"},
        {RULE("csi: {driver: d, volumeAttributes: [a]}"), WHERE "csi.volumeAttributes"},
        {RULE("csi: {driver: d, volumeAttributes: {a: {}}}"), WHERE "csi.volumeAttributes"},
        {RULE("volumeTypes: csi"), WHERE "volumeTypes"},
        {RULE("pvcLabels: [a]"), WHERE "pvcLabels"},
        {RULE("pvcLabels: {a: [b]}"), WHERE "pvcLabels"},
        {RULE("pvcPhase: Bound"), WHERE "pvcPhase"},
        {RULE("pvcPhase: [Bound], pvcPhase: [Lost]"), "pvcPhase"},
        {RULE("pvcAccessModes: x"), WHERE "pvcAccessModes"},
        {"version: v1\nincludeExcludePolicy: []", "includeExcludePolicy"},
        {"version: v1\nincludeExcludePolicy: {includedResources: [a]}",
         "includeExcludePolicy.includedResources"},
        {"version: v1\nincludeExcludePolicy: {includedClusterScopedResources: a}",
         "includeExcludePolicy.includedClusterScopedResources"},
        {"version: v1\nincludeExcludePolicy: {excludedNamespaceScopedResources: [\"*\"]}",
         "includeExcludePolicy.excludedNamespaceScopedResources"},
        {"version: v1\nincludeExcludePolicy: {includedClusterScopedResources: [a], "
         "excludedClusterScopedResources: [b, a]}",
         "includeExcludePolicy.excludedClusterScopedResources"},
        {"version: &a v1", "anchor"},
        {"version: v1\n---\nversion: v1", "document"},
        {"version: v1\n\tx", "line 2"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_refused(cases[i][0], cases[i][1]);
    }
}

static void config_maps(void **state)
{
    (void)state;
    static const char *const wrong[] = {"{}",
                                        "null",
                                        "[]",
                                        "{\"data\":{}}",
                                        "{\"data\":[\"x\"]}",
                                        "{\"data\":{\"a\":\"version: v1\",\"b\":\"version: v1\"}}",
                                        "{\"binaryData\":{\"a\":\"dmVyc2lvbjogdjE=\"}}",
                                        "{\"data\":{\"a\":null}}",
                                        "{\"data\":{\"a\":{}}}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct xb_policy *policy = NULL;
        XB_CLEANUP(xb_json_putp) xb_json *config_map = probe_json(wrong[i]);
        PROBE_REFUSED(xb_policy_from_config_map(config_map, &policy, &err), XB_ERR_INVALID);
        assert_null(policy);
    }
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *good = probe_json("{\"data\":{\"x.yaml\":\"version: v1\"}}");
    PROBE_OK(xb_policy_from_config_map(good, &policy, &err));
}

/* ---- filters ---- */

#define FILTERS                                                                                    \
    "version: v1\nincludeExcludePolicy:\n  includedNamespaceScopedResources: [pods, secrets]\n"    \
    "  excludedNamespaceScopedResources: [events]\n"                                               \
    "  excludedClusterScopedResources: [nodes]\n"

static void filters(void **state)
{
    (void)state;
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = parse(FILTERS);
    XB_CLEANUP(xb_policy_freep) struct xb_policy *without = parse("version: v1");
    probe_json_is(xb_policy_filters(policy),
                  "{\"includedNamespaceScopedResources\":[\"pods\",\"secrets\"],"
                  "\"excludedNamespaceScopedResources\":[\"events\"],"
                  "\"excludedClusterScopedResources\":[\"nodes\"]}");
    assert_null(xb_policy_filters(without));
    assert_null(xb_policy_filters(NULL));
}

static enum xb_policy_action says_of_class(const struct xb_policy *policy, const char *class)
{
    char text[200];
    snprintf(text, sizeof text, "{\"spec\":{\"storageClassName\":\"%s\"}}", class);
    XB_CLEANUP(xb_json_putp) xb_json *volume = probe_json(text);
    const struct xb_policy_volume described = {.persistent_volume = volume};
    return xb_policy_match(policy, &described);
}

/* Policies for all backups come after a backup's own, and have no say in what is collected. */
static void followed(void **state)
{
    (void)state;
    static const char own[] = "version: v1\nvolumePolicies:\n"
                              "- {conditions: {storageClass: [a]}, action: {type: skip}}\n";
    static const char global[] =
        "version: v1\nvolumePolicies:\n"
        "- {conditions: {storageClass: [a, b]}, action: {type: fs-backup}}\n"
        "includeExcludePolicy: {excludedNamespaceScopedResources: [secrets]}\n";
    XB_CLEANUP(xb_policy_freep)
    struct xb_policy *both = xb_policy_follow(parse(own), parse(global));
    assert_int_equal(says_of_class(both, "a"), XB_POLICY_SKIP);
    assert_int_equal(says_of_class(both, "b"), XB_POLICY_FS_BACKUP);
    assert_int_equal(says_of_class(both, "c"), XB_POLICY_NONE);
    XB_CLEANUP(xb_policy_freep) struct xb_policy *alone = xb_policy_follow(NULL, parse(global));
    assert_int_equal(says_of_class(alone, "a"), XB_POLICY_FS_BACKUP);
    XB_CLEANUP(xb_json_putp) xb_json *spec = probe_json("{\"includedResources\":[\"pods\"]}");
    assert_null(xb_policy_filters_problem(alone, spec));
    assert_null(xb_policy_filters(alone));
    XB_CLEANUP(xb_policy_freep) struct xb_policy *first = xb_policy_follow(parse(own), NULL);
    assert_int_equal(says_of_class(first, "b"), XB_POLICY_NONE);
    assert_null(xb_policy_follow(NULL, NULL));
}

static void mixed(void **state)
{
    (void)state;
    static const char *const old[] = {"{\"includedResources\":[\"pods\"]}",
                                      "{\"excludedResources\":[\"pods\"]}",
                                      "{\"includeClusterResources\":false}"};
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = parse(FILTERS);
    XB_CLEANUP(xb_policy_freep) struct xb_policy *without = parse("version: v1");
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *spec = probe_json(old[i]);
        assert_non_null(xb_policy_filters_problem(policy, spec));
        assert_null(xb_policy_filters_problem(without, spec));
        assert_null(xb_policy_filters_problem(NULL, spec));
    }
    XB_CLEANUP(xb_json_putp) xb_json *spec = probe_json("{\"includedResources\":[]}");
    assert_null(xb_policy_filters_problem(policy, spec));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything),
        cmocka_unit_test(capacity),
        cmocka_unit_test(kinds_of_volumes),
        cmocka_unit_test(claims),
        cmocka_unit_test(first_rule),
        cmocka_unit_test(refused),
        cmocka_unit_test(config_maps),
        cmocka_unit_test(filters),
        cmocka_unit_test(mixed),
        cmocka_unit_test(followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
