/* SPDX-License-Identifier: Apache-2.0
 *
 * A runtime's answer to a command, from gRPC's frame to the exit code: however it is cut into
 * pieces, the same comes out, and within its limits. The first byte says how large the pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hooks/exec_answer.h"
#include "agent/hooks/grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT = 64, ANSWER_BYTES_MAX = 1 << 20 };

static int run(const uint8_t *data, size_t size, size_t step, struct xb_exec_result *ret)
{
    static const char *const argv[] = {"true", NULL};
    const struct xb_exec_command command = {.argv = argv, .output_bytes_max = KEPT};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_exec_answer answer;
    struct xb_grpc_frame frame = {
        .max = ANSWER_BYTES_MAX, .on_piece = xb_exec_answer_feed, .context = &answer};
    int r = 0;
    *ret = xb_exec_result_for(&command);
    xb_exec_answer_begin(&answer, ret);
    for (size_t at = 0; at < size && r == 0; at += step) {
        r = xb_grpc_frame_feed(&frame, data + at, size - at < step ? size - at : step, &err);
    }
    if (r == 0 && xb_grpc_frame_complete(&frame)) {
        r = xb_exec_answer_end(&answer, &err);
    }
    if ((r < 0) != (err.code != 0) || ret->out.bytes.len > KEPT || ret->err.bytes.len > KEPT) {
        abort();
    }
    return r;
}

static int same(const struct xb_exec_output *a, const struct xb_exec_output *b)
{
    return a->truncated == b->truncated && a->bytes.len == b->bytes.len &&
           (a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xb_exec_result pieces;
    struct xb_exec_result whole;
    if (size < 2) {
        return 0;
    }
    int r = run(data + 1, size - 1, 1 + data[0] % 32, &pieces);
    int s = run(data + 1, size - 1, size, &whole);
    /* A failure comes at the same byte, but "more than one message" before what is in it. */
    if (r == 0 && (s != 0 || !same(&pieces.out, &whole.out) || !same(&pieces.err, &whole.err) ||
                   pieces.exit_code != whole.exit_code)) {
        abort();
    }
    xb_exec_result_free(&pieces);
    xb_exec_result_free(&whole);
    return 0;
}
