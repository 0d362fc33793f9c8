/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/http.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/http/easy.h"
#include "shared/http/multiplex.h"

struct xb_http_client {
    char *ca_pem, *ca_file, *client_cert_pem, *unix_socket, *user_agent, *no_proxy;
    struct xb_secret *key;
    bool insecure, proxy_from_env, http2;
    int timeout_ms, connect_timeout_ms, stall_s;
    struct xb_http_limits *limits;
    struct xb_http_multiplex *multiplex; /* NULL: each request has a connection */
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned total, max, idle_count;
    CURL *idle[]; /* a stack: the last used has the warmest connections */
};

static int copy_text(char **to, const char *from, struct xb_error *err)
{
    if (from && !(*to = strdup(from))) {
        return xb_error_no_memory(err, "an HTTP client");
    }
    return 0;
}

/* What the environment says, and loopback, which no proxy can reach for us. */
static int copy_no_proxy(struct xb_http_client *client, struct xb_error *err)
{
    const char *env = getenv("no_proxy");
    env = env ? env : getenv("NO_PROXY");
    if (env && strcmp(env, "*") == 0) {
        return copy_text(&client->no_proxy, env, err);
    }
    if (asprintf(&client->no_proxy, "%s%slocalhost,127.0.0.0/8,::1", env ? env : "",
                 env && *env ? "," : "") < 0) {
        client->no_proxy = NULL;
        return xb_error_no_memory(err, "an HTTP client");
    }
    return 0;
}

static int copy_options(struct xb_http_client *client, const struct xb_http_client_options *options,
                        struct xb_error *err)
{
    client->insecure = options->insecure;
    client->proxy_from_env = options->proxy_from_env;
    client->http2 = options->http2_prior_knowledge;
    client->timeout_ms = options->timeout_ms ? options->timeout_ms : XB_HTTP_TIMEOUT_MS;
    client->connect_timeout_ms =
        options->connect_timeout_ms ? options->connect_timeout_ms : XB_HTTP_CONNECT_TIMEOUT_MS;
    client->stall_s = options->stall_s;
    client->limits = options->limits;
    const char *agent = options->user_agent ? options->user_agent : "xebec/" XB_VERSION;
    int r = copy_text(&client->ca_pem, options->ca_pem, err);
    r = r ? r : copy_text(&client->ca_file, options->ca_file, err);
    r = r ? r : copy_text(&client->client_cert_pem, options->client_cert_pem, err);
    r = r ? r : copy_text(&client->unix_socket, options->unix_socket, err);
    r = r ? r : copy_text(&client->user_agent, agent, err);
    r = r ? r : copy_no_proxy(client, err);
    if (r == 0 && options->client_key_pem) {
        r = xb_secret_new(options->client_key_pem, strlen(options->client_key_pem), &client->key,
                          err);
    }
    return r;
}

int xb_http_client_new(const struct xb_http_client_options *options, struct xb_http_client **ret,
                       struct xb_error *err)
{
    static const struct xb_http_client_options defaults = {.insecure = false};
    options = options ? options : &defaults;
    unsigned max = options->connections_max ? options->connections_max : XB_HTTP_CONNECTIONS_MAX;
    int r = xb_http_global_setup(err);
    if (r < 0) {
        return r;
    }
    if (max > 1024) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "%u connections for one HTTP client", max);
    }
    struct xb_http_client *client = calloc(1, sizeof *client + max * sizeof client->idle[0]);
    if (!client) {
        return xb_error_no_memory(err, "an HTTP client");
    }
    client->max = max;
    pthread_mutex_init(&client->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&client->freed, &attr);
    pthread_condattr_destroy(&attr);
    r = copy_options(client, options, err);
    r = r || !options->multiplexed ? r : xb_http_multiplex_new(&client->multiplex, err);
    if (r < 0) {
        xb_http_client_free(client);
        return r;
    }
    *ret = client;
    return 0;
}

