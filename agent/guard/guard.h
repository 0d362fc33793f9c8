/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.h - the agent's side of the bracket guard (serve.h): who thaws when the agent cannot.
 *
 * What for:  around a pod's hooks: arm before the first pre hook, held when they are over, close
 *            instead of running the post hooks oneself. Whatever becomes of the agent in between,
 *            the post hooks are run within two seconds, once, and their results wait for it, or for
 *            the agent that comes next (xb_guard_ask). And xb_guard_freeze, which freezes a file
 *            system for a second at the most, and xb_guard_watch for work on volume groups.
 * Ownership: the caller owns the guard, the results (xb_guard_results_free), and what is frozen
 *            (xb_guard_thaw ends it, always).
 * Threads:   any number. One of its own beats, connects again, and arms anew after the guard was
 *            started again. If it ends (xb_guard_free), the guard thaws everything.
 * Blocking:  XB_GUARD_ANSWER_MS for an answer; close and ask until the post hooks have been run;
 *            freeze and thaw as they say.
 * Errors:    NOT_FOUND: there is no guard that answers; then nobody thaws for the agent, and it
 *            has to run the hooks itself. FULL, CONFLICT, INVALID: it does not take this bracket,
 *            to the same end. DENIED: this file system is not frozen.
 * Limits:    those of message.h and table.h; XB_GUARD_FREEZE_MS_MAX.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/mapper/mapper.h"
#include "shared/base/cleanup.h"
#include "shared/base/exec.h"

enum {
    XB_GUARD_BEAT_MS = 200,
    XB_GUARD_ANSWER_MS = 1000,
    XB_GUARD_LIMIT_MS_MAX = 1000 /* of a frozen file system */
};

struct xb_guard;

/* `socket` NULL or "": there is none, and *ret is NULL, with which every function below answers
 * NOT_FOUND. Does not wait for the guard: it may start later. */
int xb_guard_new(const char *socket, struct xb_guard **ret, struct xb_error *err) XB_MUST_CHECK;
void xb_guard_free(struct xb_guard *guard);
XB_DEFINE_CLEANUP(xb_guard_freep, struct xb_guard, xb_guard_free);

/* ---- hooks ---- */

struct xb_guard_command {
    const char *container;
    const char *const *argv; /* ended by NULL */
    int timeout_ms;
};

struct xb_guard_arming {
    const char *id; /* of the bracket: no other has it, before or after */
    const char *pod_uid, *pod_namespace, *pod_name; /* as agent/hooks/cri.h wants them */
    const struct xb_guard_command *post;
    size_t post_count;
    size_t output_bytes_max; /* kept of each stream of a hook */
};

/* CONFLICT: the guard knows it, so ask. */
int xb_guard_arm(struct xb_guard *guard, const struct xb_guard_arming *arming,
                 struct xb_error *err) XB_MUST_CHECK;
/* The pre hooks are over. 0: the guard holds it; CONFLICT: the post hooks have been run meanwhile,
 * or are being run, and must be run again: the pre hooks came after them. */
int xb_guard_held(struct xb_guard *guard, const char *id, struct xb_error *err) XB_MUST_CHECK;
/* It needs no thawing: no pre hook was begun, or the agent has run the post hooks itself, or the
 * results have been written down. */
void xb_guard_forget(struct xb_guard *guard, const char *id);

struct xb_guard_outcome {
    int r; /* as of an exec: 0, or what `why` says */
    struct xb_error why;
    struct xb_exec_result said;
};

struct xb_guard_results {
    bool asked;   /* the agent has asked; else they were run because it was gone, silent or
                     stopped, and what is read after begun_ms is not between the hooks */
    bool settled; /* no pre hook can have come after them */
    int64_t begun_ms, ended_ms;        /* wall */
    struct xb_guard_outcome *outcomes; /* of the post hooks, in their order */
    size_t count;
};

/* Has the post hooks run and waits for them. NOT_FOUND: the guard does not answer, or knows nothing
 * of it. */
