/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kinds a server has that can be backed up, and what a word means among them: the client and
 * its discovery are the real ones, the server's answers are made here.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/kinds.h"
#include "tests/unit/shared/http/server.h"

#define ALL "\"verbs\":[\"create\",\"delete\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]"
#define READ "\"verbs\":[\"get\",\"list\"]"
#define KIND(plural, singular, kind, scope, shorts, verbs)                                         \
    "{\"resource\":\"" plural "\",\"singularResource\":\"" singular                                \
    "\",\"responseKind\":{\"kind\":\"" kind "\"},\"scope\":\"" scope "\",\"shortNames\":[" shorts  \
    "]," verbs "}"
#define GROUP(name, versions) "{\"metadata\":{\"name\":\"" name "\"},\"versions\":[" versions "]}"
#define VERSION(name, resources) "{\"version\":\"" name "\",\"resources\":[" resources "]}"
#define LIST(items)                                                                                \
    "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"                    \
    "v2\",\"items\":[" items "]}"

static const char core[] = LIST("{\"metadata\":{},\"versions\":[" VERSION(
    "v1", KIND("componentstatuses", "componentstatus", "ComponentStatus", "Cluster", "\"cs\"",
               READ) "," KIND("configmaps", "configmap", "ConfigMap", "Namespaced", "\"cm\"",
                              ALL) "," KIND("pods", "pod", "Pod", "Namespaced", "\"po\"",
                                            ALL) "," KIND("persistentvolumes", "persistentvolume",
                                                          "PersistentVolume", "Cluster", "\"pv\"",
                                                          ALL)) "]}");

#define WIDGETS KIND("widgets", "widget", "Widget", "Namespaced", "\"wd\"", ALL)
static const char groups[] = LIST(
    GROUP("apps", VERSION("v1", KIND("deployments", "deployment", "Deployment", "Namespaced", "\"deploy\"", ALL))) "," GROUP(
        "metrics.k8s.io",
        VERSION("v1", KIND("pods", "pod", "PodMetrics", "Namespaced", "",
                           READ))) "," GROUP("one.example.com",
                                             VERSION("v1", WIDGETS) "," VERSION(
                                                 "v1beta1",
                                                 WIDGETS)) "," GROUP("two.example.com",
                                                                     VERSION("v1", WIDGETS))
    /* Its short name is another kind's plural. */
    "," GROUP("odd.example.com", VERSION("v1", KIND("oddities", "oddity", "Oddity", "Cluster", "\"widgets\",\"od\"", ALL))) "," GROUP(
        "snapshot.storage.k8s.io",
        VERSION(
            "v1",
            KIND(
                "volumesnapshotclasses",
                "volumesnapshotclass", "VolumeSnapshotClass",
                "Cluster",
                "\"vsclass\"",
                ALL) "," KIND("volumesnapshotcontents", "volumesnapshotcontent",
                              "VolumeSnapshotContent",
                              "Cluster",
                              "\"vsc\"",
                              ALL) "," KIND("volumesnapshots", "volumesnapshot", "VolumeSnapshot",
                                            "Namespaced", "\"vs\"",
                                            ALL))) "," GROUP("other.example.com",
                                                             VERSION(
                                                                 "v1",
                                                                 KIND(
                                                                     "volumesnapshots",
                                                                     "volumesnapshot",
                                                                     "VolumeSnapshot", "Namespaced",
                                                                     "",
                                                                     ALL))) "," GROUP("storage.k8s."
                                                                                      "io",
                                                                                      VERSION(
                                                                                          "v1",
                                                                                          KIND(
                                                                                              "stor"
                                                                                              "agec"
                                                                                              "lass"
                                                                                              "es",
                                                                                              "stor"
                                                                                              "agec"
                                                                                              "las"
                                                                                              "s",
                                                                                              "Stor"
                                                                                              "ageC"
                                                                                              "las"
                                                                                              "s",
                                                                                              "Clus"
                                                                                              "ter",
                                                                                              "\"sc"
                                                                                              "\"",
                                                                                              ALL))));

static bool serve(void *context, struct test_request *request)
{
    (void)context;
    return test_answer(request, 200, "Content-Type: application/json\r\n",
                       strncmp(request->target, "/apis", 5) == 0 ? groups : core);
}

