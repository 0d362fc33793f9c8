/* SPDX-License-Identifier: Apache-2.0
 * What a backup has in its location, and how it is taken out of there. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/retention.h"
#include "coordinator/record/upload.h"
#include "coordinator/retention/import.h"
#include "shared/base/log.h"
#include "shared/repository/snapshot.h"

enum { BATCH = 1000 };

static const char *name_of(const struct xb_removal *removal)
{
    return xb_json_str(removal->backup, "metadata.name", "");
}

static int check_on(const struct xb_removal *removal, struct xb_error *err)
{
    return atomic_load(removal->cancel)
               ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the deletion was interrupted")
               : xb_check_leading(removal->coordinator, err);
}

/* ---- which snapshots ---- */

static bool is_own(const struct xb_removal *removal, xb_json *order)
{
    const char *uid = xb_json_str(removal->backup, "metadata.uid", "-");
    xb_json *owner = xb_velero_owner(order, "Backup");
    return strcmp(xb_json_str(order, "metadata.labels.velero\\.io/backup-uid", ""), uid) == 0 ||
           strcmp(xb_json_str(owner, "uid", ""), uid) == 0;
}

/* An order may name what is no snapshot of ours: that is said, and stays. */
static int add_order(struct xb_removal *removal, xb_json *order, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    if (xb_deletion_add(&removal->snapshots, order, &why) < 0) {
        if (why.kind != XB_ERR_INVALID) {
            *err = why;
            return err->code;
        }
        xb_log_warning("a snapshot is not deleted with its backup", "backup", name_of(removal),
                       "why", why.text);
    }
    return 0;
}

static int add_own(void *context, xb_json *order, struct xb_error *err)
{
    struct xb_removal *removal = context;
    return is_own(removal, order) ? add_order(removal, order, err) : 0;
}

static int spare_foreign(void *context, xb_json *order, struct xb_error *err)
{
    struct xb_removal *removal = context;
    (void)err;
    if (!is_own(removal, order)) {
        xb_deletion_spare(&removal->snapshots, order);
    }
    return 0;
}

/* The record's own list: objects in the cluster may be gone. */
static int add_recorded(struct xb_removal *removal, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *orders = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_velero_backup_key(name_of(removal), "-podvolumebackups.json.gz", key, err);
    if (r < 0) {
        return r;
    }
    if (xb_download_json_gz(removal->store, key, XB_IMPORT_ORDERS_BYTES_MAX, &orders, &why) < 0) {
        if (why.kind == XB_ERR_CORRUPT || why.kind == XB_ERR_FULL) {
            xb_log_warning("a record's list of volumes cannot be read: snapshots that only it "
                           "names stay in their repositories",
                           "backup", name_of(removal), "why", why.text);
        } else if (why.kind != XB_ERR_NOT_FOUND) {
            *err = why;
            return err->code;
        }
        return 0;
    }
    size_t count =
        json_object_is_type(orders, json_type_array) ? json_object_array_length(orders) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = add_order(removal, json_object_array_get_idx(orders, i), err);
    }
    return r;
}

static int find_snapshots(struct xb_removal *removal, struct xb_error *err)
{
    const struct xb_kube_list list = {.resource = &xb_velero_pvbs,
                                      .namespace = removal->coordinator->options->namespace,
                                      .cancel = removal->cancel};
    struct xb_kube_client *client = removal->coordinator->client;
    int r = xb_kube_list_pages(client, &list, add_own, removal, err);
    if (r < 0 || (r = removal->own_record ? add_recorded(removal, err) : 0) < 0) {
        return r;
    }
    xb_deletion_sort(&removal->snapshots);
    return xb_kube_list_pages(client, &list, spare_foreign, removal, err);
}

/* ---- repositories ---- */

/* *ret stays NULL where the namespace has no repository. */
static int open_repository(struct xb_removal *removal, const char *namespace,
                           struct xb_repository **ret, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_open_repository(removal->coordinator, removal->store, namespace, ret, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return xb_error_wrap(err, "repository of namespace %s", namespace);
    }
    return 0;
}

/* The end of the snapshots of one namespace that begin at `from`. */
static size_t namespace_end(const struct xb_removal *removal, size_t from)
{
    const struct xb_deletion_snapshots *list = &removal->snapshots;
    size_t end = from;
    while (end < list->count &&
           strcmp(list->items[end].namespace, list->items[from].namespace) == 0) {
        end++;
    }
    return end;
}

