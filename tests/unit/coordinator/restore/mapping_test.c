/* SPDX-License-Identifier: Apache-2.0
 *
 * Other storage classes and images: which kinds, which places in them, and which rows say
 * something.
 */
#include "coordinator/restore/mapping.h"
#include "tests/harness/probe.h"

struct told {
    unsigned changes;
    bool refuse;
};

static int tell(void *context, const char *from, const char *to, struct xb_error *err)
{
    struct told *told = context;
    assert_string_not_equal(from, "");
    assert_non_null(to);
    told->changes++;
    return told->refuse ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "no class %s", to) : 0;
}

typedef int map_fn(xb_json *data, const char *resource, xb_json *object,
                   xb_restore_mapped_fn *mapped, void *context, struct xb_error *err);

static void becomes(map_fn *map, const char *data, const char *resource, const char *object,
                    const char *expected)
{
    struct told told = {0};
    XB_CLEANUP(xb_json_putp) xb_json *rows = data ? probe_json(data) : NULL;
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(object);
    PROBE_OK(map(rows, resource, json, tell, &told, &err));
    probe_json_is(json, expected);
    assert_int_equal(told.changes > 0, strcmp(object, expected) != 0);
}

#define CLASSES "{\"slow\":\"fast\",\"empty\":\"\"}"
#define CLAIM(class) "{\"spec\":{\"storageClassName\":\"" class "\"}}"

static void storage_classes(void **state)
{
    (void)state;
    map_fn *map = xb_restore_map_classes;
    becomes(map, CLASSES, "persistentvolumeclaims", CLAIM("slow"), CLAIM("fast"));
    becomes(map, CLASSES, "persistentvolumes", CLAIM("slow"), CLAIM("fast"));
    becomes(map, CLASSES, "persistentvolumes", CLAIM("other"), CLAIM("other"));
    becomes(map, CLASSES, "persistentvolumes", CLAIM(""), CLAIM(""));
    becomes(map, CLASSES, "persistentvolumes", CLAIM("empty"), CLAIM("empty"));
    becomes(map, CLASSES, "configmaps", CLAIM("slow"), CLAIM("slow"));
    becomes(map, CLASSES, "persistentvolumeclaims", "{\"spec\":{}}", "{\"spec\":{}}");
    becomes(map, NULL, "persistentvolumeclaims", CLAIM("slow"), CLAIM("slow"));
    becomes(map, CLASSES, "statefulsets.apps",
            "{\"spec\":{\"volumeClaimTemplates\":[" CLAIM("slow") "," CLAIM("other") ",1]}}",
            "{\"spec\":{\"volumeClaimTemplates\":[" CLAIM("fast") "," CLAIM("other") ",1]}}");
}

/* A class that is not there fails the item. */
static void a_change_may_be_refused(void **state)
{
    (void)state;
    struct told told = {.refuse = true};
    XB_CLEANUP(xb_json_putp) xb_json *rows = probe_json(CLASSES);
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(CLAIM("slow"));
    PROBE_REFUSED(xb_restore_map_classes(rows, "persistentvolumeclaims", json, tell, &told, &err),
                  XB_ERR_NOT_FOUND);
    probe_json_is(json, CLAIM("slow"));
}

#define POD(image) "{\"spec\":{\"containers\":[{\"image\":\"" image "\"}]}}"

static void image_becomes(const char *rows, const char *image, const char *expected)
{
    char object[300];
    char wanted[300];
    snprintf(object, sizeof object, "{\"spec\":{\"containers\":[{\"image\":\"%s\"}]}}", image);
    snprintf(wanted, sizeof wanted, "{\"spec\":{\"containers\":[{\"image\":\"%s\"}]}}", expected);
    becomes(xb_restore_map_images, rows, "pods", object, wanted);
}

static void rows_of_images(void **state)
{
    (void)state;
    image_becomes("{\"a\":\"1.1.1.1:5000,2.2.2.2:3000\"}", "1.1.1.1:5000/abc:test",
                  "2.2.2.2:3000/abc:test");
    image_becomes("{\"a\":\" abc:test , edf:test \"}", "r/abc:test", "r/edf:test");
    image_becomes("{\"a\":\"a,bb\"}", "a/xa:a", "bb/xbb:bb");
    image_becomes("{\"a\":\"none,x\",\"b\":\"r,s\",\"c\":\"r,t\"}", "r/i", "s/i");
    image_becomes("{\"a\":\"r/, \"}", "r/i", "i");
    image_becomes("{\"a\":\"r,\",\"b\":\"r\",\"c\":\",x\",\"d\":\"\"}", "r/i", "r/i");
    image_becomes("{\"a\":\"x,y,z\"}", "x/i", "y,z/i");
    image_becomes("{}", "r/i", "r/i");
}

static void kinds_with_images(void **state)
{
    (void)state;
    static const char *const rows = "{\"a\":\"x,y\"}";
    static const char *const template[] = {"deployments.apps", "statefulsets.apps",
                                           "daemonsets.apps",  "replicasets.apps",
                                           "jobs.batch",       "replicationcontrollers"};
    for (size_t i = 0; i < sizeof template / sizeof *template; i++) {
        becomes(xb_restore_map_images, rows, template[i], "{\"spec\":{\"template\":" POD("x") "}}",
                "{\"spec\":{\"template\":" POD("y") "}}");
    }
    becomes(xb_restore_map_images, rows, "controllerrevisions.apps",
            "{\"data\":{\"spec\":{\"template\":" POD("x") "}}}",
            "{\"data\":{\"spec\":{\"template\":" POD("y") "}}}");
    becomes(xb_restore_map_images, rows, "cronjobs.batch",
            "{\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":" POD("x") "}}}}",
            "{\"spec\":{\"jobTemplate\":{\"spec\":{\"template\":" POD("y") "}}}}");
    becomes(xb_restore_map_images, rows, "pods",
            "{\"spec\":{\"initContainers\":[{\"image\":\"x:1\"},{\"image\":1},2]}}",
            "{\"spec\":{\"initContainers\":[{\"image\":\"y:1\"},{\"image\":1},2]}}");
    becomes(xb_restore_map_images, rows, "configmaps", POD("x"), POD("x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storage_classes),
        cmocka_unit_test(a_change_may_be_refused),
        cmocka_unit_test(rows_of_images),
        cmocka_unit_test(kinds_with_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
