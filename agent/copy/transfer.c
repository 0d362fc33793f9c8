/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving one object piece by piece, and the workers that do so side by side.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/copy/internal.h"
#include "shared/base/clock.h"
#include "shared/base/workers.h"
#include "shared/crypto/hash.h"

enum { TICK_MS = 250, READ_TRIES = 2 };

/* ---- one object ---- */

/* A hash over pieces, so that neither side is held whole: each step hashes the sum so far and the
 * piece's own. Both sides are cut at the same places. */
struct sum {
    unsigned char bytes[2 * XB_SHA256_BYTES]; /* so far, and of the piece */
};

static int sum_add(struct sum *sum, const struct xb_buf *piece, struct xb_error *err)
{
    int r =
        xb_sha256(piece->data ? piece->data : "", piece->len, sum->bytes + XB_SHA256_BYTES, err);
    return r < 0 ? r : xb_sha256(sum->bytes, sizeof sum->bytes, sum->bytes, err);
}

static bool sums_equal(const struct sum *a, const struct sum *b)
{
    return memcmp(a->bytes, b->bytes, XB_SHA256_BYTES) == 0;
}

struct reading {
    struct xb_copy *copy;
    const struct xb_copy_object *object;
    struct xb_buf *piece;
    struct xb_store_upload *upload; /* NULL: only read */
};

static void count_bytes(struct xb_copy *copy, uint64_t bytes)
{
    pthread_mutex_lock(&copy->lock);
    copy->done.bytes_done += bytes;
    copy->result.bytes_copied += bytes;
    pthread_mutex_unlock(&copy->lock);
}

/* Reads all of the object in a store, and writes what it reads. */
static int read_all(const struct reading *reading, struct xb_store *store, struct sum *ret,
                    struct xb_error *err)
{
    const struct xb_copy_object *object = reading->object;
    struct xb_buf *piece = reading->piece;
    struct sum sum = {.bytes = {0}};
    uint64_t offset = 0;
    do {
        uint64_t left = object->size - offset;
        xb_buf_clear(piece);
        int r = xb_copy_tick(reading->copy, err);
        if (r == 0) {
            r = xb_store_get(store, object->name, offset,
                             left < XB_COPY_PIECE_BYTES ? left : XB_COPY_PIECE_BYTES, piece, err);
        }
        if (r == 0) {
            r = sum_add(&sum, piece, err);
        }
        if (r == 0 && reading->upload) {
            r = xb_store_upload_write(reading->upload, piece->data, piece->len, err);
            count_bytes(reading->copy, piece->len);
        }
        if (r < 0) {
            return r;
        }
        offset += piece->len;
    } while (offset < object->size);
    *ret = sum;
    return 0;
}

/* What one piece holds is put as a whole: a bucket's driver need not stage it on a disk. */
static int send_small(struct xb_copy_area *area, const struct xb_copy_object *object,
                      struct xb_buf *piece, struct sum *ret, struct xb_error *err)
{
    const struct reading reading = {area->copy, object, piece, NULL};
    int r = read_all(&reading, area->source, ret, err);
    if (r == 0) {
        r = xb_store_put(area->target, object->name, piece->data ? piece->data : "", piece->len,
                         NULL, err);
        count_bytes(area->copy, piece->len);
    }
    return r;
}

static int send(struct xb_copy_area *area, const struct xb_copy_object *object,
                struct xb_buf *piece, struct sum *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_store_upload_freep) struct xb_store_upload *upload = NULL;
    if (object->size <= XB_COPY_PIECE_BYTES) {
        return send_small(area, object, piece, ret, err);
    }
    int r = xb_store_upload_begin(area->target, object->name, NULL, &upload, err);
    if (r < 0) {
        return r;
    }
    const struct reading reading = {area->copy, object, piece, upload};
    r = read_all(&reading, area->source, ret, err);
    return r < 0 ? r : xb_store_upload_commit(upload, err);
}

/* What came wrong over a wire comes right the second time; what lies there wrong does not. */
static int read_back(struct xb_copy_area *area, const struct xb_copy_object *object,
                     struct xb_buf *piece, const struct sum *sent, struct xb_error *err)
{
    const struct reading reading = {area->copy, object, piece, NULL};
    for (int try = 0; try < READ_TRIES; try++) {
        struct sum arrived;
        int r = read_all(&reading, area->target, &arrived, err);
        if (r < 0 || sums_equal(sent, &arrived)) {
            return r;
        }
    }
    return xb_error_set(err, XB_ERR_IO, -EIO, "other bytes come back than were sent");
}

/* Reads back what has arrived. If it is not what was sent it must go: the next run would see a name
 * and a size, and take it for whole. */
