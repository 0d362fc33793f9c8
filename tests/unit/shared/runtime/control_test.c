/* SPDX-License-Identifier: Apache-2.0
 *
 * The level-triggered frame: keys are planned once per mark, one action per key is in flight,
 * failures wait by their kind, pausing and stopping cancel, and nothing is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/runtime/control.h"

enum { KEYS = 200 };

/* The world: each key needs `left` successful actions. */
struct world {
    struct xb_loop *loop;
    struct xb_workers *workers;
    struct xb_control *control;
    atomic_int left[KEYS], busy[KEYS];
    atomic_int overlaps, made, freed, done, done_failed, runs, cancelled;
    atomic_bool hang;
    int plans;
    enum xb_error_kind fail_kind;
    atomic_int fail_times;
    int64_t at_ns;
    int at_plans;
};

struct work {
    struct world *world;
    int key;
};

static int run_work(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct work *work = context;
    struct world *world = work->world;
    if (atomic_fetch_add(&world->busy[work->key], 1) > 0) {
        atomic_fetch_add(&world->overlaps, 1);
    }
    atomic_fetch_add(&world->runs, 1);
    int r = 0;
    usleep(300); /* or a second action of this key would hardly ever overlap */
    while (atomic_load(&world->hang) && !atomic_load(cancel)) {
        usleep(1000);
    }
    if (atomic_load(cancel)) {
        atomic_fetch_add(&world->cancelled, 1);
        r = xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to give up");
    } else if (atomic_fetch_sub(&world->fail_times, 1) > 0) {
        r = xb_error_set(err, world->fail_kind, -EIO, "made to fail");
    } else {
        atomic_fetch_sub(&world->left[work->key], 1);
    }
    atomic_fetch_sub(&world->busy[work->key], 1);
    return r;
}

static void done_work(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct world *world = context;
    assert_int_equal(strtol(key, NULL, 10), ((struct work *)work)->key);
    atomic_fetch_add(err ? &world->done_failed : &world->done, 1);
}

static void free_work(void *context)
{
    struct work *work = context;
    atomic_fetch_add(&work->world->freed, 1);
    free(work);
}

static enum xb_plan plan(void *context, const char *key, int64_t now_ns, struct xb_action *ret)
{
    struct world *world = context;
    int number = (int)strtol(key, NULL, 10);
    world->plans++;
    if (world->at_ns && now_ns < world->at_ns) {
        world->at_plans++;
        ret->at_ns = world->at_ns;
        return XB_PLAN_AT;
    }
    if (atomic_load(&world->left[number]) <= 0) {
        return XB_PLAN_NONE;
    }
    struct work *work = malloc(sizeof *work);
    *work = (struct work){.world = world, .key = number};
    atomic_fetch_add(&world->made, 1);
    *ret = (struct xb_action){.work = work, .run = run_work, .done = done_work, .free = free_work};
    return XB_PLAN_ACT;
}

static void begin(struct world *world, unsigned threads, size_t queue, unsigned actions_max)
{
    struct xb_error err = XB_ERROR_INIT;
    memset(world, 0, sizeof *world);
    assert_int_equal(xb_loop_new(&world->loop, &err), 0);
    assert_int_equal(xb_workers_new(threads, queue, &world->workers, &err), 0);
    struct xb_control_options options = {.name = "test",
                                         .loop = world->loop,
                                         .workers = world->workers,
                                         .plan = plan,
                                         .context = world,
                                         .actions_max = actions_max};
    assert_int_equal(xb_control_new(&options, &world->control, &err), 0);
}

static void end(struct world *world)
{
    xb_control_free(world->control);
    xb_workers_free(world->workers);
    xb_loop_free(world->loop);
    assert_int_equal(world->made, world->freed);
    assert_int_equal(world->overlaps, 0);
}

struct until {
    struct world *world;
    bool (*holds)(struct world *world);
};

static void look(void *context)
{
    struct until *until = context;
    if (until->holds(until->world)) {
        xb_loop_stop(until->world->loop);
    }
}

/* Runs the loop until `holds` (the test's own timeout ends what never comes). */
static void run_until(struct world *world, bool (*holds)(struct world *world))
{
    struct xb_error err = XB_ERROR_INIT;
    struct until until = {.world = world, .holds = holds};
    struct xb_timer *timer = NULL;
    assert_int_equal(xb_timer_new(world->loop, look, &until, &timer, &err), 0);
    xb_timer_start(timer, 1, 1);
    assert_int_equal(xb_loop_run(world->loop, &err), 0);
    xb_timer_free(timer);
}

static bool at_rest(struct world *world)
{
    struct xb_control_counts counts;
    xb_control_counts(world->control, &counts);
    for (int i = 0; i < KEYS; i++) {
        if (world->left[i] > 0) {
            return false;
        }
    }
    return counts.dirty == 0 && counts.running == 0 && counts.keys == 0;
}

static void *mark_all(void *context)
{
    struct world *world = context;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < KEYS; i++) {
            char key[16];
            snprintf(key, sizeof key, "%d", i);
            xb_control_dirty(world->control, key);
        }
    }
    return NULL;
}

/* Marks from many threads: all work gets done, never two actions of one key at once, and a key
 * with nothing to do is forgotten. */
static void converges(void **state)
{
    (void)state;
    struct world world;
    pthread_t threads[3];
    begin(&world, 4, 8, 8);
    for (int i = 0; i < KEYS; i++) {
        world.left[i] = 1 + i % 4;
    }
    for (int i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, mark_all, &world);
    }
    run_until(&world, at_rest);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    run_until(&world, at_rest);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(world.left[i], 0);
    }
    assert_int_equal(world.done, 500);
    assert_int_equal(world.runs, 500);
    end(&world);
}

