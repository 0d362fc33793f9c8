/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as an object of Velero's: it is refused with reasons, or a filter is made of it; and who
 * reads hooks and namespaces from it holds.
 */
#include "coordinator/collect/validate.h"
#include "shared/velero/hooks.h"
#include "shared/velero/spec.h"
#include "tests/harness/fuzz.h"

static void check_specs(xb_json *object)
{
    struct xb_error err = XB_ERROR_INIT;
    for (int what = XB_SPEC_BACKUP; what <= XB_SPEC_RESTORE; what++) {
        XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
        need(xb_spec_check((enum xb_spec_of)what, object, problems, &err) == 0);
        size_t count = json_object_array_length(problems);
        need(count <= XB_SPEC_PROBLEMS_MAX);
        for (size_t i = 0; i < count; i++) {
            need(strncmp(json_object_get_string(json_object_array_get_idx(problems, i)), "spec",
                         4) == 0);
        }
        struct xb_error why = XB_ERROR_INIT;
        need((xb_spec_need((enum xb_spec_of)what, object, &why) == 0) == (count == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    if (len > 1 << 16 || xb_json_parse((const char *)data, len, &object, &err) < 0) {
        return 0;
    }
    check_specs(object);
    need(xb_validate_backup(object, NULL, problems, &filter, &err) == 0);
    need((filter != NULL) == (json_object_array_length(problems) == 0));
    struct xb_hooks hooks;
    if (xb_hooks_of(object, object, &hooks, &err) == 0) {
        xb_hooks_free(&hooks);
    }
    return 0;
}
