/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan/agent.h"

#include "shared/base/clock.h"

enum xb_agent_verdict xb_plan_agent(const struct xb_agent_facts *facts)
{
    const int64_t grace_ns = XB_AGENT_GRACE_S * XB_NS_PER_S;
    bool fresh = facts->reported && facts->report_age_ns < XB_AGENT_REPORT_S * XB_NS_PER_S;
    bool mute = facts->pod_age_ns >= grace_ns &&
                (!facts->reported || facts->report_age_ns > facts->pod_age_ns);
    if (facts->renewed || (facts->pod && facts->ready && (fresh || mute))) {
        return XB_AGENT_USE;
    }
    bool lately = (facts->reported && facts->report_age_ns < grace_ns) ||
                  (facts->pod && facts->pod_age_ns < grace_ns);
    if (!facts->pod && facts->unwanted && facts->looked_ns >= XB_AGENT_SETTLE_S * XB_NS_PER_S) {
        return XB_AGENT_MISSING;
    }
    return lately && facts->looked_ns < grace_ns ? XB_AGENT_WAIT : XB_AGENT_MISSING;
}
