/* SPDX-License-Identifier: Apache-2.0
 *
 * The Kubernetes client against a real API server: run by tests/interop/kube_client_test, which
 * starts it, restarts it on demand, and prepares the configurations.
 *
 *   kube_client FOLDER
 *
 * FOLDER holds admin.kubeconfig, nobody.kubeconfig (a token without rights), rotate.kubeconfig
 * (a token file "rotate.token", wrong at first) and rotate.good. Writing a word to FOLDER/request
 * asks the script for something; it removes the file when that is done.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/file.h"
#include "shared/base/log.h"
#include "shared/kube/discovery.h"
#include "shared/kube/informer.h"
#include "shared/kube/lease.h"
#include "shared/kube/pace.h"
#include "shared/runtime/control.h"

enum { MANY = 1200, MAKERS = 4, PATIENCE_S = 90 };

static int passed, failed;
static const char *folder;
static struct xb_kube_client *admin;

static const struct xb_kube_resource namespaces = {"", "v1", "namespaces", "Namespace", false};
static const struct xb_kube_resource configmaps = {"", "v1", "configmaps", "ConfigMap", true};
static const struct xb_kube_resource leases = {"coordination.k8s.io", "v1", "leases", "Lease",
                                               true};
static const struct xb_kube_resource crds = {
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", false};
static const struct xb_kube_resource apiservices = {"apiregistration.k8s.io", "v1", "apiservices",
                                                    "APIService", false};

static void check(bool good, const char *what, const struct xb_error *err)
{
    printf("%s - %s\n", good ? "ok" : "not ok", what);
    if (!good && err && err->code) {
        printf("    %s: %s\n", xb_error_kind_name(err->kind), err->text);
    }
    fflush(stdout);
    passed += good;
    failed += !good;
}

static xb_json *parse(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *json = NULL;
    if (xb_json_parse(text, strlen(text), &json, &err) < 0) {
        fprintf(stderr, "bad JSON in the test: %s\n%s\n", err.text, text);
        exit(2);
    }
    return json;
}

static char *path_in_folder(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct xb_kube_client *connect_as(const char *kubeconfig)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    struct xb_kube_client *client = NULL;
    int r = xb_kube_config_load(path_in_folder(kubeconfig), NULL, &config, &err);
    r = r ? r : xb_kube_client_new(config, NULL, &client, &err);
    check(r == 0, "a kubeconfig is read and a client made", &err);
    return client;
}

/* Asks the script for something and waits until it is done. */
static void request(const char *word)
{
    struct xb_error err = XB_ERROR_INIT;
    char path[4096];
    snprintf(path, sizeof path, "%s", path_in_folder("request"));
    if (xb_file_replace(path, word, strlen(word), 0600, &err) < 0) {
        check(false, "asking the script", &err);
        return;
    }
    for (int i = 0; i < PATIENCE_S * 20 && access(path, F_OK) == 0; i++) {
        usleep(50000);
    }
    check(access(path, F_OK) != 0, word, NULL);
}

static struct xb_kube_ref config_map(const char *name)
{
    return (struct xb_kube_ref){.resource = &configmaps, .namespace = "work", .name = name};
}

static int make_config_map(const char *name, const char *labels, struct xb_error *err)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"%s\",\"labels\":{%s}},\"data\":{\"state\":\"new\"}}", name,
             labels);
    XB_CLEANUP(xb_json_putp) xb_json *body = parse(text);
    struct xb_kube_ref ref = config_map(name);
    return xb_kube_create(admin, &ref, body, NULL, err);
}

static int patch_state(const char *name, const char *state, struct xb_error *err)
{
    char text[256];
    snprintf(text, sizeof text, "{\"data\":{\"state\":\"%s\"}}", state);
    XB_CLEANUP(xb_json_putp) xb_json *body = parse(text);
    struct xb_kube_ref ref = config_map(name);
    return xb_kube_merge_patch(admin, &ref, body, NULL, err);
}

