/* SPDX-License-Identifier: Apache-2.0
 * Whether an XFS log is clean.
 *
 * The log is a ring of sectors. Each begins with the number of the round in which it was written
 * (a record's own header has it in its second word). Where that number falls by one is the log's
 * head. The log is clean if the record before the head is the one that an unmount leaves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/free_xfs.h"

enum {
    SECTOR_BYTES = 512,
    READ_BYTES = 256 * 1024,
    HEADER_DATA_BYTES = 32 * 1024, /* a header sector has room for that much data's round numbers */
    RECORD_BYTES_MAX = 256 * 1024,
    LOOK_BACK_SECTORS = (RECORD_BYTES_MAX + RECORD_BYTES_MAX / 64) / SECTOR_BYTES,
    CLIENT_LOG = 0xaa,
    UNMOUNT = 0x20
};

#define RECORD_MAGIC UINT32_C(0xfeedbabe)
#define LOG_BYTES_MAX (UINT64_C(2) << 30) /* XFS's own limit */

struct head {
    uint64_t sectors, at; /* at: the first sector of the older round; 0: there is none */
    uint32_t round;       /* of the sectors before it */
};

static int dirty(struct xb_error *err)
{
    return xb_free_refuse(err, "its XFS log is not clean");
}

static uint32_t round_of(const unsigned char *sector)
{
    uint32_t first = xb_free_be32(sector);
    return first == RECORD_MAGIC ? xb_free_be32(sector + 4) : first;
}

/* One more sector: exactly one step down, by one, is in order. */
static bool step(struct head *head, uint64_t number, uint32_t round)
{
    if (number == 0) {
        head->round = round;
        return true;
    }
    if (head->at == 0 && round != head->round) {
        head->at = number;
    }
    return head->at == 0 ? true : round == head->round - 1;
}

static int find_head(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                     struct head *head, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) unsigned char *data = malloc(READ_BYTES);
    if (!data) {
        return xb_error_no_memory(err, "a file system's log");
    }
    for (uint64_t done = 0; done < xfs->log_bytes;) {
        uint64_t left = xfs->log_bytes - done;
        size_t len = left < READ_BYTES ? (size_t)left : READ_BYTES;
        int r = xb_free_read(source, xfs->log_offset + done, data, len, err);
        if (r < 0) {
            return r;
        }
        for (size_t i = 0; i < len; i += SECTOR_BYTES) {
            if (!step(head, (done + i) / SECTOR_BYTES, round_of(data + i))) {
                return dirty(err);
            }
        }
        done += len;
    }
    return head->round == 0 ? dirty(err) : 0;
}

static int read_sector(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                       uint64_t number, unsigned char *out, struct xb_error *err)
{
    return xb_free_read(source, xfs->log_offset + number * SECTOR_BYTES, out, SECTOR_BYTES, err);
}

/* The last record before the head. */
static int find_record(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                       const struct head *head, uint64_t *ret_number,
                       unsigned char header[SECTOR_BYTES], struct xb_error *err)
{
    for (uint64_t back = 1; back <= LOOK_BACK_SECTORS && back <= head->sectors; back++) {
        uint64_t number = (head->at + head->sectors - back) % head->sectors;
        int r = read_sector(source, xfs, number, header, err);
        if (r < 0) {
            return r;
        }
        if (xb_free_be32(header) == RECORD_MAGIC) {
            *ret_number = number;
            return 0;
        }
    }
    return dirty(err);
}

int xb_free_xfs_log(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                    struct xb_error *err)
{
    unsigned char header[SECTOR_BYTES];
    unsigned char data[SECTOR_BYTES];
    struct head head = {.sectors = xfs->log_bytes / SECTOR_BYTES};
    uint64_t number = 0;
    if (xfs->log_bytes > LOG_BYTES_MAX) {
        return dirty(err);
    }
    int r = find_head(source, xfs, &head, err);
    if (r < 0 || (r = find_record(source, xfs, &head, &number, header, err)) < 0) {
        return r;
    }
    uint32_t version = xb_free_be32(header + 8);
    uint32_t size = version & 2 ? xb_free_be32(header + 320) : 0;
    uint32_t len = xb_free_be32(header + 12);
    uint64_t headers =
        size > HEADER_DATA_BYTES ? ((uint64_t)size + HEADER_DATA_BYTES - 1) / HEADER_DATA_BYTES : 1;
    uint64_t behind = number + headers + ((uint64_t)len + SECTOR_BYTES - 1) / SECTOR_BYTES;
    if (version < 1 || version > 2 || len == 0 || len > RECORD_BYTES_MAX ||
        size > RECORD_BYTES_MAX ||

        behind % head.sectors != head.at || xb_free_be32(header + 40) != 1 ||
        memcmp(header + 304, xfs->super + 32, 16) != 0) {
        return dirty(err);
    }
    r = read_sector(source, xfs, (number + headers) % head.sectors, data, err);
    if (r == 0 && (data[8] != CLIENT_LOG || !(data[9] & UNMOUNT))) {
        r = dirty(err);
    }
    return r;
}
