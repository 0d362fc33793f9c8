/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tree was: every name and attribute that goes in comes out, whoever wrote it.
 */
#include "tests/harness/probe.h"

#include "agent/freeze/listing_writer.h"

enum { FILES = 3000 };

static const struct stat folder_st = {.st_mode = S_IFDIR | 0755, .st_ino = 1};

static void add(struct xb_listing_draft *draft, const char *name, mode_t mode, uint64_t child)
{
    const struct stat st = {.st_mode = mode, .st_ino = child, .st_size = 10};
    const struct xb_listing_parts parts = {
        .name = name, .st = &st, .child = child, .target = S_ISLNK(mode) ? "to" : ""};
    PROBE_OK(xb_listing_add(draft, &parts, &err));
}

static void begin(struct xb_listing_draft *draft, uint64_t number)
{
    const struct xb_listing_parts self = {.name = "folder", .st = &folder_st, .target = ""};
    PROBE_OK(xb_listing_begin(draft, number, &self, &err));
}

static void test_names_are_found_in_any_order(void **state)
{
    char name[32];
    struct xb_listing *listing = NULL;
    struct xb_listing_folder folder;
    uint64_t files = 0;
    uint64_t bytes = 0;
    (void)state;
    PROBE_OK(xb_listing_new(1, -1, &listing, &err));
    struct xb_listing_draft draft = {.listing = listing};
    assert_int_equal(xb_listing_number(listing), 0);
    begin(&draft, 0);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%u", i * 7919 % FILES);
        add(&draft, name, S_IFREG | 0644, i + 1);
    }
    PROBE_OK(xb_listing_end(&draft, &err));
    free(draft.offsets);

    assert_true(xb_listing_folder(listing, 0, &folder));
    assert_int_equal(folder.count, FILES);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "f%u", i * 7919 % FILES);
        const struct xb_listing_entry *entry = xb_listing_find(&folder, name);
        assert_non_null(entry);
        assert_int_equal(entry->child, i + 1);
        assert_string_equal(xb_listing_name(entry), name);
        assert_true(i == 0 || strcmp(xb_listing_name(xb_listing_entry(&folder, i - 1)),
                                     xb_listing_name(xb_listing_entry(&folder, i))) < 0);
    }
    assert_null(xb_listing_find(&folder, "f"));
    assert_null(xb_listing_find(&folder, "f3000"));
    assert_null(xb_listing_find(&folder, ""));
    xb_listing_totals(listing, &files, &bytes);
    assert_int_equal(files, FILES);
    assert_int_equal(bytes, 10 * FILES);
    xb_listing_free(listing);
}

static void test_segments_are_one_tree(void **state)
{
    struct xb_listing *listing = NULL;
    struct xb_listing_folder folder;
    (void)state;
    PROBE_OK(xb_listing_new(2, -1, &listing, &err));
    struct xb_listing_draft first = {.listing = listing};
    struct xb_listing_draft second = {.listing = listing, .segment = 1};
    uint64_t root = xb_listing_number(listing);
    uint64_t child = xb_listing_number(listing);
    uint64_t vanished = xb_listing_number(listing);
    begin(&first, root);
    add(&first, "sub", S_IFDIR | 0700, child);
    add(&first, "gone", S_IFDIR | 0700, vanished);
    begin(&second, child);
    add(&second, "link", S_IFLNK | 0777, 0);
    PROBE_OK(xb_listing_end(&second, &err));
    PROBE_OK(xb_listing_end(&first, &err));
    free(first.offsets);
    free(second.offsets);

    assert_true(xb_listing_folder(listing, 0, &folder));
    assert_string_equal(xb_listing_name(folder.self), "folder");
    assert_true(xb_listing_folder(listing, xb_listing_find(&folder, "sub")->child, &folder));
    assert_int_equal(folder.count, 1);
    assert_string_equal(xb_listing_target(xb_listing_find(&folder, "link")), "to");
    assert_false(xb_listing_folder(listing, vanished, &folder));
    assert_false(xb_listing_folder(listing, 1000000, &folder));
    xb_listing_free(listing);
}

static void test_attributes_come_back(void **state)
{
    char packed[64];
    size_t used = 0;
    struct xb_listing *listing = NULL;
    struct xb_listing_folder folder;
    const struct xb_listing_xattr first = {"user.a", "1\0 2", 4};
    const struct xb_listing_xattr second = {"user.empty", "", 0};
    const struct xb_listing_xattr large = {"user.large", packed, sizeof packed};
    (void)state;
    assert_true(xb_listing_pack_xattr(packed, sizeof packed, &used, &first));
    assert_true(xb_listing_pack_xattr(packed, sizeof packed, &used, &second));
    assert_false(xb_listing_pack_xattr(packed, sizeof packed, &used, &large));

    PROBE_OK(xb_listing_new(1, -1, &listing, &err));
    struct xb_listing_draft draft = {.listing = listing};
    const struct xb_listing_parts self = {
        .name = ".", .st = &folder_st, .target = "", .xattrs = packed, .xattr_bytes = used};
    PROBE_OK(xb_listing_begin(&draft, xb_listing_number(listing), &self, &err));
    PROBE_OK(xb_listing_end(&draft, &err));
    free(draft.offsets);

    struct xb_listing_xattr xattr;
    size_t at = 0;
    assert_true(xb_listing_folder(listing, 0, &folder));
    assert_int_equal(folder.count, 0);
    assert_true(xb_listing_next_xattr(folder.self, &at, &xattr));
    assert_string_equal(xattr.name, "user.a");
    assert_int_equal(xattr.len, 4);
    assert_memory_equal(xattr.value, "1\0 2", 4);
    assert_true(xb_listing_next_xattr(folder.self, &at, &xattr));
    assert_string_equal(xattr.name, "user.empty");
    assert_int_equal(xattr.len, 0);
    assert_false(xb_listing_next_xattr(folder.self, &at, &xattr));
    xb_listing_free(listing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names_are_found_in_any_order),
                                       cmocka_unit_test(test_segments_are_one_tree),
                                       cmocka_unit_test(test_attributes_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
