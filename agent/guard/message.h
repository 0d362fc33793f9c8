/* SPDX-License-Identifier: Apache-2.0
 *
 * message.h - what agent and bracket guard say to each other, as bytes.
 *
 * What for:  inside agent/guard only. One packet of a SOCK_SEQPACKET socket is one message; each of
 *            the agent's is answered by exactly one.
 * Ownership: what was read lends its texts and lists from the packet. Nothing is allocated.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    four bytes "XBG1", a type, and its fields in one fixed order: numbers little endian,
 *            texts and bytes with their length (32 bits) before and a NUL behind. There is one way
 *            to write a message: what has been read and is written again is the same bytes.
 * Errors:    CORRUPT: anything else; FULL: a message that is larger than its room.
 * Limits:    XB_GUARD_*.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum {
    XB_GUARD_VERSION = 1,
    XB_GUARD_PACKET_BYTES_MAX = 64 << 10,
    XB_GUARD_ID_BYTES_MAX = 127,
    XB_GUARD_NAME_BYTES_MAX = 253, /* of a pod, a namespace, a container */
    XB_GUARD_HOOKS_MAX = 32,
    XB_GUARD_WORDS_MAX = 1024, /* of a command */
    XB_GUARD_ERROR_BYTES_MAX = 599,
    XB_GUARD_OUTPUT_BYTES_MAX = 4 << 10,   /* of a stream */
    XB_GUARD_RESULTS_BYTES_MAX = 48 << 10, /* of all results together */
    XB_GUARD_HOOK_TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    XB_GUARD_FREEZE_MS_MAX = 1000,
    XB_GUARD_WATCH_MS_MAX = 60 * 1000
};

enum xb_guard_type {
    XB_GUARD_HELLO = 1, /* version, role */
    XB_GUARD_ARM,       /* a bracket, and what thaws it */
    XB_GUARD_HELD,      /* id: its pre hooks are over */
    XB_GUARD_CLOSE,     /* id: run the post hooks now */
    XB_GUARD_ASK,       /* id */
    XB_GUARD_FORGET,    /* id: it needs no thawing any more, or its results are known */
    XB_GUARD_BEAT,
    XB_GUARD_STOP,   /* run all post hooks now, and take no more */
    XB_GUARD_FREEZE, /* limit_ms, and a descriptor beside it */
    XB_GUARD_THAW,
    XB_GUARD_WATCH, /* device, limit_ms: for how long its volume group's may be suspended */
    XB_GUARD_UNWATCH,
    /* answers */
    XB_GUARD_WELCOME = 64, /* version, can_thaw */
    XB_GUARD_OK,
    XB_GUARD_STATE, /* of a bracket */
    XB_GUARD_REFUSED,
    XB_GUARD_FROZEN, /* took_us: until it was */
    XB_GUARD_THAWED, /* took_us: while it was; expired: not because it was asked for */
    XB_GUARD_WATCHING,
    XB_GUARD_WATCHED /* took_us: that some were seen suspended; expired: the guard resumed them */
};

/* What a connection is for. */
enum xb_guard_role { XB_GUARD_AGENT = 1, XB_GUARD_FREEZER, XB_GUARD_STOPPER };

/* A bracket, in the order in which it goes through them. */
enum xb_guard_state {
    XB_GUARD_NONE,
    XB_GUARD_ARMED,
    XB_GUARD_DUE,
    XB_GUARD_RUNNING,
    XB_GUARD_RAN,
    XB_GUARD_STATES
};

/* Why its post hooks are run. */
enum xb_guard_reason {
    XB_GUARD_ASKED,
    XB_GUARD_SILENT,  /* the agent gave no sign of life */
    XB_GUARD_LOST,    /* the agent is gone */
    XB_GUARD_STOPPED, /* the pod ends */
    XB_GUARD_REASONS
};

/* Things of one kind, one after the other, as they lie in the packet. */
struct xb_guard_list {
    const unsigned char *data;
    size_t len;
    uint32_t count;
};

struct xb_guard_bytes {
    const unsigned char *data;
    size_t len;
    bool truncated;
};

struct xb_guard_hook {
    const char *container;
    uint32_t timeout_ms;
    struct xb_guard_list words;
};

struct xb_guard_result {
    int32_t exit_code; /* -1: see the others */
    bool timed_out;
    uint32_t kind;     /* enum xb_error_kind; NONE: it ended, or timed out */
    const char *error; /* "" */
    struct xb_guard_bytes out, err;
};

/* Of its fields those of its type count; the others are zero. */
struct xb_guard_message {
    enum xb_guard_type type;
    uint32_t version, role;
    bool can_thaw;
    const char *id;
    const char *pod_uid, *pod_namespace, *pod_name; /* ARM; the last two may be "" */
    uint32_t output_bytes;                          /* ARM: kept of each stream */
    struct xb_guard_list hooks;                     /* ARM */
    uint32_t major, minor;                          /* WATCH */
    uint32_t limit_ms;
    uint64_t took_us;
    bool expired;
    uint32_t state, reason; /* STATE */
    bool settled;           /* ... no pre hook can come after these post hooks */
    int64_t begun_ms, ended_ms;
    struct xb_guard_list results;
    uint32_t kind;    /* REFUSED: enum xb_error_kind */
    const char *text; /* REFUSED */
};

int xb_guard_message_write(const struct xb_guard_message *message,
                           unsigned char out[XB_GUARD_PACKET_BYTES_MAX], size_t *ret_len,
                           struct xb_error *err) XB_MUST_CHECK;
int xb_guard_message_read(const void *packet, size_t len, struct xb_guard_message *ret,
                          struct xb_error *err) XB_MUST_CHECK;

/* ---- lists ---- */

/* Room for a list that is being made. */
struct xb_guard_room {
    unsigned char *data;
    size_t len, max;
    uint32_t count;
};

/* FULL: no room, and nothing was appended. `argv` ends with NULL. */
int xb_guard_add_hook(struct xb_guard_room *room, const char *container, uint32_t timeout_ms,
                      const char *const *argv, struct xb_error *err) XB_MUST_CHECK;
int xb_guard_add_result(struct xb_guard_room *room, const struct xb_guard_result *result,
                        struct xb_error *err) XB_MUST_CHECK;
struct xb_guard_list xb_guard_room_list(const struct xb_guard_room *room);

/* Takes the first off a list of a message that has been read; false: it is empty. */
bool xb_guard_next_hook(struct xb_guard_list *list, struct xb_guard_hook *ret);
bool xb_guard_next_word(struct xb_guard_list *list, const char **ret);
bool xb_guard_next_result(struct xb_guard_list *list, struct xb_guard_result *ret);
