/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "shared/repository/object_internal.h"

int xb_object_id_parse(const char *text, struct xb_object_id *ret, struct xb_error *err)
{
    struct xb_object_parts parts;
    size_t len = strnlen(text, XB_OBJECT_ID_TEXT_BYTES);
    int r = 0;
    if (len == XB_OBJECT_ID_TEXT_BYTES) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an object id is too long");
    }
    struct xb_object_id id;
    memcpy(id.text, text, len + 1);
    r = xb_object_id_split(&id, &parts, err);
    if (r == 0) {
        *ret = id;
    }
    return r;
}

int xb_object_id_split(const struct xb_object_id *id, struct xb_object_parts *ret,
                       struct xb_error *err)
{
    struct xb_object_parts parts = {.depth = 0};
    const char *at = id->text;
    for (; *at == 'I'; at++) {
        if (++parts.depth > XB_OBJECT_DEPTH_MAX) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "an object id is nested more than %d times", XB_OBJECT_DEPTH_MAX);
        }
    }
    if (*at == 'Z') {
        parts.packed = true;
        at++;
    }
    if (*at == 'D') {
        at++; /* legacy, without a meaning */
    }
    int r = xb_content_id_parse(at, strlen(at), &parts.content, err);
    if (r < 0) {
        return xb_error_wrap(err, "object id '%.80s'", id->text);
    }
    if (parts.packed && parts.depth) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "object id '%.80s' mixes I and Z",
                            id->text);
    }
    *ret = parts;
    return 0;
}

int xb_object_id_content(const struct xb_object_id *id, struct xb_content_id *ret,
                         unsigned *ret_depth, struct xb_error *err)
{
    struct xb_object_parts parts;
    int r = xb_object_id_split(id, &parts, err);
    if (r == 0) {
        *ret = parts.content;
        *ret_depth = parts.depth;
    }
    return r;
}
