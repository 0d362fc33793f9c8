/* SPDX-License-Identifier: Apache-2.0
 * Downloads: the keys, and the server with its certificate. That is looked at before each link, and
 * made anew when it is near its end, or a location says that people reach us by another name: a
 * node whose clock was wrong at the start gets a good one as soon as somebody asks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/codec/text.h"

enum { LINK_KEY_BYTES = 32, NAMES_MAX = 16 };

#define KEYS_SECRET "xebec-downloads"

/* ---- keys ---- */

static int load_keys(struct xb_downloads *downloads, xb_json *secret, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *pem = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    int r = xb_velero_secret(secret, "ca.crt", false, &pem, err);
    if (r < 0 || (r = xb_velero_secret(secret, "ca.key", false, &key, err)) < 0 ||
        (r = xb_velero_secret(secret, "link.key", false, &downloads->link_key, err)) < 0) {
        return r;
    }
    return xb_certificate_load((const char *)pem->data, pem->len, key, &downloads->ca, err);
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

/* `data` gets an authority that is made now; *ret too. */
static int make_ca(xb_json *data, int64_t now_s, struct xb_certificate **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *ca = NULL;
    int r = xb_certificate_make_ca("Xebec downloads", now_s, &ca, err);
    r = r ? r : put_encoded(data, "ca.crt", ca->pem, strlen(ca->pem), err);
    r = r ? r : put_encoded(data, "ca.key", ca->key->data, ca->key->len, err);
    if (r == 0) {
        *ret = XB_TAKE(ca);
    }
    return r;
}

static struct xb_kube_ref keys_ref(const struct xb_coordinator *coordinator)
{
    return (struct xb_kube_ref){.resource = &xb_core_secrets,
                                .namespace = coordinator->options->namespace,
                                .name = KEYS_SECRET};
}

static int make_keys(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *ca = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *secret = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *data = json_object_new_object();
    struct xb_kube_ref ref = keys_ref(coordinator);
    unsigned char link_key[LINK_KEY_BYTES];
    ref.name = NULL;
    xb_json_put_text(metadata, "name", KEYS_SECRET);
    xb_json_put_text(secret, "apiVersion", "v1");
    xb_json_put_text(secret, "kind", "Secret");
    xb_json_put_text(secret, "type", "Opaque");
    json_object_object_add(secret, "metadata", metadata);
    json_object_object_add(secret, "data", data);
    xb_random_bytes(link_key, sizeof link_key);
    int r = make_ca(data, xb_clock_wall_ns() / XB_NS_PER_S, &ca, err);
    r = r ? r : put_encoded(data, "link.key", link_key, sizeof link_key, err);
    explicit_bzero(link_key, sizeof link_key);
    if (r < 0) {
        return r;
    }
    r = xb_kube_create(coordinator->client, &ref, secret, NULL, err);
    return r < 0 && err->kind == XB_ERR_CONFLICT ? 0 : r;
}

static int get_keys(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const struct xb_kube_ref ref = keys_ref(coordinator);
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    int r = xb_kube_get(coordinator->client, &ref, &secret, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        r = make_keys(coordinator, err);
        if (r == 0) {
            *err = (struct xb_error)XB_ERROR_INIT;
            r = xb_kube_get(coordinator->client, &ref, &secret, err);
        }
    }
    return r < 0 ? r : load_keys(&coordinator->downloads, secret, err);
}

/* One that is too old to sign. One that is not valid yet stays: it is our clock that is wrong. */
static int renew_ca(struct xb_coordinator *coordinator, int64_t now_s, struct xb_error *err)
{
    const struct xb_kube_ref ref = keys_ref(coordinator);
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *ca = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    struct xb_certificate_state state;
    int r = xb_certificate_check_ca(coordinator->downloads.ca, now_s, &state, err);
    if (r < 0 || state.fault == XB_CERTIFICATE_GOOD || state.fault == XB_CERTIFICATE_EARLY) {
        return r;
    }
    xb_log_info("the certificate authority of downloads is made anew", "was",
                xb_certificate_fault_name(state.fault));
    patch = json_object_new_object();
    xb_json *data = json_object_new_object();
    json_object_object_add(patch, "data", data);
    r = make_ca(data, now_s, &ca, err);
    r = r ? r : xb_kube_merge_patch(coordinator->client, &ref, patch, NULL, err);
    if (r == 0) {
        xb_certificate_free(coordinator->downloads.ca);
        coordinator->downloads.ca = XB_TAKE(ca);
    }
    return r;
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
    const char *url = xb_json_str(location, "spec.config.publicUrl", "");
    (void)err;
    host_of(url, host);
    if (!url[0] || xb_location_is_s3(location)) {
        return 0;
    }
    if (xb_certificate_name_valid(host)) {
        add_name(context, host);
    } else {
        xb_log_warning("no downloads by a location's publicUrl: its host is no name", "location",
                       xb_json_str(location, "metadata.name", ""), "url", url);
    }
    return 0;
}

static int find_names(struct xb_coordinator *coordinator, struct names *names, struct xb_error *err)
{
    const struct xb_coordinator_options *options = coordinator->options;
    char service[XB_VELERO_NAME_BYTES];
    const struct xb_kube_list list = {.resource = &xb_velero_locations,
                                      .namespace = options->namespace};
    add_name(names, options->pod_ip);
    add_name(names, "localhost");
    snprintf(service, sizeof service, "xebec-coordinator.%.63s", options->namespace);
    add_name(names, service);
    snprintf(service, sizeof service, "xebec-coordinator.%.63s.svc", options->namespace);
    add_name(names, service);
    return xb_kube_list_pages(coordinator->client, &list, add_public, names, err);
}

/* With the lock: a certificate of now, and a server that shows it. The old one's downloads have a
 * moment to end. */
static int serve_anew(struct xb_coordinator *coordinator, const struct xb_certificate_wanted *like,
                      struct xb_error *err)
{
    struct xb_downloads *downloads = &coordinator->downloads;
    XB_CLEANUP(xb_certificate_freep) struct xb_certificate *certificate = NULL;
    int r = renew_ca(coordinator, like->now_s, err);
    r = r ? r
          : xb_certificate_make_server(downloads->ca, like->names, like->now_s, &certificate, err);
    if (r < 0) {
        return r;
    }
    const struct xb_server_options options = {.port = coordinator->options->downloads_port,
                                              .link_key = downloads->link_key,
                                              .certificate = certificate,
                                              .open = on_open,
                                              .context = coordinator};
    xb_server_free(downloads->server);
    downloads->server = NULL;
    xb_certificate_free(downloads->certificate);
    downloads->certificate = XB_TAKE(certificate);
    return xb_server_start(&options, &downloads->server, err);
}

/* With the lock. */
static int look_after(struct xb_coordinator *coordinator, struct xb_error *err)
{
    const struct xb_downloads *downloads = &coordinator->downloads;
    struct xb_certificate_state state = {.fault = XB_CERTIFICATE_OLD};
    struct names names = {.count = 0};
    int r = find_names(coordinator, &names, err);
    const struct xb_certificate_names wanted = {names.list, names.count};
    const struct xb_certificate_wanted like = {
        .ca = downloads->ca, .names = &wanted, .now_s = xb_clock_wall_ns() / XB_NS_PER_S};
    if (r == 0 && downloads->server) {
        r = xb_certificate_check_server(downloads->certificate, &like, &state, err);
    }
    if (r < 0 || state.fault == XB_CERTIFICATE_GOOD) {
        return r;
    }
    if (downloads->server) {
        xb_log_info("the certificate of downloads is made anew", "was",
                    xb_certificate_fault_name(state.fault));
    }
    return serve_anew(coordinator, &like, err);
}

int xb_downloads_ready(struct xb_coordinator *coordinator, uint16_t *ret_port, struct xb_error *err)
{
    struct xb_downloads *downloads = &coordinator->downloads;
    pthread_mutex_lock(&downloads->lock);
    int r = look_after(coordinator, err);
    if (r == 0) {
        *ret_port = xb_server_port(downloads->server);
    }
    pthread_mutex_unlock(&downloads->lock);
    return r < 0 ? xb_error_wrap(err, "downloads") : 0;
}

int xb_downloads_start(struct xb_coordinator *coordinator, struct xb_error *err)
{
    uint16_t port = 0;
    pthread_mutex_init(&coordinator->downloads.lock, NULL);
    int r = get_keys(coordinator, err);
    return r < 0 ? xb_error_wrap(err, "downloads") : xb_downloads_ready(coordinator, &port, err);
}

int xb_downloads_ca(struct xb_coordinator *coordinator, struct xb_buf *out, struct xb_error *err)
{
    struct xb_downloads *downloads = &coordinator->downloads;
    pthread_mutex_lock(&downloads->lock);
    const char *pem = downloads->ca->pem;
    int r = xb_base64_encode(pem, strlen(pem), out, err);
    pthread_mutex_unlock(&downloads->lock);
    return r;
}

void xb_downloads_stop(struct xb_coordinator *coordinator)
{
    struct xb_downloads *downloads = &coordinator->downloads;
    xb_server_free(downloads->server);
    xb_certificate_free(downloads->certificate);
    xb_certificate_free(downloads->ca);
    xb_secret_free(downloads->link_key);
    pthread_mutex_destroy(&downloads->lock);
    *downloads = (struct xb_downloads){.server = NULL};
}
