/* SPDX-License-Identifier: Apache-2.0
 *
 * volumes.h - which volumes of a pod are backed up from its file system, and why not.
 *
 * What for:  one rule for the backup and for what the record says of every volume.
 * Ownership: strings are lent by the pod, or live for ever.    Threads: any.
 * Blocking:  never (pure).
 * Source:    velero-contract section 3, "Choosing volumes for fs-backup".
 */
#pragma once

#include <stdbool.h>

#include "coordinator/collect/policy.h"
#include "shared/codec/json.h"

enum xb_volume_verdict {
    XB_VOLUME_TAKE,
    XB_VOLUME_SKIP,  /* by rule or by request: worth a line in the log */
    XB_VOLUME_MISSED /* wanted, and cannot be taken: a warning */
};

/* What is known beside the pod. */
struct xb_volume_facts {
    bool by_default;      /* volumes are taken unless an annotation excludes them; else only those
                             that an annotation names */
    bool claims_left_out; /* by the backup's filters: the data could not be restored */
    enum xb_policy_action action;       /* what the backup's resource policies say of it */
    xb_json *claim, *persistent_volume; /* NULL: none, or not found */
    /* Folders of the pod's node that its agent may read (shared/velero/host_paths.h); NULL: none */
    const char *host_paths;
    bool block_devices; /* it may read raw block devices */
};

struct xb_volume_choice {
    enum xb_volume_verdict verdict;
    const char *reason; /* unless taken */
};

enum { XB_VOLUME_CLAIM_BYTES = 512 };

/* The name of the volume's claim in the pod's namespace, or NULL. A generic ephemeral volume has
 * one, too; its name is made in `space`. */
const char *xb_volume_claim(xb_json *pod, xb_json *volume, char space[XB_VOLUME_CLAIM_BYTES]);

struct xb_volume_choice xb_volume_choose(xb_json *pod, xb_json *volume,
                                         const struct xb_volume_facts *facts);

/* Why the resource policies keep a volume from being backed up; NULL: they do not. */
const char *xb_volume_policy_reason(enum xb_policy_action action);

/* Whether the pod runs, and whether one of its containers has the volume as folder or device. */
bool xb_volume_pod_runs(xb_json *pod);
bool xb_volume_in_use(xb_json *pod, const char *volume);
