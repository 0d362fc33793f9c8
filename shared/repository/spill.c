/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shared/base/cleanup.h"
#include "shared/base/file.h"
#include "shared/base/log.h"
#include "shared/base/scratch.h"

enum { FIRST_BYTES = 4096, COPY_BYTES = 64 * 1024 };

/* Where the file may be, best first. */
enum { PLACE_FOLDER, PLACE_TEMPORARY, PLACE_MEMORY, PLACES };

static void unmap(struct xb_spill *spill)
{
    if (spill->map) {
        (void)munmap(spill->map, spill->map_len);
    }
    spill->map = NULL;
    spill->map_len = 0;
}

void xb_spill_free(struct xb_spill *spill)
{
    unmap(spill);
    if (spill->fd >= 0) {
        (void)close(spill->fd);
    }
    free(spill->buf);
    *spill = (struct xb_spill)XB_SPILL_INIT(spill->folder);
}

/* ---- the file ---- */

static int open_memory(struct xb_error *err)
{
    static atomic_bool said;
    int fd = memfd_create("xebec-index", MFD_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "no memory for the index");
    }
    if (!atomic_exchange(&said, true)) {
        xb_log_warning(
            "no folder takes a temporary file (full, or read-only): the index is kept in "
            "memory; set XEBEC_CACHE_DIR or TMPDIR to a folder with room");
    }
    return fd;
}

static int open_place(struct xb_spill *spill, unsigned place, struct xb_error *err)
{
    if (place == PLACE_MEMORY) {
        return open_memory(err);
    }
    if (place == PLACE_TEMPORARY) {
        const char *in = NULL;
        return xb_scratch_file("the index", &in, err);
    }
    int fd =
        spill->folder < 0 ? -1 : openat(spill->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd >= 0 ? fd : xb_error_errno(err, errno, "no file in the cache folder");
}

static int copy(int from, int to, uint64_t len, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) unsigned char *step = malloc(COPY_BYTES);
    if (!step) {
        return xb_error_no_memory(err, "the index");
    }
    for (uint64_t at = 0; at < len; at += COPY_BYTES) {
        size_t part = len - at < COPY_BYTES ? (size_t)(len - at) : COPY_BYTES;
        int r = xb_file_pread_all(from, step, part, (off_t)at, "a temporary file", err);
        if (r < 0 || (r = xb_file_write_all(to, step, part, "a temporary file", err)) < 0) {
            return r;
        }
    }
    return 0;
}

/* Goes on in the next place that takes the bytes written so far. */
static int move_on(struct xb_spill *spill, struct xb_error *err)
{
    while (spill->tried < PLACES) {
        unsigned place = spill->tried++;
        struct xb_error why = XB_ERROR_INIT;
        XB_CLEANUP(xb_closep) int fd = open_place(spill, place, &why);
        int r = fd < 0 ? fd : spill->fd < 0 ? 0 : copy(spill->fd, fd, spill->flushed, &why);
        if (r < 0 && spill->tried == PLACES) {
            *err = why;
            return r;
        }
        if (r == 0) {
            if (spill->fd >= 0) {
                (void)close(spill->fd);
            }
            spill->fd = XB_TAKE_FD(fd);
            spill->linkable = place == PLACE_FOLDER;
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_FULL, -ENOSPC, "no place is left for the index");
}

static int write_out(struct xb_spill *spill, const void *data, size_t len, struct xb_error *err)
{
    for (;;) {
        struct xb_error why = XB_ERROR_INIT;
        int r = spill->fd < 0 ? -EBADF
                              : xb_file_write_all(spill->fd, data, len, "a temporary file", &why);
        if (r == 0) {
            spill->flushed += len;
            return 0;
        }
        /* What was written of it before the failure is written over. */
        if ((r = move_on(spill, err)) < 0) {
            return r;
        }
    }
}

static int flush(struct xb_spill *spill, struct xb_error *err)
{
    int r = spill->buf_len ? write_out(spill, spill->buf, spill->buf_len, err) : 0;
    spill->buf_len = r < 0 ? spill->buf_len : 0;
    return r;
}

/* ---- appending ---- */

static int grow(struct xb_spill *spill, size_t need, struct xb_error *err)
{
    size_t cap = spill->buf_cap ? spill->buf_cap : FIRST_BYTES;
    while (cap < need) {
        cap *= 2;
    }
    unsigned char *buf = realloc(spill->buf, cap);
    if (!buf) {
        return xb_error_no_memory(err, "the index");
    }
    spill->buf = buf;
    spill->buf_cap = cap;
    return 0;
}

int xb_spill_append(struct xb_spill *spill, const void *data, size_t len, struct xb_error *err)
{
    int r = 0;
    if (len > XB_SPILL_HEAP_BYTES - spill->buf_len) {
        r = flush(spill, err);
        if (r == 0 && len > XB_SPILL_HEAP_BYTES) {
            return write_out(spill, data, len, err);
        }
    }
    if (r == 0 && spill->buf_len + len > spill->buf_cap) {
        r = grow(spill, spill->buf_len + len, err);
    }
    if (r == 0 && len > 0) {
        memcpy(spill->buf + spill->buf_len, data, len);
        spill->buf_len += len;
    }
    return r;
}

int xb_spill_align(struct xb_spill *spill, size_t step, struct xb_error *err)
{
    static const unsigned char zeros[64];
    size_t over = (size_t)(xb_spill_len(spill) % step);
    return over ? xb_spill_append(spill, zeros, step - over, err) : 0;
}

int xb_spill_map(struct xb_spill *spill, const unsigned char **ret, struct xb_error *err)
{
    if (spill->fd < 0) {
        int r = spill->buf ? 0 : grow(spill, 1, err);
        *ret = r < 0 ? *ret : spill->buf;
        return r;
    }
    int r = flush(spill, err);
    if (r < 0) {
        return r;
    }
    free(spill->buf);
    spill->buf = NULL;
    spill->buf_cap = 0;
    if (spill->map && spill->map_len == spill->flushed) {
        *ret = spill->map;
        return 0;
    }
    unmap(spill);
    void *map = mmap(NULL, (size_t)spill->flushed, PROT_READ, MAP_SHARED, spill->fd, 0);
    if (map == MAP_FAILED) {
        return xb_error_errno(err, errno, "cannot map the index");
    }
    spill->map = map;
    spill->map_len = (size_t)spill->flushed;
    *ret = map;
    return 0;
}

int xb_spill_room(struct xb_spill *spill, size_t len, unsigned char **ret, struct xb_error *err)
{
    int r = 0;
    if (len <= XB_SPILL_HEAP_BYTES) {
        r = grow(spill, len, err);
        if (r == 0) {
            spill->buf_len = len;
            *ret = spill->buf;
        }
        return r;
    }
    /* All of it is taken now: a page that found no room later would end the process. */
    do {
        r = move_on(spill, err);
    } while (r == 0 && posix_fallocate(spill->fd, 0, (off_t)len) != 0);
    if (r < 0) {
        return r;
    }
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, spill->fd, 0);
    if (map == MAP_FAILED) {
        return xb_error_errno(err, errno, "cannot map a temporary file");
    }
    spill->flushed = len;
    spill->map = map;
    spill->map_len = len;
    *ret = map;
    return 0;
}
