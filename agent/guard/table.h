/* SPDX-License-Identifier: Apache-2.0
 *
 * table.h - the brackets that a guard watches over.
 *
 * What for:  inside agent/guard only: what is to be done when, without doing it.
 * Ownership: a table holds everything in itself; nothing is allocated.
 * Threads:   one at a time; while a bracket is RUNNING its results belong to who runs it.
 * Blocking:  never (pure): times are the caller's.
 * Rules:     post hooks are due when the agent asks, when its connection ends, when it was not
 *            heard for XB_GUARD_SILENCE_MS, and when the guard is stopped, whichever comes first;
 *            then once. They are due a second time only if they ran before the pre hooks were over
 *            and the agent then goes: a pre hook may have come after them.
 * Errors:    FULL: no room; CONFLICT: not in this state; NOT_FOUND.
 * Limits:    XB_GUARD_BRACKETS_MAX; where all are in use, the results that were asked for least
 *            recently give way.
 */
#pragma once

#include "agent/guard/message.h"

enum {
    XB_GUARD_BRACKETS_MAX = 16,
    XB_GUARD_SILENCE_MS = 1000, /* without a beat the agent counts as stopped */
    /* From the end of an agent that was running a pre hook until the runtime has killed it. */
    XB_GUARD_PRE_GRACE_MS = 300
};

struct xb_guard_bracket {
    enum xb_guard_state state;
    enum xb_guard_reason reason;
    bool settled;               /* no pre hook can come any more */
    int64_t due_ns;             /* of DUE */
    int64_t begun_ms, ended_ms; /* wall, of the post hooks */
    uint64_t turn;              /* of the last thing that happened to it */
    char id[XB_GUARD_ID_BYTES_MAX + 1];
    size_t arm_len;
    unsigned char arm[XB_GUARD_PACKET_BYTES_MAX]; /* the message */
    struct xb_guard_room room;
    unsigned char results[XB_GUARD_RESULTS_BYTES_MAX];
};

struct xb_guard_table {
    bool connected, stopped;
    int64_t heard_ns;
    uint64_t turns;
    struct xb_guard_bracket brackets[XB_GUARD_BRACKETS_MAX];
};

/* `message` is what was read from the packet. CONFLICT: the id is known already. */
int xb_guard_table_arm(struct xb_guard_table *table, const struct xb_guard_message *message,
                       const void *packet, size_t len, struct xb_error *err) XB_MUST_CHECK;
/* NULL: not known. */
struct xb_guard_bracket *xb_guard_table_find(struct xb_guard_table *table, const char *id);
void xb_guard_table_held(struct xb_guard_table *table, struct xb_guard_bracket *bracket);
void xb_guard_table_close(struct xb_guard_table *table, struct xb_guard_bracket *bracket,
                          int64_t now_ns);
/* CONFLICT: its post hooks are being run. */
int xb_guard_table_forget(struct xb_guard_bracket *bracket, struct xb_error *err) XB_MUST_CHECK;

void xb_guard_table_heard(struct xb_guard_table *table, int64_t now_ns);
void xb_guard_table_lost(struct xb_guard_table *table, int64_t now_ns);
void xb_guard_table_stop(struct xb_guard_table *table, int64_t now_ns);
/* What time has brought about. */
void xb_guard_table_tick(struct xb_guard_table *table, int64_t now_ns);
/* Whether post hooks are being run, or may have to be though the guard is stopped. */
bool xb_guard_table_busy(const struct xb_guard_table *table);
/* When next to tick; -1: never. */
int64_t xb_guard_table_next_ns(const struct xb_guard_table *table);

/* Who runs the hooks: begins if they are due. */
bool xb_guard_table_begin(struct xb_guard_bracket *bracket, int64_t now_ns, int64_t wall_ms);
void xb_guard_table_end(struct xb_guard_table *table, struct xb_guard_bracket *bracket,
                        int64_t now_ns, int64_t wall_ms);

/* What is to be said of it; of NULL: XB_GUARD_NONE. Lent by the bracket. */
struct xb_guard_message xb_guard_table_tell(const struct xb_guard_bracket *bracket);
