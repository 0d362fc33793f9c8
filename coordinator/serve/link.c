/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/link.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "shared/base/buf.h"
#include "shared/codec/text.h"
#include "shared/crypto/hash.h"

enum {
    MAC_BYTES = 32,
    MAC_TEXT_BYTES = 43, /* base64url without padding */
    MAC_BUF_BYTES = 64,
    PREFIX_BYTES = sizeof XB_DOWNLOAD_PATH_PREFIX - 1,
    PAYLOAD_BYTES_MAX = 600, /* kind 34, names 2 * 253, number 20, slashes 3 */
    PAYLOAD_TEXT_BYTES_MAX = (PAYLOAD_BYTES_MAX + 2) / 3 * 4
};

static_assert(PREFIX_BYTES + PAYLOAD_TEXT_BYTES_MAX + 1 + MAC_TEXT_BYTES < XB_DOWNLOAD_LINK_BYTES,
              "the longest link fits");

#define EXPIRY_MAX_S INT64_C(999999999999999999)

static const char *const kind_names[XB_DOWNLOAD_KINDS] = {
    [XB_DOWNLOAD_BACKUP_LOG] = "BackupLog",
    [XB_DOWNLOAD_BACKUP_CONTENTS] = "BackupContents",
    [XB_DOWNLOAD_BACKUP_VOLUME_SNAPSHOTS] = "BackupVolumeSnapshots",
    [XB_DOWNLOAD_BACKUP_ITEM_OPERATIONS] = "BackupItemOperations",
    [XB_DOWNLOAD_BACKUP_RESOURCE_LIST] = "BackupResourceList",
    [XB_DOWNLOAD_BACKUP_RESULTS] = "BackupResults",
    [XB_DOWNLOAD_BACKUP_VOLUME_INFOS] = "BackupVolumeInfos",
    [XB_DOWNLOAD_CSI_BACKUP_VOLUME_SNAPSHOTS] = "CSIBackupVolumeSnapshots",
    [XB_DOWNLOAD_CSI_BACKUP_VOLUME_SNAPSHOT_CONTENTS] = "CSIBackupVolumeSnapshotContents",
    [XB_DOWNLOAD_RESTORE_LOG] = "RestoreLog",
    [XB_DOWNLOAD_RESTORE_RESULTS] = "RestoreResults",
    [XB_DOWNLOAD_RESTORE_RESOURCE_LIST] = "RestoreResourceList",
    [XB_DOWNLOAD_RESTORE_ITEM_OPERATIONS] = "RestoreItemOperations",
    [XB_DOWNLOAD_RESTORE_VOLUME_INFO] = "RestoreVolumeInfo",
};

const char *xb_download_kind_name(enum xb_download_kind kind)
{
    return (unsigned)kind < XB_DOWNLOAD_KINDS ? kind_names[kind] : NULL;
}

bool xb_download_kind_parse(const char *name, enum xb_download_kind *ret)
{
    for (int i = 0; i < XB_DOWNLOAD_KINDS; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *ret = (enum xb_download_kind)i;
            return true;
        }
    }
    return false;
}

/* Not isalnum: a locale must not change what a name is. */
static bool label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool xb_download_name_valid(const char *name)
{
    char before = '.';
    for (size_t len = 0; len <= XB_DOWNLOAD_NAME_BYTES_MAX; before = name[len++]) {
        char c = name[len];
        if (c == '\0' || c == '.') { /* a label ends: it is not empty and ends in a letter */
            if (!label_char(before)) {
                return false;
            }
            if (c == '\0') {
                return true;
            }
        } else if (!label_char(c) && (c != '-' || before == '.')) {
            return false;
        }
    }
    return false;
}

static int denied(struct xb_error *err, const char *why)
{
    return xb_error_set(err, XB_ERR_DENIED, -EACCES, "the download link is %s", why);
}

/* Appends, without padding. */
static int base64url_append(struct xb_buf *out, const void *data, size_t len, struct xb_error *err)
{
    size_t from = out->len;
    int r = xb_base64_encode(data, len, out, err);
    if (r < 0) {
        return r;
    }
    while (out->len > from && out->data[out->len - 1] == '=') {
        out->data[--out->len] = '\0';
    }
    for (size_t i = from; i < out->len; i++) {
        if (out->data[i] == '+') {
            out->data[i] = '-';
        } else if (out->data[i] == '/') {
            out->data[i] = '_';
        }
    }
    return 0;
}

static int mac_text(const struct xb_secret *key, const char *text, size_t len, struct xb_buf *out,
                    struct xb_error *err)
{
    unsigned char mac[MAC_BYTES];
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    if (key->len < XB_DOWNLOAD_KEY_BYTES_MIN) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a key of %zu bytes is too short for download links (%d are needed)",
                            key->len, XB_DOWNLOAD_KEY_BYTES_MIN);
    }
    int r = xb_hash_new("HMAC-SHA256", key->data, key->len, &hash, err);
    if (r < 0 || (r = xb_hash_compute(hash, text, len, mac, err)) < 0) {
        return r;
    }
    return base64url_append(out, mac, sizeof mac, err);
}

