/* SPDX-License-Identifier: Apache-2.0
 * xebec repository create | status */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "shared/repository/choice.h"

/* Fills in what was not asked for. */
static int choose(struct xb_repository_create_options *create, struct xb_choice *ret,
                  struct xb_error *err)
{
    int r = xb_choice_make(ret, err);
    if (r == 0) {
        create->hash = create->hash ? create->hash : ret->hash;
        create->encryption = create->encryption ? create->encryption : ret->encryption;
        create->splitter = create->splitter ? create->splitter : ret->splitter;
    }
    return r;
}

static void print_created_json(const char *where, const struct xb_repository_create_options *create)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "created", json_object_new_string(where));
    json_object_object_add(json, "hash", json_object_new_string(create->hash));
    json_object_object_add(json, "encryption", json_object_new_string(create->encryption));
    json_object_object_add(json, "splitter", json_object_new_string(create->splitter));
    xb_cli_print_json(json);
}

static void print_created(const char *where, const struct xb_repository_create_options *create,
                          const struct xb_choice *choice)
{
    char hashes[XB_CHOICE_TEXT_BYTES];
    char encryptions[XB_CHOICE_TEXT_BYTES];
    xb_choice_format(choice->hashes, hashes);
    xb_choice_format(choice->encryptions, encryptions);
    printf("Created a repository in %s.\n", where);
    printf("  Hash        %s (measured here: %s)\n", create->hash, hashes);
    printf("  Encryption  %s (measured here: %s)\n", create->encryption, encryptions);
    printf("  Splitter    %s\n", create->splitter);
    printf("Keep its password: without it nothing in it can be read again.\n");
}

int xb_cli_repository_create(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    struct xb_repository_create_options create = {.compress = true};
    const struct xb_cli_option options[] = {
        {"hash", XB_CLI_TEXT, &create.hash, "NAME", "hash of contents (the fastest here)"},
        {"encryption", XB_CLI_TEXT, &create.encryption, "NAME",
         "encryption of contents (the fastest here)"},
        {"splitter", XB_CLI_TEXT, &create.splitter, "NAME",
         "where data is cut (DYNAMIC-1M-BUZHASH)"},
        {"owner", XB_CLI_TEXT, &create.owner, "USER@HOST",
         "who may run maintenance (default@default)"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {
        .command = xb_cli_command("repository create"), .options = options, .common = &common};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_store *store = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    if (xb_cli_store(&common, true, false, &store, &err) < 0) {
        return xb_cli_fail(&common, &err);
    }
    if (xb_cli_password(&common, true, &password, &err) < 0) {
        xb_store_free(store);
        return xb_cli_fail(&common, &err);
    }
    struct xb_store *kept = xb_store_ref(store);
    struct xb_choice choice;
    int r = choose(&create, &choice, &err);
    if (r < 0) {
        xb_store_free(store);
    } else {
        r = xb_repository_create(store, password, &create, &err);
    }
    if (r == 0 && common.json) {
        print_created_json(xb_store_describe(kept), &create);
    } else if (r == 0) {
        print_created(xb_store_describe(kept), &create, &choice);
    }
    xb_store_free(kept);
    return r < 0 ? xb_cli_fail(&common, &err) : XB_EXIT_OK;
}

static void print_status_json(const struct xb_repository_info *info, size_t snapshots)
{
    xb_json *json = json_object_new_object();
    json_object_object_add(json, "location", json_object_new_string(info->description));
    json_object_object_add(json, "uniqueID", json_object_new_string(info->unique_id_hex));
    json_object_object_add(json, "formatVersion", json_object_new_int64(info->format_version));
    json_object_object_add(json, "hash", json_object_new_string(info->hash));
    json_object_object_add(json, "encryption", json_object_new_string(info->encryption));
    json_object_object_add(json, "splitter", json_object_new_string(info->splitter));
    json_object_object_add(json, "writeEpoch", json_object_new_int64(info->write_epoch));
    json_object_object_add(json, "indexBlobs", json_object_new_int64((int64_t)info->index_blobs));
    json_object_object_add(json, "packs", json_object_new_int64((int64_t)info->packs));
    json_object_object_add(json, "contents", json_object_new_int64((int64_t)info->contents));
    json_object_object_add(json, "deletedContents",
                           json_object_new_int64((int64_t)info->deleted_contents));
    json_object_object_add(json, "plainBytes", json_object_new_int64((int64_t)info->plain_bytes));
    json_object_object_add(json, "packedBytes", json_object_new_int64((int64_t)info->packed_bytes));
    json_object_object_add(json, "snapshots", json_object_new_int64((int64_t)snapshots));
    xb_cli_print_json(json);
}

static void print_status(const struct xb_repository_info *info, size_t snapshots)
{
    char plain[XB_CLI_TEXT_BYTES];
    char packed[XB_CLI_TEXT_BYTES];
    printf("Location     %s\n", info->description);
    printf("Unique id    %s\n", info->unique_id_hex);
    printf("Format       version %u, %s, %s, %s\n", info->format_version, info->hash,
           info->encryption, info->splitter);
    printf("Snapshots    %zu\n", snapshots);
    printf("Contents     %" PRIu64 " in %" PRIu64 " packs (%" PRIu64 " deleted)\n", info->contents,
           info->packs, info->deleted_contents);
    printf("Data         %s, stored as %s\n", xb_cli_size(info->plain_bytes, plain),
           xb_cli_size(info->packed_bytes, packed));
    printf("Index        %" PRIu64 " blobs, write epoch %d\n", info->index_blobs,
           info->write_epoch);
}

int xb_cli_repository_status(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    struct xb_cli_parse parse = {.command = xb_cli_command("repository status"), .common = &common};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    struct xb_repository_info info;
    struct xb_snapshot_list list = {.items = NULL};
    if (xb_cli_open(&common, XB_CLI_READ, &repository, &err) < 0 ||
        xb_repository_info(repository, &info, &err) < 0 ||
        xb_snapshot_list(repository, NULL, &list, &err) < 0) {
        return xb_cli_fail(&common, &err);
    }
    size_t snapshots = list.count;
    xb_snapshot_list_free(&list);
    if (common.json) {
        print_status_json(&info, snapshots);
    } else {
        print_status(&info, snapshots);
    }
    return XB_EXIT_OK;
}
