/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader's limits and words: what is no JSON is refused with its place, spans are whole,
 * however the text comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/harness/json_tokens.h"

static int read_all(const char *text, size_t len, size_t window, struct xb_error *err)
{
    xb_json *value = NULL;
    int r = json_from_tokens(text, len, window, &value, err);
    if (value) {
        json_object_put(value);
    }
    return r;
}

static void what_is_no_json_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",           " ",         "{",           "[",
        "]",          "{]",        "[}",          "{\"a\"}",
        "{\"a\":}",   "{\"a\" 1}", "{a:1}",       "{1:1}",
        "{,}",        "[,]",       "[1,]",        "[1 2]",
        "{\"a\":1,}", "[1]]",      "[1}",         "{\"a\":1]",
        "[1] 2",      "nul",       "True",        "NaN",
        "01",         "-",         "+1",          "1.",
        ".5",         "1e",        "0x10",        "\"",
        "\"\\\"",     "\"\\x\"",   "\"\\u12\"",   "\"\\u12g4\"",
        "\"\n\"",     "\"\xff\"",  "\"\xc3\"",    "\"\xed\xa0\x80\"",
        "'a'",        "[1/**/]",   "\"a\" \"b\"", "{\"a\":1 \"b\":2}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t window = 0; window < 4; window++) {
            struct xb_error err = XB_ERROR_INIT;
            if (read_all(bad[i], strlen(bad[i]), window, &err) == 0) {
                fail_msg("taken: %s", bad[i]);
            }
            assert_int_equal(err.kind, XB_ERR_CORRUPT);
            assert_non_null(strstr(err.text, "at byte"));
        }
    }
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    char text[4 * XB_JSON_NESTING_MAX];
    for (size_t deep = XB_JSON_NESTING_MAX; deep <= XB_JSON_NESTING_MAX + 1; deep++) {
        struct xb_error err = XB_ERROR_INIT;
        memset(text, '[', deep);
        memset(text + deep, ']', deep);
        int r = read_all(text, 2 * deep, 0, &err);
        assert_int_equal(r<0, deep> XB_JSON_NESTING_MAX);
    }
}

static int endless(void *context, char *to, size_t room, size_t *ret_len, struct xb_error *err)
{
    size_t *given = context;
    (void)err;
    memset(to, 'a', room);
    if (*given == 0) {
        to[0] = '"';
    }
    *given += room;
    *ret_len = room;
    return 0;
}

/* A string without an end is given up, long before the memory is. */
static void tokens_are_bounded(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_json_reader reader;
    struct xb_json_token token;
    size_t given = 0;
    xb_json_reader_init(&reader, endless, &given, 4096);
    assert_true(xb_json_next(&reader, &token, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_true(given <= 3 * (size_t)XB_JSON_SPAN_BYTES_MAX);
    xb_json_reader_done(&reader);
}

static void spans_are_whole(void **state)
{
    (void)state;
    static const char text[] = "[1,{\"a\":[\"}\",{}],\"b\":-1.5} ,{ \"c\":null},{}]";
    static const char *const spans[] = {"{\"a\":[\"}\",{}],\"b\":-1.5}", "{ \"c\":null}", "{}"};
    for (size_t window = 0; window < 60; window++) {
        struct xb_error err = XB_ERROR_INIT;
        struct json_pieces pieces = {text, sizeof text - 1, 1 + window % 5};
        struct xb_json_reader reader;
        struct xb_json_token token;
        size_t found = 0;
        if (window) {
            xb_json_reader_init(&reader, json_next_piece, &pieces, window);
        } else {
            xb_json_reader_init_text(&reader, text, sizeof text - 1);
        }
        do {
            assert_int_equal(xb_json_next(&reader, &token, &err), 0);
            if (token.kind == XB_JSON_OBJECT) {
                const char *span = NULL;
                size_t len = 0;
                bool spaced = false;
                xb_json_mark(&reader);
                assert_int_equal(xb_json_skip(&reader, &token, &err), 0);
                xb_json_span(&reader, &span, &len, &spaced);
                assert_int_equal(len, strlen(spans[found]));
                assert_memory_equal(span, spans[found], len);
                assert_int_equal(spaced, found == 1);
                found++;
            }
        } while (token.kind != XB_JSON_END);
        assert_int_equal(found, 3);
        assert_int_equal(xb_json_offset(&reader), sizeof text - 1);
        xb_json_reader_done(&reader);
    }
}

/* The window's memory can go at any token; the source then goes on where the reader is. */
static void windows_can_be_dropped(void **state)
{
    (void)state;
    static const char text[] = " {\"a\" : [ 1 , \"b\\n\" , {} ] , \"c\":true } ";
    static const enum xb_json_kind kinds[] = {
        XB_JSON_OBJECT, XB_JSON_KEY,    XB_JSON_ARRAY,      XB_JSON_NUMBER,
        XB_JSON_STRING, XB_JSON_OBJECT, XB_JSON_OBJECT_END, XB_JSON_ARRAY_END,
        XB_JSON_KEY,    XB_JSON_TRUE,   XB_JSON_OBJECT_END, XB_JSON_END};
    struct xb_error err = XB_ERROR_INIT;
    struct json_pieces pieces = {text, sizeof text - 1, 3};
    struct xb_json_reader reader;
    xb_json_reader_init(&reader, json_next_piece, &pieces, 8);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct xb_json_token token;
        assert_int_equal(xb_json_next(&reader, &token, &err), 0);
        assert_int_equal(token.kind, kinds[i]);
        xb_json_drop_window(&reader);
        uint64_t at = xb_json_offset(&reader);
        pieces = (struct json_pieces){text + at, sizeof text - 1 - at, 2};
    }
    xb_json_reader_done(&reader);
}

static void whole_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"42", true, 42},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"1.0", false, 0},
                 {"1e2", false, 0},
                 {"true", false, 0},
                 {"\"1\"", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_json_reader reader;
        struct xb_json_token token;
        int64_t value = 7;
        xb_json_reader_init_text(&reader, cases[i].text, strlen(cases[i].text));
        assert_int_equal(xb_json_next(&reader, &token, &err), 0);
        assert_int_equal(xb_json_token_int(&token, &value), cases[i].good);
        assert_int_equal(value, cases[i].good ? cases[i].value : 7);
        xb_json_reader_done(&reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_json_is_refused), cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(tokens_are_bounded),         cmocka_unit_test(spans_are_whole),
        cmocka_unit_test(windows_can_be_dropped),     cmocka_unit_test(whole_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
