/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading objects, asking for them, removing them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/base/clock.h"
#include "shared/store/s3/number.h"
#include "shared/store/s3/overlay.h"
#include "shared/store/s3/upload.h"

/* One object, or a part of one, on its way into a buffer. */
struct reading {
    struct xb_buf *out;
    size_t start;                 /* out->len before */
    bool ranged, to_end;          /* a Range was asked for; up to the end */
    uint64_t offset, len;         /* of the range; len is not known with to_end */
    bool checked;                 /* this answer's headers were looked at */
    uint64_t want;                /* bytes that this answer must have */
    enum xb_s3_checksum checksum; /* of the whole object, when the server said one we know */
    struct xb_s3_digests digests;
};

static int begin_reading(struct xb_s3_call *call, struct xb_error *err)
{
    struct reading *reading = call->context;
    (void)err;
    reading->out->len = reading->start;
    reading->checked = false;
    xb_s3_digests_done(&reading->digests);
    return 0;
}

static int wrong(const struct xb_s3_call *call, const char *what, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_RETRY, -EBADMSG, "%.300s: the server's answer is wrong: %s",
                        call->name, what);
}

/* "bytes 3-6/10"; the size may be '*', then *ret_size stays. */
static bool parse_content_range(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                                uint64_t *ret_size)
{
    if (strncmp(text, "bytes ", 6) != 0) {
        return false;
    }
    text += 6;
    if (!xb_s3_number(&text, ret_first) || *text++ != '-' || !xb_s3_number(&text, ret_last) ||
        *text++ != '/' || *ret_last < *ret_first) {
        return false;
    }
    return strcmp(text, "*") == 0 ||
           (xb_s3_number(&text, ret_size) && *text == '\0' && *ret_last < *ret_size);
}

static int cut_short(const struct xb_s3_call *call, const struct reading *reading, uint64_t size,
                     struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "%.300s is cut short: it has %" PRIu64 " bytes, wanted are %" PRIu64
                        " from offset %" PRIu64,
                        call->name, size, reading->len, reading->offset);
}

/* A part must be just the one that was asked for. Some servers answer 200, without a Content-Range,
 * when it is the whole object. (The status is not known yet; check_reading looks at it.) */
static int check_range(struct xb_s3_call *call, struct reading *reading, struct xb_error *err)
{
    uint64_t first, last, size = UINT64_MAX;
    bool whole = !call->got.content_range[0];
    if (whole && reading->offset == 0 && call->got.length >= 0 && reading->want <= reading->len) {
        return reading->want == reading->len ? 0 : cut_short(call, reading, reading->want, err);
    }
    if (whole) {
        return wrong(call, "the whole object where a part was asked for", err);
    }
    if (!parse_content_range(call->got.content_range, &first, &last, &size) ||
        first != reading->offset) {
        return wrong(call, "its Content-Range is not the one asked for", err);
    }
    reading->want = last - first + 1;
    if (reading->to_end) {
        return size == UINT64_MAX || last + 1 == size
                   ? 0
                   : wrong(call, "its Content-Range ends early", err);
    }
    if (reading->want > reading->len) {
        return wrong(call, "its Content-Range is not the one asked for", err);
    }
    if (reading->want < reading->len) {
        return size == last + 1 ? cut_short(call, reading, size, err)
                                : wrong(call, "its Content-Range ends early", err);
    }
    return 0;
}

/* Picks the checksum of the whole object; those of parts ("...-3") do not cover it as one. */
static int begin_checksum(struct xb_s3_call *call, struct reading *reading, struct xb_error *err)
{
    reading->checksum = XB_S3_CHECKSUMS;
    if (reading->ranged || strcasecmp(call->got.checksum_type, "COMPOSITE") == 0) {
        return 0;
    }
    for (enum xb_s3_checksum which = XB_S3_CRC32; which <= XB_S3_SHA256; which++) {
        const char *text = call->got.checksum[which];
        if (text[0] && !strchr(text, '-')) {
            reading->checksum = which;
            return xb_s3_digests_begin(&reading->digests, 1U << which, err);
        }
    }
    return 0;
}

