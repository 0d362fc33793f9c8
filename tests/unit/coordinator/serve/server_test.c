/* SPDX-License-Identifier: Apache-2.0
 *
 * Downloads over real TLS: who holds a good link gets the object's bytes, whole or visibly not
 * whole; who does not gets nothing.
 */
#include <pthread.h>

#include "shared/store/fault/fault.h"
#include "tests/unit/coordinator/serve/server_bed.h"

enum { PARALLEL = 20, IDLE = 100 };

/* A good link gives the bytes, in order, with their number and nothing that changes them. */
static void good_link(void **state)
{
    struct bed *bed = *state;
    struct client client;
    begin(&client, bed, link_to(bed, "big", 600));
    assert_int_equal(client.length, BIG_BYTES);
    assert_string_equal(client_header(&client, "Content-Type"), "application/octet-stream");
    assert_string_equal(client_header(&client, "Cache-Control"), "no-store");
    assert_null(client_header(&client, "Content-Encoding"));
    assert_null(client_header(&client, "Transfer-Encoding"));
    assert_int_equal(client_compare(&client, pattern, BIG_BYTES, 0), BIG_BYTES);
    assert_true(client.closed);
    client_free(&client);
    begin(&client, bed, link_to(bed, "empty", 600));
    assert_int_equal(client.length, 0);
    assert_int_equal(client_compare(&client, pattern, 0, 0), 0);
    client_free(&client);
}

static void head(void **state)
{
    struct bed *bed = *state;
    struct client client;
    assert_true(ask(&client, bed, "HEAD", link_to(bed, "big", 600)));
    assert_int_equal(client.status, 200);
    assert_int_equal(client.length, BIG_BYTES);
    assert_int_equal(client_compare(&client, pattern, 0, 0), 0);
    client_free(&client);
    assert_int_equal(status_of(bed, "HEAD", link_to(bed, "absent", 600)), 404);
}

/* Who does not know the authority, or expects another name, does not get as far as a request. */
static void wrong_trust(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    struct client client;
    struct xb_certificate *stranger = NULL;
    ok(xb_certificate_make_ca("test", xb_clock_wall_ns() / XB_NS_PER_S, &stranger, &err), &err);
    struct client_tls good = {.ca_pem = bed->ca->pem, .name = "localhost"};
    struct client_tls by_stranger = {.ca_pem = stranger->pem};
    struct client_tls other_name = {.ca_pem = bed->ca->pem, .name = "other.example"};
    struct client_tls tls12 = {.ca_pem = bed->ca->pem, .max_version = TLS1_2_VERSION};
    struct client_tls tls11 = {.ca_pem = bed->ca->pem, .max_version = TLS1_1_VERSION};
    assert_true(client_open(&client, address, bed->port, &good));
    client_free(&client);
    assert_true(client_open(&client, address, bed->port, &tls12));
    client_free(&client);
    assert_false(client_open(&client, address, bed->port, &by_stranger));
    assert_int_not_equal(SSL_get_verify_result(client.ssl), X509_V_OK);
    client_free(&client);
    assert_false(client_open(&client, address, bed->port, &other_name));
    assert_int_equal(SSL_get_verify_result(client.ssl), X509_V_ERR_HOSTNAME_MISMATCH);
    client_free(&client);
    assert_false(client_open(&client, address, bed->port, &tls11));
    client_free(&client);
    xb_certificate_free(stranger);
}

/* Links that are over, altered, or made with another key: 403, and the store is not asked. */
static void bad_links(void **state)
{
    struct bed *bed = *state;
    char path[XB_DOWNLOAD_LINK_BYTES + 20];
    snprintf(path, sizeof path, "%s", link_to(bed, "big", 600));
    size_t len = strlen(path);
    assert_int_equal(status_of(bed, "GET", link_to(bed, "big", 0)), 403);
    assert_int_equal(status_of(bed, "GET", link_to(bed, "big", -100)), 403);
    for (size_t at = strlen("/download/v1/"); at < len; at += 17) {
        char kept = path[at];
        path[at] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(status_of(bed, "GET", path), 403);
        path[at] = kept;
    }
    path[len - 1] = '\0';
    assert_int_equal(status_of(bed, "GET", path), 403);
    assert_int_equal(status_of(bed, "GET", "/download/v1/"), 403);
    assert_int_equal(status_of(bed, "GET", "/download/v1/big"), 403);
    assert_int_equal(status_of(bed, "GET", "/download/v1/../../healthz"), 403);
    struct xb_secret *right = bed->key;
    struct xb_error err = XB_ERROR_INIT;
    ok(xb_secret_new("another key of more than 32 bytes", 33, &bed->key, &err), &err);
    assert_int_equal(status_of(bed, "GET", link_to(bed, "big", 600)), 403);
    xb_secret_free(bed->key);
    bed->key = right;
    assert_int_equal(atomic_load(&bed->opened), 0);
    assert_int_equal(status_of(bed, "HEAD", link_to(bed, "big", 600)), 200);
    assert_int_equal(atomic_load(&bed->opened), 1);
}

