/* SPDX-License-Identifier: Apache-2.0
 *
 * sigv4.h - AWS Signature Version 4: who sent a request, and that nobody changed it.
 *
 * What for:  every request of the driver, and links that work without one. Pure: no clock, no
 *            network.
 * Ownership: everything is borrowed during the call.
 * Threads:   any.    Blocking: never.
 * Shapes:    `path` is already encoded (xb_sigv4_path), and is not normalised: S3 takes keys as
 *            they are. `query` is what xb_sigv4_query made: encoded and sorted. Header names are
 *            lower case; every header given is signed, in any order, "host" among them.
 * Errors:    FULL when a ceiling is reached.
 * Source:    "Authenticating Requests (AWS Signature Version 4)" in the S3 API reference.
 */
#pragma once

#include "shared/base/buf.h"
#include "shared/base/secret.h"

enum {
    XB_SIGV4_TIME_BYTES = 17, /* "20130524T000000Z" and a NUL */
    XB_SIGV4_HEX_BYTES = 65,  /* a SHA-256 in hex and a NUL */
    XB_SIGV4_PAIRS_MAX = 40,
    XB_SIGV4_TEXT_BYTES_MAX = 64 << 10
};

/* What a payload is when its hash is not signed (over TLS). */
#define XB_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

struct xb_sigv4_pair {
    const char *name, *value;
};

struct xb_sigv4_key {
    const char *id;
    const struct xb_secret *secret;
    const char *region, *service;
};

struct xb_sigv4_request {
    const char *method, *path, *query; /* query "": none */
    const struct xb_sigv4_pair *headers;
    size_t header_count; /* at most XB_SIGV4_PAIRS_MAX */
    const char *payload; /* hex of its SHA-256, or XB_SIGV4_UNSIGNED */
    const char *time;    /* xb_sigv4_time */
};

void xb_sigv4_time(int64_t wall_ns, char out[XB_SIGV4_TIME_BYTES]);

/* Appends `text` percent-encoded; a '/' stays in paths. */
int xb_sigv4_path(struct xb_buf *out, const char *text, struct xb_error *err) XB_MUST_CHECK;
/* Appends "name=value&..." encoded and in the order that is signed. The pairs are sorted in place.
 */
int xb_sigv4_query(struct xb_buf *out, struct xb_sigv4_pair *pairs, size_t count,
                   struct xb_error *err) XB_MUST_CHECK;

/* The steps, for tests against published vectors. Both append. */
int xb_sigv4_canonical(const struct xb_sigv4_request *request, struct xb_buf *out,
                       struct xb_error *err) XB_MUST_CHECK;
int xb_sigv4_to_sign(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                     struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* The last one: hex. */
int xb_sigv4_signature(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                       char out[XB_SIGV4_HEX_BYTES], struct xb_error *err) XB_MUST_CHECK;

/* Appends the value of the Authorization header. */
int xb_sigv4_authorize(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                       struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Appends the query of a presigned link (what xb_sigv4_query makes, and the signature). `pairs` has
 * room for 6 more than `count`. The request's own query is not used. */
struct xb_sigv4_presign {
    struct xb_sigv4_pair *pairs;
    size_t count;
    int64_t lifetime_s;
    const char *token; /* of temporary credentials; NULL: none */
};
int xb_sigv4_presign(const struct xb_sigv4_key *key, struct xb_sigv4_request *request,
                     struct xb_sigv4_presign *presign, struct xb_buf *out,
                     struct xb_error *err) XB_MUST_CHECK;
