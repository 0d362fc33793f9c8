/* SPDX-License-Identifier: Apache-2.0
 * Between fork and execve only what a signal handler may do, too: the other threads of this process
 * are not there any more, whatever they hold. */
#include "agent/freeze/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"

enum { LOOK_EVERY_MS = 500, CHUNK_BYTES = 4096, KILLED_BASE = 128, NOT_RUN = 127, PATH_BYTES = 64 };

enum { MOUNT_SPACE, IPC_SPACE, SPACES };
static const struct {
    const char *name;
    int type;
} spaces[SPACES] = {{"mnt", CLONE_NEWNS}, {"ipc", CLONE_NEWIPC}};

static char *const environment[] = {"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                    "LVM_SUPPRESS_FD_WARNINGS=1", NULL};

/* What of the program is ours. */
struct running {
    pid_t pid;
    int pid_fd, out_fd, err_fd;
    int failed_fd; /* says why it could not be run: an errno */
};

/* What it gets. */
struct child {
    const char *const *programs;
    char *const *argv;
    int spaces[SPACES]; /* -1: it is in it already */
    int in_fd, out_fd, err_fd, failed_fd;
};

static void end_running(struct running *running)
{
    xb_closep(&running->pid_fd);
    xb_closep(&running->out_fd);
    xb_closep(&running->err_fd);
    xb_closep(&running->failed_fd);
}

static void end_child(struct child *child)
{
    for (int i = 0; i < SPACES; i++) {
        xb_closep(&child->spaces[i]);
    }
    xb_closep(&child->in_fd);
    xb_closep(&child->out_fd);
    xb_closep(&child->err_fd);
    xb_closep(&child->failed_fd);
}

/* ---- the other side of the fork ---- */

static void become_program(const struct child *child)
{
    const struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &by_default, NULL); /* some cannot be changed */
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0);
    for (int i = 0; i < SPACES; i++) {
        if (child->spaces[i] >= 0 && setns(child->spaces[i], spaces[i].type) < 0) {
            return;
        }
    }
    /* All of ours are beyond these three. */
    if (dup2(child->in_fd, STDIN_FILENO) < 0 || dup2(child->out_fd, STDOUT_FILENO) < 0 ||
        dup2(child->err_fd, STDERR_FILENO) < 0 ||
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0) {
        return;
    }
    for (int i = 0; child->programs[i]; i++) {
        (void)execve(child->programs[i], child->argv, environment);
        if (errno != ENOENT) {
            return;
        }
    }
}

/* ---- before it ---- */

static int open_spaces(struct child *child, pid_t beside, struct xb_error *err)
{
    for (int i = 0; i < SPACES && beside; i++) {
        char path[PATH_BYTES];
        struct stat theirs;
        struct stat ours;
        snprintf(path, sizeof path, "/proc/self/ns/%s", spaces[i].name);
        bool known = stat(path, &ours) == 0;
        snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)beside, spaces[i].name);
        XB_CLEANUP(xb_closep) int fd = known ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0 || fstat(fd, &theirs) < 0) {
            return xb_error_set(err, XB_ERR_DENIED, -EPERM,
                                "the node's programs cannot be run from here (%s: %s): that needs "
                                "hostPID and a privileged container",
                                path, strerror(errno));
        }
        if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev) {
            child->spaces[i] = XB_TAKE_FD(fd);
        }
    }
    return 0;
}

/* Of a process that was started without the first three descriptors, a pipe may be one of them. */
static int beyond_three(int *fd)
{
    if (*fd > STDERR_FILENO) {
        return 0;
    }
    int above = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (above < 0) {
        return -1;
    }
    close(*fd);
    *fd = above;
    return 0;
}

static int make_pipe(int *ret_ours, int *ret_theirs, struct xb_error *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return xb_error_errno(err, errno, "a pipe to a program");
    }
    *ret_ours = fds[0];
    *ret_theirs = fds[1];
    return beyond_three(ret_theirs) < 0 || fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0
               ? xb_error_errno(err, errno, "a pipe to a program")
               : 0;
}

static int start(struct child *child, pid_t beside, struct running *running, struct xb_error *err)
{
    sigset_t all;
    sigset_t before;
    child->in_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (child->in_fd < 0 || beyond_three(&child->in_fd) < 0) {
        return xb_error_errno(err, errno, "/dev/null");
    }
    int r = open_spaces(child, beside, err);
    if (r < 0 || (r = make_pipe(&running->out_fd, &child->out_fd, err)) < 0 ||
        (r = make_pipe(&running->err_fd, &child->err_fd, err)) < 0 ||
        (r = make_pipe(&running->failed_fd, &child->failed_fd, err)) < 0) {
        return r;
    }
    /* No handler of ours may run in the child. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    running->pid = fork();
    if (running->pid == 0) {
        become_program(child);
        int why = errno;
        (void)!write(child->failed_fd, &why, sizeof why);
        _exit(NOT_RUN);
    }
    int why = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (running->pid < 0) {
        return xb_error_errno(err, why, "starting %s", child->argv[0]);
    }
    (void)setpgid(running->pid, running->pid); /* whoever is first */
    running->pid_fd = pidfd_open(running->pid, 0);
    return 0;
}

/* ---- beside it ---- */

static int drain(int fd, struct xb_exec_output *output, struct xb_error *err)
{
    char chunk[CHUNK_BYTES];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got <= 0) {
            return got < 0 && errno == EINTR ? 0 : got == 0; /* 1: there is no more to come */
        }
        int r = xb_exec_output_add(output, chunk, (size_t)got, err);
        if (r < 0) {
            return r;
        }
    }
}

