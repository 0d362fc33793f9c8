/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/device/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"

enum { FOLDER_MODE = 0755, DEVICE_MODE = 0600, HOLES_STEP = 64 };

int xb_device_tree_begin(const struct xb_device *device, const char *path,
                         struct xb_device_tree *ret, struct xb_error *err)
{
    const char *slash = strrchr(path, '/');
    struct xb_device_tree tree = {.folder = device->block,
                                  .mode = device->block ? DEVICE_MODE : device->st.st_mode & 07777,
                                  .uid = device->st.st_uid,
                                  .gid = device->st.st_gid,
                                  .mtime_ns = (int64_t)device->st.st_mtim.tv_sec * XB_NS_PER_S +
                                              device->st.st_mtim.tv_nsec};
    if (device->block) {
        tree.mtime_ns = xb_clock_wall_ns(); /* a node's own time says nothing of the data */
    }
    tree.name = strdup(slash && slash[1] ? slash + 1 : path);
    if (!tree.name) {
        return xb_error_no_memory(err, "a backup");
    }
    *ret = tree;
    return 0;
}

int xb_device_tree_hole(struct xb_device_tree *tree, uint64_t offset, uint64_t len,
                        struct xb_error *err)
{
    if (tree->folder || tree->hole_count == XB_ENTRY_HOLES_MAX) {
        return 0;
    }
    if (tree->hole_count % HOLES_STEP == 0) {
        struct xb_hole *holes =
            reallocarray(tree->holes, tree->hole_count + HOLES_STEP, sizeof *holes);
        if (!holes) {
            return xb_error_no_memory(err, "a file's holes");
        }
        tree->holes = holes;
    }
    tree->holes[tree->hole_count++] = (struct xb_hole){offset, len};
    return 0;
}

static int make_file(const struct xb_device_tree *tree, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_entry entry = {.type = XB_ENTRY_FILE,
                             .mode = tree->mode,
                             .size = tree->bytes,
                             .mtime_ns = tree->mtime_ns,
                             .uid = tree->uid,
                             .gid = tree->gid,
                             .object = tree->object,
                             .changed = tree->changed};
    /* Holes of a part may reach beyond it. */
    size_t holes = tree->incomplete ? 0 : tree->hole_count;
    entry.name = strdup(tree->name);
    entry.holes = holes ? malloc(holes * sizeof *entry.holes) : NULL;
    if (!entry.name || (holes && !entry.holes)) {
        xb_entry_free(&entry);
        return xb_error_no_memory(err, "a backup");
    }
    if (holes) {
        memcpy(entry.holes, tree->holes, holes * sizeof *entry.holes);
    }
    entry.hole_count = holes;
    *ret = entry;
    return 0;
}

static int summarise(const struct xb_device_tree *tree, struct xb_entry *entry,
                     struct xb_error *err)
{
    entry->summary = calloc(1, sizeof *entry->summary);
    if (!entry->summary) {
        return xb_error_no_memory(err, "a backup");
    }
    *entry->summary =
        (struct xb_summary){.size = tree->bytes, .files = 1, .max_time_ns = tree->mtime_ns};
    if (tree->incomplete && !(entry->summary->incomplete = strdup(XB_INCOMPLETE_CHECKPOINT))) {
        return xb_error_no_memory(err, "a backup");
    }
    return 0;
}

static int make_folder(struct xb_repository *repository, const struct xb_device_tree *tree,
                       struct xb_entry *file, struct xb_entry *folder, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *none = NULL;
    *folder = (struct xb_entry){.type = XB_ENTRY_DIRECTORY,
                                .mode = FOLDER_MODE,
                                .mtime_ns = tree->mtime_ns,
                                .uid = tree->uid,
                                .gid = tree->gid,
                                .name = strdup(tree->name)};
    int r = folder->name ? xb_directory_builder_new(&builder, err)
                         : xb_error_no_memory(err, "a backup");
    if (r < 0 || (r = xb_directory_builder_add(builder, file, err)) < 0) {
        return r;
    }
    if (tree->incomplete) {
        r = xb_directory_builder_new(&none, err);
        return r < 0 ? r
                     : xb_directory_builder_checkpoint(builder, none, repository, &folder->object,
                                                       &folder->summary, err);
    }
    return xb_directory_builder_write(builder, repository, tree->mtime_ns, &folder->object,
                                      &folder->summary, err);
}

int xb_device_tree_write(struct xb_repository *repository, const struct xb_device_tree *tree,
                         struct xb_entry *ret, struct xb_error *err)
{
    struct xb_entry file;
    struct xb_entry folder = {.name = NULL};
    int r = make_file(tree, &file, err);
    if (r < 0) {
        return r;
    }
    r = tree->folder ? make_folder(repository, tree, &file, &folder, err)
                     : summarise(tree, &file, err);
    if (r < 0) {
        xb_entry_free(&folder);
    } else {
        *ret = tree->folder ? folder : file;
        file = tree->folder ? file : (struct xb_entry){.name = NULL};
    }
    xb_entry_free(&file);
    return r;
}

void xb_device_tree_free(struct xb_device_tree *tree)
{
    free(XB_TAKE(tree->name));
    free(XB_TAKE(tree->holes));
    tree->hole_count = 0;
}
