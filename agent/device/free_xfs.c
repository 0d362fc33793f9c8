/* SPDX-License-Identifier: Apache-2.0
 * Free blocks of XFS, version 5, by the tree of each allocation group that sorts them by place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/free.h"
#include "agent/device/free_xfs.h"
#include "shared/base/crc32c.h"

enum {
    SUPER_CHECKSUM = 224,
    AGF_CHECKSUM = 216,
    BLOCK_CHECKSUM = 52,
    BLOCK_HEAD_BYTES = 56,
    LEVELS_MAX = 9,
    INCOMPAT_META_UUID = 0x4,
    /* ftype, spinodes, meta_uuid, bigtime, nrext64, exchrange, parent */
    INCOMPAT_KNOWN = 0x1 | 0x2 | INCOMPAT_META_UUID | 0x8 | 0x20 | 0x40 | 0x80,
    RO_KNOWN = 0xf /* finobt, rmapbt, reflink, inobtcount */
};

#define AGF_MAGIC UINT32_C(0x58414746)
#define BNOBT_MAGIC UINT32_C(0x41423342)
#define NULL_BLOCK UINT32_MAX

/* One allocation group. */
struct ag {
    uint64_t number, start; /* start: offset in the device */
    uint32_t length, root, levels, free_blocks, longest;
    uint32_t other_blocks; /* free, but not in the tree: its reserve, and the trees' own */
};

/* Whether the checksum at `place` is that of the bytes. */
static bool sum_right(const unsigned char *data, size_t len, size_t place)
{
    static const unsigned char none[4];
    uint32_t sum = xb_crc32c(0, data, place);
    sum = xb_crc32c(sum, none, sizeof none);
    sum = xb_crc32c(sum, data + place + 4, len - place - 4);
    return sum == xb_free_le32(data + place);
}

/* ---- the superblock ---- */

static int odd(struct xb_error *err)
{
    return xb_free_refuse(err, "its XFS superblock does not fit together");
}

static int check_features(const unsigned char *super, struct xb_error *err)
{
    if ((xb_free_be16(super + 100) & 0xf) != 5) {
        return xb_free_refuse(err, "its XFS is older than version 5, which has no checksums");
    }
    if (xb_free_be32(super + 208) || (xb_free_be32(super + 212) & ~(uint32_t)RO_KNOWN) ||
        (xb_free_be32(super + 216) & ~(uint32_t)INCOMPAT_KNOWN)) {
        return xb_free_refuse(err, "its XFS has features that are not known here, or needs repair");
    }
    if (xb_free_be32(super + 220)) {
        return xb_free_refuse(err, "its XFS log has features that are not known here");
    }
    return super[126] ? xb_free_refuse(err, "the making of its XFS was not finished") : 0;
}

static bool power_of_two(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most && (value & (value - 1)) == 0;
}

static int check_sizes(struct xb_free_xfs *xfs, const struct xb_free_source *source,
                       struct xb_error *err)
{
    if (!power_of_two(xfs->block_bytes, 512, XB_FREE_BLOCK_BYTES_MAX) || xfs->super[120] > 16 ||
        UINT32_C(1) << xfs->super[120] != xfs->block_bytes || xfs->ag_blocks == 0 ||
        xfs->ag_blocks > INT32_MAX || xfs->ags == 0 || xfs->blocks == 0 ||
        xfs->blocks > source->size / xfs->block_bytes ||
        (xfs->blocks + xfs->ag_blocks - 1) / xfs->ag_blocks != xfs->ags || xfs->ag_log > 31 ||
        UINT64_C(1) << xfs->ag_log < xfs->ag_blocks) {
        return odd(err);
    }
    if (xfs->log_start == 0) {
        return xb_free_refuse(err, "its XFS has its log on another device");
    }
    uint64_t ag = xfs->log_start >> xfs->ag_log;
    uint64_t block = xfs->log_start & ((UINT64_C(1) << xfs->ag_log) - 1);
    if (ag >= xfs->ags || block >= xfs->ag_blocks || xfs->log_blocks == 0 ||
        xfs->log_blocks > xfs->ag_blocks - block ||
        ag * xfs->ag_blocks + block + xfs->log_blocks > xfs->blocks) {
        return odd(err);
    }
    xfs->log_offset = (ag * xfs->ag_blocks + block) * xfs->block_bytes;
    xfs->log_bytes = (uint64_t)xfs->log_blocks * xfs->block_bytes;
    return 0;
}

