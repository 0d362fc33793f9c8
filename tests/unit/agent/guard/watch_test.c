/* SPDX-License-Identifier: Apache-2.0
 *
 * The guard watches over a volume group: what is suspended for too long is resumed, and so is what
 * is suspended when who asked is killed, or the guard told to end; the lower ones first, and
 * nothing of other groups. The device mapper is one of memory; the real one is in
 * tests/vm/guard_test.
 */
#include <sys/mman.h>

#include "tests/harness/guard_probe.h"

#define GROUP_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define GROUP_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
#define VOLUME "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"

enum { ORIGIN, COW, REAL, OTHER, DISK, DEVICES, LIMIT_MS = 300 };

static const char *const uuids[DEVICES] = {"LVM-" GROUP_A VOLUME, "LVM-" GROUP_A VOLUME "-cow",
                                           "LVM-" GROUP_A VOLUME "-real", "LVM-" GROUP_B VOLUME,
                                           ""};

/* Of all processes. */
static struct shared {
    _Atomic bool suspended[DEVICES];
    _Atomic unsigned resumed; /* how many, and which, as decimal digits from 1 on */
} * shared;

static int fake_list(int fd, struct xb_mapper_list *ret, struct xb_error *err)
{
    (void)fd;
    (void)err;
    ret->count = DEVICES;
    for (unsigned i = 0; i < DEVICES; i++) {
        ret->ids[i] = (struct xb_mapper_id){.major = 253, .minor = i};
    }
    return 0;
}

static int fake_info(int fd, struct xb_mapper_id id, struct xb_mapper_device *ret,
                     struct xb_error *err)
{
    (void)fd;
    if (id.major != 253 || id.minor >= DEVICES) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENXIO, "no such device");
    }
    *ret = (struct xb_mapper_device){.id = id, .suspended = shared->suspended[id.minor]};
    snprintf(ret->name, sizeof ret->name, "device-%u", id.minor);
    snprintf(ret->uuid, sizeof ret->uuid, "%s", uuids[id.minor]);
    return 0;
}

static int fake_resume(int fd, struct xb_mapper_id id, struct xb_error *err)
{
    (void)fd;
    (void)err;
    shared->suspended[id.minor] = false;
    shared->resumed = shared->resumed * 10 + id.minor + 1;
    return 0;
}

static const struct xb_guard_mapper fake = {
    .list = fake_list, .info = fake_info, .resume = fake_resume};

static void suspend(unsigned device)
{
    shared->suspended[device] = true;
}

static int watch_origin(struct xb_guard *guard, struct xb_guard_watched *ret, struct xb_error *err)
{
    const struct xb_mapper_id id = {.major = 253, .minor = ORIGIN};
    return xb_guard_watch(guard, id, LIMIT_MS, ret, err);
}

