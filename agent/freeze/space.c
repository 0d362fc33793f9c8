/* SPDX-License-Identifier: Apache-2.0
 * A copy costs nothing when it is made, and then as much as is overwritten while it lives: an
 * application must never run out of space because of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>

#include "agent/freeze/internal.h"
#include "shared/base/ticker.h"

enum { LOOK_EVERY_MS = 200, FLOOR_PART = 10 };

#define FLOOR_BYTES_MAX (UINT64_C(4) << 30)
#define MIB (UINT64_C(1) << 20)

static int look(int fd, uint64_t *ret_free, uint64_t *ret_size, struct xb_error *err)
{
    struct statvfs st;
    if (fstatvfs(fd, &st) < 0) {
        return xb_error_errno(err, errno, "asking for the free space");
    }
    /* What an application without privileges may use. */
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
    *ret_size = (uint64_t)st.f_blocks * st.f_frsize;
    return 0;
}

int xb_freeze_space_check(const struct xb_freeze *freeze, struct xb_error *err)
{
    uint64_t left = 0;
    uint64_t size = 0;
    int r = look(freeze->space_fd, &left, &size, err);
    if (r < 0 || left >= freeze->floor_bytes) {
        return r;
    }
    return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                        "its file system has %" PRIu64 " MiB free, and %" PRIu64
                        " MiB are to stay free",
                        left / MIB, freeze->floor_bytes / MIB);
}

int xb_freeze_space_begin(struct xb_freeze *freeze, int fd, struct xb_error *err)
{
    uint64_t left = 0;
    uint64_t size = 0;
    int r = look(fd, &left, &size, err);
    if (r < 0) {
        return r;
    }
    freeze->space_fd = fd;
    uint64_t part = size / FLOOR_PART;
    freeze->floor_bytes = freeze->request.free_bytes_min ? freeze->request.free_bytes_min
                          : part < FLOOR_BYTES_MAX       ? part
                                                         : FLOOR_BYTES_MAX;
    return xb_freeze_space_check(freeze, err);
}

static void watch(void *context)
{
    struct xb_freeze *freeze = context;
    struct xb_error why = XB_ERROR_INIT;
    char reason[XB_FREEZE_REASONS_BYTES];
    if (atomic_load(&freeze->lost)) {
        return;
    }
    int r = freeze->driver->check ? freeze->driver->check(freeze, &why)
                                  : xb_freeze_space_check(freeze, &why);
    if (r < 0 && why.kind == XB_ERR_FULL) {
        snprintf(reason, sizeof reason, "the copy was given up, because %.500s", why.text);
        xb_freeze_lose(freeze, reason);
    }
}

void xb_freeze_look(struct xb_freeze *freeze)
{
    if (freeze->watch) {
        watch(freeze);
    }
}

int xb_freeze_space_watch(struct xb_freeze *freeze, struct xb_error *err)
{
    return xb_ticker_start(LOOK_EVERY_MS, watch, freeze, &freeze->watch, err);
}