static int look_at_headers(struct xb_s3_call *call, struct reading *reading, struct xb_error *err)
{
    if (reading->checked) {
        return 0;
    }
    reading->checked = true;
    reading->want = call->got.length >= 0 ? (uint64_t)call->got.length : UINT64_MAX;
    int r = reading->ranged ? check_range(call, reading, err) : 0;
    if (r == 0 && call->got.length >= 0 && (uint64_t)call->got.length != reading->want) {
        r = wrong(call, "its length is not that of its Content-Range", err);
    }
    if (r == 0 && reading->want != UINT64_MAX && reading->want > XB_STORE_GET_BYTES_MAX) {
        r = xb_error_set(err, XB_ERR_FULL, -E2BIG,
                         "%.300s: %" PRIu64 " bytes are more than are read at once (%d)",
                         call->name, reading->want, XB_STORE_GET_BYTES_MAX);
    }
    if (r == 0 && reading->want != UINT64_MAX) {
        r = xb_buf_reserve(reading->out, (size_t)reading->want, err);
    }
    return r ? r : begin_checksum(call, reading, err);
}

static int take(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct xb_s3_call *call = context;
    struct reading *reading = call->context;
    int r = look_at_headers(call, reading, err);
    size_t have = reading->out->len - reading->start;
    if (r == 0 && (len > XB_STORE_GET_BYTES_MAX - have || have + len > reading->want)) {
        r = wrong(call, "it has more bytes than it said", err);
    }
    r = r ? r : xb_buf_append(reading->out, data, len, err);
    return r ? r : xb_s3_digests_add(&reading->digests, data, len, err);
}

static int check_reading(struct xb_s3_call *call, struct xb_error *err)
{
    struct reading *reading = call->context;
    int r = look_at_headers(call, reading, err); /* an empty answer brought no data */
    char text[XB_S3_DIGEST_TEXT_BYTES];
    if (r < 0) {
        return r;
    }
    bool part = reading->ranged && call->got.content_range[0];
    if (call->status != (part ? 206 : 200)) {
        return wrong(call, "its status does not fit its Content-Range", err);
    }
    if (reading->want != UINT64_MAX && reading->out->len - reading->start != reading->want) {
        return wrong(call, "it has fewer bytes than it said", err);
    }
    if (reading->checksum == XB_S3_CHECKSUMS) {
        return 0;
    }
    r = xb_s3_digests_text(&reading->digests, reading->checksum, text, err);
    if (r == 0 && strcmp(text, call->got.checksum[reading->checksum]) != 0) {
        r = wrong(call, "the bytes do not have the object's checksum", err);
    }
    return r;
}

static void put_back(struct xb_buf *out, size_t len)
{
    out->len = len;
    if (out->data) {
        out->data[len] = '\0';
    }
}

/* Sends the request that `reading` describes. */
static int read_object(struct xb_s3 *self, const char *name, struct reading *reading,
                       struct xb_s3_call *call, struct xb_error *err)
{
    char range[64];
    *call = (struct xb_s3_call){.method = "GET",
                                .name = name,
                                .begin = begin_reading,
                                .data = take,
                                .check = check_reading,
                                .context = reading};
    if (reading->ranged && reading->to_end) {
        snprintf(range, sizeof range, "bytes=%" PRIu64 "-", reading->offset);
    } else if (reading->ranged) {
        snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, reading->offset,
                 reading->offset + reading->len - 1);
    }
    if (reading->ranged) {
        xb_s3_header(call, "range", range);
    } else {
        xb_s3_header(call, "x-amz-checksum-mode", "ENABLED");
    }
    xb_s3_headers_read(self, call);
    int r = xb_s3_call(self, call, err);
    xb_s3_digests_done(&reading->digests);
    if (r < 0) {
        put_back(reading->out, reading->start);
    }
    /* The server answered, and every time with something else than the object. */
    if (r < 0 && err->kind == XB_ERR_RETRY && err->code == -EBADMSG) {
        err->kind = XB_ERR_CORRUPT;
    }
    return r;
}

