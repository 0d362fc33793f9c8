/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/client.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/http/retry.h"
#include "shared/kube/pace.h"
#include "shared/kube/request.h"

enum { URL_BYTES_MAX = 16 << 10 };

struct xb_kube_client {
    char *server;
    struct xb_http_client *http;
    char *token_file;
    bool dry_run;
    pthread_mutex_t lock; /* all below */
    struct xb_secret *token;
    int64_t token_read_ns;        /* 0: never */
    struct xb_http_gate gate;     /* no context: none */
    struct xb_kube_client *turns; /* whose turns count; mostly this very client */
    /* When the next request may begin if the burst is used up; 0 interval: at once. */
    int64_t interval_ns, burst_ns, turn_ns;
};

/* ---- the pace ---- */

static bool enter_pace(void *context, const atomic_bool *cancel)
{
    return xb_kube_pace_enter(context, cancel);
}

/* A server with priority and fairness answers 429 when the queues of a flow are full; one that
 * cannot go on 503, or too late. */
static void leave_pace(void *context, int status, int64_t took_ns)
{
    enum xb_kube_sign sign = XB_KUBE_SIGN_GOOD;
    if (status == 429 || status == 503 || status == 504) {
        sign = XB_KUBE_SIGN_TOO_MUCH;
    } else if (status == 0 || status >= 400) {
        sign = XB_KUBE_SIGN_NONE;
    }
    xb_kube_pace_leave(context, sign, took_ns);
}

/* ---- the client ---- */

static int copy_config(struct xb_kube_client *client, const struct xb_kube_config *config,
                       const struct xb_kube_client_options *options, struct xb_error *err)
{
    struct xb_http_client_options http = {
        .ca_pem = config->ca_file ? NULL : config->ca_pem,
        .ca_file = config->ca_file,
        .client_cert_pem = config->client_cert_pem,
        .client_key_pem =
            config->client_key_pem ? (const char *)config->client_key_pem->data : NULL,
        .insecure = config->insecure,
        .proxy_from_env = true,
        .timeout_ms = options->timeout_ms ? options->timeout_ms : XB_KUBE_TIMEOUT_MS,
        .connections_max = options->connections_max,
        .multiplexed = options->multiplexed,
        .user_agent = options->user_agent,
    };
    client->server = strdup(config->server);
    client->token_file = config->token_file ? strdup(config->token_file) : NULL;
    if (!client->server || (config->token_file && !client->token_file)) {
        return xb_error_no_memory(err, "a cluster client");
    }
    if (config->token) {
        int r = xb_secret_new(config->token->data, config->token->len, &client->token, err);
        if (r < 0) {
            return r;
        }
    }
    return xb_http_client_new(&http, &client->http, err);
}

int xb_kube_client_new(const struct xb_kube_config *config,
                       const struct xb_kube_client_options *options, struct xb_kube_client **ret,
                       struct xb_error *err)
{
    static const struct xb_kube_client_options defaults = {.timeout_ms = 0};
    struct xb_kube_client *client = calloc(1, sizeof *client);
    if (!client) {
        return xb_error_no_memory(err, "a cluster client");
    }
    pthread_mutex_init(&client->lock, NULL);
    client->dry_run = options && options->dry_run;
    client->turns = options && options->turns_of ? options->turns_of->turns : client;
    if (options && options->pace) {
        client->gate = (struct xb_http_gate){options->pace, enter_pace, leave_pace};
    }
    if (options && options->requests_per_s > 0) {
        client->interval_ns = (int64_t)((double)XB_NS_PER_S / options->requests_per_s);
        client->burst_ns = client->interval_ns * (options->burst > 1 ? options->burst - 1 : 0);
    }
    int r = copy_config(client, config, options ? options : &defaults, err);
    if (r < 0) {
        xb_kube_client_free(client);
        return r;
    }
    *ret = client;
    return 0;
}

void xb_kube_client_free(struct xb_kube_client *client)
{
    if (!client) {
        return;
    }
    xb_http_client_free(client->http);
    xb_secret_free(client->token);
    pthread_mutex_destroy(&client->lock);
    free(client->server);
    free(client->token_file);
    free(client);
}

struct xb_http_client *xb_kube_http(struct xb_kube_client *client)
{
    return client->http;
}

