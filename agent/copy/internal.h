/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h - what the files of a copy share.
 *
 * What for:  copy.c goes through a source twice: to see what is to be done, and to do it.
 *            repository.c copies a repository, area.c finds out what a copy needs, transfer.c moves
 *            objects, order.c knows the names.
 * Threads:   `lock` guards the result's counts and names, and the first error; transfer workers
 *            share the rest without changing it, but for an object's `state`, which belongs to the
 *            worker that took it.
 */
#pragma once

#include <pthread.h>
#include <stddef.h>

#include "agent/copy/copy.h"

/* In this order objects are written; all of a phase are there before the next begins. */
enum xb_copy_phase {
    XB_COPY_LEFT_OUT = -1,
    XB_COPY_SESSIONS, /* markers: they protect the packs that follow */
    XB_COPY_PACKS,
    XB_COPY_INDEXES,
    XB_COPY_OTHERS, /* logs, records */
    XB_COPY_FORMAT, /* what belongs to the format, but for the one that makes a repository */
    XB_COPY_COMMIT, /* kopia.repository, velero-backup.json */
    XB_COPY_PHASES
};

enum xb_copy_phase xb_copy_phase_of_blob(const char *name);
enum xb_copy_phase xb_copy_phase_of_record(const char *name);
/* Whether a blob of this name always has the same bytes. */
bool xb_copy_blob_is_fixed(const char *name);

enum xb_copy_state { XB_COPY_NEW, XB_COPY_THERE, XB_COPY_MAYBE, XB_COPY_DIFFERS, XB_COPY_GONE };

struct xb_copy_object {
    char *name;
    uint64_t size;
    signed char phase, state;
};

struct xb_copy_list {
    struct xb_copy_object *objects;
    size_t count, cap;
};
int xb_copy_list_add(struct xb_copy_list *list, const char *name, uint64_t size,
                     enum xb_copy_phase phase, struct xb_error *err) XB_MUST_CHECK;
/* Takes over everything of `from`. */
int xb_copy_list_move(struct xb_copy_list *list, struct xb_copy_list *from,
                      struct xb_error *err) XB_MUST_CHECK;
void xb_copy_list_free(struct xb_copy_list *list);

struct xb_copy {
    struct xb_store *source, *target; /* target may be NULL */
    const struct xb_copy_options *options;
    bool writing; /* the second pass */

    pthread_mutex_t lock;
    struct xb_copy_result result;
    struct xb_copy_progress done;
    int64_t ticked_ns;
    struct xb_error failed;
    atomic_bool stop;
    atomic_bool vanished; /* an object went away under our hands */
};

/* A part of the source that is copied in one go. */
struct xb_copy_area {
    struct xb_copy *copy;
    char label[300]; /* "kopia/shop/", for messages; "" for the records */
    bool repository;
    struct xb_store *source, *target; /* target may be NULL */
    struct xb_copy_list list;         /* by phase, then by name */
};

/* Compares with what the target has under these names: sets each object's state. `there`: the
 * target's objects, in any order. Conflicts are noted, unless they are to be overwritten. */
int xb_copy_area_judge(struct xb_copy_area *area, struct xb_copy_list *there,
                       struct xb_error *err) XB_MUST_CHECK;
/* Copies what is to be copied of the area's phases first..last. */
int xb_copy_area_transfer(struct xb_copy_area *area, enum xb_copy_phase first,
                          enum xb_copy_phase last, struct xb_error *err) XB_MUST_CHECK;
/* Counts the area into the result. */
void xb_copy_area_count(struct xb_copy_area *area);
void xb_copy_area_free(struct xb_copy_area *area); /* what it owns */

/* Copies the repository below the prefix ("" or "kopia/shop/"). *ret_whole stays false if there is
 * none, and nothing is done. */
int xb_copy_repository(struct xb_copy *copy, const char *prefix, bool *ret_whole,
                       struct xb_error *err) XB_MUST_CHECK;

/* Calls fn for each object of the area in [first, last) from several threads; the first failure
 * stops all, and is returned. */
typedef int xb_copy_object_fn(struct xb_copy_area *area, struct xb_copy_object *object,
                              struct xb_buf *piece, struct xb_error *err);
int xb_copy_for_each(struct xb_copy_area *area, size_t first, size_t last, xb_copy_object_fn *fn,
                     struct xb_error *err) XB_MUST_CHECK;

/* Copies one object and reads it back. */
int xb_copy_object(struct xb_copy_area *area, struct xb_copy_object *object, struct xb_buf *piece,
                   struct xb_error *err) XB_MUST_CHECK;
/* Whether both sides have the same bytes under the object's name. */
int xb_copy_equal(struct xb_copy_area *area, const struct xb_copy_object *object,
                  struct xb_buf *piece, bool *ret, struct xb_error *err) XB_MUST_CHECK;

/* Keeps a name or a text for the result. Takes the lock. */
int xb_copy_note(struct xb_copy *copy, struct xb_copy_names *names, struct xb_error *err,
                 const char *format, ...) XB_MUST_CHECK XB_PRINTF(4, 5);
/* Says how far it is, and whether to stop. */
int xb_copy_tick(struct xb_copy *copy, struct xb_error *err) XB_MUST_CHECK;
