/* SPDX-License-Identifier: Apache-2.0
 * What is mounted where, by the kernel's own list. */
#include "agent/freeze/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/freeze/internal.h"

enum { FIELD_ID = 0, FIELD_ROOT = 3, FIELD_POINT = 4, FIELDS = 5 };

static bool is_octal(const char *at)
{
    return at[0] >= '0' && at[0] <= '3' && at[1] >= '0' && at[1] <= '7' && at[2] >= '0' &&
           at[2] <= '7';
}

/* Blanks, newlines and backslashes are written as octal numbers. */
static bool unescape(const char *from, size_t len, char to[PATH_MAX])
{
    size_t out = 0;
    for (size_t i = 0; i < len; i++) {
        char c = from[i];
        if (c == '\\' && len - i > 3 && is_octal(from + i + 1)) {
            c = (char)((from[i + 1] - '0') * 64 + (from[i + 2] - '0') * 8 + (from[i + 3] - '0'));
            i += 3;
        }
        if (c == '\0' || out + 1 == PATH_MAX) {
            return false;
        }
        to[out++] = c;
    }
    to[out] = '\0';
    return out > 0;
}

bool xb_mount_parse(const char *line, struct xb_mount *ret)
{
    const char *fields[FIELDS];
    size_t lens[FIELDS];
    const char *at = line;
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = at;
        lens[i] = strcspn(at, " \n");
        if (lens[i] == 0 || at[lens[i]] != ' ') {
            return false;
        }
        at += lens[i] + 1;
    }
    char *end = NULL;
    errno = 0;
    unsigned long long id = strtoull(fields[FIELD_ID], &end, 10);
    if (errno || end != fields[FIELD_ID] + lens[FIELD_ID] ||
        !unescape(fields[FIELD_ROOT], lens[FIELD_ROOT], ret->root) ||
        !unescape(fields[FIELD_POINT], lens[FIELD_POINT], ret->point)) {
        return false;
    }
    ret->id = id;
    return true;
}

bool xb_mount_is_in(const char *folder, const char *path)
{
    size_t len = strlen(folder);
    while (len > 0 && folder[len - 1] == '/') {
        len--; /* also of the root folder */
    }
    return strncmp(folder, path, len) == 0 && path[len] == '/' && path[len + 1] != '\0';
}

int xb_freeze_find_mount_in(int fd, char ret[PATH_MAX], struct xb_error *err)
{
    char link[40];
    char folder[PATH_MAX];
    char *line = NULL;
    size_t size = 0;
    int found = 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, folder, sizeof folder - 1);
    if (len < 0) {
        return xb_error_errno(err, errno, "%s", link);
    }
    folder[len] = '\0';
    XB_CLEANUP(xb_fclosep) FILE *list = fopen("/proc/self/mountinfo", "re");
    if (!list) {
        return xb_error_errno(err, errno, "/proc/self/mountinfo");
    }
    XB_CLEANUP(xb_freep) struct xb_mount *mount = malloc(sizeof *mount);
    if (!mount) {
        return xb_error_no_memory(err, "a mount");
    }
    while (!found && getline(&line, &size, list) > 0) {
        if (xb_mount_parse(line, mount) && xb_mount_is_in(folder, mount->point)) {
            memcpy(ret, mount->point, strlen(mount->point) + 1);
            found = 1;
        }
    }
    free(line);
    return found;
}

int xb_freeze_refuse_mounts(const struct xb_freeze *freeze, struct xb_error *err)
{
    char path[PATH_MAX];
    int r = xb_freeze_find_mount_in(freeze->request.root_fd, path, err);
    return r <= 0 ? r
                  : xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                                 "%.300s is mounted in it, which a snapshot leaves out", path);
}
