/* SPDX-License-Identifier: Apache-2.0
 *
 * What the copy of an area needs: its objects beside those of the target, and the order.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/copy/internal.h"

/* ---- lists ---- */

static int list_grow(struct xb_copy_list *list, size_t more, struct xb_error *err)
{
    if (more > XB_COPY_OBJECTS_MAX - list->count) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d objects in one repository",
                            XB_COPY_OBJECTS_MAX);
    }
    if (list->count + more <= list->cap) {
        return 0;
    }
    size_t cap = list->cap ? 2 * list->cap : 256;
    cap = cap < list->count + more ? list->count + more : cap;
    struct xb_copy_object *objects = reallocarray(list->objects, cap, sizeof *objects);
    if (!objects) {
        return xb_error_no_memory(err, "a list of objects");
    }
    list->objects = objects;
    list->cap = cap;
    return 0;
}

int xb_copy_list_add(struct xb_copy_list *list, const char *name, uint64_t size,
                     enum xb_copy_phase phase, struct xb_error *err)
{
    int r = list_grow(list, 1, err);
    if (r < 0) {
        return r;
    }
    char *copy = strdup(name);
    if (!copy) {
        return xb_error_no_memory(err, "a list of objects");
    }
    list->objects[list->count++] = (struct xb_copy_object){
        .name = copy, .size = size, .phase = (signed char)phase, .state = XB_COPY_NEW};
    return 0;
}

int xb_copy_list_move(struct xb_copy_list *list, struct xb_copy_list *from, struct xb_error *err)
{
    int r = list_grow(list, from->count, err);
    if (r < 0 || from->count == 0) {
        return r;
    }
    memcpy(list->objects + list->count, from->objects, from->count * sizeof *from->objects);
    list->count += from->count;
    from->count = 0;
    return 0;
}

void xb_copy_list_free(struct xb_copy_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->objects[i].name);
    }
    free(list->objects);
    *list = (struct xb_copy_list){.objects = NULL};
}

static int by_name(const void *left, const void *right)
{
    const struct xb_copy_object *a = left;
    const struct xb_copy_object *b = right;
    return strcmp(a->name, b->name);
}

static int by_turn(const void *left, const void *right)
{
    const struct xb_copy_object *a = left;
    const struct xb_copy_object *b = right;
    return a->phase != b->phase ? a->phase - b->phase : strcmp(a->name, b->name);
}

static void sort(struct xb_copy_list *list, int (*compare)(const void *, const void *))
{
    if (list->count > 1) {
        qsort(list->objects, list->count, sizeof *list->objects, compare);
    }
}

/* A listing may tell a name twice. */
static void drop_doubles(struct xb_copy_list *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->objects[kept - 1].name, list->objects[i].name) == 0) {
            free(list->objects[i].name);
        } else {
            list->objects[kept++] = list->objects[i];
        }
    }
    list->count = kept;
}

/* ---- judging ---- */

/* From names and sizes alone. */
static void judge_quickly(const struct xb_copy_area *area, struct xb_copy_object *object,
                          const struct xb_copy_list *there)
{
    const struct xb_copy_options *options = area->copy->options;
    const struct xb_copy_object *found =
        there->count
            ? bsearch(object, there->objects, there->count, sizeof *there->objects, by_name)
            : NULL;
    bool fixed = area->repository && xb_copy_blob_is_fixed(object->name);
    /* The first pass has compared; what is not to be overwritten need not be read again. */
    bool known = area->copy->writing && !options->overwrite;
    object->state = !found                                  ? XB_COPY_NEW
                    : found->size != object->size           ? XB_COPY_DIFFERS
                    : known || (fixed && !options->compare) ? XB_COPY_THERE
                                                            : XB_COPY_MAYBE;
}

static int judge_by_bytes(struct xb_copy_area *area, struct xb_copy_object *object,
                          struct xb_buf *piece, struct xb_error *err)
{
    bool equal = false;
    if (object->state != XB_COPY_MAYBE) {
        return 0;
    }
    int r = xb_copy_equal(area, object, piece, &equal, err);
    if (r == 0) {
        object->state = equal ? XB_COPY_THERE : XB_COPY_DIFFERS;
    }
    return r;
}

int xb_copy_area_judge(struct xb_copy_area *area, struct xb_copy_list *there, struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    sort(there, by_name);
    sort(&area->list, by_turn);
    drop_doubles(&area->list);
    for (size_t i = 0; i < area->list.count; i++) {
        judge_quickly(area, &area->list.objects[i], there);
    }
    int r = xb_copy_for_each(area, 0, area->list.count, judge_by_bytes, err);
    for (size_t i = 0; r == 0 && i < area->list.count && !copy->options->overwrite; i++) {
        if (area->list.objects[i].state == XB_COPY_DIFFERS) {
            r = xb_copy_note(copy, &copy->result.conflicts, err, "%s%s", area->label,
                             area->list.objects[i].name);
        }
    }
    return r;
}

/* ---- copying ---- */

static int transfer(struct xb_copy_area *area, struct xb_copy_object *object, struct xb_buf *piece,
                    struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    struct xb_error why = XB_ERROR_INIT;
    struct xb_store_item item;
    if (object->state == XB_COPY_THERE) {
        return 0;
    }
    int r = xb_copy_object(area, object, piece, &why);
    /* Gone from the source, or is it the target that fails? */
    struct xb_error ignored = XB_ERROR_INIT;
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND &&
        xb_store_stat(area->source, object->name, &item, &ignored) < 0 &&
        ignored.kind == XB_ERR_NOT_FOUND) {
        object->state = XB_COPY_GONE;
        /* Markers end with their sessions, logs with their time: nobody needs those. */
        bool missed = object->phase != XB_COPY_SESSIONS &&
                      (!area->repository || object->phase != XB_COPY_OTHERS);
        if (missed) {
            atomic_store(&copy->vanished, true);
        }
        return 0;
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    pthread_mutex_lock(&copy->lock);
    copy->result.objects_copied++;
    copy->done.objects_done++;
    pthread_mutex_unlock(&copy->lock);
    return 0;
}

int xb_copy_area_transfer(struct xb_copy_area *area, enum xb_copy_phase first,
                          enum xb_copy_phase last, struct xb_error *err)
{
    const struct xb_copy_list *list = &area->list;
    size_t start = 0;
    while (start < list->count && list->objects[start].phase < first) {
        start++;
    }
    for (int phase = first; phase <= (int)last; phase++) {
        size_t end = start;
        while (end < list->count && list->objects[end].phase == phase) {
            end++;
        }
        int r = xb_copy_for_each(area, start, end, transfer, err);
        /* What names something that has vanished must not follow it. */
        if (r < 0 || atomic_load(&area->copy->vanished)) {
            return r;
        }
        start = end;
    }
    return 0;
}

void xb_copy_area_count(struct xb_copy_area *area)
{
    struct xb_copy_result *result = &area->copy->result;
    for (size_t i = 0; i < area->list.count; i++) {
        const struct xb_copy_object *object = &area->list.objects[i];
        bool there = object->state == XB_COPY_THERE;
        result->objects++;
        result->bytes += object->size;
        result->objects_there += there;
        if (!there) {
            area->copy->done.objects_total++;
            area->copy->done.bytes_total += object->size;
        }
        result->backups += !area->repository && object->phase == XB_COPY_COMMIT;
    }
    result->repositories += area->repository;
}

void xb_copy_area_free(struct xb_copy_area *area)
{
    xb_copy_list_free(&area->list);
    xb_store_free(area->source);
    xb_store_free(area->target);
}
