/* SPDX-License-Identifier: Apache-2.0
 * Devices of the device mapper, as /sys shows them to everybody: what is asked of it neither waits
 * for a device nor needs a right. And processes, by /proc. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/freeze/lvm_node.h"
#include "agent/mapper/mapper.h"
#include "shared/base/buf.h"
#include "shared/base/clock.h"
#include "shared/base/file.h"

#define BLOCK "/sys/block"

enum { PATH_BYTES = 300, STAT_BYTES = 4096, STARTED_FIELD = 22, BOOT_BYTES = 64 };

/* ---- devices ---- */

/* Without its line end. False: it is not there, or there is more than a line of that length. */
static bool read_line(const char *path, char *ret, size_t size)
{
    XB_CLEANUP(xb_fclosep) FILE *file = fopen(path, "re");
    if (!file || !fgets(ret, (int)size, file)) {
        return false;
    }
    size_t len = strlen(ret);
    if (len == 0 || ret[len - 1] != '\n') {
        return false;
    }
    ret[len - 1] = '\0';
    return true;
}

int xb_lvm_device_by_number(unsigned major, unsigned minor, struct xb_lvm_device *ret,
                            struct xb_error *err)
{
    char path[PATH_BYTES];
    struct xb_lvm_device device = {.major = major, .minor = minor};
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/dm/uuid", major, minor);
    if (!read_line(path, device.id, sizeof device.id)) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "it is on no logical volume");
    }
    *ret = device;
    return 0;
}

static bool read_device(const char *entry, struct xb_lvm_device *ret)
{
    char path[PATH_BYTES];
    char number[40];
    snprintf(path, sizeof path, BLOCK "/%.40s/dm/uuid", entry);
    bool good = read_line(path, ret->id, sizeof ret->id);
    snprintf(path, sizeof path, BLOCK "/%.40s/dm/name", entry);
    good = good && read_line(path, ret->name, sizeof ret->name);
    snprintf(path, sizeof path, BLOCK "/%.40s/dev", entry);
    uint64_t major = 0;
    uint64_t minor = 0;
    const char *at = number;
    if (!good || !read_line(path, number, sizeof number) || !xb_mapper_number(&at, &major) ||
        *at++ != ':' || !xb_mapper_number(&at, &minor) || *at || major > UINT_MAX ||
        minor > UINT_MAX) {
        return false;
    }
    ret->major = (unsigned)major;
    ret->minor = (unsigned)minor;
    return true;
}

static bool is_unused(const char *entry)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, BLOCK "/%.40s/holders", entry);
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(path);
    const struct dirent *holder = NULL;
    while (dir && (holder = readdir(dir))) {
        if (holder->d_name[0] != '.') {
            return false;
        }
    }
    return dir != NULL;
}

static bool fits(const struct xb_lvm_device_wanted *wanted, const struct xb_lvm_device *device)
{
    size_t len = strlen(device->id);
    size_t end = wanted->id_ends ? strlen(wanted->id_ends) : 0;
    return (!wanted->id_begins ||
            strncmp(device->id, wanted->id_begins, strlen(wanted->id_begins)) == 0) &&
           len >= end && (end == 0 || strcmp(device->id + len - end, wanted->id_ends) == 0) &&
           (!wanted->name || strcmp(device->name, wanted->name) == 0);
}

int xb_lvm_device_find(const struct xb_lvm_device_wanted *wanted, struct xb_lvm_device *ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(BLOCK);
    const struct dirent *entry = NULL;
    while (dir && (entry = readdir(dir))) {
        struct xb_lvm_device device = {.major = 0};
        if (strncmp(entry->d_name, "dm-", 3) == 0 && read_device(entry->d_name, &device) &&
            fits(wanted, &device) && (!wanted->unused || is_unused(entry->d_name))) {
            *ret = device;
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "there is no device %.200s",
                        wanted->name        ? wanted->name
                        : wanted->id_begins ? wanted->id_begins
                                            : "of the device mapper's");
}

void xb_lvm_device_path(const struct xb_lvm_device *device, char ret[XB_LVM_PATH_BYTES])
{
    snprintf(ret, XB_LVM_PATH_BYTES, "/dev/dm-%u", device->minor);
}

/* ---- who makes copies ---- */

static bool read_boot(uint32_t *ret)
{
    char id[BOOT_BYTES];
    if (!read_line("/proc/sys/kernel/random/boot_id", id, sizeof id)) {
        return false;
    }
    id[8] = '\0';
    char *end = NULL;
    *ret = (uint32_t)strtoul(id, &end, 16);
    return *end == '\0' && *ret != 0;
}

/* The name of a program may hold anything, also blanks and parentheses: the fields count from its
 * end on, which is the third. */
static bool read_started(uint64_t pid, uint64_t *ret)
{
    char path[PATH_BYTES];
    char line[STAT_BYTES];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", pid);
    if (!read_line(path, line, sizeof line)) {
        return false;
    }
    const char *at = strrchr(line, ')');
    for (int field = 2; at && field < STARTED_FIELD; field++) {
        at = strchr(at + 1, ' ');
    }
    return at && xb_mapper_number(&(const char *){at + 1}, ret);
}

uint64_t xb_lvm_now_s(void)
{
    return (uint64_t)(xb_clock_system.elapsed_ns(NULL) / XB_NS_PER_S);
}

int xb_lvm_maker_self(struct xb_lvm_maker *ret, struct xb_error *err)
{
    struct xb_lvm_maker maker = {.pid = (uint64_t)getpid(), .made_s = xb_lvm_now_s()};
    if (!read_boot(&maker.boot) || !read_started(maker.pid, &maker.started)) {
        return xb_error_set(err, XB_ERR_IO, -EIO, "/proc does not say who this process is");
    }
    *ret = maker;
    return 0;
}

bool xb_lvm_maker_lives(const struct xb_lvm_maker *maker)
{
    uint32_t boot = 0;
    uint64_t started = 0;
    return !read_boot(&boot) ||
           (boot == maker->boot && read_started(maker->pid, &started) && started == maker->started);
}
