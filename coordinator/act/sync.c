/* SPDX-License-Identifier: Apache-2.0
 * A location's records and the cluster's objects: what is missing comes, what is gone goes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/retention.h"
#include "coordinator/record/upload.h"
#include "coordinator/retention/due.h"
#include "coordinator/retention/import.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { RECORDS_MAX = 200000, REFUSALS_MAX = 10000 };

struct syncing {
    struct xb_step_work *work;
    const char *location;
    struct xb_import_place place;
    struct xb_store *store;
    xb_json *folders; /* name: true, of the location's records */
    const atomic_bool *cancel;
};

static struct xb_kube_client *client_of(const struct syncing *syncing)
{
    return syncing->work->coordinator->client;
}

static int check_on(const struct syncing *syncing, struct xb_error *err)
{
    return atomic_load(syncing->cancel)
               ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the sync was interrupted")
               : xb_check_leading(syncing->work->coordinator, err);
}

/* Said once, and again when the reason is another one; not at every sync. */
static void note_refusal(struct syncing *syncing, const char *name, const struct xb_error *why)
{
    xb_json *told = syncing->work->run->volumes;
    xb_json *last = NULL;
    if (json_object_object_get_ex(told, name, &last) &&
        strcmp(json_object_get_string(last), why->text) == 0) {
        return;
    }
    if (json_object_object_length(told) < REFUSALS_MAX) {
        xb_json_put_text(told, name, why->text);
    }
    xb_log_warning("a record is refused", "location", syncing->location, "folder", name, "why",
                   why->text);
}

/* Whether it is this record's own trouble: the others are synced all the same. */
static bool is_own_trouble(const struct xb_error *why)
{
    return why->kind != XB_ERR_RETRY && why->kind != XB_ERR_CANCELLED && why->kind != XB_ERR_IO &&
           why->kind != XB_ERR_BUG;
}

/* ---- orders ---- */

/* One of that name may be left of an object that was deleted, and goes with its owner soon: it
 * would take ours with it. */
static int replace_order(struct syncing *syncing, xb_json *order, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *old = NULL;
    struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                              .namespace = syncing->place.namespace,
                              .name = xb_json_str(order, "metadata.name", "")};
    int r = xb_kube_get(client_of(syncing), &ref, &old, err);
    if (r < 0 && err->kind != XB_ERR_NOT_FOUND) {
        return r;
    }
    if (old && strcmp(xb_json_str(xb_velero_owner(old, "Backup"), "uid", ""),
                      xb_json_str(xb_velero_owner(order, "Backup"), "uid", "")) == 0) {
        return 0;
    }
    const struct xb_kube_delete_options options = {.uid = xb_json_str(old, "metadata.uid", NULL)};
    r = old ? xb_kube_delete(client_of(syncing), &ref, &options, err) : 0;
    if (r < 0 && err->kind != XB_ERR_NOT_FOUND) {
        return r;
    }
    ref.name = NULL;
    return xb_kube_create(client_of(syncing), &ref, order, NULL, err);
}

