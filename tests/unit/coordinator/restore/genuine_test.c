/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile records: an object that says another kind, namespace or name of itself than its folder
 * does is refused, with what contradicts what.
 */
#include "tests/harness/probe.h"

#include "coordinator/restore/genuine.h"

static void places(void **state)
{
    (void)state;
    static const struct {
        const char *object, *problem; /* NULL: it is the one */
        struct xb_restore_place place;
    } all[] = {
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\",\"namespace\":"
         "\"web\"}}",
         NULL,
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"apps/v1beta1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":\"web\"}}",
         NULL,
         {"apps", "Deployment", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"a\"}}",
         NULL,
         {"", "PersistentVolume", "", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\",\"namespace\":"
         "\"kube-system\"}}",
         "metadata.namespace is 'kube-system'",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}",
         "metadata.namespace is ''",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":\"web\"}}",
         "metadata.namespace is 'web'",
         {"", "PersistentVolume", "", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":7}}",
         "metadata.namespace",
         {"", "PersistentVolume", "", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"admin\","
         "\"namespace\":\"web\"}}",
         "metadata.name is 'admin'",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\\u0000b\","
         "\"namespace\":\"web\"}}",
         "metadata.name",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\",\"namespace\":"
         "\"web\"}}",
         "kind is 'Pod'",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"apps/v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":\"web\"}}",
         "apiVersion is 'apps/v1'",
         {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":\"web\"}}",
         "apiVersion is 'v1'",
         {"apps", "Deployment", "web", "a"}},
        {"{\"apiVersion\":\"appsx/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\","
         "\"namespace\":\"web\"}}",
         "apiVersion is 'appsx/v1'",
         {"apps", "Deployment", "web", "a"}},
        {"[]", "not a JSON object", {"", "Secret", "web", "a"}},
        {"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":[]}",
         "metadata.name",
         {"", "Secret", "web", "a"}},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *object = probe_json(all[i].object);
        struct xb_error err = XB_ERROR_INIT;
        int r = xb_restore_check_place(object, &all[i].place, &err);
        if (!all[i].problem) {
            assert_int_equal(r, 0);
            continue;
        }
        assert_true(r < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        if (!strstr(err.text, all[i].problem)) {
            fail_msg("%s: %s", all[i].object, err.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
