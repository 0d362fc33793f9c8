/* SPDX-License-Identifier: Apache-2.0
 * xebec snapshots | ls | cat: looking into a repository. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/restore/restore.h"
#include "shared/base/file.h"
#include "shared/codec/text.h"

enum { SHORT_ID = 12, DEPTH_MAX = 900 };

/* ---- snapshots ---- */

static void add_time(xb_json *json, const char *key, int64_t ns)
{
    char text[XB_TIME_TEXT_BYTES];
    xb_time_format(ns, text);
    json_object_object_add(json, key, json_object_new_string(text));
}

static xb_json *snapshot_json(const struct xb_snapshot *snapshot)
{
    xb_json *json = json_object_new_object();
    const struct xb_summary *summary = snapshot->root.summary;
    json_object_object_add(json, "id", json_object_new_string(snapshot->id));
    json_object_object_add(json, "host", json_object_new_string(snapshot->host));
    json_object_object_add(json, "user", json_object_new_string(snapshot->user));
    json_object_object_add(json, "path", json_object_new_string(snapshot->path));
    json_object_object_add(json, "description", json_object_new_string(snapshot->description));
    add_time(json, "startTime", snapshot->start_ns);
    add_time(json, "endTime", snapshot->end_ns);
    json_object_object_add(json, "incomplete",
                           snapshot->incomplete ? json_object_new_string(snapshot->incomplete)
                                                : NULL);
    json_object_object_add(json, "files",
                           json_object_new_int64(summary ? (int64_t)summary->files : 1));
    json_object_object_add(
        json, "bytes",
        json_object_new_int64((int64_t)(summary ? summary->size : snapshot->root.size)));
    json_object_object_add(json, "failed",
                           json_object_new_int64(summary ? (int64_t)summary->num_failed : 0));
    json_object_object_add(json, "specialFiles",
                           json_object_new_int64((int64_t)snapshot->stats.special_files));
    json_object_object_add(json, "changedWhileRead",
                           json_object_new_int64((int64_t)snapshot->stats.changed_files));
    json_object_object_add(json, "vanished",
                           json_object_new_int64((int64_t)snapshot->stats.vanished));
    xb_json *tags = json_object_new_object();
    for (size_t i = 0; i < snapshot->tag_count; i++) {
        json_object_object_add(tags, snapshot->tags[i].key,
                               json_object_new_string(snapshot->tags[i].value));
    }
    json_object_object_add(json, "tags", tags);
    json_object_object_add(json, "device", xb_cli_device_json(snapshot->device));
    return json;
}

static void print_snapshots(const struct xb_snapshot_list *list)
{
    printf("%-*s  %-19s  %9s  %10s  %s\n", SHORT_ID, "SNAPSHOT", "TAKEN", "FILES", "SIZE",
           "SOURCE");
    for (size_t i = 0; i < list->count; i++) {
        const struct xb_snapshot *snapshot = list->items[i];
        const struct xb_summary *summary = snapshot->root.summary;
        char taken[XB_CLI_TEXT_BYTES];
        char size[XB_CLI_TEXT_BYTES];
        printf("%.*s  %-19s  %9" PRIu64 "  %10s  ", SHORT_ID, snapshot->id,
               xb_cli_time(snapshot->start_ns, taken), summary ? summary->files : 1,
               xb_cli_size(summary ? summary->size : snapshot->root.size, size));
        xb_cli_print_name(stdout, snapshot->user);
        putchar('@');
        xb_cli_print_name(stdout, snapshot->host);
        putchar(':');
        xb_cli_print_name(stdout, snapshot->path);
        if (snapshot->incomplete) {
            printf("  (incomplete: %s)", snapshot->incomplete);
        }
        if (summary && summary->num_failed) {
            printf("  (%" PRIu64 " entries could not be read)", summary->num_failed);
        }
        if (snapshot->stats.changed_files) {
            printf("  (%" PRIu64 " changed while they were read)", snapshot->stats.changed_files);
        }
        putchar('\n');
    }
}

