/* SPDX-License-Identifier: Apache-2.0
 * What is watched, which keys a change makes dirty, and the control loop of each kind. A new kind
 * is a row in the table. */
#include <string.h>

#include "coordinator/act/retention.h"
#include "shared/base/log.h"

typedef bool needs_fn(xb_json *object);

struct row {
    const struct xb_kube_resource *resource; /* NULL: the objects of `source`, a row before it */
    const char *velero;   /* its name with Velero, by which it can be disabled; NULL: it cannot */
    const char *selector; /* of labels; NULL: all of the namespace */
    const char *name;     /* of the control loop; NULL: this kind has none of its own */
    xb_control_plan_fn *plan;
    needs_fn *needs; /* which objects the timer and changes elsewhere mark; NULL: none */
    /* What else a change means; `object` is NULL when it is gone. May be NULL. */
    void (*also)(struct xb_coordinator *coordinator, const char *key, xb_json *object);
    enum xb_watched source;
    bool backs_up; /* does not run in a coordinator that only restores */
};

static const struct row rows[XB_WATCHED_COUNT];

/* ---- marking ---- */

static bool mark(void *context, const char *key, xb_json *object)
{
    const struct xb_watch *watch = context;
    const struct row *row = &rows[watch->kind];
    if (row->needs && watch->coordinator->controls[watch->kind] && row->needs(object)) {
        xb_control_dirty(watch->coordinator->controls[watch->kind], key);
    }
    return true;
}

void xb_watched_mark_all(struct xb_coordinator *coordinator, enum xb_watched kind)
{
    xb_kube_informer_each(coordinator->watched[kind], mark, &coordinator->watches[kind]);
}

void xb_watched_tick(struct xb_coordinator *coordinator)
{
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        if (rows[kind].needs) {
            xb_watched_mark_all(coordinator, kind);
        }
    }
}

static void on_change(void *context, const char *key, xb_json *object)
{
    const struct xb_watch *watch = context;
    const struct row *row = &rows[watch->kind];
    struct xb_coordinator *coordinator = watch->coordinator;
    /* Before the first list is whole, the informer may not even be known here. */
    const struct xb_kube_informer *informer = coordinator->watched[watch->kind];
    xb_observe(coordinator->observer,
               &(struct xb_sight){.resource = row->resource,
                                  .key = key,
                                  .object = object,
                                  .first = !informer || !xb_kube_informer_synced(informer),
                                  .leading = coordinator->lease &&
                                             xb_kube_lease_held(coordinator->lease)});
    struct xb_control **controls = coordinator->controls;
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        bool concerned =
            kind == watch->kind || (!rows[kind].resource && rows[kind].source == watch->kind);
        if (concerned && controls[kind]) {
            if (!object) {
                xb_control_cancel(controls[kind], key);
            }
            xb_control_dirty(controls[kind], key);
        }
    }
    if (row->also) {
        row->also(watch->coordinator, key, object);
    }
}

static void on_synced(void *context)
{
    const struct xb_watch *watch = context;
    atomic_fetch_add(&watch->coordinator->synced, 1);
}

/* ---- which objects, and what else ---- */

static bool always(xb_json *object)
{
    (void)object;
    return true;
}

static bool is_open(xb_json *object)
{
    return !xb_velero_backup_phase_final(xb_json_str(object, "status.phase", ""));
}

static bool is_open_or_leaving(xb_json *object)
{
    return is_open(object) || xb_json_get(object, "metadata.deletionTimestamp");
}

/* Whether a schedule may wait for it; one that is gone tells nothing. */
static bool is_scheduled(xb_json *backup)
{
    xb_json *labels = backup ? xb_json_get(backup, "metadata.labels") : NULL;
    return !backup ||
           (labels && json_object_object_get_ex(labels, "velero.io/schedule-name", NULL));
}

/* A backup that ends makes room for those in the queue, and for the next one of its schedule. */
static void backup_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    (void)key;
    (void)object;
    xb_watched_mark_all(coordinator, XB_WATCH_BACKUPS);
    if (is_scheduled(object)) {
        xb_watched_mark_all(coordinator, XB_WATCH_SCHEDULES);
    }
}

/* An order changed: whoever waits for it looks again when it has ended, or is gone. */
static bool has_ended(xb_json *order)
{
    return !order || xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""));
}

