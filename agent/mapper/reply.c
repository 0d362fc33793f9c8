/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mapper/reply.h"

#include <errno.h>
#include <linux/dm-ioctl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

static int corrupt(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the device mapper's answer: %s", what);
}

/* Copies a text that ends within `max` bytes and fits. */
static bool take_text(const char *text, size_t max, char *ret, size_t ret_bytes)
{
    size_t len = strnlen(text, max);
    if (len == max || len >= ret_bytes) {
        return false;
    }
    memcpy(ret, text, len + 1);
    return true;
}

static int read_header(const void *reply, size_t len, struct dm_ioctl *ret, struct xb_error *err)
{
    if (len < sizeof *ret) {
        return corrupt(err, "too short");
    }
    memcpy(ret, reply, sizeof *ret);
    return ret->version[0] == DM_VERSION_MAJOR ? 0 : corrupt(err, "of another version");
}

/* Where the data lies. */
static int find_data(const struct dm_ioctl *header, size_t len, size_t *ret_begin, size_t *ret_end,
                     struct xb_error *err)
{
    if (header->flags & DM_BUFFER_FULL_FLAG) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                            "the device mapper has more to say than %zu "
                            "bytes",
                            len);
    }
    if (header->data_size > len || header->data_start > header->data_size) {
        return corrupt(err, "its data lies outside of it");
    }
    *ret_begin = header->data_start;
    *ret_end = header->data_size;
    return 0;
}

/* The kernel writes the number in one piece: 12 bits of the major one between those of the minor.
 */
static struct xb_mapper_id id_of(uint64_t device)
{
    dev_t number = (dev_t)device;
    return (struct xb_mapper_id){.major = major(number), .minor = minor(number)};
}

int xb_mapper_reply_device(const void *reply, size_t len, struct xb_mapper_device *ret,
                           struct xb_error *err)
{
    struct dm_ioctl header;
    struct xb_mapper_device device = {.open_count = 0};
    int r = read_header(reply, len, &header, err);
    if (r < 0) {
        return r;
    }
    if (!take_text(header.name, sizeof header.name, device.name, sizeof device.name) ||
        !take_text(header.uuid, sizeof header.uuid, device.uuid, sizeof device.uuid)) {
        return corrupt(err, "a name without an end");
    }
    device.id = id_of(header.dev);
    device.suspended = (header.flags & DM_SUSPEND_FLAG) != 0;
    device.active = (header.flags & DM_ACTIVE_PRESENT_FLAG) != 0;
    device.waiting = (header.flags & DM_INACTIVE_PRESENT_FLAG) != 0;
    device.open_count = header.open_count;
    *ret = device;
    return 0;
}

int xb_mapper_reply_list(const void *reply, size_t len, struct xb_mapper_list *ret,
                         struct xb_error *err)
{
    struct dm_ioctl header;
    size_t at = 0;
    size_t end = 0;
    int r = read_header(reply, len, &header, err);
    r = r ? r : find_data(&header, len, &at, &end, err);
    if (r < 0) {
        return r;
    }
    const char *bytes = reply;
    ret->count = 0;
    for (;;) {
        struct dm_name_list one;
        if (end - at < sizeof one) {
            return corrupt(err, "a list that is cut off");
        }
        memcpy(&one, bytes + at, sizeof one);
        if (one.dev == 0) { /* the only one: there is none */
            return 0;
        }
        if (ret->count == XB_MAPPER_DEVICES_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "there are more than %d devices",
                                XB_MAPPER_DEVICES_MAX);
        }
        ret->ids[ret->count++] = id_of(one.dev);
        if (one.next == 0) {
            return 0;
        }
        if (one.next < sizeof one || one.next > end - at) {
            return corrupt(err, "a list that leads out of itself");
        }
        at += one.next;
    }
}

int xb_mapper_reply_target(const void *reply, size_t len, struct xb_mapper_target *ret,
                           struct xb_error *err)
{
    struct dm_ioctl header;
    struct dm_target_spec spec;
    size_t at = 0;
    size_t end = 0;
    int r = read_header(reply, len, &header, err);
    r = r ? r : find_data(&header, len, &at, &end, err);
    if (r < 0) {
        return r;
    }
    struct xb_mapper_target target = {.type = ""};
    if (header.target_count == 0) {
        *ret = target;
        return 0;
    }
    if (end - at < sizeof spec) {
        return corrupt(err, "a target that is cut off");
    }
    const char *bytes = (const char *)reply + at;
    memcpy(&spec, bytes, sizeof spec);
    if (!take_text(spec.target_type, sizeof spec.target_type, target.type, sizeof target.type) ||
        !take_text(bytes + sizeof spec, end - at - sizeof spec, target.text, sizeof target.text)) {
        return corrupt(err, "a state without an end");
    }
    *ret = target;
    return 0;
}