static void other_paths(void **state)
{
    struct bed *bed = *state;
    static const char *const none[] = {"/",
                                       "/download",
                                       "/download/",
                                       "/download/v1",
                                       "/download/v2/x.y",
                                       "/backups/big/big.tar.gz",
                                       "/../../../etc/passwd",
                                       "/%2e%2e/etc/passwd",
                                       "/metrics",
                                       "/healthz/",
                                       "/healthz%00",
                                       "/HEALTHZ",
                                       "//healthz"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(status_of(bed, "GET", none[i]), 404);
    }
    assert_int_equal(status_of(bed, "GET", "/healthz"), 200);
    assert_int_equal(status_of(bed, "HEAD", "/healthz"), 200);
    struct client client;
    char body[8] = "";
    begin(&client, bed, "/healthz?verbose=1");
    assert_int_equal(client_body(&client, body, sizeof body), 2);
    assert_string_equal(body, "ok");
    client_free(&client);
}

static void other_methods(void **state)
{
    struct bed *bed = *state;
    static const char *const methods[] = {"POST",  "PUT",   "DELETE", "OPTIONS",
                                          "PATCH", "TRACE", "get",    "PROPFIND"};
    struct client client;
    struct client_tls tls = {.ca_pem = bed->ca->pem};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_int_equal(status_of(bed, methods[i], link_to(bed, "big", 600)), 405);
    }
    assert_true(client_open(&client, address, bed->port, &tls));
    assert_true(client_send(&client, "POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n"
                                     "\r\nonly a part of it"));
    assert_true(client_read_head(&client));
    assert_int_equal(client.status, 405);
    assert_string_equal(client_header(&client, "Allow"), "GET, HEAD");
    client_free(&client);
    assert_int_equal(atomic_load(&bed->opened), 0);
}

/* What is wrong behind a good link, by kind; the story stays inside. */
static void failures(void **state)
{
    struct bed *bed = *state;
    static const struct {
        enum xb_error_kind kind;
        int status;
    } all[] = {{XB_ERR_NOT_FOUND, 404}, {XB_ERR_DENIED, 403}, {XB_ERR_RETRY, 503},
               {XB_ERR_IO, 500},        {XB_ERR_BUG, 500},    {XB_ERR_CORRUPT, 500}};
    assert_int_equal(status_of(bed, "GET", link_to(bed, "absent", 600)), 404);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        bed->failure = all[i].kind;
        assert_int_equal(status_of(bed, "GET", link_to(bed, "big", 600)), all[i].status);
    }
}

/* Removed, or replaced by another of the same length, while it is sent: the client sees fewer bytes
 * than it was promised, and no byte of another object. */
static void gone_meanwhile(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    static const char key[] = "backups/huge/huge.tar.gz";
    char *other = malloc(HUGE_BYTES);
    memset(other, 'x', HUGE_BYTES);
    for (int replace = 0; replace < 2; replace++) {
        struct client client;
        char first[1000];
        put(bed, "huge", HUGE_BYTES);
        begin(&client, bed, link_to(bed, "huge", 600));
        assert_int_equal(client.length, HUGE_BYTES);
        size_t got = client_body(&client, first, sizeof first);
        assert_true(got > 0);
        assert_memory_equal(first, pattern, got);
        ok(replace ? xb_store_put(bed->store, key, other, HUGE_BYTES, NULL, &err)
                   : xb_store_delete(bed->store, key, &err),
           &err);
        size_t all = client_compare(&client, pattern, HUGE_BYTES, got);
        assert_true(all != SIZE_MAX && all < HUGE_BYTES);
        client_free(&client);
    }
    free(other);
    assert_int_equal(status_of(bed, "GET", "/healthz"), 200);
}