static void pvb_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    (void)key;
    if (has_ended(object)) {
        xb_watched_mark_all(coordinator, XB_WATCH_BACKUPS);
    }
}

static void pvr_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    (void)key;
    if (has_ended(object)) {
        xb_watched_mark_all(coordinator, XB_WATCH_RESTORES);
    }
}

/* A restore that ends makes room for those that wait; a backup is deleted after its restores. */
static void restore_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    (void)key;
    if (!object || !is_open(object)) {
        xb_watched_mark_all(coordinator, XB_WATCH_RESTORES);
    }
    if (!object) {
        xb_watched_mark_all(coordinator, XB_WATCH_DELETIONS);
    }
}

/* Of several requests for one backup the next one may be due. */
static void deletion_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    (void)key;
    (void)object;
    xb_watched_mark_all(coordinator, XB_WATCH_DELETIONS);
}

/* A node reports every few seconds; only another report than its last one is news. */
static void node_changed(struct xb_coordinator *coordinator, const char *key, xb_json *object)
{
    xb_json *annotations = object ? xb_json_get(object, "metadata.annotations") : NULL;
    xb_json *text = NULL;
    xb_json *last = NULL;
    if (annotations) {
        (void)json_object_object_get_ex(annotations, XB_STORES_SEEN_ANNOTATION, &text);
    }
    const char *now = text ? json_object_get_string(text) : "";
    if (json_object_object_get_ex(coordinator->nodes_seen, key, &last) &&
        strcmp(json_object_get_string(last), now) == 0) {
        return;
    }
    xb_json_put_text(coordinator->nodes_seen, key, now);
    coordinator->stores_generation++;
    xb_watched_mark_all(coordinator, XB_WATCH_LOCATIONS);
}

/* ---- the table ---- */

static const struct row rows[XB_WATCHED_COUNT] = {
    [XB_WATCH_LOCATIONS] = {.resource = &xb_velero_locations,
                            .name = "location",
                            .plan = xb_plan_locations,
                            .needs = always},
    [XB_WATCH_NODES] = {.resource = &xb_coordination_leases,
                        .selector = XB_NODE_LEASE_LABEL,
                        .also = node_changed},
    [XB_WATCH_PVBS] = {.resource = &xb_velero_pvbs, .also = pvb_changed},
    [XB_WATCH_PVRS] = {.resource = &xb_velero_pvrs, .also = pvr_changed},
    [XB_WATCH_BACKUPS] = {.resource = &xb_velero_backups,
                          .name = "backup",
                          .velero = "backup",
                          .backs_up = true,
                          .plan = xb_plan_backups,
                          .needs = is_open,
                          .also = backup_changed},
    [XB_WATCH_SCHEDULES] = {.resource = &xb_velero_schedules,
                            .name = "schedule",
                            .velero = "schedule",
                            .backs_up = true,
                            .plan = xb_plan_schedules,
                            .needs = always},
    [XB_WATCH_RESTORES] = {.resource = &xb_velero_restores,
                           .name = "restore",
                           .velero = "restore",
                           .plan = xb_plan_restores,
                           .needs = is_open_or_leaving,
                           .also = restore_changed},
    [XB_WATCH_DOWNLOADS] = {.resource = &xb_velero_downloads,
                            .name = "download",
                            .velero = "download-request",
                            .plan = xb_plan_downloads},
    [XB_WATCH_STATUS_REQUESTS] = {.resource = &xb_velero_status_requests,
                                  .name = "status-request",
                                  .velero = "server-status-request",
                                  .plan = xb_plan_status_requests},
    [XB_WATCH_DELETIONS] = {.resource = &xb_velero_deletions,
                            .name = "deletion",
                            .velero = "backup-deletion",
                            .backs_up = true,
                            .plan = xb_plan_deletions,
                            .needs = always,
                            .also = deletion_changed},
    [XB_WATCH_COLLECT] = {.source = XB_WATCH_BACKUPS,
                          .name = "gc",
                          .velero = "gc",
                          .backs_up = true,
                          .plan = xb_plan_collect},
    [XB_WATCH_SYNC] = {.source = XB_WATCH_LOCATIONS,
                       .name = "sync",
                       .velero = "backup-sync",
                       .plan = xb_plan_sync,
                       .needs = always},
};

