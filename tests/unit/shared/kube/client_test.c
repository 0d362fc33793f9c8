/* SPDX-License-Identifier: Apache-2.0
 *
 * What changes while a client lives: the account's token, the server's authority; its own limit of
 * requests; and writes of which nothing is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/kube/client.h"
#include "tests/unit/shared/http/server.h"

struct api {
    const char *token; /* NULL: none is asked for */
    atomic_int refused, busy;
    char asked[4200], body[200]; /* of the last request */
};

/* Every answer closes its connection: the next request needs a new one. */
static bool serve(void *context, struct test_request *request)
{
    struct api *api = context;
    char want[200];
    snprintf(api->asked, sizeof api->asked, "%s %s", request->method, request->target);
    snprintf(api->body, sizeof api->body, "%s", request->body_len > 0 ? request->body : "");
    snprintf(want, sizeof want, "Authorization: Bearer %s\r\n", api->token ? api->token : "");
    if (api->token && !strstr(request->head, want)) {
        atomic_fetch_add(&api->refused, 1);
        test_answer(request, 401, "Connection: close\r\n", "{}");
    } else if (atomic_load(&api->busy) > 0) {
        atomic_fetch_sub(&api->busy, 1);
        test_answer(request, 429, "Retry-After: 1\r\nConnection: close\r\n", "{}");
    } else {
        test_answer(request, 200, "Connection: close\r\n", "{\"major\":\"1\"}");
    }
    return false;
}

struct fixture {
    char folder[64];
    struct api api;
    struct test_pair ca[2], pair[2];
    SSL_CTX *tls[2];
    struct test_server server;
    struct xb_kube_client *client;
    struct xb_error err;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
    char path[128], other[136];
    snprintf(path, sizeof path, "%s/%s", f->folder, name);
    snprintf(other, sizeof other, "%s.new", path);
    FILE *file = fopen(other, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(other, path), 0);
}

static void begin(struct fixture *f, const struct xb_kube_client_options *options)
{
    char port[16];
    struct xb_kube_config *config = NULL;
    memset(f, 0, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/xebec-client-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    for (int i = 0; i < 2; i++) {
        f->ca[i] = test_pair_new(i ? "second" : "first", NULL);
        f->pair[i] = test_pair_new("server", &f->ca[i]);
        f->tls[i] = test_tls(&f->pair[i], NULL);
    }
    put(f, "ca.crt", f->ca[0].cert_pem);
    put(f, "token", "one\n");
    put(f, "namespace", "velero");
    assert_true(test_server_start(&f->server, serve, &f->api, f->tls[0]));
    snprintf(port, sizeof port, "%d", f->server.port);
    setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1", 1);
    setenv("KUBERNETES_SERVICE_PORT", port, 1);
    assert_int_equal(xb_kube_config_in_cluster(f->folder, &config, &f->err), 0);
    assert_int_equal(xb_kube_client_new(config, options, &f->client, &f->err), 0);
    xb_kube_config_free(config);
}

static void end(struct fixture *f)
{
    static const char *const names[] = {"ca.crt", "token", "namespace"};
    char path[128];
    xb_kube_client_free(f->client);
    test_server_stop(&f->server); /* frees the one that it has */
    SSL_CTX_free(f->tls[f->server.tls == f->tls[0]]);
    for (int i = 0; i < 2; i++) {
        test_pair_done(&f->ca[i]);
        test_pair_done(&f->pair[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", f->folder, names[i]);
        unlink(path);
    }
    rmdir(f->folder);
}

static int ask(struct fixture *f)
{
    struct xb_buf out = XB_BUF_INIT(1000);
    f->err = (struct xb_error)XB_ERROR_INIT;
    int r = xb_kube_raw_get(f->client, "/version", &out, &f->err);
    xb_buf_free(&out);
    return r;
}

static void token_replaced(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL);
    f.api.token = "one";
    assert_int_equal(ask(&f), 0);
    f.api.token = "two";
    put(&f, "token", "two\n");
    assert_int_equal(ask(&f), 0); /* refused once, read anew */
    assert_int_equal(atomic_load(&f.api.refused), 1);
    assert_int_equal(ask(&f), 0);
    assert_int_equal(atomic_load(&f.api.refused), 1);
    f.api.token = "three"; /* and nobody wrote it */
    assert_true(ask(&f) < 0);
    assert_int_equal(f.err.kind, XB_ERR_DENIED);
    put(&f, "token", "three");
    assert_int_equal(ask(&f), 0);
    end(&f);
}

static void authority_replaced(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL);
    assert_int_equal(ask(&f), 0);
    f.server.tls = f.tls[1];
    assert_true(ask(&f) < 0);
    assert_int_equal(f.err.kind, XB_ERR_DENIED);
    put(&f, "ca.crt", f.ca[1].cert_pem);
    assert_int_equal(ask(&f), 0);
    f.server.tls = f.tls[0]; /* what was trusted before is not any more */
    assert_true(ask(&f) < 0);
    end(&f);
}

static void limited(void **state)
{
    (void)state;
    struct fixture f;
    static const atomic_bool ended = true;
    const struct xb_kube_client_options options = {.requests_per_s = 20, .burst = 3};
    begin(&f, &options);
    int64_t began = xb_clock_mono_ns();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ask(&f), 0);
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ask(&f), 0);
    }
    assert_true(xb_clock_mono_ns() - began >= 9 * XB_NS_PER_S / 20);
    /* Who is told to give up does not wait for its turn. */
    for (int i = 0; i < 3; i++) {
        xb_json *got = NULL;
        const struct xb_kube_resource pods = {"", "v1", "pods", "Pod", true};
        const struct xb_kube_ref ref = {
            .resource = &pods, .namespace = "n", .name = "a", .cancel = &ended};
        f.err = (struct xb_error)XB_ERROR_INIT;
        assert_true(xb_kube_get(f.client, &ref, &got, &f.err) < 0);
        assert_int_equal(f.err.kind, XB_ERR_CANCELLED);
    }
    end(&f);
}