static int discover(void **state)
{
    struct test_server *server = calloc(1, sizeof *server);
    struct xb_kube_client *client = NULL;
    struct xb_kube_discovery *discovery = NULL;
    char url[64];
    assert_non_null(server);
    test_server_start(server, serve, NULL, NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", server->port);
    struct xb_kube_config config = {.server = url};
    PROBE_OK(xb_kube_client_new(&config, NULL, &client, &err));
    PROBE_OK(xb_kube_discover(client, &discovery, &err));
    xb_kube_client_free(client);
    test_server_stop(server);
    free(server);
    *state = discovery;
    return 0;
}

static int forget(void **state)
{
    xb_kube_discovery_free(*state);
    return 0;
}

static void words(void **state)
{
    static const struct {
        const char *word, *kind; /* "plural.group"; NULL: no kind that can be backed up */
    } cases[] = {
        {"pods", "pods."},
        {"po", "pods."},
        {"pod", "pods."},
        {"Pod", "pods."},
        {"PODS", "pods."},
        {"pods.", "pods."},
        {"deployments.apps", "deployments.apps"},
        {"deploy.apps", "deployments.apps"},
        {"Deployment", "deployments.apps"},
        {"deploy.app", "deployments.apps"}, /* the beginning of its group */
        {"deploy.ap", "deployments.apps"},
        {"deploy.batch", NULL},
        {"storageclasses.storage", "storageclasses.storage.k8s.io"},
        {"sc", "storageclasses.storage.k8s.io"},
        /* Of several groups the first in the server's order; a whole group before a beginning. */
        {"widgets", "widgets.one.example.com"},
        {"widgets.two", "widgets.two.example.com"},
        {"wd.two.example.com", "widgets.two.example.com"},
        {"WD.TWO.EXAMPLE.COM", "widgets.two.example.com"},
        /* A plural beats a short name. */
        {"widgets.odd", "oddities.odd.example.com"},
        {"od", "oddities.odd.example.com"},
        /* What cannot be made again, or is never taken, is none. */
        {"componentstatuses", NULL},
        {"cs", NULL},
        {"pods.metrics", NULL},
        {"volumesnapshots", NULL},
        {"vs", NULL},
        {"vsc", NULL},
        {"volumesnapshotcontents.snapshot.storage.k8s.io", NULL},
        {"volumesnapshots.other", "volumesnapshots.other.example.com"},
        {"vsclass", "volumesnapshotclasses.snapshot.storage.k8s.io"},
        {"nosuch", NULL},
        {"pods.v1", NULL},
        {"", NULL},
        {".", NULL},
        {".apps", NULL},
        {"*", NULL},
        {"po*", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char have[700] = "none";
        struct xb_filter_kind kind;
        if (xb_kind_resolve(*state, cases[i].word, &kind)) {
            snprintf(have, sizeof have, "%s.%s", kind.plural, kind.group);
        }
        if (strcmp(have, cases[i].kind ? cases[i].kind : "none") != 0) {
            fail_msg("%s: %s", cases[i].word, have);
        }
    }
}

static void long_words(void **state)
{
    char word[1000];
    struct xb_filter_kind kind;
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_false(xb_kind_resolve(*state, word, &kind));
    memcpy(word, "pods.", 5);
    assert_false(xb_kind_resolve(*state, word, &kind));
}

static void scopes(void **state)
{
    struct xb_filter_kind kind;
    assert_true(xb_kind_resolve(*state, "cm", &kind));
    assert_true(kind.namespaced);
    assert_true(xb_kind_resolve(*state, "pv", &kind));
    assert_false(kind.namespaced);
}

/* All that the server has, once through. */
static void collectable(void **state)
{
    size_t count = 0;
    for (size_t i = 0; i < xb_kube_discovery_count(*state); i++) {
        const struct xb_kube_api *api = xb_kube_discovery_at(*state, i);
        const struct xb_filter_kind kind = xb_kind_of(api);
        assert_string_equal(kind.plural, api->resource.plural);
        assert_int_equal(kind.namespaced, api->resource.namespaced);
        bool snapshot = strcmp(kind.group, "snapshot.storage.k8s.io") == 0 &&
                        strcmp(kind.plural, "volumesnapshotclasses") != 0;
        bool read_only = strcmp(kind.group, "metrics.k8s.io") == 0 ||
                         strcmp(kind.plural, "componentstatuses") == 0;
        assert_int_equal(xb_kind_collectable(api), !snapshot && !read_only);
        count += xb_kind_collectable(api);
    }
    assert_int_equal(count, 11);
}

/* Each verb is needed. */
static void verbs(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "[\"create\",\"get\",\"list\"]", "[\"create\",\"delete\",\"list\"]",
        "[\"create\",\"delete\",\"get\"]", "[\"delete\",\"get\",\"list\"]", "[]"};
    XB_CLEANUP(xb_json_putp) xb_json *all = probe_json("[\"create\",\"delete\",\"get\",\"list\"]");
    struct xb_kube_api api = {.resource = {.group = "", .version = "v1", .plural = "xs"},
                              .verbs = all};
    assert_true(xb_kind_collectable(&api));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *some = probe_json(lists[i]);
        api.verbs = some;
        assert_false(xb_kind_collectable(&api));
    }
    api.verbs = NULL;
    assert_false(xb_kind_collectable(&api));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),       cmocka_unit_test(long_words), cmocka_unit_test(scopes),
        cmocka_unit_test(collectable), cmocka_unit_test(verbs),
    };
    return cmocka_run_group_tests(tests, discover, forget);
}
