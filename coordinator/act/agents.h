/* SPDX-License-Identifier: Apache-2.0
 *
 * agents.h - the nodes' agents, as one backup finds them; for the files of this folder only.
 *
 * What for:  before the first order for a node: is anybody there? What was found out about a node
 *            holds for the rest of the step.
 * Ownership: the caller's; xb_agents_free.
 * Threads:   one.
 * Blocking:  a request per node; up to XB_AGENT_GRACE_S where an agent is just being started.
 * Errors:    NOT_FOUND names the node and says what to do. RETRY and CANCELLED end the step.
 */
#pragma once

#include "coordinator/act/internal.h"

struct xb_agents {
    struct xb_coordinator *coordinator;
    const atomic_bool *cancel;
    xb_json *leases; /* lent: of the nodes' reports; what is newer is added */
    xb_json *known;  /* node: "", or why it has no agent */
};

/* The lease of a node's agent among the reports; NULL: none. */
xb_json *xb_agents_lease(xb_json *leases, const char *node);
int xb_agents_find(struct xb_agents *agents, const char *node, struct xb_error *err) XB_MUST_CHECK;
void xb_agents_free(struct xb_agents *agents);