/* A server that has too much to do says when to come back, and is obeyed. */
static void told_to_wait(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, NULL);
    atomic_store(&f.api.busy, 2);
    int64_t began = xb_clock_mono_ns();
    assert_int_equal(ask(&f), 0);
    assert_true(xb_clock_mono_ns() - began >= 2 * XB_NS_PER_S);
    atomic_store(&f.api.busy, 1000);
    assert_true(ask(&f) < 0);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    end(&f);
}

/* Whatever is written with a client for dry runs, the server is told to keep nothing of it: in the
 * URL, and with a deletion in its options, since there it looks at nothing else. */
static void dry_run(void **state)
{
    (void)state;
    struct fixture f;
    static const struct xb_kube_resource pods = {"", "v1", "pods", "Pod", true};
    const struct xb_kube_ref ref = {.resource = &pods, .namespace = "n", .name = "a"};
    const struct xb_kube_ref status = {
        .resource = &pods, .namespace = "n", .name = "a", .subresource = "status"};
    const struct xb_kube_client_options options = {.dry_run = true};
    XB_CLEANUP(xb_json_putp) xb_json *body = json_object_new_object();
    XB_CLEANUP(xb_json_putp) xb_json *got = NULL;
    begin(&f, &options);
    assert_int_equal(xb_kube_create(f.client, &ref, body, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "POST /api/v1/namespaces/n/pods?dryRun=All");
    assert_int_equal(xb_kube_update(f.client, &status, body, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "PUT /api/v1/namespaces/n/pods/a/status?dryRun=All");
    assert_int_equal(xb_kube_merge_patch(f.client, &ref, body, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "PATCH /api/v1/namespaces/n/pods/a?dryRun=All");
    assert_int_equal(xb_kube_delete(f.client, &ref, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "DELETE /api/v1/namespaces/n/pods/a?dryRun=All");
    assert_string_equal(f.api.body,
                        "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"dryRun\":[\"All\"]}");
    assert_int_equal(xb_kube_get(f.client, &ref, &got, &f.err), 0);
    assert_string_equal(f.api.asked, "GET /api/v1/namespaces/n/pods/a");
    end(&f);
    begin(&f, NULL);
    assert_int_equal(xb_kube_create(f.client, &ref, body, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "POST /api/v1/namespaces/n/pods");
    assert_int_equal(xb_kube_delete(f.client, &ref, NULL, &f.err), 0);
    assert_string_equal(f.api.asked, "DELETE /api/v1/namespaces/n/pods/a");
    assert_string_equal(f.api.body, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"}");
    end(&f);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_replaced), cmocka_unit_test(authority_replaced),
        cmocka_unit_test(limited),        cmocka_unit_test(told_to_wait),
        cmocka_unit_test(dry_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
