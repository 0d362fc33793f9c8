/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running backup from within; for the files of this folder only.
 *
 * What for:  walk.c goes through folders, frame.c collects their entries, read_*.c and file.c
 *            read files, known.c takes over what parents have (merge.c where that is too large to
 *            be held), attributes.c turns what the file
 *            system says into an entry, checkpoint.c keeps what is done so far, estimate.c counts
 *            ahead.
 * Threads:   the workers, which list folders and read files, and the keeper share struct backup;
 *            `lock` guards the result, the first failure, the list of frames and their counts.
 * Locks:     `deep`, then a lane's, then a frame's, then the backup's. The queue's and a large
 *            file's are taken alone.
 */
#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include "agent/freeze/listing.h"
#include "agent/pipeline/backup.h"
#include "agent/uring/reader.h"

enum { XB_LANES_MAX = 16 };

/* What a worker needs to read a file; as many as there are workers. */
struct lane {
    struct backup *backup;
    struct xb_reader *reader;
    struct xb_object_writer *writer, *part_writer;
    struct xb_object_batch *batch;
    bool taken; /* under the backup's lock */

    pthread_mutex_t lock; /* for what follows: the file under way, for checkpoints */
    struct frame *frame;  /* NULL: none */
    const char *name;
    struct stat st;
};

/* Files that wait for a worker, and large ones that workers may help with. */
struct read_queue {
    pthread_mutex_t lock;
    struct job *first, *last;
    size_t count;
    unsigned runners; /* workers that read, or were called to */
    struct file_read *open;
};

struct backup {
    struct xb_repository *repository;
    const struct xb_backup_options *options;
    int root_fd;                       /* of the folder or of its copy */
    const struct xb_listing *recorded; /* NULL: names and attributes are the folder's */
    int64_t taken_ns;                  /* wall time of the copy; 0: the folder itself is read */
    dev_t root_device;
    struct xb_workers *workers;
    struct lane lanes[XB_LANES_MAX];
    unsigned lane_count;
    struct xb_budget *budget;
    size_t small_bytes; /* files up to this are one content, whatever they hold */
    struct read_queue queue;

    atomic_uint folders_offered; /* waiting for a worker */
    atomic_size_t frame_count;   /* each has a descriptor */
    atomic_size_t before_bytes;  /* of the parents' folders that are held */
    size_t frame_limit;          /* at that many only one worker goes deeper */
    pthread_mutex_t deep;        /* which one */

    pthread_mutex_t lock;
    pthread_cond_t changed; /* by the monotonic clock */
    struct frame *frames;   /* all that are under way */
    struct xb_backup_result result;
    struct xb_error failure; /* the first that ends the backup */
    atomic_bool done;
    atomic_bool stop; /* after a failure: no more reading */

    atomic_uint_least64_t bytes_done, files_done, bytes_total, files_total, bytes_new;
};

/* Ends the backup with this error, unless one came before. */
void xb_backup_fail(struct backup *backup, const struct xb_error *err);
bool xb_backup_stopped(const struct backup *backup);

/* Lists a message of the result; what is too much is only counted. `lock` is taken. */
void xb_backup_note(struct backup *backup, const char *path, const char *text);

/* Fills everything of an entry that comes from the file system, but for object and size of data.
 * fd is the open file or folder, or -1: then folder_fd and name say where it is. */
struct xb_attribute_source {
    int fd, folder_fd;
    const char *name;
    const struct stat *st;
    const struct xb_listing_entry *recorded; /* not NULL: ask it, not the file system */
    const struct backup *backup;
};
int xb_entry_from_file(const struct xb_attribute_source *source, struct xb_entry *ret,
                       struct xb_error *err) XB_MUST_CHECK;

/* Reads an open regular file into an object, and its holes into the entry; with every worker that
 * finds nothing else to do. */
int xb_backup_read_file(struct backup *backup, struct lane *lane, int fd, struct xb_entry *entry,
                        struct xb_error *err) XB_MUST_CHECK;

/* The holes of an open regular file whose bytes are not read. */
int xb_backup_find_holes(int fd, const struct stat *st, struct xb_entry *entry,
                         struct xb_error *err) XB_MUST_CHECK;

void *xb_backup_estimate(void *backup); /* a thread */
void *xb_backup_keeper(void *backup);   /* a thread: flushes and checkpoints */

/* Waits until `done`, or for so long. `lock` is held. */
void xb_backup_wait(struct backup *backup, unsigned ms);

static inline int64_t xb_timespec_ns(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
}
