/* SPDX-License-Identifier: Apache-2.0
 *
 * Naming what damage hits: through the folders once more, with their paths. What is clean is
 * remembered, so that only the damaged parts are gone through again for each snapshot.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/verify_internal.h"

/* What is found bad in one object. */
struct finding {
    struct xb_verify *verify;
    struct xb_content_id first;
    uint64_t bad;
};

struct place {
    struct xb_verify *verify;
    const char *snapshot;
    unsigned depth; /* in how many folders */
    size_t held;    /* by their cursors */
};

static int look_at(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    struct finding *finding = context;
    struct xb_verify *verify = finding->verify;
    size_t content = 0;
    bool bad = false;
    if (xb_content_view_find(verify->view, id, &content)) {
        bad = atomic_load(&verify->state[content]) & XB_CONTENT_BAD;
    } else {
        struct xb_error why = XB_ERROR_INIT;
        int r = xb_verify_look_again(verify, id, &why);
        if (r < 0 && !xb_verify_is_damage(&why)) {
            *err = why;
            return r;
        }
        bad = r < 0;
    }
    if (bad && finding->bad++ == 0) {
        finding->first = *id;
    }
    return 0;
}

/* The entry with the first of its bad contents, or with `why` if it is not a content's fault. */
static int note_entry(const struct place *place, const char *path,
                      const struct xb_object_id *object, const struct finding *finding,
                      const struct xb_error *why, struct xb_error *err)
{
    struct xb_verify *verify = place->verify;
    char content[XB_CONTENT_ID_TEXT_BYTES] = "", text[XB_ERROR_TEXT_BYTES + 64];
    struct xb_content_info info = {.pack = ""};
    const struct xb_verify_detail *detail = NULL;
    size_t number = 0;
    if (finding->bad && verify->result.message_count < XB_VERIFY_MESSAGES_MAX) {
        xb_content_id_format(&finding->first, content);
        detail = xb_verify_detail(verify, &finding->first);
        if (xb_content_view_find(verify->view, &finding->first, &number)) {
            xb_content_view_at(verify->view, number, &info);
        }
    }
    size_t len = (size_t)snprintf(text, sizeof text, "%s",
                                  detail      ? detail->text
                                  : why->code ? why->text
                                              : "a content of it is damaged");
    if (finding->bad > 1 && len < sizeof text) {
        snprintf(text + len, sizeof text - len, " (and %" PRIu64 " more of its contents)",
                 finding->bad - 1);
    }
    const struct xb_verify_hit hit = {.snapshot = place->snapshot,
                                      .path = path,
                                      .object = object->text,
                                      .content = content,
                                      .pack = info.pack,
                                      .text = text};
    return xb_verify_note(verify, &hit, err);
}

/* Where the object's outermost content is remembered; NULL if the view does not have it. */
static _Atomic unsigned char *state_of(struct xb_verify *verify, const struct xb_object_id *object)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct xb_content_id id;
    unsigned indexes = 0;
    size_t content = 0;
    return xb_object_id_content(object, &id, &indexes, &ignored) == 0 &&
                   xb_content_view_find(verify->view, &id, &content)
               ? &verify->state[content]
               : NULL;
}

/* Notes the entry if its object is damaged. */
static int name_object(const struct place *place, const struct xb_object_id *object,
                       const char *path, bool *ret_hit, struct xb_error *err)
{
    struct finding finding = {.verify = place->verify};
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_object_contents(place->verify->repository, object, look_at, &finding, &why);
    if (r < 0 && !xb_verify_is_damage(&why)) {
        *err = why;
        return r;
    }
    *ret_hit = r < 0 || finding.bad > 0;
    return *ret_hit ? note_entry(place, path, object, &finding, &why, err) : 0;
}

static int name_folder(const struct place *place, const struct xb_object_id *object,
                       const char *path, bool *ret_hit, struct xb_error *err);

static int name_entry(const struct place *place, const struct xb_entry *entry, const char *path,
                      bool *ret_hit, struct xb_error *err)
{
    _Atomic unsigned char *state = state_of(place->verify, &entry->object);
    bool hit = false;
    if (entry->node || !entry->object.text[0] || (state && atomic_load(state) & XB_CONTENT_CLEAN)) {
        return 0;
    }
    int r = xb_verify_tick(place->verify, err);
    if (r == 0) {
        r = entry->type == XB_ENTRY_DIRECTORY ? name_folder(place, &entry->object, path, &hit, err)
                                              : name_object(place, &entry->object, path, &hit, err);
    }
    if (r == 0 && !hit && state) {
        atomic_fetch_or(state, XB_CONTENT_CLEAN);
    }
    *ret_hit |= hit;
    return r;
}

/* The entry lies in the folder that the cursor goes through. */
static int name_next(const struct place *place, struct xb_directory_cursor *cursor,
                     const struct xb_entry *entry, const char *folder, bool *ret_hit,
                     struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *path = NULL;
    struct place inside = *place;
    if (asprintf(&path, "%s%s%s", folder, folder[0] ? "/" : "", entry->name) < 0) {
        path = NULL;
        return xb_error_no_memory(err, "a path");
    }
    inside.depth++;
    if (entry->type == XB_ENTRY_DIRECTORY) {
        inside.held = xb_directory_cursor_wait(cursor, place->held);
    }
    return name_entry(&inside, entry, path, ret_hit, err);
}

static int name_folder(const struct place *place, const struct xb_object_id *object,
                       const char *path, bool *ret_hit, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    const struct finding none = {.bad = 0};
    struct xb_error why = XB_ERROR_INIT;
    struct xb_entry *entry = NULL;
    if (place->depth > XB_VERIFY_DEPTH_MAX) {
        (void)xb_error_set(&why, XB_ERR_CORRUPT, -ELOOP, "more than %d folders deep",
                           XB_VERIFY_DEPTH_MAX);
        *ret_hit = true;
        return note_entry(place, path, object, &none, &why, err);
    }
    int r = name_object(place, object, path, ret_hit, err);
    if (r < 0 || *ret_hit) {
        return r;
    }
    r = xb_directory_open(place->verify->repository, object, &cursor, &why);
    while (r == 0 && (r = xb_directory_next(cursor, &entry, &why)) == 0 && entry) {
        if (name_next(place, cursor, entry, path, ret_hit, err) < 0) {
            return err->code;
        }
    }
    if (r < 0 && xb_verify_is_damage(&why)) {
        *ret_hit = true;
        return note_entry(place, path, object, &none, &why, err);
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

int xb_verify_name(struct xb_verify *verify, const struct xb_snapshot *snapshot,
                   struct xb_error *err)
{
    const struct place place = {.verify = verify, .snapshot = snapshot->id};
    bool hit = false;
    return name_entry(&place, &snapshot->root,
                      snapshot->root.type == XB_ENTRY_DIRECTORY ? "" : snapshot->root.name, &hit,
                      err);
}
