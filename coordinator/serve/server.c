/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/server.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/serve/listener.h"

struct xb_server {
    struct xb_listener *listener;
    struct xb_secret *link_key;
    xb_server_open_fn *open;
    void *context;
};

/* An object on its way to one client. */
struct stream {
    const struct xb_listener *listener;
    struct xb_store *store;
    char key[XB_SERVER_KEY_BYTES];
    struct xb_store_item first; /* as it was when the answer began */
    struct xb_buf piece;
};

static void stream_free(void *context)
{
    struct stream *stream = context;
    if (!stream) {
        return;
    }
    xb_store_free(stream->store);
    xb_buf_free(&stream->piece);
    free(stream);
}
XB_DEFINE_CLEANUP(stream_freep, struct stream, stream_free);

/* An object can be replaced between two reads; bytes of two objects must never make one answer. */
static int check_same(const struct stream *stream, struct xb_error *err)
{
    struct xb_store_item now = {.name = NULL};
    int r = xb_store_stat(stream->store, stream->key, &now, err);
    if (r < 0) {
        return r;
    }
    return now.size == stream->first.size && now.mtime_ns == stream->first.mtime_ns
               ? 0
               : xb_error_set(err, XB_ERR_CONFLICT, -ESTALE, "%s: %s was replaced meanwhile",
                              xb_store_describe(stream->store), stream->key);
}

static int stream_piece(struct stream *stream, uint64_t offset, size_t len, struct xb_error *err)
{
    xb_buf_clear(&stream->piece);
    int r = xb_store_get(stream->store, stream->key, offset, len, &stream->piece, err);
    if (r < 0) {
        return r;
    }
    if (stream->piece.len != len) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s: %s is cut short",
                            xb_store_describe(stream->store), stream->key);
    }
    return check_same(stream, err); /* after the read: what was read is what was there before */
}

/* Gives the next bytes. An error ends the connection, so that the client sees less than was
 * promised. */
