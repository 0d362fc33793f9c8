/* SPDX-License-Identifier: Apache-2.0
 * JSON merge patches. */
#include <errno.h>

#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/patch_internal.h"

/* `target` is a mapping; the recursion is as deep as the patch. */
static int merge(xb_json *target, xb_json *patch, struct xb_error *err)
{
    int r = 0;
    json_object_object_foreach(patch, key, value)
    {
        xb_json *there = NULL;
        if (!value) {
            json_object_object_del(target, key);
            continue;
        }
        if (!json_object_is_type(value, json_type_object)) {
            xb_json *copy = NULL;
            if ((r = xb_patch_copy(value, &copy, err)) < 0 ||
                (r = xb_patch_set(target, key, copy, err)) < 0) {
                return r;
            }
            continue;
        }
        json_object_object_get_ex(target, key, &there);
        if (!json_object_is_type(there, json_type_object)) {
            there = json_object_new_object();
            if (!there) {
                return xb_error_no_memory(err, "a patch");
            }
            if ((r = xb_patch_set(target, key, there, err)) < 0) {
                return r;
            }
        }
        if ((r = merge(there, value, err)) < 0) {
            return r;
        }
    }
    return 0;
}

int xb_json_merge_patch(xb_json *document, xb_json *patch, xb_json **ret, struct xb_error *err)
{
    bool mapping = json_object_is_type(patch, json_type_object);
    bool onto = json_object_is_type(document, json_type_object);
    XB_CLEANUP(xb_json_putp) xb_json *result = mapping && !onto ? json_object_new_object() : NULL;
    int r = mapping && !onto ? 0 : xb_patch_copy(mapping ? document : patch, &result, err);
    if (r == 0 && mapping) {
        r = result ? merge(result, patch, err) : xb_error_no_memory(err, "a patch");
    }
    if (r < 0) {
        return r;
    }
    if (xb_patch_weight(result, XB_PATCH_BYTES_MAX) > XB_PATCH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the object gets larger than %d bytes",
                            XB_PATCH_BYTES_MAX);
    }
    *ret = XB_TAKE(result);
    return 0;
}
