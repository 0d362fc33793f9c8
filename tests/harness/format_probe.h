/* SPDX-License-Identifier: Apache-2.0
 *
 * format_probe.h - changes what is sealed in a store's kopia.repository.
 *
 * What for:  tests of what a program does when the repository's owner changes it, or made it in
 *            another way.
 * Ownership: the store stays the test's.    Threads: as cmocka.
 */
#pragma once

#include "shared/codec/text.h"
#include "shared/crypto/aead.h"
#include "tests/harness/repository_probe.h"

/* Put before "version": an upgrade that never ends. */
#define FORMAT_PROBE_LOCK                                                                          \
    "\"upgradeLock\":{\"ownerID\":\"carol\",\"creationTime\":\"2020-01-01T00:00:00Z\"},"

static inline void format_probe_replace(const struct xb_buf *in, const char *from, const char *to,
                                        struct xb_buf *out)
{
    const char *at = strstr(in->data, from);
    assert_non_null(at);
    PROBE_OK(xb_buf_printf(out, &err, "%.*s%s%s", (int)(at - in->data), in->data, to,
                           at + strlen(from)));
}

/* The plain text of the sealed part, ended by NUL. */
static inline void format_probe_open(const struct xb_format_keys *keys,
                                     const struct xb_format_outer *outer, struct xb_buf *plain)
{
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    const struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    struct xb_aead_data input = {outer->sealed.data, outer->sealed.len};
    PROBE_OK(xb_aead_new("AES-256-GCM", &aead, &err));
    PROBE_OK(xb_buf_reserve(plain, outer->sealed.len, &err));
    PROBE_OK(xb_aead_open(aead, keys->key->data, &associated, &input, (unsigned char *)plain->data,
                          &err));
    plain->len = outer->sealed.len - XB_AEAD_OVERHEAD_BYTES;
    plain->data[plain->len] = '\0';
}

static inline void format_probe_seal(const struct xb_format_keys *keys, const struct xb_buf *plain,
                                     struct xb_buf *base64)
{
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(100000);
    const struct xb_aead_data associated = {keys->associated->data, keys->associated->len};
    struct xb_aead_data input = {plain->data, plain->len};
    PROBE_OK(xb_aead_new("AES-256-GCM", &aead, &err));
    PROBE_OK(xb_buf_reserve(&sealed, plain->len + XB_AEAD_OVERHEAD_BYTES, &err));
    PROBE_OK(xb_aead_seal(aead, keys->key->data, NULL, &associated, &input,
                          (unsigned char *)sealed.data, &err));
    PROBE_OK(xb_base64_encode(sealed.data, plain->len + XB_AEAD_OVERHEAD_BYTES, base64, &err));
}

/* Seals another text into kopia.repository: `to` in place of the first `from`. */
static inline void format_probe_change(struct xb_store *store, const char *from, const char *to)
{
    const struct xb_format_keys *keys = probe_keys(store);
    struct xb_format_outer outer;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf other = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf before = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf after = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf changed = XB_BUF_INIT(100000);
    PROBE_OK(xb_store_get(store, XB_FORMAT_BLOB, 0, XB_STORE_TO_END, &text, &err));
    PROBE_OK(xb_format_outer_parse(text.data, text.len, &outer, &err));
    format_probe_open(keys, &outer, &plain);
    format_probe_replace(&plain, from, to, &other);
    PROBE_OK(xb_base64_encode(outer.sealed.data, outer.sealed.len, &before, &err));
    format_probe_seal(keys, &other, &after);
    format_probe_replace(&text, before.data, after.data, &changed);
    PROBE_OK(xb_store_put(store, XB_FORMAT_BLOB, changed.data, changed.len, NULL, &err));
    xb_format_outer_free(&outer);
}
