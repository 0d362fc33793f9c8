/* SPDX-License-Identifier: Apache-2.0
 * The map of what is free, and which parser makes it. */
#include "agent/device/free.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EXT_SUPER_OFFSET = 1024, EXT_SUPER_BYTES = 1024, EXT_MAGIC = 0xef53 };

#define XFS_MAGIC UINT32_C(0x58465342)

int xb_free_refuse(struct xb_error *err, const char *why)
{
    return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP, "%s", why);
}

int xb_free_read(const struct xb_free_source *source, uint64_t offset, void *data, size_t len,
                 struct xb_error *err)
{
    if (offset > source->size || len > source->size - offset) {
        return xb_free_refuse(err, "its file system points outside of the device");
    }
    return source->read(source->context, offset, data, len, err);
}

/* ---- the map ---- */

int xb_free_map_new(uint64_t size, uint32_t block_bytes, struct xb_free_map *ret,
                    struct xb_error *err)
{
    unsigned shift = 9;
    while (UINT64_C(1) << shift < block_bytes) {
        shift++;
    }
    while ((size >> shift) > (uint64_t)XB_FREE_MAP_BYTES_MAX * 8 - 1) {
        shift++;
    }
    struct xb_free_map map = {.size = size, .unit_shift = shift, .units = size >> shift};
    map.bits = calloc(1, (size_t)(map.units / 8 + 1));
    if (!map.bits) {
        return xb_error_no_memory(err, "a map of the device");
    }
    *ret = map;
    return 0;
}

void xb_free_map_free(struct xb_free_map *map)
{
    free(XB_TAKE(map->bits));
}

static bool unit_free(const struct xb_free_map *map, uint64_t unit)
{
    return unit < map->units && (map->bits[unit / 8] >> (unit % 8) & 1) != 0;
}

static void set_units(struct xb_free_map *map, uint64_t first, uint64_t end)
{
    for (uint64_t unit = first; unit < end; unit++) {
        if (unit % 8 == 0 && end - unit >= 8) {
            map->bits[unit / 8] = 0xff;
            unit += 7;
        } else {
            map->bits[unit / 8] |= (unsigned char)(1U << (unit % 8));
        }
    }
}

void xb_free_map_settle(struct xb_free_map *map)
{
    uint64_t unit_bytes = UINT64_C(1) << map->unit_shift;
    uint64_t end = map->run_end < map->size ? map->run_end : map->size;
    uint64_t first = (map->run_start + unit_bytes - 1) >> map->unit_shift;
    set_units(map, first, end >> map->unit_shift);
    map->run_start = map->run_end = 0;
}

void xb_free_map_add(struct xb_free_map *map, uint64_t offset, uint64_t len)
{
    if (len == 0 || offset > map->size || len > map->size - offset) {
        return;
    }
    if (offset != map->run_end || map->run_end == map->run_start) {
        xb_free_map_settle(map);
        map->run_start = offset;
    }
    map->run_end = offset + len;
}

void xb_free_map_keep(struct xb_free_map *map, uint64_t offset, uint64_t len)
{
    if (len == 0 || offset >= map->size) {
        return;
    }
    uint64_t last = len - 1 < map->size - 1 - offset ? offset + len - 1 : map->size - 1;
    for (uint64_t unit = offset >> map->unit_shift;
         unit <= last >> map->unit_shift && unit < map->units; unit++) {
        map->bits[unit / 8] &= (unsigned char)~(1U << (unit % 8));
    }
}

/* Eight units at once where they agree: maps are long and mostly alike. */
static uint64_t same_until(const struct xb_free_map *map, uint64_t unit, uint64_t last, bool want)
{
    const unsigned char whole = want ? 0xff : 0;
    while (unit <= last && unit_free(map, unit) == want) {
        bool byte = unit % 8 == 0 && unit + 8 <= map->units && map->bits[unit / 8] == whole;
        unit += byte ? 8 : 1;
    }
    return unit;
}

uint64_t xb_free_map_run(const struct xb_free_map *map, uint64_t offset, uint64_t len,
                         bool *ret_free)
{
    uint64_t unit = offset >> map->unit_shift;
    uint64_t last = (offset + len - 1) >> map->unit_shift;
    *ret_free = unit_free(map, unit);
    uint64_t end = same_until(map, unit, last, *ret_free) << map->unit_shift;
    return end - offset < len ? end - offset : len;
}

/* ---- what it is ---- */

int xb_free_find(const struct xb_free_source *source, struct xb_free_map *ret, struct xb_error *err)
{
    unsigned char head[EXT_SUPER_OFFSET + EXT_SUPER_BYTES];
    struct xb_free_map map = {.bits = NULL};
    if (source->size < sizeof head) {
        return xb_free_refuse(err, "it is too small for a file system");
    }
    int r = xb_free_read(source, 0, head, sizeof head, err);
    if (r < 0) {
        return r;
    }
    if (xb_free_be32(head) == XFS_MAGIC) {
        r = xb_free_xfs(source, &map, err);
    } else if (xb_free_le16(head + EXT_SUPER_OFFSET + 0x38) == EXT_MAGIC) {
        r = xb_free_ext(source, head + EXT_SUPER_OFFSET, &map, err);
    } else {
        r = xb_free_refuse(err, "it holds no file system whose free space is known here");
    }
    if (r < 0) {
        xb_free_map_free(&map);
        return r;
    }
    xb_free_map_settle(&map);
    *ret = map;
    return 0;
}
