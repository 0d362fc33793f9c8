/* SPDX-License-Identifier: Apache-2.0
 * One object of a backup into the cluster. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/act/restore_internal.h"
#include "coordinator/restore/order.h"
#include "shared/base/clock.h"

enum { ESTABLISHED_TRIES = 60, ESTABLISHED_PAUSE_MS = 250, TERMINATING_PAUSE_MS = 500 };

static bool is(const struct xb_tarball_item *item, const char *resource)
{
    return strcmp(item->resource, resource) == 0;
}

static void log_item(struct restoring *restoring, enum xb_record_level level,
                     const struct xb_tarball_item *item, const char *what)
{
    xb_record_log_line(restoring->run->log, level, item->namespace, "%s %s%s%s: %s", item->resource,
                       item->namespace, item->namespace[0] ? "/" : "", item->name, what);
}

static struct xb_kube_ref ref_of(const struct xb_kube_api *api, xb_json *object)
{
    return (struct xb_kube_ref){.resource = &api->resource,
                                .namespace = api->resource.namespaced
                                                 ? xb_json_str(object, "metadata.namespace", NULL)
                                                 : NULL,
                                .name = xb_json_str(object, "metadata.name", "")};
}

static int add_to_list(struct restoring *restoring, xb_json *object, const char *what,
                       struct xb_error *err)
{
    return xb_resource_list_add(&restoring->run->list, object, what, err);
}

static void pause_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* ---- namespaces ---- */

/* Nothing can be made in a namespace that goes: after the delete that often comes right before a
 * restore, its end is waited for. *ret_gone: it is not there any more. */
static int await_end(struct restoring *restoring, const char *name, bool *ret_gone,
                     struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces, .name = name};
    const int64_t limit_ns = restoring->work->coordinator->options->terminating_ns;
    int64_t began = xb_clock_mono_ns();
    for (bool said = false;; said = true) {
        XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
        int r = xb_kube_get(restoring->work->coordinator->client, &ref, &now, err);
        *ret_gone = r < 0 && err->kind == XB_ERR_NOT_FOUND;
        if (*ret_gone) {
            *err = (struct xb_error)XB_ERROR_INIT;
            return 0;
        }
        if (r < 0 || !xb_json_get(now, "metadata.deletionTimestamp")) {
            return r;
        }
        if (atomic_load(restoring->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
        }
        if (xb_clock_mono_ns() - began > limit_ns) {
            return xb_error_set(err, XB_ERR_INVALID, -EBUSY,
                                "it is being deleted and does not go away "
                                "(--terminating-resource-timeout)");
        }
        if (!said) {
            xb_record_log_line(restoring->run->log, XB_RECORD_INFO, name,
                               "namespace %s is being deleted; its end is waited for", name);
        }
        pause_ms(TERMINATING_PAUSE_MS);
    }
}

/* Returns 1 when it was made, 0 when it was there. */
static int make_namespace(struct restoring *restoring, const char *name, xb_json *namespace,
                          struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces};
    bool gone = true;
    int r = 0;
    while (gone) {
        r = xb_kube_create(restoring->work->coordinator->client, &ref, namespace, NULL, err);
        if (r == 0 || err->kind != XB_ERR_CONFLICT) {
            break;
        }
        *err = (struct xb_error)XB_ERROR_INIT;
        r = await_end(restoring, name, &gone, err);
    }
    return r < 0 ? xb_error_wrap(err, "namespace %s", name) : gone;
}

int xb_restore_ensure_namespace(struct restoring *restoring, const char *source,
                                struct xb_error *err)
{
    const char *target = xb_restore_namespace(&restoring->context, source);
    xb_json *known = NULL;
    if (json_object_object_get_ex(restoring->made, target, &known)) {
        return 0;
    }
    XB_CLEANUP(xb_json_putp) xb_json *namespace = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *from = NULL;
    xb_json_put_text(metadata, "name", target);
    if (json_object_object_get_ex(restoring->namespaces, source, &from)) {
        xb_json *labels = xb_json_get(from, "metadata.labels");
        xb_json *annotations = xb_json_get(from, "metadata.annotations");
        json_object_object_add(metadata, "labels", labels ? json_object_get(labels) : NULL);
        json_object_object_add(metadata, "annotations",
                               annotations ? json_object_get(annotations) : NULL);
    }
    xb_json_put_text(namespace, "apiVersion", "v1");
    xb_json_put_text(namespace, "kind", "Namespace");
    json_object_object_add(namespace, "metadata", metadata);
    int r = make_namespace(restoring, target, namespace, err);
    if (r < 0) {
        return r;
    }
    r = r > 0 ? add_to_list(restoring, namespace, "created", err) : 0;
    json_object_object_add(restoring->made, target, json_object_new_boolean(true));
    return r;
}

