/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hooks/exec_answer.h"

#include <errno.h>

enum { FIELD_STDOUT = 1, FIELD_STDERR = 2, FIELD_EXIT_CODE = 3 };
enum { WIRE_NUMBER = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };
enum { VARINT_SHIFT_MAX = 63, TAG_TYPE_BITS = 3, TAG_TYPE_MASK = 7 };

void xb_exec_answer_begin(struct xb_exec_answer *answer, struct xb_exec_result *result)
{
    *answer = (struct xb_exec_answer){.result = result, .state = XB_EXEC_ANSWER_TAG};
    result->exit_code = 0; /* what an absent number means */
}

static int corrupt(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the runtime's answer is damaged: %s", what);
}

static int begin_field(struct xb_exec_answer *answer, struct xb_error *err)
{
    unsigned type = answer->number & TAG_TYPE_MASK;
    uint64_t field = answer->number >> TAG_TYPE_BITS;
    if (field == 0 || field > UINT32_MAX >> TAG_TYPE_BITS) {
        return corrupt(err, "a field has no valid number");
    }
    answer->field = (uint32_t)field;
    bool stream = field == FIELD_STDOUT || field == FIELD_STDERR;
    if ((stream && type != WIRE_BYTES) || (field == FIELD_EXIT_CODE && type != WIRE_NUMBER)) {
        return corrupt(err, "a field has another type");
    }
    switch (type) {
    case WIRE_NUMBER:
        answer->state = XB_EXEC_ANSWER_NUMBER;
        return 0;
    case WIRE_BYTES:
        answer->state = XB_EXEC_ANSWER_LENGTH;
        return 0;
    case WIRE_8_BYTES:
    case WIRE_4_BYTES:
        answer->left = type == WIRE_8_BYTES ? 8 : 4;
        answer->state = XB_EXEC_ANSWER_BYTES;
        return 0;
    default:
        return corrupt(err, "a field has an unknown type");
    }
}

/* A varint is whole: what it says depends on where we are. */
static int take_number(struct xb_exec_answer *answer, struct xb_error *err)
{
    switch (answer->state) {
    case XB_EXEC_ANSWER_TAG:
        return begin_field(answer, err);
    case XB_EXEC_ANSWER_LENGTH:
        answer->left = answer->number;
        answer->state = answer->left ? XB_EXEC_ANSWER_BYTES : XB_EXEC_ANSWER_TAG;
        return 0;
    case XB_EXEC_ANSWER_NUMBER:
        if (answer->field == FIELD_EXIT_CODE) {
            int64_t code = (int64_t)answer->number;
            if (code < INT32_MIN || code > INT32_MAX) {
                return corrupt(err, "the exit code is out of range");
            }
            answer->result->exit_code = (int)code;
        }
        answer->state = XB_EXEC_ANSWER_TAG;
        return 0;
    case XB_EXEC_ANSWER_BYTES:
        break;
    }
    return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a number among bytes");
}

static int feed_number(struct xb_exec_answer *answer, unsigned char byte, struct xb_error *err)
{
    enum { MORE = 0x80, BITS = 7 };
    if (answer->shift == VARINT_SHIFT_MAX && byte > 1) {
        return corrupt(err, "a number has more than 64 bits");
    }
    answer->number |= (uint64_t)(byte & (MORE - 1)) << answer->shift;
    if (byte & MORE) {
        answer->shift += BITS;
        return 0;
    }
    int r = take_number(answer, err);
    answer->number = 0;
    answer->shift = 0;
    return r;
}

static int feed_bytes(struct xb_exec_answer *answer, const unsigned char *data, size_t len,
                      struct xb_error *err)
{
    int r = 0;
    if (answer->field == FIELD_STDOUT) {
        r = xb_exec_output_add(&answer->result->out, data, len, err);
    } else if (answer->field == FIELD_STDERR) {
        r = xb_exec_output_add(&answer->result->err, data, len, err);
    }
    answer->left -= len;
    if (answer->left == 0) {
        answer->state = XB_EXEC_ANSWER_TAG;
    }
    return r;
}

int xb_exec_answer_feed(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct xb_exec_answer *answer = context;
    const unsigned char *at = data;
    const unsigned char *end = at + len;
    int r = 0;
    while (at < end && r == 0) {
        if (answer->state == XB_EXEC_ANSWER_BYTES) {
            size_t have = (size_t)(end - at);
            size_t take = answer->left < have ? (size_t)answer->left : have;
            r = feed_bytes(answer, at, take, err);
            at += take;
        } else {
            r = feed_number(answer, *at++, err);
        }
    }
    return r;
}

int xb_exec_answer_end(const struct xb_exec_answer *answer, struct xb_error *err)
{
    return answer->state == XB_EXEC_ANSWER_TAG && answer->shift == 0
               ? 0
               : corrupt(err, "it ends in the middle of a field");
}
