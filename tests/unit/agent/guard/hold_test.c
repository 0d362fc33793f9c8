/* SPDX-License-Identifier: Apache-2.0
 *
 * A file system that the guard froze is thawed: when it is asked to, when its time is over, when
 * who asked is killed or stopped, and when the guard itself is told to end. Real ones are in
 * tests/fault/guard_test.
 */
#include "tests/harness/guard_probe.h"

enum { LIMIT_MS = 300 };

static int say_freeze(struct xb_guard *guard, uint32_t limit_ms, struct xb_guard_frozen *ret)
{
    static unsigned char packet[XB_GUARD_PACKET_BYTES_MAX];
    struct xb_guard_message message = {.type = XB_GUARD_FREEZE, .limit_ms = limit_ms};
    struct xb_guard_message answer;
    struct xb_error err = XB_ERROR_INIT;
    ret->volume_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return xb_guard_alive(guard, &err) < 0 ||
           xb_guard_connect(socket_path, XB_GUARD_FREEZER, packet, &ret->fd, &answer, &err) < 0 ||
           !answer.can_thaw || xb_guard_say(ret->fd, &message, ret->volume_fd, packet, &err) < 0 ||
           xb_guard_answer(ret->fd, 1000, packet, &answer, &err) < 0 ||
           answer.type != XB_GUARD_FROZEN;
}

static int freeze_and_thaw(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_frozen frozen;
    struct xb_error err = XB_ERROR_INIT;
    uint64_t us = 0;
    reach(reached_fd);
    if (say_freeze(guard, 1000, &frozen) || xb_guard_thaw(&frozen, &us, &err) < 0 || us == 0) {
        fprintf(stderr, "%s, after %llu us\n", err.text, (unsigned long long)us);
        return 1;
    }
    if (say_freeze(guard, LIMIT_MS, &frozen)) {
        return 2;
    }
    usleep(2 * LIMIT_MS * 1000);
    if (xb_guard_thaw(&frozen, &us, &err) == 0 || err.kind != XB_ERR_CONFLICT) {
        return 3;
    }
    return !say_freeze(guard, 0, &frozen); /* refused */
}

static void test_freeze(void **state)
{
    (void)state;
    struct agent agent = start_agent(freeze_and_thaw);
    join_agent(&agent);
    assert_string_equal(lines_of(frozen_path), "frozen\nthawed\nfrozen\nthawed\n");
}

static int frozen_for_long(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_frozen frozen;
    int failed = say_freeze(guard, 1000, &frozen);
    reach(reached_fd);
    pause();
    return failed;
}

static bool thawed_within(int64_t ms)
{
    int64_t until_ns = xb_clock_mono_ns() + ms * XB_NS_PER_MS;
    while (strcmp(lines_of(frozen_path), "frozen\nthawed\n") != 0) {
        if (xb_clock_mono_ns() > until_ns) {
            return false;
        }
        usleep(5 * 1000);
    }
    return true;
}

static void test_frozen_and_killed(void **state)
{
    (void)state;
    struct agent agent = start_agent(frozen_for_long);
    wait_reached(&agent);
    assert_string_equal(lines_of(frozen_path), "frozen\n");
    (void)end_agent(&agent, SIGKILL);
    assert_true(thawed_within(500)); /* not only when its time is over */
}

static void test_frozen_and_stopped(void **state)
{
    (void)state;
    struct agent agent = start_agent(frozen_for_long);
    wait_reached(&agent);
    kill(agent.pid, SIGSTOP);
    assert_true(thawed_within(XB_GUARD_LIMIT_MS_MAX + 500));
    (void)end_agent(&agent, SIGKILL);
}

static void test_frozen_and_terminated(void **state)
{
    (void)state;
    struct agent agent = start_agent(frozen_for_long);
    wait_reached(&agent);
    (void)end_child(&guard_pid, SIGTERM);
    assert_string_equal(lines_of(frozen_path), "frozen\nthawed\n");
    (void)end_agent(&agent, SIGKILL);
}

/* A file system that is not one pod's alone does not even come to the guard. */
static int freeze_a_root(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_frozen frozen;
    struct xb_error err = XB_ERROR_INIT;
    const struct xb_guard_volume volume = {.fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                           .pods_root = "/tmp",
                                           .pod_uid = "u"};
    reach(reached_fd);
    return xb_guard_freeze(guard, &volume, 1000, &frozen, &err) == 0 || err.kind != XB_ERR_DENIED;
}

static void test_root_is_not_frozen(void **state)
{
    (void)state;
    struct agent agent = start_agent(freeze_a_root);
    join_agent(&agent);
    assert_string_equal(lines_of(frozen_path), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {WITH_GUARD(test_freeze), WITH_GUARD(test_frozen_and_killed),
                                       WITH_GUARD(test_frozen_and_stopped),
                                       WITH_GUARD(test_frozen_and_terminated),
                                       WITH_GUARD(test_root_is_not_frozen)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
