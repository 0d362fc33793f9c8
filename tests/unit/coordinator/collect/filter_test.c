/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Backup's spec takes: namespaces, kinds in both styles of filters, what is dragged in,
 * labels; and what is refused.
 */
#include "tests/harness/probe.h"

#include "coordinator/collect/filter.h"

static const struct xb_filter_kind pods = {"", "pods", true};
static const struct xb_filter_kind claims = {"", "persistentvolumeclaims", true};
static const struct xb_filter_kind deployments = {"apps", "deployments", true};
static const struct xb_filter_kind volumes = {"", "persistentvolumes", false};
static const struct xb_filter_kind roles = {"rbac.authorization.k8s.io", "clusterroles", false};
static const struct xb_filter_kind spaces = {"", "namespaces", false};

/* What words mean; kinds_test.c asks a real discovery. */
static bool resolve(void *context, const char *word, struct xb_filter_kind *ret)
{
    static const struct {
        const char *word;
        const struct xb_filter_kind *kind;
    } words[] = {{"pods", &pods},
                 {"po", &pods},
                 {"persistentvolumeclaims", &claims},
                 {"deployments", &deployments},
                 {"deployments.apps", &deployments},
                 {"persistentvolumes", &volumes},
                 {"pv", &volumes},
                 {"ClusterRole", &roles},
                 {"clusterroles", &roles},
                 {"namespaces", &spaces}};
    (void)context;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, word) == 0) {
            *ret = *words[i].kind;
            return true;
        }
    }
    return false;
}

static struct xb_filter *make(const char *spec)
{
    struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(spec);
    PROBE_OK(xb_filter_new(json, &filter, &err));
    return filter;
}

/* A '-' before the name: it must be left out. */
static void check_namespaces(const char *spec, const char *const *names)
{
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make(spec);
    assert_int_equal(xb_filter_problem_count(filter), 0);
    for (; *names; names++) {
        bool taken = (*names)[0] != '-';
        if (xb_filter_takes_namespace(filter, taken ? *names : *names + 1) != taken) {
            fail_msg("%s: %s", spec, *names);
        }
    }
}

#define NAMESPACES(spec, ...)                                                                      \
    do {                                                                                           \
        static const char *const names_[] = {__VA_ARGS__, NULL};                                   \
        check_namespaces(spec, names_);                                                            \
    } while (0)

static void namespaces(void **state)
{
    (void)state;
    NAMESPACES("{}", "a", "kube-system");
    NAMESPACES("{\"includedNamespaces\":[]}", "a");
    NAMESPACES("{\"includedNamespaces\":[\"*\"]}", "a", "b");
    NAMESPACES("{\"includedNamespaces\":[\"a\",\"b\"]}", "a", "b", "-c", "-ab", "-A");
    NAMESPACES("{\"excludedNamespaces\":[\"a\"]}", "-a", "b");
    NAMESPACES("{\"includedNamespaces\":[\"*\"],\"excludedNamespaces\":[\"kube-*\"]}", "a",
               "-kube-system", "-kube-", "kube");
    NAMESPACES("{\"includedNamespaces\":[\"web-?\",\"db[1-3]\",\"x*y\"]}", "web-1", "-web-12",
               "-web-", "db2", "-db4", "xy", "xaby", "-xabyz");
    NAMESPACES("{\"includedNamespaces\":[\"web\"],\"excludedNamespaces\":[\"w*\"]}", "-web", "-w");
}

static void named(void **state)
{
    (void)state;
    XB_CLEANUP(xb_filter_freep)
    struct xb_filter *mixed = make("{\"includedNamespaces\":[\"b*\",\"a\",\"c?\",\"d\"]}");
    assert_int_equal(xb_filter_named_count(mixed), 2);
    assert_string_equal(xb_filter_named(mixed, 0), "a");
    assert_string_equal(xb_filter_named(mixed, 1), "d");
    assert_null(xb_filter_named(mixed, 2));
    assert_false(xb_filter_only_named(mixed));
    assert_false(xb_filter_takes_all_namespaces(mixed));
    XB_CLEANUP(xb_filter_freep) struct xb_filter *one = make("{\"includedNamespaces\":[\"a\"]}");
    assert_true(xb_filter_only_named(one));
    assert_false(xb_filter_takes_all_namespaces(one));
    XB_CLEANUP(xb_filter_freep) struct xb_filter *all = make("{\"includedNamespaces\":[\"*\"]}");
    assert_false(xb_filter_only_named(all));
    assert_true(xb_filter_takes_all_namespaces(all));
    assert_int_equal(xb_filter_named_count(all), 0);
    XB_CLEANUP(xb_filter_freep) struct xb_filter *none = make("{}");
    assert_false(xb_filter_only_named(none));
    assert_true(xb_filter_takes_all_namespaces(none));
    XB_CLEANUP(xb_filter_freep) struct xb_filter *but = make("{\"excludedNamespaces\":[\"a\"]}");
    assert_false(xb_filter_takes_all_namespaces(but));
}

