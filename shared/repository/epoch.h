/* SPDX-License-Identifier: Apache-2.0
 *
 * epoch.h - which index blobs count, computed from their names alone.
 *
 * What for:  a list of the blobs that start with 'x' becomes the write epoch, the active index set
 *            and the deletion watermark. Internal to the repository.
 * Ownership: the set borrows the caller's names: they must outlive it. xb_epoch_set_free frees the
 *            array.
 * Threads:   none shared.    Blocking: never (pure; time is n log n in the number of names).
 * Errors:    FULL beyond XB_EPOCH_NAMES_MAX or without memory. Names that are malformed are not
 *            errors: others may put anything into a bucket. They are ignored.
 * Source:    kopia-format section 8.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum {
    XB_EPOCH_NAMES_MAX = 1000000,
    /* Epochs advance once a day at most: a larger number is not an epoch. */
    XB_EPOCH_MAX = 1000000000
};

/* There is no watermark: nothing is older. */
#define XB_EPOCH_NO_WATERMARK INT64_MIN

struct xb_epoch_set {
    const char **active; /* index blobs to load, in no promised order, each once */
    size_t active_count;
    int64_t write_epoch;
    int64_t watermark_s; /* deleted entries at or before it do not exist */
};

int xb_epoch_compute(const char *const *names, size_t count, struct xb_epoch_set *ret,
                     struct xb_error *err) XB_MUST_CHECK;
void xb_epoch_set_free(struct xb_epoch_set *set);
