/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a node has an agent: told at once where none is, waited for where one was just now, used
 * where one works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/plan/agent.h"
#include "shared/base/clock.h"

#define S XB_NS_PER_S

struct row {
    struct xb_agent_facts facts;
    enum xb_agent_verdict verdict;
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(xb_plan_agent(&rows[i].facts), rows[i].verdict);
    }
}
#define CHECK(rows) check(rows, sizeof(rows) / sizeof *(rows))

/* Its pod is ready, and the last report is not old. Clocks apart make a report of the future. */
static void works(void **state)
{
    static const struct row rows[] = {
        {{.pod = true, .ready = true, .pod_age_ns = 900 * S, .reported = true}, XB_AGENT_USE},
        {{.pod = true,
          .ready = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .report_age_ns = 59 * S},
         XB_AGENT_USE},
        {{.pod = true,
          .ready = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .report_age_ns = -50 * S},
         XB_AGENT_USE},
        {{.pod = true,
          .ready = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .report_age_ns = 60 * S},
         XB_AGENT_MISSING},
    };
    (void)state;
    CHECK(rows);
}

/* Velero's agents report nothing; what one of ours on that node has reported before does not
 * count. */
static void mute(void **state)
{
    static const struct row rows[] = {
        {{.pod = true, .ready = true, .pod_age_ns = 900 * S}, XB_AGENT_USE},
        {{.pod = true, .ready = true, .pod_age_ns = 30 * S}, XB_AGENT_USE},
        {{.pod = true, .ready = true, .pod_age_ns = 29 * S}, XB_AGENT_WAIT},
        {{.pod = true, .pod_age_ns = 900 * S}, XB_AGENT_MISSING},
        {{.pod = true,
          .ready = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .report_age_ns = 901 * S},
         XB_AGENT_USE},
        {{.pod = true,
          .ready = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .report_age_ns = 899 * S},
         XB_AGENT_MISSING},
    };
    (void)state;
    CHECK(rows);
}

/* A report is proof of life, whatever pods there are. */
static void reports(void **state)
{
    static const struct row rows[] = {
        {{.reported = true, .renewed = true, .looked_ns = 9 * S}, XB_AGENT_USE},
        {{.pod = true,
          .pod_age_ns = 900 * S,
          .reported = true,
          .renewed = true,
          .report_age_ns = 90 * S},
         XB_AGENT_USE},
    };
    (void)state;
    CHECK(rows);
}

static void missing(void **state)
{
    static const struct row rows[] = {
        {{.pod = false}, XB_AGENT_MISSING},
        {{.reported = true, .report_age_ns = 30 * S}, XB_AGENT_MISSING},
        {{.pod = true, .pod_age_ns = 30 * S}, XB_AGENT_MISSING},
        {{.pod = true, .pod_age_ns = 900 * S, .reported = true, .report_age_ns = 59 * S},
         XB_AGENT_MISSING},
    };
    (void)state;
    CHECK(rows);
}

/* It was there just now, or is just being made; not for ever. */
static void lately(void **state)
{
    static const struct row rows[] = {
        {{.reported = true, .report_age_ns = 29 * S}, XB_AGENT_WAIT},
        {{.reported = true, .report_age_ns = 29 * S, .looked_ns = 29 * S}, XB_AGENT_WAIT},
        {{.reported = true, .report_age_ns = -500 * S, .looked_ns = 30 * S}, XB_AGENT_MISSING},
        {{.pod = true, .pod_age_ns = 29 * S}, XB_AGENT_WAIT},
        {{.pod = true, .pod_age_ns = -500 * S, .looked_ns = 30 * S}, XB_AGENT_MISSING},
        {{.pod = true, .ready = true, .pod_age_ns = 5 * S}, XB_AGENT_WAIT},
        {{.pod = true, .pod_age_ns = 900 * S, .reported = true, .report_age_ns = 5 * S},
         XB_AGENT_WAIT},
    };
    (void)state;
    CHECK(rows);
}

/* The DaemonSet has all its pods, and none is here: nobody need wait for one, but for what the
 * status lags behind. */
static void unwanted(void **state)
{
    static const struct row rows[] = {
        {{.unwanted = true, .reported = true, .looked_ns = 2 * S}, XB_AGENT_WAIT},
        {{.unwanted = true, .reported = true, .looked_ns = 3 * S}, XB_AGENT_MISSING},
        {{.unwanted = true, .reported = true, .renewed = true, .looked_ns = 3 * S}, XB_AGENT_USE},
        {{.unwanted = true, .pod = true, .reported = true, .looked_ns = 3 * S}, XB_AGENT_WAIT},
    };
    (void)state;
    CHECK(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works),   cmocka_unit_test(mute),   cmocka_unit_test(reports),
        cmocka_unit_test(missing), cmocka_unit_test(lately), cmocka_unit_test(unwanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
