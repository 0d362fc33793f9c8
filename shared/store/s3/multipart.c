/* SPDX-License-Identifier: Apache-2.0
 *
 * Large objects: parts in parallel out of the staged file, put together at the end or given up.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/workers.h"
#include "shared/store/s3/fault.h"
#include "shared/store/s3/overlay.h"
#include "shared/store/s3/upload.h"
#include "shared/store/s3/xml.h"

enum {
    PARTS_MAX = 10000, /* S3's own limit */
    PART_THREADS = 4,
    UPLOAD_ID_BYTES = 2048
};

struct part {
    char etag[XB_S3_VALUE_BYTES_MAX];
    char checksum[XB_S3_DIGEST_TEXT_BYTES];
};

struct parts {
    struct xb_s3_upload *upload;
    char id[UPLOAD_ID_BYTES];
    uint64_t part_bytes;
    size_t count;
    struct part *parts;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock;
    struct xb_error err; /* the first failure */
};

/* ---- beginning ---- */

static int parse_id(struct xb_s3_call *call, struct xb_error *err)
{
    struct parts *parts = call->context;
    struct xb_xml xml;
    enum xb_xml_event event = XB_XML_OPEN;
    int r = 0;
    parts->id[0] = '\0';
    xb_xml_begin(&xml, call->answer.data, call->answer.len);
    while (r == 0 && event != XB_XML_END) {
        r = xb_xml_next(&xml, &event, err);
        if (r == 0 && event == XB_XML_CLOSE && xml.depth == 1 &&
            strcmp(xml.name, "UploadId") == 0 && strlen(xb_xml_text(&xml)) < sizeof parts->id) {
            snprintf(parts->id, sizeof parts->id, "%s", xb_xml_text(&xml));
        }
    }
    xb_xml_done(&xml);
    return r == 0 && parts->id[0]
               ? 0
               : xb_error_set(err, XB_ERR_RETRY, -EBADMSG,
                              "%.300s: the server's answer is wrong: a multipart upload without "
                              "an id",
                              call->name);
}

static int begin_upload(struct parts *parts, const char *mark, struct xb_error *err)
{
    struct xb_s3 *self = parts->upload->self;
    struct xb_s3_call call = {
        .method = "POST", .name = parts->upload->base.name, .check = parse_id, .context = parts};
    xb_s3_query(&call, "uploads", "");
    xb_s3_headers_write(self, &call);
    if (self->checksum != XB_S3_CHECKSUMS) {
        xb_s3_header(&call, "x-amz-checksum-algorithm", xb_s3_checksum_name(self->checksum));
    }
    if (mark) {
        xb_s3_header(&call, "x-amz-meta-xebec-upload", mark);
    }
    int r = xb_s3_call(self, &call, err);
    xb_s3_call_done(&call);
    return r;
}

/* ---- parts ---- */

static int check_part(struct xb_s3_call *call, struct xb_error *err)
{
    return call->got.etag[0] ? 0
                             : xb_error_set(err, XB_ERR_RETRY, -EBADMSG,
                                            "%.300s: the server's answer is wrong: a part without "
                                            "an ETag",
                                            call->name);
}

static int send_part(struct parts *parts, size_t index, struct xb_error *err)
{
    struct xb_s3_upload *upload = parts->upload;
    uint64_t offset = index * parts->part_bytes;
    uint64_t left = upload->stage.len - offset;
    const struct xb_http_body_file file = xb_s3_stage_body(
        &upload->stage, offset, left < parts->part_bytes ? left : parts->part_bytes);
    struct xb_s3_call call = {
        .method = "PUT", .name = upload->base.name, .body_file = &file, .check = check_part};
    struct xb_s3_sums sums;
    struct xb_error failure = XB_ERROR_INIT;
    char number[32];
    snprintf(number, sizeof number, "%zu", index + 1);
    int r = xb_s3_sum_file(upload, &file, &sums, err);
    if (r < 0) {
        return r;
    }
    xb_s3_query(&call, "partNumber", number);
    xb_s3_query(&call, "uploadId", parts->id);
    xb_s3_headers_read(upload->self, &call); /* the customer's key, with each part */
    xb_s3_headers_sums(upload->self, &sums, &call);
    r = xb_s3_call(upload->self, &call, &failure);
    xb_s3_call_done(&call);
    if (r < 0 && xb_s3_must_sign(upload->self, &call, &failure)) {
        return send_part(parts, index, err); /* once: now it is signed */
    }
    if (r < 0) {
        *err = failure;
    } else {
        xb_s3_note_checked(upload->self, &sums, &call);
        memcpy(parts->parts[index].etag, call.got.etag, sizeof call.got.etag);
        memcpy(parts->parts[index].checksum, sums.checksum, sizeof sums.checksum);
    }
    return r;
}

static void run_parts(void *context)
{
    struct parts *parts = context;
    for (size_t index = atomic_fetch_add(&parts->next, 1);
         index < parts->count && !atomic_load(&parts->failed);
         index = atomic_fetch_add(&parts->next, 1)) {
        struct xb_error err = XB_ERROR_INIT;
        if (send_part(parts, index, &err) < 0) {
            pthread_mutex_lock(&parts->lock);
            if (!atomic_exchange(&parts->failed, true)) {
                parts->err = err;
            }
            pthread_mutex_unlock(&parts->lock);
        }
    }
}

static int send_all(struct parts *parts, struct xb_error *err)
{
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    int r = xb_workers_new(PART_THREADS, PART_THREADS, &workers, err);
    for (int i = 0; i < PART_THREADS && r == 0; i++) {
        xb_workers_submit(workers, run_parts, parts);
    }
    if (r == 0) {
        xb_workers_drain(workers);
    }
    if (r == 0 && atomic_load(&parts->failed)) {
        *err = parts->err;
        r = err->code;
    }
    return r;
}

