/* SPDX-License-Identifier: Apache-2.0
 * xebec store copy SRC DST */
#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/cli.h"
#include "agent/copy/copy.h"

enum { THREADS = 4 };

struct places {
    const char *source, *target; /* URLs */
};

static void show(void *context, const struct xb_copy_progress *progress)
{
    const struct xb_cli_amount amount = {progress->bytes_done, progress->bytes_total,
                                         progress->objects_done, progress->objects_total};
    xb_cli_progress_show(context, &amount);
}

static void add_names(xb_json *json, const char *key, const struct xb_copy_names *names)
{
    xb_json *list = json_object_new_array();
    for (size_t i = 0; i < names->count; i++) {
        json_object_array_add(list, json_object_new_string(names->texts[i]));
    }
    json_object_object_add(json, key, list);
}

static void print_json(const struct places *places, const struct xb_copy_options *options,
                       const struct xb_copy_result *result)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "ok", json_object_new_boolean(result->conflicts.total == 0));
    json_object_object_add(json, "source", json_object_new_string(places->source));
    json_object_object_add(json, "target", json_object_new_string(places->target));
    json_object_object_add(json, "kind",
                           json_object_new_string(result->location ? "location" : "repository"));
    json_object_object_add(json, "dryRun", json_object_new_boolean(options->dry_run));
    xb_cli_add_count(json, "repositories", result->repositories);
    xb_cli_add_count(json, "backups", result->backups);
    xb_cli_add_count(json, "objects", result->objects);
    xb_cli_add_count(json, "bytes", result->bytes);
    xb_cli_add_count(json, "objectsThere", result->objects_there);
    xb_cli_add_count(json, "objectsCopied", result->objects_copied);
    xb_cli_add_count(json, "bytesCopied", result->bytes_copied);
    xb_cli_add_count(json, "conflictCount", result->conflicts.total);
    add_names(json, "conflicts", &result->conflicts);
    add_names(json, "warnings", &result->warnings);
    xb_cli_print_json(json);
}

static void print_names(const char *what, const struct xb_copy_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        fprintf(stderr, "%s", what);
        xb_cli_print_name(stderr, names->texts[i]);
        fprintf(stderr, "\n");
    }
    if (names->total > names->count) {
        fprintf(stderr, "... and %" PRIu64 " more\n", names->total - names->count);
    }
}

static void print_text(const struct xb_copy_options *options, const struct xb_copy_result *result)
{
    char size[XB_CLI_TEXT_BYTES];
    print_names("warning: ", &result->warnings);
    print_names("differs at the target: ", &result->conflicts);
    if (result->conflicts.total > 0) {
        fprintf(stderr,
                "xebec: nothing was copied: the target has %" PRIu64
                " objects of other bytes under the same names.\nIf the source is right, "
                "copy with --overwrite.\n",
                result->conflicts.total);
        return;
    }
    printf("%s %" PRIu64 " objects (%s)", options->dry_run ? "Would copy" : "Copied",
           result->objects_copied, xb_cli_size(result->bytes_copied, size));
    printf("; %" PRIu64 " were there already.\n", result->objects_there);
    if (result->location) {
        printf("%" PRIu64 " backups and %" PRIu64 " repositories", result->backups,
               result->repositories);
    } else {
        printf("One repository");
    }
    printf(options->dry_run ? ".\n" : "; every object was read back after it was written.\n");
}

static int open_both(const struct xb_cli_common *common, const struct places *places,
                     const struct xb_copy_options *options, struct xb_store **ret_source,
                     struct xb_store **ret_target, struct xb_error *err)
{
    struct xb_store_open_options to_read = {.read_only = true};
    struct xb_store_open_options to_write = {.create = true};
    bool location;
    int r = xb_copy_check_apart(places->source, places->target, err);
    r = r ? r : xb_cli_store_options(common, &to_read, err);
    r = r ? r : xb_cli_store_options(common, &to_write, err);
    if (r == 0) {
        r = xb_store_open(places->source, &to_read, ret_source, err);
    }
    if (r == 0) {
        /* Before a folder is made for what cannot be copied. */
        r = xb_copy_check_source(*ret_source, &location, err);
    }
    if (r < 0 || !options->dry_run) {
        return r < 0 ? r : xb_store_open(places->target, &to_write, ret_target, err);
    }
    /* A folder that is not there yet is an empty one. */
    struct xb_error why = XB_ERROR_INIT;
    r = xb_store_open(places->target, &to_read, ret_target, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    return 0;
}

static int copy(const struct xb_cli_common *common, const struct places *places,
                struct xb_copy_options *options)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_store_freep) struct xb_store *source = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *target = NULL;
    struct xb_copy_result result = {.objects = 0};
    struct xb_cli_progress progress;
    if (open_both(common, places, options, &source, &target, &err) < 0) {
        return xb_cli_fail(common, &err);
    }
    xb_cli_progress_begin(&progress, common, "copying");
    options->progress = show;
    options->progress_context = &progress;
    int r = xb_copy_run(source, target, options, &result, &err);
    xb_cli_progress_end(&progress);
    if (r < 0) {
        return xb_cli_fail(common, &err);
    }
    if (common->json) {
        print_json(places, options, &result);
    } else {
        print_text(options, &result);
    }
    int status = result.conflicts.total > 0 ? XB_EXIT_FAILED : XB_EXIT_OK;
    xb_copy_result_free(&result);
    return status;
}

int xb_cli_store_copy(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    struct xb_copy_options copying = {.cancel = &xb_cli_cancel};
    const char *places[2] = {NULL, NULL};
    int64_t threads = THREADS;
    const struct xb_cli_option options[] = {
        {"overwrite", XB_CLI_FLAG, &copying.overwrite, NULL,
         "replace what the target has under a name with other bytes"},
        {"compare", XB_CLI_FLAG, &copying.compare, NULL,
         "read also what is there already, and compare it"},
        {"flat", XB_CLI_FLAG, &copying.flat, NULL,
         "new repositories in a folder get names as in a bucket"},
        {"threads", XB_CLI_NUMBER, &threads, "N", "objects copied at once (4)"},
        {"dry-run", XB_CLI_FLAG, &copying.dry_run, NULL, "only say what would be copied"},
        {"upload-limit", XB_CLI_RATE, &common.upload_limit, "RATE",
         "send at most so many bytes per second to S3 stores (500K, 2M)"},
        {"download-limit", XB_CLI_RATE, &common.download_limit, "RATE",
         "receive at most so many bytes per second"},
        {"json", XB_CLI_FLAG, &common.json, NULL, "answer in JSON, for programs"},
        {"no-progress", XB_CLI_FLAG, &common.no_progress, NULL, "show no progress"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("store copy"),
                                 .options = options,
                                 .positionals = places,
                                 .positional_min = 2,
                                 .positional_max = 2};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (threads < 1 || threads > XB_COPY_THREADS_MAX) {
        fprintf(stderr, "xebec store copy: --threads is 1 to %d\n", XB_COPY_THREADS_MAX);
        return XB_EXIT_USAGE;
    }
    copying.threads = (unsigned)threads;
    const struct places between = {places[0], places[1]};
    return copy(&common, &between, &copying);
}
