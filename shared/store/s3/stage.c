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

int xb_s3_stage_write(struct xb_s3_stage *stage, const char *name, const void *data, size_t len,
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
    (void)close(stage->fd); /* the room is free before anybody hears of it */
    pthread_mutex_lock(&disk.lock);
    disk.staged -= stage->len;
    disk.sending -= stage->sending;
    disk.sent_count++;
    pthread_cond_broadcast(&disk.sent);
    pthread_mutex_unlock(&disk.lock);
    free(stage->folder);
    *stage = (struct xb_s3_stage){.fd = -1};
}
