/* SPDX-License-Identifier: Apache-2.0
 *
 * seen.h - a set of texts that a collection has come across, eight bytes each.
 *
 * What for:  each object is taken once, and what is dragged in is asked for once. Only a hash is
 *            kept of a text, under a key of the set's own: names are chosen by users, and nobody
 *            may choose one that makes another's object count as seen.
 * Ownership: the caller owns the set (xb_seen_free); all zero is an empty one.
 * Threads:   one.    Blocking: never.
 * Errors:    FULL beyond what a tarball may hold.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

struct xb_hash;

struct xb_seen {
    uint64_t *slots; /* 0 is free */
    size_t count, cap;
    struct xb_hash *hash;
};

/* *ret_new: it was not there before. */
int xb_seen_add(struct xb_seen *seen, const char *text, bool *ret_new,
                struct xb_error *err) XB_MUST_CHECK;
bool xb_seen_has(const struct xb_seen *seen, const char *text);
void xb_seen_free(struct xb_seen *seen); /* what it owns */
