/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file system calls free, on the structures of real ones (the fuzz corpus): whichever bit of
 * them flips, and wherever the device ends, no block is called free that was not free before. And
 * superblocks that were made to keep us busy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shared/base/crc32c.h"
#include "tests/harness/device_probe.h"
#include "tests/harness/property.h"

enum { SEEDS_MAX = 64, FLIPS = 4000, INPUT_BYTES_MAX = 1 << 20, MODEL_ROUNDS = 300 };

struct seed {
    char name[64];
    unsigned char *data;
    size_t len;
    struct xb_free_map map; /* as it is; bits NULL: not found yet */
};

static struct seed seeds[SEEDS_MAX];
static size_t seed_count;

/* Those whose name begins with "good-" are file systems as their tools left them. */
static int load_seeds(void **state)
{
    (void)state;
    static const char folder[] = XB_TEST_DATA "/../fuzz/corpus/free_fuzz";
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *item = readdir(dir); item; item = readdir(dir)) {
        char path[512];
        if (strncmp(item->d_name, "good-", 5) != 0 || seed_count == SEEDS_MAX) {
            continue;
        }
        struct seed *seed = &seeds[seed_count++];
        snprintf(seed->name, sizeof seed->name, "%.60s", item->d_name);
        snprintf(path, sizeof path, "%s/%.200s", folder, item->d_name);
        XB_CLEANUP(xb_fclosep) FILE *file = fopen(path, "rb");
        assert_non_null(file);
        seed->data = malloc(INPUT_BYTES_MAX);
        assert_non_null(seed->data);
        seed->len = fread(seed->data, 1, INPUT_BYTES_MAX, file);
        assert_true(seed->len > 1000 && seed->len < INPUT_BYTES_MAX);
    }
    return seed_count >= 6 ? 0 : -1;
}

static int free_seeds(void **state)
{
    (void)state;
    while (seed_count > 0) {
        seed_count--;
        free(seeds[seed_count].data);
        xb_free_map_free(&seeds[seed_count].map);
    }
    return 0;
}

static bool find(const struct seed *seed, uint64_t size, struct xb_free_map *ret)
{
    struct xb_error err = XB_ERROR_INIT;
    struct device_probe probe;
    assert_true(probe_device(seed->data, seed->len, &probe));
    probe.size = size ? size : probe.size;
    const struct xb_free_source source = probe_source(&probe);
    int r = xb_free_find(&source, ret, &err);
    assert_true(r == 0 || err.kind == XB_ERR_INVALID);
    return r == 0;
}

static uint64_t count_free(const struct xb_free_map *map)
{
    uint64_t all = 0;
    for (uint64_t at = 0; at < map->size;) {
        bool is_free = false;
        uint64_t run = xb_free_map_run(map, at, map->size - at, &is_free);
        all += is_free ? run : 0;
        at += run;
    }
    return all;
}

/* Whether everything that is free in `map` is free in `more`. */
static bool within(const struct xb_free_map *map, const struct xb_free_map *more)
{
    for (uint64_t at = 0; at < map->size;) {
        bool is_free = false;
        bool also = true;
        uint64_t run = xb_free_map_run(map, at, map->size - at, &is_free);
        for (uint64_t i = at; is_free && i < at + run;) {
            i += xb_free_map_run(more, i, at + run - i, &also);
            if (!also) {
                return false;
            }
        }
        at += run;
    }
    return true;
}

/* A byte of the device among the first `span` of the input: not of what says where pieces lie. */
static size_t any_byte(struct property *source, const struct seed *seed, size_t span)
{
    for (;;) {
        size_t wanted = property_below(source, span < seed->len ? span : seed->len);
        struct device_probe probe;
        const unsigned char *bytes = NULL;
        size_t at = 8;
        uint64_t offset = 0;
        size_t len = 0;
        assert_true(probe_device(seed->data, seed->len, &probe));
        while (probe_piece(&probe, &at, &offset, &bytes, &len)) {
            size_t first = (size_t)(bytes - seed->data);
            if (wanted >= first && wanted < first + len) {
                return wanted;
            }
        }
    }
}

static void real_ones_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < seed_count; i++) {
        struct xb_free_map map;
        if (!find(&seeds[i], 0, &map)) {
            fail_msg("%s is refused", seeds[i].name);
        }
        uint64_t free_bytes = count_free(&map);
        assert_true(free_bytes > map.size / 3 && free_bytes < map.size);
        xb_free_map_free(&map);
    }
}

