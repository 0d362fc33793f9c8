/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/ordering.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/bracket.h"
#include "shared/velero/point_in_time.h"

enum { NO_SIGN_OF_LIFE_S = 120 };

static const char *text(const struct xb_step_work *work, const char *path)
{
    return xb_json_str(work->object, path, "");
}

static bool node_says(const struct xb_ordering *orders, const char *node, const char *annotation)
{
    xb_json *lease = xb_agents_lease(orders->work->extra, node);
    xb_json *value = NULL;
    return lease &&
           json_object_object_get_ex(xb_json_get(lease, "metadata.annotations"), annotation,
                                     &value) &&
           strcmp(json_object_get_string(value), "true") == 0 &&
           !xb_ordering_agent_silent(orders, node); /* Velero's may be there now */
}

bool xb_ordering_node_runs_hooks(const struct xb_ordering *orders, const char *node)
{
    return node_says(orders, node, XB_BRACKET_NODE_ANNOTATION);
}

bool xb_ordering_node_prepares(const struct xb_ordering *orders, const char *node)
{
    return node_says(orders, node, XB_PREPARES_ANNOTATION);
}

bool xb_ordering_agent_silent(const struct xb_ordering *orders, const char *node)
{
    XB_CLEANUP(xb_json_putp) xb_json *lease = NULL;
    struct xb_error ignored = XB_ERROR_INIT; /* a server that is away is asked again */
    char name[XB_VELERO_NAME_BYTES];
    int64_t renewed_ns = 0;
    const struct xb_kube_ref ref = {.resource = &xb_coordination_leases,
                                    .namespace = orders->work->coordinator->options->namespace,
                                    .name = name};
    snprintf(name, sizeof name, "xebec-node-%.200s", node);
    return xb_kube_get(orders->work->coordinator->client, &ref, &lease, &ignored) == 0 &&
           xb_time_parse(xb_json_str(lease, "spec.renewTime", ""), &renewed_ns, &ignored) == 0 &&
           xb_clock_wall_ns() - renewed_ns > NO_SIGN_OF_LIFE_S * XB_NS_PER_S;
}

/* Texts, as Velero writes them. */
static void put_uploader_settings(struct xb_step_work *work, xb_json *spec)
{
    int64_t files = xb_json_int(work->object, "spec.uploaderConfig.parallelFilesUpload", 0);
    char count[24];
    if (files > 0) {
        xb_json *settings = json_object_new_object();
        snprintf(count, sizeof count, "%lld", (long long)files);
        xb_json_put_text(settings, "ParallelFilesUpload", count);
        json_object_object_add(spec, "uploaderSettings", settings);
    }
}

/* What the order says of its application; NULL: nothing. */
static const char *held(const struct xb_ordering *orders, const char *bracket)
{
    return bracket ? NULL : orders->open ? "true" : orders->opening ? "soon" : NULL;
}

static xb_json *make_order(const struct xb_ordering *orders,
                           const struct xb_collected_volume *volume, const char *name,
                           const char *bracket)
{
    struct xb_step_work *work = orders->work;
    const char *pod_uid = volume->pod_uid ? volume->pod_uid : "";
    xb_json *order = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_json *pod = json_object_new_object();
    xb_json *tags = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *metadata = xb_velero_order_metadata(work->object, "Backup", name);
    if (volume->claim) {
        json_object_object_add(xb_json_get(metadata, "labels"), "velero.io/pvc-uid",
                               json_object_new_string(volume->claim_uid ? volume->claim_uid : ""));
        xb_json_put_text(annotations, "velero.io/pvc-name", volume->claim);
        xb_json_put_text(tags, "pvc-uid", volume->claim_uid ? volume->claim_uid : "");
    }
    xb_json_put_text(annotations, XB_STORE_IDENTITY_ANNOTATION, orders->identity);
    if (bracket) {
        xb_json_put_text(annotations, XB_BRACKET_ANNOTATION, bracket);
    } else if (held(orders, NULL)) {
        xb_json_put_text(annotations, XB_HELD_ANNOTATION, held(orders, NULL));
    }
    json_object_object_add(metadata, "annotations", annotations);
    xb_json_put_text(pod, "kind", "Pod");
    xb_json_put_text(pod, "namespace", volume->pod_namespace);
    xb_json_put_text(pod, "name", volume->pod);
    xb_json_put_text(pod, "uid", pod_uid);
    xb_json_put_text(tags, "backup", text(work, "metadata.name"));
    xb_json_put_text(tags, "backup-uid", text(work, "metadata.uid"));
    xb_json_put_text(tags, "pod", volume->pod);
    xb_json_put_text(tags, "pod-uid", pod_uid);
    xb_json_put_text(tags, "ns", volume->pod_namespace);
    xb_json_put_text(tags, "volume", volume->volume);
    xb_json_put_text(spec, "node", volume->node);
    json_object_object_add(spec, "pod", pod);
    xb_json_put_text(spec, "volume", volume->volume);
    xb_json_put_text(spec, "backupStorageLocation", text(work, "spec.storageLocation"));
    xb_json_put_text(spec, "repoIdentifier", "");
    xb_json_put_text(spec, "uploaderType", "kopia");
    json_object_object_add(spec, "tags", tags);
    put_uploader_settings(work, spec);
    xb_json_put_text(order, "apiVersion", "velero.io/v1");
    xb_json_put_text(order, "kind", "PodVolumeBackup");
    json_object_object_add(order, "metadata", metadata);
    json_object_object_add(order, "spec", spec);
    return order;
}

