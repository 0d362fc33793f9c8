/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/frames.h"

#include <errno.h>
#include <string.h>
#include <wslay/wslay.h>

#include "shared/base/random.h"

/* A message is handed out as it comes, so its length needs no limit of wslay's. */
#define MESSAGE_BYTES_MAX (UINT64_C(1) << 48)

struct xb_http_frames {
    wslay_event_context_ptr wslay;
    xb_http_websocket_piece_fn *on_piece;
    void *context;
    const unsigned char *in; /* what feed was given */
    size_t in_len;
    struct xb_buf *replies;
    bool control, begins;
    size_t pongs;
    struct xb_error err; /* the first failure of a callback */
};

static void fail(struct xb_http_frames *frames)
{
    wslay_event_set_error(frames->wslay, WSLAY_ERR_CALLBACK_FAILURE);
}

static ssize_t give_bytes(wslay_event_context_ptr wslay, uint8_t *out, size_t size, int flags,
                          void *context)
{
    (void)flags;
    struct xb_http_frames *frames = context;
    size_t len = frames->in_len < size ? frames->in_len : size;
    if (frames->err.code != 0) {
        fail(frames);
        return -1;
    }
    if (len == 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(out, frames->in, len);
    frames->in += len;
    frames->in_len -= len;
    return (ssize_t)len;
}

static ssize_t take_reply(wslay_event_context_ptr wslay, const uint8_t *data, size_t len, int flags,
                          void *context)
{
    (void)flags;
    (void)wslay;
    struct xb_http_frames *frames = context;
    if (xb_buf_append(frames->replies, data, len, &frames->err) < 0) {
        fail(frames);
        return -1;
    }
    return (ssize_t)len;
}

static int make_mask(wslay_event_context_ptr wslay, uint8_t *out, size_t len, void *context)
{
    (void)wslay;
    (void)context;
    xb_random_bytes(out, len);
    return 0;
}

static void begin_frame(wslay_event_context_ptr wslay,
                        const struct wslay_event_on_frame_recv_start_arg *frame, void *context)
{
    (void)wslay;
    struct xb_http_frames *frames = context;
    frames->control = wslay_is_ctrl_frame(frame->opcode);
    frames->pongs += frame->opcode == WSLAY_PONG;
    if (!frames->control && frame->opcode != WSLAY_CONTINUATION_FRAME) {
        frames->begins = true;
    }
}

static void take_chunk(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *context)
{
    (void)wslay;
    struct xb_http_frames *frames = context;
    if (frames->control || chunk->data_length == 0 || frames->err.code != 0) {
        return;
    }
    bool begins = frames->begins;
    frames->begins = false;
    if (frames->on_piece(frames->context, begins, chunk->data, chunk->data_length, &frames->err) <
            0 &&
        frames->err.code == 0) {
        xb_error_set(&frames->err, XB_ERR_BUG, -EIO, "a data callback failed without saying why");
    }
}

int xb_http_frames_new(xb_http_websocket_piece_fn *on_piece, void *context,
                       struct xb_http_frames **ret, struct xb_error *err)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = give_bytes,
        .send_callback = take_reply,
        .genmask_callback = make_mask,
        .on_frame_recv_start_callback = begin_frame,
        .on_frame_recv_chunk_callback = take_chunk,
    };
    struct xb_http_frames *frames = calloc(1, sizeof *frames);
    if (!frames || wslay_event_context_client_init(&frames->wslay, &callbacks, frames) != 0) {
        free(frames);
        return xb_error_no_memory(err, "a WebSocket");
    }
    wslay_event_config_set_no_buffering(frames->wslay, 1);
    wslay_event_config_set_max_recv_msg_length(frames->wslay, MESSAGE_BYTES_MAX);
    frames->on_piece = on_piece;
    frames->context = context;
    *ret = frames;
    return 0;
}

/* wslay's verdict in our words; a failure of a callback first. */
static int verdict(struct xb_http_frames *frames, int code, struct xb_error *err)
{
    if (frames->err.code != 0) {
        *err = frames->err;
        return err->code;
    }
    if (code == WSLAY_ERR_NOMEM) {
        return xb_error_no_memory(err, "a WebSocket");
    }
    bool broken = code != 0 || (!wslay_event_get_read_enabled(frames->wslay) &&
                                !wslay_event_get_close_received(frames->wslay));
    return broken ? xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                 "the server does not keep to the WebSocket protocol")
                  : 0;
}

int xb_http_frames_feed(struct xb_http_frames *frames, const void *data, size_t len,
                        struct xb_buf *replies, struct xb_error *err)
{
    if (len > XB_HTTP_FRAMES_FEED_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "%zu bytes of frames at once", len);
    }
    frames->in = data;
    frames->in_len = len;
    frames->replies = replies;
    int code = wslay_event_recv(frames->wslay);
    int r = verdict(frames, code, err);
    if (r == 0) {
        code = wslay_event_send(frames->wslay);
        r = verdict(frames, code, err);
    }
    return r;
}

static int put(struct xb_http_frames *frames, const struct wslay_event_msg *message,
               struct xb_buf *out, struct xb_error *err)
{
    int code = wslay_event_queue_msg(frames->wslay, message);
    if (code == WSLAY_ERR_NO_MORE_MSG) {
        return xb_error_set(err, XB_ERR_IO, -ECONNRESET, "the server has closed the WebSocket");
    }
    frames->replies = out;
    return verdict(frames, code ? code : wslay_event_send(frames->wslay), err);
}

int xb_http_frames_message(struct xb_http_frames *frames, const void *data, size_t len,
                           struct xb_buf *out, struct xb_error *err)
{
    const struct wslay_event_msg message = {
        .opcode = WSLAY_BINARY_FRAME, .msg = data, .msg_length = len};
    return put(frames, &message, out, err);
}

int xb_http_frames_ping(struct xb_http_frames *frames, struct xb_buf *out, struct xb_error *err)
{
    const struct wslay_event_msg message = {.opcode = WSLAY_PING};
    return put(frames, &message, out, err);
}

size_t xb_http_frames_pongs(const struct xb_http_frames *frames)
{
    return frames->pongs;
}

bool xb_http_frames_closed(const struct xb_http_frames *frames)
{
    return wslay_event_get_close_received(frames->wslay) != 0;
}

void xb_http_frames_free(struct xb_http_frames *frames)
{
    if (frames) {
        wslay_event_context_free(frames->wslay);
        free(frames);
    }
}
