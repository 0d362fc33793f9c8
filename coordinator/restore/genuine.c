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

/* What the object says, "" if no text. A text with a NUL byte in it is another one to the API
 * server than to us: not whole. */
static const char *text_at(xb_json *object, const char *path, bool *ret_whole)
{
    xb_json *value = xb_json_get(object, path);
    bool is_text = json_object_is_type(value, json_type_string);
    const char *says = is_text ? json_object_get_string(value) : "";
    *ret_whole = is_text ? strlen(says) == (size_t)json_object_get_string_len(value) : !value;
    return says;
}

static int need(xb_json *object, const char *path, const char *lies, struct xb_error *err)
{
    bool whole = false;
    const char *says = text_at(object, path, &whole);
    bool same = strcmp(says, lies) == 0 && (says[0] || !xb_json_get(object, path));
    return whole && same ? 0 : contradicts(path, says, lies, err);
}

static int need_group(xb_json *object, const char *group, struct xb_error *err)
{
    bool whole = false;
    const char *version = text_at(object, "apiVersion", &whole);
    const char *slash = strchr(version, '/');
    size_t len = strlen(group);
    bool same =
        slash ? len > 0 && (size_t)(slash - version) == len && memcmp(version, group, len) == 0
              : len == 0 && version[0];
    return whole && same
               ? 0
               : contradicts("apiVersion", version, len > 0 ? group : "the core group", err);
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