/* One object through its whole life, with every refusal on the way. */
static void crud(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_ref work = {.resource = &namespaces, .name = "work"};
    struct xb_kube_ref ref = config_map("one");
    XB_CLEANUP(xb_json_putp) xb_json *space = parse("{\"metadata\":{\"name\":\"work\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *first = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *second = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *third = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *wrong = parse("{\"metadata\":{\"name\":\"No Name!\"}}");
    struct xb_buf text = XB_BUF_INIT(100000);

    check(xb_kube_raw_get(admin, "/version", &text, &err) == 0 &&
              strstr(text.data, "gitVersion") != NULL,
          "a raw path is read", &err);
    xb_buf_free(&text);
    check(xb_kube_create(admin, &work, space, NULL, &err) == 0, "a namespace is made", &err);
    check(xb_kube_get(admin, &ref, &first, &err) < 0 && err.kind == XB_ERR_NOT_FOUND &&
              strstr(err.text, "work/one"),
          "what is not there is NOT_FOUND, by name", &err);
    check(make_config_map("one", "", &err) == 0, "an object is made", &err);
    check(make_config_map("one", "", &err) < 0 && err.kind == XB_ERR_CONFLICT &&
              err.code == -EEXIST,
          "the same again is CONFLICT, AlreadyExists", &err);
    check(xb_kube_get(admin, &ref, &first, &err) == 0 &&
              strcmp(xb_json_str(first, "data.state", ""), "new") == 0,
          "it is read back", &err);
    (void)!xb_json_set_str(first, "data.state", "second", &err);
    check(xb_kube_update(admin, &ref, first, &second, &err) == 0, "it is updated", &err);
    check(xb_kube_update(admin, &ref, first, NULL, &err) < 0 && err.kind == XB_ERR_CONFLICT &&
              err.code == -ESTALE,
          "an update of an old version is CONFLICT, Conflict", &err);
    check(patch_state("one", "third", &err) == 0 && xb_kube_get(admin, &ref, &third, &err) == 0 &&
              strcmp(xb_json_str(third, "data.state", ""), "third") == 0,
          "a merge patch changes it", &err);
    struct xb_kube_ref bad = config_map(NULL);
    check(xb_kube_create(admin, &bad, wrong, NULL, &err) < 0 && err.kind == XB_ERR_INVALID &&
              strstr(err.text, "RFC 1123"),
          "an impossible name is INVALID with the server's words", &err);
    struct xb_kube_ref escape = config_map("../../../../version");
    check(xb_kube_get(admin, &escape, &third, &err) < 0 && err.kind == XB_ERR_INVALID,
          "a name cannot leave its path", &err);
    struct xb_kube_delete_options options = {.uid = "11111111-2222-3333-4444-555555555555"};
    check(xb_kube_delete(admin, &ref, &options, &err) < 0 && err.kind == XB_ERR_CONFLICT,
          "a delete with another uid is CONFLICT", &err);
    options = (struct xb_kube_delete_options){.uid = xb_json_str(second, "metadata.uid", ""),
                                              .grace_set = true,
                                              .propagation = "Background"};
    check(xb_kube_delete(admin, &ref, &options, &err) == 0, "with its own it is deleted", &err);
    check(xb_kube_delete(admin, &ref, NULL, &err) < 0 && err.kind == XB_ERR_NOT_FOUND,
          "twice is NOT_FOUND", &err);
}

static void rights(void)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_kube_client_freep) struct xb_kube_client *nobody = NULL;
    XB_CLEANUP(xb_kube_client_freep) struct xb_kube_client *rotate = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    struct xb_buf good = XB_BUF_INIT(1000);
    struct xb_kube_ref ref = {.resource = &namespaces, .name = "work"};
    nobody = connect_as("nobody.kubeconfig");
    rotate = connect_as("rotate.kubeconfig");
    check(xb_kube_get(nobody, &ref, &object, &err) < 0 && err.kind == XB_ERR_DENIED &&
              strstr(err.text, "get namespaces"),
          "without rights it is DENIED with verb and resource", &err);
    check(xb_kube_get(rotate, &ref, &object, &err) < 0 && err.kind == XB_ERR_DENIED &&
              strstr(err.text, "401"),
          "a wrong token is DENIED", &err);
    int r = xb_file_read(path_in_folder("rotate.good"), &good, &err);
    r = r ? r : xb_file_replace(path_in_folder("rotate.token"), good.data, good.len, 0600, &err);
    check(r == 0 && xb_kube_get(rotate, &ref, &object, &err) == 0,
          "a token file that changed is read again when refused", &err);
    xb_buf_free(&good);
}

static void *make_many(void *context)
{
    int from = *(int *)context;
    for (int i = from; i < MANY; i += MAKERS) {
        struct xb_error err = XB_ERROR_INIT;
        char name[32];
        snprintf(name, sizeof name, "many-%04d", i);
        if (make_config_map(name,
                            i % 3 == 0 ? "\"many\":\"yes\",\"third\":\"yes\"" : "\"many\":\"yes\"",
                            &err) < 0) {
            fprintf(stderr, "making %s: %s\n", name, err.text);
        }
    }
    return NULL;
}

