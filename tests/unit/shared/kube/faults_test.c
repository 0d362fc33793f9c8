/* SPDX-License-Identifier: Apache-2.0
 *
 * What a real API server does too seldom to wait for: versions that expire in the middle of a list,
 * answers that are cut, too large or no JSON, watch lines that make no sense, servers too old for
 * aggregated discovery. The everyday behaviour is tested against a real one in
 * tests/interop/kube_client_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "shared/kube/discovery.h"
#include "shared/kube/informer.h"
#include "tests/unit/shared/http/server.h"

enum { STEPS = 12 };

/* The n-th list and the n-th watch get the n-th answer; the last one is repeated. */
struct api {
    const char *lists[STEPS];
    const char *watches[STEPS];
    int list_status[STEPS], watch_status[STEPS];
    bool hold[STEPS]; /* the watch stays open after its lines */
    atomic_int listed, watched;
    char targets[64][256]; /* of every request, in order */
    char heads[64][1024];
    atomic_int requests;
};

static bool serve(void *context, struct test_request *request)
{
    struct api *api = context;
    int number = atomic_fetch_add(&api->requests, 1);
    if (number < 64) {
        snprintf(api->targets[number], sizeof api->targets[0], "%.255s", request->target);
        snprintf(api->heads[number], sizeof api->heads[0], "%.1023s", request->head);
    }
    bool watch = strstr(request->target, "watch=true") != NULL;
    atomic_int *counter = watch ? &api->watched : &api->listed;
    const char **texts = watch ? api->watches : api->lists;
    int step = atomic_fetch_add(counter, 1);
    while (step > 0 && (step >= STEPS || !texts[step])) {
        step--;
    }
    const char *text = texts[step] ? texts[step] : "";
    int status = watch ? api->watch_status[step] : api->list_status[step];
    if (status != 0) {
        return test_answer(request, status, "Retry-After: 0\r\n", text);
    }
    if (strcmp(text, "HUGE") == 0) {
        const char *limit = strstr(request->target, "limit=");
        if (limit && strtol(limit + 6, NULL, 10) > 125) {
            char *piece = malloc((1 << 20) + 1);
            memset(piece, ' ', 1 << 20);
            piece[1 << 20] = '\0';
            bool sent = test_send(request, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{");
            for (int i = 0; i < 33 && sent; i++) {
                sent = test_send(request, piece);
            }
            free(piece);
            return false;
        }
        return test_answer(request, 200, "",
                           "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{"
                           "\"name\":\"a\",\"resourceVersion\":\"1\"}}]}");
    }
    if (!watch) {
        return test_answer(request, 200, "", text);
    }
    test_send(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    if (*text) {
        test_chunk(request, text);
    }
    if (api->hold[step]) {
        test_pause(request, 20000);
        return false;
    }
    return test_send(request, "0\r\n\r\n");
}

struct fixture {
    struct api api;
    struct test_server server;
    struct xb_kube_client *client;
    struct xb_loop *loop;
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
    assert_int_equal(xb_loop_new(&f->loop, &f->err), 0);
}

static void end(struct fixture *f)
{
    xb_loop_free(f->loop);
    xb_kube_client_free(f->client);
    test_server_stop(&f->server);
}

#define META(version, next)                                                                        \
    "\"metadata\":{\"resourceVersion\":\"" version "\",\"continue\":\"" next "\"}"
#define THING(name, version)                                                                       \
    "{\"metadata\":{\"namespace\":\"n\",\"name\":\"" name "\",\"resourceVersion\":\"" version "\"" \
    "}}"
#define EVENT(type, name, version) "{\"type\":\"" type "\",\"object\":" THING(name, version) "}\n"
#define STATUS(code, reason)                                                                       \
    "{\"kind\":\"Status\",\"code\":" #code ",\"reason\":\"" reason "\",\"message\":\"because\"}"

#define CAUSE(field, message)                                                                      \
    "{\"reason\":\"x\",\"field\":\"" field "\",\"message\":\"" message "\"}"
#define INVALID(causes)                                                                            \
    "{\"kind\":\"Status\",\"code\":422,\"reason\":\"Invalid\",\"message\":\"because\","            \
    "\"details\":{\"causes\":[" causes "]}}"
#define LONG                                                                                       \
    "m: 1, m: 2, m: 3, m: 4, m: 5, m: 6, m: 7, m: 8, m: 9, m: 10, m: 11, m: 12, m: 13, m: 14, m: " \
    "15, m: 16, m: 17, m: 18, m: 19, m: 20"

/* Blocking lists ------------------------------------------------------------------------------- */

static int note_name(void *context, xb_json *item, struct xb_error *err)
{
    struct xb_buf *names = context;
    int r = xb_buf_append_str(names, xb_json_str(item, "metadata.name", "?"), err);
    return r ? r : xb_buf_append(names, " ", 1, err);
}

static int list(struct fixture *f, struct xb_buf *names)
{
    struct xb_kube_list options = {
        .resource = &things, .namespace = "n", .label_selector = "a=b c"};
    xb_buf_free(names);
    atomic_store(&f->api.listed, 0);
    atomic_store(&f->api.requests, 0);
    f->err = (struct xb_error)XB_ERROR_INIT;
    return xb_kube_list_pages(f->client, &options, note_name, names, &f->err);
}

/* A list whose version expires starts over only while nothing was handed out. */
static void list_expires(void **state)
{
    (void)state;
    struct fixture f;
    struct xb_buf names = XB_BUF_INIT(1000);
    begin(&f);
    f.api.lists[0] = "{" META("1", "next/1") ",\"items\":[]}";
    f.api.lists[1] = STATUS(410, "Expired");
    f.api.list_status[1] = 410;
    f.api.lists[2] = "{" META("2", "") ",\"items\":[" THING("a", "1") "," THING("b", "1") "]}";
    assert_int_equal(list(&f, &names), 0);
    assert_string_equal(names.data, "a b ");
    assert_string_equal(f.api.targets[0], "/apis/test.io/v1/namespaces/n/things"
                                          "?labelSelector=a%3Db%20c&limit=500");
    assert_non_null(strstr(f.api.targets[1], "&continue=next%2F1"));
    assert_null(strstr(f.api.targets[2], "continue"));
    f.api.lists[0] = "{" META("1", "x") ",\"items\":[" THING("a", "1") "]}";
    assert_int_equal(list(&f, &names), -EIDRM);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    assert_int_equal(f.err.code, -EIDRM);
    f.api.lists[0] = STATUS(410, "Expired"); /* for ever */
    f.api.list_status[0] = 410;
    f.api.lists[1] = NULL;
    f.api.lists[2] = NULL;
    assert_int_equal(list(&f, &names), -EIDRM);
    assert_int_equal(f.api.requests, 1 + XB_KUBE_LIST_RESTARTS_MAX);
    xb_buf_free(&names);
    end(&f);
}

/* Pages that are too large are asked for in smaller pieces. */
static void list_huge(void **state)
{
    (void)state;
    struct fixture f;
    struct xb_buf names = XB_BUF_INIT(1000);
    begin(&f);
    f.api.lists[0] = "HUGE";
    assert_int_equal(list(&f, &names), 0);
    assert_string_equal(names.data, "a ");
    assert_int_equal(f.api.requests, 3);
    assert_non_null(strstr(f.api.targets[2], "limit=125"));
    xb_buf_free(&names);
    end(&f);
}

/* Answers that are no lists are CORRUPT, and each status has its kind. */
static void answers(void **state)
{
    (void)state;
    static const struct {
        int status;
        enum xb_error_kind kind;
        const char *text, *said;
    } cases[] = {
        {0, XB_ERR_CORRUPT, "{", "not valid JSON"},
        {0, XB_ERR_NONE, "[]", NULL},
        {0, XB_ERR_CORRUPT, "{\"items\":[1]}", "not an object"},
        {0, XB_ERR_CORRUPT, "{\"items\":{}}", "items"},
        {400, XB_ERR_INVALID, STATUS(400, "BadRequest"), "BadRequest: because"},
        {401, XB_ERR_DENIED, "", "token or certificate"},
        {403, XB_ERR_DENIED, STATUS(403, "Forbidden"), "list things.test.io n: 403 Forbidden"},
        {404, XB_ERR_NOT_FOUND, STATUS(404, "NotFound"), "because"},
        {409, XB_ERR_CONFLICT, STATUS(409, "Conflict"), "Conflict"},
        {422, XB_ERR_INVALID, STATUS(422, "Invalid"), "because"},
        {422, XB_ERR_INVALID, INVALID(CAUSE("data", "Forbidden: immutable\\n  core.Spec{\\n- a")),
         "list things.test.io n: 422 Invalid: data: Forbidden: immutable"},
        {422, XB_ERR_INVALID, INVALID("7,null," CAUSE("a", "7: no") "," CAUSE("", "other")),
         "422 Invalid: a: 7: no; other"},
        {422, XB_ERR_INVALID,
         INVALID(CAUSE("spec.selector", "Invalid value: {" LONG "}: field is immutable")),
         "422 Invalid: spec.selector: field is immutable"},
        {422, XB_ERR_INVALID, INVALID(CAUSE("a", LONG LONG LONG LONG)), "422 Invalid: a: m: 1"},
        {422, XB_ERR_INVALID, INVALID(CAUSE("a", "Invalid value: " LONG LONG ": ")), "a: "},
        {422, XB_ERR_INVALID, INVALID(""), "422 Invalid: because"},
        {302, XB_ERR_INVALID, "", "302"},
        {502, XB_ERR_RETRY, "<html>proxy</html>", "502"},
    };
    struct fixture f;
    struct xb_buf names = XB_BUF_INIT(1000);
    begin(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.api.lists[0] = cases[i].text;
        f.api.list_status[0] = cases[i].status;
        int r = list(&f, &names);
        assert_int_equal(f.err.kind, cases[i].kind);
        assert_true((r < 0) == (cases[i].kind != XB_ERR_NONE));
        if (cases[i].said && !strstr(f.err.text, cases[i].said)) {
            fail_msg("%s: not in: %s", cases[i].said, f.err.text);
        }
        assert_int_equal(f.api.requests, cases[i].status == 502 ? XB_KUBE_ATTEMPTS_MAX : 1);
    }
    xb_buf_free(&names);
    end(&f);
}

/* A write is repeated after "too many requests", and not after a failure that may have done it. */
static void writes(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct xb_kube_ref ref = {.resource = &things, .namespace = "n", .name = "x"};
    XB_CLEANUP(xb_json_putp) xb_json *body = json_object_new_object();
    f.api.list_status[0] = 429;
    f.api.lists[1] = "{}";
    assert_int_equal(xb_kube_merge_patch(f.client, &ref, body, NULL, &f.err), 0);
    assert_int_equal(f.api.requests, 2);
    assert_non_null(strstr(f.api.heads[0], "PATCH /apis/test.io/v1/namespaces/n/things/x HTTP"));
    assert_non_null(strstr(f.api.heads[0], "Content-Type: application/merge-patch+json\r\n"));
    f.api.listed = 0;
    f.api.list_status[0] = 500;
    assert_true(xb_kube_create(f.client, &ref, body, NULL, &f.err) < 0);
    assert_int_equal(f.err.kind, XB_ERR_RETRY);
    assert_int_equal(f.api.requests, 3);
    assert_non_null(strstr(f.api.heads[2], "POST /apis/test.io/v1/namespaces/n/things HTTP"));
    ref.namespace = "a/b";
    assert_int_equal(xb_kube_update(f.client, &ref, body, NULL, &f.err), -EINVAL);
    ref.namespace = NULL;
    assert_int_equal(xb_kube_delete(f.client, &ref, NULL, &f.err), -EINVAL);
    assert_int_equal(f.api.requests, 3);
    end(&f);
}

/* Servers before 1.27 tell their groups one by one; one that fails is told and passed over. */
static void old_discovery(void **state)
{
    (void)state;
    struct fixture f;
    struct xb_kube_discovery *found = NULL;
    begin(&f);
    f.api.lists[0] = "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"]}";
    f.api.lists[1] = "{\"resources\":[{\"name\":\"pods\",\"singularName\":\"pod\",\"namespaced\":"
                     "true,\"kind\":\"Pod\",\"verbs\":[\"get\",\"list\"],\"shortNames\":[\"po\"]},"
                     "{\"name\":\"pods/log\",\"kind\":\"Pod\"}]}";
    f.api.lists[2] = "{\"kind\":\"APIGroupList\",\"groups\":[{\"name\":\"g\",\"versions\":["
                     "{\"version\":\"v1beta1\"},{\"version\":\"v1\"}],\"preferredVersion\":{"
                     "\"version\":\"v1\"}},{\"name\":\"h\",\"versions\":[{\"version\":\"v2\"}]}]}";
    f.api.lists[3] = "{\"resources\":[{\"name\":\"xs\",\"kind\":\"X\"}]}";
    f.api.lists[4] = "{\"resources\":[{\"name\":\"xs\",\"kind\":\"X\"},{\"name\":\"ys\",\"kind\":"
                     "\"Y\"}]}";
    f.api.lists[5] = STATUS(404, "NotFound");
    f.api.list_status[5] = 404;
    assert_int_equal(xb_kube_discover(f.client, &found, &f.err), 0);
    assert_int_equal(xb_kube_discovery_count(found), 4);
    const struct xb_kube_api *x = xb_kube_discovery_find_plural(found, "g", NULL, "xs");
    assert_string_equal(x->resource.version, "v1");
    const struct xb_kube_api *y = xb_kube_discovery_find_plural(found, "g", NULL, "ys");
    assert_string_equal(y->resource.version, "v1beta1");
    const struct xb_kube_api *pods = xb_kube_discovery_find_plural(found, "", NULL, "pods");
    assert_true(pods->resource.namespaced);
    assert_string_equal(json_object_to_json_string(pods->short_names), "[ \"po\" ]");
    assert_null(xb_kube_discovery_find_plural(found, "g", "v1", "ys"));
    assert_non_null(strstr(xb_kube_discovery_failed(found, 0), "h/v2: "));
    assert_null(xb_kube_discovery_failed(found, 1));
    assert_string_equal(f.api.targets[1], "/api/v1");
    assert_string_equal(f.api.targets[3], "/apis/g/v1");
    xb_kube_discovery_free(found);
    end(&f);
}

/* Informers ---------------------------------------------------------------------------------------
 */

struct follower {
    struct fixture *f;
    struct xb_kube_informer *informer;
    struct xb_buf story; /* "+a -b " */
    struct xb_timer *timer;
    const char *until;
    int until_watches;
};

static void on_change(void *context, const char *key, xb_json *object)
{
    struct follower *follower = context;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_buf_printf(&follower->story, &err, "%s%s ", object ? "+" : "-", key), 0);
}

