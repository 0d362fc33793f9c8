/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/http/stream.h"

#include <errno.h>
#include <string.h>

#include "shared/http/easy.h"

/* The states of one stream. Inside curl's own calls nothing may be added or removed, so there a
 * stream only changes its state, and settle() acts on it afterwards. */
enum state { STREAM_NEW, STREAM_RUNNING, STREAM_ENDED, STREAM_DEAD };

struct xb_http_stream {
    struct xb_http_stream *next;
    struct xb_http_multi *multi;
    enum state state;
    CURLcode result;
    bool added, headed;
    struct xb_http_stream_options options;
    char *url;
    struct xb_secret *bearer;
    const char *headers[XB_HTTP_HEADERS_MAX];
    struct xb_http_call call;
};

struct xb_http_multi {
    struct xb_http_reactor reactor;
    CURLM *curl;
    struct xb_http_stream *streams;
    bool busy;      /* inside curl or settle(): whoever is there cleans up */
    bool unsettled; /* some stream waits for settle() */
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *slot)
{
    (void)easy;
    struct xb_http_multi *multi = context;
    unsigned events = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT) {
        events |= XB_HTTP_READ;
    }
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT) {
        events |= XB_HTTP_WRITE;
    }
    void *note = slot;
    int r = multi->reactor.socket(multi->reactor.context, fd, events, &note);
    if (note != slot && what != CURL_POLL_REMOVE) {
        curl_multi_assign(multi->curl, fd, note);
    }
    return r < 0 ? -1 : 0;
}

static int on_timer(CURLM *curl, long ms, void *context)
{
    (void)curl;
    struct xb_http_multi *multi = context;
    multi->reactor.timer(multi->reactor.context, ms);
    return 0;
}

int xb_http_multi_new(const struct xb_http_reactor *reactor, struct xb_http_multi **ret,
                      struct xb_error *err)
{
    int r = xb_http_global_setup(err);
    if (r < 0) {
        return r;
    }
    struct xb_http_multi *multi = calloc(1, sizeof *multi);
    CURLM *curl = curl_multi_init();
    if (!multi || !curl) {
        free(multi);
        curl_multi_cleanup(curl);
        return xb_error_no_memory(err, "an HTTP multi");
    }
    multi->reactor = *reactor;
    multi->curl = curl;
    curl_multi_setopt(curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(curl, CURLMOPT_SOCKETDATA, multi);
    curl_multi_setopt(curl, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(curl, CURLMOPT_TIMERDATA, multi);
    *ret = multi;
    return 0;
}

static void free_stream(struct xb_http_stream *stream)
{
    if (stream->added) {
        curl_multi_remove_handle(stream->multi->curl, stream->call.easy);
    }
    CURL *easy = stream->call.easy;
    xb_http_call_done(&stream->call);
    if (easy) {
        curl_easy_cleanup(easy);
    }
    for (size_t i = 0; i < XB_HTTP_HEADERS_MAX && stream->headers[i]; i++) {
        free((void *)(uintptr_t)stream->headers[i]);
    }
    xb_secret_free(stream->bearer);
    free(stream->url);
    free(stream);
}

void xb_http_multi_free(struct xb_http_multi *multi)
{
    if (!multi) {
        return;
    }
    multi->busy = true;
    while (multi->streams) {
        struct xb_http_stream *stream = multi->streams;
        multi->streams = stream->next;
        free_stream(stream);
    }
    curl_multi_cleanup(multi->curl);
    free(multi);
}

static void note_head(struct xb_http_stream *stream)
{
    if (!stream->headed && stream->state != STREAM_DEAD) {
        stream->headed = true;
        if (stream->options.on_head) {
            stream->options.on_head(stream->options.context, stream->call.status);
        }
    }
}

static void end_stream(struct xb_http_stream *stream)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_http_response response = {.status = stream->call.status,
                                        .body = stream->call.body,
                                        .retry_after_ms = stream->call.retry_after_ms};
    int r = xb_http_call_result(&stream->call, stream->result, stream->url, &err);
    if (r == 0) {
        note_head(stream); /* an answer without a body */
    }
    if (stream->state == STREAM_DEAD) {
        return; /* on_head cancelled it */
    }
    stream->state = STREAM_DEAD; /* first: on_end may not cancel what has ended */
    stream->options.on_end(stream->options.context, r < 0 ? NULL : &response, r < 0 ? &err : NULL);
}

static bool add_stream(struct xb_http_stream *stream)
{
    stream->state = STREAM_RUNNING;
    stream->added = curl_multi_add_handle(stream->multi->curl, stream->call.easy) == CURLM_OK;
    if (!stream->added) {
        stream->result = CURLE_OUT_OF_MEMORY;
        stream->state = STREAM_ENDED;
    }
    return stream->added;
}

static void collect_ended(struct xb_http_multi *multi)
{
    int left = 0;
    CURLMsg *msg;
    while ((msg = curl_multi_info_read(multi->curl, &left)) != NULL) {
        struct xb_http_stream *stream = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&stream);
        if (msg->msg == CURLMSG_DONE && stream && stream->state == STREAM_RUNNING) {
            stream->result = msg->data.result;
            stream->state = STREAM_ENDED;
            multi->unsettled = true;
        }
    }
}