struct tally {
    unsigned count, stop_at;
    bool seen[MANY];
    bool complete;
};

static int tally_item(void *context, xb_json *item, struct xb_error *err)
{
    struct tally *tally = context;
    unsigned number = MANY;
    const char *name = xb_json_str(item, "metadata.name", "");
    if (strncmp(name, "many-", 5) == 0) {
        number = (unsigned)strtoul(name + 5, NULL, 10);
    }
    tally->count++;
    if (number < MANY) {
        tally->seen[number] = true;
    }
    tally->complete = strcmp(xb_json_str(item, "kind", ""), "ConfigMap") == 0 &&
                      strcmp(xb_json_str(item, "apiVersion", ""), "v1") == 0;
    if (tally->stop_at && tally->count == tally->stop_at) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough");
    }
    return 0;
}

static void pages(void)
{
    struct xb_error err = XB_ERROR_INIT;
    pthread_t threads[MAKERS];
    int from[MAKERS];
    for (int i = 0; i < MAKERS; i++) {
        from[i] = i;
        pthread_create(&threads[i], NULL, make_many, &from[i]);
    }
    for (int i = 0; i < MAKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    struct xb_kube_list list = {
        .resource = &configmaps, .namespace = "work", .label_selector = "many=yes"};
    struct tally tally = {.count = 0};
    int r = xb_kube_list_pages(admin, &list, tally_item, &tally, &err);
    unsigned distinct = 0;
    for (int i = 0; i < MANY; i++) {
        distinct += tally.seen[i];
    }
    check(r == 0 && tally.count == MANY && distinct == MANY, "1200 objects in pages of 500", &err);
    check(tally.complete, "items have their kind and apiVersion", NULL);
    tally = (struct tally){.count = 0};
    list.limit = 7;
    list.label_selector = "many=yes,third=yes";
    r = xb_kube_list_pages(admin, &list, tally_item, &tally, &err);
    check(r == 0 && tally.count == MANY / 3, "selected ones in pages of 7", &err);
    tally = (struct tally){.stop_at = 10};
    r = xb_kube_list_pages(admin, &list, tally_item, &tally, &err);
    check(r == -ECANCELED && tally.count == 10, "the callback ends a listing", &err);
    tally = (struct tally){.count = 0};
    list =
        (struct xb_kube_list){.resource = &configmaps, .field_selector = "metadata.name=many-0007"};
    r = xb_kube_list_pages(admin, &list, tally_item, &tally, &err);
    check(r == 0 && tally.count == 1 && tally.seen[7], "by field, in all namespaces", &err);
}

static const char crd_text[] =
    "{\"metadata\":{\"name\":\"widgets.test.example.com\"},\"spec\":{\"group\":\"test.example."
    "com\","
    "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"widgets\",\"singular\":\"widget\",\"kind\":"
    "\"Widget\",\"shortNames\":[\"wd\"]},\"versions\":[{\"name\":\"v1\",\"served\":true,"
    "\"storage\":"
    "true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}},{\"name\":\"v1beta1\",\"served\":"
    "true,\"storage\":false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}";
static const char apiservice_text[] =
    "{\"metadata\":{\"name\":\"v1.broken.example.com\"},\"spec\":{\"group\":\"broken.example.com\","
    "\"version\":\"v1\",\"groupPriorityMinimum\":100,\"versionPriority\":100,"
    "\"insecureSkipTLSVerify\":true,\"service\":{\"name\":\"no\",\"namespace\":\"work\"}}}";

static bool same(const struct xb_kube_api *api, const char *group, const char *version,
                 const char *plural)
{
    return api && strcmp(api->resource.group, group) == 0 &&
           strcmp(api->resource.version, version) == 0 && strcmp(api->resource.plural, plural) == 0;
}

static bool told_broken(const struct xb_kube_discovery *discovery)
{
    const char *text;
    for (size_t i = 0; (text = xb_kube_discovery_failed(discovery, i)) != NULL; i++) {
        if (strncmp(text, "broken.example.com/v1", 21) == 0) {
            return true;
        }
    }
    return false;
}

static const struct xb_kube_api *widgets_of(const struct xb_kube_discovery *found,
                                            const char *version)
{
    return xb_kube_discovery_find_plural(found, "test.example.com", version, "widgets");
}

static bool named_right(const struct xb_kube_api *widgets)
{
    return widgets && strcmp(widgets->singular, "widget") == 0 &&
           strcmp(widgets->resource.kind, "Widget") == 0 &&
           strcmp(json_object_to_json_string_ext(widgets->short_names, JSON_C_TO_STRING_PLAIN),
                  "[\"wd\"]") == 0;
}

static void discovery(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_discovery *found = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *crd = parse(crd_text);
    XB_CLEANUP(xb_json_putp) xb_json *service = parse(apiservice_text);
    struct xb_kube_ref at = {.resource = &crds};
    int r = xb_kube_create(admin, &at, crd, NULL, &err);
    at.resource = &apiservices;
    r = r ? r : xb_kube_create(admin, &at, service, NULL, &err);
    check(r == 0, "a CRD and a broken API service are registered", &err);
    for (int i = 0; i < PATIENCE_S * 2; i++) { /* both become visible after a moment */
        xb_kube_discovery_free(found);
        found = NULL;
        r = xb_kube_discover(admin, &found, &err);
        if (r < 0 || (widgets_of(found, NULL) && told_broken(found))) {
            break;
        }
        usleep(500000);
    }
    check(r == 0 && xb_kube_discovery_count(found) > 50, "everything served is found", &err);
    if (r < 0) {
        return;
    }
    const struct xb_kube_api *widgets = widgets_of(found, NULL);
    check(same(widgets, "test.example.com", "v1", "widgets"),
          "a custom resource in its preferred version", NULL);
    check(named_right(widgets), "with its other names", NULL);
    check(same(widgets_of(found, "v1beta1"), "test.example.com", "v1beta1", "widgets"),
          "and in another one", NULL);
    check(same(xb_kube_discovery_find_plural(found, "", NULL, "events"), "", "v1", "events") &&
              same(xb_kube_discovery_find_plural(found, "events.k8s.io", NULL, "events"),
                   "events.k8s.io", "v1", "events"),
          "two with one name", NULL);
    const struct xb_kube_api *pods = xb_kube_discovery_find_plural(found, "", "v1", "pods");
    check(pods && pods->resource.namespaced && xb_kube_api_can(pods, "watch") &&
              !xb_kube_api_can(pods, "fly"),
          "verbs and scope are known", NULL);
    check(!xb_kube_discovery_find_plural(found, "", NULL, "nonsense"),
          "what is not served is not found", NULL);
    check(*xb_kube_discovery_at(found, 0)->resource.group == '\0', "the core group comes first",
          NULL);
    check(told_broken(found), "a group that does not answer is told", NULL);
    xb_kube_discovery_free(found);
    at = (struct xb_kube_ref){.resource = &apiservices, .name = "v1.broken.example.com"};
    check(xb_kube_delete(admin, &at, NULL, &err) == 0, "the broken API service is removed", &err);
}

/* The loop, run until something holds ---------------------------------------------------------- */

struct waiter {
    struct xb_loop *loop;
    bool (*holds)(void *context);
    void *context;
    int64_t until_ns;
    bool held;
};

static void look(void *context)
{
    struct waiter *waiter = context;
    waiter->held = waiter->holds(waiter->context);
    if (waiter->held || xb_clock_mono_ns() > waiter->until_ns) {
        xb_loop_stop(waiter->loop);
    }
}

static bool run_until(struct xb_loop *loop, bool (*holds)(void *context), void *context)
{
    struct xb_error err = XB_ERROR_INIT;
    struct waiter waiter = {.loop = loop,
                            .holds = holds,
                            .context = context,
                            .until_ns = xb_clock_mono_ns() + PATIENCE_S * XB_NS_PER_S};
    XB_CLEANUP(xb_timer_freep) struct xb_timer *timer = NULL;
    if (xb_timer_new(loop, look, &waiter, &timer, &err) < 0) {
        return false;
    }
    xb_timer_start(timer, 5, 5);
    return xb_loop_run(loop, &err) == 0 && waiter.held;
}

struct follower {
    struct xb_kube_informer *informer;
    unsigned changes, gone;
    bool told_synced;
    size_t want;       /* objects */
    const char *name;  /* of this one ... */
    const char *state; /* ... this state; NULL: gone */
    uint64_t want_lists, want_watches;
    struct xb_control *control;
};

static void on_change(void *context, const char *key, xb_json *object)
{
    struct follower *follower = context;
    follower->changes++;
    follower->gone += object == NULL;
    if (follower->control) {
        xb_control_dirty(follower->control, key);
    }
}

static void on_synced(void *context)
{
    ((struct follower *)context)->told_synced = true;
}

static bool has_all(void *context)
{
    struct follower *follower = context;
    struct xb_kube_informer_counts counts;
    xb_kube_informer_counts(follower->informer, &counts);
    return xb_kube_informer_synced(follower->informer) && counts.objects == follower->want &&
           counts.lists >= follower->want_lists && counts.watches >= follower->want_watches;
}

static bool has_state(void *context)
{
    struct follower *follower = context;
    char key[64];
    snprintf(key, sizeof key, "work/%s", follower->name);
    xb_json *object = xb_kube_informer_get(follower->informer, key);
    return follower->state ? strcmp(xb_json_str(object, "data.state", ""), follower->state) == 0
                           : object == NULL;
}

static bool count_object(void *context, const char *key, xb_json *object)
{
    (void)key;
    *(size_t *)context += xb_json_get(object, "metadata.managedFields") == NULL;
    return true;
}

static int follow(struct xb_loop *loop, const char *selector, struct follower *follower,
                  struct xb_error *err)
{
    struct xb_kube_informer_options options = {.loop = loop,
                                               .client = admin,
                                               .resource = &configmaps,
                                               .namespace = "work",
                                               .label_selector = selector,
                                               .trim = xb_kube_trim_managed_fields,
                                               .on_change = on_change,
                                               .on_synced = on_synced,
                                               .context = follower};
    return xb_kube_informer_new(&options, &follower->informer, err);
}

static void informer(struct xb_loop *loop)
{
    struct xb_error err = XB_ERROR_INIT;
    struct follower f = {.want = MANY, .name = "fresh", .state = "new"};
    struct xb_kube_informer_counts before;
    struct xb_kube_informer_counts after;
    struct xb_kube_ref ref = config_map("fresh");
    size_t trimmed = 0;
    check(follow(loop, "many=yes", &f, &err) == 0, "an informer starts", &err);
    check(run_until(loop, has_all, &f) && f.told_synced && f.changes == MANY,
          "it lists 1200 objects in pages", NULL);
    xb_kube_informer_each(f.informer, count_object, &trimmed);
    check(trimmed == MANY, "walks over them, trimmed", NULL);
    check(make_config_map("fresh", "\"many\":\"yes\"", &err) == 0 && run_until(loop, has_state, &f),
          "sees a new object", &err);
    f.state = "changed";
    check(patch_state("fresh", "changed", &err) == 0 && run_until(loop, has_state, &f),
          "sees a change", &err);
    f.state = NULL;
    check(xb_kube_delete(admin, &ref, NULL, &err) == 0 && run_until(loop, has_state, &f) &&
              f.gone == 1,
          "sees it go", &err);
    xb_kube_informer_counts(f.informer, &before);
    request("restart");
    f.state = "new";
    check(make_config_map("fresh", "\"many\":\"yes\"", &err) == 0 && run_until(loop, has_state, &f),
          "goes on after the API server's restart", &err);
    xb_kube_informer_counts(f.informer, &after);
    check(after.lists == before.lists && after.watches > before.watches, "without listing anew",
          NULL);
    request("compact many-0011"); /* removes it and compacts while the API server is away */
    f.name = "many-0011";
    f.state = NULL;
    unsigned gone = f.gone;
    check(run_until(loop, has_state, &f) && f.gone == gone + 1,
          "finds what vanished behind a compaction", NULL);
    xb_kube_informer_counts(f.informer, &after);
    check(after.lists > before.lists && after.objects == MANY, "by listing anew", NULL);
    xb_kube_informer_free(f.informer);
    struct follower few = {.want = 0};
    few.want_watches = 1;
    check(follow(loop, "many=no", &few, &err) == 0 && run_until(loop, has_all, &few),
          "an empty selection syncs too", &err);
    xb_kube_informer_free(few.informer);
}

/* A controller: every object with label work=yes is brought to state "done". ------------------- */

struct order {
    char name[64];
    char version[64];
    bool stale;
};

static int carry_out(void *work, const atomic_bool *cancel, struct xb_error *err)
{
    struct order *order = work;
    char text[256];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"resourceVersion\":\"%s\"},\"data\":{\"state\":\"done\"}}",
             order->version);
    XB_CLEANUP(xb_json_putp) xb_json *body = parse(text);
    struct xb_kube_ref ref = config_map(order->name);
    ref.cancel = cancel;
    return xb_kube_merge_patch(admin, &ref, body, NULL, err);
}