/* ---- the end ---- */

static int write_list(const struct parts *parts, struct xb_buf *out, struct xb_error *err)
{
    enum xb_s3_checksum which = parts->upload->self->checksum;
    const char *name = xb_s3_checksum_name(which);
    int r = xb_buf_append_str(out,
                              "<CompleteMultipartUpload "
                              "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
                              err);
    for (size_t i = 0; i < parts->count && r == 0; i++) {
        const struct part *part = &parts->parts[i];
        r = xb_buf_append_str(out, "<Part>", err);
        if (r == 0 && name) {
            r = xb_buf_printf(out, err, "<Checksum%s>%s</Checksum%s>", name, part->checksum, name);
        }
        r = r ? r : xb_buf_append_str(out, "<ETag>", err);
        r = r ? r : xb_xml_escape(out, part->etag, err);
        r = r ? r : xb_buf_printf(out, err, "</ETag><PartNumber>%zu</PartNumber></Part>", i + 1);
    }
    return r ? r : xb_buf_append_str(out, "</CompleteMultipartUpload>", err);
}

/* S3 may say 200 and only then find that it failed: the body tells. */
static int check_complete(struct xb_s3_call *call, struct xb_error *err)
{
    struct xb_s3_fault fault = {.status = 500};
    xb_s3_fault_parse(call->answer.data, call->answer.len, &fault);
    if (!fault.code[0]) {
        return 0;
    }
    const struct xb_s3_fault_about about = {.what = call->name, .bucket = "", .region = ""};
    return xb_s3_fault_tell(&fault, &about, err);
}

static int send_complete(struct parts *parts, const struct xb_buf *list, bool conditional,
                         struct xb_s3_call *call, struct xb_error *err)
{
    *call = (struct xb_s3_call){.method = "POST",
                                .name = parts->upload->base.name,
                                .body = list->data,
                                .body_len = list->len,
                                .check = check_complete};
    xb_s3_query(call, "uploadId", parts->id);
    xb_s3_headers_read(parts->upload->self, call);
    xb_s3_header(call, "content-type", "application/xml");
    if (conditional) {
        xb_s3_header(call, "if-none-match", "*");
    }
    int r = xb_s3_call(parts->upload->self, call, err);
    xb_s3_call_done(call);
    return r;
}

static int complete(struct parts *parts, const char *mark, struct xb_error *err)
{
    struct xb_s3 *self = parts->upload->self;
    struct xb_s3_call call;
    struct xb_error failure = XB_ERROR_INIT;
    struct xb_buf list = XB_BUF_INIT(XB_S3_ANSWER_BYTES_MAX);
    bool conditional = parts->upload->exclusive && !atomic_load(&self->no_if_none_match);
    int r = write_list(parts, &list, &failure);
    if (r == 0) {
        r = send_complete(parts, &list, conditional, &call, &failure);
        if (r < 0 && conditional && call.status == 501) {
            atomic_store(&self->no_if_none_match, true);
            failure = (struct xb_error)XB_ERROR_INIT;
            r = send_complete(parts, &list, false, &call, &failure);
        }
        /* An attempt whose answer was lost may have put it together: then there is no upload any
         * more, but the object with our mark. */
        if (r < 0 && (failure.kind == XB_ERR_CONFLICT || failure.kind == XB_ERR_NOT_FOUND ||
                      strcmp(call.code, "NoSuchUpload") == 0)) {
            struct xb_error other = XB_ERROR_INIT;
            r = xb_s3_settle_conflict(self, call.name, mark, &other) == 0 ? 0 : r;
        }
    }
    xb_buf_free(&list);
    if (r < 0) {
        *err = failure;
    }
    return r;
}

/* Best effort: what stays is the business of the bucket's lifecycle rules. */
static void abort_upload(struct parts *parts)
{
    struct xb_s3_call call = {.method = "DELETE", .name = parts->upload->base.name};
    struct xb_error ignored = XB_ERROR_INIT;
    xb_s3_query(&call, "uploadId", parts->id);
    if (xb_s3_call(parts->upload->self, &call, &ignored) < 0) {
        ignored.code = 0;
    }
    xb_s3_call_done(&call);
}

int xb_s3_send_parts(struct xb_s3_upload *upload, struct xb_error *err)
{
    struct xb_s3 *self = upload->self;
    struct parts parts = {.upload = upload, .part_bytes = upload->self->part_bytes};
    char mark[XB_S3_MARK_BYTES];
    while (upload->stage.len / parts.part_bytes >= PARTS_MAX) {
        parts.part_bytes *= 2;
    }
    parts.count = (size_t)((upload->stage.len + parts.part_bytes - 1) / parts.part_bytes);
    XB_CLEANUP(xb_freep) struct part *all = calloc(parts.count, sizeof *all);
    if (!all) {
        return xb_error_no_memory(err, "an upload");
    }
    parts.parts = all;
    xb_s3_mark_make(mark);
    int r = upload->exclusive ? xb_s3_check_absent(self, upload->base.name, err) : 0;
    r = r ? r : begin_upload(&parts, mark, err);
    if (r < 0) {
        return r;
    }
    pthread_mutex_init(&parts.lock, NULL);
    r = send_all(&parts, err);
    pthread_mutex_destroy(&parts.lock);
    r = r ? r : complete(&parts, mark, err);
    if (r < 0) {
        abort_upload(&parts);
        return r;
    }
    xb_s3_overlay_note(self->overlay, upload->base.name, true, xb_clock_mono_ns());
    return 0;
}
