/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/hooks/cri.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "agent/hooks/containers.h"
#include "agent/hooks/exec_answer.h"
#include "agent/hooks/grpc.h"
#include "shared/base/clock.h"
#include "shared/http/retry.h"

enum { MS_PER_S = 1000, SOCKET_BYTES = sizeof((struct sockaddr_un *)0)->sun_path };

#define METHOD(name) "/runtime.v1.RuntimeService/" name

/* Below the host's /run. */
static const struct runtime {
    const char *name, *folder, *socket;
} runtimes[] = {
    {"containerd", "containerd", "containerd.sock"},
    {"containerd of k3s or RKE2", "k3s/containerd", "containerd.sock"},
    {"CRI-O", "crio", "crio.sock"},
};
enum { RUNTIMES = sizeof runtimes / sizeof *runtimes };

enum presence { ABSENT, AWAY, PRESENT };

/* Where there is no runtime, the folder is empty (mounting it has made it). */
static bool folder_used(const char *path)
{
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            return true;
        }
    }
    return false;
}

static enum presence find_socket(const char *root, const struct runtime *runtime,
                                 char ret[SOCKET_BYTES])
{
    char path[PATH_MAX];
    struct stat st;
    int len = snprintf(path, sizeof path, "%s/%s/%s", root, runtime->folder, runtime->socket);
    if (len < 0 || len >= SOCKET_BYTES) {
        return ABSENT;
    }
    memcpy(ret, path, (size_t)len + 1);
    if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        return PRESENT;
    }
    *strrchr(path, '/') = '\0';
    return folder_used(path) ? AWAY : ABSENT;
}

bool xb_cri_present(const char *root)
{
    char socket[SOCKET_BYTES];
    for (size_t i = 0; i < RUNTIMES; i++) {
        if (find_socket(root ? root : XB_CRI_ROOT, &runtimes[i], socket) == PRESENT) {
            return true;
        }
    }
    return false;
}

static int append_piece(void *context, const void *data, size_t len, struct xb_error *err)
{
    return xb_buf_append(context, data, len, err);
}

/* Before a command is asked for, whatever goes wrong leaves it not started. */
static int status_of_list(const struct xb_grpc_status *status, const char *socket,
                          struct xb_error *err)
{
    switch (status->code) {
    case XB_GRPC_OK:
        return 0;
    case XB_GRPC_UNIMPLEMENTED:
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "the runtime at %.100s has no CRI v1 (%.200s): it is switched off, or "
                            "too old",
                            socket, status->message);
    case XB_GRPC_PERMISSION_DENIED:
    case XB_GRPC_UNAUTHENTICATED:
        return xb_error_set(err, XB_ERR_DENIED, -EACCES, "the runtime at %.100s refuses: %.300s",
                            socket, status->message);
    default:
        return xb_error_set(err, XB_ERR_RETRY, -EIO,
                            "the runtime at %.100s does not list its containers: %.300s (code %d)",
                            socket, status->message, status->code);
    }
}

/* NOT_FOUND: this runtime has no such container running. */
static int find_container(const char *socket, const struct xb_cri_target *target,
                          const atomic_bool *cancel, char ret[XB_CONTAINER_ID_BYTES],
                          struct xb_error *err)
{
    struct xb_buf request = XB_BUF_INIT(4096);
    struct xb_buf answer = XB_BUF_INIT(XB_CRI_ANSWER_BYTES_MAX);
    struct xb_grpc_status status = {.code = 0};
    int r = xb_containers_request(target, &request, err);
    if (r == 0) {
        const struct xb_grpc_call call = {
            .socket = socket,
            .method = METHOD("ListContainers"),
            .message = request.data,
            .message_len = request.len,
            .timeout_ms = XB_CRI_ASK_TIMEOUT_MS,
            .answer_bytes_max = XB_CRI_ANSWER_BYTES_MAX,
            .on_piece = append_piece,
            .context = &answer,
            .cancel = cancel,
        };
        r = xb_grpc_call(&call, &status, err);
        if (r < 0 && err->kind != XB_ERR_CANCELLED) {
            err->kind = XB_ERR_RETRY; /* nothing was started */
        }
    }
    r = r ? r : status_of_list(&status, socket, err);
    if (r == 0) {
        r = xb_containers_choose(answer.data ? answer.data : "", answer.len, target, ret, err);
        err->kind = r < 0 ? XB_ERR_RETRY : err->kind;
    }
    xb_buf_free(&request);
    xb_buf_free(&answer);
    if (r == 0 && !*ret) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "the pod with uid %.100s has no running container '%.100s' on this "
                            "node",
                            target->pod_uid, target->container);
    }
    return r;
}

struct place {
    char socket[SOCKET_BYTES];
    char container[XB_CONTAINER_ID_BYTES];
};

/* Of several runtimes' failures the one to be told: first who could not be asked, since he may have
 * the container; then who does not know it; then who speaks no CRI at all. */
static int weight(const struct xb_error *err)
{
    switch (err->code) {
    case 0:
        return 0;
    case -ENODEV:
        return 1;
    case -ENOTSUP:
        return 2;
    default:
        return err->kind == XB_ERR_NOT_FOUND ? 3 : 4;
    }
}

