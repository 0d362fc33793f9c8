/* SPDX-License-Identifier: Apache-2.0
 *
 * Which nodes a volume's affinity means.
 */
#include "tests/harness/probe.h"

#include "shared/kube/selector.h"

static bool matches(const char *terms)
{
    char text[1000];
    snprintf(text, sizeof text, "{\"nodeSelectorTerms\":%s}", terms);
    XB_CLEANUP(xb_json_putp) xb_json *selector = probe_json(text);
    XB_CLEANUP(xb_json_putp)
    xb_json *node =
        probe_json("{\"metadata\":{\"name\":\"node1\",\"labels\":{"
                   "\"kubernetes.io/hostname\":\"one\",\"disks\":\"12\",\"odd\":\"12x\"}}}");
    return xb_node_selector_matches(selector, node);
}

#define HOST(op, values)                                                                           \
    "{\"key\":\"kubernetes.io/hostname\",\"operator\":\"" op "\",\"values\":" values "}"
#define DISKS(op, values) "{\"key\":\"disks\",\"operator\":\"" op "\",\"values\":" values "}"
#define EXPRESSIONS(list) "[{\"matchExpressions\":[" list "]}]"
#define FIELD(key, value)                                                                          \
    "[{\"matchFields\":[{\"key\":\"" key "\",\"operator\":\"In\",\"values\":[\"" value "\"]}]}]"

static void nodes(void **state)
{
    (void)state;
    static const char *const yes[] = {
        EXPRESSIONS(HOST("In", "[\"two\",\"one\"]")),
        EXPRESSIONS(HOST("NotIn", "[\"two\"]")),
        EXPRESSIONS(HOST("Exists", "[]")),
        EXPRESSIONS(HOST("In", "[\"one\"]") "," DISKS("Gt", "[\"11\"]")),
        EXPRESSIONS(DISKS("Lt", "[\"13\"]")),
        FIELD("metadata.name", "node1"),
        "[{},{\"matchExpressions\":[" HOST("In", "[\"one\"]") "]}]",
    };
    static const char *const no[] = {
        "[]",
        "7",
        "[{}]",
        "[{\"matchExpressions\":[]}]",
        EXPRESSIONS(HOST("In", "[\"two\"]")),
        EXPRESSIONS(HOST("In", "[]")),
        EXPRESSIONS(HOST("in", "[\"one\"]")),
        EXPRESSIONS(HOST("DoesNotExist", "[]")),
        EXPRESSIONS(HOST("In", "[\"one\"]") "," DISKS("Gt", "[\"12\"]")),
        EXPRESSIONS(DISKS("Gt", "[\"1\",\"2\"]")),
        EXPRESSIONS(DISKS("Gt", "[\"x\"]")),
        EXPRESSIONS("{\"key\":\"odd\",\"operator\":\"Gt\",\"values\":[\"1\"]}"),
        EXPRESSIONS("{\"key\":\"none\",\"operator\":\"Lt\",\"values\":[\"1\"]}"),
        FIELD("metadata.name", "node2"),
        FIELD("metadata.uid", "node1"),
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        assert_true(matches(yes[i]));
    }
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        assert_false(matches(no[i]));
    }
    assert_false(xb_node_selector_matches(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
