/* SPDX-License-Identifier: Apache-2.0
 *
 * A guard in a process of its own, and agents that are killed, stopped and ended beside it: post
 * hooks run once and in time, and whoever comes next learns of it. The runtime is a function that
 * writes into a file; the real one is in tests/cluster/guard_test.
 */
#include "tests/harness/guard_probe.h"

#define BOTH(id) "uid/main/" id "\nuid/side/" id "\n"

/* ---- brackets ---- */

static int in_good_order(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_results results;
    struct xb_error err = XB_ERROR_INIT;
    reach(reached_fd);
    if (arm(guard, "a", "append") < 0 || xb_guard_held(guard, "a", &err) < 0 ||
        !xb_guard_armed_here(guard, "a") ||
        xb_guard_ask(guard, "a", &results, &err) != XB_GUARD_HOLDS ||
        xb_guard_close(guard, "a", &results, &err) < 0) {
        return 1;
    }
    const struct xb_exec_result *said = &results.outcomes[1].said;
    bool fine = results.asked && results.settled && results.count == 2 && results.begun_ms > 0 &&
                results.ended_ms >= results.begun_ms && results.outcomes[0].r == 0 &&
                said->exit_code == 3 && said->out.bytes.len == 7 &&
                memcmp(said->out.bytes.data, "said\0so", 7) == 0 && said->err.bytes.len == 0;
    xb_guard_results_free(&results);
    xb_guard_forget(guard, "a");
    fine = fine && !xb_guard_armed_here(guard, "a");
    return !fine || xb_guard_ask(guard, "a", &results, &err) != XB_GUARD_KNOWS_NOTHING;
}

static void test_in_good_order(void **state)
{
    (void)state;
    struct agent agent = start_agent(in_good_order);
    join_agent(&agent);
    assert_true(calls_are(BOTH("a"), 0));
}

static int between(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_results results;
    struct xb_error err = XB_ERROR_INIT;
    if (arm(guard, "b", "append") < 0 || xb_guard_held(guard, "b", &err) < 0) {
        return 1;
    }
    reach(reached_fd);
    raise(SIGSTOP);
    /* Only who was stopped comes here. */
    bool late = xb_guard_held(guard, "b", &err) < 0 && err.kind == XB_ERR_CONFLICT;
    if (xb_guard_close(guard, "b", &results, &err) < 0) {
        return 2;
    }
    bool fine = late && !results.asked && results.settled && results.count == 2;
    xb_guard_results_free(&results);
    return !fine;
}

static int comes_next(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_results results;
    struct xb_error err = XB_ERROR_INIT;
    reach(reached_fd);
    if (xb_guard_ask(guard, "b", &results, &err) != XB_GUARD_HAS_RUN) {
        return 1;
    }
    bool fine = !results.asked && results.settled && results.count == 2 &&
                results.outcomes[0].said.exit_code == 3;
    xb_guard_results_free(&results);
    return !fine || xb_guard_ask(guard, "never heard of", &results, &err) != XB_GUARD_KNOWS_NOTHING;
}

static void test_killed(void **state)
{
    (void)state;
    struct agent agent = start_agent(between);
    wait_reached(&agent);
    assert_string_equal(lines_of(calls_path), "");
    (void)end_agent(&agent, SIGKILL);
    assert_true(calls_are(BOTH("b"), IN_TIME_MS));
    agent = start_agent(comes_next);
    join_agent(&agent);
    assert_true(calls_are(BOTH("b"), 0));
}

static void test_stopped(void **state)
{
    (void)state;
    struct agent agent = start_agent(between);
    wait_reached(&agent);
    assert_true(calls_are(BOTH("b"), IN_TIME_MS));
    kill(agent.pid, SIGCONT);
    join_agent(&agent);
    assert_true(calls_are(BOTH("b"), 0));
}

static int in_a_pre_hook_of(struct xb_guard *guard, int reached_fd, const char *id)
{
    if (arm(guard, id, "append") < 0) {
        return 1;
    }
    reach(reached_fd);
    pause();
    return 2;
}

static int in_a_pre_hook(struct xb_guard *guard, int reached_fd)
{
    return in_a_pre_hook_of(guard, reached_fd, "p");
}

static int in_another(struct xb_guard *guard, int reached_fd)
{
    return in_a_pre_hook_of(guard, reached_fd, "q");
}

/* What a killed agent's pre hook has done last is thawed, too. */
static void test_killed_in_a_pre_hook(void **state)
{
    (void)state;
    struct agent agent = start_agent(in_a_pre_hook);
    wait_reached(&agent);
    (void)end_agent(&agent, SIGKILL);
    assert_true(calls_are(BOTH("p"), IN_TIME_MS));
    agent = start_agent(in_another);
    wait_reached(&agent);
    kill(agent.pid, SIGSTOP);
    assert_true(calls_are(BOTH("p") BOTH("q"), IN_TIME_MS));
    (void)end_agent(&agent, SIGKILL);
    assert_true(calls_are(BOTH("p") BOTH("q") BOTH("q"), IN_TIME_MS));
}

static int many(struct xb_guard *guard, int reached_fd)
{
    char id[8];
    for (int i = 0; i < XB_GUARD_BRACKETS_MAX; i++) {
        struct xb_error err = XB_ERROR_INIT;
        snprintf(id, sizeof id, "%d", i);
        if (arm(guard, id, "slow") < 0 || xb_guard_held(guard, id, &err) < 0) {
            return 1;
        }
    }
    reach(reached_fd);
    pause();
    return 2;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    while ((text = strchr(text, '\n'))) {
        count++;
        text++;
    }
    return count;
}

