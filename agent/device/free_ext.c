/* SPDX-License-Identifier: Apache-2.0
 * Free blocks of ext2, ext3 and ext4, by the block bitmaps of its groups. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/device/free.h"
#include "shared/base/crc32c.h"

enum {
    SUPER_BYTES = 1024,
    SUPER_CHECKSUM = 0x3fc,
    GROUP_CHECKSUM = 0x1e,
    STATE_CLEAN = 1,
    STATE_ERRORS = 2,
    BLOCK_UNINIT = 2,

    COMPAT_SPARSE_SUPER2 = 0x200,
    /* dir_prealloc to resize_inode and dir_index, sparse_super2, fast_commit, stable_inodes,
     * orphan_file */
    COMPAT_KNOWN = 0x3f | COMPAT_SPARSE_SUPER2 | 0x400 | 0x800 | 0x1000,

    INCOMPAT_RECOVER = 0x4,
    INCOMPAT_META_BG = 0x10,
    INCOMPAT_64BIT = 0x80,
    INCOMPAT_MMP = 0x100,
    INCOMPAT_CSUM_SEED = 0x2000,
    /* filetype, extents, flex_bg, ea_inode, largedir, inline_data, encrypt, casefold */
    INCOMPAT_KNOWN = 0x2 | INCOMPAT_RECOVER | INCOMPAT_META_BG | 0x40 | INCOMPAT_64BIT |
                     INCOMPAT_MMP | 0x200 | 0x400 | INCOMPAT_CSUM_SEED | 0x4000 | 0x8000 | 0x10000 |
                     0x20000,

    RO_SPARSE_SUPER = 0x1,
    RO_GDT_CSUM = 0x10,
    RO_BIGALLOC = 0x200,
    RO_METADATA_CSUM = 0x400,
    RO_ORPHAN_PRESENT = 0x10000,
    /* large_file, btree_dir, huge_file, dir_nlink, extra_isize, quota, readonly, project, verity */
    RO_KNOWN = RO_SPARSE_SUPER | 0x2 | 0x4 | 0x8 | RO_GDT_CSUM | 0x20 | 0x40 | 0x100 | RO_BIGALLOC |
               RO_METADATA_CSUM | 0x1000 | 0x2000 | 0x8000
};

#define MMP_MAGIC UINT32_C(0x004d4d50)
#define MMP_CLEAN UINT32_C(0xff4d4d50)

struct ext {
    const struct xb_free_source *source;
    const unsigned char *super;
    uint32_t compat, incompat, ro_compat;
    uint32_t block_bytes, cluster_bytes, cluster_blocks;
    uint64_t blocks, first_block; /* blocks: all of them, first_block: of group 0 */
    uint32_t group_blocks, group_clusters;
    uint64_t groups;
    uint32_t group_bytes, inode_table_blocks, reserved_table_blocks;
    uint64_t table_blocks; /* of group descriptors, without meta_bg */
    uint32_t seed;         /* of checksums */
    uint64_t free_clusters;
    unsigned char *table;  /* one block of group descriptors */
    uint64_t table_number; /* which */
    unsigned char *bitmap;
};

struct group {
    uint64_t number, first, clusters; /* first block; clusters in it */
    uint64_t block_bitmap, inode_bitmap, inode_table;
    uint32_t free_clusters, flags, bitmap_checksum;
};

/* Without the inversions that xb_crc32c makes at both ends. */
static uint32_t crc(uint32_t state, const void *data, size_t len)
{
    return ~xb_crc32c(~state, data, len);
}

static uint16_t crc16(uint16_t state, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        state ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            state = (uint16_t)(state & 1 ? state >> 1 ^ 0xa001 : state >> 1);
        }
    }
    return state;
}

/* ---- the superblock ---- */

static int check_features(const struct ext *ext, struct xb_error *err)
{
    const unsigned char *super = ext->super;
    if ((ext->compat & ~(uint32_t)COMPAT_KNOWN) || (ext->incompat & ~(uint32_t)INCOMPAT_KNOWN) ||
        (ext->ro_compat & ~(uint32_t)(RO_KNOWN | RO_ORPHAN_PRESENT)) ||
        xb_free_le32(super + 0x4c) > 1) {
        return xb_free_refuse(err, "its ext file system has features that are not known here");
    }
    if ((ext->incompat & INCOMPAT_RECOVER) || (ext->ro_compat & RO_ORPHAN_PRESENT) ||
        xb_free_le32(super + 0xe8) != 0) {
        return xb_free_refuse(err, "its ext file system's journal is not clean");
    }
    if (xb_free_le16(super + 0x3a) != STATE_CLEAN) {
        return xb_free_refuse(err, "its ext file system is not marked clean");
    }
    if ((ext->ro_compat & RO_METADATA_CSUM) && super[0x175] != 1) {
        return xb_free_refuse(err, "its ext file system has checksums of an unknown kind");
    }
    if ((ext->ro_compat & RO_METADATA_CSUM) && (ext->ro_compat & RO_GDT_CSUM)) {
        return xb_free_refuse(err, "its ext file system has two kinds of checksums");
    }
    if ((ext->ro_compat & RO_METADATA_CSUM) &&
        crc(~UINT32_C(0), super, SUPER_CHECKSUM) != xb_free_le32(super + SUPER_CHECKSUM)) {
        return xb_free_refuse(err, "its ext superblock's checksum is wrong");
    }
    return 0;
}

