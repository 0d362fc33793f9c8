/* SPDX-License-Identifier: Apache-2.0
 * Small files, many at once: each is one content, they lie side by side in a few blocks, and are
 * hashed, looked up and stored together. Plain calls read them: for a file of a few KiB the ring
 * would cost more than it saves. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/read_internal.h"

enum { BLOCKS = 4, FILES_MAX = 64 };

/* A file whose bytes are in memory. */
struct small {
    struct job *job;
    struct xb_entry entry;
    struct iovec part;
};

struct smalls {
    struct backup *backup;
    struct xb_budget_share share;
    struct xb_block *blocks[BLOCKS];
    size_t block_count, used; /* of the last one */
    struct small files[FILES_MAX];
    struct xb_content_job contents[FILES_MAX];
    size_t count;
};

bool xb_read_is_small(const struct backup *backup, const struct stat *st)
{
    return st->st_size >= 0 && (uint64_t)st->st_size <= backup->small_bytes && !xb_read_sparse(st);
}

/* ---- storing ---- */

static void name_content(struct smalls *all, size_t i)
{
    const struct xb_content_write_result *result = &all->contents[i].result;
    struct small *file = &all->files[i];
    const struct xb_object_stats stats = {.bytes = file->part.iov_len,
                                          .new_bytes = result->existed ? 0 : file->part.iov_len,
                                          .stored_bytes = result->packed_bytes};
    xb_content_id_format(&result->id, file->entry.object.text);
    xb_read_count(all->backup, &stats);
    xb_read_settle(file->job, &file->entry);
}

/* Stores what was read, and empties the blocks. */
static void store(struct smalls *all)
{
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < all->count; i++) {
        all->contents[i] =
            (struct xb_content_job){.parts = &all->files[i].part,
                                    .part_count = 1,
                                    .in_place = true,
                                    .compression = all->backup->options->compression};
    }
    int r = xb_content_write_many(all->backup->repository, all->contents, all->count, &err);
    for (size_t i = 0; i < all->count; i++) {
        if (r == 0) {
            name_content(all, i);
        } else {
            xb_entry_free(&all->files[i].entry);
            xb_read_fail(all->files[i].job, &err);
        }
        xb_read_end(all->files[i].job);
    }
    all->count = 0;
    for (size_t i = 0; i < all->block_count; i++) {
        xb_block_unref(all->blocks[i]);
    }
    all->block_count = 0;
}

/* ---- reading ---- */

/* Room for so many bytes in one piece. The share's floor is all blocks: nobody is waited for. */
static int find_room(struct smalls *all, size_t len, unsigned char **ret, struct xb_error *err)
{
    if (all->block_count > 0 && len <= (size_t)XB_BLOCK_BYTES - all->used) {
        *ret = all->blocks[all->block_count - 1]->data + all->used;
        return 0;
    }
    if (all->block_count == BLOCKS) {
        store(all);
    }
    int r = xb_block_wait(&all->share, &all->blocks[all->block_count], err);
    if (r == 0) {
        *ret = all->blocks[all->block_count++]->data;
        all->used = 0;
    }
    return r;
}

static int read_bytes(int fd, unsigned char *data, size_t len, size_t *ret_got,
                      struct xb_error *err)
{
    size_t got = 0;
    while (got < len) {
        ssize_t more = TEMP_FAILURE_RETRY(pread(fd, data + got, len - got, (off_t)got));
        if (more < 0) {
            return xb_error_errno(err, errno, "reading at offset %zu", got);
        }
        if (more == 0) {
            break;
        }
        got += (size_t)more;
    }
    *ret_got = got;
    return 0;
}

/* One reading; *ret_after is the state of the file after it. */
static int read_once(struct smalls *all, struct small *file, int fd, const struct stat *before,
                     struct stat *ret_after, struct xb_error *err)
{
    unsigned char *data = NULL;
    size_t got = 0;
    int r = find_room(all, (size_t)before->st_size, &data, err);
    if (r == 0) {
        r = read_bytes(fd, data, (size_t)before->st_size, &got, err);
    }
    if (r == 0) {
        r = xb_read_state(file->job, fd, ret_after, err);
    }
    if (r == 0) {
        r = xb_read_attributes(file->job, fd, before, &file->entry, err);
    }
    file->part = (struct iovec){data, got};
    file->entry.size = got;
    return r;
}

/* *ret_grown: it is not small any more. */
static int read_at_rest(struct smalls *all, struct small *file, int fd, struct stat *st,
                        bool *ret_grown, struct xb_error *err)
{
    for (unsigned try = 0; xb_read_is_small(all->backup, st); try++) {
        struct stat after;
        int r = read_once(all, file, fd, st, &after, err);
        if (r < 0 || xb_read_same_state(st, &after)) {
            return r;
        }
        if (try == XB_REREADS_MAX) {
            xb_read_note_change(file->job, &file->entry);
            return 0;
        }
        xb_entry_free(&file->entry);
        *st = after;
    }
    *ret_grown = true;
    return 0;
}

/* Takes the job unless it is handed back in *ret_large. */
static void read_one(struct smalls *all, struct job *job, struct job **ret_large)
{
    struct stat st;
    struct xb_error err = XB_ERROR_INIT;
    struct small file = {.job = job};
    bool grown = false;
    XB_CLEANUP(xb_closep) int fd = xb_read_open(job, &st);
    if (fd < 0) {
        xb_read_end(job);
        return;
    }
    int r = read_at_rest(all, &file, fd, &st, &grown, &err);
    if (grown) {
        job->next = *ret_large;
        *ret_large = job;
        return;
    }
    if (r < 0) {
        xb_entry_free(&file.entry);
        xb_read_fail(job, &err);
        xb_read_end(job);
        return;
    }
    all->used += file.part.iov_len;
    atomic_fetch_add(&all->backup->bytes_done, file.part.iov_len);
    all->files[all->count++] = file;
}

void xb_read_small(struct lane *lane, struct job *list, struct job **ret_large)
{
    struct smalls all = {.backup = lane->backup};
    *ret_large = NULL;
    xb_budget_join(lane->backup->budget, (size_t)BLOCKS * XB_BLOCK_BYTES, &all.share);
    while (list) {
        struct job *next = list->next;
        list->next = NULL;
        if (all.count == FILES_MAX) {
            store(&all);
        }
        if (xb_backup_stopped(lane->backup)) {
            xb_read_end(list);
        } else {
            read_one(&all, list, ret_large);
        }
        list = next;
    }
    store(&all);
    xb_budget_leave(&all.share);
}