static int link_build(const struct xb_secret *key, const char *payload, struct xb_buf *out,
                      struct xb_error *err)
{
    struct xb_buf mac = XB_BUF_INIT(MAC_BUF_BYTES);
    int r = xb_buf_append_str(out, XB_DOWNLOAD_PATH_PREFIX, err);
    if (r < 0 || (r = base64url_append(out, payload, strlen(payload), err)) < 0) {
        return r;
    }
    r = mac_text(key, out->data, out->len, &mac, err);
    if (r == 0) {
        r = xb_buf_printf(out, err, ".%s", mac.data);
    }
    xb_buf_free(&mac);
    return r;
}

int xb_download_link_make(const struct xb_secret *key, const struct xb_download *what,
                          char ret_path[XB_DOWNLOAD_LINK_BYTES], struct xb_error *err)
{
    char payload[PAYLOAD_BYTES_MAX];
    struct xb_buf path = XB_BUF_INIT(XB_DOWNLOAD_LINK_BYTES - 1);
    const char *kind = xb_download_kind_name(what->kind);
    if (!kind || !xb_download_name_valid(what->location) || !xb_download_name_valid(what->name) ||
        what->expires_s <= 0 || what->expires_s > EXPIRY_MAX_S) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "no download link for '%.60s' of '%.60s': not the names of a backup or "
                            "restore and its location",
                            what->name, what->location);
    }
    snprintf(payload, sizeof payload, "%s/%s/%s/%" PRId64, kind, what->location, what->name,
             what->expires_s);
    int r = link_build(key, payload, &path, err);
    if (r == 0) {
        memcpy(ret_path, path.data, path.len + 1);
    }
    xb_buf_free(&path);
    return r;
}

/* Whole links are compared as text: bits that base64 does not use cannot be altered either. */
static int check_mac(const struct xb_secret *key, const char *path, size_t signed_len,
                     struct xb_error *err)
{
    struct xb_buf mac = XB_BUF_INIT(MAC_BUF_BYTES);
    int r = mac_text(key, path, signed_len, &mac, err);
    if (r == 0 && (mac.len != MAC_TEXT_BYTES ||
                   CRYPTO_memcmp(path + signed_len + 1, mac.data, MAC_TEXT_BYTES) != 0)) {
        r = denied(err, "not one that was made here");
    }
    xb_buf_free(&mac);
    return r;
}

static int payload_decode(const char *text, size_t len, struct xb_buf *out, struct xb_error *err)
{
    char padded[PAYLOAD_TEXT_BYTES_MAX + 4];
    if (len > PAYLOAD_TEXT_BYTES_MAX) {
        return denied(err, "too long");
    }
    for (size_t i = 0; i < len; i++) {
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    while (len % 4 != 0) {
        padded[len++] = '=';
    }
    int r = xb_base64_decode(padded, len, out, err);
    if (r < 0 && err->kind == XB_ERR_CORRUPT) {
        return denied(err, "not base64");
    }
    return r;
}

/* Cuts the field that ends at the next slash out of *rest. */
static char *next_field(char **rest)
{
    char *field = *rest, *slash = strchr(field, '/');
    if (!slash) {
        return NULL;
    }
    *slash = '\0';
    *rest = slash + 1;
    return field;
}

static bool parse_expiry(const char *text, int64_t *ret)
{
    int64_t value = 0;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len > 18 || text[len] != '\0' || text[0] == '0') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + (text[i] - '0');
    }
    *ret = value;
    return true;
}

static bool payload_parse(char *text, struct xb_download *ret)
{
    struct xb_download what;
    char *rest = text;
    const char *kind = next_field(&rest);
    const char *location = kind ? next_field(&rest) : NULL;
    const char *name = location ? next_field(&rest) : NULL;
    if (!name || !xb_download_kind_parse(kind, &what.kind) || !xb_download_name_valid(location) ||
        !xb_download_name_valid(name) || !parse_expiry(rest, &what.expires_s)) {
        return false;
    }
    snprintf(what.location, sizeof what.location, "%s", location);
    snprintf(what.name, sizeof what.name, "%s", name);
    *ret = what;
    return true;
}

int xb_download_link_parse(const struct xb_secret *key, const char *path, int64_t now_s,
                           struct xb_download *ret, struct xb_error *err)
{
    struct xb_download what = {.expires_s = 0};
    struct xb_buf payload = XB_BUF_INIT(PAYLOAD_TEXT_BYTES_MAX);
    size_t len = strnlen(path, XB_DOWNLOAD_LINK_BYTES);
    size_t fixed = (size_t)PREFIX_BYTES + 1 + MAC_TEXT_BYTES;
    if (len <= fixed || len >= XB_DOWNLOAD_LINK_BYTES) {
        return denied(err, "not of the right length");
    }
    size_t signed_len = len - MAC_TEXT_BYTES - 1;
    int r = check_mac(key, path, signed_len, err);
    if (r < 0) {
        return r;
    }
    if (path[signed_len] != '.' || strncmp(path, XB_DOWNLOAD_PATH_PREFIX, PREFIX_BYTES) != 0) {
        return denied(err, "not of the right form");
    }
    r = payload_decode(path + PREFIX_BYTES, signed_len - PREFIX_BYTES, &payload, err);
    if (r == 0 && (strlen(payload.data) != payload.len || !payload_parse(payload.data, &what))) {
        r = denied(err, "not about a download");
    }
    xb_buf_free(&payload);
    if (r == 0 && now_s >= what.expires_s) {
        r = denied(err, "over: ask for a new one");
    }
    if (r == 0) {
        *ret = what;
    }
    return r;
}
