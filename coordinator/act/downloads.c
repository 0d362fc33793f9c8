/* SPDX-License-Identifier: Apache-2.0
 * Downloads: the keys and the server at the start, then a signed link for every request. */
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

enum {
    LINK_KEY_BYTES = 32,
    LINK_S = 600,
    NAMES_MAX = 16,
    URL_BYTES = 512,
    DOWNLOAD_URL_BYTES_MAX = 8192
};

#define KEYS_SECRET "xebec-downloads"

/* ---- keys ---- */

static int load_keys(struct xb_coordinator *coordinator, xb_json *secret, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *pem = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    int r = xb_velero_secret(secret, "ca.crt", false, &pem, err);
    if (r < 0 || (r = xb_velero_secret(secret, "ca.key", false, &key, err)) < 0 ||
        (r = xb_velero_secret(secret, "link.key", false, &coordinator->link_key, err)) < 0) {
        return r;
    }
    return xb_certificate_load((const char *)pem->data, pem->len, key, &coordinator->ca, err);
}

static int put_encoded(xb_json *data, const char *name, const void *bytes, size_t len,
                       struct xb_error *err)
{
    struct xb_buf text = XB_BUF_INIT(2 * XB_SECRET_BYTES_MAX);
    int r = xb_base64_encode(bytes, len, &text, err);
    if (r == 0) {
        xb_json_put_text(data, name, text.data);
    }
    xb_buf_wipe(&text);
    return r;
}

static int make_keys(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *ca = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *secret = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *data = json_object_new_object();
    unsigned char link_key[LINK_KEY_BYTES];
    xb_json_put_text(metadata, "name", KEYS_SECRET);
    xb_json_put_text(secret, "apiVersion", "v1");
    xb_json_put_text(secret, "kind", "Secret");
    xb_json_put_text(secret, "type", "Opaque");
    json_object_object_add(secret, "metadata", metadata);
    json_object_object_add(secret, "data", data);
    xb_random_bytes(link_key, sizeof link_key);
    int r = xb_certificate_make_ca("Xebec downloads", xb_clock_wall_ns() / XB_NS_PER_S, &ca, err);
    if (r == 0 && (r = put_encoded(data, "ca.crt", ca->pem, strlen(ca->pem), err)) == 0 &&
        (r = put_encoded(data, "ca.key", ca->key->data, ca->key->len, err)) == 0) {
        r = put_encoded(data, "link.key", link_key, sizeof link_key, err);
    }
    explicit_bzero(link_key, sizeof link_key);
    if (r < 0) {
        return r;
    }
    const struct xb_kube_ref ref = {.resource = &xb_core_secrets,
                                    .namespace = coordinator->options->namespace};
    r = xb_kube_create(coordinator->client, &ref, secret, NULL, err);
    return r < 0 && err->kind == XB_ERR_CONFLICT ? 0 : r;
}

static int get_keys(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_secrets,
                                    .namespace = coordinator->options->namespace,
                                    .name = KEYS_SECRET};
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    int r = xb_kube_get(coordinator->client, &ref, &secret, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        r = make_keys(coordinator, err);
        if (r == 0) {
            *err = (struct xb_error)XB_ERROR_INIT;
            r = xb_kube_get(coordinator->client, &ref, &secret, err);
        }
    }
    return r < 0 ? r : load_keys(coordinator, secret, err);
}

/* ---- the server ---- */

static int on_open(void *context, const struct xb_download *what, struct xb_store **ret_store,
                   char key[XB_SERVER_KEY_BYTES], struct xb_error *err)
{
    struct xb_coordinator *coordinator = context;
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    char made[XB_VELERO_KEY_BYTES];
    int r = xb_velero_download_key(xb_download_kind_name(what->kind), what->name, made, err);
    if (r < 0 || (r = xb_get_location(coordinator, what->location, &location, err)) < 0) {
        return r;
    }
    snprintf(key, XB_SERVER_KEY_BYTES, "%s", made);
    const struct xb_location_access access = xb_location_access(coordinator, true);
    return xb_location_open(location, &access, ret_store, err);
}

/* The host of an URL ("https://backup.example.com:30443"), or "". */
static void host_of(const char *url, char out[XB_VELERO_NAME_BYTES])
{
    const char *start = strstr(url, "://");
    start = start ? start + 3 : url;
    size_t len = 0;
    if (*start == '[') {
        start++;
        len = strcspn(start, "]");
    } else {
        len = strcspn(start, ":/");
    }
    snprintf(out, XB_VELERO_NAME_BYTES, "%.*s", (int)(len < 253 ? len : 253), start);
}

struct names {
    const char *list[NAMES_MAX];
    char space[NAMES_MAX][XB_VELERO_NAME_BYTES];
    size_t count;
};

static void add_name(struct names *names, const char *name)
{
    if (name && name[0] && names->count < NAMES_MAX) {
        snprintf(names->space[names->count], XB_VELERO_NAME_BYTES, "%.253s", name);
        names->list[names->count] = names->space[names->count];
        names->count++;
    }
}

static int add_public(void *context, xb_json *location, struct xb_error *err)
{
    char host[XB_VELERO_NAME_BYTES];
    (void)err;
    host_of(xb_json_str(location, "spec.config.publicUrl", ""), host);
    add_name(context, host);
    return 0;
}

static int make_certificate(struct xb_coordinator *coordinator, struct xb_certificate **ret,
                            struct xb_error *err)
{
    const struct xb_coordinator_options *options = coordinator->options;
    char service[XB_VELERO_NAME_BYTES];
    struct names names = {.count = 0};
    const struct xb_kube_list list = {.resource = &xb_velero_locations,
                                      .namespace = options->namespace};
    add_name(&names, options->pod_ip);
    add_name(&names, "localhost");
    snprintf(service, sizeof service, "xebec-coordinator.%.63s", options->namespace);
    add_name(&names, service);
    snprintf(service, sizeof service, "xebec-coordinator.%.63s.svc", options->namespace);
    add_name(&names, service);
    int r = xb_kube_list_pages(coordinator->client, &list, add_public, &names, err);
    const struct xb_certificate_names wanted = {names.list, names.count};
    return r < 0 ? r
                 : xb_certificate_make_server(coordinator->ca, &wanted,
                                              xb_clock_wall_ns() / XB_NS_PER_S, ret, err);
}

int xb_downloads_start(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *certificate = NULL;
    int r = get_keys(coordinator, err);
    if (r < 0 || (r = make_certificate(coordinator, &certificate, err)) < 0) {
        return xb_error_wrap(err, "downloads");
    }
    const struct xb_server_options options = {.port = coordinator->options->downloads_port,
                                              .link_key = coordinator->link_key,
                                              .certificate = certificate,
                                              .open = on_open,
                                              .context = coordinator};
    r = xb_server_start(&options, &coordinator->server, err);
    return r < 0 ? xb_error_wrap(err, "downloads") : 0;
}

void xb_downloads_stop(struct xb_coordinator *coordinator)
{
    xb_server_free(coordinator->server);
    xb_certificate_free(coordinator->ca);
    xb_secret_free(coordinator->link_key);
    coordinator->server = NULL;
}

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
    int r = xb_download_link_make(work->coordinator->link_key, what, path, err);
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
        snprintf(base, sizeof base, "https://%s%s%s:%u", v6 ? "[" : "", ip, v6 ? "]" : "",
                 xb_server_port(work->coordinator->server));
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
