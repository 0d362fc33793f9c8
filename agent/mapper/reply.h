/* SPDX-License-Identifier: Apache-2.0
 *
 * reply.h - the device mapper's answers as bytes (pure); for the files of this folder only.
 *
 * Ownership: nothing is kept.    Threads: any.    Blocking: never.
 * Shapes:    struct dm_ioctl, and what lies in its data: of DM_LIST_DEVICES and DM_TABLE_STATUS.
 * Errors:    CORRUPT: an offset or a length that leads out, a text without an end; FULL.
 */
#pragma once

#include "agent/mapper/mapper.h"

int xb_mapper_reply_device(const void *reply, size_t len, struct xb_mapper_device *ret,
                           struct xb_error *err) XB_MUST_CHECK;
int xb_mapper_reply_list(const void *reply, size_t len, struct xb_mapper_list *ret,
                         struct xb_error *err) XB_MUST_CHECK;
int xb_mapper_reply_target(const void *reply, size_t len, struct xb_mapper_target *ret,
                           struct xb_error *err) XB_MUST_CHECK;
