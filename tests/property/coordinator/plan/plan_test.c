/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole lives of backups and restores driven by nothing but the plan, in a world of random facts:
 * they end, nothing is published while a volume is open, no final phase is left again, no more run
 * than may, the queue is in the order in which they came, nobody in it overtakes, and the process
 * may die at any step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "coordinator/plan/queue.h"
#include "tests/harness/property.h"

enum { WORLDS = 3000, RUNS_MAX = 6, STEPS_MAX = 5000, LOOK_NS = 1000, PATIENCE_NS = 700 };

struct run {
    const char *phase, *created;
    bool there; /* made already */
    bool odd;   /* queued without a look at the older ones */
    bool worked, ended, published;
    size_t volumes_open, volumes_late, volumes_idle, hooks_open, hooks_due;
    int64_t position;
    int came, queued; /* at which step */
};

struct world {
    struct property source;
    struct run runs[RUNS_MAX];
    size_t count, running_max;
    int64_t now_ns;
    bool restores, apart;
    int step;
};

static const char *const keys[RUNS_MAX] = {"v/c", "v/a", "v/f", "v/b", "v/e", "v/d"};
static xb_json *specs[RUNS_MAX];

static bool is(const char *phase, const char *word)
{
    return strcmp(phase, word) == 0;
}

static const char *pick(struct property *source, const char *const *from, size_t count)
{
    return from[property_below(source, count)];
}

/* Everyone's namespaces are the same, or everyone has some of his own. */
static struct xb_queue_entry entry_of(const struct world *world, const struct run *run)
{
    size_t i = (size_t)(run - world->runs);
    return (struct xb_queue_entry){.key = keys[i],
                                   .spec = world->apart ? specs[i] : NULL,
                                   .position = run->position,
                                   .created = run->created};
}

static struct xb_step_facts facts_of(struct world *world, struct run *run)
{
    struct xb_step_facts facts = {.phase = run->phase,
                                  .worked = run->worked,
                                  .volumes_open = run->volumes_open,
                                  .volumes_late = run->volumes_late,
                                  .volumes_idle = run->volumes_idle,
                                  .hooks_open = run->hooks_open,
                                  .hooks_due = run->hooks_due,
                                  .look_ns = world->now_ns + LOOK_NS,
                                  .running_max = world->running_max};
    struct xb_queue queue = {.own = entry_of(world, run)};
    for (size_t i = 0; i < world->count; i++) {
        const struct xb_queue_entry entry = entry_of(world, &world->runs[i]);
        const char *phase = world->runs[i].phase;
        phase = world->restores ? xb_plan_restore_queued(phase) : phase;
        if (&world->runs[i] != run && world->runs[i].there && phase) {
            xb_queue_add(&queue, phase, &entry);
        }
    }
    xb_queue_facts(&queue, &facts);
    facts.unqueued_until_ns = world->now_ns + PATIENCE_NS;
    /* An older one that gets nowhere is not waited for for ever. */
    run->odd = run->odd || (xb_plan_backup_comes(run->phase) && facts.unqueued_ahead > 0 &&
                            property_once_in(&world->source, 20));
    facts.unqueued_ahead = run->odd ? 0 : facts.unqueued_ahead;
    return facts;
}

static bool is_older(const struct world *world, const struct run *a, const struct run *b)
{
    int by_age = strcmp(a->created, b->created);
    return by_age < 0 || (by_age == 0 && strcmp(keys[a - world->runs], keys[b - world->runs]) < 0);
}

/* There, older, and not in the queue. */
static bool anyone_comes_before(const struct world *world, const struct run *run)
{
    bool any = false;
    for (size_t i = 0; i < world->count; i++) {
        const struct run *other = &world->runs[i];
        any = any ||
              (other->there && xb_plan_backup_comes(other->phase) && is_older(world, other, run));
    }
    return any;
}

/* Who is before whom in the queue: a bit for each pair. */
static uint64_t order_of(const struct world *world)
{
    uint64_t order = 0;
    for (size_t i = 0; i < world->count; i++) {
        for (size_t j = 0; j < world->count; j++) {
            const struct run *a = &world->runs[i], *b = &world->runs[j];
            bool before =
                a->position < b->position || (a->position == b->position && is_older(world, a, b));
            order |= (uint64_t)(is(a->phase, "Queued") && is(b->phase, "Queued") && before)
                     << (i * RUNS_MAX + j);
        }
    }
    return order;
}

/* What was there when a younger one went into the queue is before it there, whatever of it was
 * planned first; one that comes later, with a time that is earlier, is not. */
static void check_ages(const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        for (size_t j = 0; j < world->count; j++) {
            const struct run *a = &world->runs[i], *b = &world->runs[j];
            if (is(a->phase, "Queued") && is(b->phase, "Queued") && !a->odd && !b->odd &&
                is_older(world, a, b)) {
                assert_int_equal(a->position < b->position, a->came <= b->queued);
            }
        }
    }
}

