/* SPDX-License-Identifier: Apache-2.0
 *
 * The next step of a backup or restore, phase by phase, as a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "coordinator/plan/plan.h"

static const char *const running_phases[] = {"InProgress", "WaitingForPluginOperations",
                                             "WaitingForPluginOperationsPartiallyFailed",
                                             "Finalizing", "FinalizingPartiallyFailed"};
static const char *const other_phases[] = {"FailedValidation", "Completed",       "PartiallyFailed",
                                           "Failed",           "Deleting",        "completed",
                                           "Inprogress",       "InProgressMaybe", "?"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static enum xb_step backup_step(const struct xb_step_facts *facts)
{
    return xb_plan_backup(facts).step;
}

static enum xb_step restore_step(const struct xb_step_facts *facts)
{
    return xb_plan_restore(facts).step;
}

static void backups_queue(void **state)
{
    (void)state;
    struct xb_step_facts facts = {.phase = "", .running_max = 1, .last_position = 6};
    assert_int_equal(backup_step(&facts), XB_STEP_QUEUE);
    assert_int_equal(xb_plan_backup(&facts).position, 7);
    facts.phase = "New";
    facts.last_position = 0;
    assert_int_equal(backup_step(&facts), XB_STEP_QUEUE);
    assert_int_equal(xb_plan_backup(&facts).position, 1);
    /* Not before an older one, which is waited for. */
    facts.unqueued_ahead = 1;
    facts.unqueued_until_ns = 5;
    assert_int_equal(backup_step(&facts), XB_STEP_WAIT);
    assert_int_equal(xb_plan_backup(&facts).at_ns, 5);
    facts.phase = "Queued"; /* nobody who is in it waits for one that is not */
    assert_int_equal(backup_step(&facts), XB_STEP_READY);
    facts.phase = "New";
    facts.unqueued_ahead = 0;
    /* A position out of somebody else's object is no reason to leave the numbers. */
    facts.last_position = INT64_MAX;
    assert_int_equal(backup_step(&facts), XB_STEP_QUEUE);
    assert_true(xb_plan_backup(&facts).position > 0);
}

static void backups_leave_the_queue(void **state)
{
    (void)state;
    struct xb_step_facts facts = {.phase = "Queued", .running_max = 1};
    assert_int_equal(backup_step(&facts), XB_STEP_READY);
    facts.running = 1;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.running_max = 2;
    assert_int_equal(backup_step(&facts), XB_STEP_READY);
    facts.ready_ahead = 1;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.running_max = 3;
    assert_int_equal(backup_step(&facts), XB_STEP_READY);
    facts.conflict = true;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.running_max = 0;
    facts.running = 0;
    facts.conflict = false;
    facts.ready_ahead = 0;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.phase = "ReadyToStart";
    assert_int_equal(backup_step(&facts), XB_STEP_START);
}

/* Its place is what the command line shows. */
static void backups_move_up(void **state)
{
    (void)state;
    struct xb_step_facts facts = {
        .phase = "Queued", .running = 1, .running_max = 1, .position = 3, .rank = 2};
    assert_int_equal(backup_step(&facts), XB_STEP_MOVE);
    assert_int_equal(xb_plan_backup(&facts).position, 2);
    facts.rank_taken = true;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.rank_taken = false;
    facts.rank = 3;
    assert_int_equal(backup_step(&facts), XB_STEP_NONE);
    facts.rank = 1;
    facts.running = 0;
    assert_int_equal(backup_step(&facts), XB_STEP_READY);
}

typedef struct xb_step_result plan_fn(const struct xb_step_facts *facts);

/* A backup or restore says that its record is all that is missing, before it makes that. */
static enum xb_step last_step(const char *phase)
{
    return strncmp(phase, "Finalizing", 10) == 0 ? XB_STEP_PUBLISH : XB_STEP_FINALIZE;
}

/* Hooks of a backup end before its record is written; those of a restore may have to wait for pods
 * that start late, and it says Finalizing meanwhile. */
static enum xb_step step_with_hooks(plan_fn *plan, const char *phase)
{
    bool says_so = plan == xb_plan_backup || strncmp(phase, "Finalizing", 10) == 0;
    return says_so ? XB_STEP_WAIT : XB_STEP_FINALIZE;
}

