/* SPDX-License-Identifier: Apache-2.0
 * xebec backup DIR --point-in-time: the folder is read from a copy of it. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/cli/backup.h"
#include "agent/freeze/freeze.h"
#include "agent/pipeline/backup.h"
#include "shared/base/clock.h"

static int make_copy(const struct xb_freeze_request *wanted, struct xb_freeze **ret,
                     struct xb_error *err)
{
    struct xb_error ignored = XB_ERROR_INIT;
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *copy = NULL;
    (void)!xb_freeze_sweep(wanted, &ignored);
    int r = xb_freeze_prepare(wanted, &copy, err);
    if (r == 0 && (r = xb_freeze_take(copy, err)) == 0) {
        *ret = XB_TAKE(copy);
    }
    return r;
}

int xb_cli_backup_copy(const struct xb_cli_backup *request, struct xb_repository *repository,
                       struct xb_backup_options *options, struct xb_backup_result *ret,
                       struct xb_freeze_facts *ret_facts, struct xb_error *err)
{
    char name[64];
    XB_CLEANUP(xb_freeze_freep) struct xb_freeze *copy = NULL;
    snprintf(name, sizeof name, "xebec-%d-%lld", (int)getpid(), (long long)xb_clock_wall_ns());
    const struct xb_freeze_request wanted = {.root_fd = options->root_fd,
                                             .path = request->path,
                                             .name = name,
                                             .methods = xb_freeze_methods_left(request->methods),
                                             .threads = options->threads,
                                             .cancel = options->cancel};
    int r = make_copy(&wanted, &copy, err);
    if (r < 0) {
        return r;
    }
    options->copy = copy;
    r = xb_backup_run(repository, options, ret, err);
    if (r < 0 && atomic_load(xb_freeze_lost(copy))) {
        r = xb_freeze_fall_back(copy, err);
        if (r == 0) {
            *err = (struct xb_error)XB_ERROR_INIT;
            r = xb_backup_run(repository, options, ret, err);
        }
    }
    xb_freeze_describe(copy, ret_facts);
    options->copy = NULL;
    return r;
}
