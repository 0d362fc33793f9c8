/* SPDX-License-Identifier: Apache-2.0
 * One item of a backup on its way into the cluster, step by step. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"

void xb_bring_say(struct xb_bring_item *item, enum xb_record_level level, const char *format, ...)
{
    char text[XB_RECORD_LINE_BYTES_MAX];
    const struct xb_tarball_item *from = item->from;
    const char *namespace = item->namespace ? item->namespace : from->namespace;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    xb_record_lines_add(&item->lines, level, namespace, "%s %s%s%s: %s", from->resource, namespace,
                        namespace[0] ? "/" : "", from->name, text);
}

/* ---- steps that need no file of their own ---- */

static int read_json(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    (void)bring;
    return xb_json_parse(item->text, item->len, &item->object, err);
}

static int transform(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    enum xb_restore_decision decision = XB_RESTORE_SKIP;
    char reason[XB_RESTORE_REASON_BYTES] = "";
    int r = xb_restore_transform(&bring->context, item->from->resource, item->object, &decision,
                                 reason, err);
    if (r == 0 && decision == XB_RESTORE_SKIP) {
        xb_bring_say(item, XB_RECORD_INFO, "%s", reason);
        item->outcome = XB_BRING_LEFT_OUT;
    }
    return r;
}

/* ---- the way of an item ---- */

/* From the backup into the cluster. Volumes are decided before the names are mapped: data is known
 * by the names of the backup. Whatever changes a pod's containers stands after the transformation,
 * and the waiting container after all of those, because it goes before them. Modifiers see the
 * object as it would be made, as with Velero. */
static xb_bring_step *const steps[] = {
    xb_bring_choose_kind,    read_json,
    xb_bring_check_place,    xb_bring_choose_object,
    xb_bring_decide_volume,  xb_bring_keep_owners,
    xb_bring_keep_status,    transform,
    xb_bring_change_names,   xb_bring_change_nodes,
    xb_bring_add_init_hooks, xb_bring_wait_for_volumes,
    xb_bring_modify,         xb_bring_enter_namespace,
    xb_bring_create,
};

/* What follows from an object that is there by this restore, also by an earlier run of it. */
static xb_bring_step *const steps_after[] = {
    xb_bring_return_owners, xb_bring_return_status, xb_bring_note_volume,
    xb_bring_order_volumes, xb_bring_note_hooks,
};

static const char *const words[] = {[XB_BRING_CREATED] = "created",
                                    [XB_BRING_UPDATED] = "updated",
                                    [XB_BRING_SKIPPED] = "skipped",
                                    [XB_BRING_PASSED_OVER] = "skipped",
                                    [XB_BRING_FAILED] = "failed"};

static int add_to_list(struct xb_bring *bring, const struct xb_bring_item *item,
                       struct xb_error *err)
{
    const char *word = words[item->outcome];
    int r = 0;
    pthread_mutex_lock(&bring->lock);
    bring->brought->items_total--; /* until now it might have been one of the restore's */
    if (word && item->object) {
        r = xb_bring_list(bring, item->object, word, err);
    }
    pthread_mutex_unlock(&bring->lock);
    return r;
}

static bool ends_restore(const struct xb_error *err)
{
    return err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_RETRY || err->kind == XB_ERR_FULL;
}

/* Until the outcome is another than this one. */
static int take_steps(struct xb_bring *bring, struct xb_bring_item *item,
                      xb_bring_step *const *list, size_t count, struct xb_error *err)
{
    const enum xb_bring_outcome outcome = item->outcome;
    for (size_t i = 0; i < count && item->outcome == outcome; i++) {
        struct xb_error why = XB_ERROR_INIT;
        int r = list[i](bring, item, &why);
        if (r < 0 && ends_restore(&why)) {
            *err = why;
            return r;
        }
        if (r < 0) {
            xb_bring_say(item, XB_RECORD_ERROR, "%s", why.text);
            item->outcome = outcome == XB_BRING_OPEN ? XB_BRING_FAILED : outcome;
            return 0; /* an order that cannot be made does not undo what was made */
        }
    }
    return 0;
}

static int take_all_steps(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    int r = take_steps(bring, item, steps, sizeof steps / sizeof *steps, err);
    if (r == 0 && bring->options->dry_run) {
        xb_bring_pretend_end(bring, item);
        return 0;
    }
    return r < 0 || item->outcome != XB_BRING_CREATED
               ? r
               : take_steps(bring, item, steps_after, sizeof steps_after / sizeof *steps_after,
                            err);
}

/* As the mark knows it. */
static int name_of(const struct xb_tarball_item *from, char **ret, struct xb_error *err)
{
    if (asprintf(ret, "%s/%s/%s", from->resource, from->namespace, from->name) < 0) {
        *ret = NULL;
        return xb_error_no_memory(err, "an item");
    }
    return 0;
}

int xb_bring_item(struct xb_bring *bring, const struct xb_bring_source *source,
                  struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *name = NULL;
    struct xb_bring_item item = {.from = &source->from,
                                 .namespace =
                                     xb_restore_namespace(&bring->context, source->from.namespace),
                                 .number = source->number,
                                 .text = source->text,
                                 .len = source->len};
    int r = name_of(item.from, &name, err);
    if (r == 0) {
        item.done_before = xb_bring_track_done_before(bring->track, item.number, name);
        r = take_all_steps(bring, &item, err);
    }
    r = r < 0 ? r : add_to_list(bring, &item, err);
    if (r == 0) {
        xb_bring_track_end_item(bring->track, item.number, &item.lines,
                                item.outcome == XB_BRING_FAILED ? name : NULL);
    }
    xb_record_lines_free(&item.lines);
    json_object_put(item.object);
    json_object_put(item.live);
    json_object_put(item.owners);
    json_object_put(item.status);
    return r;
}
