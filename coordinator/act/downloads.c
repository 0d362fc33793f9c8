/* SPDX-License-Identifier: Apache-2.0
 * Downloads: a signed link for every request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "coordinator/serve/link.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { LINK_S = 600, URL_BYTES = 512, DOWNLOAD_URL_BYTES_MAX = 8192 };

/* ---- requests ---- */

static int backup_location(struct xb_step_work *work, const char *backup_name,
                           char out[XB_VELERO_NAME_BYTES], struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                    .namespace = work->coordinator->options->namespace,
                                    .name = backup_name};
    int r = xb_kube_get(work->coordinator->client, &ref, &backup, err);
    if (r == 0) {
        snprintf(out, XB_VELERO_NAME_BYTES, "%.253s",
                 xb_json_str(backup, "spec.storageLocation", ""));
    }
    return r;
}

/* Where the backup or restore that is asked for keeps its files. */
static int location_of(struct xb_step_work *work, const char *kind, const char *name,
                       char out[XB_VELERO_NAME_BYTES], struct xb_error *err)
{
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a name: '%.100s'", name);
    }
    if (strncmp(kind, "Restore", 7) != 0) {
        return backup_location(work, name, out, err);
    }
    XB_CLEANUP(xb_json_putp) xb_json *restore = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_velero_restores,
                                    .namespace = work->coordinator->options->namespace,
                                    .name = name};
    int r = xb_kube_get(work->coordinator->client, &ref, &restore, err);
    return r < 0 ? r : backup_location(work, xb_json_str(restore, "spec.backupName", ""), out, err);
}

/* A bucket's objects have URLs of their own: nothing goes through us. */
static int presigned(struct xb_step_work *work, const struct xb_download *what, xb_json *location,
                     struct xb_buf *out, struct xb_error *err)
{
    const struct xb_location_access access = xb_location_access(work->coordinator, true);
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char key[XB_VELERO_KEY_BYTES];
    int r = xb_velero_download_key(xb_download_kind_name(what->kind), what->name, key, err);
    if (r < 0 || (r = xb_location_open(location, &access, &store, err)) < 0 ||
        (r = xb_location_presign(location, store, key, LINK_S, out, err)) < 0) {
        return xb_error_wrap(err, "storage location %s", what->location);
    }
    return 0;
}

/* A folder's have none: we serve them. */
static int our_link(struct xb_step_work *work, const struct xb_download *what, xb_json *location,
                    struct xb_buf *out, struct xb_error *err)
{
    const struct xb_coordinator_options *options = work->coordinator->options;
    char path[XB_DOWNLOAD_LINK_BYTES];
    char base[URL_BYTES];
    uint16_t port = 0;
    int r = xb_downloads_ready(work->coordinator, &port, err);
    r = r ? r : xb_download_link_make(work->coordinator->downloads.link_key, what, path, err);
    if (r < 0) {
        return r;
    }
    const char *public = xb_json_str(location, "spec.config.publicUrl", "");
    if (public[0]) {
        snprintf(base, sizeof base, "%.500s", public);
        size_t len = strlen(base);
        if (base[len - 1] == '/') {
            base[len - 1] = '\0';
        }
    } else {
        const char *ip = options->pod_ip ? options->pod_ip : "localhost";
        bool v6 = strchr(ip, ':') != NULL;
        snprintf(base, sizeof base, "https://%s%s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "", port);
    }
    return xb_buf_printf(out, err, "%s%s", base, path);
}

static int make_url(struct xb_step_work *work, const struct xb_download *what, struct xb_buf *out,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    int r = xb_get_location(work->coordinator, what->location, &location, err);
    if (r < 0) {
        return r;
    }
    return xb_location_is_s3(location) ? presigned(work, what, location, out, err)
                                       : our_link(work, what, location, out, err);
}

static int remove_request(struct xb_step_work *work, const struct xb_kube_resource *resource,
                          struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace =
                                        xb_json_str(work->object, "metadata.namespace", ""),
                                    .name = xb_json_str(work->object, "metadata.name", "")};
    int r = xb_kube_delete(work->coordinator->client, &ref, NULL, err);
    return r < 0 && err->kind == XB_ERR_NOT_FOUND ? 0 : r;
}

int xb_act_download(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    struct xb_download what = {.expires_s = xb_clock_wall_ns() / XB_NS_PER_S + LINK_S};
    const char *kind = xb_json_str(work->object, "spec.target.kind", "");
    const char *name = xb_json_str(work->object, "spec.target.name", "");
    XB_CLEANUP(xb_buf_free) struct xb_buf url = XB_BUF_INIT(DOWNLOAD_URL_BYTES_MAX);
    char expiration[XB_TIME_TEXT_BYTES];
    (void)cancel;
    if (work->step == XB_STEP_REMOVE) {
        return remove_request(work, &xb_velero_downloads, err);
    }
    if (!xb_download_kind_parse(kind, &what.kind)) {
        xb_log_warning("a download of an unknown kind was asked for", "kind", kind);
        return 0;
    }
    int r = location_of(work, kind, name, what.location, err);
    snprintf(what.name, sizeof what.name, "%.253s", name);
    if (r == 0) {
        r = make_url(work, &what, &url, err);
    }
    if (r < 0) {
        return r;
    }
    xb_json *status = json_object_new_object();
    xb_time_format_seconds(what.expires_s * XB_NS_PER_S, expiration);
    xb_json_put_text(status, "phase", "Processed");
    xb_json_put_text(status, "downloadURL", url.data);
    xb_json_put_text(status, "expiration", expiration);
    return xb_act_patch_status(work->coordinator, &xb_velero_downloads, work->object, status, err);
}