int xb_cli_snapshots(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    struct xb_cli_parse parse = {.command = xb_cli_command("snapshots"), .common = &common};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    struct xb_snapshot_list list = {.items = NULL};
    if (xb_cli_open(&common, XB_CLI_READ, &repository, &err) < 0 ||
        xb_snapshot_list(repository, NULL, &list, &err) < 0) {
        return xb_cli_fail(&common, &err);
    }
    if (common.json) {
        xb_json *all = json_object_new_array();
        for (size_t i = 0; i < list.count; i++) {
            json_object_array_add(all, snapshot_json(list.items[i]));
        }
        xb_cli_print_json(all);
    } else {
        print_snapshots(&list);
    }
    for (size_t i = 0; i < list.unreadable_count; i++) {
        fprintf(stderr, "xebec: damaged: %s\n", list.unreadable[i]);
    }
    status = list.unreadable_count ? XB_EXIT_DAMAGED : XB_EXIT_OK;
    xb_snapshot_list_free(&list);
    return status;
}

/* ---- ls ---- */

struct listing {
    struct xb_repository *repository;
    bool json, recursive;
};

static const char *mode_text(const struct xb_entry *entry, char out[11])
{
    static const char letters[] = "rwxrwxrwx";
    out[0] = entry->type == XB_ENTRY_DIRECTORY ? 'd'
             : entry->type == XB_ENTRY_SYMLINK ? 'l'
             : entry->node                     ? entry->node
                                               : '-';
    for (unsigned i = 0; i < 9; i++) {
        out[1 + i] = entry->mode & (0400U >> i) ? letters[i] : '-';
    }
    if (entry->mode & 04000U) {
        out[3] = entry->mode & 0100U ? 's' : 'S';
    }
    if (entry->mode & 02000U) {
        out[6] = entry->mode & 0010U ? 's' : 'S';
    }
    if (entry->mode & 01000U) {
        out[9] = entry->mode & 0001U ? 't' : 'T';
    }
    out[10] = '\0';
    return out;
}

static uint64_t entry_size(const struct xb_entry *entry)
{
    return entry->summary ? entry->summary->size : entry->size;
}

static void print_entry(const struct xb_entry *entry, const char *path)
{
    char mode[11];
    char taken[XB_CLI_TEXT_BYTES];
    printf("%s %6u %6u %14" PRIu64 "  %s  ", mode_text(entry, mode), entry->uid, entry->gid,
           entry_size(entry), xb_cli_time(entry->mtime_ns, taken));
    xb_cli_print_name(stdout, path);
    printf("%s%s\n", entry->type == XB_ENTRY_DIRECTORY ? "/" : "",
           entry->changed ? "  (changed while it was read)" : "");
}

/* One JSON object per line: a large folder must not be held in memory. */
static int print_entry_json(const struct xb_entry *entry, const char *path, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf line = XB_BUF_INIT(XB_MANIFEST_BYTES_MAX);
    int r = xb_buf_append_str(&line, "{\"path\":", err);
    if (r < 0 || (r = xb_json_go_string(&line, path, strlen(path), err)) < 0 ||
        (r = xb_buf_append_str(&line, ",\"entry\":", err)) < 0 ||
        (r = xb_entry_encode(entry, &line, err)) < 0) {
        return r;
    }
    printf("%s}\n", line.data);
    return 0;
}

/* Where a listing is: in how many folders, and what their cursors hold. */
struct deep {
    unsigned folders;
    size_t held;
};

