/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan/plan.h"

#include <string.h>

static bool is(const char *phase, const char *word)
{
    return strcmp(phase, word) == 0;
}

bool xb_plan_backup_runs(const char *phase)
{
    return is(phase, "ReadyToStart") || is(phase, "InProgress") ||
           strncmp(phase, "WaitingForPluginOperations", 26) == 0 ||
           strncmp(phase, "Finalizing", 10) == 0;
}

/* The part that backups and restores share: work, wait, publish. */
static struct xb_step_result plan_running(const struct xb_step_facts *facts)
{
    if (!facts->worked) {
        return (struct xb_step_result){.step = XB_STEP_WORK};
    }
    if (facts->volumes_open > 0 && facts->now_ns < facts->deadline_ns) {
        return (struct xb_step_result){.step = XB_STEP_WAIT, .at_ns = facts->deadline_ns};
    }
    return (struct xb_step_result){.step = XB_STEP_PUBLISH};
}

static bool in_progress(const char *phase)
{
    return is(phase, "InProgress") || strncmp(phase, "WaitingForPluginOperations", 26) == 0 ||
           strncmp(phase, "Finalizing", 10) == 0;
}

struct xb_step_result xb_plan_backup(const struct xb_step_facts *facts)
{
    const char *phase = facts->phase;
    struct xb_step_result result = {.step = XB_STEP_NONE};
    if (is(phase, "") || is(phase, "New")) {
        result.step = XB_STEP_QUEUE;
        /* Positions stand in objects that others may write. */
        result.position = facts->last_position + (facts->last_position < INT64_MAX);
    } else if (is(phase, "Queued")) {
        bool next = facts->ahead == 0 && facts->running < facts->running_max;
        result.step = next ? XB_STEP_READY : XB_STEP_NONE;
    } else if (is(phase, "ReadyToStart")) {
        result.step = XB_STEP_START;
    } else if (in_progress(phase)) {
        result = plan_running(facts);
    }
    return result;
}

struct xb_step_result xb_plan_restore(const struct xb_step_facts *facts)
{
    const char *phase = facts->phase;
    struct xb_step_result result = {.step = XB_STEP_NONE};
    if (facts->deleting) {
        result.step = XB_STEP_REMOVE;
    } else if (is(phase, "") || is(phase, "New")) {
        result.step = XB_STEP_START;
    } else if (in_progress(phase)) {
        result = plan_running(facts);
    }
    return result;
}
