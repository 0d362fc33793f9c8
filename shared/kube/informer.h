/* SPDX-License-Identifier: Apache-2.0
 *
 * informer.h - a local copy of some objects that follows the API server.
 *
 * What for:  the cached world that planners look at. A named machine: LIST (in pages) fills it,
 *            WATCH follows changes, BACKOFF waits after failures. 410 or a line that makes no sense
 *            leads to LIST; everything else resumes the WATCH where it was.
 * Ownership: the caller owns the informer and frees it before client and loop, not from within its
 *            callbacks. Objects are lent: they are the informer's, and change only by being
 *            replaced; json_object_get keeps one.
 * Threads:   all on the loop's thread. Others may look at an object that is kept for them, and no
 *            more: json-c counts references without atomic operations, so what a worker is to keep,
 *            or to give up, is a copy (json_object_deep_copy).
 * Blocking:  never (but see xb_kube_bearer: a token file of a few hundred bytes is read once a
 *            minute).
 * Shapes:    keys are "namespace/name", or "name" for cluster-scoped objects. on_change comes for
 *            each object of the first LIST too, before on_synced. A later LIST reports only what
 *            differs.
 * Errors:    are logged here and lead to BACKOFF; the copy then stays as it was.
 * Limits:    XB_KUBE_INFORMER_*, pages as in client.h, lines as in lines.h.
 * Source:    Kubernetes API concepts: efficient detection of changes.
 */
#pragma once

#include "shared/kube/client.h"
#include "shared/runtime/loop.h"

enum {
    XB_KUBE_INFORMER_OBJECTS_MAX = 200000, /* default; above it the informer does not sync */
    XB_KUBE_INFORMER_WATCH_S = 300,        /* a watch lasts this long, up to twice, by the server */
    XB_KUBE_INFORMER_GRACE_S = 30,         /* then the client ends it */
    XB_KUBE_INFORMER_LIST_S = 120,         /* one page */
    XB_KUBE_INFORMER_BACKOFF_FIRST_MS = 500,
    XB_KUBE_INFORMER_RESUMES_MAX = 3 /* failed watches in a row before a new LIST */
};

struct xb_kube_informer;

struct xb_kube_informer_options {
    struct xb_loop *loop;
    struct xb_kube_client *client;
    const struct xb_kube_resource *resource;
    const char *namespace;      /* NULL: all */
    const char *label_selector; /* may be NULL */
    const char *field_selector; /* may be NULL */
    unsigned limit;             /* objects per page; 0: XB_KUBE_PAGE_OBJECTS */
    size_t objects_max;         /* 0: XB_KUBE_INFORMER_OBJECTS_MAX */
    /* Cuts from a new object what nobody needs, to save memory; may be NULL. */
    void (*trim)(void *context, xb_json *object);
    /* `object` is NULL when it is gone. */
    void (*on_change)(void *context, const char *key, xb_json *object);
    void (*on_synced)(void *context); /* once, when the first LIST is whole; may be NULL */
    void *context;
};

/* Starts at once (the loop must run for anything to happen). */
int xb_kube_informer_new(const struct xb_kube_informer_options *options,
                         struct xb_kube_informer **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_kube_informer_free(struct xb_kube_informer *informer);
XB_DEFINE_CLEANUP(xb_kube_informer_freep, struct xb_kube_informer, xb_kube_informer_free);

/* True once the first LIST was whole: before, absence means nothing. */
bool xb_kube_informer_synced(const struct xb_kube_informer *informer);

/* NULL when there is none. */
xb_json *xb_kube_informer_get(const struct xb_kube_informer *informer, const char *key);

/* Every object, in no special order, until fn returns false. fn must not turn the loop. */
void xb_kube_informer_each(const struct xb_kube_informer *informer,
                           bool (*fn)(void *context, const char *key, xb_json *object),
                           void *context);

struct xb_kube_informer_counts {
    size_t objects;
    uint64_t lists, watches, failures, events;
};
void xb_kube_informer_counts(const struct xb_kube_informer *informer,
                             struct xb_kube_informer_counts *ret);

/* A trim callback: drops metadata.managedFields. */
void xb_kube_trim_managed_fields(void *context, xb_json *object);
