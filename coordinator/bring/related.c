/* SPDX-License-Identifier: Apache-2.0
 * What comes along with what the filters take: a pod's claims and priority class, a claim's volume.
 * They are restored before the pod, so they are known from a look at all pods and claims while the
 * record is taken apart. */
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"

#define CLASSES "priorityclasses.scheduling.k8s.io"

enum { KEY_BYTES = 700 };

static void key_of(char out[KEY_BYTES], const char *resource, const char *namespace,
                   const char *name)
{
    snprintf(out, KEY_BYTES, "%.60s/%.253s/%.253s", resource, namespace, name);
}

static int add(struct xb_bring *bring, const char *resource, const char *namespace,
               const char *name, struct xb_error *err)
{
    char key[KEY_BYTES];
    key_of(key, resource, namespace, name);
    xb_json *yes = json_object_new_boolean(true);
    if (!yes || json_object_object_add(bring->related, key, yes) < 0) {
        json_object_put(yes);
        return xb_error_no_memory(err, "what comes along with others");
    }
    return 0;
}

static bool has(const struct xb_bring *bring, const char *resource, const char *namespace,
                const char *name)
{
    char key[KEY_BYTES];
    key_of(key, resource, namespace, name);
    return json_object_object_get_ex(bring->related, key, NULL);
}

/* ---- what may come ---- */

/* Past the labels, and past the namespaces for what is in none; but never past what the spec says
 * of the kind or of cluster-scoped objects. */
static bool may_come(const struct xb_bring *bring, const struct xb_tarball_item *from)
{
    const struct xb_kube_api *api = xb_bring_api(bring, from->resource, from->version);
    if (!api) {
        return false;
    }
    const struct xb_filter_kind kind = xb_kind_of(api);
    bool said = xb_json_get(bring->restore, "spec.includeClusterResources") != NULL;
    return xb_filter_takes_related(bring->filter, &kind) &&
           (!said || xb_filter_takes_kind(bring->filter, &kind)) &&
           (!from->namespace[0] || xb_filter_takes_namespace(bring->filter, from->namespace));
}

bool xb_bring_comes_along(const struct xb_bring *bring, const struct xb_tarball_item *from)
{
    return has(bring, from->resource, from->namespace, from->name) && may_come(bring, from);
}

/* ---- who brings it ---- */

static bool is_taken(const struct xb_bring *bring, const struct xb_tarball_item *from,
                     xb_json *object)
{
    const struct xb_kube_api *api = xb_bring_api(bring, from->resource, from->version);
    if (!api) {
        return false;
    }
    const struct xb_filter_kind kind = xb_kind_of(api);
    return xb_filter_takes_kind(bring->filter, &kind) &&
           xb_filter_takes_namespace(bring->filter, from->namespace) &&
           xb_bring_selects(bring, object);
}

static int look_at_pod(struct xb_bring *bring, const struct xb_tarball_item *from, xb_json *pod,
                       struct xb_error *err)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    const char *class = xb_json_str(pod, "spec.priorityClassName", "");
    if (!is_taken(bring, from, pod) || xb_restore_is_over("pods", pod)) {
        return 0;
    }
    size_t count =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    int r = class[0] ? add(bring, CLASSES, "", class, err) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const char *claim = xb_json_str(json_object_array_get_idx(volumes, i),
                                        "persistentVolumeClaim.claimName", "");
        r = claim[0] ? add(bring, "persistentvolumeclaims", from->namespace, claim, err) : 0;
    }
    return r;
}

/* Which volume a claim brings is known now, whether the claim itself comes only at the end. */
static int look_at_claim(struct xb_bring *bring, const struct xb_tarball_item *from, xb_json *claim,
                         struct xb_error *err)
{
    const char *volume = xb_json_str(claim, "spec.volumeName", "");
    if (!volume[0] || strcmp(xb_json_str(claim, "status.phase", ""), "Bound") != 0) {
        return 0;
    }
    if (is_taken(bring, from, claim)) {
        return add(bring, "persistentvolumes", "", volume, err);
    }
    char key[KEY_BYTES];
    key_of(key, "persistentvolumeclaims", from->namespace, from->name);
    xb_json *name = json_object_new_string(volume);
    if (!name || json_object_object_add(bring->claims, key, name) < 0) {
        json_object_put(name);
        return xb_error_no_memory(err, "what comes along with others");
    }
    return 0;
}

/* What cannot be read fails when its turn comes. */
int xb_bring_look_for_related(struct xb_bring *bring, const struct xb_tarball_item *from,
                              const char *text, size_t len, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    struct xb_error ignored = XB_ERROR_INIT;
    bool pod = strcmp(from->resource, "pods") == 0;
    if ((!pod && strcmp(from->resource, "persistentvolumeclaims") != 0) ||
        xb_json_parse(text, len, &object, &ignored) < 0) {
        return 0;
    }
    return pod ? look_at_pod(bring, from, object, err) : look_at_claim(bring, from, object, err);
}

/* The volumes of the claims that come along themselves. */
int xb_bring_relate(struct xb_bring *bring, struct xb_error *err)
{
    json_object_object_foreach(bring->claims, key, volume)
    {
        if (json_object_object_get_ex(bring->related, key, NULL)) {
            int r = add(bring, "persistentvolumes", "", json_object_get_string(volume), err);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}
