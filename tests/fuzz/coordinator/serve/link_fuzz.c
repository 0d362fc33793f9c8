/* SPDX-License-Identifier: Apache-2.0
 *
 * Links of any kind: as they come, all are refused; with a right MAC put to them, what is taken is
 * taken as it would have been made. The first byte says which of the two.
 */
#include <stdio.h>

#include "coordinator/serve/link.h"
#include "shared/codec/text.h"
#include "shared/crypto/hash.h"
#include "tests/harness/fuzz.h"

static const char key_text[] = "0123456789abcdef0123456789abcdef";

static void append_base64url(struct xb_buf *out, const void *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t from = out->len;
    need(xb_base64_encode(data, len, out, &err) == 0);
    while (out->len > from && out->data[out->len - 1] == '=') {
        out->data[--out->len] = '\0';
    }
    for (size_t i = from; i < out->len; i++) {
        char c = out->data[i];
        out->data[i] = (char)(c == '+' ? '-' : c == '/' ? '_' : c);
    }
}

static void check_taken(const struct xb_secret *key, const struct xb_download *what,
                        const char *path)
{
    struct xb_error err = XB_ERROR_INIT;
    char again[XB_DOWNLOAD_LINK_BYTES];
    need(xb_download_name_valid(what->name) && xb_download_name_valid(what->location));
    need(what->expires_s > 1000 && xb_download_kind_name(what->kind));
    need(xb_download_link_make(key, what, again, &err) == 0);
    need(strcmp(again, path) == 0);
}

/* The rest of the input is a payload (mode 1) or a whole path to be signed (mode 2). */
static void check_signed(const struct xb_secret *key, int mode, const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_download what;
    struct xb_buf path = XB_BUF_INIT(1 << 16);
    struct xb_hash *hash = NULL;
    unsigned char mac[XB_HASH_BYTES_MAX];
    if (mode == 1) {
        need(xb_buf_append_str(&path, "/download/v1/", &err) == 0);
        append_base64url(&path, data, len);
    } else {
        need(xb_buf_append(&path, data, len, &err) == 0);
        need(xb_buf_append_str(&path, "", &err) == 0);
    }
    need(xb_hash_new("HMAC-SHA256", key->data, key->len, &hash, &err) == 0);
    need(xb_hash_compute(hash, path.data, path.len, mac, &err) == 0);
    need(xb_buf_append_str(&path, ".", &err) == 0);
    append_base64url(&path, mac, sizeof mac);
    int r = xb_download_link_parse(key, path.data, 1000, &what, &err);
    need(r == 0 || err.kind == XB_ERR_DENIED);
    if (r == 0 && mode == 1) {
        check_taken(key, &what, path.data);
    }
    xb_hash_free(hash);
    xb_buf_free(&path);
}

static void check_raw(const struct xb_secret *key, const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_download what;
    char *path = malloc(len + 1);
    need(path != NULL);
    memcpy(path, data, len);
    path[len] = '\0';
    enum xb_download_kind kind;
    if (xb_download_kind_parse(path, &kind)) {
        need(strcmp(xb_download_kind_name(kind), path) == 0);
    }
    if (xb_download_link_parse(key, path, 1000, &what, &err) == 0) {
        check_taken(key, &what, path);
    } else {
        need(err.kind == XB_ERR_DENIED);
    }
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    if (len < 1 || len > 4096) {
        return 0;
    }
    need(xb_secret_new(key_text, sizeof key_text - 1, &key, &err) == 0);
    if (data[0] == '1' || data[0] == '2') {
        check_signed(key, data[0] - '0', data + 1, len - 1);
    } else {
        check_raw(key, data + 1, len - 1);
    }
    return 0;
}
