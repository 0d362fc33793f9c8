/* SPDX-License-Identifier: Apache-2.0
 * A backup's steps up to its volumes' orders. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/backup_publish.h"
#include "coordinator/act/orders.h"
#include "coordinator/act/pod_hooks.h"
#include "coordinator/collect/validate.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/spec.h"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

static int patch_phase(struct xb_step_work *work, const char *phase, int64_t position,
                       struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", phase);
    json_object_object_add(status, "queuePosition", json_object_new_int64(position));
    return xb_act_patch_status(work->coordinator, &xb_velero_backups, work->object, status, err);
}

/* ---- start ---- */

static void add_problem(xb_json *problems, const char *what)
{
    json_object_array_add(problems, json_object_new_string(what));
}

/* Velero's flags may ask for what a spec leaves open. */
static void check_flags(struct xb_step_work *work, xb_json *problems)
{
    xb_json *spec = xb_json_get(work->object, "spec");
    if (!xb_json_bool(spec, "snapshotMoveData", false) &&
        xb_backup_moves_data(spec, &work->coordinator->options->backup_defaults)) {
        add_problem(problems, "the server's flag --default-snapshot-move-data asks for CSI "
                              "snapshot data movement, which this version of Xebec does not "
                              "support: take the flag away, or set spec.snapshotMoveData to false");
    }
}

static int check_spec(struct xb_step_work *work, xb_json *problems, struct xb_error *err)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = NULL;
    if (!xb_json_get(work->object, "spec")) { /* of everything */
        json_object_object_add(work->object, "spec", json_object_new_object());
    }
    int r = xb_spec_check(XB_SPEC_BACKUP, work->object, problems, err);
    if (r < 0 || json_object_array_length(problems) > 0) {
        return r;
    }
    r = xb_collect_exclude_labelled(work->coordinator->client, xb_json_get(work->object, "spec"),
                                    NULL, err);
    r = r ? r : xb_check_policy(work, problems, &policy, err);
    check_flags(work, problems);
    return r ? r : xb_validate_backup(work->object, policy, problems, &filter, err);
}

static int take_location(void *context, xb_json *location, struct xb_error *err)
{
    xb_json *there = context;
    if (json_object_array_length(there) == XB_SNAPSHOT_LOCATIONS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG,
                            "there are more than %d VolumeSnapshotLocations",
                            XB_SNAPSHOT_LOCATIONS_MAX);
    }
    json_object_array_add(there, json_object_get(location));
    return 0;
}

static int choose_snapshot_locations(struct xb_step_work *work, xb_json *problems, xb_json **ret,
                                     struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *there = json_object_new_array();
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_kube_list list = {.resource = &xb_velero_snapshot_locations,
                                      .namespace = text(work, "metadata.namespace")};
    int r = xb_kube_list_pages(work->coordinator->client, &list, take_location, there, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) { /* not even the kind: there are none */
        *err = why;
        return r;
    }
    const struct xb_snapshot_locations facts = {
        .named = xb_json_get(work->object, "spec.volumeSnapshotLocations"),
        .there = there,
        .defaults = work->coordinator->options->snapshot_locations};
    *ret = xb_backup_snapshot_locations(&facts, problems);
    return 0;
}

static int take_default(void *context, xb_json *location, struct xb_error *err)
{
    char *name = context;
    (void)err;
    if (xb_json_bool(location, "spec.default", false)) {
        snprintf(name, XB_VELERO_NAME_BYTES, "%.253s", xb_json_str(location, "metadata.name", ""));
    }
    return 0;
}

/* The location that the backup goes to: its own, or the one that says it is the default, or the one
 * that the server's flag names. */
static int location_name(struct xb_step_work *work, char out[XB_VELERO_NAME_BYTES],
                         struct xb_error *err)
{
    const struct xb_kube_list list = {.resource = &xb_velero_locations,
                                      .namespace = text(work, "metadata.namespace")};
    const char *own = text(work, "spec.storageLocation");
    snprintf(out, XB_VELERO_NAME_BYTES, "%.253s",
             own[0] ? own : work->coordinator->options->default_location);
    return own[0] ? 0
                  : xb_kube_list_pages(work->coordinator->client, &list, take_default, out, err);
}

