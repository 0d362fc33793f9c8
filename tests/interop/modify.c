/* SPDX-License-Identifier: Apache-2.0
 *
 * One patch put to one object, as a resource modifier does it: run by tests/interop/modify_test,
 * which holds the result against kubectl's.
 *
 *   modify json|merge|strategic OBJECT-FILE PATCH-FILE       the new object as JSON
 *   modify yaml FILE                                         what the text means, as JSON
 *
 * Exit code 1: it cannot be done, and stderr says why.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/strategic.h"
#include "shared/base/file.h"
#include "shared/kube/yaml.h"

enum { FILE_BYTES_MAX = 4 << 20, STEPS_MAX = 64 };

static int read_yaml(const char *path, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(FILE_BYTES_MAX);
    int r = xb_file_read(path, &text, err);
    return r < 0 ? r : xb_kube_yaml_parse(text.data ? text.data : "", text.len, ret, err);
}

static int json_patch(xb_json *object, xb_json *patch, xb_json **ret, struct xb_error *err)
{
    struct xb_patch_step steps[STEPS_MAX];
    size_t count = json_object_array_length(patch);
    if (count > STEPS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many steps");
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *one = json_object_array_get_idx(patch, i);
        const char *name = xb_json_str(one, "op", "");
        steps[i] = (struct xb_patch_step){.path = xb_json_str(one, "path", ""),
                                          .from = xb_json_str(one, "from", ""),
                                          .value = xb_json_get(one, "value")};
        for (int k = XB_PATCH_ADD; k <= XB_PATCH_TEST; k++) {
            if (strcmp(name, xb_patch_operation_name((enum xb_patch_operation)k)) == 0) {
                steps[i].operation = (enum xb_patch_operation)k;
            }
        }
    }
    return xb_json_patch(object, steps, count, ret, err);
}

static int run(int argc, char **argv, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    if (argc == 3 && strcmp(argv[1], "yaml") == 0) {
        return read_yaml(argv[2], ret, err);
    }
    if (argc != 4) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "usage: see modify.c");
    }
    int r = read_yaml(argv[2], &object, err);
    if (r < 0 || (r = read_yaml(argv[3], &patch, err)) < 0) {
        return r;
    }
    if (strcmp(argv[1], "json") == 0) {
        return json_patch(object, patch, ret, err);
    }
    return strcmp(argv[1], "merge") == 0 ? xb_json_merge_patch(object, patch, ret, err)
                                         : xb_strategic_patch(object, patch, ret, err);
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
    if (run(argc, argv, &result, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    puts(json_object_to_json_string_ext(result,
                                        JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    return 0;
}