static enum xb_plan plan(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    (void)now_ns;
    struct follower *follower = context;
    xb_json *object = xb_kube_informer_get(follower->informer, key);
    if (!object || strcmp(xb_json_str(object, "data.state", ""), "done") == 0) {
        return XB_PLAN_NONE;
    }
    struct order *order = calloc(1, sizeof *order);
    snprintf(order->name, sizeof order->name, "%s", xb_json_str(object, "metadata.name", ""));
    snprintf(order->version, sizeof order->version, "%s",
             xb_json_str(object, "metadata.resourceVersion", ""));
    *ret = (struct xb_action){.work = order, .run = carry_out, .free = free};
    return XB_PLAN_ACT;
}

static bool is_done(void *context, const char *key, xb_json *object)
{
    (void)key;
    *(size_t *)context += strcmp(xb_json_str(object, "data.state", ""), "done") == 0;
    return true;
}

static bool all_done(void *context)
{
    size_t done = 0;
    struct follower *follower = context;
    xb_kube_informer_each(follower->informer, is_done, &done);
    return done == follower->want;
}

static void controller(struct xb_loop *loop)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    struct follower f = {.want = 100};
    struct xb_control_options options = {.name = "test", .loop = loop, .plan = plan, .context = &f};
    struct xb_control_counts counts;
    int r = xb_workers_new(4, 16, &workers, &err);
    options.workers = workers;
    r = r ? r : xb_control_new(&options, &f.control, &err);
    r = r ? r : follow(loop, "work=yes", &f, &err);
    for (int i = 0; i < 100 && r == 0; i++) {
        char name[32];
        snprintf(name, sizeof name, "order-%03d", i);
        r = make_config_map(name, "\"work\":\"yes\"", &err);
    }
    check(r == 0 && run_until(loop, all_done, &f), "a controller brings 100 objects to be done",
          &err);
    xb_control_counts(f.control, &counts);
    check(counts.actions >= 100, "by an action each", NULL);
    xb_control_drain(f.control);
    xb_control_free(f.control);
    f.control = NULL;
    xb_kube_informer_free(f.informer);
}

