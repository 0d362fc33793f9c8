/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_probe.h - a repository in memory, a folder to restore into, and snapshots made by hand: a
 * restore needs no backup of this machine's.
 *
 * What for:  tests of restores. The globals are each test program's own; setup and teardown make
 *            and free them for each test.
 * Ownership: snapshots and results belong to the test.
 * Threads:   as cmocka.    Blocking: as the disk.
 */
#pragma once

#include "tests/harness/tree_probe.h"

#include "agent/restore/restore.h"
#include "shared/repository/state.h"
#include "tests/harness/hook_store.h"

/* Behind the headers: their functions have parameters of these names. */
static struct tree tree;    /* the target */
static struct tree outside; /* what must stay as it is */
static struct xb_store *store;
static struct xb_repository *repository;

static inline int setup(void **state)
{
    (void)state;
    tree = tree_new();
    outside = tree_new();
    store = probe_repository_store();
    repository = probe_open(store);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    tree_free(&tree);
    tree_free(&outside);
    return 0;
}

struct folder {
    struct xb_directory_builder *builder;
};

static inline struct folder new_folder(void)
{
    struct folder folder = {.builder = NULL};
    PROBE_OK(xb_directory_builder_new(&folder.builder, &err));
    return folder;
}

static inline struct xb_entry make_entry(const char *name, enum xb_entry_type type,
                                         const char *data)
{
    struct xb_entry entry = {.name = strdup(name),
                             .type = type,
                             .mode = type == XB_ENTRY_SYMLINK ? 0777 : 0640,
                             .uid = geteuid(),
                             .gid = getegid(),
                             .size = strlen(data),
                             .mtime_ns = 1600000000000000001};
    struct xb_content_write_result content = probe_write(repository, 0, data);
    xb_content_id_format(&content.id, entry.object.text);
    return entry;
}

static inline void add_entry(struct folder *folder, struct xb_entry entry)
{
    PROBE_OK(xb_directory_builder_add(folder->builder, &entry, &err));
}

static inline void add(struct folder *folder, const char *name, enum xb_entry_type type,
                       const char *data)
{
    add_entry(folder, make_entry(name, type, data));
}

/* The folder's object and summary, as an entry. Uses the builder up. */
static inline struct xb_entry end_folder(struct folder *folder, const char *name)
{
    struct xb_entry entry = {.name = strdup(name),
                             .type = XB_ENTRY_DIRECTORY,
                             .mode = 0755,
                             .uid = geteuid(),
                             .gid = getegid(),
                             .mtime_ns = 1500000000000000000};
    PROBE_OK(xb_directory_builder_write(folder->builder, repository, 1, &entry.object,
                                        &entry.summary, &err));
    xb_directory_builder_free(folder->builder);
    return entry;
}

static inline struct xb_snapshot *snapshot_of(struct xb_entry root)
{
    struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    assert_non_null(snapshot);
    snapshot->host = strdup("h");
    snapshot->user = strdup("u");
    snapshot->path = strdup("p");
    snapshot->description = strdup("");
    snapshot->root = root;
    probe_flush(repository);
    return snapshot;
}

static inline struct xb_snapshot *end_snapshot(struct folder *folder)
{
    return snapshot_of(end_folder(folder, "root"));
}

static inline struct xb_restore_result restore_path(const struct xb_snapshot *snapshot,
                                                    const char *path)
{
    struct xb_restore_result result;
    const struct xb_restore_options options = {.target_fd = tree.fd, .path = path};
    PROBE_OK(xb_restore_run(repository, snapshot, &options, &result, &err));
    return result;
}

static inline struct xb_restore_result restore(const struct xb_snapshot *snapshot)
{
    return restore_path(snapshot, NULL);
}

static inline void restores_cleanly(const struct xb_snapshot *snapshot)
{
    struct xb_restore_result result = restore(snapshot);
    for (size_t i = 0; i < result.message_count; i++) {
        print_error("%s: %s\n", result.messages[i].path, result.messages[i].text);
    }
    assert_int_equal(result.failed + result.skipped, 0);
    xb_restore_result_free(&result);
}

static inline void says(const struct xb_restore_result *result, const char *path, const char *words)
{
    for (size_t i = 0; i < result->message_count; i++) {
        if (strcmp(result->messages[i].path, path) == 0 &&
            strstr(result->messages[i].text, words)) {
            return;
        }
    }
    for (size_t i = 0; i < result->message_count; i++) {
        print_error("%s: %s\n", result->messages[i].path, result->messages[i].text);
    }
    fail_msg("no message on %s with '%s'", path, words);
}

static inline int64_t mtime_of(const char *name)
{
    struct stat st = tree_stat(&tree, name);
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

/* A file whose data is made of these contents, in this order. */
static inline struct xb_entry make_long_entry(const char *name, const struct xb_content_info *infos,
                                              const size_t *order, size_t count)
{
    struct xb_buf table = XB_BUF_INIT(64 << 20);
    struct xb_entry entry = make_entry(name, XB_ENTRY_FILE, "");
    struct xb_content_write_result content;
    entry.size = 0;
    PROBE_OK(xb_buf_append_str(&table, "{\"stream\":\"kopia:indirect\",\"entries\":[", &err));
    for (size_t i = 0; i < count; i++) {
        char id[XB_CONTENT_ID_TEXT_BYTES];
        const struct xb_content_info *info = &infos[order ? order[i] : i];
        xb_content_id_format(&info->id, id);
        PROBE_OK(xb_buf_printf(&table, &err, "%s{\"s\":%llu,\"l\":%u,\"o\":\"%s\"}", i ? "," : "",
                               (unsigned long long)entry.size, info->plain_bytes, id));
        entry.size += info->plain_bytes;
    }
    PROBE_OK(xb_buf_append_str(&table, "]}\n", &err));
    PROBE_OK(xb_content_write(repository, 'x', table.data, table.len, XB_COMPRESSION_ZSTD_FASTEST,
                              &content, &err));
    entry.object.text[0] = 'I';
    xb_content_id_format(&content.id, entry.object.text + 1);
    xb_buf_free(&table);
    return entry;
}

/* The same repository through another store on top of this one, as a client that opens it now. */
static inline void reopen(struct xb_store *through)
{
    xb_repository_free(repository);
    repository = probe_open(through);
}

/* The path of a name in the target; valid until the next call. */
static inline const char *probe_at(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", tree.path, name);
    return path;
}