/* Acts on the states until nothing is left to do. The list is walked from its head after every
 * callback, since a callback may have changed it. */
static void settle(struct xb_http_multi *multi)
{
    collect_ended(multi);
    while (multi->unsettled) {
        multi->unsettled = false;
        struct xb_http_stream **at = &multi->streams;
        while (*at && (*at)->state == STREAM_RUNNING) {
            at = &(*at)->next;
        }
        struct xb_http_stream *stream = *at;
        if (!stream) {
            break;
        }
        multi->unsettled = true;
        if (stream->state == STREAM_NEW) {
            add_stream(stream);
        } else if (stream->state == STREAM_ENDED) {
            end_stream(stream);
        } else {
            *at = stream->next;
            free_stream(stream);
        }
        collect_ended(multi);
    }
}

static void drive(struct xb_http_multi *multi, curl_socket_t fd, int bits)
{
    int running = 0;
    if (multi->busy) {
        return; /* a reactor must not call back from within: then its own call comes again */
    }
    multi->busy = true;
    curl_multi_socket_action(multi->curl, fd, bits, &running);
    settle(multi);
    multi->busy = false;
}

void xb_http_multi_ready(struct xb_http_multi *multi, int fd, unsigned events, bool failed)
{
    int bits = failed ? CURL_CSELECT_ERR : 0;
    bits |= events & XB_HTTP_READ ? CURL_CSELECT_IN : 0;
    bits |= events & XB_HTTP_WRITE ? CURL_CSELECT_OUT : 0;
    drive(multi, fd, bits);
}

void xb_http_multi_timeout(struct xb_http_multi *multi)
{
    drive(multi, CURL_SOCKET_TIMEOUT, 0);
}

static int relay_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct xb_http_stream *stream = context;
    note_head(stream);
    int r = stream->state == STREAM_RUNNING
                ? stream->options.on_data(stream->options.context, data, len, err)
                : -ECANCELED;
    return stream->state == STREAM_RUNNING
               ? r
               : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
}

/* The caller's request may be gone while the stream runs. */
static int copy_request(struct xb_http_stream *stream, const struct xb_http_request *request,
                        struct xb_http_request *copy, struct xb_error *err)
{
    *copy = *request;
    stream->url = strdup(request->url);
    bool whole = stream->url != NULL;
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        if (i + 1 == XB_HTTP_HEADERS_MAX) {
            return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "too many request headers");
        }
        stream->headers[i] = strdup(request->headers[i]);
        whole = whole && stream->headers[i];
    }
    if (!whole) {
        return xb_error_no_memory(err, "a stream");
    }
    copy->url = stream->url;
    copy->headers = stream->headers;
    copy->on_data = relay_data;
    copy->on_header = NULL;
    copy->context = stream;
    copy->timeout_ms = request->timeout_ms ? request->timeout_ms : -1;
    copy->body = NULL;
    copy->body_len = 0;
    copy->body_file = NULL;
    if (request->bearer) {
        int r = xb_secret_new(request->bearer->data, request->bearer->len, &stream->bearer, err);
        copy->bearer = stream->bearer;
        return r;
    }
    return 0;
}

int xb_http_stream_start(struct xb_http_multi *multi, const struct xb_http_stream_options *options,
                         struct xb_http_stream **ret, struct xb_error *err)
{
    struct xb_http_request request;
    struct xb_http_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        return xb_error_no_memory(err, "a stream");
    }
    stream->multi = multi;
    stream->options = *options;
    stream->options.request = NULL;
    stream->call.easy = curl_easy_init();
    int r = stream->call.easy ? copy_request(stream, options->request, &request, err)
                              : xb_error_no_memory(err, "a stream");
    if (r == 0) {
        r = xb_http_call_setup(&stream->call, options->client, &request, err);
    }
    if (r < 0) {
        free_stream(stream);
        return r;
    }
    curl_easy_setopt(stream->call.easy, CURLOPT_PRIVATE, stream);
    stream->state = STREAM_NEW;
    stream->next = multi->streams;
    multi->streams = stream;
    if (!multi->busy && !add_stream(stream)) {
        multi->streams = stream->next;
        free_stream(stream);
        return xb_error_no_memory(err, "a stream");
    }
    multi->unsettled = multi->busy;
    *ret = stream;
    return 0;
}

void xb_http_stream_cancel(struct xb_http_stream *stream)
{
    if (!stream || stream->state == STREAM_DEAD) {
        return;
    }
    struct xb_http_multi *multi = stream->multi;
    stream->state = STREAM_DEAD;
    multi->unsettled = true;
    if (!multi->busy) {
        struct xb_http_stream **at = &multi->streams;
        while (*at != stream) {
            at = &(*at)->next;
        }
        *at = stream->next;
        multi->busy = true;
        free_stream(stream);
        multi->busy = false;
    }
}
