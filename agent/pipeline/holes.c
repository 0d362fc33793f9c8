/* SPDX-License-Identifier: Apache-2.0
 * Where a file has holes. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/pipeline/read_internal.h"

enum { TRIES_MAX = 4 };

int xb_read_add_hole(struct xb_entry *entry, uint64_t offset, uint64_t len, struct xb_error *err)
{
    if (entry->hole_count == XB_ENTRY_HOLES_MAX) {
        return 0; /* the rest comes back as zeros: right, but allocated */
    }
    if (entry->hole_count % 16 == 0) {
        struct xb_hole *holes = reallocarray(entry->holes, entry->hole_count + 16, sizeof *holes);
        if (!holes) {
            return xb_error_no_memory(err, "a file's holes");
        }
        entry->holes = holes;
    }
    entry->holes[entry->hole_count++] = (struct xb_hole){offset, len};
    return 0;
}

/* Where the next data begins and ends, at or behind `offset`. Between the two questions the file
 * may get a hole there: they are asked again, and who is unlucky every time reads the rest as data.
 */
void xb_read_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start,
                       uint64_t *ret_end)
{
    for (int try = 0; try < TRIES_MAX; try++) {
        off_t start = lseek(fd, (off_t)offset, SEEK_DATA);
        if (start < 0) {
            /* ENXIO: only a hole is left. Anything else: this file system knows no holes. */
            *ret_start = errno == ENXIO ? size : offset;
            *ret_end = size;
            return;
        }
        off_t end = lseek(fd, start, SEEK_HOLE);
        if (end != start) {
            *ret_start = (uint64_t)start < size ? (uint64_t)start : size;
            *ret_end = end < 0 || (uint64_t)end > size ? size : (uint64_t)end;
            return;
        }
    }
    *ret_start = offset;
    *ret_end = size;
}

int xb_backup_find_holes(int fd, const struct stat *st, struct xb_entry *entry,
                         struct xb_error *err)
{
    uint64_t size = (uint64_t)st->st_size;
    int r = 0;
    for (uint64_t at = 0; xb_read_sparse(st) && r == 0 && at < size;) {
        uint64_t start = 0;
        uint64_t end = 0;
        xb_read_next_data(fd, at, size, &start, &end);
        if (start > at) {
            r = xb_read_add_hole(entry, at, start - at, err);
        }
        at = end > at ? end : size;
    }
    return r;
}
