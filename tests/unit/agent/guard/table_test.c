/* SPDX-License-Identifier: Apache-2.0
 *
 * When post hooks are due: asked for, a silent agent, one that is gone, a guard that is stopped;
 * once, and a second time only where a pre hook may have come after them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "agent/guard/table.h"
#include "shared/base/clock.h"
#include "tests/harness/property.h"

enum { MS = 1000000, SILENCE = XB_GUARD_SILENCE_MS, GRACE = XB_GUARD_PRE_GRACE_MS };

static struct xb_guard_table table;
static unsigned char packet[XB_GUARD_PACKET_BYTES_MAX];

static int64_t at(int64_t ms)
{
    return ms * MS;
}

static int arm(const char *id, struct xb_error *err)
{
    const struct xb_guard_message message = {
        .type = XB_GUARD_ARM, .id = id, .pod_uid = "uid", .pod_namespace = "ns", .pod_name = "pod"};
    size_t len = 0;
    assert_int_equal(xb_guard_message_write(&message, packet, &len, err), 0);
    return xb_guard_table_arm(&table, &message, packet, len, err);
}

static struct xb_guard_bracket *armed(const char *id)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(arm(id, &err), 0);
    return xb_guard_table_find(&table, id);
}

static int begin_anew(void **state)
{
    (void)state;
    table = (struct xb_guard_table){.connected = false};
    xb_guard_table_heard(&table, at(0));
    return 0;
}

static void run(struct xb_guard_bracket *bracket, int64_t ms)
{
    assert_true(xb_guard_table_begin(bracket, at(ms), ms));
    assert_false(xb_guard_table_begin(bracket, at(ms), ms)); /* once */
    xb_guard_table_end(&table, bracket, at(ms), ms + 1);
}

static void test_asked(void **state)
{
    (void)state;
    struct xb_guard_bracket *bracket = armed("a");
    assert_false(xb_guard_table_begin(bracket, at(1), 1));
    xb_guard_table_held(&table, bracket);
    assert_int_equal(bracket->state, XB_GUARD_ARMED);
    xb_guard_table_close(&table, bracket, at(1));
    run(bracket, 1);
    assert_int_equal(bracket->reason, XB_GUARD_ASKED);
    assert_int_equal(bracket->state, XB_GUARD_RAN);
    xb_guard_table_close(&table, bracket, at(2)); /* asked again: no second time */
    xb_guard_table_tick(&table, at(60000));
    xb_guard_table_lost(&table, at(60000));
    assert_false(xb_guard_table_begin(bracket, at(90000), 2));
    const struct xb_guard_message told = xb_guard_table_tell(bracket);
    assert_int_equal(told.begun_ms, 1);
    assert_int_equal(told.ended_ms, 2);
}

static void test_silent(void **state)
{
    (void)state;
    struct xb_guard_bracket *bracket = armed("a");
    xb_guard_table_held(&table, bracket);
    assert_int_equal(xb_guard_table_next_ns(&table), at(SILENCE));
    xb_guard_table_tick(&table, at(SILENCE - 1));
    assert_int_equal(bracket->state, XB_GUARD_ARMED);
    xb_guard_table_heard(&table, at(500));
    xb_guard_table_tick(&table, at(SILENCE + 499));
    assert_int_equal(bracket->state, XB_GUARD_ARMED);
    xb_guard_table_tick(&table, at(SILENCE + 500));
    run(bracket, SILENCE + 500);
    assert_int_equal(bracket->reason, XB_GUARD_SILENT);
    assert_int_equal(xb_guard_table_next_ns(&table), -1);
    xb_guard_table_lost(&table, at(9000)); /* its pre hooks were over */
    assert_int_equal(bracket->state, XB_GUARD_RAN);
}

/* Stopped while a pre hook ran: that may come after the post hooks, until the agent is gone. */
static void test_silent_in_a_pre_hook(void **state)
{
    (void)state;
    struct xb_guard_bracket *bracket = armed("a");
    xb_guard_table_tick(&table, at(SILENCE));
    run(bracket, SILENCE);
    assert_false(bracket->settled);
    xb_guard_table_held(&table, bracket); /* too late */
    assert_false(bracket->settled);
    xb_guard_table_lost(&table, at(5000));
    assert_false(xb_guard_table_begin(bracket, at(5000 + GRACE - 1), 1));
    run(bracket, 5000 + GRACE);
    assert_true(bracket->settled);
    xb_guard_table_lost(&table, at(7000));
    assert_int_equal(bracket->state, XB_GUARD_RAN);
}

