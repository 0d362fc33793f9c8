/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/velero.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/crypto/hash.h"

#define VELERO(plural_, kind_)                                                                     \
    {                                                                                              \
        "velero.io", "v1", plural_, kind_, true                                                    \
    }

const struct xb_kube_resource xb_velero_backups = VELERO("backups", "Backup");
const struct xb_kube_resource xb_velero_restores = VELERO("restores", "Restore");
const struct xb_kube_resource xb_velero_schedules = VELERO("schedules", "Schedule");
const struct xb_kube_resource xb_velero_locations =
    VELERO("backupstoragelocations", "BackupStorageLocation");
const struct xb_kube_resource xb_velero_pvbs = VELERO("podvolumebackups", "PodVolumeBackup");
const struct xb_kube_resource xb_velero_pvrs = VELERO("podvolumerestores", "PodVolumeRestore");
const struct xb_kube_resource xb_velero_downloads = VELERO("downloadrequests", "DownloadRequest");
const struct xb_kube_resource xb_velero_status_requests =
    VELERO("serverstatusrequests", "ServerStatusRequest");
const struct xb_kube_resource xb_velero_repositories =
    VELERO("backuprepositories", "BackupRepository");
const struct xb_kube_resource xb_velero_deletions =
    VELERO("deletebackuprequests", "DeleteBackupRequest");
const struct xb_kube_resource xb_velero_snapshot_locations =
    VELERO("volumesnapshotlocations", "VolumeSnapshotLocation");
const struct xb_kube_resource xb_core_pods = {"", "v1", "pods", "Pod", true};
const struct xb_kube_resource xb_core_pvcs = {"", "v1", "persistentvolumeclaims",
                                              "PersistentVolumeClaim", true};
const struct xb_kube_resource xb_core_pvs = {"", "v1", "persistentvolumes", "PersistentVolume",
                                             false};
const struct xb_kube_resource xb_core_secrets = {"", "v1", "secrets", "Secret", true};
const struct xb_kube_resource xb_core_namespaces = {"", "v1", "namespaces", "Namespace", false};
const struct xb_kube_resource xb_core_nodes = {"", "v1", "nodes", "Node", false};
const struct xb_kube_resource xb_core_configmaps = {"", "v1", "configmaps", "ConfigMap", true};
const struct xb_kube_resource xb_storage_csidrivers = {"storage.k8s.io", "v1", "csidrivers",
                                                       "CSIDriver", false};
const struct xb_kube_resource xb_coordination_leases = {"coordination.k8s.io", "v1", "leases",
                                                        "Lease", true};

enum { LABEL_KEEP = 57, LABEL_HEX = 6, DERIVED_HEX = 12 };

int xb_velero_label(const char *name, char out[XB_VELERO_LABEL_BYTES], struct xb_error *err)
{
    unsigned char digest[XB_SHA256_BYTES];
    char hex[2 * XB_SHA256_BYTES + 1];
    size_t len = strlen(name);
    if (len < XB_VELERO_LABEL_BYTES) {
        memcpy(out, name, len + 1);
        return 0;
    }
    int r = xb_sha256(name, len, digest, err);
    if (r < 0) {
        return r;
    }
    xb_hex_encode(digest, sizeof digest, hex);
    memcpy(out, name, LABEL_KEEP);
    memcpy(out + LABEL_KEEP, hex, LABEL_HEX);
    out[LABEL_KEEP + LABEL_HEX] = '\0';
    return 0;
}

bool xb_velero_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= XB_VELERO_NAME_BYTES || name[0] == '.' || name[0] == '-') {
        return false;
    }
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len;
}

