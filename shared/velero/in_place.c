/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/in_place.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "shared/velero/hooks.h"
#include "shared/velero/velero.h"

/* By its very key; NULL: there is none. */
static const char *annotation(xb_json *object, const char *key)
{
    xb_json *annotations = xb_json_get(object, "metadata.annotations");
    xb_json *value = NULL;
    return json_object_is_type(annotations, json_type_object) &&
                   json_object_object_get_ex(annotations, key, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : NULL;
}

static int bad(struct xb_error *err, const char *key, const char *value, const char *wanted)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "annotation %s is '%.100s': %s", key, value,
                        wanted);
}

/* Copies the next part of `*at`, up to a '/' or the end; false: it is no name of an object. */
static bool take_name(const char **at, char out[XB_IN_PLACE_NAME_BYTES])
{
    size_t len = strcspn(*at, "/");
    if (len == 0 || len >= XB_IN_PLACE_NAME_BYTES) {
        return false;
    }
    memcpy(out, *at, len);
    out[len] = '\0';
    *at += len + ((*at)[len] == '/');
    return xb_velero_name_valid(out);
}

static int parse_volume(const char *text, struct xb_in_place *ret, struct xb_error *err)
{
    const char *at = text;
    size_t slashes = 0;
    for (const char *c = text; *c; c++) {
        slashes += *c == '/';
    }
    bool good = take_name(&at, ret->namespace);
    if (slashes == 1) {
        good = good && take_name(&at, ret->claim);
    } else {
        good = good && take_name(&at, ret->pod) && take_name(&at, ret->volume);
    }
    return good && !*at && slashes <= 2
               ? 0
               : bad(err, XB_IN_PLACE_VOLUME_ANNOTATION, text,
                     "<namespace>/<pod>/<volume> or <namespace>/<claim> is wanted");
}

static int parse_into(const char *text, struct xb_in_place *ret, struct xb_error *err)
{
    bool claim = strncmp(text, "claim/", 6) == 0;
    const char *at = claim ? text + 6 : text;
    bool good = take_name(&at, claim ? ret->into_claim : ret->into_pod);
    return good && !*at && !strchr(claim ? text + 6 : text, '/')
               ? 0
               : bad(err, XB_IN_PLACE_INTO_ANNOTATION, text, "<pod> or claim/<name> is wanted");
}

static int parse_path(const char *text, struct xb_in_place *ret, struct xb_error *err)
{
    size_t parts = 0;
    for (const char *at = text;; parts++) {
        size_t len = strcspn(at, "/");
        bool dots = (len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.');
        if (len == 0 || len > NAME_MAX || dots || parts >= XB_IN_PLACE_PARTS_MAX ||
            strlen(text) >= sizeof ret->path) {
            return bad(err, XB_IN_PLACE_PATH_ANNOTATION, text,
                       "a path within the volume is wanted, such as a/b, with no empty, . or .. "
                       "part");
        }
        at += len;
        if (!*at++) {
            break;
        }
    }
    memcpy(ret->path, text, strlen(text) + 1);
    return 0;
}

static int check_namespace(xb_json *restore, const struct xb_in_place *in_place,
                           struct xb_error *err)
{
    return xb_hooks_lists_take(xb_json_get(restore, "spec.includedNamespaces"),
                               xb_json_get(restore, "spec.excludedNamespaces"), in_place->namespace)
               ? 0
               : bad(err, XB_IN_PLACE_VOLUME_ANNOTATION, in_place->namespace,
                     "the restore does not take that namespace");
}

int xb_in_place_parse(xb_json *restore, struct xb_in_place *ret, struct xb_error *err)
{
    const char *volume = annotation(restore, XB_IN_PLACE_VOLUME_ANNOTATION);
    const char *path = annotation(restore, XB_IN_PLACE_PATH_ANNOTATION);
    const char *into = annotation(restore, XB_IN_PLACE_INTO_ANNOTATION);
    struct xb_in_place in_place = {.wanted = volume != NULL};
    if (!volume && (path || into)) {
        /* It would be a restore of everything, which nobody who writes this wants. */
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "annotation %s needs %s, which says of which volume",
                            path ? XB_IN_PLACE_PATH_ANNOTATION : XB_IN_PLACE_INTO_ANNOTATION,
                            XB_IN_PLACE_VOLUME_ANNOTATION);
    }
    int r = volume ? parse_volume(volume, &in_place, err) : 0;
    r = r == 0 && path ? parse_path(path, &in_place, err) : r;
    r = r == 0 && into ? parse_into(into, &in_place, err) : r;
    r = r == 0 && volume ? check_namespace(restore, &in_place, err) : r;
    if (r == 0) {
        *ret = in_place;
    }
    return r;
}

const char *xb_in_place_namespace(xb_json *restore, const struct xb_in_place *in_place)
{
    return xb_velero_mapped_namespace(xb_json_get(restore, "spec.namespaceMapping"),
                                      in_place->namespace);
}

bool xb_in_place_order(xb_json *order)
{
    return annotation(order, XB_IN_PLACE_ORDER_ANNOTATION) != NULL;
}
