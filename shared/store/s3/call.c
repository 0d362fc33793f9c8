/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/store/s3/fault.h"
#include "shared/store/s3/number.h"

enum { SIGNED_MAX = XB_S3_PAIRS_MAX + 4, LINES_BYTES_MAX = XB_SECRET_BYTES_MAX + (32 << 10) };

/* One attempt: what is sent, as curl takes it. */
struct exchange {
    struct xb_s3 *self;
    struct xb_s3_call *call;
    struct xb_buf url;
    struct xb_buf lines;                 /* headers, each ended by a NUL */
    const char *headers[SIGNED_MAX + 2]; /* into lines */
};

int xb_s3_path(const struct xb_s3 *self, const struct xb_s3_place *place, const char *name,
               struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append_str(out, place->root, err);
    if (name) {
        r = r ? r : xb_sigv4_path(out, self->prefix, err);
        r = r ? r : xb_sigv4_path(out, name, err);
    }
    return r;
}

void xb_s3_headers_read(const struct xb_s3 *self, struct xb_s3_call *call)
{
    if (self->customer_key) {
        xb_s3_header(call, "x-amz-server-side-encryption-customer-algorithm", "AES256");
        xb_s3_header(call, "x-amz-server-side-encryption-customer-key",
                     (const char *)self->customer_key->data);
        xb_s3_header(call, "x-amz-server-side-encryption-customer-key-md5", self->customer_key_md5);
    }
}

void xb_s3_headers_write(const struct xb_s3 *self, struct xb_s3_call *call)
{
    xb_s3_headers_read(self, call);
    xb_s3_header(call, "content-type", "application/x-kopia");
    if (self->encryption) {
        xb_s3_header(call, "x-amz-server-side-encryption", self->encryption);
    }
    if (self->kms_key_id) {
        xb_s3_header(call, "x-amz-server-side-encryption-aws-kms-key-id", self->kms_key_id);
    }
    if (self->tagging) {
        xb_s3_header(call, "x-amz-tagging", self->tagging);
    }
}

/* Hex of the payload's SHA-256, or the word that it is not signed: TLS keeps it whole then, or its
 * checksum and its reader do. */
static int payload_hash(const struct xb_s3 *self, const struct xb_s3_call *call,
                        char out[XB_SIGV4_HEX_BYTES], struct xb_error *err)
{
    unsigned char digest[XB_S3_DIGEST_BYTES_MAX];
    if (call->unsigned_body || (self->place.tls && (call->body_len || call->body_file))) {
        memcpy(out, XB_SIGV4_UNSIGNED, sizeof XB_SIGV4_UNSIGNED);
        return 0;
    }
    if (call->sha256) {
        memcpy(out, call->sha256, XB_SIGV4_HEX_BYTES);
        return 0;
    }
    if (call->body_file ||
        !EVP_Digest(call->body, call->body_len, digest, NULL, EVP_sha256(), NULL)) {
        return xb_error_set(err, XB_ERR_BUG, -EIO, "a payload without its SHA-256");
    }
    xb_hex_encode(digest, 32, out);
    return 0;
}

/* Puts the pairs (without "host", which curl says) and the signature into lines. */
static int write_lines(struct exchange *exchange, const struct xb_sigv4_pair *pairs, size_t count,
                       const char *authorization, struct xb_error *err)
{
    size_t offsets[SIGNED_MAX + 1];
    size_t lines = 0;
    int r = 0;
    for (size_t i = 1; i <= count && r == 0; i++) {
        const char *name = i < count ? pairs[i].name : "authorization";
        const char *value = i < count ? pairs[i].value : authorization;
        offsets[lines++] = exchange->lines.len;
        r = xb_buf_printf(&exchange->lines, err, "%s: %s", name, value);
        r = r ? r : xb_buf_append(&exchange->lines, "", 1, err);
    }
    for (size_t i = 0; i < lines && r == 0; i++) {
        exchange->headers[i] = exchange->lines.data + offsets[i];
    }
    exchange->headers[lines] = NULL;
    return r;
}

