/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages of agent and guard: what is written is read as it was, and a packet that is cut or in
 * which a bit flips is another message or none, never a mixture with what lies behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "agent/guard/message.h"
#include "tests/harness/property.h"

enum { ROUNDS = 300, TEXT_BYTES = 200 };

static unsigned char packet[XB_GUARD_PACKET_BYTES_MAX], again[XB_GUARD_PACKET_BYTES_MAX];
static unsigned char space[XB_GUARD_PACKET_BYTES_MAX];

struct texts {
    char a[TEXT_BYTES], b[TEXT_BYTES], c[TEXT_BYTES], d[TEXT_BYTES];
};

static const char *some_text(struct property *source, char out[TEXT_BYTES], size_t min, size_t max)
{
    size_t len = min + property_below(source, max - min + 1);
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)(1 + property_below(source, 255));
    }
    out[len] = '\0';
    return out;
}

static void add_hooks(struct property *source, struct xb_guard_room *room)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t count = property_below(source, 5);
    for (size_t i = 0; i < count; i++) {
        struct texts texts;
        const char *argv[4] = {some_text(source, texts.b, 0, 100),
                               some_text(source, texts.c, 0, 100),
                               some_text(source, texts.d, 0, 100), NULL};
        argv[1 + property_below(source, 3)] = NULL;
        assert_int_equal(xb_guard_add_hook(room, some_text(source, texts.a, 1, 100),
                                           (uint32_t)property_below(source, 100000), argv, &err),
                         0);
    }
}

static void add_results(struct property *source, struct xb_guard_room *room)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t count = property_below(source, 5);
    for (size_t i = 0; i < count; i++) {
        struct texts texts;
        struct xb_guard_result result = {.exit_code = (int32_t)property_below(source, 300) - 1,
                                         .timed_out = property_once_in(source, 2),
                                         .kind = (uint32_t)property_below(source, XB_ERR_BUG),
                                         .error = some_text(source, texts.a, 0, 100),
                                         .out = {.data = (const unsigned char *)texts.a,
                                                 .len = property_below(source, 100),
                                                 .truncated = property_once_in(source, 2)},
                                         .err = {.data = (const unsigned char *)texts.a, .len = 1}};
        assert_int_equal(xb_guard_add_result(room, &result, &err), 0);
    }
}

static struct xb_guard_message some_message(struct property *source, struct texts *texts,
                                            struct xb_guard_room *room)
{
    static const enum xb_guard_type types[] = {
        XB_GUARD_HELLO, XB_GUARD_ARM,     XB_GUARD_HELD,    XB_GUARD_BEAT,    XB_GUARD_FREEZE,
        XB_GUARD_STATE, XB_GUARD_REFUSED, XB_GUARD_FROZEN,  XB_GUARD_THAWED,  XB_GUARD_WELCOME,
        XB_GUARD_WATCH, XB_GUARD_WATCHED, XB_GUARD_UNWATCH, XB_GUARD_WATCHING};
    struct xb_guard_message message = {
        .type = types[property_below(source, sizeof types / sizeof types[0])]};
    message.version = (uint32_t)property_next(source);
    message.role = (uint32_t)property_below(source, XB_GUARD_STOPPER + 1);
    message.can_thaw = property_once_in(source, 2);
    message.id = some_text(source, texts->a, 1, XB_GUARD_ID_BYTES_MAX);
    message.pod_uid = some_text(source, texts->b, 1, 100);
    message.pod_namespace = some_text(source, texts->c, 0, 100);
    message.pod_name = message.text = some_text(source, texts->d, 0, 100);
    message.major = (uint32_t)property_next(source);
    message.minor = (uint32_t)property_next(source);
    message.limit_ms = (uint32_t)property_below(source, XB_GUARD_FREEZE_MS_MAX + 1);
    message.took_us = property_next(source);
    message.expired = property_once_in(source, 2);
    message.state = (uint32_t)property_below(source, XB_GUARD_STATES);
    message.reason = (uint32_t)property_below(source, XB_GUARD_REASONS);
    message.settled = property_once_in(source, 2);
    message.begun_ms = (int64_t)property_next(source);
    if (message.type == XB_GUARD_ARM) {
        add_hooks(source, room);
        message.hooks = xb_guard_room_list(room);
    } else if (message.type == XB_GUARD_STATE) {
        add_results(source, room);
        message.results = xb_guard_room_list(room);
    }
    return message;
}

