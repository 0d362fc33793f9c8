/* SPDX-License-Identifier: Apache-2.0
 *
 * restore.h - what `xebec restore` was asked for; for its two files only.
 *
 * What for:  restore.c parses it and restores into folders, restore_device.c onto block devices and
 *            into image files.
 */
#pragma once

#include "agent/cli/cli.h"

struct xb_cli_restore {
    struct xb_cli_common common;
    const char *words[2]; /* snapshot, target */
    const char *path;
    bool devices, privileged, sparse, full, dry_run;
    int64_t threads;
    struct xb_cli_progress progress;
};

/* Restores and tells. Returns the exit status, or a negative errno with err set. */
int xb_cli_restore_device(struct xb_cli_restore *request, struct xb_repository *repository,
                          const struct xb_snapshot *snapshot, struct xb_error *err) XB_MUST_CHECK;
