/* SPDX-License-Identifier: Apache-2.0
 *
 * spares.h - a few spare objects that threads take and give back without a lock.
 *
 * What for:  contexts of hashes, ciphers and compressors, which cost more to make than a small
 *            content costs to process.
 * Ownership: what lies in the slots belongs to whoever holds the struct; take it all out and free
 *            it at the end.
 * Threads:   any number at once.    Blocking: never.
 * Limits:    XB_SPARES_MAX objects are kept; what finds no room is the giver's to free.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

enum { XB_SPARES_MAX = 16 };

struct xb_spares {
    _Atomic(void *) slots[XB_SPARES_MAX];
};

/* One of them, or NULL when there is none. */
static inline void *xb_spares_take(struct xb_spares *spares)
{
    for (size_t i = 0; i < XB_SPARES_MAX; i++) {
        if (atomic_load_explicit(&spares->slots[i], memory_order_relaxed)) {
            void *one = atomic_exchange(&spares->slots[i], NULL);
            if (one) {
                return one;
            }
        }
    }
    return NULL;
}

/* NULL when it was kept, else `one`. */
static inline void *xb_spares_give(struct xb_spares *spares, void *one)
{
    for (size_t i = 0; one && i < XB_SPARES_MAX; i++) {
        void *empty = NULL;
        if (atomic_compare_exchange_strong(&spares->slots[i], &empty, one)) {
            return NULL;
        }
    }
    return one;
}
