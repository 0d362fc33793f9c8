/* SPDX-License-Identifier: Apache-2.0
 * Who uses a block device. The kernel only says that somebody does; this is for the message. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "agent/device/device.h"
#include "shared/base/mounts.h"

enum { LINE_BYTES = 4096, LINES_MAX = 100000, PATH_BYTES = 512 };

static bool find_mount(const char *path, dev_t number, char ret[XB_DEVICE_USER_BYTES])
{
    XB_CLEANUP(xb_mounts_free) struct xb_mounts mounts = {.count = 0};
    struct xb_error unnamed = XB_ERROR_INIT;
    if (xb_mounts_read(path, &mounts, &unnamed) < 0) {
        return false;
    }
    for (size_t i = 0; i < mounts.count; i++) {
        const struct xb_mount *mount = &mounts.items[i];
        if (mount->major == major(number) && mount->minor == minor(number)) {
            snprintf(ret, XB_DEVICE_USER_BYTES, "mounted at %.160s", mount->point);
            return true;
        }
    }
    return false;
}

/* A table of "/dev/name type size ...", with a headline. */
static bool find_swap(const char *path, dev_t number, char ret[XB_DEVICE_USER_BYTES])
{
    XB_CLEANUP(xb_fclosep) FILE *file = fopen(path, "re");
    char line[LINE_BYTES];
    for (int i = 0; file && i < LINES_MAX && fgets(line, sizeof line, file); i++) {
        char name[161];
        struct stat st;
        if (sscanf(line, "%160s", name) == 1 && name[0] == '/' && stat(name, &st) == 0 &&
            S_ISBLK(st.st_mode) && st.st_rdev == number) {
            snprintf(ret, XB_DEVICE_USER_BYTES, "in use as swap");
            return true;
        }
    }
    return false;
}

/* Device-mapper, md and bcache name themselves below holders/. */
static bool find_holder(const char *sys_block, dev_t number, char ret[XB_DEVICE_USER_BYTES])
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%u:%u/holders", sys_block, major(number), minor(number));
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(path);
    const struct dirent *item = NULL;
    while (dir && (item = readdir(dir))) {
        if (item->d_name[0] != '.') {
            snprintf(ret, XB_DEVICE_USER_BYTES, "used by %.160s", item->d_name);
            return true;
        }
    }
    return false;
}

void xb_device_find_user(const struct xb_device_places *places, dev_t number,
                         char ret[XB_DEVICE_USER_BYTES])
{
    ret[0] = '\0';
    if (!find_mount(places->mountinfo, number, ret) && !find_swap(places->swaps, number, ret)) {
        (void)find_holder(places->sys_block, number, ret);
    }
}
