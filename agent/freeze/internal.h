/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a copy from within; for the files of this folder only.
 *
 * What for:  freeze.c chooses and keeps the times, place.c finds the folder in which a copy lies
 *            and removes what is left over, space.c guards the free space; one file per method.
 */
#pragma once

#include <pthread.h>

#include "agent/freeze/freeze.h"

/* What was prepared of a method; its own. */
struct xb_freeze_state;

struct xb_freeze_driver {
    enum xb_freeze_method method;
    enum xb_freeze_consistency consistency;
    /* An error is a reason why not. */
    int (*prepare)(struct xb_freeze *freeze, struct xb_error *err);
    int (*take)(struct xb_freeze *freeze, struct xb_error *err);
    /* Removes everything, whatever there is of it. */
    void (*drop)(struct xb_freeze *freeze);
};

struct xb_freeze {
    struct xb_freeze_request request;
    const struct xb_freeze_driver *driver; /* NULL: LIVE */
    struct xb_freeze_facts facts;
    bool taken;
    int root_fd; /* of the copy; -1: none */
    struct xb_manifest *manifest;
    struct xb_freeze_state *state;
    atomic_bool lost;
    char lost_reason[XB_FREEZE_REASONS_BYTES];
};
