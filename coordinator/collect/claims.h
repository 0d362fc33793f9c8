/* SPDX-License-Identifier: Apache-2.0
 *
 * claims.h - the PersistentVolumeClaims that a collection has come across, by name.
 *
 * What for:  a claim that several pods share is backed up once, and one that no running pod mounts
 *            is not forgotten. Finding one costs the same however many there are.
 * Ownership: the caller owns the table (xb_claims_free); entries live as long as it does, but move
 *            when another is added.
 * Threads:   one.    Blocking: never (pure).
 * Errors:    FULL beyond XB_CLAIMS_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum { XB_CLAIMS_MAX = 200000 };

struct xb_claim {
    char *namespace, *name;
    char *taken_by; /* the pod through which its data is backed up; NULL: none */
    bool collected; /* the claim itself is in the backup */
    bool mounted;   /* by a running pod of the backup */
    bool listed;    /* some pod's volume on it is among the volumes */
    bool wanted;    /* some pod that does not run wants it in the backup */
    bool unwanted;  /* some pod wants it to be left out */
};

struct xb_claims {
    struct xb_claim *items;
    size_t count, cap;
    uint32_t *slots; /* index + 1; 0 is free */
    size_t slot_count;
};

/* The entry of that name, made if there is none. */
int xb_claims_get(struct xb_claims *claims, const char *namespace, const char *name,
                  struct xb_claim **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_claims_free(struct xb_claims *claims); /* what it owns */
