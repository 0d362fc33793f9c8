/* SPDX-License-Identifier: Apache-2.0
 * A PodVolumeRestore, from Accepted to its end. */
#include "agent/restore/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/job/internal.h"
#include "shared/base/log.h"
#include "shared/velero/velero.h"

#define DONE_FOLDER ".velero"

enum { THREADS_MAX = 16, EXTRA_NAMES_MAX = 5 };

static void show(void *context, const struct xb_restore_progress *progress)
{
    xb_order_progress(context, progress->bytes_done, progress->bytes_total);
}

/* ---- the sign for the waiting pod ---- */

static int open_done_folder(int volume_fd, struct xb_error *err)
{
    if (mkdirat(volume_fd, DONE_FOLDER, 0755) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "creating " DONE_FOLDER);
    }
    int fd = openat(volume_fd, DONE_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? xb_error_errno(err, errno, "opening " DONE_FOLDER) : fd;
}

/* A .velero that came with the data would let a pod start too early; what is in it must go. */
static int clear_done_folder(int volume_fd, struct xb_error *err)
{
    int fd = openat(volume_fd, DONE_FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT) {
            return 0;
        }
        return unlinkat(volume_fd, DONE_FOLDER, 0) < 0
                   ? xb_error_errno(err, errno, "removing what stands for " DONE_FOLDER)
                   : 0;
    }
    XB_CLEANUP(xb_closedirp) DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return xb_error_errno(err, errno, "listing " DONE_FOLDER);
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(dirfd(dir), entry->d_name, 0) < 0 && errno != ENOENT) {
            return xb_error_errno(err, errno, "emptying " DONE_FOLDER);
        }
    }
    return 0;
}

static int sign_done(const struct xb_order *order, int volume_fd, struct xb_error *err)
{
    const char *uid = xb_json_str(xb_velero_owner(order->object, "Restore"), "uid", "");
    if (strlen(uid) != 36 || strspn(uid, "0123456789abcdef-") != 36) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "its owner has no uid");
    }
    struct stat st;
    if (fstat(volume_fd, &st) < 0) {
        return xb_error_errno(err, errno, "the volume's folder");
    }
    XB_CLEANUP(xb_closep) int folder = open_done_folder(volume_fd, err);
    if (folder < 0) {
        return folder;
    }
    XB_CLEANUP(xb_closep)
    int file = openat(folder, uid, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    /* A helper that does not run as root runs as the volume's owner: it must be able to tidy up. */
    if (file >= 0 && st.st_uid != 0) {
        (void)!fchown(folder, st.st_uid, st.st_gid);
        (void)!fchown(file, st.st_uid, st.st_gid);
    }
    /* The sign must not change the time of the folder, which was just restored. */
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    (void)!futimens(volume_fd, times);
    if (file < 0 || fsync(folder) < 0) {
        return xb_error_errno(err, errno, "telling the pod that its volume is back");
    }
    return 0;
}

/* A device has no room for it: the pod has a folder in its place. */
static int sign(const struct xb_order *order, const struct xb_order_place *place,
                struct xb_error *err)
{
    struct xb_volume folder = {.fd = -1};
    if (!place->where.devices) {
        return sign_done(order, place->volume.fd, err);
    }
    const struct xb_volume_place where = {
        .pods_root = place->where.pods_root,
        .pod_uid = place->where.pod_uid,
        .folder = xb_volume_sign(place->pod, xb_order_text(order, "spec.volume"))};
    if (!where.folder) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "the pod's container restore-wait looks for no sign of this volume");
    }
    int r = xb_volume_open(&where, &folder, err);
    r = r ? r : sign_done(order, folder.fd, err);
    xb_volume_close(&folder);
    return r;
}

/* ---- the restore ---- */

static bool wants_sparse(const struct xb_order *order)
{
    return strcmp(xb_order_text(order, "spec.uploaderSettings.WriteSparseFiles"), "true") == 0;
}

/* How many files at once; 0: the engine's own number. What nobody can mean is cut, not refused: the
 * data matters more. */
static unsigned wanted_threads(const struct xb_order *order)
{
    const char *number = xb_order_text(order, "spec.uploaderSettings.ParallelFilesDownload");
    char *end = NULL;
    long wanted = strtol(number, &end, 10);
    if (!number[0] || *end || wanted <= 0) {
        return 0;
    }
    return wanted < THREADS_MAX ? (unsigned)wanted : THREADS_MAX;
}

/* Into a pod that waits: its volume is for us alone. */
static int run_waiting(struct xb_order_place *place, const struct xb_snapshot *snapshot,
                       const struct xb_restore_options *options, struct xb_restore_result *result,
                       struct xb_error *err)
{
    int r = clear_done_folder(place->volume.fd, err);
    if (r == 0) { /* an earlier restore's is nothing that people left there */
        (void)!unlinkat(place->volume.fd, DONE_FOLDER, AT_REMOVEDIR);
    }
    r = r ? r : xb_restore_run(place->repository, snapshot, options, result, err);
    return r ? r : clear_done_folder(place->volume.fd, err);
}

