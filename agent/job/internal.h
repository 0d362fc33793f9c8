/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running agent from within; for the files of this folder only.
 *
 * What for:  agent.c wires and plans, order.c checks what an order claims, locate.c finds its
 *            volume, backup.c and restore.c carry orders out on a worker (device.c does for raw
 *            block devices), bracket.c runs a pod's hooks around them, hold.c makes copies of
 *            applications that the coordinator holds, stores.c tells the coordinator which stores
 *            this node sees, metrics.c counts, at_once.c and settings.c read what an administrator
 *            wants.
 * Threads:   the client and the options may be used by any; a running order's cancel flag is set by
 *            the loop thread and read by the worker.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/freeze/freeze.h"
#include "agent/job/job.h"
#include "agent/job/settings.h"
#include "agent/volume/volume.h"
#include "shared/kube/client.h"
#include "shared/metrics/meters.h"
#include "shared/repository/snapshot.h"
#include "shared/velero/bracket.h"
#include "shared/velero/in_place.h"
#include "shared/velero/point_in_time.h"

enum { XB_ORDER_MESSAGE_BYTES = 1000, XB_AGENT_INFORMERS = 4 };

struct xb_control;
struct xb_guard;
struct xb_standstill;
struct xb_kube_informer;

enum { XB_AGENT_THAWED = 64 };

/* What guarded.c remembers of the last brackets, by hash. */
struct xb_guarded_notes {
    pthread_mutex_t lock;
    uint64_t unguarded[XB_AGENT_THAWED]; /* the guard did not take them */
    uint64_t reading[XB_AGENT_THAWED];
    unsigned read[XB_AGENT_THAWED]; /* so many of the volumes of `reading` are */
    unsigned unguarded_next, reading_next;
};

struct xb_agent {
    const struct xb_agent_options *options;
    struct xb_kube_client *client;
    struct xb_kube_client *hasty; /* for what may be lost, and for which nobody waits */
    struct xb_loop *loop;
    struct xb_meters *meters;
    struct xb_metrics_server *metrics; /* NULL: its port was taken */
    unsigned at_once;                  /* volumes; backups and restores each */
    atomic_uint synced;                /* of the XB_AGENT_INFORMERS */
    /* Brackets whose post hooks have been run though their orders are gone: hashes of the last
     * ones. */
    _Atomic uint64_t thawed[XB_AGENT_THAWED];
    atomic_uint thawed_next;
    struct xb_guard *guard; /* NULL: there is none */
    struct xb_guarded_notes guarded;
    struct xb_freeze_methods methods; /* of copying, that this node allows */
    pthread_mutex_t copies_lock;
    pthread_cond_t copies_told;
    struct xb_copy *copies; /* of orders whose turn comes; by copies_lock */
};

/* An order while it is carried out. `object` is a copy of its own, for the worker that has the
 * order: it gives it up for a newer one, which must not meet the cache's giving up. */
struct xb_order {
    struct xb_agent *agent;
    const struct xb_kube_resource *resource;
    xb_json *object;
    char *key;          /* "namespace/name" */
    atomic_bool cancel; /* spec.cancel was set, or the daemon ends */
    int64_t patched_ns; /* monotonic, of the last progress */
    bool beside;        /* a step that is not the whole order: post hooks, or a copy */
    bool preparing;     /* ... that nobody is held for yet */
    xb_json *bracketed; /* the Backup for which pre hooks have been run, and no post hooks; NULL:
                           none */
    bool unheld;        /* its application was to be held for it, and goes on */
    /* For metrics, when it has ended; by the worker. */
    int64_t began_ns;  /* monotonic */
    const char *ended; /* the phase; NULL: it goes on */
    uint64_t bytes, bytes_new;
    struct xb_point_in_time point; /* method "": not known */
};

/* A text of the order's object, lent by it; "": there is none. */
static inline const char *xb_order_text(const struct xb_order *order, const char *path)
{
    return xb_json_str(order->object, path, "");
}