/* Leases ----------------------------------------------------------------------------------------
 */

struct candidate {
    struct xb_kube_lease *lease;
    bool leads, stopped, want;
    unsigned started, lost;
    int64_t lost_ns;
};

static void on_started(void *context)
{
    struct candidate *candidate = context;
    candidate->leads = true;
    candidate->started++;
}

static void on_lost(void *context)
{
    struct candidate *candidate = context;
    candidate->leads = false;
    candidate->lost++;
    candidate->lost_ns = xb_clock_mono_ns();
}

static void on_stopped(void *context)
{
    ((struct candidate *)context)->stopped = true;
}

static bool leads(void *context)
{
    struct candidate *candidate = context;
    return candidate->leads == candidate->want;
}

static bool has_stopped(void *context)
{
    return ((struct candidate *)context)->stopped;
}

static int stand(struct xb_loop *loop, const char *identity, struct candidate *candidate)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_lease_options options = {.loop = loop,
                                            .client = admin,
                                            .namespace = "work",
                                            .name = "leader",
                                            .identity = identity,
                                            .duration_s = 6,
                                            .renew_ms = 4000,
                                            .retry_ms = 300,
                                            .on_started = on_started,
                                            .on_lost = on_lost,
                                            .context = candidate};
    *candidate = (struct candidate){.want = true};
    return xb_kube_lease_new(&options, &candidate->lease, &err);
}

