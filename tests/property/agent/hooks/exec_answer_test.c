/* SPDX-License-Identifier: Apache-2.0
 *
 * CRI's answer to a command, read as it comes: what protobuf-c packed comes out, in whatever pieces
 * it arrives; what is cut is refused; what is damaged does no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cri.pb-c.h>
#include <string.h>

#include "agent/hooks/exec_answer.h"
#include "tests/harness/property.h"

enum { ROUNDS = 2000, OUTPUT_BYTES_MAX = 500, KEPT = 300 };

static const char *const argv[] = {"true", NULL};
static const struct xb_exec_command command = {.argv = argv, .output_bytes_max = KEPT};

struct made {
    uint8_t out[OUTPUT_BYTES_MAX], err[OUTPUT_BYTES_MAX];
    size_t out_len, err_len;
    int32_t exit_code;
    uint8_t wire[4 * OUTPUT_BYTES_MAX];
    size_t len;
};

static size_t fill(struct property *source, uint8_t *data)
{
    size_t len = property_below(source, OUTPUT_BYTES_MAX + 1);
    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)property_next(source);
    }
    return len;
}

/* A field that nobody knows, of any type. */
static size_t put_unknown(struct property *source, uint8_t *out)
{
    static const uint8_t unknown[][12] = {
        {4 << 3 | 0, 0xff, 0xff, 3},          /* number */
        {5 << 3 | 1, 1, 2, 3, 4, 5, 6, 7, 8}, /* 8 bytes */
        {6 << 3 | 2, 3, 'a', 'b', 'c'},       /* bytes */
        {7 << 3 | 5, 1, 2, 3, 4},             /* 4 bytes */
        {0xfa, 0x7f, 0},                      /* bytes, none, of a large number */
    };
    static const size_t lens[] = {4, 9, 5, 5, 3};
    size_t which = property_below(source, 5);
    memcpy(out, unknown[which], lens[which]);
    return lens[which];
}

static void make(struct property *source, struct made *made)
{
    Cri__ExecSyncResponse response = CRI__EXEC_SYNC_RESPONSE__INIT;
    static const int32_t codes[] = {0, 1, 3, 127, 255, -1, INT32_MIN, INT32_MAX};
    made->out_len = fill(source, made->out);
    made->err_len = fill(source, made->err);
    made->exit_code = codes[property_below(source, 8)];
    made->len = property_once_in(source, 2) ? put_unknown(source, made->wire) : 0;
    response.out.data = made->out;
    response.out.len = made->out_len;
    response.err.data = made->err;
    response.err.len = made->err_len;
    response.exit_code = made->exit_code;
    made->len += cri__exec_sync_response__pack(&response, made->wire + made->len);
    if (property_once_in(source, 2)) {
        made->len += put_unknown(source, made->wire + made->len);
    }
}

static int read_all(struct property *source, const struct made *made, size_t len,
                    struct xb_exec_result *ret)
{
    struct xb_exec_answer answer;
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    *ret = xb_exec_result_for(&command);
    xb_exec_answer_begin(&answer, ret);
    for (size_t at = 0; at < len && r == 0;) {
        size_t piece = 1 + property_below(source, property_once_in(source, 2) ? 3 : 400);
        piece = piece < len - at ? piece : len - at;
        r = xb_exec_answer_feed(&answer, made->wire + at, piece, &err);
        at += piece;
    }
    r = r ? r : xb_exec_answer_end(&answer, &err);
    assert_int_equal(r < 0, err.kind == XB_ERR_CORRUPT);
    return r;
}

static void same(const struct xb_exec_output *output, const uint8_t *data, size_t len)
{
    size_t kept = len < KEPT ? len : KEPT;
    assert_int_equal(output->bytes.len, kept);
    assert_int_equal(output->truncated, len > KEPT);
    if (kept > 0) {
        assert_memory_equal(output->bytes.data, data, kept);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    struct property source = property_begin("exec answer");
    static struct made made;
    for (int i = 0; i < ROUNDS; i++) {
        struct xb_exec_result result;
        make(&source, &made);
        assert_int_equal(read_all(&source, &made, made.len, &result), 0);
        same(&result.out, made.out, made.out_len);
        same(&result.err, made.err, made.err_len);
        assert_int_equal(result.exit_code, made.exit_code);
        xb_exec_result_free(&result);
    }
}

/* Only a cut between two fields can look whole; gRPC's own length catches that one. */
static void test_cuts_are_refused(void **state)
{
    (void)state;
    struct property source = property_begin("cut exec answer");
    static struct made made;
    for (int i = 0; i < ROUNDS; i++) {
        struct xb_exec_result result;
        Cri__ExecSyncResponse *whole;
        make(&source, &made);
        size_t cut = property_below(&source, made.len + 1);
        int r = read_all(&source, &made, cut, &result);
        whole = cri__exec_sync_response__unpack(NULL, cut, made.wire);
        assert_int_equal(r == 0, whole != NULL);
        if (whole) {
            same(&result.out, whole->out.data, whole->out.len);
            same(&result.err, whole->err.data, whole->err.len);
            assert_int_equal(result.exit_code, whole->exit_code);
            cri__exec_sync_response__free_unpacked(whole, NULL);
        }
        xb_exec_result_free(&result);
    }
}

static void test_damage_does_no_harm(void **state)
{
    (void)state;
    struct property source = property_begin("damaged exec answer");
    static struct made made;
    for (int i = 0; i < ROUNDS; i++) {
        struct xb_exec_result result;
        make(&source, &made);
        if (made.len == 0) {
            continue;
        }
        made.wire[property_below(&source, made.len)] ^= (uint8_t)(1 << property_below(&source, 8));
        read_all(&source, &made, made.len, &result);
        assert_true(result.out.bytes.len <= KEPT && result.err.bytes.len <= KEPT);
        xb_exec_result_free(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_cuts_are_refused),
        cmocka_unit_test(test_damage_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