int xb_ordering_name(const struct xb_ordering *orders, const struct xb_collected_volume *volume,
                     char out[XB_VELERO_NAME_BYTES], struct xb_error *err)
{
    const char *parts[] = {text(orders->work, "metadata.uid"),
                           volume->pod_uid ? volume->pod_uid : volume->claim_uid, volume->volume,
                           NULL};
    return xb_velero_derived_name(text(orders->work, "metadata.name"), parts, out, err);
}

/* NULL: an annotation is taken away. */
static int annotate(const struct xb_ordering *orders, const char *name, const char *held_now,
                    const char *bracket, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace = text(orders->work, "metadata.namespace"),
                                    .name = name};
    json_object_object_add(annotations, XB_HELD_ANNOTATION,
                           held_now ? json_object_new_string(held_now) : NULL);
    if (bracket) {
        xb_json_put_text(annotations, XB_BRACKET_ANNOTATION, bracket);
    }
    int r = xb_json_set(patch, "metadata.annotations", annotations, err);
    return r ? r : xb_kube_merge_patch(orders->work->coordinator->client, &ref, patch, NULL, err);
}

/* An earlier attempt has made it. If that was to hold its application soon, and it has not come to
 * that, the agent would wait for ever for what this one does in another way. */
static int mend_order(const struct xb_ordering *orders, const char *name, const char *bracket,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace = text(orders->work, "metadata.namespace"),
                                    .name = name};
    const char *now = held(orders, bracket);
    int r = xb_kube_get(orders->work->coordinator->client, &ref, &order, err);
    return r < 0 || !xb_point_in_time_held_soon(order) || (now && strcmp(now, "soon") == 0)
               ? r
               : annotate(orders, name, now, bracket, err);
}

int xb_ordering_hold(const struct xb_ordering *orders, const struct xb_collected_volume *volume,
                     bool is_held, struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_ordering_name(orders, volume, name, err);
    if (r == 0 && (r = annotate(orders, name, is_held ? "true" : NULL, NULL, &why)) < 0) {
        if (why.kind == XB_ERR_NOT_FOUND) {
            return 0; /* deleted: nobody waits for it */
        }
        *err = why;
    }
    return r;
}

static int create_order(struct xb_ordering *orders, const struct xb_collected_volume *volume,
                        const char *bracket, struct xb_error *err)
{
    struct xb_step_work *work = orders->work;
    char name[XB_VELERO_NAME_BYTES];
    int r = xb_ordering_name(orders, volume, name, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_json_putp) xb_json *order = make_order(orders, volume, name, bracket);
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace = text(work, "metadata.namespace")};
    struct xb_error why = XB_ERROR_INIT;
    r = xb_kube_create(work->coordinator->client, &ref, order, NULL, &why);
    if (r < 0 && why.kind == XB_ERR_CONFLICT) {
        why = (struct xb_error)XB_ERROR_INIT;
        r = mend_order(orders, name, bracket, &why);
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    json_object_array_add(work->run->orders, json_object_new_string(name));
    return 0;
}