/* One line per spec: of pods, claims, deployments, volumes, roles those that are listed, and those
 * that may be dragged in. */
struct kinds_case {
    const char *spec, *listed, *related;
    size_t dropped; /* words that have no effect where they stand */
};

static void check_kinds(const struct kinds_case *cases, size_t count)
{
    static const struct xb_filter_kind *const kinds[] = {&pods,    &claims, &deployments,
                                                         &volumes, &roles,  &spaces};
    for (size_t i = 0; i < count; i++) {
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make(cases[i].spec);
        char listed[7] = "------", related[7] = "------";
        assert_int_equal(xb_filter_problem_count(filter), 0);
        PROBE_OK(xb_filter_resolve(filter, resolve, NULL, &err));
        for (size_t k = 0; k < 6; k++) {
            listed[k] = xb_filter_takes_kind(filter, kinds[k]) ? "pcdvrn"[k] : '-';
            related[k] = xb_filter_takes_related(filter, kinds[k]) ? "pcdvrn"[k] : '-';
        }
        if (xb_filter_problem_count(filter) != cases[i].dropped ||
            strcmp(listed, cases[i].listed) != 0 || strcmp(related, cases[i].related) != 0) {
            fail_msg("%s: listed %s, related %s (%zu problems)", cases[i].spec, listed, related,
                     xb_filter_problem_count(filter));
        }
    }
}

static void old_style(void **state)
{
    (void)state;
    static const struct kinds_case cases[] = {
        /* Cluster-scoped kinds by themselves only with every namespace, but always as related;
         * namespaces unless a list leaves them out. */
        {"{}", "pcdvrn", "pcdvrn", 0},
        {"{\"includedNamespaces\":[\"*\"]}", "pcdvrn", "pcdvrn", 0},
        {"{\"includedNamespaces\":[\"a\"]}", "pcd--n", "pcdvrn", 0},
        {"{\"excludedNamespaces\":[\"a\"]}", "pcd--n", "pcdvrn", 0},
        {"{\"includeClusterResources\":null,\"includedNamespaces\":[\"a\"]}", "pcd--n", "pcdvrn",
         0},
        {"{\"includeClusterResources\":false}", "pcd---", "pcd---", 0},
        {"{\"includeClusterResources\":true,\"includedNamespaces\":[\"a\"]}", "pcdvrn", "pcdvrn",
         0},
        {"{\"includedResources\":[\"*\"]}", "pcdvrn", "pcdvrn", 0},
        {"{\"includedResources\":[\"pods\"]}", "p-----", "p-----", 0},
        /* true: what is dragged in comes unless it is excluded */
        {"{\"includedResources\":[\"pods\"],\"includeClusterResources\":true}", "p-----", "p--vrn",
         0},
        {"{\"includedResources\":[\"pods\",\"pv\",\"persistentvolumes\"],"
         "\"includedNamespaces\":[\"a\"]}",
         "p-----", "p--v--", 0},
        {"{\"excludedResources\":[\"persistentvolumes\",\"po\"]}", "-cd-rn", "-cd-rn", 0},
        {"{\"excludedResources\":[\"persistentvolumes\"],\"includeClusterResources\":true}",
         "pcd-rn", "pcd-rn", 0},
        {"{\"includedResources\":[\"po\",\"deployments.apps\",\"ClusterRole\"]}", "p-d-r-",
         "p-d-r-", 0},
        /* Words that mean nothing include nothing; they are globs on what there is. */
        {"{\"includedResources\":[\"deploymentsapps\",\"pods.apps\",\"unknown\"]}", "------",
         "------", 0},
        {"{\"includedResources\":[\"*.apps\",\"p?ds\"]}", "p-d---", "p-d---", 0},
        {"{\"excludedResources\":[\"persistent*\",\"unknown\"]}", "p-d-rn", "p-d-rn", 0},
    };
    check_kinds(cases, sizeof cases / sizeof *cases);
}

