/* SPDX-License-Identifier: Apache-2.0
 *
 * A backup is judged as a whole: what fields mean is looked at once all of them are fields; each
 * problem names its own; and what is asked for but cannot be done is refused.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/validate.h"

static xb_json *backup_of(const char *spec)
{
    xb_json *backup = json_object_new_object();
    json_object_object_add(backup, "spec", probe_json(spec));
    return backup;
}

static void expect(const char *spec, const char *policy_text, const char *const *wanted)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = backup_of(spec);
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *again = NULL;
    size_t count = 0;
    if (policy_text) {
        PROBE_OK(xb_policy_parse(policy_text, strlen(policy_text), &policy, &err));
    }
    PROBE_OK(xb_validate_backup(backup, policy, problems, &filter, &err));
    for (; wanted[count]; count++) {
        const char *have = count < json_object_array_length(problems)
                               ? json_object_get_string(json_object_array_get_idx(problems, count))
                               : "nothing";
        if (!strstr(have, wanted[count])) {
            fail_msg("%s: %s, not %s", spec, have, wanted[count]);
        }
    }
    assert_int_equal(json_object_array_length(problems), count);
    assert_int_equal(filter != NULL, count == 0);
    if (count == 0) {
        PROBE_OK(xb_validated_filter(backup, policy, &again, &err));
    } else {
        PROBE_REFUSED(xb_validated_filter(backup, policy, &again, &err), XB_ERR_INVALID);
        assert_null(again);
    }
}

#define EXPECT(spec, policy, ...) expect(spec, policy, (const char *const[]){__VA_ARGS__})
#define POLICY "version: v1\nincludeExcludePolicy:\n  excludedNamespaceScopedResources: [secrets]\n"

static void good(void **state)
{
    (void)state;
    EXPECT("{}", NULL, NULL);
    EXPECT("{\"includedNamespaces\":[\"a\"],\"ttl\":\"1h\"}", POLICY, NULL);
}

static void refused(void **state)
{
    (void)state;
    EXPECT("{\"snapshotMoveData\":true}", NULL, "spec.snapshotMoveData: CSI snapshot data", NULL);
    EXPECT("{\"includedResources\":[\"pods\"]}", POLICY, "includedResources, excludedResources",
           NULL);
    EXPECT("{}", "version: v1\nincludeExcludePolicy:\n  excludedClusterScopedResources: [a/b]\n",
           "includeExcludePolicy.excludedClusterScopedResources: 'a/b'", NULL);
    EXPECT("{\"hooks\":{\"resources\":[{\"pre\":[{\"exec\":{\"command\":[]}}]}]}}", NULL,
           "spec.hooks.resources[0].pre[0].exec.command", NULL);
    EXPECT("{\"labelSelector\":{},\"orLabelSelectors\":[{}],\"excludedNamespaces\":[\"*\"]}", NULL,
           "spec.excludedNamespaces", "labelSelector as well as orLabelSelectors", NULL);
}

/* Two that are none, and nothing about the third, which would be refused by what it means. */
static void fields_first(void **state)
{
    (void)state;
    EXPECT("{\"excludedNamespaces\":[\"*\"],\"ttl\":7,\"novel\":1}", NULL,
           "spec: unknown field 'novel'", "spec.ttl: want a string", NULL);
}

/* What was said before stays, and does not count. */
static void said_before(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *backup = backup_of("{\"excludedNamespaces\":[\"*\"]}");
    XB_CLEANUP(xb_json_putp) xb_json *problems = probe_json("[\"before\"]");
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    PROBE_OK(xb_validate_backup(backup, NULL, problems, &filter, &err));
    assert_int_equal(json_object_array_length(problems), 2);
    assert_null(filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(refused),
        cmocka_unit_test(fields_first),
        cmocka_unit_test(said_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
