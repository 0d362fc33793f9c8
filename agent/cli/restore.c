/* SPDX-License-Identifier: Apache-2.0
 * xebec restore SNAPSHOT TARGET: a folder here, a device or an image in restore_device.c */
#include "agent/restore/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/restore.h"
#include "agent/device/restore.h"
#include "shared/base/clock.h"

static void show(void *context, const struct xb_restore_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->files_done, progress->files_total};
    xb_cli_progress_show(context, &amount);
}

static const char *const actions[] = {
    [XB_RESTORE_CREATE] = "create", [XB_RESTORE_REPLACE] = "replace", [XB_RESTORE_KEEP] = "keep",
    [XB_RESTORE_SKIP] = "skip",     [XB_RESTORE_FAIL] = "fail",       [XB_RESTORE_EXTRA] = "extra"};

/* One JSON object per line: there may be millions. */
static void print_event_json(const struct xb_restore_event *event)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_buf_free) struct xb_buf line = XB_BUF_INIT(XB_MANIFEST_BYTES_MAX);
    int r = xb_buf_printf(&line, &err, "{\"action\":\"%s\",\"path\":", actions[event->action]);
    if (r == 0) {
        r = xb_json_go_string(&line, event->path, strlen(event->path), &err);
    }
    if (r == 0 && event->text && (r = xb_buf_append_str(&line, ",\"text\":", &err)) == 0) {
        r = xb_json_go_string(&line, event->text, strlen(event->text), &err);
    }
    if (r == 0) {
        printf("%s}\n", line.data);
    }
}

/* A dry run tells everything; a restore every path that is not as it should be, however many. */
static void tell(void *context, const struct xb_restore_event *event)
{
    struct xb_cli_restore *request = context;
    bool bad = event->action == XB_RESTORE_FAIL || event->action == XB_RESTORE_SKIP;
    if (request->dry_run && request->common.json) {
        print_event_json(event);
    } else if (bad && !request->common.json) {
        xb_cli_progress_end(&request->progress);
        xb_cli_print_message(event->path, event->text);
    } else if (request->dry_run && !request->common.json && event->action != XB_RESTORE_KEEP) {
        xb_cli_progress_end(&request->progress);
        printf("%-8s ", actions[event->action]);
        xb_cli_print_name(stdout, event->path[0] ? event->path : ".");
        printf("\n");
    }
}

static xb_json *result_json(const struct xb_snapshot *snapshot,
                            const struct xb_restore_result *result)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "snapshot", json_object_new_string(snapshot->id));
    xb_cli_add_count(json, "files", result->files);
    xb_cli_add_count(json, "directories", result->dirs);
    xb_cli_add_count(json, "symlinks", result->symlinks);
    xb_cli_add_count(json, "specialFiles", result->special_files);
    xb_cli_add_count(json, "hardLinks", result->hard_links);
    xb_cli_add_count(json, "bytes", result->bytes);
    xb_cli_add_count(json, "filesUnchanged", result->files_unchanged);
    xb_cli_add_count(json, "bytesKept", result->bytes_kept);
    xb_cli_add_count(json, "created", result->created);
    xb_cli_add_count(json, "replaced", result->replaced);
    xb_cli_add_count(json, "kept", result->kept);
    xb_cli_add_count(json, "reads", result->reads);
    xb_cli_add_count(json, "bytesRead", result->bytes_read);
    xb_cli_add_count(json, "failed", result->failed);
    xb_cli_add_count(json, "skipped", result->skipped);
    xb_cli_add_count(json, "extra", result->extra);
    return json;
}

/* The last line of a dry run: the lines before it have told the rest. */
static void print_summary_line(xb_json *json)
{
    json_object_object_add(json, "dryRun", json_object_new_boolean(true));
    printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    json_object_put(json);
}

static void print_json(const struct xb_snapshot *snapshot, const struct xb_restore_result *result)
{
    xb_json *json = result_json(snapshot, result);
    xb_json *messages = json_object_new_array();
    xb_json *extra = json_object_new_array();
    for (size_t i = 0; i < result->message_count; i++) {
        xb_json *message = json_object_new_object();
        json_object_object_add(message, "path", json_object_new_string(result->messages[i].path));
        json_object_object_add(message, "text", json_object_new_string(result->messages[i].text));
        json_object_array_add(messages, message);
    }
    for (size_t i = 0; i < result->extra_name_count; i++) {
        json_object_array_add(extra, json_object_new_string(result->extra_names[i]));
    }
    json_object_object_add(json, "extraNames", extra);
    json_object_object_add(json, "messages", messages);
    xb_cli_print_json(json);
}

static void print_extra(const struct xb_restore_result *result)
{
    printf("  %" PRIu64 " more in the target than in the snapshot; they stay:", result->extra);
    for (size_t i = 0; i < result->extra_name_count; i++) {
        printf("%s ", i ? "," : "");
        xb_cli_print_name(stdout, result->extra_names[i]);
    }
    printf("%s\n", result->extra > result->extra_name_count ? ", ..." : "");
}

