/* SPDX-License-Identifier: Apache-2.0
 *
 * Text and JSON codecs: what others write is read, what is wrong is refused, Go's bytes are
 * matched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "tests/harness/property.h"

static void base64(void **state)
{
    (void)state;
    /* RFC 4648, section 10 */
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < 7; i++) {
        struct xb_buf out = XB_BUF_INIT(100);
        assert_int_equal(xb_base64_encode(pairs[i][0], strlen(pairs[i][0]), &out, &err), 0);
        assert_string_equal(out.data, pairs[i][1]);
        xb_buf_clear(&out);
        out.max = strlen(pairs[i][0]); /* a ceiling that just fits */
        assert_int_equal(xb_base64_decode(pairs[i][1], strlen(pairs[i][1]), &out, &err), 0);
        assert_string_equal(out.data, pairs[i][0]);
        xb_buf_free(&out);
    }
    static const char *const bad[] = {"Zg=", "Zg", "Z===", "=g==", "Zm9v\n", "Zm 9", "Zg==Zg=="};
    for (size_t i = 0; i < 7; i++) {
        struct xb_buf out = XB_BUF_INIT(100);
        assert_true(xb_base64_decode(bad[i], strlen(bad[i]), &out, &err) < 0);
        xb_buf_free(&out);
    }
}

static void hex(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    char text[9];
    unsigned char bytes[4];
    xb_hex_encode("\x00\xff\x1a\x2b", 4, text);
    assert_string_equal(text, "00ff1a2b");
    assert_int_equal(xb_hex_decode("00FF1a2b", 8, bytes, &err), 0);
    assert_memory_equal(bytes, "\x00\xff\x1a\x2b", 4);
    assert_true(xb_hex_decode("0g", 2, bytes, &err) < 0);
    assert_true(xb_hex_decode("123", 3, bytes, &err) < 0);
}

