/* SPDX-License-Identifier: Apache-2.0
 *
 * From which namespace an order may bring data: what follows from its Restore, and nothing else.
 */
#include "agent/job/origin.h"
#include "tests/harness/probe.h"

#define RESTORE(spec) "{\"metadata\":{\"name\":\"r\"},\"spec\":{" spec "}}"
#define ORDER(source, target)                                                                      \
    "{\"spec\":{\"sourceNamespace\":" source ",\"pod\":{\"namespace\":\"" target "\"}}}"
#define MAPPING "\"namespaceMapping\":{\"shop\":\"shop-test\",\"bad\":7}"

static void is_from(const char *order_text, const char *restore_text, const char *expected)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = probe_json(order_text);
    XB_CLEANUP(xb_json_putp) xb_json *restore = probe_json(restore_text);
    const char *source = NULL;
    PROBE_OK(xb_order_origin(order, restore, &source, &err));
    assert_string_equal(source, expected);
}

static void is_refused(const char *order_text, const char *restore_text, const char *why)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = probe_json(order_text);
    XB_CLEANUP(xb_json_putp) xb_json *restore = probe_json(restore_text);
    const char *source = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_order_origin(order, restore, &source, &err), -EPERM);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, why));
    assert_null(source);
}

static void follows_the_mapping(void **state)
{
    (void)state;
    is_from(ORDER("\"shop\"", "shop"), RESTORE(""), "shop");
    is_from(ORDER("\"shop\"", "shop-test"), RESTORE(MAPPING), "shop");
    is_from(ORDER("\"bank\"", "bank"), RESTORE(MAPPING), "bank");
    is_from(ORDER("\"bad\"", "bad"), RESTORE(MAPPING), "bad");
    is_from("{\"spec\":{\"pod\":{\"namespace\":\"bank\"}}}", RESTORE(MAPPING), "bank");
    is_from(ORDER("\"shop\"", "shop"), RESTORE("\"includedNamespaces\":[\"sh*\"]"), "shop");
}

static void anothers_data_is_refused(void **state)
{
    (void)state;
    is_refused(ORDER("\"bank\"", "shop"), RESTORE(""), "brings bank into bank");
    is_refused(ORDER("\"bank\"", "shop-test"), RESTORE(MAPPING), "the pod is in shop-test");
    is_refused(ORDER("\"shop\"", "shop"), RESTORE(MAPPING), "brings shop into shop-test");
    is_refused("{\"spec\":{\"pod\":{\"namespace\":\"shop\"}}}", RESTORE(MAPPING), "into shop-test");
    is_refused(ORDER("\"bank\"", "bank"), RESTORE("\"includedNamespaces\":[\"shop\"]"),
               "not in the restore");
    is_refused(ORDER("\"bank\"", "bank"), RESTORE("\"excludedNamespaces\":[\"bank\"]"),
               "not in the restore");
    is_refused(ORDER("\"../bank\"", "bank"), RESTORE(""), "no name of a namespace");
    is_refused("{\"spec\":{}}", RESTORE(""), "no name of a namespace");
    is_refused("[]", "[]", "no name of a namespace");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_mapping),
        cmocka_unit_test(anothers_data_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
