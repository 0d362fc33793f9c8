/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/http/easy.h"

struct xb_http_connection {
    struct xb_http_call call;
    char *place; /* the URL without its query: that may hold what is not for logs */
    curl_socket_t fd;
};

static int64_t left_ms(const struct xb_http_until *until)
{
    int64_t left = (until->deadline_ns - xb_clock_mono_ns()) / XB_NS_PER_MS;
    return left < INT_MAX ? left : INT_MAX;
}

/* What a connection is set up with. */
struct plan {
    struct xb_http_client *client;
    const char *url;
    const struct xb_http_until *until;
};

static int setup(struct xb_http_connection *connection, const struct plan *plan,
                 struct xb_error *err)
{
    int64_t ms = left_ms(plan->until);
    const struct xb_http_request request = {
        .url = plan->url, .timeout_ms = ms > 0 ? (int)ms : 1, .cancel = plan->until->cancel};
    int r = xb_http_call_setup(&connection->call, plan->client, &request, err);
    if (r < 0) {
        return r;
    }
    /* Whatever proxy there is must let everything through. */
    CURL *easy = connection->call.easy;
    CURLcode code = curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    code = code ? code : curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
    return code == CURLE_OK ? 0
                            : xb_error_set(err, XB_ERR_BUG, -EINVAL, "libcurl takes no setting: %s",
                                           curl_easy_strerror(code));
}

static int connect_it(struct xb_http_connection *connection, const struct plan *plan,
                      struct xb_error *err)
{
    int r = setup(connection, plan, err);
    r = r ? r
          : xb_http_call_result(&connection->call, curl_easy_perform(connection->call.easy),
                                connection->place, err);
    if (r == 0 && curl_easy_getinfo(connection->call.easy, CURLINFO_ACTIVESOCKET,
                                    &connection->fd) != CURLE_OK) {
        r = xb_error_set(err, XB_ERR_BUG, -EIO, "%.200s: connected, without a socket",
                         connection->place);
    }
    return r;
}

int xb_http_connection_open(struct xb_http_client *client, const char *url,
                            const struct xb_http_until *until, struct xb_http_connection **ret,
                            struct xb_error *err)
{
    XB_CLEANUP(xb_http_connection_closep)
    struct xb_http_connection *connection = calloc(1, sizeof *connection);
    if (!connection || !(connection->place = strndup(url, strcspn(url, "?"))) ||
        !(connection->call.easy = curl_easy_init())) {
        return xb_error_no_memory(err, "a connection");
    }
    const struct plan plan = {.client = client, .url = url, .until = until};
    int r = connect_it(connection, &plan, err);
    if (r == 0) {
        *ret = XB_TAKE(connection);
    }
    return r;
}

/* Whether there is still time. Asked before each piece too: where data never stops coming, nobody
 * ever waits. */
static int check_until(const struct xb_http_connection *connection,
                       const struct xb_http_until *until, struct xb_error *err)
{
    if (until->cancel && atomic_load(until->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "%.200s: cancelled",
                            connection->place);
    }
    return left_ms(until) > 0 ? 0
                              : xb_error_set(err, XB_ERR_RETRY, -ETIMEDOUT, "%.200s: not in time",
                                             connection->place);
}

/* Until the socket is ready, in pieces short enough to see that the work was cancelled. */
static int wait_ready(struct xb_http_connection *connection, short events,
                      const struct xb_http_until *until, struct xb_error *err)
{
    enum { SLICE_MS = 1000 / XB_HTTP_CANCEL_LOOKS };
    for (;;) {
        int r = check_until(connection, until, err);
        if (r < 0) {
            return r;
        }
        int64_t left = left_ms(until);
        struct pollfd poller = {.fd = connection->fd, .events = events};
        int n = poll(&poller, 1, left > SLICE_MS ? SLICE_MS : left > 0 ? (int)left : 0);
        if (n > 0) {
            return 0; /* an error of the socket is told by the next call on it */
        }
        if (n < 0 && errno != EINTR) {
            return xb_error_errno(err, errno, "waiting for %.200s", connection->place);
        }
    }
}

int xb_http_connection_send(struct xb_http_connection *connection, const void *data, size_t len,
                            const struct xb_http_until *until, struct xb_error *err)
{
    const char *at = data;
    while (len > 0) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(connection->call.easy, at, len, &sent);
        int r = code == CURLE_AGAIN
                    ? wait_ready(connection, POLLOUT, until, err)
                    : xb_http_call_result(&connection->call, code, connection->place, err);
        if (r < 0) {
            return r;
        }
        at += sent;
        len -= sent;
    }
    return 0;
}

int xb_http_connection_receive(struct xb_http_connection *connection, void *out, size_t size,
                               const struct xb_http_until *until, struct xb_error *err)
{
    size = size < XB_HTTP_RECEIVE_BYTES_MAX ? size : XB_HTTP_RECEIVE_BYTES_MAX;
    int in_time = check_until(connection, until, err);
    if (in_time < 0) {
        return in_time;
    }
    for (;;) {
        size_t got = 0;
        /* First, since TLS may hold bytes that the socket no longer shows. */
        CURLcode code = curl_easy_recv(connection->call.easy, out, size, &got);
        if (code == CURLE_OK) {
            return (int)got;
        }
        int r = code == CURLE_AGAIN
                    ? wait_ready(connection, POLLIN, until, err)
                    : xb_http_call_result(&connection->call, code, connection->place, err);
        if (r < 0) {
            return r;
        }
    }
}

void xb_http_connection_close(struct xb_http_connection *connection)
{
    if (!connection) {
        return;
    }
    CURL *easy = connection->call.easy;
    xb_http_call_done(&connection->call);
    curl_easy_cleanup(easy);
    free(connection->place);
    free(connection);
}
