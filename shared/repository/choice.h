/* SPDX-License-Identifier: Apache-2.0
 *
 * choice.h - which algorithms a new repository gets, and why.
 *
 * What for:  a repository keeps its algorithms for good, so they are chosen for the machine that
 *            makes it, by measuring there. docs/design/0001-new-repository-algorithms.md tells how
 *            the candidates were found.
 * Ownership: plain values; names are static text.
 * Threads:   any.    Blocking: CPU, some ten milliseconds.
 * Errors:    INVALID when a candidate that should be there cannot be used.
 */
#pragma once

#include <stddef.h>

#include "shared/base/error.h"

enum { XB_CHOICE_CANDIDATES = 3, XB_CHOICE_TEXT_BYTES = 256 };

struct xb_choice_candidate {
    const char *name;
    double gb_per_s; /* on one core; 0: not in this build */
};

struct xb_choice {
    const char *hash, *encryption, *splitter;
    /* What was measured, in the order of preference; unused ones at the end have no name. */
    struct xb_choice_candidate hashes[XB_CHOICE_CANDIDATES], encryptions[XB_CHOICE_CANDIDATES];
};

int xb_choice_make(struct xb_choice *ret, struct xb_error *err) XB_MUST_CHECK;

/* The first candidate that can be used, unless a later one is faster by more than a quarter: what
 * hardly differs does not depend on the moment. NULL when none can be used. */
const char *xb_choice_best(const struct xb_choice_candidate candidates[XB_CHOICE_CANDIDATES]);

/* "BLAKE3-256-128 4.4 GB/s, HMAC-SHA256-128 1.8 GB/s, ..." */
void xb_choice_format(const struct xb_choice_candidate candidates[XB_CHOICE_CANDIDATES],
                      char out[XB_CHOICE_TEXT_BYTES]);