/* ---- definitions ---- */

static bool established(xb_json *definition)
{
    xb_json *conditions = xb_json_get(definition, "status.conditions");
    size_t count =
        json_object_is_type(conditions, json_type_array) ? json_object_array_length(conditions) : 0;
    unsigned good = 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *condition = json_object_array_get_idx(conditions, i);
        const char *type = xb_json_str(condition, "type", "");
        good += strcmp(xb_json_str(condition, "status", ""), "True") == 0 &&
                (strcmp(type, "Established") == 0 || strcmp(type, "NamesAccepted") == 0);
    }
    return good == 2;
}

/* Objects of a kind can be made only once its definition is served. */
static void await_definition(struct restoring *restoring, const struct xb_kube_ref *ref,
                             const struct xb_tarball_item *item)
{
    for (int try = 0; try < ESTABLISHED_TRIES && !atomic_load(restoring->cancel); try++) {
        XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
        struct xb_error err = XB_ERROR_INIT;
        if (xb_kube_get(restoring->work->coordinator->client, ref, &now, &err) == 0 &&
            established(now)) {
            return;
        }
        pause_ms(ESTABLISHED_PAUSE_MS);
    }
    log_item(restoring, XB_RECORD_WARNING, item, "is not established; its objects may be refused");
}

/* ---- what is there already ---- */

static bool made_by_us(const struct restoring *restoring, xb_json *existing)
{
    xb_json *labels = xb_json_get(existing, "metadata.labels");
    xb_json *label = NULL;
    return labels && json_object_object_get_ex(labels, "velero.io/restore-name", &label) &&
           strcmp(json_object_get_string(label), restoring->restore_label) == 0;
}

static int merge_account(struct restoring *restoring, const struct xb_kube_ref *ref,
                         xb_json *existing, xb_json *wanted, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = xb_restore_merge_service_account(existing, wanted);
    return patch ? xb_kube_merge_patch(restoring->work->coordinator->client, ref, patch, NULL, err)
                 : 0;
}

static int update_existing(struct restoring *restoring, const struct xb_kube_ref *ref,
                           const struct xb_tarball_item *item, xb_json *wanted,
                           struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    if (xb_kube_merge_patch(restoring->work->coordinator->client, ref, wanted, NULL, &why) < 0) {
        log_item(restoring, XB_RECORD_WARNING, item, why.text);
        return add_to_list(restoring, wanted, "failed", err);
    }
    return add_to_list(restoring, wanted, "updated", err);
}

/* *ret: the existing object, if it is one that this very restore made before a crash. */
static int meet_existing(struct restoring *restoring, const struct xb_kube_ref *ref,
                         const struct xb_tarball_item *item, xb_json *wanted, xb_json **ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *existing = NULL;
    int r = xb_kube_get(restoring->work->coordinator->client, ref, &existing, err);
    if (r < 0) {
        return r;
    }
    if (made_by_us(restoring, existing)) {
        *ret = XB_TAKE(existing);
        return add_to_list(restoring, wanted, "created", err);
    }
    if (is(item, "serviceaccounts")) {
        r = merge_account(restoring, ref, existing, wanted, err);
        return r < 0 ? r : add_to_list(restoring, wanted, "updated", err);
    }
    if (strcmp(xb_json_str(restoring->work->object, "spec.existingResourcePolicy", ""), "update") ==
        0) {
        return update_existing(restoring, ref, item, wanted, err);
    }
    if (!xb_restore_equal(existing, wanted)) {
        log_item(restoring, XB_RECORD_WARNING, item,
                 "is there already, and differs from the backup; it was left as it is");
    }
    return add_to_list(restoring, wanted, "skipped", err);
}

