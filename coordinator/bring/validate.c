/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bring/validate.h"

#include <errno.h>
#include <stdio.h>

#include "coordinator/bring/dry_run.h"
#include "coordinator/restore/order.h"
#include "shared/velero/restore_hooks.h"
#include "shared/velero/spec.h"

enum { PROBLEM_BYTES = 256 };

static void add_problem(xb_json *problems, const char *what)
{
    json_object_array_add(problems, json_object_new_string(what));
}

/* Asked for by name, they would be missed. */
static void check_never(xb_json *spec, xb_json *problems)
{
    xb_json *included = xb_json_get(spec, "includedResources");
    size_t count = included ? json_object_array_length(included) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *word = json_object_get_string(json_object_array_get_idx(included, i));
        char problem[PROBLEM_BYTES];
        if (xb_restore_never(word)) {
            snprintf(problem, sizeof problem,
                     "spec.includedResources: %.100s are non-restorable resources", word);
            add_problem(problems, problem);
        }
    }
}

/* The same lists as the spec's own, about the status. */
static int check_status(xb_json *spec, xb_json *problems, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    xb_json *lists = xb_json_get(spec, "restoreStatus");
    int r = lists ? xb_filter_new(lists, &filter, err) : 0;
    for (size_t i = 0; filter && i < xb_filter_problem_count(filter); i++) {
        char problem[PROBLEM_BYTES];
        snprintf(problem, sizeof problem, "spec.restoreStatus: %.200s",
                 xb_filter_problem(filter, i));
        add_problem(problems, problem);
    }
    return r;
}

static void check_dry_run(xb_json *restore, xb_json *problems)
{
    struct xb_error why = XB_ERROR_INIT;
    bool dry_run = false;
    if (xb_restore_is_dry_run(restore, &dry_run, &why) < 0) {
        add_problem(problems, why.text);
    }
}

/* What this version cannot do must be said, not left out. */
static void check_supported(xb_json *spec, xb_json *problems)
{
    if (xb_json_get(spec, "resourcePolicy")) {
        add_problem(problems, "spec.resourcePolicy: filter policies of a restore are not supported "
                              "by this version of Xebec");
    }
}

int xb_validate_restore(xb_json *restore, xb_json *problems, struct xb_filter **ret,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    xb_json *spec = xb_json_get(restore, "spec");
    const size_t before = json_object_array_length(problems);
    int r = xb_spec_check(XB_SPEC_RESTORE, restore, problems, err);
    if (r < 0 || json_object_array_length(problems) > before ||
        (r = xb_filter_new(spec, &filter, err)) < 0) {
        return r;
    }
    for (size_t i = 0; i < xb_filter_problem_count(filter); i++) {
        add_problem(problems, xb_filter_problem(filter, i));
    }
    r = check_status(spec, problems, err);
    check_dry_run(restore, problems);
    struct xb_error why = XB_ERROR_INIT;
    if (xb_restore_hooks_check(restore, &why) < 0) {
        add_problem(problems, why.text);
    }
    check_never(spec, problems);
    check_supported(spec, problems);
    if (r == 0 && json_object_array_length(problems) == before) {
        *ret = XB_TAKE(filter);
    }
    return r;
}

int xb_validated_restore_filter(xb_json *restore, struct xb_filter **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    int r = problems ? xb_validate_restore(restore, problems, &filter, err)
                     : xb_error_no_memory(err, "a filter");
    if (r == 0 && !filter) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "the restore is not one that was found valid: %s",
                         json_object_get_string(json_object_array_get_idx(problems, 0)));
    }
    if (r == 0) {
        *ret = XB_TAKE(filter);
    }
    return r;
}
