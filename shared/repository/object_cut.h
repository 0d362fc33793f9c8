/* SPDX-License-Identifier: Apache-2.0
 *
 * object_cut.h - an object writer from within; for object_cut.c, object_store.c and
 * object_writer.c only.
 *
 * What for:  object_cut.c cuts blocks into chunks, object_store.c stores them and keeps the table,
 *            object_writer.c is what is built on both for those who have bytes and no blocks.
 * Threads:   what stands above `lock` belongs to the thread that cuts, what stands below is guarded
 *            by it.
 */
#pragma once

#include <pthread.h>

#include "shared/base/scratch.h"
#include "shared/repository/object.h"
#include "shared/repository/splitter.h"

/* Parts of blocks, each with a reference. `parts` is what contents are made of. */
struct xb_object_parts_list {
    struct iovec *parts;
    struct xb_block **blocks;
    size_t count, cap;
};
void xb_object_parts_list_clear(struct xb_object_parts_list *list); /* keeps its memory */
void xb_object_parts_list_free(struct xb_object_parts_list *list);

struct xb_object_cut {
    size_t first_part, part_count, len;
    bool zeros; /* nothing else: has no parts */
};

struct xb_object_batch {
    uint64_t first; /* number of its first chunk */
    uint64_t bytes;
    size_t count;
    struct xb_object_cut cuts[XB_OBJECT_BATCH_CHUNKS_MAX];
    struct xb_object_parts_list list;
    struct xb_content_job jobs[XB_OBJECT_BATCH_CHUNKS_MAX];
};
void xb_object_batch_clear(struct xb_object_batch *batch);

/* A chunk that is stored. */
struct xb_object_stored {
    struct xb_content_id id;
    size_t len;
};
/* Those of a batch that came before its turn. */
struct xb_object_early {
    struct xb_object_early *next;
    uint64_t first;
    size_t count;
    struct xb_object_stored chunks[];
};

struct xb_object_writer {
    struct xb_repository *repository;
    struct xb_object_writer_options options;
    struct xb_splitter splitter;
    struct xb_splitter_state state;
    struct xb_object_parts_list open; /* of the chunk under way */
    size_t open_len;
    uint64_t fed;       /* bytes given */
    uint64_t cut_count; /* chunks cut */
    uint64_t zero_len;  /* of a chunk of zeros; 0: not known yet */
    bool ended;
    struct xb_object_batch *own; /* of who gives bytes and no blocks */
    struct xb_block *fill;
    size_t filled;

    pthread_mutex_t lock;
    pthread_cond_t turn;
    struct xb_scratch *table; /* JSON of the chunks stored */
    uint64_t table_bytes;
    struct xb_content_id first; /* the only chunk, if there is one */
    struct xb_object_stats stats;
    struct xb_object_early *early;
    bool failed;
    bool zeros_known;
    struct xb_content_id zeros;
};

void xb_object_writer_forget_cuts(struct xb_object_writer *writer);
/* `lock` must be held. */
void xb_object_writer_forget_table(struct xb_object_writer *writer);
