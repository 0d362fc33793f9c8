/* SPDX-License-Identifier: Apache-2.0
 * A guard's beginning and end: its socket, its memory, its threads. */
#include "agent/guard/serve.h"

#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/guard/internal.h"
#include "shared/base/log.h"

enum { BACKLOG = 8, STACK_BYTES = 256 << 10, HEAP_BYTES = 4 << 20 };

static int listen_at(struct xb_guard_server *server, struct xb_error *err)
{
    const char *path = server->options.socket;
    struct sockaddr_un address;
    struct stat st;
    int r = xb_guard_address(path, &address, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep)
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(path); /* of the guard before */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(path, S_IRUSR | S_IWUSR) < 0 || listen(fd, BACKLOG) < 0 || stat(path, &st) < 0) {
        return xb_error_errno(err, errno, "the guard's socket %.100s", path);
    }
    server->device = st.st_dev;
    server->listen_fd = XB_TAKE_FD(fd);
    return 0;
}

static bool may_thaw(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{.effective = 0}};
    return syscall(SYS_capget, &header, data) == 0 &&
           (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) != 0;
}

/* What is needed later is there from now on. */
static void lock_memory(void)
{
    struct xb_error err = XB_ERROR_INIT;
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    (void)mallopt(M_MMAP_MAX, 0);
    void *heap = malloc(HEAP_BYTES);
    if (heap) {
        explicit_bzero(heap, HEAP_BYTES);
    }
    free(heap);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        xb_error_errno(&err, errno, "mlockall");
        xb_log_err(XB_LOG_WARNING, &err, "the guard's memory is not locked", "hint",
                   "it needs CAP_IPC_LOCK", (char *)NULL);
    }
}

static int make_server(struct xb_guard_server *server, struct xb_error *err)
{
    pthread_condattr_t clock;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &clock);
    pthread_condattr_destroy(&clock);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->stopping_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->can_thaw = server->options.freeze || may_thaw();
    if (server->wake_fd < 0 || server->stopping_fd < 0) {
        return xb_error_errno(err, errno, "an eventfd");
    }
    struct xb_error ignored = XB_ERROR_INIT;
    server->mapper_fd = server->can_thaw ? xb_mapper_open(&ignored) : -1;
    return listen_at(server, err);
}

struct threads {
    pthread_t ids[XB_GUARD_BRACKETS_MAX + XB_GUARD_FREEZES_MAX];
    size_t count;
};

static int start_threads(struct xb_guard_server *server, struct threads *threads,
                         struct xb_error *err)
{
    pthread_attr_t small;
    int failed = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (size_t i = 0; i < XB_GUARD_BRACKETS_MAX && !failed; i++) {
        struct xb_guard_runner *runner = &server->runners[i];
        runner->server = server;
        runner->bracket = &server->table.brackets[i];
        failed = pthread_create(&threads->ids[threads->count], &small, xb_guard_thaw_main, runner);
        threads->count += failed == 0;
    }
    for (size_t i = 0; i < XB_GUARD_FREEZES_MAX && !failed; i++) {
        struct xb_guard_holder *holder = &server->holders[i];
        failed = pthread_create(&threads->ids[threads->count], &small, xb_guard_hold_main, holder);
        threads->count += failed == 0;
    }
    pthread_attr_destroy(&small);
    return failed ? xb_error_errno(err, failed, "the guard's threads") : 0;
}

static void end_server(struct xb_guard_server *server, const struct threads *threads)
{
    pthread_mutex_lock(&server->lock);
    server->ended = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    for (size_t i = 0; i < threads->count; i++) {
        pthread_join(threads->ids[i], NULL);
    }
    if (server->listen_fd >= 0) {
        (void)unlink(server->options.socket);
    }
    xb_closep(&server->listen_fd);
    xb_closep(&server->wake_fd);
    xb_closep(&server->stopping_fd);
    xb_closep(&server->mapper_fd);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

int xb_guard_serve(const struct xb_guard_serve_options *options, int stop_fd, struct xb_error *err)
{
    struct threads threads = {.count = 0};
    struct xb_guard_server *server = calloc(1, sizeof *server);
    if (!server) {
        return xb_error_no_memory(err, "the guard");
    }
    server->options = *options;
    server->options.exec = options->exec ? options->exec : xb_cri_exec;
    server->listen_fd = server->wake_fd = server->stopping_fd = server->mapper_fd = -1;
    server->stop_fd = stop_fd;
    for (size_t i = 0; i < XB_GUARD_FREEZES_MAX; i++) {
        server->holders[i].server = server;
        server->holders[i].fd = -1;
    }
    if (options->lock_memory) {
        lock_memory();
    }
    int r = make_server(server, err);
    r = r ? r : start_threads(server, &threads, err);
    r = r ? r : xb_guard_talk(server, err);
    end_server(server, &threads);
    return r;
}