/* Lends the order's name. */
static inline struct xb_kube_ref xb_order_ref(const struct xb_order *order)
{
    return (struct xb_kube_ref){.resource = order->resource,
                                .namespace = xb_order_text(order, "metadata.namespace"),
                                .name = xb_order_text(order, "metadata.name")};
}

/* Where the data is and goes, checked. */
struct xb_order_place {
    xb_json *pod;               /* NULL: none has it (xb_order_has_pod) */
    xb_json *persistent_volume; /* NULL: the volume has no claim */
    struct xb_volume volume;
    struct xb_volume_place where; /* lends from both */
    struct xb_repository *repository;
};

/* Merge-patches status; `status` is taken over. */
int xb_order_patch(struct xb_order *order, xb_json *status, struct xb_error *err) XB_MUST_CHECK;
/* Reads the order anew into order->object. */
int xb_order_refresh(struct xb_order *order, struct xb_error *err) XB_MUST_CHECK;
/* Ends it: "Failed" with the error's text, or "Canceled". */
int xb_order_end(struct xb_order *order, const char *phase, const char *message,
                 struct xb_error *err) XB_MUST_CHECK;
/* At most once a second. */
void xb_order_progress(struct xb_order *order, uint64_t done, uint64_t total);

/* The owner of that kind must exist with the same uid and not be finished; a Backup must take the
 * namespace of the order's pod; from a Restore must follow which namespace the data is from; and
 * the order's location must be that of the Backup, or of the Restore's. */
int xb_order_check_owner(struct xb_order *order, const char *kind,
                         struct xb_error *err) XB_MUST_CHECK;