static int sign(struct exchange *exchange, const char *path, const char *query,
                struct xb_error *err)
{
    const struct xb_s3 *self = exchange->self;
    const struct xb_s3_call *call = exchange->call;
    const struct xb_s3_credentials *who = &self->credentials;
    char time[XB_SIGV4_TIME_BYTES], payload[XB_SIGV4_HEX_BYTES];
    struct xb_sigv4_pair pairs[SIGNED_MAX];
    size_t count = 0;
    xb_sigv4_time(xb_clock_wall_ns(), time);
    int r = payload_hash(self, call, payload, err);
    if (r < 0) {
        return r;
    }
    pairs[count++] = (struct xb_sigv4_pair){"host", self->place.host};
    pairs[count++] = (struct xb_sigv4_pair){"x-amz-date", time};
    pairs[count++] = (struct xb_sigv4_pair){"x-amz-content-sha256", payload};
    if (who->token) {
        pairs[count++] =
            (struct xb_sigv4_pair){"x-amz-security-token", (const char *)who->token->data};
    }
    for (size_t i = 0; i < call->header_count; i++) {
        pairs[count++] = call->headers[i];
    }
    const struct xb_sigv4_key key = {who->id, who->secret, who->region, "s3"};
    const struct xb_sigv4_request request = {.method = call->method,
                                             .path = path,
                                             .query = query,
                                             .headers = pairs,
                                             .header_count = count,
                                             .payload = payload,
                                             .time = time};
    struct xb_buf authorization = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    r = xb_sigv4_authorize(&key, &request, &authorization, err);
    r = r ? r : write_lines(exchange, pairs, count, authorization.data, err);
    xb_buf_free(&authorization);
    return r;
}

static int prepare(struct exchange *exchange, struct xb_error *err)
{
    const struct xb_s3 *self = exchange->self;
    struct xb_s3_call *call = exchange->call;
    struct xb_buf path = XB_BUF_INIT(XB_S3_URL_BYTES_MAX);
    struct xb_buf query = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    int r = xb_s3_path(self, &self->place, call->name, &path, err);
    r = r ? r : xb_sigv4_query(&query, call->query, call->query_count, err);
    r = r ? r
          : xb_buf_printf(&exchange->url, err, "%s://%s%s%s%s", self->place.tls ? "https" : "http",
                          self->place.host, path.data, query.len ? "?" : "",
                          query.len ? query.data : "");
    r = r ? r : sign(exchange, path.data, query.len ? query.data : "", err);
    xb_buf_free(&path);
    xb_buf_free(&query);
    return r;
}

static void keep(char *to, size_t room, const char *value)
{
    snprintf(to, room, "%s", value);
}

/* -1 when it is none. */
static int64_t length(const char *text)
{
    uint64_t value;
    return xb_s3_number(&text, &value) && *text == '\0' ? (int64_t)value : -1;
}

/* Looked at as it comes: a long body may follow. */
static void note_date(struct xb_s3 *self, int64_t date_s)
{
    if (date_s > 0) {
        int64_t offset = date_s * XB_NS_PER_S - xb_clock_wall_ns();
        /* The date has whole seconds: within one of them the clocks agree. */
        offset = offset < 0 && offset > -XB_NS_PER_S ? 0 : offset;
        atomic_store(&self->clock_offset_ns, offset);
    }
}

static void take_header(void *context, const char *name, const char *value)
{
    struct exchange *exchange = context;
    struct xb_s3_headers *got = &exchange->call->got;
    if (strcasecmp(name, "ETag") == 0) {
        keep(got->etag, sizeof got->etag, value);
    } else if (strcasecmp(name, "Content-Range") == 0) {
        keep(got->content_range, sizeof got->content_range, value);
    } else if (strcasecmp(name, "Content-Length") == 0) {
        got->length = length(value);
    } else if (strcasecmp(name, "Last-Modified") == 0) {
        got->modified_s = xb_http_date_parse(value);
    } else if (strcasecmp(name, "Date") == 0) {
        note_date(exchange->self, xb_http_date_parse(value));
    } else if (strcasecmp(name, "x-amz-bucket-region") == 0) {
        keep(got->region, sizeof got->region, value);
    } else if (strcasecmp(name, "x-amz-checksum-type") == 0) {
        keep(got->checksum_type, sizeof got->checksum_type, value);
    } else if (strcasecmp(name, "x-amz-meta-xebec-upload") == 0) {
        keep(got->upload_mark, sizeof got->upload_mark, value);
    }
    for (enum xb_s3_checksum which = XB_S3_CRC32; which <= XB_S3_SHA256; which++) {
        if (strcasecmp(name, xb_s3_checksum_header(which)) == 0) {
            keep(got->checksum[which], sizeof got->checksum[which], value);
        }
    }
}

