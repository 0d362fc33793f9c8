/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole lives of backups and restores driven by nothing but the plan, in a world of random facts:
 * they end, nothing is published while a volume is open before its deadline, no final phase is left
 * again, no more run than may, and the process may die at any step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "coordinator/plan/plan.h"
#include "tests/harness/property.h"

enum { WORLDS = 3000, RUNS_MAX = 6, STEPS_MAX = 5000, TIMEOUT_NS = 1000 };

struct run {
    const char *phase;
    bool worked, ended, published;
    size_t volumes_open;
    int64_t deadline_ns, position;
};

struct world {
    struct property source;
    struct run runs[RUNS_MAX];
    size_t count, running_max;
    int64_t now_ns;
    bool restores;
};

static bool is(const char *phase, const char *word)
{
    return strcmp(phase, word) == 0;
}

static const char *pick(struct property *source, const char *const *from, size_t count)
{
    return from[property_below(source, count)];
}

static struct xb_step_facts facts_of(struct world *world, const struct run *run)
{
    struct xb_step_facts facts = {.phase = run->phase,
                                  .worked = run->worked,
                                  .volumes_open = run->volumes_open,
                                  .now_ns = world->now_ns,
                                  .deadline_ns = run->deadline_ns,
                                  .running_max = world->running_max};
    for (size_t i = 0; i < world->count; i++) {
        const struct run *other = &world->runs[i];
        facts.running += xb_plan_backup_runs(other->phase);
        facts.ahead += is(other->phase, "Queued") && other->position < run->position;
        if (is(other->phase, "Queued") && other->position > facts.last_position) {
            facts.last_position = other->position;
        }
    }
    return facts;
}

static void check_places(const struct world *world)
{
    size_t running = 0;
    for (size_t i = 0; i < world->count; i++) {
        running += xb_plan_backup_runs(world->runs[i].phase);
    }
    assert_true(world->restores || running <= world->running_max);
}

static void start(struct world *world, struct run *run)
{
    bool valid = !property_once_in(&world->source, 5);
    assert_true(world->restores ? is(run->phase, "") || is(run->phase, "New")
                                : is(run->phase, "ReadyToStart"));
    run->phase = valid ? "InProgress" : "FailedValidation";
    run->ended = !valid;
}

static void publish(struct world *world, struct run *run)
{
    static const char *const ends[] = {"Completed", "PartiallyFailed", "Failed"};
    assert_true(run->worked);
    assert_true(run->volumes_open == 0 || world->now_ns >= run->deadline_ns);
    assert_false(run->published);
    run->published = true;
    run->ended = true;
    run->phase = pick(&world->source, ends, 3);
}

/* Does what the plan says. */
static void act(struct world *world, struct run *run, const struct xb_step_result *result)
{
    switch (result->step) {
    case XB_STEP_QUEUE:
        assert_false(world->restores);
        for (size_t i = 0; i < world->count; i++) {
            assert_true(!is(world->runs[i].phase, "Queued") ||
                        world->runs[i].position < result->position);
        }
        run->position = result->position;
        run->phase = "Queued";
        break;
    case XB_STEP_READY:
        run->phase = "ReadyToStart";
        check_places(world);
        break;
    case XB_STEP_START:
        start(world, run);
        break;
    case XB_STEP_WORK:
        assert_false(run->worked);
        run->worked = true;
        run->volumes_open = property_below(&world->source, 4);
        run->deadline_ns = world->now_ns + TIMEOUT_NS;
        break;
    case XB_STEP_WAIT:
        assert_true(run->volumes_open > 0 && result->at_ns > world->now_ns);
        assert_int_equal(result->at_ns, run->deadline_ns);
        break;
    case XB_STEP_PUBLISH:
        publish(world, run);
        break;
    case XB_STEP_NONE:
    case XB_STEP_REMOVE:
    default:
        assert_int_equal(result->step, XB_STEP_NONE);
        break;
    }
}

/* What happens by itself: time, volumes that end (or never do), the process that dies. */
static void go_on(struct world *world)
{
    struct property *source = &world->source;
    world->now_ns += (int64_t)property_below(source, TIMEOUT_NS / 4);
    for (size_t i = 0; i < world->count; i++) {
        struct run *run = &world->runs[i];
        if (run->volumes_open > 0 && property_once_in(source, 6)) {
            run->volumes_open--;
        }
        if (property_once_in(source, 40)) {
            run->worked = false; /* known to the process alone */
        }
    }
}

