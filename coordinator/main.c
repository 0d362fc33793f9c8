/* SPDX-License-Identifier: Apache-2.0
 * xebec-coordinator: accepts the flags of `velero server`. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/coordinator.h"
#include "coordinator/restore/order.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/flags.h"

enum { BURST = 100, RESTORES = 4 };

#define GROUP_LABEL "velero.io/volume-group"

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

/* Also "0s": off, which is no period. */
static bool is_off(const char *text)
{
    return text && text[0] && strspn(text, "0smh") == strlen(text);
}

static int64_t duration_or_off(const char *name, const char *text, int64_t fallback_ns)
{
    return is_off(text) ? 0 : duration(name, text, fallback_ns);
}

static long number(const char *text, long fallback, long max)
{
    char *end = NULL;
    long value = text ? strtol(text, &end, 10) : fallback;
    return text && (end == text || *end || value < 1 || value > max) ? fallback : value;
}

/* Flags as they are written; NULL: not there. */
struct words {
    const char *level, *format, *scratch, *uploader, *features;
    const char *volumes, *validation, *ttl, *sync, *collect, *terminating;
    const char *item_operation, *resource, *maintain;
    const char *restore_only, *fs_backup, *skip, *move_data;
    const char *backups, *restores, *port, *metrics, *qps, *burst;
};

static void take_times(const struct words *words, struct xb_coordinator_options *options)
{
    const int64_t second = XB_NS_PER_S, minute = 60 * second, hour = 60 * minute;
    options->volumes_timeout_ns = duration("fs-backup-timeout", words->volumes, 4 * hour);
    options->validation_ns =
        duration_or_off("store-validation-frequency", words->validation, minute);
    options->default_ttl_ns = duration("default-backup-ttl", words->ttl, 720 * hour);
    options->terminating_ns =
        duration("terminating-resource-timeout", words->terminating, 10 * minute);
    options->collect_ns = duration("garbage-collection-frequency", words->collect, hour);
    options->sync_ns = duration_or_off("backup-sync-period", words->sync, minute);
    options->resource_timeout_ns = duration("resource-timeout", words->resource, 10 * minute);
    options->maintain_ns = is_off(words->maintain)
                               ? hour
                               : duration("default-repo-maintain-frequency", words->maintain, hour);
    options->backup_defaults.item_operation_ns =
        duration("default-item-operation-timeout", words->item_operation, 4 * hour);
}

static bool is_set(const char *text)
{
    return text && strcmp(text, "false") != 0;
}

static void take_rest(const struct words *words, struct xb_coordinator_options *options)
{
    const char *colon = words->metrics ? strrchr(words->metrics, ':') : NULL;
    options->namespace =
        options->namespace && options->namespace[0] ? options->namespace : "velero";
    options->scratch = words->scratch && words->scratch[0] ? words->scratch : "/scratch";
    options->restore_only = is_set(words->restore_only);
    options->backups_max = (unsigned)number(words->backups, 1, 64);
    options->restores_max = (unsigned)number(words->restores, RESTORES, 64);
    options->downloads_port = (uint16_t)number(words->port, 8443, 65535);
    options->metrics_port = (uint16_t)number(colon ? colon + 1 : words->metrics, 8085, 65535);
    options->client_qps = (double)number(words->qps, 0, 1000000);
    options->client_burst = (unsigned)number(words->burst, BURST, 1000000);
    options->schedule_skip_immediately = is_set(words->skip);
    options->all_versions =
        words->features && strstr(words->features, "EnableAPIGroupVersions") != NULL;
    options->backup_defaults.fs_backup = is_set(words->fs_backup);
    options->backup_defaults.snapshot_move_data = is_set(words->move_data);
}

/* What is asked for and cannot be had must be known before anything is backed up. */
static int check(const struct words *words, const struct xb_coordinator_options *options,
                 struct xb_error *err)
{
    XB_CLEANUP(xb_restore_order_freep) struct xb_restore_order *order = NULL;
    if (words->features && strstr(words->features, "EnableCSI")) {
        xb_log_warning("the feature EnableCSI has no effect: no CSI snapshots are made; volumes "
                       "are backed up from their file systems where a backup says so");
    }
    if (strcmp(words->uploader, "kopia") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "--uploader-type is '%.60s': only kopia is written", words->uploader);
    }
    /* Which kinds there are is known only when a restore begins. */
    return options->priorities ? xb_restore_order_new(options->priorities, NULL, NULL, &order, err)
                               : 0;
}

int main(int argc, char **argv)
{
    struct words words = {.level = "info",
                          .format = "json",
                          .uploader = "kopia",
                          .scratch = getenv("VELERO_SCRATCH_DIR")};
    const char *pod = getenv("POD_NAME");
    struct xb_coordinator_options options = {.namespace = getenv("VELERO_NAMESPACE"),
                                             .pod_name = pod ? pod : getenv("HOSTNAME"),
                                             .node = getenv("NODE_NAME"),
                                             .pod_ip = getenv("POD_IP"),
                                             .default_location = "default",
                                             .backup_defaults.group_label = GROUP_LABEL};
    const struct xb_flag flags[] = {
        {"namespace", &options.namespace},
        {"kubeconfig", &options.kubeconfig},
        {"log-level", &words.level},
        {"log-format", &words.format},
        {"scratch", &words.scratch},
        {"helper-image", &options.helper_image},
        {"restore-resource-priorities", &options.priorities},
        {"features", &words.features},
        {"uploader-type", &words.uploader},
        {"fs-backup-timeout", &words.volumes},
        {"store-validation-frequency", &words.validation},
        {"default-backup-ttl", &words.ttl},
        {"backup-sync-period", &words.sync},
        {"garbage-collection-frequency", &words.collect},
        {"terminating-resource-timeout", &words.terminating},
        {"default-item-operation-timeout", &words.item_operation},
        {"resource-timeout", &words.resource},
        {"default-repo-maintain-frequency", &words.maintain},
        {"default-backup-storage-location", &options.default_location},
        {"default-volume-snapshot-locations", &options.snapshot_locations},
        {"global-backup-volume-policies-configmap", &options.global_policies},
        {"volume-group-snapshot-label-key", &options.backup_defaults.group_label},
        {"disable-controllers", &options.disabled},
        {"restore-only", &words.restore_only},
        {"default-volumes-to-fs-backup", &words.fs_backup},
        {"default-snapshot-move-data", &words.move_data},
        {"schedule-skip-immediately", &words.skip},
        {"concurrent-backups", &words.backups},
        {"concurrent-restores", &words.restores},
        {"downloads-port", &words.port},
        {"metrics-address", &words.metrics},
        {"client-qps", &words.qps},
        {"client-burst", &words.burst},
        {NULL, NULL}};
    enum xb_log_level log_level = XB_LOG_INFO;
    struct xb_error err = XB_ERROR_INIT;
    xb_flags_parse(flags, argc - 1, argv + 1);
    (void)xb_log_level_parse(words.level, &log_level);
    xb_log_setup("coordinator", log_level,
                 strcmp(words.format, "text") == 0 ? XB_LOG_TEXT : XB_LOG_JSON);
    xb_flags_report(flags, xb_flags_idle_server, argc - 1, argv + 1);
    (void)signal(SIGPIPE, SIG_IGN);
    take_times(&words, &options);
    take_rest(&words, &options);
    if (check(&words, &options, &err) < 0 || xb_coordinator_run(&options, &err) < 0) {
        xb_log_error(&err, "the coordinator cannot go on");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
