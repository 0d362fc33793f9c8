/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_id(const char *id, struct xb_error *err)
{
    size_t len = strspn(id, "0123456789abcdef");
    if (id[len] || len == 0 || len >= XB_MANIFEST_ID_TEXT_BYTES) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a snapshot's id: '%.60s'", id);
    }
    return 0;
}

static int nothing(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    (void)context;
    (void)id;
    (void)err;
    return 0;
}

static int check_folder(struct xb_repository *repository, const struct xb_object_id *id,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    int r = xb_directory_open(repository, id, &cursor, err);
    do {
        r = r < 0 ? r : xb_directory_next(cursor, &entry, err);
    } while (r == 0 && entry);
    return r;
}

/* A manifest that kopia cannot parse makes its content collection delete the data behind it: what
 * is about to be published must parse, and its root must be there. */
static int check_publishable(struct xb_repository *repository, const struct xb_buf *data,
                             struct xb_error *err)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *again = NULL;
    int r = xb_snapshot_decode("", data->data, data->len, &again, err);
    if (r < 0) {
        return r;
    }
    if (again->root.type == XB_ENTRY_DIRECTORY) {
        return check_folder(repository, &again->root.object, err);
    }
    return xb_object_verify(repository, &again->root.object, false, nothing, NULL, err);
}

static bool has_tags(const struct xb_snapshot *snapshot, const struct xb_label *tags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        for (size_t j = 0; j < snapshot->tag_count && !found; j++) {
            found = strcmp(tags[i].key, snapshot->tags[j].key) == 0 &&
                    strcmp(tags[i].value, snapshot->tags[j].value) == 0;
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool is_checkpoint(const struct xb_snapshot *snapshot)
{
    return snapshot->incomplete && strcmp(snapshot->incomplete, XB_INCOMPLETE_CHECKPOINT) == 0;
}

/* Whether the checkpoint `old` is of no use any more once `fresh` is there. */
static bool supersedes(const struct xb_snapshot *fresh, const struct xb_snapshot *old)
{
    return is_checkpoint(old) && old->tag_count == fresh->tag_count &&
           has_tags(old, fresh->tags, fresh->tag_count) &&
           (fresh->incomplete ? old->start_ns == fresh->start_ns
                              : old->start_ns <= fresh->start_ns);
}

static int put_over_checkpoints(struct xb_repository *repository, struct xb_snapshot *snapshot,
                                const struct xb_manifest_new *fresh, struct xb_error *err)
{
    const struct xb_snapshot_filter same = {
        .host = snapshot->host, .user = snapshot->user, .path = snapshot->path};
    struct xb_snapshot_list list = {.items = NULL};
    int r = xb_snapshot_list(repository, &same, &list, err);
    if (r < 0) {
        return r;
    }
    const char **ids = calloc(list.count + 1, sizeof *ids);
    size_t count = 0;
    for (size_t i = 0; ids && i < list.count; i++) {
        if (supersedes(snapshot, list.items[i])) {
            ids[count++] = list.items[i]->id;
        }
    }
    r = ids ? xb_manifest_replace(repository, ids, count, fresh, snapshot->id, err)
            : xb_error_no_memory(err, "a list of snapshots");
    free(ids);
    xb_snapshot_list_free(&list);
    return r;
}

static int put_manifest(struct xb_repository *repository, struct xb_snapshot *snapshot,
                        const char *data, struct xb_error *err)
{
    static char type[] = "type", kind[] = "snapshot", host[] = "hostname", user[] = "username",
                path[] = "path";
    struct xb_label labels[XB_MANIFEST_LABELS_MAX] = {
        {host, snapshot->host}, {path, snapshot->path}, {type, kind}, {user, snapshot->user}};
    size_t count = 4;
    for (size_t i = 0; i < snapshot->tag_count; i++) {
        if (count == XB_MANIFEST_LABELS_MAX) {
            return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "too many tags");
        }
        /* A tag in the place of 'type' would hide the snapshot from kopia's content collection. */
        for (size_t k = 0; k < count; k++) {
            if (strcmp(labels[k].key, snapshot->tags[i].key) == 0) {
                return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                    "a tag may not be called '%.60s', or be there twice",
                                    labels[k].key);
            }
        }
        labels[count++] = snapshot->tags[i];
    }
    const struct xb_manifest_new fresh = {labels, count, data};
    return put_over_checkpoints(repository, snapshot, &fresh, err);
}