static bool one_runs(struct world *world)
{
    return world->runs == 1;
}

static bool planned_twice(struct world *world)
{
    return world->plans >= 2;
}

/* A key that is marked while its action runs waits for the action's end. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 4, 8, 8);
    world.left[0] = 2;
    world.hang = true;
    xb_control_dirty(world.control, "0");
    run_until(&world, one_runs);
    xb_control_dirty(world.control, "0");
    xb_control_dirty(world.control, "1"); /* when this one was planned, the other had its chance */
    run_until(&world, planned_twice);
    assert_int_equal(world.plans, 2);
    world.hang = false;
    run_until(&world, at_rest);
    assert_int_equal(world.runs, 2);
    end(&world);
}

/* A key that is marked many times before the loop turns is planned once. */
static void deduplicates(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1, 1, 1);
    for (int i = 0; i < 100; i++) {
        xb_control_dirty(world.control, "7");
    }
    run_until(&world, at_rest);
    assert_int_equal(world.plans, 1);
    char longest[XB_CONTROL_KEY_BYTES_MAX + 2];
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    xb_control_dirty(world.control, longest); /* refused and logged */
    run_until(&world, at_rest);
    assert_int_equal(world.plans, 1);
    end(&world);
}

static bool first_failed(struct world *world)
{
    return world->done_failed > 0;
}

/* A conflict is planned again at once; another failure waits, and marks do not shorten that. */
static void failures(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1, 1, 1);
    world.left[3] = 1;
    world.fail_kind = XB_ERR_CONFLICT;
    world.fail_times = 5;
    xb_control_dirty(world.control, "3");
    run_until(&world, at_rest);
    assert_int_equal(world.runs, 6);
    assert_int_equal(world.done_failed, 5);
    world.left[3] = 1;
    world.done_failed = 0;
    world.fail_kind = XB_ERR_RETRY;
    world.fail_times = 1;
    int64_t before = xb_clock_mono_ns();
    xb_control_dirty(world.control, "3");
    run_until(&world, first_failed);
    int plans = world.plans;
    for (int i = 0; i < 10; i++) {
        xb_control_dirty(world.control, "3");
    }
    run_until(&world, at_rest);
    assert_int_equal(world.left[3], 0);
    assert_int_equal(world.plans, plans + 2); /* the action, and nothing more to do */
    /* Only a lower bound: jitter takes a quarter of the pause at most, and no timer comes early. */
    assert_true(xb_clock_mono_ns() - before >= XB_CONTROL_BACKOFF_FIRST_MS / 4 * 3 * XB_NS_PER_MS);
    end(&world);
}

/* "Again at T" comes back at T by itself. */
static void later(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 1, 1, 1);
    world.left[0] = 1;
    world.at_ns = xb_clock_wall_ns() + 60 * XB_NS_PER_MS;
    xb_control_dirty(world.control, "0");
    run_until(&world, at_rest);
    assert_true(world.at_plans >= 1);
    assert_int_equal(world.done, 1);
    assert_true(xb_clock_wall_ns() >= world.at_ns);
    end(&world);
}

static bool both_run(struct world *world)
{
    return world->runs == 2;
}

static bool both_cancelled(struct world *world)
{
    return world->done_failed == 2;
}

/* Pausing cancels what runs and begins nothing; going on finishes the work. */
static void pauses(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2, 8, 2);
    world.left[0] = world.left[1] = world.left[2] = 1;
    world.hang = true;
    xb_control_dirty(world.control, "0");
    xb_control_dirty(world.control, "1");
    xb_control_dirty(world.control, "2"); /* no room for it: two in flight at most */
    run_until(&world, both_run);
    xb_control_pause(world.control, true);
    run_until(&world, both_cancelled);
    assert_int_equal(world.runs, 2);
    assert_int_equal(world.cancelled, 2);
    world.hang = false;
    xb_control_pause(world.control, false);
    run_until(&world, at_rest);
    assert_int_equal(world.done, 3);
    end(&world);
}

/* Stopping waits for the running actions, begins no other, and frees all work. */
static void stops(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 2, 8, 2);
    world.left[0] = world.left[1] = world.left[2] = 1;
    world.hang = true;
    xb_control_dirty(world.control, "0");
    xb_control_dirty(world.control, "1");
    xb_control_dirty(world.control, "2");
    run_until(&world, both_run);
    xb_control_drain(world.control);
    assert_int_equal(world.cancelled, 2);
    assert_int_equal(world.busy[0] + world.busy[1], 0);
    end(&world); /* checks that what was made was freed */
    assert_int_equal(world.runs, 2);
}

static void wait_for_flag(void *context)
{
    while (!atomic_load((atomic_bool *)context)) {
        usleep(1000);
    }
}

/* A pool that others fill is tried again, and the plan made anew each time. */
static void crowded(void **state)
{
    (void)state;
    struct world world;
    atomic_bool flag = false;
    begin(&world, 1, 1, 1);
    xb_workers_submit(world.workers, wait_for_flag, &flag);
    xb_workers_submit(world.workers, wait_for_flag, &flag);
    world.left[5] = 1;
    xb_control_dirty(world.control, "5");
    run_until(&world, planned_twice);
    assert_int_equal(world.runs, 0);
    atomic_store(&flag, true);
    run_until(&world, at_rest);
    assert_int_equal(world.runs, 1);
    end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converges),    cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(deduplicates), cmocka_unit_test(failures),
        cmocka_unit_test(later),        cmocka_unit_test(pauses),
        cmocka_unit_test(stops),        cmocka_unit_test(crowded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