static enum xb_plan act_on(struct xb_coordinator *coordinator, xb_json *object, enum xb_step step,
                           struct xb_action *ret)
{
    struct xb_step_work *work = xb_step_work_new(coordinator, object);
    if (!work) {
        return XB_PLAN_NONE;
    }
    work->step = step;
    *ret = (struct xb_action){.work = work, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}

enum xb_plan xb_plan_downloads(void *context, const char *key, int64_t now_ns,
                               struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *request = xb_kube_informer_get(coordinator->watched[XB_WATCH_DOWNLOADS], key);
    struct xb_error err = XB_ERROR_INIT;
    int64_t expires_ns = 0;
    enum xb_plan plan = XB_PLAN_NONE;
    if (!request) {
        return XB_PLAN_NONE;
    }
    if (strcmp(xb_json_str(request, "status.phase", ""), "Processed") != 0) {
        plan = act_on(coordinator, request, XB_STEP_WORK, ret);
    } else if (xb_time_parse(xb_json_str(request, "status.expiration", ""), &expires_ns, &err) <
                   0 ||
               now_ns >= expires_ns) {
        plan = act_on(coordinator, request, XB_STEP_REMOVE, ret);
    } else {
        ret->at_ns = expires_ns;
        return XB_PLAN_AT;
    }
    ret->run = xb_act_download;
    return plan;
}

/* ---- the server's status ---- */

enum { STATUS_KEPT_S = 60 };

static xb_json *plugins(void)
{
    static const struct {
        const char *name, *kind;
    } built_in[] = {{"xebec.io/fs", "ObjectStore"},
                    {"velero.io/aws", "ObjectStore"},
                    {"velero.io/pod", "BackupItemAction"},
                    {"velero.io/pv", "BackupItemAction"},
                    {"velero.io/service-account", "BackupItemAction"},
                    {"velero.io/crd-remap-version", "BackupItemAction"},
                    {"velero.io/pod", "RestoreItemAction"},
                    {"velero.io/service", "RestoreItemAction"},
                    {"velero.io/service-account", "RestoreItemAction"},
                    {"velero.io/add-pvc-from-pod", "RestoreItemAction"},
                    {"velero.io/job", "RestoreItemAction"}};
    xb_json *list = json_object_new_array();
    for (size_t i = 0; i < sizeof built_in / sizeof built_in[0]; i++) {
        xb_json *one = json_object_new_object();
        xb_json_put_text(one, "name", built_in[i].name);
        xb_json_put_text(one, "kind", built_in[i].kind);
        json_object_array_add(list, one);
    }
    return list;
}

int xb_act_status_request(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    (void)cancel;
    if (work->step == XB_STEP_REMOVE) {
        return remove_request(work, &xb_velero_status_requests, err);
    }
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", "Processed");
    json_object_object_add(status, "processedTimestamp", xb_velero_now());
    xb_json_put_text(status, "serverVersion", XB_VELERO_VERSION);
    json_object_object_add(status, "plugins", plugins());
    return xb_act_patch_status(work->coordinator, &xb_velero_status_requests, work->object, status,
                               err);
}

enum xb_plan xb_plan_status_requests(void *context, const char *key, int64_t now_ns,
                                     struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *request = xb_kube_informer_get(coordinator->watched[XB_WATCH_STATUS_REQUESTS], key);
    struct xb_error err = XB_ERROR_INIT;
    int64_t processed_ns = 0;
    enum xb_plan plan = XB_PLAN_NONE;
    if (!request) {
        return XB_PLAN_NONE;
    }
    if (strcmp(xb_json_str(request, "status.phase", ""), "Processed") != 0) {
        plan = act_on(coordinator, request, XB_STEP_WORK, ret);
    } else if (xb_time_parse(xb_json_str(request, "status.processedTimestamp", ""), &processed_ns,
                             &err) < 0 ||
               now_ns >= processed_ns + STATUS_KEPT_S * XB_NS_PER_S) {
        plan = act_on(coordinator, request, XB_STEP_REMOVE, ret);
    } else {
        ret->at_ns = processed_ns + STATUS_KEPT_S * XB_NS_PER_S;
        return XB_PLAN_AT;
    }
    ret->run = xb_act_status_request;
    return plan;
}
