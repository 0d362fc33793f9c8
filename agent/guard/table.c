/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/guard/table.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"

#define GRACE_NS (XB_GUARD_PRE_GRACE_MS * XB_NS_PER_MS)

static void touch(struct xb_guard_table *table, struct xb_guard_bracket *bracket)
{
    bracket->turn = ++table->turns;
}

struct xb_guard_bracket *xb_guard_table_find(struct xb_guard_table *table, const char *id)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_guard_bracket *bracket = &table->brackets[i];
        if (bracket->state != XB_GUARD_NONE && strcmp(bracket->id, id) == 0) {
            return bracket;
        }
    }
    return NULL;
}

/* A free one, or else the oldest whose results nobody has come for. */
static struct xb_guard_bracket *find_room(struct xb_guard_table *table)
{
    struct xb_guard_bracket *oldest = NULL;
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_guard_bracket *bracket = &table->brackets[i];
        if (bracket->state == XB_GUARD_NONE) {
            return bracket;
        }
        if (bracket->state == XB_GUARD_RAN && (!oldest || bracket->turn < oldest->turn)) {
            oldest = bracket;
        }
    }
    return oldest;
}

int xb_guard_table_arm(struct xb_guard_table *table, const struct xb_guard_message *message,
                       const void *packet, size_t len, struct xb_error *err)
{
    if (table->stopped) {
        return xb_error_set(err, XB_ERR_CONFLICT, -ESHUTDOWN, "the guard ends, and takes no more");
    }
    if (xb_guard_table_find(table, message->id)) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST, "the guard knows bracket %.80s already",
                            message->id);
    }
    struct xb_guard_bracket *bracket = find_room(table);
    if (!bracket || len > sizeof bracket->arm) {
        return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                            "the guard watches over %d pods between their hooks already",
                            XB_GUARD_BRACKETS_MAX);
    }
    bracket->state = XB_GUARD_ARMED;
    bracket->reason = XB_GUARD_ASKED;
    bracket->settled = false;
    bracket->begun_ms = bracket->ended_ms = 0;
    memcpy(bracket->id, message->id, strlen(message->id) + 1);
    memcpy(bracket->arm, packet, len);
    bracket->arm_len = len;
    bracket->room =
        (struct xb_guard_room){.data = bracket->results, .max = sizeof bracket->results};
    touch(table, bracket);
    return 0;
}

static void make_due(struct xb_guard_table *table, struct xb_guard_bracket *bracket,
                     enum xb_guard_reason reason, int64_t due_ns)
{
    bracket->state = XB_GUARD_DUE;
    bracket->reason = reason;
    bracket->due_ns = due_ns;
    touch(table, bracket);
}

static void make_all_due(struct xb_guard_table *table, enum xb_guard_reason reason, int64_t now_ns,
                         int64_t grace_ns)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_guard_bracket *bracket = &table->brackets[i];
        if (bracket->state == XB_GUARD_ARMED) {
            make_due(table, bracket, reason, now_ns + (bracket->settled ? 0 : grace_ns));
        }
    }
}

void xb_guard_table_held(struct xb_guard_table *table, struct xb_guard_bracket *bracket)
{
    if (bracket->state == XB_GUARD_ARMED) {
        bracket->settled = true;
    }
    touch(table, bracket);
}

void xb_guard_table_close(struct xb_guard_table *table, struct xb_guard_bracket *bracket,
                          int64_t now_ns)
{
    if (bracket->state == XB_GUARD_ARMED) {
        bracket->settled = true; /* who asks has come to the end of them */
        make_due(table, bracket, XB_GUARD_ASKED, now_ns);
    }
}

int xb_guard_table_forget(struct xb_guard_bracket *bracket, struct xb_error *err)
{
    if (bracket->state == XB_GUARD_DUE || bracket->state == XB_GUARD_RUNNING) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EBUSY, "its post hooks are being run");
    }
    bracket->state = XB_GUARD_NONE;
    return 0;
}

void xb_guard_table_heard(struct xb_guard_table *table, int64_t now_ns)
{
    table->connected = true;
    table->heard_ns = now_ns;
}

/* Nobody is left who could run a pre hook: what may have come after the post hooks is thawed. */
static void settle(struct xb_guard_table *table, struct xb_guard_bracket *bracket, int64_t now_ns)
{
    bracket->settled = true;
    if (bracket->reason != XB_GUARD_LOST) {
        make_due(table, bracket, XB_GUARD_LOST, now_ns + GRACE_NS);
    }
}

void xb_guard_table_lost(struct xb_guard_table *table, int64_t now_ns)
{
    table->connected = false;
    make_all_due(table, XB_GUARD_LOST, now_ns, GRACE_NS);
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_guard_bracket *bracket = &table->brackets[i];
        if (bracket->state == XB_GUARD_RAN && !bracket->settled) {
            settle(table, bracket, now_ns);
        }
    }
}

void xb_guard_table_stop(struct xb_guard_table *table, int64_t now_ns)
{
    table->stopped = true;
    make_all_due(table, XB_GUARD_STOPPED, now_ns, 0);
}

static int64_t silent_at_ns(const struct xb_guard_table *table)
{
    return table->heard_ns + XB_GUARD_SILENCE_MS * XB_NS_PER_MS;
}

void xb_guard_table_tick(struct xb_guard_table *table, int64_t now_ns)
{
    if (now_ns >= silent_at_ns(table)) {
        make_all_due(table, XB_GUARD_SILENT, now_ns, 0);
    }
}

bool xb_guard_table_busy(const struct xb_guard_table *table)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        const struct xb_guard_bracket *bracket = &table->brackets[i];
        bool open = bracket->state == XB_GUARD_RAN && !bracket->settled && table->connected;
        if (open || bracket->state == XB_GUARD_DUE || bracket->state == XB_GUARD_RUNNING) {
            return true;
        }
    }
    return false;
}

int64_t xb_guard_table_next_ns(const struct xb_guard_table *table)
{
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        if (table->brackets[i].state == XB_GUARD_ARMED) {
            return silent_at_ns(table);
        }
    }
    return -1;
}

bool xb_guard_table_begin(struct xb_guard_bracket *bracket, int64_t now_ns, int64_t wall_ms)
{
    if (bracket->state != XB_GUARD_DUE || now_ns < bracket->due_ns) {
        return false;
    }
    bracket->state = XB_GUARD_RUNNING;
    bracket->begun_ms = wall_ms;
    bracket->room.len = 0;
    bracket->room.count = 0;
    return true;
}

void xb_guard_table_end(struct xb_guard_table *table, struct xb_guard_bracket *bracket,
                        int64_t now_ns, int64_t wall_ms)
{
    bracket->state = XB_GUARD_RAN;
    bracket->ended_ms = wall_ms;
    touch(table, bracket);
    if (!bracket->settled && !table->connected) {
        settle(table, bracket, now_ns);
    }
}

struct xb_guard_message xb_guard_table_tell(const struct xb_guard_bracket *bracket)
{
    struct xb_guard_message message = {.type = XB_GUARD_STATE, .state = XB_GUARD_NONE};
    if (bracket) {
        message.state = bracket->state;
        message.reason = bracket->reason;
        message.settled = bracket->settled;
        message.begun_ms = bracket->begun_ms;
        message.ended_ms = bracket->ended_ms;
        if (bracket->state == XB_GUARD_RAN) {
            message.results = xb_guard_room_list(&bracket->room);
        }
    }
    return message;
}
