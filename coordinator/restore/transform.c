/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/transform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/velero/velero.h"

static const char backup_label_key[] = "velero.io/backup-name";
static const char restore_label_key[] = "velero.io/restore-name";

/* Everything else in metadata is given anew by the cluster. */
static const char *const kept_metadata[] = {"name", "namespace", "labels", "annotations",
                                            "finalizers"};

enum { KEPT_METADATA = sizeof kept_metadata / sizeof kept_metadata[0] };

/* A field by its very key, dots and all; NULL when absent or when `object` is none. */
static xb_json *field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static void drop(xb_json *object, const char *key)
{
    if (json_object_is_type(object, json_type_object)) {
        json_object_object_del(object, key);
    }
}

/* Takes `value` over; NULL means that making it failed. */
static int put(xb_json *object, const char *key, xb_json *value, struct xb_error *err)
{
    if (!value || json_object_object_add(object, key, value) < 0) {
        json_object_put(value);
        return xb_error_no_memory(err, "a JSON field");
    }
    return 0;
}

const char *xb_restore_namespace(const struct xb_restore_context *context, const char *namespace)
{
    return xb_velero_mapped_namespace(context->namespace_mapping, namespace);
}

/* ---- whether at all ---- */

static bool has_text(xb_json *object, const char *path)
{
    const char *text = xb_json_str(object, path, "");
    return text[0] != '\0';
}

/* "kubernetes.io/service-account-token" Secrets that the cluster made by itself are named after
 * their account, and it will make new ones. */
static bool secret_is_skipped(const struct xb_restore_context *context, xb_json *secret)
{
    const char *type = xb_json_str(secret, "type", "");
    if (strcmp(type, "kubernetes.io/service-account-token") != 0) {
        return false;
    }
    if (!context->keep_token_secrets) {
        return true;
    }
    const char *account =
        xb_json_str(secret, "metadata.annotations.kubernetes\\.io/service-account\\.name", "");
    const char *name = xb_json_str(secret, "metadata.name", "");
    size_t len = strlen(account);
    return len > 0 && strncmp(name, account, len) == 0 && strncmp(name + len, "-token-", 7) == 0;
}

static const char *over_reason(const char *resource, xb_json *object)
{
    if (strcmp(resource, "jobs.batch") == 0) {
        return has_text(object, "status.completionTime") ? "the job had completed" : NULL;
    }
    if (strcmp(resource, "pods") != 0) {
        return NULL;
    }
    const char *phase = xb_json_str(object, "status.phase", "");
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        return "the pod had ended";
    }
    return xb_json_get(object, "metadata.annotations.kubernetes\\.io/config\\.mirror")
               ? "a mirror pod: its node makes it"
               : NULL;
}

bool xb_restore_is_over(const char *resource, xb_json *object)
{
    return over_reason(resource, object) != NULL;
}

/* Of a generic ephemeral volume. One that is there already belongs to nobody, and then the pod
 * would wait for ever: Kubernetes takes a claim only if it is the pod's own. */
static bool is_a_pods_own(xb_json *claim)
{
    xb_json *owners = xb_json_get(claim, "metadata.ownerReferences");
    size_t count =
        json_object_is_type(owners, json_type_array) ? json_object_array_length(owners) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *owner = json_object_array_get_idx(owners, i);
        if (xb_json_bool(owner, "controller", false) &&
            strcmp(xb_json_str(owner, "apiVersion", ""), "v1") == 0 &&
            strcmp(xb_json_str(owner, "kind", ""), "Pod") == 0) {
            return true;
        }
    }
    return false;
}

/* Why the object is not restored, or NULL. */
static const char *skip_reason(const struct xb_restore_context *context, const char *resource,
                               xb_json *object)
{
    const char *over = over_reason(resource, object);
    if (over) {
        return over;
    }
    if (strcmp(resource, "secrets") == 0) {
        return secret_is_skipped(context, object) ? "a token that the cluster makes" : NULL;
    } else if (strcmp(resource, "persistentvolumeclaims") == 0) {
        return is_a_pods_own(object) ? "it is made anew with its pod" : NULL;
    } else if (strcmp(resource, "apiservices.apiregistration.k8s.io") == 0) {
        xb_json *labels = xb_json_get(object, "metadata.labels");
        bool managed =
            json_object_object_get_ex(labels, "kube-aggregator.kubernetes.io/automanaged", NULL);
        return managed ? "the API server makes it" : NULL;
    }
    return NULL;
}