static int take_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct exchange *exchange = context;
    return exchange->call->data(exchange->call, data, len, err);
}

static void note_answer(struct xb_s3 *self, const struct xb_s3_call *call)
{
    if ((call->status >= 200 && call->status < 300) || strcmp(call->code, "NoSuchKey") == 0) {
        atomic_store(&self->bucket_seen, true);
    }
}

/* Turns an answer that is no 2xx into an error. */
static int refusal(struct xb_s3 *self, struct xb_s3_call *call, struct xb_error *err)
{
    struct xb_s3_fault fault = {.status = call->status};
    xb_s3_fault_parse(call->answer.data, call->answer.len, &fault);
    if (!fault.region[0]) {
        keep(fault.region, sizeof fault.region, call->got.region);
    }
    keep(call->code, sizeof call->code, fault.code);
    note_answer(self, call);
    int64_t offset = atomic_load(&self->clock_offset_ns);
    const struct xb_s3_fault_about about = {.what = call->name,
                                            .bucket = self->bucket,
                                            .region = self->credentials.region,
                                            .clock_ns = offset == INT64_MIN ? 0 : offset,
                                            .clock_known = offset != INT64_MIN};
    return xb_s3_fault_tell(&fault, &about, err);
}

static void forget_answer(struct xb_s3_call *call)
{
    call->status = 0;
    call->code[0] = '\0';
    call->got = (struct xb_s3_headers){.length = -1, .modified_s = -1};
    xb_buf_free(&call->answer);
}

static int perform(struct exchange *exchange, int64_t *ret_retry_after_ms, struct xb_error *err)
{
    struct xb_s3_call *call = exchange->call;
    const struct xb_http_request request = {.method = call->method,
                                            .url = exchange->url.data,
                                            .headers = exchange->headers,
                                            .body = call->body,
                                            .body_len = call->body_len,
                                            .body_file = call->body_file,
                                            .timeout_ms = -1,
                                            .response_bytes_max =
                                                call->data ? 0 : XB_S3_ANSWER_BYTES_MAX,
                                            .on_data = call->data ? take_data : NULL,
                                            .on_header = take_header,
                                            .context = exchange};
    struct xb_http_response response = {.retry_after_ms = -1};
    int r = xb_http_perform(exchange->self->http, &request, &response, err);
    if (r < 0) {
        return r;
    }
    call->status = response.status;
    call->answer = response.body;
    *ret_retry_after_ms = response.retry_after_ms;
    if (call->status < 200 || call->status > 299) {
        return refusal(exchange->self, call, err);
    }
    note_answer(exchange->self, call);
    return call->check ? call->check(call, err) : 0;
}

static int attempt(struct xb_s3 *self, struct xb_s3_call *call, int64_t *ret_retry_after_ms,
                   struct xb_error *err)
{
    struct exchange exchange = {.self = self,
                                .call = call,
                                .url = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX),
                                .lines = XB_BUF_INIT(LINES_BYTES_MAX)};
    forget_answer(call);
    int r = call->begin ? call->begin(call, err) : 0;
    r = r ? r : prepare(&exchange, err);
    r = r ? r : perform(&exchange, ret_retry_after_ms, err);
    xb_buf_free(&exchange.url);
    xb_buf_wipe(&exchange.lines);
    return r;
}

int xb_s3_call(struct xb_s3 *self, struct xb_s3_call *call, struct xb_error *err)
{
    struct xb_http_attempts attempts;
    struct xb_error failure = XB_ERROR_INIT;
    int64_t told_ms = -1;
    int r;
    xb_http_attempts_begin(&attempts, &self->retry);
    for (;;) {
        failure = (struct xb_error)XB_ERROR_INIT;
        told_ms = -1;
        r = attempt(self, call, &told_ms, &failure);
        if (r == 0) {
            return 0;
        }
        if (failure.kind != XB_ERR_RETRY || !xb_http_attempts_again(&attempts, told_ms, NULL)) {
            break;
        }
    }
    *err = failure;
    return failure.kind == XB_ERR_RETRY && attempts.failures > 1
               ? xb_error_wrap(err, "after %u attempts", attempts.failures)
               : r;
}

void xb_s3_call_done(struct xb_s3_call *call)
{
    xb_buf_free(&call->answer);
}
