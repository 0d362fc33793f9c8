/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/copy/copy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/copy/internal.h"
#include "shared/repository/format.h"
#include "shared/velero/location.h"

enum { FOLDERS_MAX = 100000 };

/* ---- what the result keeps ---- */

int xb_copy_note(struct xb_copy *copy, struct xb_copy_names *names, struct xb_error *err,
                 const char *format, ...)
{
    int r = 0;
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    pthread_mutex_lock(&copy->lock);
    names->total++;
    if (names->count < XB_COPY_NAMES_MAX) {
        char **texts = reallocarray(names->texts, names->count + 1, sizeof *texts);
        names->texts = texts ? texts : names->texts;
        if (texts && text) {
            texts[names->count++] = XB_TAKE(text);
        } else {
            r = xb_error_no_memory(err, "a report");
        }
    }
    pthread_mutex_unlock(&copy->lock);
    free(text);
    return r;
}

static void free_names(struct xb_copy_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->texts[i]);
    }
    free(names->texts);
    *names = (struct xb_copy_names){.texts = NULL};
}

void xb_copy_result_free(struct xb_copy_result *result)
{
    free_names(&result->conflicts);
    free_names(&result->warnings);
}

/* ---- folders ---- */

struct folders {
    char **names;
    size_t count;
};

static int add_folder(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct folders *folders = context;
    char **names = folders->count < FOLDERS_MAX
                       ? reallocarray(folders->names, folders->count + 1, sizeof *names)
                       : NULL;
    if (!names) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many folders");
    }
    folders->names = names;
    names[folders->count] = strdup(item->name);
    return names[folders->count] ? (folders->count++, 0) : xb_error_no_memory(err, "a folder");
}

static void folders_free(struct folders *folders)
{
    for (size_t i = 0; i < folders->count; i++) {
        free(folders->names[i]);
    }
    free(folders->names);
}

/* ---- the records of a location ---- */

struct records {
    struct xb_copy *copy;
    struct xb_copy_list backups; /* velero-backup.json of each, listed before all else */
    struct xb_copy_list loose;   /* objects that lie in none of Velero's folders */
    struct folders folders;
};

/* "name", and "kopia/name": below it is a repository. */
static bool is_loose(const char *name)
{
    const char *slash = strchr(name, '/');
    return !slash || (strncmp(name, "kopia/", 6) == 0 && !strchr(slash + 1, '/'));
}

static int take_first(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct records *records = context;
    enum xb_copy_phase phase = xb_copy_phase_of_record(item->name);
    return phase == XB_COPY_COMMIT
               ? xb_copy_list_add(&records->backups, item->name, item->size, phase, err)
           : is_loose(item->name)
               ? xb_copy_list_add(&records->loose, item->name, item->size, phase, err)
               : 0;
}

/* What Velero itself would refuse as a location is not made one, and not read as one. */
static int find_records(struct xb_copy *copy, struct records *ret, struct xb_error *err)
{
    ret->copy = copy;
    int r = xb_location_check_folders(copy->source, err);
    if (r == 0 && copy->target) {
        r = xb_location_check_folders(copy->target, err);
    }
    if (r < 0) {
        return r;
    }
    r = xb_store_list_folders(copy->source, "", add_folder, &ret->folders, err);
    return r < 0 ? r : xb_store_list(copy->source, "", take_first, ret, err);
}

static void records_free(struct records *records)
{
    xb_copy_list_free(&records->backups);
    xb_copy_list_free(&records->loose);
    folders_free(&records->folders);
}

static int take_record(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    enum xb_copy_phase phase = xb_copy_phase_of_record(item->name);
    return phase == XB_COPY_OTHERS ? xb_copy_list_add(context, item->name, item->size, phase, err)
                                   : 0;
}

static int take_any(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    return xb_copy_list_add(context, item->name, item->size, XB_COPY_OTHERS, err);
}

/* The target's loose objects, one by one: listing would go through all its repositories. */
static int find_loose(struct xb_copy_area *area, const struct xb_copy_list *loose,
                      struct xb_copy_list *there, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && area->target && i < loose->count; i++) {
        struct xb_error missing = XB_ERROR_INIT;
        struct xb_store_item item;
        if (xb_store_stat(area->target, loose->objects[i].name, &item, &missing) == 0) {
            r = xb_copy_list_add(there, loose->objects[i].name, item.size, XB_COPY_OTHERS, err);
        } else if (missing.kind != XB_ERR_NOT_FOUND) {
            *err = missing;
            r = err->code;
        }
    }
    return r;
}

static int list_records(struct xb_copy_area *area, struct records *records,
                        struct xb_copy_list *there, struct xb_error *err)
{
    int r = find_loose(area, &records->loose, there, err);
    for (size_t i = 0; r == 0 && i < records->folders.count; i++) {
        char prefix[XB_STORE_NAME_BYTES_MAX];
        if (strcmp(records->folders.names[i], "kopia") == 0) {
            continue;
        }
        snprintf(prefix, sizeof prefix, "%s/", records->folders.names[i]);
        r = xb_store_list(area->source, prefix, take_record, &area->list, err);
        if (r == 0 && area->target) {
            r = xb_store_list(area->target, prefix, take_any, there, err);
        }
    }
    if (r == 0) {
        r = xb_copy_list_move(&area->list, &records->loose, err);
    }
    return r < 0 ? r : xb_copy_list_move(&area->list, &records->backups, err);
}