/* No pod waits for another one's hooks. */
static void test_many(void **state)
{
    (void)state;
    struct agent agent = start_agent(many);
    wait_reached(&agent);
    int64_t until_ns = xb_clock_mono_ns() + IN_TIME_MS * XB_NS_PER_MS;
    (void)end_agent(&agent, SIGKILL);
    while (count_lines(lines_of(calls_path)) < 2 * XB_GUARD_BRACKETS_MAX) {
        assert_true(xb_clock_mono_ns() < until_ns);
        usleep(10 * 1000);
    }
}

static int with_a_new_guard(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_results results;
    struct xb_error err = XB_ERROR_INIT;
    if (arm(guard, "c", "append") < 0 || xb_guard_held(guard, "c", &err) < 0) {
        return 1;
    }
    reach(reached_fd);
    raise(SIGSTOP);
    if (xb_guard_alive(guard, &err) < 0) {
        return 2;
    }
    reach(reached_fd);
    pause();
    return xb_guard_close(guard, "c", &results, &err);
}

/* A guard that is started again is told what it has to know. */
static void test_guard_killed(void **state)
{
    (void)state;
    int status;
    struct agent agent = start_agent(with_a_new_guard);
    wait_reached(&agent);
    assert_int_equal(waitpid(agent.pid, &status, WUNTRACED), agent.pid);
    (void)end_child(&guard_pid, SIGKILL);
    start_guard();
    kill(agent.pid, SIGCONT);
    wait_reached(&agent);
    assert_string_equal(lines_of(calls_path), "");
    (void)end_agent(&agent, SIGKILL);
    assert_true(calls_are(BOTH("c"), IN_TIME_MS));
}

static int refused_hook(struct xb_guard *guard, int reached_fd)
{
    struct xb_guard_results results;
    struct xb_error err = XB_ERROR_INIT;
    reach(reached_fd);
    if (arm(guard, "r", "refuse") < 0 || xb_guard_close(guard, "r", &results, &err) < 0) {
        return 1;
    }
    bool fine = results.count == 2 && results.outcomes[0].r < 0 &&
                results.outcomes[0].why.kind == XB_ERR_DENIED &&
                strcmp(results.outcomes[0].why.text, "no") == 0;
    xb_guard_results_free(&results);
    return !fine;
}

static void test_refused_hook(void **state)
{
    (void)state;
    struct agent agent = start_agent(refused_hook);
    join_agent(&agent);
}

/* ---- the end ---- */

static void test_told_to_stop(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct agent agent = start_agent(between);
    wait_reached(&agent);
    assert_int_equal(xb_guard_stop(socket_path, 5000, &err), 0);
    assert_true(calls_are(BOTH("b"), 0));
    (void)end_agent(&agent, SIGKILL);
}

static void test_terminated(void **state)
{
    (void)state;
    struct agent agent = start_agent(between);
    wait_reached(&agent);
    int status = end_child(&guard_pid, SIGTERM);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(calls_are(BOTH("b"), 0));
    assert_int_not_equal(access(socket_path, F_OK), 0);
    (void)end_agent(&agent, SIGKILL);
}

/* ---- who may speak, and how ---- */

static int speak(const void *packet, size_t len)
{
    struct sockaddr_un address;
    struct xb_error err = XB_ERROR_INIT;
    char answer[100];
    assert_int_equal(xb_guard_address(socket_path, &address, &err), 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, packet, len, MSG_NOSIGNAL), (ssize_t)len);
    ssize_t got = recv(fd, answer, sizeof answer, 0);
    close(fd);
    return (int)got;
}

static int second_agent(struct xb_guard *guard, int reached_fd)
{
    struct xb_error err = XB_ERROR_INIT;
    reach(reached_fd);
    int failed = xb_guard_alive(guard, &err) < 0; /* the other one would else be the first */
    struct xb_guard *other = guard_of_agent();
    failed = failed || !other || xb_guard_alive(other, &err) == 0 || err.kind != XB_ERR_CONFLICT;
    xb_guard_free(other);
    return failed;
}

static void test_strangers(void **state)
{
    (void)state;
    static const unsigned char old[] = {'X', 'B', 'G', '1', XB_GUARD_HELLO, 9, 0, 0, 0, 1, 0, 0, 0};
    assert_true(speak("rubbish", 7) <= 0);
    assert_true(speak("XBG1\7", 5) > 0); /* a refusal: it begins with HELLO */
    assert_true(speak(old, sizeof old) > 0);
    struct agent agent = start_agent(second_agent);
    join_agent(&agent);
    agent = start_agent(in_good_order); /* it goes on */
    join_agent(&agent);
}

static void test_none(void **state)
{
    (void)state;
    struct xb_guard *guard = NULL;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_results results;
    assert_int_equal(xb_guard_new("", &guard, &err), 0);
    assert_null(guard);
    assert_true(arm(guard, "a", "append") < 0);
    assert_true(xb_guard_close(guard, "a", &results, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_NOT_FOUND);
    assert_true(xb_guard_stop("/nonexistent/socket", 100, &err) < 0);
    xb_guard_forget(guard, "a");
    xb_guard_free(guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUARD(test_in_good_order), WITH_GUARD(test_killed),
        WITH_GUARD(test_stopped),       WITH_GUARD(test_killed_in_a_pre_hook),
        WITH_GUARD(test_many),          WITH_GUARD(test_guard_killed),
        WITH_GUARD(test_refused_hook),  WITH_GUARD(test_told_to_stop),
        WITH_GUARD(test_terminated),    WITH_GUARD(test_strangers),
        cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
