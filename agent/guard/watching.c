/* SPDX-License-Identifier: Apache-2.0
 * Volume groups, from the agent's side, which resumes what is suspended itself where the guard does
 * not answer. */
#include <errno.h>
#include <stdlib.h>

#include "agent/guard/client.h"
#include "agent/guard/devices.h"
#include "shared/base/log.h"

int xb_guard_watch(struct xb_guard *guard, struct xb_mapper_id device, unsigned limit_ms,
                   struct xb_guard_watched *ret, struct xb_error *err)
{
    const struct xb_guard_message watch = {
        .type = XB_GUARD_WATCH, .major = device.major, .minor = device.minor, .limit_ms = limit_ms};
    struct xb_guard_message answer;
    XB_CLEANUP(xb_closep) int fd = -1;
    XB_CLEANUP(xb_freep) unsigned char *packet = malloc(XB_GUARD_PACKET_BYTES_MAX);
    if (!guard) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTCONN,
                            "without a bracket guard no volume group is worked on");
    }
    if (!packet) {
        return xb_error_no_memory(err, "a word to the guard");
    }
    int r = xb_guard_alive(guard, err);
    r = r ? r : xb_guard_connect(guard->path, XB_GUARD_FREEZER, packet, &fd, &answer, err);
    r = r ? r : xb_guard_say(fd, &watch, -1, packet, err);
    r = r ? r : xb_guard_answer(fd, XB_GUARD_ANSWER_MS, packet, &answer, err);
    if (r == 0 && answer.type != XB_GUARD_WATCHING) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EPROTO, "the guard answers something else");
    }
    if (r == 0) {
        *ret = (struct xb_guard_watched){.fd = XB_TAKE_FD(fd), .device = device};
    }
    return r;
}

static void resume_from_here(struct xb_mapper_id device)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_closep) int fd = xb_mapper_open(&err);
    XB_CLEANUP(xb_freep) struct xb_guard_devices *devices = malloc(sizeof *devices);
    int r = fd < 0 ? fd : devices ? 0 : xb_error_no_memory(&err, "a volume group's devices");
    r = r ? r : xb_guard_devices_of(device, NULL, fd, devices, &err);
    r = r ? r : xb_guard_devices_resume(devices, &err);
    if (r < 0) {
        xb_log_error(&err, "devices of a volume group may stay suspended: see dmsetup info");
    }
}

int xb_guard_unwatch(struct xb_guard_watched *watched, uint64_t *ret_us, struct xb_error *err)
{
    static const struct xb_guard_message unwatch = {.type = XB_GUARD_UNWATCH};
    struct xb_guard_message answer;
    XB_CLEANUP(xb_freep) unsigned char *packet = malloc(XB_GUARD_PACKET_BYTES_MAX);
    int r = packet ? 0 : xb_error_no_memory(err, "a word to the guard");
    r = r ? r : xb_guard_say(watched->fd, &unwatch, -1, packet, err);
    r = r ? r : xb_guard_answer(watched->fd, XB_GUARD_ANSWER_MS, packet, &answer, err);
    if (r < 0) {
        resume_from_here(watched->device);
    } else if (answer.type != XB_GUARD_WATCHED || answer.expired) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -ETIME,
                         "its devices were suspended for too long, and were resumed");
    } else {
        *ret_us = answer.took_us;
    }
    xb_closep(&watched->fd);
    watched->fd = -1;
    return r;
}
