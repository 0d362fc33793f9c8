/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/pipeline/merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/sorter.h"
#include "shared/codec/text.h"

enum { SORTER_BYTES = 1 << 20, FOLDERS = '0', OTHERS = '1' };

struct side {
    struct xb_directory_cursor *cursor; /* NULL: it knows nothing (any more) */
    struct xb_entry *entry;             /* the present one; NULL: not yet read, or at the end */
};

struct merge {
    struct xb_sorter *names;
    struct xb_sorter_cursor *order; /* NULL: names are still added */
    struct side sides[XB_SNAPSHOT_PARENTS_MAX];
    char key[1 + XB_ENTRY_NAME_BYTES_MAX + 1];
};

int xb_merge_new(struct xb_directory_cursor *cursors[XB_SNAPSHOT_PARENTS_MAX], struct merge **ret,
                 struct xb_error *err)
{
    struct merge *merge = calloc(1, sizeof *merge);
    int r = merge ? xb_sorter_new("the names of a large folder", SORTER_BYTES, &merge->names, err)
                  : xb_error_no_memory(err, "the walk");
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        if (r == 0) {
            merge->sides[i].cursor = cursors[i];
        } else {
            xb_directory_close(cursors[i]);
        }
    }
    if (r < 0) {
        free(merge);
        return r;
    }
    *ret = merge;
    return 0;
}

static void close_side(struct side *side)
{
    xb_directory_close(side->cursor);
    *side = (struct side){.cursor = NULL};
}

void xb_merge_free(struct merge *merge)
{
    if (!merge) {
        return;
    }
    xb_sorter_close(merge->order);
    xb_sorter_free(merge->names);
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        close_side(&merge->sides[i]);
    }
    free(merge);
}

int xb_merge_add(struct merge *merge, const char *name, bool folder, struct xb_error *err)
{
    size_t len = strlen(name);
    if (len > XB_ENTRY_NAME_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "a name of %zu bytes", len);
    }
    merge->key[0] = folder ? FOLDERS : OTHERS;
    memcpy(merge->key + 1, name, len + 1);
    const struct xb_sorter_record record = {.key = merge->key, .key_len = len + 2, .value = ""};
    return xb_sorter_add(merge->names, &record, err);
}

/* ---- one parent ---- */

/* Whether the entry has a place in the order that its name tells. */
static bool in_order(const struct xb_entry *entry)
{
    return !entry->renamed && !entry->node && xb_utf8_valid(entry->name, strlen(entry->name));
}

static void step(struct side *side, struct frame *frame)
{
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    do {
        r = xb_directory_next(side->cursor, &side->entry, &err);
    } while (r == 0 && side->entry && !in_order(side->entry));
    if (r < 0) {
        /* The last backup is damaged there; this one reads everything and so mends it. */
        XB_CLEANUP(xb_freep) char *path = xb_frame_path(frame);
        xb_backup_note(frame->backup, path ? path : frame->name, err.text);
        close_side(side);
    }
}

static int compare(const struct xb_entry *entry, const char *key)
{
    int group = entry->type == XB_ENTRY_DIRECTORY ? FOLDERS : OTHERS;
    return group != key[0] ? group - key[0] : strcmp(entry->name, key + 1);
}

static struct match find(struct side *side, struct frame *frame, const char *key)
{
    int order = -1;
    if (side->cursor && !side->entry) {
        step(side, frame); /* the first one, or the end once more */
    }
    while (side->cursor && side->entry &&
           (!side->entry->name || (order = compare(side->entry, key)) < 0)) {
        step(side, frame); /* without a name: taken */
    }
    if (!side->cursor || !side->entry || order != 0) {
        return (struct match){.entry = NULL};
    }
    return (struct match){.entry = side->entry, .text = xb_directory_cursor_text(side->cursor)};
}

/* ---- all of them ---- */

int xb_merge_next(struct merge *merge, struct frame *frame, const char **ret_name,
                  struct match ret[XB_SNAPSHOT_PARENTS_MAX], struct xb_error *err)
{
    struct xb_sorter_record record = {.key = NULL};
    int r = merge->order ? 0 : xb_sorter_open(merge->names, &merge->order, err);
    r = r < 0 ? r : xb_sorter_next(merge->order, &record, err);
    if (r < 0) {
        return r;
    }
    const char *key = record.key;
    for (size_t i = 0; key && i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        ret[i] = find(&merge->sides[i], frame, key);
    }
    *ret_name = key ? key + 1 : NULL;
    return 0;
}

void xb_merge_rest(struct merge *merge)
{
    for (size_t i = 0; i < XB_SNAPSHOT_PARENTS_MAX; i++) {
        if (merge->sides[i].cursor) {
            xb_directory_cursor_rest(merge->sides[i].cursor);
        }
    }
}

const struct xb_directory_cursor *xb_merge_finish(struct merge *merge, struct frame *frame)
{
    struct side *side = &merge->sides[0];
    do {
        if (side->cursor) {
            step(side, frame);
        }
    } while (side->cursor && side->entry);
    return side->cursor;
}
