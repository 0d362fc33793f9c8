/* SPDX-License-Identifier: Apache-2.0
 * Counts ahead of the backup, so that progress has an end. Best effort: what it cannot see it does
 * not count, and nothing depends on it. So it takes little of the time of those who back up: a
 * tenth of a CPU where none is idle. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/pipeline/walk.h"

enum { NICENESS = 10 };

static void count_folder(struct backup *backup, int fd, unsigned depth);

static void count_name(struct backup *backup, int folder, const char *name, unsigned depth)
{
    struct stat st;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return;
    }
    if (S_ISREG(st.st_mode)) {
        atomic_fetch_add(&backup->bytes_total, (uint64_t)st.st_size);
        atomic_fetch_add(&backup->files_total, 1);
    } else if (S_ISDIR(st.st_mode) && depth < XB_BACKUP_DEPTH_MAX) {
        int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0) {
            count_folder(backup, fd, depth + 1);
        }
    }
}

/* Takes the descriptor over. */
static void count_folder(struct backup *backup, int fd, unsigned depth)
{
    XB_CLEANUP(xb_closedirp) DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    const struct dirent *entry = NULL;
    while (!xb_backup_stopped(backup) && !backup->done && (entry = readdir(dir))) {
        if (xb_walk_takes(entry->d_name, entry->d_type)) {
            count_name(backup, dirfd(dir), entry->d_name, depth);
        }
    }
}

void *xb_backup_estimate(void *context)
{
    struct backup *backup = context;
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS); /* of this thread only */
    int fd = openat(backup->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        count_folder(backup, fd, 0);
    }
    return NULL;
}
