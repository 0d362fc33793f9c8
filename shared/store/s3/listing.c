/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/store/s3/number.h"
#include "shared/store/s3/xml.h"
#include "shared/store/store.h"

enum { KEYS_BYTES_MAX = 8 << 20 };

static int digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool decode(char *text, char plus)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from == '+' ? plus : *from;
            continue;
        }
        int high = digit(from[1]);
        int low = high >= 0 ? digit(from[2]) : -1;
        if (low < 0 || (high == 0 && low == 0)) {
            return false;
        }
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return true;
}

bool xb_s3_percent_decode(char *text)
{
    return decode(text, '+');
}

bool xb_s3_url_decode(char *text)
{
    return decode(text, ' ');
}

static int bad(const char *what, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a listing from the server is wrong: %s",
                        what);
}

static int add_entry(struct xb_s3_page *page, bool folder, struct xb_error *err)
{
    if (page->count == page->room) {
        size_t room = page->room ? page->room * 2 : 1024;
        struct xb_s3_entry *grown = realloc(page->entries, room * sizeof *grown);
        if (!grown) {
            return xb_error_no_memory(err, "a listing");
        }
        page->entries = grown;
        page->room = room;
    }
    page->entries[page->count++] =
        (struct xb_s3_entry){.key = SIZE_MAX, .size = UINT64_MAX, .folder = folder};
    return 0;
}

static int set_key(struct xb_s3_page *page, const char *text, struct xb_error *err)
{
    struct xb_s3_entry *entry = &page->entries[page->count - 1];
    if (entry->key != SIZE_MAX) {
        return bad("two keys in one entry", err);
    }
    entry->key = page->keys.len;
    return xb_buf_append(&page->keys, text, strlen(text) + 1, err);
}

static int set_size(struct xb_s3_entry *entry, const char *text, struct xb_error *err)
{
    return xb_s3_number(&text, &entry->size) && *text == '\0' ? 0 : bad("a size is no number", err);
}

/* A leaf within <Contents> or <CommonPrefixes>. */
static int take_field(struct xb_s3_page *page, const struct xb_xml *xml, struct xb_error *err)
{
    struct xb_s3_entry *entry = &page->entries[page->count - 1];
    const char *text = xb_xml_text(xml);
    if (strcmp(xml->name, entry->folder ? "Prefix" : "Key") == 0) {
        return set_key(page, text, err);
    }
    if (!entry->folder && strcmp(xml->name, "Size") == 0) {
        return set_size(entry, text, err);
    }
    if (!entry->folder && strcmp(xml->name, "LastModified") == 0) {
        return xb_time_parse(text, &entry->mtime_ns, err);
    }
    return 0;
}

/* A leaf directly below the root. */
static int take_setting(struct xb_s3_page *page, const struct xb_xml *xml, bool *encoded,
                        struct xb_error *err)
{
    const char *text = xb_xml_text(xml);
    if (strcmp(xml->name, "IsTruncated") == 0) {
        page->truncated = strcmp(text, "true") == 0;
        return page->truncated || strcmp(text, "false") == 0 ? 0 : bad("IsTruncated", err);
    }
    if (strcmp(xml->name, "NextContinuationToken") == 0) {
        xb_buf_clear(&page->token);
        return xb_buf_append_str(&page->token, text, err);
    }
    if (strcmp(xml->name, "EncodingType") == 0) {
        *encoded = strcmp(text, "url") == 0;
    }
    return 0;
}

static bool is_entry(const struct xb_xml *xml)
{
    return strcmp(xml->name, "Contents") == 0 || strcmp(xml->name, "CommonPrefixes") == 0;
}

static int parse(struct xb_xml *xml, struct xb_s3_page *page, bool *encoded, struct xb_error *err)
{
    bool inside = false; /* an entry */
    enum xb_xml_event event = XB_XML_OPEN;
    int r = xb_xml_next(xml, &event, err);
    if (r == 0 && strcmp(xml->name, "ListBucketResult") != 0) {
        return bad("it is none", err);
    }
    while (r == 0) {
        r = xb_xml_next(xml, &event, err);
        if (r < 0 || event == XB_XML_END) {
            break;
        }
        if (event == XB_XML_OPEN && xml->depth == 2 && is_entry(xml)) {
            inside = true;
            r = add_entry(page, strcmp(xml->name, "CommonPrefixes") == 0, err);
        } else if (event == XB_XML_CLOSE && xml->depth == 2 && inside) {
            r = take_field(page, xml, err);
        } else if (event == XB_XML_CLOSE && xml->depth == 1 && !inside) {
            r = take_setting(page, xml, encoded, err);
        }
        inside = inside && !(event == XB_XML_CLOSE && xml->depth == 1);
    }
    return r;
}

/* Decodes keys, and leaves out what cannot be a name of ours. */
static int finish(struct xb_s3_page *page, bool encoded, struct xb_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < page->count; i++) {
        struct xb_s3_entry *entry = &page->entries[i];
        if (entry->key == SIZE_MAX || (!entry->folder && entry->size == UINT64_MAX)) {
            return bad("an entry without a key or a size", err);
        }
        char *key = page->keys.data + entry->key;
        if (encoded && !xb_s3_url_decode(key)) {
            return bad("a key is not encoded as it says", err);
        }
        if (strlen(key) <= XB_STORE_NAME_BYTES_MAX) {
            page->entries[kept++] = *entry;
        }
    }
    page->count = kept;
    return page->truncated && page->token.len == 0 ? bad("it goes on, but not where", err) : 0;
}

int xb_s3_page_parse(const char *xml, size_t len, struct xb_s3_page *ret, struct xb_error *err)
{
    struct xb_s3_page page = {.keys = XB_BUF_INIT(KEYS_BYTES_MAX),
                              .token = XB_BUF_INIT(XB_XML_TEXT_BYTES_MAX)};
    struct xb_xml parser;
    bool encoded = false;
    xb_xml_begin(&parser, xml, len);
    int r = parse(&parser, &page, &encoded, err);
    xb_xml_done(&parser);
    r = r ? r : finish(&page, encoded, err);
    if (r < 0) {
        xb_s3_page_done(&page);
        return r;
    }
    *ret = page;
    return 0;
}

void xb_s3_page_done(struct xb_s3_page *page)
{
    free(page->entries);
    xb_buf_free(&page->keys);
    xb_buf_free(&page->token);
    *page = (struct xb_s3_page){.entries = NULL};
}
