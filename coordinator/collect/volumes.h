/* SPDX-License-Identifier: Apache-2.0
 *
 * volumes.h - which volumes of a pod are backed up from its file system, and why not.
 *
 * What for:  one rule for the backup and for what the record says of every volume.
 * Ownership: strings are lent by the pod.    Threads: any.    Blocking: never (pure).
 * Source:    velero-contract section 3, "Choosing volumes for fs-backup".
 */
#pragma once

#include <stdbool.h>

#include "shared/codec/json.h"

enum xb_volume_verdict {
    XB_VOLUME_TAKE,
    XB_VOLUME_SKIP,  /* by rule or by request: worth a line in the log */
    XB_VOLUME_MISSED /* wanted, and cannot be taken: a warning */
};

struct xb_volume_choice {
    const char *volume;
    const char *claim; /* name of the PVC, or NULL */
    enum xb_volume_verdict verdict;
    const char *reason; /* unless taken */
};

typedef int xb_volume_choice_fn(void *context, const struct xb_volume_choice *choice,
                                struct xb_error *err);

/* Calls fn for every volume of the pod. by_default: volumes are taken unless excluded by
 * annotation; otherwise only those that an annotation names. */
int xb_choose_volumes(xb_json *pod, bool by_default, xb_volume_choice_fn *fn, void *context,
                      struct xb_error *err) XB_MUST_CHECK;
