/* SPDX-License-Identifier: Apache-2.0
 * What the ConfigMap of velero.io/pod-volume-restore says of the waiting container. */
#include "coordinator/bring/wait_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/cleanup.h"

struct told {
    unsigned errors, warnings;
    char text[2000]; /* of all */
};

static void tell(void *context, enum xb_record_level level, const char *text)
{
    struct told *told = context;
    size_t used = strlen(told->text);
    told->errors += level == XB_RECORD_ERROR;
    told->warnings += level == XB_RECORD_WARNING;
    snprintf(told->text + used, sizeof told->text - used, "%s\n", text);
}

/* `json`: with ' for ". */
static struct xb_wait_settings parse(const char *json, struct told *told)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_wait_settings settings;
    XB_CLEANUP(xb_json_putp) xb_json *data = NULL;
    char text[1000];
    snprintf(text, sizeof text, "%s", json);
    for (char *c = text; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    *told = (struct told){.errors = 0};
    assert_int_equal(xb_json_parse(text, strlen(text), &data, &err), 0);
    assert_int_equal(
        xb_wait_settings_parse(data, "reg.example:5000/xebec:1.2", tell, told, &settings, &err), 0);
    return settings;
}

static void all_settings(void **state)
{
    (void)state;
    struct told told;
    struct xb_wait_settings settings =
        parse("{'image':'mirror.local/helper:9','command':'/wait','cpuRequest':'50m',"
              "'memRequest':'32Mi','cpuLimit':'1','memLimit':'0','secCtxRunAsUser':'1001',"
              "'secCtxRunAsGroup':'999','secCtxAllowPrivilegeEscalation':'f','secCtx':'runAsUser: "
              "7\\ncapabilities: {drop: [ALL]}\\n'}",
              &told);
    assert_string_equal(told.text, "");
    assert_string_equal(settings.image, "mirror.local/helper:9");
    assert_string_equal(settings.command, "/wait");
    assert_string_equal(settings.amounts[XB_WAIT_CPU_REQUEST], "50m");
    assert_string_equal(settings.amounts[XB_WAIT_MEMORY_REQUEST], "32Mi");
    assert_string_equal(settings.amounts[XB_WAIT_CPU_LIMIT], "1");
    assert_string_equal(settings.amounts[XB_WAIT_MEMORY_LIMIT], "0");
    assert_string_equal(json_object_to_json_string_ext(settings.security, JSON_C_TO_STRING_PLAIN),
                        "{\"runAsUser\":7,\"runAsGroup\":999,\"allowPrivilegeEscalation\":false,"
                        "\"capabilities\":{\"drop\":[\"ALL\"]}}");
    xb_wait_settings_free(&settings);
}

static void nothing_is_the_default(void **state)
{
    (void)state;
    static const char *const empty[] = {"{}", "null", "[]", "{'image':'','secCtx':''}",
                                        "{'image':7}"};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        struct told told;
        struct xb_wait_settings settings = parse(empty[i], &told);
        assert_string_equal(told.text, "");
        assert_string_equal(settings.image, "");
        assert_string_equal(settings.amounts[XB_WAIT_CPU_REQUEST], "");
        assert_null(settings.security);
    }
}

static void images_as_velero_reads_them(void **state)
{
    (void)state;
    struct told told;
    struct xb_wait_settings settings = parse("{'image':'mirror:5000/helper'}", &told);
    assert_string_equal(settings.image, "mirror:5000/helper:1.2"); /* the server's tag */
    settings = parse("{'image':'m/helper@sha256:00'}", &told);
    assert_string_equal(settings.image, "m/helper@sha256:00");
    settings = parse("{'image':'helper:1'}", &told);
    assert_string_equal(settings.image, "");
    assert_int_equal(told.warnings, 1);
    assert_non_null(strstr(told.text, "key image"));
}

static void bad_values_name_their_key(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"cpuRequest", "{'cpuRequest':'much','memRequest':'1Mi'}"},
        {"memLimit", "{'memLimit':'-1'}"},
        {"cpuRequest", "{'cpuRequest':'2'}"}, /* more than the default limit */
        {"memRequest", "{'memRequest':'2Gi','memLimit':'1Gi'}"},
        {"secCtxRunAsUser", "{'secCtxRunAsUser':'root','secCtxRunAsGroup':'1'}"},
        {"secCtxRunAsUser", "{'secCtxRunAsUser':'99999999999'}"},
        {"secCtxRunAsUser", "{'secCtxRunAsUser':'-1'}"},
        {"secCtxRunAsGroup", "{'secCtxRunAsGroup':'1x'}"},
        {"secCtxAllowPrivilegeEscalation", "{'secCtxAllowPrivilegeEscalation':'maybe'}"},
        {"secCtx", "{'secCtx':'runAsUser: root'}"},
        {"secCtx", "{'secCtx':'runAsUsers: 1'}"},
        {"secCtx", "{'secCtx':'- 1'}"},
        {"secCtx", "{'secCtx':'{'}"},
        {"image", "{'image':'a/b c'}"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct told told;
        char want[64];
        struct xb_wait_settings settings = parse(bad[i][1], &told);
        snprintf(want, sizeof want, "key %s:", bad[i][0]);
        assert_int_equal(told.errors, 1);
        if (!strstr(told.text, want)) {
            fail_msg("%s: %s", bad[i][1], told.text);
        }
        assert_null(settings.security);
        for (int k = 0; k < XB_WAIT_AMOUNTS; k++) {
            assert_string_equal(settings.amounts[k], "");
        }
        assert_string_equal(settings.image, "");
    }
}

static void unknown_keys_are_told(void **state)
{
    (void)state;
    struct told told;
    struct xb_wait_settings settings = parse("{'cpuLimits':'1','command':'/x'}", &told);
    assert_int_equal(told.warnings, 1);
    assert_non_null(strstr(told.text, "key cpuLimits"));
    assert_string_equal(settings.command, "/x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_settings),
        cmocka_unit_test(nothing_is_the_default),
        cmocka_unit_test(images_as_velero_reads_them),
        cmocka_unit_test(bad_values_name_their_key),
        cmocka_unit_test(unknown_keys_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
