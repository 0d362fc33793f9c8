/* SPDX-License-Identifier: Apache-2.0
 *
 * bracket.h - a pod's copies between its pre and its post hooks, agreed upon in annotations.
 *
 * What for:  a pod whose node's agent runs its hooks has a bracket on every one of its orders
 *            (PodVolumeBackups), written by the coordinator; the agent keeps the record of what was
 *            run on the first of them, the leader. Where the coordinator runs the hooks there is no
 *            bracket, and the record is in an object of its own. So a restart of either side goes
 *            on where it stood. A pod with a session is always one whose hooks the coordinator
 *            runs: only it may open one.
 * The way:   pre hooks, copies of all volumes (point_in_time.h), post hooks: in one go, by one
 *            agent, which asks no server in between (xb_bracket_pass). A volume of which there is
 *            no copy keeps the bracket open until it has been read.
 * Ownership: a bracket and a record own their JSON (their _free functions).
 * Threads:   any; a bracket belongs to one at a time.
 * Blocking:  xb_bracket_run, _open, _pass and _close, as long as the hooks (and the copies) take,
 *            and xb_bracket_tell; all else never (pure).
 * Shapes:    annotation XB_BRACKET_ANNOTATION {"id": the pod's uid, "members": [orders],
 *            "hooks": a digest}; annotation XB_BRACKET_RECORD_ANNOTATION {"state", "refused",
 *            "taken", "session": "held" or "lost", "begunMs", "endedMs", "heldUs", and a list
 *            "results", a result being {"phase", "hook", "container", "stdout", "stderr", "note"}
 *            and one of "exit", "timedOut", "error" and "skipped". The hooks themselves are never
 *            taken from an annotation of an order: who runs them asks the pod and the Backup
 *            (hooks.h), and the digest only tells whether both sides mean the same.
 * Rules:     a state is written before what it announces: "pre-begun" found after a restart
 *            means that nobody knows how they ended. Post hooks are run whenever pre hooks were
 *            begun, and once more if they were begun and their end is not known: an application
 *            that is thawed twice is better than one that stays frozen. A session that is "held"
 *            goes with the process that has it: who finds that before "post-begun" counts it as
 *            lost; after that, it had been told to end.
 * Errors:    INVALID: an annotation that is none of ours.
 * Limits:    XB_BRACKET_*.
 */
#pragma once

#include "shared/kube/client.h"
#include "shared/velero/hooks.h"

#define XB_BRACKET_ANNOTATION "xebec.io/bracket"
#define XB_BRACKET_RECORD_ANNOTATION "xebec.io/hooks"
/* In a node's Lease: "true" if its agent can run hooks. */
#define XB_BRACKET_NODE_ANNOTATION "xebec.io/runs-hooks"

enum {
    XB_BRACKET_MEMBERS_MAX = 128,
    XB_BRACKET_BYTES_MAX = 48 << 10,
    XB_BRACKET_RECORD_BYTES_MAX = 160 << 10,
    XB_BRACKET_OUTPUT_BYTES = 3 << 10,   /* of a stream of a hook, at most */
    XB_BRACKET_OUTPUTS_BYTES = 24 << 10, /* of all streams of a phase together */
    XB_BRACKET_TELL_TRIES_MAX = 30,      /* a second apart */
    XB_BRACKET_TRIES_MAX = 3             /* for a hook that could not be started right now */
};

struct xb_bracket {
    xb_json *json;
    const char *id, *hooks; /* lent by json */
    xb_json *members;       /* lent; names, the first is the leader's */
};

