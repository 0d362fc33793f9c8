/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running restore from within; for the files of this folder only.
 *
 * What for:  walk.c goes through the snapshot's folders, frame.c makes the target's, extra.c tells
 *            what else is there, window.c collects what files need and has it fetched (fetch.c) or
 *            compared (compare.c), order.c says which comes first, queue.c who writes into a file,
 *            file.c makes one, write.c links and special files, attributes.c sets owners, modes,
 *            times and extended attributes, links.c remembers hard links, report.c what became of
 *            everything.
 * Threads:   one thread walks. `lock` guards the result, the first failure, the counts of frames,
 *            files and windows, and the budget.
 */
#pragma once

#include <pthread.h>
#include <sys/stat.h>

#include "agent/restore/holes.h"
#include "agent/restore/memory.h"
#include "agent/restore/plan.h"
#include "agent/restore/restore.h"

enum { XB_RESTORE_WINDOWS = 3, XB_RESTORE_SCRATCH_MAX = 64, XB_RESTORE_LOAD_PIECES_MAX = 64 };

struct xb_links;

/* What a new file gets of a folder by itself. */
struct birth {
    bool known; /* else nothing below counts */
    uid_t uid;
    gid_t gid;
    mode_t mask; /* bits of its mode that it may not get, though they were asked for */
};

/* A folder of the target. Its attributes are set when its last entry is in place. */
struct frame {
    struct restore *restore;
    struct frame *parent;
    int fd;                /* -1 in a dry run that would make it */
    bool made;             /* by us: nothing can be in it yet */
    struct birth birth;    /* known only if it was made */
    char *path;            /* from the root, for messages and links */
    struct xb_entry entry; /* its own; name NULL: attributes are not set */
    size_t waiting;
    uint64_t window; /* the last that has something in it */
    /* Where the walk is in it (NULL: it is not), and what the cursors above hold. */
    struct xb_directory_cursor *cursor;
    size_t held;
};

/* A regular file under way. */
struct file {
    struct frame *frame;
    struct xb_entry entry;
    uint64_t number;     /* for its temporary name */
    int fd;              /* the new file; -1: not made yet */
    bool nameless;       /* it has no name yet, not even a temporary one */
    mode_t born;         /* its mode, if that is right already; else 0 */
    int existing;        /* the old file; -1: not open */
    bool existed;        /* something is to be replaced */
    bool candidate;      /* the old file may hold chunks that are right */
    bool stays;          /* and it stays if all of them are */
    bool differs;        /* they are not */
    bool several;        /* it has more than one row */
    size_t waiting;      /* rows, and the planner */
    bool busy;           /* somebody writes into it, if it has several rows */
    struct piece *queue; /* what he will write next */
    struct piece *queue_last;
    uint64_t kept; /* bytes that came from the old file */
    atomic_bool failed;
    struct xb_error *failure; /* why; NULL without memory for it */
};

/* A second name of a file that is not there yet. */
struct later {
    struct frame *frame;
    struct xb_entry entry;
};

struct window_job {
    struct window *window;
    size_t first, count; /* rows to take; or `first` is a range, but order.c says who gets which */
    bool take;
    struct file *file; /* order.c's own */
};

/* Ranges of one large file, or of all small ones. */
struct lane {
    struct file *file; /* there while next < end; NULL: small ones */
    size_t next, end;  /* in the window's jobs */
    unsigned active;   /* who is at it */
};

/* A row whose bytes are there. */
struct piece {
    struct piece *next;
    const struct xb_plan_row *row;
    const char *data;
    struct load *load; /* that `data` lies in; NULL: somebody waits for `done` */
    bool done;
};

/* What is fetched together. */
struct window {
    struct restore *restore;
    struct xb_plan plan;
    struct window_job *jobs;
    struct lane *lanes;
    size_t lane_count;
    size_t running; /* jobs that have not ended */
    size_t folders, open_files;
    struct later *later;
    size_t later_count, later_cap;
};

/* Buffers that are used again. */
struct scratch {
    struct xb_buf sealed, plain;
};

/* What one job has read; it is there until its last piece has been written. */
struct load {
    struct window *window;
    struct scratch scratch;
    uint64_t bytes; /* of memory */
    unsigned holds; /* whoever reads it, and the pieces; guarded by the restore's lock */
    struct piece pieces[XB_RESTORE_LOAD_PIECES_MAX];
    size_t piece_count;
};

struct restore {
    struct xb_repository *repository;
    const struct xb_restore_options *options;
    struct xb_workers *workers;
    struct xb_links *links;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* done */
    pthread_cond_t idle;    /* a job, or a piece for whom somebody waits, has ended */
    struct xb_restore_result result;
    struct xb_error failure;
    atomic_bool stop, done;
    atomic_uint_least64_t bytes_done, files_done;
    uint64_t bytes_total, files_total;

