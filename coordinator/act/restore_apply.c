/* SPDX-License-Identifier: Apache-2.0
 * The record comes down, its items go onto scratch by kind, and into the cluster kind by kind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/restore_internal.h"
#include "coordinator/collect/kinds.h"
#include "coordinator/record/upload.h"
#include "coordinator/restore/order.h"
#include "coordinator/restore/versions.h"
#include "shared/base/clock.h"

enum { RECORD_JSON_BYTES_MAX = 256 << 20 };

#define DEFINITIONS "customresourcedefinitions.apiextensions.k8s.io"

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

void xb_restore_progress(struct restoring *restoring)
{
    int64_t now = xb_clock_mono_ns();
    struct xb_error err = XB_ERROR_INIT;
    if (now - restoring->patched_ns < XB_NS_PER_S) {
        return;
    }
    restoring->patched_ns = now;
    xb_json *status = json_object_new_object();
    xb_json *progress = json_object_new_object();
    json_object_object_add(progress, "itemsRestored",
                           json_object_new_int64((int64_t)restoring->run->items));
    json_object_object_add(progress, "totalItems",
                           json_object_new_int64((int64_t)restoring->run->items_total));
    json_object_object_add(status, "progress", progress);
    (void)!xb_act_patch_status(restoring->work->coordinator, &xb_velero_restores,
                               restoring->work->object, status, &err);
}

/* ---- the record ---- */

static int load_array(struct restoring *restoring, struct xb_store *store, const char *suffix,
                      xb_json **ret, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_backup_key(text(restoring->work, "spec.backupName"), suffix, key, err);
    if (r == 0) {
        r = xb_download_json_gz(store, key, RECORD_JSON_BYTES_MAX, ret, err);
    }
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT; /* older backups have fewer files */
        *ret = json_object_new_array();
        return 0;
    }
    if (r == 0 && !json_object_is_type(*ret, json_type_array)) {
        if (*ret) {
            json_object_put(*ret);
        }
        *ret = json_object_new_array();
    }
    return r;
}

static int on_item(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                   struct xb_error *err)
{
    struct restoring *restoring = context;
    restoring->run->items_total++;
    if (strcmp(item->resource, "namespaces") == 0) {
        xb_json *namespace = NULL;
        int r = xb_json_parse(json, len, &namespace, err);
        if (r == 0) {
            json_object_object_add(restoring->namespaces, item->name, namespace);
        }
        return r;
    }
    return xb_restore_never(item->resource) ? 0
                                            : xb_spool_add(restoring->spool, item, json, len, err);
}

/* ---- in which version, where the record has several ---- */

static const struct xb_kube_api *find_api(struct restoring *restoring, const char *resource,
                                          const char *version)
{
    char plural[256];
    size_t len = strcspn(resource, ".");
    if (len >= sizeof plural) {
        return NULL;
    }
    memcpy(plural, resource, len);
    plural[len] = '\0';
    const char *group = resource[len] ? resource + len + 1 : "";
    return xb_kube_discovery_find_plural(restoring->discovery, group, version[0] ? version : NULL,
                                         plural);
}

static bool serves(void *context, const char *resource, const char *version)
{
    return find_api(context, resource, version) != NULL;
}

static const char *preferred_here(void *context, const char *resource)
{
    const struct xb_kube_api *api = find_api(context, resource, "");
    return api ? api->resource.version : NULL;
}

static int see_version(void *context, const struct xb_tarball_item *item, enum xb_tarball_copy copy,
                       struct xb_error *err)
{
    return xb_restore_versions_seen(context, item->resource, item->version,
                                    copy == XB_TARBALL_PREFERRED_VERSION, err);
}

static bool wants_version(void *context, const struct xb_tarball_item *item,
                          enum xb_tarball_copy copy)
{
    const char *chosen = xb_restore_versions_chosen(context, item->resource);
    return chosen ? strcmp(chosen, item->version) == 0 : copy == XB_TARBALL_PREFERRED_VERSION;
}