static void a_flipped_bit_frees_nothing(void **state)
{
    (void)state;
    struct property source = property_begin("a_flipped_bit_frees_nothing");
    size_t refused = 0;
    for (size_t i = 0; i < FLIPS; i++) {
        struct seed *seed = &seeds[property_below(&source, seed_count)];
        struct xb_free_map after;
        /* Superblocks come first. */
        size_t at = any_byte(&source, seed, property_once_in(&source, 2) ? 1100 : seed->len);
        unsigned char bit = (unsigned char)(1U << property_below(&source, 8));
        assert_true(seed->map.bits || find(seed, 0, &seed->map));
        seed->data[at] ^= bit;
        if (!find(seed, 0, &after)) {
            refused++;
        } else {
            if (!within(&after, &seed->map)) {
                fail_msg("%s: bit %u of byte %zu frees what is used", seed->name, bit, at);
            }
            xb_free_map_free(&after);
        }
        seed->data[at] ^= bit;
    }
    assert_true(refused > FLIPS / 4);
}

static void a_device_that_ends_early_is_refused(void **state)
{
    (void)state;
    struct property source = property_begin("a_device_that_ends_early_is_refused");
    for (size_t i = 0; i < seed_count; i++) {
        struct device_probe probe;
        struct xb_free_map map;
        assert_true(probe_device(seeds[i].data, seeds[i].len, &probe));
        for (int round = 0; round < 40; round++) {
            uint64_t size = 1 + property_below(&source, probe.size - 65536);
            assert_false(find(&seeds[i], size, &map));
        }
        /* One that goes on behind its file system does not call that free. */
        assert_true(find(&seeds[i], probe.size + (64 << 20), &map));
        bool is_free = true;
        assert_true(xb_free_map_run(&map, probe.size, 64 << 20, &is_free) == 64 << 20);
        assert_false(is_free);
        xb_free_map_free(&map);
    }
}

/* The map against one byte for each sector. */
static void maps_are_what_was_added(void **state)
{
    (void)state;
    enum { SECTORS = 3000, SECTOR = 512 };
    struct property source = property_begin("maps_are_what_was_added");
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        static unsigned char model[SECTORS];
        struct xb_error err = XB_ERROR_INIT;
        struct xb_free_map map;
        uint64_t sectors = 1 + property_below(&source, SECTORS);
        unsigned per_unit = 1U << property_below(&source, 5);
        memset(model, 0, sizeof model);
        assert_int_equal(xb_free_map_new(sectors * SECTOR, per_unit * SECTOR, &map, &err), 0);
        for (uint64_t at = 0; at < sectors;) {
            uint64_t len = 1 + property_below(&source, 90);
            len = len < sectors - at ? len : sectors - at;
            if (property_once_in(&source, 2)) {
                memset(model + at, 1, len);
                xb_free_map_add(&map, at * SECTOR, len * SECTOR);
            }
            at += len;
        }
        xb_free_map_settle(&map);
        for (int i = 0; i < 5; i++) {
            uint64_t at = property_below(&source, sectors);
            uint64_t len = 1 + property_below(&source, 40);
            memset(model + at, 0, len < sectors - at ? len : sectors - at);
            xb_free_map_keep(&map, at * SECTOR, len * SECTOR);
        }
        for (uint64_t unit = 0; unit * per_unit < sectors; unit++) {
            bool want = (unit + 1) * per_unit <= sectors;
            for (uint64_t i = 0; want && i < per_unit; i++) {
                want = model[unit * per_unit + i] != 0;
            }
            bool is_free = !want;
            (void)xb_free_map_run(&map, unit * per_unit * SECTOR, 1, &is_free);
            assert_int_equal(is_free, want);
        }
        xb_free_map_free(&map);
    }
}

/* A device so large that its map would be too. */
static void large_devices_have_large_units(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_free_map map;
    const uint64_t size = UINT64_C(64) << 40;
    bool is_free = true;
    assert_int_equal(xb_free_map_new(size, 4096, &map, &err), 0);
    assert_true(map.units / 8 <= XB_FREE_MAP_BYTES_MAX);
    const uint64_t unit = UINT64_C(1) << map.unit_shift;
    xb_free_map_add(&map, unit - 4096, 4096); /* neighbours, of which none fills a unit */
    xb_free_map_add(&map, unit, unit / 2);
    xb_free_map_add(&map, unit + unit / 2, unit / 2 + 4096);
    xb_free_map_settle(&map);
    assert_true(xb_free_map_run(&map, 0, size, &is_free) == unit);
    assert_false(is_free);
    assert_true(xb_free_map_run(&map, unit, size - unit, &is_free) == unit);
    assert_true(is_free);
    assert_true(xb_free_map_run(&map, 2 * unit, size - 2 * unit, &is_free) == size - 2 * unit);
    assert_false(is_free);
    xb_free_map_free(&map);
}

/* ---- superblocks made to be expensive ---- */

enum { SUPER_AT = 1024, EXT_BLOCK = 1024, EXT_BLOCKS = 1 << 20, EXT_GROUP_BLOCKS = 8 };