static int odd(struct xb_error *err)
{
    return xb_free_refuse(err, "its ext superblock does not fit together");
}

/* Blocks of the descriptors' table before those that meta_bg scatters. */
static uint64_t dense_table_blocks(const struct ext *ext)
{
    uint64_t scattered_from = xb_free_le32(ext->super + 0x104);
    bool meta = (ext->incompat & INCOMPAT_META_BG) != 0;
    return meta && scattered_from < ext->table_blocks ? scattered_from : ext->table_blocks;
}

static int measure_groups(struct ext *ext, struct xb_error *err)
{
    const unsigned char *super = ext->super;
    uint32_t bits = ext->block_bytes * 8;
    uint32_t inodes = xb_free_le32(super + 0x28);
    uint32_t inode_bytes = xb_free_le32(super + 0x4c) ? xb_free_le16(super + 0x58) : 128;
    ext->group_blocks = xb_free_le32(super + 0x20);
    ext->group_clusters =
        ext->ro_compat & RO_BIGALLOC ? xb_free_le32(super + 0x24) : ext->group_blocks;
    if (ext->group_clusters == 0 || ext->group_clusters > bits || ext->group_clusters % 8 ||
        ext->group_blocks != (uint64_t)ext->group_clusters * ext->cluster_blocks || inodes == 0 ||
        inodes > bits || inode_bytes < 128 || inode_bytes > ext->block_bytes ||
        (inode_bytes & (inode_bytes - 1))) {
        return odd(err);
    }
    ext->inode_table_blocks =
        (uint32_t)(((uint64_t)inodes * inode_bytes + ext->block_bytes - 1) / ext->block_bytes);
    ext->group_bytes = ext->incompat & INCOMPAT_64BIT ? xb_free_le16(super + 0xfe) : 32;
    if (ext->group_bytes < 32 || ext->group_bytes > ext->block_bytes ||
        (ext->group_bytes & (ext->group_bytes - 1)) ||
        ((ext->incompat & INCOMPAT_64BIT) && ext->group_bytes < 64)) {
        return odd(err);
    }
    ext->groups = (ext->blocks - ext->first_block + ext->group_blocks - 1) / ext->group_blocks;
    uint32_t per_block = ext->block_bytes / ext->group_bytes;
    ext->table_blocks = (ext->groups + per_block - 1) / per_block;
    ext->reserved_table_blocks = xb_free_le16(super + 0xce);
    /* Each copy of it lies within one group, and so does an inode table: what is kept of all
     * together is never much more than the device has. */
    bool fits = 2 + dense_table_blocks(ext) + ext->reserved_table_blocks <= ext->group_blocks &&
                ext->inode_table_blocks <= ext->group_blocks;
    return ext->groups > UINT32_MAX || !fits ? odd(err) : 0;
}

static int read_super(struct ext *ext, struct xb_error *err)
{
    const unsigned char *super = ext->super;
    ext->compat = xb_free_le32(super + 0x5c);
    ext->incompat = xb_free_le32(super + 0x60);
    ext->ro_compat = xb_free_le32(super + 0x64);
    int r = check_features(ext, err);
    if (r < 0) {
        return r;
    }
    uint32_t log = xb_free_le32(super + 0x18);
    uint32_t cluster_log = ext->ro_compat & RO_BIGALLOC ? xb_free_le32(super + 0x1c) : log;
    if (log > 6 || cluster_log < log || cluster_log > log + 16) {
        return odd(err);
    }
    bool wide = (ext->incompat & INCOMPAT_64BIT) != 0;
    ext->block_bytes = UINT32_C(1024) << log;
    ext->cluster_blocks = UINT32_C(1) << (cluster_log - log);
    ext->blocks =
        xb_free_le32(super + 0x4) | (wide ? (uint64_t)xb_free_le32(super + 0x150) << 32 : 0);
    uint64_t free_blocks =
        xb_free_le32(super + 0xc) | (wide ? (uint64_t)xb_free_le32(super + 0x158) << 32 : 0);
    ext->first_block = xb_free_le32(super + 0x14);
    if (ext->first_block != (cluster_log == 0) || ext->blocks <= ext->first_block ||
        ext->blocks > ext->source->size / ext->block_bytes || free_blocks > ext->blocks ||
        free_blocks % ext->cluster_blocks) {
        return odd(err);
    }
    ext->free_clusters = free_blocks / ext->cluster_blocks;
    ext->seed = ext->incompat & INCOMPAT_CSUM_SEED ? xb_free_le32(super + 0x270)
                                                   : crc(~UINT32_C(0), super + 0x68, 16);
    return measure_groups(ext, err);
}

