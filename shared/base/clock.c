/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/clock.h"

#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * XB_NS_PER_S + ts.tv_nsec;
}

int64_t xb_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t xb_clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}
