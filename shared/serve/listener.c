/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/serve/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { BACKLOG = 64, LOG_TEXT_BYTES = 512 };

#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct xb_listener {
    struct MHD_Daemon *daemon;
    xb_listener_fn *handle;
    void *context;
    uint16_t port;
    atomic_bool stopping;  /* no new answers */
    atomic_bool giving_up; /* running ones end too */
    pthread_mutex_t lock;
    pthread_cond_t idle; /* running became 0 */
    unsigned running;    /* answers begun and not ended */
};

struct address {
    struct sockaddr_storage storage;
    socklen_t len;
};

static void address_v4(struct address *address, struct in_addr ip, uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = ip};
    memset(address, 0, sizeof *address);
    memcpy(&address->storage, &v4, sizeof v4);
    address->len = sizeof v4;
}

static void address_v6(struct address *address, struct in6_addr ip, uint16_t port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = ip};
    memset(address, 0, sizeof *address);
    memcpy(&address->storage, &v6, sizeof v6);
    address->len = sizeof v6;
}

/* A listening socket, or -errno. */
static int socket_open(const struct address *address, bool both)
{
    int on = 1, v6_only = both ? 0 : 1;
    XB_CLEANUP(xb_closep)
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (address->storage.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only) < 0) ||
        bind(fd, (const struct sockaddr *)&address->storage, address->len) < 0 ||
        listen(fd, BACKLOG) < 0) {
        return -errno;
    }
    return XB_TAKE_FD(fd);
}

static bool no_ipv6(int code)
{
    return code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL || code == -EPROTONOSUPPORT;
}

/* Every address: one socket for both protocols where the node has IPv6. */
static int socket_any(uint16_t port)
{
    struct address address;
    address_v6(&address, in6addr_any, port);
    int fd = socket_open(&address, true);
    if (fd < 0 && no_ipv6(fd)) {
        address_v4(&address, (struct in_addr){.s_addr = htonl(INADDR_ANY)}, port);
        fd = socket_open(&address, false);
    }
    return fd;
}

static int listen_at(const struct xb_listener_options *options, int *ret_fd, struct xb_error *err)
{
    const char *text = options->address ? options->address : "";
    struct in6_addr v6;
    struct in_addr v4;
    struct address address;
    int fd = 0;
    if (text[0] == '\0') {
        fd = socket_any(options->port);
    } else if (inet_pton(AF_INET, text, &v4) == 1) {
        address_v4(&address, v4, options->port);
        fd = socket_open(&address, false);
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        address_v6(&address, v6, options->port);
        fd = socket_open(&address, false);
    } else {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "cannot listen at '%.60s': not a numeric address", text);
    }
    if (fd == -EADDRINUSE) {
        return xb_error_set(err, XB_ERR_CONFLICT, -EADDRINUSE,
                            "cannot listen at [%s]:%u: another process has this port", text,
                            options->port);
    }
    if (fd < 0) {
        return xb_error_errno(err, -fd, "cannot listen at [%s]:%u", text, options->port);
    }
    *ret_fd = fd;
    return 0;
}

static int port_of(int fd, uint16_t *ret, struct xb_error *err)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &len) < 0) {
        return xb_error_errno(err, errno, "cannot find the port of a listening socket");
    }
    /* Both kinds of address have it in the same place. */
    struct sockaddr_in start;
    memcpy(&start, &bound, sizeof start);
    *ret = ntohs(start.sin_port);
    return 0;
}

/* What clients do wrong is of no interest but when something is searched for. */
__attribute__((format(printf, 2, 0))) static void log_line(void *context, const char *format,
                                                           va_list args)
{
    char text[LOG_TEXT_BYTES];
    (void)context;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    xb_log_debug("http server", "detail", text);
}

/* Paths are compared as they were sent: nothing is unescaped, so there is nothing to hide. */
static size_t unescape_nothing(void *context, struct MHD_Connection *connection, char *text)
{
    (void)context;
    (void)connection;
    return strlen(text);
}

static void answer_begins(struct xb_listener *listener)
{
    pthread_mutex_lock(&listener->lock);
    listener->running++;
    pthread_mutex_unlock(&listener->lock);
}

static void answer_ends(void *context, struct MHD_Connection *connection, void **request,
                        enum MHD_RequestTerminationCode why)
{
    struct xb_listener *listener = context;
    (void)connection;
    (void)why;
    if (!*request) {
        return;
    }
    *request = NULL;
    pthread_mutex_lock(&listener->lock);
    listener->running--;
    if (listener->running == 0) {
        pthread_cond_broadcast(&listener->idle);
    }
    pthread_mutex_unlock(&listener->lock);
}

