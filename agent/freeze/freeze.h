/* SPDX-License-Identifier: Apache-2.0
 *
 * freeze.h - a copy of a volume as it is at one moment, made on the node without a driver.
 *
 * What for:  an application stands still for as long as the copy takes, not for as long as the
 *            upload does. Prepare (the application works on), take (it stands still), then the
 *            pipeline reads the copy (struct xb_backup_options.copy), then free.
 * Methods:   chosen from the volume's file system and device, the best that can be had here; the
 *            floor is none: the volume itself is read while it changes. Why a better one could not
 *            be had is kept in words, for the record.
 * Ownership: the caller owns the copy; root_fd and every pointer of the request must outlive it.
 * Threads:   one at a time per copy; copies of several volumes may be taken side by side. While a
 *            copy lives a thread of its own watches the free space.
 * Blocking:  prepare as long as it takes to flush and, for XB_FREEZE_TREE, to clone every file;
 *            take at most about XB_FREEZE_TAKE_MS_MAX; free as long as it takes to remove.
 * Errors:    INVALID: no method that the request allows can be had, with all reasons; CANCELLED;
 *            CONFLICT: a copy of that name is in use. A method that fails where another one may be
 *            tried is no error but a reason.
 * Limits:    a file system is never filled: a copy is only begun above the floor of free space, and
 *            given up as soon as it falls below (see xb_freeze_lost).
 * Leftovers: copies lie in folders named XB_FREEZE_FOLDER, which no walk goes into. A process that
 *            was killed leaves its own behind; nobody holds its lock, and xb_freeze_sweep takes it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

/* Reserved: folders of that name are no part of a volume, at any depth. */
#define XB_FREEZE_FOLDER ".xebec-point-in-time"

enum { XB_FREEZE_REASONS_BYTES = 600, XB_FREEZE_TAKE_MS_MAX = 10000 };

/* From the floor up; as bits (1 << method) in sets. */
enum xb_freeze_method {
    XB_FREEZE_LIVE,  /* "live": no copy */
    XB_FREEZE_TREE,  /* "reflink-tree": every file cloned, on XFS and btrfs */
    XB_FREEZE_IMAGE, /* "reflink-file": the file behind the volume's loop device cloned */
    XB_FREEZE_LVM,   /* "lvm": a snapshot of the logical volume */
    XB_FREEZE_ZFS,   /* "zfs": a snapshot of the dataset */
    XB_FREEZE_BTRFS, /* "btrfs": a snapshot of the subvolume */
    XB_FREEZE_METHODS
};
#define XB_FREEZE_ALL ((1U << XB_FREEZE_METHODS) - 1)
/* Never run against the real thing by those who wrote them, or only in a virtual machine: only
 * taken where somebody names them. */
#define XB_FREEZE_EXPERIMENTAL (1U << XB_FREEZE_ZFS | 1U << XB_FREEZE_LVM)
#define XB_FREEZE_ANY (XB_FREEZE_ALL & ~XB_FREEZE_EXPERIMENTAL)

/* What a copy is when nobody has held the application still. */
enum xb_freeze_consistency {
    XB_FREEZE_FUZZY,    /* "fuzzy": files are of different moments, and one may be of several */
    XB_FREEZE_PER_FILE, /* "per-file": each file is of one moment, of its own */
    XB_FREEZE_CRASH     /* "crash": everything is of one moment, as if the power had failed */
};

const char *xb_freeze_method_name(enum xb_freeze_method method);
const char *xb_freeze_consistency_name(enum xb_freeze_consistency consistency);

/* What is allowed, and which experimental methods were asked for by name. */
struct xb_freeze_methods {
    unsigned allowed, named;
};
#define XB_FREEZE_METHODS_ALL                                                                      \
    (struct xb_freeze_methods)                                                                     \
    {                                                                                              \
        .allowed = XB_FREEZE_ALL                                                                   \
    }
/* A policy's text (pure): "" and "auto" any; names with commas between them, these only, of which
 * "auto" may be one ("auto,zfs"); with a minus before each, all but these. Without "live" there is
 * a copy or an error. INVALID names the wrong word. */
int xb_freeze_methods_parse(const char *text, struct xb_freeze_methods *ret,
                            struct xb_error *err) XB_MUST_CHECK;
/* What both allow; what one of them names is named. */
struct xb_freeze_methods xb_freeze_methods_both(struct xb_freeze_methods a,
                                                struct xb_freeze_methods b);
/* For a request; 0: nothing is left. */
unsigned xb_freeze_methods_left(struct xb_freeze_methods methods);

/* Who stops the writers of a whole file system for a moment (FIFREEZE), or watches while they are
 * stopped, and lets them go on whatever becomes of this process: agent/guard. */
