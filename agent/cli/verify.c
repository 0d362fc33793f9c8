/* SPDX-License-Identifier: Apache-2.0
 * xebec verify [SNAPSHOT] */
#include "agent/restore/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/cli.h"
#include "shared/base/clock.h"

static void show(void *context, const struct xb_verify_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->files_done, progress->files_total};
    xb_cli_progress_show(context, &amount);
}

static void add_text(xb_json *json, const char *key, const char *value)
{
    json_object_object_add(json, key, json_object_new_string(value));
}

static xb_json *damage_json(const struct xb_verify_result *result)
{
    xb_json *list = json_object_new_array();
    for (size_t i = 0; i < result->message_count; i++) {
        const struct xb_verify_message *from = &result->messages[i];
        xb_json *damage = json_object_new_object();
        add_text(damage, "snapshot", from->snapshot);
        add_text(damage, "path", from->path);
        add_text(damage, "object", from->object);
        add_text(damage, "content", from->content);
        add_text(damage, "pack", from->pack);
        add_text(damage, "index", from->index);
        add_text(damage, "text", from->text);
        json_object_array_add(list, damage);
    }
    return list;
}

static xb_json *warnings_json(const struct xb_verify_result *result)
{
    xb_json *list = json_object_new_array();
    for (size_t i = 0; i < result->warning_count; i++) {
        xb_json *warning = json_object_new_object();
        add_text(warning, "blob", result->warnings[i].blob);
        add_text(warning, "text", result->warnings[i].text);
        json_object_array_add(list, warning);
    }
    return list;
}

static void print_json(const struct xb_verify_options *options,
                       const struct xb_verify_result *result)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "ok", json_object_new_boolean(result->damaged == 0));
    xb_cli_add_count(json, "dataPercent", options->data_percent);
    xb_cli_add_count(json, "snapshots", result->snapshots);
    xb_cli_add_count(json, "files", result->files);
    xb_cli_add_count(json, "directories", result->dirs);
    xb_cli_add_count(json, "contents", result->contents);
    xb_cli_add_count(json, "contentsRead", result->contents_read);
    xb_cli_add_count(json, "bytesRead", result->bytes_read);
    xb_cli_add_count(json, "packs", result->packs);
    xb_cli_add_count(json, "damaged", result->damaged);
    json_object_object_add(json, "damage", damage_json(result));
    xb_cli_add_count(json, "warned", result->warned);
    json_object_object_add(json, "warnings", warnings_json(result));
    xb_cli_print_json(json);
}

static void print_damage(const struct xb_verify_message *message)
{
    if (message->index[0]) {
        printf("DAMAGED  index %s", message->index);
    } else {
        printf("DAMAGED  %.12s  ", message->snapshot);
        xb_cli_print_name(stdout, message->path[0] ? message->path : "/");
    }
    printf("\n         %s\n", message->text);
}

static void print_text(const struct xb_verify_options *options,
                       const struct xb_verify_result *result, double seconds)
{
    char size[XB_CLI_TEXT_BYTES];
    for (size_t i = 0; i < result->message_count; i++) {
        print_damage(&result->messages[i]);
    }
    if (result->damaged > result->message_count) {
        printf("... and %" PRIu64 " more\n", result->damaged - result->message_count);
    }
    for (size_t i = 0; i < result->warning_count; i++) {
        printf("warning  %s\n         %s\n", result->warnings[i].blob, result->warnings[i].text);
    }
    if (result->warned > result->warning_count) {
        printf("... and %" PRIu64 " more warnings\n", result->warned - result->warning_count);
    }
    printf("Verified %" PRIu64 " snapshots: %" PRIu64 " files, %" PRIu64 " folders, %" PRIu64
           " contents; read %" PRIu64 " contents (%s) in %.1f s\n",
           result->snapshots, result->files, result->dirs, result->contents, result->contents_read,
           xb_cli_size(result->bytes_read, size), seconds);
    if (result->damaged) {
        printf("%" PRIu64 " entries are DAMAGED (listed above)\n", result->damaged);
    } else if (options->data_percent == 100 && result->warning_count) {
        printf("All that the index shows can be restored; the warnings above say what it may not "
               "show.\n");
    } else if (options->data_percent == 100) {
        printf("Everything can be restored.\n");
    } else {
        printf("Everything is there; %u %% of the data was read.\n", options->data_percent);
    }
}

static int verify(const struct xb_cli_common *common, const char *snapshot_text,
                  struct xb_verify_options *options)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    struct xb_verify_result result = {.files = 0};
    struct xb_cli_progress progress;
    int64_t started_ns = xb_clock_mono_ns();
    options->progress = show;
    options->progress_context = &progress;
    if (xb_cli_open(common, XB_CLI_INSPECT, &repository, &err) < 0 ||
        (snapshot_text && xb_cli_find_snapshot(repository, snapshot_text, &snapshot, &err) < 0)) {
        return xb_cli_fail(common, &err);
    }
    xb_cli_progress_begin(&progress, common, "verifying");
    int r = xb_verify_run(repository, snapshot, options, &result, &err);
    xb_cli_progress_end(&progress);
    if (r < 0) {
        return xb_cli_fail(common, &err);
    }
    if (common->json) {
        print_json(options, &result);
    } else {
        print_text(options, &result, (double)(xb_clock_mono_ns() - started_ns) / 1e9);
    }
    int status = result.damaged ? XB_EXIT_DAMAGED : XB_EXIT_OK;
    xb_verify_result_free(&result);
    return status;
}

int xb_cli_verify(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    const char *snapshot = NULL;
    int64_t percent = 100, turn = 0, threads = 0;
    bool quick = false;
    const struct xb_cli_option options[] = {
        {"data-percent", XB_CLI_NUMBER, &percent, "N", "how much of the data is read (100)"},
        {"turn", XB_CLI_NUMBER, &turn, "N",
         "which part that is: with 10 percent, ten turns in a row read all (0)"},
        {"quick", XB_CLI_FLAG, &quick, NULL, "read no data: only that everything is there"},
        {"threads", XB_CLI_NUMBER, &threads, "N", "how many read at once (4)"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("verify"),
                                 .options = options,
                                 .common = &common,
                                 .positionals = &snapshot,
                                 .positional_max = 1};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (percent > 100 || threads > XB_VERIFY_THREADS_MAX) {
        fprintf(stderr, "xebec verify: --data-percent is at most 100, --threads at most %d\n",
                XB_VERIFY_THREADS_MAX);
        return XB_EXIT_USAGE;
    }
    struct xb_verify_options verifying = {.data_percent = quick ? 0 : (unsigned)percent,
                                          .turn = (uint64_t)turn,
                                          .threads = (unsigned)threads,
                                          .cancel = &xb_cli_cancel};
    return verify(&common, snapshot, &verifying);
}
