/* SPDX-License-Identifier: Apache-2.0
 *
 * event_log.h - what went to a store, in order; for hook_store.h.
 *
 * What for:  tests of what must be done before what.
 * Ownership: the log is the test's: `struct hooks hooks = {.after = event_record, .context =
 *            &log}`.
 * Threads:   as hook_store: one call at a time. Look at it when nothing is under way.
 * Limits:    EVENTS_MAX; a test that makes more fails.
 */
#pragma once

#include <string.h>

#include "tests/harness/hook_store.h"
#include "tests/harness/repository_probe.h"

enum { EVENTS_MAX = 2048, EVENT_NAME_BYTES = 160, EVENT_NONE = -1 };

struct event {
    enum hook_call call;
    char name[EVENT_NAME_BYTES];
};

struct event_log {
    struct event events[EVENTS_MAX];
    int count;
};

static inline void event_record(struct hooks *hooks, enum hook_call call, const char *name,
                                struct xb_store *inner)
{
    struct event_log *log = hooks->context;
    (void)inner;
    assert_true(log->count < EVENTS_MAX);
    log->events[log->count].call = call;
    snprintf(log->events[log->count++].name, EVENT_NAME_BYTES, "%s", name);
}

/* The first such event at or after `from`, or EVENT_NONE. */
static inline int event_find(const struct event_log *log, int from, enum hook_call call,
                             const char *prefix)
{
    for (int i = from; i < log->count; i++) {
        if (log->events[i].call == call &&
            strncmp(log->events[i].name, prefix, strlen(prefix)) == 0) {
            return i;
        }
    }
    return EVENT_NONE;
}

static inline int event_last(const struct event_log *log, enum hook_call call, const char *prefix)
{
    int found = EVENT_NONE;
    for (int i = 0; i < log->count; i++) {
        if (log->events[i].call == call &&
            strncmp(log->events[i].name, prefix, strlen(prefix)) == 0) {
            found = i;
        }
    }
    return found;
}

static inline int event_count(const struct event_log *log, enum hook_call call, const char *prefix)
{
    int count = 0;
    for (int i = event_find(log, 0, call, prefix); i != EVENT_NONE;
         i = event_find(log, i + 1, call, prefix)) {
        count++;
    }
    return count;
}
