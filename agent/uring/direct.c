/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/uring/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Younger than the C library that this is built with: the kernel's numbers and words. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct cache_range {
    uint64_t offset, len;
};

struct cache_state {
    uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

/* Regular files only: block devices are opened the right way by who reads them. */
static bool may_be_direct(int fd)
{
    struct statx st = {.stx_mask = 0};
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &st) < 0) {
        return false;
    }
    return (st.stx_mask & STATX_DIOALIGN) && (st.stx_mode & S_IFMT) == S_IFREG &&
           st.stx_dio_offset_align > 0 && XB_DIRECT_ALIGN_BYTES % st.stx_dio_offset_align == 0 &&
           st.stx_dio_mem_align > 0 && XB_DIRECT_ALIGN_BYTES % st.stx_dio_mem_align == 0;
}

int xb_direct_open(int fd)
{
    char self[64];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || !may_be_direct(fd)) {
        return -1;
    }
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return open(self, O_RDONLY | O_DIRECT | O_CLOEXEC | (flags & O_NOATIME));
}

bool xb_direct_is_cold(int fd, uint64_t offset, size_t len)
{
    const struct cache_range range = {offset, len};
    struct cache_state state = {.cached = 0};
    uint64_t pages = len / (uint64_t)sysconf(_SC_PAGESIZE);
    return syscall(SYS_cachestat, fd, &range, &state, 0) == 0 && state.dirty == 0 &&
           state.writeback == 0 && state.cached < pages / 2;
}
