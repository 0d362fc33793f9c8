/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/clock.h"

#include <errno.h>
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

static int64_t system_wall_ns(void *context)
{
    (void)context;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_elapsed_ns(void *context)
{
    (void)context;
    return read_clock(CLOCK_BOOTTIME);
}

static void system_sleep_ns(void *context, int64_t ns)
{
    (void)context;
    struct timespec left = {.tv_sec = ns / XB_NS_PER_S, .tv_nsec = ns % XB_NS_PER_S};
    while (ns > 0 && nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

const struct xb_clock xb_clock_system = {
    .wall_ns = system_wall_ns, .elapsed_ns = system_elapsed_ns, .sleep_ns = system_sleep_ns};
