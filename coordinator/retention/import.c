/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/retention/import.h"

#include <errno.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/velero/velero.h"

static int refuse(struct xb_error *err, const char *what, const char *value)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s '%.100s'", what, value);
}

static void put(xb_json *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++) {
        if (strcmp(*list, word) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- parts ---- */

static int check_type(xb_json *object, const char *kind, struct xb_error *err)
{
    if (!json_object_is_type(object, json_type_object)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "it is no object");
    }
    if (strcmp(xb_json_str(object, "apiVersion", ""), "velero.io/v1") != 0) {
        return refuse(err, "its apiVersion is", xb_json_str(object, "apiVersion", ""));
    }
    return strcmp(xb_json_str(object, "kind", ""), kind) == 0
               ? 0
               : refuse(err, "its kind is", xb_json_str(object, "kind", ""));
}

/* Velero writes the elements of a list without either. */
static int check_element_type(xb_json *object, const char *kind, struct xb_error *err)
{
    return json_object_is_type(object, json_type_object) && !xb_json_get(object, "apiVersion") &&
                   !xb_json_get(object, "kind")
               ? 0
               : check_type(object, kind, err);
}

/* Takes what Velero and its users put there. What is Xebec's own says to this program what is to be
 * done: it never comes from a store, but for what `keep` names, which only tells. */
static int copy_texts(xb_json *object, const char *path, const char *const *keep, xb_json *out,
                      struct xb_error *err)
{
    xb_json *texts = NULL;
    int r = xb_json_need_object(object, path, false, &texts, err);
    if (r < 0 || !texts) {
        return r < 0 ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s is no object", path) : 0;
    }
    json_object_object_foreach(texts, key, value)
    {
        if (!json_object_is_type(value, json_type_string)) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s: '%.60s' is no text", path, key);
        }
        bool ours = strncmp(key, "xebec.io/", 9) == 0 && !is_one_of(key, keep);
        bool applied = strcmp(key, "kubectl.kubernetes.io/last-applied-configuration") == 0;
        if (!ours && !applied) {
            json_object_object_add(out, key, json_object_get(value));
        }
    }
    return 0;
}

