/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool xb_device_all_zero(const unsigned char *data, size_t len)
{
    return len == 0 || (data[0] == 0 && memcmp(data, data + 1, len - 1) == 0);
}

int xb_device_writer_begin(const struct xb_device *device, struct xb_device_writer *ret,
                           struct xb_error *err)
{
    unsigned char *buffer = aligned_alloc(device->align, XB_DEVICE_WRITE_BYTES);
    if (!buffer) {
        return xb_error_no_memory(err, "a device's buffer");
    }
    *ret = (struct xb_device_writer){.device = device, .buffer = buffer};
    return 0;
}

void xb_device_writer_end(struct xb_device_writer *writer)
{
    free(XB_TAKE(writer->buffer));
}

static int write_all(int fd, uint64_t offset, const unsigned char *data, size_t len,
                     struct xb_error *err)
{
    while (len > 0) {
        ssize_t done = pwrite(fd, data, len, (off_t)offset);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return xb_error_errno(err, done < 0 ? errno : EIO, "writing at byte %" PRIu64, offset);
        }
        data += done;
        offset += (uint64_t)done;
        len -= (size_t)done;
    }
    return 0;
}

/* Whole blocks, from aligned memory. */
static int write_blocks(struct xb_device_writer *writer, uint64_t offset, const unsigned char *data,
                        size_t len, struct xb_error *err)
{
    int r = 0;
    while (r == 0 && len > 0) {
        size_t take = len < XB_DEVICE_WRITE_BYTES ? len : XB_DEVICE_WRITE_BYTES;
        memcpy(writer->buffer, data, take);
        r = write_all(writer->device->fd, offset, writer->buffer, take, err);
        data += take;
        offset += take;
        len -= take;
    }
    return r;
}

static int write_data(struct xb_device_writer *writer, uint64_t offset, const unsigned char *data,
                      size_t len, struct xb_error *err)
{
    const uint64_t align = writer->device->align;
    uint64_t first = (offset + align - 1) / align * align;
    uint64_t last = (offset + len) / align * align;
    writer->written += len;
    if (!writer->device->direct || first >= last) {
        return write_all(writer->device->cached_fd, offset, data, len, err);
    }
    int r = write_all(writer->device->cached_fd, offset, data, (size_t)(first - offset), err);
    if (r == 0) {
        r = write_blocks(writer, first, data + (first - offset), (size_t)(last - first), err);
    }
    return r < 0 ? r
                 : write_all(writer->device->cached_fd, last, data + (last - offset),
                             (size_t)(offset + len - last), err);
}

/* ---- zeros ---- */

static int write_zeros(struct xb_device_writer *writer, uint64_t offset, uint64_t len,
                       struct xb_error *err)
{
    static const unsigned char zeros[XB_DEVICE_ZERO_GRAIN];
    int r = 0;
    while (r == 0 && len > 0) {
        size_t take = len < sizeof zeros ? (size_t)len : sizeof zeros;
        r = write_all(writer->device->cached_fd, offset, zeros, take, err);
        offset += take;
        len -= take;
    }
    return r;
}

/* Both calls promise that zeros are read afterwards. The first also gives the room back, and fails
 * where the device could not promise that without writing; the second writes in the kernel. */
static int zero_blocks(struct xb_device_writer *writer, uint64_t offset, uint64_t len,
                       struct xb_error *err)
{
    uint64_t range[2] = {offset, len};
    int fd = writer->device->cached_fd;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0) {
        return 0;
    }
    if (errno == EIO || errno == ENOSPC) {
        return xb_error_errno(err, errno, "writing zeros at byte %" PRIu64, offset);
    }
    if (writer->device->block && ioctl(fd, BLKZEROOUT, range) == 0) {
        return 0;
    }
    return write_zeros(writer, offset, len, err);
}

int xb_device_zero(struct xb_device_writer *writer, uint64_t offset, uint64_t len,
                   struct xb_error *err)
{
    const uint64_t align = writer->device->align;
    uint64_t first = (offset + align - 1) / align * align;
    uint64_t last = (offset + len) / align * align;
    writer->zeroed += len;
    if (!writer->device->block) {
        return 0; /* it was emptied: what is not written is a hole */
    }
    if (first >= last) {
        return write_zeros(writer, offset, len, err);
    }
    int r = write_zeros(writer, offset, first - offset, err);
    if (r == 0) {
        r = zero_blocks(writer, first, last - first, err);
    }
    return r < 0 ? r : write_zeros(writer, last, offset + len - last, err);
}

/* How many of the bytes go together: to the next multiple of the grain, and on while its pieces are
 * of one kind. */
static size_t next_run(uint64_t offset, const unsigned char *data, size_t len, bool *ret_zero)
{
    size_t run = 0;
    while (run < len) {
        size_t room = XB_DEVICE_ZERO_GRAIN - (size_t)((offset + run) % XB_DEVICE_ZERO_GRAIN);
        size_t take = len - run < room ? len - run : room;
        bool zero = xb_device_all_zero(data + run, take);
        if (run > 0 && zero != *ret_zero) {
            break;
        }
        *ret_zero = zero;
        run += take;
    }
    return run;
}

int xb_device_write(struct xb_device_writer *writer, uint64_t offset, const unsigned char *data,
                    size_t len, bool *ret_zero, struct xb_error *err)
{
    bool all = true;
    while (len > 0) {
        bool zero = false;
        size_t run = next_run(offset, data, len, &zero);
        int r = zero ? xb_device_zero(writer, offset, run, err)
                     : write_data(writer, offset, data, run, err);
        if (r < 0) {
            return r;
        }
        all = all && zero;
        offset += run;
        data += run;
        len -= run;
    }
    *ret_zero = all;
    return 0;
}
