/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backup collects from a real API server: run by tests/interop/collect_test, which makes the
 * objects that are looked for here.
 *
 *   collect FOLDER
 *
 * FOLDER holds admin.kubeconfig, nobody.kubeconfig (no rights) and some.kubeconfig (reads
 * namespaces and ConfigMaps).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/collect.h"
#include "shared/base/log.h"

enum { ITEMS_MAX = 4096, TEXT_BYTES_MAX = 1 << 20 };

static int passed, failed;
static bool all_versions; /* of the next collections */
static const char *folder;

/* One collection and what came of it. */
struct outcome {
    int code;
    struct xb_error err;
    struct xb_collected collected;
    uint64_t errors, warnings, progress;
    char *items[ITEMS_MAX]; /* "pods web/api", in the tarball's order */
    size_t count;
    struct xb_buf log;
};

static struct outcome outcome;

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

static char *path_in_folder(const char *name)
{
    static char paths[4][4096];
    static size_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static struct xb_kube_client *connect_as(const char *kubeconfig)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    struct xb_kube_client *client = NULL;
    int r = xb_kube_config_load(path_in_folder(kubeconfig), NULL, &config, &err);
    if (r < 0 || xb_kube_client_new(config, NULL, &client, &err) < 0) {
        fprintf(stderr, "%s: %s\n", kubeconfig, err.text);
        exit(2);
    }
    return client;
}

static int keep(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    (void)context;
    int r = xb_json_parse(json, len, &object, err);
    if (r < 0) {
        return r;
    }
    if (outcome.count == ITEMS_MAX ||
        strcmp(xb_json_str(object, "metadata.name", ""), item->name) != 0) {
        return xb_error_set(err, XB_ERR_BUG, -1, "%s %s is not itself", item->resource, item->name);
    }
    return asprintf(&outcome.items[outcome.count++], "%s %s%s%s", item->resource, item->namespace,
                    item->namespace[0] ? "/" : "", item->name) < 0
               ? xb_error_no_memory(err, "an item")
               : 0;
}

static void on_progress(void *context, uint64_t items)
{
    (void)context;
    outcome.progress = items;
}

static void read_log(struct xb_record_log *log)
{
    struct xb_error err = XB_ERROR_INIT;
    char block[4096];
    FILE *file = xb_record_log_finish(log, &err) == 0 ? fopen(xb_record_log_path(log), "re") : NULL;
    size_t got = 0;
    while (file && (got = fread(block, 1, sizeof block, file)) > 0) {
        if (xb_buf_append(&outcome.log, block, got, &err) < 0) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    outcome.errors = xb_record_log_errors(log);
    outcome.warnings = xb_record_log_warnings(log);
}

static void forget(void)
{
    while (outcome.count > 0) {
        free(outcome.items[--outcome.count]);
    }
    xb_buf_free(&outcome.log);
    xb_collected_free(&outcome.collected);
}

/* Collects by `spec`, then reads back what is in the tarball. */
static void collect(const char *kubeconfig, const char *spec, const atomic_bool *cancel)
{
    char text[2048];
    const char *path = path_in_folder("tarball");
    struct xb_kube_client *client = connect_as(kubeconfig);
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_tarball_writer_freep) struct xb_tarball_writer *writer = NULL;
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = NULL;
    forget();
    outcome = (struct outcome){.log = XB_BUF_INIT(TEXT_BYTES_MAX)};
    struct xb_error *err = &outcome.err;
    snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"b\"},\"spec\":%s}", spec);
    int r = xb_json_parse(text, strlen(text), &backup, err);
    xb_json *judged = xb_json_get(backup, "spec");
    if (r < 0 ||
        ((r = xb_collect_exclude_labelled(client, judged, NULL, err)) < 0 &&
         err->kind != XB_ERR_DENIED) ||
        (r = xb_filter_new(judged, &filter, err)) < 0 ||
        (r = xb_tarball_writer_new(path, &writer, err)) < 0 ||
        (r = xb_record_log_new(path_in_folder("log"), &log, err)) < 0) {
        fprintf(stderr, "%s: %s\n", spec, err->text);
        exit(2);
    }
    printf("%s\n", spec);
    check(xb_filter_problem_count(filter) == 0, "the filter is a good one", NULL);
    const struct xb_collect_options options = {.client = client,
                                               .backup = backup,
                                               .filter = filter,
                                               .all_versions = all_versions,
                                               .writer = writer,
                                               .log = log,
                                               .cancel = cancel,
                                               .progress = on_progress};
    r = xb_collect(&options, &outcome.collected, err);
    if (r == 0 && (r = xb_tarball_writer_finish(writer, err)) == 0) {
        r = xb_tarball_read(path, keep, NULL, err);
    }
    outcome.code = r;
    read_log(log);
    xb_kube_client_free(client);
}

