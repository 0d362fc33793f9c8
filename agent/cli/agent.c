/* SPDX-License-Identifier: Apache-2.0
 * xebec agent: the daemon of a node. Accepts the flags of `velero node-agent server`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/cli.h"
#include "agent/job/job.h"
#include "shared/base/log.h"
#include "shared/http/limits.h"
#include "shared/store/s3/s3.h"
#include "shared/velero/flags.h"
#include "shared/velero/host_paths.h"

enum { METRICS_PORT = 8085 };

/* NULL stays NULL when no limit is wanted. */
static int make_limits(const char *up, const char *down, struct xb_http_limits **ret,
                       struct xb_error *err)
{
    int64_t rates[2] = {0, 0};
    const char *const texts[2] = {up, down};
    for (size_t i = 0; i < 2; i++) {
        if (texts[i] && texts[i][0] && !xb_cli_rate(texts[i], &rates[i])) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "--%s-limit is bytes per second, like 500K or 2M, not '%.60s'",
                                i ? "download" : "upload", texts[i]);
        }
    }
    return rates[0] || rates[1]
               ? xb_http_limits_new((uint64_t)rates[0], (uint64_t)rates[1], ret, err)
               : 0;
}

static int set_memory(const char *text, struct xb_error *err)
{
    int64_t bytes = 0;
    if (text && text[0] && !xb_cli_rate(text, &bytes)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "--memory is a size, like 64M or 1G, not '%.60s'", text);
    }
    return xb_cli_memory(bytes, err);
}

/* Between 1 and max, or else the fallback. */
static long number(const char *text, long fallback, long max)
{
    char *end = NULL;
    long value = text && text[0] ? strtol(text, &end, 10) : 0;
    return end && end != text && !*end && value >= 1 && value <= max ? value : fallback;
}

/* Of options that are nothing but a word. */
struct words {
    const char *devices, *privileged, *blocks, *jobs, *metrics;
};

static void take_words(const struct words *words, struct xb_agent_options *options)
{
    const char *colon = words->metrics ? strrchr(words->metrics, ':') : NULL;
    options->namespace =
        options->namespace && options->namespace[0] ? options->namespace : "velero";
    options->devices = strcmp(words->devices, "true") == 0;
    options->block_devices = strcmp(words->blocks, "true") == 0;
    options->privileged = strcmp(words->privileged, "true") == 0;
    options->jobs_max = (unsigned)number(words->jobs, 0, XB_AGENT_JOBS_MAX);
    options->metrics_port =
        (uint16_t)number(colon ? colon + 1 : words->metrics, METRICS_PORT, 65535);
}

int xb_cli_agent(int argc, char **argv)
{
    const char *level = "info";
    const char *upload = NULL, *download = NULL, *scratch = NULL, *memory = NULL;
    struct words words = {.devices = "false", .privileged = "false", .blocks = "false", .jobs = ""};
    const char *format = "json";
    struct xb_agent_options options = {.node = getenv("NODE_NAME"),
                                       .namespace = getenv("VELERO_NAMESPACE"),
                                       .pod_name = getenv("POD_NAME"),
                                       .pods_root = "/host_pods",
                                       .host_root = "/host_paths",
                                       .dev_root = "/host_dev",
                                       .host_paths = "",
                                       .guard_socket = getenv("XEBEC_GUARD_SOCKET")};
    const struct xb_flag flags[] = {{"node", &options.node},
                                    {"namespace", &options.namespace},
                                    {"kubeconfig", &options.kubeconfig},
                                    {"guard-socket", &options.guard_socket},
                                    {"host-pods", &options.pods_root},
                                    {"host-paths", &options.host_root},
                                    {"host-dev", &options.dev_root},
                                    {"block-devices", &words.blocks},
                                    {"host-path-allow", &options.host_paths},
                                    {"log-level", &level},
                                    {"log-format", &format},
                                    {"metrics-address", &words.metrics},
                                    {"volumes-at-once", &words.jobs},
                                    {"node-agent-configmap", &options.settings},
                                    {"point-in-time", &options.point_in_time},
                                    {"upload-limit", &upload},
                                    {"download-limit", &download},
                                    {"scratch-limit", &scratch},
                                    {"memory", &memory},
                                    {"restore-devices", &words.devices},
                                    {"restore-privileged-attributes", &words.privileged},
                                    {NULL, NULL}};
    enum xb_log_level log_level = XB_LOG_INFO;
    xb_flags_parse(flags, argc, argv);
    (void)xb_log_level_parse(level, &log_level);
    xb_log_setup("agent", log_level, strcmp(format, "text") == 0 ? XB_LOG_TEXT : XB_LOG_JSON);
    xb_flags_report(flags, xb_flags_idle_agent, argc, argv);
    if (!options.node || !options.node[0]) {
        fprintf(stderr, "xebec agent: which node? set NODE_NAME or use --node\n");
        return XB_EXIT_USAGE;
    }
    take_words(&words, &options);
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_http_limits_freep) struct xb_http_limits *limits = NULL;
    if (make_limits(upload, download, &limits, &err) < 0 ||
        xb_host_paths_check(options.host_paths, &err) < 0) {
        fprintf(stderr, "xebec agent: %s\n", err.text);
        return XB_EXIT_USAGE;
    }
    options.limits = limits;
    int64_t scratch_bytes = 0;
    if (scratch && scratch[0] && !xb_cli_rate(scratch, &scratch_bytes)) {
        fprintf(stderr, "xebec agent: --scratch-limit is a size, like 500M or 2G, not '%.60s'\n",
                scratch);
        return XB_EXIT_USAGE;
    }
    xb_store_s3_stage_limit((uint64_t)scratch_bytes);
    if (set_memory(memory, &err) < 0) {
        fprintf(stderr, "xebec agent: %s\n", err.text);
        return XB_EXIT_USAGE;
    }
    if (xb_agent_run(&options, &err) < 0) {
        xb_log_error(&err, "the agent cannot go on");
        return XB_EXIT_FAILED;
    }
    return XB_EXIT_OK;
}
