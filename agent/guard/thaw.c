/* SPDX-License-Identifier: Apache-2.0
 * Runs a bracket's post hooks when they are due: a thread per bracket, so that none waits for
 * another pod's. */
#include <string.h>
#include <time.h>

#include "agent/guard/internal.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { TRIES_MAX = 3, TRY_AGAIN_MS = 200 };

static struct xb_guard_bytes output_of(const struct xb_exec_output *output)
{
    return (struct xb_guard_bytes){.data = (const unsigned char *)output->bytes.data,
                                   .len = output->bytes.len,
                                   .truncated = output->truncated};
}

/* Runs one; what could not be started is tried again. */
static int execute(const struct xb_guard_server *server, const struct xb_cri_target *target,
                   const struct xb_exec_command *command, struct xb_exec_result *ret,
                   struct xb_error *err)
{
    const struct timespec pause = {.tv_nsec = TRY_AGAIN_MS * XB_NS_PER_MS};
    int r = -1;
    for (int try = 0; try < TRIES_MAX; try++) {
        *err = (struct xb_error)XB_ERROR_INIT;
        r = server->options.exec(server->options.runtime_root, target, command, ret, err);
        if (r == 0 || err->kind != XB_ERR_RETRY) {
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    return r;
}

/* The results are this thread's as long as the bracket is RUNNING. */
static void add_result(struct xb_guard_bracket *bracket, const struct xb_exec_result *said,
                       const struct xb_error *why)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_result result = {.exit_code = said->exit_code,
                                     .timed_out = said->timed_out,
                                     .kind = (uint32_t)why->kind,
                                     .error = why->text,
                                     .out = output_of(&said->out),
                                     .err = output_of(&said->err)};
    if (xb_guard_add_result(&bracket->room, &result, &err) < 0) {
        result.out = result.err = (struct xb_guard_bytes){.truncated = true};
        if (xb_guard_add_result(&bracket->room, &result, &err) < 0) {
            xb_log_error(&err, "the result of a post hook is lost", "bracket", bracket->id);
        }
    }
}

static void run_hook(struct xb_guard_runner *runner, const struct xb_guard_message *armed,
                     const struct xb_guard_hook *hook)
{
    struct xb_guard_list words = hook->words;
    struct xb_exec_result said = {.exit_code = -1};
    struct xb_error why = XB_ERROR_INIT;
    size_t count = 0;
    while (count < XB_GUARD_WORDS_MAX && xb_guard_next_word(&words, &runner->argv[count])) {
        count++;
    }
    runner->argv[count] = NULL;
    const struct xb_cri_target target = {.pod_uid = armed->pod_uid,
                                         .container = hook->container,
                                         .pod_namespace =
                                             armed->pod_namespace[0] ? armed->pod_namespace : NULL,
                                         .pod_name = armed->pod_name[0] ? armed->pod_name : NULL};
    const struct xb_exec_command command = {.argv = runner->argv,
                                            .timeout_ms = (int)hook->timeout_ms,
                                            .output_bytes_max = armed->output_bytes};
    if (execute(runner->server, &target, &command, &said, &why) == 0) {
        why = (struct xb_error)XB_ERROR_INIT;
    } else {
        xb_log_error(&why, "a post hook failed", "pod", armed->pod_name, "container",
                     hook->container);
    }
    add_result(runner->bracket, &said, &why);
    xb_exec_result_free(&said);
}

static const char *const reasons[XB_GUARD_REASONS] = {"the agent asks for it",
                                                      "the agent gives no sign of life",
                                                      "the agent is gone", "the guard is stopped"};

static void run_hooks(struct xb_guard_runner *runner)
{
    struct xb_guard_bracket *bracket = runner->bracket;
    struct xb_guard_message armed;
    struct xb_guard_hook hook;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_guard_message_read(bracket->arm, bracket->arm_len, &armed, &err) < 0) {
        xb_log_error(&err, "a bracket is lost", "bracket", bracket->id); /* it was read once */
        return;
    }
    xb_log(bracket->reason == XB_GUARD_ASKED ? XB_LOG_DEBUG : XB_LOG_WARNING, "running post hooks",
           "pod", armed.pod_name, "namespace", armed.pod_namespace, "why", reasons[bracket->reason],
           (char *)NULL);
    while (xb_guard_next_hook(&armed.hooks, &hook)) {
        run_hook(runner, &armed, &hook);
    }
}

/* With the lock: until something changes, or the hooks are due. */
static void wait_for_change(struct xb_guard_runner *runner)
{
    struct xb_guard_server *server = runner->server;
    if (runner->bracket->state != XB_GUARD_DUE) {
        pthread_cond_wait(&server->changed, &server->lock);
        return;
    }
    int64_t due_ns = runner->bracket->due_ns;
    const struct timespec until = {.tv_sec = due_ns / XB_NS_PER_S, .tv_nsec = due_ns % XB_NS_PER_S};
    (void)pthread_cond_timedwait(&server->changed, &server->lock, &until);
}

void *xb_guard_thaw_main(void *argument)
{
    struct xb_guard_runner *runner = argument;
    struct xb_guard_server *server = runner->server;
    pthread_mutex_lock(&server->lock);
    while (!server->ended) {
        if (!xb_guard_table_begin(runner->bracket, xb_clock_mono_ns(),
                                  xb_clock_wall_ns() / XB_NS_PER_MS)) {
            wait_for_change(runner);
            continue;
        }
        pthread_mutex_unlock(&server->lock);
        run_hooks(runner);
        pthread_mutex_lock(&server->lock);
        xb_guard_table_end(&server->table, runner->bracket, xb_clock_mono_ns(),
                           xb_clock_wall_ns() / XB_NS_PER_MS);
        xb_guard_wake(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}