/* A policy's lists: their words are resolved as the spec's are, and the spec's own have precedence,
 * whatever word each of them uses for a kind. */
static void combined(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *policy, *listed;
        size_t dropped;
    } cases[] = {
        {"{}", NULL, "pcdvrn", 0},
        {"{}", "{\"excludedNamespaceScopedResources\":[\"po\"]}", "-cd--n", 0},
        {"{}", "{\"includedNamespaceScopedResources\":[\"po\",\"deployments\"]}", "p-d--n", 0},
        {"{}", "{\"excludedClusterScopedResources\":[\"pv\"]}", "pcd--n", 0},
        {"{}", "{\"includedClusterScopedResources\":[\"ClusterRole\"]}", "pcd-rn", 0},
        {"{\"includedNamespaceScopedResources\":[\"pods\"]}",
         "{\"excludedNamespaceScopedResources\":[\"po\"]}", "p----n", 0},
        {"{\"excludedNamespaceScopedResources\":[\"po\"]}",
         "{\"includedNamespaceScopedResources\":[\"pods\",\"persistentvolumeclaims\"]}", "-c---n",
         0},
        {"{\"includedNamespaceScopedResources\":[\"p*\"]}",
         "{\"excludedNamespaceScopedResources\":[\"po\",\"deployments\"]}", "pc---n", 0},
        {"{\"includedClusterScopedResources\":[\"*\"]}",
         "{\"excludedClusterScopedResources\":[\"pv\"]}", "pcdvrn", 0},
        /* In both lists of the policy, by two words: left out. */
        {"{\"includedNamespaceScopedResources\":[\"deployments\"]}",
         "{\"includedNamespaceScopedResources\":[\"pods\"],"
         "\"excludedNamespaceScopedResources\":[\"po\"]}",
         "--d--n", 0},
        /* Of the other scope: no effect, and told. */
        {"{}", "{\"excludedNamespaceScopedResources\":[\"pv\"]}", "pcdvrn", 1},
    };
    static const struct xb_filter_kind *const kinds[] = {&pods,    &claims, &deployments,
                                                         &volumes, &roles,  &spaces};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make(cases[i].spec);
        XB_CLEANUP(xb_json_putp)
        xb_json *policy = cases[i].policy ? probe_json(cases[i].policy) : NULL;
        char listed[7] = "------";
        PROBE_OK(xb_filter_combine(filter, policy, &err));
        assert_int_equal(xb_filter_problem_count(filter), 0);
        PROBE_OK(xb_filter_resolve(filter, resolve, NULL, &err));
        for (size_t k = 0; k < 6; k++) {
            listed[k] = xb_filter_takes_kind(filter, kinds[k]) ? "pcdvrn"[k] : '-';
        }
        if (strcmp(listed, cases[i].listed) != 0 ||
            xb_filter_problem_count(filter) != cases[i].dropped) {
            fail_msg("%s with %s: %s", cases[i].spec, cases[i].policy, listed);
        }
    }
}

static void policy_words(void **state)
{
    (void)state;
    static const char *const bad[] = {"\"\"", "\"a/b\"",     "\"../x\"",
                                      "null", "\"pods po\"", "\"[\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"excludedClusterScopedResources\":[%s]}", bad[i]);
        XB_CLEANUP(xb_json_putp) xb_json *policy = probe_json(text);
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make("{}");
        PROBE_OK(xb_filter_combine(filter, policy, &err));
        assert_int_equal(xb_filter_problem_count(filter), 1);
        assert_non_null(strstr(xb_filter_problem(filter, 0),
                               "includeExcludePolicy.excludedClusterScopedResources: "));
    }
}

