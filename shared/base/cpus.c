/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/cpus.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"

enum { TEXT_BYTES = 4096 };

unsigned xb_cpus_of_quota(const char *text)
{
    char *rest = NULL;
    char *end = NULL;
    long long quota = strtoll(text, &rest, 10);
    long long period = strtoll(rest, &end, 10);
    if (rest == text || end == rest || quota <= 0 || period <= 0 || quota / period >= 1024) {
        return 0;
    }
    return (unsigned)((quota + period - 1) / period);
}

static size_t read_text(const char *path, char text[TEXT_BYTES])
{
    XB_CLEANUP(xb_fclosep) FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, TEXT_BYTES - 1, file) : 0;
    text[len] = '\0';
    return len;
}

/* In a container its own group is the root of what is mounted there. */
static unsigned of_cgroup(void)
{
    char quota[TEXT_BYTES];
    char period[TEXT_BYTES];
    if (read_text("/sys/fs/cgroup/cpu.max", quota) > 0) {
        return xb_cpus_of_quota(quota);
    }
    size_t len = read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota);
    if (len == 0 || len > 32 || read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period) > 32) {
        return 0;
    }
    char both[2 * 32 + 2];
    (void)snprintf(both, sizeof both, "%.32s %.32s", quota, period);
    return xb_cpus_of_quota(both);
}

unsigned xb_cpus_usable(void)
{
    cpu_set_t set;
    unsigned count = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    unsigned quota = of_cgroup();
    count = quota > 0 && quota < count ? quota : count;
    return count > 0 ? count : 1;
}
