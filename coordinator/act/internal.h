/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a running coordinator from within; for the files of this folder only.
 *
 * What for:  coordinator.c wires and watches; backups.c and restores.c plan and keep what a run
 *            knows (struct xb_run); the action files do one step each on a worker.
 * Threads:   the loop thread owns struct xb_coordinator. A run belongs to the action in flight for
 *            its key, or to the loop thread when none is: the frame lets one action per key run.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "coordinator/act/coordinator.h"
#include "coordinator/act/identity.h"
#include "coordinator/act/observe.h"
#include "coordinator/collect/collect.h"
#include "coordinator/plan/agent.h"
#include "coordinator/plan/plan.h"
#include "coordinator/schedule/cron.h"
#include "coordinator/serve/certificate.h"
#include "coordinator/serve/server.h"
#include "shared/kube/informer.h"
#include "shared/kube/lease.h"
#include "shared/kube/pace.h"
#include "shared/repository/repository.h"
#include "shared/runtime/control.h"
#include "shared/runtime/loop.h"
#include "shared/serve/metrics.h"
#include "shared/velero/location.h"
#include "shared/velero/velero.h"

enum { XB_RUNS_MAX = 10000, XB_PATH_BYTES = 1024, XB_COORDINATOR_ACTIONS_MAX = 2 };

/* What is watched. The table in watched.c says how. */
enum xb_watched {
    XB_WATCH_LOCATIONS,
    XB_WATCH_NODES, /* the agents' leases */
    XB_WATCH_PVBS,
    XB_WATCH_PVRS,
    XB_WATCH_BACKUPS,
    XB_WATCH_SCHEDULES,
    XB_WATCH_RESTORES,
    XB_WATCH_DOWNLOADS,
    XB_WATCH_STATUS_REQUESTS,
    XB_WATCH_DELETIONS,
    XB_WATCH_COLLECT, /* the backups, for those that expire */
    XB_WATCH_SYNC,    /* the locations, for their records */
    XB_WATCHED_COUNT
};

struct xb_coordinator;
struct xb_restore_hooks;
struct xb_watch {
    struct xb_coordinator *coordinator;
    enum xb_watched kind;
};

/* What a backup or restore under way knows; lost with the process, and made again. */
struct xb_run {
    struct xb_run *next;
    char key[2 * XB_VELERO_NAME_BYTES];
    char uid[64];
    int64_t came_ns; /* monotonic: when this process met it */
    bool worked;
    bool stale;        /* another coordinator may have gone on meanwhile: begin again */
    char acted_on[64]; /* resourceVersion that a step was done on: the next one is on its way;
                          locations: what was judged */
    char folder[XB_PATH_BYTES], tarball[XB_PATH_BYTES];
    struct xb_record_log *log;
    struct xb_collected collected; /* backups */
    struct xb_resource_list list;  /* restores */
    xb_json *orders;               /* array of PVB or PVR names */
    xb_json *volumes; /* restores: what new volumes are to be like; syncs: record: why refused */
    uint64_t items, items_total;
    int64_t hooks_attempted, hooks_failed; /* of all pods, once merged */
    xb_json *infos;         /* backups: of each volume, once all orders are merged; NULL: not yet */
    int64_t hooks_since_ns; /* monotonic: when only hooks were waited for; 0: not */
    struct xb_restore_hooks *hooks; /* restores: see restore_hooks.h */
    bool noted;                     /* restores: the log has what its volumes came to */
    struct xb_cron *cron;           /* schedules: what cron_text says; NULL: nothing */
    char *cron_text;
    char judged[64];        /* resourceVersion of the schedule that was judged */
    xb_json *cron_problems; /* what was wrong with it: array of texts; NULL: nothing */
    uint64_t generation;    /* locations: of the nodes' reports that were judged */
    int64_t made_ns;    /* wall: when the orders were made; deletions: when restores were deleted;
                           syncs: the last one */
    int64_t timeout_ns; /* of each order: without any progress */
    struct xb_order_seen *seen; /* see orders.h */
    size_t seen_count;
    xb_json *late;         /* name: true, of those that were told that they are; NULL: none */
    int64_t look_again_ns; /* monotonic: not before */
};

/* Who serves downloads. The lock guards all but the key, which stays as it was at the start. */
struct xb_downloads {
    pthread_mutex_t lock;
    struct xb_secret *link_key;
    struct xb_certificate *ca, *certificate;
    struct xb_server *server; /* NULL: it could not be started anew */
};

