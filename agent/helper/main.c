/* SPDX-License-Identifier: Apache-2.0
 *
 * velero-restore-helper: the init container of a restored pod. It waits until the data of every
 * volume is back, which the agent shows by the file <volume>/.velero/<restore UID>, then takes the
 * .velero folders away and lets the pod start.
 *
 * The volumes are mounted at /restores/<name>. What is in them came out of a backup and may be
 * written to by others right now, so it is hostile: every step opens one name below a descriptor,
 * no link is followed, and the walk has limits. The restore UID did not exist when the backup was
 * made, so a marker with that name cannot have been planted in it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/base/log.h"

#define RESTORES_DIR "/restores"
#define MARKER_DIR ".velero"

enum {
    UID_BYTES_MAX = 63,
    VOLUMES_MAX = 1024,
    REMOVE_DEPTH_MAX = 32,
    REMOVE_ENTRIES_MAX = 100000,
    EXIT_USAGE = 2,
    EXIT_BY_SIGNAL = 128
};

struct volume {
    char name[NAME_MAX + 1];
    bool looked;
    int state; /* 0: the marker is there; else the errno of the last look, ENOENT while waiting */
};

struct volumes {
    struct volume items[VOLUMES_MAX];
    size_t count;
};

/* Kubernetes' UIDs are of hex digits and dashes; letters in general do no harm in a file name. */
static bool uid_valid(const char *uid)
{
    size_t len = strlen(uid);
    if (len == 0 || len > UID_BYTES_MAX || uid[0] == '-') {
        return false;
    }
    return strspn(uid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == len;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* One name below a descriptor, a folder and not a link. Returns a descriptor or -errno. */
static int open_folder(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* ---- looking ---- */

/* A name that cannot be looked at counts as a folder, that is as a volume to wait for: a mount that
 * answers with an error must not let the pod start without its data. */
static bool is_folder(int dir_fd, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode);
}

/* The mounts of a container are fixed when it starts, so one listing is enough. */
static int volumes_list(int root_fd, struct volumes *volumes, struct xb_error *err)
{
    int fd = open_folder(root_fd, ".");
    XB_CLEANUP(xb_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int code = fd < 0 ? -fd : errno;
        xb_closep(&fd);
        return xb_error_errno(err, code, "cannot list %s", RESTORES_DIR);
    }
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            return errno ? xb_error_errno(err, errno, "cannot list %s", RESTORES_DIR) : 0;
        }
        if (is_dot(entry->d_name) || !is_folder(root_fd, entry->d_name)) {
            continue;
        }
        if (volumes->count == VOLUMES_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d folders in %s",
                                (int)VOLUMES_MAX, RESTORES_DIR);
        }
        struct volume *volume = &volumes->items[volumes->count++];
        snprintf(volume->name, sizeof volume->name, "%s", entry->d_name);
    }
}