/* ---- one item ---- */

/* Volumes and claims: whose data comes back through a pod gets a fresh volume, and so does a claim
 * of which only an empty volume would come back, for which its class makes a new one. */
static int prepare_volume(struct restoring *restoring, const struct xb_tarball_item *item,
                          xb_json *object, bool *ret_skip, struct xb_error *err)
{
    *ret_skip = false;
    if (is(item, "persistentvolumes")) {
        bool data = xb_restore_pv_has_data(restoring, object);
        if (xb_restore_volume_way(object, data) == XB_RESTORE_PV_SKIP) {
            json_object_object_add(restoring->left_out, item->name, json_object_new_boolean(true));
            *ret_skip = true;
            return 0;
        }
        return xb_restore_pv_keep(&restoring->context, object, err);
    }
    if (is(item, "persistentvolumeclaims")) {
        const char *volume = xb_json_str(object, "spec.volumeName", "");
        bool data = xb_restore_claim_has_data(restoring, object);
        if (data || json_object_object_get(restoring->left_out, volume)) {
            xb_restore_pvc_detach(object);
        }
        if (data) {
            xb_restore_pvc_drop_source(object);
        }
    }
    return 0;
}

static int create(struct restoring *restoring, const struct xb_kube_api *api,
                  const struct xb_tarball_item *item, xb_json *object, struct xb_error *err)
{
    struct xb_kube_ref ref = ref_of(api, object);
    const char *name = ref.name;
    XB_CLEANUP(xb_json_putp) xb_json *made = NULL;
    ref.name = NULL;
    int r = xb_kube_create(restoring->work->coordinator->client, &ref, object, &made, err);
    ref.name = name;
    if (r < 0 && err->kind == XB_ERR_CONFLICT && err->code == -EEXIST) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = meet_existing(restoring, &ref, item, object, &made, err);
    } else if (r == 0) {
        r = add_to_list(restoring, object, "created", err);
    }
    if (r < 0) {
        return r;
    }
    if (is(item, "customresourcedefinitions.apiextensions.k8s.io")) {
        await_definition(restoring, &ref, item);
    }
    return made && is(item, "pods") ? xb_restore_order_pod(restoring, item->namespace, made, err)
                                    : 0;
}

static int bring(struct restoring *restoring, const struct xb_kube_api *api,
                 const struct xb_tarball_item *item, xb_json *object, struct xb_error *err)
{
    enum xb_restore_decision decision = XB_RESTORE_SKIP;
    char reason[XB_RESTORE_REASON_BYTES] = "";
    bool skip = false;
    /* Before the names are mapped: data is known by the names of the backup. */
    int r = prepare_volume(restoring, item, object, &skip, err);
    if (r < 0 || skip) {
        return r;
    }
    r = xb_restore_transform(&restoring->context, item->resource, object, &decision, reason, err);
    if (r < 0) {
        return r;
    }
    if (decision == XB_RESTORE_SKIP) {
        log_item(restoring, XB_RECORD_INFO, item, reason);
        return 0;
    }
    if (is(item, "pods") &&
        (r = xb_restore_prepare_pod(restoring, item->namespace, object, err)) < 0) {
        return r;
    }
    if (item->namespace[0] &&
        (r = xb_restore_ensure_namespace(restoring, item->namespace, err)) < 0) {
        return r;
    }
    return create(restoring, api, item, object, err);
}

int xb_restore_item(struct restoring *restoring, const struct xb_kube_api *api,
                    const struct xb_tarball_item *item, xb_json *object, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = bring(restoring, api, item, object, &why);
    restoring->run->items++;
    xb_restore_progress(restoring);
    if (r == 0) {
        return 0;
    }
    if (why.kind == XB_ERR_CANCELLED || why.kind == XB_ERR_RETRY || why.kind == XB_ERR_FULL) {
        *err = why;
        return r;
    }
    log_item(restoring, XB_RECORD_ERROR, item, why.text);
    return add_to_list(restoring, object, "failed", err);
}
