/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers of the device mapper that are cut off, or in which a bit flips: refused, or another
 * answer within its bounds. Each is read from a copy with nothing behind it, for sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/mapper/reply.h"
#include "tests/harness/mapper_probe.h"
#include "tests/harness/property.h"

enum { ROUNDS = 200, FLIPS = 50 };

static struct mapper_answer answer;
static struct xb_mapper_list list;

/* Whether it is refused by all who read data. */
static bool refused(const unsigned char *bytes, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_device device;
    struct xb_mapper_target target;
    unsigned char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    if (xb_mapper_reply_device(copy, len, &device, &err) == 0) {
        assert_true(strlen(device.name) < sizeof device.name);
        assert_true(strlen(device.uuid) < sizeof device.uuid);
    }
    bool listed = xb_mapper_reply_list(copy, len, &list, &err) == 0;
    assert_true(!listed || list.count <= XB_MAPPER_DEVICES_MAX);
    bool told = xb_mapper_reply_target(copy, len, &target, &err) == 0;
    assert_true(!told || strlen(target.text) < sizeof target.text);
    free(copy);
    return !listed && !told;
}

static void test_answers(void **state)
{
    (void)state;
    struct property source = property_begin("answers");
    for (size_t round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_mapper_target target;
        char text[100];
        unsigned count = (unsigned)property_below(&source, 20);
        if (property_once_in(&source, 2)) {
            mapper_list(&answer, count);
            assert_int_equal(xb_mapper_reply_list(answer.bytes, answer.len, &list, &err), 0);
            assert_int_equal(list.count, count);
        } else {
            snprintf(text, sizeof text, "%u/%u 8", count, count + 1);
            mapper_target(&answer, "snapshot", text);
            assert_int_equal(xb_mapper_reply_target(answer.bytes, answer.len, &target, &err), 0);
            assert_string_equal(target.text, text);
        }
        assert_true(refused(answer.bytes, property_below(&source, answer.len)));
        for (size_t i = 0; i < FLIPS; i++) {
            size_t bit = property_below(&source, 8 * answer.len);
            answer.bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
            (void)refused(answer.bytes, answer.len);
            answer.bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
