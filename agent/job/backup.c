/* SPDX-License-Identifier: Apache-2.0
 * A PodVolumeBackup, from Accepted to its end. */
#include "agent/pipeline/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze/freeze.h"
#include "agent/job/guarded.h"
#include "agent/job/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/repository/policy.h"
#include "shared/velero/velero.h"

#define REQUESTER "snapshot-pod-volume"

enum { FILES_AT_ONCE_MAX = 1024 }; /* the engine has a lower limit of its own */

static void show(void *context, const struct xb_backup_progress *progress)
{
    xb_order_progress(context, progress->bytes_done, progress->bytes_total);
}

static char *copy(const char *value)
{
    return strdup(value);
}

/* The source in the words that Velero looks for; a claim without a pod has none in it. */
static int fill_path(const struct xb_order *order, const struct xb_order_place *place,
                     struct xb_snapshot *snapshot, struct xb_error *err)
{
    struct xb_volume_source source = {.claim = ""};
    const char *volume = xb_order_text(order, "spec.volume");
    int r = place->pod ? xb_volume_source(place->pod, volume, &source, err) : 0;
    if (r < 0) {
        return r;
    }
    if (asprintf(&snapshot->path, REQUESTER "/kopia/%s%s%s/%s",
                 xb_order_text(order, "spec.pod.namespace"), place->pod ? "/" : "",
                 xb_order_text(order, "spec.pod.name"),
                 source.claim[0] ? source.claim : volume) < 0) {
        snapshot->path = NULL;
        return xb_error_no_memory(err, "a snapshot");
    }
    return 0;
}

/* Who the snapshot is of. */
static int fill_source(const struct xb_order *order, const struct xb_order_place *place,
                       struct xb_snapshot *snapshot, struct xb_error *err)
{
    int r = fill_path(order, place, snapshot, err);
    if (r < 0) {
        return r;
    }
    snapshot->host = copy("default");
    snapshot->user = copy("default");
    snapshot->description = copy("Kopia Uploader");
    snapshot->tags = calloc(2, sizeof *snapshot->tags);
    snapshot->pins = calloc(1, sizeof *snapshot->pins);
    if (snapshot->tags && snapshot->pins) {
        snapshot->tags[0] = (struct xb_label){copy("snapshot-requester"), copy(REQUESTER)};
        snapshot->tags[1] = (struct xb_label){copy("snapshot-uploader"), copy("kopia")};
        snapshot->tag_count = 2;
        snapshot->pins[0] = copy("velero-pin");
        snapshot->pin_count = 1;
    }
    if (!snapshot->host || !snapshot->user || !snapshot->description || !snapshot->tags ||
        !snapshot->pins || !snapshot->tags[0].key || !snapshot->tags[0].value ||
        !snapshot->tags[1].key || !snapshot->tags[1].value || !snapshot->pins[0]) {
        return xb_error_no_memory(err, "a snapshot");
    }
    return 0;
}

/* spec.uploaderSettings.ParallelFilesUpload: how many files are read at once; 0: nothing said. */
static int parallel_files(const struct xb_order *order, unsigned *ret, struct xb_error *err)
{
    const char *said = xb_order_text(order, "spec.uploaderSettings.ParallelFilesUpload");
    char *end = NULL;
    errno = 0;
    long files = strtol(said, &end, 10);
    if (*end || errno || files < 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "spec.uploaderSettings.ParallelFilesUpload is '%.40s', want a number",
                            said);
    }
    *ret = files > FILES_AT_ONCE_MAX ? FILES_AT_ONCE_MAX : (unsigned)files;
    return 0;
}

static int run_engine(struct xb_order *order, const struct xb_copy *copy,
                      const struct xb_snapshot *snapshot, struct xb_backup_result *result,
                      struct xb_error *err)
{
    const struct xb_order_place *place = &copy->place;
    struct xb_snapshot_parents parents = {.count = 0};
    const struct xb_snapshot_filter same = {.host = snapshot->host,
                                            .user = snapshot->user,
                                            .path = snapshot->path,
                                            .tags = snapshot->tags,
                                            .tag_count = snapshot->tag_count};
    enum xb_compression compression = XB_COMPRESSION_NONE;
    int r = xb_policy_compression(place->repository, &compression, err);
    if (r < 0 || (r = xb_snapshot_find_parents(place->repository, &same, &parents, err)) < 0) {
        return r;
    }
    unsigned threads = 0;
    if ((r = parallel_files(order, &threads, err)) < 0) {
        xb_snapshot_parents_free(&parents);
        return r;
    }
    const struct xb_backup_options options = {.root_fd = place->volume.fd,
                                              .copy = copy->freeze,
                                              .root_name = xb_order_text(order, "metadata.uid"),
                                              .threads = threads,
                                              .parents = &parents,
                                              .compression = compression,
                                              .cancel = &order->cancel,
                                              .progress = show,
                                              .progress_context = order,
                                              .source = snapshot};
    r = xb_backup_run(place->repository, &options, result, err);
    xb_snapshot_parents_free(&parents);
    return r;
}

