/* SPDX-License-Identifier: Apache-2.0
 *
 * names.h - blob names by number, so that millions of index entries share a few thousand texts.
 *
 * What for:  the pack column of indexes (index.h, index_table.h), and of what plans reads by packs.
 * Ownership: the caller owns the struct; a text lent by xb_names_at is valid until the next intern.
 * Threads:   one writer, or any number of readers.    Blocking: never.
 * Limits:    XB_NAMES_MAX names of up to XB_NAMES_TEXT_BYTES_MAX bytes; beyond: FULL, CORRUPT.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum {
    XB_NAMES_MAX = 16 * 1024 * 1024, /* what an index v2 can number */
    XB_NAMES_TEXT_BYTES_MAX = 95     /* a pack's name has 33 bytes and a session */
};

struct xb_names {
    char *text; /* all names, each with its NUL */
    size_t text_len, text_cap;
    uint32_t *offsets; /* by number */
    uint32_t count, cap;
    uint32_t *slots; /* open addressing: number + 1, 0 is free */
    uint32_t slot_count;
};

/* An empty set is all zeros. */
void xb_names_free(struct xb_names *names); /* frees what it owns and zeroes it */

/* The number of the name, adding it if it is new. */
int xb_names_intern(struct xb_names *names, const char *name, size_t len, uint32_t *ret_number,
                    struct xb_error *err) XB_MUST_CHECK;

/* The number of a name that is in the set; false: it is not. */
bool xb_names_find(const struct xb_names *names, const char *name, uint32_t *ret_number);

/* As text with its NUL. `number` must have come from intern. */
const char *xb_names_at(const struct xb_names *names, uint32_t number);
