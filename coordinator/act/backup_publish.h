/* SPDX-License-Identifier: Apache-2.0
 *
 * backup_publish.h - a backup's end; for the files of this folder only.
 *
 * What for:  merges what the agents did into the record, puts the record, the commit marker last,
 *            and says so in the object's status.
 */
#pragma once

#include "coordinator/act/internal.h"

/* Merges what came of the orders in work->extra, and says in the phase that only the record is
 * missing. */
int xb_backup_finalize(struct xb_step_work *work, struct xb_error *err) XB_MUST_CHECK;
/* Puts the record, then the final phase. */
int xb_backup_publish(struct xb_step_work *work, struct xb_error *err) XB_MUST_CHECK;
/* If the record of this very backup is whole already, before a crash: the final phase that it has.
 */
int xb_backup_end(struct xb_step_work *work, bool *ret_ended, struct xb_error *err) XB_MUST_CHECK;
/* The backup cannot go on: Failed, with the reason. */
int xb_backup_fail(struct xb_step_work *work, const char *reason,
                   struct xb_error *err) XB_MUST_CHECK;