static int create_order(struct syncing *syncing, xb_json *order, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace = syncing->place.namespace};
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_kube_create(client_of(syncing), &ref, order, NULL, &why);
    if (r < 0 && why.kind == XB_ERR_CONFLICT) {
        return replace_order(syncing, order, err);
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

static int bring_order(struct syncing *syncing, xb_json *recorded, xb_json *backup,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_import_order(recorded, backup, &syncing->place, &order, &why);
    if (r == 0) {
        r = create_order(syncing, order, &why);
    }
    if (r < 0 && !is_own_trouble(&why)) {
        *err = why;
        return r;
    }
    if (r < 0) {
        (void)xb_error_wrap(&why, "pod volume backup %.100s",
                            xb_json_str(recorded, "metadata.name", "?"));
        note_refusal(syncing, xb_json_str(backup, "metadata.name", ""), &why);
    }
    return 0;
}

static int settle(struct syncing *syncing, xb_json *backup, struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    json_object_object_add(annotations, XB_IMPORT_PENDING_ANNOTATION, NULL);
    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(patch, "metadata", metadata);
    return xb_act_patch(syncing->work->coordinator, &xb_velero_backups, backup, patch, err);
}

/* The record's orders; `backup` is the object in the cluster. */
static int bring_orders(struct syncing *syncing, xb_json *backup, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *orders = NULL;
    struct xb_error why = XB_ERROR_INIT;
    const char *name = xb_json_str(backup, "metadata.name", "");
    int r = xb_velero_backup_key(name, "-podvolumebackups.json.gz", key, err);
    if (r < 0) {
        return r;
    }
    r = xb_download_json_gz(syncing->store, key, XB_IMPORT_ORDERS_BYTES_MAX, &orders, &why);
    if (r < 0 && !is_own_trouble(&why)) {
        *err = why;
        return r;
    }
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        note_refusal(syncing, name, &why);
    }
    size_t count =
        json_object_is_type(orders, json_type_array) ? json_object_array_length(orders) : 0;
    count = count < XB_IMPORT_ORDERS_MAX ? count : XB_IMPORT_ORDERS_MAX;
    r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = check_on(syncing, err);
        if (r == 0) {
            r = bring_order(syncing, json_object_array_get_idx(orders, i), backup, err);
        }
    }
    return r < 0 ? r : settle(syncing, backup, err);
}

/* ---- backups ---- */

/* A Schedule that is not in this cluster, or another one of that name, would take the backup with
 * it: Kubernetes deletes what belongs to nobody. */
static int drop_dead_owners(struct syncing *syncing, xb_json *backup, struct xb_error *err)
{
    xb_json *kept = json_object_new_array();
    xb_json *metadata = xb_json_get(backup, "metadata");
    xb_json *owners = xb_json_get(backup, "metadata.ownerReferences");
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(owners); i++) {
        XB_CLEANUP(xb_json_putp) xb_json *schedule = NULL;
        xb_json *owner = json_object_array_get_idx(owners, i);
        const struct xb_kube_ref ref = {.resource = &xb_velero_schedules,
                                        .namespace = syncing->place.namespace,
                                        .name = xb_json_str(owner, "name", "")};
        struct xb_error why = XB_ERROR_INIT;
        r = xb_kube_get(client_of(syncing), &ref, &schedule, &why);
        if (r == 0 && strcmp(xb_json_str(schedule, "metadata.uid", ""),
                             xb_json_str(owner, "uid", "-")) == 0) {
            json_object_array_add(kept, json_object_get(owner));
        } else if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
            r = 0;
        } else if (r < 0) {
            *err = why;
        }
    }
    json_object_object_add(metadata, "ownerReferences", kept);
    return r;
}

static int create_backup(struct syncing *syncing, xb_json *backup, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = syncing->place.namespace};
    XB_CLEANUP(xb_json_putp) xb_json *created = NULL;
    int r = drop_dead_owners(syncing, backup, err);
    if (r < 0 || (r = check_on(syncing, err)) < 0) {
        return r;
    }
    struct xb_error why = XB_ERROR_INIT;
    r = xb_kube_create(client_of(syncing), &ref, backup, &created, &why);
    if (r < 0 && why.kind == XB_ERR_CONFLICT) {
        return 0; /* somebody was faster; a backup of that name is here */
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    xb_log_info("a backup was found in its location", "backup",
                xb_json_str(created, "metadata.name", ""), "location", syncing->location, "phase",
                xb_json_str(created, "status.phase", ""));
    return bring_orders(syncing, created, err);
}

/* No failure, and nothing in `out`: there is no marker, somebody is making or deleting it. */
static int read_marker(struct syncing *syncing, const char *name, struct xb_buf *out,
                       struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    struct xb_store_item item;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_velero_marker_key(name, key, err);
    if (r < 0) {
        return r;
    }
    r = xb_store_stat(syncing->store, key, &item, &why);
    if (r == 0 && item.size > XB_IMPORT_MARKER_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EFBIG,
                            "its velero-backup.json is larger than any backup's object");
    }
    if (r == 0) {
        r = xb_store_get(syncing->store, key, 0, XB_STORE_TO_END, out, &why);
    }
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return 0;
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

