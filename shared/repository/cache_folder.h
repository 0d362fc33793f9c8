/* SPDX-License-Identifier: Apache-2.0
 *
 * cache_folder.h - folders that belong to this user alone.
 *
 * What for:  the index cache (index_cache.c). Internal.
 * Ownership: descriptors are the caller's.
 * Threads:   any.    Blocking: yes (disk).
 * Errors:    DENIED: it belongs to somebody else, or somebody else may write to it.
 */
#pragma once

#include <sys/types.h>

#include "shared/base/error.h"

/* Makes every missing part of a path, for this user alone. */
int xb_cache_folder_make(const char *path, struct xb_error *err) XB_MUST_CHECK;

/* Opens a folder that is ours and whose mode has none of the `forbidden` bits; its last part is no
 * link. Returns a descriptor. */
int xb_cache_folder_open(int at, const char *path, mode_t forbidden,
                         struct xb_error *err) XB_MUST_CHECK;

/* Calls fn for each name that does not begin with a dot; a negative answer ends it. */
typedef int xb_cache_entry_fn(void *context, int folder, const char *name);
void xb_cache_folder_each(int folder, xb_cache_entry_fn *fn, void *context);
