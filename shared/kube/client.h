/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h - one request to the API server.
 *
 * What for:  the blocking verbs that actions use on worker threads. Watching is informer.h.
 * Ownership: the client copies what it needs of the config. Objects handed out belong to the caller
 *            (json_object_put). A ref lends its strings for the call.
 * Threads:   any number at once.
 * Blocking:  up to XB_KUBE_TIMEOUT_MS per attempt, and XB_KUBE_ATTEMPTS_MAX attempts.
 * Errors:    NOT_FOUND 404; CONFLICT 409 (code -EEXIST: AlreadyExists, else -ESTALE);
 *            DENIED 401, 403 with verb and resource; INVALID 400, 405, 406, 413, 415, 422 with the
 *            server's message; RETRY 410 (code -EIDRM: the version asked for is gone), 429, 5xx and
 *            no answer; CORRUPT: the answer is not JSON; CANCELLED. Reads are tried again after
 *            RETRY, 429 after its Retry-After for every verb; a write whose answer was lost is not:
 *            the caller looks anew.
 * Limits:    XB_KUBE_* below.
 * Source:    Kubernetes API conventions.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/codec/json.h"
#include "shared/kube/config.h"

enum {
    XB_KUBE_TIMEOUT_MS = 30 * 1000,
    XB_KUBE_ATTEMPTS_MAX = 4,
    XB_KUBE_OBJECT_BYTES_MAX = 8 << 20, /* one object or request body */
    XB_KUBE_PAGE_BYTES_MAX = 32 << 20,  /* one page of a list; smaller pages are tried above it */
    XB_KUBE_PAGE_GOAL_BYTES = 2 << 20,
    XB_KUBE_PAGE_OBJECTS = 500,
    XB_KUBE_PAGES_MAX = 1000000,
    XB_KUBE_LIST_RESTARTS_MAX = 3
};

struct xb_kube_client;
struct xb_kube_pace;

/* A kind of object: group "" is the core group. */
struct xb_kube_resource {
    const char *group, *version, *plural, *kind;
    bool namespaced;
};

/* One object, or with name NULL a collection. */
struct xb_kube_ref {
    const struct xb_kube_resource *resource;
    const char *namespace;     /* NULL: cluster-scoped, or all namespaces */
    const char *name;          /* NULL when creating (the body has it) */
    const char *subresource;   /* "status", ...; may be NULL */
    const atomic_bool *cancel; /* ends the request; may be NULL */
};

struct xb_kube_client_options {
    unsigned connections_max; /* 0: XB_HTTP_CONNECTIONS_MAX */
    int timeout_ms;           /* 0: XB_KUBE_TIMEOUT_MS */
    const char *user_agent;   /* NULL: the http module's */
    /* Requests (watches aside) begin at most so often, after a burst; 0: as they come. */
    double requests_per_s;
    unsigned burst;
    struct xb_kube_client *turns_of; /* shares the limit of this client, which outlives it */
    /* For many requests at a time: over few HTTP/2 connections, at this pace (borrowed; outlives
     * the client). */
    bool multiplexed;
    bool dry_run; /* every write is checked by the API server, admission included, and not kept */
    struct xb_kube_pace *pace;
};

/* `options` may be NULL. */
int xb_kube_client_new(const struct xb_kube_config *config,
                       const struct xb_kube_client_options *options, struct xb_kube_client **ret,
                       struct xb_error *err) XB_MUST_CHECK;
void xb_kube_client_free(struct xb_kube_client *client);
XB_DEFINE_CLEANUP(xb_kube_client_freep, struct xb_kube_client, xb_kube_client_free);

int xb_kube_get(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json **ret,
                struct xb_error *err) XB_MUST_CHECK;

/* The writing verbs: `ret` may be NULL when the answer is of no interest. */
int xb_kube_create(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json *body,
                   xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
/* With metadata.resourceVersion in the body: CONFLICT when somebody changed it since. */
int xb_kube_update(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json *body,
                   xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
/* RFC 7386 merge patch; metadata.resourceVersion in it guards as with update. */
int xb_kube_merge_patch(struct xb_kube_client *client, const struct xb_kube_ref *ref,
                        xb_json *patch, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;

struct xb_kube_delete_options {
    const char *uid; /* CONFLICT when the object of that name is another one; may be NULL */
    bool grace_set;
    int64_t grace_seconds;   /* only with grace_set */
    const char *propagation; /* "Background", "Foreground", "Orphan"; NULL: the server's default */
};

/* `options` may be NULL. Success means accepted: finalizers may keep the object for a while. */
int xb_kube_delete(struct xb_kube_client *client, const struct xb_kube_ref *ref,
                   const struct xb_kube_delete_options *options,
                   struct xb_error *err) XB_MUST_CHECK;

struct xb_kube_list {
    const struct xb_kube_resource *resource;
    const char *namespace;      /* NULL: all */
    const char *label_selector; /* may be NULL */
    const char *field_selector; /* may be NULL */
    unsigned limit;             /* objects per page; 0: XB_KUBE_PAGE_OBJECTS */
    const atomic_bool *cancel;  /* may be NULL */
};

/* One object of a list, lent (json_object_get keeps it), apiVersion and kind filled in. A negative
 * return ends the listing with it. */
typedef int xb_kube_item_fn(void *context, xb_json *item, struct xb_error *err);

/* Hands out every object, page by page; at most one page is in memory. When the server forgets
 * the list's version in the middle (410): starts over by itself while nothing was handed out, else
 * RETRY with code -EIDRM, and the caller starts over. */
int xb_kube_list_pages(struct xb_kube_client *client, const struct xb_kube_list *list,
                       xb_kube_item_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;

/* The same with each object as the server sent it: a piece of the page, mostly without apiVersion
 * and kind, lent. What it holds was cut out by its brackets and not looked at (codec/slices.h). The
 * next page is fetched meanwhile; pages get smaller where objects are large, so that two of them
 * are about XB_KUBE_PAGE_GOAL_BYTES each. */
typedef int xb_kube_text_fn(void *context, const char *text, size_t len, struct xb_error *err);
int xb_kube_list_texts(struct xb_kube_client *client, const struct xb_kube_list *list,
                       xb_kube_text_fn *fn, void *context, struct xb_error *err) XB_MUST_CHECK;

/* Sets apiVersion and kind on a list's item, which the server leaves out. */
int xb_kube_item_complete(xb_json *item, const struct xb_kube_resource *resource,
                          struct xb_error *err) XB_MUST_CHECK;

/* GET of any path ("/version"); appends the answer's bytes. */
int xb_kube_raw_get(struct xb_kube_client *client, const char *path, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;
