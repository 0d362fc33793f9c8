/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks.h - which commands a backup runs in a pod before and after it is copied.
 *
 * What for:  one answer to "which hooks has this pod?", for the coordinator, and for the agent,
 *            which believes nobody else's: annotations of the pod, else the hooks of the
 *            Backup's spec. And whether it has a session: a command that is begun after the pre
 *            hooks, lives while the pod is copied, and is told to end before the post hooks.
 * Ownership: hooks own everything in them (xb_hooks_free).
 * Threads:   any.
 * Blocking:  never (pure).
 * Shapes:    a phase that the pod's annotations speak of does not look at the spec. An
 *            annotation whose on-error or timeout makes no sense is set aside with a note, as
 *            Velero does; a command or a container that makes no sense is a problem: such a hook
 *            fails instead of being run. Pods that have ended (Succeeded, Failed) have no hooks.
 *            A session is in annotations of the pod only, XB_SESSION_ANNOTATION and command,
 *            container, ready, end, timeout, on-error; of which the first makes it one.
 * Errors:    of xb_hooks_check: INVALID, named by field. Of xb_hooks_of: INVALID, more than
 *            XB_HOOKS_MAX hooks of a phase.
 * Limits:    XB_HOOKS_MAX; the sizes of arguments are those of shared/base/exec.h.
 * Source:    velero-contract sections 1 and 3, "Hooks".
 */
#pragma once

#include "shared/base/exec.h"
#include "shared/codec/json.h"
#include "shared/crypto/hash.h"

#define XB_SESSION_ANNOTATION "xebec.io/session-"

enum {
    XB_HOOKS_MAX = 32,            /* of one phase of one pod */
    XB_HOOKS_RESOURCES_MAX = 256, /* entries of spec.hooks.resources */
    XB_HOOK_WORD_BYTES_MAX = 253, /* a container's name */
    XB_HOOK_COMMAND_BYTES_MAX = XB_EXEC_ARGUMENTS_BYTES_MAX,
    XB_HOOKS_DIGEST_BYTES = 2 * XB_SHA256_BYTES + 1
};

enum xb_hook_phase {
    XB_HOOK_PRE,
    XB_HOOK_POST,
    XB_HOOK_SESSION, /* between the two: one at most */
    XB_HOOK_PHASES
};

struct xb_hook {
    char *name;      /* of the spec's entry; "from-annotation" */
    char *container; /* "" only with a problem */
    char **argv;     /* ended by NULL */
    int timeout_ms;
    char *ready, *end; /* sessions: lines; NULL only with a problem */
    int wait_ms;       /* restores: for its container to be up; 0: nothing was said */
    bool wait_ready;   /* restores: up means ready, not just running */
    bool go_on;        /* onError Continue */
    char *problem;     /* why it cannot be run; NULL: it can */
    char *note;        /* what was set aside; NULL: nothing */
};

struct xb_hook_list {
    struct xb_hook *hooks;
    size_t count;
};

struct xb_hooks {
    struct xb_hook_list phases[XB_HOOK_PHASES];
};

/* "pre", "post", "session" */
const char *xb_hook_phase_name(enum xb_hook_phase phase);

/* The hooks of a pod (an object of the API) in a backup (its object). */
int xb_hooks_of(xb_json *backup, xb_json *pod, struct xb_hooks *ret,
                struct xb_error *err) XB_MUST_CHECK;
bool xb_hooks_any(const struct xb_hooks *hooks);
void xb_hooks_free(struct xb_hooks *hooks);
void xb_hook_list_free(struct xb_hook_list *list);

/* The same for hooks that mean the same. */
int xb_hooks_digest(const struct xb_hooks *hooks, char out[XB_HOOKS_DIGEST_BYTES],
                    struct xb_error *err) XB_MUST_CHECK;

/* What is wrong with spec.hooks of a backup: the first fault. */
int xb_hooks_check(xb_json *backup, struct xb_error *err) XB_MUST_CHECK;

/* Whether a namespace is in a pair of lists (spec.includedNamespaces and the like) with globs. An
 * empty first list takes all. */
bool xb_hooks_lists_take(xb_json *included, xb_json *excluded, const char *text);
