/* SPDX-License-Identifier: Apache-2.0
 * Storing batches of chunks, in any order, and the table of them, in the object's order. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_cut.h"

/* So far may those who store run ahead of the table. */
enum { EARLY_CHUNKS_MAX = 4096 };

/* ---- the table ---- */

static int add_to_table(struct xb_object_writer *writer, const struct xb_object_stored *chunk,
                        struct xb_error *err)
{
    char id[XB_CONTENT_ID_TEXT_BYTES], row[XB_CONTENT_ID_TEXT_BYTES + 128];
    const char *begin =
        writer->stats.chunks ? ",{" : "{\"stream\":\"kopia:indirect\",\"entries\":[{";
    int len = snprintf(row, sizeof row, "%s", begin);
    if (writer->table_bytes > 0) {
        len += snprintf(row + len, sizeof row - (size_t)len, "\"s\":%" PRIu64 ",",
                        writer->table_bytes);
    }
    if (chunk->len > 0) {
        len += snprintf(row + len, sizeof row - (size_t)len, "\"l\":%zu,", chunk->len);
    }
    xb_content_id_format(&chunk->id, id);
    len += snprintf(row + len, sizeof row - (size_t)len, "\"o\":\"%s\"}", id);
    return xb_scratch_append(writer->table, row, (size_t)len, err);
}

static int add_chunks(struct xb_object_writer *writer, const struct xb_object_stored *chunks,
                      size_t count, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (writer->stats.chunks == 0) {
            writer->first = chunks[i].id;
        }
        r = add_to_table(writer, &chunks[i], err);
        writer->table_bytes += chunks[i].len;
        writer->stats.chunks++;
    }
    return r;
}

/* Takes those out of the list whose turn has come. */
static int add_early(struct xb_object_writer *writer, struct xb_error *err)
{
    int r = 0;
    struct xb_object_early **at = &writer->early;
    while (r == 0 && *at) {
        struct xb_object_early *early = *at;
        if (early->first != writer->stats.chunks) {
            at = &early->next;
            continue;
        }
        *at = early->next;
        r = add_chunks(writer, early->chunks, early->count, err);
        free(early);
        at = &writer->early; /* the next may stand anywhere */
    }
    return r;
}

/* With the lock held. */
static int enter_batch(struct xb_object_writer *writer, const struct xb_object_batch *batch,
                       struct xb_object_early *early, struct xb_error *err)
{
    while (!writer->failed && batch->first - writer->stats.chunks > EARLY_CHUNKS_MAX) {
        pthread_cond_wait(&writer->turn, &writer->lock);
    }
    for (size_t i = 0; i < batch->count; i++) {
        const struct xb_content_write_result *result = &batch->jobs[i].result;
        early->chunks[i] = (struct xb_object_stored){result->id, batch->cuts[i].len};
        if (!batch->cuts[i].zeros) {
            writer->stats.new_chunks += !result->existed;
            writer->stats.new_bytes += result->existed ? 0 : batch->cuts[i].len;
            writer->stats.stored_bytes += result->packed_bytes;
        }
        writer->stats.bytes += batch->cuts[i].len;
    }
    early->first = batch->first;
    early->count = batch->count;
    early->next = writer->early;
    writer->early = early;
    int r = add_early(writer, err);
    pthread_cond_broadcast(&writer->turn);
    return r;
}

/* ---- storing ---- */

/* The content that a chunk of zeros is. It is stored, once; maintenance may have taken it
 * meanwhile: then it is stored anew. `lock` must be held. */
static int know_zeros(struct xb_object_writer *writer, size_t len, struct xb_error *err)
{
    struct xb_content_write_result result;
    if (writer->zeros_known && xb_content_reuse(writer->repository, &writer->zeros)) {
        return 0;
    }
    XB_CLEANUP(xb_freep) unsigned char *data = calloc(1, len);
    if (!data) {
        return xb_error_no_memory(err, "an object");
    }
    int r = xb_content_write(writer->repository, writer->options.prefix, data, len,
                             writer->options.compression, &result, err);
    if (r < 0) {
        return r;
    }
    writer->zeros_known = true;
    writer->zeros = result.id;
    writer->stats.new_chunks += !result.existed;
    writer->stats.new_bytes += result.existed ? 0 : len;
    writer->stats.stored_bytes += result.packed_bytes;
    return 0;
}

/* All chunks of zeros of a batch are the same. */
static int store_zeros(struct xb_object_writer *writer, struct xb_object_batch *batch,
                       struct xb_error *err)
{
    int r = 0;
    bool known = false;
    for (size_t i = 0; r == 0 && i < batch->count; i++) {
        if (!batch->cuts[i].zeros) {
            continue;
        }
        pthread_mutex_lock(&writer->lock);
        r = known ? 0 : know_zeros(writer, batch->cuts[i].len, err);
        batch->jobs[i].result.id = writer->zeros;
        pthread_mutex_unlock(&writer->lock);
        known = true;
    }
    return r;
}

/* Jobs that are not next to one another because of zeros between them go in several runs. */
static int store_data(struct xb_object_writer *writer, struct xb_object_batch *batch,
                      struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0, end = 0; r == 0 && at < batch->count; at = end + 1) {
        for (end = at; end < batch->count && !batch->cuts[end].zeros; end++) {
            const struct xb_object_cut *cut = &batch->cuts[end];
            batch->jobs[end] = (struct xb_content_job){.parts = batch->list.parts + cut->first_part,
                                                       .part_count = cut->part_count,
                                                       .prefix = writer->options.prefix,
                                                       .in_place = true,
                                                       .compression = writer->options.compression};
        }
        r = xb_content_write_many(writer->repository, batch->jobs + at, end - at, err);
    }
    return r;
}

int xb_object_writer_store(struct xb_object_writer *writer, struct xb_object_batch *batch,
                           struct xb_error *err)
{
    struct xb_object_early *early = malloc(sizeof *early + batch->count * sizeof early->chunks[0]);
    int r = early ? store_zeros(writer, batch, err) : xb_error_no_memory(err, "an object");
    if (r == 0) {
        r = store_data(writer, batch, err);
    }
    pthread_mutex_lock(&writer->lock);
    if (r == 0 && batch->count > 0) {
        r = enter_batch(writer, batch, early, err);
        early = NULL;
    }
    if (r < 0) {
        writer->failed = true;
        pthread_cond_broadcast(&writer->turn);
    }
    pthread_mutex_unlock(&writer->lock);
    free(early);
    xb_object_batch_clear(batch);
    return r;
}

void xb_object_writer_forget_table(struct xb_object_writer *writer)
{
    while (writer->early) {
        struct xb_object_early *next = writer->early->next;
        free(writer->early);
        writer->early = next;
    }
    xb_scratch_clear(writer->table);
    writer->table_bytes = 0;
    writer->failed = false;
    writer->stats = (struct xb_object_stats){.bytes = 0};
}
