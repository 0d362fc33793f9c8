/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_channels.h - the messages of an exec's WebSocket, and how the command ended.
 *
 * What for:  inside shared/kube only.
 * Ownership: the result is the caller's; so is the line that is waited for.
 * Threads:   one.    Blocking: never (pure).
 * Shapes:    the first byte of a message is its channel; channels that nobody asked for are
 *            skipped.
 * Errors:    FULL: a Status larger than XB_KUBE_EXEC_STATUS_BYTES_MAX; of end: as
 *            shared/base/exec.h.
 * Source:    Kubernetes remotecommand, versions 4 and 5.
 */
#pragma once

#include "shared/base/exec.h"
#include "shared/codec/json.h"
#include "shared/kube/exec.h"

/* A line of standard output that is waited for; its end is \n, and a \r before that is let pass. */
struct xb_exec_line {
    const char *text; /* NULL: none */
    size_t matched;   /* of the line that is under way */
    bool other, returned;
    bool seen;
};
void xb_exec_line_feed(struct xb_exec_line *line, const unsigned char *bytes, size_t len);

struct xb_exec_channels {
    struct xb_exec_result *result;
    struct xb_exec_line line;
    unsigned char channel;
    struct xb_buf status_text;
    xb_json *status; /* once it is whole */
};

#define XB_EXEC_CHANNELS_INIT(of)                                                                  \
    {                                                                                              \
        .result = (of), .status_text = XB_BUF_INIT(XB_KUBE_EXEC_STATUS_BYTES_MAX)                  \
    }

/* A xb_http_websocket_piece_fn; the context is the channels. */
int xb_exec_channels_feed(void *channels, bool begins, const void *data, size_t len,
                          struct xb_error *err) XB_MUST_CHECK;
/* Whether the Status has come. */
bool xb_exec_channels_told(struct xb_exec_channels *channels);
/* Fills in the exit code from the Status that has come; `what` for the text. */
int xb_exec_channels_end(struct xb_exec_channels *channels, const char *what,
                         struct xb_error *err) XB_MUST_CHECK;
void xb_exec_channels_done(struct xb_exec_channels *channels);