static void look(void *context)
{
    struct follower *follower = context;
    if (follower->story.data && strstr(follower->story.data, follower->until) &&
        atomic_load(&follower->f->api.watched) >= follower->until_watches) {
        xb_loop_stop(follower->f->loop);
    }
}

/* Follows until the story holds `until` and so many watches began. */
static void follow(struct fixture *f, struct follower *follower, const char *until, int watches)
{
    *follower = (struct follower){
        .f = f, .story = XB_BUF_INIT(10000), .until = until, .until_watches = watches};
    struct xb_kube_informer_options options = {.loop = f->loop,
                                               .client = f->client,
                                               .resource = &things,
                                               .on_change = on_change,
                                               .context = follower};
    assert_int_equal(xb_kube_informer_new(&options, &follower->informer, &f->err), 0);
    assert_int_equal(xb_timer_new(f->loop, look, follower, &follower->timer, &f->err), 0);
    xb_timer_start(follower->timer, 1, 1);
    assert_int_equal(xb_loop_run(f->loop, &f->err), 0);
}

static void leave(struct follower *follower)
{
    xb_kube_informer_free(follower->informer);
    xb_timer_free(follower->timer);
    xb_buf_free(&follower->story);
}

/* A watch that breaks is resumed from the last version seen, bookmarks included, without a list. */
static void watch_resumes(void **state)
{
    (void)state;
    struct fixture f;
    struct follower w;
    begin(&f);
    f.api.lists[0] = "{" META("10", "") ",\"items\":[" THING("a", "5") "]}";
    f.api.watches[0] = EVENT("ADDED", "b", "11") "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{"
                                                 "\"resourceVersion\":\"19\"}}}\n{\"type\":\"ADDED";
    f.api.watches[1] = EVENT("MODIFIED", "a", "20") EVENT("DELETED", "b", "21");
    f.api.hold[1] = true;
    follow(&f, &w, "-n/b", 2);
    assert_string_equal(w.story.data, "+n/a +n/b +n/a -n/b ");
    assert_int_equal(f.api.listed, 1);
    assert_non_null(strstr(f.api.targets[1], "resourceVersion=10"));
    assert_non_null(strstr(f.api.targets[1], "allowWatchBookmarks=true"));
    assert_non_null(strstr(f.api.targets[2], "resourceVersion=19"));
    leave(&w);
    end(&f);
}