static ssize_t stream_read(void *context, uint64_t offset, char *out, size_t max)
{
    struct stream *stream = context;
    struct xb_error err = XB_ERROR_INIT;
    if (offset >= stream->first.size) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    uint64_t left = stream->first.size - offset;
    size_t len = max < XB_SERVER_PIECE_BYTES ? max : XB_SERVER_PIECE_BYTES;
    len = left < len ? (size_t)left : len;
    if (xb_listener_giving_up(stream->listener)) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (stream_piece(stream, offset, len, &err) < 0) {
        xb_log_error(&err, "download broken off", "object", stream->key);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    memcpy(out, stream->piece.data, len);
    return (ssize_t)len;
}

static int stream_open(const struct xb_server *server, const struct xb_download *what,
                       struct stream **ret, struct xb_error *err)
{
    XB_CLEANUP(stream_freep) struct stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        return xb_error_no_memory(err, "a download");
    }
    stream->piece = (struct xb_buf)XB_BUF_INIT(XB_SERVER_PIECE_BYTES);
    int r = server->open(server->context, what, &stream->store, stream->key, err);
    if (r < 0) {
        return r;
    }
    stream->key[sizeof stream->key - 1] = '\0';
    r = xb_store_stat(stream->store, stream->key, &stream->first, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(stream);
    return 0;
}

/* Owns the stream. */
static enum MHD_Result stream_send(struct MHD_Connection *connection, struct stream *stream)
{
    struct MHD_Response *response = MHD_create_response_from_callback(
        stream->first.size, XB_SERVER_PIECE_BYTES, stream_read, stream, stream_free);
    if (!response) {
        stream_free(stream);
        return xb_listener_reply(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed\n");
    }
    enum MHD_Result r = xb_listener_headers(response, "application/octet-stream")
                            ? MHD_queue_response(connection, MHD_HTTP_OK, response)
                            : MHD_NO;
    MHD_destroy_response(response);
    return r;
}

/* The client learns the kind of a failure; the story is for the log. */
static enum MHD_Result refuse(struct MHD_Connection *connection, enum xb_error_kind kind)
{
    switch ((int)kind) {
    case XB_ERR_NOT_FOUND:
        return xb_listener_reply(connection, MHD_HTTP_NOT_FOUND, "not found\n");
    case XB_ERR_DENIED:
        return xb_listener_reply(connection, MHD_HTTP_FORBIDDEN, "forbidden\n");
    case XB_ERR_RETRY:
        return xb_listener_reply(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "try again\n");
    default:
        return xb_listener_reply(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "failed\n");
    }
}

static enum MHD_Result download(const struct xb_server *server, const struct xb_listener *listener,
                                struct MHD_Connection *connection, const char *path)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_download what;
    struct stream *stream = NULL;
    int64_t now_s = xb_clock_wall_ns() / XB_NS_PER_S;
    if (xb_download_link_parse(server->link_key, path, now_s, &what, &err) < 0) {
        /* Anybody can cause this: not worth a line each. */
        xb_log_debug("download refused", "error", err.text);
        return refuse(connection, err.kind);
    }
    const char *kind = xb_download_kind_name(what.kind);
    if (stream_open(server, &what, &stream, &err) < 0 || !stream) {
        enum xb_log_level level = err.kind == XB_ERR_NOT_FOUND ? XB_LOG_INFO : XB_LOG_ERROR;
        xb_log_err(level, &err, "download failed", "kind", kind, "name", what.name, "location",
                   what.location, (char *)NULL);
        return refuse(connection, err.kind);
    }
    xb_log_info("download", "kind", kind, "name", what.name, "location", what.location);
    stream->listener = listener;
    return stream_send(connection, stream);
}

static enum MHD_Result handle(void *context, struct xb_listener *listener,
                              struct MHD_Connection *connection, const char *path)
{
    if (strcmp(path, "/healthz") == 0) {
        return xb_listener_reply(connection, MHD_HTTP_OK, "ok");
    }
    if (strncmp(path, XB_DOWNLOAD_PATH_PREFIX, sizeof XB_DOWNLOAD_PATH_PREFIX - 1) == 0) {
        return download(context, listener, connection, path);
    }
    return xb_listener_reply(connection, MHD_HTTP_NOT_FOUND, "not found\n");
}

int xb_server_start(const struct xb_server_options *options, struct xb_server **ret,
                    struct xb_error *err)
{
    if (options->link_key->len < XB_DOWNLOAD_KEY_BYTES_MIN) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a key of %zu bytes is too short for download links (%d are needed)",
                            options->link_key->len, XB_DOWNLOAD_KEY_BYTES_MIN);
    }
    if (!options->certificate) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "downloads need a certificate");
    }
    XB_CLEANUP(xb_server_freep) struct xb_server *server = calloc(1, sizeof *server);
    if (!server) {
        return xb_error_no_memory(err, "a server");
    }
    server->open = options->open;
    server->context = options->context;
    int r = xb_secret_new(options->link_key->data, options->link_key->len, &server->link_key, err);
    if (r < 0) {
        return r;
    }
    struct xb_listener_options listener = {
        .address = options->address,
        .port = options->port,
        .threads = XB_SERVER_THREADS,
        .connections_max = XB_SERVER_CONNECTIONS_MAX,
        .timeout_s = XB_SERVER_TIMEOUT_S,
        .certificate_pem = options->certificate->pem,
        .key_pem = (const char *)options->certificate->key->data,
        .handle = handle,
        .context = server,
    };
    r = xb_listener_start(&listener, &server->listener, err);
    if (r < 0) {
        return xb_error_wrap(err, "downloads");
    }
    *ret = XB_TAKE(server);
    return 0;
}

uint16_t xb_server_port(const struct xb_server *server)
{
    return xb_listener_port(server->listener);
}

void xb_server_free(struct xb_server *server)
{
    if (!server) {
        return;
    }
    xb_listener_free(server->listener);
    xb_secret_free(server->link_key);
    free(server);
}
