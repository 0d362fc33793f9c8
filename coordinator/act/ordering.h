/* SPDX-License-Identifier: Apache-2.0
 *
 * ordering.h - the PodVolumeBackups of one backup; for the files of this folder only.
 *
 * What for:  one order per volume, under a name that is made from what it is about: after a
 *            restart the same order has the same name, and what an agent has done for it counts.
 * Ownership: the caller's, for one step.
 * Threads:   one.
 * Blocking:  yes (API, store).
 * Errors:    RETRY and CANCELLED end the step. What else keeps an order from being made is an
 *            error of its volume, in the log and as the reason why it is skipped.
 */
#pragma once

#include "coordinator/act/agents.h"

struct xb_open_pod;

struct xb_ordering {
    struct xb_step_work *work; /* extra: the nodes' leases */
    const atomic_bool *cancel;
    int64_t shown_ns;
    struct xb_store *store;
    char identity[XB_STORE_IDENTITY_BYTES];
    char looked_for[XB_VELERO_NAME_BYTES]; /* the namespace whose repository was looked for last */
    struct xb_error missing;               /* why it is not there; code 0: it is */
    struct xb_agents agents;
    xb_json *nodes; /* name: the Node, of those that were asked for; NULL: none yet */
    /* Of the block that the collection is at. */
    struct xb_open_pod *open; /* pods whose hooks the coordinator runs, between pre and post */
    bool opening;             /* its pod will be held: agents prepare for that */
    bool prepared;            /* its orders were made for that, and wait for the word */
    bool no_copies;           /* nothing of it is copied: it can be thawed at any time */
    bool records_found;       /* an earlier attempt has left records of hooks */
};

int xb_ordering_open(struct xb_ordering *orders, struct xb_error *err) XB_MUST_CHECK;
void xb_ordering_close(struct xb_ordering *orders);

/* Whether an order can be made: its node has an agent, and there is a repository. */
int xb_ordering_prepare(struct xb_ordering *orders, struct xb_collected_volume *volume,
                        struct xb_error *err) XB_MUST_CHECK;
/* `bracket`: the annotation's text, or NULL. */
int xb_ordering_make(struct xb_ordering *orders, struct xb_collected_volume *volume,
                     const char *bracket, struct xb_error *err) XB_MUST_CHECK;
/* Orders for those volumes that are to be backed up and have none. */
int xb_ordering_make_all(struct xb_ordering *orders, struct xb_collected_volume *volumes,
                         size_t count, struct xb_error *err) XB_MUST_CHECK;
int xb_ordering_name(const struct xb_ordering *orders, const struct xb_collected_volume *volume,
                     char out[XB_VELERO_NAME_BYTES], struct xb_error *err) XB_MUST_CHECK;
bool xb_ordering_node_runs_hooks(const struct xb_ordering *orders, const char *node);
/* Whether its agent prepares for an application that will be held. Velero's would read at once. */
bool xb_ordering_node_prepares(const struct xb_ordering *orders, const char *node);
/* Its application, for which it was prepared, is held now, or will not be. */
int xb_ordering_hold(const struct xb_ordering *orders, const struct xb_collected_volume *volume,
                     bool is_held, struct xb_error *err) XB_MUST_CHECK;
/* What a collection asks (collect.h); `context` is the ordering. */
const char *xb_ordering_host_paths(void *context, const char *node);
bool xb_ordering_block_devices(void *context, const char *node);
int xb_ordering_node_of(void *context, xb_json *persistent_volume, char **ret,
                        char why[XB_COLLECTED_WHY_BYTES], struct xb_error *err) XB_MUST_CHECK;
/* Tells the volume's order, if it has one, to end. */
void xb_ordering_cancel(const struct xb_ordering *orders, const struct xb_collected_volume *volume);
/* Whether the node's agent has not been heard of for long (asks the server). */
bool xb_ordering_agent_silent(const struct xb_ordering *orders, const char *node);