int xb_guard_close(struct xb_guard *guard, const char *id, struct xb_guard_results *ret,
                   struct xb_error *err) XB_MUST_CHECK;
/* Whether this process has armed it, and has neither closed nor forgotten it since. */
bool xb_guard_armed_here(struct xb_guard *guard, const char *id);
/* As xb_guard_close, without waiting: nothing that is read from now on needs it. xb_guard_close
 * then finds the results. */
void xb_guard_release(struct xb_guard *guard, const char *id);
enum xb_guard_knows {
    XB_GUARD_KNOWS_NOTHING, /* it was started again, or never heard of it */
    XB_GUARD_HOLDS,         /* it watches over it */
    XB_GUARD_HAS_RUN        /* *ret is filled */
};
/* What the guard knows of a bracket, also of an agent's before this one. Hooks that are being run
 * are waited for. enum xb_guard_knows. */
int xb_guard_ask(struct xb_guard *guard, const char *id, struct xb_guard_results *ret,
                 struct xb_error *err) XB_MUST_CHECK;
void xb_guard_results_free(struct xb_guard_results *results);

/* ---- file systems ---- */

struct xb_guard_volume {
    int fd;                          /* of a folder or file in it, not O_PATH */
    const char *pods_root, *pod_uid; /* whose it must be, and nobody else's */
    const char *home;                /* a local volume's own folder on the node; may be NULL */
};

/* Whether it is this pod's alone, so that nobody else stands still with it. DENIED: it is not
 * (mounts.h), or nobody knows. */
int xb_guard_may_freeze(const struct xb_guard_volume *volume, struct xb_error *err) XB_MUST_CHECK;

/* What is frozen. */
struct xb_guard_frozen {
    int fd, volume_fd;
    uint64_t freezing_us; /* until it was */
};

/* Flushes it, then has the guard freeze it. DENIED: it is not this pod's alone (mounts.h), or the
 * guard must not; IO: the kernel refused. limit_ms: 1 to XB_GUARD_LIMIT_MS_MAX. */
int xb_guard_freeze(struct xb_guard *guard, const struct xb_guard_volume *volume, unsigned limit_ms,
                    struct xb_guard_frozen *ret, struct xb_error *err) XB_MUST_CHECK;
/* Thaws; after that it is, in any case. *ret_us: how long writers stood still. CONFLICT with
 * -ETIME: it was thawed before, so what was copied meanwhile is of no single moment. */
int xb_guard_thaw(struct xb_guard_frozen *frozen, uint64_t *ret_us,
                  struct xb_error *err) XB_MUST_CHECK;

/* ---- volume groups ---- */

struct xb_guard_watched {
    int fd;
    struct xb_mapper_id device;
};

/* Before somebody works on the volume group of that device (lvcreate): what is suspended for longer
 * than limit_ms (1 to XB_GUARD_LIMIT_MS_MAX) is resumed, and whatever is suspended when this
 * process ends. DENIED: it is no volume of LVM, or the guard must not; CONFLICT: something of the
 * group is suspended already, or it is watched over for somebody else. The guard watches for
 * XB_GUARD_WATCH_MS_MAX at most. */
int xb_guard_watch(struct xb_guard *guard, struct xb_mapper_id device, unsigned limit_ms,
                   struct xb_guard_watched *ret, struct xb_error *err) XB_MUST_CHECK;
/* After this one has ended and is waited for: after that nothing of the group is suspended, in any
 * case. *ret_us: for how long something was, as seen every 10 ms. CONFLICT with -ETIME: something
 * had to be resumed, so what was made meanwhile may be of no single moment. */
int xb_guard_unwatch(struct xb_guard_watched *watched, uint64_t *ret_us,
                     struct xb_error *err) XB_MUST_CHECK;

/* ---- the guard's end ---- */

/* For a preStop hook: has it run all post hooks now, and waits for that. */
int xb_guard_stop(const char *socket, int timeout_ms, struct xb_error *err) XB_MUST_CHECK;
