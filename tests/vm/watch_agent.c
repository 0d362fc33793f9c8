/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent whose guard watches over a volume group while a command works on it: for
 * tests/vm/guard_test.
 *
 *   watch_agent SOCKET DEVICE LIMIT_MS COMMAND...
 *
 * Says "watched", and when the command is over "done after STATUS, N us" or "lost: ..."; or
 * "refused: ...". The command dies with it.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job/standstill.h"
#include "shared/base/log.h"

enum { SOCKET = 1, DEVICE, LIMIT, COMMAND };

static int run(char **argv)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 ? -1 : status;
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_guard_freep) struct xb_guard *guard = NULL;
    struct xb_standstill still;
    struct stat st;
    uint64_t us = 0;
    if (argc <= COMMAND || stat(argv[DEVICE], &st) < 0) {
        fprintf(stderr, "usage: see the top of tests/vm/watch_agent.c\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    xb_log_setup("watch_agent", XB_LOG_INFO, XB_LOG_TEXT);
    /* No pod's: as where something that was left over is removed. */
    static const struct xb_standstill_volume volume = {.pods_roots = "", .path = ""};
    int r = xb_guard_new(argv[SOCKET], &guard, &err);
    xb_standstill_init(&still, guard, &volume);
    const struct xb_freeze_holder *holder = &still.holder;
    r = r ? r
          : holder->watch(holder->context, major(st.st_rdev), minor(st.st_rdev),
                          (unsigned)strtoul(argv[LIMIT], NULL, 10), &err);
    if (r < 0) {
        printf("refused: %s\n", err.text);
        return 1;
    }
    printf("watched\n");
    int status = run(argv + COMMAND);
    if (holder->unwatch(holder->context, &us, &err) < 0) {
        printf("lost: %s\n", err.text);
        return 1;
    }
    printf("done after %d, %" PRIu64 " us\n", status, us);
    return 0;
}