/* Multi-mount protection: another machine may have it mounted. */
static int check_mmp(struct ext *ext, struct xb_error *err)
{
    unsigned char *block = ext->bitmap;
    uint64_t number = xb_free_le32(ext->super + 0x168) | (uint64_t)xb_free_le32(ext->super + 0x16c)
                                                             << 32;
    if (!(ext->incompat & INCOMPAT_MMP)) {
        return 0;
    }
    if (number == 0 || number >= ext->blocks) {
        return odd(err);
    }
    int r = xb_free_read(ext->source, number * ext->block_bytes, block, ext->block_bytes, err);
    if (r == 0 && (xb_free_le32(block) != MMP_MAGIC || xb_free_le32(block + 4) != MMP_CLEAN)) {
        r = xb_free_refuse(err, "its ext file system may be in use on another machine");
    }
    return r;
}

/* ---- groups ---- */

static bool power_of(uint64_t number, uint64_t base)
{
    uint64_t power = base;
    while (power < number) {
        power *= base;
    }
    return power == number;
}

static bool has_super(const struct ext *ext, uint64_t group)
{
    if (group == 0) {
        return true;
    }
    if (ext->compat & COMPAT_SPARSE_SUPER2) {
        return group == xb_free_le32(ext->super + 0x24c) ||
               group == xb_free_le32(ext->super + 0x250);
    }
    return group == 1 || !(ext->ro_compat & RO_SPARSE_SUPER) || power_of(group, 3) ||
           power_of(group, 5) || power_of(group, 7);
}

static uint64_t first_of(const struct ext *ext, uint64_t group)
{
    return ext->first_block + group * ext->group_blocks;
}

/* Whether the descriptors' block `number` lies in its own groups instead of behind the
 * superblock. */
static bool scattered(const struct ext *ext, uint64_t number)
{
    return (ext->incompat & INCOMPAT_META_BG) && number >= xb_free_le32(ext->super + 0x104);
}

static uint64_t table_block(const struct ext *ext, uint64_t number)
{
    uint64_t super_block = ext->block_bytes == 1024 ? 1 : 0;
    if (!scattered(ext, number)) {
        return super_block + 1 + number;
    }
    uint64_t group = number * (ext->block_bytes / ext->group_bytes);
    uint64_t behind = has_super(ext, group) ? 1 : 0;
    if (ext->block_bytes == 1024 && number == 0 && ext->first_block == 0) {
        behind++;
    }
    return first_of(ext, group) + behind;
}

static bool descriptor_right(const struct ext *ext, uint64_t group, const unsigned char *at)
{
    static const unsigned char none[2];
    unsigned char number[4] = {(unsigned char)group, (unsigned char)(group >> 8),
                               (unsigned char)(group >> 16), (unsigned char)(group >> 24)};
    uint32_t want = xb_free_le16(at + GROUP_CHECKSUM);
    const unsigned char *rest = at + GROUP_CHECKSUM + 2;
    size_t rest_bytes = ext->group_bytes - GROUP_CHECKSUM - 2;
    if (ext->ro_compat & RO_METADATA_CSUM) {
        uint32_t sum = crc(ext->seed, number, 4);
        sum = crc(sum, at, GROUP_CHECKSUM);
        sum = crc(sum, none, sizeof none);
        return (crc(sum, rest, rest_bytes) & 0xffff) == want;
    }
    if (ext->ro_compat & RO_GDT_CSUM) {
        uint16_t sum = crc16(0xffff, ext->super + 0x68, 16);
        sum = crc16(sum, number, 4);
        sum = crc16(sum, at, GROUP_CHECKSUM);
        return crc16(sum, rest, rest_bytes) == want;
    }
    return true;
}

