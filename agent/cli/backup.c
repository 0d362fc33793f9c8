/* SPDX-License-Identifier: Apache-2.0
 * xebec backup PATH: a folder here, a device or an image in backup_device.c */
#include "agent/pipeline/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/backup.h"
#include "agent/device/device.h"
#include "agent/freeze/freeze.h"
#include "shared/base/clock.h"
#include "shared/repository/policy.h"

/* Longer than that, and maintenance might take unnamed data for garbage. */
enum { INDEX_EVERY_S_MAX = 600, CHECKPOINT_EVERY_S_MAX = 2600 };

static void show(void *context, const struct xb_backup_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->files_done, progress->files_total};
    xb_cli_progress_show(context, &amount);
}

static int fill_source(const struct xb_cli_backup *request, struct xb_snapshot *snapshot,
                       struct xb_error *err)
{
    char hostname[256] = "localhost";
    const struct passwd *user = getpwuid(geteuid());
    (void)gethostname(hostname, sizeof hostname - 1);
    snapshot->host = strdup(request->host ? request->host : hostname);
    snapshot->user = strdup(request->user ? request->user : user ? user->pw_name : "root");
    snapshot->path = strdup(request->path);
    snapshot->description = strdup(request->description ? request->description : "");
    if (!snapshot->host || !snapshot->user || !snapshot->path || !snapshot->description) {
        return xb_error_no_memory(err, "a snapshot");
    }
    return 0;
}

/* How it was read: from which kind of copy, and for how long it stood still for that. */
static xb_json *copy_json(const struct xb_freeze_facts *facts)
{
    xb_json *json = json_object_new_object();
    const char *consistency = xb_freeze_consistency_name(facts->consistency);
    json_object_object_add(json, "method",
                           json_object_new_string(xb_freeze_method_name(facts->method)));
    json_object_object_add(json, "consistency", json_object_new_string(consistency));
    xb_cli_add_count(json, "prepareMicroseconds", facts->prepare_us);
    xb_cli_add_count(json, "freezeMicroseconds", facts->freeze_us);
    json_object_object_add(json, "notBetterBecause", json_object_new_string(facts->reasons));
    return json;
}

static void print_copy(const struct xb_freeze_facts *facts)
{
    printf("  point in time: %s (%s), taken in %.1f ms\n", xb_freeze_method_name(facts->method),
           xb_freeze_consistency_name(facts->consistency), (double)facts->freeze_us / 1000);
    if (facts->reasons[0]) {
        printf("  nothing better, because of %s\n", facts->reasons);
    }
}

/* `facts`: NULL where no copy was asked for. */
static void print_json(const struct xb_snapshot *snapshot, const struct xb_backup_result *result,
                       const struct xb_freeze_facts *facts)
{
    xb_json *json = json_object_new_object();
    xb_json *messages = json_object_new_array();
    json_object_object_add(json, "snapshot", json_object_new_string(snapshot->id));
    json_object_object_add(json, "path", json_object_new_string(snapshot->path));
    xb_cli_add_count(json, "files", result->files);
    xb_cli_add_count(json, "unchangedFiles", result->cached_files);
    xb_cli_add_count(json, "directories", result->dirs);
    xb_cli_add_count(json, "symlinks", result->symlinks);
    xb_cli_add_count(json, "specialFiles", result->special_files);
    xb_cli_add_count(json, "bytes", result->bytes);
    xb_cli_add_count(json, "bytesRead", result->bytes_read);
    xb_cli_add_count(json, "bytesNew", result->bytes_new);
    xb_cli_add_count(json, "bytesStored", result->bytes_stored);
    xb_cli_add_count(json, "failed", result->failed);
    xb_cli_add_count(json, "changedWhileRead", result->changed_files);
    xb_cli_add_count(json, "vanished", result->vanished);
    json_object_object_add(json, "ioUring", json_object_new_boolean(result->used_ring));
    for (size_t i = 0; i < result->message_count; i++) {
        xb_json *message = json_object_new_object();
        json_object_object_add(message, "path", json_object_new_string(result->messages[i].path));
        json_object_object_add(message, "text", json_object_new_string(result->messages[i].text));
        json_object_array_add(messages, message);
    }
    json_object_object_add(json, "messages", messages);
    if (facts) {
        json_object_object_add(json, "pointInTime", copy_json(facts));
    }
    xb_cli_print_json(json);
}