static size_t times(const char *item)
{
    size_t count = 0;
    for (size_t i = 0; i < outcome.count; i++) {
        count += strcmp(outcome.items[i], item) == 0;
    }
    return count;
}

static size_t starting(const char *start)
{
    size_t count = 0;
    for (size_t i = 0; i < outcome.count; i++) {
        count += strncmp(outcome.items[i], start, strlen(start)) == 0;
    }
    return count;
}

static size_t listed(void)
{
    size_t count = 0;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *list = NULL;
    if (xb_resource_list_json(&outcome.collected.list, &list, &err) < 0) {
        return 0;
    }
    json_object_object_foreach(list, kind, names)
    {
        (void)kind;
        count += json_object_array_length(names);
    }
    return count;
}

/* What succeeded: everything is there once, and counted. */
static void check_whole(uint64_t errors)
{
    bool once = true;
    for (size_t i = 0; i < outcome.count; i++) {
        once = once && times(outcome.items[i]) == 1;
    }
    check(outcome.code == 0, "it is collected", &outcome.err);
    check(outcome.errors == errors, errors ? "with the errors that there are" : "without an error",
          NULL);
    if (outcome.errors != errors && outcome.log.data) {
        printf("%s", outcome.log.data);
    }
    check(once && outcome.count == outcome.collected.items &&
              outcome.progress == outcome.collected.items,
          "every item once, and counted", NULL);
    check(listed() == outcome.count, "the resource list has them all", NULL);
}

/* Exactly these items, in any order. */
static void check_items(const char *const *expected)
{
    size_t count = 0;
    bool good = true;
    for (; expected[count]; count++) {
        if (times(expected[count]) != 1) {
            printf("    missing: %s\n", expected[count]);
            good = false;
        }
    }
    good = good && outcome.count == count;
    check(good, "exactly what is expected", NULL);
    for (size_t i = 0; !good && i < outcome.count; i++) {
        printf("    have: %s\n", outcome.items[i]);
    }
}

static const struct xb_collected_volume *volume_of(const char *pod, const char *name)
{
    for (size_t i = 0; i < outcome.collected.volume_count; i++) {
        const struct xb_collected_volume *volume = &outcome.collected.volumes[i];
        if (volume->pod && strcmp(volume->pod, pod) == 0 && strcmp(volume->volume, name) == 0) {
            return volume;
        }
    }
    return NULL;
}

static void check_volume(const char *pod, const char *name, const char *skipped)
{
    char what[200];
    const struct xb_collected_volume *volume = volume_of(pod, name);
    snprintf(what, sizeof what, "volume %s of pod %s: %s", name, pod, skipped ? skipped : "taken");
    check(volume && (skipped ? volume->skipped && strstr(volume->skipped, skipped)
                             : !volume->skipped && strcmp(volume->node, "node1") == 0),
          what, NULL);
}

/* How often the server was asked for one object of a kind, by its own count. */
static unsigned long gets_of(const char *plural)
{
    char resource[100];
    unsigned long count = 0;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_kube_client *client = connect_as("admin.kubeconfig");
    XB_CLEANUP(xb_buf_free) struct xb_buf body = XB_BUF_INIT(64 << 20);
    snprintf(resource, sizeof resource, "resource=\"%s\"", plural);
    if (xb_kube_raw_get(client, "/metrics", &body, &err) < 0 ||
        xb_buf_append(&body, "", 1, &err) < 0) {
        fprintf(stderr, "metrics: %s\n", err.text);
        exit(2);
    }
    char *rest = NULL;
    for (char *line = strtok_r((char *)body.data, "\n", &rest); line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "apiserver_request_total{", 24) == 0 && strstr(line, resource) &&
            strstr(line, "verb=\"GET\"") && strrchr(line, ' ')) {
            count += strtoul(strrchr(line, ' ') + 1, NULL, 10);
        }
    }
    xb_kube_client_free(client);
    return count;
}

