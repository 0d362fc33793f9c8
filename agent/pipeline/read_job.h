/* SPDX-License-Identifier: Apache-2.0
 *
 * read_job.h - one regular file of a walk, read by a worker; for the files of this folder only.
 *
 * What for:  walk.c submits, the worker adds the finished entry to its frame. The frame functions
 *            below belong to walk.c.
 */
#pragma once

#include "agent/pipeline/internal.h"

/* The frame waits for it. */
void xb_read_job_submit(struct frame *frame, const char *name);

void xb_frame_add(struct frame *frame, struct xb_entry *entry); /* takes the entry's content over */
void xb_frame_add_failure(struct frame *frame, const char *name, const char *text);
void xb_frame_add_vanished(struct frame *frame, const char *name);
void xb_frame_release(struct frame *frame);
char *xb_frame_child_path(const struct frame *frame, const char *name); /* NULL: no memory */
