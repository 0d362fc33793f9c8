/* SPDX-License-Identifier: Apache-2.0
 * The object is made: one request, and another one only where something is there already. */
#include <errno.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "shared/http/retry.h"

enum { PAUSE_FIRST_MS = 1000 };

struct xb_kube_ref xb_bring_ref(const struct xb_bring_item *item)
{
    const struct xb_kube_resource *resource = &item->api->resource;
    return (struct xb_kube_ref){
        .resource = resource,
        .namespace =
            resource->namespaced ? xb_json_str(item->object, "metadata.namespace", NULL) : NULL,
        .name = xb_json_str(item->object, "metadata.name", "")};
}

/* ---- what is there already ---- */

/* What an earlier run of this restore has brought to its end. */
static int meet_again(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    int r = xb_bring_meet_existing(bring, item, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = (struct xb_error)XB_ERROR_INIT;
        xb_bring_say(item, XB_RECORD_INFO,
                     "had its turn before the coordinator began anew, and is gone since: it is "
                     "not made again");
        item->outcome = XB_BRING_CREATED;
        return 0;
    }
    return r;
}

/* ---- creation ---- */

/* Whether the API server answers at all: then a failure is the item's, not the restore's. */
static bool server_answers(struct xb_bring *bring)
{
    struct xb_buf answer = XB_BUF_INIT(XB_KUBE_OBJECT_BYTES_MAX);
    struct xb_error err = XB_ERROR_INIT;
    bool answers = xb_kube_raw_get(bring->options->client, "/version", &answer, &err) == 0;
    xb_buf_free(&answer);
    return answers;
}

/* What may do better later (a webhook that does not answer yet) is tried again; an answer that was
 * lost is no harm, since the object is then found to be our own. */
static int try_create(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const struct xb_kube_ref ref = xb_bring_ref(item);
    for (unsigned try = 1;; try++) {
        int r = xb_bring_may_write(bring, err);
        r = r ? r
              : xb_kube_create(bring->options->client, &ref, item->object,
                               item->watched ? &item->live : NULL, err);
        if (r == 0 || err->kind != XB_ERR_RETRY) {
            return r;
        }
        if (try == XB_BRING_TRIES_MAX) {
            err->kind = server_answers(bring) ? XB_ERR_INVALID : XB_ERR_RETRY;
            return r;
        }
        if (!xb_bring_pause(bring, xb_http_retry_delay_ms(try, PAUSE_FIRST_MS, -1))) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
        }
        *err = (struct xb_error)XB_ERROR_INIT;
    }
}

/* The node port that a service asks for is taken, which is said before its name is looked at: by
 * itself, mostly. The refusal stands where it is not. */
static int meet_same_service(struct xb_bring *bring, struct xb_bring_item *item,
                             struct xb_error *err)
{
    const struct xb_error refusal = *err;
    *err = (struct xb_error)XB_ERROR_INIT;
    int r = xb_bring_meet_existing(bring, item, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        *err = refusal;
    }
    return r;
}

int xb_bring_create(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    item->watched = item->watched || xb_bring_is(item, "pods");
    if (item->done_before) {
        return meet_again(bring, item, err);
    }
    if (xb_bring_pretend_place(bring, item)) {
        return 0;
    }
    int r = try_create(bring, item, err);
    r = bring->options->dry_run ? xb_bring_pretend_created(bring, item, r, err) : r;
    if (r < 0 && err->kind == XB_ERR_CONFLICT && err->code == -EEXIST) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_bring_meet_existing(bring, item, err);
    } else if (r < 0 && xb_bring_is(item, "services") &&
               strstr(err->text, "provided port is already allocated")) {
        r = meet_same_service(bring, item, err);
    } else if (r == 0) {
        item->there = true;
        item->outcome = XB_BRING_CREATED;
    }
    if (r == 0 && item->there && xb_bring_is(item, XB_BRING_DEFINITIONS)) {
        pthread_mutex_lock(&bring->lock);
        json_object_array_add(bring->definitions, json_object_new_string(item->from->name));
        pthread_mutex_unlock(&bring->lock);
    }
    return r;
}