/* 410, as a status or as an event, and lines that make no sense lead to a new list, which tells
 * only what differs. */
static void watch_relists(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *watch;
    } cases[] = {
        {410, STATUS(410, "Expired")},
        {0, "{\"type\":\"ERROR\",\"object\":" STATUS(410, "Expired") "}\n"},
        {0, "this is no JSON\n"},
        {0, "{\"type\":\"ADDED\"}\n"},
        {0, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"12\"}}}\n"},
        {0, EVENT("INVENTED", "z", "12")},
        {0, "[[[[\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture f;
        struct follower w;
        begin(&f);
        f.api.lists[0] = "{" META("10", "") ",\"items\":[" THING("a", "1") "," THING("b", "2") "]}";
        f.api.lists[1] = "{" META("30", "") ",\"items\":[" THING("a", "1") "," THING("c", "3") "]}";
        f.api.watches[0] = cases[i].watch;
        f.api.watch_status[0] = cases[i].status;
        f.api.watches[1] = "";
        f.api.hold[1] = true;
        follow(&f, &w, "-n/b", 2);
        assert_string_equal(w.story.data, "+n/a +n/b +n/c -n/b ");
        assert_int_equal(f.api.listed, 2);
        assert_non_null(strstr(f.api.targets[3], "resourceVersion=30"));
        leave(&w);
        end(&f);
    }
}

