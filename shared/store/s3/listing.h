/* SPDX-License-Identifier: Apache-2.0
 *
 * listing.h - one page of ListObjectsV2.
 *
 * What for:  from a server's XML to keys, strictly. Pure.
 * Ownership: xb_s3_page_done frees what the page holds.
 * Threads:   one at a time per page.    Blocking: never.
 * Shapes:    keys are decoded and as the server sent them, the prefix included.
 * Errors:    CORRUPT: not such a page.
 * Limits:    the page's bytes are bounded by whoever fetched it; a key is at most
 *            XB_STORE_NAME_BYTES_MAX, longer ones are no names of ours and are left out.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

struct xb_s3_entry {
    size_t key; /* offset in `keys` */
    uint64_t size;
    int64_t mtime_ns;
    bool folder; /* a common prefix */
};

struct xb_s3_page {
    struct xb_s3_entry *entries;
    size_t count, room;
    struct xb_buf keys;  /* each ended by a NUL */
    struct xb_buf token; /* of the next page; data is NULL on the last */
    bool truncated;
};

int xb_s3_page_parse(const char *xml, size_t len, struct xb_s3_page *ret,
                     struct xb_error *err) XB_MUST_CHECK;
void xb_s3_page_done(struct xb_s3_page *page);

static inline const char *xb_s3_page_key(const struct xb_s3_page *page, size_t index)
{
    return page->keys.data + page->entries[index].key;
}

/* Decodes "%20" in place; false: a '%' without two digits, or "%00". */
bool xb_s3_percent_decode(char *text);
/* The same, where '+' is a blank, as in listings with encoding-type=url. */
bool xb_s3_url_decode(char *text);
