/* SPDX-License-Identifier: Apache-2.0
 * xebec restore SNAPSHOT TARGET */
#include "agent/restore/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "shared/base/clock.h"

struct request {
    struct xb_cli_common common;
    const char *words[2];
    const char *path;
    bool devices, privileged, sparse;
    int64_t threads;
};

static void show(void *context, const struct xb_restore_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->files_done, progress->files_total};
    xb_cli_progress_show(context, &amount);
}

static void add_count(xb_json *json, const char *key, uint64_t value)
{
    json_object_object_add(json, key, json_object_new_int64((int64_t)value));
}

static void print_json(const struct xb_snapshot *snapshot, const struct xb_restore_result *result)
{
    xb_json *json = json_object_new_object();
    xb_json *messages = json_object_new_array();
    json_object_object_add(json, "snapshot", json_object_new_string(snapshot->id));
    add_count(json, "files", result->files);
    add_count(json, "directories", result->dirs);
    add_count(json, "symlinks", result->symlinks);
    add_count(json, "specialFiles", result->special_files);
    add_count(json, "hardLinks", result->hard_links);
    add_count(json, "bytes", result->bytes);
    add_count(json, "failed", result->failed);
    add_count(json, "skipped", result->skipped);
    for (size_t i = 0; i < result->message_count; i++) {
        xb_json *message = json_object_new_object();
        json_object_object_add(message, "path", json_object_new_string(result->messages[i].path));
        json_object_object_add(message, "text", json_object_new_string(result->messages[i].text));
        json_object_array_add(messages, message);
    }
    json_object_object_add(json, "messages", messages);
    xb_cli_print_json(json);
}

static void print_text(const struct request *request, const struct xb_snapshot *snapshot,
                       const struct xb_restore_result *result, double seconds)
{
    char size[XB_CLI_TEXT_BYTES];
    for (size_t i = 0; i < result->message_count; i++) {
        xb_cli_print_message(result->messages[i].path, result->messages[i].text);
    }
    printf("Restored snapshot %s into %s\n", snapshot->id, request->words[1]);
    printf("  %" PRIu64 " files, %" PRIu64 " folders, %" PRIu64 " symbolic links, %" PRIu64
           " hard links, %s, in %.1f s\n",
           result->files, result->dirs, result->symlinks, result->hard_links,
           xb_cli_size(result->bytes, size), seconds);
    if (result->skipped) {
        printf("  %" PRIu64 " left out by rule (--devices, --privileged-attributes)\n",
               result->skipped);
    }
    if (result->failed) {
        printf("  NOT COMPLETE: %" PRIu64 " entries are missing or not as they were\n",
               result->failed);
    }
}

static int open_target(const char *path, struct xb_error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "creating %s", path);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? xb_error_errno(err, errno, "opening %s", path) : fd;
}

static int run_restore(const struct request *request, struct xb_repository *repository,
                       const struct xb_snapshot *snapshot, struct xb_restore_result *result,
                       struct xb_error *err)
{
    struct xb_cli_progress progress;
    XB_CLEANUP(xb_closep) int fd = open_target(request->words[1], err);
    if (fd < 0) {
        return fd;
    }
    const struct xb_restore_options options = {.target_fd = fd,
                                               .path = request->path,
                                               .devices = request->devices,
                                               .privileged = request->privileged,
                                               .sparse = request->sparse,
                                               .threads = (unsigned)request->threads,
                                               .cancel = &xb_cli_cancel,
                                               .progress = show,
                                               .progress_context = &progress};
    xb_cli_progress_begin(&progress, &request->common, "restoring");
    int r = xb_restore_run(repository, snapshot, &options, result, err);
    xb_cli_progress_end(&progress);
    return r;
}

static int restore(const struct request *request)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    struct xb_restore_result result = {.files = 0};
    int64_t started_ns = xb_clock_mono_ns();
    if (xb_cli_open(&request->common, XB_CLI_READ, &repository, &err) < 0 ||
        xb_cli_find_snapshot(repository, request->words[0], &snapshot, &err) < 0 ||
        run_restore(request, repository, snapshot, &result, &err) < 0) {
        return xb_cli_fail(&request->common, &err);
    }
    if (request->common.json) {
        print_json(snapshot, &result);
    } else {
        print_text(request, snapshot, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
    }
    int status = result.damaged ? XB_EXIT_DAMAGED : result.failed ? XB_EXIT_PARTLY : XB_EXIT_OK;
    xb_restore_result_free(&result);
    return status;
}

int xb_cli_restore(int argc, char **argv)
{
    struct request request = {.path = NULL};
    const struct xb_cli_option options[] = {
        {"path", XB_CLI_TEXT, &request.path, "PATH", "only this part of the snapshot"},
        {"devices", XB_CLI_FLAG, &request.devices, NULL, "make device nodes, too"},
        {"privileged-attributes", XB_CLI_FLAG, &request.privileged, NULL,
         "set trusted.* and security.* attributes, too"},
        {"sparse", XB_CLI_FLAG, &request.sparse, NULL, "leave out all blocks of zeros"},
        {"threads", XB_CLI_NUMBER, &request.threads, "N", "files written at once (2)"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("restore"),
                                 .options = options,
                                 .common = &request.common,
                                 .positionals = request.words,
                                 .positional_max = 2,
                                 .positional_min = 2};
    int status = xb_cli_parse(&parse, argc, argv);
    return status >= 0 ? status : restore(&request);
}