/* A namespace, with all that its items drag in and nothing of the neighbours. */
static void one_namespace(void)
{
    static const char *const expected[] = {
        "pods web/api",
        "pods web/twin",
        "persistentvolumeclaims web/data",
        "persistentvolumeclaims web/host",
        "persistentvolumes pv-data",
        "persistentvolumes pv-host",
        "priorityclasses.scheduling.k8s.io fast",
        "configmaps web/conf",
        "secrets web/s",
        "serviceaccounts web/runner",
        "clusterrolebindings.rbac.authorization.k8s.io reader",
        "clusterroles.rbac.authorization.k8s.io reader",
        "clusterrolebindings.rbac.authorization.k8s.io größe",
        "clusterroles.rbac.authorization.k8s.io größe",
        "widgets.example.com web/w1",
        "customresourcedefinitions.apiextensions.k8s.io widgets.example.com",
        "gateways.test.k8s.io web/g1",
        "customresourcedefinitions.apiextensions.k8s.io gateways.test.k8s.io",
        "events web/e1",
        "namespaces web",
        NULL};
    const unsigned long claims = gets_of("persistentvolumeclaims");
    const unsigned long volumes = gets_of("persistentvolumes");
    collect("admin.kubeconfig", "{\"includedNamespaces\":[\"web\"]}", NULL);
    check_whole(0);
    check_items(expected);
    check(gets_of("persistentvolumeclaims") - claims == 2,
          "two claims of three volumes are fetched once each", NULL);
    check(gets_of("persistentvolumes") - volumes == 2, "and so are their volumes", NULL);
    check(outcome.count > 0 && strncmp(outcome.items[0], "pods ", 5) == 0, "pods come first", NULL);
    check_volume("api", "data", NULL);
    check_volume("api", "cache", NULL);
    check_volume("api", "host", "hostPath");
    check_volume("api", "other", "not selected");
    check_volume("twin", "data", "is backed up through pod api");
    const struct xb_collected_volume *data = volume_of("api", "data");
    check(data && data->claim && strcmp(data->claim, "data") == 0 && data->claim_uid &&
              strlen(data->claim_uid) == 36 && data->persistent_volume &&
              strcmp(data->persistent_volume, "pv-data") == 0 && strlen(data->pod_uid) == 36,
          "the claim's volume is known", NULL);
}

/* Everything, but what labels keep out and what is being deleted. */
static void everything(void)
{
    collect("admin.kubeconfig",
            "{\"defaultVolumesToFsBackup\":true,\"includeClusterResources\":true}", NULL);
    check_whole(0);
    check(starting("configmaps many/") == 600, "page after page", NULL);
    check(times("configmaps web/conf") == 1 && times("configmaps db/conf") == 1, "every namespace",
          NULL);
    check(times("clusterroles.rbac.authorization.k8s.io other") == 1 &&
              times("clusterroles.rbac.authorization.k8s.io cluster-admin") == 1 &&
              times("persistentvolumes pv-hidden") == 1,
          "what belongs to no namespace", NULL);
    check(times("configmaps web/hidden") + times("configmaps web/going") +
                  times("persistentvolumeclaims db/hidden") ==
              0,
          "no labelled object, none that is being deleted, dragged in or not", NULL);
    check(starting("configmaps private/") == 0 && times("namespaces private") == 0,
          "nothing of a labelled namespace", NULL);
    check(starting("volumesnapshots.") == 0 &&
              times("customresourcedefinitions.apiextensions.k8s.io "
                    "volumesnapshots.snapshot.storage.k8s.io") == 1,
          "no volume snapshot, though there is one", NULL);
    check(starting("events") == 1, "what two groups serve is there once", NULL);
    check_volume("api", "other", NULL);
}

static void filters(void)
{
    static const char *const pods[] = {"pods web/api", "pods web/twin", NULL};
    static const char *const labelled[] = {"configmaps web/conf", "namespaces web", NULL};
    static const char *const scoped[] = {
        "configmaps db/conf",
        "priorityclasses.scheduling.k8s.io fast",
        "priorityclasses.scheduling.k8s.io system-cluster-critical",
        "priorityclasses.scheduling.k8s.io system-node-critical",
        "namespaces db",
        NULL};
    collect("admin.kubeconfig", "{\"includedNamespaces\":[\"web\"],\"includedResources\":[\"po\"]}",
            NULL);
    check_whole(0);
    check_items(pods);
    check_volume("api", "data", "leaves out");
    check_volume("api", "cache", NULL);
    collect("admin.kubeconfig",
            "{\"includedNamespaces\":[\"web\"],\"includedResources\":[\"vs\","
            "\"volumesnapshots.snapshot.storage.k8s.io\"]}",
            NULL);
    check(outcome.code == 0 && starting("volumesnapshots") == 0,
          "nor where they are asked for by name", &outcome.err);
    collect("admin.kubeconfig",
            "{\"includedNamespaces\":[\"w*\"],\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}}}",
            NULL);
    check_whole(0);
    check_items(labelled);
    collect("admin.kubeconfig",
            "{\"includedNamespaces\":[\"d?\",\"nothing-*\"],"
            "\"includedNamespaceScopedResources\":[\"configmaps\"],"
            "\"includedClusterScopedResources\":[\"pc\"]}",
            NULL);
    check_whole(0);
    check_items(scoped);
    collect("admin.kubeconfig",
            "{\"includedNamespaces\":[\"db\",\"absent\"],\"includeClusterResources\":false}", NULL);
    check_whole(1);
    check(outcome.log.data && strstr(outcome.log.data, "namespace=absent"),
          "a named namespace that is missing is an error", NULL);
    check(times("pods db/hider") == 1 && starting("persistentvolumes") == 0,
          "and the rest is there, without cluster-scoped items", NULL);
}

