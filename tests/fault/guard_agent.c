/* SPDX-License-Identifier: Apache-2.0
 *
 * An agent that freezes one file system and does what it reads: for tests/fault/guard_test.
 *
 *   guard_agent SOCKET PODS_ROOT POD_UID PATH LIMIT_MS
 *
 * Says "frozen after N us" or "refused: ...", waits for a line on its input, and says "thawed after
 * N us" or "lost: ...".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/guard/guard.h"
#include "shared/base/log.h"

enum { SOCKET = 1, ROOT, UID, PATH, LIMIT, ARGUMENTS };

int main(int argc, char **argv)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_guard_frozen frozen;
    XB_CLEANUP(xb_guard_freep) struct xb_guard *guard = NULL;
    uint64_t us = 0;
    char line[16];
    if (argc != ARGUMENTS) {
        fprintf(stderr, "usage: see the top of tests/fault/guard_agent.c\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    xb_log_setup("guard_agent", XB_LOG_ERROR, XB_LOG_TEXT);
    XB_CLEANUP(xb_closep) int fd = open(argv[PATH], O_RDONLY | O_CLOEXEC);
    const struct xb_guard_volume volume = {.fd = fd, .pods_root = argv[ROOT], .pod_uid = argv[UID]};
    int r = xb_guard_new(argv[SOCKET], &guard, &err);
    r = r ? r
          : xb_guard_freeze(guard, &volume, (unsigned)strtoul(argv[LIMIT], NULL, 10), &frozen,
                            &err);
    if (r < 0) {
        printf("refused: %s\n", err.text);
        return 1;
    }
    printf("frozen after %" PRIu64 " us\n", frozen.freezing_us);
    if (!fgets(line, sizeof line, stdin)) {
        line[0] = '\0';
    }
    if (xb_guard_thaw(&frozen, &us, &err) < 0) {
        printf("lost: %s\n", err.text);
        return 1;
    }
    printf("thawed after %" PRIu64 " us\n", us);
    return 0;
}
