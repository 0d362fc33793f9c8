/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of mounts: what is written as the kernel does is read as it was; a list that is cut within
 * a line is refused, and one in which a bit flips is another list or none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/base/mounts.h"
#include "tests/harness/property.h"

enum { ROUNDS = 200, MOUNTS = 8, TEXT_BYTES = 60, LIST_BYTES = 16384, FLIPS = 30 };

struct wanted {
    unsigned id, parent, major, minor;
    char root[TEXT_BYTES], point[TEXT_BYTES], options[TEXT_BYTES], type[TEXT_BYTES],
        source[TEXT_BYTES];
};

struct list {
    char text[LIST_BYTES];
    size_t len, count;
    struct wanted wanted[MOUNTS];
};

static void put(struct list *list, const char *text)
{
    size_t len = strlen(text);
    assert_true(list->len + len < sizeof list->text);
    memcpy(list->text + list->len, text, len + 1);
    list->len += len;
}

/* Any bytes but NUL; those that the kernel writes as numbers often. */
static void put_some_text(struct property *source, struct list *list, size_t min,
                          char ret[TEXT_BYTES])
{
    static const char special[] = " \t\n\\0#-:";
    size_t len = min + property_below(source, TEXT_BYTES - 1 - min);
    for (size_t i = 0; i < len; i++) {
        char c = property_once_in(source, 3) ? special[property_below(source, sizeof special - 1)]
                                             : (char)(1 + property_below(source, 255));
        char out[8] = {c};
        if (strchr(" \t\n\\", c)) {
            snprintf(out, sizeof out, "\\%03o", (unsigned)(unsigned char)c);
        }
        ret[i] = c;
        put(list, out);
    }
    ret[len] = '\0';
    put(list, " ");
}

static void put_mount(struct property *source, struct list *list)
{
    struct wanted *wanted = &list->wanted[list->count++];
    char numbers[100];
    wanted->id = (unsigned)property_next(source);
    wanted->parent = (unsigned)property_next(source);
    wanted->major = (unsigned)property_next(source);
    wanted->minor = (unsigned)property_next(source);
    snprintf(numbers, sizeof numbers, "%u %u %u:%u ", wanted->id, wanted->parent, wanted->major,
             wanted->minor);
    put(list, numbers);
    put_some_text(source, list, 1, wanted->root);
    put_some_text(source, list, 1, wanted->point);
    put_some_text(source, list, 1, wanted->options);
    for (uint64_t tags = property_below(source, 3); tags > 0; tags--) {
        put(list, "shared:1 ");
    }
    put(list, "- ");
    put_some_text(source, list, 1, wanted->type);
    put_some_text(source, list, 0, wanted->source);
    put(list, "rw,size=1\n");
}

static void check_same(const struct list *list, const struct xb_mounts *mounts)
{
    assert_int_equal(mounts->count, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const struct wanted *wanted = &list->wanted[i];
        const struct xb_mount *got = &mounts->items[i];
        assert_int_equal(got->id, wanted->id);
        assert_int_equal(got->parent, wanted->parent);
        assert_int_equal(got->major, wanted->major);
        assert_int_equal(got->minor, wanted->minor);
        assert_string_equal(got->root, wanted->root);
        assert_string_equal(got->point, wanted->point);
        assert_string_equal(got->options, wanted->options);
        assert_string_equal(got->type, wanted->type);
        assert_string_equal(got->source, wanted->source);
    }
}

/* How many mounts it has, or negative. */
static int count(const char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts = {.count = 0};
    int r = xb_mounts_parse(text, len, &mounts, &err);
    if (r < 0) {
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_null(mounts.items);
        return r;
    }
    r = (int)mounts.count;
    xb_mounts_free(&mounts);
    return r;
}

static void check_cuts(struct property *source, const struct list *list)
{
    size_t cut = property_below(source, list->len);
    bool between = cut == 0 || list->text[cut - 1] == '\n';
    assert_int_equal(count(list->text, cut) >= 0, between);
}

static void flip(struct list *list, size_t bit)
{
    unsigned char *byte = (unsigned char *)&list->text[bit / 8];
    *byte ^= (unsigned char)(1U << bit % 8);
}

static void check_flips(struct property *source, struct list *list)
{
    for (size_t i = 0; i < FLIPS; i++) {
        size_t bit = property_below(source, 8 * list->len);
        flip(list, bit);
        size_t lines = 0;
        for (size_t at = 0; at < list->len; at++) {
            lines += list->text[at] == '\n';
        }
        int r = count(list->text, list->len);
        assert_true(r < 0 || (size_t)r == lines);
        flip(list, bit);
    }
}

static void test_lists(void **state)
{
    (void)state;
    static struct list list;
    struct property source = property_begin("lists of mounts");
    for (size_t round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_mounts mounts = {.count = 0};
        list.len = list.count = 0;
        for (uint64_t left = 1 + property_below(&source, MOUNTS); left > 0; left--) {
            put_mount(&source, &list);
        }
        assert_int_equal(xb_mounts_parse(list.text, list.len, &mounts, &err), 0);
        check_same(&list, &mounts);
        xb_mounts_free(&mounts);
        check_cuts(&source, &list);
        check_flips(&source, &list);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