/* Another backup of this name, whose object is gone, keeps its place: said before anything is read.
 */
static bool name_is_taken(struct xb_step_work *work, struct xb_store *store)
{
    char key[XB_VELERO_KEY_BYTES];
    struct xb_store_item item;
    struct xb_error ignored = XB_ERROR_INIT;
    return xb_velero_marker_key(text(work, "metadata.name"), key, &ignored) == 0 &&
           xb_store_stat(store, key, &item, &ignored) == 0;
}

static int check_location(struct xb_step_work *work, const char *name, xb_json *problems,
                          bool *ret_taken, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    struct xb_error why = XB_ERROR_INIT;
    if (xb_open_location(work->coordinator, name, false, &store, identity, &why) < 0) {
        if (why.kind == XB_ERR_RETRY) {
            *err = why;
            return why.code;
        }
        add_problem(problems, why.text);
    }
    *ret_taken = store && name_is_taken(work, store);
    return 0;
}

/* Ends it before it began. Where it would have gone is written down all the same: whoever follows
 * the backup to its location (a restore that is deleted) must find it. */
static int end_unbegun(struct xb_step_work *work, const char *location, xb_json *status,
                       struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_json_put_text(spec, "storageLocation", location);
    json_object_object_add(status, "version", json_object_new_int64(1));
    xb_json_put_text(status, "formatVersion", "1.1.0");
    json_object_object_add(patch, "spec", spec);
    json_object_object_add(patch, "status", status);
    return xb_act_patch(work->coordinator, &xb_velero_backups, work->object, patch, err);
}

static int refuse(struct xb_step_work *work, const char *location, xb_json *problems,
                  struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "FailedValidation");
    json_object_object_add(status, "validationErrors", json_object_get(problems));
    xb_log_info("backup refused", "backup", text(work, "metadata.name"), "why",
                json_object_to_json_string_ext(problems, JSON_C_TO_STRING_PLAIN));
    return end_unbegun(work, location, status, err);
}

static int refuse_name(struct xb_step_work *work, const char *location, struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Failed");
    xb_json_put_text(status, "failureReason",
                     "backup already exists in object storage: another backup of this name is in "
                     "the location; choose another name");
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    xb_log_info("backup refused: its name is taken", "backup", text(work, "metadata.name"));
    return end_unbegun(work, location, status, err);
}

static void put_expiration(struct xb_step_work *work, xb_json *spec, xb_json *status)
{
    char when[XB_TIME_TEXT_BYTES];
    char duration[XB_TIME_TEXT_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    int64_t ttl_ns = 0;
    const char *ttl = text(work, "spec.ttl");
    if (!ttl[0] || xb_duration_parse(ttl, &ttl_ns, &err) < 0 || ttl_ns <= 0) {
        ttl_ns = work->coordinator->options->default_ttl_ns;
        xb_duration_format(ttl_ns, duration);
        xb_json_put_text(spec, "ttl", duration);
    }
    xb_time_format_seconds(xb_clock_wall_ns() + ttl_ns, when);
    xb_json_put_text(status, "expiration", when);
}

static void put_versions(struct xb_step_work *work, xb_json *annotations)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf body = XB_BUF_INIT(65536);
    XB_CLEANUP(xb_json_putp) xb_json *version = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_kube_raw_get(work->coordinator->client, "/version", &body, &err) < 0 ||
        xb_json_parse(body.data, body.len, &version, &err) < 0) {
        return;
    }
    xb_json_put_text(annotations, "velero.io/source-cluster-k8s-gitversion",
                     xb_json_str(version, "gitVersion", ""));
    xb_json_put_text(annotations, "velero.io/source-cluster-k8s-major-version",
                     xb_json_str(version, "major", ""));
    xb_json_put_text(annotations, "velero.io/source-cluster-k8s-minor-version",
                     xb_json_str(version, "minor", ""));
}

