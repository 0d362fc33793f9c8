/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.h - what a backup or restore needs next, decided from facts alone.
 *
 * What for:  the machines of the contract as functions without any I/O: called again and again with
 *            what is known now, they give one next step. A crash resumes by being asked again.
 * Ownership: facts lend.    Threads: any.    Blocking: never (pure).
 * Source:    velero-contract sections 1 (phases), 3 and 4.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum xb_step {
    XB_STEP_NONE,
    XB_STEP_QUEUE,    /* backups: into the queue, at `position` */
    XB_STEP_MOVE,     /* backups: up in the queue, to `position` */
    XB_STEP_READY,    /* backups: out of the queue */
    XB_STEP_START,    /* validate; then InProgress or FailedValidation */
    XB_STEP_WORK,     /* collect, or apply: whatever makes the volumes' orders */
    XB_STEP_HOOKS,    /* backups: post hooks that are the coordinator's to run; restores: hooks */
    XB_STEP_WAIT,     /* until at_ns at the latest; a volume's order may end before */
    XB_STEP_CANCEL,   /* the orders that make no progress */
    XB_STEP_SEEK,     /* restores: whether pods that wait for their volumes are still there */
    XB_STEP_FINALIZE, /* everything has ended, but a restore's hooks; and Finalizing */
    XB_STEP_PUBLISH,  /* the record, then the final phase */
    XB_STEP_REMOVE    /* restores: being deleted, the store's part goes first */
};

struct xb_step_facts {
    const char *phase;   /* status.phase, "" if there is none */
    bool deleting;       /* metadata.deletionTimestamp and our finalizer */
    bool worked;         /* this process has done WORK for it */
    size_t volumes_open; /* orders that have not ended, and are not given up */
    size_t volumes_late; /* of these: without progress for too long, and not told to end yet */
    size_t volumes_idle; /* of these: not begun for so long that their pods must be looked for */
    size_t hooks_open;   /* pods whose hooks have begun and not ended */
    size_t hooks_due;    /* of these: their post hooks are the coordinator's, and due */
    int64_t look_ns;     /* when the open ones must be looked at again */
    /* The queue; positions are of backups only. */
    size_t running; /* those at work, in any phase between Ready and the end */
    size_t running_max;
    bool conflict;             /* with a running one, or one queued before this one */
    size_t ready_ahead;        /* queued before this one and in conflict with none */
    int64_t position;          /* in the queue, as the object says */
    int64_t rank;              /* what it should say */
    bool rank_taken;           /* nobody may have that yet */
    int64_t last_position;     /* the highest position in the queue */
    size_t unqueued_ahead;     /* older ones that are not in the queue yet, and are waited for */
    int64_t unqueued_until_ns; /* ... so long */
};

struct xb_step_result {
    enum xb_step step;
    int64_t at_ns;    /* WAIT */
    int64_t position; /* QUEUE, MOVE */
};

struct xb_step_result xb_plan_backup(const struct xb_step_facts *facts);
struct xb_step_result xb_plan_restore(const struct xb_step_facts *facts);

/* How a restore in this phase stands in the queue, in the words of backups: it waits, it runs;
 * NULL: it is over. */
const char *xb_plan_restore_queued(const char *phase);

/* Whether a backup in this phase is not in the queue yet. */
bool xb_plan_backup_comes(const char *phase);

/* Whether a backup in this phase keeps a place among the running ones. */
bool xb_plan_backup_runs(const char *phase);

/* Whether nothing of it but its record is under way. */
bool xb_plan_finalizes(const char *phase);
