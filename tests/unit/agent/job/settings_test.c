/* SPDX-License-Identifier: Apache-2.0
 *
 * The node agents' settings: which number counts on which node, and what is said of the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/job/settings.h"

static const char labels_text[] = "{\"disk\":\"ssd\",\"zone\":\"a\"}";

static int parse(const char *text, bool labels, struct xb_agent_settings *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *own = NULL;
    if (labels) {
        assert_int_equal(xb_json_parse(labels_text, strlen(labels_text), &own, err), 0);
    }
    return xb_agent_settings_parse(text, strlen(text), own, ret, err);
}

static void numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned number;
        bool cut;
    } cases[] = {
        {"{}", 0, false},
        {"{\"loadConcurrency\":{}}", 0, false},
        {"{\"loadConcurrency\":null}", 0, false},
        {"{\"loadConcurrency\":{\"globalConfig\":3}}", 3, false},
        {"{\"loadConcurrency\":{\"globalConfig\":-3}}", 0, false},
        {"{\"loadConcurrency\":{\"globalConfig\":8}}", 8, false},
        {"{\"loadConcurrency\":{\"globalConfig\":9}}", 8, true},
        {"{\"loadConcurrency\":{\"globalConfig\":9007199254740991}}", 8, true},
        {"{\"loadConcurrency\":{\"globalConfig\":3,\"perNodeConfig\":[{\"nodeSelector\":{"
         "\"matchLabels\":{\"disk\":\"ssd\"}},\"number\":5}]}}",
         5, false},
        {"{\"loadConcurrency\":{\"globalConfig\":3,\"perNodeConfig\":[{\"nodeSelector\":{"
         "\"matchLabels\":{\"disk\":\"hdd\"}},\"number\":5}]}}",
         3, false},
        {"{\"loadConcurrency\":{\"perNodeConfig\":[{\"nodeSelector\":{\"matchLabels\":{\"disk\":"
         "\"ssd\"}},\"number\":5},{\"nodeSelector\":{\"matchExpressions\":[{\"key\":\"zone\","
         "\"operator\":\"In\",\"values\":[\"a\",\"b\"]}]},\"number\":2},{\"nodeSelector\":{},"
         "\"number\":0}]}}",
         2, false},
        {"{\"loadConcurrency\":{\"globalConfig\":3,\"perNodeConfig\":[{\"nodeSelector\":{"
         "\"matchExpressions\":[{\"key\":\"zone\",\"operator\":\"Near\"}]},\"number\":1}]}}",
         3, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_agent_settings got;
        assert_int_equal(parse(cases[i].text, true, &got, &err), 0);
        if (got.volumes_at_once != cases[i].number || got.cut != cases[i].cut) {
            fail_msg("%s: %u", cases[i].text, got.volumes_at_once);
        }
        assert_string_equal(got.unneeded, "");
    }
}

static void no_labels(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_agent_settings got;
    assert_int_equal(parse("{\"loadConcurrency\":{\"globalConfig\":3,\"perNodeConfig\":[{"
                           "\"nodeSelector\":{\"matchLabels\":{\"disk\":\"ssd\"}},\"number\":5}]}}",
                           false, &got, &err),
                     0);
    assert_int_equal(got.volumes_at_once, 3);
}

static void the_rest(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_agent_settings got;
    assert_int_equal(parse("{\"podResources\":{\"cpuLimit\":\"2\"},\"loadConcurrency\":{"
                           "\"prepareQueueLength\":10,\"more\":1},\"loadAfinity\":[],"
                           "\"privilegedFsBackup\":true}",
                           true, &got, &err),
                     0);
    assert_string_equal(got.unneeded,
                        "podResources, privilegedFsBackup, loadConcurrency.prepareQueueLength");
    assert_string_equal(got.unknown, "loadAfinity");
    char many[20000] = "{";
    for (int i = 0; i < 900; i++) {
        size_t len = strlen(many);
        snprintf(many + len, sizeof many - len, "%s\"key-of-nobody-%d\":1", i ? "," : "", i);
    }
    size_t end = strlen(many);
    snprintf(many + end, sizeof many - end, "}");
    assert_int_equal(parse(many, true, &got, &err), 0);
    assert_true(strlen(got.unknown) < sizeof got.unknown);
}

static void refused(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"{", ""},
        {"[]", "object"},
        {"{\"loadConcurrency\":3}", "loadConcurrency"},
        {"{\"loadConcurrency\":{\"globalConfig\":\"3\"}}", "globalConfig"},
        {"{\"loadConcurrency\":{\"prepareQueueLength\":[]}}", "prepareQueueLength"},
        {"{\"loadConcurrency\":{\"perNodeConfig\":{}}}", "perNodeConfig"},
        {"{\"loadConcurrency\":{\"perNodeConfig\":[3]}}", "perNodeConfig"},
        {"{\"loadConcurrency\":{\"perNodeConfig\":[{\"nodeSelector\":\"a=b\"}]}}", "nodeSelector"},
        {"{\"loadConcurrency\":{\"perNodeConfig\":[{\"number\":\"4\"}]}}", "number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_agent_settings got;
        if (parse(cases[i][0], true, &got, &err) == 0 || !strstr(err.text, cases[i][1])) {
            fail_msg("%s: %s", cases[i][0], err.text);
        }
    }
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(xb_agent_at_once_default(1), 2);
    assert_int_equal(xb_agent_at_once_default(3), 3);
    assert_int_equal(xb_agent_at_once_default(64), 4);
}

/* Methods are kept as they are said; what is no text, or endless, is refused by name. */
static void methods(void **state)
{
    struct xb_agent_settings got;
    struct xb_error err = XB_ERROR_INIT;
    char text[200];
    (void)state;
    assert_int_equal(parse("{\"pointInTime\":\"btrfs,live\"}", false, &got, &err), 0);
    assert_string_equal(got.point_in_time, "btrfs,live");
    assert_string_equal(got.unknown, "");
    assert_int_equal(parse("{}", false, &got, &err), 0);
    assert_string_equal(got.point_in_time, "");
    assert_true(parse("{\"pointInTime\":[\"live\"]}", false, &got, &err) < 0);
    assert_non_null(strstr(err.text, "pointInTime"));
    snprintf(text, sizeof text, "{\"pointInTime\":\"%0*d\"}", XB_SETTINGS_METHODS_BYTES, 0);
    err = (struct xb_error)XB_ERROR_INIT;
    assert_true(parse(text, false, &got, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),  cmocka_unit_test(methods), cmocka_unit_test(no_labels),
        cmocka_unit_test(the_rest), cmocka_unit_test(refused), cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