static int drain_one(struct pollfd *polled, struct xb_exec_output *output, struct xb_error *err)
{
    int r = polled->revents ? drain(polled->fd, output, err) : 0;
    if (r > 0) {
        polled->fd = -1;
    }
    return r < 0 ? r : 0;
}

/* Until it has ended: 1. Or the time is over: 0. */
static int attend(const struct running *running, const struct xb_exec_command *command,
                  int64_t until_ns, struct xb_exec_result *said, struct xb_error *err)
{
    struct pollfd polled[] = {{.fd = running->pid_fd, .events = POLLIN},
                              {.fd = running->out_fd, .events = POLLIN},
                              {.fd = running->err_fd, .events = POLLIN}};
    for (;;) {
        int64_t left_ms = (until_ns - xb_clock_mono_ns() + XB_NS_PER_MS - 1) / XB_NS_PER_MS;
        if (left_ms <= 0) {
            return 0;
        }
        if (command->cancel && atomic_load(command->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
        }
        int r = poll(polled, 3, left_ms < LOOK_EVERY_MS ? (int)left_ms : LOOK_EVERY_MS);
        if (r < 0 && errno != EINTR) {
            return xb_error_errno(err, errno, "waiting for %s", command->argv[0]);
        }
        if (r > 0 && ((r = drain_one(&polled[1], &said->out, err)) < 0 ||
                      (r = drain_one(&polled[2], &said->err, err)) < 0)) {
            return r;
        }
        if (polled[0].revents) {
            /* Whom it has started may hold the pipes for longer: they are not waited for. */
            r = drain(running->out_fd, &said->out, err);
            r = r < 0 ? r : drain(running->err_fd, &said->err, err);
            return r < 0 ? r : 1;
        }
    }
}

/* Whether it ends in time. */
static bool ends(const struct running *running)
{
    struct pollfd polled = {.fd = running->pid_fd, .events = POLLIN};
    int64_t until_ns = xb_clock_mono_ns() + XB_COMMAND_END_MS * XB_NS_PER_MS;
    int64_t left_ns;
    int r = 0;
    while ((left_ns = until_ns - xb_clock_mono_ns()) > 0 &&
           (r = poll(&polled, 1, (int)(left_ns / XB_NS_PER_MS) + 1)) < 0 && errno == EINTR) {
    }
    return r > 0;
}

/* First politely: LVM then undoes what it has begun. Where it does not hear of that, at once. */
static void end(const struct running *running)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        (void)kill(-running->pid, signals[i]);
        (void)kill(running->pid, signals[i]);
        if (ends(running)) {
            return;
        }
    }
}

static int collect(const struct running *running, const char *name, int *ret_code,
                   struct xb_error *err)
{
    int status = 0;
    /* One that cannot be ended stays behind as a process that nobody waits for. */
    if (waitpid(running->pid, &status, WNOHANG) != running->pid) {
        return xb_error_set(err, XB_ERR_IO, -EIO,
                            "%s cannot be ended: the kernel holds it (process %d)", name,
                            (int)running->pid);
    }
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : KILLED_BASE + WTERMSIG(status);
    return 0;
}

static int check_run(const struct running *running, const char *program, struct xb_error *err)
{
    int why = 0;
    if (read(running->failed_fd, &why, sizeof why) != sizeof why) {
        return 0;
    }
    return why == ENOENT
               ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the node has no %s", program)
           : why == EPERM || why == EACCES
               ? xb_error_set(err, XB_ERR_DENIED, -why, "the node's %s cannot be run from here: %s",
                              program, strerror(why))
               : xb_error_errno(err, why, "running the node's %s", program);
}

static int run(const struct xb_command *command, struct child *child, struct running *running,
               struct xb_exec_result *said, struct xb_error *err)
{
    const struct xb_exec_command *exec = &command->exec;
    int64_t until_ns = xb_clock_mono_ns() + xb_exec_timeout_ms(exec) * XB_NS_PER_MS;
    int r = start(child, command->beside, running, err);
    end_child(child);
    if (r < 0) {
        return r;
    }
    if (running->pid_fd < 0) {
        r = xb_error_errno(err, errno, "waiting for %s", exec->argv[0]);
    } else {
        r = attend(running, exec, until_ns, said, err);
    }
    int code = -1;
    struct xb_error why = XB_ERROR_INIT;
    if (r <= 0) {
        end(running);
    }
    int ended = collect(running, exec->argv[0], &code, &why);
    if (r < 0) {
        return r;
    }
    if (ended < 0) {
        *err = why;
        return ended;
    }
    said->timed_out = r == 0;
    said->exit_code = r == 0 ? -1 : code;
    return check_run(running, command->programs[0], err);
}

int xb_command_run(const struct xb_command *command, struct xb_exec_result *ret,
                   struct xb_error *err)
{
    struct running running = {.pid = -1, .pid_fd = -1, .out_fd = -1, .err_fd = -1, .failed_fd = -1};
    struct child child = {.programs = command->programs,
                          .spaces = {-1, -1},
                          .in_fd = -1,
                          .out_fd = -1,
                          .err_fd = -1,
                          .failed_fd = -1};
    int r = xb_exec_command_check(&command->exec, err);
    if (r < 0) {
        return r;
    }
    /* execve changes nothing of it, and does not say so. */
    memcpy(&child.argv, &command->exec.argv, sizeof child.argv);
    struct xb_exec_result said = xb_exec_result_for(&command->exec);
    r = run(command, &child, &running, &said, err);
    end_running(&running);
    if (r < 0) {
        xb_exec_result_free(&said);
        return r;
    }
    *ret = said;
    return 0;
}