int xb_snapshot_publish(struct xb_repository *repository, struct xb_snapshot *snapshot,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf data = XB_BUF_INIT(XB_MANIFEST_BYTES_MAX);
    /* The data first: what the manifest names is durable and can be read back. */
    int r = xb_repository_flush(repository, err);
    if (r < 0 || (r = xb_snapshot_encode(snapshot, &data, err)) < 0 ||
        (r = check_publishable(repository, &data, err)) < 0 ||
        (r = put_manifest(repository, snapshot, data.data, err)) < 0 ||
        (r = xb_repository_flush(repository, err)) < 0) {
        snapshot->id[0] = '\0';
        return xb_error_wrap(err, "publishing the snapshot of %s", snapshot->path);
    }
    return 0;
}

int xb_snapshot_load(struct xb_repository *repository, const char *id, struct xb_snapshot **ret,
                     struct xb_error *err)
{
    static char type[] = "type", kind[] = "snapshot";
    const struct xb_label label = {type, kind};
    struct xb_manifest *list = NULL;
    size_t count = 0;
    int r = check_id(id, err);
    if (r < 0 || (r = xb_manifest_find(repository, &label, 1, &list, &count, err)) < 0) {
        return r;
    }
    r = -ENOENT;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i].id, id) == 0) {
            r = xb_snapshot_decode(id, list[i].data, strlen(list[i].data), ret, err);
            break;
        }
    }
    xb_manifest_list_free(list, count);
    return r == -ENOENT ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                                       "there is no snapshot %s in the repository", id)
                        : r;
}

static bool wanted(const struct xb_snapshot *snapshot, const struct xb_snapshot_filter *filter)
{
    if (!filter) {
        return true;
    }
    if ((filter->host && strcmp(filter->host, snapshot->host) != 0) ||
        (filter->user && strcmp(filter->user, snapshot->user) != 0) ||
        (filter->path && strcmp(filter->path, snapshot->path) != 0)) {
        return false;
    }
    return has_tags(snapshot, filter->tags, filter->tag_count);
}

static int add_unreadable(struct xb_snapshot_list *list, const struct xb_error *why,
                          struct xb_error *err)
{
    list->unreadable[list->unreadable_count] = strdup(why->text);
    if (!list->unreadable[list->unreadable_count]) {
        return xb_error_no_memory(err, "a list of snapshots");
    }
    list->unreadable_count++;
    return 0;
}

static int compare_starts(const void *left, const void *right)
{
    struct xb_snapshot *const *a = left;
    struct xb_snapshot *const *b = right;
    if ((*a)->start_ns != (*b)->start_ns) {
        return (*a)->start_ns < (*b)->start_ns ? -1 : 1;
    }
    return strcmp((*a)->id, (*b)->id);
}

static int fill_list(const struct xb_manifest *manifests, size_t count,
                     const struct xb_snapshot_filter *filter, struct xb_snapshot_list *list,
                     struct xb_error *err)
{
    list->items = calloc(count + 1, sizeof *list->items);
    list->unreadable = calloc(count + 1, sizeof *list->unreadable);
    if (!list->items || !list->unreadable) {
        return xb_error_no_memory(err, "a list of snapshots");
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        struct xb_snapshot *snapshot = NULL;
        if (xb_snapshot_decode(manifests[i].id, manifests[i].data, strlen(manifests[i].data),
                               &snapshot, &why) < 0) {
            r = add_unreadable(list, &why, err);
        } else if (wanted(snapshot, filter)) {
            list->items[list->count++] = snapshot;
        } else {
            xb_snapshot_free(snapshot);
        }
    }
    if (r == 0 && list->count > 1) {
        qsort(list->items, list->count, sizeof *list->items, compare_starts);
    }
    return r;
}

