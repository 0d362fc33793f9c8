/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/store/s3/call.h"
#include "shared/store/s3/overlay.h"

enum { PEM_BYTES_MAX = 1 << 20, ATTEMPTS = 8, BUDGET_MS = 15 * 60 * 1000 };

static void s3_close(struct xb_store *store)
{
    struct xb_s3 *self = (struct xb_s3 *)store;
    xb_http_client_free(self->http);
    xb_s3_credentials_done(&self->credentials);
    xb_s3_overlay_free(self->overlay);
    xb_secret_free(self->customer_key);
    free(self->bucket);
    free(self->endpoint);
    free(self->scratch_dir);
    free(self->encryption);
    free(self->kms_key_id);
    free(self->tagging);
    free(self);
}

static const struct xb_store_driver s3_driver = {
    .begin = xb_s3_begin,
    .write = xb_s3_write,
    .commit = xb_s3_commit,
    .upload_free = xb_s3_upload_free,
    .put = xb_s3_put,
    .get = xb_s3_get,
    .stat = xb_s3_stat,
    .remove = xb_s3_remove,
    .list = xb_s3_list,
    .list_folders = xb_s3_list_folders,
    .presign = xb_s3_presign,
    .close = s3_close,
};

/* "" counts as not given. */
static int copy(char **to, const char *from, struct xb_error *err)
{
    if (from && from[0] && !(*to = strdup(from))) {
        return xb_error_no_memory(err, "an S3 store");
    }
    return 0;
}

static int set_prefix(struct xb_s3 *self, const char *prefix, struct xb_error *err)
{
    char *out = self->prefix;
    prefix += strspn(prefix, "/");
    size_t len = strnlen(prefix, XB_STORE_NAME_BYTES_MAX);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    memcpy(out, prefix, len);
    out[len] = '\0';
    if (len >= XB_STORE_NAME_BYTES_MAX - 100 || (len > 0 && !xb_store_name_valid(out))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a prefix in a bucket: '%.100s'",
                            prefix);
    }
    if (len > 0) {
        memcpy(out + len, "/", 2);
    }
    return 0;
}

static int set_customer_key(struct xb_s3 *self, const struct xb_secret *key, struct xb_error *err)
{
    unsigned char md5[XB_S3_DIGEST_BYTES_MAX];
    char text[XB_S3_DIGEST_TEXT_BYTES];
    if (!key) {
        return 0;
    }
    if (key->len != XB_S3_CUSTOMER_KEY_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "the customer's encryption key has %zu bytes: it must have %d",
                            key->len, XB_S3_CUSTOMER_KEY_BYTES);
    }
    if (!self->place.tls) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a customer's encryption key goes with every request: it needs an "
                            "https:// endpoint");
    }
    if (!EVP_Digest(key->data, key->len, md5, NULL, EVP_md5(), NULL)) {
        return xb_error_set(err, XB_ERR_IO, -EIO, "OpenSSL cannot compute MD5 here");
    }
    EVP_EncodeBlock((unsigned char *)self->customer_key_md5, md5, 16);
    EVP_EncodeBlock((unsigned char *)text, key->data, (int)key->len);
    int r = xb_secret_new(text, strlen(text), &self->customer_key, err);
    explicit_bzero(text, sizeof text);
    return r;
}

/* A value that becomes a header must be one line. */
static int check_line(const char *what, const char *value, struct xb_error *err)
{
    for (const char *c = value ? value : ""; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s holds a control character", what);
        }
    }
    return value && strlen(value) > 1024
               ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s is too long", what)
               : 0;
}

static int set_encryption(struct xb_s3 *self, const struct xb_store_s3_options *options,
                          struct xb_error *err)
{
    const char *encryption = options->server_side_encryption;
    if (options->kms_key_id && options->kms_key_id[0] && (!encryption || !encryption[0])) {
        encryption = "aws:kms";
    }
    int r = check_line("serverSideEncryption", encryption, err);
    r = r ? r : check_line("kmsKeyId", options->kms_key_id, err);
    r = r ? r : check_line("tagging", options->tagging, err);
    r = r ? r : copy(&self->encryption, encryption, err);
    r = r ? r : copy(&self->kms_key_id, options->kms_key_id, err);
    r = r ? r : copy(&self->tagging, options->tagging, err);
    return r ? r : set_customer_key(self, options->customer_key, err);
}

static int read_pem(const char *path, struct xb_buf *out, struct xb_error *err)
{
    return path && path[0] ? xb_file_read(path, out, err) : 0;
}

