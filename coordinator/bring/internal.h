/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - one restore under way, and one item of it; for the files of this folder only.
 *
 * What for:  bring.c begins and ends; load.c takes the record apart; groups.c goes kind by kind and
 *            hands items to threads; item.c takes one item through its steps, each in a file of its
 *            own.
 * Threads:   an item belongs to the thread that has it. What struct xb_bring has is only read while
 *            items are under way, but for the part below its lock.
 * Rules:     shared JSON is looked at with the accessors of codec/json.h, and never gets or loses
 *            a reference: json-c counts them without atomic operations. What an item is to keep of
 *            it is copied (json_object_deep_copy).
 */
#pragma once

#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "coordinator/bring/bring.h"
#include "coordinator/bring/track.h"
#include "coordinator/bring/wait_settings.h"
#include "coordinator/collect/filter.h"
#include "coordinator/record/spool.h"
#include "coordinator/restore/transform.h"
#include "shared/kube/discovery.h"
#include "shared/velero/in_place.h"
#include "shared/velero/velero.h"

#define XB_BRING_DEFINITIONS "customresourcedefinitions.apiextensions.k8s.io"

/* What a ConfigMap that is found by its label says. */
struct xb_bring_setting {
    xb_json *data; /* "key": "value"; NULL: there is none */
    char *problem; /* why it cannot be read; NULL: it can */
};

enum xb_bring_outcome {
    XB_BRING_OPEN,     /* the next step goes on with it */
    XB_BRING_LEFT_OUT, /* not in the restore: no trace but the log's */
    XB_BRING_CREATED,
    XB_BRING_UPDATED,
    XB_BRING_SKIPPED,     /* is there already, and stays as it is */
    XB_BRING_PASSED_OVER, /* a volume, in whose place its claim gets another one */
    XB_BRING_FAILED,
    XB_BRING_OUTCOMES
};

struct xb_bring {
    const struct xb_bring_options *options;
    xb_json *restore;    /* a copy of our own */
    xb_json *data;       /* "namespace/pod/volume" and "namespace//claim": its PodVolumeBackup */
    xb_json *infos;      /* array of volume infos, may be empty */
    xb_json *namespaces; /* name: its object in the backup */
    xb_json *info_of;    /* "/volume" and "namespace/claim": its volume info */
    xb_json *related;    /* "resource/namespace/name": comes along with what the filters take */
    xb_json *claims;     /* only while the record is taken apart: such a claim's volume */
    struct xb_in_place in_place; /* wanted: nothing else is */
    struct xb_filter *filter;
    struct xb_filter *status_filter;     /* kinds whose status is restored, too; NULL: none */
    struct xb_kube_discovery *discovery; /* made anew between two kinds */
    struct xb_spool *spool;
    struct xb_bring_track *track;
    struct xb_restore_context context;
    struct xb_modifiers *modifiers; /* NULL: none */
    /* Other storage classes; other images; how pods wait for their volumes. */
    struct xb_bring_setting classes, images, waiting;
    struct xb_bring_setting nodes; /* other names of nodes */
    xb_json *nodes_here;           /* name: true; NULL: not known */
    struct xb_wait_settings wait;  /* what `waiting` says; the context lends it */
    char backup_label[XB_VELERO_LABEL_BYTES], restore_label[XB_VELERO_LABEL_BYTES];

    pthread_mutex_t lock;       /* of all below */
    pthread_cond_t settled;     /* some namespace is made or refused */
    struct xb_brought *brought; /* the result */
    xb_json *settling;          /* namespace: 0 (being made), true (is there), text (why not) */
    xb_json *classes_seen;      /* name: true, for storage classes that are there */
    xb_json *left_out;          /* name: true, for volumes of the backup that are not made again */
    xb_json *kept;              /* name: true, for those that are, though their data comes apart */
    xb_json *alone;             /* array: the PodVolumeBackups of claims that no pod had mounted */
    xb_json *alone_made;        /* "namespace/name" in the backup: true, for those made anew */
    xb_json *served;            /* snapshot: true, for those that some order of ours brings back */
    xb_json *definitions;       /* array: names of those that must be established */
    xb_json *pretended;         /* "resource/namespace/name": true, what a dry run would bring */
    uint64_t outcomes[XB_BRING_OUTCOMES]; /* how many items would have which, in a dry run */
    bool telling;                         /* some thread tells the progress */
    int64_t told_ns;                      /* monotonic: when it was told last */
    bool failed;                          /* `failure` ends the restore; no item begins any more */
    struct xb_error failure;
};

