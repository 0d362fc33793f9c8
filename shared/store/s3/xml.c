/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/xml.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static int bad(const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not well-formed XML: %s", why);
}

void xb_xml_begin(struct xb_xml *xml, const char *data, size_t len)
{
    *xml =
        (struct xb_xml){.at = data, .end = data + len, .text = XB_BUF_INIT(XB_XML_TEXT_BYTES_MAX)};
    if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        xml->at += 3;
    }
}

void xb_xml_done(struct xb_xml *xml)
{
    xb_buf_free(&xml->text);
}

const char *xb_xml_text(const struct xb_xml *xml)
{
    return xml->text.data ? xml->text.data : "";
}

static bool space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool name_byte(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == ':' ||
           (unsigned char)c >= 0x80 || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

static bool starts(const struct xb_xml *xml, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(xml->end - xml->at) >= len && memcmp(xml->at, text, len) == 0;
}

/* Moves behind the next `text`. */
static int skip_behind(struct xb_xml *xml, const char *text, struct xb_error *err)
{
    const char *found = memmem(xml->at, (size_t)(xml->end - xml->at), text, strlen(text));
    if (!found) {
        return bad("it is cut off", err);
    }
    xml->at = found + strlen(text);
    return 0;
}

/* A name from `at` on; its length, 0 when there is none. */
static size_t name_len(const struct xb_xml *xml)
{
    size_t len = 0;
    size_t left = (size_t)(xml->end - xml->at);
    while (len < left && len <= XB_XML_NAME_BYTES_MAX && name_byte(xml->at[len], len == 0)) {
        len++;
    }
    return len > XB_XML_NAME_BYTES_MAX ? 0 : len;
}

static int utf8(struct xb_buf *out, uint32_t code, struct xb_error *err)
{
    char bytes[4];
    size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i > 1; i--) {
        bytes[i - 1] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(lead[len] | code);
    return xb_buf_append(out, bytes, len, err);
}

/* "&#38;" or "&#x26;", without the frame. */
static int number_entity(struct xb_buf *out, const char *text, size_t len, struct xb_error *err)
{
    unsigned base = text[0] == 'x' ? 16 : 10;
    uint32_t code = 0;
    for (size_t i = base == 16; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned lower = c | 0x20U;
        unsigned digit = c >= '0' && c <= '9'           ? (unsigned)(c - '0')
                         : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10
                                                        : 99;
        if (digit >= base) {
            return bad("an entity is no number", err);
        }
        code = code * base + digit;
        if (code > 0x10ffff) {
            return bad("an entity is no character", err);
        }
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000)) {
        return bad("an entity is no character", err);
    }
    return utf8(out, code, err);
}

