/* SPDX-License-Identifier: Apache-2.0
 *
 * serve.h - the bracket guard: a process that thaws an application when its agent no longer can.
 *
 * What for:  `xebec guard`, in a container of its own in the agent's pod, since an OOM kill takes a
 *            whole container. The agent says what thaws a pod before it runs its first pre hook,
 *            and beats; when it asks, is gone, or was silent for XB_GUARD_SILENCE_MS, the guard
 *            runs the pod's post hooks, once, and keeps what came of them for the agent that comes
 *            next. It also freezes file systems for the agent, and thaws them after one second at
 *            the latest; and it watches over a volume group of LVM on which somebody works for the
 *            agent, and resumes the devices that this one leaves suspended.
 * Ownership: nothing is kept after it returns.
 * Threads:   one that talks, one per bracket and per frozen file system, all begun at the start.
 * Blocking:  xb_guard_serve until a signal, and then until nothing is left to be thawed.
 * Memory:    locked; what is needed later is there before the first word: tables, threads, and a
 *            heap that is touched and never given back. Nothing is written to any disk: what it
 *            knows is lost with it, and then the agent, or the next one, runs the hooks.
 * Shapes:    message.h. The runtime's socket is not kept open: a runtime that restarts has another,
 *            and on a kept connection a request could be sent twice (agent/hooks/cri.h).
 * Errors:    INVALID, IO: the socket cannot be made.
 * Limits:    XB_GUARD_*; peers with another user id are not heard; one agent at a time.
 */
#pragma once

#include <stdatomic.h>

#include "agent/hooks/cri.h"
#include "agent/mapper/mapper.h"

enum { XB_GUARD_FREEZES_MAX = 8 };

/* The device mapper; for tests another one. */
struct xb_guard_mapper {
    int (*list)(int fd, struct xb_mapper_list *ret, struct xb_error *err);
    int (*info)(int fd, struct xb_mapper_id id, struct xb_mapper_device *ret, struct xb_error *err);
    int (*resume)(int fd, struct xb_mapper_id id, struct xb_error *err);
};

struct xb_guard_serve_options {
    const char *socket;
    const char *runtime_root; /* NULL: XB_CRI_ROOT */
    bool lock_memory;         /* the whole process's */
    /* For tests; NULL: the real ones. */
    int (*exec)(const char *root, const struct xb_cri_target *target,
                const struct xb_exec_command *command, struct xb_exec_result *ret,
                struct xb_error *err);
    int (*freeze)(int fd, bool freeze); /* 0, or a negative errno */
    const struct xb_guard_mapper *mapper;
};

/* Ends when `stop_fd` can be read (a signalfd, say). */
int xb_guard_serve(const struct xb_guard_serve_options *options, int stop_fd,
                   struct xb_error *err) XB_MUST_CHECK;