struct xb_coordinator {
    const struct xb_coordinator_options *options;
    struct xb_coordinator_options own_options; /* with what nobody said, found in the own pod */
    char *own_image, *own_node, *own_ip;
    struct xb_kube_client *client;
    /* What restores make goes through a client of its own, at the pace that the server bears: so
     * nothing else waits behind thousands of objects, the renewal of the lease least of all. */
    struct xb_kube_client *bulk;
    struct xb_kube_client *dry; /* the same for restores that are only to say what they would do */
    struct xb_kube_pace *pace;
    struct xb_loop *loop;
    struct xb_workers *workers;
    struct xb_kube_lease *lease;
    struct xb_timer *timer;
    struct xb_identity identity;
    struct xb_watch watches[XB_WATCHED_COUNT];
    struct xb_kube_informer *watched[XB_WATCHED_COUNT];
    struct xb_control *controls[XB_WATCHED_COUNT]; /* NULL where a kind has none */
    struct xb_run *backup_runs, *restore_runs, *location_runs, *schedule_runs, *deletion_runs,
        *sync_runs;
    xb_json *collected_ns;             /* expired backup: when its deletion was asked for */
    uint64_t stores_generation;        /* grows when some node reports another view of the stores */
    xb_json *nodes_seen;               /* node: last report's text */
    struct xb_metrics_server *metrics; /* NULL: its port was taken */
    struct xb_meters *meters;
    struct xb_kube_events *events;
    struct xb_observer *observer;
    atomic_uint synced; /* of the XB_WATCHED_COUNT informers */
    struct xb_downloads downloads;
};

/* ---- what is watched; loop thread ---- */

/* Makes every informer and, paused, every control loop. */
int xb_watched_start(struct xb_coordinator *coordinator, struct xb_error *err) XB_MUST_CHECK;
void xb_watched_pause(struct xb_coordinator *coordinator, bool paused);
void xb_watched_stop(struct xb_coordinator *coordinator);
void xb_watched_free(struct xb_coordinator *coordinator);
/* Marks the objects of a kind that need looking at. */
void xb_watched_mark_all(struct xb_coordinator *coordinator, enum xb_watched kind);
/* The same for all kinds: nothing may be forgotten because an event was lost. */
void xb_watched_tick(struct xb_coordinator *coordinator);
/* The control loop's name; NULL where there is none. */
const char *xb_watched_name(enum xb_watched kind);

/* ---- actions ---- */

/* One step of one object, with what the loop thread knew. */
struct xb_step_work {
    struct xb_coordinator *coordinator;
    struct xb_run *run; /* NULL where there is none */
    enum xb_step step;
    int64_t position;
    unsigned what; /* deletions: enum xb_deletion_step; locations: enum xb_due_default */
    xb_json
        *object; /* the backup, restore, location, request: a copy, which the worker may change */
    xb_json *extra; /* array: nodes' leases, PVBs, PVRs, which are the cache's: the worker looks at
                       them, and neither changes, keeps nor gives up any (see kube/informer.h) */
    const struct xb_kube_resource *orders; /* CANCEL, SEEK: what `extra` has */
    uint64_t generation;
    bool timed_out;
    bool restores;                         /* the object is a Restore */
    int64_t hooks_attempted, hooks_failed; /* of the whole backup, once they are merged */
};
struct xb_step_work *xb_step_work_new(struct xb_coordinator *coordinator, xb_json *object);
void xb_step_work_free(void *work);

/* Merge-patches an object; `patch` is taken over. */
int xb_act_patch(struct xb_coordinator *coordinator, const struct xb_kube_resource *resource,
                 xb_json *object, xb_json *patch, struct xb_error *err) XB_MUST_CHECK;
/* The same for its status only. */
int xb_act_patch_status(struct xb_coordinator *coordinator, const struct xb_kube_resource *resource,
                        xb_json *object, xb_json *status, struct xb_error *err) XB_MUST_CHECK;

int xb_act_location(void *work, const atomic_bool *cancel, struct xb_error *err);
int xb_act_download(void *work, const atomic_bool *cancel, struct xb_error *err);
int xb_act_status_request(void *work, const atomic_bool *cancel, struct xb_error *err);
int xb_act_backup(void *work, const atomic_bool *cancel, struct xb_error *err);
int xb_act_restore(void *work, const atomic_bool *cancel, struct xb_error *err);

/* ---- for the actions ---- */

/* How this process opens locations. */
struct xb_location_access xb_location_access(const struct xb_coordinator *coordinator,
                                             bool read_only);
