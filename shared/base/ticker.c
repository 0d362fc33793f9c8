/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/ticker.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/clock.h"

struct xb_ticker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t stopped; /* by the monotonic clock */
    bool stop;
    unsigned every_ms;
    xb_ticker_fn *fn;
    void *context;
};

/* Waits, with the lock held, until it is time or over. */
static void wait_for_turn(struct xb_ticker *ticker)
{
    int64_t until_ns = xb_clock_mono_ns() + ticker->every_ms * XB_NS_PER_MS;
    const struct timespec until = {.tv_sec = until_ns / XB_NS_PER_S,
                                   .tv_nsec = until_ns % XB_NS_PER_S};
    while (!ticker->stop &&
           pthread_cond_timedwait(&ticker->stopped, &ticker->lock, &until) != ETIMEDOUT) {
    }
}

static void *run(void *context)
{
    struct xb_ticker *ticker = context;
    pthread_mutex_lock(&ticker->lock);
    wait_for_turn(ticker);
    while (!ticker->stop) {
        pthread_mutex_unlock(&ticker->lock);
        ticker->fn(ticker->context);
        pthread_mutex_lock(&ticker->lock);
        wait_for_turn(ticker);
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

static void destroy(struct xb_ticker *ticker)
{
    pthread_cond_destroy(&ticker->stopped);
    pthread_mutex_destroy(&ticker->lock);
    free(ticker);
}

int xb_ticker_start(unsigned every_ms, xb_ticker_fn *fn, void *context, struct xb_ticker **ret,
                    struct xb_error *err)
{
    struct xb_ticker *ticker = calloc(1, sizeof *ticker);
    pthread_condattr_t monotonic;
    if (!ticker) {
        return xb_error_no_memory(err, "a ticker");
    }
    *ticker = (struct xb_ticker){
        .lock = PTHREAD_MUTEX_INITIALIZER, .every_ms = every_ms, .fn = fn, .context = context};
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = pthread_create(&ticker->thread, NULL, run, ticker);
    if (error) {
        destroy(ticker);
        return xb_error_errno(err, error, "starting a thread");
    }
    *ret = ticker;
    return 0;
}

void xb_ticker_stop(struct xb_ticker *ticker)
{
    if (!ticker) {
        return;
    }
    pthread_mutex_lock(&ticker->lock);
    ticker->stop = true;
    pthread_cond_signal(&ticker->stopped);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    destroy(ticker);
}
