/* SPDX-License-Identifier: Apache-2.0
 * Every file cloned. Each clone is of one moment, but of its own: no more than that is said. */
#include <stdlib.h>

#include "agent/freeze/internal.h"
#include "agent/freeze/scan.h"
#include "shared/base/clock.h"
#include "shared/base/cpus.h"

/* Looking again before the application stands still goes on for as long as that makes less. */
enum { REFRESHES_MAX = 4, REFRESHED_FEW = 16 };

struct xb_freeze_state {
    struct xb_workers *workers;
    unsigned threads;
    struct xb_listing *before; /* what the application was while it worked on */
    uint64_t clone_counts[XB_FREEZE_THREADS_MAX];
};

/* The last pass, when the application stands still, has a limit. */
static int scan(struct xb_freeze *freeze, const struct xb_listing *from, struct xb_listing *to,
                struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    const struct xb_scan pass = {
        .freeze = freeze,
        .workers = state->workers,
        .threads = state->threads,
        .from = from,
        .to = to,
        .clone_counts = state->clone_counts,
        .until_ns =
            to == freeze->listing ? xb_clock_mono_ns() + XB_FREEZE_TAKE_MS_MAX * XB_NS_PER_MS : 0};
    return xb_scan_run(&pass, err);
}

static int make_state(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = calloc(1, sizeof *state);
    if (!state) {
        return xb_error_no_memory(err, "a copy");
    }
    freeze->state = state;
    state->threads = freeze->request.threads ? freeze->request.threads : xb_cpus_usable();
    if (state->threads > XB_FREEZE_THREADS_MAX) {
        state->threads = XB_FREEZE_THREADS_MAX;
    }
    return xb_workers_new(state->threads, state->threads, &state->workers, err);
}

static int prepare(struct xb_freeze *freeze, struct xb_error *err)
{
    int r = make_state(freeze, err);
    if (r < 0 || (r = xb_freeze_space_begin(freeze, freeze->request.root_fd, err)) < 0 ||
        (r = xb_freeze_place_make(freeze, err)) < 0) {
        return r;
    }
    struct xb_freeze_state *state = freeze->state;
    int clones = freeze->place.fd;
    r = xb_freeze_clone_prepare(clones, state->threads, err);
    if (r < 0) {
        return r;
    }
    /* Cloning a file writes it to the disk first: all at once that is faster. */
    r = xb_freeze_flush(freeze, err);
    if (r < 0 || (r = xb_listing_new(state->threads, clones, &state->before, err)) < 0 ||
        (r = scan(freeze, NULL, state->before, err)) < 0 ||
        (r = xb_listing_new(state->threads, clones, &freeze->listing, err)) < 0) {
        return r;
    }
    return xb_listing_reserve_like(freeze->listing, state->before, err);
}

static uint64_t clone_count(const struct xb_freeze_state *state)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < state->threads; i++) {
        count += state->clone_counts[i];
    }
    return count;
}

/* A pass takes a while, and the next one finds what has changed meanwhile: less and less. */
static int refresh(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_freeze_state *state = freeze->state;
    uint64_t last = UINT64_MAX;
    int r = 0;
    for (int i = 0; r == 0 && i < REFRESHES_MAX && last > REFRESHED_FEW; i++) {
        XB_CLEANUP(xb_listing_freep) struct xb_listing *next = NULL;
        uint64_t before = clone_count(state);
        if ((r = xb_freeze_flush(freeze, err)) < 0 ||
            (r = xb_listing_new(state->threads, freeze->place.fd, &next, err)) < 0 ||
            (r = scan(freeze, state->before, next, err)) < 0) {
            return r;
        }
        xb_listing_free(state->before);
        state->before = XB_TAKE(next);
        uint64_t now = clone_count(state) - before;
        last = now < last / 2 ? now : 0;
    }
    return xb_listing_reserve_like(freeze->listing, state->before, err);
}

static int take(struct xb_freeze *freeze, struct xb_error *err)
{
    return scan(freeze, freeze->state->before, freeze->listing, err);
}

static void drop(struct xb_freeze *freeze)
{
    xb_listing_free(freeze->listing);
    freeze->listing = NULL;
    if (freeze->state) {
        xb_workers_free(freeze->state->workers);
        xb_listing_free(freeze->state->before);
        free(freeze->state);
        freeze->state = NULL;
    }
}

const struct xb_freeze_driver xb_freeze_tree = {.method = XB_FREEZE_TREE,
                                                .consistency = XB_FREEZE_PER_FILE,
                                                .prepare = prepare,
                                                .refresh = refresh,
                                                .take = take,
                                                .remove = xb_freeze_place_remove,
                                                .drop = drop};