static enum MHD_Result reply_not_allowed(struct MHD_Connection *connection)
{
    static const char text[] = "only GET and HEAD are possible\n";
    struct MHD_Response *response = MHD_create_response_from_buffer(
        sizeof text - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result r = MHD_NO;
    if (response && xb_listener_headers(response, "text/plain; charset=utf-8") &&
        MHD_add_response_header(response, "Allow", "GET, HEAD") == MHD_YES) {
        r = MHD_queue_response(connection, MHD_HTTP_METHOD_NOT_ALLOWED, response);
    }
    if (response) {
        MHD_destroy_response(response);
    }
    return r;
}

/* Called once per request, as every path out of here has queued an answer: a body is never read. */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **request)
{
    struct xb_listener *listener = context;
    (void)version;
    (void)upload;
    (void)upload_len;
    if (*request) {
        return MHD_NO;
    }
    *request = listener;
    answer_begins(listener);
    if (atomic_load(&listener->stopping)) {
        return xb_listener_reply(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping\n");
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        return reply_not_allowed(connection);
    }
    return listener->handle(listener->context, listener, connection, url);
}

static void listener_destroy(struct xb_listener *listener)
{
    pthread_cond_destroy(&listener->idle);
    pthread_mutex_destroy(&listener->lock);
    free(listener);
}

static struct xb_listener *listener_new(const struct xb_listener_options *options)
{
    struct xb_listener *listener = calloc(1, sizeof *listener);
    pthread_condattr_t attr;
    if (!listener) {
        return NULL;
    }
    listener->handle = options->handle;
    listener->context = options->context;
    atomic_init(&listener->stopping, false);
    atomic_init(&listener->giving_up, false);
    pthread_mutex_init(&listener->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&listener->idle, &attr);
    pthread_condattr_destroy(&attr);
    return listener;
}

/* Takes the socket over, as libmicrohttpd does whether it starts or not. Its threads inherit the
 * mask of signals: those are the main thread's business. */
static struct MHD_Daemon *daemon_start(struct xb_listener *listener,
                                       const struct xb_listener_options *options, int fd)
{
    const bool secure = options->certificate_pem != NULL;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)options->certificate_pem},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)options->key_pem},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem plain[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG |
                     (secure ? MHD_USE_TLS : MHD_NO_FLAG);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, listener, MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_THREAD_POOL_SIZE, options->threads,
        MHD_OPTION_CONNECTION_LIMIT, options->connections_max, MHD_OPTION_CONNECTION_TIMEOUT,
        options->timeout_s, MHD_OPTION_NOTIFY_COMPLETED, answer_ends, listener,
        MHD_OPTION_UNESCAPE_CALLBACK, unescape_nothing, NULL, MHD_OPTION_ARRAY,
        secure ? tls : plain, MHD_OPTION_END);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return daemon;
}

int xb_listener_start(const struct xb_listener_options *options, struct xb_listener **ret,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_closep) int fd = -1;
    uint16_t port = 0;
    if (options->threads < 2 || options->threads > XB_LISTENER_THREADS_MAX ||
        options->connections_max < options->threads || options->timeout_s == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a server of %u threads (2 to %d) and %u connections", options->threads,
                            XB_LISTENER_THREADS_MAX, options->connections_max);
    }
    if (options->certificate_pem && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "this system's libmicrohttpd was built without TLS");
    }
    int r = listen_at(options, &fd, err);
    if (r < 0 || (r = port_of(fd, &port, err)) < 0) {
        return r;
    }
    struct xb_listener *listener = listener_new(options);
    if (!listener) {
        return xb_error_no_memory(err, "a server");
    }
    listener->port = port;
    listener->daemon = daemon_start(listener, options, XB_TAKE_FD(fd));
    if (!listener->daemon) {
        listener_destroy(listener);
        return xb_error_set(err, XB_ERR_IO, -EIO,
                            "cannot start the server at port %u (certificate, threads or memory; "
                            "the debug log says more)",
                            port);
    }
    *ret = listener;
    return 0;
}

uint16_t xb_listener_port(const struct xb_listener *listener)
{
    return listener->port;
}

bool xb_listener_giving_up(const struct xb_listener *listener)
{
    return atomic_load(&listener->giving_up);
}

bool xb_listener_headers(struct MHD_Response *response, const char *content_type)
{
    return MHD_add_response_header(response, "Connection", "close") == MHD_YES &&
           MHD_add_response_header(response, "Content-Type", content_type) == MHD_YES &&
           MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
           MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES;
}

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status,
                             const char *content_type, struct MHD_Response *response)
{
    if (!response) {
        return MHD_NO;
    }
    enum MHD_Result r = xb_listener_headers(response, content_type)
                            ? MHD_queue_response(connection, status, response)
                            : MHD_NO;
    MHD_destroy_response(response);
    return r;
}

enum MHD_Result xb_listener_reply(struct MHD_Connection *connection, unsigned status,
                                  const char *text)
{
    return reply(connection, status, "text/plain; charset=utf-8",
                 MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                 MHD_RESPMEM_MUST_COPY));
}

enum MHD_Result xb_listener_reply_as(struct MHD_Connection *connection, const char *content_type,
                                     const void *data, size_t len)
{
    return reply(
        connection, MHD_HTTP_OK, content_type,
        MHD_create_response_from_buffer(len, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY));
}

/* Whether all answers have ended in time. */
static bool wait_idle(struct xb_listener *listener)
{
    int64_t until_ns = xb_clock_mono_ns() + XB_LISTENER_STOP_MS * XB_NS_PER_MS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / XB_NS_PER_S),
                             .tv_nsec = (long)(until_ns % XB_NS_PER_S)};
    int r = 0;
    pthread_mutex_lock(&listener->lock);
    while (listener->running > 0 && r == 0) {
        r = pthread_cond_timedwait(&listener->idle, &listener->lock, &until);
    }
    bool idle = listener->running == 0;
    pthread_mutex_unlock(&listener->lock);
    return idle;
}

void xb_listener_free(struct xb_listener *listener)
{
    if (!listener) {
        return;
    }
    atomic_store(&listener->stopping, true);
    int fd = MHD_quiesce_daemon(listener->daemon);
    if (fd >= 0) {
        shutdown(fd, SHUT_RDWR); /* who comes now is told at once, not when the last one ends */
    }
    if (!wait_idle(listener)) {
        xb_log_warning("http server stops in the middle of answers");
    }
    atomic_store(&listener->giving_up, true);
    MHD_stop_daemon(listener->daemon);
    xb_closep(&fd); /* only now: the server's threads may still have been polling it */
    listener_destroy(listener);
}
