/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mapper/mapper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/mapper/reply.h"

#define CONTROL "/dev/" DM_DIR "/" DM_CONTROL_NODE

/* Room for one answer, as the kernel wants it. A list needs at most 190 bytes per device of LVM. */
enum { ANSWER_BYTES = 4 << 10, LIST_BYTES = 96 << 10 };

struct answer {
    alignas(8) char bytes[ANSWER_BYTES];
};

static struct dm_ioctl *begin(void *room, size_t bytes, struct xb_mapper_id id, uint32_t flags)
{
    struct dm_ioctl *header = room;
    memset(header, 0, sizeof *header);
    header->version[0] = DM_VERSION_MAJOR;
    header->data_size = (uint32_t)bytes;
    header->data_start = sizeof *header;
    header->flags = flags;
    header->dev = makedev(id.major, id.minor);
    return header;
}

static int refused(struct xb_mapper_id id, const char *what, struct xb_error *err)
{
    int code = errno;
    int r = xb_error_errno(err, code, "%s device %u:%u", what, id.major, id.minor);
    if (code == ENXIO) {
        err->kind = XB_ERR_NOT_FOUND;
    }
    return r;
}

int xb_mapper_open(struct xb_error *err)
{
    int fd = open(CONTROL, O_RDWR | O_CLOEXEC);
    return fd < 0 ? xb_error_errno(err, errno, CONTROL) : fd;
}

int xb_mapper_info(int fd, struct xb_mapper_id id, struct xb_mapper_device *ret,
                   struct xb_error *err)
{
    struct answer answer;
    begin(answer.bytes, sizeof answer.bytes, id, 0);
    return ioctl(fd, DM_DEV_STATUS, answer.bytes) < 0
               ? refused(id, "asking for the state of", err)
               : xb_mapper_reply_device(answer.bytes, sizeof answer.bytes, ret, err);
}

int xb_mapper_list(int fd, struct xb_mapper_list *ret, struct xb_error *err)
{
    static const struct xb_mapper_id none;
    alignas(8) char bytes[LIST_BYTES];
    begin(bytes, sizeof bytes, none, 0);
    return ioctl(fd, DM_LIST_DEVICES, bytes) < 0
               ? xb_error_errno(err, errno, "listing the device mapper's devices")
               : xb_mapper_reply_list(bytes, sizeof bytes, ret, err);
}

int xb_mapper_status(int fd, struct xb_mapper_id id, struct xb_mapper_target *ret,
                     struct xb_error *err)
{
    struct answer answer;
    /* Without the flag a thin pool would write first. */
    begin(answer.bytes, sizeof answer.bytes, id, DM_NOFLUSH_FLAG);
    return ioctl(fd, DM_TABLE_STATUS, answer.bytes) < 0
               ? refused(id, "asking for the target of", err)
               : xb_mapper_reply_target(answer.bytes, sizeof answer.bytes, ret, err);
}

int xb_mapper_resume(int fd, struct xb_mapper_id id, struct xb_error *err)
{
    struct answer answer;
    struct xb_mapper_device device;
    int r = xb_mapper_info(fd, id, &device, err);
    if (r < 0 || !device.suspended) {
        return r;
    }
    begin(answer.bytes, sizeof answer.bytes, id, 0);
    if (device.active && device.waiting && ioctl(fd, DM_TABLE_CLEAR, answer.bytes) < 0) {
        return refused(id, "dropping the waiting table of", err);
    }
    begin(answer.bytes, sizeof answer.bytes, id, 0); /* without DM_SUSPEND_FLAG */
    return ioctl(fd, DM_DEV_SUSPEND, answer.bytes) < 0 ? refused(id, "resuming", err) : 0;
}
