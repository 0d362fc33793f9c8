/* SPDX-License-Identifier: Apache-2.0
 *
 * coordinator.h - the coordinator daemon.
 *
 * What for:  `xebec-coordinator`: storage locations, backups, restores, downloads, status requests.
 * Ownership: xb_coordinator_run keeps nothing after it returns.
 * Threads:   one loop thread that plans, a worker pool that acts, the download server's own.
 * Blocking:  xb_coordinator_run until SIGTERM or SIGINT.
 * Rules:     only the holder of the lease acts. What is found in progress is taken up again.
 * Source:    velero-contract; design decisions 4 to 9.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/plan/backup_spec.h"
#include "shared/base/error.h"

struct xb_coordinator_options {
    const char *namespace;    /* VELERO_NAMESPACE */
    const char *kubeconfig;   /* NULL: the pod's account */
    const char *pod_name;     /* POD_NAME, or the pod's host name */
    const char *node;         /* NODE_NAME: named in messages; NULL: as the pod says */
    const char *pod_ip;       /* POD_IP: where downloads are served when nothing else is said; NULL:
                                 as the pod says */
    const char *scratch;      /* VELERO_SCRATCH_DIR */
    const char *priorities;   /* the order of kinds of restores (restore/order.h); NULL: Velero's */
    const char *helper_image; /* NULL: the coordinator's own image */
    const char *default_location;
    int64_t volumes_timeout_ns, default_ttl_ns;
    int64_t validation_ns;       /* 0: only locations that are new or say so are validated again */
    int64_t terminating_ns;      /* how long a restore waits for what is being deleted */
    int64_t collect_ns, sync_ns; /* sync_ns 0: only locations that say so are synced */
    const char *disabled;        /* control loops that do not run, by Velero's names of them,
                                    separated by commas; NULL: none */
    bool restore_only;           /* no backups, schedules, deletions, and nothing expires */
    uint16_t downloads_port, metrics_port;
    unsigned backups_max, restores_max; /* at work at the same time */
    double client_qps; /* requests to the API server per second, after a burst; 0: no limit */
    unsigned client_burst;
    bool schedule_skip_immediately;            /* of schedules that say nothing */
    bool all_versions;                         /* feature EnableAPIGroupVersions */
    struct xb_backup_defaults backup_defaults; /* of what a Backup leaves open */
    const char *global_policies;    /* ConfigMap whose volume policies count for every backup, after
                                       its own; NULL: none */
    const char *snapshot_locations; /* "provider:name,..."; NULL: none */
    int64_t resource_timeout_ns;    /* hooks of a restore without a time of their own are waited
                                       for so long; and written down for whoever reads backups of
                                       Velero's */
    int64_t maintain_ns;            /* the same, in BackupRepositories */
};

int xb_coordinator_run(const struct xb_coordinator_options *options,
                       struct xb_error *err) XB_MUST_CHECK;
