/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h - the two clocks.
 *
 * What for:  wall time for what is written down, monotonic time for how long something takes and
 * for leases. Shapes:    nanoseconds in int64_t; wall time since 1970-01-01 UTC. Threads:   any.
 * Blocking: never.
 */
#pragma once

#include <stdint.h>

#define XB_NS_PER_S INT64_C(1000000000)
#define XB_NS_PER_MS INT64_C(1000000)

int64_t xb_clock_wall_ns(void);
int64_t xb_clock_mono_ns(void);