    struct window windows[XB_RESTORE_WINDOWS]; /* a ring; the one at `sequence` is being planned */
    uint64_t sequence;
    struct later *ready; /* links whose first name is there now */
    size_t ready_count, ready_cap;
    size_t comparing; /* jobs */
    struct xb_restore_memory memory;
    struct scratch scratch[XB_RESTORE_SCRATCH_MAX];
    size_t scratch_count;
    uint64_t file_number;
    char token[17];       /* of this restore's temporary names */
    mode_t umask;         /* of the process */
    atomic_bool nameless; /* the target can have files without a name */
};

/* ---- restore.c ---- */

void xb_restore_fail(struct restore *restore, const struct xb_error *err);
void xb_restore_fail_memory(struct restore *restore);
bool xb_restore_stopped(const struct restore *restore);
unsigned xb_restore_threads(const struct restore *restore);

/* ---- report.c ---- */

/* The target's own troubles end the restore; an entry's only concern the entry, which is counted,
 * and listed. */
void xb_restore_entry_failed(struct frame *frame, const char *name, struct xb_error *err);
void xb_restore_note_failure(struct restore *restore, const struct frame *frame, const char *name,
                             const struct xb_error *why);
void xb_restore_note_skip(struct restore *restore, const struct frame *frame, const char *name,
                          const char *text);
void xb_restore_note_extra(const struct frame *frame, const char *name);
/* Counts an entry that is in place. */
void xb_restore_note_done(const struct frame *frame, const char *name,
                          enum xb_restore_action action);
/* One request to the store for data. */
void xb_restore_count_read(struct restore *restore, uint64_t bytes);
void xb_restore_count(struct restore *restore, uint64_t *counter, uint64_t amount);
char *xb_restore_path(const struct frame *frame, const char *name); /* NULL: no memory */

/* ---- frame.c: folders of the target ---- */

/* Takes fd and the entry's content over, also on failure (NULL: no memory). */
struct frame *xb_restore_frame_new(struct restore *restore, struct frame *parent, int fd,
                                   struct xb_entry *entry);
/* Whether it was made, and what that means for what will be in it. */
void xb_restore_frame_born(struct frame *frame, enum xb_restore_action action);
/* Opens a folder in it without following a link; -1 and errno. */
int xb_restore_folder_open(const struct frame *frame, const char *name);
/* The folder below `frame`, made if it is not there. What is no folder gives way. A dry run only
 * says what would be done; *ret_fd may then be -1. */
int xb_restore_folder_make(const struct frame *frame, const char *name, int *ret_fd,
                           enum xb_restore_action *ret_action, struct xb_error *err) XB_MUST_CHECK;
/* All bits if nobody tells. */
mode_t xb_restore_umask(void);

void xb_restore_frame_hold(struct frame *frame);
void xb_restore_frame_release(struct frame *frame);

/* ---- extra.c ---- */

/* Notes what is in the folder and not in the snapshot, before anything is made in it; what a
 * restore that was killed was writing goes. What cannot be listed can still be restored into; what
 * cannot be read of the snapshot is told when it is restored. */
void xb_restore_look_for_extra(const struct frame *frame);

/* ---- window.c ---- */

void xb_restore_window_begin(struct restore *restore);
struct window *xb_restore_window_planned(struct restore *restore);
/* Starts what the window that is being planned needs; the next one takes its place. */
void xb_restore_window_launch(struct restore *restore);
/* Returns when everything that was planned has ended. */
void xb_restore_window_drain(struct restore *restore);
void xb_restore_window_free(struct restore *restore);
/* Buffers for a job that will need about `bytes` of memory; waits until so much may be used. */
struct scratch xb_restore_take_memory(struct restore *restore, uint64_t bytes);
void xb_restore_give_memory(struct restore *restore, uint64_t bytes, struct scratch *scratch);

/* A job of the window has ended. */
void xb_restore_window_job_ended(struct window *window);

/* ---- order.c ---- */

/* False: no memory. */
bool xb_restore_order_ranges(struct window *window);
/* For one job of a range each. */
struct lane *xb_restore_take_range(struct window *window, const struct xb_plan_range **ret_range);
void xb_restore_leave_lane(struct window *window, struct lane *lane);

/* ---- queue.c ---- */

/* The memory of a job, whose end its last release is; NULL: no memory. */
struct load *xb_restore_load_new(struct window *window, uint64_t bytes);
void xb_restore_load_release(struct load *load);
/* Writes a row, and what others have left there; or leaves it to whoever writes into that file now.
 * load: `data` lies in it and stays there; NULL: the row is written on return. */
void xb_restore_write_row(struct load *load, const struct xb_plan_row *row, const char *data);

/* ---- file.c ---- */

