/* SPDX-License-Identifier: Apache-2.0
 *
 * property.h - random tests that can be run again.
 *
 * What for:  property_begin prints a seed; XB_TEST_SEED=<that seed> gives the same numbers again.
 * Threads:   one source per thread.    Blocking: never.
 */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/random.h"

struct property {
    uint64_t state;
};

static inline struct property property_begin(const char *name)
{
    struct property source;
    const char *wanted = getenv("XB_TEST_SEED");
    xb_random_bytes(&source.state, sizeof source.state);
    if (wanted) {
        source.state = strtoull(wanted, NULL, 0);
    }
    printf("%s: XB_TEST_SEED=%" PRIu64 "\n", name, source.state);
    fflush(stdout);
    return source;
}

/* splitmix64 */
static inline uint64_t property_next(struct property *source)
{
    source->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = source->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to limit-1. */
static inline uint64_t property_below(struct property *source, uint64_t limit)
{
    return property_next(source) % limit;
}

/* Once in `turns` times. */
static inline int property_once_in(struct property *source, uint64_t turns)
{
    return property_below(source, turns) == 0;
}