/* A read that fails at a known place, and a store that is read in pieces only. */
static void read_fails(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_fault *fault = NULL;
    struct client client;
    struct xb_fault_rule fail = {
        .call = XB_FAULT_GET, .effect = XB_FAULT_FAIL, .nth = 3, .kind = XB_ERR_IO};
    struct xb_fault_rule cut = {
        .call = XB_FAULT_GET, .effect = XB_FAULT_CUT, .nth = 3, .amount = 1};
    ok(xb_store_fault_open(bed->store, &bed->store, &fault, &err), &err);
    begin(&client, bed, link_to(bed, "big", 600));
    assert_int_equal(client_compare(&client, pattern, BIG_BYTES, 0), BIG_BYTES);
    client_free(&client);
    assert_int_equal(xb_fault_count(fault, XB_FAULT_GET), BIG_BYTES / XB_SERVER_PIECE_BYTES);
    for (int i = 0; i < 2; i++) {
        ok(xb_fault_add(fault, i ? &cut : &fail, &err), &err);
        begin(&client, bed, link_to(bed, "big", 600));
        assert_int_equal(client.length, BIG_BYTES);
        assert_int_equal(client_compare(&client, pattern, BIG_BYTES, 0), 2 * XB_SERVER_PIECE_BYTES);
        client_free(&client);
        xb_fault_clear(fault);
    }
}

struct job {
    const struct bed *bed;
    char path[XB_DOWNLOAD_LINK_BYTES];
    size_t got;
};

static void *download_job(void *context)
{
    struct job *job = context;
    struct client client;
    if (ask(&client, job->bed, "GET", job->path) && client.status == 200) {
        job->got = client_compare(&client, pattern, BIG_BYTES, 0);
    }
    client_free(&client);
    return NULL;
}

static void parallel(void **state)
{
    struct bed *bed = *state;
    pthread_t threads[PARALLEL];
    struct job jobs[PARALLEL];
    for (size_t i = 0; i < PARALLEL; i++) {
        jobs[i] = (struct job){.bed = bed};
        snprintf(jobs[i].path, sizeof jobs[i].path, "%s", link_to(bed, "big", 600));
        assert_int_equal(pthread_create(&threads[i], NULL, download_job, &jobs[i]), 0);
    }
    for (size_t i = 0; i < PARALLEL; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].got, BIG_BYTES);
    }
    assert_int_equal(atomic_load(&bed->opened), PARALLEL);
}

/* The server's own ends: this process has both. */
static int accepted(uint16_t port)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        struct sockaddr_in here, there;
        socklen_t here_len = sizeof here, there_len = sizeof there;
        count += getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
                 here.sin_family == AF_INET && ntohs(here.sin_port) == port &&
                 getpeername(fd, (struct sockaddr *)&there, &there_len) == 0;
    }
    return count;
}

/* More connections than there may be, silent, half spoken or not speaking TLS, come and go. */
static void idle_connections(void **state)
{
    struct bed *bed = *state;
    int fds[IDLE];
    for (size_t i = 0; i < IDLE; i++) {
        fds[i] = client_connect(address, bed->port);
        assert_true(fds[i] >= 0);
        if (i % 3 == 0) {
            send(fds[i], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
        } else if (i % 3 == 1) {
            send(fds[i], "\x16\x03\x01\x02\x00\x01", 6, MSG_NOSIGNAL);
        }
    }
    while (accepted(bed->port) < XB_SERVER_CONNECTIONS_MAX / 2) {
        usleep(1000);
    }
    for (int i = 0; i < 20; i++) { /* a server without a limit takes them all meanwhile */
        assert_in_range(accepted(bed->port), 0, XB_SERVER_CONNECTIONS_MAX);
        usleep(10000);
    }
    for (size_t i = 0; i < IDLE; i++) {
        close(fds[i]);
    }
    assert_int_equal(status_of(bed, "GET", "/healthz"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BED_TEST(good_link),        BED_TEST(head),
        BED_TEST(wrong_trust),      BED_TEST(bad_links),
        BED_TEST(other_paths),      BED_TEST(other_methods),
        BED_TEST(failures),         BED_TEST(gone_meanwhile),
        BED_TEST(read_fails),       BED_TEST(parallel),
        BED_TEST(idle_connections),
    };
    bed_prepare();
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    free(pattern);
    return r;
}