static int bring_backup(struct syncing *syncing, const char *name, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_IMPORT_MARKER_BYTES_MAX + 1);
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    int r = read_marker(syncing, name, &text, err);
    if (r < 0 || text.len == 0) {
        return r;
    }
    r = xb_import_backup(name, text.data, text.len, &syncing->place, &backup, err);
    return r < 0 || !backup ? r : create_backup(syncing, backup, err);
}

static int go_on_with(struct syncing *syncing, const char *name, struct xb_error *err)
{
    const struct xb_kube_ref ref = {
        .resource = &xb_velero_backups, .namespace = syncing->place.namespace, .name = name};
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    int r = xb_kube_get(client_of(syncing), &ref, &backup, err);
    return r < 0 ? r : bring_orders(syncing, backup, err);
}

/* ---- both ways ---- */

static int add_folder(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct syncing *syncing = context;
    if (json_object_object_length(syncing->folders) >= RECORDS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "the location has more than %d records",
                            RECORDS_MAX);
    }
    json_object_object_add(syncing->folders, item->name, json_object_new_boolean(true));
    return 0;
}

static int bring_missing(struct syncing *syncing, struct xb_error *err)
{
    json_object_object_foreach(syncing->folders, name, ignored)
    {
        xb_json *known = NULL;
        struct xb_error why = XB_ERROR_INIT;
        (void)ignored;
        bool here = json_object_object_get_ex(syncing->work->extra, name, &known);
        if (here && !xb_json_bool(known, "pending", false)) {
            continue;
        }
        int r = check_on(syncing, err);
        if (r < 0) {
            return r;
        }
        r = here ? go_on_with(syncing, name, &why) : bring_backup(syncing, name, &why);
        if (r < 0 && !is_own_trouble(&why)) {
            *err = why;
            return xb_error_wrap(err, "record %s", name);
        }
        if (r < 0) {
            note_refusal(syncing, name, &why);
        }
    }
    return 0;
}

