/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading what the snapshots need, pack by pack: contents that lie close to one another come with
 * one request.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/memory.h"
#include "agent/restore/verify_internal.h"

/* A gap that is cheaper to read than to leave out. */
enum { GAP_BYTES_MAX = 64 * 1024 };

struct place {
    uint64_t offset;
    uint32_t pack, content;
};

struct plan {
    struct xb_verify *verify;
    struct place *places; /* by pack, then by offset */
    size_t count, next;   /* next: under the lock */
    struct xb_restore_memory memory;
};

/* Contents first..last-1 of the plan, all in one pack, in one read. */
struct range {
    size_t first, last;
    uint32_t pack;
    uint64_t offset, len;
    uint64_t unpacked_bytes_max; /* of its largest content that is compressed */
};

struct buffers {
    struct xb_buf sealed, plain;
};

static int by_place(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    return a->pack != b->pack       ? (a->pack < b->pack ? -1 : 1)
           : a->offset != b->offset ? (a->offset < b->offset ? -1 : 1)
                                    : 0;
}

static bool to_be_read(const struct xb_verify *verify, size_t content)
{
    struct xb_content_info info;
    if ((atomic_load(&verify->state[content]) & (XB_CONTENT_WANTED | XB_CONTENT_BAD)) !=
        XB_CONTENT_WANTED) {
        return false;
    }
    xb_content_view_at(verify->view, content, &info);
    return xb_verify_chosen(verify, &info.id);
}

static int make_plan(struct xb_verify *verify, struct plan *ret, struct xb_error *err)
{
    size_t all = xb_content_view_count(verify->view), count = 0;
    for (size_t i = 0; i < all; i++) {
        count += to_be_read(verify, i);
    }
    ret->places = calloc(count + 1, sizeof *ret->places);
    if (!ret->places) {
        return xb_error_no_memory(err, "a plan of reading");
    }
    for (size_t i = 0; i < all && ret->count < count; i++) {
        if (to_be_read(verify, i)) {
            struct xb_content_spot spot;
            xb_content_view_spot(verify->view, i, &spot);
            ret->places[ret->count++] =
                (struct place){.offset = spot.offset, .pack = spot.pack, .content = (uint32_t)i};
        }
    }
    if (ret->count > 1) {
        qsort(ret->places, ret->count, sizeof *ret->places, by_place);
    }
    return 0;
}

/* The next contents that are worth one read. */
static bool take_range(struct plan *plan, struct range *ret)
{
    struct xb_verify *verify = plan->verify;
    struct range range = {.first = 0};
    pthread_mutex_lock(&verify->lock);
    for (size_t i = plan->next; i < plan->count && !atomic_load(&verify->stop); i++) {
        const struct place *place = &plan->places[i];
        struct xb_content_spot spot;
        xb_content_view_spot(verify->view, place->content, &spot);
        uint64_t end = spot.offset + spot.packed_bytes;
        uint64_t unpacked = spot.packed_bytes < spot.plain_bytes ? spot.plain_bytes : 0;
        if (range.last == 0) {
            range = (struct range){i, i + 1, spot.pack, spot.offset, spot.packed_bytes, unpacked};
            continue;
        }
        uint64_t so_far = range.offset + range.len;
        if (spot.pack != range.pack || spot.offset > so_far + GAP_BYTES_MAX ||
            end > range.offset + XB_VERIFY_READ_BYTES) {
            break;
        }
        range.len = end > so_far ? end - range.offset : range.len;
        range.unpacked_bytes_max =
            unpacked > range.unpacked_bytes_max ? unpacked : range.unpacked_bytes_max;
        range.last = i + 1;
    }
    plan->next = range.last ? range.last : plan->count;
    pthread_mutex_unlock(&verify->lock);
    *ret = range;
    return range.last > 0;
}

/* A content from what was read; if that does not do, by itself, from wherever it is now. What came
 * wrong over a wire comes right then, damage stays. */
