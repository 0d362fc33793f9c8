/* SPDX-License-Identifier: Apache-2.0
 *
 * fault.h - a store that fails when told to; for tests.
 *
 * What for:  wraps any store and breaks the n-th call of a kind: an error, a lost answer, a short
 *            or altered read, an old listing, a delay.
 * Ownership: the fault store owns its inner store; the `xb_fault` handle lives as long as the
 *            store.
 * Threads:   any.    Blocking: as the inner store, and the delays asked for.
 * Limits:    XB_FAULT_RULES_MAX rules.
 */
#pragma once

#include "shared/store/store.h"

enum { XB_FAULT_RULES_MAX = 64 };

enum xb_fault_call {
    XB_FAULT_PUT, /* xb_store_put */
    XB_FAULT_BEGIN,
    XB_FAULT_WRITE,
    XB_FAULT_COMMIT,
    XB_FAULT_GET,
    XB_FAULT_STAT,
    XB_FAULT_DELETE,
    XB_FAULT_LIST, /* of objects or folders */
    XB_FAULT_CALLS
};

enum xb_fault_effect {
    XB_FAULT_FAIL,        /* nothing is done, the error is returned */
    XB_FAULT_LOSE_ANSWER, /* it is done, the error is returned all the same */
    XB_FAULT_CUT,         /* get: the last `amount` bytes are missing, and it succeeds */
    XB_FAULT_FLIP,        /* get: bit number `amount` (modulo length) is altered, and it succeeds */
    XB_FAULT_STALE,       /* list: as it was when the rule was added */
    XB_FAULT_DELAY        /* `amount` milliseconds, then as usual */
};

struct xb_fault_rule {
    enum xb_fault_call call;
    enum xb_fault_effect effect;
    uint64_t nth; /* counted from the rule's start, 1 is the next matching call; 0: every one */
    const char *name_prefix; /* NULL: any name; copied */
    enum xb_error_kind kind; /* FAIL, LOSE_ANSWER */
    uint64_t amount;
};

struct xb_fault;

int xb_store_fault_open(struct xb_store *inner, struct xb_store **ret, struct xb_fault **ret_fault,
                        struct xb_error *err) XB_MUST_CHECK;

int xb_fault_add(struct xb_fault *fault, const struct xb_fault_rule *rule,
                 struct xb_error *err) XB_MUST_CHECK;
void xb_fault_clear(struct xb_fault *fault);

/* Calls seen so far, broken or not. */
uint64_t xb_fault_count(struct xb_fault *fault, enum xb_fault_call call);
