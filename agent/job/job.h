/* SPDX-License-Identifier: Apache-2.0
 *
 * job.h - the agent daemon: PodVolumeBackups and PodVolumeRestores of one node.
 *
 * What for:  `xebec agent`. Watches its orders, carries each out in one action on a worker, and
 *            keeps their status as the contract says. What it finds in progress after its own
 *            restart it does again: what was stored is found by its hash.
 * Ownership: xb_agent_run keeps nothing after it returns.
 * Threads:   one loop thread, a worker pool, and the engine's own threads.
 * Blocking:  xb_agent_run until SIGTERM or SIGINT.
 * Errors:    an order that cannot be carried out ends Failed with the reason in status.message.
 * Rules:     an order is obeyed only if its node is this one, its pod's uid is on this node, and
 *            its owner (a Backup or Restore of that uid) exists; the store must have the identity
 *            that the coordinator saw.
 * Limits:    XB_AGENT_JOBS_MAX volumes at once.
 * Source:    velero-contract sections 1, 3 and 4; design decisions 4, 5, 8.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/error.h"

struct xb_http_limits;

enum { XB_AGENT_JOBS_MAX = 8 };

struct xb_agent_options {
    const char *node;       /* NODE_NAME */
    const char *namespace;  /* VELERO_NAMESPACE */
    const char *pods_root;  /* "/host_pods" */
    const char *host_root;  /* "/host_paths" */
    const char *host_paths; /* what below it may be read and written (shared/velero/host_paths.h) */
    const char *dev_root;   /* "/host_dev": the node's /dev */
    bool block_devices;     /* raw block volumes are read and written */
    const char *kubeconfig; /* NULL: the pod's account */
    const char *pod_name;   /* for leases and logs; may be NULL */
    /* Volumes at once, of backups and of restores each; 0: by the node's processors. */
    unsigned jobs_max;
    const char *settings;      /* a ConfigMap that may say otherwise; NULL: none */
    const char *point_in_time; /* methods of copying that are allowed (policy.h); NULL: any */
    uint16_t metrics_port;
    const char *guard_socket;      /* of the bracket guard beside it; NULL or "": there is none */
    bool devices;                  /* restores make device nodes, too */
    struct xb_http_limits *limits; /* bandwidth of this node; NULL: none */
    bool privileged;               /* restores set trusted.* and security.* attributes, too */
};

int xb_agent_run(const struct xb_agent_options *options, struct xb_error *err) XB_MUST_CHECK;
