/* SPDX-License-Identifier: Apache-2.0
 * Static pods: which uid a pod has on its node. */
#include <errno.h>
#include <string.h>

#include "agent/volume/volume.h"

#define MIRROR "kubernetes.io/config.mirror"
#define HASH "kubernetes.io/config.hash"

enum { HASH_DIGITS = 32 };

static const char *annotation(xb_json *pod, const char *key)
{
    xb_json *value = NULL;
    (void)json_object_object_get_ex(xb_json_get(pod, "metadata.annotations"), key, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* What a kubelet makes of a static pod's definition: hex digits. Uids of the API have hyphens. */
static bool is_hash(const char *text)
{
    return text && strlen(text) == HASH_DIGITS && strspn(text, "0123456789abcdef") == HASH_DIGITS;
}

static bool belongs_to_node(xb_json *pod)
{
    xb_json *owners = xb_json_get(pod, "metadata.ownerReferences");
    const char *node = xb_json_str(pod, "spec.nodeName", "");
    xb_json *owner =
        json_object_is_type(owners, json_type_array) && json_object_array_length(owners) == 1
            ? json_object_array_get_idx(owners, 0)
            : NULL;
    return node[0] && strcmp(xb_json_str(owner, "apiVersion", ""), "v1") == 0 &&
           strcmp(xb_json_str(owner, "kind", ""), "Node") == 0 &&
           strcmp(xb_json_str(owner, "name", ""), node) == 0 &&
           xb_json_bool(owner, "controller", false);
}

static const char *doubt(xb_json *pod, const char *mirror, const char *hash)
{
    if (!is_hash(mirror)) {
        return "annotation " MIRROR " is no hash of a kubelet's (a static pod that brings its own "
               "uid is not supported)";
    }
    if (!hash || strcmp(mirror, hash) != 0) {
        return "annotations " MIRROR " and " HASH " differ";
    }
    if (!belongs_to_node(pod)) {
        return "its node is not its controller";
    }
    return strcmp(xb_json_str(pod, "status.phase", ""), "Running") == 0 ? NULL : "it does not run";
}

int xb_volume_pod_uid(xb_json *pod, const char **ret, struct xb_error *err)
{
    const char *mirror = annotation(pod, MIRROR);
    const char *hash = annotation(pod, HASH);
    if (!mirror) { /* the other annotation alone means nothing */
        *ret = xb_json_str(pod, "metadata.uid", "");
        return 0;
    }
    const char *why = doubt(pod, mirror, hash);
    if (why) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "pod %.250s says that it mirrors a static pod, but %s",
                            xb_json_str(pod, "metadata.name", "?"), why);
    }
    *ret = hash;
    return 0;
}

bool xb_volume_mirrors(xb_json *pod, const char *uid)
{
    const char *mirror = annotation(pod, MIRROR);
    const char *hash = annotation(pod, HASH);
    return (mirror && strcmp(mirror, uid) == 0) || (hash && strcmp(hash, uid) == 0);
}