static int start_metadata(xb_json *object, const char *name, const struct xb_import_place *place,
                          xb_json **ret, struct xb_error *err)
{
    static const char *const keep[] = {"xebec.io/store-identity", "xebec.io/point-in-time",
                                       XB_VELERO_SNAPSHOT_ANNOTATION, NULL};
    XB_CLEANUP(xb_json_putp) xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    put(metadata, "name", name);
    put(metadata, "namespace", place->namespace);
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(metadata, "annotations", annotations);
    int r = copy_texts(object, "metadata.labels", keep + 3, labels, err);
    if (r < 0 || (r = copy_texts(object, "metadata.annotations", keep, annotations, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(metadata);
    return 0;
}

/* A part of the object, shared with nobody. */
static int copy_part(xb_json *object, const char *path, xb_json **ret, struct xb_error *err)
{
    xb_json *part = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *copy = NULL;
    int r = xb_json_need_object(object, path, true, &part, err);
    if (r < 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "it has no object '%s'", path);
    }
    if (json_object_deep_copy(part, &copy, NULL) < 0) {
        return xb_error_no_memory(err, "a record's object");
    }
    *ret = XB_TAKE(copy);
    return 0;
}

static xb_json *assemble(const char *kind, xb_json *metadata, xb_json *spec, xb_json *status)
{
    xb_json *object = json_object_new_object();
    put(object, "apiVersion", "velero.io/v1");
    put(object, "kind", kind);
    json_object_object_add(object, "metadata", metadata);
    json_object_object_add(object, "spec", spec);
    json_object_object_add(object, "status", status);
    return object;
}

/* ---- backups ---- */

/* The phase with which it comes, NULL while it has not ended. */
static int phase_of(xb_json *object, const struct xb_import_place *place, const char **ret,
                    struct xb_error *err)
{
    static const char *const ended[] = {"Completed", "PartiallyFailed", "Failed", NULL};
    static const char *const under_way[] = {"WaitingForPluginOperations",
                                            "WaitingForPluginOperationsPartiallyFailed",
                                            "Finalizing", "FinalizingPartiallyFailed", NULL};
    const char *phase = xb_json_str(object, "status.phase", "");
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t expires_ns = 0;
    if (is_one_of(phase, ended)) {
        *ret = phase;
        return 0;
    }
    if (!is_one_of(phase, under_way)) {
        return refuse(err, "only a backup that has ended is a record, and its phase is", phase);
    }
    bool expired =
        xb_time_parse(xb_json_str(object, "status.expiration", ""), &expires_ns, &ignored) == 0 &&
        expires_ns <= place->now_ns;
    *ret = expired ? "PartiallyFailed" : NULL;
    return 0;
}

/* Schedules that are named as Velero names them. */
static xb_json *owners_of(xb_json *object)
{
    xb_json *owners = xb_json_get(object, "metadata.ownerReferences");
    xb_json *kept = json_object_new_array();
    size_t count =
        json_object_is_type(owners, json_type_array) ? json_object_array_length(owners) : 0;
    for (size_t i = 0; i < count && json_object_array_length(kept) < XB_IMPORT_OWNERS_MAX; i++) {
        xb_json *owner = json_object_array_get_idx(owners, i);
        const char *name = xb_json_str(owner, "name", "");
        const char *uid = xb_json_str(owner, "uid", "");
        if (strcmp(xb_json_str(owner, "apiVersion", ""), "velero.io/v1") == 0 &&
            strcmp(xb_json_str(owner, "kind", ""), "Schedule") == 0 && xb_velero_name_valid(name) &&
            uid[0]) {
            xb_json *copy = json_object_new_object();
            put(copy, "apiVersion", "velero.io/v1");
            put(copy, "kind", "Schedule");
            put(copy, "name", name);
            put(copy, "uid", uid);
            json_object_object_add(
                copy, "controller",
                json_object_new_boolean(xb_json_bool(owner, "controller", false)));
            json_object_array_add(kept, copy);
        }
    }
    return kept;
}

static int make_backup(xb_json *object, const char *phase, const struct xb_import_place *place,
                       xb_json **ret, struct xb_error *err)
{
    char label[XB_VELERO_LABEL_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *metadata = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *spec = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *status = NULL;
    int r = xb_velero_label(place->location, label, err);
    if (r < 0 ||
        (r = start_metadata(object, xb_json_str(object, "metadata.name", ""), place, &metadata,
                            err)) < 0 ||
        (r = copy_part(object, "spec", &spec, err)) < 0 ||
        (r = copy_part(object, "status", &status, err)) < 0) {
        return r;
    }
    put(xb_json_get(metadata, "labels"), "velero.io/storage-location", label);
    json_object_object_del(xb_json_get(metadata, "labels"), "velero.io/gc-failure");
    put(xb_json_get(metadata, "annotations"), XB_IMPORT_PENDING_ANNOTATION, "true");
    json_object_object_add(metadata, "ownerReferences", owners_of(object));
    json_object_object_del(spec, "hooks");
    put(spec, "storageLocation", place->location);
    put(status, "phase", phase);
    *ret = assemble("Backup", XB_TAKE(metadata), XB_TAKE(spec), XB_TAKE(status));
    return 0;
}

int xb_import_backup(const char *name, const char *text, size_t len,
                     const struct xb_import_place *place, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    const char *phase = NULL;
    if (!xb_velero_name_valid(name)) {
        return refuse(err, "no backup can have the name of its folder,", name);
    }
    if (len > XB_IMPORT_MARKER_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EFBIG, "it is larger than any backup's object");
    }
    int r = xb_json_parse(text, len, &object, err);
    if (r < 0 || (r = check_type(object, "Backup", err)) < 0) {
        return r;
    }
    const char *own = xb_json_str(object, "metadata.name", "");
    if (strcmp(own, name) != 0) {
        return refuse(err, "it lies in another backup's folder: its name is", own);
    }
    r = phase_of(object, place, &phase, err);
    return r < 0 || !phase ? r : make_backup(object, phase, place, ret, err);
}

/* ---- orders ---- */

static int own_order(xb_json *metadata, xb_json *backup, struct xb_error *err)
{
    char label[XB_VELERO_LABEL_BYTES];
    const char *name = xb_json_str(backup, "metadata.name", "");
    const char *uid = xb_json_str(backup, "metadata.uid", "");
    int r = xb_velero_label(name, label, err);
    if (r < 0) {
        return r;
    }
    xb_json *labels = xb_json_get(metadata, "labels");
    xb_json *owners = json_object_new_array();
    xb_json *owner = json_object_new_object();
    put(labels, "velero.io/backup-name", label);
    put(labels, "velero.io/backup-uid", uid);
    put(owner, "apiVersion", "velero.io/v1");
    put(owner, "kind", "Backup");
    put(owner, "name", name);
    put(owner, "uid", uid);
    json_object_object_add(owner, "controller", json_object_new_boolean(true));
    json_object_array_add(owners, owner);
    json_object_object_add(metadata, "ownerReferences", owners);
    return 0;
}

int xb_import_order(xb_json *order, xb_json *backup, const struct xb_import_place *place,
                    xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *metadata = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *spec = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *status = NULL;
    const char *name = xb_json_str(order, "metadata.name", "");
    int r = check_element_type(order, "PodVolumeBackup", err);
    if (r < 0) {
        return r;
    }
    if (!xb_velero_name_valid(name)) {
        return refuse(err, "no order can have the name", name);
    }
    if (!xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""))) {
        return refuse(err, "only an order that has ended is a record, and its phase is",
                      xb_json_str(order, "status.phase", ""));
    }
    if ((r = start_metadata(order, name, place, &metadata, err)) < 0 ||
        (r = own_order(metadata, backup, err)) < 0 ||
        (r = copy_part(order, "spec", &spec, err)) < 0 ||
        (r = copy_part(order, "status", &status, err)) < 0) {
        return r;
    }
    put(spec, "backupStorageLocation", place->location);
    json_object_object_del(spec, "cancel");
    *ret = assemble("PodVolumeBackup", XB_TAKE(metadata), XB_TAKE(spec), XB_TAKE(status));
    return 0;
}
