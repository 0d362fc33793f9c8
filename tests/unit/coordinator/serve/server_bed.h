/* SPDX-License-Identifier: Apache-2.0
 *
 * server_bed.h - a running download server before a folder, and a client's way to ask it.
 *
 * What for:  server_test.c and server_stop_test.c, which give each test its own with BED_TEST.
 * Threads:   as cmocka; `ask` from any.    Blocking: yes.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "coordinator/serve/server.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "tests/unit/shared/serve/client.h"

enum { BIG_BYTES = 10 << 20, HUGE_BYTES = 48 << 20 };

static const char address[] = "127.0.0.1";
static char *pattern; /* HUGE_BYTES bytes, no two pieces alike */

struct bed {
    struct xb_certificate *ca, *certificate;
    struct xb_secret *key;
    struct xb_store *store; /* a folder */
    char folder[64];
    struct xb_server *server;
    uint16_t port;
    atomic_int opened;          /* calls of the callback */
    enum xb_error_kind failure; /* of the callback */
};

/* As the coordinator does it: what is asked for, and nothing of the request, names the object. */
static inline int open_object(void *context, const struct xb_download *what,
                              struct xb_store **ret_store, char key[XB_SERVER_KEY_BYTES],
                              struct xb_error *err)
{
    struct bed *bed = context;
    atomic_fetch_add(&bed->opened, 1);
    if (bed->failure != XB_ERR_NONE) {
        return xb_error_set(err, bed->failure, -EIO, "the inner story");
    }
    if (strcmp(what->location, "default") != 0 || what->kind != XB_DOWNLOAD_BACKUP_CONTENTS) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "no location %s", what->location);
    }
    snprintf(key, XB_SERVER_KEY_BYTES, "backups/%s/%s.tar.gz", what->name, what->name);
    *ret_store = xb_store_ref(bed->store);
    return 0;
}

static inline void ok(int r, const struct xb_error *err)
{
    if (r < 0) {
        print_error("%s\n", err->text);
    }
    assert_int_equal(r, 0);
}

static inline void put(struct bed *bed, const char *name, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    char key[200];
    snprintf(key, sizeof key, "backups/%s/%s.tar.gz", name, name);
    ok(xb_store_put(bed->store, key, pattern, len, NULL, &err), &err);
}

static inline int start(struct bed *bed, const char *at, uint16_t port, struct xb_error *err)
{
    struct xb_server_options options = {.address = at,
                                        .port = port,
                                        .link_key = bed->key,
                                        .certificate = bed->certificate,
                                        .open = open_object,
                                        .context = bed};
    return xb_server_start(&options, &bed->server, err);
}

static inline int setup(void **state)
{
    struct xb_error err = XB_ERROR_INIT;
    static const char *const list[] = {"localhost", "127.0.0.1", "::1"};
    struct xb_certificate_names names = {list, 3};
    struct bed *bed = calloc(1, sizeof *bed);
    int64_t now_s = xb_clock_wall_ns() / XB_NS_PER_S;
    snprintf(bed->folder, sizeof bed->folder, "/tmp/xebec-serve-XXXXXX");
    assert_non_null(mkdtemp(bed->folder));
    ok(xb_store_open(bed->folder, NULL, &bed->store, &err), &err);
    ok(xb_secret_new("0123456789abcdef0123456789abcdef", 32, &bed->key, &err), &err);
    ok(xb_certificate_make_ca("test", now_s, &bed->ca, &err), &err);
    ok(xb_certificate_make_server(bed->ca, &names, now_s, &bed->certificate, &err), &err);
    ok(start(bed, address, 0, &err), &err);
    bed->port = xb_server_port(bed->server);
    put(bed, "big", BIG_BYTES);
    put(bed, "empty", 0);
    *state = bed;
    return 0;
}

static inline int remove_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    struct bed *bed = context;
    char path[512];
    (void)err;
    snprintf(path, sizeof path, "%s/%s", bed->folder, item->name);
    unlink(path);
    *strrchr(path, '/') = '\0';
    rmdir(path);
    return 0;
}

static inline int teardown(void **state)
{
    struct bed *bed = *state;
    struct xb_error err = XB_ERROR_INIT;
    char path[128];
    xb_server_free(bed->server);
    ok(xb_store_list(bed->store, "", remove_item, bed, &err), &err);
    snprintf(path, sizeof path, "%s/backups", bed->folder);
    rmdir(path);
    xb_store_free(bed->store);
    rmdir(bed->folder);
    xb_secret_free(bed->key);
    xb_certificate_free(bed->certificate);
    xb_certificate_free(bed->ca);
    free(bed);
    return 0;
}

static inline const char *link_to(const struct bed *bed, const char *name, int64_t left_s)
{
    static char path[XB_DOWNLOAD_LINK_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_download what = {.kind = XB_DOWNLOAD_BACKUP_CONTENTS,
                               .location = "default",
                               .expires_s = xb_clock_wall_ns() / XB_NS_PER_S + left_s};
    snprintf(what.name, sizeof what.name, "%s", name);
    ok(xb_download_link_make(bed->key, &what, path, &err), &err);
    return path;
}

/* Sends a request and reads the head; false when the connection ended before. */
static inline bool ask(struct client *client, const struct bed *bed, const char *method,
                       const char *path)
{
    char request[4096];
    struct client_tls tls = {.ca_pem = bed->ca->pem};
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, path, address);
    return client_open(client, address, bed->port, &tls) && client_send(client, request) &&
           client_read_head(client);
}

static inline void begin(struct client *client, const struct bed *bed, const char *path)
{
    assert_true(ask(client, bed, "GET", path));
    assert_int_equal(client->status, 200);
}

/* The status; the body must be short text and is checked for what must not leak. */
static inline int status_of(const struct bed *bed, const char *method, const char *path)
{
    struct client client;
    char body[200] = "";
    bool answered = ask(&client, bed, method, path);
    int status = answered ? client.status : -1;
    if (answered) {
        size_t len = 0, got;
        while ((got = client_body(&client, body + len, sizeof body - 1 - len)) > 0) {
            len += got;
        }
        body[len] = '\0';
        assert_true(strcmp(method, "HEAD") == 0 || (long long)len == client.length);
        assert_null(strstr(body, "story"));
        assert_null(strstr(body, "backups"));
        assert_string_equal(client_header(&client, "Connection"), "close");
    }
    client_free(&client);
    return status;
}

#define BED_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

/* Once, before the tests. XB_TEST_LOG: the server tells everything. */
static inline void bed_prepare(void)
{
    xb_log_setup("test", getenv("XB_TEST_LOG") ? XB_LOG_DEBUG : XB_LOG_ERROR, XB_LOG_TEXT);
    signal(SIGPIPE, SIG_IGN);
    pattern = malloc(HUGE_BYTES);
    for (size_t i = 0; i < HUGE_BYTES; i++) {
        pattern[i] = (char)(i * 7 + i / 1021 + i / 262144 * 31);
    }
}
