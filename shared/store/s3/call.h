/* SPDX-License-Identifier: Apache-2.0
 *
 * call.h - one S3 request: signed, sent, judged, and sent again while that may help.
 *
 * What for:  what the driver's files share; for them only.
 * Ownership: the caller owns the call struct and what it points to; xb_s3_call_done frees the
 *            answer.
 * Threads:   any number of calls at once.    Blocking: yes.
 * Shapes:    `name` is an object's, relative to the store; the bucket itself is NULL. Header names
 *            are small.
 * Errors:    0 for a 2xx answer that `check` likes; else the mapped error (fault.h), and `status`
 *            says what came. RETRY failures have been tried again; a RETRY that is handed on has
 *            used up its attempts.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "shared/http/http.h"
#include "shared/store/driver.h"
#include "shared/store/s3/checksum.h"
#include "shared/store/s3/credentials.h"
#include "shared/store/s3/endpoint.h"
#include "shared/store/s3/s3.h"
#include "shared/store/s3/sigv4.h"

struct xb_s3_overlay;

struct xb_s3 {
    struct xb_store base;
    struct xb_http_client *http;
    struct xb_http_retry retry;
    struct xb_s3_credentials credentials;
    struct xb_s3_place place;
    char *bucket, *endpoint, *scratch_dir;
    char prefix[XB_STORE_NAME_BYTES_MAX + 1]; /* "" or "a/b/" */
    enum xb_s3_path_style path_style;
    char *encryption, *kms_key_id, *tagging;
    struct xb_secret *customer_key;                 /* base64 */
    char customer_key_md5[XB_S3_DIGEST_TEXT_BYTES]; /* base64 */
    enum xb_s3_checksum checksum;
    uint64_t part_bytes;
    atomic_bool no_if_none_match; /* the server does not know it */
    atomic_bool checksum_checked; /* the server has repeated a checksum of ours */
    atomic_bool must_sign;        /* the server has refused an unsigned body without TLS */
    atomic_bool bucket_seen;      /* the server has said that the bucket is there */
    atomic_llong clock_offset_ns; /* server minus us; INT64_MIN: not known */
    struct xb_s3_overlay *overlay;
};

enum {
    XB_S3_SINGLE_PARTS = 4, /* what is no larger than so many parts goes up in one request */
    XB_S3_PAIRS_MAX = 12,
    XB_S3_VALUE_BYTES_MAX = 512,
    XB_S3_ANSWER_BYTES_MAX = 8 << 20
};

/* What is kept of an answer's headers; "" when they did not come. */
struct xb_s3_headers {
    char etag[XB_S3_VALUE_BYTES_MAX];
    char content_range[XB_S3_VALUE_BYTES_MAX];
    char checksum[XB_S3_CHECKSUMS][XB_S3_DIGEST_TEXT_BYTES + 16];
    char upload_mark[XB_S3_VALUE_BYTES_MAX]; /* x-amz-meta-xebec-upload */
    char region[XB_S3_REGION_BYTES_MAX + 1]; /* x-amz-bucket-region */
    char checksum_type[32];
    int64_t length;     /* Content-Length; -1: not said */
    int64_t modified_s; /* Last-Modified; -1: not said */
};

struct xb_s3_call {
    const char *method; /* never NULL */
    const char *name;
    struct xb_sigv4_pair query[XB_S3_PAIRS_MAX];
    size_t query_count;
    struct xb_sigv4_pair headers[XB_S3_PAIRS_MAX];
    size_t header_count;

    const void *body;
    size_t body_len;
    const struct xb_http_body_file *body_file; /* instead of body */
    const char *sha256;                        /* hex of the body; NULL: computed from `body` */
    bool unsigned_body;                        /* its SHA-256 is not signed, nor computed */

    /* Takes a 2xx answer's bytes; NULL: they go to `answer`. `begin` is called before each attempt,
     * `check` after a 2xx answer: a RETRY failure of theirs is tried again. */
    int (*begin)(struct xb_s3_call *call, struct xb_error *err);
    xb_http_data_fn *data; /* its context is the call */
    int (*check)(struct xb_s3_call *call, struct xb_error *err);
    void *context; /* the caller's own */

    /* filled */
    int status; /* of the last answer; 0: there was none */
    struct xb_s3_headers got;
    struct xb_buf answer;
    char code[64]; /* the error's, when there was one */
};

static inline void xb_s3_query(struct xb_s3_call *call, const char *name, const char *value)
{
    call->query[call->query_count++] = (struct xb_sigv4_pair){name, value};
}

static inline void xb_s3_header(struct xb_s3_call *call, const char *name, const char *value)
{
    call->headers[call->header_count++] = (struct xb_sigv4_pair){name, value};
}

int xb_s3_call(struct xb_s3 *self, struct xb_s3_call *call, struct xb_error *err) XB_MUST_CHECK;
void xb_s3_call_done(struct xb_s3_call *call);

/* Adds the headers that reading, or writing, an object of this store takes. */
void xb_s3_headers_read(const struct xb_s3 *self, struct xb_s3_call *call);
void xb_s3_headers_write(const struct xb_s3 *self, struct xb_s3_call *call);

/* Appends the encoded path of an object (NULL: the bucket) at a place. */
int xb_s3_path(const struct xb_s3 *self, const struct xb_s3_place *place, const char *name,
               struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* ---- the driver's parts ---- */

int xb_s3_begin(struct xb_store *store, const char *name,
                const struct xb_store_put_options *options, struct xb_store_upload **ret,
                struct xb_error *err) XB_MUST_CHECK;
int xb_s3_write(struct xb_store_upload *upload, const void *data, size_t len,
                struct xb_error *err) XB_MUST_CHECK;
int xb_s3_commit(struct xb_store_upload *upload, struct xb_error *err) XB_MUST_CHECK;
void xb_s3_upload_free(struct xb_store_upload *upload);
int xb_s3_put(struct xb_store *store, const char *name, const void *data, size_t len,
              const struct xb_store_put_options *options, struct xb_error *err) XB_MUST_CHECK;
int xb_s3_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
              struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
int xb_s3_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
               struct xb_error *err) XB_MUST_CHECK;
int xb_s3_remove(struct xb_store *store, const char *name, struct xb_error *err) XB_MUST_CHECK;
int xb_s3_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
               struct xb_error *err) XB_MUST_CHECK;
int xb_s3_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                       void *context, struct xb_error *err) XB_MUST_CHECK;
int xb_s3_presign(struct xb_store *store, const char *name, const char *public_url,
                  int64_t lifetime_s, struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
