/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing objects: from memory in one request, or staged in a file that nobody else sees.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"
#include "shared/store/s3/overlay.h"
#include "shared/store/s3/upload.h"

enum { PIECE_BYTES = 256 << 10 };

/* The rule (upload.h) of which digests a body is sent with. */
unsigned xb_s3_wanted_digests(const struct xb_s3 *self, bool sealed)
{
    bool checked = atomic_load(&self->checksum_checked);
    bool plain = sealed && checked && !atomic_load(&self->must_sign);
    unsigned wanted = self->place.tls || plain ? 0 : 1U << XB_S3_SHA256;
    if (self->checksum != XB_S3_CHECKSUMS) {
        wanted |= 1U << self->checksum;
    }
    return checked ? wanted : wanted | 1U << XB_S3_MD5;
}

void xb_s3_note_checked(struct xb_s3 *self, const struct xb_s3_sums *sums,
                        const struct xb_s3_call *call)
{
    if (self->checksum != XB_S3_CHECKSUMS &&
        strcmp(call->got.checksum[self->checksum], sums->checksum) == 0) {
        atomic_store(&self->checksum_checked, true);
    }
}

int xb_s3_digests_take(const struct xb_s3 *self, struct xb_s3_digests *digests,
                       struct xb_s3_sums *ret, struct xb_error *err)
{
    unsigned char raw[XB_S3_DIGEST_BYTES_MAX];
    *ret = (struct xb_s3_sums){.sha256_hex = ""};
    int r = digests->wanted & 1U << XB_S3_MD5
                ? xb_s3_digests_text(digests, XB_S3_MD5, ret->md5, err)
                : 0;
    if (r == 0 && digests->wanted & 1U << XB_S3_SHA256) {
        r = xb_s3_digests_end(digests, XB_S3_SHA256, raw, err);
        if (r == 0) {
            xb_hex_encode(raw, 32, ret->sha256_hex);
            EVP_EncodeBlock((unsigned char *)ret->checksum, raw, 32);
        }
    }
    if (r == 0 && self->checksum != XB_S3_CHECKSUMS && self->checksum != XB_S3_SHA256) {
        r = xb_s3_digests_text(digests, self->checksum, ret->checksum, err);
    }
    return r;
}

void xb_s3_headers_sums(const struct xb_s3 *self, const struct xb_s3_sums *sums,
                        struct xb_s3_call *call)
{
    call->sha256 = sums->sha256_hex[0] ? sums->sha256_hex : NULL;
    call->unsigned_body = !call->sha256;
    if (sums->md5[0]) {
        xb_s3_header(call, "content-md5", sums->md5);
    }
    if (self->checksum != XB_S3_CHECKSUMS) {
        xb_s3_header(call, xb_s3_checksum_header(self->checksum), sums->checksum);
    }
}

static int exists(const char *name, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST, "%.300s exists already", name);
}

/* CONFLICT when the object is there. Servers that ignore If-None-Match are found out here, but for
 * a race. */
int xb_s3_check_absent(struct xb_s3 *self, const char *name, struct xb_error *err)
{
    struct xb_s3_call head;
    struct xb_error failure = XB_ERROR_INIT;
    int r = xb_s3_head(self, name, &head, &failure);
    if (r == 0) {
        return exists(name, err);
    }
    if (failure.kind != XB_ERR_NOT_FOUND) {
        *err = failure;
        return r;
    }
    return 0;
}

void xb_s3_mark_make(char out[XB_S3_MARK_BYTES])
{
    unsigned char random[(XB_S3_MARK_BYTES - 1) / 2];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, out);
}

int xb_s3_settle_conflict(struct xb_s3 *self, const char *name, const char *mark,
                          struct xb_error *err)
{
    struct xb_s3_call head;
    struct xb_error failure = XB_ERROR_INIT;
    if (xb_s3_head(self, name, &head, &failure) == 0 && strcmp(head.got.upload_mark, mark) == 0) {
        return 0;
    }
    return exists(name, err);
}

