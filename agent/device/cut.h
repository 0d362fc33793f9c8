/* SPDX-License-Identifier: Apache-2.0
 *
 * cut.h - a device's bytes into an object, by several threads.
 *
 * What for:  backup.c. Whoever has his turn reads and cuts a batch of chunks; each hashes and
 *            stores what he has cut while the next one cuts.
 * Ownership: the caller's struct and everything in it; xb_device_cut_end frees what was made here.
 * Threads:   xb_device_cut_turn from any number of them, each with a batch of its own.
 * Errors:    the first failure stays in `err`; everyone's next turn is then over.
 * Memory:    blocks of the process's budget.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/device/device.h"
#include "agent/device/free.h"
#include "agent/device/tree.h"
#include "agent/uring/reader.h"
#include "shared/base/blocks.h"

enum { XB_DEVICE_PARTS_MAX = XB_DEVICE_CHUNK_BYTES / XB_BLOCK_BYTES + 2 };

struct xb_device_cut {
    const char *path;
    const struct xb_device *device;
    const struct xb_free_map *map; /* bits NULL: nothing is known to be free */
    const atomic_bool *cancel;     /* may be NULL */
    struct xb_object_writer *writer;
    struct xb_device_tree *tree; /* gets the holes */
    unsigned threads;
    size_t lanes; /* chunks that are hashed in about the time of one */

    struct xb_reader *reader;
    struct xb_budget_share share;
    pthread_mutex_t lock;                              /* whose turn it is, and what follows */
    uint64_t at;                                       /* everything before it is cut */
    uint64_t zero_end;                                 /* zeros reach so far from `at` on */
    uint64_t row_end;                                  /* the row of chunks that is being read */
    struct xb_object_bytes parts[XB_DEVICE_PARTS_MAX]; /* of the chunk at `at`, with references */
    size_t part_count;
    uint64_t part_bytes;
    uint64_t bytes_read;
    bool ended;
    struct xb_error err;

    atomic_uint_least64_t done; /* as `at`, for progress */
};

int xb_device_cut_begin(struct xb_device_cut *cut, struct xb_error *err) XB_MUST_CHECK;
/* Cuts a batch and stores it; false: there is nothing left to cut, or it has failed. */
bool xb_device_cut_turn(struct xb_device_cut *cut, struct xb_object_batch *batch);
/* Nobody cuts any more, for this reason. */
void xb_device_cut_fail(struct xb_device_cut *cut, const struct xb_error *err);
void xb_device_cut_end(struct xb_device_cut *cut);