static int delete_in(struct xb_removal *removal, size_t from, size_t end, struct xb_error *err)
{
    const char *namespace = removal->snapshots.items[from].namespace;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    int r = open_repository(removal, namespace, &repository, err);
    if (r < 0 || !repository) {
        return r;
    }
    while (r == 0 && from < end) {
        const char *ids[BATCH];
        size_t count = 0;
        size_t deleted = 0;
        for (; from < end && count < BATCH; from++) {
            ids[count++] = removal->snapshots.items[from].id;
        }
        r = check_on(removal, err);
        if (r == 0) {
            r = xb_snapshot_delete_many(repository, ids, count, &deleted, err);
        }
        if (r == 0) {
            xb_log_info("snapshots deleted", "backup", name_of(removal), "namespace", namespace);
        }
    }
    return r < 0 ? xb_error_wrap(err, "repository of namespace %s", namespace) : 0;
}

static int delete_snapshots(struct xb_removal *removal, struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0; r == 0 && at < removal->snapshots.count;) {
        size_t end = namespace_end(removal, at);
        r = delete_in(removal, at, end, err);
        at = end;
    }
    return r;
}

static int try_repositories(struct xb_removal *removal, struct xb_error *err)
{
    int r = 0;
    for (size_t at = 0; r == 0 && at < removal->snapshots.count; at = namespace_end(removal, at)) {
        XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
        r = open_repository(removal, removal->snapshots.items[at].namespace, &repository, err);
    }
    return r;
}

/* ---- the record ---- */

/* Whose the folder of the backup's name is. Another backup's may be there: one that failed because
 * its name was taken has an object, and no record. */
static int look_at_marker(struct xb_removal *removal, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_IMPORT_MARKER_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *marker = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_velero_marker_key(name_of(removal), key, err);
    if (r < 0) {
        return r;
    }
    removal->own_record = true;
    if (xb_store_get(removal->store, key, 0, XB_STORE_TO_END, &text, &why) < 0) {
        if (why.kind == XB_ERR_NOT_FOUND) {
            return 0;
        }
        *err = why;
        return err->code;
    }
    /* One that cannot be read is of no use to anybody. */
    removal->marked = true;
    if (xb_json_parse(text.data ? text.data : "", text.len, &marker, &why) == 0 &&
        !xb_deletion_own_marker(marker, removal->backup)) {
        removal->own_record = false;
        removal->marked = false;
        xb_log_warning("the record of this name is another backup's and stays", "backup",
                       name_of(removal));
    }
    return 0;
}

int xb_removal_prepare(struct xb_removal *removal, bool recorded, struct xb_error *err)
{
    char identity[XB_STORE_IDENTITY_BYTES];
    if (!recorded) {
        return 0;
    }
    int r = xb_open_location(removal->coordinator,
                             xb_json_str(removal->backup, "spec.storageLocation", ""), false,
                             &removal->store, identity, err);
    if (r < 0 || (r = look_at_marker(removal, err)) < 0 || (r = find_snapshots(removal, err)) < 0) {
        return r;
    }
    return try_repositories(removal, err);
}

struct files {
    struct xb_removal *removal;
    char last[XB_VELERO_KEY_BYTES]; /* the list of orders: says what is still to be done */
};

static int delete_file(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct files *files = context;
    if (strcmp(item->name, files->last) == 0) {
        return 0;
    }
    return xb_store_delete(files->removal->store, item->name, err);
}

static int delete_marker(struct xb_removal *removal, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    int r = removal->marked ? xb_velero_marker_key(name_of(removal), key, err) : 0;
    return r < 0 || !removal->marked ? r : xb_store_delete(removal->store, key, err);
}

static int delete_files(struct xb_removal *removal, struct xb_error *err)
{
    struct files files = {.removal = removal};
    char prefix[XB_VELERO_NAME_BYTES + 16];
    int r = xb_velero_backup_key(name_of(removal), "-podvolumebackups.json.gz", files.last, err);
    if (r < 0) {
        return r;
    }
    snprintf(prefix, sizeof prefix, "backups/%.253s/", name_of(removal));
    r = xb_store_list(removal->store, prefix, delete_file, &files, err);
    return r < 0 ? r : xb_store_delete(removal->store, files.last, err);
}

int xb_removal_carry_out(struct xb_removal *removal, struct xb_error *err)
{
    int r = 0;
    if (!removal->store) {
        return 0;
    }
    if ((r = check_on(removal, err)) < 0 || (r = delete_marker(removal, err)) < 0 ||
        (r = delete_snapshots(removal, err)) < 0) {
        return r;
    }
    if (!removal->own_record) {
        return 0;
    }
    r = check_on(removal, err);
    return r < 0 ? r : delete_files(removal, err);
}

void xb_removal_free(struct xb_removal *removal)
{
    xb_deletion_free(&removal->snapshots);
    xb_store_free(removal->store);
    removal->store = NULL;
}