static int read_group(struct ext *ext, uint64_t number, struct group *ret, struct xb_error *err)
{
    uint32_t per_block = ext->block_bytes / ext->group_bytes;
    uint64_t table_number = number / per_block;
    if (table_number != ext->table_number) {
        int r = xb_free_read(ext->source, table_block(ext, table_number) * ext->block_bytes,
                             ext->table, ext->block_bytes, err);
        if (r < 0) {
            return r;
        }
        ext->table_number = table_number;
    }
    const unsigned char *at = ext->table + number % per_block * ext->group_bytes;
    bool wide = ext->group_bytes >= 64;
    if (!descriptor_right(ext, number, at)) {
        return xb_free_refuse(err, "an ext group descriptor's checksum is wrong");
    }
    uint64_t first = first_of(ext, number);
    uint64_t blocks =
        ext->blocks - first < ext->group_blocks ? ext->blocks - first : ext->group_blocks;
    *ret = (struct group){
        .number = number,
        .first = first,
        .clusters = (blocks + ext->cluster_blocks - 1) / ext->cluster_blocks,
        .block_bitmap = xb_free_le32(at) | (wide ? (uint64_t)xb_free_le32(at + 0x20) << 32 : 0),
        .inode_bitmap = xb_free_le32(at + 4) | (wide ? (uint64_t)xb_free_le32(at + 0x24) << 32 : 0),
        .inode_table = xb_free_le32(at + 8) | (wide ? (uint64_t)xb_free_le32(at + 0x28) << 32 : 0),
        .free_clusters = xb_free_le16(at + 0xc) | (wide ? xb_free_le16(at + 0x2c) << 16 : 0),
        .flags = xb_free_le16(at + 0x12),
        .bitmap_checksum = xb_free_le16(at + 0x18) | (wide ? xb_free_le16(at + 0x38) << 16 : 0)};
    if (ret->block_bitmap <= ext->first_block || ret->block_bitmap >= ext->blocks ||
        ret->inode_bitmap <= ext->first_block || ret->inode_bitmap >= ext->blocks ||
        ret->inode_table <= ext->first_block || ret->inode_table >= ext->blocks ||
        ext->inode_table_blocks > ext->blocks - ret->inode_table) {
        return xb_free_refuse(err, "an ext group descriptor points outside of the file system");
    }
    return 0;
}

/* ---- bitmaps ---- */

static bool bitmap_right(const struct ext *ext, const struct group *group)
{
    if (!(ext->ro_compat & RO_METADATA_CSUM)) {
        return true;
    }
    uint32_t sum = crc(ext->seed, ext->bitmap, ext->group_clusters / 8);
    uint32_t mask = ext->group_bytes >= 64 ? UINT32_MAX : 0xffff;
    return (sum & mask) == group->bitmap_checksum;
}

static bool taken(const unsigned char *bitmap, uint64_t bit)
{
    return (bitmap[bit / 8] >> (bit % 8) & 1) != 0;
}

/* Adds the clusters that the bitmap has for free; *ret_count: how many. */
static void add_free(const struct ext *ext, const struct group *group, struct xb_free_map *map,
                     uint64_t *ret_count)
{
    uint64_t cluster_bytes = (uint64_t)ext->cluster_blocks * ext->block_bytes;
    uint64_t start = group->first * ext->block_bytes;
    uint64_t end = ext->blocks * ext->block_bytes;
    *ret_count = 0;
    for (uint64_t bit = 0; bit < group->clusters;) {
        uint64_t next = bit + 1;
        if (taken(ext->bitmap, bit)) {
            bit = next;
            continue;
        }
        while (next < group->clusters && !taken(ext->bitmap, next)) {
            next++;
        }
        uint64_t from = start + bit * cluster_bytes;
        uint64_t to = start + next * cluster_bytes;
        xb_free_map_add(map, from, (to < end ? to : end) - from);
        *ret_count += next - bit;
        bit = next;
    }
}

/* How many of the group's own blocks lie in [start, start + len). */
static uint64_t inside(const struct group *group, uint64_t start, uint64_t len)
{
    uint64_t first = start > group->first ? start : group->first;
    uint64_t group_end = group->first + group->clusters;
    uint64_t last = start + len < group_end ? start + len : group_end;
    return first < last ? last - first : 0;
}

/* Whether a group without a bitmap has as many free blocks as it says: then what we take for its
 * own structures are all of them. A checksum of the superblock says the same. */
