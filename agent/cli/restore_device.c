/* SPDX-License-Identifier: Apache-2.0
 * xebec restore SNAPSHOT DEVICE|IMAGE */
#include "agent/device/restore.h"

#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/restore.h"
#include "shared/base/clock.h"

static void show(void *context, uint64_t bytes_done, uint64_t bytes_total)
{
    const struct xb_cli_amount amount = {bytes_done, bytes_total, bytes_done == bytes_total, 1};
    xb_cli_progress_show(context, &amount);
}

static void print_json(const struct xb_cli_restore *request, const struct xb_snapshot *snapshot,
                       const struct xb_device_restore_result *result)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "snapshot", json_object_new_string(snapshot->id));
    json_object_object_add(json, "target", json_object_new_string(request->words[1]));
    json_object_object_add(json, "dryRun", json_object_new_boolean(request->dry_run));
    xb_cli_add_count(json, "bytes", result->bytes);
    xb_cli_add_count(json, "bytesWritten", result->bytes_written);
    xb_cli_add_count(json, "bytesZeroed", result->bytes_zeroed);
    xb_cli_add_count(json, "reads", result->reads);
    xb_cli_add_count(json, "bytesRead", result->bytes_read);
    xb_cli_add_count(json, "targetBytes", result->target_bytes);
    json_object_object_add(json, "before", xb_cli_device_json(result->before));
    xb_cli_print_json(json);
}

static const char *known(const char *text)
{
    return text && text[0] ? text : NULL;
}

/* What is lost: a tired operator may have named the wrong disk. */
static void print_before(const struct xb_device_restore_result *result)
{
    const struct xb_snapshot_device *before = result->before;
    const char *type = known(before->type) ? before->type : known(before->table);
    if (!type) {
        return;
    }
    printf("  it held: ");
    xb_cli_print_name(stdout, type);
    if (known(before->label)) {
        printf(" '");
        xb_cli_print_name(stdout, before->label);
        printf("'");
    }
    if (known(before->uuid)) {
        printf(" ");
        xb_cli_print_name(stdout, before->uuid);
    }
    printf("\n");
}

static void print_text(const struct xb_cli_restore *request, const struct xb_snapshot *snapshot,
                       const struct xb_device_restore_result *result, double seconds)
{
    char all[XB_CLI_TEXT_BYTES];
    char zeros[XB_CLI_TEXT_BYTES];
    char rest[XB_CLI_TEXT_BYTES];
    printf("%s snapshot %s onto %s\n", request->dry_run ? "Would restore" : "Restored",
           snapshot->id, request->words[1]);
    print_before(result);
    if (request->dry_run) {
        printf("  %s in all; nothing was written\n", xb_cli_size(result->bytes, all));
    } else {
        printf("  %s in all, of which %s are zeros, in %.1f s\n", xb_cli_size(result->bytes, all),
               xb_cli_size(result->bytes_zeroed, zeros), seconds);
    }
    if (result->target_bytes > result->bytes) {
        printf("  the last %s of it stay as they are: it is larger than the snapshot\n",
               xb_cli_size(result->target_bytes - result->bytes, rest));
    }
}

int xb_cli_restore_device(struct xb_cli_restore *request, struct xb_repository *repository,
                          const struct xb_snapshot *snapshot, struct xb_error *err)
{
    struct xb_entry file;
    struct xb_device_restore_result result;
    int64_t started_ns = xb_clock_mono_ns();
    int r = xb_device_restore_find(repository, snapshot, request->path, &file, err);
    if (r < 0) {
        return r;
    }
    xb_cli_progress_begin(&request->progress, &request->common, "restoring");
    const struct xb_device_restore_options options = {.target = request->words[1],
                                                      .dry_run = request->dry_run,
                                                      .threads = (unsigned)request->threads,
                                                      .cancel = &xb_cli_cancel,
                                                      .progress =
                                                          request->progress.wanted ? show : NULL,
                                                      .progress_context = &request->progress};
    r = xb_device_restore(repository, &file, &options, &result, err);
    xb_cli_progress_end(&request->progress);
    xb_entry_free(&file);
    if (r < 0) {
        return r;
    }
    if (request->common.json) {
        print_json(request, snapshot, &result);
    } else {
        print_text(request, snapshot, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
    }
    xb_device_restore_free(&result);
    return XB_EXIT_OK;
}
