/* SPDX-License-Identifier: Apache-2.0
 *
 * mapper_faults.c - preloaded into lvcreate (LD_PRELOAD), to let it end in the middle of its work.
 *
 *   XB_MAPPER_LOG=FILE    a line for each change that it asks the device mapper for, after it
 *   XB_MAPPER_FAULT=kill:N     it is killed right after the N-th of them
 *   XB_MAPPER_FAULT=stop:N     it is stopped there (SIGSTOP), and goes on when it is continued
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *change_of(unsigned long request, const struct dm_ioctl *header)
{
    switch (request) {
    case DM_DEV_CREATE:
        return "create";
    case DM_DEV_REMOVE:
        return "remove";
    case DM_DEV_RENAME:
        return "rename";
    case DM_DEV_SUSPEND:
        return header->flags & DM_SUSPEND_FLAG ? "suspend" : "resume";
    case DM_TABLE_LOAD:
        return "load";
    case DM_TABLE_CLEAR:
        return "clear";
    case DM_TARGET_MSG:
        return "message";
    default:
        return NULL;
    }
}

static void note_change(unsigned count, const char *change, const struct dm_ioctl *header, int r)
{
    const char *path = getenv("XB_MAPPER_LOG");
    char line[400];
    if (!path) {
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int len = snprintf(line, sizeof line, "%u %s %.128s %.128s %d\n", count, change, header->name,
                       header->uuid, r);
    ssize_t ignored = write(fd, line, (size_t)len);
    (void)ignored;
    close(fd);
}

static void strike(unsigned count)
{
    const char *fault = getenv("XB_MAPPER_FAULT");
    if (fault && strlen(fault) > 5 && strtoul(fault + 5, NULL, 10) == count) {
        (void)kill(getpid(), strncmp(fault, "kill:", 5) == 0 ? SIGKILL : SIGSTOP);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    static unsigned count;
    va_list list;
    va_start(list, request);
    void *argument = va_arg(list, void *);
    va_end(list);
    const char *change = _IOC_TYPE(request) == DM_IOCTL ? change_of(request, argument) : NULL;
    int r = (int)syscall(SYS_ioctl, fd, request, argument);
    if (change) {
        int before = errno;
        note_change(++count, change, argument, r);
        strike(count);
        errno = before;
    }
    return r;
}
