/* SPDX-License-Identifier: Apache-2.0
 *
 * guard_probe.h - a bracket guard in a process of its own, and agents in others beside it.
 *
 * What for:  tests of agent/guard: agents are killed and stopped. The runtime is a function that
 *            writes a line into a file, and so is what freezes.
 * Threads:   the test itself has one only, since it forks.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/guard/client.h"
#include "agent/guard/guard.h"
#include "agent/guard/serve.h"
#include "shared/base/clock.h"

enum { IN_TIME_MS = 2000, TEST_TIMEOUT_S = 120 };

static char folder[] = "/tmp/xebec-guard-XXXXXX";
static char socket_path[64], calls_path[64], frozen_path[64];
static pid_t guard_pid;
static const struct xb_guard_mapper *fake_mapper; /* NULL: the real one */

static inline void append(const char *path, const char *line)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
    close(fd);
}

static inline const char *lines_of(const char *path)
{
    static char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[len < 0 ? 0 : len] = '\0';
    return text;
}

/* ---- the guard ---- */

static inline int fake_exec(const char *root, const struct xb_cri_target *target,
                            const struct xb_exec_command *command, struct xb_exec_result *ret,
                            struct xb_error *err)
{
    (void)root;
    char line[200];
    if (strcmp(command->argv[0], "refuse") == 0) {
        return xb_error_set(err, XB_ERR_DENIED, -EACCES, "no");
    }
    if (strcmp(command->argv[0], "slow") == 0) {
        usleep(300 * 1000);
    }
    snprintf(line, sizeof line, "%s/%s/%s\n", target->pod_uid, target->container, command->argv[1]);
    append(calls_path, line);
    *ret = xb_exec_result_for(command);
    ret->exit_code = 3;
    return xb_exec_output_add(&ret->out, "said\0so", 7, err);
}

static inline int fake_freeze(int fd, bool freeze)
{
    (void)fd;
    append(frozen_path, freeze ? "frozen\n" : "thawed\n");
    return 0;
}

static inline void be_guard(void)
{
    const struct xb_guard_serve_options options = {
        .socket = socket_path, .exec = fake_exec, .freeze = fake_freeze, .mapper = fake_mapper};
    struct xb_error err = XB_ERROR_INIT;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    alarm(TEST_TIMEOUT_S);
    int stop_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    int r = stop_fd < 0 ? -1 : xb_guard_serve(&options, stop_fd, &err);
    if (r < 0) {
        fprintf(stderr, "guard: %s\n", err.text);
    }
    _exit(r < 0 ? 1 : 0);
}

static inline bool listens(void)
{
    struct sockaddr_un address;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_guard_address(socket_path, &address, &err), 0);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return there;
}

static inline void start_guard(void)
{
    guard_pid = fork();
    assert_true(guard_pid >= 0);
    if (guard_pid == 0) {
        be_guard();
    }
    for (int i = 0; i < 500 && !listens(); i++) {
        usleep(10 * 1000);
    }
    assert_true(listens());
}

static inline int end_child(pid_t *pid, int signal_number)
{
    int status = -1;
    if (*pid > 0) {
        kill(*pid, signal_number);
        assert_int_equal(waitpid(*pid, &status, 0), *pid);
    }
    *pid = 0;
    return status;
}

static inline int setup(void **state)
{
    (void)state;
    (void)unlink(calls_path);
    (void)unlink(frozen_path);
    start_guard();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    (void)end_child(&guard_pid, SIGKILL);
    return 0;
}

/* ---- agents ---- */

static inline int arm(struct xb_guard *guard, const char *id, const char *word)
{
    const char *argv[] = {word, id, NULL};
    const struct xb_guard_command post[] = {{"main", argv, 1000}, {"side", argv, 1000}};
    const struct xb_guard_arming arming = {.id = id,
                                           .pod_uid = "uid",
                                           .pod_namespace = "ns",
                                           .pod_name = "pod",
                                           .post = post,
                                           .post_count = 2,
                                           .output_bytes_max = 100};
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_guard_arm(guard, &arming, &err);
    if (r < 0) {
        fprintf(stderr, "arm: %s\n", err.text);
    }
    return r;
}

/* An agent is a process; it says when it has come to where it is to be disturbed, and ends with 0
 * if everything was as it should be. */
struct agent {
    pid_t pid;
    int reached_fd;
};

static inline struct xb_guard *guard_of_agent(void)
{
    struct xb_guard *guard = NULL;
    struct xb_error err = XB_ERROR_INIT;
    alarm(TEST_TIMEOUT_S);
    return xb_guard_new(socket_path, &guard, &err) == 0 ? guard : NULL;
}

static inline struct agent start_agent(int (*body)(struct xb_guard *guard, int reached_fd))
{
    int pipe_fds[2];
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    struct agent agent = {.pid = fork(), .reached_fd = pipe_fds[0]};
    assert_true(agent.pid >= 0);
    if (agent.pid == 0) {
        struct xb_guard *guard = guard_of_agent();
        int failed = guard ? body(guard, pipe_fds[1]) : 100;
        xb_guard_free(guard);
        _exit(failed);
    }
    close(pipe_fds[1]);
    return agent;
}

static inline void reach(int reached_fd)
{
    if (write(reached_fd, "x", 1) != 1) {
        _exit(101);
    }
}

static inline void wait_reached(const struct agent *agent)
{
    char byte;
    assert_int_equal(read(agent->reached_fd, &byte, 1), 1);
}

static inline int end_agent(struct agent *agent, int signal_number)
{
    close(agent->reached_fd);
    return end_child(&agent->pid, signal_number);
}

/* Ends by itself. */
static inline void join_agent(struct agent *agent)
{
    int status = end_agent(agent, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static inline bool calls_are(const char *wanted, int64_t ms)
{
    int64_t until_ns = xb_clock_mono_ns() + ms * XB_NS_PER_MS;
    while (strcmp(lines_of(calls_path), wanted) != 0) {
        if (xb_clock_mono_ns() > until_ns) {
            fprintf(stderr, "calls: %s", lines_of(calls_path));
            return false;
        }
        usleep(10 * 1000);
    }
    return true;
}

/* ---- the beginning and the end ---- */

static inline int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    snprintf(calls_path, sizeof calls_path, "%s/calls", folder);
    snprintf(frozen_path, sizeof frozen_path, "%s/frozen", folder);
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    (void)unlink(socket_path);
    (void)unlink(calls_path);
    (void)unlink(frozen_path);
    return rmdir(folder);
}

#define WITH_GUARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