static int entity(struct xb_xml *xml, struct xb_error *err)
{
    static const struct {
        const char *name;
        char byte;
    } known[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    size_t left = (size_t)(xml->end - xml->at);
    const char *end = memchr(xml->at, ';', left < 12 ? left : 12);
    if (!end) {
        return bad("an '&' begins no entity", err);
    }
    const char *text = xml->at + 1;
    size_t len = (size_t)(end - text);
    xml->at = end + 1;
    if (len > 1 && text[0] == '#' && !(len == 2 && text[1] == 'x')) {
        return number_entity(&xml->text, text + 1, len - 1, err);
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (len == strlen(known[i].name) && memcmp(text, known[i].name, len) == 0) {
            return xb_buf_append(&xml->text, &known[i].byte, 1, err);
        }
    }
    return bad("an unknown entity", err);
}

static int plain_text(struct xb_xml *xml, size_t len, struct xb_error *err)
{
    if (memchr(xml->at, '\0', len)) {
        return bad("a NUL byte", err);
    }
    int r = xb_buf_append(&xml->text, xml->at, len, err);
    xml->at += len;
    return r;
}

static int cdata(struct xb_xml *xml, struct xb_error *err)
{
    xml->at += strlen("<![CDATA[");
    const char *end = memmem(xml->at, (size_t)(xml->end - xml->at), "]]>", 3);
    if (!end) {
        return bad("it is cut off", err);
    }
    int r = plain_text(xml, (size_t)(end - xml->at), err);
    xml->at = end + 3;
    return r;
}

/* Text up to the next '<', or the end. */
static int take_text(struct xb_xml *xml, struct xb_error *err)
{
    int r = 0;
    while (xml->at < xml->end && *xml->at != '<' && r == 0) {
        const char *from = xml->at;
        const char *to = from;
        while (to < xml->end && *to != '<' && *to != '&') {
            if (xml->depth == 0 && !space(*to)) {
                return bad("text outside of the root", err);
            }
            to++;
        }
        r = to > from ? plain_text(xml, (size_t)(to - from), err) : 0;
        if (r == 0 && xml->at < xml->end && *xml->at == '&') {
            r = xml->depth ? entity(xml, err) : bad("text outside of the root", err);
        }
    }
    return r;
}

static void set_name(struct xb_xml *xml, const char *name, size_t len)
{
    const char *colon = memrchr(name, ':', len);
    const char *local = colon ? colon + 1 : name;
    len -= (size_t)(local - name);
    memcpy(xml->name, local, len);
    xml->name[len] = '\0';
}

/* Behind the name of an opening tag: attributes are looked at only to find the tag's end. */
static int skip_attributes(struct xb_xml *xml, struct xb_error *err)
{
    char quote = '\0';
    for (; xml->at < xml->end; xml->at++) {
        char c = *xml->at;
        if (quote) {
            quote = c == quote ? '\0' : quote;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (c == '<') {
            break;
        } else if (c == '>') {
            xml->empty = xml->at[-1] == '/';
            xml->at++;
            return 0;
        }
    }
    return bad("a tag does not end", err);
}

static int open_tag(struct xb_xml *xml, struct xb_error *err)
{
    xml->at++;
    size_t len = name_len(xml);
    if (len == 0) {
        return bad("a tag without a name", err);
    }
    if (xml->depth == 0 && xml->seen) {
        return bad("more than one root", err);
    }
    if (xml->depth == XB_XML_DEPTH_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "XML nested more than %d deep",
                            XB_XML_DEPTH_MAX);
    }
    const char *name = xml->at;
    xml->at += len;
    if (xml->at < xml->end && !space(*xml->at) && *xml->at != '>' && *xml->at != '/') {
        return bad("a tag's name does not end", err);
    }
    int r = skip_attributes(xml, err);
    if (r == 0) {
        xml->open[xml->depth].name = name;
        xml->open[xml->depth++].len = len;
        xml->seen = true;
        set_name(xml, name, len);
        xb_buf_clear(&xml->text);
    }
    return r;
}

static void closed(struct xb_xml *xml)
{
    xml->depth--;
    set_name(xml, xml->open[xml->depth].name, xml->open[xml->depth].len);
}

static int close_tag(struct xb_xml *xml, struct xb_error *err)
{
    xml->at += 2;
    size_t len = name_len(xml);
    if (xml->depth == 0 || len != xml->open[xml->depth - 1].len ||
        memcmp(xml->at, xml->open[xml->depth - 1].name, len) != 0) {
        return bad("a closing tag that fits no opening one", err);
    }
    xml->at += len;
    while (xml->at < xml->end && space(*xml->at)) {
        xml->at++;
    }
    if (xml->at == xml->end || *xml->at != '>') {
        return bad("a tag does not end", err);
    }
    xml->at++;
    closed(xml);
    return 0;
}

/* One step at a '<'; *ret_event is true when it gave one. */
static int markup(struct xb_xml *xml, enum xb_xml_event *ret, bool *ret_event, struct xb_error *err)
{
    if (starts(xml, "<!--")) {
        xml->at += 4;
        return skip_behind(xml, "-->", err);
    }
    if (starts(xml, "<?")) {
        return skip_behind(xml, "?>", err);
    }
    if (starts(xml, "<![CDATA[")) {
        return xml->depth ? cdata(xml, err) : bad("text outside of the root", err);
    }
    if (starts(xml, "<!")) {
        return bad("a DOCTYPE, which is not taken", err);
    }
    *ret_event = true;
    *ret = starts(xml, "</") ? XB_XML_CLOSE : XB_XML_OPEN;
    return *ret == XB_XML_CLOSE ? close_tag(xml, err) : open_tag(xml, err);
}

int xb_xml_next(struct xb_xml *xml, enum xb_xml_event *ret, struct xb_error *err)
{
    bool event = false;
    enum xb_xml_event which = XB_XML_END;
    int r = 0;
    if (xml->empty) {
        xml->empty = false;
        closed(xml);
        *ret = XB_XML_CLOSE;
        return 0;
    }
    xb_buf_clear(&xml->text);
    while (r == 0 && !event) {
        r = take_text(xml, err);
        if (r == 0 && xml->at == xml->end) {
            break;
        }
        r = r ? r : markup(xml, &which, &event, err);
    }
    if (r == 0 && !event && (xml->depth > 0 || !xml->seen)) {
        r = bad(xml->seen ? "it is cut off" : "it is empty", err);
    }
    if (r == 0) {
        *ret = which;
    }
    return r;
}

int xb_xml_escape(struct xb_buf *out, const char *text, struct xb_error *err)
{
    int r = 0;
    for (const char *c = text; *c && r == 0; c++) {
        bool plain =
            ((unsigned char)*c >= ' ' && !strchr("&<>\"'", *c)) || *c == '\t' || *c == '\n';
        r = plain ? xb_buf_append(out, c, 1, err)
                  : xb_buf_printf(out, err, "&#%u;", (unsigned char)*c);
    }
    return r;
}
