/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hooks/grpc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "shared/base/buf.h"
#include "shared/codec/text.h"
#include "shared/http/http.h"

enum { METHOD_BYTES_MAX = 256, HTTP_OK = 200 };

int xb_grpc_frame_feed(struct xb_grpc_frame *frame, const void *data, size_t len,
                       struct xb_error *err)
{
    const unsigned char *bytes = data;
    while (len > 0 && frame->header_len < XB_GRPC_HEADER_BYTES) {
        frame->header[frame->header_len++] = *bytes++;
        len--;
        if (frame->header_len < XB_GRPC_HEADER_BYTES) {
            continue;
        }
        const unsigned char *h = frame->header;
        if (h[0] != 0) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "a message is compressed, though nobody asked for that");
        }
        frame->left = (uint32_t)h[1] << 24 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 8 | h[4];
        if (frame->left > frame->max) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                                "an answer of %u bytes: at most %zu are taken", frame->left,
                                frame->max);
        }
    }
    if (len > frame->left) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "more than one message in an answer");
    }
    frame->left -= (uint32_t)len;
    return len > 0 ? frame->on_piece(frame->context, bytes, len, err) : 0;
}

bool xb_grpc_frame_complete(const struct xb_grpc_frame *frame)
{
    return frame->header_len == XB_GRPC_HEADER_BYTES && frame->left == 0;
}

int xb_grpc_status_parse(const char *value)
{
    enum { DIGITS_MAX = 3 };
    int code = 0;
    size_t len = strlen(value);
    if (len == 0 || len > DIGITS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9') {
            return -1;
        }
        code = code * 10 + (value[i] - '0');
    }
    return code;
}

void xb_grpc_message_decode(const char *value, char out[XB_GRPC_MESSAGE_BYTES])
{
    size_t len = 0;
    for (const char *c = value; *c && len < XB_GRPC_MESSAGE_BYTES - 1; c++) {
        struct xb_error none = XB_ERROR_INIT;
        unsigned char byte = (unsigned char)*c;
        if (*c == '%' && c[1] && c[2] && xb_hex_decode(c + 1, 2, &byte, &none) == 0) {
            c += 2;
        }
        out[len++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    out[len] = '\0';
}

/* What one call has heard so far. */
struct heard {
    struct xb_grpc_frame frame;
    struct xb_grpc_status status;
};

static int take_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct heard *heard = context;
    return xb_grpc_frame_feed(&heard->frame, data, len, err);
}

/* The outcome comes in the trailers, or, without a message, in the headers. */
static void take_header(void *context, const char *name, const char *value)
{
    struct heard *heard = context;
    if (strcasecmp(name, "grpc-status") == 0) {
        heard->status.code = xb_grpc_status_parse(value);
    } else if (strcasecmp(name, "grpc-message") == 0) {
        xb_grpc_message_decode(value, heard->status.message);
    }
}

static int frame_request(const struct xb_grpc_call *call, struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append(out, "", 1, err); /* not compressed */
    r = r ? r : xb_buf_append_be32(out, (uint32_t)call->message_len, err);
    return r || call->message_len == 0 ? r
                                       : xb_buf_append(out, call->message, call->message_len, err);
}

static int perform(const struct xb_grpc_call *call, const struct xb_buf *body, struct heard *heard,
                   struct xb_error *err)
{
    static const char *const headers[] = {"Content-Type: application/grpc", "TE: trailers", NULL};
    const struct xb_http_client_options options = {.unix_socket = call->socket,
                                                   .http2_prior_knowledge = true};
    XB_CLEANUP(xb_http_client_freep) struct xb_http_client *client = NULL;
    char url[METHOD_BYTES_MAX];
    snprintf(url, sizeof url, "http://localhost%.200s", call->method);
    const struct xb_http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = body->data,
        .body_len = body->len,
        .timeout_ms = call->timeout_ms,
        .response_bytes_max = call->answer_bytes_max + XB_GRPC_HEADER_BYTES,
        .on_data = take_data,
        .on_header = take_header,
        .context = heard,
        .cancel = call->cancel,
    };
    struct xb_http_response response = {.status = 0};
    int r = xb_http_client_new(&options, &client, err);
    r = r ? r : xb_http_perform(client, &request, &response, err);
    if (r == 0 && response.status != HTTP_OK) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "HTTP status %d", response.status);
    }
    xb_http_response_free(&response);
    return r;
}

int xb_grpc_call(const struct xb_grpc_call *call, struct xb_grpc_status *ret, struct xb_error *err)
{
    struct heard heard = {
        .frame = {.max = call->answer_bytes_max,
                  .on_piece = call->on_piece,
                  .context = call->context},
        .status = {.code = -1},
    };
    if (call->message_len > UINT32_MAX - XB_GRPC_HEADER_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "a request of %zu bytes",
                            call->message_len);
    }
    struct xb_buf body = XB_BUF_INIT(call->message_len + XB_GRPC_HEADER_BYTES);
    int r = frame_request(call, &body, err);
    r = r ? r : perform(call, &body, &heard, err);
    xb_buf_free(&body);
    if (r == 0 && heard.status.code < 0) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the answer has no gRPC status");
    }
    if (r == 0 && heard.status.code == XB_GRPC_OK && !xb_grpc_frame_complete(&heard.frame)) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the answer's message was cut short");
    }
    if (r < 0) {
        return xb_error_wrap(err, "%.200s at %.100s", call->method, call->socket);
    }
    *ret = heard.status;
    return 0;
}