/* Lists that fail, are cut, or expire between pages are begun anew, and only a whole one tells what
 * is gone. */
static void list_repeats(void **state)
{
    (void)state;
    struct fixture f;
    struct follower w;
    begin(&f);
    f.api.lists[0] = "{" META("10", "more") ",\"items\":[" THING("a", "1") "]}";
    f.api.lists[1] = STATUS(410, "Expired");
    f.api.list_status[1] = 410;
    f.api.lists[2] = "{\"items\":[";
    f.api.lists[3] = "{" META("20", "more") ",\"items\":[" THING("b", "1") "]}";
    f.api.lists[4] = "{" META("20", "") ",\"items\":[" THING("c", "1") "]} \n";
    f.api.watches[0] = "";
    f.api.hold[0] = true;
    follow(&f, &w, "-n/a", 1);
    assert_string_equal(w.story.data, "+n/a +n/b +n/c -n/a ");
    assert_true(xb_kube_informer_synced(w.informer));
    assert_non_null(xb_kube_informer_get(w.informer, "n/b"));
    assert_null(xb_kube_informer_get(w.informer, "n/a"));
    assert_string_equal(xb_json_str(xb_kube_informer_get(w.informer, "n/b"), "apiVersion", ""),
                        "test.io/v1");
    assert_null(strstr(f.api.targets[2], "continue"));
    leave(&w);
    end(&f);
}

/* Pages that are too large are asked for in smaller pieces here too. */
static void informer_huge(void **state)
{
    (void)state;
    struct fixture f;
    struct follower w;
    begin(&f);
    f.api.lists[0] = "HUGE";
    f.api.hold[0] = true;
    follow(&f, &w, "+a", 1);
    assert_non_null(strstr(f.api.targets[2], "limit=125"));
    leave(&w);
    end(&f);
}

int main(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}; /* for the test's own server */
    sigaction(SIGPIPE, &ignore, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_expires),  cmocka_unit_test(list_huge),
        cmocka_unit_test(answers),       cmocka_unit_test(writes),
        cmocka_unit_test(old_discovery), cmocka_unit_test(watch_resumes),
        cmocka_unit_test(watch_relists), cmocka_unit_test(list_repeats),
        cmocka_unit_test(informer_huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