static int read_super(const struct xb_free_source *source, struct xb_free_xfs *xfs,
                      struct xb_error *err)
{
    unsigned char *super = xfs->super;
    int r = xb_free_read(source, 0, super, 512, err);
    if (r < 0 || (r = check_features(super, err)) < 0) {
        return r;
    }
    xfs->sector_bytes = xb_free_be16(super + 102);
    if (!power_of_two(xfs->sector_bytes, 512, XB_FREE_XFS_SECTOR_BYTES_MAX)) {
        return odd(err);
    }
    r = xb_free_read(source, 0, super, xfs->sector_bytes, err);
    if (r < 0) {
        return r;
    }
    if (!sum_right(super, xfs->sector_bytes, SUPER_CHECKSUM)) {
        return xb_free_refuse(err, "its XFS superblock's checksum is wrong");
    }
    xfs->block_bytes = xb_free_be32(super + 4);
    xfs->blocks = xb_free_be64(super + 8);
    xfs->log_start = xb_free_be64(super + 48);
    xfs->ag_blocks = xb_free_be32(super + 84);
    xfs->ags = xb_free_be32(super + 88);
    xfs->log_blocks = xb_free_be32(super + 96);
    xfs->ag_log = super[124];
    xfs->free_blocks = xb_free_be64(super + 144);
    bool meta = (xb_free_be32(super + 216) & INCOMPAT_META_UUID) != 0;
    memcpy(xfs->meta_uuid, super + (meta ? 248 : 32), sizeof xfs->meta_uuid);
    return check_sizes(xfs, source, err);
}

/* ---- allocation groups ---- */

static int read_ag(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                   uint64_t number, struct ag *ret, struct xb_error *err)
{
    unsigned char agf[XB_FREE_XFS_SECTOR_BYTES_MAX];
    struct ag ag = {.number = number, .start = number * xfs->ag_blocks * xfs->block_bytes};
    uint64_t length = xfs->blocks - number * xfs->ag_blocks;
    ag.length = length < xfs->ag_blocks ? (uint32_t)length : xfs->ag_blocks;
    int r = xb_free_read(source, ag.start + xfs->sector_bytes, agf, xfs->sector_bytes, err);
    if (r < 0) {
        return r;
    }
    if (xb_free_be32(agf) != AGF_MAGIC || !sum_right(agf, xfs->sector_bytes, AGF_CHECKSUM) ||
        xb_free_be32(agf + 4) != 1 || xb_free_be32(agf + 8) != number ||
        xb_free_be32(agf + 12) != ag.length || memcmp(agf + 64, xfs->meta_uuid, 16) != 0) {
        return xb_free_refuse(err, "an XFS allocation group's header is not right");
    }
    ag.root = xb_free_be32(agf + 16);
    ag.levels = xb_free_be32(agf + 28);
    ag.free_blocks = xb_free_be32(agf + 52);
    ag.longest = xb_free_be32(agf + 56);
    uint64_t others = (uint64_t)xb_free_be32(agf + 48) + xb_free_be32(agf + 60);
    if (ag.levels == 0 || ag.levels > LEVELS_MAX || others > ag.length) {
        return xb_free_refuse(err, "an XFS allocation group's header is not right");
    }
    ag.other_blocks = (uint32_t)others;
    *ret = ag;
    return 0;
}

/* Where a tree stands: one block of it, checked. */
struct tree {
    const struct xb_free_source *source;
    const struct xb_free_xfs *xfs;
    const struct ag *ag;
    unsigned char *block;
    uint32_t records, right;
};

static int read_block(struct tree *tree, uint32_t number, uint32_t level, uint32_t left,
                      struct xb_error *err)
{
    const struct xb_free_xfs *xfs = tree->xfs;
    const unsigned char *at = tree->block;
    if (number >= tree->ag->length) {
        return xb_free_refuse(err, "an XFS tree points outside of its group");
    }
    uint64_t offset = tree->ag->start + (uint64_t)number * xfs->block_bytes;
    int r = xb_free_read(tree->source, offset, tree->block, xfs->block_bytes, err);
    if (r < 0) {
        return r;
    }
    tree->records = xb_free_be16(at + 6);
    tree->right = xb_free_be32(at + 12);
    uint32_t record_bytes = level ? 12 : 8;
    if (xb_free_be32(at) != BNOBT_MAGIC || xb_free_be16(at + 4) != level ||
        xb_free_be32(at + 8) != left || xb_free_be64(at + 16) != offset / 512 ||
        memcmp(at + 32, xfs->meta_uuid, 16) != 0 || xb_free_be32(at + 48) != tree->ag->number ||
        !sum_right(at, xfs->block_bytes, BLOCK_CHECKSUM) ||
        tree->records > (xfs->block_bytes - BLOCK_HEAD_BYTES) / record_bytes) {
        return xb_free_refuse(err, "a block of an XFS tree of free space is not right");
    }
    return 0;
}

