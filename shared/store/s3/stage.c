/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/stage.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/cleanup.h"
#include "shared/base/scratch.h"
#include "shared/store/s3/s3.h"

/* Of the process. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t sent;
    uint64_t limit, staged;
    unsigned sending;
    uint64_t sent_count;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .sent = PTHREAD_COND_INITIALIZER,
          .limit = XB_S3_STAGED_BYTES_MAX};

/* Blocks are kept while any upload has one: to get memory from the system costs as much as to fill
 * it. */
static struct {
    pthread_mutex_t lock;
    char *idle[XB_S3_STAGE_BLOCKS_MAX];
    size_t idle_count, taken, max;
} memory = {.lock = PTHREAD_MUTEX_INITIALIZER, .max = XB_S3_STAGE_BLOCKS_MAX};

void xb_store_s3_stage_memory(size_t bytes)
{
    size_t blocks = bytes / XB_S3_STAGE_BLOCK_BYTES;
    pthread_mutex_lock(&memory.lock);
    memory.max = blocks < XB_S3_STAGE_BLOCKS_MAX ? blocks : (size_t)XB_S3_STAGE_BLOCKS_MAX;
    pthread_mutex_unlock(&memory.lock);
}

/* NULL: there is none left. */
static char *take_block(void)
{
    char *block = NULL;
    pthread_mutex_lock(&memory.lock);
    if (memory.taken < memory.max) {
        block = memory.idle_count > 0 ? memory.idle[--memory.idle_count]
                                      : malloc(XB_S3_STAGE_BLOCK_BYTES);
        memory.taken += block ? 1 : 0;
    }
    pthread_mutex_unlock(&memory.lock);
    return block;
}

static void give_blocks(char **blocks, size_t count)
{
    pthread_mutex_lock(&memory.lock);
    for (size_t i = 0; i < count; i++) {
        memory.idle[memory.idle_count++] = blocks[i];
    }
    memory.taken -= count;
    while (memory.taken == 0 && memory.idle_count > 0) {
        free(memory.idle[--memory.idle_count]);
    }
    pthread_mutex_unlock(&memory.lock);
}

void xb_store_s3_stage_limit(uint64_t bytes)
{
    pthread_mutex_lock(&disk.lock);
    disk.limit = bytes ? bytes : XB_S3_STAGED_BYTES_MAX;
    pthread_mutex_unlock(&disk.lock);
}

int xb_s3_stage_open(const char *folder, struct xb_s3_stage *ret, struct xb_error *err)
{
    const char *in = folder;
    XB_CLEANUP(xb_closep)
    int fd = folder ? xb_scratch_file_in(folder, "an upload", err)
                    : xb_scratch_file("an upload", &in, err);
    if (fd < 0) {
        return fd;
    }
    char *kept = strdup(in);
    if (!kept) {
        return xb_error_no_memory(err, "an upload");
    }
    *ret = (struct xb_s3_stage){.folder = kept, .fd = XB_TAKE_FD(fd)};
    return 0;
}

/* Takes room for `len` bytes, waiting for those who will give some back. */
static void reserve(size_t len)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.sending > 0 && (disk.staged > disk.limit || len > disk.limit - disk.staged)) {
        pthread_cond_wait(&disk.sent, &disk.lock);
    }
    disk.staged += len;
    pthread_mutex_unlock(&disk.lock);
}

/* True when another upload has given its room back since *seen, or after it has; false when there
 * is nobody to wait for. */
static bool wait_for_room(uint64_t *seen)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.sending > 0 && disk.sent_count == *seen) {
        pthread_cond_wait(&disk.sent, &disk.lock);
    }
    bool room = disk.sent_count != *seen;
    *seen = disk.sent_count;
    pthread_mutex_unlock(&disk.lock);
    return room;
}

static uint64_t count_sent(void)
{
    pthread_mutex_lock(&disk.lock);
    uint64_t count = disk.sent_count;
    pthread_mutex_unlock(&disk.lock);
    return count;
}

