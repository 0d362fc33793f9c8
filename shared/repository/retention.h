/* SPDX-License-Identifier: Apache-2.0
 *
 * retention.h - kopia.blobcfg: whether the repository promises Object Lock for its blobs.
 *
 * What for:  every blob of such a repository is to be put with a mode and a time until which the
 *            store keeps it. Puts of ours carry neither, so a writer would break the promise: it is
 *            refused. Readers need not care. Internal to the repository.
 * Threads:   any.    Blocking: loading reads the store.
 * Errors:    INVALID: it promises, with what to do; DENIED: the keys do not open it; CORRUPT: it is
 *            no such blob.
 * Source:    kopia-format sections 2 and 12.
 */
#pragma once

#include <stdint.h>

#include "shared/repository/format.h"
#include "shared/store/store.h"

struct xb_retention {
    char mode[XB_FORMAT_NAME_BYTES]; /* "": none */
    int64_t period_ns;
};

/* The plain text of the blob (pure; the fuzz target). */
int xb_retention_parse(const char *text, size_t len, struct xb_retention *ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* 0 when the repository may be written to; a blob that is absent promises nothing. */
int xb_retention_check(struct xb_store *store, const struct xb_format_keys *keys,
                       struct xb_error *err) XB_MUST_CHECK;
