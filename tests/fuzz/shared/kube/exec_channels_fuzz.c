/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of an exec: output within its limits, a Status that is no harm. Input: any number of
 * a byte of length, a byte that says whether a message begins, and as many bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "shared/kube/exec_channels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const argv[] = {"true", NULL};
    const struct xb_exec_command command = {.argv = argv, .output_bytes_max = 64};
    struct xb_exec_result result = xb_exec_result_for(&command);
    struct xb_exec_channels channels = XB_EXEC_CHANNELS_INIT(&result);
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    for (size_t at = 0; at + 2 < size && r == 0;) {
        size_t len = data[at] < size - at - 2 ? data[at] : size - at - 2;
        r = xb_exec_channels_feed(&channels, data[at + 1] & 1, data + at + 2, len, &err);
        at += 2 + len;
    }
    if (r == 0 && xb_exec_channels_told(&channels)) {
        r = xb_exec_channels_end(&channels, "exec", &err);
    }
    if ((r < 0) != (err.code != 0) || result.out.bytes.len > 64 || result.err.bytes.len > 64) {
        abort();
    }
    xb_exec_channels_done(&channels);
    xb_exec_result_free(&result);
    return 0;
}