static bool uninit_right(const struct ext *ext, const struct group *group)
{
    uint32_t per_block = ext->block_bytes / ext->group_bytes;
    uint64_t within = group->number % per_block;
    if (ext->ro_compat & RO_METADATA_CSUM) {
        return true;
    }
    if (!(ext->ro_compat & RO_GDT_CSUM) || (ext->ro_compat & RO_BIGALLOC)) {
        return false;
    }
    uint64_t used = has_super(ext, group->number);
    if (scattered(ext, group->number / per_block)) {
        used += within <= 1 || within == per_block - 1;
    } else if (used) {
        used += dense_table_blocks(ext) + ext->reserved_table_blocks;
    }
    used += inside(group, group->block_bitmap, 1) + inside(group, group->inode_bitmap, 1) +
            inside(group, group->inode_table, ext->inode_table_blocks);
    return used + group->free_clusters == group->clusters;
}

static int add_group(struct ext *ext, const struct group *group, struct xb_free_map *map,
                     struct xb_error *err)
{
    uint64_t count = 0;
    if (group->flags & BLOCK_UNINIT) {
        if (!uninit_right(ext, group)) {
            return xb_free_refuse(err, "an ext group has no bitmap, and other free blocks than it "
                                       "says");
        }
        /* No bitmap yet: nothing but the file system's own structures, which are kept below. */
        memset(ext->bitmap, 0, ext->block_bytes);
        add_free(ext, group, map, &count);
        return 0;
    }
    int r = xb_free_read(ext->source, group->block_bitmap * ext->block_bytes, ext->bitmap,
                         ext->block_bytes, err);
    if (r < 0) {
        return r;
    }
    if (!bitmap_right(ext, group)) {
        return xb_free_refuse(err, "an ext block bitmap's checksum is wrong");
    }
    add_free(ext, group, map, &count);
    if (count != group->free_clusters) {
        return xb_free_refuse(err, "an ext group has another number of free blocks than it says");
    }
    return 0;
}

/* The structures of the group's descriptor and its copies of superblock and descriptors, wherever
 * they lie: what a bitmap says of them does not matter. */
static void keep_structures(const struct ext *ext, const struct group *group,
                            struct xb_free_map *map)
{
    uint64_t block = ext->block_bytes;
    uint32_t per_block = ext->block_bytes / ext->group_bytes;
    bool meta = (ext->incompat & INCOMPAT_META_BG) != 0;
    uint64_t table = dense_table_blocks(ext);
    xb_free_map_keep(map, group->block_bitmap * block, block);
    xb_free_map_keep(map, group->inode_bitmap * block, block);
    xb_free_map_keep(map, group->inode_table * block, ext->inode_table_blocks * block);
    if (has_super(ext, group->number)) {
        /* One more than usual: with bigalloc and blocks of 1 KiB it begins one block later. */
        xb_free_map_keep(map, group->first * block,
                         (2 + table + ext->reserved_table_blocks) * block);
    }
    uint64_t within = group->number % per_block;
    if (meta && (within <= 1 || within == per_block - 1)) {
        xb_free_map_keep(map, group->first * block, 3 * block);
    }
}

static int walk_groups(struct ext *ext, struct xb_free_map *map, struct xb_error *err)
{
    uint64_t free_clusters = 0;
    struct group group;
    for (uint64_t i = 0; i < ext->groups; i++) {
        int r = read_group(ext, i, &group, err);
        if (r < 0 || (r = add_group(ext, &group, map, err)) < 0) {
            return r;
        }
        free_clusters += group.free_clusters;
    }
    if (free_clusters != ext->free_clusters) {
        return xb_free_refuse(err, "its ext groups have another number of free blocks than its "
                                   "superblock says");
    }
    xb_free_map_settle(map);
    for (uint64_t i = 0; i < ext->groups; i++) {
        int r = read_group(ext, i, &group, err);
        if (r < 0) {
            return r;
        }
        keep_structures(ext, &group, map);
    }
    return 0;
}

int xb_free_ext(const struct xb_free_source *source, const unsigned char *super,
                struct xb_free_map *ret, struct xb_error *err)
{
    struct ext ext = {.source = source, .super = super, .table_number = UINT64_MAX};
    int r = read_super(&ext, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_freep) unsigned char *table = malloc(XB_FREE_BLOCK_BYTES_MAX);
    XB_CLEANUP(xb_freep) unsigned char *bitmap = malloc(XB_FREE_BLOCK_BYTES_MAX);
    if (!table || !bitmap) {
        return xb_error_no_memory(err, "a file system's maps");
    }
    ext.table = table;
    ext.bitmap = bitmap;
    r = check_mmp(&ext, err);
    if (r == 0) {
        r = xb_free_map_new(source->size, ext.block_bytes, ret, err);
    }
    return r < 0 ? r : walk_groups(&ext, ret, err);
}
