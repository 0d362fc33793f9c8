/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guard/message.h"

#include <errno.h>
#include <string.h>

static const unsigned char magic[4] = {'X', 'B', 'G', '1'};

/* ---- writing ---- */

struct writer {
    unsigned char *data;
    size_t len, max;
    bool full;
};

static void put(struct writer *writer, const void *data, size_t len)
{
    if (writer->full || len > writer->max - writer->len) {
        writer->full = true;
    } else if (len > 0) {
        memcpy(writer->data + writer->len, data, len);
        writer->len += len;
    }
}

static void put_u64(struct writer *writer, uint64_t value)
{
    unsigned char bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(value >> 8 * i);
    }
    put(writer, bytes, sizeof bytes);
}

static void put_u32(struct writer *writer, uint32_t value)
{
    unsigned char bytes[4];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(value >> 8 * i);
    }
    put(writer, bytes, sizeof bytes);
}

static void put_bool(struct writer *writer, bool value)
{
    unsigned char byte = value;
    put(writer, &byte, 1);
}

static void put_bytes(struct writer *writer, const void *data, size_t len)
{
    if (len > UINT32_MAX) {
        writer->full = true;
        return;
    }
    put_u32(writer, (uint32_t)len);
    put(writer, data, len);
    put(writer, "", 1);
}

static void put_text(struct writer *writer, const char *text)
{
    put_bytes(writer, text ? text : "", text ? strlen(text) : 0);
}

static void put_list(struct writer *writer, const struct xb_guard_list *list)
{
    put_u32(writer, list->count);
    put(writer, list->data, list->len);
}

/* ---- reading ---- */

struct reader {
    const unsigned char *data;
    size_t len, at;
    bool bad;
};

static uint64_t get_number(struct reader *reader, size_t bytes)
{
    uint64_t value = 0;
    if (reader->bad || bytes > reader->len - reader->at) {
        reader->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        value |= (uint64_t)reader->data[reader->at + i] << 8 * i;
    }
    reader->at += bytes;
    return value;
}

static uint32_t get_u32(struct reader *reader, uint32_t max)
{
    uint64_t value = get_number(reader, 4);
    reader->bad = reader->bad || value > max;
    return reader->bad ? 0 : (uint32_t)value;
}

static bool get_bool(struct reader *reader)
{
    uint64_t value = get_number(reader, 1);
    reader->bad = reader->bad || value > 1;
    return value == 1;
}

static struct xb_guard_bytes get_bytes(struct reader *reader, size_t max)
{
    struct xb_guard_bytes bytes = {.data = (const unsigned char *)""};
    size_t len = get_u32(reader, (uint32_t)max);
    if (reader->bad || reader->len - reader->at < len + 1 || reader->data[reader->at + len]) {
        reader->bad = true;
        return bytes;
    }
    bytes.data = reader->data + reader->at;
    bytes.len = len;
    reader->at += len + 1;
    return bytes;
}

static const char *get_text(struct reader *reader, size_t min, size_t max)
{
    const struct xb_guard_bytes bytes = get_bytes(reader, max);
    reader->bad = reader->bad || bytes.len < min || memchr(bytes.data, '\0', bytes.len) != NULL;
    return reader->bad ? "" : (const char *)bytes.data;
}

/* ---- lists ---- */

static struct xb_guard_list get_list(struct reader *reader, uint32_t count_max,
                                     void (*get_one)(struct reader *reader))
{
    struct xb_guard_list list = {.count = get_u32(reader, count_max)};
    size_t begin = reader->at;
    for (uint32_t i = 0; i < list.count && !reader->bad; i++) {
        get_one(reader);
    }
    list.data = reader->data + begin;
    list.len = reader->at - begin;
    return reader->bad ? (struct xb_guard_list){.count = 0} : list;
}

static void get_word(struct reader *reader)
{
    (void)get_text(reader, 0, XB_GUARD_PACKET_BYTES_MAX);
}

static struct xb_guard_hook get_hook(struct reader *reader)
{
    struct xb_guard_hook hook = {.container = get_text(reader, 1, XB_GUARD_NAME_BYTES_MAX)};
    hook.timeout_ms = get_u32(reader, XB_GUARD_HOOK_TIMEOUT_MS_MAX);
    hook.words = get_list(reader, XB_GUARD_WORDS_MAX, get_word);
    reader->bad = reader->bad || hook.words.count == 0;
    return hook;
}

static void skip_hook(struct reader *reader)
{
    (void)get_hook(reader);
}

static struct xb_guard_bytes get_output(struct reader *reader)
{
    struct xb_guard_bytes bytes = get_bytes(reader, XB_GUARD_OUTPUT_BYTES_MAX);
    bytes.truncated = get_bool(reader);
    return bytes;
}

static struct xb_guard_result get_result(struct reader *reader)
{
    struct xb_guard_result result = {.exit_code = (int32_t)get_u32(reader, UINT32_MAX)};
    result.timed_out = get_bool(reader);
    result.kind = get_u32(reader, XB_ERR_BUG);
    result.error = get_text(reader, 0, XB_GUARD_ERROR_BYTES_MAX);
    result.out = get_output(reader);
    result.err = get_output(reader);
    return result;
}

