/* SPDX-License-Identifier: Apache-2.0
 *
 * faults.c - preloaded into a program of ours (LD_PRELOAD), to let it fail at an exact place.
 *
 *   XB_FAULT_BELOW=FOLDER    what counts: every change of the disk below this absolute path
 *   XB_FAULT=kill:N          the process dies at the N-th change; a write is torn in the middle
 *   XB_FAULT=full:N          there is no space left from the N-th change on; a write is cut short
 *   XB_FAULT=broken:N        every change from the N-th on is an input/output error
 *   XB_FAULT=unreadable:N    byte N of what lies below cannot be read (with pread)
 *   XB_FAULT=slow:N          reading from it (with pread) takes N ms more
 *   XB_FAULT=run:N           before the N-th change XB_FAULT_COMMAND is run by the shell
 *   XB_FAULT_LOG=FILE        a line for each change
 *   XB_FAULT_CLOCK=SECONDS   how far the wall clock is off
 *
 * The calls are those that our programs import for changing files; each is passed on as a system
 * call.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, KILL, FULL, BROKEN, UNREADABLE, SLOW, RUN };

static struct {
    enum kind kind;
    unsigned at;
    const char *below;
    size_t below_len;
    int log;
    time_t clock_off;
} plan = {.log = -1};

static atomic_uint changes;

__attribute__((constructor)) static void read_plan(void)
{
    static const char *const kinds[] = {
        "", "kill:", "full:", "broken:", "unreadable:", "slow:", "run:"};
    const char *fault = getenv("XB_FAULT");
    const char *log = getenv("XB_FAULT_LOG");
    const char *clock_off = getenv("XB_FAULT_CLOCK");
    for (int kind = KILL; fault && kind <= RUN; kind++) {
        size_t len = strlen(kinds[kind]);
        if (strncmp(fault, kinds[kind], len) == 0) {
            plan.kind = (enum kind)kind;
            plan.at = (unsigned)strtoul(fault + len, NULL, 10);
        }
    }
    plan.below = getenv("XB_FAULT_BELOW");
    plan.below_len = plan.below ? strlen(plan.below) : 0;
    plan.clock_off = clock_off ? strtol(clock_off, NULL, 10) : 0;
    if (log) {
        plan.log = (int)syscall(SYS_openat, AT_FDCWD, log,
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static bool is_below(const char *path)
{
    return strncmp(path, plan.below, plan.below_len) == 0 &&
           (path[plan.below_len] == '/' || path[plan.below_len] == '\0');
}

/* Whether `path` under `fd`, or `fd` itself, is where changes count. */
static bool counts(int fd, const char *path)
{
    char name[64];
    char target[PATH_MAX];
    if (!plan.below) {
        return false;
    }
    if (path && path[0] == '/') {
        return is_below(path);
    }
    if (fd == AT_FDCWD) {
        snprintf(name, sizeof name, "/proc/self/cwd");
    } else {
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    }
    ssize_t len = readlink(name, target, sizeof target - 1);
    if (len < 0) {
        return false;
    }
    target[len] = '\0';
    return is_below(target);
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    (void)pause();
}

/* Something else happens meanwhile. */
static void run_command(void)
{
    const char *command = getenv("XB_FAULT_COMMAND");
    (void)unsetenv("LD_PRELOAD");
    if (!command || system(command) != 0) {
        die();
    }
}

/* Counts a change. True if it must not happen: errno says why. `ret_torn` (of a write): whether a
 * part of it happens before the fault. */
static bool fails(const char *what, int fd, const char *path, bool *ret_torn)
{
    int before = errno;
    if (!counts(fd, path)) {
        errno = before;
        return false;
    }
    unsigned at = atomic_fetch_add(&changes, 1) + 1;
    if (plan.log >= 0) {
        char line[300];
        int len = snprintf(line, sizeof line, "%u %s %.200s\n", at, what, path ? path : "");
        (void)syscall(SYS_write, plan.log, line, (size_t)len);
    }
    if (plan.kind == RUN && at == plan.at) {
        run_command();
    }
    errno = before;
    if (plan.kind == NONE || plan.kind >= UNREADABLE || at < plan.at) {
        return false;
    }
    bool first = at == plan.at;
    if (ret_torn && first && plan.kind != BROKEN) {
        *ret_torn = true;
        return false;
    }
    if (plan.kind == KILL) {
        die();
    }
    errno = plan.kind == BROKEN ? EIO : ENOSPC;
    return true;
}

/* ---- what a full disk hinders ---- */

ssize_t write(int fd, const void *data, size_t len)
{
    bool torn = false;
    if (fails("write", fd, NULL, &torn)) {
        return -1;
    }
    ssize_t done = syscall(SYS_write, fd, data, torn ? (len + 1) / 2 : len);
    if (torn && plan.kind == KILL) {
        die();
    }
    return done;
}

