/* SPDX-License-Identifier: Apache-2.0
 *
 * Other nodes: which places in which kinds, and what is bound to nodes that are not here.
 */
#include "coordinator/restore/nodes.h"
#include "tests/harness/probe.h"

struct told {
    char mapped[300], lost[300];
};

static void add(char text[300], const char *word, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, 300 - used, "%s%s%s;", word, more[0] ? ">" : "", more);
}

static void on_mapped(void *context, const char *from, const char *to)
{
    add(((struct told *)context)->mapped, from, to);
}

static void on_lost(void *context, const char *names)
{
    add(((struct told *)context)->lost, names, "");
}

#define NAMES "{\"node1\":\"alpha\",\"node3\":\"gone\",\"empty\":\"\",\"odd\":7}"
#define THERE "{\"alpha\":true,\"beta\":true}"

struct expected {
    const char *object, *mapped, *lost;
};

static void becomes_with(const char *there, const char *resource, const char *object,
                         const struct expected *expected)
{
    struct told told = {"", ""};
    XB_CLEANUP(xb_json_putp) xb_json *names = probe_json(NAMES);
    XB_CLEANUP(xb_json_putp) xb_json *here = there ? probe_json(there) : NULL;
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(object);
    const struct xb_node_map map = {names, here, on_mapped, on_lost, &told};
    PROBE_OK(xb_restore_map_nodes(&map, resource, json, &err));
    probe_json_is(json, expected->object ? expected->object : object);
    assert_string_equal(told.mapped, expected->mapped);
    assert_string_equal(told.lost, expected->lost);
}

static void becomes(const char *resource, const char *object, const char *changed,
                    const char *mapped, const char *lost)
{
    const struct expected expected = {changed, mapped, lost};
    becomes_with(THERE, resource, object, &expected);
}

#define TERM(operator, values)                                                                     \
    "{\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"node1\"]},"        \
    "{\"key\":\"kubernetes.io/hostname\",\"operator\":\""                                          \
    operator"\",\"values\":[" values "]}]}"
#define TERMS(terms) "{\"nodeSelectorTerms\":[" terms "]}"
#define VOLUME(terms) "{\"spec\":{\"nodeAffinity\":{\"required\":" TERMS(terms) "}}}"

static void volumes(void **state)
{
    (void)state;
    const char *kind = "persistentvolumes";
    becomes(kind, VOLUME(TERM("In", "\"node1\"")), VOLUME(TERM("In", "\"alpha\"")), "node1>alpha;",
            "");
    becomes(kind, VOLUME(TERM("In", "\"beta\"")), NULL, "", "");
    becomes(kind, VOLUME(TERM("In", "\"node2\"")), NULL, "", "node2;");
    becomes(kind, VOLUME(TERM("In", "\"node2\",\"empty\",\"odd\"")), NULL, "",
            "node2, empty, odd;");
    becomes(kind, VOLUME(TERM("In", "\"node2\",\"beta\"")), NULL, "", "");
    becomes(kind, VOLUME(TERM("In", "\"node3\"")), VOLUME(TERM("In", "\"gone\"")), "node3>gone;",
            "gone;");
    becomes(kind, VOLUME(TERM("NotIn", "\"node1\",\"node2\"")),
            VOLUME(TERM("NotIn", "\"alpha\",\"node2\"")), "node1>alpha;", "");
    becomes(kind, VOLUME(TERM("In", "\"node2\"") "," TERM("In", "\"beta\"")), NULL, "", "");
    becomes(kind, VOLUME(TERM("In", "\"node2\"") "," TERM("In", "\"node4\"")), NULL, "",
            "node2, node4;");
    becomes("configmaps", VOLUME(TERM("In", "\"node1\"")), NULL, "", "");
    becomes(kind, "{\"spec\":{\"nodeAffinity\":7}}", NULL, "", "");
    becomes(kind, VOLUME("1,{\"matchExpressions\":7}"), NULL, "", "");
}

static void nothing_is_lost_where_nodes_are_not_known(void **state)
{
    (void)state;
    const struct expected expected = {NULL, "", ""};
    becomes_with(NULL, "persistentvolumes", VOLUME(TERM("In", "\"node2\"")), &expected);
}

#define SELECTOR(name) "{\"nodeSelector\":{\"kubernetes.io/hostname\":" name ",\"disk\":\"node1\"}}"

static void pods(void **state)
{
    (void)state;
    becomes("pods", "{\"spec\":" SELECTOR("\"node1\"") "}", "{\"spec\":" SELECTOR("\"alpha\"") "}",
            "node1>alpha;", "");
    becomes("pods", "{\"spec\":" SELECTOR("\"node2\"") "}", NULL, "", "node2;");
    becomes("pods", "{\"spec\":" SELECTOR("7") "}", NULL, "", "");
    becomes("deployments.apps", "{\"spec\":{\"template\":{\"spec\":" SELECTOR("\"node1\"") "}}}",
            "{\"spec\":{\"template\":{\"spec\":" SELECTOR("\"alpha\"") "}}}", "node1>alpha;", "");
    becomes(
        "pods",
        "{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
        "\"requiredDuringSchedulingIgnoredDuringExecution\":" TERMS(
            "{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":["
            "\"node1\"]}]}") ",\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
                             "\"preference\":" TERM("In", "\"node1\"") "},{\"preference\":" TERM(
                                 "In", "\"node2\"") "}]}}}}",
        "{\"spec\":{\"affinity\":{\"nodeAffinity\":{"
        "\"requiredDuringSchedulingIgnoredDuringExecution\":" TERMS(
            "{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":["
            "\"alpha\"]}]}") ",\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
                             "\"preference\":" TERM("In", "\"alpha\"") "},{\"preference\":" TERM(
                                 "In", "\"node2\"") "}]}}}}",
        "node1>alpha;node1>alpha;", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(volumes),
        cmocka_unit_test(nothing_is_lost_where_nodes_are_not_known),
        cmocka_unit_test(pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