static int make_client(struct xb_s3 *self, const struct xb_store_s3_options *options,
                       struct xb_error *err)
{
    struct xb_buf ca = XB_BUF_INIT(PEM_BYTES_MAX);
    struct xb_buf cert = XB_BUF_INIT(PEM_BYTES_MAX);
    struct xb_buf key = XB_BUF_INIT(PEM_BYTES_MAX);
    bool own_ca = options->ca_pem && options->ca_pem[0];
    int r = own_ca ? 0 : read_pem(options->ca_file, &ca, err);
    r = r ? r : read_pem(options->client_cert_file, &cert, err);
    r = r ? r : read_pem(options->client_key_file, &key, err);
    if (r == 0) {
        const struct xb_http_client_options http = {
            .ca_pem = own_ca ? options->ca_pem : ca.data,
            .client_cert_pem = cert.data,
            /* One file may hold both. */
            .client_key_pem = key.data ? key.data : cert.data,
            .insecure = options->insecure,
            .proxy_from_env = true,
            .connections_max = options->connections_max ? options->connections_max
                                                        : (unsigned)XB_S3_CONNECTIONS_MAX,
            .stall_s = options->stall_s > 0 ? options->stall_s : XB_S3_STALL_S,
            .limits = options->limits};
        r = xb_http_client_new(&http, &self->http, err);
    }
    xb_buf_free(&ca);
    xb_buf_free(&cert);
    xb_buf_wipe(&key);
    return r;
}

static int set_retry(struct xb_s3 *self, const struct xb_http_retry *wanted)
{
    self->retry = *wanted;
    self->retry.attempts_max = wanted->attempts_max ? wanted->attempts_max : (unsigned)ATTEMPTS;
    self->retry.budget_ms = wanted->budget_ms ? wanted->budget_ms : BUDGET_MS;
    return 0;
}

static int fill(struct xb_s3 *self, const struct xb_store_s3_options *options, struct xb_error *err)
{
    atomic_init(&self->clock_offset_ns, INT64_MIN);
    self->path_style = options->path_style;
    self->part_bytes = options->part_bytes ? options->part_bytes : (uint64_t)XB_S3_PART_BYTES;
    int r = set_prefix(self, options->prefix ? options->prefix : "", err);
    r = r ? r : xb_s3_checksum_parse(options->checksum_algorithm, &self->checksum, err);
    r = r ? r : xb_s3_credentials_load(options, &self->credentials, err);
    r = r ? r : xb_s3_place_find(options, NULL, self->credentials.region, &self->place, err);
    r = r ? r : copy(&self->bucket, options->bucket, err);
    r = r ? r : copy(&self->endpoint, options->endpoint, err);
    r = r ? r : copy(&self->scratch_dir, options->scratch_dir, err);
    r = r ? r : set_encryption(self, options, err);
    r = r ? r : set_retry(self, &options->retry);
    r = r ? r : xb_s3_overlay_new(&self->overlay, err);
    return r ? r : make_client(self, options, err);
}

int xb_store_s3_open(const struct xb_store_s3_options *options, struct xb_store **ret,
                     struct xb_error *err)
{
    struct xb_s3 *self = calloc(1, sizeof *self);
    char description[2 * XB_STORE_NAME_BYTES_MAX];
    if (!self) {
        return xb_error_no_memory(err, "an S3 store");
    }
    int r = fill(self, options, err);
    if (r == 0) {
        snprintf(description, sizeof description, "s3://%s%s%.*s", self->bucket,
                 self->prefix[0] ? "/" : "", self->prefix[0] ? (int)strlen(self->prefix) - 1 : 0,
                 self->prefix);
        r = xb_store_setup(&self->base, &s3_driver, options->read_only, description, err);
    }
    if (r < 0) {
        s3_close(&self->base);
        return xb_error_wrap(err, "cannot open S3 bucket '%.100s'",
                             options->bucket ? options->bucket : "");
    }
    self->base.bucket = true;
    *ret = &self->base;
    return 0;
}

bool xb_store_s3_clock_offset(struct xb_store *store, int64_t *ret_ns)
{
    if (store->driver != &s3_driver) {
        return false;
    }
    int64_t offset = atomic_load(&((struct xb_s3 *)store)->clock_offset_ns);
    if (offset != INT64_MIN) {
        *ret_ns = offset;
    }
    return offset != INT64_MIN;
}
