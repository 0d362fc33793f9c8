/* SPDX-License-Identifier: Apache-2.0
 *
 * transform.h - turns an object of a backup into one that can be created.
 *
 * What for:  what a restore does to a single object before it is sent: what is left out, what is
 *            taken off, what is put on; and how an object that is already there is compared and
 *            merged.
 * Ownership: objects are changed in place and stay the caller's. A context only lends. Results may
 *            share parts with the arguments by reference counts.
 * Threads:   an object belongs to one thread.
 * Blocking:  never: no input, no output, nothing but the arguments.
 * Shapes:    objects come from a backup and so are hostile: any JSON is taken; what is not as
 *            Kubernetes has it is left for the API server to refuse, unless it is in metadata:
 *            CORRUPT.
 * Errors:    CORRUPT, FULL (no memory). The object is then changed in part: do not create it.
 * Source:    velero-contract section 4, "Per item", "Volumes", "Built-in item actions".
 *
 * A caller that wants to restore `status`, or metadata.managedFields, takes them out first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "shared/codec/json.h"

enum { XB_RESTORE_REASON_BYTES = 200 };

struct xb_restore_context {
    const char *backup_name, *restore_name;
    const char *backup_label, *restore_label; /* the names, cut to a label's length; NULL: none */
    const char *restore_uid;
    xb_json *namespace_mapping; /* from: to; or NULL */
    bool preserve_node_ports;
    /* False: no token Secret of a service account is restored. True: those that people made (not
     * named <account>-token-...) are, empty, for the cluster to fill: pods may mount them. */
    bool keep_token_secrets;
    /* The init container restore-wait. The image must be there; the rest is from the ConfigMap for
     * pod-volume-restore, and NULL for the default. */
    const char *helper_image, *helper_command;
    const char *helper_cpu_request, *helper_memory_request, *helper_cpu_limit, *helper_memory_limit;
    xb_json *helper_security; /* a whole securityContext, used as it is */
};

enum xb_restore_decision { XB_RESTORE_CREATE, XB_RESTORE_SKIP };

/* What happens to a persistent volume and its claim. */
enum xb_restore_volume_way {
    XB_RESTORE_PV_SKIP, /* no PV; the claim is detached and gets a new volume */
    XB_RESTORE_PV_KEEP  /* the PV is restored and waits for its claim */
};

/* Where objects of a namespace go; the namespace itself when nothing maps it. */
const char *xb_restore_namespace(const struct xb_restore_context *context, const char *namespace);

/* Decides, and makes the object ready to be created. SKIP: `reason` says why in words, and the
 * object may be changed in part. CREATE: reason is empty. */
int xb_restore_transform(const struct xb_restore_context *context, const char *resource,
                         xb_json *object, enum xb_restore_decision *ret,
                         char reason[XB_RESTORE_REASON_BYTES], struct xb_error *err) XB_MUST_CHECK;

/* The last of it again, for an object that was changed meanwhile: the namespace that objects of
 * `namespace` go into ("": none), and the labels. CORRUPT: its metadata is none any more. */
int xb_restore_settle(const struct xb_restore_context *context, const char *namespace,
                      xb_json *object, struct xb_error *err) XB_MUST_CHECK;

/* Whether it is a pod or job that had ended, or a pod that its node makes by itself: such are never
 * restored. Any JSON. */
bool xb_restore_is_over(const char *resource, xb_json *object);

/* The built-in action of the kind alone, as xb_restore_transform runs it. Services need the
 * metadata.managedFields of the backup. */
int xb_restore_act(const struct xb_restore_context *context, const char *resource, xb_json *object,
                   struct xb_error *err) XB_MUST_CHECK;

/* How a volume without a native snapshot comes back: SKIP when its data comes by a
 * PodVolumeBackup (`has_data`) or its reclaim policy is Delete, so that the old one is gone. But a
 * folder of a node that somebody wrote down by hand is nothing that a provisioner could make anew:
 * KEEP, and the data goes into it. */
enum xb_restore_volume_way xb_restore_volume_way(xb_json *pv, bool has_data);
/* Whether a PersistentVolume of the cluster waits for that claim, or for any. */
bool xb_restore_pv_is_free(xb_json *pv, const char *namespace, const char *claim);

/* The claim of an XB_RESTORE_PV_SKIP volume: no volumeName, no binding annotations. */
void xb_restore_pvc_detach(xb_json *pvc);
/* Also no dataSource and dataSourceRef: for claims whose data comes from the backup, which would
 * else wait for ever for a snapshot or claim that is long gone. */
void xb_restore_pvc_drop_source(xb_json *pvc);

/* An XB_RESTORE_PV_KEEP volume: bound to its claim by name only, in the mapped namespace. */
int xb_restore_pv_keep(const struct xb_restore_context *context, xb_json *pv,
                       struct xb_error *err) XB_MUST_CHECK;

/* Whether the object in the cluster is the wanted (transformed) one: metadata, status and the
 * labels velero.io/backup-name and restore-name aside. What a kind's action takes off the wanted
 * one (a service's clusterIP) makes a difference, unless `existing` is a copy that went through
 * xb_restore_act with no mapping. */
bool xb_restore_equal(xb_json *existing, xb_json *wanted);

/* A ServiceAccount that is already there gets the wanted one's secrets, imagePullSecrets, labels
 * and annotations that it lacks; what it has wins. A JSON merge patch to be put by the caller; NULL
 * when there is nothing to add, or no memory. */
xb_json *xb_restore_merge_service_account(xb_json *existing, xb_json *wanted);
