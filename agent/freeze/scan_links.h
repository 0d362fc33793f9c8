/* SPDX-License-Identifier: Apache-2.0
 *
 * scan_links.h - files with several names, of which one was taken; for the files of this folder
 * only.
 *
 * Threads:   any, between lock and unlock; who takes such a file holds the lock until it is added.
 * Limits:    as many as the tree has entries: some 200 bytes each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "shared/base/error.h"

struct xb_scan_links;

struct xb_scan_link {
    struct stat st;
    uint64_t child;
    int64_t seen_ns;
};

int xb_scan_links_new(struct xb_scan_links **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_scan_links_free(struct xb_scan_links *links);
void xb_scan_links_lock(struct xb_scan_links *links);
void xb_scan_links_unlock(struct xb_scan_links *links);
/* Fills the rest, by device and inode. */
bool xb_scan_links_find(const struct xb_scan_links *links, struct xb_scan_link *link);
int xb_scan_links_add(struct xb_scan_links *links, const struct xb_scan_link *link,
                      struct xb_error *err) XB_MUST_CHECK;