bool xb_kube_bearer_renewable(const struct xb_kube_client *client)
{
    return client->token_file != NULL;
}

/* With the lock held. A file that cannot be read right now leaves the old token in use. */
static int read_token(struct xb_kube_client *client, struct xb_error *err)
{
    struct xb_buf buf = XB_BUF_INIT(XB_SECRET_BYTES_MAX);
    struct xb_secret *token = NULL;
    int r = xb_file_read(client->token_file, &buf, err);
    if (r == 0) {
        size_t len = buf.len;
        while (len > 0 && strchr(" \t\r\n", buf.data[len - 1])) {
            len--;
        }
        r = len > 0 ? xb_secret_new(buf.data, len, &token, err)
                    : xb_error_set(err, XB_ERR_DENIED, -EACCES, "token file %.200s is empty",
                                   client->token_file);
    }
    xb_buf_wipe(&buf);
    if (r == 0) {
        xb_secret_free(client->token);
        client->token = token;
        client->token_read_ns = xb_clock_mono_ns();
    }
    return r < 0 && client->token ? 0 : r;
}

int xb_kube_bearer(struct xb_kube_client *client, bool anew, struct xb_secret **ret,
                   struct xb_error *err)
{
    struct xb_error failure = XB_ERROR_INIT;
    int r = 0;
    pthread_mutex_lock(&client->lock);
    int64_t age = xb_clock_mono_ns() - client->token_read_ns;
    bool old = client->token_read_ns == 0 || age > XB_KUBE_TOKEN_AGE_MAX_S * XB_NS_PER_S;
    if (client->token_file && (anew || old)) {
        r = read_token(client, &failure);
    }
    if (r == 0 && client->token) {
        r = xb_secret_new(client->token->data, client->token->len, ret, &failure);
    }
    pthread_mutex_unlock(&client->lock);
    if (r < 0) {
        *err = failure;
    }
    return r;
}

int xb_kube_url(const struct xb_kube_client *client, const struct xb_kube_ref *ref,
                struct xb_buf *out, struct xb_error *err)
{
    int r = xb_buf_append_str(out, client->server, err);
    return r ? r : xb_kube_path(ref, out, err);
}

/* Waits for the client's own turn, where it has a limit. */
static int wait_turn(const struct xb_kube_client *from, const atomic_bool *cancel,
                     struct xb_error *err)
{
    struct xb_kube_client *client = from->turns;
    if (client->interval_ns == 0) {
        return 0;
    }
    pthread_mutex_lock(&client->lock);
    int64_t now_ns = xb_clock_mono_ns();
    int64_t wait_ns = client->turn_ns - client->burst_ns - now_ns;
    client->turn_ns = (client->turn_ns > now_ns ? client->turn_ns : now_ns) + client->interval_ns;
    pthread_mutex_unlock(&client->lock);
    return wait_ns <= 0 || xb_http_retry_sleep(wait_ns / XB_NS_PER_MS + 1, cancel)
               ? 0
               : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
}

/* What one exchange needs beyond the URL. */
struct exchange {
    const char *verb; /* for texts: "update" */
    const char *method, *accept, *content_type;
    const struct xb_buf *body;
    size_t bytes_max;
    const atomic_bool *cancel;
};

static int exchange_once(struct xb_kube_client *client, const struct exchange *exchange,
                         const char *url, bool anew, struct xb_http_response *ret,
                         struct xb_error *err)
{
    const struct xb_http_retry policy = {.attempts_max = XB_KUBE_ATTEMPTS_MAX,
                                         .gate = client->gate.context ? &client->gate : NULL};
    XB_CLEANUP(xb_secret_freep) struct xb_secret *bearer = NULL;
    char accept[256];
    char type[128];
    const char *headers[3] = {accept, exchange->body ? type : NULL, NULL};
    snprintf(accept, sizeof accept, "Accept: %s",
             exchange->accept ? exchange->accept : "application/json");
    snprintf(type, sizeof type, "Content-Type: %s",
             exchange->content_type ? exchange->content_type : "application/json");
    int r = wait_turn(client, exchange->cancel, err);
    r = r ? r : xb_kube_bearer(client, anew, &bearer, err);
    if (r < 0) {
        return r;
    }
    struct xb_http_request request = {
        .method = exchange->method,
        .url = url,
        .headers = headers,
        .bearer = bearer,
        .body = exchange->body ? exchange->body->data : NULL,
        .body_len = exchange->body ? exchange->body->len : 0,
        .response_bytes_max = exchange->bytes_max ? exchange->bytes_max : XB_KUBE_OBJECT_BYTES_MAX,
        .cancel = exchange->cancel,
    };
    return xb_http_perform_retry(client->http, &request, &policy, ret, err);
}

