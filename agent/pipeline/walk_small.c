/* SPDX-License-Identifier: Apache-2.0
 * Entries that are small: done while the folder is listed. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "agent/pipeline/frame.h"
#include "agent/pipeline/walk.h"

static int write_small(struct backup *backup, const void *data, size_t len,
                       struct xb_object_id *ret, struct xb_error *err)
{
    struct xb_content_write_result result;
    int r = xb_content_write(backup->repository, 0, data, len, XB_COMPRESSION_NONE, &result, err);
    if (r == 0) {
        xb_content_id_format(&result.id, ret->text);
    }
    return r;
}

static int read_link(struct frame *frame, const char *name, char target[PATH_MAX + 1],
                     size_t *ret_len, struct xb_error *err)
{
    const struct xb_listing_entry *recorded = xb_frame_recorded(frame, name);
    if (recorded) {
        *ret_len = strlen(xb_listing_target(recorded));
        memcpy(target, xb_listing_target(recorded), *ret_len);
        return 0;
    }
    ssize_t len = readlinkat(frame->fd, name, target, PATH_MAX + 1);
    if (len < 0 || len > PATH_MAX) {
        return xb_error_errno(err, len < 0 ? errno : ENAMETOOLONG, "reading the link");
    }
    *ret_len = (size_t)len;
    return 0;
}

void xb_walk_add_small(struct frame *frame, const char *name, const struct stat *st)
{
    struct backup *backup = frame->backup;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_attribute_source source = {.fd = -1,
                                               .folder_fd = frame->fd,
                                               .name = name,
                                               .st = st,
                                               .recorded = xb_frame_recorded(frame, name),
                                               .backup = backup};
    struct xb_entry entry = {.name = NULL};
    char target[PATH_MAX + 1];
    size_t len = 0;
    int r = xb_entry_from_file(&source, &entry, &err);
    if (r == 0 && S_ISLNK(st->st_mode)) {
        r = read_link(frame, name, target, &len, &err);
        entry.size = len;
    }
    if (r < 0) {
        xb_entry_free(&entry);
        if (err.kind == XB_ERR_NOT_FOUND) {
            xb_frame_add_vanished(frame, name);
        } else {
            xb_frame_add_failure(frame, name, err.text);
        }
        return;
    }
    r = entry.node ? 0 : write_small(backup, target, len, &entry.object, &err);
    if (r < 0) {
        xb_entry_free(&entry);
        xb_backup_fail(backup, &err);
        return;
    }
    pthread_mutex_lock(&backup->lock);
    backup->result.symlinks += S_ISLNK(st->st_mode);
    backup->result.special_files += !S_ISLNK(st->st_mode);
    pthread_mutex_unlock(&backup->lock);
    xb_frame_add(frame, &entry);
}