static void new_style(void **state)
{
    (void)state;
    static const struct kinds_case cases[] = {
        {"{\"includedNamespaceScopedResources\":[\"*\"]}", "pcdvrn", "pcdvrn", 0},
        {"{\"includedNamespaceScopedResources\":[\"*\"],\"includedNamespaces\":[\"a\"]}", "pcd--n",
         "pcdvrn", 0},
        {"{\"includedNamespaceScopedResources\":[\"pods\"]}", "p----n", "p--vrn", 0},
        {"{\"excludedNamespaceScopedResources\":[\"pods\"]}", "-cd--n", "-cdvrn", 0},
        {"{\"excludedNamespaceScopedResources\":[\"*\"]}", "-----n", "---vrn", 0},
        {"{\"includedClusterScopedResources\":[\"clusterroles\"]}", "pcd-rn", "pcdvrn", 0},
        {"{\"includedClusterScopedResources\":[\"*\"],\"includedNamespaces\":[\"a\"]}", "pcdvrn",
         "pcdvrn", 0},
        {"{\"excludedClusterScopedResources\":[\"clusterroles\"]}", "pcd--n", "pcdv-n", 0},
        {"{\"excludedClusterScopedResources\":[\"*\"]}", "pcd---", "pcd---", 0},
        {"{\"excludedClusterScopedResources\":[\"namespaces\"]}", "pcd---", "pcdvr-", 0},
        /* Words of the other scope have no effect, and are told. */
        {"{\"includedNamespaceScopedResources\":[\"pods\",\"pv\"]}", "p----n", "p--vrn", 1},
        {"{\"includedNamespaceScopedResources\":[\"pv\"]}", "pcdvrn", "pcdvrn", 1},
        {"{\"excludedClusterScopedResources\":[\"pods\",\"clusterroles\"]}", "pcd--n", "pcdv-n", 1},
    };
    check_kinds(cases, sizeof cases / sizeof *cases);
}

