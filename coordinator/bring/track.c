/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bring/track.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/fnv.h"
#include "shared/codec/json.h"

/* A place: all items of the kinds before, and so many of this one. */
struct place {
    uint64_t kind, items;
};

struct slot {
    bool ended;
    struct xb_record_lines lines;
};

struct xb_bring_track {
    char order[20];
    size_t kinds;
    struct xb_record_log *log;
    bool resumes, failed_unknown;
    struct place before; /* the earlier run's mark */
    xb_json *failed_before;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t moved;
    struct place now;
    uint64_t next; /* number of the item that is handed out next, in this kind */
    xb_json *failed;
    bool stopped;
    struct slot slots[XB_BRING_WINDOW];
};

static void hash_kinds(const char *const *kinds, size_t count, char out[20])
{
    uint64_t hash = count;
    for (size_t i = 0; i < count; i++) {
        hash = hash * 31 + xb_fnv1a(kinds[i]);
    }
    snprintf(out, 20, "%016llx", (unsigned long long)hash);
}

/* ---- the mark ---- */

static bool all_strings(xb_json *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string)) {
            return false;
        }
    }
    return true;
}

static void set_failed_before(struct xb_bring_track *track, xb_json *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(list, i));
        json_object_object_add(track->failed_before, name, json_object_new_boolean(true));
    }
}

/* What people may have written into it is as good as none. */
static void read_mark(struct xb_bring_track *track, const char *text)
{
    struct xb_error ignored = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *mark = NULL;
    size_t len = text ? strnlen(text, XB_BRING_MARK_BYTES_MAX + 1) : 0;
    if (len == 0 || len > XB_BRING_MARK_BYTES_MAX ||
        xb_json_parse(text, len, &mark, &ignored) < 0) {
        return;
    }
    int64_t kind = xb_json_int(mark, "kind", -1), items = xb_json_int(mark, "items", -1);
    xb_json *failed = xb_json_get(mark, "failed");
    if (strcmp(xb_json_str(mark, "order", ""), track->order) != 0 || kind < 0 || items < 0 ||
        (size_t)kind > track->kinds ||
        (failed && (!json_object_is_type(failed, json_type_array) || !all_strings(failed)))) {
        return;
    }
    track->before = (struct place){(uint64_t)kind, (uint64_t)items};
    track->resumes = true;
    track->failed_unknown = !failed;
    if (failed) {
        set_failed_before(track, failed);
    }
}

char *xb_bring_track_mark(struct xb_bring_track *track)
{
    XB_CLEANUP(xb_json_putp) xb_json *mark = json_object_new_object();
    xb_json *failed = NULL;
    struct xb_error ignored = XB_ERROR_INIT;
    pthread_mutex_lock(&track->lock);
    int r = xb_json_set_str(mark, "order", track->order, &ignored);
    r = r ? r : xb_json_set_int(mark, "kind", (int64_t)track->now.kind, &ignored);
    r = r ? r : xb_json_set_int(mark, "items", (int64_t)track->now.items, &ignored);
    if (r == 0 && json_object_array_length(track->failed) <= XB_BRING_FAILED_MAX) {
        r = json_object_deep_copy(track->failed, &failed, NULL);
        r = r ? r : xb_json_set(mark, "failed", failed, &ignored);
    }
    pthread_mutex_unlock(&track->lock);
    return r ? NULL : strdup(json_object_to_json_string_ext(mark, JSON_C_TO_STRING_PLAIN));
}

/* ---- made and ended ---- */

int xb_bring_track_new(const char *const *kinds, size_t count, const char *mark,
                       struct xb_bring_track **ret, struct xb_error *err)
{
    struct xb_bring_track *track = calloc(1, sizeof *track);
    if (!track) {
        return xb_error_no_memory(err, "a restore");
    }
    pthread_mutex_init(&track->lock, NULL);
    pthread_cond_init(&track->moved, NULL);
    track->kinds = count;
    track->failed = json_object_new_array();
    track->failed_before = json_object_new_object();
    if (!track->failed || !track->failed_before) {
        xb_bring_track_free(track);
        return xb_error_no_memory(err, "a restore");
    }
    hash_kinds(kinds, count, track->order);
    read_mark(track, mark);
    *ret = track;
    return 0;
}

void xb_bring_track_free(struct xb_bring_track *track)
{
    if (!track) {
        return;
    }
    for (size_t i = 0; i < XB_BRING_WINDOW; i++) {
        xb_record_lines_free(&track->slots[i].lines);
    }
    json_object_put(track->failed);
    json_object_put(track->failed_before);
    pthread_cond_destroy(&track->moved);
    pthread_mutex_destroy(&track->lock);
    free(track);
}

void xb_bring_track_log(struct xb_bring_track *track, struct xb_record_log *log)
{
    track->log = log;
}

bool xb_bring_track_resumes(const struct xb_bring_track *track)
{
    return track->resumes;
}

/* ---- items ---- */

void xb_bring_track_begin_group(struct xb_bring_track *track, size_t kind)
{
    pthread_mutex_lock(&track->lock);
    track->now = (struct place){.kind = kind};
    track->next = 0;
    pthread_mutex_unlock(&track->lock);
}

void xb_bring_track_end(struct xb_bring_track *track)
{
    xb_bring_track_begin_group(track, track->kinds);
}

uint64_t xb_bring_track_begin_item(struct xb_bring_track *track)
{
    pthread_mutex_lock(&track->lock);
    while (track->next - track->now.items >= XB_BRING_WINDOW && !track->stopped) {
        pthread_cond_wait(&track->moved, &track->lock);
    }
    uint64_t number = track->next++;
    pthread_mutex_unlock(&track->lock);
    return number;
}

bool xb_bring_track_done_before(struct xb_bring_track *track, uint64_t number, const char *name)
{
    pthread_mutex_lock(&track->lock);
    uint64_t kind = track->now.kind;
    pthread_mutex_unlock(&track->lock);
    bool below =
        kind < track->before.kind || (kind == track->before.kind && number < track->before.items);
    return track->resumes && below && !track->failed_unknown &&
           !json_object_object_get_ex(track->failed_before, name, NULL);
}

void xb_bring_track_stop(struct xb_bring_track *track)
{
    pthread_mutex_lock(&track->lock);
    track->stopped = true;
    pthread_cond_signal(&track->moved);
    pthread_mutex_unlock(&track->lock);
}

/* Everything that has ended without a gap. With the lock held. */
static void advance(struct xb_bring_track *track)
{
    for (;;) {
        struct slot *slot = &track->slots[track->now.items % XB_BRING_WINDOW];
        if (!slot->ended) {
            return;
        }
        slot->ended = false;
        if (slot->lines.count > 0) {
            xb_record_lines_put(&slot->lines, track->log);
        }
        track->now.items++;
        pthread_cond_signal(&track->moved);
    }
}

void xb_bring_track_end_item(struct xb_bring_track *track, uint64_t number,
                             struct xb_record_lines *lines, const char *failed)
{
    pthread_mutex_lock(&track->lock);
    struct slot *slot = &track->slots[number % XB_BRING_WINDOW];
    *slot = (struct slot){.ended = true, .lines = *lines};
    *lines = (struct xb_record_lines){.first = NULL};
    if (failed && json_object_array_length(track->failed) <= XB_BRING_FAILED_MAX) {
        json_object_array_add(track->failed, json_object_new_string(failed));
    }
    advance(track);
    pthread_mutex_unlock(&track->lock);
}