/* One exchange, with a fresh token when the first was refused. */
static int exchange_run(struct xb_kube_client *client, const struct exchange *exchange,
                        const char *url, struct xb_http_response *ret, struct xb_error *err)
{
    struct xb_http_response response = {.status = 0};
    int r = exchange_once(client, exchange, url, false, &response, err);
    if (r == 0 && response.status == 401 && xb_kube_bearer_renewable(client)) {
        xb_http_response_free(&response);
        r = exchange_once(client, exchange, url, true, &response, err);
    }
    if (r == 0) {
        *ret = response;
    }
    return r;
}

static int need_name(const struct xb_kube_ref *ref, const char *verb, struct xb_error *err)
{
    if (!ref->name || (ref->resource->namespaced && !ref->namespace)) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "%s %s without name or namespace", verb,
                            ref->resource->plural);
    }
    return 0;
}

/* A verb on one object: request, status, JSON of the answer. */
static int exchange_object(struct xb_kube_client *client, const struct exchange *exchange,
                           const struct xb_kube_ref *ref, xb_json **ret, struct xb_error *err)
{
    char what[400];
    xb_kube_describe(what, sizeof what, exchange->verb, ref);
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    struct xb_http_response response = {.status = 0};
    int r = xb_kube_url(client, ref, &url, err);
    if (r == 0 && client->dry_run && exchange->body) {
        r = xb_kube_url_query(&url, "dryRun", "All", err);
    }
    r = r ? r : exchange_run(client, exchange, url.data, &response, err);
    xb_buf_free(&url);
    if (r < 0) {
        return xb_error_wrap(err, "%.190s", what);
    }
    if (response.status < 200 || response.status > 299) {
        r = xb_kube_status_error(&response, what, err);
    } else if (ret) {
        xb_json *object = NULL;
        r = xb_json_parse(response.body.data ? response.body.data : "", response.body.len, &object,
                          err);
        if (r == 0 && !json_object_is_type(object, json_type_object)) {
            json_object_put(object);
            r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the answer is not an object");
        }
        if (r == 0) {
            *ret = object;
        } else {
            r = xb_error_wrap(err, "%.190s", what);
        }
    }
    xb_http_response_free(&response);
    return r;
}

int xb_kube_get(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json **ret,
                struct xb_error *err)
{
    struct exchange exchange = {.verb = "get", .method = "GET", .cancel = ref->cancel};
    int r = need_name(ref, "get", err);
    return r ? r : exchange_object(client, &exchange, ref, ret, err);
}

static int write_object(struct xb_kube_client *client, const struct exchange *pattern,
                        const struct xb_kube_ref *ref, xb_json *body, xb_json **ret,
                        struct xb_error *err)
{
    struct exchange exchange = *pattern;
    struct xb_buf text = XB_BUF_INIT(XB_KUBE_OBJECT_BYTES_MAX);
    /* The server keeps the `data` of a ControllerRevision byte by byte, and compares it with what
     * Go makes of it: with other escapes nobody can change the object any more, nor adopt it. */
    int r = xb_json_write_go(body, &text, err);
    exchange.body = &text;
    exchange.cancel = ref->cancel;
    r = r ? r : exchange_object(client, &exchange, ref, ret, err);
    xb_buf_wipe(&text); /* it may have been a Secret */
    return r;
}

int xb_kube_create(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json *body,
                   xb_json **ret, struct xb_error *err)
{
    static const struct exchange pattern = {.verb = "create", .method = "POST"};
    /* The name is in the body; a subresource (token, eviction) is created below its object. */
    struct xb_kube_ref place = *ref;
    if (!ref->subresource) {
        place.name = NULL;
    }
    return write_object(client, &pattern, &place, body, ret, err);
}

