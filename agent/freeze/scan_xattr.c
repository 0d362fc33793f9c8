/* SPDX-License-Identifier: Apache-2.0
 * A file's extended attributes, as they go into a listing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "agent/freeze/scan.h"

enum { NAMES_BYTES_MAX = 65536, VALUE_BYTES_MAX = 65536 };

static bool not_supported(int error)
{
    return error == ENOTSUP || error == EOPNOTSUPP || error == ENOSYS;
}

/* What is not open is named through /proc: there is no call that takes a folder and a name. */
static int list(const struct xb_scan_source *source, const char *path, char *names, ssize_t *ret,
                struct xb_error *err)
{
    ssize_t len = source->fd >= 0 ? flistxattr(source->fd, names, NAMES_BYTES_MAX)
                                  : llistxattr(path, names, NAMES_BYTES_MAX);
    if (len < 0 && !not_supported(errno) && errno != ENOENT) {
        return xb_error_errno(err, errno, "listing the attributes of '%.100s'", source->name);
    }
    *ret = len < 0 ? 0 : len;
    return 0;
}

int xb_scan_read_xattrs(const struct xb_scan_source *source, char *bytes, size_t *ret_used,
                        struct xb_error *err)
{
    char path[NAME_MAX + 40];
    char names[NAMES_BYTES_MAX];
    ssize_t names_len = 0;
    size_t used = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", source->folder, source->name);
    int r = list(source, path, names, &names_len, err);
    if (r < 0 || names_len == 0) {
        *ret_used = 0;
        return r;
    }
    XB_CLEANUP(xb_freep) char *value = malloc(VALUE_BYTES_MAX);
    if (!value) {
        return xb_error_no_memory(err, "attributes");
    }
    for (ssize_t at = 0; at < names_len; at += (ssize_t)strlen(names + at) + 1) {
        const char *name = names + at;
        ssize_t len = source->fd >= 0 ? fgetxattr(source->fd, name, value, VALUE_BYTES_MAX)
                                      : lgetxattr(path, name, value, VALUE_BYTES_MAX);
        if (len < 0 && (errno == ENODATA || not_supported(errno))) {
            continue; /* gone since it was listed */
        }
        const struct xb_listing_xattr xattr = {name, value, len < 0 ? 0 : (size_t)len};
        if (len < 0) {
            return xb_error_errno(err, errno, "attribute %.60s of '%.100s'", name, source->name);
        }
        if (!xb_listing_pack_xattr(bytes, XB_SCAN_XATTR_BYTES_MAX, &used, &xattr)) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "'%.100s' has too many attributes",
                                source->name);
        }
    }
    *ret_used = used;
    return 0;
}