static int list_folder(const struct listing *listing, const struct xb_object_id *id,
                       const char *path, struct deep deep, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    int r = deep.folders > DEPTH_MAX
                ? xb_error_set(err, XB_ERR_CORRUPT, -ELOOP, "nested too deeply")
                : xb_directory_open(listing->repository, id, &cursor, err);
    while (r == 0 && (r = xb_directory_next(cursor, &entry, err)) == 0 && entry) {
        XB_CLEANUP(xb_freep) char *child = NULL;
        if (asprintf(&child, "%s%s%s", path, path[0] ? "/" : "", entry->name) < 0) {
            child = NULL;
            return xb_error_no_memory(err, "a path");
        }
        if (listing->json) {
            r = print_entry_json(entry, child, err);
        } else {
            print_entry(entry, child);
        }
        if (r == 0 && listing->recursive && entry->type == XB_ENTRY_DIRECTORY) {
            const struct deep deeper = {deep.folders + 1,
                                        xb_directory_cursor_wait(cursor, deep.held)};
            r = list_folder(listing, &entry->object, child, deeper, err);
        }
    }
    return r;
}

static int list_path(const struct listing *listing, const char *snapshot_text, const char *path,
                     struct xb_error *err)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    struct xb_entry entry;
    int r = xb_cli_find_snapshot(listing->repository, snapshot_text, &snapshot, err);
    if (r < 0 ||
        (r = xb_snapshot_find_path(listing->repository, snapshot, path, &entry, err)) < 0) {
        return r;
    }
    if (entry.type == XB_ENTRY_DIRECTORY) {
        r = list_folder(listing, &entry.object, path, (struct deep){0, 0}, err);
    } else if (listing->json) {
        r = print_entry_json(&entry, path, err);
    } else {
        print_entry(&entry, path);
    }
    xb_entry_free(&entry);
    return r;
}

int xb_cli_ls(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    const char *words[2] = {NULL, ""};
    struct listing listing = {.recursive = false};
    const struct xb_cli_option options[] = {
        {"recursive", XB_CLI_FLAG, &listing.recursive, NULL, "everything below, too"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("ls"),
                                 .options = options,
                                 .common = &common,
                                 .positionals = words,
                                 .positional_max = 2,
                                 .positional_min = 1};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    listing.json = common.json;
    int r = xb_cli_open(&common, XB_CLI_READ, &repository, &err);
    listing.repository = repository;
    if (r < 0 || list_path(&listing, words[0], words[1], &err) < 0) {
        return xb_cli_fail(&common, &err);
    }
    return XB_EXIT_OK;
}

/* ---- cat ---- */

static int write_object(struct xb_repository *repository, const struct xb_object_id *id,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    int r = xb_object_reader_open(repository, id, &reader, err);
    const void *data = NULL;
    size_t len = 1;
    while (r == 0 && len > 0) {
        r = xb_object_reader_next(reader, &data, &len, err);
        if (r == 0 && len > 0) {
            r = xb_file_write_all(STDOUT_FILENO, data, len, "standard output", err);
        }
    }
    return r;
}

static int cat_path(struct xb_repository *repository, const char *snapshot_text, const char *path,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    struct xb_entry entry;
    int r = xb_cli_find_snapshot(repository, snapshot_text, &snapshot, err);
    if (r < 0 || (r = xb_snapshot_find_path(repository, snapshot, path, &entry, err)) < 0) {
        return r;
    }
    r = entry.type == XB_ENTRY_DIRECTORY
            ? xb_error_set(err, XB_ERR_INVALID, -EISDIR, "'%.300s' is a folder: use ls", path)
        : entry.node ? xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                    "'%.300s' is a fifo, socket or device, and has no data", path)
                     : write_object(repository, &entry.object, err);
    xb_entry_free(&entry);
    return r;
}

int xb_cli_cat(int argc, char **argv)
{
    struct xb_cli_common common = {.repository = NULL};
    const char *words[2] = {NULL, NULL};
    struct xb_cli_parse parse = {.command = xb_cli_command("cat"),
                                 .common = &common,
                                 .positionals = words,
                                 .positional_max = 2,
                                 .positional_min = 2};
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    common.json = false; /* standard output is the file */
    if (xb_cli_open(&common, XB_CLI_READ, &repository, &err) < 0 ||
        cat_path(repository, words[0], words[1], &err) < 0) {
        return xb_cli_fail(&common, &err);
    }
    return XB_EXIT_OK;
}
