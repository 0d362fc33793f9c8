/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/overlay.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"
#include "shared/base/clock.h"

struct note {
    char *name; /* NULL: free */
    int64_t at_ns;
    uint64_t turn;
    bool present;
};

/* A ring: notes are in the order of their time, so the oldest is always the next to go. A name
 * that is noted again gets a new note, and the latest counts. */
struct xb_s3_overlay {
    pthread_mutex_t lock;
    size_t first, count;
    uint64_t turn;
    struct note notes[XB_S3_OVERLAY_NAMES_MAX];
};

int xb_s3_overlay_new(struct xb_s3_overlay **ret, struct xb_error *err)
{
    struct xb_s3_overlay *overlay = calloc(1, sizeof *overlay);
    if (!overlay) {
        return xb_error_no_memory(err, "an S3 store");
    }
    pthread_mutex_init(&overlay->lock, NULL);
    *ret = overlay;
    return 0;
}

void xb_s3_overlay_free(struct xb_s3_overlay *overlay)
{
    if (overlay) {
        for (size_t i = 0; i < XB_S3_OVERLAY_NAMES_MAX; i++) {
            free(overlay->notes[i].name);
        }
        pthread_mutex_destroy(&overlay->lock);
        free(overlay);
    }
}

static struct note *note_at(struct xb_s3_overlay *overlay, size_t index)
{
    return &overlay->notes[(overlay->first + index) % XB_S3_OVERLAY_NAMES_MAX];
}

static void drop_first(struct xb_s3_overlay *overlay)
{
    free(XB_TAKE(note_at(overlay, 0)->name));
    overlay->first = (overlay->first + 1) % XB_S3_OVERLAY_NAMES_MAX;
    overlay->count--;
}

static void drop_old(struct xb_s3_overlay *overlay, int64_t now_ns)
{
    while (overlay->count > 0 &&
           note_at(overlay, 0)->at_ns < now_ns - XB_S3_OVERLAY_S * XB_NS_PER_S) {
        drop_first(overlay);
    }
}

void xb_s3_overlay_note(struct xb_s3_overlay *overlay, const char *name, bool present,
                        int64_t now_ns)
{
    char *copy = strdup(name);
    if (!copy) {
        return;
    }
    pthread_mutex_lock(&overlay->lock);
    drop_old(overlay, now_ns);
    if (overlay->count == XB_S3_OVERLAY_NAMES_MAX) {
        drop_first(overlay);
    }
    *note_at(overlay, overlay->count++) = (struct note){copy, now_ns, overlay->turn++, present};
    pthread_mutex_unlock(&overlay->lock);
}

static int by_name(const void *a, const void *b)
{
    const struct note *const *x = a;
    const struct note *const *y = b;
    int order = strcmp((*x)->name, (*y)->name);
    /* Of one name the latest comes last. */
    return order ? order : ((*x)->turn > (*y)->turn) - ((*x)->turn < (*y)->turn);
}

/* The latest note of each name that starts with prefix and is `present` or not. */
static int collect(struct xb_s3_overlay *overlay, const char *prefix, bool present,
                   struct xb_s3_overlay_names *into, struct xb_error *err)
{
    size_t found = 0;
    size_t len = strlen(prefix);
    XB_CLEANUP(xb_freep)
    const struct note **notes = calloc(overlay->count + 1, sizeof(struct note *));
    into->names = calloc(overlay->count + 1, sizeof *into->names);
    if (!notes || !into->names) {
        return xb_error_no_memory(err, "a listing");
    }
    for (size_t i = 0; i < overlay->count; i++) {
        const struct note *note = note_at(overlay, i);
        if (strncmp(note->name, prefix, len) == 0) {
            notes[found++] = note;
        }
    }
    qsort(notes, found, sizeof(struct note *), by_name);
    for (size_t i = 0; i < found; i++) {
        bool latest = i + 1 == found || strcmp(notes[i]->name, notes[i + 1]->name) != 0;
        if (!latest || notes[i]->present != present) {
            continue;
        }
        into->names[into->count] = strdup(notes[i]->name);
        if (!into->names[into->count++]) {
            return xb_error_no_memory(err, "a listing");
        }
    }
    return 0;
}

int xb_s3_overlay_names(struct xb_s3_overlay *overlay, const char *prefix, bool present,
                        int64_t now_ns, struct xb_s3_overlay_names *ret, struct xb_error *err)
{
    struct xb_s3_overlay_names names = {.names = NULL};
    pthread_mutex_lock(&overlay->lock);
    drop_old(overlay, now_ns);
    int r = collect(overlay, prefix, present, &names, err);
    pthread_mutex_unlock(&overlay->lock);
    if (r < 0) {
        xb_s3_overlay_names_free(&names);
        return r;
    }
    *ret = names;
    return 0;
}

static int compare_text(const void *key, const void *item)
{
    return strcmp(key, *(char *const *)item);
}

long xb_s3_overlay_find(const struct xb_s3_overlay_names *names, const char *name)
{
    char **found =
        names->count ? bsearch(name, names->names, names->count, sizeof *names->names, compare_text)
                     : NULL;
    return found ? (long)(found - names->names) : -1;
}

void xb_s3_overlay_names_free(struct xb_s3_overlay_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->names[i]);
    }
    free(names->names);
    *names = (struct xb_s3_overlay_names){.names = NULL};
}
