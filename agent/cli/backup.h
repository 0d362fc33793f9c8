/* SPDX-License-Identifier: Apache-2.0
 *
 * backup.h - what `xebec backup` was asked for; for its files only.
 *
 * What for:  backup.c parses it and backs up folders, from a copy if that was asked for
 *            (point_in_time.c), backup_device.c block devices and images.
 */
#pragma once

#include "agent/cli/cli.h"
#include "agent/freeze/freeze.h"

struct xb_cli_backup {
    struct xb_cli_common common;
    const char *description, *compression, *host, *user;
    const char *point_in_time; /* methods; NULL: read the folder itself */
    struct xb_freeze_methods methods;
    bool full;
    char *path;
    int64_t threads, index_every_s, checkpoint_every_s;
};

/* What was asked for, else what the repository's own policy says. */
int xb_cli_backup_compression(const struct xb_cli_backup *request, struct xb_repository *repository,
                              enum xb_compression *ret, struct xb_error *err) XB_MUST_CHECK;

struct xb_backup_options;
struct xb_backup_result;
struct xb_freeze_facts;

/* xb_backup_run with a copy of the folder, which is gone afterwards. *ret_facts: what was read. */
int xb_cli_backup_copy(const struct xb_cli_backup *request, struct xb_repository *repository,
                       struct xb_backup_options *options, struct xb_backup_result *ret,
                       struct xb_freeze_facts *ret_facts, struct xb_error *err) XB_MUST_CHECK;

/* Backs up, publishes and tells. Returns the exit status, or a negative errno with err set. */
int xb_cli_backup_device(const struct xb_cli_backup *request, struct xb_repository *repository,
                         struct xb_snapshot *snapshot, struct xb_error *err) XB_MUST_CHECK;
