/* SPDX-License-Identifier: Apache-2.0
 *
 * read_job.h - one regular file of a walk, read by a worker; for the files of this folder only.
 *
 * What for:  walk.c submits, the worker adds the finished entry to its frame.
 */
#pragma once

#include "agent/pipeline/frame.h"

/* The frame waits for it. */
void xb_read_job_submit(struct frame *frame, const char *name, const struct stat *st);
