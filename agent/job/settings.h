/* SPDX-License-Identifier: Apache-2.0
 *
 * settings.h - what the node agents' ConfigMap says.
 *
 * What for:  `--node-agent-configmap`, read once at the start. Velero's settings are mostly about
 *            the pods that it makes for each volume; here there are none, so only the number of
 *            volumes at once is taken, and the rest accepted. `pointInTime` is Xebec's own (Velero
 *            passes over it): methods of copying, in the words of the flag --point-in-time.
 * Ownership: the caller's struct.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    one JSON object. What Velero knows and what has no meaning here is named in
 *            `unneeded`, what nobody knows in `unknown`; rules without a usable number are passed
 *            over. Of several rules for a node the smallest number counts.
 * Errors:    CORRUPT: no JSON, or a field of another type, by its name.
 * Source:    velero-contract section 3, "Timeouts/concurrency".
 */
#pragma once

#include "agent/job/job.h"
#include "shared/codec/json.h"

enum { XB_SETTINGS_NAMES_BYTES = 400, XB_SETTINGS_METHODS_BYTES = 100 };

struct xb_agent_settings {
    unsigned volumes_at_once; /* 1 to XB_AGENT_JOBS_MAX; 0: nothing usable is said */
    bool cut;                 /* more were wanted */
    char point_in_time[XB_SETTINGS_METHODS_BYTES]; /* methods of copying; "": nothing is said */
    char unneeded[XB_SETTINGS_NAMES_BYTES], unknown[XB_SETTINGS_NAMES_BYTES];
};

/* `labels`: the node's; NULL: not known, rules for nodes then match only if they match anything. */
int xb_agent_settings_parse(const char *text, size_t len, xb_json *labels,
                            struct xb_agent_settings *ret, struct xb_error *err) XB_MUST_CHECK;

/* How many volumes at once where nobody says. At least two: one waits for the store while another
 * reads. Then one per processor, since hashing and compressing is what takes longest; not more than
 * four, because a disk of the node serves them all, and each has files open and folders in mind. */
unsigned xb_agent_at_once_default(unsigned cpus);
