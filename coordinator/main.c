/* SPDX-License-Identifier: Apache-2.0
 * xebec-coordinator: accepts the flags of `velero server`. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/coordinator.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/flags.h"

enum { BURST = 100 };

static int64_t duration(const char *name, const char *text, int64_t fallback_ns)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t value_ns = 0;
    if (!text || !text[0]) {
        return fallback_ns;
    }
    if (xb_duration_parse(text, &value_ns, &err) < 0 || value_ns <= 0) {
        xb_log_warning("not a duration; the default is used", "flag", name, "value", text);
        return fallback_ns;
    }
    return value_ns;
}

static long number(const char *text, long fallback, long max)
{
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : fallback;
    return text && (end == text || *end || value < 1 || value > max) ? fallback : value;
}

int main(int argc, char **argv)
{
    const char *level = "info", *volumes = NULL, *validation = NULL, *ttl = NULL;
    const char *backups = NULL, *port = NULL, *fs_backup = NULL, *metrics = NULL, *skip = NULL;
    const char *sync = NULL, *collect = NULL, *restore_only = NULL;
    const char *terminating = NULL, *features = NULL;
    const char *qps = NULL, *burst = NULL, *format = "json";
    const char *scratch = getenv("VELERO_SCRATCH_DIR"), *pod = getenv("POD_NAME");
    struct xb_coordinator_options options = {.namespace = getenv("VELERO_NAMESPACE"),
                                             .pod_name = pod ? pod : getenv("HOSTNAME"),
                                             .node = getenv("NODE_NAME"),
                                             .pod_ip = getenv("POD_IP"),
                                             .default_location = "default"};
    const struct xb_flag flags[] = {{"namespace", &options.namespace},
                                    {"kubeconfig", &options.kubeconfig},
                                    {"log-level", &level},
                                    {"fs-backup-timeout", &volumes},
                                    {"store-validation-frequency", &validation},
                                    {"default-backup-ttl", &ttl},
                                    {"default-backup-storage-location", &options.default_location},
                                    {"backup-sync-period", &sync},
                                    {"garbage-collection-frequency", &collect},
                                    {"disable-controllers", &options.disabled},
                                    {"restore-only", &restore_only},
                                    {"concurrent-backups", &backups},
                                    {"default-volumes-to-fs-backup", &fs_backup},
                                    {"schedule-skip-immediately", &skip},
                                    {"helper-image", &options.helper_image},
                                    {"terminating-resource-timeout", &terminating},
                                    {"downloads-port", &port},
                                    {"metrics-address", &metrics},
                                    {"client-qps", &qps},
                                    {"client-burst", &burst},
                                    {"log-format", &format},
                                    {"scratch", &scratch},
                                    {"features", &features},
                                    {NULL, NULL}};
    enum xb_log_level log_level = XB_LOG_INFO;
    struct xb_error err = XB_ERROR_INIT;
    xb_flags_parse(flags, argc - 1, argv + 1);
    (void)xb_log_level_parse(level, &log_level);
    xb_log_setup("coordinator", log_level, strcmp(format, "text") == 0 ? XB_LOG_TEXT : XB_LOG_JSON);
    xb_flags_report(flags, argc - 1, argv + 1);
    (void)signal(SIGPIPE, SIG_IGN);
    options.namespace = options.namespace && options.namespace[0] ? options.namespace : "velero";
    options.scratch = scratch && scratch[0] ? scratch : "/scratch";
    options.volumes_timeout_ns = duration("fs-backup-timeout", volumes, 4 * 3600 * XB_NS_PER_S);
    options.validation_ns = duration("store-validation-frequency", validation, 60 * XB_NS_PER_S);
    options.default_ttl_ns = duration("default-backup-ttl", ttl, 720 * 3600 * XB_NS_PER_S);
    options.terminating_ns =
        duration("terminating-resource-timeout", terminating, 600 * XB_NS_PER_S);
    options.collect_ns = duration("garbage-collection-frequency", collect, 3600 * XB_NS_PER_S);
    /* Also "0s": off, which is no period. */
    options.sync_ns = sync && strspn(sync, "0smh") == strlen(sync)
                          ? 0
                          : duration("backup-sync-period", sync, 60 * XB_NS_PER_S);
    options.restore_only = restore_only && strcmp(restore_only, "false") != 0;
    options.backups_max = (unsigned)number(backups, 1, 64);
    options.downloads_port = (uint16_t)number(port, 8443, 65535);
    const char *colon = metrics ? strrchr(metrics, ':') : NULL;
    options.metrics_port = (uint16_t)number(colon ? colon + 1 : metrics, 8085, 65535);
    options.client_qps = (double)number(qps, 0, 1000000);
    options.client_burst = (unsigned)number(burst, BURST, 1000000);
    options.schedule_skip_immediately = skip && strcmp(skip, "false") != 0;
    options.all_versions = features && strstr(features, "EnableAPIGroupVersions");
    options.default_fs_backup = fs_backup && strcmp(fs_backup, "false") != 0;
    if (xb_coordinator_run(&options, &err) < 0) {
        xb_log_error(&err, "the coordinator cannot go on");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
