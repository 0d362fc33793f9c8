/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of an exec: output within its limits, a line that is seen where it is, a Status that
 * is no harm. Input: any number of
 * a byte of length, a byte that says whether a message begins, and as many bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/kube/exec_channels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT = 512 };

/* Whether all that was said has the line, looked at as a whole. */
static bool has_line(const struct xb_exec_output *output)
{
    const char *at = output->bytes.data;
    const char *stop = at + output->bytes.len;
    for (const char *end; at && (end = memchr(at, '\n', (size_t)(stop - at))) != NULL;
         at = end + 1) {
        size_t len = (size_t)(end - at);
        len -= len > 0 && at[len - 1] == '\r';
        if (len == 5 && memcmp(at, "ready", 5) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const argv[] = {"true", NULL};
    const struct xb_exec_command command = {.argv = argv, .output_bytes_max = KEPT};
    struct xb_exec_result result = xb_exec_result_for(&command);
    struct xb_exec_channels channels = XB_EXEC_CHANNELS_INIT(&result);
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    channels.line.text = "ready";
    for (size_t at = 0; at + 2 < size && r == 0;) {
        size_t len = data[at] < size - at - 2 ? data[at] : size - at - 2;
        r = xb_exec_channels_feed(&channels, data[at + 1] & 1, data + at + 2, len, &err);
        at += 2 + len;
    }
    if (r == 0 && xb_exec_channels_told(&channels)) {
        r = xb_exec_channels_end(&channels, "exec", &err);
    }
    if ((r < 0) != (err.code != 0) || result.out.bytes.len > KEPT || result.err.bytes.len > KEPT ||
        (!result.out.truncated && has_line(&result.out) != channels.line.seen)) {
        abort();
    }
    xb_exec_channels_done(&channels);
    xb_exec_result_free(&result);
    return 0;
}
