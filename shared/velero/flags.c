/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/flags.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"

static const struct xb_flag *find(const struct xb_flag *flags, const char *word, size_t len)
{
    for (; flags->name; flags++) {
        if (strlen(flags->name) == len && memcmp(flags->name, word, len) == 0) {
            return flags;
        }
    }
    return NULL;
}

void xb_flags_parse(const struct xb_flag *flags, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            continue;
        }
        const char *word = argv[i] + 2;
        size_t len = strcspn(word, "=");
        const struct xb_flag *flag = find(flags, word, len);
        if (!flag) {
            continue;
        }
        if (word[len]) {
            *flag->value = word + len + 1;
        } else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0) {
            *flag->value = argv[++i];
        } else {
            *flag->value = "true";
        }
    }
}

/* Of the libraries that Velero's programs are made with; both know them. */
#define LOGGING_OF_GO "it is of Velero's own log; see --log-level and --log-format"
#define NO_JOBS "the coordinator runs no jobs that maintain repositories"
#define NO_CACHE_SETTINGS "the cache of a repository is bounded by itself"

#define IDLE_IN_BOTH                                                                               \
    {"add_dir_header", LOGGING_OF_GO}, {"alsologtostderr", LOGGING_OF_GO},                         \
        {"alsologtostderrthreshold", LOGGING_OF_GO}, {"colorized", LOGGING_OF_GO},                 \
        {"legacy_stderr_threshold_behavior", LOGGING_OF_GO}, {"log_backtrace_at", LOGGING_OF_GO},  \
        {"log_dir", LOGGING_OF_GO}, {"log_file", LOGGING_OF_GO},                                   \
        {"log_file_max_size", LOGGING_OF_GO}, {"logtostderr", LOGGING_OF_GO},                      \
        {"one_output", LOGGING_OF_GO}, {"skip_headers", LOGGING_OF_GO},                            \
        {"skip_log_headers", LOGGING_OF_GO}, {"stderrthreshold", LOGGING_OF_GO},                   \
        {"v", LOGGING_OF_GO}, {"vmodule", LOGGING_OF_GO},                                          \
        {"kubecontext", "the current context of the kubeconfig is used"},                          \
    {                                                                                              \
        "backup-repository-configmap", NO_CACHE_SETTINGS                                           \
    }

const struct xb_flag_idle xb_flags_idle_server[] = {
    IDLE_IN_BOTH,
    {"client-page-size", "objects are always listed in pages of 500"},
    {"disable-informer-cache", "a restore keeps no copy of the cluster's objects"},
    {"item-block-worker-count", "nothing waits for the volumes of a pod before the next one: all "
                                "copies of a backup go on side by side, on every node"},
    {"item-operation-sync-frequency", "there are no asynchronous operations on items"},
    {"max-concurrent-k8s-connections", "the number of connections is bounded by itself"},
    {"plugin-dir", "no plugins are run: object stores are spoken to directly"},
    {"profiler-address", "there is no profiler; --metrics-address serves what there is to see"},
    {"repo-maintenance-job-configmap", NO_JOBS},
    {"keep-latest-maintenance-jobs", NO_JOBS},
    {"maintenance-job-cpu-request", NO_JOBS},
    {"maintenance-job-mem-request", NO_JOBS},
    {"maintenance-job-cpu-limit", NO_JOBS},
    {"maintenance-job-mem-limit", NO_JOBS},
    {NULL, NULL}};

const struct xb_flag_idle xb_flags_idle_agent[] = {
    IDLE_IN_BOTH,
    {"features", "the features of Velero are the server's"},
    {"resource-timeout", "the agent makes no objects that it would have to wait for"},
    {"data-mover-prepare-timeout", "the agent reads volumes itself: no pod is prepared for one"},
    {NULL, NULL}};

static const char *why_idle(const struct xb_flag_idle *idle, const char *name)
{
    for (; idle->name; idle++) {
        if (strcmp(idle->name, name) == 0) {
            return idle->why;
        }
    }
    return NULL;
}

void xb_flags_report(const struct xb_flag *flags, const struct xb_flag_idle *idle, int argc,
                     char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) != 0) {
            continue;
        }
        size_t len = strcspn(argv[i] + 2, "=");
        char name[128];
        if (find(flags, argv[i] + 2, len)) {
            continue;
        }
        snprintf(name, sizeof name, "%.*s", (int)len, argv[i] + 2);
        const char *why = why_idle(idle, name);
        if (why) {
            xb_log_info("a flag of Velero's changes nothing here", "flag", name, "why", why);
        } else {
            xb_log_warning("an unknown flag is ignored", "flag", name);
        }
    }
}
