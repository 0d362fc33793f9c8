/* SPDX-License-Identifier: Apache-2.0
 *
 * Events: made once, counted up when said again, few of one object, and never in the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "shared/base/clock.h"
#include "shared/kube/events.h"
#include "tests/unit/shared/http/server.h"

struct api {
    atomic_int posts, patches;
    atomic_bool slow, lost; /* lost: every Event was removed meanwhile */
    char posted[2000], patched[2000], target[400];
};

static bool serve(void *context, struct test_request *request)
{
    struct api *api = context;
    bool patch = strcmp(request->method, "PATCH") == 0;
    if (atomic_load(&api->slow)) {
        test_pause(request, 10000);
        return false;
    }
    snprintf(patch ? api->patched : api->posted, sizeof api->posted, "%.*s", (int)request->body_len,
             request->body);
    snprintf(api->target, sizeof api->target, "%.390s", request->target);
    atomic_fetch_add(patch ? &api->patches : &api->posts, 1);
    return patch && atomic_load(&api->lost) ? test_answer(request, 404, "", "{}")
                                            : test_answer(request, 201, "", "{}");
}

struct fixture {
    struct api api;
    struct test_server server;
    struct xb_kube_client *client;
    struct xb_kube_events *events;
    struct xb_error err;
};

static const struct xb_kube_resource things = {"test.io", "v1", "things", "Thing", true};

static void begin(struct fixture *f)
{
    char url[64];
    memset(f, 0, sizeof *f);
    assert_true(test_server_start(&f->server, serve, &f->api, NULL));
    snprintf(url, sizeof url, "http://127.0.0.1:%d", f->server.port);
    struct xb_kube_config config = {.server = url};
    assert_int_equal(xb_kube_client_new(&config, NULL, &f->client, &f->err), 0);
    assert_int_equal(xb_kube_events_new(f->client, "velero", "pod-1", &f->events, &f->err), 0);
}

static void end(struct fixture *f)
{
    xb_kube_events_free(f->events);
    xb_kube_client_free(f->client);
    test_server_stop(&f->server);
}

static void say(struct fixture *f, const char *uid, const char *reason, const char *message)
{
    struct xb_error err = XB_ERROR_INIT;
    char text[400];
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    snprintf(text, sizeof text,
             "{\"metadata\":{\"namespace\":\"n\",\"name\":\"a\",\"uid\":\"%s\","
             "\"resourceVersion\":\"5\"}}",
             uid);
    assert_int_equal(xb_json_parse(text, strlen(text), &object, &err), 0);
    xb_kube_events_say(f->events, &things, object, &(struct xb_kube_event){true, reason, message});
}

/* Waits until so many were dealt with. */
static struct xb_kube_events_counts wait_for(struct fixture *f, uint64_t all)
{
    struct xb_kube_events_counts counts = {0};
    for (int i = 0; i < 500; i++) {
        xb_kube_events_counts(f->events, &counts);
        if (counts.made + counts.repeated + counts.dropped >= all) {
            break;
        }
        usleep(10000);
    }
    return counts;
}

static void once(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (int i = 0; i < 3; i++) {
        say(&f, "u1", "Broke", "it broke: \"so\"");
    }
    struct xb_kube_events_counts counts = wait_for(&f, 3);
    assert_int_equal(counts.made, 1);
    assert_int_equal(counts.repeated, 2);
    XB_CLEANUP(xb_json_putp) xb_json *posted = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *patched = NULL;
    assert_int_equal(xb_json_parse(f.api.posted, strlen(f.api.posted), &posted, &f.err), 0);
    assert_int_equal(xb_json_parse(f.api.patched, strlen(f.api.patched), &patched, &f.err), 0);
    assert_string_equal(xb_json_str(posted, "involvedObject.apiVersion", ""), "test.io/v1");
    assert_string_equal(xb_json_str(posted, "involvedObject.kind", ""), "Thing");
    assert_string_equal(xb_json_str(posted, "involvedObject.uid", ""), "u1");
    assert_string_equal(xb_json_str(posted, "metadata.namespace", ""), "n");
    assert_string_equal(xb_json_str(posted, "type", ""), "Warning");
    assert_string_equal(xb_json_str(posted, "message", ""), "it broke: \"so\"");
    assert_string_equal(xb_json_str(posted, "source.component", ""), "velero");
    assert_int_equal(xb_json_int(posted, "count", 0), 1);
    assert_int_equal(xb_json_int(patched, "count", 0), 3);
    assert_non_null(strstr(f.api.target, xb_json_str(posted, "metadata.name", "?")));
    say(&f, "u2", "Broke", "it broke: \"so\""); /* of another object: its own */
    assert_int_equal(wait_for(&f, 4).made, 2);
    atomic_store(&f.api.lost, true);
    say(&f, "u1", "Broke", "it broke: \"so\""); /* its Event has expired: made anew */
    assert_int_equal(wait_for(&f, 5).made, 3);
    end(&f);
}

static void limited(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (int i = 0; i < 3 * XB_KUBE_EVENTS_BURST; i++) {
        char message[40];
        snprintf(message, sizeof message, "message %d", i);
        say(&f, "u1", "Chatter", message);
    }
    say(&f, "u2", "Quiet", "once");
    struct xb_kube_events_counts counts = wait_for(&f, 3 * XB_KUBE_EVENTS_BURST + 1);
    assert_int_equal(counts.made, XB_KUBE_EVENTS_BURST + 1);
    assert_int_equal(counts.dropped, 2 * XB_KUBE_EVENTS_BURST);
    assert_int_equal(atomic_load(&f.api.posts), XB_KUBE_EVENTS_BURST + 1);
    end(&f);
}

/* A server that does not answer holds up nobody: neither who speaks nor who ends. */
static void server_away(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    atomic_store(&f.api.slow, true);
    int64_t began = xb_clock_mono_ns();
    for (int i = 0; i < 2 * XB_KUBE_EVENTS_WAITING_MAX; i++) {
        char uid[40];
        snprintf(uid, sizeof uid, "u%d", i);
        say(&f, uid, "Waits", "for long");
    }
    assert_true(wait_for(&f, XB_KUBE_EVENTS_WAITING_MAX - 1).dropped >=
                XB_KUBE_EVENTS_WAITING_MAX - 1);
    end(&f);
    assert_true(xb_clock_mono_ns() - began < 8 * XB_NS_PER_S);
    xb_kube_events_say(NULL, &things, NULL, NULL);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once),
        cmocka_unit_test(limited),
        cmocka_unit_test(server_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
