/* SPDX-License-Identifier: Apache-2.0
 * Which method, in which order, and how long it took. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/freeze/internal.h"
#include "shared/base/clock.h"
#include "shared/base/ticker.h"

/* Best first. */
static const struct xb_freeze_driver *const drivers[] = {
    &xb_freeze_btrfs, &xb_freeze_zfs, &xb_freeze_lvm, &xb_freeze_image, &xb_freeze_tree, NULL};

static uint64_t us_since(int64_t began_ns)
{
    return (uint64_t)((xb_clock_mono_ns() - began_ns) / 1000);
}

static bool allowed(const struct xb_freeze *freeze, enum xb_freeze_method method)
{
    return freeze->request.methods & (1U << method);
}

/* Why a method was not had. What finds no room is cut: the first reasons are those of the best. */
static void add_reason(struct xb_freeze *freeze, enum xb_freeze_method method, const char *text)
{
    char *reasons = freeze->facts.reasons;
    size_t len = strlen(reasons);
    snprintf(reasons + len, sizeof freeze->facts.reasons - len, "%s%s: %s", len ? "; " : "",
             xb_freeze_method_name(method), text);
}

/* Everything that there is of the method, if any was prepared or tried. */
static void drop(struct xb_freeze *freeze, const struct xb_freeze_driver *driver)
{
    xb_ticker_stop(freeze->watch);
    freeze->watch = NULL;
    xb_closep(&freeze->root_fd);
    freeze->root_fd = -1;
    if (driver) {
        driver->remove(freeze);
        driver->drop(freeze);
    }
    xb_freeze_place_close(freeze);
    freeze->driver = NULL;
}

static void become_live(struct xb_freeze *freeze)
{
    drop(freeze, freeze->driver);
    freeze->facts.method = XB_FREEZE_LIVE;
    freeze->facts.consistency = XB_FREEZE_FUZZY;
    freeze->facts.freeze_us = 0;
    freeze->facts.frozen_us = 0;
    freeze->facts.taken_ns = 0;
}

static int need_live(const struct xb_freeze *freeze, struct xb_error *err)
{
    return allowed(freeze, XB_FREEZE_LIVE)
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                              "no copy of %.150s can be had, and it must not be read without one: "
                              "%.400s",
                              freeze->request.path, freeze->facts.reasons);
}

bool xb_freeze_cancelled(const struct xb_freeze *freeze)
{
    return freeze->request.cancel && atomic_load(freeze->request.cancel);
}

int xb_freeze_flush(const struct xb_freeze *freeze, struct xb_error *err)
{
    return syncfs(freeze->request.root_fd) < 0
               ? xb_error_errno(err, errno, "writing its changes to the disk")
               : 0;
}

static int choose(struct xb_freeze *freeze, struct xb_error *err)
{
    for (size_t i = 0; drivers[i] && !freeze->driver; i++) {
        struct xb_error why = XB_ERROR_INIT;
        if (!allowed(freeze, drivers[i]->method)) {
            if (!(1U << drivers[i]->method & XB_FREEZE_EXPERIMENTAL)) {
                add_reason(freeze, drivers[i]->method, "not allowed");
            }
            continue;
        }
        int r = drivers[i]->prepare(freeze, &why);
        if (r == 0) {
            freeze->driver = drivers[i];
            freeze->facts.method = drivers[i]->method;
            freeze->facts.consistency = drivers[i]->consistency;
            return 0;
        }
        drop(freeze, drivers[i]);
        if (xb_freeze_cancelled(freeze) || why.kind == XB_ERR_CONFLICT) {
            *err = why;
            return r;
        }
        add_reason(freeze, drivers[i]->method, why.text);
    }
    become_live(freeze);
    return need_live(freeze, err);
}

