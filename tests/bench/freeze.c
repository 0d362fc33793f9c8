/* SPDX-License-Identifier: Apache-2.0
 *
 * For how long an application stands still for a copy of its volume: `bench_freeze FOLDER METHODS
 * [COMMAND [EARLIER]]` prepares a copy, runs the earlier command, looks again, runs the command,
 * takes the copy, and removes it. tests/bench/freeze makes the volumes.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "agent/freeze/freeze.h"

static void must(int r, const struct xb_error *err)
{
    if (r < 0) {
        fprintf(stderr, "bench_freeze: %s\n", err->text);
        exit(1);
    }
}

/* Of all threads, how long they worked and how often they waited: other work on the machine changes
 * these little. */
struct cost {
    double cpu_ms;
    long waits;
};

static struct cost cost_now(void)
{
    struct rusage usage;
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    getrusage(RUSAGE_SELF, &usage);
    return (struct cost){(double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6, usage.ru_nvcsw};
}

static void run(const char *command)
{
    if (command && system(command) != 0) {
        fprintf(stderr, "bench_freeze: %s failed\n", command);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_freeze_facts facts;
    struct xb_freeze_methods methods = XB_FREEZE_METHODS_ALL;
    struct xb_freeze_request request = {.name = "bench"};
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *freeze = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_freeze FOLDER METHODS [COMMAND [EARLIER]]\n");
        return 2;
    }
    request.path = argv[1];
    request.root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (request.root_fd < 0) {
        perror(argv[1]);
        return 1;
    }
    must(xb_freeze_methods_parse(argv[2], &methods, &err), &err);
    request.methods = xb_freeze_methods_left(methods);
    must(xb_freeze_prepare(&request, &freeze, &err), &err);
    run(argc > 4 ? argv[4] : NULL);
    must(xb_freeze_refresh(freeze, &err), &err);
    run(argc > 3 ? argv[3] : NULL);
    const struct cost before = cost_now();
    must(xb_freeze_take(freeze, &err), &err);
    const struct cost after = cost_now();
    xb_freeze_describe(freeze, &facts);
    printf("%s %s freeze %.1f ms (CPU %.1f ms, %ld waits), prepared in %.0f ms\n",
           xb_freeze_method_name(facts.method), xb_freeze_consistency_name(facts.consistency),
           (double)facts.freeze_us / 1000, after.cpu_ms - before.cpu_ms, after.waits - before.waits,
           (double)facts.prepare_us / 1000);
    return 0;
}