/* One item on its way. */
struct xb_bring_item {
    uint64_t number;  /* in its kind */
    bool done_before; /* an earlier run of this restore has brought it to its end: what is missing
                         of it was deleted since, and is not made again */
    const struct xb_tarball_item *from; /* its place in the backup: names before the mapping */
    const char *namespace; /* that it goes into, by which people are told of it; NULL: the same */
    const char *text;      /* its JSON as the backup has it */
    size_t len;
    const struct xb_kube_api *api; /* the kind here */
    xb_json *object;               /* as the backup has it, and step by step as it is to be */
    xb_json *live; /* what this restore has made of it, as the server says; only where `watched` */
    bool watched;  /* a later step needs `live` */
    bool there;    /* CREATED, and not deleted since by somebody */
    xb_json *owners; /* of fields, as they are to be again; NULL: as they come */
    xb_json *status; /* as the backup has it; NULL: the cluster's own counts */
    enum xb_bring_outcome outcome;
    struct xb_record_lines lines; /* written when it has come to its end */
};

static inline bool xb_bring_is(const struct xb_bring_item *item, const char *resource)
{
    return strcmp(item->from->resource, resource) == 0;
}

/* ---- the whole ---- */

int xb_bring_load(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* Only what the record says of volumes. */
int xb_bring_load_volumes(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* The record's tarball onto scratch; the caller unlinks it. */
int xb_bring_load_tarball(struct xb_bring *bring, char path[PATH_MAX],
                          struct xb_error *err) XB_MUST_CHECK;
int xb_bring_groups(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* Asks the API server anew what it serves. */
int xb_bring_discover(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* NULL: not served. `version` "": the preferred one. */
const struct xb_kube_api *xb_bring_api(const struct xb_bring *bring, const char *resource,
                                       const char *version);
/* Whether to go on: a cancelled restore and one that has failed do not. */
bool xb_bring_goes_on(struct xb_bring *bring);
/* Asked before a write: CANCELLED when the restore is not ours any more. */
int xb_bring_may_write(const struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* Sleeps; false when the restore was cancelled meanwhile. */
bool xb_bring_pause(const struct xb_bring *bring, int64_t ms);
/* An object stands in the list of the restore's: it counts. With the lock held. */
int xb_bring_list(struct xb_bring *bring, xb_json *object, const char *word,
                  struct xb_error *err) XB_MUST_CHECK;
/* Tells how far the restore is, every now and then. */
void xb_bring_tell_now_and_then(struct xb_bring *bring);
/* Tells it now. */
void xb_bring_tell(struct xb_bring *bring);

/* ---- items ---- */

/* An item as it comes from the spool. */
struct xb_bring_source {
    struct xb_tarball_item from;
    uint64_t number;
    const char *text;
    size_t len;
};
/* Takes an item through its steps to its end. Only what ends the restore is an error. */
int xb_bring_item(struct xb_bring *bring, const struct xb_bring_source *source,
                  struct xb_error *err) XB_MUST_CHECK;
/* A line of the restore's log: "configmaps web/settings: ...", by the namespace that it goes into,
 * as with Velero. */
void xb_bring_say(struct xb_bring_item *item, enum xb_record_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A step. It may change item->object, and end the way by another outcome than OPEN; an error is the
 * item's, which has FAILED then, unless it ends the restore (RETRY, CANCELLED, FULL). */
typedef int xb_bring_step(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err);

/* choose.c: whether the restore's filters take it; whether it is what its folder says. */
xb_bring_step xb_bring_choose_kind, xb_bring_check_place, xb_bring_choose_object;
/* The labels that the restore asks for. */
bool xb_bring_selects(const struct xb_bring *bring, xb_json *object);
/* modify.c: storage classes and images that have other names here; resource modifiers. */
xb_bring_step xb_bring_change_names, xb_bring_modify;
/* nodes.c: nodes that have other names here, or are not here. */
xb_bring_step xb_bring_change_nodes;
/* volumes.c: how persistent volumes and claims come back; the pod waits for its volumes; orders. */
xb_bring_step xb_bring_decide_volume, xb_bring_wait_for_volumes, xb_bring_order_volumes;
/* hooks.c: init containers of hooks; which pods have commands to be run in them. */
xb_bring_step xb_bring_add_init_hooks, xb_bring_note_hooks;
/* namespaces.c: the namespace that it goes into is there. */
xb_bring_step xb_bring_enter_namespace;
/* owners.c: which manager owns which field, where that matters; before the transformation, which
 * drops it, and after the creation. */
xb_bring_step xb_bring_keep_owners, xb_bring_return_owners;
/* create.c: made, or met as it is there. */
xb_bring_step xb_bring_create;
/* existing.c: what becomes of what is there already. */
xb_bring_step xb_bring_meet_existing;
/* status.c: the status of the backup, which the transformation drops, after the creation. */
xb_bring_step xb_bring_keep_status, xb_bring_return_status;
struct xb_kube_ref xb_bring_ref(const struct xb_bring_item *item);

/* ---- settings ---- */

/* Reads the ConfigMaps that a restore goes by. */
int xb_bring_read_settings(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
void xb_bring_forget_settings(struct xb_bring *bring);
/* A ConfigMap that is found by the label `label: RestoreItemAction`. */
int xb_bring_read_by_label(struct xb_bring *bring, const char *label, struct xb_bring_setting *ret,
                           struct xb_error *err) XB_MUST_CHECK;
/* Which nodes are here, and which of the backup's they stand for. */
int xb_bring_read_nodes(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;

/* ---- namespaces ---- */

/* Makes the namespace that objects of `source` go into, if it is not there. */
int xb_bring_namespace(struct xb_bring *bring, const char *source,
                       struct xb_error *err) XB_MUST_CHECK;
/* All that the filters take, also empty ones. */
int xb_bring_namespaces(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;

/* ---- dry run ---- */

/* A namespace that would be made. */
int xb_bring_pretend_namespace(struct xb_bring *bring, xb_json *namespace,
                               struct xb_error *err) XB_MUST_CHECK;
/* True: the item has come to its end, because its kind, or its namespace, would come only with this
 * restore. Never without a dry run. */
bool xb_bring_pretend_kind(struct xb_bring *bring, struct xb_bring_item *item);
bool xb_bring_pretend_place(struct xb_bring *bring, struct xb_bring_item *item);
/* What the API server's answer `r` means where nothing is kept. */
int xb_bring_pretend_created(struct xb_bring *bring, struct xb_bring_item *item, int r,
                             struct xb_error *err) XB_MUST_CHECK;
/* In the log, of a dry run only: in which fields it differs. */
int xb_bring_tell_difference(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                             struct xb_error *err) XB_MUST_CHECK;
/* What became of an item; of all. */
void xb_bring_pretend_end(struct xb_bring *bring, struct xb_bring_item *item);
void xb_bring_tell_dry_run(struct xb_bring *bring);
/* Which volumes of a pod would get their data. */
void xb_bring_tell_volumes(struct xb_bring *bring, struct xb_bring_item *item);

/* ---- status ---- */

int xb_bring_status_filter(xb_json *restore, struct xb_filter **ret,
                           struct xb_error *err) XB_MUST_CHECK;

/* ---- what comes along ---- */

/* Called for every item while the record is taken apart, then once. */
int xb_bring_look_for_related(struct xb_bring *bring, const struct xb_tarball_item *from,
                              const char *text, size_t len, struct xb_error *err) XB_MUST_CHECK;
int xb_bring_relate(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* Whether it comes in although the filters do not take it by themselves. */
bool xb_bring_comes_along(const struct xb_bring *bring, const struct xb_tarball_item *from);

/* ---- definitions ---- */

/* Waits until the definitions made so far are served, and asks the API server anew what it serves.
 * One that is refused, or not served in time, is an error in the log. */
int xb_bring_await_definitions(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;

/* existing.c: whether this restore has made what is there. */
bool xb_bring_made_by_us(const struct xb_bring *bring, xb_json *existing);

/* ---- one volume in place (in_place.c) ---- */

/* Brings what the Restore's annotations say, and nothing else. */
int xb_bring_in_place(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* new_claim.c: makes the claim that is wanted, and a pod that has it and ends with the restore. */
int xb_bring_new_claim(struct xb_bring *bring, xb_json *data, xb_json **ret_pod,
                       const char **ret_volume, struct xb_error *err) XB_MUST_CHECK;

/* ---- volumes ---- */

/* The orders of an earlier run whose pods are gone: they are waited for and reported, too. */
int xb_bring_find_orders(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;

/* infos.c: the record's volumeinfo by volume and by claim. */
int xb_bring_index_infos(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
enum xb_bring_data {
    XB_BRING_DATA_UNSAID, /* an older record, or not of this volume */
    XB_BRING_DATA_APART,  /* comes back otherwise than by the volume itself */
    XB_BRING_DATA_THERE,  /* on the disk of the volume, which is to come back as it is */
    XB_BRING_DATA_NONE
};
/* Of a PersistentVolume. An error: its data cannot be restored. */
int xb_bring_where_data_is(struct xb_bring *bring, struct xb_bring_item *item,
                           enum xb_bring_data *ret, struct xb_error *err) XB_MUST_CHECK;
/* What the new volume of a claim is to be like when the data is back. */
xb_bring_step xb_bring_note_volume;

/* The PodVolumeBackup with data of a pod's volume; with pod "", of a claim, in any phase; or NULL.
 */
xb_json *xb_bring_data_of(const struct xb_bring *bring, const char *namespace, const char *pod,
                          const char *name);
/* An order for an agent. */
struct xb_bring_order {
    xb_json *data; /* the PodVolumeBackup */
    xb_json *pod;  /* whose volume gets it, as it is in the cluster */
    const char *volume;
    bool in_place; /* the pod does not wait for it */
};
int xb_bring_order(struct xb_bring *bring, const struct xb_bring_order *wanted,
                   struct xb_error *err) XB_MUST_CHECK;
/* Sorts the backup's PodVolumeBackups into bring->data. */
/* Whether a PodVolumeBackup has data that only Xebec restores, so that volumeinfo, which is
 * Velero's to read, does not say so. `pvb` may be NULL. */
bool xb_bring_is_ours(xb_json *pvb);
/* The data of a claim that was backed up without a pod; NULL: it was not. */
xb_json *xb_bring_alone(const struct xb_bring *bring, const char *namespace, const char *claim);
/* A claim was made: one of those? */
void xb_bring_note_alone(struct xb_bring *bring, const struct xb_bring_item *item);
/* After all else: the data of such claims that no restored pod waits for, through pods that do
 * nothing but have them. */
int xb_bring_alone_volumes(struct xb_bring *bring, struct xb_error *err) XB_MUST_CHECK;
/* A pod that has the claim (of the backup's `namespace`), and waits for its volume `*ret_volume` as
 * restored pods do. */
int xb_bring_hold_claim(struct xb_bring *bring, const char *namespace, const char *claim,
                        xb_json **ret_pod, const char **ret_volume,
                        struct xb_error *err) XB_MUST_CHECK;
int xb_bring_index_data(struct xb_bring *bring, xb_json *pvbs, struct xb_error *err) XB_MUST_CHECK;