/* One PutObject; `call` holds the body. */
static int send_object(struct xb_s3 *self, struct xb_s3_call *call, const struct xb_s3_sums *sums,
                       bool exclusive, struct xb_error *err)
{
    char mark[XB_S3_MARK_BYTES];
    struct xb_error failure = XB_ERROR_INIT;
    bool conditional = exclusive && !atomic_load(&self->no_if_none_match);
    call->header_count = 0;
    xb_s3_headers_write(self, call);
    xb_s3_headers_sums(self, sums, call);
    if (exclusive) {
        xb_s3_mark_make(mark);
        xb_s3_header(call, "x-amz-meta-xebec-upload", mark);
    }
    if (conditional) {
        xb_s3_header(call, "if-none-match", "*");
    }
    int r = xb_s3_call(self, call, &failure);
    xb_s3_call_done(call);
    if (r == 0) {
        xb_s3_note_checked(self, sums, call);
    }
    if (r < 0 && conditional && call->status == 501) {
        atomic_store(&self->no_if_none_match, true);
        return send_object(self, call, sums, exclusive, err); /* once: now without a condition */
    }
    if (r < 0 && exclusive && failure.kind == XB_ERR_CONFLICT) {
        /* An attempt whose answer was lost, curl's own among them, may have been ours. */
        return xb_s3_settle_conflict(self, call->name, mark, err);
    }
    if (r < 0) {
        *err = failure;
    }
    return r;
}

int xb_s3_put_object(struct xb_s3 *self, struct xb_s3_call *call, const struct xb_s3_sums *sums,
                     bool exclusive, struct xb_error *err)
{
    call->method = "PUT";
    int r = exclusive ? xb_s3_check_absent(self, call->name, err) : 0;
    r = r ? r : send_object(self, call, sums, exclusive, err);
    if (r == 0) {
        xb_s3_overlay_note(self->overlay, call->name, true, xb_clock_mono_ns());
    }
    return r;
}

static int put_bytes(struct xb_s3 *self, struct xb_s3_call *call,
                     const struct xb_store_put_options *options, struct xb_error *err)
{
    struct xb_s3_digests digests;
    struct xb_s3_sums sums;
    bool sealed = options && options->sealed;
    int r = xb_s3_digests_begin(&digests, xb_s3_wanted_digests(self, sealed), err);
    r = r ? r : xb_s3_digests_add(&digests, call->body, call->body_len, err);
    r = r ? r : xb_s3_digests_take(self, &digests, &sums, err);
    xb_s3_digests_done(&digests);
    return r ? r : xb_s3_put_object(self, call, &sums, options && options->exclusive, err);
}

int xb_s3_put(struct xb_store *store, const char *name, const void *data, size_t len,
              const struct xb_store_put_options *options, struct xb_error *err)
{
    struct xb_s3 *self = (struct xb_s3 *)store;
    struct xb_s3_call call = {.name = name, .body = data, .body_len = len};
    struct xb_error failure = XB_ERROR_INIT;
    if (len > XB_S3_SINGLE_PARTS * self->part_bytes) {
        struct xb_store_upload *upload = NULL; /* store.c's part of it is not needed here */
        int r = xb_s3_begin(store, name, options, &upload, err);
        if (r < 0) {
            return r;
        }
        upload->name = (char *)(uintptr_t)name;
        upload->store = store;
        r = xb_s3_write(upload, data, len, err);
        r = r ? r : xb_s3_commit(upload, err);
        xb_s3_upload_free(upload);
        return r;
    }
    int r = put_bytes(self, &call, options, &failure);
    if (r < 0 && xb_s3_must_sign(self, &call, &failure)) {
        failure = (struct xb_error)XB_ERROR_INIT;
        r = put_bytes(self, &call, options, &failure);
    }
    if (r < 0) {
        *err = failure;
    }
    return r;
}

/* ---- staging ---- */

