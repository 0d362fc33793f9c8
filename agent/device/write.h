/* SPDX-License-Identifier: Apache-2.0
 *
 * write.h - bytes and zeros onto an open target.
 *
 * What for:  restore.c. Whole blocks go past the page cache; edges that are no whole block, through
 *            it, where two neighbours can share a block.
 * Threads:   any, with a buffer each, for ranges that do not overlap.
 * Errors:    FULL, IO with the place.
 */
#pragma once

#include "agent/device/device.h"

enum { XB_DEVICE_ZERO_GRAIN = 64 * 1024 };

struct xb_device_writer {
    const struct xb_device *device;
    unsigned char *buffer; /* XB_DEVICE_WRITE_BYTES, aligned */
    uint64_t written, zeroed;
};
enum { XB_DEVICE_WRITE_BYTES = 1024 * 1024 };

int xb_device_writer_begin(const struct xb_device *device, struct xb_device_writer *ret,
                           struct xb_error *err) XB_MUST_CHECK;
void xb_device_writer_end(struct xb_device_writer *writer);

/* Runs of zeros among the bytes are made as with xb_device_zero. *ret_zero: there is nothing else
 * in them. */
int xb_device_write(struct xb_device_writer *writer, uint64_t offset, const unsigned char *data,
                    size_t len, bool *ret_zero, struct xb_error *err) XB_MUST_CHECK;
int xb_device_zero(struct xb_device_writer *writer, uint64_t offset, uint64_t len,
                   struct xb_error *err) XB_MUST_CHECK;
bool xb_device_all_zero(const unsigned char *data, size_t len);
