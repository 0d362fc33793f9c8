/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent that copies one volume, whose file system its guard holds meanwhile, and shows the copy:
 * for tests/fault/standstill_test and tests/vm/lvm_test.
 *
 *   freeze_agent SOCKET PODS_ROOT POD_UID PATH [METHODS]     SOCKET "": it has no guard
 *
 * Says "swept N", how many copies of others before it are removed, "METHOD CONSISTENCY, frozen N
 * us, because: ..." and "copy at descriptor N", or "no copy: ...", and waits for a line on its
 * input. If the copy was lost by then, it falls back, and says the same once more.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/job/standstill.h"
#include "shared/base/log.h"

enum { SOCKET = 1, ROOT, UID, PATH, METHODS, ARGUMENTS };

static int copy(const struct xb_freeze_request *request, struct xb_freeze **ret,
                struct xb_error *err)
{
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *freeze = NULL;
    int r = xb_freeze_prepare(request, &freeze, err);
    r = r ? r : xb_freeze_take(freeze, err);
    if (r == 0) {
        xb_freeze_open(freeze);
        *ret = XB_TAKE(freeze);
    }
    return r;
}

static void show(const struct xb_freeze *freeze)
{
    struct xb_freeze_facts facts;
    xb_freeze_describe(freeze, &facts);
    printf("%s %s, frozen %" PRIu64 " us, because: %s %s\n", xb_freeze_method_name(facts.method),
           xb_freeze_consistency_name(facts.consistency), facts.frozen_us, facts.reasons,
           xb_freeze_lost_reason(freeze));
    printf("copy at descriptor %d\n", xb_freeze_root(freeze));
}

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_guard_freep) struct xb_guard *guard = NULL;
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *freeze = NULL;
    struct xb_standstill still;
    struct xb_freeze_methods methods = XB_FREEZE_METHODS_ALL;
    char line[16];
    if (argc != METHODS && argc != ARGUMENTS) {
        fprintf(stderr, "usage: see the top of tests/fault/freeze_agent.c\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    xb_log_setup("freeze_agent", XB_LOG_INFO, XB_LOG_TEXT);
    XB_CLEANUP(xb_closep) int fd = open(argv[PATH], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct xb_standstill_volume volume = {
        .pods_roots = argv[ROOT], .pod_uid = argv[UID], .path = argv[PATH]};
    int r = xb_guard_new(argv[SOCKET], &guard, &err);
    r = r ? r : xb_freeze_methods_parse(argc > METHODS ? argv[METHODS] : "", &methods, &err);
    xb_standstill_init(&still, guard, &volume);
    const struct xb_freeze_request request = {.root_fd = fd,
                                              .path = argv[PATH],
                                              .name = "copy",
                                              .methods = xb_freeze_methods_left(methods),
                                              .free_bytes_min = 1,
                                              .holder = guard ? &still.holder : NULL};
    int swept = r ? r : xb_freeze_sweep(&request, &err);
    printf("swept %d%s%s\n", swept, swept < 0 ? ": " : "", swept < 0 ? err.text : "");
    r = r ? r : copy(&request, &freeze, &err);
    if (r < 0) {
        printf("no copy: %s\n", err.text);
        return 1;
    }
    show(freeze);
    if (!fgets(line, sizeof line, stdin)) {
        return 1;
    }
    xb_freeze_look(freeze);
    if (atomic_load(xb_freeze_lost(freeze)) && xb_freeze_fall_back(freeze, &err) == 0) {
        show(freeze);
    }
    return 0;
}