static void print_messages(const struct xb_backup_result *result)
{
    for (size_t i = 0; i < result->message_count; i++) {
        xb_cli_print_message(result->messages[i].path, result->messages[i].text);
    }
    uint64_t all = result->failed + result->changed_files + result->vanished;
    if (all > result->message_count) {
        fprintf(stderr, "  ... and %" PRIu64 " more\n", all - result->message_count);
    }
}

static void print_text(const struct xb_snapshot *snapshot, const struct xb_backup_result *result,
                       double seconds)
{
    char all[XB_CLI_TEXT_BYTES];
    char fresh[XB_CLI_TEXT_BYTES];
    char stored[XB_CLI_TEXT_BYTES];
    print_messages(result);
    printf("Snapshot %s\n", snapshot->id);
    printf("  %" PRIu64 " files (%" PRIu64 " unchanged) in %" PRIu64 " folders, %s\n",
           result->files, result->cached_files, result->dirs, xb_cli_size(result->bytes, all));
    printf("  new data %s, stored as %s, in %.1f s\n", xb_cli_size(result->bytes_new, fresh),
           xb_cli_size(result->bytes_stored, stored), seconds);
    if (result->failed) {
        printf("  NOT COMPLETE: %" PRIu64 " entries could not be read (listed above)\n",
               result->failed);
    }
    if (result->changed_files || result->vanished) {
        printf("  %" PRIu64 " files changed while they were read, %" PRIu64 " were removed\n",
               result->changed_files, result->vanished);
    }
}

int xb_cli_backup_compression(const struct xb_cli_backup *request, struct xb_repository *repository,
                              enum xb_compression *ret, struct xb_error *err)
{
    if (!request->compression) {
        return xb_policy_compression(repository, ret, err);
    }
    *ret = strcmp(request->compression, "none") == 0 ? XB_COMPRESSION_NONE
                                                     : XB_COMPRESSION_ZSTD_FASTEST;
    return 0;
}

static int run_backup(const struct xb_cli_backup *request, struct xb_repository *repository,
                      struct xb_snapshot *snapshot, struct xb_backup_result *result,
                      struct xb_freeze_facts *ret_facts, struct xb_error *err)
{
    struct xb_snapshot_parents parents = {.count = 0};
    struct xb_cli_progress progress;
    const struct xb_snapshot_filter same = {
        .host = snapshot->host, .user = snapshot->user, .path = snapshot->path};
    XB_CLEANUP(xb_closep)
    int fd = open(request->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "opening %s", request->path);
    }
    enum xb_compression compression = XB_COMPRESSION_NONE;
    int r = xb_cli_backup_compression(request, repository, &compression, err);
    if (r < 0) {
        return r;
    }
    r = request->full ? 0 : xb_snapshot_find_parents(repository, &same, &parents, err);
    if (r < 0) {
        return r;
    }
    xb_cli_progress_begin(&progress, &request->common, "backing up");
    const char *name = strrchr(request->path, '/');
    struct xb_backup_options options = {.root_fd = fd,
                                        .root_name = name && name[1] ? name + 1 : "root",
                                        .parents = &parents,
                                        .threads = (unsigned)request->threads,
                                        .compression = compression,
                                        .cancel = &xb_cli_cancel,
                                        .progress = progress.wanted ? show : NULL,
                                        .progress_context = &progress,
                                        .source = snapshot,
                                        .index_every_ms = (unsigned)request->index_every_s * 1000,
                                        .checkpoint_every_ms =
                                            (unsigned)request->checkpoint_every_s * 1000};
    r = request->point_in_time
            ? xb_cli_backup_copy(request, repository, &options, result, ret_facts, err)
            : xb_backup_run(repository, &options, result, err);
    xb_cli_progress_end(&progress);
    xb_snapshot_parents_free(&parents);
    return r;
}

