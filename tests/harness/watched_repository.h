/* SPDX-License-Identifier: Apache-2.0
 *
 * watched_repository.h - a repository whose every store call is recorded, and whose time the test
 * moves.
 *
 * What for:  the checklists' tests, which look at the order of calls and at what happens after
 * minutes and days. One per test program; setup and teardown around each test.
 */
#pragma once

#include "shared/base/clock.h"
#include "tests/harness/event_log.h"
#include "tests/harness/fake_clock.h"
#include "tests/harness/hook_store.h"
#include "tests/harness/repository_probe.h"

static struct event_log events;
static struct hooks hooks;
static struct fake_clock ticks;
static struct xb_store *base; /* below the hooks */
static struct xb_store *store;
static struct xb_repository *repository;

static inline int setup(void **state)
{
    (void)state;
    fake_clock_init(&ticks);
    hooks = (struct hooks){.after = event_record, .context = &events};
    base = probe_repository_store();
    store = hook_store_open(xb_store_ref(base), &hooks);
    repository = probe_open_at(store, &ticks.clock);
    events.count = 0;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    xb_store_free(base);
    return 0;
}

/* Time goes by, here and at the store. */
static inline void pass(int64_t seconds)
{
    fake_clock_advance(&ticks, seconds);
    hooks.mtime_shift_ns += seconds * XB_NS_PER_S;
}
