/* SPDX-License-Identifier: Apache-2.0
 * What the file system says of a file, as an entry. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/pipeline/internal.h"
#include "shared/base/clock.h"

enum { XATTR_NAMES_BYTES_MAX = 65536, RACY_MS = 200, RACY_COARSE_S = 3 };

/* What is not open has its extended attributes named through /proc: there is no call that takes a
 * folder and a name, and a link must not be followed. */
static int xattr_path(const struct xb_attribute_source *source, char **ret, struct xb_error *err)
{
    if (source->fd < 0 &&
        asprintf(ret, "/proc/self/fd/%d/%s", source->folder_fd, source->name) < 0) {
        *ret = NULL;
        return xb_error_no_memory(err, "attributes");
    }
    return 0;
}

static ssize_t list_names(const struct xb_attribute_source *source, const char *path, char *names,
                          size_t size)
{
    return source->fd >= 0 ? flistxattr(source->fd, names, size) : llistxattr(path, names, size);
}

static ssize_t get_value(const struct xb_attribute_source *source, const char *path,
                         const char *name, void *value, size_t size)
{
    return source->fd >= 0 ? fgetxattr(source->fd, name, value, size)
                           : lgetxattr(path, name, value, size);
}

static int add_xattr(struct xb_entry *entry, const char *name, const void *value, size_t len,
                     struct xb_error *err)
{
    if (entry->xattr_count == XB_ENTRY_XATTRS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d attributes",
                            XB_ENTRY_XATTRS_MAX);
    }
    struct xb_xattr *xattrs = reallocarray(entry->xattrs, entry->xattr_count + 1, sizeof *xattrs);
    if (!xattrs) {
        return xb_error_no_memory(err, "attributes");
    }
    entry->xattrs = xattrs;
    struct xb_xattr *xattr = &xattrs[entry->xattr_count];
    *xattr = (struct xb_xattr){.name = strdup(name), .value = malloc(len + 1), .len = len};
    if (!xattr->name || !xattr->value) {
        free(xattr->name);
        free(xattr->value);
        return xb_error_no_memory(err, "attributes");
    }
    memcpy(xattr->value, value, len);
    entry->xattr_count++;
    return 0;
}

static int compare_xattrs(const void *left, const void *right)
{
    const struct xb_xattr *a = left;
    const struct xb_xattr *b = right;
    return strcmp(a->name, b->name);
}

static bool not_supported(int error)
{
    return error == ENOTSUP || error == EOPNOTSUPP || error == ENOSYS;
}

