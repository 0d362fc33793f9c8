/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent/restore/internal.h"

enum { NAMES_BYTES = 65536 }; /* the kernel's limit for a list of names */

/* One complaint per entry is enough: the first. */
struct complaint {
    struct xb_error first;
};

static void complain(struct complaint *complaint, const char *what)
{
    if (!complaint->first.code) {
        (void)!xb_error_errno(&complaint->first, errno, "setting its %s", what);
    }
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* These give rights or are believed by the kernel: a backup from outside must not plant them. */
static bool privileged_name(const char *name)
{
    return starts_with(name, "trusted.") || starts_with(name, "security.");
}

static int set_xattr(const struct xb_restore_place *place, const struct xb_entry *entry,
                     const struct xb_xattr *xattr)
{
    if (place->fd >= 0) {
        return fsetxattr(place->fd, xattr->name, xattr->value, xattr->len, 0);
    }
    char *path = NULL;
    if (asprintf(&path, "/proc/self/fd/%d/%s", place->frame->fd, entry->name) < 0) {
        return -1;
    }
    int r = lsetxattr(path, xattr->name, xattr->value, xattr->len, 0);
    int error = errno;
    free(path);
    errno = error;
    return r;
}

static void set_xattrs(struct restore *restore, const struct xb_restore_place *place,
                       const struct xb_entry *entry, struct complaint *complaint)
{
    for (size_t i = 0; i < entry->xattr_count; i++) {
        const struct xb_xattr *xattr = &entry->xattrs[i];
        if (privileged_name(xattr->name) && !restore->options->privileged) {
            /* A label of the security module is set anew by the system it comes to. */
            if (strcmp(xattr->name, "security.selinux") != 0) {
                xb_restore_note_skip(restore, place->frame, entry->name,
                                     "has attributes (trusted.*, security.*) that are restored "
                                     "only when that is switched on");
            }
            continue;
        }
        if (set_xattr(place, entry, xattr) < 0) {
            complain(complaint, xattr->name);
        }
    }
}

/* An attribute of the file that was there, which the snapshot's does not have, may give rights. */
static bool unwanted(const struct restore *restore, const struct xb_entry *entry, const char *name)
{
    if (!starts_with(name, "user.") && !starts_with(name, "system.posix_acl_") &&
        !(restore->options->privileged && starts_with(name, "trusted."))) {
        return false;
    }
    for (size_t i = 0; i < entry->xattr_count; i++) {
        if (strcmp(entry->xattrs[i].name, name) == 0) {
            return false;
        }
    }
    return true;
}

static void remove_xattrs(const struct restore *restore, const struct xb_restore_place *place,
                          const struct xb_entry *entry, struct complaint *complaint)
{
    char names[NAMES_BYTES];
    ssize_t len = flistxattr(place->fd, names, sizeof names);
    if (len < 0 && errno != ENOTSUP) {
        complain(complaint, "attributes");
    }
    for (const char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
        if (unwanted(restore, entry, name) && fremovexattr(place->fd, name) < 0) {
            complain(complaint, name);
        }
    }
}

static void set_owner(const struct xb_restore_place *place, const struct xb_entry *entry,
                      struct complaint *complaint)
{
    const struct birth *birth = &place->birth;
    if (birth->known && birth->uid == entry->uid && birth->gid == entry->gid) {
        return;
    }
    int r = place->fd >= 0 ? fchown(place->fd, entry->uid, entry->gid)
                           : fchownat(place->frame->fd, entry->name, entry->uid, entry->gid,
                                      AT_SYMLINK_NOFOLLOW);
    /* Only root may give files away; others restore as themselves, as tar does. */
    if (r < 0 && !(errno == EPERM && geteuid() != 0)) {
        complain(complaint, "owner");
    }
}

static void set_mode(const struct xb_restore_place *place, const struct xb_entry *entry,
                     struct complaint *complaint)
{
    if (entry->type == XB_ENTRY_SYMLINK || (place->mode != 0 && place->mode == entry->mode)) {
        return;
    }
    int r = place->fd >= 0 ? fchmod(place->fd, entry->mode)
                           : fchmodat(place->frame->fd, entry->name, entry->mode, 0);
    if (r < 0) {
        complain(complaint, "mode");
    }
}

static void set_time(const struct xb_restore_place *place, const struct xb_entry *entry,
                     struct complaint *complaint)
{
    int64_t seconds = entry->mtime_ns / 1000000000;
    int64_t rest = entry->mtime_ns % 1000000000;
    if (rest < 0) {
        rest += 1000000000;
        seconds--;
    }
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = seconds, .tv_nsec = (long)rest}};
    int r = place->fd >= 0 ? futimens(place->fd, times)
                           : utimensat(place->frame->fd, entry->name, times, AT_SYMLINK_NOFOLLOW);
    if (r < 0) {
        complain(complaint, "time");
    }
}

void xb_restore_attributes(struct restore *restore, const struct xb_restore_place *place,
                           const struct xb_entry *entry)
{
    struct complaint complaint = {.first = XB_ERROR_INIT};
    /* The owner first: changing it clears setuid and file capabilities. The time last: everything
     * else would change it, or the next one's. */
    set_owner(place, entry, &complaint);
    set_mode(place, entry, &complaint);
    if (place->existed) {
        remove_xattrs(restore, place, entry, &complaint);
    }
    set_xattrs(restore, place, entry, &complaint);
    set_time(place, entry, &complaint);
    if (complaint.first.code) {
        xb_restore_note_failure(restore, place->frame, entry->name, &complaint.first);
    }
}