/* The user's order, in a ConfigMap that Velero has the name of. */
static int load_priorities(struct restoring *restoring, xb_json **ret, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_configmaps,
                                    .namespace = text(restoring->work, "metadata.namespace"),
                                    .name = "enableapigroupversions"};
    int r = xb_kube_get(restoring->work->coordinator->client, &ref, ret, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

static int load_items(struct restoring *restoring, struct xb_error *err)
{
    XB_CLEANUP(xb_restore_versions_freep) struct xb_restore_versions *versions = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *map = NULL;
    const struct xb_restore_served served = {
        .serves = serves, .preferred = preferred_here, .context = restoring};
    int r = load_priorities(restoring, &map, err);
    if (r < 0 || (r = xb_restore_versions_new(
                      &served, xb_json_str(map, "data.restoreResourcesVersionPriority", NULL),
                      &versions, err)) < 0) {
        return r;
    }
    const struct xb_tarball_versions choice = {
        .seen = see_version, .wants = wants_version, .context = versions};
    return xb_tarball_read_versions(restoring->run->tarball, &choice, on_item, restoring, err);
}

static int load_record(struct restoring *restoring, struct xb_store *store, struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    char folder[XB_PATH_BYTES + 16];
    struct xb_run *run = restoring->run;
    snprintf(folder, sizeof folder, "%s/items", run->folder);
    int r = xb_velero_backup_key(text(restoring->work, "spec.backupName"), ".tar.gz", key, err);
    if (r < 0 || (r = xb_download_file(store, key, run->tarball, err)) < 0 ||
        (r = load_array(restoring, store, "-podvolumebackups.json.gz", &restoring->data, err)) <
            0 ||
        (r = load_array(restoring, store, "-volumeinfo.json.gz", &restoring->infos, err)) < 0 ||
        (r = xb_spool_new(folder, &restoring->spool, err)) < 0) {
        return r;
    }
    return load_items(restoring, err);
}

/* ---- kinds ---- */

static bool wanted_kind(const struct restoring *restoring, const struct xb_kube_api *api)
{
    const struct xb_filter_kind kind = xb_kind_of(api);
    return xb_filter_takes_kind(restoring->filter, &kind);
}

static int apply_item(void *context, const struct xb_tarball_item *item, const char *json,
                      size_t len, struct xb_error *err)
{
    struct restoring *restoring = context;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    const struct xb_kube_api *api = find_api(restoring, item->resource, item->version);
    if (atomic_load(restoring->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
    }
    if (!api) {
        xb_record_log_line(restoring->run->log, XB_RECORD_ERROR, item->namespace,
                           "%s %s: the cluster does not serve this kind (version %s)",
                           item->resource, item->name, item->version);
        return 0;
    }
    if (!wanted_kind(restoring, api) ||
        (item->namespace[0] && !xb_filter_takes_namespace(restoring->filter, item->namespace))) {
        return 0;
    }
    int r = xb_json_parse(json, len, &object, err);
    if (r < 0) {
        xb_record_log_line(restoring->run->log, XB_RECORD_ERROR, item->namespace, "%s %s: %s",
                           item->resource, item->name, err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return xb_filter_takes_object(restoring->filter, object)
               ? xb_restore_item(restoring, api, item, object, err)
               : 0;
}

struct group {
    const char *name; /* first: compared through it */
    size_t index;
};

static int compare_groups(const void *left, const void *right)
{
    const struct group *a = left;
    const struct group *b = right;
    return xb_restore_order_compare(&a->name, &b->name);
}

static int rediscover(struct restoring *restoring, struct xb_error *err)
{
    struct xb_kube_discovery *fresh = NULL;
    int r = xb_kube_discover(restoring->work->coordinator->client, &fresh, err);
    if (r == 0) {
        xb_kube_discovery_free(restoring->discovery);
        restoring->discovery = fresh;
        r = xb_filter_resolve(restoring->filter, xb_kind_resolve, fresh, err);
    }
    return r;
}

static int apply_groups(struct restoring *restoring, struct xb_error *err)
{
    size_t count = xb_spool_group_count(restoring->spool);
    struct group *groups = calloc(count + 1, sizeof *groups);
    if (!groups) {
        return xb_error_no_memory(err, "the kinds");
    }
    for (size_t i = 0; i < count; i++) {
        groups[i] = (struct group){xb_spool_group_name(restoring->spool, i), i};
    }
    qsort(groups, count, sizeof *groups, compare_groups);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = xb_spool_read(restoring->spool, groups[i].index, apply_item, restoring, err);
        if (r == 0 && strcmp(groups[i].name, DEFINITIONS) == 0) {
            r = rediscover(restoring, err);
        }
    }
    free(groups);
    return r;
}

/* ---- the whole ---- */

static int fill_context(struct restoring *restoring, struct xb_error *err)
{
    xb_json *restore = restoring->work->object;
    const char *backup = text(restoring->work, "spec.backupName");
    int r = xb_velero_label(backup, restoring->backup_label, err);
    if (r == 0) {
        r = xb_velero_label(text(restoring->work, "metadata.name"), restoring->restore_label, err);
    }
    restoring->context = (struct xb_restore_context){
        .backup_name = backup,
        .restore_name = text(restoring->work, "metadata.name"),
        .backup_label = restoring->backup_label,
        .restore_label = restoring->restore_label,
        .restore_uid = text(restoring->work, "metadata.uid"),
        .namespace_mapping = xb_json_get(restore, "spec.namespaceMapping"),
        .preserve_node_ports = xb_json_bool(restore, "spec.preserveNodePorts", false),
        .keep_token_secrets = true,
        .helper_image = restoring->work->coordinator->options->helper_image};
    return r;
}

static int load_backup(struct restoring *restoring, struct xb_store **ret, struct xb_error *err)
{
    struct xb_step_work *work = restoring->work;
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = text(work, "metadata.namespace"),
                                    .name = text(work, "spec.backupName")};
    int r = xb_kube_get(work->coordinator->client, &ref, &restoring->backup, err);
    return r < 0 ? r
                 : xb_open_location(work->coordinator,
                                    xb_json_str(restoring->backup, "spec.storageLocation", ""),
                                    true, ret, restoring->identity, err);
}

/* Namespaces that were asked for by name, or are in the backup, come back even if they are empty.
 */
static int bring_namespaces(struct restoring *restoring, struct xb_error *err)
{
    json_object_object_foreach(restoring->namespaces, name, object)
    {
        (void)object;
        if (xb_filter_takes_namespace(restoring->filter, name)) {
            int r = xb_restore_ensure_namespace(restoring, name, err);
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

static int apply(struct restoring *restoring, struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    struct xb_run *run = restoring->run;
    int r = xb_run_begin(restoring->work->coordinator, run, "restore", err);
    if (r < 0 || (r = load_backup(restoring, &store, err)) < 0 ||
        (r = fill_context(restoring, err)) < 0 ||
        (r = xb_filter_new(xb_json_get(restoring->work->object, "spec"), &restoring->filter, err)) <
            0) {
        return r;
    }
    xb_record_log_line(run->log, XB_RECORD_INFO, NULL, "restore of backup %s begins (Xebec %s)",
                       text(restoring->work, "spec.backupName"), XB_VERSION);
    if ((r = rediscover(restoring, err)) < 0 || (r = load_record(restoring, store, err)) < 0 ||
        (r = bring_namespaces(restoring, err)) < 0 || (r = apply_groups(restoring, err)) < 0) {
        return r;
    }
    run->made_ns = xb_clock_wall_ns();
    run->timeout_ns = restoring->work->coordinator->options->volumes_timeout_ns;
    xb_record_log_line(run->log, XB_RECORD_INFO, NULL, "%llu items, %zu volumes ordered",
                       (unsigned long long)run->items, json_object_array_length(run->orders));
    run->worked = true;
    return 0;
}

static void put(xb_json *json)
{
    if (json) {
        json_object_put(json);
    }
}

int xb_restore_apply(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    struct restoring restoring = {.work = work,
                                  .run = work->run,
                                  .cancel = cancel,
                                  .namespaces = json_object_new_object(),
                                  .made = json_object_new_object(),
                                  .left_out = json_object_new_object()};
    int r = apply(&restoring, err);
    xb_spool_free(restoring.spool);
    xb_filter_free(restoring.filter);
    xb_kube_discovery_free(restoring.discovery);
    put(restoring.backup);
    put(restoring.data);
    put(restoring.infos);
    put(restoring.namespaces);
    put(restoring.made);
    put(restoring.left_out);
    return r;
}
