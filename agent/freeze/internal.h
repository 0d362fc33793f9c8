/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - a copy from within; for the files of this folder only.
 *
 * What for:  freeze.c chooses and keeps the times, place.c finds the folder in which a copy lies
 *            and removes what is left over, space.c guards the free space, mounts.c knows what is
 *            mounted in a volume; btrfs.c, zfs.c, lvm.c, tree.c and image.c are the methods (ext.c:
 *            what image.c must know of a file system).
 * Threads:   `remove` may be called by the thread that watches the free space while others read
 *            the copy; everything else by the owner.
 */
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/stat.h>

#include "agent/freeze/freeze.h"

/* What was prepared of a method; its own. */
struct xb_freeze_state;

struct xb_freeze_driver {
    enum xb_freeze_method method;
    enum xb_freeze_consistency consistency;
    /* An error is a reason why not; then drop is called all the same. */
    int (*prepare)(struct xb_freeze *freeze, struct xb_error *err);
    int (*refresh)(struct xb_freeze *freeze, struct xb_error *err); /* may be NULL */
    int (*take)(struct xb_freeze *freeze, struct xb_error *err);
    int (*open)(struct xb_freeze *freeze, struct xb_error *err); /* may be NULL */
    /* While it lives. FULL: it has to be given up; other errors say nothing. NULL: when the free
     * space of xb_freeze_space_begin is used up. */
    int (*check)(struct xb_freeze *freeze, struct xb_error *err);
    /* Removes what lies on the file system; others may still be reading it. Also twice. */
    void (*remove)(struct xb_freeze *freeze);
    /* Frees the rest, whatever there is of it; freeze->state is NULL then. */
    void (*drop)(struct xb_freeze *freeze);
};

extern const struct xb_freeze_driver xb_freeze_btrfs, xb_freeze_zfs, xb_freeze_lvm, xb_freeze_tree,
    xb_freeze_image;

/* A folder of our own on the volume's file system, locked. */
struct xb_freeze_place {
    int holder_fd; /* the XB_FREEZE_FOLDER that it lies in */
    int above_fd;  /* what that lies in */
    int fd;        /* -1: there is none */
    char name[NAME_MAX + 1];
};
#define XB_FREEZE_NO_PLACE                                                                         \
    (struct xb_freeze_place)                                                                       \
    {                                                                                              \
        .holder_fd = -1, .above_fd = -1, .fd = -1                                                  \
    }

struct xb_freeze {
    struct xb_freeze_request request;
    const struct xb_freeze_driver *driver; /* NULL: LIVE */
    struct xb_freeze_facts facts;
    int root_fd; /* of the copy; -1: none */
    struct xb_listing *listing;
    struct xb_freeze_state *state;
    struct xb_freeze_place place;
    struct xb_ticker *watch; /* of the free space; NULL: nobody looks */
    int space_fd;            /* on the file system that is watched; lent */
    uint64_t floor_bytes;
    bool opened;
    pthread_mutex_t losing; /* whoever finds a reason first */
    atomic_bool lost;
    char lost_reason[XB_FREEZE_REASONS_BYTES];
};

