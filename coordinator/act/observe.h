/* SPDX-License-Identifier: Apache-2.0
 *
 * observe.h - what an object's change tells a user: meters and Events.
 *
 * What for:  counting and telling in one place, from the phases that go by in the watch, so that
 *            no step of a backup has to. The first sight of an object that was there before this
 *            process was counts nothing; only what happens while this process leads does.
 * Ownership: the observer borrows meters and events.
 * Threads:   the loop thread.
 * Blocking:  never.
 * Limits:    one short text in memory per object of the kinds that it knows.
 */
#pragma once

#include "coordinator/act/meters.h"
#include "shared/kube/events.h"
#include "shared/velero/velero.h"

struct xb_observer;

int xb_observer_new(struct xb_meters *meters, struct xb_kube_events *events,
                    struct xb_observer **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_observer_free(struct xb_observer *observer);
XB_DEFINE_CLEANUP(xb_observer_freep, struct xb_observer, xb_observer_free);

struct xb_sight {
    const struct xb_kube_resource *resource; /* kinds that nobody counts are passed over */
    const char *key;
    xb_json *object; /* NULL: it is gone */
    bool first;      /* of the first list: it was there before */
    bool leading;
};
void xb_observe(struct xb_observer *observer, const struct xb_sight *sight);