static void lease(struct xb_loop *loop)
{
    struct candidate a;
    struct candidate b;
    struct candidate c;
    check(stand(loop, "a", &a) == 0 && run_until(loop, leads, &a) && xb_kube_lease_held(a.lease),
          "the first candidate leads", NULL);
    check(stand(loop, "b", &b) == 0, "a second stands", NULL);
    b.want = true;
    xb_kube_lease_stop(a.lease, on_stopped);
    check(!a.leads && !xb_kube_lease_held(a.lease), "who stops leads no more at once", NULL);
    check(run_until(loop, has_stopped, &a) && run_until(loop, leads, &b) && b.started == 1,
          "the lease is given back and taken over", NULL);
    xb_kube_lease_free(a.lease);
    xb_kube_lease_free(b.lease); /* as if it had died: the lease is not given back */
    int64_t died = xb_clock_mono_ns();
    check(stand(loop, "c", &c) == 0 && run_until(loop, leads, &c) &&
              xb_clock_mono_ns() - died > 4 * XB_NS_PER_S,
          "a dead leader's lease is taken only when it has run out", NULL);
    request("stop");
    c.want = false;
    check(run_until(loop, leads, &c) && c.lost == 1 && !xb_kube_lease_held(c.lease),
          "a leader that cannot renew stops by its own clock", NULL);
    request("start");
    c.want = true;
    check(run_until(loop, leads, &c) && c.started == 2, "and leads again when it can", NULL);
    xb_kube_lease_stop(c.lease, on_stopped);
    check(run_until(loop, has_stopped, &c), "stops", NULL);
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    struct xb_kube_ref ref = {.resource = &leases, .namespace = "work", .name = "leader"};
    check(xb_kube_get(admin, &ref, &object, &err) == 0 &&
              !*xb_json_str(object, "spec.holderIdentity", "") &&
              xb_json_int(object, "spec.leaseTransitions", 0) == 2,
          "the object says so, and counts two hand-overs", &err);
    xb_kube_lease_free(c.lease);
}

