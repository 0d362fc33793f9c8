/* SPDX-License-Identifier: Apache-2.0
 *
 * frames.h - WebSocket frames: bytes from a server in, pieces of messages out, and the way back.
 *
 * What for:  inside shared/http only; the only user of libwslay.
 * Ownership: the caller's.
 * Threads:   one at a time.    Blocking: never (pure).
 * Shapes:    no message is ever held whole, so it may be of any length. Pings are answered, and so
 *            is the server's close: the answers are appended to `replies`.
 * Errors:    CORRUPT: not WebSocket; FULL: a server that wants more replies at once than
 *            XB_HTTP_FRAMES_REPLY_BYTES_MAX; IO: the server has closed; what on_piece returned.
 *            After an error the frames are of no use.
 * Source:    RFC 6455 sections 5 and 7.
 */
#pragma once

#include "shared/http/websocket.h"

enum { XB_HTTP_FRAMES_FEED_BYTES_MAX = 16 << 10, XB_HTTP_FRAMES_REPLY_BYTES_MAX = 256 << 10 };

struct xb_http_frames;

int xb_http_frames_new(xb_http_websocket_piece_fn *on_piece, void *context,
                       struct xb_http_frames **ret, struct xb_error *err) XB_MUST_CHECK;
/* At most XB_HTTP_FRAMES_FEED_BYTES_MAX at once, which bounds what a flood of pings can ask for.
 * Bytes after the server's close are dropped. */
int xb_http_frames_feed(struct xb_http_frames *frames, const void *data, size_t len,
                        struct xb_buf *replies, struct xb_error *err) XB_MUST_CHECK;
/* Appends what is to be sent for a message in one frame, or for a ping without content. */
int xb_http_frames_message(struct xb_http_frames *frames, const void *data, size_t len,
                           struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
int xb_http_frames_ping(struct xb_http_frames *frames, struct xb_buf *out,
                        struct xb_error *err) XB_MUST_CHECK;
/* How many pongs have come. */
size_t xb_http_frames_pongs(const struct xb_http_frames *frames);
/* Whether the server has closed. */
bool xb_http_frames_closed(const struct xb_http_frames *frames);
void xb_http_frames_free(struct xb_http_frames *frames);