static void check_places(const struct world *world)
{
    size_t running = 0;
    for (size_t i = 0; i < world->count; i++) {
        running += xb_plan_backup_runs(world->runs[i].phase);
    }
    assert_true(running <= world->running_max);
}

static void start(struct world *world, struct run *run)
{
    bool valid = !property_once_in(&world->source, 5);
    assert_true(world->restores ? is(run->phase, "") || is(run->phase, "New")
                                : is(run->phase, "ReadyToStart"));
    for (size_t i = 0; world->restores && !world->apart && i < world->count; i++) {
        assert_false(xb_plan_backup_runs(world->runs[i].phase)); /* in the same namespaces */
    }
    run->phase = valid ? "InProgress" : "FailedValidation";
    run->ended = !valid;
    check_places(world);
}

static void publish(struct world *world, struct run *run)
{
    static const char *const ends[] = {"Completed", "PartiallyFailed", "Failed"};
    assert_true(run->worked);
    assert_true(run->volumes_open == 0 && run->hooks_open == 0);
    assert_false(run->published);
    assert_true(xb_plan_finalizes(run->phase));
    run->published = true;
    run->ended = true;
    run->phase = pick(&world->source, ends, 3);
}

static void finalize(struct world *world, struct run *run)
{
    static const char *const phases[] = {"Finalizing", "FinalizingPartiallyFailed"};
    assert_true(run->worked && run->volumes_open == 0 && run->hooks_open == 0);
    assert_false(xb_plan_finalizes(run->phase));
    run->phase = pick(&world->source, phases, 2);
}

/* At the end of it. Two coordinators, of which one is going, may see the same queue, and give the
 * same place. */
static void enqueue(struct world *world, struct run *run, int64_t position)
{
    assert_false(world->restores);
    for (size_t i = 0; i < world->count; i++) {
        assert_true(!is(world->runs[i].phase, "Queued") || world->runs[i].position < position);
    }
    assert_true(run->odd || !anyone_comes_before(world, run));
    bool seen_late = property_once_in(&world->source, 8);
    run->odd = run->odd || seen_late;
    run->position = position - seen_late;
    run->queued = world->step;
    run->phase = "Queued";
    check_ages(world);
}

static void check_wait(const struct world *world, const struct run *run,
                       const struct xb_step_result *result)
{
    bool comes = xb_plan_backup_comes(run->phase);
    assert_true(comes ? anyone_comes_before(world, run) : run->volumes_open + run->hooks_open > 0);
    assert_true(run->volumes_late == 0 && run->volumes_idle == 0 && run->hooks_due == 0);
    assert_int_equal(result->at_ns, world->now_ns + (comes ? PATIENCE_NS : LOOK_NS));
}

