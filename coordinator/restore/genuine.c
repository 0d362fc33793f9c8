/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/genuine.h"

#include <errno.h>
#include <string.h>

static int contradicts(const char *field, const char *says, const char *lies, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "the record contradicts itself: the object's %s is '%.100s', but it lies "
                        "where those of '%.100s' are; it is not restored",
                        field, says, lies);
}

/* A text with a NUL byte in it is another one to the API server than to us. */
static int need(xb_json *object, const char *path, const char *lies, struct xb_error *err)
{
    xb_json *value = xb_json_get(object, path);
    const char *says =
        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    bool whole = !says[0] || strlen(says) == (size_t)json_object_get_string_len(value);
    bool same = strcmp(says, lies) == 0 && (says[0] || !value);
    return whole && same ? 0 : contradicts(path, says, lies, err);
}

static int need_group(xb_json *object, const char *group, struct xb_error *err)
{
    const char *version = xb_json_str(object, "apiVersion", "");
    const char *slash = strchr(version, '/');
    size_t len = slash ? (size_t)(slash - version) : 0;
    return strlen(group) == len && memcmp(version, group, len) == 0
               ? 0
               : contradicts("apiVersion", version, group[0] ? group : "the core group", err);
}

int xb_restore_check_place(xb_json *object, const struct xb_restore_place *place,
                           struct xb_error *err)
{
    if (!json_object_is_type(object, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the item is not a JSON object");
    }
    int r = need_group(object, place->group, err);
    r = r ? r : need(object, "kind", place->kind, err);
    r = r ? r : need(object, "metadata.name", place->name, err);
    return r ? r : need(object, "metadata.namespace", place->namespace, err);
}
