/* SPDX-License-Identifier: Apache-2.0
 * File systems, from the agent's side: what may be frozen, and a thaw that does not depend on the
 * guard's answer. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/guard/client.h"
#include "agent/guard/mounts.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { FREEZE_GRACE_MS = 1000, STOP_AGAIN_MS = 50 };

int xb_guard_may_freeze(const struct xb_guard_volume *volume, struct xb_error *err)
{
    struct statx st;
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    if (statx(volume->fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0) {
        return xb_error_errno(err, errno, "the volume's mount");
    }
    if (!(st.stx_mask & STATX_MNT_ID)) {
        return xb_error_set(err, XB_ERR_DENIED, -ENOSYS,
                            "this kernel does not say of which mount a file is: nothing is frozen");
    }
    const struct xb_guard_mount_question question = {.mount_id = st.stx_mnt_id,
                                                     .pods_root = volume->pods_root,
                                                     .pod_uid = volume->pod_uid,
                                                     .home = volume->home};
    int r = xb_mounts_read(XB_MOUNTS_PATH, &mounts, err);
    return r ? r : xb_guard_mounts_judge(&mounts, &question, err);
}

static int ask_for(int fd, int volume_fd, unsigned limit_ms, unsigned char *packet,
                   uint64_t *ret_us, struct xb_error *err)
{
    const struct xb_guard_message freeze = {.type = XB_GUARD_FREEZE, .limit_ms = limit_ms};
    struct xb_guard_message answer;
    int r = xb_guard_say(fd, &freeze, volume_fd, packet, err);
    r = r ? r : xb_guard_answer(fd, (int)limit_ms + FREEZE_GRACE_MS, packet, &answer, err);
    if (r == 0 && answer.type != XB_GUARD_FROZEN) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EPROTO, "the guard answers something else");
    }
    if (r == 0) {
        *ret_us = answer.took_us;
    }
    return r;
}

int xb_guard_freeze(struct xb_guard *guard, const struct xb_guard_volume *volume, unsigned limit_ms,
                    struct xb_guard_frozen *ret, struct xb_error *err)
{
    struct xb_guard_message welcome;
    struct xb_guard_frozen frozen = {.fd = -1, .volume_fd = -1};
    XB_CLEANUP(xb_closep) int fd = -1;
    XB_CLEANUP(xb_closep) int volume_fd = -1;
    XB_CLEANUP(xb_freep) unsigned char *packet = malloc(XB_GUARD_PACKET_BYTES_MAX);
    if (!guard) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOTCONN,
                            "without a bracket guard no file system is frozen");
    }
    if (!packet) {
        return xb_error_no_memory(err, "a word to the guard");
    }
    int r = xb_guard_may_freeze(volume, err);
    if (r < 0) {
        return r;
    }
    volume_fd = fcntl(volume->fd, F_DUPFD_CLOEXEC, 0);
    /* Before it is frozen, so that little is left to be written then. */
    if (volume_fd < 0 || syncfs(volume_fd) < 0) {
        return xb_error_errno(err, errno, "flushing the volume");
    }
    r = xb_guard_alive(guard, err);
    r = r ? r : xb_guard_connect(guard->path, XB_GUARD_FREEZER, packet, &fd, &welcome, err);
    if (r == 0 && !welcome.can_thaw) {
        r = xb_error_set(err, XB_ERR_DENIED, -EPERM,
                         "the guard has no CAP_SYS_ADMIN: no file system is frozen");
    }
    r = r ? r : ask_for(fd, volume_fd, limit_ms, packet, &frozen.freezing_us, err);
    if (r < 0) {
        return r; /* and the end of the connection thaws whatever was frozen too late */
    }
    frozen.fd = XB_TAKE_FD(fd);
    frozen.volume_fd = XB_TAKE_FD(volume_fd);
    *ret = frozen;
    return 0;
}

int xb_guard_thaw(struct xb_guard_frozen *frozen, uint64_t *ret_us, struct xb_error *err)
{
    static const struct xb_guard_message thaw = {.type = XB_GUARD_THAW};
    struct xb_guard_message answer;
    XB_CLEANUP(xb_freep) unsigned char *packet = malloc(XB_GUARD_PACKET_BYTES_MAX);
    int r = packet ? 0 : xb_error_no_memory(err, "a word to the guard");
    r = r ? r : xb_guard_say(frozen->fd, &thaw, -1, packet, err);
    if (r < 0 && packet) { /* it may have said that it is over, and gone */
        *err = (struct xb_error)XB_ERROR_INIT;
        r = 0;
    }
    r = r ? r : xb_guard_answer(frozen->fd, XB_GUARD_ANSWER_MS, packet, &answer, err);
    if (r < 0) { /* the guard is gone, or stands still: whoever has the right thaws it */
        int thawed = ioctl(frozen->volume_fd, FITHAW, 0);
        if (thawed < 0 && errno != EINVAL) {
            xb_log_error(err, "a file system may still be frozen, and cannot be thawed from here");
        }
    } else if (answer.type != XB_GUARD_THAWED || answer.expired) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -ETIME,
                         "the file system was thawed before its copy was made");
    } else {
        *ret_us = answer.took_us;
    }
    xb_closep(&frozen->fd);
    xb_closep(&frozen->volume_fd);
    frozen->fd = frozen->volume_fd = -1;
    return r;
}

int xb_guard_stop(const char *socket, int timeout_ms, struct xb_error *err)
{
    static const struct xb_guard_message stop = {.type = XB_GUARD_STOP};
    const struct timespec pause = {.tv_nsec = STOP_AGAIN_MS * XB_NS_PER_MS};
    int64_t until_ns = xb_clock_mono_ns() + timeout_ms * XB_NS_PER_MS;
    struct xb_guard_message answer = {.state = XB_GUARD_RUNNING};
    XB_CLEANUP(xb_closep) int fd = -1;
    XB_CLEANUP(xb_freep) unsigned char *packet = malloc(XB_GUARD_PACKET_BYTES_MAX);
    if (!packet) {
        return xb_error_no_memory(err, "a word to the guard");
    }
    int r = xb_guard_connect(socket, XB_GUARD_STOPPER, packet, &fd, &answer, err);
    while (r == 0) {
        r = xb_guard_say(fd, &stop, -1, packet, err);
        r = r ? r : xb_guard_answer(fd, XB_GUARD_ANSWER_MS, packet, &answer, err);
        if (r < 0 || answer.state == XB_GUARD_RAN) {
            return r;
        }
        if (xb_clock_mono_ns() >= until_ns) {
            return xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT, "post hooks are still being run");
        }
        (void)nanosleep(&pause, NULL);
    }
    return r;
}