/* Does what the plan says. */
static void act(struct world *world, struct run *run, const struct xb_step_result *result)
{
    switch (result->step) {
    case XB_STEP_QUEUE:
        enqueue(world, run, result->position);
        break;
    case XB_STEP_MOVE: {
        uint64_t order = order_of(world);
        assert_true(result->position != run->position);
        run->position = result->position;
        assert_true(order_of(world) == order);
        check_ages(world);
        break;
    }
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
        run->volumes_late = 0;
        run->volumes_idle = 0;
        run->hooks_open = world->restores ? 0 : property_below(&world->source, 3);
        run->hooks_due = 0;
        break;
    case XB_STEP_HOOKS:
        assert_true(run->hooks_due > 0 && run->hooks_due <= run->hooks_open);
        run->hooks_open -= run->hooks_due;
        run->hooks_due = 0;
        break;
    case XB_STEP_WAIT:
        check_wait(world, run, result);
        break;
    case XB_STEP_CANCEL:
        assert_true(run->volumes_late > 0 && run->volumes_late <= run->volumes_open);
        run->volumes_open -= run->volumes_late;
        run->volumes_late = 0;
        run->volumes_idle = 0;
        break;
    case XB_STEP_SEEK: /* of some the pods are gone */
        assert_true(run->volumes_late == 0 && run->volumes_idle > 0);
        assert_true(world->restores && run->volumes_idle <= run->volumes_open);
        run->volumes_open -= property_below(&world->source, run->volumes_idle + 1);
        run->volumes_idle = 0;
        break;
    case XB_STEP_FINALIZE:
        finalize(world, run);
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
    world->now_ns += (int64_t)property_below(source, LOOK_NS / 4);
    for (size_t i = 0; i < world->count; i++) {
        struct run *run = &world->runs[i];
        if (!run->there && property_once_in(source, 10)) {
            run->there = true;
            run->came = world->step + 1;
        }
        if (run->volumes_open > run->volumes_late && property_once_in(source, 6)) {
            run->volumes_open--;
        }
        if (run->volumes_open > run->volumes_late && property_once_in(source, 12)) {
            run->volumes_late++;
        }
        run->volumes_idle =
            run->volumes_idle < run->volumes_open ? run->volumes_idle : run->volumes_open;
        if (world->restores && run->volumes_open > run->volumes_idle &&
            property_once_in(source, 12)) {
            run->volumes_idle++;
        }
        /* Hooks end by their agent, or become the coordinator's. */
        if (run->hooks_open > run->hooks_due && property_once_in(source, 8)) {
            run->hooks_open--;
        }
        if (run->hooks_open > run->hooks_due && property_once_in(source, 12)) {
            run->hooks_due++;
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
    static const char *const times[] = {"2026-11-26T00:00:00Z", "2026-11-26T00:00:01Z",
                                        "2026-11-26T00:01:00Z"};
    world->count = 1 + property_below(&world->source, RUNS_MAX);
    world->apart = property_once_in(&world->source, 2);
    world->running_max = RUNS_MAX; /* of those that an earlier life left there */
    for (size_t i = 0; i < world->count; i++) {
        struct run *run = &world->runs[i];
        run->phase = pick(&world->source, first, 6);
        run->created = pick(&world->source, times, 3);
        run->there = xb_plan_backup_runs(run->phase) || property_once_in(&world->source, 2);
    }
    size_t found = 0;
    for (size_t i = 0; i < world->count; i++) {
        found += xb_plan_backup_runs(world->runs[i].phase);
    }
    world->running_max = found + 1 + property_below(&world->source, 2);
    for (; !all_ended(world); world->step++) {
        assert_true(world->step < STEPS_MAX);
        struct run *run = &world->runs[property_below(&world->source, world->count)];
        if (!run->there) {
            go_on(world);
            continue;
        }
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
                                      .volumes_late = property_below(source, 3),
                                      .look_ns = (int64_t)property_next(source),
                                      .running = property_below(source, 4),
                                      .running_max = property_below(source, 4),
                                      .conflict = property_once_in(source, 2),
                                      .ready_ahead = property_below(source, 3),
                                      .position = (int64_t)property_below(source, 4),
                                      .rank = 1 + (int64_t)property_below(source, 3),
                                      .rank_taken = property_once_in(source, 2),
                                      .unqueued_ahead = property_below(source, 2),
                                      .last_position = property_once_in(source, 9)
                                                           ? INT64_MAX
                                                           : (int64_t)property_below(source, 100)};
        const struct xb_step_result backup = xb_plan_backup(&facts);
        const struct xb_step_result restore = xb_plan_restore(&facts);
        bool due = facts.volumes_open == 0 && facts.volumes_late == 0;
        bool final = is(facts.phase, "Completed") || is(facts.phase, "Failed") ||
                     is(facts.phase, "PartiallyFailed") || is(facts.phase, "FailedValidation");
        assert_true((backup.step != XB_STEP_PUBLISH && backup.step != XB_STEP_FINALIZE) ||
                    (facts.worked && due));
        assert_true((restore.step != XB_STEP_PUBLISH && restore.step != XB_STEP_FINALIZE) ||
                    (facts.worked && due));
        assert_true(restore.step != XB_STEP_START ||
                    (facts.running + facts.ready_ahead < facts.running_max && !facts.conflict));
        assert_true(backup.step != XB_STEP_READY ||
                    (facts.running + facts.ready_ahead < facts.running_max && !facts.conflict));
        assert_true(backup.step != XB_STEP_MOVE || !facts.rank_taken);
        assert_true(backup.step != XB_STEP_QUEUE ||
                    (backup.position > 0 && facts.unqueued_ahead == 0));
        assert_true(!final || backup.step == XB_STEP_NONE);
        assert_true(!final || restore.step == (facts.deleting ? XB_STEP_REMOVE : XB_STEP_NONE));
        assert_int_not_equal(backup.step, XB_STEP_REMOVE);
        assert_true(restore.step != XB_STEP_QUEUE && restore.step != XB_STEP_READY &&
                    restore.step != XB_STEP_MOVE);
    }
}

int main(void)
{
    struct property source = property_begin("plan");
    for (size_t i = 0; i < RUNS_MAX; i++) {
        char text[64];
        snprintf(text, sizeof text, "{\"includedNamespaces\": [\"n-%zu-*\"]}", i);
        specs[i] = json_tokener_parse(text);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(backups, &source),
        cmocka_unit_test_prestate(restores, &source),
        cmocka_unit_test_prestate(any_facts, &source),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < RUNS_MAX; i++) {
        json_object_put(specs[i]);
    }
    return failed;
}