int xb_snapshot_list(struct xb_repository *repository, const struct xb_snapshot_filter *filter,
                     struct xb_snapshot_list *ret, struct xb_error *err)
{
    static char type[] = "type", kind[] = "snapshot";
    const struct xb_label label = {type, kind};
    struct xb_manifest *manifests = NULL;
    struct xb_snapshot_list list = {.items = NULL};
    size_t count = 0;
    int r = xb_manifest_find(repository, &label, 1, &manifests, &count, err);
    if (r < 0) {
        return r;
    }
    r = count > XB_SNAPSHOTS_MAX
            ? xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d snapshots", XB_SNAPSHOTS_MAX)
            : fill_list(manifests, count, filter, &list, err);
    xb_manifest_list_free(manifests, count);
    if (r < 0) {
        xb_snapshot_list_free(&list);
        return r;
    }
    *ret = list;
    return 0;
}

void xb_snapshot_list_free(struct xb_snapshot_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        xb_snapshot_free(list->items[i]);
    }
    for (size_t i = 0; i < list->unreadable_count; i++) {
        free(list->unreadable[i]);
    }
    free(list->items);
    free(list->unreadable);
    *list = (struct xb_snapshot_list){.items = NULL};
}

int xb_snapshot_find_parents(struct xb_repository *repository,
                             const struct xb_snapshot_filter *filter,
                             struct xb_snapshot_parents *ret, struct xb_error *err)
{
    struct xb_snapshot_list list = {.items = NULL};
    struct xb_snapshot_parents parents = {.count = 0};
    int r = xb_snapshot_list(repository, filter, &list, err);
    if (r < 0) {
        return r;
    }
    size_t complete = list.count;
    while (complete > 0 && list.items[complete - 1]->incomplete) {
        complete--;
    }
    if (complete > 0) {
        parents.items[parents.count++] = XB_TAKE(list.items[complete - 1]);
    }
    for (size_t i = list.count; i > complete && parents.count < XB_SNAPSHOT_PARENTS_MAX; i--) {
        if (is_checkpoint(list.items[i - 1])) {
            parents.items[parents.count++] = XB_TAKE(list.items[i - 1]);
        }
    }
    xb_snapshot_list_free(&list);
    *ret = parents;
    return 0;
}

void xb_snapshot_parents_free(struct xb_snapshot_parents *parents)
{
    for (size_t i = 0; i < parents->count; i++) {
        xb_snapshot_free(parents->items[i]);
    }
    parents->count = 0;
}

int xb_snapshot_delete(struct xb_repository *repository, const char *id, struct xb_error *err)
{
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    int r = xb_snapshot_load(repository, id, &snapshot, err);
    if (r < 0 || (r = xb_manifest_delete(repository, id, err)) < 0) {
        return r;
    }
    return xb_repository_flush(repository, err);
}

static int compare_ids(const void *left, const void *right)
{
    return strcmp(((const struct xb_manifest *)left)->id, ((const struct xb_manifest *)right)->id);
}

int xb_snapshot_delete_many(struct xb_repository *repository, const char *const *ids, size_t count,
                            size_t *ret_deleted, struct xb_error *err)
{
    char key[] = "type";
    char value[] = "snapshot";
    const struct xb_label type = {key, value};
    struct xb_manifest *list = NULL;
    size_t list_count = 0;
    size_t kept = 0;
    int r = xb_manifest_find(repository, &type, 1, &list, &list_count, err);
    const char **present = r == 0 ? calloc(count + 1, sizeof *present) : NULL;
    if (r == 0 && !present) {
        r = xb_error_no_memory(err, "snapshots to delete");
    }
    if (r == 0 && list_count > 0) {
        qsort(list, list_count, sizeof *list, compare_ids);
    }
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct xb_manifest wanted = {.labels = NULL};
        bool fits = strlen(ids[i]) < sizeof wanted.id;
        memcpy(wanted.id, ids[i], fits ? strlen(ids[i]) : 0);
        if (fits && bsearch(&wanted, list, list_count, sizeof *list, compare_ids)) {
            present[kept++] = ids[i];
        }
    }
    if (r == 0) {
        r = xb_manifest_delete_many(repository, present, kept, ret_deleted, err);
    }
    free(present);
    xb_manifest_list_free(list, list_count);
    return r < 0 ? r : xb_repository_flush(repository, err);
}
