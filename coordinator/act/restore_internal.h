/* SPDX-License-Identifier: Apache-2.0
 *
 * restore_internal.h - a restore's steps; for the files of this folder only.
 *
 * What for:  restore_start.c judges a restore, restore_act.c has its items brought
 *            (coordinator/bring) and removes its record, restore_publish.c writes down what it did.
 */
#pragma once

#include "coordinator/act/internal.h"

/* Validates; InProgress or FailedValidation. */
int xb_restore_start(struct xb_step_work *work, struct xb_error *err) XB_MUST_CHECK;
/* Writes the record and the final phase. */
int xb_restore_publish(struct xb_step_work *work, struct xb_error *err) XB_MUST_CHECK;

/* What <restore>-volumeinfo.json.gz says: of each volume that has a claim, how its data came back
 * (restore_infos.c). The caller's to put. */
int xb_restore_infos(struct xb_step_work *work, xb_json **ret, struct xb_error *err) XB_MUST_CHECK;

/* Where the restore writes down what it did: the backup's location, also one that takes no backups.
 */
int xb_restore_store(struct xb_step_work *work, struct xb_store **ret,
                     struct xb_error *err) XB_MUST_CHECK;
/* The list of finalizers with ours in it, or without. */
xb_json *xb_restore_finalizers(xb_json *restore, bool with);
/* status.progress */
xb_json *xb_restore_progress(uint64_t items, uint64_t items_total);

/* Puts a restore's mark (coordinator/bring/bring.h) into a patch; NULL takes it away. */
void xb_restore_mark(xb_json *patch, const char *mark);

/* Takes our finalizer off a restore, if it has it; its record stays. */
int xb_restore_release(struct xb_coordinator *coordinator, xb_json *restore,
                       struct xb_error *err) XB_MUST_CHECK;
