/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/schedule/zone.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/schedule/rule.h"
#include "shared/base/file.h"

enum {
    HEADER_BYTES = 44,
    TYPE_BYTES = 6,
    OFFSET_MIN_S = -89999, /* RFC 8536 section 3.2 */
    OFFSET_MAX_S = 93599,
    PATH_BYTES = 1024
};

struct transition {
    int64_t at_s;
    int32_t offset_s;
};

struct xb_zone {
    int32_t first_s; /* before the first transition */
    bool has_rule;
    struct xb_rule rule; /* behind the last one */
    size_t count;
    struct transition transitions[];
};

/* One of the file's two blocks: what it says of itself, and where its parts are. */
struct block {
    size_t time_bytes; /* of one time: 4 or 8 */
    size_t times, types, leaps, names, standards, universals;
    const unsigned char *data;
};

static int corrupt(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a time zone's file: %s", what);
}

static uint32_t get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int64_t get_time(const struct block *block, size_t i)
{
    const unsigned char *at = block->data + i * block->time_bytes;
    return block->time_bytes == 4 ? (int32_t)get_u32(at)
                                  : (int64_t)((uint64_t)get_u32(at) << 32 | get_u32(at + 4));
}

static size_t block_bytes(const struct block *block)
{
    return block->times * (block->time_bytes + 1) + block->types * TYPE_BYTES + block->names +
           block->leaps * (block->time_bytes + 4) + block->standards + block->universals;
}

/* Reads a header, and checks that the block behind it is there. */
static int read_block(const unsigned char *data, size_t len, size_t time_bytes, struct block *ret,
                      struct xb_error *err)
{
    if (len < HEADER_BYTES || memcmp(data, "TZif", 4) != 0) {
        return corrupt(err, "no header");
    }
    struct block block = {.time_bytes = time_bytes,
                          .universals = get_u32(data + 20),
                          .standards = get_u32(data + 24),
                          .leaps = get_u32(data + 28),
                          .times = get_u32(data + 32),
                          .types = get_u32(data + 36),
                          .names = get_u32(data + 40),
                          .data = data + HEADER_BYTES};
    if (block.times > XB_ZONE_TRANSITIONS_MAX || block.types > XB_ZONE_TYPES_MAX ||
        block.types == 0 || block.names > XB_ZONE_FILE_BYTES_MAX ||
        block.leaps > XB_ZONE_TRANSITIONS_MAX || block.standards > block.types ||
        block.universals > block.types || block_bytes(&block) > len - HEADER_BYTES) {
        return corrupt(err, "counts that cannot be");
    }
    *ret = block;
    return 0;
}

static int get_offset(const struct block *block, size_t type, int32_t *ret, struct xb_error *err)
{
    const unsigned char *types = block->data + block->times * (block->time_bytes + 1);
    if (type >= block->types) {
        return corrupt(err, "a type that is none");
    }
    int32_t offset = (int32_t)get_u32(types + type * TYPE_BYTES);
    if (offset < OFFSET_MIN_S || offset > OFFSET_MAX_S) {
        return corrupt(err, "an offset of more than a day");
    }
    *ret = offset;
    return 0;
}

static int read_transitions(const struct block *block, struct xb_zone *zone, struct xb_error *err)
{
    const unsigned char *kinds = block->data + block->times * block->time_bytes;
    int r = get_offset(block, 0, &zone->first_s, err);
    for (size_t i = 0; r == 0 && i < block->times; i++) {
        struct transition *transition = &zone->transitions[i];
        transition->at_s = get_time(block, i);
        if (i > 0 && transition->at_s <= zone->transitions[i - 1].at_s) {
            return corrupt(err, "times out of order");
        }
        r = get_offset(block, kinds[i], &transition->offset_s, err);
    }
    return r;
}

/* "\n<rule>\n"; an empty rule says that nothing is known. */
static int read_footer(const unsigned char *data, size_t len, struct xb_zone *zone,
                       struct xb_error *err)
{
    const unsigned char *end = len > 1 ? memchr(data + 1, '\n', len - 1) : NULL;
    if (len == 0 || data[0] != '\n' || !end) {
        return corrupt(err, "no rule at its end");
    }
    size_t rule_len = (size_t)(end - data) - 1;
    zone->has_rule = rule_len > 0;
    return rule_len == 0 ? 0 : xb_rule_parse((const char *)data + 1, rule_len, &zone->rule, err);
}

int xb_zone_parse(const void *data, size_t len, struct xb_zone **ret, struct xb_error *err)
{
    const unsigned char *bytes = data;
    struct block block;
    bool second = false;
    if (len > XB_ZONE_FILE_BYTES_MAX) {
        return corrupt(err, "too large");
    }
    int r = read_block(bytes, len, 4, &block, err);
    if (r == 0 && bytes[4] != '\0') { /* the block that follows has times of eight bytes */
        size_t skip = HEADER_BYTES + block_bytes(&block);
        bytes += skip;
        len -= skip;
        second = true;
        r = read_block(bytes, len, 8, &block, err);
    }
    if (r < 0) {
        return r;
    }
    if (block.leaps > 0) {
        return corrupt(err, "it counts leap seconds, which no clock here does");
    }
    XB_CLEANUP(xb_zone_freep)
    struct xb_zone *zone = calloc(1, sizeof *zone + block.times * sizeof zone->transitions[0]);
    if (!zone) {
        return xb_error_no_memory(err, "a time zone");
    }
    zone->count = block.times;
    size_t used = HEADER_BYTES + block_bytes(&block);
    r = read_transitions(&block, zone, err);
    if (r < 0 || (second && (r = read_footer(bytes + used, len - used, zone, err)) < 0)) {
        return r;
    }
    *ret = XB_TAKE(zone);
    return 0;
}

/* No part of a name may lead out of the folder. */
static bool name_valid(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len < XB_ZONE_NAME_BYTES && name[0] != '/' && !strstr(name, "..") &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+-") ==
               len;
}

int xb_zone_load(const char *folder, const char *name, struct xb_zone **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf file = XB_BUF_INIT(XB_ZONE_FILE_BYTES_MAX);
    char path[PATH_BYTES];
    if (!name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "that is no name of a time zone");
    }
    int written = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (written < 0 || (size_t)written >= sizeof path) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "the folder of time zones");
    }
    int r = xb_file_read(path, &file, err);
    if (r < 0) {
        return r;
    }
    r = xb_zone_parse(file.data ? file.data : "", file.len, ret, err);
    return r < 0 ? xb_error_wrap(err, "time zone %s", name) : 0;
}

void xb_zone_free(struct xb_zone *zone)
{
    free(zone);
}

int32_t xb_zone_offset(const struct xb_zone *zone, int64_t utc_s, int64_t *ret_until_s)
{
    size_t low = 0, high = zone->count; /* the first transition after utc_s */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->transitions[middle].at_s <= utc_s) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == zone->count && zone->has_rule) {
        return xb_rule_offset(&zone->rule, utc_s, ret_until_s);
    }
    *ret_until_s = low < zone->count ? zone->transitions[low].at_s : INT64_MAX;
    return low > 0 ? zone->transitions[low - 1].offset_s : zone->first_s;
}