static int run_engine(struct xb_order *order, struct xb_order_place *place,
                      struct xb_restore_result *result, struct xb_error *err)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    struct xb_order_part part = {.fd = -1};
    struct xb_restore_options options = {.target_fd = place->volume.fd,
                                         .sparse = wants_sparse(order),
                                         .threads = wanted_threads(order),
                                         .devices = order->agent->options->devices,
                                         .privileged = order->agent->options->privileged,
                                         .cancel = &order->cancel,
                                         .progress = show,
                                         .progress_context = order};
    int r = xb_snapshot_load(place->repository, xb_order_text(order, "spec.snapshotID"), &snapshot,
                             err);
    if (r == 0 && place->where.devices) {
        return xb_order_write_device(order, place, snapshot, result, err);
    }
    if (r < 0 || !xb_in_place_order(order->object)) {
        return r < 0 ? r : run_waiting(place, snapshot, &options, result, err);
    }
    r = xb_order_open_in_place(order, place, snapshot, &part, err);
    if (r == 0) {
        options.target_fd = part.fd;
        options.path = part.path;
        r = xb_restore_run(place->repository, snapshot, &options, result, err);
        close(part.fd);
    }
    return r;
}

static int check_result(const struct xb_restore_result *result, struct xb_error *err)
{
    for (size_t i = 0; i < result->message_count; i++) {
        xb_log_warning("restoring", "path", result->messages[i].path, "text",
                       result->messages[i].text);
    }
    if (result->failed == 0) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_IO, -EIO,
                        "%" PRIu64 " entries are missing or not as they were, the first: %.200s: "
                        "%.300s",
                        result->failed, result->message_count ? result->messages[0].path : "?",
                        result->message_count ? result->messages[0].text : "?");
}

static void append(char message[XB_ORDER_MESSAGE_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void append(char message[XB_ORDER_MESSAGE_BYTES], const char *format, ...)
{
    size_t used = strlen(message);
    va_list args;
    va_start(args, format);
    vsnprintf(message + used, XB_ORDER_MESSAGE_BYTES - used, format, args);
    va_end(args);
}

/* What people should know of a volume that is back; false: nothing. */
static bool describe(const struct xb_restore_result *result, char message[XB_ORDER_MESSAGE_BYTES])
{
    message[0] = '\0';
    if (result->skipped) {
        append(message, "%" PRIu64 " devices or privileged attributes were left out by rule",
               result->skipped);
    }
    if (result->extra) {
        append(message, "%s%" PRIu64 " names were there that the backup does not have, and stay: ",
               message[0] ? "; " : "", result->extra);
    }
    for (size_t i = 0; i < result->extra_name_count && i < EXTRA_NAMES_MAX; i++) {
        append(message, "%s%.150s", i > 0 ? ", " : "", result->extra_names[i]);
    }
    if (result->extra > EXTRA_NAMES_MAX) {
        append(message, ", ...");
    }
    return message[0] != '\0';
}

static int complete(struct xb_order *order, const struct xb_restore_result *result,
                    struct xb_error *err)
{
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "bytesDone", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(progress, "totalBytes", json_object_new_int64((int64_t)result->bytes));
    json_object_object_add(status, "progress", progress);
    json_object_object_add(status, "phase", json_object_new_string("Completed"));
    json_object_object_add(status, "completionTimestamp", xb_velero_now());
    char message[XB_ORDER_MESSAGE_BYTES];
    if (describe(result, message)) {
        json_object_object_add(status, "message", json_object_new_string(message));
    }
    xb_log_info("order ended", "order", order->key, "phase", "Completed");
    order->bytes = result->bytes;
    int r = xb_order_patch(order, status, err);
    order->ended = r == 0 ? "Completed" : NULL;
    return r;
}

static int carry_out(struct xb_order *order, struct xb_error *err)
{
    struct xb_order_place place;
    struct xb_restore_result result = {.files = 0};
    const char *namespace = xb_order_text(order, "spec.sourceNamespace");
    int r =
        xb_order_open(order, namespace[0] ? namespace : xb_order_text(order, "spec.pod.namespace"),
                      true, &place, err);
    if (r < 0) {
        return r;
    }
    r = run_engine(order, &place, &result, err);
    if (r == 0 && (r = check_result(&result, err)) == 0 &&
        (r = xb_volume_still_there(&place.where, &place.volume, err)) == 0) {
        /* Completed before the sign: a pod that runs proves that its order has ended. */
        r = complete(order, &result, err);
        if (r == 0 && !xb_in_place_order(order->object)) {
            r = sign(order, &place, err);
        }
    }
    xb_restore_result_free(&result);
    xb_order_close(&place);
    return r;
}

/* For an order that ended just before this agent could tell its pod. */
int xb_order_sign(void *work, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_order *order = work;
    struct xb_order_place place = {.volume = {.fd = -1}};
    (void)stop;
    int r = xb_order_check_owner(order, "Restore", err);
    if (r == 0) {
        r = xb_order_open_volume(order, &place, err);
    }
    if (r == 0) {
        r = sign(order, &place, err);
    }
    xb_order_close(&place);
    return r;
}

int xb_order_restore(void *work, const atomic_bool *stop, struct xb_error *err)
{
    static const struct xb_order_task task = {.owner = "Restore",
                                              .doing = "restoring a volume",
                                              .tells_node = true,
                                              .carry_out = carry_out};
    return xb_order_run(work, &task, stop, err);
}