/* Nothing here waits by the timeout: it is for plugins of a Velero that reads the backup. */
static void put_flags(struct xb_step_work *work, xb_json *annotations)
{
    const char *policies = work->coordinator->options->global_policies;
    char text[XB_TIME_TEXT_BYTES];
    if (policies && policies[0]) {
        xb_json_put_text(annotations, "velero.io/global-backup-volume-policy-configmap", policies);
    }
    xb_duration_format(work->coordinator->options->resource_timeout_ns, text);
    xb_json_put_text(annotations, "velero.io/resource-timeout", text);
}

/* `snapshot_locations` is taken over. */
static int begin(struct xb_step_work *work, const char *location, xb_json *snapshot_locations,
                 struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *snapshots = snapshot_locations;
    char label[XB_VELERO_LABEL_BYTES];
    int r = xb_velero_label(location, label, err);
    if (r < 0) {
        return r;
    }
    xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *spec = xb_backup_spec_defaults(xb_json_get(work->object, "spec"),
                                            &work->coordinator->options->backup_defaults);
    xb_json *status = json_object_new_object();
    xb_json_put_text(labels, "velero.io/storage-location", label);
    put_versions(work, annotations);
    put_flags(work, annotations);
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(metadata, "annotations", annotations);
    xb_json_put_text(spec, "storageLocation", location);
    json_object_object_add(spec, "excludedNamespaces",
                           json_object_get(xb_json_get(work->object, "spec.excludedNamespaces")));
    json_object_object_add(spec, "volumeSnapshotLocations",
                           json_object_array_length(snapshots) > 0 ? XB_TAKE(snapshots) : NULL);
    put_expiration(work, spec, status);
    xb_json_put_text(status, "phase", "InProgress");
    json_object_object_add(status, "version", json_object_new_int64(1));
    xb_json_put_text(status, "formatVersion", "1.1.0");
    json_object_object_add(status, "startTimestamp", xb_velero_now());
    json_object_object_add(patch, "metadata", metadata);
    json_object_object_add(patch, "spec", spec);
    json_object_object_add(patch, "status", status);
    return xb_act_patch(work->coordinator, &xb_velero_backups, work->object, patch, err);
}

static int start(struct xb_step_work *work, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_json_putp) xb_json *snapshots = NULL;
    char location[XB_VELERO_NAME_BYTES];
    bool taken = false;
    int r = location_name(work, location, err);
    if (r < 0 || (r = check_spec(work, problems, err)) < 0 ||
        (r = choose_snapshot_locations(work, problems, &snapshots, err)) < 0 ||
        (r = check_location(work, location, problems, &taken, err)) < 0) {
        return r;
    }
    if (taken) {
        return refuse_name(work, location, err);
    }
    return json_object_array_length(problems) > 0 ? refuse(work, location, problems, err)
                                                  : begin(work, location, XB_TAKE(snapshots), err);
}

/* ---- work: items, then orders ---- */

static void show(void *context, uint64_t items)
{
    struct xb_ordering *ordering = context;
    int64_t now = xb_clock_mono_ns();
    struct xb_error err = XB_ERROR_INIT;
    if (now - ordering->shown_ns < XB_NS_PER_S) {
        return;
    }
    ordering->shown_ns = now;
    xb_json *status = json_object_new_object();
    xb_json *counts = json_object_new_object();
    json_object_object_add(counts, "itemsBackedUp", json_object_new_int64((int64_t)items));
    json_object_object_add(counts, "totalItems", json_object_new_int64((int64_t)items));
    json_object_object_add(status, "progress", counts);
    (void)!xb_act_patch_status(ordering->work->coordinator, &xb_velero_backups,
                               ordering->work->object, status, &err);
}

static int is_readable(void *context, const char *node, struct xb_error *err)
{
    struct xb_ordering *ordering = context;
    return xb_agents_find(&ordering->agents, node, err);
}

