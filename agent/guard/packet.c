/* SPDX-License-Identifier: Apache-2.0
 * Packets of the guard's socket, as both sides send and take them. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/guard/internal.h"
#include "shared/base/clock.h"

int xb_guard_address(const char *path, struct sockaddr_un *ret, struct xb_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address.sun_path) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG,
                            "the guard's socket is a path of at most %zu bytes, not '%.100s'",
                            sizeof address.sun_path - 1, path);
    }
    memcpy(address.sun_path, path, len + 1);
    *ret = address;
    return 0;
}

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
};

int xb_guard_send(int fd, const struct xb_guard_message *message, int passed_fd,
                  unsigned char buffer[XB_GUARD_PACKET_BYTES_MAX], struct xb_error *err)
{
    union control control = {.bytes = {0}};
    size_t len = 0;
    int r = xb_guard_message_write(message, buffer, &len, err);
    if (r < 0) {
        return r;
    }
    struct iovec part = {.iov_base = buffer, .iov_len = len};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (passed_fd >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *item = CMSG_FIRSTHDR(&header);
        item->cmsg_level = SOL_SOCKET;
        item->cmsg_type = SCM_RIGHTS;
        item->cmsg_len = CMSG_LEN(sizeof passed_fd);
        memcpy(CMSG_DATA(item), &passed_fd, sizeof passed_fd);
    }
    if (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        return xb_error_errno(err, errno, "the guard's socket");
    }
    return 0;
}

/* The one descriptor that came along, or -1. */
static int take_fd(struct msghdr *header)
{
    int fd = -1;
    struct cmsghdr *item = CMSG_FIRSTHDR(header);
    if (item && item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_RIGHTS &&
        item->cmsg_len == CMSG_LEN(sizeof fd)) {
        memcpy(&fd, CMSG_DATA(item), sizeof fd);
    }
    return fd;
}

int xb_guard_receive(int fd, unsigned char buffer[XB_GUARD_PACKET_BYTES_MAX],
                     struct xb_guard_message *ret, size_t *ret_len, int *ret_fd,
                     struct xb_error *err)
{
    union control control = {.bytes = {0}};
    struct iovec part = {.iov_base = buffer, .iov_len = XB_GUARD_PACKET_BYTES_MAX};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t len = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (len < 0 && errno != ECONNRESET) {
        return xb_error_errno(err, errno, "the guard's socket");
    }
    int passed_fd = len > 0 ? take_fd(&header) : -1;
    if (len <= 0) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ECONNRESET, "the other side has gone");
    }
    int r = 0;
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (passed_fd >= 0 && !ret_fd)) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a packet that is none of the guard's");
    }
    r = r ? r : xb_guard_message_read(buffer, (size_t)len, ret, err);
    if (r < 0) {
        xb_closep(&passed_fd);
        return r;
    }
    *ret_len = (size_t)len;
    if (ret_fd) {
        *ret_fd = passed_fd;
    }
    return 1;
}

bool xb_guard_wait(int fd, int64_t until_ns)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    int64_t left_ns;
    while ((left_ns = until_ns - xb_clock_mono_ns()) > 0) {
        int r = poll(&one, 1, (int)((left_ns + XB_NS_PER_MS - 1) / XB_NS_PER_MS));
        if (r > 0) {
            return true;
        }
        if (r < 0 && errno != EINTR) {
            return false;
        }
    }
    return false;
}