static bool all_ended(const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        if (!world->runs[i].ended) {
            return false;
        }
    }
    return true;
}

static void live(struct world *world)
{
    static const char *const first[] = {"",           "New",        "",
                                        "InProgress", "Finalizing", "WaitingForPluginOperations"};
    world->count = 1 + property_below(&world->source, RUNS_MAX);
    world->running_max = RUNS_MAX; /* of those that an earlier life left there */
    for (size_t i = 0; i < world->count; i++) {
        world->runs[i].phase = pick(&world->source, first, 6);
    }
    size_t found = 0;
    for (size_t i = 0; i < world->count; i++) {
        found += xb_plan_backup_runs(world->runs[i].phase);
    }
    world->running_max = found + 1 + property_below(&world->source, 2);
    for (int step = 0; !all_ended(world); step++) {
        assert_true(step < STEPS_MAX);
        struct run *run = &world->runs[property_below(&world->source, world->count)];
        const struct xb_step_facts facts = facts_of(world, run);
        const struct xb_step_result result =
            world->restores ? xb_plan_restore(&facts) : xb_plan_backup(&facts);
        const struct xb_step_result again =
            world->restores ? xb_plan_restore(&facts) : xb_plan_backup(&facts);
        assert_memory_equal(&result, &again, sizeof result);
        assert_true(!run->ended || result.step == XB_STEP_NONE);
        act(world, run, &result);
        go_on(world);
    }
}

static void backups(void **state)
{
    struct world world = {.source = *(struct property *)*state};
    for (int i = 0; i < WORLDS; i++) {
        world = (struct world){.source = world.source};
        live(&world);
    }
}

static void restores(void **state)
{
    struct world world = {.source = *(struct property *)*state};
    for (int i = 0; i < WORLDS; i++) {
        world = (struct world){.source = world.source, .restores = true};
        live(&world);
    }
}

/* Any facts at all, also those that no run leads to. */
static void any_facts(void **state)
{
    static const char *const phases[] = {
        "",          "New",    "Queued",          "ReadyToStart", "InProgress",       "Finalizing",
        "Completed", "Failed", "PartiallyFailed", "Deleting",     "FailedValidation", "Nonsense"};
    struct property *source = *state;
    for (int i = 0; i < 200000; i++) {
        struct xb_step_facts facts = {.phase = pick(source, phases, sizeof phases / sizeof *phases),
                                      .deleting = property_once_in(source, 4),
                                      .worked = property_once_in(source, 2),
                                      .volumes_open = property_below(source, 3),
                                      .now_ns = (int64_t)property_next(source),
                                      .deadline_ns = (int64_t)property_next(source),
                                      .running = property_below(source, 4),
                                      .running_max = property_below(source, 4),
                                      .ahead = property_below(source, 3),
                                      .last_position = property_once_in(source, 9)
                                                           ? INT64_MAX
                                                           : (int64_t)property_below(source, 100)};
        const struct xb_step_result backup = xb_plan_backup(&facts);
        const struct xb_step_result restore = xb_plan_restore(&facts);
        bool due = facts.volumes_open == 0 || facts.now_ns >= facts.deadline_ns;
        bool final = is(facts.phase, "Completed") || is(facts.phase, "Failed") ||
                     is(facts.phase, "PartiallyFailed") || is(facts.phase, "FailedValidation");
        assert_true(backup.step != XB_STEP_PUBLISH || (facts.worked && due));
        assert_true(restore.step != XB_STEP_PUBLISH || (facts.worked && due));
        assert_true(backup.step != XB_STEP_READY || facts.running < facts.running_max);
        assert_true(backup.step != XB_STEP_QUEUE || backup.position > 0);
        assert_true(!final || backup.step == XB_STEP_NONE);
        assert_true(!final || restore.step == (facts.deleting ? XB_STEP_REMOVE : XB_STEP_NONE));
        assert_int_not_equal(backup.step, XB_STEP_REMOVE);
        assert_true(restore.step != XB_STEP_QUEUE && restore.step != XB_STEP_READY);
    }
}

int main(void)
{
    struct property source = property_begin("plan");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(backups, &source),
        cmocka_unit_test_prestate(restores, &source),
        cmocka_unit_test_prestate(any_facts, &source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
