/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h - a small real HTTP/1.1 server on 127.0.0.1, with or without TLS, whose handler can also
 * misbehave: cut answers short, say nothing, close early. For tests.
 *
 * A thread per connection; the handler is called for each request and writes the whole answer
 * itself. Everything ends with test_server_stop.
 */
#pragma once

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEST_REQUEST_BYTES = 4 << 20, TEST_CONNECTIONS = 256 };

struct test_server;

struct test_request {
    struct test_server *server;
    int fd;
    SSL *tls;
    char method[16], target[4096];
    char *head; /* request line and headers */
    char *body;
    size_t body_len;
};

/* False: close the connection afterwards. */
typedef bool test_handler(void *context, struct test_request *request);

struct test_server {
    int fd, port;
    test_handler *handler;
    void *context;
    SSL_CTX *tls;
    atomic_bool stopping;
    atomic_int connections, requests;
    pthread_t acceptor;
    pthread_t threads[TEST_CONNECTIONS];
};

struct test_start {
    struct test_server *server;
    int fd;
};

/* Certificates ------------------------------------------------------------------------------- */

struct test_pair {
    X509 *cert;
    EVP_PKEY *key;
    char *cert_pem, *key_pem;
};

static inline char *test_bio_text(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)len);
    BIO_free(bio);
    return text;
}

static inline void test_add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

/* A certificate for 127.0.0.1, signed by `issuer` or, when NULL, by itself as a CA. */
static inline struct test_pair test_pair_new(const char *name, const struct test_pair *issuer)
{
    struct test_pair pair = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    X509 *cert = pair.cert;
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), issuer ? 2 : 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, pair.key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509 *by = issuer ? issuer->cert : cert;
    X509_set_issuer_name(cert, X509_get_subject_name(by));
    test_add_extension(cert, by, NID_basic_constraints, issuer ? "CA:FALSE" : "critical,CA:TRUE");
    if (issuer) {
        test_add_extension(cert, by, NID_subject_alt_name, "IP:127.0.0.1");
    }
    X509_sign(cert, issuer ? issuer->key : pair.key, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    pair.cert_pem = test_bio_text(bio);
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, pair.key, NULL, NULL, 0, NULL, NULL);
    pair.key_pem = test_bio_text(bio);
    return pair;
}

static inline void test_pair_done(struct test_pair *pair)
{
    X509_free(pair->cert);
    EVP_PKEY_free(pair->key);
    free(pair->cert_pem);
    free(pair->key_pem);
}

/* `client_ca` not NULL: clients must show a certificate that it signed. */
static inline SSL_CTX *test_tls(const struct test_pair *pair, const struct test_pair *client_ca)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(ctx, pair->cert);
    SSL_CTX_use_PrivateKey(ctx, pair->key);
    if (client_ca) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), client_ca->cert);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

/* Talking ------------------------------------------------------------------------------------- */

static inline bool test_send_bytes(struct test_request *request, const void *data, size_t len)
{
    const char *next = data;
    while (len > 0) {
        ssize_t put = request->tls ? SSL_write(request->tls, next, (int)len)
                                   : send(request->fd, next, len, MSG_NOSIGNAL);
        if (put <= 0) {
            return false;
        }
        next += put;
        len -= (size_t)put;
    }
    return true;
}

static inline bool test_send(struct test_request *request, const char *text)
{
    return test_send_bytes(request, text, strlen(text));
}

/* A whole answer; `headers` with their line ends, or "". */
static inline bool test_answer(struct test_request *request, int status, const char *headers,
                               const char *body)
{
    char head[1024];
    snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n%s\r\n", status,
             strlen(body), headers);
    return test_send(request, head) && test_send(request, body);
}

/* A piece of an answer with "Transfer-Encoding: chunked". */
static inline bool test_chunk(struct test_request *request, const char *data)
{
    char size[32];
    snprintf(size, sizeof size, "%zx\r\n", strlen(data));
    return test_send(request, size) && test_send(request, data) && test_send(request, "\r\n");
}

/* Waits, at most `ms`, and less when the server stops. */
static inline void test_pause(struct test_request *request, int ms)
{
    for (int i = 0; i < ms && !atomic_load(&request->server->stopping); i += 10) {
        usleep(10000);
    }
}

