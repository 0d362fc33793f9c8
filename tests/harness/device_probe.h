/* SPDX-License-Identifier: Apache-2.0
 *
 * device_probe.h - a device that is mostly zeros, for the parsers of file systems.
 *
 * What for:  an input is the device's size and pieces of it: 8 bytes of size, then for each piece 8
 *            bytes of offset, 4 of length, and its bytes; numbers are little-endian. What no piece
 *            covers is zeros. Later pieces lie over earlier ones.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "agent/device/free.h"

struct device_probe {
    const unsigned char *data;
    size_t len;
    uint64_t size;
    uint64_t reads;
};

static inline uint64_t probe_le(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i > 0; i--) {
        value = value << 8 | at[i - 1];
    }
    return value;
}

/* The piece at *at, if a whole one is left; moves on. */
static inline bool probe_piece(const struct device_probe *probe, size_t *at, uint64_t *ret_offset,
                               const unsigned char **ret_bytes, size_t *ret_len)
{
    if (probe->len - *at < 12) {
        return false;
    }
    *ret_offset = probe_le(probe->data + *at, 8);
    uint64_t len = probe_le(probe->data + *at + 8, 4);
    size_t left = probe->len - *at - 12;
    *ret_bytes = probe->data + *at + 12;
    *ret_len = len < left ? (size_t)len : left;
    *at += 12 + *ret_len;
    return true;
}

static inline int probe_device_read(void *context, uint64_t offset, void *out, size_t len,
                                    struct xb_error *err)
{
    struct device_probe *probe = context;
    const unsigned char *bytes = NULL;
    size_t at = 8;
    uint64_t start = 0;
    size_t piece = 0;
    (void)err;
    probe->reads++;
    memset(out, 0, len);
    while (probe_piece(probe, &at, &start, &bytes, &piece)) {
        uint64_t first = start > offset ? start : offset;
        uint64_t end = offset + len;
        uint64_t last = piece > UINT64_MAX - start || start + piece > end ? end : start + piece;
        if (first < last) {
            memcpy((unsigned char *)out + (first - offset), bytes + (first - start),
                   (size_t)(last - first));
        }
    }
    return 0;
}

/* False: too short to be one. */
static inline bool probe_device(const unsigned char *data, size_t len, struct device_probe *ret)
{
    if (len < 8) {
        return false;
    }
    *ret = (struct device_probe){.data = data, .len = len, .size = probe_le(data, 8)};
    return true;
}

static inline struct xb_free_source probe_source(struct device_probe *probe)
{
    return (struct xb_free_source){
        .read = probe_device_read, .context = probe, .size = probe->size};
}
