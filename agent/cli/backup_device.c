/* SPDX-License-Identifier: Apache-2.0
 * xebec backup DEVICE|IMAGE */
#include "agent/device/backup.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/backup.h"
#include "shared/base/clock.h"

static void show(void *context, const struct xb_device_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->bytes_done == progress->bytes_total, 1};
    xb_cli_progress_show(context, &amount);
}

static void print_json(const struct xb_snapshot *snapshot,
                       const struct xb_device_backup_result *result)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "snapshot", json_object_new_string(snapshot->id));
    json_object_object_add(json, "path", json_object_new_string(snapshot->path));
    xb_cli_add_count(json, "files", 1);
    xb_cli_add_count(json, "bytes", result->stats.bytes);
    xb_cli_add_count(json, "bytesRead", result->bytes_read);
    xb_cli_add_count(json, "bytesNew", result->stats.new_bytes);
    xb_cli_add_count(json, "bytesStored", result->stats.stored_bytes);
    xb_cli_add_count(json, "changedWhileRead", result->changed);
    json_object_object_add(json, "ioUring", json_object_new_boolean(result->used_ring));
    json_object_object_add(json, "direct", json_object_new_boolean(result->direct));
    json_object_object_add(json, "inUse", json_object_new_boolean(result->in_use));
    json_object_object_add(json, "usedBy", json_object_new_string(result->user));
    json_object_object_add(json, "freeSpaceRead", json_object_new_string(result->reason));
    json_object_object_add(json, "device", xb_cli_device_json(snapshot->device));
    xb_cli_print_json(json);
}

/* "ext4 'data' 0a1b..., " */
static void print_what(const struct xb_snapshot_device *device)
{
    const char *type = device->type && device->type[0] ? device->type : device->table;
    if (type && type[0]) {
        xb_cli_print_name(stdout, type);
        printf("%s", device->type && device->type[0] ? "" : " partition table");
    } else {
        printf("no known file system");
    }
    if (device->label && device->label[0]) {
        printf(" '");
        xb_cli_print_name(stdout, device->label);
        printf("'");
    }
    if (device->uuid && device->uuid[0]) {
        printf(" ");
        xb_cli_print_name(stdout, device->uuid);
    }
}

static void print_text(const struct xb_snapshot *snapshot,
                       const struct xb_device_backup_result *result, double seconds)
{
    char size[XB_CLI_TEXT_BYTES];
    char all[XB_CLI_TEXT_BYTES];
    char fresh[XB_CLI_TEXT_BYTES];
    char stored[XB_CLI_TEXT_BYTES];
    printf("Snapshot %s\n  %s of %s: ", snapshot->id, snapshot->device->block ? "device" : "image",
           xb_cli_size(result->stats.bytes, size));
    print_what(snapshot->device);
    printf("\n  read %s; new data %s, stored as %s, in %.1f s\n",
           xb_cli_size(result->bytes_read, all), xb_cli_size(result->stats.new_bytes, fresh),
           xb_cli_size(result->stats.stored_bytes, stored), seconds);
    if (result->reason[0]) {
        printf("  free space was read, too: %s\n", result->reason);
    } else {
        printf("  left out as free: %s\n", xb_cli_size(snapshot->device->free_bytes, size));
    }
    if (result->in_use) {
        printf("  it was in use%s%s: the copy is of no single point in time\n",
               result->user[0] ? ", " : "", result->user);
    }
    if (result->changed) {
        printf("  it was changed while it was read: the copy is of no single point in time\n");
    }
}

int xb_cli_backup_device(const struct xb_cli_backup *request, struct xb_repository *repository,
                         struct xb_snapshot *snapshot, struct xb_error *err)
{
    struct xb_cli_progress progress;
    struct xb_device_backup_result result;
    enum xb_compression compression = XB_COMPRESSION_NONE;
    int64_t started_ns = xb_clock_mono_ns();
    int r = xb_cli_backup_compression(request, repository, &compression, err);
    if (r < 0) {
        return r;
    }
    xb_cli_progress_begin(&progress, &request->common, "backing up");
    const struct xb_device_backup_options options = {
        .path = request->path,
        .compression = compression,
        .threads = (unsigned)request->threads,
        .full = request->full,
        .cancel = &xb_cli_cancel,
        .progress = progress.wanted ? show : NULL,
        .progress_context = &progress,
        .source = snapshot,
        .index_every_ms = (unsigned)request->index_every_s * 1000,
        .checkpoint_every_ms = (unsigned)request->checkpoint_every_s * 1000};
    r = xb_device_backup(repository, &options, &result, err);
    xb_cli_progress_end(&progress);
    if (r < 0) {
        return r;
    }
    xb_device_backup_fill(&result, snapshot);
    r = xb_snapshot_publish(repository, snapshot, err);
    if (r == 0 && request->common.json) {
        print_json(snapshot, &result);
    } else if (r == 0) {
        print_text(snapshot, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
    }
    xb_device_backup_free(&result);
    return r < 0 ? r : XB_EXIT_OK;
}