int xb_freeze_prepare(const struct xb_freeze_request *request, struct xb_freeze **ret,
                      struct xb_error *err)
{
    int64_t began_ns = xb_clock_mono_ns();
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *freeze = calloc(1, sizeof *freeze);
    if (!freeze) {
        return xb_error_no_memory(err, "a copy");
    }
    freeze->request = *request;
    freeze->request.methods = request->methods ? request->methods : XB_FREEZE_ANY;
    freeze->root_fd = -1;
    freeze->place = XB_FREEZE_NO_PLACE;
    pthread_mutex_init(&freeze->losing, NULL);
    int r = choose(freeze, err);
    if (r < 0) {
        return r;
    }
    freeze->facts.prepare_us = us_since(began_ns);
    *ret = XB_TAKE(freeze);
    return 0;
}

/* What was prepared cannot be had after all: live, if that is allowed. */
static int do_without(struct xb_freeze *freeze, const struct xb_error *why, struct xb_error *err)
{
    if (xb_freeze_cancelled(freeze)) {
        *err = *why;
        return why->code;
    }
    add_reason(freeze, freeze->driver->method, why->text);
    become_live(freeze);
    return need_live(freeze, err);
}

int xb_freeze_refresh(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int64_t began_ns = xb_clock_mono_ns();
    if (!freeze->driver || !freeze->driver->refresh) {
        return 0;
    }
    if (freeze->driver->refresh(freeze, &why) < 0) {
        return do_without(freeze, &why, err);
    }
    freeze->facts.prepare_us += us_since(began_ns);
    return 0;
}

int xb_freeze_take(struct xb_freeze *freeze, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int64_t began_ns = xb_clock_mono_ns();
    int64_t wall_ns = xb_clock_wall_ns();
    if (!freeze->driver) {
        return 0;
    }
    int r = freeze->driver->take(freeze, &why);
    if (r == 0) {
        freeze->facts.freeze_us = us_since(began_ns);
        freeze->facts.taken_ns = wall_ns;
        r = xb_freeze_space_watch(freeze, &why);
    }
    return r < 0 ? do_without(freeze, &why, err) : 0;
}

void xb_freeze_lose(struct xb_freeze *freeze, const char *reason)
{
    pthread_mutex_lock(&freeze->losing);
    if (!atomic_load(&freeze->lost)) {
        snprintf(freeze->lost_reason, sizeof freeze->lost_reason, "%s", reason);
        /* First the flag: whoever then misses a file knows why. */
        atomic_store(&freeze->lost, true);
        freeze->driver->remove(freeze);
    }
    pthread_mutex_unlock(&freeze->losing);
}

void xb_freeze_open(struct xb_freeze *freeze)
{
    struct xb_error err = XB_ERROR_INIT;
    if (freeze->driver && freeze->driver->open && !freeze->opened && !atomic_load(&freeze->lost) &&
        freeze->driver->open(freeze, &err) < 0) {
        char reason[XB_FREEZE_REASONS_BYTES + 60];
        snprintf(reason, sizeof reason, "the copy cannot be read: %s", err.text);
        xb_freeze_lose(freeze, reason);
    }
    freeze->opened = true;
}

void xb_freeze_free(struct xb_freeze *freeze)
{
    if (!freeze) {
        return;
    }
    drop(freeze, freeze->driver);
    pthread_mutex_destroy(&freeze->losing);
    free(freeze);
}

void xb_freeze_describe(const struct xb_freeze *freeze, struct xb_freeze_facts *ret)
{
    *ret = freeze->facts;
}

const atomic_bool *xb_freeze_lost(const struct xb_freeze *freeze)
{
    return &freeze->lost;
}

const char *xb_freeze_lost_reason(const struct xb_freeze *freeze)
{
    return atomic_load(&freeze->lost) ? freeze->lost_reason : "";
}

int xb_freeze_fall_back(struct xb_freeze *freeze, struct xb_error *err)
{
    if (freeze->driver) {
        add_reason(freeze, freeze->driver->method, freeze->lost_reason);
    }
    become_live(freeze);
    atomic_store(&freeze->lost, false);
    return need_live(freeze, err);
}

int xb_freeze_root(const struct xb_freeze *freeze)
{
    return freeze->root_fd >= 0 ? freeze->root_fd : freeze->request.root_fd;
}

const struct xb_listing *xb_freeze_listing(const struct xb_freeze *freeze)
{
    return freeze->listing;
}