/* What a command says of the tarball, for those who read it with other programs. */
static void ask_tar(const char *words, char *out, size_t size)
{
    char command[8192];
    snprintf(command, sizeof command, "tar %s '%s' 2>&1", words, path_in_folder("tarball"));
    FILE *pipe = popen(command, "re");
    size_t len = pipe ? fread(out, 1, size - 1, pipe) : 0;
    out[len] = '\0';
    if (!pipe || pclose(pipe) != 0) {
        fprintf(stderr, "%s: %s\n", command, out);
    }
}

static void check_entry(const char *paths, const char *path, bool wanted)
{
    char line[600];
    char what[700];
    snprintf(line, sizeof line, "\n%s\n", path);
    snprintf(what, sizeof what, "%s %s", wanted ? "there is" : "there is no", path);
    check((strstr(paths, line) != NULL) == wanted, what, NULL);
}

/* Every served version of an object, by the paths that Velero's feature gives them: built-in kinds
 * and custom ones, each as the server converts it. */
static void versions(void)
{
    static char paths[1 << 20];
    static char object[1 << 16];
    static const char spec[] = "{\"includedNamespaces\":[\"db\"]}";
    paths[0] = '\n';
    all_versions = true;
    collect("admin.kubeconfig", spec, NULL);
    all_versions = false;
    check(outcome.code == 0 && outcome.errors == 0, "all versions are collected", &outcome.err);
    ask_tar("-tzf", paths + 1, sizeof paths - 1);
#define GEARS "resources/gears.example.com/"
#define SCALERS "resources/horizontalpodautoscalers.autoscaling/"
    check_entry(paths, GEARS "namespaces/db/g1.json", true);
    check_entry(paths, GEARS "v1-preferredversion/namespaces/db/g1.json", true);
    check_entry(paths, GEARS "v1beta1/namespaces/db/g1.json", true);
    check_entry(paths, GEARS "v1alpha1/namespaces/db/g1.json", false); /* is not served */
    check_entry(paths, GEARS "v1/namespaces/db/g1.json", false);
    check_entry(paths, SCALERS "v2-preferredversion/namespaces/db/s1.json", true);
    check_entry(paths, SCALERS "v1/namespaces/db/s1.json", true);
    check_entry(paths, "resources/configmaps/v1-preferredversion/namespaces/db/conf.json", true);
    ask_tar("-xOz " GEARS "v1beta1/namespaces/db/g1.json -f", object, sizeof object);
    check(strstr(object, "\"apiVersion\":\"example.com/v1beta1\"") != NULL,
          "what is under a version is of that version", NULL);
    ask_tar("-xOz " SCALERS "v1/namespaces/db/s1.json -f", object, sizeof object);
    check(strstr(object, "\"apiVersion\":\"autoscaling/v1\"") &&
              strstr(object, "\"targetCPUUtilizationPercentage\":70"),
          "as the server converts it", NULL);
    collect("admin.kubeconfig", spec, NULL);
    ask_tar("-tzf", paths + 1, sizeof paths - 1);
    check_entry(paths, GEARS "v1-preferredversion/namespaces/db/g1.json", true);
    check_entry(paths, GEARS "v1beta1/namespaces/db/g1.json", false);
#undef GEARS
#undef SCALERS
}

static void rights(void)
{
    const atomic_bool cancel = true;
    collect("nobody.kubeconfig", "{}", NULL);
    check(outcome.code < 0 && outcome.err.kind == XB_ERR_DENIED,
          "without rights there is no backup", &outcome.err);
    check(outcome.collected.volumes == NULL && outcome.collected.items == 0, "nor half a one",
          NULL);
    collect("some.kubeconfig", "{\"includedNamespaces\":[\"web\"]}", NULL);
    check(outcome.code == 0 && outcome.errors > 10,
          "what may not be listed is an error of its kind", &outcome.err);
    check(times("configmaps web/conf") == 1 && times("namespaces web") == 1 && outcome.count == 2,
          "and the rest is collected", NULL);
    collect("admin.kubeconfig", "{}", &cancel);
    check(outcome.code < 0 && outcome.err.kind == XB_ERR_CANCELLED, "it can be cancelled",
          &outcome.err);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    xb_log_setup("collect", getenv("XB_DEBUG") ? XB_LOG_DEBUG : XB_LOG_ERROR, XB_LOG_TEXT);
    one_namespace();
    everything();
    filters();
    versions();
    rights();
    forget();
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