struct xb_freeze_holder {
    /* `fd`: of a folder in it. An error: it is not held, and why. */
    int (*hold)(void *context, int fd, struct xb_error *err);
    /* After each hold that succeeded. *ret_us: for how long. An error: the writers went on before,
     * so what was copied meanwhile was copied as if nobody had held them. */
    int (*release)(void *context, uint64_t *ret_us, struct xb_error *err);
    /* Somebody else is about to suspend devices of the volume group of this one, and to resume
     * them. From now on whoever holds resumes them if this process ends or stands still, or if one
     * is suspended for longer than limit_ms. NULL: he cannot. An error: he does not, and why. */
    int (*watch)(void *context, unsigned major, unsigned minor, unsigned limit_ms,
                 struct xb_error *err);
    /* After each watch that succeeded; nothing is suspended then. *ret_us: for how long something
     * was, as far as was seen. CONFLICT: he had to resume. */
    int (*unwatch)(void *context, uint64_t *ret_us, struct xb_error *err);
    void *context;
};

struct xb_freeze_request {
    int root_fd;      /* the volume's folder, open for reading */
    const char *path; /* for messages */
    const char *name; /* of the copy, unique and a plain file name: an order's uid */
    unsigned methods; /* allowed; 0: XB_FREEZE_ANY */
    /* Folders of the node in which copies may lie; taken if they are on the volume's file system.
     * Without one a copy lies beside the volume's folder, or else in it. NULL ends the list. */
    const char *const *places;
    const struct xb_freeze_holder *holder; /* for XB_FREEZE_IMAGE; NULL: no file system is frozen */
    uint64_t files_max;                    /* XB_FREEZE_TREE; 0: XB_FREEZE_FILES_MAX */
    uint64_t free_bytes_min;               /* 0: a tenth of the file system, but at most 4 GiB */
    unsigned threads;                      /* 0: as many as there are CPUs for us */
    const atomic_bool *cancel;             /* may be NULL */
};
enum { XB_FREEZE_FILES_MAX = 250000 };

struct xb_freeze;
struct xb_listing;

/* Before the pre hooks: chooses, checks, flushes, opens. The choice may still end in LIVE. */
int xb_freeze_prepare(const struct xb_freeze_request *request, struct xb_freeze **ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* As late as can be before the pre hooks, or never: what has changed since it was prepared is
 * flushed and cloned now, while the application works on, so that little is left for the take.
 * Bounded, but not by a time. Errors and reasons as of the take. */
int xb_freeze_refresh(struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
/* Between the hooks, once. What was prepared is taken, or else nothing (LIVE, if that is
 * allowed): there is no time for a second try. */
int xb_freeze_take(struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;
/* After the post hooks: what was taken becomes readable (a journal may have to be replayed). The
 * pipeline calls it; a second call is nothing. What cannot be read is lost, below. */
void xb_freeze_open(struct xb_freeze *freeze);
/* Removes the copy. NULL is nothing. Also before it was taken. */
void xb_freeze_free(struct xb_freeze *freeze);
XB_DEFINE_CLEANUP(xb_freeze_freep, struct xb_freeze, xb_freeze_free);

/* What is to be said of it. Before it is taken: what is prepared. */
struct xb_freeze_facts {
    enum xb_freeze_method method;
    enum xb_freeze_consistency consistency;
    uint64_t prepare_us;
    uint64_t freeze_us; /* that taking it took; LIVE: 0 */
    uint64_t frozen_us; /* how long its file system's writers were held; 0: they were not */
    int64_t taken_ns;   /* wall time of the moment; LIVE: 0 */
    /* Why not a better one: "btrfs: ...; reflink-file: ..."; empty: it is the best. */
    char reasons[XB_FREEZE_REASONS_BYTES];
};
void xb_freeze_describe(const struct xb_freeze *freeze, struct xb_freeze_facts *ret);

/* The copy had to be given up, for lack of space mostly: who reads it must stop and throw away what
 * it has read. The flag may be watched, and is set before anything is removed. */
const atomic_bool *xb_freeze_lost(const struct xb_freeze *freeze);
/* Why; lent. Empty if it was not. */
const char *xb_freeze_lost_reason(const struct xb_freeze *freeze);
/* Whether it has to be given up, which is looked for all the time: once more, before what was read
 * of it is taken for good. */
void xb_freeze_look(struct xb_freeze *freeze);
/* After that the volume itself is to be read: FUZZY, with the reason among the others. INVALID: the
 * request does not allow it. */
int xb_freeze_fall_back(struct xb_freeze *freeze, struct xb_error *err) XB_MUST_CHECK;

/* For the pipeline: the folder to walk (LIVE: the volume's own), lent. */
int xb_freeze_root(const struct xb_freeze *freeze);
/* What the tree was, where the copy only has the files' bytes; else NULL. */
const struct xb_listing *xb_freeze_listing(const struct xb_freeze *freeze);

/* At the start, and whenever a volume is met: removes copies that nobody holds from the places of
 * the request (its other fields but root_fd may be empty; root_fd -1: only the places). Bounded: at
 * most XB_FREEZE_SWEEP_MAX copies. Returns how many were removed; what cannot be removed is an
 * error, after everything else was tried. */
enum { XB_FREEZE_SWEEP_MAX = 64 };
int xb_freeze_sweep(const struct xb_freeze_request *request, struct xb_error *err) XB_MUST_CHECK;