/* Problems: each spec has at least one, with the word in it. */
static void problems(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *word;
    } bad[] = {
        {"{\"includedNamespaces\":[\"*\",\"a\"]}", "includedNamespaces"},
        {"{\"includedNamespaces\":[\"a\",\"*\"]}", "includedNamespaces"},
        {"{\"excludedNamespaces\":[\"*\"]}", "excludedNamespaces"},
        {"{\"includedNamespaces\":[\"a\"],\"excludedNamespaces\":[\"b\",\"a\"]}", "a is in both"},
        {"{\"includedResources\":[\"*\",\"pods\"]}", "includedResources"},
        {"{\"excludedResources\":[\"*\"]}", "excludedResources"},
        {"{\"includedResources\":[\"pods\"],\"excludedResources\":[\"pods\"]}", "pods is in both"},
        {"{\"includedClusterScopedResources\":[\"*\",\"x\"]}", "includedClusterScopedResources"},
        {"{\"excludedClusterScopedResources\":[\"*\",\"x\"]}", "excludedClusterScopedResources"},
        {"{\"excludedNamespaceScopedResources\":[\"*\"],"
         "\"includedNamespaceScopedResources\":[\"x\"]}",
         "includedNamespaceScopedResources"},
        {"{\"includedResources\":[\"pods\"],\"includedClusterScopedResources\":[\"x\"]}", "old"},
        {"{\"includeClusterResources\":false,\"excludedNamespaceScopedResources\":[\"x\"]}", "old"},
        {"{\"labelSelector\":{},\"orLabelSelectors\":[]}", "orLabelSelectors"},
        {"{\"includedNamespaces\":[\"a[\"]}", "a["},
        {"{\"includedNamespaces\":[\"a]\"]}", "a]"},
        {"{\"includedNamespaces\":[\"[]\"]}", "[]"},
        {"{\"includedNamespaces\":[\"**\"]}", "**"},
        {"{\"includedNamespaces\":[\"{a,b}\"]}", "{a,b}"},
        {"{\"excludedNamespaces\":[\"[!a]\"]}", "[!a]"},
        {"{\"excludedNamespaces\":[\"a/b\"]}", "a/b"},
        {"{\"excludedNamespaces\":[\"a\\\\*\"]}", "a\\*"},
        {"{\"excludedNamespaces\":[\"Web\"]}", "Web"},
        {"{\"excludedNamespaces\":[\"-a\"]}", "-a"},
        {"{\"excludedNamespaces\":[\"a-\"]}", "a-"},
        {"{\"includedNamespaces\":\"a\"}", "spec.includedNamespaces"},
        {"{\"includedNamespaces\":{\"a\":1}}", "spec.includedNamespaces"},
        {"{\"includedNamespaces\":[\"a\",7]}", "spec.includedNamespaces[1]"},
        {"{\"includedResources\":[null]}", "spec.includedResources[0]"},
        {"{\"includedResources\":[[\"pods\"]]}", "spec.includedResources[0]"},
        {"{\"includedResources\":[\"pods/log\"]}", "spec.includedResources"},
        {"{\"includedResources\":[\"../pods\"]}", "spec.includedResources"},
        {"{\"excludedResources\":[\"\"]}", "spec.excludedResources"},
        {"{\"excludedResources\":[\"pods\\u0000x\"]}", "spec.excludedResources[0]"},
        {"{\"includedClusterScopedResources\":true}", "spec.includedClusterScopedResources"},
        {"{\"includeClusterResources\":\"true\"}", "spec.includeClusterResources"},
        {"{\"labelSelector\":\"a=b\"}", "spec.labelSelector"},
        {"{\"labelSelector\":{\"matchLabel\":{\"a\":\"b\"}}}", "matchLabel"},
        {"{\"labelSelector\":{\"matchLabels\":[\"a\"]}}", "spec.labelSelector.matchLabels"},
        {"{\"labelSelector\":{\"matchLabels\":{\"a\":1}}}", "'a'"},
        {"{\"labelSelector\":{\"matchLabels\":{\"a/b/c\":\"x\"}}}", "a/b/c"},
        {"{\"labelSelector\":{\"matchLabels\":{\"a\":\"x y\"}}}", "'a'"},
        {"{\"labelSelector\":{\"matchExpressions\":{}}}", "matchExpressions"},
        {"{\"labelSelector\":{\"matchExpressions\":[7]}}", "matchExpressions[0]"},
        {"{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\"}]}}",
         "operator"},
        {"{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}}",
         "values"},
        {"{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"\",\"operator\":\"Exists\"}]}}",
         "key"},
        {"{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\","
         "\"values\":[\"x\"]}]}}",
         "values"},
        {"{\"labelSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\","
         "\"value\":\"x\"}]}}",
         "unknown field"},
        {"{\"orLabelSelectors\":{}}", "spec.orLabelSelectors"},
        {"{\"orLabelSelectors\":[{},3]}", "spec.orLabelSelectors[1]"},
        {"{\"orderedResources\":[\"pods\"]}", "spec.orderedResources"},
        {"{\"orderedResources\":{\"pods\":[\"a/b\"]}}", "spec.orderedResources.pods"},
        {"{\"orderedResources\":{\"pods\":\"a/b,a/b/c\"}}", "'a/b/c'"},
        {"{\"orderedResources\":{\"pods\":\"/b\"}}", "'/b'"},
        {"{\"orderedResources\":{\"pods\":\"a/..\"}}", "'a/..'"},
        {"[]", "spec"},
        {"\"spec\"", "spec"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make(bad[i].spec);
        if (xb_filter_problem_count(filter) == 0 ||
            !strstr(xb_filter_problem(filter, 0), bad[i].word)) {
            fail_msg("%s: %s", bad[i].spec,
                     xb_filter_problem_count(filter) ? xb_filter_problem(filter, 0) : "taken");
        }
    }
}

/* Their number has an end, however many rules are broken. */
static void many_problems(void **state)
{
    (void)state;
    xb_json *names = json_object_new_array();
    XB_CLEANUP(xb_json_putp) xb_json *spec = json_object_new_object();
    for (int i = 0; i < 1000; i++) {
        json_object_array_add(names, json_object_new_string("**"));
    }
    json_object_object_add(spec, "excludedNamespaces", names);
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    PROBE_OK(xb_filter_new(spec, &filter, &err));
    assert_int_equal(xb_filter_problem_count(filter), XB_FILTER_PROBLEMS_MAX);
    XB_CLEANUP(xb_filter_freep) struct xb_filter *none = NULL;
    PROBE_OK(xb_filter_new(NULL, &none, &err));
    assert_int_equal(xb_filter_problem_count(none), 0);
    assert_true(xb_filter_takes_kind(none, &roles));
    xb_filter_free(NULL);
}

