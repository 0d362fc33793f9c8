/* SPDX-License-Identifier: Apache-2.0
 *
 * client.h - an HTTP client of one request, over TLS or not, that sees how a connection ends.
 *
 * What for:  server_test.c and metrics_test.c. OpenSSL's, so that the server's GnuTLS meets another
 *            implementation. No assertions: it is used from threads.
 * Threads:   one client per thread.    Blocking: yes; ctest's time limit ends a hang.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum { CLIENT_HEAD_BYTES = 8192 };

struct client {
    int fd;
    SSL_CTX *ctx; /* NULL: plain */
    SSL *ssl;
    char head[CLIENT_HEAD_BYTES]; /* with the first bytes of the body behind it */
    size_t head_len, held;        /* the head's own length, and what of the body is held */
    int status;
    long long length; /* Content-Length; -1: none */
    bool closed;      /* the other side ended it in order */
};

static inline void client_free(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
    if (client->fd >= 0) {
        close(client->fd);
    }
    ERR_clear_error();
}

/* -1: refused. A small window, so that the server cannot send everything ahead. */
static inline int client_connect(const char *address, uint16_t port)
{
    int small = 64 * 1024;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
    inet_pton(AF_INET, address, &v4.sin_addr);
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                is_v6 ? sizeof v6 : sizeof v4) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct client_tls {
    const char *ca_pem; /* NULL: no TLS */
    const char *name;   /* what the certificate must be for; NULL: the address */
    int max_version;    /* 0: any */
};

static inline bool client_trust(SSL_CTX *ctx, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    bool ok = ca && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1;
    X509_free(ca);
    BIO_free(bio);
    return ok;
}

static inline bool client_handshake(struct client *client, const char *address,
                                    const struct client_tls *tls)
{
    const char *name = tls->name ? tls->name : address;
    client->ctx = SSL_CTX_new(TLS_client_method());
    if (!client->ctx || !client_trust(client->ctx, tls->ca_pem)) {
        return false;
    }
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_security_level(client->ctx, tls->max_version ? 0 : 1);
    SSL_CTX_set_max_proto_version(client->ctx, tls->max_version);
    client->ssl = SSL_new(client->ctx);
    if (!client->ssl) {
        return false;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(client->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1) {
        SSL_ctrl(client->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)name);
        X509_VERIFY_PARAM_set1_host(param, name, 0);
    }
    SSL_set_fd(client->ssl, client->fd);
    return SSL_connect(client->ssl) == 1;
}

/* False: no connection, or the other side is not who it should be. Free in any case. */
static inline bool client_open(struct client *client, const char *address, uint16_t port,
                               const struct client_tls *tls)
{
    *client = (struct client){.fd = client_connect(address, port), .length = -1};
    return client->fd >= 0 && (!tls->ca_pem || client_handshake(client, address, tls));
}

static inline bool client_send(struct client *client, const char *text)
{
    int len = (int)strlen(text);
    return client->ssl ? SSL_write(client->ssl, text, len) == len
                       : send(client->fd, text, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Up to `max` bytes; 0: the end, `closed` says of which kind. */
static inline size_t client_read(struct client *client, char *out, size_t max)
{
    int want = max > 1 << 20 ? 1 << 20 : (int)max;
    if (!client->ssl) {
        ssize_t got = recv(client->fd, out, (size_t)want, 0);
        client->closed = got == 0;
        return got > 0 ? (size_t)got : 0;
    }
    int got = SSL_read(client->ssl, out, want);
    client->closed = got <= 0 && SSL_get_error(client->ssl, got) == SSL_ERROR_ZERO_RETURN;
    return got > 0 ? (size_t)got : 0;
}

/* The value of a header of the answer, or NULL; in one buffer per thread. */
static inline const char *client_header(const struct client *client, const char *name)
{
    static __thread char value[512];
    size_t name_len = strlen(name);
    for (const char *line = strstr(client->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, name_len) == 0 && line[name_len] == ':') {
            line += name_len + 1;
            line += strspn(line, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r"), line);
            return value;
        }
    }
    return NULL;
}

/* Reads up to the end of the head. */
static inline bool client_read_head(struct client *client)
{
    size_t len = 0;
    char *end = NULL;
    while (!end && len < sizeof client->head - 1) {
        size_t got = client_read(client, client->head + len, sizeof client->head - 1 - len);
        if (got == 0) {
            return false;
        }
        len += got;
        client->head[len] = '\0';
        end = memmem(client->head, len, "\r\n\r\n", 4);
    }
    if (!end || strncmp(client->head, "HTTP/1.1 ", 9) != 0) {
        return false;
    }
    client->head_len = (size_t)(end - client->head) + 4;
    client->held = len - client->head_len;
    client->status = (int)strtol(client->head + 9, NULL, 10);
    end[2] = '\0'; /* the last header's line ends here */
    const char *length = client_header(client, "Content-Length");
    client->length = length ? strtoll(length, NULL, 10) : -1;
    return true;
}

/* The next bytes of the body. */
static inline size_t client_body(struct client *client, char *out, size_t max)
{
    if (client->held == 0) {
        return client_read(client, out, max);
    }
    size_t len = client->held < max ? client->held : max;
    memcpy(out, client->head + client->head_len, len);
    client->head_len += len;
    client->held -= len;
    return len;
}

/* The rest of the body, compared with `want` from `at` on. The number of bytes that came in all, or
 * SIZE_MAX when one of them was wrong or too much. */
static inline size_t client_compare(struct client *client, const char *want, size_t want_len,
                                    size_t at)
{
    static __thread char piece[65536];
    for (size_t got; (got = client_body(client, piece, sizeof piece)) > 0; at += got) {
        if (got > want_len - at || memcmp(piece, want + at, got) != 0) {
            return SIZE_MAX;
        }
    }
    return at;
}
