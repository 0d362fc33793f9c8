/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/validate.h"

#include <errno.h>

#include "shared/velero/hooks.h"
#include "shared/velero/spec.h"

static void add_problem(xb_json *problems, const char *what)
{
    json_object_array_add(problems, json_object_new_string(what));
}

/* What this version cannot do must be said, not left out. */
static void check_supported(xb_json *backup, xb_json *problems)
{
    struct xb_error wrong = XB_ERROR_INIT;
    if (xb_hooks_check(backup, &wrong) < 0) {
        add_problem(problems, wrong.text);
    }
    if (xb_json_bool(backup, "spec.snapshotMoveData", false)) {
        add_problem(problems, "spec.snapshotMoveData: CSI snapshot data movement is not supported "
                              "by this version of Xebec");
    }
}

int xb_validate_backup(xb_json *backup, const struct xb_policy *policy, xb_json *problems,
                       struct xb_filter **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    xb_json *spec = xb_json_get(backup, "spec");
    const size_t before = json_object_array_length(problems);
    int r = xb_spec_check(XB_SPEC_BACKUP, backup, problems, err);
    if (r < 0 || json_object_array_length(problems) > before) {
        return r;
    }
    const char *mixed = xb_policy_filters_problem(policy, spec);
    if (mixed) {
        add_problem(problems, mixed);
    }
    if ((r = xb_filter_new(spec, &filter, err)) < 0 ||
        (r = xb_filter_combine(filter, xb_policy_filters(policy), err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < xb_filter_problem_count(filter); i++) {
        add_problem(problems, xb_filter_problem(filter, i));
    }
    check_supported(backup, problems);
    if (json_object_array_length(problems) == before) {
        *ret = XB_TAKE(filter);
    }
    return 0;
}

int xb_validated_filter(xb_json *backup, const struct xb_policy *policy, struct xb_filter **ret,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    int r = problems ? xb_validate_backup(backup, policy, problems, &filter, err)
                     : xb_error_no_memory(err, "a filter");
    if (r == 0 && !filter) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "the backup is not one that was found valid: %s",
                         json_object_get_string(json_object_array_get_idx(problems, 0)));
    }
    if (r == 0) {
        *ret = XB_TAKE(filter);
    }
    return r;
}
