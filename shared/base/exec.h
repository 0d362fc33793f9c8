/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h - a command that is to be run in a container, and what came of it.
 *
 * What for:  the one shape in which hooks run commands, whoever runs them: the node's container
 *            runtime (agent/hooks/cri.h) or the API server (shared/kube/exec.h).
 * Ownership: a command lends everything for the call. The caller owns a result
 *            (xb_exec_result_free).
 * Threads:   none shared.    Blocking: never (pure).
 * Shapes:    both ways return 0 when the command ran: then it ended by itself with exit_code, or
 *            timed_out is true and exit_code is -1.
 * Errors:    of both ways, by what is known about the command:
 *            NOT_FOUND: no such pod or container, or no running one; or no runtime. Nothing was
 *            started.
 *            INVALID, DENIED: it will never be started like this. Nothing was started.
 *            RETRY: could not be asked right now. Nothing was started: try again, or another way.
 *            IO, CORRUPT, FULL: it was asked for, and how it ended is not known: it may have run,
 *            or run still. That includes a program that does not exist, which a runtime tells only
 *            in words. Trying again may run it twice.
 *            CANCELLED: the flag was set; a command under way was let go as after a timeout.
 * Limits:    XB_EXEC_*. Output beyond output_bytes_max is read and dropped, and marked.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_EXEC_TIMEOUT_MS = 30 * 1000,            /* default */
    XB_EXEC_TIMEOUT_MS_MAX = 24 * 3600 * 1000, /* a day */
    XB_EXEC_OUTPUT_BYTES = 32 << 10,           /* default, of each stream */
    XB_EXEC_OUTPUT_BYTES_MAX = 4 << 20,
    XB_EXEC_ARGUMENTS_MAX = 1024,
    XB_EXEC_ARGUMENTS_BYTES_MAX = 128 << 10 /* all together */
};

struct xb_exec_command {
    const char *const *argv;   /* ended by NULL; no shell looks at it */
    int timeout_ms;            /* 0: XB_EXEC_TIMEOUT_MS */
    size_t output_bytes_max;   /* kept of each stream; 0: XB_EXEC_OUTPUT_BYTES */
    const atomic_bool *cancel; /* looked at about once a second; may be NULL */
};

/* What a stream said: any bytes, not always whole UTF-8. */
struct xb_exec_output {
    struct xb_buf bytes; /* bytes.data is NULL while empty */
    bool truncated;      /* there was more */
};

struct xb_exec_result {
    int exit_code;
    bool timed_out;
    struct xb_exec_output out, err;
};

/* INVALID: no argument, an empty first one, or more than the limits; a timeout below 0 or above
 * XB_EXEC_TIMEOUT_MS_MAX; an output limit above XB_EXEC_OUTPUT_BYTES_MAX. */
int xb_exec_command_check(const struct xb_exec_command *command,
                          struct xb_error *err) XB_MUST_CHECK;

/* The command's values, or the defaults. */
int xb_exec_timeout_ms(const struct xb_exec_command *command);

/* An empty result with the command's output limits. */
struct xb_exec_result xb_exec_result_for(const struct xb_exec_command *command);

/* Keeps what there is room for and marks the rest. */
int xb_exec_output_add(struct xb_exec_output *output, const void *data, size_t len,
                       struct xb_error *err) XB_MUST_CHECK;

/* Leaves an empty result; one that was never filled (all zero) is fine. */
void xb_exec_result_free(struct xb_exec_result *result);