/* The record is looked for once more by its own name before the object goes. */
static int remove_orphan(struct syncing *syncing, const char *name, const char *uid,
                         struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    struct xb_store_item item;
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_kube_ref ref = {
        .resource = &xb_velero_backups, .namespace = syncing->place.namespace, .name = name};
    const struct xb_kube_delete_options options = {.uid = uid};
    int r = xb_velero_marker_key(name, key, err);
    if (r < 0) {
        return r;
    }
    r = xb_store_stat(syncing->store, key, &item, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    if (r == 0) {
        return 0;
    }
    r = xb_kube_delete(client_of(syncing), &ref, &options, err);
    if (r == 0) {
        xb_log_info("a backup is gone from its location: its object goes, too", "backup", name,
                    "location", syncing->location);
    }
    return r < 0 && (err->kind == XB_ERR_NOT_FOUND || err->kind == XB_ERR_CONFLICT) ? 0 : r;
}

static int remove_orphans(struct syncing *syncing, struct xb_error *err)
{
    json_object_object_foreach(syncing->work->extra, name, known)
    {
        struct xb_error why = XB_ERROR_INIT;
        if (!xb_json_bool(known, "ended", false) ||
            json_object_object_get_ex(syncing->folders, name, NULL)) {
            continue;
        }
        int r = check_on(syncing, err);
        if (r < 0) {
            return r;
        }
        if (remove_orphan(syncing, name, xb_json_str(known, "uid", ""), &why) < 0) {
            *err = why;
            return xb_error_wrap(err, "backup %s", name);
        }
    }
    return 0;
}

static int act(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *folders = json_object_new_object();
    char identity[XB_STORE_IDENTITY_BYTES];
    struct syncing syncing = {.work = work,
                              .location = xb_json_str(work->object, "metadata.name", ""),
                              .folders = folders,
                              .cancel = cancel};
    syncing.place = (struct xb_import_place){.namespace = work->coordinator->options->namespace,
                                             .location = syncing.location,
                                             .now_ns = xb_clock_wall_ns()};
    if (!work->run->volumes) {
        work->run->volumes = json_object_new_object();
    }
    /* This proves that the store is the location's: another one would look like records gone. */
    int r = xb_open_location(work->coordinator, syncing.location, true, &store, identity, err);
    syncing.store = store;
    if (r < 0 || (r = xb_store_list_folders(store, "backups/", add_folder, &syncing, err)) < 0 ||
        (r = bring_missing(&syncing, err)) < 0 || (r = remove_orphans(&syncing, err)) < 0) {
        return xb_error_wrap(err, "sync of storage location %s", syncing.location);
    }
    xb_json *status = json_object_new_object();
    json_object_object_add(status, "lastSyncedTime", xb_velero_now());
    return xb_act_patch_status(work->coordinator, &xb_velero_locations, work->object, status, err);
}

/* ---- plan ---- */

/* The cluster's backups as they were before the location was listed: whoever is in neither is
 * missing in both. */
static bool add_known(void *context, const char *key, xb_json *backup)
{
    struct xb_step_work *work = context;
    const char *location = xb_json_str(work->object, "metadata.name", "");
    const char *phase = xb_json_str(backup, "status.phase", "");
    char label[XB_VELERO_LABEL_BYTES] = "";
    struct xb_error ignored = XB_ERROR_INIT;
    (void)key;
    (void)!xb_velero_label(location, label, &ignored);
    bool here = strcmp(xb_json_str(backup, "metadata.labels.velero\\.io/storage-location", ""),
                       label) == 0 &&
                strcmp(xb_json_str(backup, "spec.storageLocation", ""), location) == 0;
    bool ended = strcmp(phase, "Completed") == 0 || strcmp(phase, "PartiallyFailed") == 0;
    bool pending =
        xb_json_str(backup, "metadata.annotations.xebec\\.io/orders-pending", "")[0] != '\0';
    xb_json *known = json_object_new_object();
    xb_json_put_text(known, "uid", xb_json_str(backup, "metadata.uid", ""));
    json_object_object_add(known, "ended", json_object_new_boolean(here && ended));
    json_object_object_add(known, "pending", json_object_new_boolean(here && pending));
    json_object_object_add(work->extra, xb_json_str(backup, "metadata.name", ""), known);
    return true;
}

static void done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_step_work *step = work;
    (void)context;
    (void)key;
    step->run->made_ns = err ? 0 : xb_clock_wall_ns();
}

enum xb_plan xb_plan_sync(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *location = xb_kube_informer_get(coordinator->watched[XB_WATCH_SYNC], key);
    if (!location) {
        xb_run_drop(&coordinator->sync_runs, key);
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->sync_runs, key, location);
    bool ready = strcmp(xb_json_str(location, "status.phase", ""), "Available") == 0 &&
                 xb_kube_informer_synced(coordinator->watched[XB_WATCH_BACKUPS]);
    if (!run || !ready) {
        return XB_PLAN_NONE; /* a change of the location, and the timer, mark it again */
    }
    const struct xb_due_sync facts = {
        .period = xb_json_str(location, "spec.backupSyncPeriod", NULL),
        .synced = xb_json_str(location, "status.lastSyncedTime", NULL),
        .period_ns = coordinator->options->sync_ns,
        .last_ns = run->made_ns,
        .now_ns = now_ns};
    int64_t due_ns = xb_due_sync(&facts);
    if (due_ns == XB_DUE_NEVER) {
        return XB_PLAN_NONE;
    }
    if (now_ns < due_ns) {
        ret->at_ns = due_ns;
        return XB_PLAN_AT;
    }
    struct xb_step_work *work = xb_step_work_new(coordinator, location);
    if (!work) {
        return XB_PLAN_NONE;
    }
    work->run = run;
    work->extra = json_object_new_object();
    xb_kube_informer_each(coordinator->watched[XB_WATCH_BACKUPS], add_known, work);
    *ret = (struct xb_action){.work = work, .run = act, .done = done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}
