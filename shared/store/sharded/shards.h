/* SPDX-License-Identifier: Apache-2.0
 *
 * shards.h - kopia's rule from blob names to paths, as `.shards` states it.
 *
 * What for:  the sharded decorator; apart from it so that the rule and the parser are pure.
 * Ownership: free with xb_shards_free.
 * Threads:   read-only after parsing.    Blocking: never.
 * Errors:    CORRUPT: .shards is not what kopia writes.
 * Limits:    named below.
 * Source:    kopia-format section 1, "Filesystem".
 */
#pragma once

#include "shared/store/store.h"

enum {
    XB_SHARDS_LEVELS_MAX = 8,
    XB_SHARDS_WIDTH_MAX = 64,
    XB_SHARDS_OVERRIDES_MAX = 256,
    XB_SHARDS_TEXT_BYTES_MAX = 64 * 1024
};

struct xb_shards_rule {
    char *prefix; /* "" for the default */
    unsigned widths[XB_SHARDS_LEVELS_MAX];
    size_t levels;
};

struct xb_shards {
    struct xb_shards_rule *rules; /* first matching prefix wins; the default is last */
    size_t count;
    size_t unsharded_bytes_max; /* names up to this length stay in the root */
};

int xb_shards_parse(const char *text, size_t len, struct xb_shards **ret,
                    struct xb_error *err) XB_MUST_CHECK;

/* What kopia takes when `.shards` is absent: [3,3]. */
int xb_shards_assumed(struct xb_shards **ret, struct xb_error *err) XB_MUST_CHECK;

void xb_shards_free(struct xb_shards *shards);
XB_DEFINE_CLEANUP(xb_shards_freep, struct xb_shards, xb_shards_free);

/* "p9b33c6" -> "p/9b3/3c6.f". INVALID when the name holds a '/', or the path is too long. */
int xb_shards_path(const struct xb_shards *shards, const char *name,
                   char out[XB_STORE_NAME_BYTES_MAX + 1], struct xb_error *err) XB_MUST_CHECK;

/* The name of the object at `path`; false when no name has this path. */
bool xb_shards_name(const struct xb_shards *shards, const char *path,
                    char out[XB_STORE_NAME_BYTES_MAX + 1]);

/* Every path of a name that starts with `prefix` starts with one of these: the number of them is
 * returned, texts one after the other in `out` (room for count + 1). */
size_t xb_shards_prefixes(const struct xb_shards *shards, const char *prefix,
                          char (*out)[XB_STORE_NAME_BYTES_MAX + 1]);
