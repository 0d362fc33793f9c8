/* SPDX-License-Identifier: Apache-2.0
 *
 * Going through the folders of all snapshots side by side, each once, and marking what they need.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/verify_internal.h"
#include "shared/base/clock.h"

enum { FRESH_S = 60 };

/* ---- contents ---- */

static uint64_t mixed(const struct xb_content_id *id)
{
    uint64_t key = 0;
    memcpy(&key, id->hash, id->len < sizeof key ? id->len : sizeof key);
    return (key ^ (uint64_t)(unsigned char)id->prefix) * UINT64_C(0x9e3779b97f4a7c15) >> 20;
}

/* The id is a hash: its remainder chooses as evenly as dice. A turn takes up where the one before
 * has ended. */
bool xb_verify_chosen(const struct xb_verify *verify, const struct xb_content_id *id)
{
    uint64_t percent = verify->options->data_percent;
    uint64_t first = verify->options->turn % 100 * percent % 100;
    return (mixed(id) % 100 + 100 - first) % 100 < percent;
}

static int make_fresh(struct xb_verify *verify, struct xb_error *err)
{
    int64_t now_ns = xb_clock_mono_ns();
    if (verify->fresh && now_ns - verify->fresh_ns < FRESH_S * XB_NS_PER_S) {
        return 0;
    }
    XB_CLEANUP(xb_content_view_freep) struct xb_content_view *view = NULL;
    struct xb_verify_packs packs = {.items = NULL};
    int r = xb_repository_refresh(verify->repository, err);
    if (r < 0 || (r = xb_content_view_open(verify->repository, &view, err)) < 0 ||
        (r = xb_verify_list_packs(verify, view, &packs, err)) < 0) {
        return r;
    }
    xb_content_view_free(verify->fresh);
    xb_verify_packs_free(&verify->fresh_packs);
    verify->fresh = XB_TAKE(view);
    verify->fresh_packs = packs;
    verify->fresh_ns = now_ns;
    return 0;
}

static int judge_fresh(struct xb_verify *verify, const struct xb_content_id *id,
                       struct xb_error *err)
{
    size_t content = 0, old = 0;
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    if (!xb_content_view_find(verify->fresh, id, &content)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -ENOENT, "content %s is in no index", text);
    }
    int r = xb_verify_spot(verify->fresh, &verify->fresh_packs, content, err);
    if (r < 0) {
        return xb_error_wrap(err, "content %s", text);
    }
    if (!xb_content_view_find(verify->view, id, &old)) {
        atomic_store(&verify->outdated, true);
    }
    return 0;
}

int xb_verify_look_again(struct xb_verify *verify, const struct xb_content_id *id,
                         struct xb_error *err)
{
    pthread_mutex_lock(&verify->lock);
    int r = make_fresh(verify, err);
    if (r == 0) {
        r = judge_fresh(verify, id, err);
    }
    pthread_mutex_unlock(&verify->lock);
    return r;
}

/* Notes what is damage; hands on what is not. */
static int judge_again(struct xb_verify *verify, const struct xb_content_id *id,
                       const size_t *content, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_verify_look_again(verify, id, &why);
    if (r < 0 && !xb_verify_is_damage(&why)) {
        *err = why;
        return r;
    }
    if (r < 0 && content) {
        xb_verify_bad(verify, *content, &why);
    } else if (r < 0) {
        xb_verify_bad_id(verify, id, &why);
    }
    return 0;
}

/* A content that a snapshot needs. Returns 0 also for damage, which is marked. */
static int want(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    struct xb_verify *verify = context;
    struct xb_error missing = XB_ERROR_INIT;
    size_t content = 0;
    if (!xb_content_view_find(verify->view, id, &content)) {
        return judge_again(verify, id, NULL, err);
    }
    if (atomic_fetch_or(&verify->state[content], XB_CONTENT_WANTED) & XB_CONTENT_WANTED) {
        return 0;
    }
    atomic_fetch_add(&verify->contents, 1);
    if (xb_verify_spot(verify->view, &verify->packs, content, &missing) < 0) {
        int r = judge_again(verify, id, &content, err);
        if (r < 0 || atomic_load(&verify->state[content]) & XB_CONTENT_BAD) {
            return r;
        }
    }
    if (xb_verify_chosen(verify, id)) {
        struct xb_content_spot spot;
        xb_content_view_spot(verify->view, content, &spot);
        atomic_fetch_add(&verify->bytes_wanted, spot.plain_bytes);
    }
    return 0;
}

/* ---- objects ---- */

/* What the view does not have cannot be remembered: it is bad, or the whole run is done again. */
static bool seen_before(struct xb_verify *verify, const struct xb_content_id *id, size_t *ret)
{
    return !xb_content_view_find(verify->view, id, ret) ||
           (atomic_fetch_or(&verify->state[*ret], XB_CONTENT_SEEN) & XB_CONTENT_SEEN);
}

