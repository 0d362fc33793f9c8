/* SPDX-License-Identifier: Apache-2.0
 * A PodVolumeBackup, from Accepted to its end. */
#include "agent/pipeline/backup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/repository/policy.h"
#include "shared/velero/velero.h"

#define REQUESTER "snapshot-pod-volume"

enum { FILES_AT_ONCE_MAX = 1024 }; /* the engine has a lower limit of its own */

static const char *text(const struct xb_order *order, const char *path)
{
    return xb_json_str(order->object, path, "");
}

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
    const char *volume = text(order, "spec.volume");
    int r = place->pod ? xb_volume_source(place->pod, volume, &source, err) : 0;
    if (r < 0) {
        return r;
    }
    if (asprintf(&snapshot->path, REQUESTER "/kopia/%s%s%s/%s", text(order, "spec.pod.namespace"),
                 place->pod ? "/" : "", text(order, "spec.pod.name"),
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
    const char *said = text(order, "spec.uploaderSettings.ParallelFilesUpload");
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

static int run_engine(struct xb_order *order, struct xb_order_place *place,
                      const struct xb_snapshot *snapshot, struct xb_backup_result *result,
                      struct xb_error *err)
{
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
                                              .root_name = text(order, "metadata.uid"),
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
static bool describe(const struct xb_backup_result *result, const char *snapshot,
                     char message[XB_ORDER_MESSAGE_BYTES])
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

static int complete(struct xb_order *order, const struct xb_order_place *place,
                    const struct xb_snapshot *snapshot, const struct xb_backup_result *result,
                    struct xb_error *err)
{
    bool hidden = hides_from_velero(place);
    int r = hidden ? xb_order_annotate(order, XB_VELERO_SNAPSHOT_ANNOTATION, snapshot->id, err) : 0;
    if (r < 0) {
        return r;
    }
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "bytesDone", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(progress, "totalBytes", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(status, "progress", progress);
    json_object_object_add(status, "incrementalBytes",
                           json_object_new_int64((int64_t)result->bytes_new));
    json_object_object_add(status, "snapshotID",
                           json_object_new_string(hidden ? "" : snapshot->id));
    json_object_object_add(status, "path", json_object_new_string(place->volume.path));
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    /* Data that is missing is no Completed; what could be read is kept all the same. */
    json_object_object_add(status, "phase",
                           json_object_new_string(result->failed ? "Failed" : "Completed"));
    char message[XB_ORDER_MESSAGE_BYTES];
    if (describe(result, snapshot->id, message)) {
        json_object_object_add(status, "message", json_object_new_string(message));
    }
    xb_log_info("order ended", "order", order->key, "phase",
                result->failed ? "Failed" : "Completed", "snapshot", snapshot->id);
    order->bytes = result->bytes;
    order->bytes_new = result->bytes_new;
    r = xb_order_patch(order, status, err);
    order->ended = r == 0 ? result->failed ? "Failed" : "Completed" : NULL;
    return r;
}

static int carry_out(struct xb_order *order, struct xb_error *err)
{
    struct xb_order_place place;
    struct xb_backup_result result = {.files = 0};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot) {
        return xb_error_no_memory(err, "a snapshot");
    }
    int r = xb_order_open_bracket(order, err);
    if (r < 0) {
        return r;
    }
    snapshot->start_ns = xb_clock_wall_ns();
    r = xb_order_open(order, text(order, "spec.pod.namespace"), false, &place, err);
    if (r < 0) {
        return r;
    }
    r = fill_source(order, &place, snapshot, err);
    if (r == 0) {
        r = place.where.devices ? xb_order_read_device(order, &place, snapshot, &result, err)
                                : run_engine(order, &place, snapshot, &result, err);
    }
    if (r == 0) {
        r = xb_order_still_there(order, &place, err);
    }
    if (r == 0) {
        if (!place.where.devices) {
            xb_backup_fill_snapshot(&result, snapshot);
        }
        r = xb_snapshot_publish(place.repository, snapshot, err);
    }
    if (r == 0) {
        r = complete(order, &place, snapshot, &result, err);
    }
    xb_backup_result_free(&result);
    xb_order_close(&place);
    return r;
}

int xb_order_backup(void *work, const atomic_bool *stop, struct xb_error *err)
{
    static const struct xb_order_task task = {.owner = "Backup",
                                              .doing = "backing a volume up",
                                              .tells_node = false,
                                              .carry_out = carry_out};
    int r = xb_order_run(work, &task, stop, err);
    xb_order_release_bracket(work, stop);
    return r;
}