static void check_running(plan_fn *plan)
{
    for (size_t i = 0; i < COUNT(running_phases); i++) {
        struct xb_step_facts facts = {
            .phase = running_phases[i], .volumes_open = 2, .volumes_late = 1, .look_ns = 20};
        /* A process that was started again works again, however late it is. */
        assert_int_equal(plan(&facts).step, XB_STEP_WORK);
        facts.worked = true;
        assert_int_equal(plan(&facts).step, XB_STEP_CANCEL);
        facts.volumes_late = 0;
        facts.volumes_idle = 1;
        assert_int_equal(plan(&facts).step, XB_STEP_SEEK);
        facts.volumes_idle = 0;
        assert_int_equal(plan(&facts).step, XB_STEP_WAIT);
        assert_int_equal(plan(&facts).at_ns, 20);
        facts.hooks_open = 2;
        facts.hooks_due = 1;
        assert_int_equal(plan(&facts).step, XB_STEP_HOOKS);
        facts.hooks_due = 0;
        facts.volumes_open = 0;
        assert_int_equal(plan(&facts).step, step_with_hooks(plan, running_phases[i]));
        assert_int_equal(plan(&facts).at_ns, plan(&facts).step == XB_STEP_WAIT ? 20 : 0);
        facts.hooks_open = 0;
        assert_int_equal(plan(&facts).step, last_step(running_phases[i]));
    }
}

static void running(void **state)
{
    (void)state;
    check_running(xb_plan_backup);
    check_running(xb_plan_restore);
}

static void ended(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(other_phases); i++) {
        for (int worked = 0; worked < 2; worked++) {
            struct xb_step_facts facts = {
                .phase = other_phases[i], .worked = worked, .running_max = 1};
            assert_int_equal(backup_step(&facts), XB_STEP_NONE);
            assert_int_equal(restore_step(&facts), XB_STEP_NONE);
        }
    }
}

static void restores(void **state)
{
    (void)state;
    struct xb_step_facts facts = {.phase = "", .running_max = 2};
    assert_int_equal(restore_step(&facts), XB_STEP_START);
    facts.phase = "New";
    assert_int_equal(restore_step(&facts), XB_STEP_START);
    facts.conflict = true;
    assert_int_equal(restore_step(&facts), XB_STEP_NONE);
    facts.conflict = false;
    facts.running = 2;
    assert_int_equal(restore_step(&facts), XB_STEP_NONE);
    facts.running = 1;
    facts.ready_ahead = 1;
    assert_int_equal(restore_step(&facts), XB_STEP_NONE);
    facts.ready_ahead = 0;
    assert_int_equal(restore_step(&facts), XB_STEP_START);
    assert_string_equal(xb_plan_restore_queued(""), "Queued");
    assert_string_equal(xb_plan_restore_queued("New"), "Queued");
    for (size_t i = 0; i < COUNT(running_phases); i++) {
        assert_string_equal(xb_plan_restore_queued(running_phases[i]), "InProgress");
    }
    for (size_t i = 0; i < COUNT(other_phases); i++) {
        assert_null(xb_plan_restore_queued(other_phases[i]));
    }
    facts.phase = "Queued";
    assert_int_equal(restore_step(&facts), XB_STEP_NONE);
    facts.deleting = true;
    for (size_t i = 0; i < COUNT(running_phases); i++) {
        facts.phase = running_phases[i];
        assert_int_equal(restore_step(&facts), XB_STEP_REMOVE);
    }
    facts.phase = "Completed";
    assert_int_equal(restore_step(&facts), XB_STEP_REMOVE);
    facts.phase = "";
    assert_int_equal(restore_step(&facts), XB_STEP_REMOVE);
}

/* Those count among the running ones that have left the queue and not ended. */
static void places(void **state)
{
    (void)state;
    assert_true(xb_plan_backup_runs("ReadyToStart"));
    for (size_t i = 0; i < COUNT(running_phases); i++) {
        assert_true(xb_plan_backup_runs(running_phases[i]));
    }
    assert_true(xb_plan_finalizes("Finalizing"));
    assert_true(xb_plan_finalizes("FinalizingPartiallyFailed"));
    assert_false(xb_plan_finalizes("FinalizingMaybe"));
    assert_false(xb_plan_finalizes("InProgress"));
    assert_false(xb_plan_backup_runs(""));
    assert_false(xb_plan_backup_runs("New"));
    assert_false(xb_plan_backup_runs("Queued"));
    for (size_t i = 0; i < COUNT(other_phases); i++) {
        assert_false(xb_plan_backup_runs(other_phases[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backups_queue),   cmocka_unit_test(backups_leave_the_queue),
        cmocka_unit_test(backups_move_up), cmocka_unit_test(running),
        cmocka_unit_test(ended),           cmocka_unit_test(restores),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