/* ---- made and ended ---- */

/* Whether a word stands in a list with commas. */
static bool is_listed(const char *list, const char *word)
{
    size_t len = strlen(word);
    while (list && *list) {
        size_t part = strcspn(list, ",");
        if (part == len && memcmp(list, word, len) == 0) {
            return true;
        }
        list += part + (list[part] == ',');
    }
    return false;
}

static bool runs(const struct xb_coordinator *coordinator, enum xb_watched kind)
{
    const struct row *row = &rows[kind];
    const struct xb_coordinator_options *options = coordinator->options;
    bool disabled = row->velero && is_listed(options->disabled, row->velero);
    /* Velero's queue is a loop of its own; here it is a part of the backups'. */
    disabled |= kind == XB_WATCH_BACKUPS && is_listed(options->disabled, "backup-queue");
    if (row->plan && (disabled || (row->backs_up && options->restore_only))) {
        xb_log_info("this control loop is disabled", "control", row->name);
        return false;
    }
    return row->plan != NULL;
}

static int make_control(struct xb_coordinator *coordinator, enum xb_watched kind,
                        struct xb_error *err)
{
    struct xb_control_options options = {.name = rows[kind].name,
                                         .loop = coordinator->loop,
                                         .workers = coordinator->workers,
                                         .plan = rows[kind].plan,
                                         .context = coordinator,
                                         .actions_max = XB_COORDINATOR_ACTIONS_MAX};
    if (kind == XB_WATCH_BACKUPS) { /* those that run leave room for the queue */
        options.actions_max += coordinator->options->backups_max;
    } else if (kind == XB_WATCH_RESTORES) {
        options.actions_max += coordinator->options->restores_max;
    }
    int r = xb_control_new(&options, &coordinator->controls[kind], err);
    if (r == 0) {
        xb_control_pause(coordinator->controls[kind], true);
    }
    return r;
}

static int make_informer(struct xb_coordinator *coordinator, enum xb_watched kind,
                         struct xb_error *err)
{
    coordinator->watches[kind] = (struct xb_watch){coordinator, kind};
    if (!rows[kind].resource) {
        coordinator->watched[kind] = coordinator->watched[rows[kind].source];
        atomic_fetch_add(&coordinator->synced, 1); /* with its source */
        return 0;
    }
    const struct xb_kube_informer_options options = {.loop = coordinator->loop,
                                                     .client = coordinator->client,
                                                     .resource = rows[kind].resource,
                                                     .namespace = coordinator->options->namespace,
                                                     .label_selector = rows[kind].selector,
                                                     .trim = xb_kube_trim_managed_fields,
                                                     .on_change = on_change,
                                                     .on_synced = on_synced,
                                                     .context = &coordinator->watches[kind]};
    return xb_kube_informer_new(&options, &coordinator->watched[kind], err);
}

int xb_watched_start(struct xb_coordinator *coordinator, struct xb_error *err)
{
    int r = 0;
    for (unsigned kind = 0; r == 0 && kind < XB_WATCHED_COUNT; kind++) {
        r = runs(coordinator, kind) ? make_control(coordinator, kind, err) : 0;
    }
    for (unsigned kind = 0; r == 0 && kind < XB_WATCHED_COUNT; kind++) {
        r = make_informer(coordinator, kind, err);
    }
    return r;
}

void xb_watched_pause(struct xb_coordinator *coordinator, bool paused)
{
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        if (coordinator->controls[kind]) {
            xb_control_pause(coordinator->controls[kind], paused);
        }
    }
}

void xb_watched_stop(struct xb_coordinator *coordinator)
{
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        if (coordinator->controls[kind]) {
            xb_control_stop(coordinator->controls[kind]);
        }
    }
}

const char *xb_watched_name(enum xb_watched kind)
{
    return rows[kind].name;
}

void xb_watched_free(struct xb_coordinator *coordinator)
{
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        xb_control_free(coordinator->controls[kind]);
    }
    for (unsigned kind = 0; kind < XB_WATCHED_COUNT; kind++) {
        if (rows[kind].resource) {
            xb_kube_informer_free(coordinator->watched[kind]);
        }
    }
}
