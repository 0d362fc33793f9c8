/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/exec_channels.h"

#include <errno.h>
#include <string.h>

#include "shared/kube/request.h"

enum { CHANNEL_STDOUT = 1, CHANNEL_STDERR = 2, CHANNEL_ERROR = 3 };
enum { BAD_REQUEST = 400, FORBIDDEN = 403, NOT_FOUND = 404 };

#define INTERNAL_ERROR "Internal error occurred: "

void xb_exec_line_feed(struct xb_exec_line *line, const unsigned char *bytes, size_t len)
{
    const unsigned char *text = (const unsigned char *)line->text;
    for (size_t i = 0; text && i < len && !line->seen; i++) {
        bool whole = !line->other && text[line->matched] == '\0';
        if (bytes[i] == '\n') {
            line->seen = whole;
            line->matched = 0;
            line->other = line->returned = false;
        } else if (bytes[i] == '\r' && whole && !line->returned) {
            line->returned = true;
        } else if (line->other || line->returned || text[line->matched] != bytes[i] || whole) {
            line->other = true;
        } else {
            line->matched++;
        }
    }
}

int xb_exec_channels_feed(void *context, bool begins, const void *data, size_t len,
                          struct xb_error *err)
{
    struct xb_exec_channels *channels = context;
    const unsigned char *bytes = data;
    if (begins && len > 0) {
        channels->channel = *bytes++;
        len--;
    }
    if (len == 0) {
        return 0;
    }
    switch (channels->channel) {
    case CHANNEL_STDOUT:
        xb_exec_line_feed(&channels->line, bytes, len);
        return xb_exec_output_add(&channels->result->out, bytes, len, err);
    case CHANNEL_STDERR:
        return xb_exec_output_add(&channels->result->err, bytes, len, err);
    case CHANNEL_ERROR:
        return xb_buf_append(&channels->status_text, bytes, len, err);
    default:
        return 0;
    }
}

bool xb_exec_channels_told(struct xb_exec_channels *channels)
{
    struct xb_error not_whole = XB_ERROR_INIT;
    const struct xb_buf *text = &channels->status_text;
    if (!channels->status && text->len > 0 && text->data[text->len - 1] != '\0') {
        xb_json *status = NULL;
        if (xb_json_parse(text->data, text->len, &status, &not_whole) == 0) {
            channels->status = status;
        }
    }
    return channels->status != NULL;
}

/* The number in the cause of that reason. */
static bool exit_code_of(xb_json *status, int *ret)
{
    xb_json *causes = xb_json_get(status, "details.causes");
    size_t count =
        json_object_is_type(causes, json_type_array) ? json_object_array_length(causes) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *cause = json_object_array_get_idx(causes, i);
        const char *number = xb_json_str(cause, "message", "");
        char *end = NULL;
        if (strcmp(xb_json_str(cause, "reason", ""), "ExitCode") != 0) {
            continue;
        }
        errno = 0;
        long code = strtol(number, &end, 10);
        if (*number && *end == '\0' && errno == 0 && code >= INT32_MIN && code <= INT32_MAX) {
            *ret = (int)code;
            return true;
        }
    }
    return false;
}

int xb_exec_channels_end(struct xb_exec_channels *channels, const char *what, struct xb_error *err)
{
    xb_json *status = channels->status;
    if (strcmp(xb_json_str(status, "status", ""), "Success") == 0) {
        channels->result->exit_code = 0;
        return 0;
    }
    if (exit_code_of(status, &channels->result->exit_code)) {
        return 0;
    }
    int64_t code = xb_json_int(status, "code", 0);
    if (code == BAD_REQUEST || code == FORBIDDEN || code == NOT_FOUND) {
        return xb_kube_status_object_error((int)code, status, what, err);
    }
    /* It was asked for: who knows how far it came. The message is a chain of which the end says
     * most. */
    const char *message = xb_json_str(status, "message", "no message");
    while (strncmp(message, INTERNAL_ERROR, strlen(INTERNAL_ERROR)) == 0) {
        message += strlen(INTERNAL_ERROR);
    }
    return xb_error_set(err, XB_ERR_IO, -EIO, "%.160s: %.430s", what, message);
}

void xb_exec_channels_done(struct xb_exec_channels *channels)
{
    xb_buf_free(&channels->status_text);
    json_object_put(channels->status);
    channels->status = NULL;
}
