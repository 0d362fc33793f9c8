/* SPDX-License-Identifier: Apache-2.0
 *
 * Listing a folder: a walk with one open directory per level, entries handed out as they are read.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/store/fs/fs.h"

#define STALE_AGE_NS (24 * 3600 * XB_NS_PER_S)

/* One walk over the files whose name starts with `prefix`. */
struct walk {
    const char *prefix;
    size_t prefix_len; /* set by run */
    bool temporaries;  /* visit leftovers instead of objects */
    int (*visit)(struct walk *walk, int folder_fd, const char *file, const struct stat *st,
                 struct xb_error *err);
    xb_store_item_fn *fn;
    void *context;
    char path[XB_STORE_NAME_BYTES_MAX + 1]; /* of the entry in hand */
};

struct level {
    DIR *dir;
    size_t path_len; /* of the folder, its '/' counted */
};

bool xb_fs_is_temporary(const char *file)
{
    size_t len = strlen(file);
    if (len <= XB_FS_TEMPORARY_SUFFIX_BYTES) {
        return false;
    }
    const char *suffix = file + len - XB_FS_TEMPORARY_SUFFIX_BYTES;
    return strncmp(suffix, ".tmp.", 5) == 0 && strspn(suffix + 5, "0123456789abcdef") == 16;
}

int64_t xb_fs_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * XB_NS_PER_S + st->st_mtim.tv_nsec;
}

/* Opens a folder for reading; *ret NULL when it has gone meanwhile, or is none: both are no
 * objects. */
static int open_level(int parent_fd, const char *path, DIR **ret, struct xb_error *err)
{
    struct xb_error local = XB_ERROR_INIT;
    *ret = NULL;
    int fd = xb_file_open_beneath(parent_fd, path, O_RDONLY | O_DIRECTORY, 0, &local);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -ENAMETOOLONG) {
        return 0;
    }
    if (fd < 0) {
        *err = local;
        return fd;
    }
    *ret = fdopendir(fd);
    if (!*ret) {
        int r = xb_error_errno(err, errno, "cannot list %s", path);
        close(fd);
        return r;
    }
    return 0;
}

/* Whether names below the folder in walk->path (with its '/') can start with the prefix. */
static bool may_hold(const struct walk *walk, size_t path_len)
{
    size_t common = path_len < walk->prefix_len ? path_len : walk->prefix_len;
    return memcmp(walk->path, walk->prefix, common) == 0;
}

/* Looks at one directory entry. *ret_child is set to a folder to go into, walk->path then names it.
 */
