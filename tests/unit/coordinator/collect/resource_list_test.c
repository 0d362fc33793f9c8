/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backup holds, by kind: sorted names, and the very list that Velero made of the same
 * objects.
 */
#include "tests/harness/archive_probe.h"

#include "coordinator/collect/resource_list.h"
#include "coordinator/record/tarball.h"
#include "coordinator/record/upload.h"

static void add(struct xb_resource_list *list, const char *version, const char *kind,
                const char *namespace, const char *name, const char *suffix)
{
    char text[300];
    snprintf(text, sizeof text,
             "{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\"%s%s%s}}",
             version, kind, name, namespace[0] ? ",\"namespace\":\"" : "", namespace,
             namespace[0] ? "\"" : "");
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json(text);
    PROBE_OK(xb_resource_list_add(list, object, suffix, &err));
}

static void lists(void **state)
{
    (void)state;
    struct xb_resource_list list = {.kinds = NULL};
    XB_CLEANUP(xb_json_putp) xb_json *empty = NULL;
    PROBE_OK(xb_resource_list_json(&list, &empty, &err));
    probe_json_is(empty, "{}");
    add(&list, "v1", "Pod", "web", "b", NULL);
    add(&list, "apps/v1", "Deployment", "web", "api", NULL);
    add(&list, "v1", "Pod", "web", "a", NULL);
    add(&list, "v1", "Pod", "db", "z", NULL);
    add(&list, "v1", "Namespace", "", "web", NULL);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    PROBE_OK(xb_resource_list_json(&list, &json, &err));
    probe_json_is(json, "{\"v1/Pod\":[\"db/z\",\"web/a\",\"web/b\"],"
                        "\"apps/v1/Deployment\":[\"web/api\"],\"v1/Namespace\":[\"web\"]}");
    xb_resource_list_free(&list);
    assert_int_equal(list.count, 0);
    xb_resource_list_free(&list);
}

/* A restore's list says what became of each. */
static void restores(void **state)
{
    (void)state;
    struct xb_resource_list list = {.kinds = NULL};
    add(&list, "v1", "Pod", "web", "b", "created");
    add(&list, "v1", "Pod", "web", "a", "skipped");
    add(&list, "v1", "Namespace", "", "web", "failed");
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    PROBE_OK(xb_resource_list_json(&list, &json, &err));
    probe_json_is(json, "{\"v1/Pod\":[\"web/a(skipped)\",\"web/b(created)\"],"
                        "\"v1/Namespace\":[\"web(failed)\"]}");
    xb_resource_list_free(&list);
}

static void limits(void **state)
{
    (void)state;
    struct xb_resource_list list = {.kinds = NULL};
    XB_CLEANUP(xb_json_putp) xb_json *odd = probe_json("{\"kind\":7,\"metadata\":[]}");
    PROBE_OK(xb_resource_list_add(&list, odd, NULL, &err));
    for (int i = 1; i < XB_RESOURCE_LIST_KINDS_MAX; i++) {
        char kind[30];
        snprintf(kind, sizeof kind, "Kind%d", i);
        add(&list, "v1", kind, "", "n", NULL);
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *more = probe_json("{\"apiVersion\":\"v1\",\"kind\":\"More\"}");
    PROBE_REFUSED(xb_resource_list_add(&list, more, NULL, &err), XB_ERR_FULL);
    add(&list, "v1", "Kind1", "", "m", NULL);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    PROBE_OK(xb_resource_list_json(&list, &json, &err));
    assert_int_equal(json_object_object_length(json), XB_RESOURCE_LIST_KINDS_MAX);
    assert_int_equal(json_object_array_length(xb_json_get(json, "v1/Kind1")), 2);
    xb_resource_list_free(&list);
}

static int add_item(void *context, const struct xb_tarball_item *item, const char *text, size_t len,
                    struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    (void)item;
    int r = xb_json_parse(text, len, &object, err);
    return r < 0 ? r : xb_resource_list_add(context, object, NULL, err);
}

/* From Velero's tarball comes Velero's list. */
static void as_velero_does(void **state)
{
    size_t len = 0;
    struct xb_resource_list list = {.kinds = NULL};
    XB_CLEANUP(xb_json_putp) xb_json *ours = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *theirs = NULL;
    XB_CLEANUP(xb_freep) char *tarball = probe_velero_file("backups/tiny-2/tiny-2.tar.gz", &len);
    probe_write(probe_path(state, "tarball"), tarball, len);
    XB_CLEANUP(xb_freep)
    char *packed = probe_velero_file("backups/tiny-2/tiny-2-resource-list.json.gz", &len);
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    PROBE_OK(xb_store_mem_open(&store, &err));
    PROBE_OK(xb_store_put(store, "list", packed, len, NULL, &err));
    PROBE_OK(xb_download_json_gz(store, "list", 100000, &theirs, &err));
    PROBE_OK(xb_tarball_read(probe_path(state, "tarball"), add_item, &list, &err));
    PROBE_OK(xb_resource_list_json(&list, &ours, &err));
    assert_true(json_object_object_length(theirs) > 10);
    assert_true(json_object_equal(ours, theirs));
    xb_resource_list_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(restores),
        cmocka_unit_test(limits),
        cmocka_unit_test(as_velero_does),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