/* What has to be said of it; false if nothing. */
static bool describe(const struct xb_order *order, const struct xb_backup_result *result,
                     const char *snapshot, char message[XB_ORDER_MESSAGE_BYTES])
{
    const struct xb_backup_message first =
        result->message_count ? result->messages[0] : (struct xb_backup_message){.path = NULL};
    const char *path = first.path ? first.path : "?";
    const char *why = first.text ? first.text : "?";
    if (result->failed) {
        snprintf(message, XB_ORDER_MESSAGE_BYTES,
                 "%" PRIu64 " entries could not be read, the first: %s: %s (the rest is in "
                 "snapshot %s)",
                 result->failed, path, why, snapshot);
    } else if (order->point.problem[0]) {
        snprintf(message, XB_ORDER_MESSAGE_BYTES, "%s", order->point.problem);
    } else if (result->changed_files || result->vanished) {
        snprintf(message, XB_ORDER_MESSAGE_BYTES,
                 "%" PRIu64 " files changed while they were read, %" PRIu64 " were removed, the "
                 "first: %s: %s",
                 result->changed_files, result->vanished, path, why);
    } else {
        return false;
    }
    return true;
}

/* A folder of the node that a pod names itself: in a restored pod, too, so that Velero would look
 * for it among the kubelet's folders in vain, and let the pod wait for ever. And a device, which
 * its waiting container would mount. */
static bool hides_from_velero(const struct xb_order_place *place)
{
    return (place->where.host.path && !place->persistent_volume) || place->where.devices;
}