static int prove(struct xb_copy_area *area, const struct xb_copy_object *object,
                 struct xb_buf *piece, const struct sum *sent, struct xb_error *err)
{
    struct xb_error ignored = XB_ERROR_INIT;
    if (read_back(area, object, piece, sent, err) == 0) {
        return 0;
    }
    bool gone = xb_store_delete(area->target, object->name, &ignored) == 0;
    return xb_error_wrap(err, "%s: %s%s cannot be proved to have arrived, and %s",
                         xb_store_describe(area->target), area->label, object->name,
                         gone ? "has been taken away again"
                              : "could not be taken away: delete it before the next run");
}

/* Records may be replaced while they are copied. */
static int stat_source(struct xb_copy_area *area, struct xb_copy_object *object,
                       struct xb_store_item *ret, struct xb_error *err)
{
    int r = xb_store_stat(area->source, object->name, ret, err);
    if (r == 0) {
        object->size = ret->size;
    }
    return r;
}

int xb_copy_object(struct xb_copy_area *area, struct xb_copy_object *object, struct xb_buf *piece,
                   struct xb_error *err)
{
    struct xb_store_item before = {.name = NULL}, after = {.name = NULL};
    struct sum sent;
    bool fixed = area->repository && xb_copy_blob_is_fixed(object->name);
    int r = fixed ? 0 : stat_source(area, object, &before, err);
    if (r == 0) {
        r = send(area, object, piece, &sent, err);
    }
    if (r == 0) {
        r = prove(area, object, piece, &sent, err);
    }
    if (r == 0 && !fixed) {
        r = stat_source(area, object, &after, err);
        if (r == 0 && (after.size != before.size || after.mtime_ns != before.mtime_ns)) {
            r = xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                             "%s%s changed while it was copied: run the copy again", area->label,
                             object->name);
        }
    }
    return r;
}

int xb_copy_equal(struct xb_copy_area *area, const struct xb_copy_object *object,
                  struct xb_buf *piece, bool *ret, struct xb_error *err)
{
    const struct reading reading = {area->copy, object, piece, NULL};
    bool equal = false;
    for (int try = 0; try < READ_TRIES && !equal; try++) {
        struct sum here, there;
        int r = read_all(&reading, area->source, &here, err);
        if (r < 0 || (r = read_all(&reading, area->target, &there, err)) < 0) {
            return r;
        }
        equal = sums_equal(&here, &there);
    }
    *ret = equal;
    return 0;
}

/* ---- many ---- */

struct crew {
    struct xb_copy_area *area;
    xb_copy_object_fn *fn;
    size_t next, last; /* under the copy's lock */
};

static struct xb_copy_object *take_next(struct crew *crew)
{
    struct xb_copy *copy = crew->area->copy;
    pthread_mutex_lock(&copy->lock);
    struct xb_copy_object *object = crew->next < crew->last && !atomic_load(&copy->stop)
                                        ? &crew->area->list.objects[crew->next++]
                                        : NULL;
    pthread_mutex_unlock(&copy->lock);
    return object;
}

static void work(void *context)
{
    struct crew *crew = context;
    struct xb_copy *copy = crew->area->copy;
    XB_CLEANUP(xb_buf_free) struct xb_buf piece = XB_BUF_INIT(XB_COPY_PIECE_BYTES);
    for (struct xb_copy_object *object; (object = take_next(crew)) != NULL;) {
        struct xb_error why = XB_ERROR_INIT;
        if (crew->fn(crew->area, object, &piece, &why) == 0) {
            continue;
        }
        pthread_mutex_lock(&copy->lock);
        if (!copy->failed.code) {
            copy->failed = why;
        }
        pthread_mutex_unlock(&copy->lock);
        atomic_store(&copy->stop, true);
    }
}

int xb_copy_for_each(struct xb_copy_area *area, size_t first, size_t last, xb_copy_object_fn *fn,
                     struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    unsigned threads = copy->options->threads;
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    struct crew crew = {.area = area, .fn = fn, .next = first, .last = last};
    if (first == last) {
        return 0;
    }
    int r = xb_workers_new(threads, threads, &workers, err);
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < threads; i++) {
        xb_workers_submit(workers, work, &crew);
    }
    xb_workers_drain(workers);
    if (copy->failed.code) {
        *err = copy->failed;
        return err->code;
    }
    return 0;
}

int xb_copy_tick(struct xb_copy *copy, struct xb_error *err)
{
    const struct xb_copy_options *options = copy->options;
    if (options->cancel && atomic_load(options->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (!options->progress || !copy->writing) {
        return 0;
    }
    pthread_mutex_lock(&copy->lock);
    int64_t now_ns = xb_clock_mono_ns();
    if (now_ns - copy->ticked_ns > TICK_MS * XB_NS_PER_MS) {
        options->progress(options->progress_context, &copy->done);
        copy->ticked_ns = now_ns;
    }
    pthread_mutex_unlock(&copy->lock);
    return 0;
}
