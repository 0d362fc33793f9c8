/* SPDX-License-Identifier: Apache-2.0
 *
 * What a patch changes, in words: which fields, how many, and no values of Secrets.
 */
#include "coordinator/restore/difference.h"
#include "tests/harness/probe.h"

static void says(const char *existing, const char *patch, bool hidden, const char *expected)
{
    XB_CLEANUP(xb_json_putp) xb_json *from = probe_json(existing);
    XB_CLEANUP(xb_json_putp) xb_json *change = probe_json(patch);
    char text[XB_RESTORE_DIFFERENCE_BYTES];
    xb_restore_difference(from, change, hidden, text);
    assert_string_equal(text, expected);
}

static void fields(void **state)
{
    (void)state;
    says("{\"data\":{\"a\":\"1\",\"b\":\"2\",\"c\":{\"d\":1}}}",
         "{\"data\":{\"a\":\"x\",\"b\":null,\"c\":{\"d\":2},\"e\":[1]}}", false,
         "data.a: \"1\" becomes \"x\"; data.b: \"2\" becomes nothing; data.c.d: 1 becomes 2; "
         "data.e: nothing becomes [1]");
    says("{\"a\":1}", "{\"a\":{\"b\":1}}", false, "a: 1 becomes {\"b\":1}");
    says("[]", "{\"a\":1}", false, "a: nothing becomes 1");
    says("{}", "7", false, "");
}

static void secrets_keep_their_values(void **state)
{
    (void)state;
    says("{\"data\":{\"a\":\"hush\",\"b\":\"hush\"}}",
         "{\"data\":{\"a\":\"quiet\",\"b\":null,\"c\":\"quiet\"}}", true,
         "data.a changes; data.b goes; data.c is added");
}

static void it_is_bounded(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    char key[400], value[400], text[XB_RESTORE_DIFFERENCE_BYTES];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 100; i++) {
        memset(key, 'k', sizeof key);
        snprintf(key, sizeof key, "%03d", i);
        key[3] = 'k';
        key[sizeof key - 1] = '\0';
        json_object_object_add(patch, key, json_object_new_string(value));
    }
    xb_restore_difference(NULL, patch, false, text);
    assert_true(strlen(text) < sizeof text);
    assert_non_null(strstr(text, "; and 84 more"));
    says("{}", "{\"a\":\"0123456789012345678901234567890123456789012345678901234567890\"}", false,
         "a: nothing becomes \"012345678901234567890123456789012345678901234567890123...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(secrets_keep_their_values),
        cmocka_unit_test(it_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