static xb_json *end_status(struct xb_order *order, const struct xb_order_place *place,
                           const struct xb_snapshot *snapshot,
                           const struct xb_backup_result *result)
{
    xb_json *status = json_object_new_object();
    const char *id = hides_from_velero(place) ? "" : snapshot->id;
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "bytesDone", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(progress, "totalBytes", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(status, "progress", progress);
    json_object_object_add(status, "incrementalBytes",
                           json_object_new_int64((int64_t)result->bytes_new));
    json_object_object_add(status, "snapshotID", json_object_new_string(id));
    json_object_object_add(status, "path", json_object_new_string(place->volume.path));
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    /* Data that is missing is no Completed; what could be read is kept all the same. */
    json_object_object_add(status, "phase",
                           json_object_new_string(result->failed ? "Failed" : "Completed"));
    char message[XB_ORDER_MESSAGE_BYTES];
    if (describe(order, result, snapshot->id, message)) {
        json_object_object_add(status, "message", json_object_new_string(message));
    }
    return status;
}

/* Its end, and of which moment it is, with one request: whoever waits for either sees both. */
static int complete(struct xb_order *order, const struct xb_order_place *place,
                    const struct xb_snapshot *snapshot, const struct xb_backup_result *result,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    char said[XB_POINT_IN_TIME_TEXT_BYTES];
    const struct xb_kube_ref ref = xb_order_ref(order);
    xb_point_in_time_say(&order->point, said);
    xb_log_info("order ended", "order", order->key, "phase",
                result->failed ? "Failed" : "Completed", "snapshot", snapshot->id, "data", said);
    order->bytes = result->bytes;
    order->bytes_new = result->bytes_new;
    int r = xb_point_in_time_patch(&order->point, &patch, err);
    if (r == 0) {
        json_object_object_add(patch, "status", end_status(order, place, snapshot, result));
        if (hides_from_velero(place)) {
            json_object_object_add(xb_json_get(patch, "metadata.annotations"),
                                   XB_VELERO_SNAPSHOT_ANNOTATION,
                                   json_object_new_string(snapshot->id));
        }
        r = xb_kube_merge_patch(order->agent->client, &ref, patch, NULL, err);
    }
    order->ended = r == 0 ? result->failed ? "Failed" : "Completed" : NULL;
    return r;
}

/* ---- the volume, of one moment if that can be had ---- */

/* The copy that was made for it while its application was held, or one of now. */
static int get_copy(struct xb_order *order, struct xb_copy **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep)
    struct xb_copy *copy =
        xb_agent_take_copy(order->agent, order->key, xb_order_text(order, "metadata.uid"));
    if (copy && !copy->in_vain && !copy->prepared) {
        *ret = XB_TAKE(copy);
        return 0;
    }
    xb_copy_free(XB_TAKE(copy));
    int r = xb_copy_prepare(order, &copy, err);
    if (r < 0) {
        return r;
    }
    xb_copies_take(&copy, 1);
    if (copy->failed.code) {
        *err = copy->failed;
        return err->code;
    }
    bool fixed = xb_point_in_time_fixed(order->object);
    if (order->unheld || (xb_point_in_time_held(order->object) && fixed)) {
        snprintf(copy->point.problem, sizeof copy->point.problem, "%s",
                 fixed ? "the copy that was made while its application was held was lost with the "
                         "agent's end; this is a later one, of an application that works"
                       : "the agent had ended before it was read, and its application is no longer "
                         "held: what was read is of an application that works");
    }
    const struct xb_kube_ref ref = xb_order_ref(order);
    if (xb_copy_is_fixed(copy) &&
        (r = xb_order_tell_point(order->agent, &ref, &copy->point, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(copy);
    return 0;
}

/* What is read instead is of no moment, and of no application that is held. */
static void note_given_up(const struct xb_order *order, struct xb_copy *copy)
{
    if (order->unheld || order->bracketed || xb_point_in_time_held(order->object)) {
        copy->point.held_us = -1;
        snprintf(copy->point.problem, sizeof copy->point.problem,
                 "the copy that was made while its application was held had to be given up; what "
                 "was read instead is of an application that works: %.200s",
                 xb_freeze_lost_reason(copy->freeze));
    }
}

/* Reads it; once more, from the volume itself, if its copy had to be given up meanwhile. */
static int read_volume(struct xb_order *order, struct xb_copy *copy, struct xb_snapshot *snapshot,
                       struct xb_backup_result *result, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    bool fixed = xb_copy_is_fixed(copy);
    snapshot->start_ns = fixed ? copy->point.time_ns : xb_clock_wall_ns();
    int r = copy->place.where.devices
                ? xb_order_read_device(order, &copy->place, snapshot, result, &why)
                : run_engine(order, copy, snapshot, result, &why);
    if (r < 0 && fixed && atomic_load(xb_freeze_lost(copy->freeze))) {
        xb_log_warning("a copy had to be given up: the volume itself is read", "order", order->key,
                       "reason", xb_freeze_lost_reason(copy->freeze));
        note_given_up(order, copy);
        why = (struct xb_error)XB_ERROR_INIT;
        if ((r = xb_copy_fall_back(copy, &why)) == 0) {
            xb_backup_result_free(result);
            *result = (struct xb_backup_result){.files = 0};
            snapshot->start_ns = xb_clock_wall_ns();
            r = run_engine(order, copy, snapshot, result, &why);
        }
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    order->point = copy->point;
    order->point.changed_files = (int64_t)result->changed_files;
    if (!xb_copy_is_fixed(copy)) {
        order->point.time_ns = xb_clock_wall_ns();
        order->point.copy_us = (order->point.time_ns - snapshot->start_ns) / 1000;
    }
    return 0;
}

/* A pod that was deleted meanwhile takes its files with it: what was read of them is a part. */
static int check_still_there(struct xb_order *order, const struct xb_copy *copy,
                             struct xb_error *err)
{
    return xb_copy_is_fixed(copy) ? 0 : xb_order_still_there(order, &copy->place, err);
}

static int upload(struct xb_order *order, struct xb_copy *copy, struct xb_snapshot *snapshot,
                  struct xb_error *err)
{
    struct xb_backup_result result = {.files = 0};
    int r = fill_source(order, &copy->place, snapshot, err);
    r = r ? r : read_volume(order, copy, snapshot, &result, err);
    if (r == 0) {
        xb_order_read_over(order, false);
        r = check_still_there(order, copy, err);
    }
    if (r == 0) {
        if (!copy->place.where.devices) {
            xb_backup_fill_snapshot(&result, snapshot);
        }
        r = xb_snapshot_publish(copy->place.repository, snapshot, err);
    }
    if (r == 0) {
        r = complete(order, &copy->place, snapshot, &result, err);
    }
    xb_backup_result_free(&result);
    return r;
}

static int carry_out(struct xb_order *order, struct xb_error *err)
{
    XB_CLEANUP(xb_copy_freep) struct xb_copy *copy = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot) {
        return xb_error_no_memory(err, "a snapshot");
    }
    int r = xb_order_open_bracket(order, err);
    if (r < 0 || (r = get_copy(order, &copy, err)) < 0) {
        return r;
    }
    r = xb_order_open_repository(order, xb_order_text(order, "spec.pod.namespace"), false,
                                 &copy->place, err);
    if (r == 0) {
        r = upload(order, copy, snapshot, err);
    }
    if (r < 0 && err->kind == XB_ERR_RETRY && xb_copy_is_fixed(copy)) {
        xb_repository_free(XB_TAKE(copy->place.repository));
        xb_agent_keep_copy(order->agent, XB_TAKE(copy)); /* it is taken up again */
    }
    return r;
}

int xb_order_backup(void *work, const atomic_bool *stop, struct xb_error *err)
{
    static const struct xb_order_task task = {.owner = "Backup",
                                              .doing = "backing a volume up",
                                              .tells_node = false,
                                              .carry_out = carry_out};
    int r = xb_order_run(work, &task, stop, err);
    if (r < 0) { /* to be taken up again */
        xb_order_read_over(work, true);
    }
    xb_order_release_bracket(work, stop);
    return r;
}
