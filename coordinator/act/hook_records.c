/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/hook_records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"

struct place {
    char name[XB_VELERO_NAME_BYTES];
    struct xb_kube_ref ref;
};

struct xb_hook_pod xb_hook_pod_of(xb_json *pod)
{
    return (struct xb_hook_pod){.namespace = xb_json_str(pod, "metadata.namespace", ""),
                                .name = xb_json_str(pod, "metadata.name", ""),
                                .uid = xb_json_str(pod, "metadata.uid", "")};
}

/* The name is no order's: those have a volume where this has its kind, which no volume can. */
static int find_place(struct xb_step_work *work, const struct xb_hook_pod *pod, struct place *ret,
                      struct xb_error *err)
{
    const char *parts[] = {xb_json_str(work->object, "metadata.uid", ""), pod->uid, "/hooks", NULL};
    int r = xb_velero_derived_name(xb_json_str(work->object, "metadata.name", ""), parts, ret->name,
                                   err);
    ret->ref =
        (struct xb_kube_ref){.resource = &xb_core_configmaps,
                             .namespace = xb_json_str(work->object, "metadata.namespace", ""),
                             .name = ret->name};
    return r;
}

int xb_hook_record_get(struct xb_step_work *work, const struct xb_hook_pod *pod,
                       struct xb_bracket_record *ret, bool *ret_found, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    struct place place;
    struct xb_error why = XB_ERROR_INIT;
    int r = find_place(work, pod, &place, err);
    if (r < 0) {
        return r;
    }
    r = xb_kube_get(work->coordinator->client, &place.ref, &found, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    if (ret_found) {
        *ret_found = found != NULL;
    }
    return xb_bracket_record_parse(found, ret, err);
}

static int make(struct xb_step_work *work, const struct xb_hook_pod *pod, const struct place *place,
                const struct xb_bracket_record *record, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    int r = xb_bracket_record_patch(record, &object, err);
    if (r < 0) {
        return r;
    }
    xb_json *metadata =
        xb_velero_order_metadata(work->object, work->restores ? "Restore" : "Backup", place->name);
    xb_json *data = json_object_new_object();
    json_object_object_add(metadata, "annotations",
                           json_object_get(xb_json_get(object, "metadata.annotations")));
    xb_json_put_text(data, "namespace", pod->namespace);
    xb_json_put_text(data, "pod", pod->name);
    xb_json_put_text(data, "podUID", pod->uid);
    xb_json_put_text(object, "apiVersion", "v1");
    xb_json_put_text(object, "kind", "ConfigMap");
    json_object_object_add(object, "metadata", metadata);
    json_object_object_add(object, "data", data);
    const struct xb_kube_ref ref = {.resource = place->ref.resource,
                                    .namespace = place->ref.namespace};
    return xb_kube_create(work->coordinator->client, &ref, object, NULL, err);
}

int xb_hook_record_tell(struct xb_step_work *work, const struct xb_hook_pod *pod,
                        const struct xb_bracket_record *record, struct xb_error *err)
{
    struct place place;
    struct xb_error why = XB_ERROR_INIT;
    int r = find_place(work, pod, &place, err);
    if (r < 0) {
        return r;
    }
    r = xb_bracket_tell(work->coordinator->client, &place.ref, record, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        why = (struct xb_error)XB_ERROR_INIT;
        r = record->state == XB_BRACKET_PRE_BEGUN || work->restores
                ? make(work, pod, &place, record, &why)
                : 0;
        if (r < 0 && (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CONFLICT)) {
            why = (struct xb_error)XB_ERROR_INIT; /* it may have been made all the same */
            r = xb_bracket_tell(work->coordinator->client, &place.ref, record, &why);
        }
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

/* ---- all of a backup ---- */

struct each {
    xb_hook_record_fn *fn;
    void *context;
    struct xb_step_work *work;
};

static int list(struct xb_step_work *work, xb_kube_item_fn *fn, void *context, struct xb_error *err)
{
    char selector[XB_VELERO_NAME_BYTES];
    const struct xb_kube_list all = {.resource = &xb_core_configmaps,
                                     .namespace =
                                         xb_json_str(work->object, "metadata.namespace", ""),
                                     .label_selector = selector};
    snprintf(selector, sizeof selector, "velero.io/%s-uid=%.63s",
             work->restores ? "restore" : "backup", xb_json_str(work->object, "metadata.uid", ""));
    return xb_kube_list_pages(work->coordinator->client, &all, fn, context, err);
}

static bool is_record(xb_json *item)
{
    return json_object_object_get_ex(xb_json_get(item, "metadata.annotations"),
                                     XB_BRACKET_RECORD_ANNOTATION, NULL);
}

static int hand_out(void *context, xb_json *item, struct xb_error *err)
{
    const struct each *each = context;
    const struct xb_hook_pod pod = {.namespace = xb_json_str(item, "data.namespace", ""),
                                    .name = xb_json_str(item, "data.pod", "?"),
                                    .uid = xb_json_str(item, "data.podUID", "")};
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    struct xb_error why = XB_ERROR_INIT;
    (void)err;
    if (!is_record(item)) {
        return 0;
    }
    if (xb_bracket_record_parse(item, &record, &why) < 0) {
        xb_log_error(&why, "a record of hooks cannot be read", "configmap",
                     xb_json_str(item, "metadata.name", ""));
        return 0;
    }
    each->fn(each->context, &pod, &record);
    xb_bracket_record_free(&record);
    return 0;
}

int xb_hook_records_each(struct xb_step_work *work, xb_hook_record_fn *fn, void *context,
                         struct xb_error *err)
{
    struct each each = {fn, context, work};
    return list(work, hand_out, &each, err);
}

static int note_name(void *context, xb_json *item, struct xb_error *err)
{
    (void)err;
    if (is_record(item)) {
        json_object_array_add(context,
                              json_object_new_string(xb_json_str(item, "metadata.name", "")));
    }
    return 0;
}

void xb_hook_records_remove(struct xb_step_work *work)
{
    XB_CLEANUP(xb_json_putp) xb_json *names = json_object_new_array();
    struct xb_error err = XB_ERROR_INIT;
    int r = list(work, note_name, names, &err);
    for (size_t i = 0; r == 0 && i < json_object_array_length(names); i++) {
        const struct xb_kube_ref ref = {
            .resource = &xb_core_configmaps,
            .namespace = xb_json_str(work->object, "metadata.namespace", ""),
            .name = json_object_get_string(json_object_array_get_idx(names, i))};
        r = xb_kube_delete(work->coordinator->client, &ref, NULL, &err);
        if (r < 0 && err.kind == XB_ERR_NOT_FOUND) {
            err = (struct xb_error)XB_ERROR_INIT;
            r = 0;
        }
    }
    if (r < 0) {
        xb_log_warning("records of hooks stay until their owner is deleted", "owner",
                       xb_json_str(work->object, "metadata.name", ""), "error", err.text);
    }
}