/* What keeps it from being made is an error of this volume; 0 then, too. */
static int settle(struct xb_ordering *orders, struct xb_collected_volume *volume, int r,
                  const struct xb_error *why, struct xb_error *err)
{
    if (r == 0) {
        return 0;
    }
    if (why->kind == XB_ERR_RETRY || why->kind == XB_ERR_CANCELLED) {
        *err = *why;
        return r;
    }
    xb_record_log_line(orders->work->run->log, XB_RECORD_ERROR, volume->pod_namespace,
                       volume->pod_uid ? "volume %s of pod %s is not backed up: %s"
                                       : "the data of claim %s%s is not backed up: %s",
                       volume->volume, volume->pod, why->text);
    volume->skipped = strdup(why->text);
    return volume->skipped ? 0 : xb_error_no_memory(err, "a volume");
}

/* The repository of a namespace. To open one costs a fifth of a second and some requests, and the
 * volumes of a namespace come one after the other: it is looked for once, whatever comes of it. */
static int find_repository(struct xb_ordering *orders, const char *namespace, struct xb_error *err)
{
    struct xb_step_work *work = orders->work;
    const struct xb_repository_place place = {.store = orders->store,
                                              .location = text(work, "spec.storageLocation"),
                                              .namespace = namespace};
    if (strcmp(orders->looked_for, namespace) == 0) {
        if (orders->missing.code < 0) {
            *err = orders->missing;
        }
        return orders->missing.code;
    }
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_ensure_repository(work->coordinator, &place, &why);
    orders->missing = r < 0 ? why : (struct xb_error)XB_ERROR_INIT;
    snprintf(orders->looked_for, sizeof orders->looked_for, "%s", namespace);
    if (r < 0) {
        *err = why;
    }
    return r;
}

int xb_ordering_prepare(struct xb_ordering *orders, struct xb_collected_volume *volume,
                        struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_agents_find(&orders->agents, volume->node, &why);
    r = r < 0 ? r : find_repository(orders, volume->pod_namespace, &why);
    return settle(orders, volume, r, &why, err);
}

int xb_ordering_make(struct xb_ordering *orders, struct xb_collected_volume *volume,
                     const char *bracket, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = create_order(orders, volume, bracket, &why);
    volume->ordered = r == 0;
    return settle(orders, volume, r, &why, err);
}

void xb_ordering_cancel(const struct xb_ordering *orders, const struct xb_collected_volume *volume)
{
    char name[XB_VELERO_NAME_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *spec = json_object_new_object();
    json_object_object_add(spec, "cancel", json_object_new_boolean(true));
    json_object_object_add(patch, "spec", spec);
    /* An earlier attempt may have made one, too. */
    if ((!volume->ordered && !orders->records_found) ||
        xb_ordering_name(orders, volume, name, &err) < 0) {
        return;
    }
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvbs,
                                    .namespace = text(orders->work, "metadata.namespace"),
                                    .name = name};
    if (xb_kube_merge_patch(orders->work->coordinator->client, &ref, patch, NULL, &err) < 0 &&
        err.kind != XB_ERR_NOT_FOUND) {
        xb_log_error(&err, "an order could not be cancelled", "order", name);
    }
}

int xb_ordering_make_all(struct xb_ordering *orders, struct xb_collected_volume *volumes,
                         size_t count, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct xb_collected_volume *volume = &volumes[i];
        if (!volume->skipped && !volume->ordered) {
            r = xb_ordering_prepare(orders, volume, err);
        }
        if (r == 0 && !volume->skipped && !volume->ordered) {
            r = xb_ordering_make(orders, volume, NULL, err);
        }
    }
    return r;
}

int xb_ordering_open(struct xb_ordering *orders, struct xb_error *err)
{
    orders->agents = (struct xb_agents){.coordinator = orders->work->coordinator,
                                        .cancel = orders->cancel,
                                        .leases = orders->work->extra};
    return xb_open_location(orders->work->coordinator, text(orders->work, "spec.storageLocation"),
                            false, &orders->store, orders->identity, err);
}

void xb_ordering_close(struct xb_ordering *orders)
{
    xb_store_free(orders->store);
    orders->store = NULL;
    xb_agents_free(&orders->agents);
    xb_json_putp(&orders->nodes);
}
