/* SPDX-License-Identifier: Apache-2.0
 * What else is in a folder that is restored into. Both lists of names go through one sorter, so
 * that neither needs to fit into memory. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/restore/internal.h"
#include "shared/base/sorter.h"

/* A file that a restore was writing when it was killed. */
static bool is_leftover(const struct frame *frame, const char *name)
{
    const size_t prefix = strlen(XB_RESTORE_TEMPORARY);
    struct stat st;
    if (strncmp(name, XB_RESTORE_TEMPORARY, prefix) != 0) {
        return false;
    }
    const char *rest = name + prefix;
    size_t token = strspn(rest, "0123456789abcdef");
    const char *number = rest + token + 1;
    return token == sizeof frame->restore->token - 1 && rest[token] == '-' && number[0] &&
           strspn(number, "0123456789") == strlen(number) &&
           fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Where a name comes from, behind it in a sorter: what is there comes before what shall be there.
 */
enum { NAME_THERE = 'a', NAME_WANTED = 'b', SORTER_BYTES = 1 << 20 };

static int note_name(struct xb_sorter *names, const char *name, char whose, struct xb_error *err)
{
    char key[XB_ENTRY_NAME_BYTES_MAX + 64];
    size_t len = strlen(name);
    if (len + 2 > sizeof key) {
        return 0; /* no file is called so */
    }
    memcpy(key, name, len + 1);
    key[len + 1] = whose;
    const struct xb_sorter_record record = {.key = key, .key_len = len + 2};
    return xb_sorter_add(names, &record, err);
}

static int list_there(const struct frame *frame, struct xb_sorter *names, struct xb_error *err)
{
    int fd = openat(frame->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    XB_CLEANUP(xb_closedirp) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *item = NULL;
    int r = 0;
    if (!dir) {
        xb_closep(&fd);
    }
    while (r == 0 && dir && (item = readdir(dir))) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
            r = note_name(names, item->d_name, NAME_THERE, err);
        }
    }
    return r;
}

static int list_wanted(const struct frame *frame, struct xb_sorter *names, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    int r = xb_directory_open(frame->restore->repository, &frame->entry.object, &cursor, err);
    while (r == 0 && (r = xb_directory_next(cursor, &entry, err)) == 0 && entry) {
        r = note_name(names, entry->name, NAME_WANTED, err);
    }
    return r;
}

/* Of the file system itself, in its topmost folder. */
static bool is_file_systems(const struct frame *frame, const char *name)
{
    struct stat st;
    return !frame->path[0] && strcmp(name, "lost+found") == 0 &&
           fstatat(frame->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
           st.st_uid == 0;
}

static void note_extra(const struct frame *frame, const char *name)
{
    if (is_file_systems(frame, name)) {
        return;
    }
    if (frame->restore->options->dry_run || !is_leftover(frame, name) ||
        unlinkat(frame->fd, name, 0) < 0) {
        xb_restore_note_extra(frame, name);
    }
}

/* Names that are there and are not wanted. */
static int tell_extra(const struct frame *frame, struct xb_sorter *names, struct xb_error *err)
{
    XB_CLEANUP(xb_sorter_closep) struct xb_sorter_cursor *cursor = NULL;
    struct xb_sorter_record record;
    char there[XB_ENTRY_NAME_BYTES_MAX + 64] = "";
    int r = xb_sorter_open(names, &cursor, err);
    while (r == 0 && (r = xb_sorter_next(cursor, &record, err)) == 0 && record.key) {
        const char *name = record.key;
        bool wanted = name[record.key_len - 1] == NAME_WANTED;
        bool same = strcmp(name, there) == 0;
        if (there[0] && !same) {
            note_extra(frame, there);
        }
        there[0] = '\0';
        if (!wanted) {
            memcpy(there, name, record.key_len - 1);
        }
    }
    if (r == 0 && there[0]) {
        note_extra(frame, there);
    }
    return r;
}

void xb_restore_look_for_extra(const struct frame *frame)
{
    XB_CLEANUP(xb_sorter_freep) struct xb_sorter *names = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (frame->made || frame->fd < 0) {
        return;
    }
    int r = xb_sorter_new("the names in a large folder", SORTER_BYTES, &names, &err);
    if (r == 0) {
        r = list_there(frame, names, &err);
    }
    if (r == 0 && xb_sorter_count(names) > 0 &&
        (list_wanted(frame, names, &err) < 0 || (r = tell_extra(frame, names, &err)) == 0)) {
        return;
    }
    if (r < 0) {
        (void)!xb_error_wrap(&err, "looking for what else is in the folder");
        xb_restore_note_failure(frame->restore, frame, ".", &err);
    }
}
