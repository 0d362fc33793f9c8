/* SPDX-License-Identifier: Apache-2.0
 * xebec guard: the process that thaws what an agent cannot thaw any more; and the word that ends it
 * in good order. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/guard/guard.h"
#include "agent/guard/serve.h"
#include "shared/base/log.h"

enum { STOP_TIMEOUT_MS = 25 * 1000 }; /* within a pod's usual 30 s to end */

#define SOCKET "/guard/socket"

/* Whoever reads the log may be unable to (a full disk): what is not read then is lost, and nothing
 * waits for it. */
static void never_wait_for_the_log(void)
{
    struct stat st;
    int flags = fcntl(STDERR_FILENO, F_GETFL);
    if (flags >= 0 && fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode)) {
        (void)fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
    }
}

int xb_cli_guard(int argc, char **argv)
{
    struct xb_guard_serve_options options = {.socket = SOCKET, .lock_memory = true};
    const char *format = "json";
    struct xb_cli_option table[] = {
        {"socket", XB_CLI_TEXT, &options.socket, "PATH",
         "where the agent finds it (default " SOCKET ")"},
        {"runtime-root", XB_CLI_TEXT, &options.runtime_root, "DIR",
         "where the host's runtime folders are (default " XB_CRI_ROOT ")"},
        {"log-format", XB_CLI_TEXT, &format, "FORMAT", "json or text (default json)"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("guard"), .options = table};
    struct xb_error err = XB_ERROR_INIT;
    sigset_t signals;
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    xb_log_setup("guard", XB_LOG_INFO, strcmp(format, "text") == 0 ? XB_LOG_TEXT : XB_LOG_JSON);
    never_wait_for_the_log();
    (void)prctl(PR_SET_NAME, "xebec-guard"); /* for who looks at the node's processes */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    XB_CLEANUP(xb_closep) int stop_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    int r = stop_fd < 0 ? xb_error_set(&err, XB_ERR_IO, -1, "a signalfd cannot be had")
                        : xb_guard_serve(&options, stop_fd, &err);
    if (r < 0) {
        xb_log_error(&err, "the guard cannot go on");
        return XB_EXIT_FAILED;
    }
    return XB_EXIT_OK;
}

int xb_cli_guard_stop(int argc, char **argv)
{
    const char *socket = SOCKET;
    struct xb_cli_option table[] = {
        {"socket", XB_CLI_TEXT, &socket, "PATH", "the guard's (default " SOCKET ")"},
        {NULL, XB_CLI_FLAG, NULL, NULL, NULL}};
    struct xb_cli_parse parse = {.command = xb_cli_command("guard stop"), .options = table};
    struct xb_error err = XB_ERROR_INIT;
    int status = xb_cli_parse(&parse, argc, argv);
    if (status >= 0) {
        return status;
    }
    if (xb_guard_stop(socket, STOP_TIMEOUT_MS, &err) < 0) {
        xb_log_error(&err, "the guard was not stopped");
        return XB_EXIT_FAILED;
    }
    return XB_EXIT_OK;
}