/* Waits until a foreign program holds the lease. */
static bool foreign_holder(void)
{
    struct xb_kube_ref ref = {.resource = &leases, .namespace = "work", .name = "leader"};
    for (int i = 0; i < PATIENCE_S * 5; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
        if (xb_kube_get(admin, &ref, &object, &err) == 0 &&
            strlen(xb_json_str(object, "spec.holderIdentity", "")) > 1) {
            return true;
        }
        usleep(200000);
    }
    return false;
}

static bool has_seen_holder(void *context)
{
    struct candidate *candidate = context;
    return *xb_kube_lease_holder(candidate->lease) != '\0';
}

/* Leadership goes from a client-go program to us and back. */
static void lease_foreign(struct xb_loop *loop)
{
    struct candidate d;
    request("manager");
    check(foreign_holder(), "kube-controller-manager takes the lease that we gave back", NULL);
    check(stand(loop, "d", &d) == 0 && run_until(loop, has_seen_holder, &d) && !d.leads,
          "we see that it holds it, and wait", NULL);
    request("no-manager");
    check(run_until(loop, leads, &d), "when it is dead we take over", NULL);
    xb_kube_lease_stop(d.lease, on_stopped);
    check(run_until(loop, has_stopped, &d), "stops", NULL);
    xb_kube_lease_free(d.lease);
    request("manager");
    check(foreign_holder(), "and it takes over from us", NULL);
    request("no-manager");
}

/* ---- many at a time ---- */

enum { WIDE = 480, WIDE_THREADS = 32, WIDE_BYTES = 300 * 1000 };

struct wide {
    struct xb_kube_client *client;
    atomic_int next, good;
};

/* Every eighth is larger than any window of HTTP/2. */
static int make_wide(struct wide *wide, int number, struct xb_error *err)
{
    char name[32];
    XB_CLEANUP(xb_json_putp) xb_json *body = json_object_new_object();
    XB_CLEANUP(xb_json_putp) xb_json *made = NULL;
    size_t len = number % 8 == 0 ? WIDE_BYTES : 100;
    XB_CLEANUP(xb_freep) char *text = malloc(len + 1);
    memset(text, 'a' + number % 26, len);
    text[len] = '\0';
    snprintf(name, sizeof name, "wide-%d", number);
    struct xb_kube_ref ref = config_map(name);
    int r = xb_json_set_str(body, "metadata.name", name, err);
    r = r ? r : xb_json_set_str(body, "data.text", text, err);
    r = r ? r : xb_kube_create(wide->client, &ref, body, &made, err);
    return r == 0 && strcmp(xb_json_str(made, "data.text", ""), text) != 0
               ? xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s came back otherwise", name)
               : r;
}

static void *make_wides(void *context)
{
    struct wide *wide = context;
    for (int i = atomic_fetch_add(&wide->next, 1); i < WIDE; i = atomic_fetch_add(&wide->next, 1)) {
        struct xb_error err = XB_ERROR_INIT;
        if (make_wide(wide, i, &err) == 0) {
            atomic_fetch_add(&wide->good, 1);
        } else {
            fprintf(stderr, "%s\n", err.text);
        }
    }
    return NULL;
}

static int sockets(void)
{
    int count = 0;
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry = NULL;
    while (dir && (entry = readdir(dir))) {
        char to[64] = "";
        count += readlinkat(dirfd(dir), entry->d_name, to, sizeof to - 1) > 0 &&
                 strncmp(to, "socket:", 7) == 0;
    }
    return count;
}