static void test_lost(void **state)
{
    (void)state;
    struct xb_guard_bracket *held = armed("held");
    struct xb_guard_bracket *open = armed("open");
    xb_guard_table_held(&table, held);
    xb_guard_table_lost(&table, at(100));
    run(held, 100);
    assert_false(xb_guard_table_begin(open, at(100), 1)); /* the runtime kills the pre hook first */
    run(open, 100 + GRACE);
    assert_true(held->settled && open->settled);
    xb_guard_table_heard(&table, at(500)); /* the next agent's */
    xb_guard_table_lost(&table, at(600));
    assert_int_equal(held->state, XB_GUARD_RAN);
    assert_int_equal(open->state, XB_GUARD_RAN);
}

/* Lost while the hooks run that its silence has brought about. */
static void test_lost_meanwhile(void **state)
{
    (void)state;
    struct xb_guard_bracket *bracket = armed("a");
    xb_guard_table_tick(&table, at(SILENCE));
    assert_true(xb_guard_table_begin(bracket, at(SILENCE), 1));
    xb_guard_table_lost(&table, at(SILENCE + 1));
    xb_guard_table_end(&table, bracket, at(SILENCE + 2), 1);
    assert_int_equal(bracket->state, XB_GUARD_DUE);
    run(bracket, SILENCE + 2 + GRACE);
}

static void test_stopped(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_bracket *bracket = armed("a");
    xb_guard_table_held(&table, bracket);
    assert_false(xb_guard_table_busy(&table));
    xb_guard_table_stop(&table, at(1));
    assert_true(xb_guard_table_busy(&table));
    run(bracket, 1);
    assert_int_equal(bracket->reason, XB_GUARD_STOPPED);
    assert_false(xb_guard_table_busy(&table));
    assert_true(arm("b", &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CONFLICT);
}

static void test_room(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    char id[16];
    for (int i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        snprintf(id, sizeof id, "%d", i);
        assert_int_equal(arm(id, &err), 0);
    }
    assert_true(arm("more", &err) < 0);
    assert_int_equal(err.kind, XB_ERR_FULL);
    assert_true(arm("3", &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CONFLICT);
    struct xb_guard_bracket *bracket = xb_guard_table_find(&table, "3");
    xb_guard_table_close(&table, bracket, at(1));
    assert_true(xb_guard_table_forget(bracket, &err) < 0); /* hooks are to be run */
    run(bracket, 1);
    err = (struct xb_error)XB_ERROR_INIT;
    assert_int_equal(arm("more", &err), 0); /* its results give way */
    assert_null(xb_guard_table_find(&table, "3"));
    assert_int_equal(xb_guard_table_forget(xb_guard_table_find(&table, "more"), &err), 0);
    assert_null(xb_guard_table_find(&table, "more"));
}

/* Whatever happens in whatever order: when an agent is gone and time goes by, nothing is left armed
 * or due, and what was held was thawed at most once for each time it was armed. */
static void test_any_order(void **state)
{
    (void)state;
    struct property source = property_begin("table");
    for (size_t round = 0; round < 300; round++) {
        struct xb_guard_bracket *bracket;
        int64_t ms = 0;
        int runs = 0;
        begin_anew(NULL);
        bracket = armed("a");
        xb_guard_table_held(&table, bracket);
        for (size_t i = 0; i < 60; i++) {
            ms += (int64_t)property_below(&source, 400);
            switch (property_below(&source, 6)) {
            case 0:
                xb_guard_table_heard(&table, at(ms));
                break;
            case 1:
                xb_guard_table_lost(&table, at(ms));
                break;
            case 2:
                xb_guard_table_close(&table, bracket, at(ms));
                break;
            case 3:
                xb_guard_table_tick(&table, at(ms));
                break;
            case 4:
                xb_guard_table_held(&table, bracket);
                break;
            default:
                if (xb_guard_table_begin(bracket, at(ms), ms)) {
                    runs++;
                    xb_guard_table_end(&table, bracket, at(ms), ms);
                }
            }
        }
        xb_guard_table_lost(&table, at(ms));
        if (xb_guard_table_begin(bracket, at(ms + GRACE), ms)) {
            runs++;
            xb_guard_table_end(&table, bracket, at(ms + GRACE), ms);
        }
        assert_int_equal(runs, 1);
        assert_int_equal(bracket->state, XB_GUARD_RAN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_asked, begin_anew),
        cmocka_unit_test_setup(test_silent, begin_anew),
        cmocka_unit_test_setup(test_silent_in_a_pre_hook, begin_anew),
        cmocka_unit_test_setup(test_lost, begin_anew),
        cmocka_unit_test_setup(test_lost_meanwhile, begin_anew),
        cmocka_unit_test_setup(test_stopped, begin_anew),
        cmocka_unit_test_setup(test_room, begin_anew),
        cmocka_unit_test(test_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
