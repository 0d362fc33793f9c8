/* SPDX-License-Identifier: Apache-2.0
 *
 * Hostile records: an object that says another kind, namespace or name of itself than its folder
 * does is refused, with what contradicts what.
 */
#include "tests/harness/probe.h"

#include "coordinator/restore/genuine.h"

/* A place, and an object that lies there. */
#define SECRET                                                                                     \
    {                                                                                              \
        "", "Secret", "web", "a"                                                                   \
    }
#define VOLUME                                                                                     \
    {                                                                                              \
        "", "PersistentVolume", "", "a"                                                            \
    }
#define DEPLOYMENT                                                                                 \
    {                                                                                              \
        "apps", "Deployment", "web", "a"                                                           \
    }
#define SAYS(version, kind, metadata)                                                              \
    "{\"apiVersion\":\"" version "\",\"kind\":\"" kind "\",\"metadata\":" metadata "}"
#define IN(namespace, name) "{\"name\":\"" name "\",\"namespace\":\"" namespace "\"}"

struct claim {
    const char *object;
    struct xb_restore_place place;
    const char *problem; /* NULL: it is the one */
};

static void check(const struct claim *claims, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *object = probe_json(claims[i].object);
        if (!claims[i].problem) {
            PROBE_OK(xb_restore_check_place(object, &claims[i].place, &err));
            continue;
        }
        struct xb_error why = XB_ERROR_INIT;
        assert_true(xb_restore_check_place(object, &claims[i].place, &why) < 0);
        assert_int_equal(why.kind, XB_ERR_CORRUPT);
        if (!strstr(why.text, claims[i].problem)) {
            fail_msg("%s: %s", claims[i].object, why.text);
        }
    }
}

static void genuine(void **state)
{
    (void)state;
    static const struct claim all[] = {
        {SAYS("v1", "Secret", IN("web", "a")), SECRET, NULL},
        {SAYS("apps/v1beta1", "Deployment", IN("web", "a")), DEPLOYMENT, NULL},
        {SAYS("v1", "PersistentVolume", "{\"name\":\"a\"}"), VOLUME, NULL},
    };
    check(all, sizeof all / sizeof all[0]);
}

static void other_names(void **state)
{
    (void)state;
    static const struct claim all[] = {
        {SAYS("v1", "Secret", IN("kube-system", "a")), SECRET,
         "metadata.namespace is 'kube-system'"},
        {SAYS("v1", "Secret", "{\"name\":\"a\"}"), SECRET, "metadata.namespace is ''"},
        {SAYS("v1", "PersistentVolume", IN("web", "a")), VOLUME, "metadata.namespace is 'web'"},
        {SAYS("v1", "PersistentVolume", "{\"name\":\"a\",\"namespace\":7}"), VOLUME,
         "metadata.namespace"},
        {SAYS("v1", "Secret", IN("web", "admin")), SECRET, "metadata.name is 'admin'"},
        {SAYS("v1", "Secret", IN("web", "a\\u0000b")), SECRET, "metadata.name"},
        {SAYS("v1", "Secret", "[]"), SECRET, "metadata.name"},
    };
    check(all, sizeof all / sizeof all[0]);
}

static void other_kinds(void **state)
{
    (void)state;
    static const struct claim all[] = {
        {SAYS("v1", "Pod", IN("web", "a")), SECRET, "kind is 'Pod'"},
        {SAYS("apps/v1", "Secret", IN("web", "a")), SECRET, "apiVersion is 'apps/v1'"},
        {SAYS("v1", "Deployment", IN("web", "a")), DEPLOYMENT, "apiVersion is 'v1'"},
        {SAYS("appsx/v1", "Deployment", IN("web", "a")), DEPLOYMENT, "apiVersion is 'appsx/v1'"},
        {SAYS("v1\\u0000/x", "Secret", IN("web", "a")), SECRET, "apiVersion is 'v1'"},
        {SAYS("", "Secret", IN("web", "a")), SECRET, "apiVersion is ''"},
        {SAYS("/v1", "Secret", IN("web", "a")), SECRET, "apiVersion is '/v1'"},
        {"{\"kind\":\"Secret\",\"metadata\":" IN("web", "a") "}", SECRET, "apiVersion is ''"},
        {"[]", SECRET, "not a JSON object"},
    };
    check(all, sizeof all / sizeof all[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(genuine),
        cmocka_unit_test(other_names),
        cmocka_unit_test(other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
