/* SPDX-License-Identifier: Apache-2.0
 * What the annotations of a Restore in place say, and what is refused. */
#include "shared/velero/in_place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* NULL: without the annotation. */
static xb_json *restore_of(const char *volume, const char *path, const char *into)
{
    xb_json *restore = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    const char *const texts[][2] = {{XB_IN_PLACE_VOLUME_ANNOTATION, volume},
                                    {XB_IN_PLACE_PATH_ANNOTATION, path},
                                    {XB_IN_PLACE_INTO_ANNOTATION, into}};
    for (size_t i = 0; i < 3; i++) {
        if (texts[i][1]) {
            json_object_object_add(annotations, texts[i][0], json_object_new_string(texts[i][1]));
        }
    }
    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(restore, "metadata", metadata);
    return restore;
}

static int parse(xb_json *restore, struct xb_in_place *ret, struct xb_error *err)
{
    *err = (struct xb_error)XB_ERROR_INIT;
    int r = xb_in_place_parse(restore, ret, err);
    json_object_put(restore);
    return r;
}

static void reads_what_is_wanted(void **state)
{
    (void)state;
    struct xb_in_place got;
    struct xb_error err;
    assert_int_equal(parse(restore_of("shop/db-0/data", "etc/a b/..c", "db-1"), &got, &err), 0);
    assert_true(got.wanted);
    assert_string_equal(got.namespace, "shop");
    assert_string_equal(got.pod, "db-0");
    assert_string_equal(got.volume, "data");
    assert_string_equal(got.claim, "");
    assert_string_equal(got.path, "etc/a b/..c");
    assert_string_equal(got.into_pod, "db-1");
    assert_string_equal(got.into_claim, "");
    assert_int_equal(parse(restore_of("shop/data-db-0", NULL, "claim/fresh"), &got, &err), 0);
    assert_string_equal(got.claim, "data-db-0");
    assert_string_equal(got.pod, "");
    assert_string_equal(got.path, "");
    assert_string_equal(got.into_claim, "fresh");
    assert_int_equal(parse(restore_of(NULL, NULL, NULL), &got, &err), 0);
    assert_false(got.wanted);
}

static void refuses_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *volume, *path, *into, *says;
    } bad[] = {
        {"", NULL, NULL, "xebec.io/volume"},
        {"shop", NULL, NULL, "xebec.io/volume"},
        {"shop/", NULL, NULL, "xebec.io/volume"},
        {"/a/b", NULL, NULL, "xebec.io/volume"},
        {"a/b/c/d", NULL, NULL, "xebec.io/volume"},
        {"a/b/c/", NULL, NULL, "xebec.io/volume"},
        {"a//c", NULL, NULL, "xebec.io/volume"},
        {"a/../c", NULL, NULL, "xebec.io/volume"},
        {"a/b c/d", NULL, NULL, "xebec.io/volume"},
        {"a/b/c", "", NULL, "xebec.io/path"},
        {"a/b/c", "/etc", NULL, "xebec.io/path"},
        {"a/b/c", "x/", NULL, "xebec.io/path"},
        {"a/b/c", "x//y", NULL, "xebec.io/path"},
        {"a/b/c", "..", NULL, "xebec.io/path"},
        {"a/b/c", "x/../../y", NULL, "xebec.io/path"},
        {"a/b/c", "x/./y", NULL, "xebec.io/path"},
        {"a/b/c", NULL, "", "xebec.io/into"},
        {"a/b/c", NULL, "claim/", "xebec.io/into"},
        {"a/b/c", NULL, "other/pod", "xebec.io/into"},
        {"a/b/c", NULL, "claim/x/y", "xebec.io/into"},
        {"a/b/c", NULL, "pod/", "xebec.io/into"},
        {NULL, "x", NULL, "needs xebec.io/volume"},
        {NULL, NULL, "x", "needs xebec.io/volume"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_in_place got = {.namespace = "untouched"};
        struct xb_error err;
        int r = parse(restore_of(bad[i].volume, bad[i].path, bad[i].into), &got, &err);
        if (r == 0 || !strstr(err.text, bad[i].says)) {
            fail_msg("case %zu: %s", i, err.text);
        }
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_string_equal(got.namespace, "untouched");
    }
}

static void refuses_what_is_too_long(void **state)
{
    (void)state;
    struct xb_in_place got;
    struct xb_error err;
    char text[XB_IN_PLACE_PATH_BYTES + 10];
    for (size_t i = 0; i < sizeof text - 1; i++) {
        text[i] = i % 2 ? '/' : 'a';
    }
    text[sizeof text - 1] = '\0';
    assert_true(parse(restore_of("a/b/c", text, NULL), &got, &err) < 0); /* parts */
    memset(text, 'a', sizeof text - 1);
    assert_true(parse(restore_of("a/b/c", text, NULL), &got, &err) < 0); /* one part */
    assert_true(parse(restore_of(text, NULL, NULL), &got, &err) < 0);
    for (size_t i = 200; i < sizeof text - 1; i += 200) {
        text[i] = '/';
    }
    assert_true(parse(restore_of("a/b/c", text, NULL), &got, &err) < 0); /* all */
}

static void stays_within_the_restore(void **state)
{
    (void)state;
    struct xb_in_place got;
    struct xb_error err = XB_ERROR_INIT;
    xb_json *restore = restore_of("shop/db-0/data", NULL, NULL);
    xb_json *spec = json_object_new_object(), *list = json_object_new_array();
    xb_json *map = json_object_new_object();
    json_object_array_add(list, json_object_new_string("shop"));
    json_object_object_add(map, "shop", json_object_new_string("copy"));
    json_object_object_add(spec, "includedNamespaces", list);
    json_object_object_add(spec, "namespaceMapping", map);
    json_object_object_add(restore, "spec", spec);
    assert_int_equal(xb_in_place_parse(restore, &got, &err), 0);
    assert_string_equal(xb_in_place_namespace(restore, &got), "copy");
    json_object_array_put_idx(list, 0, json_object_new_string("other"));
    assert_true(xb_in_place_parse(restore, &got, &err) < 0);
    assert_non_null(strstr(err.text, "does not take"));
    json_object_put(restore);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_wanted),
        cmocka_unit_test(refuses_by_name),
        cmocka_unit_test(refuses_what_is_too_long),
        cmocka_unit_test(stays_within_the_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
