/* SPDX-License-Identifier: Apache-2.0
 *
 * What a WebSocket's server says: the answer to the handshake, and then frames. However the frames
 * are cut into pieces, the same bytes come out. The first byte says how large the pieces are, and
 * whether the input begins with an answer or with frames.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/http/frames.h"
#include "shared/http/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The key of RFC 6455's example. */
static const struct xb_http_handshake handshake = {.url = "http://server.example.com/chat",
                                                   .protocols = "chat, superchat",
                                                   .key = "dGhlIHNhbXBsZSBub25jZQ=="};

struct taken {
    uint64_t hash;
    size_t bytes, messages;
};

static int take(void *context, bool begins, const void *data, size_t len, struct xb_error *err)
{
    struct taken *taken = context;
    const uint8_t *bytes = data;
    (void)err;
    if (len == 0 || (taken->messages == 0 && !begins)) {
        abort();
    }
    taken->messages += begins;
    for (size_t i = 0; i < len; i++) {
        taken->hash = taken->hash * 1099511628211U + bytes[i] + (begins && i == 0 ? 256U : 0U);
    }
    taken->bytes += len;
    return 0;
}

static int run(const uint8_t *data, size_t size, size_t step, struct taken *ret)
{
    struct xb_http_frames *frames = NULL;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf replies = XB_BUF_INIT(XB_HTTP_FRAMES_REPLY_BYTES_MAX);
    *ret = (struct taken){.hash = 1};
    int r = xb_http_frames_new(take, ret, &frames, &err);
    for (size_t at = 0; at < size && r == 0; at += step) {
        size_t len = size - at < step ? size - at : step;
        r = xb_http_frames_feed(frames, data + at, len, &replies, &err);
        xb_buf_clear(&replies);
    }
    xb_http_frames_free(frames);
    xb_buf_free(&replies);
    if (ret->bytes > size) {
        abort();
    }
    return r;
}

static void answer(const uint8_t *data, size_t size)
{
    struct xb_http_handshake_answer got = {.head_len = 0};
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_http_handshake_parse(&handshake, (const char *)data, size, &got, &err);
    if (r == 0 && got.head_len > 0) {
        bool proved = memmem(data, size, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28) != NULL;
        if (got.head_len > size || (got.status == 101 && !proved)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct taken pieces;
    struct taken whole;
    if (size < 2) {
        return 0;
    }
    if (data[0] & 0x80) {
        answer(data + 1, size - 1);
        return 0;
    }
    /* A wrong close code is seen at its first or at its last byte, by how much comes at once. */
    if (run(data + 1, size - 1, 1 + data[0] % 32, &pieces) == 0 &&
        run(data + 1, size - 1, XB_HTTP_FRAMES_FEED_BYTES_MAX, &whole) == 0 &&
        (whole.hash != pieces.hash || whole.messages != pieces.messages)) {
        abort();
    }
    return 0;
}
