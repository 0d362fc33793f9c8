/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader sees what json-c sees, in whatever pieces the text comes; what is cut is refused,
 * and what is altered is refused or is what json-c makes of it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/harness/json_tokens.h"
#include "tests/harness/property.h"

enum { VALUES = 400, FLIPS = 60, WINDOWS = 5, DEPTH = 5 };

static const size_t windows[WINDOWS] = {0, 1, 7, 64, 4096};

static void put_space(struct property *source, struct xb_buf *out)
{
    static const char *const spaces[] = {"", "", "", " ", "\n\t", " \r "};
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_buf_append_str(out, spaces[property_below(source, 6)], &err), 0);
}

static void put(struct xb_buf *out, const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_buf_append_str(out, text, &err), 0);
}

static void put_string(struct property *source, struct xb_buf *out)
{
    static const char *const parts[] = {
        "a",       "name",     "\\\"",           "\\\\", "\\/", "\\n",          "\\u0041",
        "\\u00e9", "\xc3\xa9", "\\ud83d\\ude00", "<",    "&",   "\xe2\x80\xa8", "\xf0\x9f\x98\x80",
        " ",       "\x7f"};
    put(out, "\"");
    for (size_t i = property_below(source, 9); i > 0; i--) {
        put(out, parts[property_below(source, sizeof parts / sizeof *parts)]);
    }
    put(out, "\"");
}

static void put_value(struct property *source, struct xb_buf *out, unsigned depth);

static void put_list(struct property *source, struct xb_buf *out, unsigned depth)
{
    bool object = property_once_in(source, 2);
    put(out, object ? "{" : "[");
    put_space(source, out);
    for (size_t i = property_below(source, 6); i > 0; i--) {
        if (object) {
            put_string(source, out);
            put_space(source, out);
            put(out, ":");
            put_space(source, out);
        }
        put_value(source, out, depth + 1);
        put_space(source, out);
        put(out, i > 1 ? "," : "");
        put_space(source, out);
    }
    put(out, object ? "}" : "]");
}

static void put_value(struct property *source, struct xb_buf *out, unsigned depth)
{
    static const char *const words[] = {"true", "false", "null", "0",    "-1",
                                        "12.5", "1e3",   "-0",   "7E-2", "9223372036854775807"};
    switch (depth == 0 ? 2 : property_below(source, depth < DEPTH ? 4 : 2)) {
    case 0:
        put(out, words[property_below(source, sizeof words / sizeof *words)]);
        return;
    case 1:
        put_string(source, out);
        return;
    default:
        put_list(source, out, depth);
        return;
    }
}

/* Whatever the reader takes, json-c takes, too, and it is the same. */
static bool check_taken(const char *text, size_t len, size_t window)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *have = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *want = NULL;
    char *exact = malloc(len ? len : 1); /* a sanitizer sees each byte too far */
    assert_non_null(exact);
    memcpy(exact, text, len);
    int r = json_from_tokens(exact, len, window, &have, &err);
    free(exact);
    if (r < 0) {
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        return false;
    }
    if (xb_json_parse(text, len, &want, &err) < 0 || !json_object_equal(have, want)) {
        fail_msg("%.*s", (int)len, text);
    }
    return true;
}

static void same_as_json_c(void **state)
{
    (void)state;
    struct property source = property_begin("json reader");
    for (int i = 0; i < VALUES; i++) {
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        put_space(&source, &text);
        put_value(&source, &text, 0);
        size_t len = text.len;
        put_space(&source, &text);
        for (size_t w = 0; w < WINDOWS; w++) {
            assert_true(check_taken(text.data, text.len, windows[w]));
        }
        for (size_t cut = 0; cut < len; cut += 1 + len / 50) {
            assert_false(check_taken(text.data, cut, windows[cut % WINDOWS]));
        }
        for (int k = 0; k < FLIPS && text.len > 0; k++) {
            size_t at = property_below(&source, text.len);
            char before = text.data[at];
            unsigned flipped = (unsigned char)before ^ 1U << property_below(&source, 8);
            text.data[at] = (char)flipped;
            if (property_once_in(&source, 2)) {
                text.data[at] = "\"\\{}[],:0-eu"[property_below(&source, 12)];
            }
            (void)check_taken(text.data, text.len, windows[k % WINDOWS]);
            text.data[at] = before;
        }
        xb_buf_free(&text);
    }
}

/* What Go writes is plain, and only that. */
static void plain_is_what_go_writes(void **state)
{
    (void)state;
    struct property source = property_begin("plain");
    for (int i = 0; i < 20 * VALUES; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_buf again = XB_BUF_INIT(1 << 20);
        struct xb_json_reader reader;
        struct xb_json_token token;
        put_string(&source, &text);
        xb_json_reader_init_text(&reader, text.data, text.len);
        assert_int_equal(xb_json_next(&reader, &token, &err), 0);
        assert_int_equal(xb_json_go_string(&again, token.len ? token.text : "", token.len, &err),
                         0);
        bool same = text.len == again.len && memcmp(text.data, again.data, text.len) == 0;
        assert_int_equal(token.plain, same && !strchr(text.data, '\\'));
        xb_json_reader_done(&reader);
        xb_buf_free(&text);
        xb_buf_free(&again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_json_c),
                                       cmocka_unit_test(plain_is_what_go_writes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