static int look(struct walk *walk, const struct level *level, const char *file, DIR **ret_child,
                struct xb_error *err)
{
    size_t len = strlen(file);
    if (strcmp(file, ".") == 0 || strcmp(file, "..") == 0 ||
        level->path_len + len > XB_STORE_NAME_BYTES_MAX) {
        return 0;
    }
    memcpy(walk->path + level->path_len, file, len + 1);
    struct stat st;
    if (fstatat(dirfd(level->dir), file, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return errno == ENOENT ? 0 : xb_error_errno(err, errno, "cannot stat %s", walk->path);
    }
    if (S_ISDIR(st.st_mode)) {
        if (level->path_len + len + 1 >= XB_STORE_NAME_BYTES_MAX) {
            return 0; /* no room for a name in it */
        }
        memcpy(walk->path + level->path_len + len, "/", 2);
        return may_hold(walk, level->path_len + len + 1)
                   ? open_level(dirfd(level->dir), file, ret_child, err)
                   : 0;
    }
    if (!S_ISREG(st.st_mode) || xb_fs_is_temporary(file) != walk->temporaries ||
        strncmp(walk->path, walk->prefix, walk->prefix_len) != 0) {
        return 0;
    }
    return walk->visit(walk, dirfd(level->dir), file, &st, err);
}

/* Reads on in the deepest open folder until all are read. */
static int run_levels(struct walk *walk, struct level *levels, int *depth, int depth_max,
                      struct xb_error *err)
{
    while (*depth >= 0) {
        struct level *level = &levels[*depth];
        errno = 0;
        struct dirent *entry = readdir(level->dir);
        if (!entry && errno != 0) {
            walk->path[level->path_len] = '\0';
            return xb_error_errno(err, errno, "cannot list %s", walk->path);
        }
        if (!entry) {
            closedir(level->dir);
            (*depth)--;
            continue;
        }
        DIR *child = NULL;
        int r = look(walk, level, entry->d_name, &child, err);
        if (r < 0) {
            return r;
        }
        if (child && *depth < depth_max) {
            levels[++*depth] = (struct level){child, strlen(walk->path)};
        } else if (child) {
            closedir(child);
        }
    }
    return 0;
}

/* Walks everything below the folder part of walk->prefix. */
static int run(struct walk *walk, const struct xb_fs *self, struct xb_error *err)
{
    struct level levels[XB_STORE_NAME_PARTS_MAX];
    int depth = 0, depth_max = XB_STORE_NAME_PARTS_MAX - 1;
    size_t start = 0;
    walk->prefix_len = strlen(walk->prefix);
    for (size_t i = 0; i < walk->prefix_len; i++) {
        if (walk->prefix[i] == '/') {
            start = i + 1;
            depth_max--;
        }
    }
    memcpy(walk->path, walk->prefix, start);
    walk->path[start] = '\0';
    levels[0].path_len = start;
    int r = open_level(self->root_fd, start ? walk->path : ".", &levels[0].dir, err);
    if (r < 0 || !levels[0].dir || depth_max < 0) {
        if (levels[0].dir) {
            closedir(levels[0].dir);
        }
        return r;
    }
    r = run_levels(walk, levels, &depth, depth_max, err);
    for (; depth >= 0; depth--) {
        closedir(levels[depth].dir);
    }
    return r;
}

static int hand_out(struct walk *walk, int folder_fd, const char *file, const struct stat *st,
                    struct xb_error *err)
{
    (void)folder_fd;
    (void)file;
    struct xb_store_item item = {
        .name = walk->path, .size = (uint64_t)st->st_size, .mtime_ns = xb_fs_mtime_ns(st)};
    return walk->fn(walk->context, &item, err);
}

int xb_fs_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
               struct xb_error *err)
{
    struct walk walk = {.prefix = prefix, .visit = hand_out, .fn = fn, .context = context};
    return run(&walk, (struct xb_fs *)store, err);
}

/* Ends a walk at the first object. */
static int found_one(struct walk *walk, int folder_fd, const char *file, const struct stat *st,
                     struct xb_error *err)
{
    (void)folder_fd;
    (void)file;
    (void)st;
    (void)err;
    *(bool *)walk->context = true;
    return -ECANCELED;
}

/* A folder without an object in it is none: an S3 bucket would not show it either. */
static int holds_object(const struct xb_fs *self, const char *folder, bool *ret,
                        struct xb_error *err)
{
    bool found = false;
    struct walk walk = {.prefix = folder, .visit = found_one, .context = &found};
    int r = run(&walk, self, err);
    if (found || r == 0) {
        *ret = found;
        return 0;
    }
    return r;
}

int xb_fs_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                       void *context, struct xb_error *err)
{
    const struct xb_fs *self = (struct xb_fs *)store;
    char path[XB_STORE_NAME_BYTES_MAX + 1];
    size_t len = strlen(prefix);
    XB_CLEANUP(xb_closedirp) DIR *dir = NULL;
    int r = open_level(self->root_fd, len ? prefix : ".", &dir, err);
    while (r == 0 && dir) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            return errno ? xb_error_errno(err, errno, "cannot list %s", prefix) : 0;
        }
        size_t more = strlen(entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            len + more + 2 > XB_STORE_NAME_BYTES_MAX ||
            (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)) {
            continue;
        }
        memcpy(path, prefix, len);
        memcpy(path + len, entry->d_name, more);
        memcpy(path + len + more, "/", 2);
        bool holds = false;
        r = holds_object(self, path, &holds, err);
        if (r == 0 && holds) {
            struct xb_store_item item = {.name = entry->d_name};
            r = fn(context, &item, err);
        }
    }
    return r;
}

static int remove_if_stale(struct walk *walk, int folder_fd, const char *file,
                           const struct stat *st, struct xb_error *err)
{
    (void)err;
    int64_t now_ns = *(const int64_t *)walk->context;
    if (xb_fs_mtime_ns(st) < now_ns - STALE_AGE_NS) {
        unlinkat(folder_fd, file, 0);
    }
    return 0;
}

void xb_fs_remove_stale(const struct xb_fs *self)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t now_ns = xb_clock_wall_ns();
    struct walk walk = {
        .prefix = "", .temporaries = true, .visit = remove_if_stale, .context = &now_ns};
    if (run(&walk, self, &ignored) < 0) {
        return; /* whoever needs the store will meet the same trouble, and tell it */
    }
}
