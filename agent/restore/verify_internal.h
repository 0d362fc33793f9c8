/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_internal.h - what the files of a verification share.
 *
 * What for:  verify.c runs it and keeps what was found; verify_walk.c goes through the folders and
 *            marks the contents that they need; verify_read.c reads those; verify_name.c goes
 *            through the folders again, if something is damaged, and names what it hits;
 *            verify_packs.c looks at packs as such.
 * Threads:   a content's byte in `state` is atomic, and so are the counts; `lock` guards what
 *            stands below it. Naming is one thread's work.
 */
#pragma once

#include <pthread.h>

#include "agent/restore/verify.h"
#include "shared/repository/recovery.h"
#include "shared/repository/view.h"

enum { XB_VERIFY_DEPTH_MAX = 900, XB_VERIFY_DETAILS_MAX = 10000, XB_VERIFY_THREADS = 4 };

/* What is known of a content. */
enum {
    XB_CONTENT_WANTED = 1, /* a snapshot needs it */
    XB_CONTENT_BAD = 2,    /* and it is damaged, or what it holds is */
    XB_CONTENT_SEEN = 4,   /* a folder that has been walked, an index that has been followed */
    XB_CONTENT_CLEAN = 8   /* naming found nothing in it and below it */
};

struct xb_verify_pack {
    char *name;
    uint64_t size;
};

struct xb_verify_packs {
    struct xb_verify_pack *items; /* by name */
    size_t count, cap;
    uint64_t *sizes; /* by the view's number; UINT64_MAX: not in the store */
};

/* A folder to be walked: its content, and how often that is an index of indexes. */
struct xb_verify_todo {
    size_t content;
    unsigned indexes, depth;
};

/* Why a content is bad. */
struct xb_verify_detail {
    struct xb_content_id id;
    char *text;
};

struct xb_verify {
    struct xb_repository *repository;
    const struct xb_verify_options *options;
    unsigned threads;
    struct xb_content_view *view;
    struct xb_verify_packs packs;
    _Atomic unsigned char *state; /* one for each content of the view */
    atomic_ullong files, dirs, contents, contents_read, bytes_read;
    atomic_ullong bytes_wanted; /* plain bytes of what is to be read */
    uint64_t files_total;
    bool reading;
    atomic_size_t next; /* of what a crew works through */
    void *plan;         /* verify_read.c's own */
    atomic_bool stop;
    atomic_bool outdated; /* a content is needed that is newer than the view */
    atomic_bool damaged;  /* naming has something to do */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct xb_error failed; /* what ended it */
    int64_t ticked_ns;
    struct xb_verify_todo *todo;
    size_t todo_count, todo_cap;
    unsigned busy; /* walkers that may add to it */
    struct xb_verify_detail *details;
    size_t detail_count;
    struct xb_content_view *fresh; /* made when something was missed; NULL: not needed so far */
    struct xb_verify_packs fresh_packs;
    int64_t fresh_ns;

    struct xb_verify_result result;
};

/* ---- verify.c ---- */

/* Failures that say something about the repository's state; all others end the run. */
bool xb_verify_is_damage(const struct xb_error *why);
/* The first failure counts; everybody stops. */
void xb_verify_fail(struct xb_verify *verify, const struct xb_error *why);
/* Says how far it is; CANCELLED if it is to stop. */
int xb_verify_tick(struct xb_verify *verify, struct xb_error *err) XB_MUST_CHECK;
/* Calls fn on every thread, and returns what ended them. */
int xb_verify_crew(struct xb_verify *verify, void (*fn)(void *verify),
                   struct xb_error *err) XB_MUST_CHECK;
/* Marks a content bad, and keeps why. */
void xb_verify_bad(struct xb_verify *verify, size_t content, const struct xb_error *why);
/* The same of one that the view does not have. */
void xb_verify_bad_id(struct xb_verify *verify, const struct xb_content_id *id,
                      const struct xb_error *why);
/* NULL: none was kept. */
const struct xb_verify_detail *xb_verify_detail(const struct xb_verify *verify,
                                                const struct xb_content_id *id);

struct xb_verify_hit {
    const char *snapshot, *path, *object, *content, *pack, *index, *text; /* NULL: "" */
};
int xb_verify_note(struct xb_verify *verify, const struct xb_verify_hit *hit,
                   struct xb_error *err) XB_MUST_CHECK;
int xb_verify_warn(struct xb_verify *verify, const char *blob, struct xb_error *err,
                   const char *format, ...) XB_MUST_CHECK XB_PRINTF(4, 5);

/* ---- the others ---- */

int xb_verify_list_packs(struct xb_verify *verify, const struct xb_content_view *view,
                         struct xb_verify_packs *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_verify_packs_free(struct xb_verify_packs *packs);
/* Whether the store has the bytes of a content; CORRUPT if not. */
int xb_verify_spot(const struct xb_content_view *view, const struct xb_verify_packs *packs,
                   size_t content, struct xb_error *err) XB_MUST_CHECK;
/* Packs that no index names, and the copies of the index at the packs' ends. */
int xb_verify_orphans(struct xb_verify *verify, struct xb_error *err) XB_MUST_CHECK;
int xb_verify_pack_ends(struct xb_verify *verify, struct xb_error *err) XB_MUST_CHECK;

/* Walks from the roots. */
int xb_verify_walk(struct xb_verify *verify, struct xb_snapshot *const *snapshots, size_t count,
                   struct xb_error *err) XB_MUST_CHECK;
/* Looks again at what the view misses, or the store: CORRUPT if it is damage indeed. `outdated` is
 * set if only a newer view has it. */
int xb_verify_look_again(struct xb_verify *verify, const struct xb_content_id *id,
                         struct xb_error *err) XB_MUST_CHECK;
bool xb_verify_chosen(const struct xb_verify *verify, const struct xb_content_id *id);

int xb_verify_read(struct xb_verify *verify, struct xb_error *err) XB_MUST_CHECK;

int xb_verify_name(struct xb_verify *verify, const struct xb_snapshot *snapshot,
                   struct xb_error *err) XB_MUST_CHECK;
