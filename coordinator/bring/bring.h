/* SPDX-License-Identifier: Apache-2.0
 *
 * bring.h - brings the items of a backup into the cluster: the work of a restore.
 *
 * What for:  the record comes down, its items go onto scratch disk by kind, and into the cluster
 *            kind by kind in the order in which they need one another; the items of one kind by
 *            several threads at once. Whatever happens to one item is a series of steps, in a
 *            table in item.c.
 * Ownership: options lend for the call. The caller owns the result (xb_brought_free), also after a
 *            failure.
 * Threads:   one call per thread; it starts threads of its own and ends them. The callbacks come
 *            from any of them, `progress` from one at a time.
 * Blocking:  yes (store, scratch disk, API): on a worker.
 * Errors:    those that end the restore: RETRY and CANCELLED for a call that may be made again, all
 *            others for good. What is wrong with one item is an error line in the log, and the
 *            restore PartiallyFailed.
 * Memory:    XB_BRING_QUEUE_MAX items; the names of namespaces; per item its name for the resource
 *            list; the backup's orders for volumes.
 * Source:    velero-contract section 4.
 */
#pragma once

#include <stdatomic.h>

#include "coordinator/collect/resource_list.h"
#include "coordinator/modify/modify.h"
#include "coordinator/record/log.h"
#include "shared/kube/client.h"
#include "shared/store/store.h"

enum {
    XB_BRING_PROGRESS_MS = 1000, /* it is told so often */
    XB_BRING_THREADS = 32,       /* items of one restore under way */
    XB_BRING_QUEUE_MAX = 64,     /* items that wait for them */
    XB_BRING_TRIES_MAX = 6       /* of one item's creation, where it may do better later */
};

/* How far a restore has got. To be kept where the next run finds it, also that of another process:
 * see track.h. */
#define XB_BRING_MARK_ANNOTATION "xebec.io/restored-so-far"

struct xb_bring_progress {
    uint64_t items, items_total;
    const char *mark;
};

struct xb_bring_options {
    struct xb_kube_client *client;
    xb_json *restore, *backup; /* the objects */
    struct xb_store *store;    /* the backup's location */
    const char *identity;      /* of that store */
    const char *folder;        /* on scratch; exists, and is nobody else's */
    struct xb_record_log *log;
    const char *priorities;   /* --restore-resource-priorities; NULL: Velero's order */
    const char *helper_image; /* in which pods wait for their volumes */
    int64_t terminating_ns;   /* how long the end of a namespace is waited for */
    int64_t definitions_ns;   /* how long for new definitions to be served, all together */
    const atomic_bool *cancel;
    bool (*may_write)(void *context); /* false: another coordinator leads; asked before a write */
    void (*progress)(void *context, const struct xb_bring_progress *progress);
    void *context;
    bool dry_run;     /* `client` writes nothing: what would be done is told, and not done */
    const char *mark; /* what XB_BRING_MARK_ANNOTATION says; NULL: nothing */
};

struct xb_brought {
    struct xb_resource_list list;
    xb_json *orders;  /* array: names of the PodVolumeRestores */
    xb_json *volumes; /* array: what new volumes are to be like, for finish.h: namespace, claim,
                         reclaimPolicy, labels */
    xb_json *hooked;  /* array: pods that were made and have hooks, {"namespace","name","uid"} */
    uint64_t items, items_total;
};

int xb_bring(const struct xb_bring_options *options, struct xb_brought *ret,
             struct xb_error *err) XB_MUST_CHECK;
void xb_brought_free(struct xb_brought *brought); /* what it owns */

/* The resource modifiers that a restore names; NULL: it names none. INVALID or NOT_FOUND: they
 * cannot be read, in words for status.validationErrors. */
int xb_bring_read_modifiers(struct xb_kube_client *client, xb_json *restore,
                            struct xb_modifiers **ret, struct xb_error *err) XB_MUST_CHECK;
