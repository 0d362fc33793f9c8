/* SPDX-License-Identifier: Apache-2.0
 *
 * read_internal.h - files on their way into the repository; for read_*.c, file*.c and holes.c
 * only.
 *
 * What for:  read_queue.c hands jobs to workers, read_small.c does many small files at once,
 *            read_job.c one large one, file.c its bytes, with every worker that has nothing else
 *            to do; file_source.c brings them.
 * Ownership: a job belongs to whoever took it out of the queue; xb_read_end frees it.
 */
#pragma once

#include "agent/pipeline/frame.h"

enum { XB_REREADS_MAX = 2 };

struct job {
    struct job *next;
    struct frame *frame;
    struct stat st; /* as the folder was listed */
    char name[];
};

/* Opens the file and looks at it. -1: there is nothing to read, and that is settled. */
int xb_read_open(struct job *job, struct stat *ret_st);
/* What the open file is now. A copy does not change: then it is what the original was. */
int xb_read_state(const struct job *job, int fd, struct stat *ret_st,
                  struct xb_error *err) XB_MUST_CHECK;
int xb_read_attributes(const struct job *job, int fd, const struct stat *st, struct xb_entry *ret,
                       struct xb_error *err) XB_MUST_CHECK;
bool xb_read_same_state(const struct stat *a, const struct stat *b);
bool xb_read_sparse(const struct stat *st);

/* It never was at rest: says so in messages, entry and counts. */
void xb_read_note_change(const struct job *job, struct xb_entry *entry);
/* What was read, stored and new. */
void xb_read_count(struct backup *backup, const struct xb_object_stats *stats);
void xb_read_settle(const struct job *job, struct xb_entry *entry); /* takes the entry over */
/* The file's failure, or the backup's. */
void xb_read_fail(const struct job *job, const struct xb_error *err);
void xb_read_end(struct job *job);

/* Small: one content whatever the bytes are, and one of many in a block. */
bool xb_read_is_small(const struct backup *backup, const struct stat *st);
/* Reads the whole list; what has grown meanwhile is handed back in *ret_large. */
void xb_read_small(struct lane *lane, struct job *list, struct job **ret_large);
void xb_read_large(struct lane *lane, struct job *job);

/* Holes (holes.c): one more of the entry's; where the next data begins and ends. */
int xb_read_add_hole(struct xb_entry *entry, uint64_t offset, uint64_t len,
                     struct xb_error *err) XB_MUST_CHECK;
void xb_read_next_data(int fd, uint64_t offset, uint64_t size, uint64_t *ret_start,
                       uint64_t *ret_end);

/* Reads a part of some large file that another worker has begun; false: there is none. */
bool xb_read_help(struct lane *lane);

/* For file.c: wakes workers that have nothing to do, to help. */
void xb_read_call_help(struct backup *backup);