int xb_kube_update(struct xb_kube_client *client, const struct xb_kube_ref *ref, xb_json *body,
                   xb_json **ret, struct xb_error *err)
{
    static const struct exchange pattern = {.verb = "update", .method = "PUT"};
    int r = need_name(ref, "update", err);
    return r ? r : write_object(client, &pattern, ref, body, ret, err);
}

int xb_kube_merge_patch(struct xb_kube_client *client, const struct xb_kube_ref *ref,
                        xb_json *patch, xb_json **ret, struct xb_error *err)
{
    static const struct exchange pattern = {
        .verb = "patch", .method = "PATCH", .content_type = "application/merge-patch+json"};
    int r = need_name(ref, "patch", err);
    return r ? r : write_object(client, &pattern, ref, patch, ret, err);
}

/* With options in the body, the server does not look at those of the URL. */
static int set_dry_run(xb_json *body, struct xb_error *err)
{
    xb_json *list = json_object_new_array();
    if (!list || json_object_array_add(list, json_object_new_string("All")) < 0) {
        json_object_put(list);
        return xb_error_no_memory(err, "delete options");
    }
    return xb_json_set(body, "dryRun", list, err);
}

static int delete_body(const struct xb_kube_client *client,
                       const struct xb_kube_delete_options *options, xb_json *body,
                       struct xb_error *err)
{
    int r = xb_json_set_str(body, "apiVersion", "v1", err);
    r = r ? r : xb_json_set_str(body, "kind", "DeleteOptions", err);
    r = r || !client->dry_run ? r : set_dry_run(body, err);
    if (r == 0 && options && options->uid) {
        r = xb_json_set_str(body, "preconditions.uid", options->uid, err);
    }
    if (r == 0 && options && options->grace_set) {
        r = xb_json_set_int(body, "gracePeriodSeconds", options->grace_seconds, err);
    }
    if (r == 0 && options && options->propagation) {
        r = xb_json_set_str(body, "propagationPolicy", options->propagation, err);
    }
    return r;
}

int xb_kube_delete(struct xb_kube_client *client, const struct xb_kube_ref *ref,
                   const struct xb_kube_delete_options *options, struct xb_error *err)
{
    static const struct exchange pattern = {.verb = "delete", .method = "DELETE"};
    int r = need_name(ref, "delete", err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_json_putp) xb_json *body = json_object_new_object();
    if (!body) {
        return xb_error_no_memory(err, "delete options");
    }
    r = delete_body(client, options, body, err);
    return r ? r : write_object(client, &pattern, ref, body, NULL, err);
}

int xb_kube_fetch_page(struct xb_kube_client *client, const char *url, const atomic_bool *cancel,
                       struct xb_http_response *ret, struct xb_error *err)
{
    struct exchange exchange = {
        .method = "GET", .bytes_max = XB_KUBE_PAGE_BYTES_MAX, .cancel = cancel};
    return exchange_run(client, &exchange, url, ret, err);
}

int xb_kube_fetch(struct xb_kube_client *client, const char *path, const char *accept,
                  struct xb_http_response *ret, struct xb_error *err)
{
    struct exchange exchange = {
        .method = "GET", .accept = accept, .bytes_max = XB_KUBE_PAGE_BYTES_MAX};
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    int r = path[0] == '/'
                ? xb_buf_append_str(&url, client->server, err)
                : xb_error_set(err, XB_ERR_BUG, -EINVAL, "not a path from the root: %.100s", path);
    r = r ? r : xb_buf_append_str(&url, path, err);
    r = r ? r : exchange_run(client, &exchange, url.data, ret, err);
    xb_buf_free(&url);
    return r;
}

int xb_kube_raw_get(struct xb_kube_client *client, const char *path, struct xb_buf *out,
                    struct xb_error *err)
{
    struct xb_http_response response = {.status = 0};
    int r = xb_kube_fetch(client, path, "*/*", &response, err);
    if (r < 0) {
        return r;
    }
    r = response.status == 200 ? xb_buf_append(out, response.body.data, response.body.len, err)
                               : xb_kube_status_error(&response, path, err);
    xb_http_response_free(&response);
    return r;
}
