/* SPDX-License-Identifier: Apache-2.0
 *
 * backup.h - what `xebec backup` was asked for; for its two files only.
 *
 * What for:  backup.c parses it and backs up folders, backup_device.c block devices and images.
 */
#pragma once

#include "agent/cli/cli.h"

struct xb_cli_backup {
    struct xb_cli_common common;
    const char *description, *compression, *host, *user;
    bool full;
    char *path;
    int64_t threads, index_every_s, checkpoint_every_s;
};

/* What was asked for, else what the repository's own policy says. */
int xb_cli_backup_compression(const struct xb_cli_backup *request, struct xb_repository *repository,
                              enum xb_compression *ret, struct xb_error *err) XB_MUST_CHECK;

/* Backs up, publishes and tells. Returns the exit status, or a negative errno with err set. */
int xb_cli_backup_device(const struct xb_cli_backup *request, struct xb_repository *repository,
                         struct xb_snapshot *snapshot, struct xb_error *err) XB_MUST_CHECK;