int xb_velero_derived_name(const char *prefix, const char *const *parts,
                           char out[XB_VELERO_NAME_BYTES], struct xb_error *err)
{
    unsigned char digest[XB_SHA256_BYTES];
    char hex[2 * XB_SHA256_BYTES + 1];
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(64 * 1024);
    int r = 0;
    for (size_t i = 0; r == 0 && parts[i]; i++) {
        r = xb_buf_append(&text, parts[i], strlen(parts[i]) + 1, err);
    }
    if (r < 0 || (r = xb_sha256(text.data, text.len, digest, err)) < 0) {
        return r;
    }
    xb_hex_encode(digest, sizeof digest, hex);
    int keep = (int)strnlen(prefix, XB_VELERO_NAME_BYTES - DERIVED_HEX - 2);
    while (keep > 0 && prefix[keep - 1] == '.') {
        keep--; /* ".-" is in no Kubernetes name; a cut may end so */
    }
    snprintf(out, XB_VELERO_NAME_BYTES, "%.*s-%.*s", keep, prefix, DERIVED_HEX, hex);
    return 0;
}

static int make_key(const char *name, const char *format, const char *suffix,
                    char out[XB_VELERO_KEY_BYTES], struct xb_error *err)
{
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a name: '%.100s'", name);
    }
    int written = 0;
    if (strcmp(format, "backup") == 0) {
        written = snprintf(out, XB_VELERO_KEY_BYTES, "backups/%s/%s%s", name, name, suffix);
    } else if (strcmp(format, "marker") == 0) {
        written = snprintf(out, XB_VELERO_KEY_BYTES, "backups/%s/velero-backup.json", name);
    } else if (strcmp(format, "restore") == 0) {
        written =
            snprintf(out, XB_VELERO_KEY_BYTES, "restores/%s/restore-%s%s", name, name, suffix);
    } else {
        written = snprintf(out, XB_VELERO_KEY_BYTES, "restores/%s/%s%s", name, name, suffix);
    }
    return written > 0 && written < XB_VELERO_KEY_BYTES
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a key is too long");
}

int xb_velero_backup_key(const char *backup, const char *suffix, char out[XB_VELERO_KEY_BYTES],
                         struct xb_error *err)
{
    return make_key(backup, "backup", suffix, out, err);
}

int xb_velero_marker_key(const char *backup, char out[XB_VELERO_KEY_BYTES], struct xb_error *err)
{
    return make_key(backup, "marker", "", out, err);
}

int xb_velero_restore_key(const char *restore, const char *suffix, char out[XB_VELERO_KEY_BYTES],
                          struct xb_error *err)
{
    bool plain = strcmp(suffix, "-volumeinfo.json.gz") == 0;
    return make_key(restore, plain ? "plain" : "restore", suffix, out, err);
}

int xb_velero_download_key(const char *kind, const char *name, char out[XB_VELERO_KEY_BYTES],
                           struct xb_error *err)
{
    static const struct {
        const char *kind, *format, *suffix;
    } kinds[] = {
        {"BackupLog", "backup", "-logs.gz"},
        {"BackupContents", "backup", ".tar.gz"},
        {"BackupVolumeSnapshots", "backup", "-volumesnapshots.json.gz"},
        {"BackupItemOperations", "backup", "-itemoperations.json.gz"},
        {"BackupResourceList", "backup", "-resource-list.json.gz"},
        {"BackupResults", "backup", "-results.gz"},
        {"BackupVolumeInfos", "backup", "-volumeinfo.json.gz"},
        {"CSIBackupVolumeSnapshots", "backup", "-csi-volumesnapshots.json.gz"},
        {"CSIBackupVolumeSnapshotContents", "backup", "-csi-volumesnapshotcontents.json.gz"},
        {"RestoreLog", "restore", "-logs.gz"},
        {"RestoreResults", "restore", "-results.gz"},
        {"RestoreResourceList", "restore", "-resource-list.json.gz"},
        {"RestoreItemOperations", "restore", "-itemoperations.json.gz"},
        {"RestoreVolumeInfo", "plain", "-volumeinfo.json.gz"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].kind, kind) == 0) {
            return make_key(name, kinds[i].format, kinds[i].suffix, out, err);
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "downloads of kind '%.60s' are unknown",
                        kind);
}

