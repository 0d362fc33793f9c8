/* SPDX-License-Identifier: Apache-2.0
 *
 * cpus.h - how many processors this process may use.
 *
 * What for:  the number of threads that compute: more of them than that only cost memory.
 * Threads:   any.    Blocking: reads small files of /proc and /sys.
 * Source:    sched_getaffinity(2); cpu.max of cgroup 2, cpu.cfs_quota_us of cgroup 1.
 */
#pragma once

#include <stddef.h>

/* At least 1: what the scheduler allows, or less where a quota says so (rounded up). */
unsigned xb_cpus_usable(void);

/* A quota as cpu.max has it ("max 100000", "150000 100000"); 0: none, or not understood. Pure. */
unsigned xb_cpus_of_quota(const char *text);