static int write_at(struct xb_s3_stage *stage, const char *name, const void *data, size_t len,
                    struct xb_error *err)
{
    const char *next = data;
    uint64_t seen = count_sent();
    while (len > 0) {
        ssize_t put = pwrite(stage->fd, next, len, (off_t)stage->len);
        if (put >= 0) {
            next += put;
            len -= (size_t)put;
            stage->len += (size_t)put;
            stage->file_bytes += (size_t)put;
        } else if (errno == ENOSPC || errno == EDQUOT) {
            if (!wait_for_room(&seen)) {
                return xb_error_set(err, XB_ERR_FULL, -ENOSPC,
                                    "%.200s: no space left in %.200s, where uploads are staged: "
                                    "make room there, or "
                                    "set TMPDIR to a larger folder",
                                    name, stage->folder);
            }
        } else if (errno != EINTR) {
            return xb_error_errno(err, errno, "%.200s: cannot stage an upload in %.200s", name,
                                  stage->folder);
        }
    }
    return 0;
}

/* Returns how many bytes of the front went into memory. What has come to the file stays there: the
 * blocks are full then. */
static size_t write_front(struct xb_s3_stage *stage, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len && stage->file_bytes == 0) {
        size_t within = (size_t)(stage->len % XB_S3_STAGE_BLOCK_BYTES);
        if (stage->len == (uint64_t)stage->block_count * XB_S3_STAGE_BLOCK_BYTES) {
            char *block = stage->block_count < XB_S3_STAGE_BLOCKS_MAX ? take_block() : NULL;
            if (!block) {
                break;
            }
            stage->blocks[stage->block_count++] = block;
        }
        size_t take = XB_S3_STAGE_BLOCK_BYTES - within;
        take = take < len - done ? take : len - done;
        memcpy(stage->blocks[stage->block_count - 1] + within, data + done, take);
        stage->len += take;
        done += take;
    }
    return done;
}

static int write_file(struct xb_s3_stage *stage, const char *name, const void *data, size_t len,
                      struct xb_error *err)
{
    uint64_t before = stage->len;
    reserve(len);
    int r = write_at(stage, name, data, len, err);
    if (r < 0) {
        pthread_mutex_lock(&disk.lock);
        disk.staged -= len - (stage->len - before);
        pthread_mutex_unlock(&disk.lock);
    }
    return r;
}

int xb_s3_stage_write(struct xb_s3_stage *stage, const char *name, const void *data, size_t len,
                      struct xb_error *err)
{
    size_t done = write_front(stage, data, len);
    return done < len ? write_file(stage, name, (const char *)data + done, len - done, err) : 0;
}

struct xb_http_body_file xb_s3_stage_body(const struct xb_s3_stage *stage, uint64_t offset,
                                          uint64_t len)
{
    return (struct xb_http_body_file){.fd = stage->fd,
                                      .offset = offset,
                                      .len = len,
                                      .front = stage->blocks,
                                      .front_count = stage->block_count,
                                      .front_block_bytes = XB_S3_STAGE_BLOCK_BYTES};
}

void xb_s3_stage_send(struct xb_s3_stage *stage)
{
    pthread_mutex_lock(&disk.lock);
    disk.sending += !stage->sending;
    pthread_mutex_unlock(&disk.lock);
    stage->sending = true;
}

void xb_s3_stage_close(struct xb_s3_stage *stage)
{
    if (!stage->folder) {
        return;
    }
    give_blocks(stage->blocks, stage->block_count);
    (void)close(stage->fd); /* the room is free before anybody hears of it */
    pthread_mutex_lock(&disk.lock);
    disk.staged -= stage->file_bytes;
    disk.sending -= stage->sending;
    disk.sent_count++;
    pthread_cond_broadcast(&disk.sent);
    pthread_mutex_unlock(&disk.lock);
    free(stage->folder);
    *stage = (struct xb_s3_stage){.fd = -1};
}