/* What a range comes to by the object's size. */
static int range_by_size(struct xb_store *store, const char *name, const struct reading *reading,
                         size_t *ret_want, struct xb_error *err)
{
    struct xb_store_item item;
    int r = xb_s3_stat(store, name, &item, err);
    return r ? r : xb_store_range(name, item.size, reading->offset, reading->len, ret_want, err);
}

int xb_s3_get(struct xb_store *store, const char *name, uint64_t offset, uint64_t len,
              struct xb_buf *out, struct xb_error *err)
{
    struct xb_s3_call call;
    bool to_end = len == XB_STORE_TO_END;
    size_t want = 0;
    struct reading reading = {.out = out,
                              .start = out->len,
                              .ranged = offset > 0 || !to_end,
                              .to_end = to_end,
                              .offset = offset,
                              .len = len};
    /* What no header can say, or no object can hold, is judged by the object's size. */
    if (len == 0 || offset > INT64_MAX || (!to_end && len > XB_STORE_GET_BYTES_MAX)) {
        int r = range_by_size(store, name, &reading, &want, err);
        if (r < 0 || want == 0) {
            return r;
        }
    }
    struct xb_error failure = XB_ERROR_INIT;
    int r = read_object((struct xb_s3 *)store, name, &reading, &call, &failure);
    xb_s3_call_done(&call);
    if (r < 0 && call.status == 416 && to_end) {
        /* From the very end there is nothing to read, which is no failure. (If there is something
         * by now, the object has grown, and whoever asks again will see it.) */
        r = range_by_size(store, name, &reading, &want, err);
        if (r < 0 || want == 0) {
            return r;
        }
        r = failure.code;
    }
    if (r < 0) {
        *err = failure;
    }
    return r;
}

/* A HEAD's 404 does not say whether the object is missing or the bucket. Asked once. */
static int check_bucket(struct xb_s3 *self, struct xb_error *err)
{
    if (atomic_load(&self->bucket_seen)) {
        return 0;
    }
    struct xb_s3_call call = {.method = "GET"};
    struct xb_error failure = XB_ERROR_INIT;
    xb_s3_query(&call, "list-type", "2");
    xb_s3_query(&call, "max-keys", "1");
    int r = xb_s3_call(self, &call, &failure);
    bool missing = r < 0 && call.status == 404;
    xb_s3_call_done(&call);
    if (missing) {
        *err = failure;
        return err->code;
    }
    return 0;
}

int xb_s3_head(struct xb_s3 *self, const char *name, struct xb_s3_call *call, struct xb_error *err)
{
    *call = (struct xb_s3_call){.method = "HEAD", .name = name};
    xb_s3_headers_read(self, call);
    int r = xb_s3_call(self, call, err);
    xb_s3_call_done(call);
    if (r < 0 && call->status == 404) {
        struct xb_error bucket = XB_ERROR_INIT;
        if (check_bucket(self, &bucket) < 0) {
            *err = bucket;
            return err->code;
        }
    }
    return r;
}

int xb_s3_stat(struct xb_store *store, const char *name, struct xb_store_item *ret,
               struct xb_error *err)
{
    struct xb_s3_call call;
    int r = xb_s3_head((struct xb_s3 *)store, name, &call, err);
    if (r < 0) {
        return r;
    }
    if (call.got.length < 0 || call.got.modified_s < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%.300s: the server does not say its %s",
                            name, call.got.length < 0 ? "size" : "time (Last-Modified)");
    }
    *ret = (struct xb_store_item){.size = (uint64_t)call.got.length,
                                  .mtime_ns = call.got.modified_s * XB_NS_PER_S};
    return 0;
}

int xb_s3_remove(struct xb_store *store, const char *name, struct xb_error *err)
{
    struct xb_s3 *self = (struct xb_s3 *)store;
    struct xb_s3_call call = {.method = "DELETE", .name = name};
    struct xb_error failure = XB_ERROR_INIT;
    int r = xb_s3_call(self, &call, &failure);
    xb_s3_call_done(&call);
    if (r < 0 && failure.kind != XB_ERR_NOT_FOUND) {
        *err = failure;
        return r;
    }
    xb_s3_overlay_note(self->overlay, name, false, xb_clock_mono_ns());
    return 0;
}
