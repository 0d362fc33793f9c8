/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSocket frames: however messages are split into frames, frames into pieces, and pings put in
 * between, the same messages come out; and whatever is cut or flipped does no harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shared/http/frames.h"
#include "tests/harness/property.h"
#include "tests/unit/shared/http/websocket_server.h"

enum { ROUNDS = 400, WIRE_BYTES = 1 << 20, MESSAGES_MAX = 6, MESSAGE_BYTES_MAX = 70000 };

/* Each message is told as its length and a hash, the way it goes in and the way it comes out. */
struct digest {
    uint64_t hash;
    size_t messages, bytes;
};

static void digest_piece(struct digest *digest, bool begins, const unsigned char *data, size_t len)
{
    digest->messages += begins;
    digest->hash = begins ? digest->hash * 31 + 7 : digest->hash;
    for (size_t i = 0; i < len; i++) {
        digest->hash = digest->hash * UINT64_C(1099511628211) + data[i];
    }
    digest->bytes += len;
}

static int take(void *context, bool begins, const void *data, size_t len, struct xb_error *err)
{
    (void)err;
    digest_piece(context, begins, data, len);
    return 0;
}

static unsigned char wire[WIRE_BYTES];
static unsigned char message[MESSAGE_BYTES_MAX];

/* One message in random frames, with pings in between. */
static size_t put_message(struct property *source, size_t at, struct digest *digest)
{
    size_t len = property_once_in(source, 3) ? property_below(source, MESSAGE_BYTES_MAX)
                                             : property_below(source, 300);
    int opcode = TEST_BINARY;
    len += len == 0;
    for (size_t i = 0; i < len; i++) {
        message[i] = (unsigned char)property_next(source);
    }
    /* The hash does not depend on the pieces, only on where a message begins. */
    digest_piece(digest, true, message, len);
    for (size_t done = 0; done < len;) {
        size_t piece =
            property_once_in(source, 2) ? len - done : property_below(source, len - done + 1);
        at += test_frame_put(wire + at, opcode, done + piece == len, message + done, piece);
        done += piece;
        opcode = 0;
        if (done < len && property_once_in(source, 2)) {
            at += test_frame_put(wire + at, TEST_PING, true, "ping", 4);
        }
    }
    return at;
}

static size_t put_messages(struct property *source, struct digest *digest)
{
    size_t count = property_below(source, MESSAGES_MAX);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        at = put_message(source, at, digest);
    }
    return at;
}

static int run(struct property *source, size_t len, struct digest *ret, bool *ret_closed)
{
    struct xb_http_frames *frames = NULL;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf replies = XB_BUF_INIT(XB_HTTP_FRAMES_REPLY_BYTES_MAX);
    int r = xb_http_frames_new(take, ret, &frames, &err);
    assert_int_equal(r, 0);
    for (size_t at = 0; at < len && r == 0;) {
        size_t most = property_once_in(source, 2) ? 9 : XB_HTTP_FRAMES_FEED_BYTES_MAX;
        size_t piece = 1 + property_below(source, most);
        piece = piece < len - at ? piece : len - at;
        r = xb_http_frames_feed(frames, wire + at, piece, &replies, &err);
        xb_buf_clear(&replies);
        at += piece;
    }
    *ret_closed = xb_http_frames_closed(frames);
    xb_http_frames_free(frames);
    xb_buf_free(&replies);
    return r;
}

static void test_same_messages_come_out(void **state)
{
    (void)state;
    struct property source = property_begin("frames");
    for (int i = 0; i < ROUNDS; i++) {
        struct digest in = {0};
        struct digest out = {0};
        bool closed;
        size_t len = put_messages(&source, &in);
        len += test_frame_put(wire + len, TEST_CLOSE, true, "\x03\xe8", 2);
        assert_int_equal(run(&source, len, &out, &closed), 0);
        assert_true(closed);
        assert_int_equal(out.messages, in.messages);
        assert_int_equal(out.bytes, in.bytes);
        assert_true(out.hash == in.hash);
    }
}

static void test_damage_does_no_harm(void **state)
{
    (void)state;
    struct property source = property_begin("damaged frames");
    for (int i = 0; i < ROUNDS; i++) {
        struct digest in = {0};
        struct digest out = {0};
        bool closed;
        size_t len = put_messages(&source, &in);
        if (len == 0) {
            continue;
        }
        wire[property_below(&source, len)] ^= (unsigned char)(1 << property_below(&source, 8));
        size_t cut = property_below(&source, len + 1);
        run(&source, cut, &out, &closed);
        assert_true(out.bytes <= cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_messages_come_out),
        cmocka_unit_test(test_damage_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
