/* SPDX-License-Identifier: Apache-2.0
 * Every field of the specs. A test compares these tables with the schemas in deploy/crds. */
#include <stddef.h>

#include "shared/velero/spec_internal.h"

enum {
    YEAR_S = 365 * 24 * 3600,
    WORD_BYTES_MAX = 4096,
    HOOK_LISTS_MAX = 256,
    CERTIFICATES_BYTES_MAX = 1 << 20
};

#define LONG_S ((int64_t)XB_SPEC_TTL_YEARS_MAX * YEAR_S)

#define TEXT(field)                                                                                \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_TEXT, .max = WORD_BYTES_MAX                             \
    }
#define TEXTS(field)                                                                               \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_TEXTS, .max = XB_SPEC_LIST_MAX                          \
    }
#define TEXT_MAP(field)                                                                            \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_TEXT_MAP, .max = XB_SPEC_LIST_MAX                       \
    }
#define BOOL(field)                                                                                \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_BOOL                                                    \
    }
#define NAME(field)                                                                                \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_NAME                                                    \
    }
#define SPAN(field)                                                                                \
    {                                                                                              \
        .name = (field), .shape = XB_SHAPE_DURATION, .max = LONG_S                                 \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* ---- parts ---- */

static const struct xb_spec_field expression_fields[] = {
    {.name = "key", .shape = XB_SHAPE_TEXT, .required = true, .max = WORD_BYTES_MAX},
    {.name = "operator", .shape = XB_SHAPE_TEXT, .required = true, .max = WORD_BYTES_MAX},
    TEXTS("values"),
    END,
};
static const struct xb_spec_field selector_fields[] = {
    TEXT_MAP("matchLabels"),
    {.name = "matchExpressions",
     .shape = XB_SHAPE_OBJECTS,
     .max = XB_SPEC_LIST_MAX,
     .fields = expression_fields},
    END,
};

/* Which objects: of a Backup, of a Restore, of the hooks of either. */
#define TAKEN_BY_NAME                                                                              \
    TEXTS("includedNamespaces"), TEXTS("excludedNamespaces"), TEXTS("includedResources"),          \
        TEXTS("excludedResources")
#define LABEL_SELECTOR                                                                             \
    {                                                                                              \
        .name = "labelSelector", .shape = XB_SHAPE_OBJECT, .fields = selector_fields               \
    }
#define LABEL_SELECTORS                                                                            \
    LABEL_SELECTOR,                                                                                \
    {                                                                                              \
        .name = "orLabelSelectors", .shape = XB_SHAPE_OBJECTS, .max = XB_SPEC_LIST_MAX,            \
        .fields = selector_fields                                                                  \
    }
#define HOOKED_OBJECTS TEXT("name"), TAKEN_BY_NAME, LABEL_SELECTOR

static const char *const on_error_words[] = {"Continue", "Fail", NULL};
static const struct xb_spec_field exec_fields[] = {
    TEXT("container"),
    {.name = "command", .shape = XB_SHAPE_TEXTS, .required = true, .max = XB_SPEC_LIST_MAX},
    {.name = "onError", .shape = XB_SHAPE_ONE_OF, .words = on_error_words},
    SPAN("timeout"),
    END,
};
static const struct xb_spec_field hook_fields[] = {
    {.name = "exec", .shape = XB_SHAPE_OBJECT, .required = true, .fields = exec_fields},
    END,
};
static const struct xb_spec_field hooks_resource_fields[] = {
    HOOKED_OBJECTS,
    {.name = "pre", .shape = XB_SHAPE_OBJECTS, .max = HOOK_LISTS_MAX, .fields = hook_fields},
    {.name = "post", .shape = XB_SHAPE_OBJECTS, .max = HOOK_LISTS_MAX, .fields = hook_fields},
    END,
};
static const struct xb_spec_field hooks_fields[] = {
    {.name = "resources",
     .shape = XB_SHAPE_OBJECTS,
     .max = HOOK_LISTS_MAX,
     .fields = hooks_resource_fields},
    END,
};

static const struct xb_spec_field metadata_fields[] = {
    {.name = "labels", .shape = XB_SHAPE_LABELS, .max = XB_SPEC_LIST_MAX},
    {.name = "annotations", .shape = XB_SHAPE_ANNOTATIONS, .max = XB_SPEC_LIST_MAX},
    END,
};
static const struct xb_spec_field policy_fields[] = {
    TEXT("apiGroup"),
    {.name = "kind", .shape = XB_SHAPE_TEXT, .required = true, .max = WORD_BYTES_MAX},
    {.name = "name", .shape = XB_SHAPE_NAME, .required = true},
    END,
};
static const struct xb_spec_field uploader_fields[] = {
    {.name = "parallelFilesUpload", .shape = XB_SHAPE_COUNT, .max = XB_SPEC_FILES_AT_ONCE_MAX},
    END,
};

/* ---- Backup ---- */

/* "Full" would read all anew; no backup of this version does. */
static const char *const backup_types[] = {"Incremental", NULL};
static const struct xb_spec_field backup_fields[] = {
    {.name = "metadata", .shape = XB_SHAPE_OBJECT, .fields = metadata_fields},
    TAKEN_BY_NAME,
    TEXTS("includedClusterScopedResources"),
    TEXTS("excludedClusterScopedResources"),
    TEXTS("includedNamespaceScopedResources"),
    TEXTS("excludedNamespaceScopedResources"),
    LABEL_SELECTORS,
    BOOL("includeClusterResources"),
    BOOL("snapshotVolumes"),
    BOOL("snapshotMoveData"),
    TEXT("datamover"),
    BOOL("defaultVolumesToFsBackup"),
    BOOL("defaultVolumesToRestic"),
    SPAN("ttl"),
    NAME("storageLocation"),
    TEXTS("volumeSnapshotLocations"),
    TEXT_MAP("orderedResources"),
    SPAN("csiSnapshotTimeout"),
    SPAN("itemOperationTimeout"),
    {.name = "volumeGroupSnapshotLabelKey", .shape = XB_SHAPE_LABEL_KEY},
    {.name = "resourcePolicy", .shape = XB_SHAPE_OBJECT, .fields = policy_fields},
    {.name = "uploaderConfig", .shape = XB_SHAPE_OBJECT, .fields = uploader_fields},
    {.name = "hooks", .shape = XB_SHAPE_OBJECT, .fields = hooks_fields},
    {.name = "backupType", .shape = XB_SHAPE_ONE_OF, .words = backup_types},
    END,
};

/* ---- Schedule ---- */

static const struct xb_spec_field schedule_fields[] = {
    {.name = "template", .shape = XB_SHAPE_OBJECT, .required = true, .fields = backup_fields},
    TEXT("schedule"), /* what is in it is for the reader of such expressions */
    BOOL("useOwnerReferencesInBackup"),
    BOOL("paused"),
    BOOL("skipImmediately"),
    END,
};

/* ---- BackupStorageLocation ---- */

static const struct xb_spec_field secret_key_fields[] = {
    NAME("name"),
    {.name = "key", .shape = XB_SHAPE_TEXT, .required = true, .max = WORD_BYTES_MAX},
    BOOL("optional"),
    END,
};
static const struct xb_spec_field object_storage_fields[] = {
    TEXT("bucket"), /* required of buckets only */
    TEXT("prefix"),
    {.name = "caCert", .shape = XB_SHAPE_BASE64, .max = CERTIFICATES_BYTES_MAX},
    {.name = "caCertRef", .shape = XB_SHAPE_OBJECT, .fields = secret_key_fields},
    END,
};
static const char *const access_modes[] = {"ReadOnly", "ReadWrite", NULL};
static const struct xb_spec_field location_fields[] = {
    {.name = "provider", .shape = XB_SHAPE_TEXT, .required = true, .max = WORD_BYTES_MAX},
    TEXT_MAP("config"),
    {.name = "credential", .shape = XB_SHAPE_OBJECT, .fields = secret_key_fields},
    {.name = "objectStorage", .shape = XB_SHAPE_OBJECT, .fields = object_storage_fields},
    BOOL("default"),
    {.name = "accessMode", .shape = XB_SHAPE_ONE_OF, .words = access_modes},
    {.name = "backupSyncPeriod", .shape = XB_SHAPE_DURATION, .min = -LONG_S, .max = LONG_S},
    {.name = "validationFrequency", .shape = XB_SHAPE_DURATION, .min = -LONG_S, .max = LONG_S},
    END,
};

/* ---- DeleteBackupRequest ---- */

static const struct xb_spec_field deletion_fields[] = {
    {.name = "backupName", .shape = XB_SHAPE_NAME, .required = true},
    END,
};

/* ---- Restore ---- */

static const struct xb_spec_field after_exec_fields[] = {
    TEXT("container"),
    {.name = "command", .shape = XB_SHAPE_TEXTS, .required = true, .max = XB_SPEC_LIST_MAX},
    {.name = "onError", .shape = XB_SHAPE_ONE_OF, .words = on_error_words},
    SPAN("execTimeout"),
    SPAN("waitTimeout"),
    BOOL("waitForReady"),
    END,
};
static const struct xb_spec_field after_init_fields[] = {
    /* Containers of a pod: the API server knows what they may be, and refuses the pod. */
    {.name = "initContainers", .shape = XB_SHAPE_ANY_OBJECTS, .max = HOOK_LISTS_MAX},
    SPAN("timeout"),
    END,
};
static const struct xb_spec_field after_fields[] = {
    {.name = "exec", .shape = XB_SHAPE_OBJECT, .fields = after_exec_fields},
    {.name = "init", .shape = XB_SHAPE_OBJECT, .fields = after_init_fields},
    END,
};
static const struct xb_spec_field after_resource_fields[] = {
    HOOKED_OBJECTS,
    {.name = "postHooks", .shape = XB_SHAPE_OBJECTS, .max = HOOK_LISTS_MAX, .fields = after_fields},
    END,
};
static const struct xb_spec_field after_hooks_fields[] = {
    {.name = "resources",
     .shape = XB_SHAPE_OBJECTS,
     .max = HOOK_LISTS_MAX,
     .fields = after_resource_fields},
    END,
};
static const struct xb_spec_field status_fields[] = {
    TEXTS("includedResources"),
    TEXTS("excludedResources"),
    END,
};
static const struct xb_spec_field download_fields[] = {
    BOOL("writeSparseFiles"),
    {.name = "parallelFilesDownload", .shape = XB_SHAPE_COUNT, .max = XB_SPEC_FILES_AT_ONCE_MAX},
    END,
};
static const char *const existing_policies[] = {"none", "update", NULL};
static const struct xb_spec_field restore_fields[] = {
    NAME("backupName"),
    NAME("scheduleName"),
    TAKEN_BY_NAME,
    {.name = "namespaceMapping", .shape = XB_SHAPE_NAME_MAP, .max = XB_SPEC_LIST_MAX},
    LABEL_SELECTORS,
    BOOL("restorePVs"),
    {.name = "restoreStatus", .shape = XB_SHAPE_OBJECT, .fields = status_fields},
    BOOL("preserveNodePorts"),
    BOOL("includeClusterResources"),
    {.name = "existingResourcePolicy", .shape = XB_SHAPE_ONE_OF, .words = existing_policies},
    SPAN("itemOperationTimeout"),
    {.name = "resourceModifier", .shape = XB_SHAPE_OBJECT, .fields = policy_fields},
    {.name = "resourcePolicy", .shape = XB_SHAPE_OBJECT, .fields = policy_fields},
    BOOL("skipDefaultResourceModifier"),
    {.name = "uploaderConfig", .shape = XB_SHAPE_OBJECT, .fields = download_fields},
    {.name = "hooks", .shape = XB_SHAPE_OBJECT, .fields = after_hooks_fields},
    END,
};

const struct xb_spec_field *xb_spec_root(enum xb_spec_of what)
{
    /* A Backup without a spec is one of everything. */
    static const struct xb_spec_field roots[] = {
        [XB_SPEC_BACKUP] = {.name = "spec", .shape = XB_SHAPE_OBJECT, .fields = backup_fields},
        [XB_SPEC_SCHEDULE] = {.name = "spec",
                              .shape = XB_SHAPE_OBJECT,
                              .required = true,
                              .fields = schedule_fields},
        [XB_SPEC_LOCATION] = {.name = "spec",
                              .shape = XB_SHAPE_OBJECT,
                              .required = true,
                              .fields = location_fields},
        [XB_SPEC_DELETION] = {.name = "spec",
                              .shape = XB_SHAPE_OBJECT,
                              .required = true,
                              .fields = deletion_fields},
        [XB_SPEC_RESTORE] = {.name = "spec",
                             .shape = XB_SHAPE_OBJECT,
                             .required = true,
                             .fields = restore_fields},
    };
    return &roots[what];
}
