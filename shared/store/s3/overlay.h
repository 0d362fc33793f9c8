/* SPDX-License-Identifier: Apache-2.0
 *
 * overlay.h - what this process wrote lately, for listings that do not show it yet.
 *
 * What for:  some servers' listings lag behind. Where a listing and the overlay differ, the driver
 *            asks for the object itself, which servers answer from fresher knowledge.
 * Ownership: the caller frees it.
 * Threads:   any; one lock, held briefly.    Blocking: never.
 * Shapes:    names are relative to the store.
 * Limits:    XB_S3_OVERLAY_NAMES_MAX names, the oldest give way; XB_S3_OVERLAY_S seconds.
 * Source:    kopia-format section 1 (listings).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum { XB_S3_OVERLAY_NAMES_MAX = 8192, XB_S3_OVERLAY_S = 15 * 60 };

struct xb_s3_overlay;

int xb_s3_overlay_new(struct xb_s3_overlay **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_s3_overlay_free(struct xb_s3_overlay *overlay);

/* Notes a write. Out of memory: not noted, since the write itself has succeeded. */
void xb_s3_overlay_note(struct xb_s3_overlay *overlay, const char *name, bool present,
                        int64_t now_ns);

/* The names noted lately that start with prefix, sorted, of those present or those removed. Free
 * with xb_s3_overlay_names_free. */
struct xb_s3_overlay_names {
    char **names;
    size_t count;
};
int xb_s3_overlay_names(struct xb_s3_overlay *overlay, const char *prefix, bool present,
                        int64_t now_ns, struct xb_s3_overlay_names *ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* The index of the name, or -1. */
long xb_s3_overlay_find(const struct xb_s3_overlay_names *names, const char *name);
void xb_s3_overlay_names_free(struct xb_s3_overlay_names *names);
