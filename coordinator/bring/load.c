/* SPDX-License-Identifier: Apache-2.0
 * The record comes down, and its items go onto scratch by kind. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/record/upload.h"
#include "coordinator/restore/genuine.h"
#include "coordinator/restore/order.h"
#include "coordinator/restore/versions.h"

enum { RECORD_JSON_BYTES_MAX = 256 << 20 };

/* One of the record's arrays; empty where an older backup has no such file. */
static int load_array(struct xb_bring *bring, const char *suffix, xb_json **ret,
                      struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *array = NULL;
    int r = xb_velero_backup_key(bring->context.backup_name, suffix, key, err);
    if (r == 0) {
        r = xb_download_json_gz(bring->options->store, key, RECORD_JSON_BYTES_MAX, &array, err);
    }
    if (r < 0 && err->kind != XB_ERR_NOT_FOUND) {
        return r;
    }
    *err = (struct xb_error)XB_ERROR_INIT;
    *ret = json_object_is_type(array, json_type_array) ? XB_TAKE(array) : json_object_new_array();
    return *ret ? 0 : xb_error_no_memory(err, "the record");
}

/* One that is not what its folder says is made without the record's labels and annotations. */
static int load_namespace(struct xb_bring *bring, const struct xb_tarball_item *item,
                          const char *json, size_t len, struct xb_error *err)
{
    const struct xb_restore_place place = {"", "Namespace", "", item->name};
    XB_CLEANUP(xb_json_putp) xb_json *namespace = NULL;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_json_parse(json, len, &namespace, &why);
    r = r ? r : xb_restore_check_place(namespace, &place, &why);
    if (r < 0) {
        xb_record_log_line(bring->options->log, XB_RECORD_ERROR,
                           xb_restore_namespace(&bring->context, item->name), "namespaces %s: %s",
                           item->name, why.text);
        return 0;
    }
    if (json_object_object_add(bring->namespaces, item->name, namespace) < 0) {
        return xb_error_no_memory(err, "the namespaces");
    }
    (void)XB_TAKE(namespace);
    return 0;
}

static int on_item(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                   struct xb_error *err)
{
    struct xb_bring *bring = context;
    if (strcmp(item->resource, "namespaces") == 0) {
        return load_namespace(bring, item, json, len, err);
    }
    if (xb_restore_never(item->resource)) {
        return 0;
    }
    bring->brought->items_total++;
    int r = xb_bring_look_for_related(bring, item, json, len, err);
    return r ? r : xb_spool_add(bring->spool, item, json, len, err);
}

/* ---- in which version, where the record has several ---- */

static bool serves(void *context, const char *resource, const char *version)
{
    return xb_bring_api(context, resource, version) != NULL;
}

static const char *preferred_here(void *context, const char *resource)
{
    const struct xb_kube_api *api = xb_bring_api(context, resource, "");
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
static int load_priorities(struct xb_bring *bring, xb_json **ret, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_configmaps,
                                    .namespace =
                                        xb_json_str(bring->restore, "metadata.namespace", ""),
                                    .name = "enableapigroupversions"};
    int r = xb_kube_get(bring->options->client, &ref, ret, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

static int load_items(struct xb_bring *bring, const char *tarball, struct xb_error *err)
{
    XB_CLEANUP(xb_restore_versions_freep) struct xb_restore_versions *versions = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *map = NULL;
    const struct xb_restore_served served = {
        .serves = serves, .preferred = preferred_here, .context = bring};
    int r = load_priorities(bring, &map, err);
    if (r < 0 || (r = xb_restore_versions_new(
                      &served, xb_json_str(map, "data.restoreResourcesVersionPriority", NULL),
                      &versions, err)) < 0) {
        return r;
    }
    const struct xb_tarball_versions choice = {
        .seen = see_version, .wants = wants_version, .context = versions};
    return xb_tarball_read_versions(tarball, &choice, on_item, bring, err);
}

int xb_bring_load_volumes(struct xb_bring *bring, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pvbs = NULL;
    int r = load_array(bring, "-podvolumebackups.json.gz", &pvbs, err);
    r = r ? r : xb_bring_index_data(bring, pvbs, err);
    r = r ? r : load_array(bring, "-volumeinfo.json.gz", &bring->infos, err);
    return r ? r : xb_bring_index_infos(bring, err);
}

int xb_bring_load_tarball(struct xb_bring *bring, char path[PATH_MAX], struct xb_error *err)
{
    char key[XB_VELERO_KEY_BYTES];
    snprintf(path, PATH_MAX, "%s/items.tar.gz", bring->options->folder);
    int r = xb_velero_backup_key(bring->context.backup_name, ".tar.gz", key, err);
    return r ? r : xb_download_file(bring->options->store, key, path, err);
}

int xb_bring_load(struct xb_bring *bring, struct xb_error *err)
{
    char tarball[PATH_MAX], folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s/items", bring->options->folder);
    int r = xb_bring_load_tarball(bring, tarball, err);
    r = r ? r : xb_bring_load_volumes(bring, err);
    r = r ? r : xb_spool_new(folder, &bring->spool, err);
    if (r < 0) {
        return r;
    }
    r = load_items(bring, tarball, err);
    unlink(tarball); /* everything is on the spool */
    return r ? r : xb_bring_relate(bring, err);
}
