/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h - whether a node has an agent to which a volume can be given, decided from facts alone.
 *
 * What for:  an order to a node without an agent would wait for nobody. That an agent is missing is
 *            told by its pod; that it works, by what it reports; one that is only being started
 *            again, or replaced, is given some time.
 * Ownership: facts lend.    Threads: any.    Blocking: never (pure).
 * Rules:     a pod that is ready and has never reported anything since it was made is an agent of
 *            Velero's, which reports nothing; one that has and does not any more, hangs.
 *            A report that came while one was looking is proof enough, wherever it came from: an
 *            agent may be run by other means than the DaemonSet whose pods are known.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    XB_AGENT_REPORT_S = 60, /* so old may the report of an agent be whose pod is ready */
    XB_AGENT_GRACE_S = 30,  /* so long is one waited for that was there just now */
    XB_AGENT_SETTLE_S = 3   /* so late may the DaemonSet's status be */
};

struct xb_agent_facts {
    bool pod;      /* an agent's pod is on the node, and is not being deleted */
    bool ready;    /* it says that it is */
    bool unwanted; /* no pod, and the DaemonSet has all that it wants: none is coming */
    int64_t pod_age_ns;
    bool reported;         /* the node has reported at some time */
    int64_t report_age_ns; /* by two clocks: negative, too */
    bool renewed;          /* it has reported since it was looked at first */
    int64_t looked_ns;     /* since then */
};

enum xb_agent_verdict { XB_AGENT_USE, XB_AGENT_WAIT, XB_AGENT_MISSING };

enum xb_agent_verdict xb_plan_agent(const struct xb_agent_facts *facts);
