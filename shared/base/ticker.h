/* SPDX-License-Identifier: Apache-2.0
 *
 * ticker.h - a thread that calls a function again and again while something long goes on.
 *
 * What for:  telling how far a backup or restore is, and keeping what it has stored.
 * Ownership: the caller owns the ticker; stopping frees it.
 * Threads:   the function is called from the ticker's own thread, one call at a time.
 * Blocking:  stop waits for the call under way, and for nothing else.
 */
#pragma once

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

struct xb_ticker;
typedef void xb_ticker_fn(void *context);

/* The first call comes after every_ms; time that a call takes comes on top. */
int xb_ticker_start(unsigned every_ms, xb_ticker_fn *fn, void *context, struct xb_ticker **ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* Once it has returned, there are no more calls. */
void xb_ticker_stop(struct xb_ticker *ticker);
XB_DEFINE_CLEANUP(xb_ticker_stopp, struct xb_ticker, xb_ticker_stop);