/* Plans a regular file; takes the entry's content over. Returns in which window it will end. */
uint64_t xb_restore_file_plan(struct frame *frame, struct xb_entry *entry);
/* Opens the new file. */
int xb_restore_file_make(struct file *file, struct xb_error *err) XB_MUST_CHECK;
/* Writes bytes, leaving out what are holes. */
int xb_restore_file_write(struct file *file, uint64_t offset, const char *data, size_t len,
                          struct xb_error *err) XB_MUST_CHECK;
/* Gives the file that stays the holes that it should have; `data` are its bytes. */
void xb_restore_file_punch(const struct file *file, uint64_t offset, const char *data, size_t len);
/* Adds the next rows of the file, at most XB_PLAN_ROWS_MAX; *ret_more: there are more. */
int xb_restore_file_gather(struct file *file, struct xb_object_pieces *pieces, struct xb_plan *plan,
                           bool *ret_more, struct xb_error *err) XB_MUST_CHECK;
/* Remembers why it cannot be made. */
void xb_restore_file_fail(struct file *file, const struct xb_error *why);
/* A row has ended, well or with `why` (NULL: well). The last one finishes the file. */
void xb_restore_file_row_done(struct file *file, uint64_t bytes, const struct xb_error *why);

/* ---- compare.c ---- */

/* Opens the file that is there; clears `stays` if it has become another one. */
bool xb_restore_file_open_existing(struct file *file);
void xb_restore_file_close_existing(struct file *file);
/* Compares the candidates' rows with the files that are there, on the workers, and sets the source
 * of each: NONE if it is right. A file of one row that is right is finished, and its row's owner is
 * then NULL. Returns when all have been. */
void xb_restore_compare_rows(struct restore *restore, struct xb_plan *plan);
/* Whether the whole of a file with many rows is right. */
int xb_restore_compare_file(struct restore *restore, struct file *file, bool *ret_same,
                            struct xb_error *err) XB_MUST_CHECK;
/* Reads the row's bytes from the old file; false if they are not right (any more). */
bool xb_restore_take_row(const struct xb_plan_row *row, struct xb_buf *plain);
/* Whether a file that is there with these properties may be left in place if its bytes are right.
 */
bool xb_restore_file_may_stay(const struct file *file, const struct stat *st);

/* ---- fetch.c ---- */

/* A job of the window: whichever range is next. */
void xb_restore_fetch_range(struct window *window);
/* From the old file if its bytes are right, else from the store. */
void xb_restore_fetch_take(struct restore *restore, const struct xb_plan *plan, size_t first,
                           size_t count);
/* Whether anybody still waits for it. */
bool xb_restore_wanted(const struct xb_plan_row *row);

/* ---- write.c ---- */

/* Makes a link or special file, with its attributes, in place of what was there. */
int xb_restore_write_link(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, enum xb_restore_action *ret_action,
                          struct xb_error *err) XB_MUST_CHECK;
int xb_restore_write_node(struct restore *restore, const struct frame *frame,
                          const struct xb_entry *entry, enum xb_restore_action *ret_action,
                          struct xb_error *err) XB_MUST_CHECK;

/* What stands at a name; a folder is a CONFLICT. */
int xb_restore_look(const struct frame *frame, const char *name, bool *ret_exists, struct stat *ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* Removes what stands at the name, unless it is a folder (CONFLICT). */
int xb_restore_clear(const struct frame *frame, const char *name,
                     struct xb_error *err) XB_MUST_CHECK;

/* Owner, attributes, mode, times. fd: the open file or folder, or -1: then a link or node that is
 * named by folder and name. What cannot be set is noted; only the first failure counts. */
struct xb_restore_place {
    int fd;
    const struct frame *frame; /* the folder it is in */
    bool existed;              /* it may have attributes that it should not have */
    struct birth birth;        /* if known: who owns it now */
    mode_t mode;               /* as it is now, if that is known; else 0 */
};
void xb_restore_attributes(struct restore *restore, const struct xb_restore_place *place,
                           const struct xb_entry *entry);

/* ---- links.c: where the first name of each hard link was restored; from any thread ---- */

struct xb_link_first {
    const char *path; /* until another one is looked for */
    uint64_t window;  /* it is there when this one has ended */
};
int xb_links_new(struct xb_links **ret, struct xb_error *err) XB_MUST_CHECK;
/* False: there is none, or it could not be made. */
bool xb_links_find(struct xb_links *links, const char *id, struct xb_link_first *ret);
/* The path is the first one from now on. */
void xb_links_begin(struct xb_links *links, const char *id, const char *path);
void xb_links_planned(struct xb_links *links, const char *id, uint64_t window);
void xb_links_failed(struct xb_links *links, const char *id);
void xb_links_free(struct xb_links *links);