int xb_s3_sum_file(const struct xb_s3_upload *upload, const struct xb_http_body_file *file,
                   struct xb_s3_sums *ret, struct xb_error *err)
{
    const struct xb_s3 *self = upload->self;
    struct xb_s3_digests digests;
    XB_CLEANUP(xb_freep) char *piece = malloc(PIECE_BYTES);
    if (!piece) {
        return xb_error_no_memory(err, "a part of an upload");
    }
    int r = xb_s3_digests_begin(&digests, xb_s3_wanted_digests(self, upload->sealed), err);
    for (uint64_t at = 0; at < file->len && r == 0;) {
        size_t len = file->len - at < PIECE_BYTES ? (size_t)(file->len - at) : PIECE_BYTES;
        r = xb_http_body_read(file, at, piece, len, err);
        r = r ? r : xb_s3_digests_add(&digests, piece, len, err);
        at += len;
    }
    r = r ? r : xb_s3_digests_take(self, &digests, ret, err);
    xb_s3_digests_done(&digests);
    return r;
}

/* Without TLS only: with it, nobody signs. */
bool xb_s3_must_sign(struct xb_s3 *self, const struct xb_s3_call *call, const struct xb_error *why)
{
    bool refused = call->status == 400 || call->status == 403 || call->status == 501;
    if (!refused || why->kind == XB_ERR_RETRY || !call->unsigned_body || self->place.tls) {
        return false;
    }
    atomic_store(&self->must_sign, true);
    return true;
}

int xb_s3_begin(struct xb_store *store, const char *name,
                const struct xb_store_put_options *options, struct xb_store_upload **ret,
                struct xb_error *err)
{
    struct xb_s3 *self = (struct xb_s3 *)store;
    XB_CLEANUP(xb_freep) struct xb_s3_upload *upload = calloc(1, sizeof *upload);
    (void)name;
    if (!upload) {
        return xb_error_no_memory(err, "an upload");
    }
    int r = xb_s3_stage_open(self->scratch_dir, &upload->stage, err);
    if (r == 0) {
        upload->sealed = options && options->sealed;
        r = xb_s3_digests_begin(&upload->digests, xb_s3_wanted_digests(self, upload->sealed), err);
    }
    if (r < 0) {
        xb_s3_digests_done(&upload->digests);
        xb_s3_stage_close(&upload->stage);
        return r;
    }
    upload->self = self;
    upload->exclusive = options && options->exclusive;
    struct xb_s3_upload *made = XB_TAKE(upload);
    *ret = &made->base;
    return 0;
}

int xb_s3_write(struct xb_store_upload *base, const void *data, size_t len, struct xb_error *err)
{
    struct xb_s3_upload *upload = (struct xb_s3_upload *)base;
    int r = xb_s3_stage_write(&upload->stage, base->name, data, len, err);
    return r ? r : xb_s3_digests_add(&upload->digests, data, len, err);
}

int xb_s3_commit(struct xb_store_upload *base, struct xb_error *err)
{
    struct xb_s3_upload *upload = (struct xb_s3_upload *)base;
    struct xb_s3 *self = upload->self;
    uint64_t len = upload->stage.len;
    xb_s3_stage_send(&upload->stage);
    if (len > XB_S3_SINGLE_PARTS * self->part_bytes) {
        return xb_s3_send_parts(upload, err);
    }
    const struct xb_http_body_file file = xb_s3_stage_body(&upload->stage, 0, len);
    struct xb_s3_call call = {.name = base->name};
    struct xb_s3_sums sums;
    struct xb_error failure = XB_ERROR_INIT;
    call.body_file = len > 0 ? &file : NULL;
    int r = xb_s3_digests_take(self, &upload->digests, &sums, &failure);
    r = r ? r : xb_s3_put_object(self, &call, &sums, upload->exclusive, &failure);
    if (r < 0 && xb_s3_must_sign(self, &call, &failure)) {
        failure = (struct xb_error)XB_ERROR_INIT;
        r = xb_s3_sum_file(upload, &file, &sums, &failure);
        r = r ? r : xb_s3_put_object(self, &call, &sums, upload->exclusive, &failure);
    }
    if (r < 0) {
        *err = failure;
    }
    return r;
}

void xb_s3_upload_free(struct xb_store_upload *base)
{
    struct xb_s3_upload *upload = (struct xb_s3_upload *)base;
    xb_s3_stage_close(&upload->stage);
    xb_s3_digests_done(&upload->digests);
    free(upload);
}
