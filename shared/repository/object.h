/* SPDX-License-Identifier: Apache-2.0
 *
 * object.h - files' and directories' bytes as objects: cut by the repository's splitter, stored as
 * contents, joined by indirect objects.
 *
 * What for:  write a stream of any length and get an object id; read any range of an object.
 * Ownership: writer and reader belong to the caller; the repository must outlive them.
 * Threads:   one thread at a time per writer or reader (but for xb_object_writer_checkpoint and
 *            xb_object_writer_store); many of them at once.
 * Blocking:  yes.
 * Shapes:    object id text: `I`* [`Z`|`D`] content id. Zero bytes make one empty content
 *            (kopia-format section 9).
 * Limits:    nesting of indirect objects <= XB_OBJECT_DEPTH_MAX. Indexes are read and written as
 *            streams: a level of a reader keeps a chunk of its index and some places in it, a
 *            writer a part of its index; the rest is in a scratch file.
 * Errors:    CORRUPT names the object; others from the repository.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/blocks.h"
#include "shared/repository/repository.h"

enum { XB_OBJECT_ID_TEXT_BYTES = XB_CONTENT_ID_TEXT_BYTES + 16, XB_OBJECT_DEPTH_MAX = 8 };

struct xb_object_id {
    char text[XB_OBJECT_ID_TEXT_BYTES];
};

/* CORRUPT unless `text` is a well-formed object id. */
int xb_object_id_parse(const char *text, struct xb_object_id *ret,
                       struct xb_error *err) XB_MUST_CHECK;

struct xb_object_writer;

struct xb_object_writer_options {
    char prefix;                     /* 0 for file data, 'k' directories */
    enum xb_compression compression; /* of the data; index objects always ask for zstd fastest */
    bool split;                      /* false: one content (small things only) */
    uint64_t part_bytes; /* the splitter starts anew at each multiple; 0: never. Velero's kopia does
                            so every 2 GiB in larger files. */
    const char *splitter; /* NULL: the repository's. Any cuts can be read; these suit what never
                             shifts (devices: "FIXED-1M") */
};

struct xb_object_stats {
    uint64_t bytes;        /* given */
    uint64_t new_bytes;    /* plain bytes of contents that did not exist */
    uint64_t stored_bytes; /* packed bytes that were stored */
    uint64_t chunks, new_chunks;
};

int xb_object_writer_new(struct xb_repository *repository,
                         const struct xb_object_writer_options *options,
                         struct xb_object_writer **ret, struct xb_error *err) XB_MUST_CHECK;
int xb_object_writer_write(struct xb_object_writer *writer, const void *data, size_t len,
                           struct xb_error *err) XB_MUST_CHECK;
/* Objects up to so many bytes are one content whatever they hold, and have its id. */
size_t xb_object_whole_bytes(const struct xb_repository *repository);

/* ---- the same without copies, by several threads ---- */

/* Chunks that are cut and not stored yet; used again and again. */
struct xb_object_batch;
enum { XB_OBJECT_BATCH_CHUNKS_MAX = 256 };

struct xb_object_bytes {
    struct xb_block *block;
    size_t at, len;
};

