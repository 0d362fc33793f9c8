/* SPDX-License-Identifier: Apache-2.0
 *
 * free.h - which parts of a device its file system uses for nothing.
 *
 * What for:  they need not be read; zeros stand for them. To leave out one block that is used would
 *            lose data, so everything that is read here is checked (checksums, counts against
 *            counts, bounds), and whatever is unknown or does not fit together means: nothing is
 *            left out.
 * Ownership: the caller frees the map; the source stays the caller's.
 * Threads:   one call per thread; a finished map may be read by many.
 * Blocking:  as the source's read.
 * Shapes:    a map has one bit for each unit of a power of two of bytes (at least the file
 *            system's block; larger on larger devices, so that the map keeps its limit). A unit is
 *            free only if all of it is. What lies behind the file system is not free.
 * Errors:    INVALID: all of it has to be read, with the reason ("its journal is not clean");
 *            others from the source's read.
 * Limits:    XB_FREE_MAP_BYTES_MAX for the map; a few blocks beside it. All bytes are hostile.
 * Source:    ext2/3/4: Documentation/filesystems/ext4 of the kernel. XFS: "XFS Algorithms & Data
 *            Structures", and Documentation/filesystems/xfs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_FREE_MAP_BYTES_MAX = 1024 * 1024, XB_FREE_BLOCK_BYTES_MAX = 65536 };

/* Reads exactly `len` bytes at `offset`; they lie below the source's size. */
typedef int xb_free_read_fn(void *context, uint64_t offset, void *data, size_t len,
                            struct xb_error *err);
struct xb_free_source {
    xb_free_read_fn *read;
    void *context;
    uint64_t size;
};

struct xb_free_map {
    unsigned char *bits; /* 1: free */
    uint64_t size;       /* of the device */
    unsigned unit_shift;
    uint64_t units;
    uint64_t run_start, run_end; /* while it is made: neighbours that are free */
};

/* The map of a clean, unmounted ext2, ext3, ext4 or XFS file system that begins at offset 0. That
 * it is not mounted is the caller's to know. */
int xb_free_find(const struct xb_free_source *source, struct xb_free_map *ret,
                 struct xb_error *err) XB_MUST_CHECK;
void xb_free_map_free(struct xb_free_map *map); /* what it owns */

/* How many of the bytes [offset, offset + len), len > 0, are all free or all used; *ret_free tells
 * which. */
uint64_t xb_free_map_run(const struct xb_free_map *map, uint64_t offset, uint64_t len,
                         bool *ret_free);

/* ---- for the parsers ---- */

/* An empty map: nothing is free. */
int xb_free_map_new(uint64_t size, uint32_t block_bytes, struct xb_free_map *ret,
                    struct xb_error *err) XB_MUST_CHECK;
/* The bytes [offset, offset + len) hold nothing. Neighbours have to come in ascending order to
 * make up units together. */
void xb_free_map_add(struct xb_free_map *map, uint64_t offset, uint64_t len);
/* Ends the present row of neighbours. */
void xb_free_map_settle(struct xb_free_map *map);
/* They hold something after all. */
void xb_free_map_keep(struct xb_free_map *map, uint64_t offset, uint64_t len);

int xb_free_ext(const struct xb_free_source *source, const unsigned char *super,
                struct xb_free_map *ret, struct xb_error *err) XB_MUST_CHECK;
int xb_free_xfs(const struct xb_free_source *source, struct xb_free_map *ret,
                struct xb_error *err) XB_MUST_CHECK;

/* Says why all of it has to be read. */
int xb_free_refuse(struct xb_error *err, const char *why);
/* As the source's read, and refuses what lies outside. */
int xb_free_read(const struct xb_free_source *source, uint64_t offset, void *data, size_t len,
                 struct xb_error *err) XB_MUST_CHECK;

static inline uint32_t xb_free_le16(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}
static inline uint32_t xb_free_le32(const unsigned char *at)
{
    return xb_free_le16(at) | xb_free_le16(at + 2) << 16;
}
static inline uint32_t xb_free_be16(const unsigned char *at)
{
    return (uint32_t)at[0] << 8 | (uint32_t)at[1];
}
static inline uint32_t xb_free_be32(const unsigned char *at)
{
    return xb_free_be16(at) << 16 | xb_free_be16(at + 2);
}
static inline uint64_t xb_free_be64(const unsigned char *at)
{
    return (uint64_t)xb_free_be32(at) << 32 | xb_free_be32(at + 4);
}