bool xb_freeze_cancelled(const struct xb_freeze *freeze);
/* What was changed in the volume's file system is on the disk when it returns. */
int xb_freeze_flush(const struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
/* Gives the copy up. */
void xb_freeze_lose(struct xb_freeze *freeze, const char *reason);

/* ---- place.c ---- */

/* Makes the copy's own folder, in the first place that is on the volume's file system and may be
 * written. CONFLICT: a copy of that name is in use. */
int xb_freeze_place_make(struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
/* The same, in this folder. */
int xb_freeze_place_make_in(struct xb_freeze *freeze, int above_fd,
                            struct xb_error *err) XB_MUST_CHECK;
/* Removes all that is in it, and the folder; what cannot be removed is for the next sweep. */
void xb_freeze_place_remove(struct xb_freeze *freeze);
void xb_freeze_place_close(struct xb_freeze *freeze);

/* Whether a copy of that name in the folder's holder is being made or read: locked by somebody. If
 * not, *ret_fd is its folder, locked by us, or -1 if there is none. */
bool xb_freeze_place_in_use(int above_fd, const char *name, int *ret_fd);
/* Removes copies that nobody holds from the folder's holder, as many as xb_freeze_sweep may; counts
 * them in *removed. Returns how many cannot be removed. */
unsigned xb_freeze_place_sweep(int above_fd, int *removed);

/* Whether two open folders are on one file system, in which one may refer to the other's data. */
bool xb_freeze_same_file_system(int a, int b);
/* Whether a folder is the top of a btrfs subvolume. */
bool xb_freeze_is_subvolume(int fd);
/* The file system's name, for messages. */
const char *xb_freeze_file_system_name(int fd);

/* ---- space.c ---- */

/* Which file system the copy costs, by any file on it, lent; and whether there is enough. */
int xb_freeze_space_begin(struct xb_freeze *freeze, int fd, struct xb_error *err) XB_MUST_CHECK;
/* FULL: there is less left than the floor. */
int xb_freeze_space_check(const struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
/* From now on the copy is given up when the floor is reached. */
int xb_freeze_space_watch(struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;

/* ---- clone.c ---- */

enum { XB_FREEZE_CLONE_NAME_BYTES = 40, XB_FREEZE_THREADS_MAX = 8 };

/* A clone's number: whose it is, and which of his. Never 0. */
static inline uint64_t xb_freeze_clone_number(unsigned thread, uint64_t n)
{
    return (uint64_t)(thread + 1) << 48 | n;
}
void xb_freeze_clone_name(uint64_t number, char ret[XB_FREEZE_CLONE_NAME_BYTES]);
/* Whether files can share blocks there; the folders of so many threads are made. */
int xb_freeze_clone_prepare(int clones_fd, unsigned threads, struct xb_error *err) XB_MUST_CHECK;
struct xb_freeze_cloning {
    int fd, clones_fd; /* the file, open; where clones are */
    uint64_t number;
    /* The clone of the same file from the pass before, which nobody else refers to, or 0. It may be
     * brought up to date instead, and is gone then. */
    uint64_t before;
    bool in_steps; /* it is large, and the application works on: not to be locked for long */
};
/* Clones a file's bytes. *ret_st: of the clone. */
int xb_freeze_clone_file(const struct xb_freeze_cloning *cloning, struct stat *ret_st,
                         struct xb_error *err) XB_MUST_CHECK;

/* ---- detached.c ---- */

/* Of a file system, by nothing but the descriptor of its top folder, which is returned. */
struct xb_freeze_mounting {
    const char *type, *source;
    const char *option; /* a flag; NULL: none */
    bool read_only;
};
int xb_freeze_mount(const struct xb_freeze_mounting *mounting, struct xb_error *err) XB_MUST_CHECK;

/* Of a copy of a whole file system, as it is and with its journal, while the original is mounted:
 * which ones can be mounted (INVALID), by their names in fsopen, and the mount, read-only. */
int xb_freeze_image_kind(int fd, const char **ret, struct xb_error *err) XB_MUST_CHECK;
int xb_freeze_mount_image(const char *kind, const char *device, struct xb_error *err) XB_MUST_CHECK;

/* By it a folder is found in a copy of its file system. */
enum { XB_FREEZE_HANDLE_BYTES_MAX = 128 };
struct xb_freeze_handle {
    _Alignas(
        struct file_handle) char bytes[sizeof(struct file_handle) + XB_FREEZE_HANDLE_BYTES_MAX];
};
int xb_freeze_handle_of(int fd, struct xb_freeze_handle *ret, struct xb_error *err) XB_MUST_CHECK;
int xb_freeze_handle_open(int mounted_fd, const struct xb_freeze_handle *handle,
                          struct xb_error *err) XB_MUST_CHECK;

/* ---- mounts.c ---- */

/* Something else that is mounted in the folder: its path goes to `ret`. Returns whether there is,
 * or a negative errno. */
int xb_freeze_find_mount_in(int fd, char ret[PATH_MAX], struct xb_error *err) XB_MUST_CHECK;
/* INVALID: there is one, which a copy of the file system below would leave out. */
int xb_freeze_refuse_mounts(const struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
