/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - the two clocks.
 *
 * What for:  wall time for what is written down, monotonic time for how long something takes and
 *            for leases.
 * Shapes:    nanoseconds in int64_t; wall time since 1970-01-01 UTC.
 * Threads:   any.    Blocking: never.
 */
#pragma once

#include <stdint.h>

#define XB_NS_PER_S INT64_C(1000000000)
#define XB_NS_PER_MS INT64_C(1000000)

int64_t xb_clock_wall_ns(void);
int64_t xb_clock_mono_ns(void);

/* A clock to hand over, for code whose rules depend on how much time goes by: tests bring their
 * own. */
struct xb_clock {
    int64_t (*wall_ns)(void *context);
    /* Never goes back, and counts the time that the machine was suspended, too. */
    int64_t (*elapsed_ns)(void *context);
    void (*sleep_ns)(void *context, int64_t ns);
    void *context;
};

/* The real one. */
extern const struct xb_clock xb_clock_system;
