/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs of the node: how they end, what they say, and what they do not get from us.
 */
#include "tests/harness/probe.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "agent/freeze/command.h"
#include "shared/base/clock.h"

static const char *const shell[] = {"/nowhere/sh", "/bin/sh", NULL};

static int say(const char *script, struct xb_exec_command exec, struct xb_exec_result *ret,
               struct xb_error *err)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct xb_command command = {.programs = shell, .exec = exec};
    command.exec.argv = argv;
    return xb_command_run(&command, ret, err);
}

static const char *text(const struct xb_exec_output *output)
{
    return output->bytes.data ? output->bytes.data : "";
}

static void test_how_it_ends(void **state)
{
    static const struct {
        const char *script;
        int code;
        const char *out, *err;
    } cases[] = {{"exit 0", 0, "", ""},
                 {"echo one; echo two >&2; exit 5", 5, "one\n", "two\n"},
                 {"kill -9 $$", 128 + 9, "", ""},
                 {"echo \"$LC_ALL $PATH $HOME\"", 0, "C /usr/sbin:/usr/bin:/sbin:/bin \n", ""},
                 {"cat; echo end", 0, "end\n", ""}, /* there is no input */
                 {"echo left; sleep 30 & exit 3", 3, "left\n", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_exec_result said = {.exit_code = -1};
        PROBE_OK(say(cases[i].script, (struct xb_exec_command){.timeout_ms = 10000}, &said, &err));
        assert_int_equal(said.exit_code, cases[i].code);
        assert_false(said.timed_out);
        assert_string_equal(text(&said.out), cases[i].out);
        assert_string_equal(text(&said.err), cases[i].err);
        xb_exec_result_free(&said);
    }
}

/* The descriptors are ours, signals that we do not hear it does. */
static void test_what_it_does_not_get(void **state)
{
    struct xb_exec_result said = {.exit_code = -1};
    sigset_t term;
    sigset_t before;
    (void)state;
    int fd = open("/dev/null", O_RDONLY);
    assert_true(fd > 2);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    PROBE_OK(say("ls /proc/self/fd | tr '\\n' ' '; grep -E 'SigBlk|SigIgn' /proc/self/status >&2; "
                 "cut -d' ' -f5 /proc/$$/stat | grep -qx $$ || echo a group of others",
                 (struct xb_exec_command){.timeout_ms = 10000}, &said, &err));
    signal(SIGPIPE, handler);
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(fd);
    assert_string_equal(text(&said.out), "0 1 2 3 "); /* the folder itself */
    assert_non_null(strstr(text(&said.err), "SigBlk:\t0000000000000000"));
    assert_non_null(strstr(text(&said.err), "SigIgn:\t0000000000000000"));
    xb_exec_result_free(&said);
}

static int64_t run_for_ms(const char *script, unsigned timeout_ms, struct xb_exec_result *ret)
{
    int64_t began_ns = xb_clock_mono_ns();
    PROBE_OK(say(script, (struct xb_exec_command){.timeout_ms = (int)timeout_ms}, ret, &err));
    return (xb_clock_mono_ns() - began_ns) / XB_NS_PER_MS;
}

static void test_one_that_takes_too_long_is_ended(void **state)
{
    struct xb_exec_result said = {.exit_code = 0};
    (void)state;
    int64_t ms = run_for_ms("echo begun; sleep 30", 700, &said);
    assert_true(said.timed_out);
    assert_int_equal(said.exit_code, -1);
    assert_string_equal(text(&said.out), "begun\n");
    xb_exec_result_free(&said);
    assert_in_range(ms, 700, 10000); /* of a busy machine */
    /* One that does not listen, and its children. */
    ms = run_for_ms("trap '' TERM; sleep 30", 700, &said);
    assert_true(said.timed_out);
    xb_exec_result_free(&said);
    assert_in_range(ms, 700 + XB_COMMAND_END_MS, 15000);
}

static void test_output_has_a_bound(void **state)
{
    struct xb_exec_result said = {.exit_code = -1};
    (void)state;
    PROBE_OK(say("head -c 300000 /dev/zero; echo short >&2",
                 (struct xb_exec_command){.timeout_ms = 10000, .output_bytes_max = 1000}, &said,
                 &err));
    assert_int_equal(said.exit_code, 0);
    assert_int_equal(said.out.bytes.len, 1000);
    assert_true(said.out.truncated);
    assert_string_equal(text(&said.err), "short\n");
    assert_false(said.err.truncated);
    xb_exec_result_free(&said);
}

static void test_one_that_cannot_be_run(void **state)
{
    static const char *const nowhere[] = {"/nowhere/one", "/nowhere/two", NULL};
    static const char *const a_folder[] = {"/etc", NULL};
    static const char *const argv[] = {"one", NULL};
    static const char *const no_argv[] = {NULL};
    struct xb_command command = {.programs = nowhere, .exec = {.argv = argv, .timeout_ms = 5000}};
    struct xb_exec_result said = {.exit_code = 77};
    atomic_bool cancel = true;
    (void)state;
    PROBE_REFUSED(xb_command_run(&command, &said, &err), XB_ERR_NOT_FOUND);
    command.programs = a_folder;
    PROBE_REFUSED(xb_command_run(&command, &said, &err), XB_ERR_DENIED);
    command.programs = shell;
    command.beside = INT_MAX;
    PROBE_REFUSED(xb_command_run(&command, &said, &err), XB_ERR_DENIED);
    PROBE_REFUSED(say("sleep 30", (struct xb_exec_command){.timeout_ms = 5000, .cancel = &cancel},
                      &said, &err),
                  XB_ERR_CANCELLED);
    command.beside = 0;
    command.exec.argv = no_argv;
    PROBE_REFUSED(xb_command_run(&command, &said, &err), XB_ERR_INVALID);
    assert_int_equal(said.exit_code, 77);
}

/* Namespaces of another process: it is in those, and we stay where we are. */
static void test_beside_another(void **state)
{
    static const char *const argv[] = {"sh", "-c", "readlink /proc/self/ns/mnt", NULL};
    struct xb_exec_result said = {.exit_code = -1};
    char path[64];
    char theirs[64] = "";
    char ours[64] = "";
    int ready[2];
    char word = 0;
    (void)state;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        word = unshare(CLONE_NEWNS) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &word, 1);
        (void)pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &word, 1), 1);
    if (word == 'y') {
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
        assert_true(readlink(path, theirs, sizeof theirs - 1) > 0);
        assert_true(readlink("/proc/self/ns/mnt", ours, sizeof ours - 1) > 0);
        const struct xb_command command = {
            .programs = shell, .beside = pid, .exec = {.argv = argv, .timeout_ms = 10000}};
        PROBE_OK(xb_command_run(&command, &said, &err));
        assert_int_equal(said.exit_code, 0);
        assert_memory_equal(text(&said.out), theirs, strlen(theirs));
        assert_string_not_equal(theirs, ours);
        xb_exec_result_free(&said);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    if (word != 'y') {
        skip(); /* no right to have other namespaces */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_how_it_ends),
                                       cmocka_unit_test(test_what_it_does_not_get),
                                       cmocka_unit_test(test_one_that_takes_too_long_is_ended),
                                       cmocka_unit_test(test_output_has_a_bound),
                                       cmocka_unit_test(test_one_that_cannot_be_run),
                                       cmocka_unit_test(test_beside_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
