/* SPDX-License-Identifier: Apache-2.0
 *
 * When a backup is collected, a location is synced and validated, and which one is the default.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/retention/due.h"
#include "shared/base/clock.h"

#define NOON (INT64_C(1790000000) * XB_NS_PER_S) /* 2026-09-21T14:13:20Z */
#define HOUR (INT64_C(3600) * XB_NS_PER_S)

static void collected_at_expiration(void **state)
{
    (void)state;
    assert_int_equal(xb_due_collect("2026-09-21T14:13:20Z", 0, HOUR), NOON);
    /* Asked for, and still there: again after the frequency, not before. */
    assert_int_equal(xb_due_collect("2026-09-21T14:13:20Z", NOON + 5, HOUR), NOON + 5 + HOUR);
    assert_int_equal(xb_due_collect("2026-09-21T14:13:20Z", NOON - 2 * HOUR, HOUR), NOON);
    assert_int_equal(xb_due_collect("2026-09-21T14:13:20Z", NOON, INT64_MAX), XB_DUE_NEVER);
}

static void nothing_expires_by_mistake(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "now", "2026-09-21", "0", "1790000000", "-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(xb_due_collect(bad[i], 0, HOUR), XB_DUE_NEVER);
    }
}

static void synced_by_period(void **state)
{
    (void)state;
    struct xb_due_sync facts = {.period_ns = HOUR, .now_ns = NOON};
    assert_int_equal(xb_due_sync(&facts), NOON); /* never yet */
    facts.synced = "2026-09-21T14:13:10Z";
    assert_int_equal(xb_due_sync(&facts), NOON - 10 * XB_NS_PER_S + HOUR);
    facts.period = "2s";
    assert_int_equal(xb_due_sync(&facts), NOON - 8 * XB_NS_PER_S);
    facts.last_ns = NOON - XB_NS_PER_S; /* the object does not show it yet */
    assert_int_equal(xb_due_sync(&facts), NOON + XB_NS_PER_S);
}

static void period_zero_is_off(void **state)
{
    (void)state;
    struct xb_due_sync facts = {.period = "0s", .period_ns = HOUR, .now_ns = NOON};
    assert_int_equal(xb_due_sync(&facts), XB_DUE_NEVER);
    facts.period_ns = 0;
    facts.period = NULL;
    assert_int_equal(xb_due_sync(&facts), XB_DUE_NEVER);
    facts.period = "1m"; /* a location that says so is synced all the same */
    assert_int_equal(xb_due_sync(&facts), NOON);
}

static void odd_periods_and_clocks(void **state)
{
    (void)state;
    struct xb_due_sync facts = {.period_ns = HOUR, .now_ns = NOON, .last_ns = NOON - 1};
    static const char *const odd[] = {"-1s", "often", ""};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        facts.period = odd[i];
        assert_int_equal(xb_due_sync(&facts), NOON - 1 + HOUR);
    }
    /* A clock that was set back must not stop it for ever. */
    facts.synced = "2031-01-01T00:00:00Z";
    assert_int_equal(xb_due_sync(&facts), NOON - 1 + HOUR);
    facts.last_ns = NOON + HOUR;
    assert_int_equal(xb_due_sync(&facts), NOON);
}

static void validated_by_frequency(void **state)
{
    (void)state;
    struct xb_due_validation facts = {.frequency_ns = HOUR, .now_ns = NOON};
    assert_int_equal(xb_due_validation(&facts), NOON); /* never yet */
    facts.validated = "2026-09-21T14:13:10Z";
    assert_int_equal(xb_due_validation(&facts), NOON - 10 * XB_NS_PER_S + HOUR);
    facts.frequency = "1s";
    assert_int_equal(xb_due_validation(&facts), NOON - 9 * XB_NS_PER_S);
    static const char *const odd[] = {"-1s", "often", "", "1ms"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        facts.frequency = odd[i];
        assert_int_equal(xb_due_validation(&facts), NOON - 10 * XB_NS_PER_S + HOUR);
    }
    facts.validated = "2031-01-01T00:00:00Z"; /* the clock was set back */
    assert_int_equal(xb_due_validation(&facts), NOON);
}

/* Off, but for the first time. */
static void frequency_zero_is_off(void **state)
{
    (void)state;
    struct xb_due_validation facts = {.frequency = "0s", .frequency_ns = HOUR, .now_ns = NOON};
    assert_int_equal(xb_due_validation(&facts), NOON);
    facts.validated = "2026-09-21T14:13:10Z";
    assert_int_equal(xb_due_validation(&facts), XB_DUE_NEVER);
    facts.frequency = NULL;
    facts.frequency_ns = 0;
    assert_int_equal(xb_due_validation(&facts), XB_DUE_NEVER);
    facts.frequency = "1s"; /* a location that says so is validated all the same */
    assert_int_equal(xb_due_validation(&facts), NOON - 9 * XB_NS_PER_S);
}

static void one_default(void **state)
{
    (void)state;
    struct xb_due_default_facts facts = {.is_default = true};
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_KEEP);
    facts.others = 1; /* an older one */
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_KEEP);
    facts.younger = 1;
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_UNSET);
    facts = (struct xb_due_default_facts){.named = true};
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_SET);
    facts.others = 1;
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_KEEP);
    facts = (struct xb_due_default_facts){.named = false};
    assert_int_equal(xb_due_default(&facts), XB_DUE_DEFAULT_KEEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collected_at_expiration), cmocka_unit_test(nothing_expires_by_mistake),
        cmocka_unit_test(synced_by_period),        cmocka_unit_test(period_zero_is_off),
        cmocka_unit_test(odd_periods_and_clocks),  cmocka_unit_test(validated_by_frequency),
        cmocka_unit_test(frequency_zero_is_off),   cmocka_unit_test(one_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
