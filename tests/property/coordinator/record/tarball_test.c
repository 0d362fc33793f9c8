/* SPDX-License-Identifier: Apache-2.0
 *
 * Random items through writer and reader: all of them, once, in order, unchanged; with plain copies
 * only as well. Archives that were cut or damaged are refused or give nothing but such items.
 */
#include "tests/harness/archive_probe.h"

#include "coordinator/record/tarball.h"
#include "tests/harness/property.h"

enum { ROUNDS = 60, ITEMS_MAX = 40, DAMAGES = 400, JSON_BYTES_MAX = 200000 };

struct item {
    char resource[130], version[20], namespace[64], name[300];
    char *json;
    size_t len;
};

struct items {
    struct item all[ITEMS_MAX];
    size_t count, read;
    bool plain; /* versions are not told */
};

static struct property source;

static void make_word(char *out, size_t len, bool odd)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    static const char *const oddities[] = {" ", "\n", "\\",   ":", "\xc3\xa4", "\xe2\x82\xac",
                                           "%", "\"", "\x01", "*"};
    size_t at = 0;
    out[at++] = (char)('a' + property_below(&source, 26));
    while (at + 4 < len) {
        if (odd && property_once_in(&source, 5)) {
            const char *letter = oddities[property_below(&source, 10)];
            memcpy(out + at, letter, strlen(letter));
            at += strlen(letter);
        } else {
            out[at++] = plain[property_below(&source, sizeof plain - 1)];
        }
    }
    out[at] = '\0';
}

static void make_item(struct item *item)
{
    static const char *const versions[] = {"v1", "v1beta1", "v2alpha1", "v10"};
    make_word(item->resource, 6 + property_below(&source, 90), false);
    snprintf(item->version, sizeof item->version, "%s", versions[property_below(&source, 4)]);
    item->namespace[0] = '\0';
    if (!property_once_in(&source, 3)) {
        make_word(item->namespace, 6 + property_below(&source, 57), false);
    }
    make_word(item->name, 6 + property_below(&source, property_once_in(&source, 5) ? 240 : 40),
              property_once_in(&source, 4));
    item->len = property_below(&source, property_once_in(&source, 10) ? JSON_BYTES_MAX : 900);
    item->json = malloc(item->len + 1);
    assert_non_null(item->json);
    bool dense = property_once_in(&source, 2);
    for (size_t i = 0; i < item->len; i++) {
        item->json[i] = (char)(dense ? property_next(&source) : 'a' + property_below(&source, 3));
    }
}

static void free_items(struct items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        free(items->all[i].json);
    }
}

static bool same_place(const struct item *item, const struct xb_tarball_item *got)
{
    return strcmp(item->resource, got->resource) == 0 &&
           strcmp(item->namespace, got->namespace) == 0 && strcmp(item->name, got->name) == 0;
}

/* No two at the same place: paths tell items apart. */
static void make_items(struct items *items)
{
    *items = (struct items){.count = property_below(&source, ITEMS_MAX)};
    for (size_t i = 0; i < items->count; i++) {
        make_item(&items->all[i]);
        snprintf(items->all[i].resource + strlen(items->all[i].resource), 24, ".%zu", i);
    }
}

static void write_items(const char *path, const struct items *items)
{
    XB_CLEANUP(xb_tarball_writer_freep) struct xb_tarball_writer *writer = NULL;
    PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
    for (size_t i = 0; i < items->count; i++) {
        const struct item *from = &items->all[i];
        const struct xb_tarball_item item = {from->resource, from->version, from->namespace,
                                             from->name, false};
        PROBE_OK(xb_tarball_writer_add(writer, &item, from->json, from->len, &err));
    }
    PROBE_OK(xb_tarball_writer_finish(writer, &err));
}