/* Many threads at a pace that grows, over one or two connections of HTTP/2. */
static void multiplexed(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_config *config = NULL;
    struct wide wide = {.next = 0};
    struct xb_kube_pace *pace = NULL;
    pthread_t threads[WIDE_THREADS];
    int r = xb_kube_config_load(path_in_folder("admin.kubeconfig"), NULL, &config, &err);
    r = r ? r : xb_kube_pace_new(WIDE_THREADS, &pace, &err);
    const struct xb_kube_client_options options = {
        .connections_max = WIDE_THREADS, .multiplexed = true, .pace = pace};
    r = r ? r : xb_kube_client_new(config, &options, &wide.client, &err);
    xb_kube_config_free(config);
    check(r == 0, "a client for many requests at a time", &err);
    if (r < 0) {
        return;
    }
    int before = sockets();
    for (int i = 0; i < WIDE_THREADS; i++) {
        pthread_create(&threads[i], NULL, make_wides, &wide);
    }
    for (int i = 0; i < WIDE_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    int after = sockets();
    check(wide.good == WIDE, "all are made, the large ones too, and came back as they were", NULL);
    printf("    %d connections more, %u requests at a time at most\n", after - before,
           xb_kube_pace_look(pace).highest);
    check(after - before >= 1 && after - before <= 4 /* two, and curl's own pair to be woken by */,
          "by few connections", NULL);
    check(xb_kube_pace_look(pace).highest > XB_KUBE_PACE_FIRST, "more and more at a time", NULL);
    xb_kube_client_free(wide.client);
    xb_kube_pace_free(pace);
}

/* What cannot be changed is told by its fields, and not by what is in them. */
static void fixed_fields(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_ref ref = config_map("fixed");
    XB_CLEANUP(xb_json_putp)
    xb_json *fixed = parse("{\"metadata\":{\"name\":\"fixed\"},\"data\":{\"a\":\"1\"},"
                           "\"immutable\":true}");
    XB_CLEANUP(xb_json_putp)
    xb_json *patch = parse("{\"data\":{\"a\":\"2\"},\"immutable\":null}");
    check(xb_kube_create(admin, &ref, fixed, NULL, &err) == 0 &&
              xb_kube_merge_patch(admin, &ref, patch, NULL, &err) < 0 &&
              err.kind == XB_ERR_INVALID && strstr(err.text, "422 Invalid: immutable: Forbidden") &&
              strstr(err.text, "; data: Forbidden: field is immutable"),
          "an immutable object is refused by its fields", &err);
    printf("    %s\n", err.text);
}

/* The API server keeps nothing of what is written for a dry run, deletions included. */
static void dry_run(void)
{
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_kube_client_options options = {.dry_run = true};
    struct xb_kube_config *config = NULL;
    XB_CLEANUP(xb_kube_client_freep) struct xb_kube_client *dry = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *body = parse("{\"metadata\":{\"name\":\"dry\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *patch = parse("{\"data\":{\"state\":\"other\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *got = NULL;
    struct xb_kube_ref ref = config_map("dry");
    int r = xb_kube_config_load(path_in_folder("admin.kubeconfig"), NULL, &config, &err);
    r = r ? r : xb_kube_client_new(config, &options, &dry, &err);
    xb_kube_config_free(config);
    check(r == 0 && xb_kube_create(dry, &ref, body, NULL, &err) == 0 &&
              xb_kube_get(admin, &ref, &got, &err) < 0 && err.kind == XB_ERR_NOT_FOUND,
          "what is made in a dry run is not there", &err);
    err = (struct xb_error)XB_ERROR_INIT;
    check(r == 0 && make_config_map("dry", "", &err) == 0 &&
              xb_kube_merge_patch(dry, &ref, patch, NULL, &err) == 0 &&
              xb_kube_delete(dry, &ref, NULL, &err) == 0 &&
              xb_kube_get(admin, &ref, &got, &err) == 0 &&
              strcmp(xb_json_str(got, "data.state", ""), "new") == 0,
          "what is changed and deleted in one stays as it is", &err);
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_loop_freep) struct xb_loop *loop = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    xb_log_setup("kube_client", getenv("XB_DEBUG") ? XB_LOG_DEBUG : XB_LOG_ERROR, XB_LOG_TEXT);
    admin = connect_as("admin.kubeconfig");
    if (!admin || xb_loop_new(&loop, &err) < 0) {
        printf("%d passed, %d failed\n", passed, failed + 1);
        return 1;
    }
    crud();
    rights();
    pages();
    discovery();
    informer(loop);
    controller(loop);
    lease(loop);
    lease_foreign(loop);
    multiplexed();
    dry_run();
    fixed_fields();
    xb_kube_client_free(admin);
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
