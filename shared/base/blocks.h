/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.h - aligned pieces of memory that file data is read into, counted and used again.
 *
 * What for:  data moves from the ring to the pack without being copied: a chunk is a list of parts
 *            of blocks, and two chunks may share one at their border.
 * Ownership: a block has as many owners as references; the last one gives it back to its share's
 *            budget, which keeps it as a spare. A share must outlive its blocks.
 * Threads:   any; the bytes are their owners' business.
 * Blocking:  xb_block_wait, as xb_budget_wait.
 * Shapes:    XB_BLOCK_BYTES bytes, aligned to pages; those from the heap as wanted.
 * Errors:    FULL when the system has no memory.
 */
#pragma once

#include <stdatomic.h>

#include "shared/base/budget.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_BLOCK_BYTES = 256 * 1024 };

struct xb_block {
    unsigned char *data;
    size_t size;
    atomic_uint refs;
    struct xb_budget_share *share; /* NULL: from the heap */
    struct xb_block *next;         /* while it is a spare */
};

/* *ret NULL: the budget has none free now. */
int xb_block_try(struct xb_budget_share *share, struct xb_block **ret,
                 struct xb_error *err) XB_MUST_CHECK;
int xb_block_wait(struct xb_budget_share *share, struct xb_block **ret,
                  struct xb_error *err) XB_MUST_CHECK;

/* One that no budget knows of, for what is small or rare. */
int xb_block_heap(size_t bytes, struct xb_block **ret, struct xb_error *err) XB_MUST_CHECK;

/* Whether there is one reference only: then nobody else looks at the bytes. */
static inline bool xb_block_alone(struct xb_block *block)
{
    return atomic_load_explicit(&block->refs, memory_order_acquire) == 1;
}
static inline struct xb_block *xb_block_ref(struct xb_block *block)
{
    atomic_fetch_add_explicit(&block->refs, 1, memory_order_relaxed);
    return block;
}
void xb_block_unref(struct xb_block *block); /* NULL: nothing */
XB_DEFINE_CLEANUP(xb_block_unrefp, struct xb_block, xb_block_unref);

/* For budget.c: memory from the system (NULL: `err` says why), and a list of it back. */
struct xb_block *xb_block_make(struct xb_error *err);
void xb_blocks_release(struct xb_block *list);
