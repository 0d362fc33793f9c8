/* SPDX-License-Identifier: Apache-2.0
 *
 * When a schedule makes a backup, and when it does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/schedule/due.h"
#include "coordinator/schedule/zone.h"

enum { HOUR = 3600, DAY = 24 * HOUR };

static struct xb_cron *daily;

static int set_up(void **state)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)state;
    return xb_cron_parse("@daily", XB_ZONE_FOLDER, &daily, &err);
}

static int tear_down(void **state)
{
    (void)state;
    xb_cron_free(daily);
    return 0;
}

/* Made at noon of day 10, looked at at noon of day 10. */
static struct xb_schedule_facts fresh(void)
{
    return (struct xb_schedule_facts){.cron = daily,
                                      .now_s = 10 * DAY + 12 * HOUR,
                                      .created_s = 10 * DAY + 12 * HOUR,
                                      .last_backup_s = XB_SCHEDULE_NEVER,
                                      .last_skipped_s = XB_SCHEDULE_NEVER};
}

static void check(const struct xb_schedule_facts *facts, enum xb_schedule_step step, int64_t at_s)
{
    const struct xb_schedule_result result = xb_schedule_next(facts);
    assert_int_equal(result.step, step);
    if (at_s) {
        assert_int_equal(result.at_s, at_s);
    }
}

static void due(void **state)
{
    (void)state;
    struct xb_schedule_facts facts = fresh();
    check(&facts, XB_SCHEDULE_WAIT, 11 * DAY);
    facts.now_s = 11 * DAY - 1;
    check(&facts, XB_SCHEDULE_WAIT, 11 * DAY);
    facts.now_s = 11 * DAY;
    check(&facts, XB_SCHEDULE_RUN, 11 * DAY);
    facts.last_backup_s = 11 * DAY;
    check(&facts, XB_SCHEDULE_WAIT, 12 * DAY);
}

/* A week without a coordinator: one backup, then the next day's. */
static void missed(void **state)
{
    (void)state;
    struct xb_schedule_facts facts = fresh();
    facts.last_backup_s = 11 * DAY;
    facts.now_s = 18 * DAY + HOUR;
    check(&facts, XB_SCHEDULE_RUN, 12 * DAY);
    facts.last_backup_s = facts.now_s;
    check(&facts, XB_SCHEDULE_WAIT, 19 * DAY);
}

static void skipped(void **state)
{
    (void)state;
    struct xb_schedule_facts facts = fresh();
    facts.now_s = 13 * DAY;
    facts.skip = true;
    check(&facts, XB_SCHEDULE_SKIP, 0);
    facts.paused = true;
    check(&facts, XB_SCHEDULE_NONE, 0); /* kept for when it goes on */
    facts.paused = false;
    facts.skip = false;
    facts.last_skipped_s = 13 * DAY;
    check(&facts, XB_SCHEDULE_WAIT, 14 * DAY);
    facts.last_skipped_s = 9 * DAY; /* older than the object is */
    check(&facts, XB_SCHEDULE_RUN, 11 * DAY);
    facts.last_backup_s = 13 * DAY;
    check(&facts, XB_SCHEDULE_WAIT, 14 * DAY);
}

static void held(void **state)
{
    (void)state;
    struct xb_schedule_facts facts = fresh();
    facts.now_s = 11 * DAY;
    facts.busy = true;
    check(&facts, XB_SCHEDULE_NONE, 0);
    facts.busy = false;
    facts.paused = true;
    check(&facts, XB_SCHEDULE_NONE, 0);
    facts.paused = false;
    facts.cron = NULL;
    check(&facts, XB_SCHEDULE_NONE, 0);
}

/* A backup from a time when the clock was a year ahead does not end the schedule. */
static void clock_was_wrong(void **state)
{
    (void)state;
    struct xb_schedule_facts facts = fresh();
    facts.last_backup_s = facts.now_s + 365 * DAY;
    check(&facts, XB_SCHEDULE_REWIND, 0);
    facts.last_backup_s = facts.now_s + XB_SCHEDULE_SKEW_S;
    check(&facts, XB_SCHEDULE_WAIT, 11 * DAY);
    facts.last_skipped_s = facts.now_s + XB_SCHEDULE_SKEW_S + 1;
    check(&facts, XB_SCHEDULE_REWIND, 0);
    facts = fresh();
    facts.created_s = facts.now_s + DAY;
    check(&facts, XB_SCHEDULE_REWIND, 0);
    facts.last_skipped_s = facts.now_s; /* what that does */
    check(&facts, XB_SCHEDULE_WAIT, 11 * DAY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(due),  cmocka_unit_test(missed),          cmocka_unit_test(skipped),
        cmocka_unit_test(held), cmocka_unit_test(clock_was_wrong),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