static void times(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    static const struct {
        const char *text;
        int64_t ns;
        const char *again;
    } good[] = {
        {"2026-11-23T01:02:03.39465576Z", 1795395723394655760, "2026-11-23T01:02:03.39465576Z"},
        {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"},
        {"1969-12-31T23:59:59.5Z", -500000000, "1969-12-31T23:59:59.5Z"},
        {"2023-11-20T18:15:47.427237418+02:00", 1700496947427237418,
         "2023-11-20T16:15:47.427237418Z"},
    };
    for (size_t i = 0; i < 4; i++) {
        int64_t ns = 7;
        char text[XB_TIME_TEXT_BYTES];
        assert_int_equal(xb_time_parse(good[i].text, &ns, &err), 0);
        assert_int_equal(ns, good[i].ns);
        xb_time_format(ns, text);
        assert_string_equal(text, good[i].again);
    }
    static const char *const bad[] = {"",
                                      "2026-11-23",
                                      "2026-13-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-11-23T01:02:03",
                                      "2026-11-23T01:02:03.Z",
                                      "9999-11-23T01:02:03Z",
                                      "2026-11-23T01:02:03Zx"};
    for (size_t i = 0; i < 8; i++) {
        int64_t ns;
        assert_true(xb_time_parse(bad[i], &ns, &err) < 0);
    }
}

/* Against the C library, over the whole range and around the turns of years. */
static void times_match_the_library(void **state)
{
    (void)state;
    struct property source = property_begin("times");
    for (int i = 0; i < 20000; i++) {
        struct xb_error err = XB_ERROR_INIT;
        char text[XB_TIME_TEXT_BYTES], want[XB_TIME_TEXT_BYTES];
        int64_t ns = (int64_t)property_next(&source), again = 0, parsed = 0;
        ns = i % 2 ? ns : ns / XB_NS_PER_S / 86400 * 86400 * XB_NS_PER_S - (i % 4 < 2);
        int64_t seconds = ns / XB_NS_PER_S - (ns % XB_NS_PER_S < 0);
        struct tm tm;
        time_t time = (time_t)seconds;
        gmtime_r(&time, &tm);
        assert_int_equal(strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S", &tm), 19);
        xb_time_format(ns, text);
        assert_memory_equal(text, want, 19);
        assert_true(xb_time_read(text, strlen(text), &again));
        assert_int_equal(again, ns);
        assert_int_equal(xb_time_parse(text, &parsed, &err), 0);
        assert_int_equal(parsed, ns);
        /* What is altered is refused, or is read as the other way reads it, and written so again.
         */
        text[property_below(&source, strlen(text))] =
            "0123456789:-.TZ"[property_below(&source, 15)];
        if (xb_time_read(text, strlen(text), &again)) {
            assert_int_equal(xb_time_parse(text, &parsed, &err), 0);
            assert_int_equal(parsed, again);
            xb_time_format(again, want);
            assert_string_equal(want, text);
        }
    }
}

static void durations(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    int64_t ns;
    char text[XB_TIME_TEXT_BYTES];
    assert_int_equal(xb_duration_parse("720h0m0s", &ns, &err), 0);
    assert_int_equal(ns, 720 * 3600 * XB_NS_PER_S);
    xb_duration_format(ns, text);
    assert_string_equal(text, "720h0m0s");
    assert_int_equal(xb_duration_parse("1.5h", &ns, &err), 0);
    xb_duration_format(ns, text);
    assert_string_equal(text, "1h30m0s");
    assert_int_equal(xb_duration_parse("250ms", &ns, &err), 0);
    xb_duration_format(ns, text);
    assert_string_equal(text, "250ms");
    /* To the nanosecond, and as time.Duration prints it. */
    static const struct {
        const char *text;
        int64_t ns;
        const char *again;
    } exact[] = {{"0", 0, "0s"},
                 {"5ns", 5, "5ns"},
                 {"1.5us", 1500, "1.5\xc2\xb5s"},
                 {"1.29s", 1290 * XB_NS_PER_MS, "1.29s"},
                 {"0.001000003s", 1000003, "1.000003ms"},
                 {"-1m0.000000001s", -60 * XB_NS_PER_S - 1, "-1m0.000000001s"},
                 {"2562047h47m16.854775807s", INT64_MAX, "2562047h47m16.854775807s"}};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        assert_int_equal(xb_duration_parse(exact[i].text, &ns, &err), 0);
        assert_int_equal(ns, exact[i].ns);
        xb_duration_format(ns, text);
        assert_string_equal(text, exact[i].again);
    }
    static const char *const bad[] = {"", "5", "h", "4 h", "999999999999h", "-", "1h-1m"};
    for (size_t i = 0; i < 7; i++) {
        assert_true(xb_duration_parse(bad[i], &ns, &err) < 0);
    }
}

/* Go's escapes, from kopia-format section 11; json.Marshal was run on these bytes. */
static void go_strings(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(200);
    static const char in[] = "a<b>&\"\\\n\t\x01\x7f\xff\xc3\xa9\xe2\x80\xa8";
    assert_int_equal(xb_json_go_string(&out, in, sizeof in - 1, &err), 0);
    assert_string_equal(out.data, "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\t\\u0001\x7f\\ufffd"
                                  "\xc3\xa9\\u2028\"");
    xb_buf_free(&out);
}

/* As Go has it, character by character: escapes that were there stay, and no others are put in. */
static void json_as_go_writes_it(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    static const char *const pairs[][2] = {
        {"{\"b\":\"x && y\",\"a\":[\"<a/>\",1.50]}",
         "{\"b\":\"x \\u0026\\u0026 y\",\"a\":[\"\\u003ca/\\u003e\",1.50]}"},
        {"[\"\xe2\x80\xa8\xe2\x80\xa9\xe2\x82\xac\"]", "[\"\\u2028\\u2029\xe2\x82\xac\"]"},
        {"{\"&\":\"a\\n\\\"&\"}", "{\"\\u0026\":\"a\\n\\\"\\u0026\"}"},
        {"[]", "[]"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
        XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(1000);
        assert_int_equal(xb_json_parse(pairs[i][0], strlen(pairs[i][0]), &json, &err), 0);
        assert_int_equal(xb_json_write_go(json, &out, &err), 0);
        assert_string_equal(out.data, pairs[i][1]);
    }
}

static void json_paths(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    static const char text[] = "{\"a\":{\"b.c\":\"x\",\"n\":5,\"z\":null},\"l\":[1]}";
    assert_int_equal(xb_json_parse(text, sizeof text - 1, &json, &err), 0);
    assert_string_equal(xb_json_str(json, "a.b\\.c", "?"), "x");
    assert_string_equal(xb_json_str(json, "a.n", "?"), "?");
    assert_int_equal(xb_json_int(json, "a.n", 0), 5);
    assert_null(xb_json_get(json, "a.z"));
    assert_null(xb_json_get(json, "a.b\\.c.d"));
    const char *value = "kept";
    assert_int_equal(xb_json_need_str(json, "a.q", false, &value, &err), 0);
    assert_string_equal(value, "kept");
    assert_int_equal(xb_json_need_str(json, "a.n", true, &value, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "a.n"));
    assert_int_equal(xb_json_set_str(json, "s.t.u", "v", &err), 0);
    assert_string_equal(xb_json_str(json, "s.t.u", ""), "v");
}

static void json_lists(void **state)
{
    (void)state;
    static const char text[] = "[7,null,{\"a\":{\"b\":1}},{\"n\":1,\"a\":{\"b\":\"x\"}},"
                               "{\"n\":2,\"a\":{\"b\":\"x\"}},{\"n\":3,\"a\":{\"b\":\"\"}}]";
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *list = NULL;
    assert_int_equal(xb_json_parse(text, sizeof text - 1, &list, &err), 0);
    assert_int_equal(xb_json_int(xb_json_find(list, "a.b", "x"), "n", 0), 1);
    assert_int_equal(xb_json_int(xb_json_find(list, "a.b", ""), "n", 0), 3);
    assert_null(xb_json_find(list, "a.b", "y"));
    assert_null(xb_json_find(list, "a", "x"));
    assert_null(xb_json_find(json_object_array_get_idx(list, 2), "a.b", "x"));
    assert_null(xb_json_find(NULL, "a.b", "x"));
}

static void json_refused(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    static const char *const bad[] = {"", "{", "{}x", "{\"a\":}", "[1,]", "nul", "{} {}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        xb_json *json = NULL;
        int r = xb_json_parse(bad[i], strlen(bad[i]), &json, &err);
        if (json) {
            json_object_put(json);
        }
        if (r == 0) {
            print_message("accepted: %s\n", bad[i]);
        }
        assert_true(r < 0);
    }
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    xb_json *json = NULL;
    assert_true(xb_json_parse(deep, sizeof deep, &json, &err) < 0);
}

static void utf8(void **state)
{
    (void)state;
    assert_true(xb_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    assert_false(xb_utf8_valid("\xc0\x80", 2));
    assert_false(xb_utf8_valid("\xed\xa0\x80", 3));
    assert_false(xb_utf8_valid("\xf4\x90\x80\x80", 4));
    assert_false(xb_utf8_valid("\xe2\x82", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64),
        cmocka_unit_test(hex),
        cmocka_unit_test(times),
        cmocka_unit_test(times_match_the_library),
        cmocka_unit_test(durations),
        cmocka_unit_test(go_strings),
        cmocka_unit_test(json_as_go_writes_it),
        cmocka_unit_test(json_paths),
        cmocka_unit_test(json_lists),
        cmocka_unit_test(json_refused),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
