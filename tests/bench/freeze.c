/* SPDX-License-Identifier: Apache-2.0
 *
 * For how long an application stands still for a copy of its volume: `bench_freeze FOLDER METHODS
 * [COMMAND]` prepares a copy, runs the command, takes the copy, and removes it. tests/bench/freeze
 * makes the volumes.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/freeze/freeze.h"

static void must(int r, const struct xb_error *err)
{
    if (r < 0) {
        fprintf(stderr, "bench_freeze: %s\n", err->text);
        exit(1);
    }
}

/* Of all threads: what other work on the machine does not change. */
static double cpu_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_freeze_facts facts;
    struct xb_freeze_methods methods = XB_FREEZE_METHODS_ALL;
    struct xb_freeze_request request = {.name = "bench"};
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *freeze = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_freeze FOLDER METHODS [COMMAND]\n");
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
    if (argc > 3 && system(argv[3]) != 0) {
        fprintf(stderr, "bench_freeze: %s failed\n", argv[3]);
        return 1;
    }
    double before_ms = cpu_ms();
    must(xb_freeze_take(freeze, &err), &err);
    double took_ms = cpu_ms() - before_ms;
    xb_freeze_describe(freeze, &facts);
    printf("%s %s freeze %.1f ms (CPU %.1f ms), prepared in %.0f ms\n",
           xb_freeze_method_name(facts.method), xb_freeze_consistency_name(facts.consistency),
           (double)facts.freeze_us / 1000, took_ms, (double)facts.prepare_us / 1000);
    return 0;
}
