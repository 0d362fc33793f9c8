/* SPDX-License-Identifier: Apache-2.0
 *
 * Random rules of `.shards`: each name has one path, which gives the name again, and no two names
 * share one; rules that are cut are refused, and flipped bits give rules that hold this, or none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/store/sharded/shards.h"
#include "tests/harness/property.h"

enum { ROUNDS = 300, NAMES = 40, NAME_BYTES_MAX = 60, FLIPS = 40 };

static void random_name(struct property *source, char name[NAME_BYTES_MAX + 1])
{
    static const char letters[] = "0123456789abcdef_-.pqxkn";
    size_t len = 1 + property_below(source, NAME_BYTES_MAX);
    for (size_t i = 0; i < len; i++) {
        name[i] = letters[property_below(source, sizeof letters - 1)];
    }
    name[len] = '\0';
}

static void random_widths(struct property *source, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    size_t levels = property_below(source, XB_SHARDS_LEVELS_MAX + 1);
    assert_int_equal(xb_buf_append_str(out, "[", &err), 0);
    for (size_t i = 0; i < levels; i++) {
        assert_int_equal(
            xb_buf_printf(out, &err, "%s%d", i ? "," : "", 1 + (int)property_below(source, 9)), 0);
    }
    assert_int_equal(xb_buf_append_str(out, "]", &err), 0);
}

static void random_rules(struct property *source, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_buf_append_str(out, "{\"default\":", &err), 0);
    random_widths(source, out);
    assert_int_equal(xb_buf_printf(out, &err, ",\"maxNonShardedLength\":%d,\"overrides\":[",
                                   (int)property_below(source, 30)),
                     0);
    for (size_t i = 0, count = property_below(source, 4); i < count; i++) {
        char prefix[NAME_BYTES_MAX + 1];
        random_name(source, prefix);
        prefix[property_below(source, 4)] = '\0';
        assert_int_equal(
            xb_buf_printf(out, &err, "%s{\"prefix\":\"%s\",\"shards\":", i ? "," : "", prefix), 0);
        random_widths(source, out);
        assert_int_equal(xb_buf_append_str(out, "}", &err), 0);
    }
    assert_int_equal(xb_buf_append_str(out, "]}", &err), 0);
}

static void names_and_paths(struct property *source, const struct xb_shards *shards)
{
    static char names[NAMES][NAME_BYTES_MAX + 1];
    static char paths[NAMES][XB_STORE_NAME_BYTES_MAX + 1];
    char back[XB_STORE_NAME_BYTES_MAX + 1];
    for (size_t i = 0; i < NAMES; i++) {
        struct xb_error err = XB_ERROR_INIT;
        random_name(source, names[i]);
        if (xb_shards_path(shards, names[i], paths[i], &err) < 0) {
            assert_int_equal(err.kind, XB_ERR_INVALID);
            paths[i][0] = '\0';
            continue;
        }
        assert_true(xb_shards_name(shards, paths[i], back));
        assert_string_equal(back, names[i]);
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(strcmp(paths[i], paths[k]) == 0, strcmp(names[i], names[k]) == 0);
        }
    }
}

static void rules_hold(void **state)
{
    (void)state;
    struct property source = property_begin("shards");
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_SHARDS_TEXT_BYTES_MAX);
        XB_CLEANUP(xb_shards_freep) struct xb_shards *shards = NULL;
        random_rules(&source, &text);
        assert_int_equal(xb_shards_parse(text.data, text.len, &shards, &err), 0);
        names_and_paths(&source, shards);
        for (size_t cut = 0; cut < text.len; cut++) {
            XB_CLEANUP(xb_shards_freep) struct xb_shards *none = NULL;
            assert_true(xb_shards_parse(text.data, cut, &none, &err) < 0);
        }
        for (int i = 0; i < FLIPS; i++) {
            XB_CLEANUP(xb_shards_freep) struct xb_shards *other = NULL;
            size_t bit = property_below(&source, 8 * text.len);
            text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
            if (xb_shards_parse(text.data, text.len, &other, &err) == 0) {
                names_and_paths(&source, other);
            }
            text.data[bit / 8] = (char)(text.data[bit / 8] ^ (1 << bit % 8));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rules_hold)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