void xb_http_client_free(struct xb_http_client *client)
{
    if (!client) {
        return;
    }
    xb_http_multiplex_free(client->multiplex);
    for (unsigned i = 0; i < client->idle_count; i++) {
        curl_easy_cleanup(client->idle[i]);
    }
    pthread_cond_destroy(&client->freed);
    pthread_mutex_destroy(&client->lock);
    xb_secret_free(client->key);
    free(client->ca_pem);
    free(client->ca_file);
    free(client->client_cert_pem);
    free(client->unix_socket);
    free(client->user_agent);
    free(client->no_proxy);
    free(client);
}

int xb_http_client_timeout_ms(const struct xb_http_client *client)
{
    return client->timeout_ms;
}

/* curl only reads the bytes, and only while the client lives. */
static struct curl_blob blob_of(const void *data, size_t len)
{
    return (struct curl_blob){
        .data = (void *)(uintptr_t)data, .len = len, .flags = CURL_BLOB_NOCOPY};
}

static void apply_tls(const struct xb_http_client *client, CURL *easy)
{
    if (client->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->ca_pem || client->ca_file) {
        /* Or curl would trust the system's folder of roots beside the configured ones. */
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (client->ca_pem) {
        struct curl_blob blob = blob_of(client->ca_pem, strlen(client->ca_pem));
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    } else if (client->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->ca_file);
        /* Not a day, as curl would: the file may be replaced, and connections are few. */
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (client->client_cert_pem) {
        struct curl_blob blob = blob_of(client->client_cert_pem, strlen(client->client_cert_pem));
        curl_easy_setopt(easy, CURLOPT_SSLCERT_BLOB, &blob);
        curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
    }
    if (client->key) {
        struct curl_blob blob = blob_of(client->key->data, client->key->len);
        curl_easy_setopt(easy, CURLOPT_SSLKEY_BLOB, &blob);
        curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
    }
}

int xb_http_client_apply(const struct xb_http_client *client, CURL *easy, struct xb_error *err)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)client->connect_timeout_ms);
    /* Without this, ending a transfer waits for a name server that does not answer. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    /* What is sent is what was asked for, and perhaps signed. */
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, 10L);
    if (client->stall_s > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)XB_HTTP_STALL_BYTES);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)client->stall_s);
    }
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     client->http2 ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
                                   : (long)CURL_HTTP_VERSION_1_1);
    CURLcode code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    code = code ? code : curl_easy_setopt(easy, CURLOPT_USERAGENT, client->user_agent);
    if (!client->proxy_from_env) {
        code = code ? code : curl_easy_setopt(easy, CURLOPT_PROXY, "");
    } else {
        code = code ? code : curl_easy_setopt(easy, CURLOPT_NOPROXY, client->no_proxy);
    }
    if (client->unix_socket) {
        code = code ? code : curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->unix_socket);
    }
    apply_tls(client, easy);
    return code == CURLE_OK ? 0
                            : xb_error_set(err, XB_ERR_BUG, -EINVAL, "libcurl takes no setting: %s",
                                           curl_easy_strerror(code));
}

/* A handle of one's own, waiting for one at most timeout_ms (negative: no limit). */
static int take_handle(struct xb_http_client *client, int timeout_ms, CURL **ret,
                       struct xb_error *err)
{
    int64_t until = xb_clock_mono_ns() + (int64_t)timeout_ms * XB_NS_PER_MS;
    struct timespec ts = {.tv_sec = until / XB_NS_PER_S, .tv_nsec = until % XB_NS_PER_S};
    int r = 0;
    CURL *easy = NULL;
    pthread_mutex_lock(&client->lock);
    while (client->idle_count == 0 && client->total == client->max && r == 0) {
        r = timeout_ms < 0 ? pthread_cond_wait(&client->freed, &client->lock)
                           : pthread_cond_timedwait(&client->freed, &client->lock, &ts);
    }
    if (client->idle_count > 0) {
        easy = client->idle[--client->idle_count];
        r = 0;
    } else if (r == 0) {
        easy = curl_easy_init();
        client->total += easy ? 1 : 0;
    }
    pthread_mutex_unlock(&client->lock);
    if (easy) {
        *ret = easy;
        return 0;
    }
    return r == 0 ? xb_error_no_memory(err, "a connection")
                  : xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT,
                                 "all %u connections were busy for %d ms", client->max, timeout_ms);
}