/* Torn, it writes the parts up to the middle of all of them. */
static ssize_t write_half(int fd, const struct iovec *parts, int count)
{
    size_t left = 0;
    ssize_t done = 0;
    for (int i = 0; i < count; i++) {
        left += parts[i].iov_len;
    }
    left = (left + 1) / 2;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
        ssize_t put = syscall(SYS_write, fd, parts[i].iov_base, len);
        if (put != (ssize_t)len) {
            return done > 0 ? done : put;
        }
        done += put;
        left -= len;
    }
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    bool torn = false;
    if (fails("writev", fd, NULL, &torn)) {
        return -1;
    }
    ssize_t done = torn ? write_half(fd, parts, count) : syscall(SYS_writev, fd, parts, count);
    if (torn && plan.kind == KILL) {
        die();
    }
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    bool torn = false;
    if (fails("pwrite", fd, NULL, &torn)) {
        return -1;
    }
    ssize_t done = syscall(SYS_pwrite64, fd, data, torn ? (len + 1) / 2 : len, offset);
    if (torn && plan.kind == KILL) {
        die();
    }
    return done;
}

int fsync(int fd)
{
    return fails("fsync", fd, NULL, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
    return fails("syncfs", fd, NULL, NULL) ? -1 : (int)syscall(SYS_syncfs, fd);
}

static int open_at(int fd, const char *path, int flags, mode_t mode)
{
    /* Opening changes something only where it may make a file, or empties one. */
    bool makes = flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE;
    if (makes && fails("open", fd, path, NULL)) {
        return -1;
    }
    return (int)syscall(SYS_openat, fd, path, flags, mode);
}

int openat64(int fd, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    bool has_mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = has_mode ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(fd, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    bool has_mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = has_mode ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_at(AT_FDCWD, path, flags, mode);
}

int mkdirat(int fd, const char *path, mode_t mode)
{
    return fails("mkdir", fd, path, NULL) ? -1 : (int)syscall(SYS_mkdirat, fd, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int renameat2(int from_fd, const char *from, int fd, const char *path, unsigned flags)
{
    return fails("rename", fd, path, NULL)
               ? -1
               : (int)syscall(SYS_renameat2, from_fd, from, fd, path, flags);
}

int renameat(int from_fd, const char *from, int fd, const char *path)
{
    return renameat2(from_fd, from, fd, path, 0);
}

int linkat(int from_fd, const char *from, int fd, const char *path, int flags)
{
    return fails("link", fd, path, NULL) ? -1
                                         : (int)syscall(SYS_linkat, from_fd, from, fd, path, flags);
}

int symlinkat(const char *target, int fd, const char *path)
{
    return fails("symlink", fd, path, NULL) ? -1 : (int)syscall(SYS_symlinkat, target, fd, path);
}

int mknodat(int fd, const char *path, mode_t mode, dev_t device)
{
    return fails("mknod", fd, path, NULL) ? -1 : (int)syscall(SYS_mknodat, fd, path, mode, device);
}

/* ---- what it does not ---- */

/* A full disk lets these through: only the process dies, or the disk breaks. */
static bool fails_unless_full(const char *what, int fd, const char *path)
{
    bool let_through = false;
    if (plan.kind == FULL) {
        (void)fails(what, fd, path, &let_through);
        return false;
    }
    return fails(what, fd, path, NULL);
}

int unlinkat(int fd, const char *path, int flags)
{
    return fails_unless_full("unlink", fd, path) ? -1 : (int)syscall(SYS_unlinkat, fd, path, flags);
}

int ftruncate64(int fd, off64_t size)
{
    return fails_unless_full("ftruncate", fd, NULL) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

/* ---- reading ---- */

/* Clones, and snapshots made and removed. */
int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    bool change = request == FICLONE || request == FICLONERANGE ||
                  request == BTRFS_IOC_SNAP_CREATE_V2 || request == BTRFS_IOC_SNAP_DESTROY;
    if (change && fails("ioctl", fd, NULL, NULL)) {
        return -1;
    }
    return (int)syscall(SYS_ioctl, fd, request, argument);
}

ssize_t pread64(int fd, void *data, size_t len, off64_t offset)
{
    int before = errno;
    off64_t bad = (off64_t)plan.at;
    if (plan.kind == UNREADABLE && offset <= bad && (size_t)(bad - offset) < len &&
        counts(fd, NULL)) {
        errno = EIO;
        return -1;
    }
    if (plan.kind == SLOW && counts(fd, NULL)) {
        (void)usleep(plan.at * 1000);
    }
    errno = before;
    return syscall(SYS_pread64, fd, data, len, offset);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int r = (int)syscall(SYS_clock_gettime, id, ret);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ret->tv_sec += plan.clock_off;
    }
    return r;
}

time_t time(time_t *ret)
{
    struct timespec now = {.tv_sec = 0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret) {
        *ret = now.tv_sec;
    }
    return now.tv_sec;
}
