/* SPDX-License-Identifier: Apache-2.0
 *
 * events.h - Kubernetes Events: what happened to an object, where `kubectl describe` shows it.
 *
 * What for:  a user who looks at a Backup sees that it began, ended, or why it failed.
 * Ownership: the caller frees it before the client. What is said is copied.
 * Threads:   any; one thread of its own sends.
 * Blocking:  never; free, up to one request to the API server, which it cancels.
 * Shapes:    the same thing said of the same object within XB_KUBE_EVENTS_SAME_S is one Event whose
 *            count grows.
 * Errors:    none: an Event is a courtesy. What cannot be sent is logged at debug, and dropped.
 * Limits:    XB_KUBE_EVENTS_WAITING_MAX wait, then new ones are dropped; of one object
 *            XB_KUBE_EVENTS_BURST at once and one more every XB_KUBE_EVENTS_EVERY_S; a message of
 *            XB_KUBE_EVENT_MESSAGE_BYTES.
 * Source:    Kubernetes API, core/v1 Event.
 */
#pragma once

#include "shared/kube/client.h"

enum {
    XB_KUBE_EVENTS_WAITING_MAX = 256,
    XB_KUBE_EVENTS_KNOWN_MAX = 128,
    XB_KUBE_EVENTS_SAME_S = 600,
    XB_KUBE_EVENTS_BURST = 10,
    XB_KUBE_EVENTS_EVERY_S = 60,
    XB_KUBE_EVENT_MESSAGE_BYTES = 1000
};

struct xb_kube_event {
    bool warning;
    const char *reason; /* one word: "BackupStarted" */
    const char *message;
};

struct xb_kube_events;

/* `component`: who says it ("velero"); `instance`: which one of them. Both are copied. */
int xb_kube_events_new(struct xb_kube_client *client, const char *component, const char *instance,
                       struct xb_kube_events **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_kube_events_free(struct xb_kube_events *events);
XB_DEFINE_CLEANUP(xb_kube_events_freep, struct xb_kube_events, xb_kube_events_free);

/* NULL events: nothing happens. */
void xb_kube_events_say(struct xb_kube_events *events, const struct xb_kube_resource *resource,
                        xb_json *object, const struct xb_kube_event *event);

/* How many were sent, counted up, and dropped so far. */
struct xb_kube_events_counts {
    uint64_t made, repeated, dropped;
};
void xb_kube_events_counts(struct xb_kube_events *events, struct xb_kube_events_counts *ret);
