/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot_probe.h - small snapshots without a file system: a folder of files given as texts.
 *
 * What for:  tests of what becomes of a whole backup when something goes wrong on the way.
 * Ownership: snapshots handed out belong to the test.
 * Threads:   as cmocka, but for snapshot_write, which any thread may call on a handle of its own.
 */
#pragma once

#include "shared/repository/directory.h"
#include "shared/repository/snapshot.h"
#include "tests/harness/repository_probe.h"

static inline int snapshot_add_file(struct xb_repository *repository,
                                    struct xb_directory_builder *builder, const char *name,
                                    const char *text, struct xb_error *err)
{
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    const struct xb_object_writer_options options = {.split = true};
    struct xb_object_stats stats;
    struct xb_entry entry = {.type = XB_ENTRY_FILE, .mode = 0644, .size = strlen(text)};
    int r = xb_object_writer_new(repository, &options, &writer, err);
    if (r < 0 || (r = xb_object_writer_write(writer, text, strlen(text), err)) < 0 ||
        (r = xb_object_writer_finish(writer, &entry.object, &stats, err)) < 0) {
        return r;
    }
    entry.name = strdup(name);
    entry.mtime_ns = 1;
    return xb_directory_builder_add(builder, &entry, err);
}

/* A backup of a folder with these files (name, text, name, text, ..., NULL), published. */
static inline int snapshot_write(struct xb_repository *repository, const char *const *files,
                                 struct xb_snapshot **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    snapshot->host = strdup("default");
    snapshot->user = strdup("default");
    snapshot->path = strdup("/probe");
    snapshot->description = strdup("");
    snapshot->start_ns = 1700000000 * XB_NS_PER_S;
    snapshot->end_ns = snapshot->start_ns + 1;
    snapshot->root.name = strdup("probe");
    snapshot->root.type = XB_ENTRY_DIRECTORY;
    int r = xb_directory_builder_new(&builder, err);
    for (size_t i = 0; r == 0 && files[i]; i += 2) {
        r = snapshot_add_file(repository, builder, files[i], files[i + 1], err);
    }
    if (r < 0 ||
        (r = xb_directory_builder_write(builder, repository, 1, &snapshot->root.object,
                                        &snapshot->root.summary, err)) < 0 ||
        (r = xb_snapshot_publish(repository, snapshot, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(snapshot);
    return 0;
}

/* Every file of the snapshot can be read; how many there are. */
static inline size_t snapshot_read(struct xb_repository *repository,
                                   const struct xb_snapshot *snapshot)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &snapshot->root.object, &directory, &err));
    for (size_t i = 0; i < directory->count; i++) {
        struct xb_buf out = XB_BUF_INIT(1 << 20);
        PROBE_OK(xb_object_read_all(repository, &directory->entries[i].object, &out, &err));
        assert_int_equal(out.len, directory->entries[i].size);
        xb_buf_free(&out);
    }
    return directory->count;
}

/* All snapshots of the repository are whole; how many there are. */
static inline size_t snapshot_check_all(struct xb_repository *repository)
{
    struct xb_snapshot_list list;
    PROBE_OK(xb_snapshot_list(repository, NULL, &list, &err));
    assert_int_equal(list.unreadable_count, 0);
    for (size_t i = 0; i < list.count; i++) {
        (void)snapshot_read(repository, list.items[i]);
    }
    size_t count = list.count;
    xb_snapshot_list_free(&list);
    return count;
}

static inline int snapshot_check_content(void *context, const struct xb_content_info *info,
                                         struct xb_error *error)
{
    struct xb_buf out = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    (void)error;
    PROBE_OK(xb_content_read(context, &info->id, true, &out, &err));
    xb_buf_free(&out);
    return 0;
}

/* Everything that is indexed can be read, and is what its id says. */
static inline void snapshot_check_contents(struct xb_repository *repository)
{
    PROBE_OK(xb_content_list(repository, -1, snapshot_check_content, repository, &err));
}
