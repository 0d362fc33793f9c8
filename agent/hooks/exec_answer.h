/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_answer.h - reads CRI's ExecSyncResponse as it comes.
 *
 * What for:  inside agent/hooks only. A runtime hands out what a command said in one message of up
 *            to 16 MiB for each stream: unpacked at once it would be in memory twice. This keeps
 *            only what the result has room for.
 * Ownership: the result is the caller's.
 * Threads:   one.    Blocking: never.
 * Shapes:    fields of other numbers are skipped. A stream that comes in several fields is joined.
 * Errors:    CORRUPT: not a message of protobuf, or a known field of another type; whatever is
 *            wrong once stays wrong.
 * Limits:    the result's.
 */
#pragma once

#include "shared/base/exec.h"

#include <stdint.h>

enum xb_exec_answer_state {
    XB_EXEC_ANSWER_TAG,
    XB_EXEC_ANSWER_LENGTH,
    XB_EXEC_ANSWER_NUMBER,
    XB_EXEC_ANSWER_BYTES
};

struct xb_exec_answer {
    struct xb_exec_result *result;
    enum xb_exec_answer_state state;
    uint32_t field;
    uint64_t number; /* the varint under way */
    unsigned shift;  /* its bits so far */
    uint64_t left;   /* of the bytes under way */
};

/* `result` as xb_exec_result_for makes it. */
void xb_exec_answer_begin(struct xb_exec_answer *answer, struct xb_exec_result *result);
/* A xb_grpc_piece_fn; the context is the answer. */
int xb_exec_answer_feed(void *answer, const void *data, size_t len,
                        struct xb_error *err) XB_MUST_CHECK;
/* After the last byte: CORRUPT when it ends in the middle of a field. */
int xb_exec_answer_end(const struct xb_exec_answer *answer, struct xb_error *err) XB_MUST_CHECK;