static void read_content(struct xb_verify *verify, size_t content, char *sealed,
                         struct xb_buf *plain)
{
    struct xb_content_info info;
    struct xb_error why = XB_ERROR_INIT, first = XB_ERROR_INIT;
    const char *data = NULL;
    xb_content_view_at(verify->view, content, &info);
    int r =
        sealed ? xb_content_open_here(verify->repository, &info, sealed, true, plain, &data, &first)
               : -1;
    if (r < 0) {
        xb_buf_clear(plain);
        r = xb_content_read(verify->repository, &info.id, true, plain, &why);
    }
    if (r < 0 && xb_verify_is_damage(&why) && xb_verify_look_again(verify, &info.id, &first) == 0) {
        why = (struct xb_error)XB_ERROR_INIT;
        r = xb_content_read(verify->repository, &info.id, true, plain, &why);
    }
    atomic_fetch_add(&verify->contents_read, 1);
    atomic_fetch_add(&verify->bytes_read, r == 0 ? info.plain_bytes : 0);
    if (r < 0 && xb_verify_is_damage(&why)) {
        xb_verify_bad(verify, content, &why);
    } else if (r < 0) {
        xb_verify_fail(verify, &why);
    }
}

static void read_range(const struct plan *plan, const struct range *range, struct buffers *buffers)
{
    struct xb_verify *verify = plan->verify;
    struct xb_error why = XB_ERROR_INIT;
    const char *pack = xb_content_view_pack(verify->view, range->pack);
    xb_buf_clear(&buffers->sealed);
    int r = xb_content_fetch(verify->repository, pack, range->offset, range->len, &buffers->sealed,
                             &why);
    if (r < 0 && !xb_verify_is_damage(&why)) {
        (void)!xb_error_wrap(&why, "pack %s", pack);
        xb_verify_fail(verify, &why);
        return;
    }
    for (size_t i = range->first; i < range->last && !atomic_load(&verify->stop); i++) {
        const struct place *place = &plan->places[i];
        char *sealed = r == 0 && buffers->sealed.data
                           ? buffers->sealed.data + (place->offset - range->offset)
                           : NULL;
        read_content(verify, place->content, sealed, &buffers->plain);
        if (xb_verify_tick(verify, &why) < 0) {
            xb_verify_fail(verify, &why);
        }
    }
}

static void free_buffers(struct buffers *buffers)
{
    xb_buf_free(&buffers->sealed);
    xb_buf_free(&buffers->plain);
}

/* Who has to wait for memory keeps none. */
static void read_ranges(void *context)
{
    struct plan *plan = ((struct xb_verify *)context)->plan;
    struct buffers buffers = {XB_BUF_INIT(XB_CONTENT_BYTES_MAX + XB_VERIFY_READ_BYTES),
                              XB_BUF_INIT(XB_CONTENT_BYTES_MAX)};
    for (struct range range; take_range(plan, &range);) {
        const uint64_t bytes = range.len + range.unpacked_bytes_max;
        if (!xb_restore_memory_try(&plan->memory, bytes)) {
            free_buffers(&buffers);
            xb_restore_memory_take(&plan->memory, bytes);
        }
        read_range(plan, &range, &buffers);
        xb_restore_memory_give(&plan->memory, bytes);
    }
    free_buffers(&buffers);
}

int xb_verify_read(struct xb_verify *verify, struct xb_error *err)
{
    struct plan plan = {.verify = verify};
    int r = make_plan(verify, &plan, err);
    if (r == 0) {
        r = xb_restore_memory_begin(&plan.memory, verify->options->cancel, err);
    }
    if (r == 0) {
        verify->reading = true;
        verify->plan = &plan;
        r = xb_verify_crew(verify, read_ranges, err);
        verify->plan = NULL;
        xb_restore_memory_end(&plan.memory);
    }
    free(plan.places);
    return r;
}
