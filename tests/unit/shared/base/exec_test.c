/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/exec.h"

static const char *const one[] = {"true", NULL};

static int check(struct xb_exec_command command)
{
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_exec_command_check(&command, &err);
    assert_int_equal(err.kind, r < 0 ? XB_ERR_INVALID : XB_ERR_NONE);
    return r;
}

/* What no runtime could run, or only with a limit broken, is refused before anybody is asked. */
static void test_commands_are_checked(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    static const char *const empty[] = {"", NULL};
    const char *many[XB_EXEC_ARGUMENTS_MAX + 2] = {NULL};
    XB_CLEANUP(xb_freep) char *text = malloc(XB_EXEC_ARGUMENTS_BYTES_MAX + 2);
    assert_non_null(text);
    memset(text, 'x', XB_EXEC_ARGUMENTS_BYTES_MAX + 1);
    text[XB_EXEC_ARGUMENTS_BYTES_MAX + 1] = '\0';
    const char *large[] = {text, NULL};
    for (size_t i = 0; i <= XB_EXEC_ARGUMENTS_MAX; i++) {
        many[i] = "x";
    }
    assert_int_equal(check((struct xb_exec_command){.argv = one}), 0);
    assert_true(check((struct xb_exec_command){.argv = NULL}) < 0);
    assert_true(check((struct xb_exec_command){.argv = none}) < 0);
    assert_true(check((struct xb_exec_command){.argv = empty}) < 0);
    assert_true(check((struct xb_exec_command){.argv = many}) < 0);
    many[XB_EXEC_ARGUMENTS_MAX] = NULL;
    assert_int_equal(check((struct xb_exec_command){.argv = many}), 0);
    assert_true(check((struct xb_exec_command){.argv = large}) < 0);
    text[XB_EXEC_ARGUMENTS_BYTES_MAX] = '\0';
    assert_int_equal(check((struct xb_exec_command){.argv = large}), 0);
    assert_true(check((struct xb_exec_command){.argv = one, .timeout_ms = -1}) < 0);
    assert_true(
        check((struct xb_exec_command){.argv = one, .timeout_ms = XB_EXEC_TIMEOUT_MS_MAX + 1}) < 0);
    assert_true(check((struct xb_exec_command){
                    .argv = one, .output_bytes_max = XB_EXEC_OUTPUT_BYTES_MAX + 1}) < 0);
}

static void test_defaults(void **state)
{
    (void)state;
    struct xb_exec_command command = {.argv = one};
    assert_int_equal(xb_exec_timeout_ms(&command), XB_EXEC_TIMEOUT_MS);
    struct xb_exec_result result = xb_exec_result_for(&command);
    assert_int_equal(result.out.bytes.max, XB_EXEC_OUTPUT_BYTES);
    assert_int_equal(result.err.bytes.max, XB_EXEC_OUTPUT_BYTES);
    assert_int_equal(result.exit_code, -1);
    command.timeout_ms = 7;
    command.output_bytes_max = 9;
    assert_int_equal(xb_exec_timeout_ms(&command), 7);
    result = xb_exec_result_for(&command);
    assert_int_equal(result.out.bytes.max, 9);
}

/* The first bytes are kept, in whatever pieces they come; only what is dropped sets the mark. */
static void test_output_is_kept_up_to_its_limit(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_exec_command command = {.argv = one, .output_bytes_max = 8};
    struct xb_exec_result result = xb_exec_result_for(&command);
    assert_int_equal(xb_exec_output_add(&result.out, "", 0, &err), 0);
    assert_null(result.out.bytes.data);
    assert_int_equal(xb_exec_output_add(&result.out, "abcde", 5, &err), 0);
    assert_int_equal(xb_exec_output_add(&result.out, "fgh", 3, &err), 0);
    assert_false(result.out.truncated);
    assert_string_equal(result.out.bytes.data, "abcdefgh");
    assert_int_equal(xb_exec_output_add(&result.out, "i", 1, &err), 0);
    assert_true(result.out.truncated);
    assert_string_equal(result.out.bytes.data, "abcdefgh");
    assert_int_equal(xb_exec_output_add(&result.err, "0123456789", 10, &err), 0);
    assert_true(result.err.truncated);
    assert_string_equal(result.err.bytes.data, "01234567");
    xb_exec_result_free(&result);
    assert_null(result.out.bytes.data);
    struct xb_exec_result never = {0};
    xb_exec_result_free(&never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands_are_checked),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_output_is_kept_up_to_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
