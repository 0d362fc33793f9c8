/* SPDX-License-Identifier: Apache-2.0
 * xebec repository recover */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/cli/cli.h"
#include "shared/repository/recovery.h"

struct report {
    bool quiet;
    uint64_t packs, contents, bytes, unreadable;
    xb_json *list;
};

static int tell(void *context, const struct xb_orphan *orphan, struct xb_error *err)
{
    struct report *report = context;
    char size[XB_CLI_TEXT_BYTES];
    xb_json *pack = json_object_new_object();
    if (atomic_load(&xb_cli_cancel)) {
        json_object_put(pack);
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "interrupted");
    }
    report->packs += !orphan->why;
    report->unreadable += orphan->why != NULL;
    report->contents += orphan->contents;
    report->bytes += orphan->bytes;
    json_object_object_add(pack, "pack", json_object_new_string(orphan->name));
    json_object_object_add(pack, "contents", json_object_new_int64((int64_t)orphan->contents));
    json_object_object_add(pack, "text", json_object_new_string(orphan->why ? orphan->why : ""));
    json_object_array_add(report->list, pack);
    if (!report->quiet && orphan->why) {
        printf("%s: %s\n", orphan->name, orphan->why);
    } else if (!report->quiet) {
        printf("%s: %" PRIu64 " contents (%s)\n", orphan->name, orphan->contents,
               xb_cli_size(orphan->bytes, size));
    }
    return 0;
}

static void print_end(const struct report *report, bool write)
{
    char size[XB_CLI_TEXT_BYTES];
    if (report->packs == 0) {
        printf("No pack misses its index.\n");
        return;
    }
    printf("%" PRIu64 " contents (%s) in %" PRIu64 " packs %s.\n", report->contents,
           xb_cli_size(report->bytes, size), report->packs,
           write ? "are in the index again: run xebec verify"
                 : "could be brought back: run this with --write to do it");
}

static int recover(const struct xb_cli_common *common, bool write)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *list = json_object_new_array();
    struct report report = {.quiet = common->json, .list = list};
    struct xb_cli_common uncached = *common; /* what counts is what the store has */
    uncached.cache_dir = "";
    if (xb_cli_open(&uncached, write ? XB_CLI_WRITE : XB_CLI_INSPECT, &repository, &err) < 0 ||
        xb_repository_orphans(repository, write, tell, &report, &err) < 0 ||
        (write && report.contents && xb_repository_flush(repository, &err) < 0)) {
        return xb_cli_fail(common, &err);
    }
    if (common->json) {
        xb_json *json = json_object_new_object();
        json_object_object_add(json, "written", json_object_new_boolean(write && report.contents));
        json_object_object_add(json, "contents", json_object_new_int64((int64_t)report.contents));
        json_object_object_add(json, "bytes", json_object_new_int64((int64_t)report.bytes));
        json_object_object_add(json, "packs", json_object_get(list));
        xb_cli_print_json(json);
    } else {
        print_end(&report, write);
    }
    return report.unreadable ? XB_EXIT_DAMAGED : XB_EXIT_OK;
}

int xb_cli_repository_recover(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    bool write = false;
    const struct xb_cli_option options[] = {
        {"write", XB_CLI_FLAG, &write, NULL, "do it; otherwise it is only said"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {
        .command = xb_cli_command("repository recover"), .options = options, .common = &common};
    int status = xb_cli_parse(&parse, argc, argv);
    return status >= 0 ? status : recover(&common, write);
}