static void skip_result(struct reader *reader)
{
    (void)get_result(reader);
}

/* The list has been read once: it is whole. */
static bool next(struct xb_guard_list *list, struct reader *reader)
{
    *reader = (struct reader){.data = list->data, .len = list->len};
    return list->count > 0;
}

static bool taken(struct xb_guard_list *list, const struct reader *reader)
{
    list->data += reader->at;
    list->len -= reader->at;
    list->count--;
    return !reader->bad;
}

bool xb_guard_next_hook(struct xb_guard_list *list, struct xb_guard_hook *ret)
{
    struct reader reader;
    if (!next(list, &reader)) {
        return false;
    }
    *ret = get_hook(&reader);
    return taken(list, &reader);
}

bool xb_guard_next_word(struct xb_guard_list *list, const char **ret)
{
    struct reader reader;
    if (!next(list, &reader)) {
        return false;
    }
    *ret = get_text(&reader, 0, XB_GUARD_PACKET_BYTES_MAX);
    return taken(list, &reader);
}

bool xb_guard_next_result(struct xb_guard_list *list, struct xb_guard_result *ret)
{
    struct reader reader;
    if (!next(list, &reader)) {
        return false;
    }
    *ret = get_result(&reader);
    return taken(list, &reader);
}

static int grown(struct xb_guard_room *room, const struct writer *writer, const char *what,
                 struct xb_error *err)
{
    if (writer->full) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the guard has no room for %s", what);
    }
    room->len = writer->len;
    room->count++;
    return 0;
}

int xb_guard_add_hook(struct xb_guard_room *room, const char *container, uint32_t timeout_ms,
                      const char *const *argv, struct xb_error *err)
{
    struct writer writer = {.data = room->data, .len = room->len, .max = room->max};
    uint32_t words = 0;
    while (argv[words] && words <= XB_GUARD_WORDS_MAX) {
        words++;
    }
    put_text(&writer, container);
    put_u32(&writer, timeout_ms);
    put_u32(&writer, words);
    for (uint32_t i = 0; i < words; i++) {
        put_text(&writer, argv[i]);
    }
    writer.full = writer.full || words > XB_GUARD_WORDS_MAX || room->count >= XB_GUARD_HOOKS_MAX;
    return grown(room, &writer, "the pod's hooks", err);
}

static void put_output(struct writer *writer, const struct xb_guard_bytes *bytes)
{
    put_bytes(writer, bytes->data, bytes->len);
    put_bool(writer, bytes->truncated);
}

int xb_guard_add_result(struct xb_guard_room *room, const struct xb_guard_result *result,
                        struct xb_error *err)
{
    struct writer writer = {.data = room->data, .len = room->len, .max = room->max};
    put_u32(&writer, (uint32_t)result->exit_code);
    put_bool(&writer, result->timed_out);
    put_u32(&writer, result->kind);
    put_text(&writer, result->error);
    put_output(&writer, &result->out);
    put_output(&writer, &result->err);
    return grown(room, &writer, "what the hooks said", err);
}

struct xb_guard_list xb_guard_room_list(const struct xb_guard_room *room)
{
    return (struct xb_guard_list){.data = room->data, .len = room->len, .count = room->count};
}

/* ---- messages ---- */

static void write_fields(const struct xb_guard_message *message, struct writer *writer)
{
    switch (message->type) {
    case XB_GUARD_HELLO:
        put_u32(writer, message->version);
        put_u32(writer, message->role);
        break;
    case XB_GUARD_ARM:
        put_text(writer, message->id);
        put_text(writer, message->pod_uid);
        put_text(writer, message->pod_namespace);
        put_text(writer, message->pod_name);
        put_u32(writer, message->output_bytes);
        put_list(writer, &message->hooks);
        break;
    case XB_GUARD_HELD:
    case XB_GUARD_CLOSE:
    case XB_GUARD_ASK:
    case XB_GUARD_FORGET:
        put_text(writer, message->id);
        break;
    case XB_GUARD_FREEZE:
        put_u32(writer, message->limit_ms);
        break;
    case XB_GUARD_WATCH:
        put_u32(writer, message->major);
        put_u32(writer, message->minor);
        put_u32(writer, message->limit_ms);
        break;
    case XB_GUARD_WELCOME:
        put_u32(writer, message->version);
        put_bool(writer, message->can_thaw);
        break;
    case XB_GUARD_STATE:
        put_u32(writer, message->state);
        put_u32(writer, message->reason);
        put_bool(writer, message->settled);
        put_u64(writer, (uint64_t)message->begun_ms);
        put_u64(writer, (uint64_t)message->ended_ms);
        put_list(writer, &message->results);
        break;
    case XB_GUARD_REFUSED:
        put_u32(writer, message->kind);
        put_text(writer, message->text);
        break;
    case XB_GUARD_FROZEN:
        put_u64(writer, message->took_us);
        break;
    case XB_GUARD_THAWED:
    case XB_GUARD_WATCHED:
        put_u64(writer, message->took_us);
        put_bool(writer, message->expired);
        break;
    case XB_GUARD_BEAT:
    case XB_GUARD_STOP:
    case XB_GUARD_THAW:
    case XB_GUARD_UNWATCH:
    case XB_GUARD_OK:
    case XB_GUARD_WATCHING:
    default:
        break;
    }
}