static int nothing_is_wrong(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t us = 0;
    reach(reached_fd);
    if (watch_origin(guard, &watched, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    suspend(ORIGIN);
    usleep(100 * 1000);
    shared->suspended[ORIGIN] = false;
    usleep(50 * 1000);
    if (xb_guard_unwatch(&watched, &us, &err) < 0) {
        return 2;
    }
    return us >= 50 * 1000 && us < 300 * 1000 ? 0 : 3;
}

static void test_nothing_is_wrong(void **state)
{
    (void)state;
    suspend(OTHER);
    struct agent agent = start_agent(nothing_is_wrong);
    join_agent(&agent);
    assert_int_equal(shared->resumed, 0);
    assert_true(shared->suspended[OTHER]);
}

static int left_suspended(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t us = 0;
    reach(reached_fd);
    if (watch_origin(guard, &watched, &err) < 0) {
        return 1;
    }
    suspend(ORIGIN);
    suspend(COW);
    return xb_guard_unwatch(&watched, &us, &err) == 0 || err.kind != XB_ERR_CONFLICT ||
           err.code != -ETIME;
}

static void test_left_suspended(void **state)
{
    (void)state;
    struct agent agent = start_agent(left_suspended);
    join_agent(&agent);
    assert_int_equal(shared->resumed, 21); /* the lower one first */
}

static int too_long(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t us = 0;
    reach(reached_fd);
    if (watch_origin(guard, &watched, &err) < 0) {
        return 1;
    }
    suspend(ORIGIN);
    usleep(2 * LIMIT_MS * 1000);
    if (shared->suspended[ORIGIN]) {
        return 2;
    }
    return xb_guard_unwatch(&watched, &us, &err) == 0 || err.kind != XB_ERR_CONFLICT;
}

static void test_too_long(void **state)
{
    (void)state;
    struct agent agent = start_agent(too_long);
    join_agent(&agent);
    assert_int_equal(shared->resumed, 1);
}

static int watch_for_ever(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    int failed = watch_origin(guard, &watched, &err) < 0;
    for (unsigned i = 0; i < DEVICES; i++) {
        suspend(i);
    }
    reach(reached_fd);
    pause();
    return failed;
}

static bool resumed_within(int64_t ms)
{
    int64_t until_ns = xb_clock_mono_ns() + ms * XB_NS_PER_MS;
    while (shared->suspended[ORIGIN] || shared->suspended[COW] || shared->suspended[REAL]) {
        if (xb_clock_mono_ns() > until_ns) {
            return false;
        }
        usleep(5 * 1000);
    }
    return true;
}

/* A suspend that was under way ends after the death of who wanted it. */
static void test_killed(void **state)
{
    (void)state;
    struct agent agent = start_agent(watch_for_ever);
    wait_reached(&agent);
    (void)end_agent(&agent, SIGKILL);
    assert_true(resumed_within(250)); /* not only when its time is over */
    assert_int_equal(shared->resumed, 231);
    usleep(200 * 1000);
    suspend(ORIGIN);
    assert_true(resumed_within(250));
    assert_true(shared->suspended[OTHER] && shared->suspended[DISK]);
}

/* The next agent's work is not taken for the leavings of the last one; two at once are. */
static int one_at_a_time(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_guard_watched another;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t us = 0;
    reach(reached_fd);
    if (watch_origin(guard, &watched, &err) < 0 || watch_origin(guard, &another, &err) == 0 ||
        err.kind != XB_ERR_CONFLICT) {
        return 1;
    }
    suspend(ORIGIN);
    usleep(100 * 1000);
    if (!shared->suspended[ORIGIN]) {
        return 2;
    }
    shared->suspended[ORIGIN] = false;
    return xb_guard_unwatch(&watched, &us, &err) < 0 || us == 0;
}

static void test_one_at_a_time(void **state)
{
    (void)state;
    struct agent agent = start_agent(watch_for_ever);
    wait_reached(&agent);
    (void)end_agent(&agent, SIGKILL);
    assert_true(resumed_within(250));
    unsigned before = shared->resumed;
    agent = start_agent(one_at_a_time);
    join_agent(&agent);
    assert_int_equal(shared->resumed, before);
}

static void test_stopped(void **state)
{
    (void)state;
    struct agent agent = start_agent(watch_for_ever);
    wait_reached(&agent);
    kill(agent.pid, SIGSTOP);
    assert_true(resumed_within(LIMIT_MS + 500));
    (void)end_agent(&agent, SIGKILL);
}

static void test_terminated(void **state)
{
    (void)state;
    struct agent agent = start_agent(watch_for_ever);
    wait_reached(&agent);
    (void)end_child(&guard_pid, SIGTERM);
    assert_true(resumed_within(0));
    (void)end_agent(&agent, SIGKILL);
}

static int refused(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_mapper_id disk = {.major = 253, .minor = DISK};
    const struct xb_mapper_id none = {.major = 8, .minor = 0};
    const struct xb_mapper_id origin = {.major = 253, .minor = ORIGIN};
    reach(reached_fd);
    if (xb_guard_watch(guard, disk, LIMIT_MS, &watched, &err) == 0 || err.kind != XB_ERR_DENIED ||
        xb_guard_watch(guard, none, LIMIT_MS, &watched, &err) == 0 ||
        err.kind != XB_ERR_NOT_FOUND || xb_guard_watch(guard, origin, 0, &watched, &err) == 0 ||
        err.kind != XB_ERR_DENIED) {
        return 1;
    }
    suspend(REAL); /* somebody is at work there */
    return watch_origin(guard, &watched, &err) == 0 || err.kind != XB_ERR_CONFLICT;
}

static void test_refused(void **state)
{
    (void)state;
    struct agent agent = start_agent(refused);
    join_agent(&agent);
    assert_int_equal(shared->resumed, 0);
    struct xb_guard_watched watched;
    struct xb_error err = XB_ERROR_INIT;
    assert_true(watch_origin(NULL, &watched, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);
}

static int setup_devices(void **state)
{
    for (unsigned i = 0; i < DEVICES; i++) {
        shared->suspended[i] = false;
    }
    shared->resumed = 0;
    return setup(state);
}

#define WITH_DEVICES(test) cmocka_unit_test_setup_teardown(test, setup_devices, teardown)

int main(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        return 1;
    }
    fake_mapper = &fake;
    const struct CMUnitTest tests[] = {
        WITH_DEVICES(test_nothing_is_wrong), WITH_DEVICES(test_left_suspended),
        WITH_DEVICES(test_one_at_a_time),    WITH_DEVICES(test_too_long),
        WITH_DEVICES(test_killed),           WITH_DEVICES(test_stopped),
        WITH_DEVICES(test_terminated),       WITH_DEVICES(test_refused)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
