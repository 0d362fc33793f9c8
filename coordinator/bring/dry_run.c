/* SPDX-License-Identifier: Apache-2.0
 * A restore that is only asked for what it would do. The client asks the API server to check what
 * it is sent, and to keep nothing; so what an object needs that this very restore would bring is
 * not there, and where that is so, the server's word means nothing. */
#include "coordinator/bring/dry_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/difference.h"
#include "coordinator/restore/existing.h"

enum { KEY_BYTES = 600 };

int xb_restore_is_dry_run(xb_json *restore, bool *ret, struct xb_error *err)
{
    const char *text = xb_json_str(restore, "metadata.annotations.xebec\\.io/dry-run", NULL);
    bool yes = text && strcmp(text, "true") == 0;
    if (!yes && xb_json_get(restore, "metadata.annotations.xebec\\.io/dry-run") &&
        (!text || strcmp(text, "false") != 0)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "annotation " XB_DRY_RUN_ANNOTATION
                            ": '%.60s' is neither \"true\" nor \"false\"",
                            text ? text : "");
    }
    *ret = yes;
    return 0;
}

/* ---- what this restore would bring ---- */

static void remember(struct xb_bring *bring, const char *resource, const char *namespace,
                     const char *name)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s/%s/%s", resource, namespace, name);
    pthread_mutex_lock(&bring->lock);
    json_object_object_add(bring->pretended, key, json_object_new_boolean(true));
    pthread_mutex_unlock(&bring->lock);
}

static bool would_come(struct xb_bring *bring, const char *resource, const char *namespace,
                       const char *name)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "%s/%s/%s", resource, namespace, name);
    pthread_mutex_lock(&bring->lock);
    bool comes = json_object_object_get_ex(bring->pretended, key, NULL);
    pthread_mutex_unlock(&bring->lock);
    return comes;
}

/* ---- namespaces ---- */

int xb_bring_pretend_namespace(struct xb_bring *bring, xb_json *namespace, struct xb_error *err)
{
    const char *name = xb_json_str(namespace, "metadata.name", "");
    const struct xb_kube_ref ref = {.resource = &xb_core_namespaces, .name = name};
    XB_CLEANUP(xb_json_putp) xb_json *now = NULL;
    int r = xb_kube_get(bring->options->client, &ref, &now, err);
    if (r == 0 && !xb_json_get(now, "metadata.deletionTimestamp")) {
        return 0;
    }
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_create(bring->options->client, &ref, namespace, NULL, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, "namespace %s", name);
    }
    remember(bring, "namespaces", "", name);
    xb_record_log_line(bring->options->log, XB_RECORD_INFO, name,
                       "namespaces %s: would be created%s; what goes into it is not shown to the "
                       "API server before",
                       name, now ? " after the end of the one that is being deleted" : "");
    pthread_mutex_lock(&bring->lock);
    r = xb_bring_list(bring, namespace, "created", err);
    pthread_mutex_unlock(&bring->lock);
    return r;
}

/* ---- items ---- */

bool xb_bring_pretend_kind(struct xb_bring *bring, struct xb_bring_item *item)
{
    const struct xb_tarball_item *from = item->from;
    if (!bring->options->dry_run || !would_come(bring, XB_BRING_DEFINITIONS, "", from->resource)) {
        return false;
    }
    xb_bring_say(item, XB_RECORD_INFO,
                 "its kind is not served yet, and its definition would come with this restore: "
                 "the API server cannot be asked about it");
    item->outcome = XB_BRING_LEFT_OUT;
    return true;
}

bool xb_bring_pretend_place(struct xb_bring *bring, struct xb_bring_item *item)
{
    const char *namespace = xb_bring_ref(item).namespace;
    if (!bring->options->dry_run || !namespace || !would_come(bring, "namespaces", "", namespace)) {
        return false;
    }
    xb_bring_say(item, XB_RECORD_INFO,
                 "the API server was not asked: namespace %s is not there yet", namespace);
    item->outcome = XB_BRING_CREATED;
    return true;
}

