/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan/plan.h"

#include <string.h>

static bool is(const char *phase, const char *word)
{
    return strcmp(phase, word) == 0;
}

bool xb_plan_finalizes(const char *phase)
{
    return is(phase, "Finalizing") || is(phase, "FinalizingPartiallyFailed");
}

bool xb_plan_backup_comes(const char *phase)
{
    return is(phase, "") || is(phase, "New");
}

bool xb_plan_backup_runs(const char *phase)
{
    return is(phase, "ReadyToStart") || is(phase, "InProgress") ||
           strncmp(phase, "WaitingForPluginOperations", 26) == 0 || xb_plan_finalizes(phase);
}

/* The part that backups and restores share: work, wait, publish. */
static struct xb_step_result plan_running(const struct xb_step_facts *facts)
{
    if (!facts->worked) {
        return (struct xb_step_result){.step = XB_STEP_WORK};
    }
    if (facts->volumes_late > 0) {
        return (struct xb_step_result){.step = XB_STEP_CANCEL};
    }
    if (facts->volumes_idle > 0) {
        return (struct xb_step_result){.step = XB_STEP_SEEK};
    }
    if (facts->hooks_due > 0) {
        return (struct xb_step_result){.step = XB_STEP_HOOKS};
    }
    if (facts->volumes_open > 0 || facts->hooks_open > 0) {
        return (struct xb_step_result){.step = XB_STEP_WAIT, .at_ns = facts->look_ns};
    }
    return (struct xb_step_result){.step = xb_plan_finalizes(facts->phase) ? XB_STEP_PUBLISH
                                                                           : XB_STEP_FINALIZE};
}

static bool in_progress(const char *phase)
{
    return is(phase, "InProgress") || strncmp(phase, "WaitingForPluginOperations", 26) == 0 ||
           xb_plan_finalizes(phase);
}

/* Those ahead that may start take the free places first. */
static bool may_start(const struct xb_step_facts *facts)
{
    return !facts->conflict && facts->running < facts->running_max &&
           facts->ready_ahead < facts->running_max - facts->running;
}

static struct xb_step_result plan_queued(const struct xb_step_facts *facts)
{
    if (may_start(facts)) {
        return (struct xb_step_result){.step = XB_STEP_READY};
    }
    if (facts->rank != facts->position && !facts->rank_taken) {
        return (struct xb_step_result){.step = XB_STEP_MOVE, .position = facts->rank};
    }
    return (struct xb_step_result){.step = XB_STEP_NONE};
}

struct xb_step_result xb_plan_backup(const struct xb_step_facts *facts)
{
    const char *phase = facts->phase;
    struct xb_step_result result = {.step = XB_STEP_NONE};
    if (xb_plan_backup_comes(phase) && facts->unqueued_ahead > 0) {
        /* Several that are met at once go into the queue in the order in which they came. */
        result.step = XB_STEP_WAIT;
        result.at_ns = facts->unqueued_until_ns;
    } else if (xb_plan_backup_comes(phase)) {
        result.step = XB_STEP_QUEUE;
        /* Positions stand in objects that others may write. */
        result.position = facts->last_position + (facts->last_position < INT64_MAX);
    } else if (is(phase, "Queued")) {
        result = plan_queued(facts);
    } else if (is(phase, "ReadyToStart")) {
        result.step = XB_STEP_START;
    } else if (in_progress(phase)) {
        result = plan_running(facts);
    }
    return result;
}

const char *xb_plan_restore_queued(const char *phase)
{
    if (is(phase, "") || is(phase, "New")) {
        return "Queued";
    }
    return in_progress(phase) ? "InProgress" : NULL;
}

/* Velero knows no queue of restores: those that wait are New. */
struct xb_step_result xb_plan_restore(const struct xb_step_facts *facts)
{
    const char *phase = facts->phase;
    struct xb_step_result result = {.step = XB_STEP_NONE};
    if (facts->deleting) {
        result.step = XB_STEP_REMOVE;
    } else if (is(phase, "") || is(phase, "New")) {
        result.step = may_start(facts) ? XB_STEP_START : XB_STEP_NONE;
    } else if (in_progress(phase)) {
        /* Hooks may have to wait for pods that start late: nothing else is under way then. */
        bool only_hooks = facts->worked && facts->volumes_open + facts->volumes_late == 0 &&
                          facts->hooks_open > 0 && !xb_plan_finalizes(phase);
        result =
            only_hooks ? (struct xb_step_result){.step = XB_STEP_FINALIZE} : plan_running(facts);
    }
    return result;
}