/* Asks each runtime once. */
static int find_once(const char *root, const struct xb_cri_target *target,
                     const atomic_bool *cancel, struct place *ret, struct xb_error *err)
{
    struct xb_error worst = XB_ERROR_INIT;
    xb_error_set(&worst, XB_ERR_NOT_FOUND, -ENODEV,
                 "no container runtime's socket is below %.100s (mount the host's /run/containerd, "
                 "/run/k3s/containerd or /run/crio there)",
                 root);
    for (size_t i = 0; i < RUNTIMES; i++) {
        struct xb_error one = XB_ERROR_INIT;
        enum presence presence = find_socket(root, &runtimes[i], ret->socket);
        if (presence == PRESENT) {
            int r = find_container(ret->socket, target, cancel, ret->container, &one);
            if (r == 0) {
                return 0;
            }
        } else if (presence == AWAY) {
            xb_error_set(&one, XB_ERR_RETRY, -ENOENT, "%s has no socket at %.100s: does it run?",
                         runtimes[i].name, ret->socket);
        }
        worst = weight(&one) > weight(&worst) ? one : worst;
        if (one.kind == XB_ERR_CANCELLED) {
            break;
        }
    }
    *err = worst;
    return worst.code;
}

/* A runtime that restarts is back within seconds, with another socket: so many attempts that the
 * budget is what ends them. */
static int find(const char *root, const struct xb_cri_target *target, const atomic_bool *cancel,
                struct place *ret, struct xb_error *err)
{
    static const struct xb_http_retry policy = {.attempts_max = 7,
                                                .budget_ms = XB_CRI_ASK_TIMEOUT_MS};
    struct xb_http_attempts attempts;
    int r;
    xb_http_attempts_begin(&attempts, &policy);
    do {
        r = find_once(root, target, cancel, ret, err);
    } while (r < 0 && err->kind == XB_ERR_RETRY && xb_http_attempts_again(&attempts, -1, cancel));
    return r;
}

static int timed_out(struct xb_exec_result *result)
{
    result->timed_out = true;
    result->exit_code = -1;
    return 0;
}

/* What the runtime said of a command that it was asked to run. */
static int status_of_exec(const struct xb_grpc_status *status, struct xb_exec_result *result,
                          struct xb_error *err)
{
    enum xb_error_kind kind = XB_ERR_IO;
    int code = -EIO;
    switch (status->code) {
    case XB_GRPC_OK:
        return 0;
    case XB_GRPC_DEADLINE_EXCEEDED:
        return timed_out(result);
    case XB_GRPC_NOT_FOUND:
        kind = XB_ERR_NOT_FOUND;
        code = -ENOENT;
        break;
    case XB_GRPC_INVALID_ARGUMENT:
    case XB_GRPC_UNIMPLEMENTED:
        kind = XB_ERR_INVALID;
        code = -EINVAL;
        break;
    case XB_GRPC_PERMISSION_DENIED:
    case XB_GRPC_UNAUTHENTICATED:
        kind = XB_ERR_DENIED;
        code = -EACCES;
        break;
    case XB_GRPC_RESOURCE_EXHAUSTED: /* the command said more than the runtime can hand out */
        kind = XB_ERR_FULL;
        code = -E2BIG;
        break;
    default:
        break;
    }
    return xb_error_set(err, kind, code, "the runtime says: %s (code %d)", status->message,
                        status->code);
}

static int transport_failure(struct xb_exec_result *result, struct xb_error *err)
{
    if (err->kind == XB_ERR_RETRY && err->code == -ETIMEDOUT) {
        return timed_out(result);
    }
    if (err->kind == XB_ERR_RETRY && err->code != -ECONNREFUSED) {
        err->kind = XB_ERR_IO; /* it was asked for: who knows how far it came */
    }
    return err->code;
}

static int exec_in(const struct place *place, const struct xb_exec_command *command,
                   struct xb_exec_result *result, struct xb_error *err)
{
    struct xb_buf request = XB_BUF_INIT(XB_EXEC_ARGUMENTS_BYTES_MAX + XB_EXEC_ARGUMENTS_MAX * 8);
    struct xb_exec_answer answer;
    struct xb_grpc_status status = {.code = 0};
    int64_t timeout_ms = xb_exec_timeout_ms(command);
    int64_t timeout_s = (timeout_ms + MS_PER_S - 1) / MS_PER_S;
    int64_t end_ns = xb_clock_mono_ns() + timeout_ms * XB_NS_PER_MS;
    xb_exec_answer_begin(&answer, result);
    int r = xb_containers_exec_request(place->container, command->argv, timeout_s, &request, err);
    if (r < 0) {
        xb_buf_free(&request);
        return r;
    }
    const struct xb_grpc_call call = {
        .socket = place->socket,
        .method = METHOD("ExecSync"),
        .message = request.data,
        .message_len = request.len,
        .timeout_ms = (int)(timeout_s * MS_PER_S + XB_CRI_GRACE_MS),
        .answer_bytes_max = XB_CRI_EXEC_BYTES_MAX,
        .on_piece = xb_exec_answer_feed,
        .context = &answer,
        .cancel = command->cancel,
    };
    r = xb_grpc_call(&call, &status, err);
    xb_buf_free(&request);
    if (r < 0) {
        return transport_failure(result, err);
    }
    if (status.code != XB_GRPC_OK) {
        return status_of_exec(&status, result, err);
    }
    /* Some versions of CRI-O say it by this exit code, which no process can have. */
    if (result->exit_code == -1 && xb_clock_mono_ns() >= end_ns) {
        return timed_out(result);
    }
    return xb_exec_answer_end(&answer, err);
}

int xb_cri_exec(const char *root, const struct xb_cri_target *target,
                const struct xb_exec_command *command, struct xb_exec_result *ret,
                struct xb_error *err)
{
    struct place place;
    int r = xb_exec_command_check(command, err);
    r = r ? r : find(root ? root : XB_CRI_ROOT, target, command->cancel, &place, err);
    if (r < 0) {
        return r;
    }
    struct xb_exec_result result = xb_exec_result_for(command);
    r = exec_in(&place, command, &result, err);
    if (r < 0) {
        xb_exec_result_free(&result);
        return xb_error_wrap(err, "container '%.100s'", target->container);
    }
    *ret = result;
    return 0;
}