int xb_velero_secret(xb_json *secret, const char *key, bool text, struct xb_secret **ret,
                     struct xb_error *err)
{
    xb_json *value = NULL;
    struct xb_buf plain = XB_BUF_INIT(XB_SECRET_BYTES_MAX);
    (void)json_object_object_get_ex(xb_json_get(secret, "data"), key, &value);
    const char *encoded =
        json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
    int r = xb_base64_decode(encoded, strlen(encoded), &plain, err);
    while (r == 0 && text && plain.len > 0 && isspace((unsigned char)plain.data[plain.len - 1])) {
        plain.len--;
    }
    if (r == 0 && plain.len == 0) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL, "Secret %s: key '%.100s' is %s",
                         xb_json_str(secret, "metadata.name", "?"), key,
                         value ? "empty" : "not there");
    }
    if (r == 0) {
        r = xb_secret_new(plain.data, plain.len, ret, err);
    }
    xb_buf_wipe(&plain);
    return r;
}

bool xb_velero_data_phase_final(const char *phase)
{
    return strcmp(phase, "Completed") == 0 || strcmp(phase, "Failed") == 0 ||
           strcmp(phase, "Canceled") == 0;
}

bool xb_velero_backup_phase_final(const char *phase)
{
    return strcmp(phase, "Completed") == 0 || strcmp(phase, "PartiallyFailed") == 0 ||
           strcmp(phase, "Failed") == 0 || strcmp(phase, "FailedValidation") == 0 ||
           strcmp(phase, "Deleting") == 0;
}

const char *xb_velero_snapshot_of(xb_json *order)
{
    const char *id = xb_json_str(order, "status.snapshotID", "");
    xb_json *own = NULL;
    (void)json_object_object_get_ex(xb_json_get(order, "metadata.annotations"),
                                    XB_VELERO_SNAPSHOT_ANNOTATION, &own);
    return !id[0] && json_object_is_type(own, json_type_string) ? json_object_get_string(own) : id;
}

xb_json *xb_velero_now(void)
{
    char text[XB_TIME_TEXT_BYTES];
    xb_time_format_seconds(xb_clock_wall_ns(), text);
    return json_object_new_string(text);
}

const char *xb_velero_mapped_namespace(xb_json *mapping, const char *namespace)
{
    xb_json *to = NULL;
    return json_object_object_get_ex(mapping, namespace, &to) &&
                   json_object_is_type(to, json_type_string) && json_object_get_string_len(to) > 0
               ? json_object_get_string(to)
               : namespace;
}

xb_json *xb_velero_owner(xb_json *object, const char *kind)
{
    return xb_json_find(xb_json_get(object, "metadata.ownerReferences"), "kind", kind);
}

static void put_text(xb_json *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

xb_json *xb_velero_owner_reference(xb_json *owner, const char *kind)
{
    xb_json *reference = json_object_new_object();
    put_text(reference, "apiVersion", "velero.io/v1");
    put_text(reference, "kind", kind);
    put_text(reference, "name", xb_json_str(owner, "metadata.name", ""));
    put_text(reference, "uid", xb_json_str(owner, "metadata.uid", ""));
    json_object_object_add(reference, "controller", json_object_new_boolean(true));
    return reference;
}

xb_json *xb_velero_order_metadata(xb_json *owner, const char *kind, const char *name)
{
    bool backup = strcmp(kind, "Backup") == 0;
    char label[XB_VELERO_LABEL_BYTES] = "";
    struct xb_error err = XB_ERROR_INIT;
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *owners = json_object_new_array();
    (void)!xb_velero_label(xb_json_str(owner, "metadata.name", ""), label, &err);
    put_text(labels, backup ? "velero.io/backup-name" : "velero.io/restore-name", label);
    put_text(labels, backup ? "velero.io/backup-uid" : "velero.io/restore-uid",
             xb_json_str(owner, "metadata.uid", ""));
    json_object_array_add(owners, xb_velero_owner_reference(owner, kind));
    put_text(metadata, "name", name);
    put_text(metadata, "namespace", xb_json_str(owner, "metadata.namespace", ""));
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(metadata, "ownerReferences", owners);
    return metadata;
}