static void give_handle(struct xb_http_client *client, CURL *easy)
{
    pthread_mutex_lock(&client->lock);
    client->idle[client->idle_count++] = easy;
    pthread_cond_signal(&client->freed);
    pthread_mutex_unlock(&client->lock);
}

static CURLcode transfer(const struct xb_http_client *client, CURL *easy)
{
    if (!client->multiplex) {
        return curl_easy_perform(easy);
    }
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L); /* for a connection that can be shared */
    return xb_http_multiplex_perform(client->multiplex, easy);
}

static int perform_on(struct xb_http_call *call, const struct xb_http_client *client,
                      const struct xb_http_request *request, struct xb_http_response *ret,
                      struct xb_error *err)
{
    int r = xb_http_call_setup(call, client, request, err);
    if (r == 0) {
        r = xb_http_call_result(call, transfer(client, call->easy), request->url, err);
    }
    if (r == 0) {
        long status = 0;
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        *ret = (struct xb_http_response){
            .status = (int)status, .body = call->body, .retry_after_ms = call->retry_after_ms};
        call->body.data = NULL;
    }
    return r;
}

int xb_http_perform(struct xb_http_client *client, const struct xb_http_request *request,
                    struct xb_http_response *ret, struct xb_error *err)
{
    struct xb_http_call *call = calloc(1, sizeof *call); /* large: not for a worker's stack */
    if (!call) {
        return xb_error_no_memory(err, "a request");
    }
    int timeout = request->timeout_ms ? request->timeout_ms : client->timeout_ms;
    call->limits = client->limits;
    int r = take_handle(client, timeout, &call->easy, err);
    if (r == 0) {
        CURL *easy = call->easy;
        r = perform_on(call, client, request, ret, err);
        xb_http_call_done(call);
        give_handle(client, easy);
    }
    free(call);
    return r;
}

void xb_http_response_free(struct xb_http_response *response)
{
    xb_buf_free(&response->body);
}

int xb_http_escape(struct xb_buf *out, const char *text, struct xb_error *err)
{
    int r = 0;
    for (const char *c = text; *c && r == 0; c++) {
        unsigned char byte = (unsigned char)*c;
        bool plain = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
                     (byte >= '0' && byte <= '9') || strchr("-._~", byte);
        r = plain ? xb_buf_append(out, c, 1, err) : xb_buf_printf(out, err, "%%%02X", byte);
    }
    return r;
}

int64_t xb_http_date_parse(const char *value)
{
    time_t when = curl_getdate(value, NULL);
    return when < 0 || when > XB_HTTP_DATE_MAX_S ? -1 : (int64_t)when;
}

int64_t xb_http_retry_after_parse(const char *value)
{
    enum { SECONDS_MAX = 24 * 3600 };
    if (*value >= '0' && *value <= '9') {
        int64_t seconds = 0;
        const char *c = value;
        for (; *c >= '0' && *c <= '9'; c++) {
            seconds = seconds >= SECONDS_MAX ? SECONDS_MAX : seconds * 10 + (*c - '0');
        }
        seconds = seconds > SECONDS_MAX ? SECONDS_MAX : seconds;
        return *c == '\0' ? seconds * 1000 : -1;
    }
    int64_t when = xb_http_date_parse(value);
    if (when < 0) {
        return -1;
    }
    int64_t wait_ms = when * 1000 - xb_clock_wall_ns() / XB_NS_PER_MS;
    wait_ms = wait_ms < 0 ? 0 : wait_ms;
    return wait_ms > SECONDS_MAX * 1000LL ? SECONDS_MAX * 1000LL : wait_ms;
}