/* A folder. Returns the exit status, or a negative errno with err set. */
static int backup_folder(const struct xb_cli_backup *request, struct xb_repository *repository,
                         struct xb_snapshot *snapshot, struct xb_error *err)
{
    struct xb_backup_result result = {.files = 0};
    struct xb_freeze_facts facts;
    int64_t started_ns = xb_clock_mono_ns();
    int r = run_backup(request, repository, snapshot, &result, &facts, err);
    if (r < 0) {
        return r;
    }
    xb_backup_fill_snapshot(&result, snapshot);
    r = xb_snapshot_publish(repository, snapshot, err);
    if (r == 0 && request->common.json) {
        print_json(snapshot, &result, request->point_in_time ? &facts : NULL);
    } else if (r == 0) {
        print_text(snapshot, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
        if (request->point_in_time) {
            print_copy(&facts);
        }
    }
    int status = result.failed ? XB_EXIT_PARTLY : XB_EXIT_OK;
    xb_backup_result_free(&result);
    return r < 0 ? r : status;
}

static int backup(const struct xb_cli_backup *request)
{
    struct xb_error err = XB_ERROR_INIT;
    struct stat st;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot) {
        (void)!xb_error_no_memory(&err, "a snapshot");
        return xb_cli_fail(&request->common, &err);
    }
    snapshot->start_ns = xb_clock_wall_ns();
    int r = fill_source(request, snapshot, &err);
    if (r == 0 && (r = stat(request->path, &st)) < 0) {
        r = xb_error_errno(&err, errno, "%s", request->path);
    }
    if (r == 0) {
        r = xb_cli_open(&request->common, XB_CLI_WRITE, &repository, &err);
    }
    if (r == 0) {
        r = xb_device_is(&st) ? xb_cli_backup_device(request, repository, snapshot, &err)
                              : backup_folder(request, repository, snapshot, &err);
    }
    return r < 0 ? xb_cli_fail(&request->common, &err) : r;
}

int xb_cli_backup(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_cli_backup request = {.full = false};
    const char *path = NULL;
    const struct xb_cli_option options[] = {
        {"description", XB_CLI_TEXT, &request.description, "TEXT", "kept with the snapshot"},
        {"compression", XB_CLI_TEXT, &request.compression, "NAME",
         "zstd or none (what the repository says)"},
        {"full", XB_CLI_FLAG, &request.full, NULL,
         "read everything, also what seems unchanged, and free space of a device"},
        {"point-in-time", XB_CLI_WORD, &request.point_in_time, "METHODS",
         "read a copy of the folder, as it is at one moment (btrfs, reflink-file, reflink-tree, "
         "live)"},
        {"threads", XB_CLI_NUMBER, &request.threads, "N",
         "threads that read and compute (one per CPU)"},
        {"index-every", XB_CLI_NUMBER, &request.index_every_s, "SECONDS",
         "what is stored is found by others after that time at most (600)"},
        {"checkpoint-every", XB_CLI_NUMBER, &request.checkpoint_every_s, "SECONDS",
         "what is stored is named by a checkpoint after that time (2400)"},
        {"host", XB_CLI_TEXT, &request.host, "NAME", "host in the snapshot's source"},
        {"user", XB_CLI_TEXT, &request.user, "NAME", "user in the snapshot's source"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("backup"),
                                 .options = options,
                                 .common = &request.common,
                                 .positionals = &path,
                                 .positional_max = 1,
                                 .positional_min = 1};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (request.point_in_time &&
        xb_freeze_methods_parse(request.point_in_time, &request.methods, &err) < 0) {
        fprintf(stderr, "xebec backup: %s\n", err.text);
        return XB_EXIT_USAGE;
    }
    if (request.compression && strcmp(request.compression, "none") != 0 &&
        strcmp(request.compression, "zstd") != 0) {
        fprintf(stderr, "xebec backup: unknown compression '%s' (zstd, none)\n",
                request.compression);
        return XB_EXIT_USAGE;
    }
    if (request.index_every_s < 0 || request.index_every_s > INDEX_EVERY_S_MAX ||
        request.checkpoint_every_s < 0 || request.checkpoint_every_s > CHECKPOINT_EVERY_S_MAX) {
        fprintf(stderr,
                "xebec backup: the format allows at most --index-every %d and "
                "--checkpoint-every %d\n",
                INDEX_EVERY_S_MAX, CHECKPOINT_EVERY_S_MAX);
        return XB_EXIT_USAGE;
    }
    request.path = realpath(path, NULL);
    if (!request.path) {
        (void)!xb_error_errno(&err, errno, "%s", path);
        return xb_cli_fail(&request.common, &err);
    }
    status = backup(&request);
    free(request.path);
    return status;
}