static void check_same(const struct xb_guard_message *wanted, const struct xb_guard_message *got)
{
    assert_int_equal(got->type, wanted->type);
    if (wanted->type == XB_GUARD_ARM) {
        assert_string_equal(got->id, wanted->id);
        assert_string_equal(got->pod_uid, wanted->pod_uid);
        assert_string_equal(got->pod_namespace, wanted->pod_namespace);
        assert_string_equal(got->pod_name, wanted->pod_name);
        assert_int_equal(got->hooks.count, wanted->hooks.count);
        assert_memory_equal(got->hooks.data, wanted->hooks.data, wanted->hooks.len);
    } else if (wanted->type == XB_GUARD_STATE) {
        assert_int_equal(got->state, wanted->state);
        assert_int_equal(got->reason, wanted->reason);
        assert_int_equal(got->settled, wanted->settled);
        assert_int_equal(got->begun_ms, wanted->begun_ms);
        assert_int_equal(got->results.count, wanted->results.count);
        assert_memory_equal(got->results.data, wanted->results.data, wanted->results.len);
    } else if (wanted->type == XB_GUARD_WATCH) {
        assert_int_equal(got->major, wanted->major);
        assert_int_equal(got->minor, wanted->minor);
        assert_int_equal(got->limit_ms, wanted->limit_ms);
    } else if (wanted->type == XB_GUARD_THAWED || wanted->type == XB_GUARD_WATCHED) {
        assert_int_equal(got->took_us, wanted->took_us);
        assert_int_equal(got->expired, wanted->expired);
    } else if (wanted->type == XB_GUARD_HELD) {
        assert_string_equal(got->id, wanted->id);
    }
}

/* A copy with nothing behind it, for sanitizers. */
static int read_exactly(const unsigned char *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_message message;
    size_t again_len = 0;
    unsigned char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, data, len);
    int r = xb_guard_message_read(copy, len, &message, &err);
    if (r == 0) {
        assert_int_equal(xb_guard_message_write(&message, again, &again_len, &err), 0);
        assert_int_equal(again_len, len);
        assert_memory_equal(again, copy, len);
    } else {
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
    }
    free(copy);
    return r;
}

static void test_messages(void **state)
{
    (void)state;
    struct property source = property_begin("messages");
    for (size_t round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct texts texts;
        struct xb_guard_room room = {.data = space, .max = sizeof space};
        struct xb_guard_message got;
        size_t len = 0;
        const struct xb_guard_message wanted = some_message(&source, &texts, &room);
        assert_int_equal(xb_guard_message_write(&wanted, packet, &len, &err), 0);
        assert_int_equal(xb_guard_message_read(packet, len, &got, &err), 0);
        check_same(&wanted, &got);
        assert_int_equal(read_exactly(packet, len), 0);
        size_t cut = property_below(&source, len);
        assert_true(read_exactly(packet, cut) < 0);
        packet[len] = 0;
        assert_true(read_exactly(packet, len + 1) < 0);
        for (size_t i = 0; i < 20; i++) {
            size_t bit = property_below(&source, 8 * len);
            packet[bit / 8] ^= (unsigned char)(1U << bit % 8);
            (void)read_exactly(packet, len); /* another, or none */
            packet[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_room room = {.data = space, .max = sizeof space};
    static const char *const argv[] = {"true", NULL};
    for (size_t i = 0; i < XB_GUARD_HOOKS_MAX; i++) {
        assert_int_equal(xb_guard_add_hook(&room, "main", 1000, argv, &err), 0);
    }
    size_t len = room.len;
    assert_true(xb_guard_add_hook(&room, "main", 1000, argv, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_int_equal(room.len, len);
    room = (struct xb_guard_room){.data = space, .max = 10};
    assert_true(xb_guard_add_hook(&room, "main", 1000, argv, &err) < 0);
    assert_int_equal(room.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
