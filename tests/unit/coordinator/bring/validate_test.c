/* SPDX-License-Identifier: Apache-2.0
 *
 * A restore that cannot be done as it stands is refused with the field's name, before it begins
 * and, should it have been changed since, before it makes anything.
 */
#include "tests/harness/probe.h"

#include "coordinator/bring/validate.h"

static void judged(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *problem; /* NULL: none */
    } all[] = {
        {"{\"backupName\":\"b\"}", NULL},
        {"{\"backupName\":\"b\",\"excludedResources\":[\"nodes\",\"events\"]}", NULL},
        {"{\"backupName\":\"b\",\"includedResources\":[\"nodes\"]}", "nodes are non-restorable"},
        {"{\"backupName\":\"b\",\"includedResources\":[\"backups.velero.io\"]}",
         "backups.velero.io are non-restorable"},
        {"{\"backupName\":\"b\",\"includedResources\":[\"backups.other.io\"]}", NULL},
        {"{\"backupName\":\"b/c\"}", "spec.backupName"},
        {"{\"backupName\":\"b\",\"existingResourcePolicy\":\"recreate\"}",
         "spec.existingResourcePolicy"},
        {"{\"backupName\":\"b\",\"includedNamespaces\":[\"a/../b\"]}", "spec.includedNamespaces"},
        {"{\"backupName\":\"b\",\"includedNamespaces\":[\"a\"],\"excludedNamespaces\":[\"a\"]}",
         "Invalid included/excluded namespace lists"},
        {"{\"backupName\":\"b\",\"includedResources\":[\"*\",\"pods\"]}",
         "Invalid included/excluded resource lists"},
        {"{\"backupName\":\"b\",\"labelSelector\":{},\"orLabelSelectors\":[{}]}",
         "labelSelector as well as orLabelSelectors"},
        {"{\"backupName\":\"b\",\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\","
         "\"operator\":\"Near\"}]}}",
         "spec.labelSelector"},
        {"{\"backupName\":\"b\",\"restoreStatus\":{\"includedResources\":[\"a/b\"]}}",
         "spec.restoreStatus: "},
        {"{\"backupName\":\"b\",\"restoreStatus\":{\"includedResources\":[\"pods\"]}}", NULL},
        {"{\"backupName\":\"b\",\"resourcePolicy\":{\"kind\":\"configmap\",\"name\":\"p\"}}",
         "spec.resourcePolicy"},
        {"{\"backupName\":\"b\",\"hooks\":{\"resources\":[{\"name\":\"h\",\"postHooks\":"
         "[{\"exec\":{\"command\":[\"a\"]}}]}]}}",
         NULL},
        {"{\"backupName\":\"b\",\"hooks\":{\"resources\":[{\"name\":\"h\",\"postHooks\":[{}]}]}}",
         "spec.hooks.resources[0].postHooks[0]: want exec or init"},
        {"{\"backupName\":\"b\",\"includedClusterScopedResources\":[\"pods\"]}",
         "unknown field 'includedClusterScopedResources'"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *restore = json_object_new_object();
        XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
        XB_CLEANUP(xb_filter_freep) struct xb_filter *again = NULL;
        json_object_object_add(restore, "spec", probe_json(all[i].spec));
        PROBE_OK(xb_validate_restore(restore, problems, &filter, &err));
        if (!all[i].problem) {
            probe_json_is(problems, "[]");
            assert_non_null(filter);
            PROBE_OK(xb_validated_restore_filter(restore, &again, &err));
            continue;
        }
        assert_true(json_object_array_length(problems) > 0);
        const char *text = json_object_get_string(json_object_array_get_idx(problems, 0));
        if (!strstr(text, all[i].problem)) {
            fail_msg("%s: %s", all[i].spec, text);
        }
        assert_null(filter);
        PROBE_REFUSED(xb_validated_restore_filter(restore, &again, &err), XB_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