int xb_get_location(struct xb_coordinator *coordinator, const char *name, xb_json **ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* Opens a location that is Available, and reads its identity. */
int xb_open_location(struct xb_coordinator *coordinator, const char *name, bool read_only,
                     struct xb_store **ret, char identity[XB_STORE_IDENTITY_BYTES],
                     struct xb_error *err) XB_MUST_CHECK;

/* The resource policies that a backup names; NULL if it names none. What is wrong with them is
 * worded for status.validationErrors. */
int xb_load_policy(struct xb_coordinator *coordinator, xb_json *backup, struct xb_policy **ret,
                   struct xb_error *err) XB_MUST_CHECK;
/* The same for validation: what is wrong is added to `problems`, and *ret is left alone then; that
 * the server does not answer is no more than a reason to ask again. */
int xb_check_policy(struct xb_step_work *work, xb_json *problems, struct xb_policy **ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* The same for what a restore writes down: also where backups may not go. */
int xb_open_location_for_restore(struct xb_coordinator *coordinator, const char *name,
                                 struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;

/* The namespace's repository at a location, to be written to; NOT_FOUND if it has none. */
int xb_open_repository(struct xb_coordinator *coordinator, struct xb_store *store,
                       const char *namespace, struct xb_repository **ret,
                       struct xb_error *err) XB_MUST_CHECK;
/* The Secret with the repositories' password is there, for the agents: made with Velero's default
 * if need be. A cluster that has only found its backups in a bucket has none yet. */
int xb_need_password(struct xb_coordinator *coordinator, struct xb_error *err) XB_MUST_CHECK;
/* Makes the namespace's repository at a location, its Secret and its BackupRepository, if they are
 * not there. */
struct xb_repository_place {
    struct xb_store *store;
    const char *location, *namespace;
};
int xb_ensure_repository(struct xb_coordinator *coordinator,
                         const struct xb_repository_place *place,
                         struct xb_error *err) XB_MUST_CHECK;

void xb_json_put_text(xb_json *object, const char *key, const char *value);

/* Whether this process may still write: asked right before something is published. */
int xb_check_leading(struct xb_coordinator *coordinator, struct xb_error *err) XB_MUST_CHECK;

/* ---- runs ---- */

/* The run of an object, made if there is none. NULL, which is logged: there are XB_RUNS_MAX of
 * them, or no memory; xb_plan_no_run then plans to look again. */
struct xb_run *xb_run_of(struct xb_run **list, const char *key, xb_json *object);
enum xb_plan xb_plan_no_run(int64_t now_ns, struct xb_action *ret);
/* Forgets what a run knows, with its scratch files. */
void xb_run_reset(struct xb_run *run);
void xb_run_drop(struct xb_run **list, const char *key);
/* Makes its folder and log on scratch. */
int xb_run_begin(struct xb_coordinator *coordinator, struct xb_run *run, const char *kind,
                 struct xb_error *err) XB_MUST_CHECK;

/* ---- plans ---- */

enum xb_plan xb_plan_backups(void *coordinator, const char *key, int64_t now_ns,
                             struct xb_action *ret);
enum xb_plan xb_plan_restores(void *coordinator, const char *key, int64_t now_ns,
                              struct xb_action *ret);
enum xb_plan xb_plan_schedules(void *coordinator, const char *key, int64_t now_ns,
                               struct xb_action *ret);
enum xb_plan xb_plan_locations(void *coordinator, const char *key, int64_t now_ns,
                               struct xb_action *ret);
enum xb_plan xb_plan_downloads(void *coordinator, const char *key, int64_t now_ns,
                               struct xb_action *ret);
enum xb_plan xb_plan_status_requests(void *coordinator, const char *key, int64_t now_ns,
                                     struct xb_action *ret);
/* What plans share. A step with what it needs of the loop's world, copied; the action for it; the
 * action that cancels the late orders; whether the cache does not show the last step yet; the
 * run's orders, as the cache has them, into work->extra (those that are gone are left out). */
struct xb_step_work *xb_plan_work(struct xb_coordinator *coordinator, xb_json *object,
                                  struct xb_run *run, const struct xb_step_result *step);
enum xb_plan xb_plan_act(struct xb_step_work *work,
                         int (*run)(void *, const atomic_bool *, struct xb_error *),
                         struct xb_action *ret);
/* CANCEL, SEEK: what is done with some of the run's orders. */
enum xb_plan xb_plan_orders(struct xb_step_work *work, struct xb_kube_informer *informer,
                            const struct xb_kube_resource *resource, struct xb_action *ret);
bool xb_plan_is_old(const struct xb_run *run, xb_json *object);
void xb_plan_add_orders(struct xb_step_work *work, struct xb_kube_informer *informer);
void xb_location_done(void *coordinator, const char *key, void *work, const struct xb_error *err);
void xb_step_done(void *coordinator, const char *key, void *work, const struct xb_error *err);

/* ---- downloads ---- */

int xb_downloads_start(struct xb_coordinator *coordinator, struct xb_error *err) XB_MUST_CHECK;
/* Before a link is given out: the server is there, with a certificate that is good today and for
 * every name by which it is reached. May block until the old one's downloads have ended. Workers.
 */
int xb_downloads_ready(struct xb_coordinator *coordinator, uint16_t *ret_port,
                       struct xb_error *err) XB_MUST_CHECK;
/* The authority that signed it, as base64 of PEM. Workers. */
int xb_downloads_ca(struct xb_coordinator *coordinator, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;
void xb_downloads_stop(struct xb_coordinator *coordinator);

/* When the loop has ended: if the namespace is being deleted, nothing of ours may hold it. */
void xb_coordinator_leave(struct xb_coordinator *coordinator);

/* Meters, Events and who looks at changes; before anything is watched. */
int xb_metrics_prepare(struct xb_coordinator *coordinator, struct xb_error *err) XB_MUST_CHECK;
/* Serves metrics and health once everything else is made; works without. */
void xb_metrics_begin(struct xb_coordinator *coordinator);
void xb_metrics_end(struct xb_coordinator *coordinator);
/* How far apart the next two runs of a schedule are; a NULL cron never runs. */
void xb_metrics_schedule(struct xb_coordinator *coordinator, xb_json *schedule,
                         const struct xb_cron *cron);
/* How large a backup's tarball became. */
void xb_metrics_tarball(struct xb_coordinator *coordinator, xb_json *backup, const char *path);