static void print_text(const struct xb_cli_restore *request, const struct xb_snapshot *snapshot,
                       const struct xb_restore_result *result, double seconds)
{
    char size[XB_CLI_TEXT_BYTES];
    char kept[XB_CLI_TEXT_BYTES];
    printf("%s snapshot %s into %s\n", request->dry_run ? "Would restore" : "Restored",
           snapshot->id, request->words[1]);
    printf("  %" PRIu64 " files, %" PRIu64 " folders, %" PRIu64 " symbolic links, %" PRIu64
           " hard links, %s, in %.1f s\n",
           result->files, result->dirs, result->symlinks, result->hard_links,
           xb_cli_size(result->bytes, size), seconds);
    if (request->dry_run) {
        printf("  %" PRIu64 " to be created, %" PRIu64 " to be replaced, %" PRIu64 " kept\n",
               result->created, result->replaced, result->kept);
    }
    if (result->bytes_kept || result->files_unchanged) {
        printf("  %" PRIu64 " files were right already; %s of the data were there\n",
               result->files_unchanged, xb_cli_size(result->bytes_kept, kept));
    }
    if (result->extra) {
        print_extra(result);
    }
    if (result->skipped) {
        printf("  %" PRIu64 " left out by rule (--devices, --privileged-attributes)\n",
               result->skipped);
    }
    if (result->failed) {
        printf("  NOT COMPLETE: %" PRIu64 " entries are missing or not as they were\n",
               result->failed);
    }
}

/* A dry run makes no folder: *ret_fd is then -1. */
static int open_target(const struct xb_cli_restore *request, int *ret_fd, struct xb_error *err)
{
    const char *path = request->words[1];
    if (!request->dry_run && mkdir(path, 0700) < 0 && errno != EEXIST) {
        return xb_error_errno(err, errno, "creating %s", path);
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && !(request->dry_run && errno == ENOENT)) {
        return xb_error_errno(err, errno, "opening %s", path);
    }
    *ret_fd = fd;
    return 0;
}

static int run_restore(struct xb_cli_restore *request, struct xb_repository *repository,
                       const struct xb_snapshot *snapshot, struct xb_restore_result *result,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = -1;
    int r = open_target(request, &fd, err);
    if (r < 0) {
        return r;
    }
    const struct xb_restore_options options = {.target_fd = fd,
                                               .path = request->path,
                                               .devices = request->devices,
                                               .privileged = request->privileged,
                                               .sparse = request->sparse,
                                               .full = request->full,
                                               .dry_run = request->dry_run,
                                               .threads = (unsigned)request->threads,
                                               .cancel = &xb_cli_cancel,
                                               .progress = show,
                                               .progress_context = &request->progress,
                                               .event = tell,
                                               .event_context = request};
    xb_cli_progress_begin(&request->progress, &request->common,
                          request->dry_run ? "looking" : "restoring");
    r = xb_restore_run(repository, snapshot, &options, result, err);
    xb_cli_progress_end(&request->progress);
    return r;
}

/* Into a folder. Returns the exit status, or a negative errno with err set. */
static int restore_folder(struct xb_cli_restore *request, struct xb_repository *repository,
                          const struct xb_snapshot *snapshot, struct xb_error *err)
{
    struct xb_restore_result result = {.files = 0};
    int64_t started_ns = xb_clock_mono_ns();
    int r = run_restore(request, repository, snapshot, &result, err);
    if (r < 0) {
        return r;
    }
    if (request->common.json && request->dry_run) {
        print_summary_line(result_json(snapshot, &result));
    } else if (request->common.json) {
        print_json(snapshot, &result);
    } else {
        print_text(request, snapshot, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
    }
    int status = result.damaged ? XB_EXIT_DAMAGED : result.failed ? XB_EXIT_PARTLY : XB_EXIT_OK;
    xb_restore_result_free(&result);
    return status;
}

/* A device, or a file that is there, is written in place; what is not there yet becomes a file if
 * the snapshot is one of a device or a file. */
static bool onto_device(const struct xb_cli_restore *request, const struct xb_snapshot *snapshot)
{
    struct stat st;
    if (stat(request->words[1], &st) < 0) {
        return !request->path && xb_device_restore_suits(snapshot);
    }
    return xb_device_is(&st);
}

static int restore(struct xb_cli_restore *request)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    int r = xb_cli_open(&request->common, XB_CLI_READ, &repository, &err);
    if (r == 0) {
        r = xb_cli_find_snapshot(repository, request->words[0], &snapshot, &err);
    }
    if (r == 0) {
        r = onto_device(request, snapshot)
                ? xb_cli_restore_device(request, repository, snapshot, &err)
                : restore_folder(request, repository, snapshot, &err);
    }
    return r < 0 ? xb_cli_fail(&request->common, &err) : r;
}

int xb_cli_restore(int argc, char **argv)
{
    struct xb_cli_restore request = {.path = NULL};
    const struct xb_cli_option options[] = {
        {"path", XB_CLI_TEXT, &request.path, "PATH", "only this part of the snapshot"},
        {"devices", XB_CLI_FLAG, &request.devices, NULL, "make device nodes, too"},
        {"privileged-attributes", XB_CLI_FLAG, &request.privileged, NULL,
         "set trusted.* and security.* attributes, too"},
        {"dry-run", XB_CLI_FLAG, &request.dry_run, NULL,
         "only say what would become of every path; nothing is written"},
        {"full", XB_CLI_FLAG, &request.full, NULL,
         "write every file anew, also those that are right already"},
        {"sparse", XB_CLI_FLAG, &request.sparse, NULL, "leave out all blocks of zeros"},
        {"threads", XB_CLI_NUMBER, &request.threads, "N", "requests and files at once (2)"},
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