static int read_values(const struct xb_attribute_source *source, const char *path,
                       const char *names, size_t names_len, struct xb_entry *entry,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *value = malloc(XB_ENTRY_XATTR_BYTES_MAX);
    if (!value) {
        return xb_error_no_memory(err, "attributes");
    }
    for (size_t at = 0; at < names_len; at += strlen(names + at) + 1) {
        const char *name = names + at;
        ssize_t len = get_value(source, path, name, value, XB_ENTRY_XATTR_BYTES_MAX);
        if (len < 0) {
            if (errno == ENODATA || not_supported(errno)) {
                continue; /* gone since it was listed */
            }
            return xb_error_errno(err, errno, "attribute %.60s", name);
        }
        int r = add_xattr(entry, name, value, (size_t)len, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int read_recorded(const struct xb_listing_entry *recorded, struct xb_entry *entry,
                         struct xb_error *err)
{
    struct xb_listing_xattr xattr;
    int r = 0;
    for (size_t at = 0; r == 0 && xb_listing_next_xattr(recorded, &at, &xattr);) {
        r = xattr.len > XB_ENTRY_XATTR_BYTES_MAX
                ? xb_error_set(err, XB_ERR_FULL, -ERANGE, "attribute %.60s is too long", xattr.name)
                : add_xattr(entry, xattr.name, xattr.value, xattr.len, err);
    }
    return r;
}

static int read_xattrs(const struct xb_attribute_source *source, struct xb_entry *entry,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *path = NULL;
    char small[1024];
    XB_CLEANUP(xb_freep) char *large = NULL;
    char *names = small;
    int r = xattr_path(source, &path, err);
    if (r < 0) {
        return r;
    }
    ssize_t len = list_names(source, path, small, sizeof small);
    if (len < 0 && errno == ERANGE) {
        large = malloc(XATTR_NAMES_BYTES_MAX);
        if (!large) {
            return xb_error_no_memory(err, "attributes");
        }
        names = large;
        len = list_names(source, path, large, XATTR_NAMES_BYTES_MAX);
    }
    if (len < 0) {
        return not_supported(errno) ? 0 : xb_error_errno(err, errno, "listing its attributes");
    }
    return len == 0 ? 0 : read_values(source, path, names, (size_t)len, entry, err);
}

static void fill_node(struct xb_entry *entry, const struct stat *st)
{
    entry->node = S_ISFIFO(st->st_mode)   ? 'p'
                  : S_ISSOCK(st->st_mode) ? 's'
                  : S_ISBLK(st->st_mode)  ? 'b'
                  : S_ISCHR(st->st_mode)  ? 'c'
                                          : 0;
    if (entry->node == 'b' || entry->node == 'c') {
        entry->node_major = major(st->st_rdev);
        entry->node_minor = minor(st->st_rdev);
    }
}

/* How long after a change a second one may have left the same time behind: a tick of the kernel's
 * clock, or the step of a file system that only keeps seconds. */
static int64_t racy_ns(int64_t ctime_ns)
{
    return ctime_ns % XB_NS_PER_S == 0 ? RACY_COARSE_S * XB_NS_PER_S : RACY_MS * XB_NS_PER_MS;
}

/* What all names of a file in the snapshot have in common. The device only counts where it is not
 * the root's: its number may change with every mount, and the folder would not be the same then. */
static int fill_link(struct xb_entry *entry, const struct xb_attribute_source *source,
                     struct xb_error *err)
{
    const struct stat *st = source->st;
    unsigned long long device = st->st_dev == source->backup->root_device ? 0 : st->st_dev;
    if (asprintf(&entry->link, "%llu:%llu", device, (unsigned long long)st->st_ino) < 0) {
        entry->link = NULL;
        return xb_error_no_memory(err, "an entry");
    }
    return 0;
}

/* The identity by which the next backup knows the file again. */
static int fill_identity(struct xb_entry *entry, const struct xb_attribute_source *source,
                         struct xb_error *err)
{
    const struct stat *st = source->st;
    entry->inode = st->st_ino;
    entry->ctime_ns = xb_timespec_ns(&st->st_ctim);
    /* A file that changed an instant ago may change again within the same tick of the clock, and
     * nobody could see it: such a one must look different next time. */
    int64_t seen_ns = source->backup->taken_ns ? source->backup->taken_ns : xb_clock_wall_ns();
    if (seen_ns - entry->ctime_ns < racy_ns(entry->ctime_ns)) {
        entry->ctime_ns--;
    }
    return st->st_nlink > 1 ? fill_link(entry, source, err) : 0;
}

int xb_entry_from_file(const struct xb_attribute_source *source, struct xb_entry *ret,
                       struct xb_error *err)
{
    const struct stat *st = source->st;
    struct xb_entry entry = {.type = S_ISDIR(st->st_mode)   ? XB_ENTRY_DIRECTORY
                                     : S_ISLNK(st->st_mode) ? XB_ENTRY_SYMLINK
                                                            : XB_ENTRY_FILE,
                             .mode = S_ISLNK(st->st_mode) ? 0777U : st->st_mode & 07777U,
                             .mtime_ns = xb_timespec_ns(&st->st_mtim),
                             .uid = st->st_uid,
                             .gid = st->st_gid};
    fill_node(&entry, st);
    entry.name = strdup(source->name);
    int r = entry.name ? 0 : xb_error_no_memory(err, "an entry");
    if (r == 0 && !S_ISDIR(st->st_mode)) {
        r = fill_identity(&entry, source, err);
    }
    if (r == 0) {
        r = source->recorded ? read_recorded(source->recorded, &entry, err)
                             : read_xattrs(source, &entry, err);
    }
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    if (entry.xattr_count > 1) {
        /* The same attributes must make the same bytes. */
        qsort(entry.xattrs, entry.xattr_count, sizeof *entry.xattrs, compare_xattrs);
    }
    *ret = entry;
    return 0;
}