/* An ext file system of tiny groups that are full. `super`: its superblock; every other read gets
 * descriptors, or the bitmap that all of them share. */
static int read_tiny_groups(void *context, uint64_t offset, void *out, size_t len,
                            struct xb_error *err)
{
    const unsigned char *super = context;
    const uint32_t bitmap = EXT_BLOCKS - 100000;
    const uint32_t group[8] = {bitmap, bitmap + 1, bitmap + 2};
    (void)err;
    memset(out, 0xff, len);
    if (offset == 0) {
        memcpy((char *)out + SUPER_AT, super, len - SUPER_AT);
    } else if (offset != (uint64_t)bitmap * EXT_BLOCK) {
        for (size_t at = 0; at + sizeof group <= len; at += sizeof group) {
            memcpy((char *)out + at, group, sizeof group);
        }
    }
    return 0;
}

static void put(unsigned char *super, size_t at, uint32_t value)
{
    memcpy(super + at, &value, sizeof value); /* little-endian, as the test's machines are */
}

static int find_tiny_groups(unsigned char super[1024])
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_free_map map;
    const struct xb_free_source source = {
        .read = read_tiny_groups, .context = super, .size = (uint64_t)EXT_BLOCKS * EXT_BLOCK};
    int r = xb_free_find(&source, &map, &err);
    if (r == 0) {
        assert_int_equal(count_free(&map), 0);
        xb_free_map_free(&map);
    }
    return r;
}

/* What each group of an honest file system has of its own fits into it. If not, millions of groups
 * could each claim millions of blocks, and keeping these would take days. */
static void structures_larger_than_their_group_are_refused(void **state)
{
    (void)state;
    unsigned char super[1024] = {[0x38] = 0x53, [0x39] = 0xef, [0x3a] = 1};
    put(super, 0x4, EXT_BLOCKS);
    put(super, 0x14, 1);                /* the first block */
    put(super, 0x20, EXT_GROUP_BLOCKS); /* blocks of a group, */
    put(super, 0x28, 8);                /* and inodes */
    put(super, 0x60, 0x10);             /* meta_bg: */
    put(super, 0x104, 0);               /* no descriptors lie together */
    assert_int_equal(find_tiny_groups(super), 0);
    put(super, 0x104, UINT32_MAX); /* all do, in each group */
    assert_int_equal(find_tiny_groups(super), -ENOTSUP);
    put(super, 0x104, 0);
    put(super, 0x28, 8192); /* a table of a thousand blocks in each */
    assert_int_equal(find_tiny_groups(super), -ENOTSUP);
}

/* Where the seed's device has its first `len` bytes. */
static unsigned char *head_of(struct seed *seed, size_t len)
{
    struct device_probe probe;
    const unsigned char *bytes = NULL;
    size_t at = 8, piece = 0;
    uint64_t offset = 0;
    assert_true(probe_device(seed->data, seed->len, &probe));
    while (probe_piece(&probe, &at, &offset, &bytes, &piece)) {
        if (offset == 0 && piece >= len) {
            return seed->data + (bytes - seed->data);
        }
    }
    return NULL;
}

/* A block size of 2^44 is none, though a shift by 44 bits is one by 12 for some processors. */
static void an_absurd_block_size_is_refused(void **state)
{
    (void)state;
    enum { LOG_AT = 120, SUM_AT = 224 };
    size_t tried = 0;
    for (size_t i = 0; i < seed_count; i++) {
        unsigned char *super = head_of(&seeds[i], 512);
        struct xb_free_map map;
        if (!super || memcmp(super, "XFSB", 4) != 0 ||
            !(super = head_of(&seeds[i], (size_t)super[102] << 8 | super[103]))) {
            continue;
        }
        unsigned char sum[4];
        memcpy(sum, super + SUM_AT, sizeof sum);
        super[LOG_AT] += 32;
        memset(super + SUM_AT, 0, sizeof sum);
        put(super, SUM_AT, xb_crc32c(0, super, (size_t)super[102] << 8 | super[103]));
        assert_false(find(&seeds[i], 0, &map));
        super[LOG_AT] -= 32;
        memcpy(super + SUM_AT, sum, sizeof sum);
        tried++;
    }
    assert_true(tried > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_absurd_block_size_is_refused),
        cmocka_unit_test(structures_larger_than_their_group_are_refused),
        cmocka_unit_test(real_ones_are_read),
        cmocka_unit_test(a_flipped_bit_frees_nothing),
        cmocka_unit_test(a_device_that_ends_early_is_refused),
        cmocka_unit_test(maps_are_what_was_added),
        cmocka_unit_test(large_devices_have_large_units),
    };
    return cmocka_run_group_tests(tests, load_seeds, free_seeds);
}
