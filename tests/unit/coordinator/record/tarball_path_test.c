/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/tarball.h"
#include "tests/harness/probe.h"

static void paths(void **state)
{
    (void)state;
    static const struct {
        const char *path, *resource, *version, *namespace, *name;
        enum xb_tarball_copy copy;
    } items[] = {
        {"resources/pods/namespaces/web/api.json", "pods", "", "web", "api", XB_TARBALL_PLAIN},
        {"resources/pods/v1-preferredversion/namespaces/web/api.json", "pods", "v1", "web", "api",
         XB_TARBALL_PREFERRED_VERSION},
        {"./resources/pods/namespaces/web/a.b.json", "pods", "", "web", "a.b", XB_TARBALL_PLAIN},
        {"resources/nodes/cluster/n.json", "nodes", "", "", "n", XB_TARBALL_PLAIN},
        {"resources/a.b.c/v1beta1-preferredversion/cluster/n.json", "a.b.c", "v1beta1", "", "n",
         XB_TARBALL_PREFERRED_VERSION},
        {"resources/namespaces/cluster/cluster.json", "namespaces", "", "", "cluster",
         XB_TARBALL_PLAIN},
        {"resources/pods/namespaces/namespaces/x.json", "pods", "", "namespaces", "x",
         XB_TARBALL_PLAIN},
        {"resources/pods/cluster/x.json.json", "pods", "", "", "x.json", XB_TARBALL_PLAIN},
        {"resources/pods/v1/namespaces/web/api.json", "pods", "v1", "web", "api",
         XB_TARBALL_OTHER_VERSION},
    };
    static const char *const others[] = {"metadata/version",
                                         "resources",
                                         "resources/pods/x",
                                         "resources/pods/namespaces/web/api.yaml",
                                         "resources/pods/namespaces/web/.json",
                                         "resources/pods/namespaces/web",
                                         "resources/pods/namespaces/web/a/b.json",
                                         "resources/pods/cluster/a/b.json",
                                         "resources/pods/-preferredversion/cluster/a.json",
                                         "resources/pods/v1-preferredversion/elsewhere/a.json",
                                         "somewhere/else"};
    static const char *const corrupt[] = {
        "",
        "/",
        "/etc/passwd",
        "../x",
        "resources/../../x.json",
        "resources/pods/namespaces/../x.json",
        "resources//pods/cluster/a.json",
        "resources/pods/cluster/..json",
        "resources/pods/namespaces/a/...json",
        "resources/pods/..-preferredversion/cluster/a.json",
        "resources/pods/cluster/",
        "././resources/pods/cluster/a.json",
        "resources/pods/v1-preferredversion/namespaces/a/b/c.json"};
    char space[XB_TARBALL_PATH_BYTES_MAX + 1];
    struct xb_tarball_item item;
    enum xb_tarball_copy copy = XB_TARBALL_NO_ITEM;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        PROBE_OK(xb_tarball_parse_path(items[i].path, space, &item, &copy, &err));
        assert_string_equal(item.resource, items[i].resource);
        assert_string_equal(item.version, items[i].version);
        assert_string_equal(item.namespace, items[i].namespace);
        assert_string_equal(item.name, items[i].name);
        assert_int_equal(copy, items[i].copy);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        copy = XB_TARBALL_PLAIN;
        PROBE_OK(xb_tarball_parse_path(others[i], space, &item, &copy, &err));
        if (copy != XB_TARBALL_NO_ITEM) {
            print_error("%s\n", others[i]);
        }
        assert_int_equal(copy, XB_TARBALL_NO_ITEM);
    }
    for (size_t i = 0; i < sizeof corrupt / sizeof *corrupt; i++) {
        PROBE_REFUSED(xb_tarball_parse_path(corrupt[i], space, &item, &copy, &err), XB_ERR_CORRUPT);
    }
    char longest[XB_TARBALL_PATH_BYTES_MAX + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    PROBE_REFUSED(xb_tarball_parse_path(longest, space, &item, &copy, &err), XB_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
