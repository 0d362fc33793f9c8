/* SPDX-License-Identifier: Apache-2.0
 *
 * standstill.h - the writers of a volume's file system are held by the guard while it is copied.
 *
 * What for:  agent/freeze knows when (struct xb_freeze_holder), agent/guard knows how and whether
 *            it may be; this brings them together.
 * Ownership: the caller's struct, which must stay where it is; guard, uid and paths are lent.
 * Threads:   one at a time per standstill.
 * Blocking:  as xb_guard_freeze and xb_guard_thaw, xb_guard_watch and xb_guard_unwatch.
 * Errors:    theirs. NOT_FOUND: the volume is in no folder of pods, so nobody knows whose it is.
 * Limits:    XB_GUARD_LIMIT_MS_MAX: after that long the writers go on, whatever is.
 */
#pragma once

#include <limits.h>

#include "agent/freeze/freeze.h"
#include "agent/guard/guard.h"

struct xb_standstill {
    struct xb_guard *guard;
    const char *pod_uid, *path; /* of the volume's folder */
    const char *home;           /* a local volume's own folder on the node; NULL: it has none */
    char pods_root[PATH_MAX];   /* in which it lies; "": in none */
    struct xb_guard_frozen frozen;
    struct xb_guard_watched watched;
    struct xb_freeze_holder holder; /* for a request */
};

struct xb_standstill_volume {
    const char *pods_roots; /* with colons between them */
    const char *pod_uid, *path, *home;
};

void xb_standstill_init(struct xb_standstill *standstill, struct xb_guard *guard,
                        const struct xb_standstill_volume *volume);