/* Marks an object's contents. Damage of its index is that of its outermost content. */
static int want_all(struct xb_verify *verify, const struct xb_object_id *object, size_t content,
                    struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_object_contents(verify->repository, object, want, verify, &why);
    if (r < 0 && xb_verify_is_damage(&why)) {
        xb_verify_bad(verify, content, &why);
        return 0;
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

static int want_file(struct xb_verify *verify, const struct xb_object_id *object,
                     struct xb_error *err)
{
    struct xb_content_id id;
    unsigned indexes = 0;
    size_t content = 0;
    atomic_fetch_add(&verify->files, 1);
    int r = xb_object_id_content(object, &id, &indexes, err);
    if (r < 0 || (r = want(verify, &id, err)) < 0 || indexes == 0 ||
        seen_before(verify, &id, &content)) {
        return r;
    }
    return want_all(verify, object, content, err);
}

static int push(struct xb_verify *verify, const struct xb_verify_todo *todo, struct xb_error *err)
{
    int r = 0;
    pthread_mutex_lock(&verify->lock);
    if (verify->todo_count == verify->todo_cap) {
        size_t cap = verify->todo_cap ? 2 * verify->todo_cap : 1024;
        struct xb_verify_todo *items = reallocarray(verify->todo, cap, sizeof *items);
        if (items) {
            verify->todo = items;
            verify->todo_cap = cap;
        } else {
            r = xb_error_no_memory(err, "a list of folders");
        }
    }
    if (r == 0) {
        verify->todo[verify->todo_count++] = *todo;
        pthread_cond_signal(&verify->changed);
    }
    pthread_mutex_unlock(&verify->lock);
    return r;
}

static int want_folder(struct xb_verify *verify, const struct xb_object_id *object, unsigned depth,
                       struct xb_error *err)
{
    struct xb_content_id id;
    struct xb_verify_todo todo = {.depth = depth};
    int r = xb_object_id_content(object, &id, &todo.indexes, err);
    if (r == 0) {
        r = want(verify, &id, err);
    }
    if (r < 0) {
        return r;
    }
    if (depth > XB_VERIFY_DEPTH_MAX) {
        atomic_store(&verify->damaged, true); /* naming will say where */
        return 0;
    }
    return seen_before(verify, &id, &todo.content) ? 0 : push(verify, &todo, err);
}

/* An entry or a root. Ids that are none were refused when the folder was decoded. */
static int want_entry(struct xb_verify *verify, const struct xb_entry *entry, unsigned depth,
                      struct xb_error *err)
{
    if (entry->node || !entry->object.text[0]) {
        return 0; /* a special file has no data */
    }
    return entry->type == XB_ENTRY_DIRECTORY ? want_folder(verify, &entry->object, depth, err)
                                             : want_file(verify, &entry->object, err);
}

/* ---- folders ---- */

static void object_of(const struct xb_verify *verify, const struct xb_verify_todo *todo,
                      struct xb_object_id *ret)
{
    struct xb_content_info info;
    xb_content_view_at(verify->view, todo->content, &info);
    memset(ret->text, 'I', todo->indexes);
    xb_content_id_format(&info.id, ret->text + todo->indexes);
}

static int walk_folder(struct xb_verify *verify, const struct xb_verify_todo *todo,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_error why = XB_ERROR_INIT;
    struct xb_object_id object;
    struct xb_entry *entry = NULL;
    object_of(verify, todo, &object);
    atomic_fetch_add(&verify->dirs, 1);
    int r = want_all(verify, &object, todo->content, err);
    if (r < 0) {
        return r;
    }
    r = xb_directory_open(verify->repository, &object, &cursor, &why);
    while (r == 0 && (r = xb_directory_next(cursor, &entry, &why)) == 0 && entry) {
        if (xb_verify_tick(verify, err) < 0 ||
            want_entry(verify, entry, todo->depth + 1, err) < 0) {
            return err->code;
        }
    }
    if (r < 0 && xb_verify_is_damage(&why)) {
        xb_verify_bad(verify, todo->content, &why);
        return 0;
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

/* The folder put in last, so that few are waiting; false once no more can come. */
static bool pop(struct xb_verify *verify, struct xb_verify_todo *ret)
{
    pthread_mutex_lock(&verify->lock);
    verify->busy--;
    while (verify->todo_count == 0 && verify->busy > 0 && !atomic_load(&verify->stop)) {
        pthread_cond_wait(&verify->changed, &verify->lock);
    }
    bool more = verify->todo_count > 0 && !atomic_load(&verify->stop);
    if (more) {
        *ret = verify->todo[--verify->todo_count];
        verify->busy++;
    } else {
        pthread_cond_broadcast(&verify->changed);
    }
    pthread_mutex_unlock(&verify->lock);
    return more;
}

static void walk(void *context)
{
    struct xb_verify *verify = context;
    for (struct xb_verify_todo todo; pop(verify, &todo);) {
        struct xb_error why = XB_ERROR_INIT;
        if (walk_folder(verify, &todo, &why) < 0) {
            xb_verify_fail(verify, &why);
        }
    }
}

int xb_verify_walk(struct xb_verify *verify, struct xb_snapshot *const *snapshots, size_t count,
                   struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct xb_entry *root = &snapshots[i]->root;
        verify->files_total += root->summary ? root->summary->files : 1;
        r = xb_verify_tick(verify, err);
        if (r == 0) {
            r = want_entry(verify, root, 0, err);
        }
    }
    verify->busy = verify->threads;
    return r < 0 ? r : xb_verify_crew(verify, walk, err);
}