/* 0 if the volume has its marker, else the errno that says why not. */
static int volume_look(int root_fd, const char *name, const char *uid)
{
    XB_CLEANUP(xb_closep) int volume_fd = open_folder(root_fd, name);
    if (volume_fd < 0) {
        return -volume_fd;
    }
    XB_CLEANUP(xb_closep) int marker_fd = open_folder(volume_fd, MARKER_DIR);
    if (marker_fd < 0) {
        return -marker_fd;
    }
    struct stat st;
    if (fstatat(marker_fd, uid, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno;
    }
    return S_ISREG(st.st_mode) ? 0 : EINVAL;
}

static void volume_tell(const struct volume *volume)
{
    if (volume->state == 0) {
        xb_log_info("the data is back", "volume", volume->name);
    } else if (volume->state == ENOENT) {
        xb_log_info("waiting for the data", "volume", volume->name);
    } else if (volume->state == EINVAL) {
        xb_log_warning("the marker is not a plain file; waiting", "volume", volume->name);
    } else {
        xb_log_warning("cannot look into the volume; waiting", "volume", volume->name, "error",
                       strerror(volume->state));
    }
}

static bool volumes_ready(int root_fd, struct volumes *volumes, const char *uid)
{
    bool ready = true;
    for (size_t i = 0; i < volumes->count; i++) {
        struct volume *volume = &volumes->items[i];
        int state = volume_look(root_fd, volume->name, uid);
        if (!volume->looked || state != volume->state) {
            volume->looked = true;
            volume->state = state;
            volume_tell(volume);
        }
        ready = ready && state == 0;
    }
    return ready;
}

/* ---- removing ---- */

/* A walk down with one open folder per level: no paths, no recursion, bounded depth. */
struct removal {
    struct {
        DIR *dir;
        char name[NAME_MAX + 1];
    } levels[REMOVE_DEPTH_MAX];
    int depth;
    int entries_left;
};

static void removal_clear(struct removal *removal)
{
    while (removal->depth > 0) {
        closedir(removal->levels[--removal->depth].dir);
    }
}

/* Opens the folder `name` below dir_fd as the next level. 0 or -errno. */
static int removal_enter(struct removal *removal, int dir_fd, const char *name)
{
    if (removal->depth == REMOVE_DEPTH_MAX) {
        return -ELOOP;
    }
    int fd = open_folder(dir_fd, name);
    if (fd < 0) {
        return fd;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    removal->levels[removal->depth].dir = dir;
    snprintf(removal->levels[removal->depth].name, sizeof removal->levels[0].name, "%s", name);
    removal->depth++;
    return 0;
}

/* The deepest folder is empty: closes it and takes it away from its parent. */
static int removal_leave(struct removal *removal, int base_fd)
{
    removal->depth--;
    closedir(removal->levels[removal->depth].dir);
    int parent_fd = removal->depth > 0 ? dirfd(removal->levels[removal->depth - 1].dir) : base_fd;
    if (unlinkat(parent_fd, removal->levels[removal->depth].name, AT_REMOVEDIR) < 0 &&
        errno != ENOENT) {
        return -errno;
    }
    return 0;
}

/* Takes one entry of the deepest folder away, or enters it. */
static int removal_step(struct removal *removal, const char *name)
{
    if (removal->entries_left-- == 0) {
        return -E2BIG;
    }
    int fd = dirfd(removal->levels[removal->depth - 1].dir);
    if (unlinkat(fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    int code = errno;
    int r = removal_enter(removal, fd, name);
    return r == -ENOTDIR ? -code : r;
}

/* Removes the folder `name` below base_fd and all in it, without leaving it. 0 or -errno. */
static int remove_tree(struct removal *removal, int base_fd, const char *name)
{
    int r = removal_enter(removal, base_fd, name);
    while (r == 0 && removal->depth > 0) {
        errno = 0;
        struct dirent *entry = readdir(removal->levels[removal->depth - 1].dir);
        if (!entry) {
            r = errno ? -errno : removal_leave(removal, base_fd);
        } else if (!is_dot(entry->d_name)) {
            r = removal_step(removal, entry->d_name);
        }
    }
    return r;
}

/* What cannot be removed stays, with a warning: the data is back, and an application that never
 * starts would be worse than a left-over folder. */
static void volume_clean(int root_fd, const char *name)
{
    XB_CLEANUP(removal_clear) struct removal removal = {.entries_left = REMOVE_ENTRIES_MAX};
    XB_CLEANUP(xb_closep) int volume_fd = open_folder(root_fd, name);
    struct stat st;
    bool known = volume_fd >= 0 && fstat(volume_fd, &st) == 0;
    int r = volume_fd < 0 ? volume_fd : remove_tree(&removal, volume_fd, MARKER_DIR);
    if (known) {
        /* The folder's own time was restored, and the removal has just changed it. */
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
        (void)!futimens(volume_fd, times);
    }
    if (r < 0) {
        xb_log_warning("cannot remove the folder " MARKER_DIR "; it stays in the volume", "volume",
                       name, "error", strerror(-r));
    } else {
        xb_log_info("removed the folder " MARKER_DIR, "volume", name);
    }
}

/* ---- the program ---- */

/* As the container's first process this one ignores signals that it does not ask for, and a pod
 * that is deleted while it waits would linger for its whole grace period. The wait takes them. */
static int wait_or_signal(const sigset_t *signals)
{
    const struct timespec second = {.tv_sec = 1};
    int got = sigtimedwait(signals, NULL, &second);
    return got > 0 ? got : 0;
}

static int run(const char *uid, const sigset_t *signals, int *ret_signal, struct xb_error *err)
{
    struct volumes volumes = {.count = 0};
    XB_CLEANUP(xb_closep)
    int root_fd = open(RESTORES_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root_fd < 0) {
        return xb_error_errno(err, errno, "cannot open %s, where the pod's volumes should be",
                              RESTORES_DIR);
    }
    int r = volumes_list(root_fd, &volumes, err);
    if (r < 0) {
        return r;
    }
    if (volumes.count == 0) {
        xb_log_warning("no volume is mounted, nothing to wait for", "folder", RESTORES_DIR);
    }
    while (!volumes_ready(root_fd, &volumes, uid)) {
        *ret_signal = wait_or_signal(signals);
        if (*ret_signal) {
            return xb_error_set(err, XB_ERR_CANCELLED, -EINTR, "stopped by signal %d", *ret_signal);
        }
    }
    for (size_t i = 0; i < volumes.count; i++) {
        volume_clean(root_fd, volumes.items[i].name);
    }
    xb_log_info("all volumes are restored", "restore", uid);
    return 0;
}

int main(int argc, char **argv)
{
    xb_log_setup("velero-restore-helper", XB_LOG_INFO, XB_LOG_TEXT);
    if (argc != 2 || !uid_valid(argv[1])) {
        xb_log(XB_LOG_ERROR, "needs one argument, the restore's UID (letters, digits, dashes)",
               (char *)NULL);
        return EXIT_USAGE;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    struct xb_error err = XB_ERROR_INIT;
    int signal = 0;
    if (run(argv[1], &signals, &signal, &err) < 0) {
        xb_log_error(&err, "the restore was not waited for");
        return signal ? EXIT_BY_SIGNAL + signal : 1;
    }
    return 0;
}