static int collect(struct xb_ordering *ordering, struct xb_error *err)
{
    struct xb_step_work *work = ordering->work;
    struct xb_run *run = work->run;
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_tarball_writer_freep) struct xb_tarball_writer *writer = NULL;
    int r = xb_load_policy(work->coordinator, work->object, &policy, err);
    if (r < 0 || (r = xb_validated_filter(work->object, policy, &filter, err)) < 0 ||
        (r = xb_tarball_writer_new(run->tarball, &writer, err)) < 0) {
        return r;
    }
    const struct xb_collect_options options = {.client = work->coordinator->client,
                                               .backup = work->object,
                                               .filter = filter,
                                               .policy = policy,
                                               .all_versions =
                                                   work->coordinator->options->all_versions,
                                               .writer = writer,
                                               .log = run->log,
                                               .cancel = ordering->cancel,
                                               .progress = show,
                                               .before_pod = xb_pod_hooks_before,
                                               .after_block = xb_block_hooks_after,
                                               .readable = is_readable,
                                               .host_paths = xb_ordering_host_paths,
                                               .block_devices = xb_ordering_block_devices,
                                               .node_of = xb_ordering_node_of,
                                               .context = ordering};
    r = xb_collect(&options, &run->collected, err);
    if (r == 0) {
        r = xb_tarball_writer_finish(writer, err);
    }
    run->items = run->collected.items;
    return r;
}

static void note_record(void *context, const struct xb_hook_pod *pod,
                        const struct xb_bracket_record *record)
{
    struct xb_ordering *ordering = context;
    (void)pod;
    (void)record;
    ordering->records_found = true;
}

static int do_work(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_run *run = work->run;
    int r = xb_run_begin(work->coordinator, run, "backup", err);
    if (r < 0) {
        return r;
    }
    xb_record_log_line(run->log, XB_RECORD_INFO, NULL, "backup %s begins (Xebec %s)",
                       text(work, "metadata.name"), XB_VERSION);
    run->timeout_ns = xb_orders_timeout_ns(work);
    struct xb_ordering ordering = {.work = work, .cancel = cancel, .shown_ns = xb_clock_mono_ns()};
    r = xb_ordering_open(&ordering, err);
    r = r ? r : xb_hook_records_each(work, note_record, &ordering, err);
    if (r == 0 && (r = collect(&ordering, err)) == 0) {
        r = xb_ordering_make_all(&ordering, run->collected.volumes, run->collected.volume_count,
                                 err);
    }
    xb_ordering_close(&ordering);
    if (r < 0) {
        return r;
    }
    xb_record_log_line(run->log, XB_RECORD_INFO, NULL, "%llu items collected, %zu volumes ordered",
                       (unsigned long long)run->items, json_object_array_length(run->orders));
    run->made_ns = xb_clock_wall_ns();
    run->worked = true;
    return 0;
}

/* Of a backup that was found finalizing, the record may be whole already: then only the word of it
 * is missing. */
static int work_or_end(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    bool ended = false;
    int r = xb_plan_finalizes(text(work, "status.phase")) ? xb_backup_end(work, &ended, err) : 0;
    if (ended) {
        work->step = XB_STEP_PUBLISH; /* that is what has been done */
    }
    return r < 0 || ended ? r : do_work(work, cancel, err);
}

int xb_act_backup(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    int r = 0;
    if (work->step == XB_STEP_QUEUE || work->step == XB_STEP_MOVE) {
        return patch_phase(work, "Queued", work->position, err);
    }
    if (work->step == XB_STEP_READY) {
        return patch_phase(work, "ReadyToStart", 0, err);
    }
    if (work->step == XB_STEP_START) {
        return start(work, err);
    }
    if (work->step == XB_STEP_HOOKS) {
        return xb_pod_hooks_close(work, cancel, err);
    }
    if (work->step == XB_STEP_FINALIZE) {
        r = xb_backup_finalize(work, err);
    } else if (work->step == XB_STEP_PUBLISH) {
        r = xb_backup_publish(work, err);
    } else {
        r = work_or_end(work, cancel, err);
    }
    if (r == 0 || err->kind == XB_ERR_RETRY || err->kind == XB_ERR_CANCELLED) {
        return r;
    }
    struct xb_error why = *err;
    *err = (struct xb_error)XB_ERROR_INIT;
    return xb_backup_fail(work, why.text, err);
}