/* ---- metadata ---- */

static int check_metadata(xb_json *object, struct xb_error *err)
{
    const char *text = NULL;
    xb_json *value = NULL;
    if (!object || !json_object_is_type(object, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the item is not a JSON object");
    }
    int r = xb_json_need_object(object, "metadata", true, &value, err);
    if (r == 0) {
        r = xb_json_need_str(object, "metadata.name", true, &text, err);
    }
    if (r == 0 && text[0] == '\0') {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field metadata.name is empty");
    }
    if (r == 0) {
        r = xb_json_need_str(object, "metadata.namespace", false, &text, err);
    }
    if (r == 0) {
        r = xb_json_need_object(object, "metadata.labels", false, &value, err);
    }
    if (r == 0) {
        r = xb_json_need_object(object, "metadata.annotations", false, &value, err);
    }
    return r < 0 ? r : xb_json_need_array(object, "metadata.finalizers", false, &value, err);
}

/* Replaces metadata by what is kept of it. */
static int strip_metadata(xb_json *object, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *kept = json_object_new_object();
    if (!kept) {
        return xb_error_no_memory(err, "an object's metadata");
    }
    xb_json *metadata = field(object, "metadata");
    for (size_t i = 0; i < KEPT_METADATA; i++) {
        xb_json *value = field(metadata, kept_metadata[i]);
        int r = value ? put(kept, kept_metadata[i], json_object_get(value), err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return put(object, "metadata", XB_TAKE(kept), err);
}

/* Namespaces are objects too: theirs is the name that changes, and the label that repeats it. */
static int map_namespace(const struct xb_restore_context *context, const char *resource,
                         xb_json *object, struct xb_error *err)
{
    static const char label[] = "metadata.labels.kubernetes\\.io/metadata\\.name";
    bool is_namespace = strcmp(resource, "namespaces") == 0;
    const char *path = is_namespace ? "metadata.name" : "metadata.namespace";
    const char *from = xb_json_str(object, path, NULL);
    const char *to = from ? xb_restore_namespace(context, from) : NULL;
    if (to == from) {
        return 0;
    }
    int r = xb_json_set_str(object, path, to, err);
    return r == 0 && is_namespace && xb_json_get(object, label)
               ? xb_json_set_str(object, label, to, err)
               : r;
}

static int add_labels(const struct xb_restore_context *context, xb_json *object,
                      struct xb_error *err)
{
    xb_json *metadata = field(object, "metadata");
    xb_json *labels = field(metadata, "labels");
    int r = 0;
    if (!labels) {
        labels = json_object_new_object();
        r = put(metadata, "labels", labels, err);
    }
    if (r == 0 && context->backup_label) {
        r = put(labels, backup_label_key, json_object_new_string(context->backup_label), err);
    }
    if (r == 0 && context->restore_label) {
        r = put(labels, restore_label_key, json_object_new_string(context->restore_label), err);
    }
    return r;
}

int xb_restore_settle(const struct xb_restore_context *context, const char *namespace,
                      xb_json *object, struct xb_error *err)
{
    int r = check_metadata(object, err);
    if (r == 0 && namespace[0]) {
        r = xb_json_set_str(object, "metadata.namespace", xb_restore_namespace(context, namespace),
                            err);
    } else if (r == 0) {
        drop(field(object, "metadata"), "namespace");
    }
    return r < 0 ? r : add_labels(context, object, err);
}

int xb_restore_transform(const struct xb_restore_context *context, const char *resource,
                         xb_json *object, enum xb_restore_decision *ret,
                         char reason[XB_RESTORE_REASON_BYTES], struct xb_error *err)
{
    int r = check_metadata(object, err);
    if (r < 0) {
        return r;
    }
    const char *why = skip_reason(context, resource, object);
    if (why) {
        snprintf(reason, XB_RESTORE_REASON_BYTES, "%s", why);
        *ret = XB_RESTORE_SKIP;
        return 0;
    }
    /* Actions look at what is stripped after them, and at names from before the mapping. */
    r = xb_restore_act(context, resource, object, err);
    if (r == 0) {
        r = strip_metadata(object, err);
    }
    if (r == 0) {
        drop(object, "status");
        r = map_namespace(context, resource, object, err);
    }
    if (r == 0) {
        r = add_labels(context, object, err);
    }
    if (r == 0) {
        reason[0] = '\0';
        *ret = XB_RESTORE_CREATE;
    }
    return r;
}

/* ---- volumes ---- */

static void drop_binding(xb_json *object)
{
    xb_json *annotations = xb_json_get(object, "metadata.annotations");
    drop(annotations, "pv.kubernetes.io/bind-completed");
    drop(annotations, "pv.kubernetes.io/bound-by-controller");
}

/* By hand: a provisioner signs what it makes. */
static bool is_written_by_hand(xb_json *pv)
{
    return xb_json_get(pv, "spec.hostPath") &&
           !xb_json_get(pv, "metadata.annotations.pv\\.kubernetes\\.io/provisioned-by");
}

enum xb_restore_volume_way xb_restore_volume_way(xb_json *pv, bool has_data)
{
    const char *policy = xb_json_str(pv, "spec.persistentVolumeReclaimPolicy", "");
    bool retained = strcmp(policy, "Delete") != 0;
    return retained && (!has_data || is_written_by_hand(pv)) ? XB_RESTORE_PV_KEEP
                                                             : XB_RESTORE_PV_SKIP;
}

bool xb_restore_pv_is_free(xb_json *pv, const char *namespace, const char *claim)
{
    xb_json *ref = xb_json_get(pv, "spec.claimRef");
    return !ref ||
           (!has_text(ref, "uid") && strcmp(xb_json_str(ref, "namespace", ""), namespace) == 0 &&
            strcmp(xb_json_str(ref, "name", ""), claim) == 0);
}

void xb_restore_pvc_detach(xb_json *pvc)
{
    drop_binding(pvc);
    drop(xb_json_get(pvc, "spec"), "volumeName");
}

void xb_restore_pvc_drop_source(xb_json *pvc)
{
    drop(xb_json_get(pvc, "spec"), "dataSource");
    drop(xb_json_get(pvc, "spec"), "dataSourceRef");
}

int xb_restore_pv_keep(const struct xb_restore_context *context, xb_json *pv, struct xb_error *err)
{
    drop_binding(pv);
    xb_json *claim = xb_json_get(pv, "spec.claimRef");
    drop(claim, "uid");
    drop(claim, "resourceVersion");
    const char *from = xb_json_str(claim, "namespace", NULL);
    const char *to = from ? xb_restore_namespace(context, from) : NULL;
    return to == from ? 0 : xb_json_set_str(claim, "namespace", to, err);
}

/* ---- what is already there ---- */

/* The API server leaves out what is empty, so an empty list or map is as good as none. */
static bool is_empty(xb_json *value)
{
    return !value ||
           (json_object_is_type(value, json_type_object) &&
            json_object_object_length(value) == 0) ||
           (json_object_is_type(value, json_type_array) && json_object_array_length(value) == 0);
}

static bool is_own_label(const char *key)
{
    return strcmp(key, backup_label_key) == 0 || strcmp(key, restore_label_key) == 0;
}

static bool is_not_compared(const char *key)
{
    return strcmp(key, "metadata") == 0 || strcmp(key, "status") == 0;
}

/* Every field of `a` that counts is in `b` too. NULL objects have no fields. */
static bool within(xb_json *a, xb_json *b, bool (*ignored)(const char *))
{
    if (!a) {
        return true;
    }
    json_object_object_foreach(a, key, value)
    {
        if (!ignored(key) && !is_empty(value) && !json_object_equal(value, field(b, key))) {
            return false;
        }
    }
    return true;
}

/* The same fields, the ignored ones aside; of anything but objects, the same value. */
static bool same_fields(xb_json *a, xb_json *b, bool (*ignored)(const char *))
{
    if ((a && !json_object_is_type(a, json_type_object)) ||
        (b && !json_object_is_type(b, json_type_object))) {
        return json_object_equal(a, b) != 0;
    }
    return within(a, b, ignored) && within(b, a, ignored);
}

static bool same_metadata(xb_json *a, xb_json *b)
{
    for (size_t i = 0; i < KEPT_METADATA; i++) {
        xb_json *left = field(a, kept_metadata[i]), *right = field(b, kept_metadata[i]);
        bool same = strcmp(kept_metadata[i], "labels") == 0
                        ? same_fields(left, right, is_own_label)
                        : (is_empty(left) && is_empty(right)) || json_object_equal(left, right);
        if (!same) {
            return false;
        }
    }
    return true;
}

bool xb_restore_equal(xb_json *existing, xb_json *wanted)
{
    return same_metadata(field(existing, "metadata"), field(wanted, "metadata")) &&
           same_fields(existing, wanted, is_not_compared);
}

/* ---- service accounts ---- */

/* The map's keys that `existing` lacks, or NULL. */
static xb_json *missing_keys(xb_json *existing, xb_json *wanted)
{
    if (!wanted || !json_object_is_type(wanted, json_type_object)) {
        return NULL;
    }
    XB_CLEANUP(xb_json_putp) xb_json *missing = json_object_new_object();
    struct xb_error err = XB_ERROR_INIT;
    json_object_object_foreach(wanted, key, value)
    {
        /* In a merge patch null would take the field away. */
        if (!value || is_own_label(key) || field(existing, key)) {
            continue;
        }
        if (!missing || put(missing, key, json_object_get(value), &err) < 0) {
            return NULL;
        }
    }
    return is_empty(missing) ? NULL : XB_TAKE(missing);
}

static size_t list_length(xb_json *list)
{
    return list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

/* Adds the items with new names (or all) to `merged`, and their names to `names`. False: no
 * memory. */
static bool add_items(xb_json *merged, xb_json *names, xb_json *list, bool all)
{
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < list_length(list); i++) {
        xb_json *item = json_object_array_get_idx(list, i);
        const char *name = xb_json_str(item, "name", NULL);
        if (!all && (!name || field(names, name))) {
            continue;
        }
        if (name && put(names, name, json_object_new_boolean(true), &err) < 0) {
            return false;
        }
        if (json_object_array_add(merged, json_object_get(item)) < 0) {
            json_object_put(item);
            return false;
        }
    }
    return true;
}

/* The whole list, which is what a merge patch needs, or NULL when nothing is new. */
static xb_json *merged_list(xb_json *existing, xb_json *wanted)
{
    XB_CLEANUP(xb_json_putp) xb_json *merged = json_object_new_array();
    XB_CLEANUP(xb_json_putp) xb_json *names = json_object_new_object();
    if (!merged || !names || !add_items(merged, names, existing, true)) {
        return NULL;
    }
    size_t before = json_object_array_length(merged);
    if (!add_items(merged, names, wanted, false) || json_object_array_length(merged) == before) {
        return NULL;
    }
    return XB_TAKE(merged);
}

/* Puts what there is to add at `path`; nothing for NULL. */
static int add_part(xb_json *patch, const char *path, xb_json *part, struct xb_error *err)
{
    return part ? xb_json_set(patch, path, part, err) : 0;
}

xb_json *xb_restore_merge_service_account(xb_json *existing, xb_json *wanted)
{
    static const char *const lists[] = {"secrets", "imagePullSecrets"};
    static const char *const maps[] = {"metadata.labels", "metadata.annotations"};
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    int r = patch ? 0 : -ENOMEM;
    for (size_t i = 0; r == 0 && i < 2; i++) {
        xb_json *part = merged_list(field(existing, lists[i]), field(wanted, lists[i]));
        r = add_part(patch, lists[i], part, &err);
    }
    for (size_t i = 0; r == 0 && i < 2; i++) {
        xb_json *part = missing_keys(xb_json_get(existing, maps[i]), xb_json_get(wanted, maps[i]));
        r = add_part(patch, maps[i], part, &err);
    }
    return r < 0 || is_empty(patch) ? NULL : XB_TAKE(patch);
}