static inline ssize_t test_receive(struct test_request *request, char *data, size_t room)
{
    while (!request->tls || SSL_pending(request->tls) == 0) {
        struct pollfd poll_fd = {.fd = request->fd, .events = POLLIN};
        if (atomic_load(&request->server->stopping)) {
            return 0;
        }
        if (poll(&poll_fd, 1, 20) > 0) {
            break;
        }
    }
    return request->tls ? SSL_read(request->tls, data, (int)room)
                        : recv(request->fd, data, room, 0);
}

/* One request into the buffer; false when the peer has gone. */
static inline bool test_read_request(struct test_request *request, char *buffer)
{
    size_t len = 0;
    size_t need = 0;
    char *end = NULL;
    while (!end || len < need) {
        ssize_t got = test_receive(request, buffer + len, TEST_REQUEST_BYTES - 1 - len);
        if (got <= 0) {
            return false;
        }
        len += (size_t)got;
        buffer[len] = '\0';
        if (buffer[0] == 0x16) { /* TLS to a plain port: answered as Go's server does */
            test_send(request, "HTTP/1.0 400 Bad Request\r\n\r\n");
            return false;
        }
        if (!end && (end = strstr(buffer, "\r\n\r\n")) != NULL) {
            const char *length = strcasestr(buffer, "\r\nContent-Length:");
            need = (size_t)(end + 4 - buffer) +
                   (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        }
    }
    request->body = end + 4;
    request->body_len = len - (size_t)(request->body - buffer);
    end[2] = '\0';
    request->head = buffer;
    return sscanf(buffer, "%15s %4095s", request->method, request->target) == 2;
}

static inline void *test_connection(void *context)
{
    struct test_start start = *(struct test_start *)context;
    free(context);
    struct test_request request = {.server = start.server, .fd = start.fd};
    char *buffer = malloc(TEST_REQUEST_BYTES);
    bool good = true;
    if (start.server->tls) {
        request.tls = SSL_new(start.server->tls);
        SSL_set_fd(request.tls, start.fd);
        good = SSL_accept(request.tls) == 1;
        if (!good) { /* let the alert arrive: closing with bytes unread would reset */
            shutdown(start.fd, SHUT_WR);
            struct pollfd poll_fd = {.fd = start.fd, .events = POLLIN};
            while (poll(&poll_fd, 1, 500) > 0 && recv(start.fd, buffer, 4096, 0) > 0) {
            }
        }
    }
    while (good && test_read_request(&request, buffer)) {
        atomic_fetch_add(&start.server->requests, 1);
        good = start.server->handler(start.server->context, &request);
    }
    if (request.tls) {
        SSL_shutdown(request.tls);
        SSL_free(request.tls);
    }
    ERR_clear_error();
    close(start.fd);
    free(buffer);
    return NULL;
}

static inline void *test_accept(void *context)
{
    struct test_server *server = context;
    while (!atomic_load(&server->stopping)) {
        struct pollfd poll_fd = {.fd = server->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 20) <= 0) {
            continue;
        }
        int fd = accept(server->fd, NULL, NULL);
        int index = atomic_load(&server->connections);
        if (fd < 0 || index == TEST_CONNECTIONS) {
            close(fd);
            continue;
        }
        struct test_start *start = malloc(sizeof *start);
        *start = (struct test_start){.server = server, .fd = fd};
        pthread_create(&server->threads[index], NULL, test_connection, start);
        atomic_fetch_add(&server->connections, 1);
    }
    return NULL;
}

/* `port` 0: any. */
static inline bool test_server_start(struct test_server *server, test_handler *handler,
                                     void *context, SSL_CTX *tls)
{
    memset(server, 0, sizeof *server);
    server->handler = handler;
    server->context = context;
    server->tls = tls;
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    if (bind(server->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(server->fd, 64) < 0 ||
        getsockname(server->fd, (struct sockaddr *)&address, &len) < 0) {
        return false;
    }
    server->port = ntohs(address.sin_port);
    return pthread_create(&server->acceptor, NULL, test_accept, server) == 0;
}

static inline void test_server_stop(struct test_server *server)
{
    atomic_store(&server->stopping, true);
    pthread_join(server->acceptor, NULL);
    for (int i = 0; i < atomic_load(&server->connections); i++) {
        pthread_join(server->threads[i], NULL);
    }
    close(server->fd);
    SSL_CTX_free(server->tls);
}