int xb_object_batch_new(struct xb_object_batch **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_object_batch_free(struct xb_object_batch *batch); /* with what it holds */
XB_DEFINE_CLEANUP(xb_object_batch_freep, struct xb_object_batch, xb_object_batch_free);
size_t xb_object_batch_chunks(const struct xb_object_batch *batch);
uint64_t xb_object_batch_bytes(const struct xb_object_batch *batch);

/* Appends bytes of a block, to the end of a chunk at most: *ret_taken says how many. A chunk that
 * ends goes into the batch, which must not be full. The writer keeps a reference to the block,
 * whose bytes are overwritten when they are stored. One thread at a time cuts. */
int xb_object_writer_feed(struct xb_object_writer *writer, struct xb_object_batch *batch,
                          const struct xb_object_bytes *bytes, size_t *ret_taken,
                          struct xb_error *err) XB_MUST_CHECK;
/* No chunk is longer. */
uint64_t xb_object_writer_chunk_max(const struct xb_object_writer *writer);
/* How long a chunk is that holds nothing but zeros, if one may begin here; else 0. For holes: all
 * such chunks together are hashed once. */
uint64_t xb_object_writer_zero_chunk(struct xb_object_writer *writer);
/* Appends such a chunk. */
int xb_object_writer_feed_zeros(struct xb_object_writer *writer, struct xb_object_batch *batch,
                                struct xb_error *err) XB_MUST_CHECK;
/* Ends the last chunk: nothing may be fed any more. */
int xb_object_writer_feed_end(struct xb_object_writer *writer, struct xb_object_batch *batch,
                              struct xb_error *err) XB_MUST_CHECK;
/* Stores a batch and empties it, also on failure. Any number of threads at once, each with another
 * batch; every batch must be stored before the object is finished. */
int xb_object_writer_store(struct xb_object_writer *writer, struct xb_object_batch *batch,
                           struct xb_error *err) XB_MUST_CHECK;

/* Ends the object. The writer can then be used again for the next object of the same options. */
int xb_object_writer_finish(struct xb_object_writer *writer, struct xb_object_id *ret_id,
                            struct xb_object_stats *ret_stats, struct xb_error *err) XB_MUST_CHECK;
/* An object of what has been stored of the one under way, which goes on. May be called while
 * another thread writes; waits for one piece at most. ret_id->text is "" if nothing is stored yet.
 */
int xb_object_writer_checkpoint(struct xb_object_writer *writer, struct xb_object_id *ret_id,
                                uint64_t *ret_bytes, struct xb_error *err) XB_MUST_CHECK;
/* Gives up the object under way; the writer can then be used again. */
void xb_object_writer_abort(struct xb_object_writer *writer);
void xb_object_writer_free(struct xb_object_writer *writer);
XB_DEFINE_CLEANUP(xb_object_writer_freep, struct xb_object_writer, xb_object_writer_free);

/* Which content the bytes at an offset are. */
struct xb_object_piece {
    uint64_t offset, len;
    struct xb_content_id content;
};

/* An object's pieces in order, without reading its data: index objects only. */
struct xb_object_pieces;

int xb_object_pieces_open(struct xb_repository *repository, const struct xb_object_id *id,
                          struct xb_object_pieces **ret, struct xb_error *err) XB_MUST_CHECK;
uint64_t xb_object_pieces_length(const struct xb_object_pieces *pieces);
/* ret->len 0 at the end; empty pieces are left out. */
int xb_object_pieces_next(struct xb_object_pieces *pieces, struct xb_object_piece *ret,
                          struct xb_error *err) XB_MUST_CHECK;
/* Continues with the piece that holds `offset` (<= length). */
int xb_object_pieces_seek(struct xb_object_pieces *pieces, uint64_t offset,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_object_pieces_free(struct xb_object_pieces *pieces);
XB_DEFINE_CLEANUP(xb_object_pieces_freep, struct xb_object_pieces, xb_object_pieces_free);
/* CORRUPT if a content of `len` bytes cannot be this piece. */
int xb_object_piece_check(const struct xb_object_piece *piece, uint64_t len,
                          struct xb_error *err) XB_MUST_CHECK;

struct xb_object_reader;

int xb_object_reader_open(struct xb_repository *repository, const struct xb_object_id *id,
                          struct xb_object_reader **ret, struct xb_error *err) XB_MUST_CHECK;
/* Length of the whole object, known without reading data for indirect objects. */
uint64_t xb_object_reader_length(const struct xb_object_reader *reader);
/* Hands out the next bytes in order, as one piece of a chunk, valid until the next call; *ret_len 0
 * at the end. */
int xb_object_reader_next(struct xb_object_reader *reader, const void **ret_data, size_t *ret_len,
                          struct xb_error *err) XB_MUST_CHECK;
/* Continues at `offset` (<= length). */
int xb_object_reader_seek(struct xb_object_reader *reader, uint64_t offset,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_object_reader_free(struct xb_object_reader *reader);
XB_DEFINE_CLEANUP(xb_object_reader_freep, struct xb_object_reader, xb_object_reader_free);

/* Appends a whole object to `out`. */
int xb_object_read_all(struct xb_repository *repository, const struct xb_object_id *id,
                       struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* The content that the object, or its outermost index, is; *ret_depth: how many levels of indexes
 * there are. CORRUPT if the text is none. */
int xb_object_id_content(const struct xb_object_id *id, struct xb_content_id *ret,
                         unsigned *ret_depth, struct xb_error *err) XB_MUST_CHECK;

/* Calls fn for every content the object is made of, index contents too (for verify). Reads index
 * contents only, unless `data` is set: then every content is read and its hash recomputed. */
typedef int xb_object_content_fn(void *context, const struct xb_content_id *id,
                                 struct xb_error *err);
int xb_object_verify(struct xb_repository *repository, const struct xb_object_id *id, bool data,
                     xb_object_content_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;
/* The same for what may be damaged: contents that are in no index are told, too, and reading goes
 * on behind them. CORRUPT: one of the object's indexes cannot be read, or does not fit. */
int xb_object_contents(struct xb_repository *repository, const struct xb_object_id *id,
                       xb_object_content_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;