static void check_object(const char *spec, const char *labels, bool taken)
{
    char text[500];
    snprintf(text, sizeof text, "{\"metadata\":{\"name\":\"n\",\"labels\":%s}}", labels);
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = make(spec);
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json(text);
    if (xb_filter_takes_object(filter, object) != taken) {
        fail_msg("%s with %s", spec, labels);
    }
}

static void labels(void **state)
{
    (void)state;
    static const char both[] = "{\"orLabelSelectors\":[{\"matchLabels\":{\"a\":\"1\"}},"
                               "{\"matchLabels\":{\"b\":\"2\"}}]}";
    static const char one[] = "{\"labelSelector\":{\"matchLabels\":{\"a\":\"1\",\"b\":\"2\"}}}";
    static const char excluded[] = "{\"velero.io/exclude-from-backup\":\"true\",\"a\":\"1\","
                                   "\"b\":\"2\"}";
    check_object("{}", "null", true);
    check_object("{}", excluded, false);
    check_object("{}", "{\"velero.io/exclude-from-backup\":\"false\"}", true);
    check_object("{}", "{\"velero.io/exclude-from-backup\":true}", true);
    check_object(one, "{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}", true);
    check_object(one, "{\"a\":\"1\",\"b\":\"3\"}", false);
    check_object(one, "{\"a\":\"1\"}", false);
    check_object(one, "null", false);
    check_object(one, "\"a=1\"", false);
    check_object(one, excluded, false);
    check_object(both, "{\"b\":\"2\"}", true);
    check_object(both, "{\"a\":\"1\"}", true);
    check_object(both, "{\"a\":\"2\",\"b\":\"1\"}", false);
    check_object("{\"orLabelSelectors\":[]}", "null", true);
    check_object("{\"labelSelector\":{}}", "null", true);
    XB_CLEANUP(xb_json_putp)
    xb_json *object = probe_json("{\"metadata\":{\"labels\":{\"velero.io/exclude-from-backup\":"
                                 "\"true\"}}}");
    assert_true(xb_filter_excluded_by_label(object));
    assert_false(xb_filter_excluded_by_label(NULL));
}

/* matchExpressions as Kubernetes defines them; what it does not know matches nothing. */
static void expressions(void **state)
{
    (void)state;
    static const struct {
        const char *selector, *labels;
        bool matches;
    } cases[] = {
        {"{}", "{}", true},
        {"{}", "null", true},
        {"{\"matchExpressions\":[]}", "{}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{\"a\":\"\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}", "{}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}", "{\"a\":\"x\"}",
         false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\",\"y\"]}]}",
         "{\"a\":\"y\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\",\"y\"]}]}",
         "{\"a\":\"z\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\"]}]}", "{}",
         false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}", "{\"a\":\"x\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"x\"]}]}", "{}",
         true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"x\"]}]}",
         "{\"a\":\"x\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Gt\",\"values\":[\"1\"]}]}",
         "{\"a\":\"2\"}", false},
        {"{\"matchExpressions\":[7]}", "{\"a\":\"2\"}", false},
        {"{\"matchLabels\":{\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"b\",\"operator\":"
         "\"Exists\"}]}",
         "{\"a\":\"1\"}", false},
        {"{\"matchLabels\":{\"a.b/c\":\"1\"}}", "{\"a.b/c\":\"1\"}", true},
        {"{\"matchLabels\":{\"a\":null}}", "{\"a\":\"1\"}", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *selector = probe_json(cases[i].selector);
        XB_CLEANUP(xb_json_putp) xb_json *have = probe_json(cases[i].labels);
        if (xb_selector_matches(selector, have) != cases[i].matches) {
            fail_msg("%s with %s", cases[i].selector, cases[i].labels);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(namespaces), cmocka_unit_test(named),
        cmocka_unit_test(old_style),  cmocka_unit_test(new_style),
        cmocka_unit_test(combined),   cmocka_unit_test(policy_words),
        cmocka_unit_test(problems),   cmocka_unit_test(many_problems),
        cmocka_unit_test(labels),     cmocka_unit_test(expressions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