/* The same, and hands it out. */
int xb_order_get_owner(struct xb_order *order, const char *kind, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;
/* Gets the pod and checks its uid and node. */
int xb_order_get_pod(struct xb_order *order, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;
/* The pod's uid as this node's kubelet knows it, lent by the pod. INVALID: it says that it is a
 * static pod's mirror and is not. */
int xb_order_pod_uid(struct xb_order *order, xb_json *pod, const char **ret,
                     struct xb_error *err) XB_MUST_CHECK;
/* Opens volume and repository. `repository_namespace`: whose repository. */
int xb_order_open(struct xb_order *order, const char *repository_namespace, bool read_only,
                  struct xb_order_place *ret, struct xb_error *err) XB_MUST_CHECK;
/* The pod and its volume only. */
int xb_order_open_volume(struct xb_order *order, struct xb_order_place *ret,
                         struct xb_error *err) XB_MUST_CHECK;
/* At the end: whether what was read was there all the time. */
int xb_order_still_there(struct xb_order *order, const struct xb_order_place *place,
                         struct xb_error *err) XB_MUST_CHECK;
void xb_order_close(struct xb_order_place *place);
/* False for a backup of a claim that no running pod has: spec.volume is the claim then, and
 * spec.pod says no more than its namespace. */
bool xb_order_has_pod(const struct xb_order *order);

/* ---- raw block devices (device.c) ---- */

struct xb_backup_result;
struct xb_restore_result;

/* Fills the snapshot's tree. */
int xb_order_read_device(struct xb_order *order, const struct xb_order_place *place,
                         struct xb_snapshot *snapshot, struct xb_backup_result *ret,
                         struct xb_error *err) XB_MUST_CHECK;
int xb_order_write_device(struct xb_order *order, const struct xb_order_place *place,
                          const struct xb_snapshot *snapshot, struct xb_restore_result *ret,
                          struct xb_error *err) XB_MUST_CHECK;
/* The repository of a place that has been found. */
int xb_order_open_repository(struct xb_order *order, const char *repository_namespace,
                             bool read_only, struct xb_order_place *place,
                             struct xb_error *err) XB_MUST_CHECK;

/* ---- into a pod that runs (in_place.c) ---- */

/* A part of a snapshot, and the folder that it goes into: the caller's to close. */
struct xb_order_part {
    int fd;
    char path[XB_IN_PLACE_PATH_BYTES];
};
/* By what the order's Restore says; INVALID: it does not allow the order. */
int xb_order_open_in_place(struct xb_order *order, const struct xb_order_place *place,
                           const struct xb_snapshot *snapshot, struct xb_order_part *ret,
                           struct xb_error *err) XB_MUST_CHECK;

/* ---- a pod's hooks around its orders (bracket.c) ---- */

/* What is to be done with an order, in the loop thread's world; GO for one without a bracket. */
enum xb_bracket_step xb_order_bracket_step(struct xb_kube_informer *orders, xb_json *object);
/* Whether it leads one whose post hooks are due. */
bool xb_order_bracket_due(struct xb_kube_informer *orders, xb_json *object);
/* The order has changed: the others of its bracket are looked at again. `object` may be NULL. */
void xb_order_bracket_mark(struct xb_control *control, xb_json *object);
/* Before a volume is read: its pod's pre hooks, copies of all its volumes and, where these suffice,
 * its post hooks, run by the order that leads, once. An error: the pod is not to be backed up.
 * Nothing for an order without a bracket. */
int xb_order_open_bracket(struct xb_order *order, struct xb_error *err) XB_MUST_CHECK;

/* When the order is over. One that was deleted meanwhile (with its Backup, say) takes the record of
 * its hooks along: what is frozen is thawed all the same. */
void xb_order_release_bracket(struct xb_order *order, const atomic_bool *stop);

/* ---- a volume's copy (copies.c) ---- */

/* Of one order's volume, whose place it has found: of one moment, or none (then the volume itself
 * is read). While the order waits for its turn the agent keeps it. */
struct xb_copy {
    struct xb_copy *next;
    char *key;       /* the order's */
    xb_json *object; /* the order as it was: the place lends from it, and outlives the order */
    struct xb_order_place place;
    struct xb_standstill *still; /* NULL: nobody can hold its file system */
    struct xb_freeze *freeze; /* what was prepared or taken, or the volume itself; NULL: a device */
    bool in_vain;             /* it was tried, and there is nothing, not even a place */
    bool prepared;            /* and no more: its application is not held yet */
    int64_t prepared_ns;      /* wall: since when */
    bool untold;              /* kept, and nobody has it before its order is told of it */
    struct xb_point_in_time point; /* uid: the order's */
    struct xb_error failed;        /* code 0: it has not */
};

/* One of which nothing is known but whose it is. */
int xb_copy_new(struct xb_order *order, struct xb_copy **ret, struct xb_error *err) XB_MUST_CHECK;
/* Before the application is held: finds the volume, asks who may forbid what, prepares. */
int xb_copy_prepare(struct xb_order *order, struct xb_copy **ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* When all are prepared, right before the application is held: what has changed since is looked at
 * already, so that little is left. Errors as of the next. */
void xb_copies_refresh(struct xb_copy *const *copies, size_t count);
/* Takes what was prepared; of several volumes side by side. An error of one is in its `failed`, and
 * it is of no use then. */
void xb_copies_take(struct xb_copy *const *copies, size_t count);
/* Whether nothing is read from the application's own files: it has been taken, and is one. */
bool xb_copy_is_fixed(const struct xb_copy *copy);
/* It is lost, for lack of space: from now on the volume itself is read. */
int xb_copy_fall_back(struct xb_copy *copy, struct xb_error *err) XB_MUST_CHECK;
void xb_copy_free(struct xb_copy *copy);
XB_DEFINE_CLEANUP(xb_copy_freep, struct xb_copy, xb_copy_free);

/* Writes what is known of it on the order. */
int xb_order_tell_point(struct xb_agent *agent, const struct xb_kube_ref *order,
                        const struct xb_point_in_time *point, struct xb_error *err) XB_MUST_CHECK;

void xb_agent_keep_copy(struct xb_agent *agent, struct xb_copy *copy);
/* The same for one whose order is not told of it yet. As soon as it is told its turn may come, so
 * the copy has to be there before; who wants it waits for the other call, until which it is the
 * caller's to look at. */
void xb_agent_keep_untold(struct xb_agent *agent, struct xb_copy *copy);
void xb_agent_copy_told(struct xb_agent *agent, struct xb_copy *copy);
/* Of the order of that key and uid, taken out; NULL: there is none. A copy of another order of
 * that key is freed; `uid` NULL: of any. */
struct xb_copy *xb_agent_take_copy(struct xb_agent *agent, const char *key, const char *uid);
/* What is kept under that key. */
struct xb_kept {
    bool copy;           /* of the order of that uid, or that it was tried in vain */
    bool prepared;       /* only that */
    bool other;          /* of another order; `uid` NULL: of any */
    int64_t prepared_ns; /* wall: since when */
};
struct xb_kept xb_agent_kept(struct xb_agent *agent, const char *key, const char *uid);
void xb_agent_free_copies(struct xb_agent *agent);
/* An action at the start, on the agent: removes copies that one before has left over (sweep.c). */
int xb_agent_sweep(void *agent, const atomic_bool *stop, struct xb_error *err);
/* What methods this node's settings allow. */
int xb_agent_choose_methods(struct xb_agent *agent, const char *settings,
                            struct xb_error *err) XB_MUST_CHECK;

/* What is done for one kind of order. */
struct xb_order_task {
    const char *owner; /* kind of its owner */
    const char *doing; /* for the log */
    bool tells_node;   /* the status says which node */
    int (*carry_out)(struct xb_order *order, struct xb_error *err);
};
/* From whatever phase it is in to its end. When the daemon ends (`stop`) or a server is away, the
 * order is left as it is, to be taken up again. */
int xb_order_run(struct xb_order *order, const struct xb_order_task *task, const atomic_bool *stop,
                 struct xb_error *err) XB_MUST_CHECK;

/* Actions (struct xb_action.run). 0: the order has ended. */
int xb_order_backup(void *order, const atomic_bool *stop, struct xb_error *err);
int xb_order_close_bracket(void *order, const atomic_bool *stop, struct xb_error *err);
/* Makes the copy for which the coordinator holds the application. */
int xb_order_hold(void *order, const atomic_bool *stop, struct xb_error *err);
/* Prepares for that, and says so. */
int xb_order_prepare(void *order, const atomic_bool *stop, struct xb_error *err);
/* So long is what was prepared kept for an application that is not held: it takes space. */
enum { XB_COPY_PREPARED_S = 3600 };
/* Frees the copy of an order that has ended, or is another one now, and what was prepared for too
 * long. */
int xb_order_drop_copy(void *order, const atomic_bool *stop, struct xb_error *err);
int xb_order_restore(void *order, const atomic_bool *stop, struct xb_error *err);
int xb_order_sign(void *order, const atomic_bool *stop, struct xb_error *err);

/* Writes what this node sees of the given locations (an array of objects) into its Lease. */
struct xb_stores_work {
    struct xb_agent *agent;
    xb_json *locations;
};
int xb_stores_report(void *work, const atomic_bool *stop, struct xb_error *err);

/* How many volumes at once: as the ConfigMap says, or the flag, or the node's processors; and
 * which methods of copying both allow. */
int xb_agent_settle(struct xb_agent *agent, struct xb_error *err) XB_MUST_CHECK;

/* ---- metrics and health ---- */

/* Makes the meters; before anything else runs. The caller frees them. */
int xb_agent_metrics_prepare(struct xb_agent *agent, struct xb_error *err) XB_MUST_CHECK;
/* Serves them; the daemon works without. */
void xb_agent_metrics_begin(struct xb_agent *agent);
void xb_agent_metrics_end(struct xb_agent *agent);
void xb_agent_count_new(struct xb_agent *agent);
void xb_agent_count_running(struct xb_agent *agent, unsigned running);
/* An order's action is over; loop thread. */
void xb_agent_count_ended(struct xb_agent *agent, const struct xb_order *order);
