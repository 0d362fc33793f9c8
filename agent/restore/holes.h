/* SPDX-License-Identifier: Apache-2.0
 *
 * holes.h - which bytes of a file need no room; pure.
 *
 * What for:  what a restore leaves out when it writes, and gives back when a file stays.
 * Ownership: nothing is kept.    Threads: any.    Blocking: never.
 */
#pragma once

#include "shared/repository/directory.h"

struct xb_holes_run {
    size_t len; /* at least 1 */
    bool hole;
};

/* The next run of `data`, which are the file's bytes from `offset` on (len > 0). What is recorded
 * as a hole must be zeros; if it is not, the data counts. `sparse`: aligned blocks of zeros are
 * holes everywhere. */
struct xb_holes_run xb_holes_next(const struct xb_entry *entry, bool sparse, uint64_t offset,
                                  const char *data, size_t len);