/* 1: the order has a bracket; 0: it has none. */
int xb_bracket_parse(xb_json *order, struct xb_bracket *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_bracket_free(struct xb_bracket *bracket);
const char *xb_bracket_leader(const struct xb_bracket *bracket);
size_t xb_bracket_count(const struct xb_bracket *bracket);
const char *xb_bracket_member(const struct xb_bracket *bracket, size_t index);
/* The annotation's text for a bracket (whose json is not looked at); the caller frees it. */
int xb_bracket_write(const struct xb_bracket *bracket, char **ret,
                     struct xb_error *err) XB_MUST_CHECK;

enum xb_bracket_state {
    XB_BRACKET_UNBEGUN,
    XB_BRACKET_PRE_BEGUN,
    XB_BRACKET_PRE_DONE,
    XB_BRACKET_POST_BEGUN,
    XB_BRACKET_DONE
};

enum xb_bracket_session {
    XB_BRACKET_SESSION_NONE, /* or it has ended after it was told to */
    XB_BRACKET_SESSION_HELD,
    XB_BRACKET_SESSION_LOST /* before that: what was copied is of an application that went on */
};

struct xb_bracket_record {
    enum xb_bracket_state state;
    enum xb_bracket_session session;
    bool refused; /* a pre hook failed with Fail: the pod is not backed up */
    bool taken;   /* the coordinator took it over from an agent that gave no sign of life */
    int64_t begun_ms, ended_ms; /* wall: when the first hook was begun, when the last had ended; 0:
                                   not known */
    int64_t held_us; /* from the end of the last pre hook to the begin of the first post hook, where
                        one process has run both; 0: not known */
    xb_json *results;
};

/* The record on a leader; an empty one where there is none. */
int xb_bracket_record_parse(xb_json *order, struct xb_bracket_record *ret,
                            struct xb_error *err) XB_MUST_CHECK;
/* A merge patch for the leader that writes it; the caller puts it. */
int xb_bracket_record_patch(const struct xb_bracket_record *record, xb_json **ret,
                            struct xb_error *err) XB_MUST_CHECK;
void xb_bracket_record_free(struct xb_bracket_record *record);
/* Hooks that were attempted and that failed, as hookStatus counts them. */
void xb_bracket_record_count(const struct xb_bracket_record *record, int64_t *attempted,
                             int64_t *failed);
/* Whether a result is one of a failure; `text` then tells it. */
bool xb_bracket_failed(xb_json *result, char *text, size_t size);
/* What a command has said, into its result: text that fits into JSON and a log. */
void xb_bracket_put_said(xb_json *result, const struct xb_exec_result *said);
/* Adds a failure that stands for the phase as a whole ("the agent ended while ..."). */
void xb_bracket_record_fail(struct xb_bracket_record *record, enum xb_hook_phase phase,
                            const char *why);

/* The same for a session that is held: it is lost; but for one that had been told to end, of which
 * only that is not known. */
void xb_bracket_record_lose(struct xb_bracket_record *record, const char *why);

/* Who runs hooks, and how. */
struct xb_bracket_run {
    /* One command in a container of the pod; results and errors as shared/base/exec.h. */
    int (*exec)(void *context, const char *container, const struct xb_exec_command *command,
                struct xb_exec_result *ret, struct xb_error *err);
    /* Writes the record down; NULL: there is nothing to write it on. */
    int (*tell)(void *context, const struct xb_bracket_record *record, struct xb_error *err);
    /* xb_bracket_pass: makes the copies, while the application is held. True: there are all, and it
     * may go on at once. NULL: there are none. */
    bool (*copy)(void *context);
    /* Begins the pod's session, and puts into the result why it is not ready: 1: it is held; 0: it
     * is not; CANCELLED. NULL: nobody here can. */
    int (*hold)(void *context, const struct xb_hook *session, xb_json *result,
                struct xb_error *err);
    /* Whether this process still has it; or why not, into the result. */
    bool (*holds)(void *context, xb_json *result);
    /* Tells it to end, and puts what came of that into the result. False: it is not here. */
    bool (*release)(void *context, xb_json *result);
    /* Right before post hooks are run, and may add to the results; NULL: nothing. */
    void (*thaw)(void *context, struct xb_bracket_record *record);
    void *context;
    const atomic_bool *cancel; /* may be NULL */
    const char *who;           /* "the agent" */
};

/* Runs the hooks of a phase in their order, and adds their results. A pre hook that fails with Fail
 * is the last, and the record is refused; post hooks are all run. CANCELLED: the flag was set. */
int xb_bracket_run(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                   enum xb_hook_phase phase, struct xb_bracket_record *record,
                   struct xb_error *err) XB_MUST_CHECK;
/* Runs one of a list, and fills in its result, an object; CANCELLED only. */
int xb_bracket_run_hook(const struct xb_bracket_run *run, const struct xb_hook_list *list,
                        size_t index, xb_json *result, struct xb_error *err) XB_MUST_CHECK;
/* From whatever state to XB_BRACKET_PRE_DONE or later: runs pre hooks once, and begins the session.
 * After CANCELLED the state is XB_BRACKET_PRE_BEGUN. */
int xb_bracket_open(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                    struct xb_bracket_record *record, struct xb_error *err) XB_MUST_CHECK;
/* The same with copies: where they suffice, or a pre hook failed, or somebody cancels, post hooks
 * are run at once, and the state is XB_BRACKET_DONE. Between the first pre hook and the last post
 * hook nothing is written down: whoever finds XB_BRACKET_PRE_BEGUN thaws, and counts the pre hooks
 * as failed. CANCELLED only when it has thawed. */
int xb_bracket_pass(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                    struct xb_bracket_record *record, struct xb_error *err) XB_MUST_CHECK;
/* From any state but XB_BRACKET_UNBEGUN to XB_BRACKET_DONE: ends the session, and runs post hooks.
 */
int xb_bracket_close(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                     struct xb_bracket_record *record, struct xb_error *err) XB_MUST_CHECK;

/* Writes the record on an object, the order that leads or one of its own; a server that is away is
 * waited for (XB_BRACKET_TELL_TRIES_MAX). Blocks. */
int xb_bracket_tell(struct xb_kube_client *client, const struct xb_kube_ref *where,
                    const struct xb_bracket_record *record, struct xb_error *err) XB_MUST_CHECK;

/* ---- what is to be done with an order, seen from its agent ---- */

enum xb_bracket_step {
    XB_BRACKET_NONE, /* it has no bracket that could be read */
    XB_BRACKET_WAIT, /* for the others, or the pre hooks */
    XB_BRACKET_GO,   /* to be carried out (the leader runs the pre hooks first) */
    XB_BRACKET_OVER
};

/* An order by its name, in the same namespace; NULL: there is none. */
typedef xb_json *xb_bracket_find_fn(void *context, const char *name);

enum xb_bracket_step xb_bracket_next(xb_json *order, xb_bracket_find_fn *find, void *context);
/* Whether the order leads, and its post hooks are due: nothing more is read from the application's
 * own files, or whoever ran its pre hooks is gone (XB_BRACKET_PRE_BEGUN: if it still lives, the
 * caller knows better). */
bool xb_bracket_due(xb_json *order, xb_bracket_find_fn *find, void *context);

/* Seen from the coordinator: how far the hooks are that the order leads; UNBEGUN for one that leads
 * none. */
enum xb_bracket_state xb_bracket_look(xb_json *order);
