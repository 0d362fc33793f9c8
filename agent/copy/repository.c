/* SPDX-License-Identifier: Apache-2.0
 *
 * The copy of one repository.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/copy/internal.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/repository/format.h"
#include "shared/repository/repository.h"

enum {
    TRIES_MAX = 3, /* how often a source that changes is looked at */
    MARK_BYTES_MAX = 4096,
    UNIQUE_ID_TEXT_BYTES = 2 * XB_FORMAT_UNIQUE_ID_BYTES_MAX + 1
};

/* ---- opening ---- */

/* What lies below the prefix; owned by the caller. */
static int below(struct xb_store *store, const char *prefix, struct xb_store **ret,
                 struct xb_error *err)
{
    if (!prefix[0]) {
        *ret = xb_store_ref(store);
        return 0;
    }
    return xb_store_prefix_open(xb_store_ref(store), prefix, ret, err);
}

static int exists(struct xb_store *store, const char *name, bool *ret, struct xb_error *err)
{
    struct xb_error missing = XB_ERROR_INIT;
    struct xb_store_item item;
    int r = xb_store_stat(store, name, &item, &missing);
    if (r < 0 && missing.kind != XB_ERR_NOT_FOUND) {
        *err = missing;
        return r;
    }
    *ret = r == 0;
    return 0;
}

static int open_target(struct xb_copy_area *area, struct xb_store *raw, struct xb_error *err)
{
    bool folders = false;
    XB_CLEANUP(xb_store_freep) struct xb_store *owned = raw;
    if (!area->copy->options->flat) {
        return xb_repository_layout(XB_TAKE(owned), area->copy->writing, &area->target, err);
    }
    int r = exists(raw, ".shards", &folders, err);
    if (r == 0 && !folders) {
        r = exists(raw, XB_FORMAT_BLOB ".f", &folders, err);
    }
    if (r == 0 && folders) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "%s has kopia's folders already: it cannot become flat",
                         xb_store_describe(raw));
    }
    if (r == 0) {
        area->target = XB_TAKE(owned);
    }
    return r;
}

/* ---- whether the target is this repository's place ---- */

/* *ret is "" where there is none. */
static int read_unique_id(struct xb_store *store, char ret[UNIQUE_ID_TEXT_BYTES],
                          struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    struct xb_error why = XB_ERROR_INIT;
    struct xb_format_outer outer;
    ret[0] = '\0';
    int r = xb_store_get(store, XB_FORMAT_BLOB, 0, XB_STORE_TO_END, &text, &why);
    if (r == 0) {
        r = xb_format_outer_parse(text.data ? text.data : "", text.len, &outer, &why);
    }
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return xb_error_wrap(err, "%s", xb_store_describe(store));
    }
    if (r < 0) {
        return 0;
    }
    xb_hex_encode(outer.unique_id, outer.unique_id_len, ret);
    xb_format_outer_free(&outer);
    return 0;
}

static int read_mark(struct xb_store *store, char ret[UNIQUE_ID_TEXT_BYTES], struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(MARK_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    struct xb_error why = XB_ERROR_INIT;
    ret[0] = '\0';
    int r = xb_store_get(store, XB_COPY_MARK, 0, XB_STORE_TO_END, &text, &why);
    if (r == 0) {
        r = xb_json_parse(text.data ? text.data : "", text.len, &json, &why);
    }
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return xb_error_wrap(err, XB_COPY_MARK);
    }
    if (r < 0) {
        return 0;
    }
    snprintf(ret, UNIQUE_ID_TEXT_BYTES, "%s", xb_json_str(json, "uniqueID", ""));
    return 0;
}

static int find_stranger(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    if (strcmp(item->name, ".shards") == 0) {
        return 0;
    }
    snprintf(context, XB_STORE_NAME_BYTES_MAX + 1, "%s", item->name);
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough");
}

/* A place that is neither a copy of this repository nor the beginning of one must be empty. */
static int check_empty(struct xb_store *raw, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    char stranger[XB_STORE_NAME_BYTES_MAX + 1] = "";
    int r = xb_store_list(raw, "", find_stranger, stranger, &why);
    if (stranger[0]) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                            "%s is not empty ('%.100s'), and no copy of this repository: choose "
                            "another place",
                            xb_store_describe(raw), stranger);
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

static int put_mark(struct xb_copy_area *area, const char *id, struct xb_error *err)
{
    char text[UNIQUE_ID_TEXT_BYTES + 32];
    int len = snprintf(text, sizeof text, "{\"uniqueID\":\"%s\"}\n", id);
    return xb_store_put(area->target, XB_COPY_MARK, text, (size_t)len, NULL, err);
}

