/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's table of mounts, whose places are named by whoever mounts: a device is in use by
 * what is named, or by nothing; the words always fit.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent/device/device.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[64];
    char user[XB_DEVICE_USER_BYTES];
    int fd = memfd_create("mounts", MFD_CLOEXEC);
    need(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const struct xb_device_places places = {path, path, "/nonexistent"};
    memset(user, 'x', sizeof user);
    xb_device_find_user(&places, makedev(98, 0), user);
    need(memchr(user, '\0', sizeof user) != NULL);
    need(!user[0] || strncmp(user, "mounted at ", 11) == 0 || strcmp(user, "in use as swap") == 0);
    close(fd);
    return 0;
}