/* NULL: the server's refusal is what a restore would meet, too. */
static const char *excuse(struct xb_bring *bring, const struct xb_bring_item *item,
                          const struct xb_error *refusal)
{
    const char *namespace = xb_json_str(item->object, "metadata.namespace", "");
    if (strstr(refusal->text, "does not support dry run")) {
        return "a webhook does not take part in dry runs";
    }
    if (!xb_bring_is(item, "pods")) {
        return NULL;
    }
    if (would_come(bring, "serviceaccounts", namespace,
                   xb_json_str(item->object, "spec.serviceAccountName", "default"))) {
        return "its service account would come with this restore";
    }
    return would_come(bring, "priorityclasses.scheduling.k8s.io", "",
                      xb_json_str(item->object, "spec.priorityClassName", ""))
               ? "its priority class would come with this restore"
               : NULL;
}

int xb_bring_pretend_created(struct xb_bring *bring, struct xb_bring_item *item, int r,
                             struct xb_error *err)
{
    const char *why = NULL;
    if (r < 0 && (err->kind == XB_ERR_INVALID || err->kind == XB_ERR_DENIED) &&
        (why = excuse(bring, item, err)) != NULL) {
        xb_bring_say(item, XB_RECORD_INFO, "the API server's refusal does not count, since %s: %s",
                     why, err->text);
        *err = (struct xb_error)XB_ERROR_INIT;
        r = 0;
    }
    if (r == 0 && (xb_bring_is(item, "serviceaccounts") ||
                   xb_bring_is(item, "priorityclasses.scheduling.k8s.io") ||
                   xb_bring_is(item, XB_BRING_DEFINITIONS))) {
        remember(bring, item->from->resource, xb_json_str(item->object, "metadata.namespace", ""),
                 item->from->name);
    }
    return r;
}

int xb_bring_tell_difference(struct xb_bring *bring, struct xb_bring_item *item, xb_json *existing,
                             struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    char text[XB_RESTORE_DIFFERENCE_BYTES];
    int r =
        bring->options->dry_run ? xb_restore_update_patch(existing, item->object, &patch, err) : 0;
    if (patch) {
        xb_restore_difference(existing, patch, xb_bring_is(item, "secrets"), text);
        xb_bring_say(item, XB_RECORD_INFO, "differs from what is there: %s", text);
    }
    return r;
}

void xb_bring_pretend_end(struct xb_bring *bring, struct xb_bring_item *item)
{
    static const char *const words[] = {[XB_BRING_CREATED] = "would be created",
                                        [XB_BRING_UPDATED] = "would be changed",
                                        [XB_BRING_SKIPPED] =
                                            "would be left as it is: it is there already",
                                        [XB_BRING_FAILED] = "would not be restored"};
    if (item->outcome == XB_BRING_CREATED) {
        xb_bring_tell_volumes(bring, item);
    }
    if (words[item->outcome]) {
        xb_bring_say(item, XB_RECORD_INFO, "%s", words[item->outcome]);
        pthread_mutex_lock(&bring->lock);
        bring->outcomes[item->outcome]++;
        pthread_mutex_unlock(&bring->lock);
    }
}

void xb_bring_tell_dry_run(struct xb_bring *bring)
{
    const uint64_t *items = bring->outcomes;
    xb_record_log_line(
        bring->options->log, XB_RECORD_WARNING, NULL,
        "this was a dry run (annotation " XB_DRY_RUN_ANNOTATION
        "), nothing was restored: of the items, %llu would be created, %llu changed, "
        "%llu left as they are, %llu not restored; the log says which and why",
        (unsigned long long)items[XB_BRING_CREATED], (unsigned long long)items[XB_BRING_UPDATED],
        (unsigned long long)items[XB_BRING_SKIPPED], (unsigned long long)items[XB_BRING_FAILED]);
}