static int check_target(struct xb_copy_area *area, struct xb_store *raw, const char *id,
                        struct xb_error *err)
{
    char there[UNIQUE_ID_TEXT_BYTES];
    bool whole = false;
    int r = read_unique_id(area->target, there, err);
    whole = there[0] != '\0';
    if (r == 0 && !whole) {
        r = read_mark(area->target, there, err);
    }
    if (r == 0 && there[0] && strcmp(there, id) != 0) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                         "%s holds another repository%s: nothing is copied over it",
                         xb_store_describe(raw), whole ? "" : "'s unfinished copy");
    }
    if (r == 0 && !there[0]) {
        r = check_empty(raw, err);
    }
    return r == 0 && area->copy->writing && !whole ? put_mark(area, id, err) : r;
}

/* ---- listing ---- */

static int take_but_packs(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    enum xb_copy_phase phase = xb_copy_phase_of_blob(item->name);
    return phase == XB_COPY_PACKS || phase == XB_COPY_LEFT_OUT
               ? 0
               : xb_copy_list_add(context, item->name, item->size, phase, err);
}

static int take_packs(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    return xb_copy_list_add(context, item->name, item->size, XB_COPY_PACKS, err);
}

static int take_all(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    return xb_copy_list_add(context, item->name, item->size, XB_COPY_OTHERS, err);
}

/* Packs come last: those of every index that has been listed are there by then. */
static int list_repository(struct xb_copy_area *area, struct xb_copy_list *there,
                           struct xb_error *err)
{
    int r = xb_store_list(area->source, "", take_but_packs, &area->list, err);
    if (r == 0) {
        r = xb_store_list(area->source, "p", take_packs, &area->list, err);
    }
    if (r == 0) {
        r = xb_store_list(area->source, "q", take_packs, &area->list, err);
    }
    return r == 0 && area->target ? xb_store_list(area->target, "", take_all, there, err) : r;
}

/* ---- copying ---- */

static int copy_once(struct xb_copy_area *area, struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    struct xb_copy_list there = {.objects = NULL};
    atomic_store(&copy->vanished, false);
    xb_copy_list_free(&area->list);
    int r = list_repository(area, &there, err);
    if (r == 0) {
        r = xb_copy_area_judge(area, &there, err);
    }
    xb_copy_list_free(&there);
    if (r < 0 || copy->result.conflicts.total > 0 || !copy->writing) {
        return r;
    }
    return xb_copy_area_transfer(area, XB_COPY_SESSIONS, XB_COPY_COMMIT, err);
}

/* Maintenance at the source replaces indexes and packs: a list that is out of date is made anew. */
static int copy_all(struct xb_copy_area *area, struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    int r = copy_once(area, err);
    for (int try = 1; r == 0 && atomic_load(&copy->vanished); try++) {
        if (try == TRIES_MAX) {
            return xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                                "%s: blobs vanish while they are copied: run the copy again when "
                                "the maintenance there is over",
                                xb_store_describe(area->source));
        }
        r = copy_once(area, err);
    }
    if (r == 0 && !copy->writing) {
        xb_copy_area_count(area);
    } else if (r == 0 && copy->result.conflicts.total == 0) {
        r = xb_store_delete(area->target, XB_COPY_MARK, err);
    }
    return r;
}

static int open_and_copy(struct xb_copy_area *area, const char *prefix, bool *ret_whole,
                         struct xb_error *err)
{
    struct xb_copy *copy = area->copy;
    char id[UNIQUE_ID_TEXT_BYTES];
    struct xb_store *raw = NULL;
    int r = below(copy->source, prefix, &raw, err);
    if (r < 0 || (r = xb_repository_layout(raw, false, &area->source, err)) < 0 ||
        (r = read_unique_id(area->source, id, err)) < 0 || !id[0]) {
        return r;
    }
    *ret_whole = true;
    if (copy->target) {
        XB_CLEANUP(xb_store_freep) struct xb_store *place = NULL;
        r = below(copy->target, prefix, &place, err);
        if (r < 0 || (r = open_target(area, xb_store_ref(place), err)) < 0 ||
            (r = check_target(area, place, id, err)) < 0) {
            return r;
        }
    }
    return copy_all(area, err);
}

int xb_copy_repository(struct xb_copy *copy, const char *prefix, bool *ret_whole,
                       struct xb_error *err)
{
    struct xb_copy_area area = {.copy = copy, .repository = true};
    snprintf(area.label, sizeof area.label, "%s", prefix);
    int r = open_and_copy(&area, prefix, ret_whole, err);
    xb_copy_area_free(&area);
    return r;
}
