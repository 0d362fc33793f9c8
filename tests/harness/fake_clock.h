/* SPDX-License-Identifier: Apache-2.0
 *
 * fake_clock.h - a clock that a test moves by hand; who sleeps by it moves it, and waits for
 * nothing.
 *
 * What for:  rules about ages, without waiting for them.
 * Ownership: the test's; it must outlive whoever was given &fake->clock.
 * Threads:   any.    Blocking: never.
 */
#pragma once

#include <stdatomic.h>

#include "shared/base/clock.h"

struct fake_clock {
    struct xb_clock clock;
    _Atomic int64_t elapsed_ns; /* since fake_clock_init */
    _Atomic int64_t wall_shift_ns;
    _Atomic int64_t slept_ns;
    atomic_int sleeps;
    int64_t wall_at_start_ns;
};

static inline int64_t fake_elapsed_ns(void *context)
{
    struct fake_clock *fake = context;
    return fake->elapsed_ns;
}

static inline int64_t fake_wall_ns(void *context)
{
    struct fake_clock *fake = context;
    return fake->wall_at_start_ns + fake->elapsed_ns + fake->wall_shift_ns;
}

static inline void fake_sleep_ns(void *context, int64_t ns)
{
    struct fake_clock *fake = context;
    fake->elapsed_ns += ns;
    fake->slept_ns += ns;
    fake->sleeps++;
}

/* Starts at the real wall time, so that it agrees with a store's. */
static inline void fake_clock_init(struct fake_clock *fake)
{
    fake->clock = (struct xb_clock){fake_wall_ns, fake_elapsed_ns, fake_sleep_ns, fake};
    fake->elapsed_ns = 1000 * XB_NS_PER_S; /* 0 would be "never" to some */
    fake->wall_shift_ns = -fake->elapsed_ns;
    fake->slept_ns = 0;
    fake->sleeps = 0;
    fake->wall_at_start_ns = xb_clock_wall_ns();
}

static inline void fake_clock_advance(struct fake_clock *fake, int64_t seconds)
{
    fake->elapsed_ns += seconds * XB_NS_PER_S;
}