/* The archive again, without the copies that name their version. */
static void keep_plain(const char *from, const char *to)
{
    struct archive *in = archive_read_new();
    struct archive *out = archive_write_new();
    struct archive_entry *entry = NULL;
    XB_CLEANUP(xb_freep) char *body = malloc(JSON_BYTES_MAX + 1);
    archive_read_support_format_tar(in);
    archive_read_support_filter_gzip(in);
    assert_int_equal(archive_read_open_filename(in, from, 65536), ARCHIVE_OK);
    archive_write_set_format_pax_restricted(out);
    archive_write_add_filter_gzip(out);
    assert_int_equal(archive_write_open_filename(out, to), ARCHIVE_OK);
    while (archive_read_next_header(in, &entry) != ARCHIVE_EOF) {
        la_ssize_t len = archive_read_data(in, body, JSON_BYTES_MAX + 1);
        assert_int_equal(len, archive_entry_size(entry));
        if (!strstr(archive_entry_pathname(entry), "-preferredversion/")) {
            assert_true(archive_write_header(out, entry) >= ARCHIVE_WARN);
            assert_int_equal(archive_write_data(out, body, (size_t)len), len);
        }
    }
    archive_read_free(in);
    assert_int_equal(archive_write_close(out), ARCHIVE_OK);
    archive_write_free(out);
}

/* Whole archives: the next item in order. */
static int take_next(void *context, const struct xb_tarball_item *got, const char *json, size_t len,
                     struct xb_error *err)
{
    struct items *items = context;
    (void)err;
    assert_true(items->read < items->count);
    const struct item *item = &items->all[items->read++];
    assert_true(same_place(item, got));
    assert_string_equal(got->version, items->plain ? "" : item->version);
    assert_int_equal(len, item->len);
    assert_memory_equal(json, item->json, len);
    return 0;
}

/* Damaged archives: something that was written. */
static int take_written(void *context, const struct xb_tarball_item *got, const char *json,
                        size_t len, struct xb_error *err)
{
    const struct items *items = context;
    (void)err;
    for (size_t i = 0; i < items->count; i++) {
        const struct item *item = &items->all[i];
        if (same_place(item, got)) {
            assert_int_equal(len, item->len);
            assert_memory_equal(json, item->json, len);
            return 0;
        }
    }
    fail_msg("an item that nobody wrote: %s %s/%s", got->resource, got->namespace, got->name);
    return -1;
}

static void round_trips(void **state)
{
    const char *path = probe_path(state, "all.tar.gz");
    const char *plain = probe_path(state, "plain.tar.gz");
    for (int round = 0; round < ROUNDS; round++) {
        struct items items;
        make_items(&items);
        write_items(path, &items);
        PROBE_OK(xb_tarball_read(path, take_next, &items, &err));
        assert_int_equal(items.read, items.count);
        keep_plain(path, plain);
        items.read = 0;
        items.plain = true;
        PROBE_OK(xb_tarball_read(plain, take_next, &items, &err));
        assert_int_equal(items.read, items.count);
        free_items(&items);
    }
}

/* Cuts, flips, overwrites, doubles or drops bytes. */
static size_t damage(char *data, size_t len)
{
    size_t at = property_below(&source, len);
    size_t stretch = 1 + property_below(&source, len - at);
    switch (property_below(&source, 5)) {
    case 0:
        return at;
    case 1:
        data[at] ^= (char)(1 << property_below(&source, 8));
        return len;
    case 2:
        stretch = stretch < 300 ? stretch : 300;
        for (size_t i = 0; i < stretch; i++) {
            data[at + i] = (char)property_next(&source);
        }
        return len;
    case 3:
        memmove(data, data + at, len - at);
        return len - at;
    default:
        memmove(data + at, data + at + stretch, len - at - stretch);
        return len - stretch;
    }
}

static void damaged(void **state)
{
    const char *path = probe_path(state, "whole.tar.gz");
    const char *broken = probe_path(state, "broken.tar.gz");
    struct items items = {.count = 0};
    XB_CLEANUP(xb_freep) char *copy = NULL;
    XB_CLEANUP(xb_freep) char *whole = NULL;
    size_t len = 0, refused = 0;
    do {
        free_items(&items);
        make_items(&items);
    } while (items.count < 3);
    write_items(path, &items);
    whole = probe_read(path, &len);
    copy = malloc(len);
    for (int i = 0; i < DAMAGES; i++) {
        struct xb_error err = XB_ERROR_INIT;
        memcpy(copy, whole, len);
        size_t left = damage(copy, len);
        bool same = left == len && memcmp(copy, whole, len) == 0;
        probe_write(broken, copy, left);
        int r = xb_tarball_read(broken, take_written, &items, &err);
        assert_true(r == 0 || err.kind == XB_ERR_CORRUPT);
        assert_true(!same || r == 0);
        refused += r < 0;
    }
    assert_true(refused > DAMAGES * 9 / 10); /* few bytes of gzip's head may change unnoticed */
    free_items(&items);
}

int main(void)
{
    source = property_begin("tarball");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
