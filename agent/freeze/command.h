/* SPDX-License-Identifier: Apache-2.0
 *
 * command.h - a program of the node, run and waited for; for the files of this folder only.
 *
 * What for:  what only the node's own programs may do (LVM: its version, its configuration and its
 *            locks must be the ones that everybody else on the node uses).
 * Ownership: the command is lent; the caller owns the result (xb_exec_result_free).
 * Threads:   any.
 * Blocking:  until the program ends, at most its timeout and twice XB_COMMAND_END_MS: after that it
 *            is asked to end, and then killed.
 * Shapes:    no shell; an environment of its own; no input; no descriptor of ours but its outputs.
 *            It runs in the mount and IPC namespaces of another process, if that has others: so
 *            paths are the node's, beside process 1 (from within a container that needs hostPID,
 *            and to be privileged). It is a process group of its own: what interrupts us does not
 *            interrupt it, and what kills us leaves it to its work.
 * Errors:    0: it ran (struct xb_exec_result). NOT_FOUND: none of the programs is there. DENIED:
 *            the namespaces are not ours to enter. IO: it could not be run, or cannot be ended: it
 *            is in the kernel, and ends when that lets it go. CANCELLED.
 * Limits:    XB_EXEC_*.
 */
#pragma once

#include <sys/types.h>

#include "shared/base/exec.h"

enum { XB_COMMAND_END_MS = 1000 };

struct xb_command {
    const char *const *programs; /* paths, ended by NULL, of which the first that is there is run */
    pid_t beside;                /* in whose namespaces; 0: in ours */
    struct xb_exec_command exec; /* argv[0] is only what it calls itself */
};
int xb_command_run(const struct xb_command *command, struct xb_exec_result *ret,
                   struct xb_error *err) XB_MUST_CHECK;
