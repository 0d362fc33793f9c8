/* SPDX-License-Identifier: Apache-2.0
 *
 * upload.h - what the two ways of writing an object share; for write.c and multipart.c.
 *
 * Ownership: an upload belongs to store.c's caller; its staging file has no name and goes with it.
 */
#pragma once

#include "shared/store/s3/call.h"
#include "shared/store/s3/stage.h"

enum { XB_S3_MARK_BYTES = 33 };

/* Checksums of one body, as headers want them. */
struct xb_s3_sums {
    char md5[XB_S3_DIGEST_TEXT_BYTES];      /* base64; "": not sent */
    char checksum[XB_S3_DIGEST_TEXT_BYTES]; /* base64, of the store's algorithm */
    char sha256_hex[XB_SIGV4_HEX_BYTES];    /* "": not signed */
};

struct xb_s3_upload {
    struct xb_store_upload base;
    struct xb_s3 *self;
    struct xb_s3_stage stage;
    bool exclusive, sealed;
    struct xb_s3_digests digests;
};

/* Which digests a body is sent with: the checksum of the store's algorithm, if it has one; without
 * TLS the SHA-256, which is signed; and Content-MD5 unless the server is known to check the
 * checksum. It is known when an answer to an upload has repeated it: servers that do not know the
 * header pass over it, and none but MD5 would then tell them that a body has changed. MD5 costs
 * both sides more than all else that an upload takes. Once it is known, a sealed body (store.h) is
 * not signed either: the checksum, whose header is signed, finds accidents, and who can change a
 * request on its way without TLS could as well swallow it and say that all is well. */
unsigned xb_s3_wanted_digests(const struct xb_s3 *self, bool sealed);
int xb_s3_digests_take(const struct xb_s3 *self, struct xb_s3_digests *digests,
                       struct xb_s3_sums *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_s3_headers_sums(const struct xb_s3 *self, const struct xb_s3_sums *sums,
                        struct xb_s3_call *call);
/* The digests of a part of a staged file, in a pass of its own. */
int xb_s3_sum_file(const struct xb_s3_upload *upload, const struct xb_http_body_file *file,
                   struct xb_s3_sums *ret, struct xb_error *err) XB_MUST_CHECK;
/* A failed upload: true if the server may have refused it since its body was not signed. From then
 * on bodies are, and it is worth another try. */
bool xb_s3_must_sign(struct xb_s3 *self, const struct xb_s3_call *call, const struct xb_error *why);

/* An upload was answered: does the server check checksums? */
void xb_s3_note_checked(struct xb_s3 *self, const struct xb_s3_sums *sums,
                        const struct xb_s3_call *call);

/* HEAD; the answer's headers are in call->got. */
int xb_s3_head(struct xb_s3 *self, const char *name, struct xb_s3_call *call,
               struct xb_error *err) XB_MUST_CHECK;
int xb_s3_check_absent(struct xb_s3 *self, const char *name, struct xb_error *err) XB_MUST_CHECK;
/* A mark that tells our object from another's of the same name. */
void xb_s3_mark_make(char out[XB_S3_MARK_BYTES]);
/* After a conflict that an earlier attempt of ours may have made: 0 when the object has our mark.
 */
int xb_s3_settle_conflict(struct xb_s3 *self, const char *name, const char *mark,
                          struct xb_error *err) XB_MUST_CHECK;

/* One PutObject of the call's body. */
int xb_s3_put_object(struct xb_s3 *self, struct xb_s3_call *call, const struct xb_s3_sums *sums,
                     bool exclusive, struct xb_error *err) XB_MUST_CHECK;
/* A multipart upload of the staged file. */
int xb_s3_send_parts(struct xb_s3_upload *upload, struct xb_error *err) XB_MUST_CHECK;
