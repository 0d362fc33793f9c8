/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a command in a container and prints what came of it: for tests/cluster/exec_test.
 *
 *   exec cri ROOT POD_UID CONTAINER TIMEOUT_MS OUTPUT_MAX CANCEL_MS COMMAND...
 *   exec api KUBECONFIG NAMESPACE/POD CONTAINER TIMEOUT_MS OUTPUT_MAX CANCEL_MS COMMAND...
 *
 * 0 for TIMEOUT_MS and OUTPUT_MAX: the defaults; for CANCEL_MS: never. Prints how long it took, how
 * it ended ("exit N", "timed out", "failed KIND"), and what it said.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/hooks/cri.h"
#include "shared/base/clock.h"
#include "shared/kube/exec.h"

enum { WAY = 1, PLACE, TARGET, CONTAINER, TIMEOUT, OUTPUT, CANCEL, COMMAND };

static atomic_bool cancel;

static void *cancel_later(void *context)
{
    long ms = *(long *)context;
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
    atomic_store(&cancel, true);
    return NULL;
}

static void print_output(const char *name, const struct xb_exec_output *output)
{
    printf("%s %zu%s\n", name, output->bytes.len, output->truncated ? " truncated" : "");
    if (output->bytes.len > 0 && output->bytes.len <= 4096) {
        printf("%s\n", output->bytes.data);
    }
}

static int by_api(char **argv, const struct xb_exec_command *command, struct xb_exec_result *ret,
                  struct xb_error *err)
{
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    XB_CLEANUP(xb_kube_client_freep) struct xb_kube_client *client = NULL;
    char *slash = strchr(argv[TARGET], '/');
    if (!slash) {
        return xb_error_set(err, XB_ERR_INVALID, -1, "want NAMESPACE/POD");
    }
    *slash = '\0';
    struct xb_kube_exec_target target = {
        .namespace = argv[TARGET], .pod = slash + 1, .container = argv[CONTAINER]};
    int r = xb_kube_config_load(argv[PLACE], NULL, &config, err);
    r = r ? r : xb_kube_client_new(config, NULL, &client, err);
    return r ? r : xb_kube_exec(client, &target, command, ret, err);
}

int main(int argc, char **argv)
{
    if (argc <= COMMAND) {
        fprintf(stderr, "usage: see the top of tests/interop/exec.c\n");
        return 2;
    }
    struct xb_exec_command command = {
        .argv = (const char *const *)argv + COMMAND,
        .timeout_ms = atoi(argv[TIMEOUT]),
        .output_bytes_max = strtoul(argv[OUTPUT], NULL, 10),
        .cancel = &cancel,
    };
    long cancel_ms = strtol(argv[CANCEL], NULL, 10);
    pthread_t thread;
    if (cancel_ms > 0) {
        pthread_create(&thread, NULL, cancel_later, &cancel_ms);
    }
    struct xb_error err = XB_ERROR_INIT;
    struct xb_exec_result result = {.exit_code = -1};
    int64_t begin_ns = xb_clock_mono_ns();
    int r;
    if (strcmp(argv[WAY], "cri") == 0) {
        struct xb_cri_target target = {.pod_uid = argv[TARGET], .container = argv[CONTAINER]};
        r = xb_cri_exec(argv[PLACE], &target, &command, &result, &err);
    } else {
        r = by_api(argv, &command, &result, &err);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("took %lld ms, peak %ld KiB\n",
           (long long)((xb_clock_mono_ns() - begin_ns) / XB_NS_PER_MS), usage.ru_maxrss);
    if (r < 0) {
        printf("failed %s: %s\n", xb_error_kind_name(err.kind), err.text);
    } else if (result.timed_out) {
        printf("timed out\n");
    } else {
        printf("exit %d\n", result.exit_code);
    }
    print_output("stdout", &result.out);
    print_output("stderr", &result.err);
    xb_exec_result_free(&result);
    if (cancel_ms > 0) {
        pthread_join(thread, NULL);
    }
    return 0;
}