/* Down the left edge to the first leaf; *ret_leaf is its number, and it is in tree->block. */
static int find_first_leaf(struct tree *tree, uint32_t *ret_leaf, struct xb_error *err)
{
    uint32_t most = (tree->xfs->block_bytes - BLOCK_HEAD_BYTES) / 12;
    uint32_t number = tree->ag->root;
    for (uint32_t level = tree->ag->levels - 1;; level--) {
        int r = read_block(tree, number, level, NULL_BLOCK, err);
        if (r < 0) {
            return r;
        }
        if (level == 0) {
            *ret_leaf = number;
            return 0;
        }
        if (tree->records == 0) {
            return xb_free_refuse(err, "a node of an XFS tree of free space is empty");
        }
        number = xb_free_be32(tree->block + BLOCK_HEAD_BYTES + (size_t)most * 8);
    }
}

/* What has been added of the group's free blocks. */
struct sum {
    uint64_t end; /* of the last record */
    uint64_t blocks;
    uint32_t longest;
};

static int add_leaf(const struct tree *tree, struct xb_free_map *map, struct sum *sum,
                    struct xb_error *err)
{
    const uint64_t block = tree->xfs->block_bytes;
    for (uint32_t i = 0; i < tree->records; i++) {
        const unsigned char *record = tree->block + BLOCK_HEAD_BYTES + (size_t)i * 8;
        uint64_t start = xb_free_be32(record);
        uint32_t count = xb_free_be32(record + 4);
        /* Ascending, so that a chain of leaves cannot go round. */
        if (count == 0 || start < sum->end || start + count > tree->ag->length) {
            return xb_free_refuse(err, "an XFS tree of free space is not in order");
        }
        xb_free_map_add(map, tree->ag->start + start * block, count * block);
        sum->end = start + count;
        sum->blocks += count;
        sum->longest = count > sum->longest ? count : sum->longest;
    }
    return 0;
}

static int add_ag(const struct xb_free_source *source, const struct xb_free_xfs *xfs,
                  const struct ag *ag, struct xb_free_map *map, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) unsigned char *block = malloc(xfs->block_bytes);
    struct tree tree = {.source = source, .xfs = xfs, .ag = ag, .block = block};
    struct sum sum = {.end = 0};
    uint32_t number = 0;
    if (!block) {
        return xb_error_no_memory(err, "a file system's maps");
    }
    int r = find_first_leaf(&tree, &number, err);
    while (r == 0) {
        if (tree.records == 0 && (sum.blocks > 0 || tree.right != NULL_BLOCK)) {
            return xb_free_refuse(err, "a leaf of an XFS tree of free space is empty");
        }
        r = add_leaf(&tree, map, &sum, err);
        if (r < 0 || tree.right == NULL_BLOCK) {
            break;
        }
        uint32_t left = number;
        number = tree.right;
        r = read_block(&tree, number, 0, left, err);
    }
    if (r == 0 && (sum.blocks != ag->free_blocks || sum.longest != ag->longest)) {
        r = xb_free_refuse(err, "an XFS group has another number of free blocks than it says");
    }
    return r;
}

int xb_free_xfs(const struct xb_free_source *source, struct xb_free_map *ret, struct xb_error *err)
{
    struct xb_free_xfs xfs = {.block_bytes = 0};
    uint64_t free_blocks = 0;
    int r = read_super(source, &xfs, err);
    if (r < 0 || (r = xb_free_xfs_log(source, &xfs, err)) < 0 ||
        (r = xb_free_map_new(source->size, xfs.block_bytes, ret, err)) < 0) {
        return r;
    }
    for (uint64_t i = 0; i < xfs.ags; i++) {
        struct ag ag;
        r = read_ag(source, &xfs, i, &ag, err);
        if (r < 0 || (r = add_ag(source, &xfs, &ag, ret, err)) < 0) {
            return r;
        }
        free_blocks += (uint64_t)ag.free_blocks + ag.other_blocks;
    }
    if (free_blocks != xfs.free_blocks) {
        return xb_free_refuse(err, "its XFS groups have another number of free blocks than its "
                                   "superblock says");
    }
    return 0;
}
