/* SPDX-License-Identifier: Apache-2.0
 *
 * What the device mapper answers, and what its targets say of themselves. The real one is asked in
 * tests/vm/guard_test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/mapper/reply.h"
#include "tests/harness/mapper_probe.h"

#define GROUP "VFXvaHmKV9ZAuRTkewzPZRMgW6bQZaoM"
#define VOLUME "r7KFb4rIG8cEO7dGWutIzalZbMd378QA"

static struct mapper_answer answer;
static struct xb_mapper_list list;

static void test_device(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_device device;
    struct dm_ioctl *header = mapper_begin(&answer);
    strcpy(header->name, "vg-thick");
    strcpy(header->uuid, "LVM-" GROUP VOLUME);
    header->dev = 253U << 8 | 7 | 1U << 20; /* the minor number is 263 */
    header->flags = DM_SUSPEND_FLAG | DM_ACTIVE_PRESENT_FLAG | DM_INACTIVE_PRESENT_FLAG;
    header->open_count = 2;
    assert_int_equal(xb_mapper_reply_device(answer.bytes, answer.len, &device, &err), 0);
    assert_string_equal(device.name, "vg-thick");
    assert_string_equal(device.uuid, "LVM-" GROUP VOLUME);
    assert_int_equal(device.id.major, 253);
    assert_int_equal(device.id.minor, 263);
    assert_true(device.suspended && device.active && device.waiting);
    assert_int_equal(device.open_count, 2);
    header->flags = DM_ACTIVE_PRESENT_FLAG;
    assert_int_equal(xb_mapper_reply_device(answer.bytes, answer.len, &device, &err), 0);
    assert_true(!device.suspended && device.active && !device.waiting);
    memset(header->name, 'x', sizeof header->name);
    assert_true(xb_mapper_reply_device(answer.bytes, answer.len, &device, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
}

static void test_list(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    mapper_list(&answer, 3);
    assert_int_equal(xb_mapper_reply_list(answer.bytes, answer.len, &list, &err), 0);
    assert_int_equal(list.count, 3);
    assert_int_equal(list.ids[2].major, 253);
    assert_int_equal(list.ids[2].minor, 2);
    mapper_list(&answer, 0);
    assert_int_equal(xb_mapper_reply_list(answer.bytes, answer.len, &list, &err), 0);
    assert_int_equal(list.count, 0);
    ((struct dm_ioctl *)answer.bytes)->flags = DM_BUFFER_FULL_FLAG;
    assert_true(xb_mapper_reply_list(answer.bytes, answer.len, &list, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
}

static void test_target(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_target target;
    mapper_target(&answer, "snapshot", "8/65536 8");
    assert_int_equal(xb_mapper_reply_target(answer.bytes, answer.len, &target, &err), 0);
    assert_string_equal(target.type, "snapshot");
    assert_string_equal(target.text, "8/65536 8");
    mapper_begin(&answer);
    assert_int_equal(xb_mapper_reply_target(answer.bytes, answer.len, &target, &err), 0);
    assert_string_equal(target.type, "");
}

static void test_snapshot(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_snapshot snapshot;
    assert_int_equal(xb_mapper_snapshot_parse("8/65536 8", &snapshot, &err), 0);
    assert_true(!snapshot.lost && snapshot.used_sectors == 8 && snapshot.total_sectors == 65536);
    assert_int_equal(xb_mapper_snapshot_parse("Invalid", &snapshot, &err), 0);
    assert_true(snapshot.lost);
    assert_int_equal(xb_mapper_snapshot_parse("Overflow", &snapshot, &err), 0);
    assert_true(snapshot.lost);
    static const char *const bad[] = {"", "8", "8/", "9/8 1", "x/8", "18446744073709551616/1 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(xb_mapper_snapshot_parse(bad[i], &snapshot, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
    }
}

static void test_pool(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_pool pool;
    assert_int_equal(
        xb_mapper_pool_parse("7 113/1024 98/12800 - rw discard_passdown queue_if_no_space - 256 ",
                             &pool, &err),
        0);
    assert_true(pool.writable && !pool.failed && !pool.out_of_space);
    assert_int_equal(pool.transaction, 7);
    assert_int_equal(pool.used_metadata, 113);
    assert_int_equal(pool.total_metadata, 1024);
    assert_int_equal(pool.used_data, 98);
    assert_int_equal(pool.total_data, 12800);
    assert_int_equal(
        xb_mapper_pool_parse("7 1/2 2/2 12 out_of_data_space no_discard_passdown", &pool, &err), 0);
    assert_true(!pool.writable && pool.out_of_space);
    assert_int_equal(xb_mapper_pool_parse("7 1/2 2/2 - ro discard_passdown", &pool, &err), 0);
    assert_true(!pool.writable && !pool.out_of_space);
    assert_int_equal(xb_mapper_pool_parse("Fail", &pool, &err), 0);
    assert_true(pool.failed && !pool.writable);
    static const char *const bad[] = {"", "7", "7 1/2", "7 1/2 2/2 - rwx", "7 3/2 2/2 - rw"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_true(xb_mapper_pool_parse(bad[i], &pool, &err) < 0);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char one[] = "LVM-" GROUP VOLUME;
    assert_true(xb_mapper_is_lvm(one));
    assert_true(xb_mapper_is_lvm("LVM-" GROUP VOLUME "-cow"));
    assert_false(xb_mapper_is_lvm("LVM-" GROUP VOLUME "x"));
    assert_false(xb_mapper_is_lvm("LVM-" GROUP));
    assert_false(xb_mapper_is_lvm("CRYPT-" GROUP VOLUME));
    assert_false(xb_mapper_is_lvm(""));
    assert_true(xb_mapper_same_group(one, "LVM-" GROUP GROUP "-real"));
    assert_false(xb_mapper_same_group(one, "LVM-" VOLUME VOLUME));
    assert_false(xb_mapper_same_group(one, ""));
    assert_true(xb_mapper_layer("LVM-" GROUP VOLUME "-real") <
                xb_mapper_layer("LVM-" GROUP VOLUME "-tpool"));
    assert_true(xb_mapper_layer("LVM-" GROUP VOLUME "-tpool") < xb_mapper_layer(one));
}

/* No kernel is asked where there is none, or it says no. */
static void test_no_mapper(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mapper_device device;
    const struct xb_mapper_id none = {.major = 253, .minor = 1000};
    assert_true(xb_mapper_info(-1, none, &device, &err) < 0);
    assert_non_null(strstr(err.text, "253:1000"));
    assert_true(xb_mapper_list(-1, &list, &err) < 0);
    assert_true(xb_mapper_resume(-1, none, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_device),   cmocka_unit_test(test_list), cmocka_unit_test(test_target),
        cmocka_unit_test(test_snapshot), cmocka_unit_test(test_pool), cmocka_unit_test(test_names),
        cmocka_unit_test(test_no_mapper)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
