/* SPDX-License-Identifier: Apache-2.0
 *
 * A listing that a server writes is read back as it was, however it writes it; one that is cut off
 * anywhere is refused; one with flipped bits never gives more than it holds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/store/s3/listing.h"
#include "shared/store/s3/xml.h"
#include "shared/store/store.h"
#include "tests/harness/property.h"

enum { ROUNDS = 300, ENTRIES = 12, KEY = 200 };

struct entry {
    char key[KEY];
    uint64_t size;
    bool folder;
};

/* Any bytes but NUL, with those that mean something in XML and URLs often. */
static void random_key(struct property *source, bool encoded, char out[KEY])
{
    static const char odd[] = "&<>\"'%+ /;#=?\t~\xc3\xa9";
    size_t len = 1 + property_below(source, KEY - 2);
    for (size_t i = 0; i < len; i++) {
        unsigned byte = 1 + (unsigned)property_below(source, 255);
        if (property_once_in(source, 2)) {
            byte = (unsigned char)odd[property_below(source, sizeof odd - 1)];
        }
        /* XML itself has no way for control bytes that servers use. */
        out[i] = (char)(!encoded && byte < ' ' ? 'x' : byte);
    }
    out[len] = '\0';
}

static void put(struct xb_buf *out, const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_buf_append_str(out, text, &err), 0);
}

static void put_key(struct property *source, struct xb_buf *out, const char *key, bool encoded)
{
    struct xb_error err = XB_ERROR_INIT;
    if (!encoded && property_once_in(source, 3) && !strstr(key, "]]>")) {
        put(out, "<![CDATA[");
        put(out, key);
        put(out, "]]>");
        return;
    }
    for (; encoded && *key; key++) {
        unsigned char c = (unsigned char)*key;
        int r =
            c == ' ' ? xb_buf_append_str(out, "+", &err)
            : c > '/' && c < 0x7f && !strchr("<", c) && c != '%'
                ? xb_buf_append(out, key, 1, &err)
                : xb_buf_printf(out, &err, property_once_in(source, 2) ? "%%%02X" : "%%%02x", c);
        assert_int_equal(r, 0);
    }
    if (!encoded) {
        assert_int_equal(xb_xml_escape(out, key, &err), 0);
    }
}

static void put_noise(struct property *source, struct xb_buf *out)
{
    static const char *const noise[] = {
        "\n", "<!-- x > y -->", "<Name>b</Name>", "<Empty a='>'/>", "<?pi ?>", ""};
    put(out, noise[property_below(source, sizeof noise / sizeof *noise)]);
}

static void write_page(struct property *source, const struct entry *entries, size_t count,
                       bool encoded, struct xb_buf *out)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *ns = property_once_in(source, 4) ? "s3:" : "";
    put(out, property_once_in(source, 2) ? "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" : "");
    assert_int_equal(xb_buf_printf(out, &err, "<%sListBucketResult xmlns=\"x\">", ns), 0);
    for (size_t i = 0; i < count; i++) {
        put_noise(source, out);
        put(out, entries[i].folder ? "<CommonPrefixes><Prefix>" : "<Contents><Key>");
        put_key(source, out, entries[i].key, encoded);
        if (entries[i].folder) {
            put(out, "</Prefix></CommonPrefixes>");
            continue;
        }
        assert_int_equal(xb_buf_printf(out, &err,
                                       "</Key><Owner><ID>Key</ID></Owner><Size>%llu</Size>"
                                       "<LastModified>2026-11-25T10:00:00.%03dZ</LastModified>"
                                       "</Contents>",
                                       (unsigned long long)entries[i].size, (int)(i + 1)),
                         0);
    }
    put(out, encoded ? "<EncodingType>url</EncodingType>" : "");
    put(out,
        "<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken>");
    assert_int_equal(xb_buf_printf(out, &err, "</%sListBucketResult>", ns), 0);
}

static size_t random_entries(struct property *source, bool encoded, struct entry *out)
{
    size_t count = property_below(source, ENTRIES);
    for (size_t i = 0; i < count; i++) {
        random_key(source, encoded, out[i].key);
        out[i].size = property_next(source) >> 1 >> property_below(source, 60);
        out[i].folder = property_once_in(source, 4);
    }
    return count;
}

