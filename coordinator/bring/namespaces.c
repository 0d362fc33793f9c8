/* SPDX-License-Identifier: Apache-2.0
 * The namespaces that items go into: each is made once, whoever comes first. */
#include <errno.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "shared/base/clock.h"

enum { TERMINATING_PAUSE_MS = 500 };

/* Nothing can be made in a namespace that goes: after the delete that often comes right before a
 * restore, its end is waited for. *ret_gone: it is not there any more. */
static int await_end(struct xb_bring *bring, const char *name, bool *ret_gone, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces, .name = name};
    int64_t began = xb_clock_mono_ns();
    for (bool said = false;; said = true) {
        XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
        int r = xb_kube_get(bring->options->client, &ref, &now, err);
        *ret_gone = r < 0 && err->kind == XB_ERR_NOT_FOUND;
        if (*ret_gone) {
            *err = (struct xb_error)XB_ERROR_INIT;
            return 0;
        }
        if (r < 0 || !xb_json_get(now, "metadata.deletionTimestamp")) {
            return r;
        }
        if (xb_clock_mono_ns() - began > bring->options->terminating_ns) {
            return xb_error_set(err, XB_ERR_INVALID, -EBUSY,
                                "it is being deleted and does not go away "
                                "(--terminating-resource-timeout)");
        }
        if (!said) {
            xb_record_log_line(bring->options->log, XB_RECORD_INFO, name,
                               "namespace %s is being deleted; its end is waited for", name);
        }
        if (!xb_bring_pause(bring, TERMINATING_PAUSE_MS)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
        }
    }
}

/* A copy of a part of the namespace's object in the backup. */
static int copy_part(xb_json *from, const char *path, xb_json *metadata, const char *key,
                     struct xb_error *err)
{
    xb_json *part = xb_json_get(from, path);
    xb_json *copy = NULL;
    if (!part) {
        return 0;
    }
    return json_object_deep_copy(part, &copy, NULL) == 0 ? xb_json_set(metadata, key, copy, err)
                                                         : xb_error_no_memory(err, "a namespace");
}

static int make_object(struct xb_bring *bring, const char *source, const char *target,
                       xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *namespace = json_object_new_object();
    xb_json *from = NULL;
    (void)json_object_object_get_ex(bring->namespaces, source, &from);
    int r = xb_json_set_str(namespace, "apiVersion", "v1", err);
    r = r ? r : xb_json_set_str(namespace, "kind", "Namespace", err);
    r = r ? r : xb_json_set_str(namespace, "metadata.name", target, err);
    xb_json *metadata = xb_json_get(namespace, "metadata");
    r = r ? r : copy_part(from, "metadata.labels", metadata, "labels", err);
    r = r ? r : copy_part(from, "metadata.annotations", metadata, "annotations", err);
    if (r == 0) {
        *ret = XB_TAKE(namespace);
    }
    return r;
}

static int make(struct xb_bring *bring, const char *source, const char *target,
                struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces};
    XB_CLEANUP(xb_json_putp) xb_json *namespace = NULL;
    bool gone = true;
    int r = make_object(bring, source, target, &namespace, err);
    if (r == 0 && bring->options->dry_run) {
        return xb_bring_pretend_namespace(bring, namespace, err);
    }
    while (r == 0 && gone) {
        r = xb_bring_may_write(bring, err);
        r = r ? r : xb_kube_create(bring->options->client, &ref, namespace, NULL, err);
        if (r == 0 || err->kind != XB_ERR_CONFLICT) {
            break;
        }
        *err = (struct xb_error)XB_ERROR_INIT;
        r = await_end(bring, target, &gone, err);
    }
    if (r < 0 || !gone) {
        return r < 0 ? xb_error_wrap(err, "namespace %s", target) : 0;
    }
    pthread_mutex_lock(&bring->lock);
    r = xb_bring_list(bring, namespace, "created", err);
    pthread_mutex_unlock(&bring->lock);
    return r;
}

/* With the lock held. */
static void settle(struct xb_bring *bring, const char *target, xb_json *state)
{
    json_object_object_add(bring->settling, target, state);
    pthread_cond_broadcast(&bring->settled);
}

/* 1: it is there; 0: it is the caller's to make; negative: it cannot be. With the lock held. */
static int claim(struct xb_bring *bring, const char *target, struct xb_error *err)
{
    xb_json *state = NULL;
    while (json_object_object_get_ex(bring->settling, target, &state)) {
        if (json_object_is_type(state, json_type_boolean)) {
            return 1;
        }
        if (json_object_is_type(state, json_type_string)) {
            return xb_error_set(err, XB_ERR_INVALID, -EBUSY, "%s", json_object_get_string(state));
        }
        pthread_cond_wait(&bring->settled, &bring->lock);
    }
    settle(bring, target, json_object_new_int(0));
    return 0;
}

int xb_bring_namespace(struct xb_bring *bring, const char *source, struct xb_error *err)
{
    const char *target = xb_restore_namespace(&bring->context, source);
    pthread_mutex_lock(&bring->lock);
    int r = claim(bring, target, err);
    pthread_mutex_unlock(&bring->lock);
    if (r != 0) {
        return r < 0 ? r : 0;
    }
    r = make(bring, source, target, err);
    pthread_mutex_lock(&bring->lock);
    settle(bring, target,
           r < 0 ? json_object_new_string(err->text) : json_object_new_boolean(true));
    pthread_mutex_unlock(&bring->lock);
    return r;
}

int xb_bring_enter_namespace(struct xb_bring *bring, struct xb_bring_item *item,
                             struct xb_error *err)
{
    return item->from->namespace[0] && !item->done_before
               ? xb_bring_namespace(bring, item->from->namespace, err)
               : 0;
}

/* A namespace that an earlier run has made, and that is gone since, was deleted: it is not made
 * again unless something else goes into it. */
static int meet_again(struct xb_bring *bring, const char *source, struct xb_error *err)
{
    const char *target = xb_restore_namespace(&bring->context, source);
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces, .name = target};
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    int r = xb_kube_get(bring->options->client, &ref, &now, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    bool ours =
        r == 0 && strcmp(xb_json_str(now, "metadata.creationTimestamp", ""),
                         xb_json_str(bring->restore, "metadata.creationTimestamp", "")) >= 0;
    if (!ours) {
        return r;
    }
    pthread_mutex_lock(&bring->lock);
    r = xb_bring_list(bring, now, "created", err);
    pthread_mutex_unlock(&bring->lock);
    return r;
}

/* All others are made when something goes into them. */
static bool takes(const struct xb_bring *bring, const char *name, xb_json *object)
{
    static const struct xb_filter_kind kind = {"", "namespaces", false};
    return xb_filter_takes_kind(bring->filter, &kind) &&
           xb_filter_takes_namespace(bring->filter, name) && xb_bring_selects(bring, object);
}

int xb_bring_namespaces(struct xb_bring *bring, struct xb_error *err)
{
    bool resumes = xb_bring_track_resumes(bring->track);
    json_object_object_foreach(bring->namespaces, name, object)
    {
        struct xb_error why = XB_ERROR_INIT;
        int r = !takes(bring, name, object) ? 0
                : resumes                   ? meet_again(bring, name, &why)
                                            : xb_bring_namespace(bring, name, &why);
        if (r < 0 && (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED)) {
            *err = why;
            return r;
        }
        if (r < 0) {
            xb_record_log_line(bring->options->log, XB_RECORD_ERROR,
                               xb_restore_namespace(&bring->context, name), "%s", why.text);
        }
    }
    return 0;
}