int xb_guard_message_write(const struct xb_guard_message *message,
                           unsigned char out[XB_GUARD_PACKET_BYTES_MAX], size_t *ret_len,
                           struct xb_error *err)
{
    struct writer writer = {.data = out, .max = XB_GUARD_PACKET_BYTES_MAX};
    const unsigned char type = (unsigned char)message->type;
    put(&writer, magic, sizeof magic);
    put(&writer, &type, 1);
    write_fields(message, &writer);
    if (writer.full) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                            "a message to the guard is larger than %d bytes",
                            XB_GUARD_PACKET_BYTES_MAX);
    }
    *ret_len = writer.len;
    return 0;
}

static void read_state(struct reader *reader, struct xb_guard_message *message)
{
    message->state = get_u32(reader, XB_GUARD_STATES - 1);
    message->reason = get_u32(reader, XB_GUARD_REASONS - 1);
    message->settled = get_bool(reader);
    message->begun_ms = (int64_t)get_number(reader, 8);
    message->ended_ms = (int64_t)get_number(reader, 8);
    message->results = get_list(reader, XB_GUARD_HOOKS_MAX, skip_result);
}

static void read_arm(struct reader *reader, struct xb_guard_message *message)
{
    message->id = get_text(reader, 1, XB_GUARD_ID_BYTES_MAX);
    message->pod_uid = get_text(reader, 1, XB_GUARD_NAME_BYTES_MAX);
    message->pod_namespace = get_text(reader, 0, XB_GUARD_NAME_BYTES_MAX);
    message->pod_name = get_text(reader, 0, XB_GUARD_NAME_BYTES_MAX);
    message->output_bytes = get_u32(reader, XB_GUARD_OUTPUT_BYTES_MAX);
    message->hooks = get_list(reader, XB_GUARD_HOOKS_MAX, skip_hook);
}

static void read_fields(struct reader *reader, struct xb_guard_message *message)
{
    switch (message->type) {
    case XB_GUARD_HELLO:
        message->version = get_u32(reader, UINT32_MAX);
        message->role = get_u32(reader, XB_GUARD_STOPPER);
        break;
    case XB_GUARD_ARM:
        read_arm(reader, message);
        break;
    case XB_GUARD_HELD:
    case XB_GUARD_CLOSE:
    case XB_GUARD_ASK:
    case XB_GUARD_FORGET:
        message->id = get_text(reader, 1, XB_GUARD_ID_BYTES_MAX);
        break;
    case XB_GUARD_FREEZE:
        message->limit_ms = get_u32(reader, XB_GUARD_FREEZE_MS_MAX);
        break;
    case XB_GUARD_WATCH:
        message->major = get_u32(reader, UINT32_MAX);
        message->minor = get_u32(reader, UINT32_MAX);
        message->limit_ms = get_u32(reader, XB_GUARD_FREEZE_MS_MAX);
        break;
    case XB_GUARD_WELCOME:
        message->version = get_u32(reader, UINT32_MAX);
        message->can_thaw = get_bool(reader);
        break;
    case XB_GUARD_STATE:
        read_state(reader, message);
        break;
    case XB_GUARD_REFUSED:
        message->kind = get_u32(reader, XB_ERR_BUG);
        message->text = get_text(reader, 0, XB_GUARD_ERROR_BYTES_MAX);
        break;
    case XB_GUARD_FROZEN:
        message->took_us = get_number(reader, 8);
        break;
    case XB_GUARD_THAWED:
    case XB_GUARD_WATCHED:
        message->took_us = get_number(reader, 8);
        message->expired = get_bool(reader);
        break;
    case XB_GUARD_BEAT:
    case XB_GUARD_STOP:
    case XB_GUARD_THAW:
    case XB_GUARD_UNWATCH:
    case XB_GUARD_OK:
    case XB_GUARD_WATCHING:
        break;
    default:
        reader->bad = true;
    }
}

int xb_guard_message_read(const void *packet, size_t len, struct xb_guard_message *ret,
                          struct xb_error *err)
{
    struct reader reader = {.data = packet, .len = len, .at = sizeof magic};
    struct xb_guard_message message = {.id = "", .text = ""};
    if (len > sizeof magic && len <= XB_GUARD_PACKET_BYTES_MAX &&
        memcmp(packet, magic, sizeof magic) == 0) {
        message.type = (enum xb_guard_type)get_number(&reader, 1);
        read_fields(&reader, &message);
    } else {
        reader.bad = true;
    }
    if (reader.bad || reader.at != len) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "a message of %zu bytes that is none of the guard's", len);
    }
    *ret = message;
    return 0;
}
