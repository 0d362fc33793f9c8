/* SPDX-License-Identifier: Apache-2.0
 * New contents on their way: compressed where that pays, sealed, put into packs. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/budget.h"
#include "shared/base/spares.h"
#include "shared/compress/compress.h"
#include "shared/repository/state.h"

/* Readers of version 1 indexes take for granted that nothing is compressed. */
static bool may_compress(struct xb_repository *repository)
{
    pthread_mutex_lock(&repository->lock);
    bool may = repository->format.index_version >= 2;
    pthread_mutex_unlock(&repository->lock);
    return may;
}

/* ---- memory of the compressor ---- */

/* Streams under way in the whole process, beside the budget of file data. Who has some waits for
 * nothing else. Small ones do not count. */
enum { STREAM_BYTES = 8 << 20, STREAM_BYTES_SMALL = 64 << 10 };

struct stream {
    struct xb_budget_share share;
    struct xb_buf *buf;
};

static struct xb_spares buffers; /* never more than the budget lets in at the same time */

static int stream_begin(struct stream *stream, size_t len, struct xb_error *err)
{
    static struct xb_budget budget = XB_BUDGET_INIT(STREAM_BYTES);
    if (len > STREAM_BYTES_SMALL) {
        xb_budget_join(&budget, len, &stream->share);
    }
    stream->buf = xb_spares_take(&buffers);
    if (!stream->buf) {
        stream->buf = calloc(1, sizeof *stream->buf);
    }
    if (!stream->buf) {
        return xb_error_no_memory(err, "a content to compress");
    }
    stream->buf->max = XB_CONTENT_BYTES_MAX;
    xb_buf_clear(stream->buf);
    return 0;
}

static void stream_end(struct stream *stream)
{
    struct xb_buf *rest = xb_spares_give(&buffers, XB_TAKE(stream->buf));
    if (rest) {
        xb_buf_free(rest);
        free(rest);
    }
    xb_budget_leave(&stream->share);
}

/* ---- one content ---- */

/* Room for sealed bytes that may not take the plain ones' place. */
static int make_own(struct xb_packing *packing, size_t len, struct xb_error *err)
{
    packing->own = (struct xb_buf)XB_BUF_INIT(XB_INDEX_LENGTH_MAX);
    int r = xb_buf_reserve(&packing->own, len, err);
    packing->own_part = (struct iovec){packing->own.data, len};
    return r;
}

/* Where the sealed bytes go. */
static int seal(struct xb_repository *repository, struct xb_packing *packing,
                const struct iovec *from, size_t from_count, struct xb_error *err)
{
    int r = packing->in_place ? 0 : make_own(packing, packing->sealed_bytes, err);
    if (r < 0) {
        return r;
    }
    const struct xb_aead_parts parts = {.from = from,
                                        .from_count = from_count,
                                        .to =
                                            packing->in_place ? packing->parts : &packing->own_part,
                                        .to_count = packing->in_place ? packing->part_count : 1};
    packing->entry.packed_bytes = (uint32_t)(packing->sealed_bytes + XB_SEAL_OVERHEAD_BYTES);
    return xb_seal_content_parts(repository->sealer, &packing->entry.id, &parts, &packing->ends,
                                 err);
}

static int seal_plain(struct xb_repository *repository, struct xb_packing *packing,
                      struct xb_error *err)
{
    packing->entry.compression = 0;
    packing->sealed_bytes = packing->entry.plain_bytes;
    return seal(repository, packing, packing->parts, packing->part_count, err);
}

/* What is compressed is sealed into the plain bytes' place, too: it is shorter, and the stream's
 * memory is free again before the next content is looked at. */
static int seal_shrunk(struct xb_repository *repository, struct xb_packing *packing,
                       struct xb_error *err)
{
    struct stream stream = {.buf = NULL};
    bool smaller = false;
    int r = stream_begin(&stream, packing->entry.plain_bytes, err);
    if (r == 0) {
        r = xb_compress_encode_parts((uint32_t)packing->compression, packing->parts,
                                     packing->part_count, stream.buf, &smaller, err);
    }
    if (r == 0 && smaller) {
        const struct iovec part = {stream.buf->data, stream.buf->len};
        packing->entry.compression = (uint32_t)packing->compression;
        packing->sealed_bytes = part.iov_len;
        r = seal(repository, packing, &part, 1, err);
    }
    stream_end(&stream);
    return r < 0 || smaller ? r : seal_plain(repository, packing, err);
}

/* Packs are of one kind: a run of contents that belong into the same goes there at once. */
static int put_all(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                   struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0, end = 0; r == 0 && at < count; at = end) {
        bool prefixed = packings[at].entry.id.prefix != 0;
        while (end < count && (packings[end].entry.id.prefix != 0) == prefixed) {
            end++;
        }
        r = xb_pack_slot_put(repository, packings + at, end - at, err);
    }
    return r;
}

int xb_content_store(struct xb_repository *repository, struct xb_packing *packings, size_t count,
                     struct xb_error *err)
{
    bool may_shrink = may_compress(repository);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = may_shrink && packings[i].compression != XB_COMPRESSION_NONE
                ? seal_shrunk(repository, &packings[i], err)
                : seal_plain(repository, &packings[i], err);
    }
    if (r == 0) {
        r = put_all(repository, packings, count, err);
    }
    if (r < 0) {
        xb_repository_fail(repository, err);
    }
    for (size_t i = 0; i < count; i++) {
        xb_buf_free(&packings[i].own);
    }
    return r;
}