/* What is written is read. */
static void round_trip(void **state)
{
    (void)state;
    struct property source = property_begin("round_trip");
    struct entry entries[ENTRIES];
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_s3_page page;
        bool encoded = property_once_in(&source, 2);
        size_t count = random_entries(&source, encoded, entries);
        write_page(&source, entries, count, encoded, &text);
        if (xb_s3_page_parse(text.data, text.len, &page, &err) < 0) {
            print_error("%s\n%s\n", err.text, text.data);
            fail();
        }
        assert_int_equal(page.count, count);
        assert_true(page.truncated);
        assert_string_equal(page.token.data, "a&b");
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(xb_s3_page_key(&page, i), entries[i].key);
            assert_int_equal(page.entries[i].folder, entries[i].folder);
            if (!entries[i].folder) {
                assert_int_equal(page.entries[i].size, entries[i].size);
                assert_int_equal(page.entries[i].mtime_ns % 1000000000, (i + 1) * 1000000);
            }
        }
        xb_s3_page_done(&page);
        xb_buf_free(&text);
    }
}

/* A page that ends early is no page, wherever it ends. */
static void truncated(void **state)
{
    (void)state;
    struct property source = property_begin("truncated");
    struct entry entries[ENTRIES];
    for (int round = 0; round < ROUNDS / 10; round++) {
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        bool encoded = property_once_in(&source, 2);
        size_t count = random_entries(&source, encoded, entries);
        write_page(&source, entries, count, encoded, &text);
        for (size_t len = 0; len < text.len; len++) {
            struct xb_error err = XB_ERROR_INIT;
            struct xb_s3_page page;
            assert_true(xb_s3_page_parse(text.data, len, &page, &err) < 0);
            assert_int_equal(err.kind, XB_ERR_CORRUPT);
        }
        xb_buf_free(&text);
    }
}

/* Flipped bits are refused, or give other keys, but never more entries or longer keys than the
 * bytes can hold. */
static void flipped(void **state)
{
    (void)state;
    struct property source = property_begin("flipped");
    struct entry entries[ENTRIES];
    size_t refused = 0, taken = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_error err = XB_ERROR_INIT;
        struct xb_s3_page page;
        bool encoded = property_once_in(&source, 2);
        size_t count = random_entries(&source, encoded, entries);
        write_page(&source, entries, count, encoded, &text);
        text.data[property_below(&source, text.len)] ^= (char)(1 << property_below(&source, 8));
        if (xb_s3_page_parse(text.data, text.len, &page, &err) < 0) {
            assert_true(err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_FULL);
            refused++;
        } else {
            assert_true(page.count <= count + 1);
            for (size_t i = 0; i < page.count; i++) {
                assert_true(strlen(xb_s3_page_key(&page, i)) <= XB_STORE_NAME_BYTES_MAX);
            }
            taken++;
            xb_s3_page_done(&page);
        }
        xb_buf_free(&text);
    }
    assert_true(refused > 0 && taken > 0);
}

/* Single documents that a strict parser must refuse. */
static void refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "x",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a>&unknown;</a>",
        "<a>&amp</a>",
        "<a>&#0;</a>",
        "<a>&#xd800;</a>",
        "<a>&#x110000;</a>",
        "<a>&#99999999999;</a>",
        "<a>&#;</a>",
        "<a>&#x;</a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<a <b>",
        "<a",
        "</a>",
        "< a/>",
        "<a>]]><![CDATA[</a>",
        "<a b='></a>",
        "<1/>",
        "&amp;",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_xml xml;
        struct xb_error err = XB_ERROR_INIT;
        enum xb_xml_event event = XB_XML_OPEN;
        int r = 0;
        xb_xml_begin(&xml, bad[i], strlen(bad[i]));
        while (r == 0 && event != XB_XML_END) {
            r = xb_xml_next(&xml, &event, &err);
        }
        if (r == 0) {
            print_error("taken: %s\n", bad[i]);
        }
        assert_true(r < 0);
        xb_xml_done(&xml);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(truncated),
        cmocka_unit_test(flipped),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