static int records_area(struct xb_copy *copy, struct records *records, struct xb_error *err)
{
    struct xb_copy_area area = {.copy = copy,
                                .source = xb_store_ref(copy->source),
                                .target = copy->target ? xb_store_ref(copy->target) : NULL};
    struct xb_copy_list there = {.objects = NULL};
    int r = list_records(&area, records, &there, err);
    if (r == 0) {
        r = xb_copy_area_judge(&area, &there, err);
    }
    if (r == 0 && copy->writing && copy->result.conflicts.total == 0) {
        r = xb_copy_area_transfer(&area, XB_COPY_OTHERS, XB_COPY_COMMIT, err);
    } else if (r == 0) {
        xb_copy_area_count(&area);
    }
    if (r == 0 && atomic_load(&copy->vanished)) {
        r = xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                         "%s: objects vanished while they were copied: a backup is being deleted "
                         "there; run the copy again when that is over",
                         xb_store_describe(copy->source));
    }
    xb_copy_list_free(&there);
    xb_copy_area_free(&area);
    return r;
}

/* ---- all ---- */

static bool is_repository(struct xb_store *store)
{
    struct xb_store_item item;
    struct xb_error ignored = XB_ERROR_INIT;
    return xb_store_stat(store, XB_FORMAT_BLOB, &item, &ignored) == 0 ||
           xb_store_stat(store, XB_FORMAT_BLOB ".f", &item, &ignored) == 0;
}

/* A name below kopia/ that is no repository is the rest of a failed attempt to make one, or of a
 * copy: no backup can be in it. */
static int location_repositories(struct xb_copy *copy, struct xb_error *err)
{
    struct folders folders = {.names = NULL};
    int r = xb_store_list_folders(copy->source, "kopia/", add_folder, &folders, err);
    for (size_t i = 0; r == 0 && i < folders.count; i++) {
        char prefix[XB_STORE_NAME_BYTES_MAX];
        bool whole = false;
        snprintf(prefix, sizeof prefix, "kopia/%s/", folders.names[i]);
        r = xb_copy_repository(copy, prefix, &whole, err);
        if (r == 0 && !whole && !copy->writing) {
            r = xb_copy_note(copy, &copy->result.warnings, err,
                             "%s holds no repository (no %s in it): it is not copied", prefix,
                             XB_FORMAT_BLOB);
        }
    }
    folders_free(&folders);
    return r;
}

static int location_pass(struct xb_copy *copy, struct xb_error *err)
{
    struct records records = {.copy = copy};
    int r = find_records(copy, &records, err);
    if (r == 0) {
        r = location_repositories(copy, err);
    }
    if (r == 0) {
        r = records_area(copy, &records, err);
    }
    records_free(&records);
    return r;
}

static int pass(struct xb_copy *copy, struct xb_error *err)
{
    bool whole = false;
    return copy->result.location ? location_pass(copy, err)
                                 : xb_copy_repository(copy, "", &whole, err);
}

int xb_copy_check_source(struct xb_store *source, bool *ret_location, struct xb_error *err)
{
    struct folders folders = {.names = NULL};
    bool location = false;
    if (is_repository(source)) {
        *ret_location = false;
        return 0;
    }
    int r = xb_store_list_folders(source, "", add_folder, &folders, err);
    for (size_t i = 0; i < folders.count; i++) {
        location |=
            strcmp(folders.names[i], "backups") == 0 || strcmp(folders.names[i], "kopia") == 0;
    }
    folders_free(&folders);
    if (r == 0 && !location) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "%s is no store of backups: it holds neither a repository (%s) nor a "
                         "location's folders (backups/, kopia/)",
                         xb_store_describe(source), XB_FORMAT_BLOB);
    }
    if (r == 0) {
        *ret_location = true;
    }
    return r;
}

static int both_passes(struct xb_copy *copy, struct xb_error *err)
{
    int r = xb_copy_check_source(copy->source, &copy->result.location, err);
    if (r == 0 && copy->result.location && copy->target && is_repository(copy->target)) {
        r = xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                         "%s is a repository itself: a location needs a place of its own",
                         xb_store_describe(copy->target));
    }
    if (r == 0) {
        r = pass(copy, err);
    }
    if (r < 0 || copy->result.conflicts.total > 0) {
        return r;
    }
    if (copy->options->dry_run) {
        copy->result.objects_copied = copy->done.objects_total;
        copy->result.bytes_copied = copy->done.bytes_total;
        return 0;
    }
    copy->writing = true;
    return pass(copy, err);
}

int xb_copy_run(struct xb_store *source, struct xb_store *target,
                const struct xb_copy_options *options, struct xb_copy_result *ret,
                struct xb_error *err)
{
    struct xb_copy copy = {.source = source, .target = target, .options = options};
    if (options->threads == 0 || options->threads > XB_COPY_THREADS_MAX ||
        (!target && !options->dry_run)) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "a copy with %u threads to %s",
                            options->threads, target ? "a store" : "nowhere");
    }
    pthread_mutex_init(&copy.lock, NULL);
    atomic_init(&copy.stop, false);
    atomic_init(&copy.vanished, false);
    int r = both_passes(&copy, err);
    pthread_mutex_destroy(&copy.lock);
    if (r < 0) {
        xb_copy_result_free(&copy.result);
        return r;
    }
    *ret = copy.result;
    return 0;
}
