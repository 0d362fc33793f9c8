/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/codec/json_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_FIRST_VALUE, /* or the end of the array */
    EXPECT_KEY,
    EXPECT_FIRST_KEY, /* or the end of the object */
    EXPECT_MORE,      /* a comma, or the end of what it is in */
    EXPECT_END
};

/* Bytes at which a string is not simply itself: what ends it, what is not allowed, what Go escapes,
 * what is no ASCII. */
static const bool special[256] = {
    [0 ... 0x1f] = true, ['"'] = true, ['\\'] = true,          ['<'] = true,
    ['>'] = true,        ['&'] = true, [0x80 ... 0xff] = true,
};

void xb_json_reader_init(struct xb_json_reader *reader, xb_json_source_fn *source, void *context,
                         size_t window_bytes)
{
    *reader = (struct xb_json_reader){.source = source,
                                      .context = context,
                                      .memory_bytes = window_bytes ? window_bytes : 1,
                                      .text = XB_BUF_INIT(XB_JSON_SPAN_BYTES_MAX)};
}

void xb_json_reader_init_text(struct xb_json_reader *reader, const char *text, size_t len)
{
    *reader = (struct xb_json_reader){
        .window = text, .at = text, .end = text + len, .text = XB_BUF_INIT(XB_JSON_SPAN_BYTES_MAX)};
}

void xb_json_reader_done(struct xb_json_reader *reader)
{
    free(reader->memory);
    xb_buf_free(&reader->text);
    *reader = (struct xb_json_reader){.source = NULL};
}

uint64_t xb_json_offset(const struct xb_json_reader *reader)
{
    return reader->base + (uint64_t)(reader->at - reader->window);
}

void xb_json_drop_window(struct xb_json_reader *reader)
{
    if (!reader->source) {
        return;
    }
    reader->base = xb_json_offset(reader);
    free(reader->memory);
    reader->memory = NULL;
    reader->window = reader->at = reader->end = NULL;
    xb_buf_free(&reader->text);
}

void xb_json_reader_attach(struct xb_json_reader *reader, xb_json_source_fn *source, void *context,
                           size_t window_bytes)
{
    reader->source = source;
    reader->context = context;
    reader->memory_bytes = window_bytes;
}

void xb_json_place(const struct xb_json_reader *reader, struct xb_json_place *ret)
{
    *ret = (struct xb_json_place){.offset = xb_json_offset(reader),
                                  .objects = reader->objects,
                                  .depth = reader->depth,
                                  .expect = reader->expect};
}

void xb_json_go(struct xb_json_reader *reader, const struct xb_json_place *place)
{
    if (reader->source) {
        xb_json_drop_window(reader);
        reader->base = place->offset;
    } else {
        reader->at = reader->window + place->offset;
    }
    reader->objects = place->objects;
    reader->depth = place->depth;
    reader->expect = place->expect;
}

int xb_json_malformed(const struct xb_json_reader *reader, const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not valid JSON at byte %llu: %s",
                        (unsigned long long)xb_json_offset(reader), why);
}

/* ---- the window ---- */

/* Room for more bytes behind those that are still needed, which move to the window's start. */
static int make_room(struct xb_json_reader *reader, const char *needed, struct xb_error *err)
{
    size_t kept = (size_t)(reader->end - needed);
    size_t bytes = reader->memory_bytes;
    if (kept > bytes / 2) {
        bytes *= 2;
    }
    if (bytes > 2 * (size_t)XB_JSON_SPAN_BYTES_MAX) {
        return xb_json_malformed(reader, "a value is too long", err);
    }
    char *memory = reader->memory;
    if (!memory || bytes != reader->memory_bytes) {
        memory = malloc(bytes);
        if (!memory) {
            return xb_error_no_memory(err, "JSON text");
        }
    }
    if (kept > 0) {
        memmove(memory, needed, kept);
    }
    size_t at = (size_t)(reader->at - needed);
    size_t keep = reader->keep ? (size_t)(reader->keep - needed) : 0;
    reader->base += (uint64_t)(needed - reader->window);
    if (memory != reader->memory) {
        free(reader->memory);
        reader->memory = memory;
        reader->memory_bytes = bytes;
    }
    reader->window = memory;
    reader->at = memory + at;
    reader->end = memory + kept;
    reader->keep = reader->keep ? memory + keep : NULL;
    reader->mark = reader->mark ? memory : NULL;
    return 0;
}

/* 1: there are more bytes behind `end`; 0: the text ends there. */
static int more(struct xb_json_reader *reader, struct xb_error *err)
{
    const char *needed = reader->mark ? reader->mark : reader->keep ? reader->keep : reader->at;
    size_t len = 0;
    if (!reader->source) {
        return 0;
    }
    int r = make_room(reader, needed, err);
    if (r < 0) {
        return r;
    }
    size_t used = (size_t)(reader->end - reader->memory);
    r = reader->source(reader->context, reader->memory + used, reader->memory_bytes - used, &len,
                       err);
    if (r < 0) {
        return r;
    }
    reader->end += len;
    return len > 0;
}

static int peek_slowly(struct xb_json_reader *reader, char *ret, struct xb_error *err)
{
    for (;;) {
        if (reader->at == reader->end) {
            int r = more(reader, err);
            if (r <= 0) {
                return r;
            }
        }
        char c = *reader->at;
        if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            *ret = c;
            return 1;
        }
        reader->spaced = true;
        reader->at++;
    }
}

/* 1: *ret is the next byte that is no white space; 0: there is none. */
static inline int peek(struct xb_json_reader *reader, char *ret, struct xb_error *err)
{
    if (reader->at < reader->end && (unsigned char)*reader->at > ' ') {
        *ret = *reader->at;
        return 1;
    }
    return peek_slowly(reader, ret, err);
}

/* ---- strings ---- */

static inline const char *skip_plain(const char *c, const char *end)
{
    const unsigned char *at = (const unsigned char *)c;
    const unsigned char *last = (const unsigned char *)end;
    while (last - at >= 4 && !(special[at[0]] | special[at[1]] | special[at[2]] | special[at[3]])) {
        at += 4;
    }
    while (at < last && !special[*at]) {
        at++;
    }
    return (const char *)at;
}

static int hex_digits(const char *text, size_t left, uint32_t *ret)
{
    uint32_t value = 0;
    if (left < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            return -1;
        }
        value = value << 4 | digit;
    }
    *ret = value;
    return 0;
}

static size_t put_utf8(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len; i-- > 1; code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3f));
    }
    out[0] = (char)((0xf00U >> len & 0xf0U) | code);
    return len;
}

/* What stands behind "\u", and the second half of a pair. Returns how many bytes, 0 if it is none.
 */
static size_t unicode_escape(const char *text, size_t left, char out[4], size_t *ret_len)
{
    uint32_t code = 0, low = 0;
    size_t used = 4;
    if (hex_digits(text, left, &code) < 0) {
        return 0;
    }
    if (code >= 0xd800 && code < 0xdc00 && left >= 10 && text[4] == '\\' && text[5] == 'u' &&
        hex_digits(text + 6, left - 6, &low) == 0 && low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        used = 10;
    } else if (code >= 0xd800 && code < 0xe000) {
        code = 0xfffd;
    }
    *ret_len = put_utf8(code, out);
    return used;
}

/* The string without its escapes, in reader->text. */
static int unescape(struct xb_json_reader *reader, const char *text, size_t len,
                    struct xb_error *err)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    xb_buf_clear(&reader->text);
    for (size_t i = 0; i < len;) {
        const char *slash = memchr(text + i, '\\', len - i);
        size_t before = slash ? (size_t)(slash - text) - i : len - i;
        int r = xb_buf_append(&reader->text, text + i, before, err);
        if (r < 0 || !slash) {
            return r;
        }
        i += before + 2; /* something always stands behind it */
        char bytes[4];
        size_t count = 1;
        const char *found = text[i - 1] ? strchr(from, text[i - 1]) : NULL;
        if (text[i - 1] == 'u') {
            size_t used = unicode_escape(text + i, len - i, bytes, &count);
            if (used == 0) {
                return xb_json_malformed(reader, "a wrong escape", err);
            }
            i += used;
        } else if (found) {
            bytes[0] = to[found - from];
        } else {
            return xb_json_malformed(reader, "a wrong escape", err);
        }
        r = xb_buf_append(&reader->text, bytes, count, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

struct scanned {
    size_t len;
    bool escaped, plain, ascii;
};

/* Finds the string's end; `keep` is its start. */
static inline int scan(struct xb_json_reader *reader, struct scanned *ret, struct xb_error *err)
{
    struct scanned scanned = {.plain = true, .ascii = true};
    for (;;) {
        const char *c = skip_plain(reader->keep + scanned.len, reader->end);
        scanned.len = (size_t)(c - reader->keep);
        bool slash = c < reader->end && *c == '\\';
        if (c == reader->end || (slash && c + 1 == reader->end)) {
            int r = more(reader, err);
            if (r <= 0) {
                return r < 0 ? r : xb_json_malformed(reader, "a string does not end", err);
            }
            continue;
        }
        if (*c == '"') {
            *ret = scanned;
            return 0;
        }
        if ((unsigned char)*c < 0x20) {
            return xb_json_malformed(reader, "a control character in a string", err);
        }
        scanned.escaped |= slash;
        scanned.ascii &= (unsigned char)*c < 0x80;
        scanned.plain &= (unsigned char)*c >= 0x80;
        scanned.len += slash ? 2 : 1;
    }
}

/* The reader is at the opening quote. A key takes the colon along. */
static int read_string(struct xb_json_reader *reader, bool key, struct xb_json_token *ret,
                       struct xb_error *err)
{
    struct scanned scanned;
    char c = 0;
    reader->keep = ++reader->at;
    int r = scan(reader, &scanned, err);
    if (r < 0) {
        return r;
    }
    if (!scanned.ascii && !xb_utf8_valid(reader->keep, scanned.len)) {
        return xb_json_malformed(reader, "a string is no UTF-8", err);
    }
    if (scanned.escaped && (r = unescape(reader, reader->keep, scanned.len, err)) < 0) {
        return r;
    }
    reader->at = reader->keep + scanned.len + 1;
    if (key) {
        r = peek(reader, &c, err);
        if (r < 0) {
            return r;
        }
        if (r == 0 || c != ':') {
            return xb_json_malformed(reader, "a key without a value", err);
        }
        reader->at++;
    }
    *ret = (struct xb_json_token){.kind = key ? XB_JSON_KEY : XB_JSON_STRING,
                                  .text = scanned.escaped ? reader->text.data : reader->keep,
                                  .len = scanned.escaped ? reader->text.len : scanned.len,
                                  .plain = scanned.plain};
    /* U+2028 and U+2029, which Go escapes. */
    if (!scanned.ascii && (memmem(ret->text, ret->len, "\xe2\x80\xa8", 3) ||
                           memmem(ret->text, ret->len, "\xe2\x80\xa9", 3))) {
        ret->plain = false;
    }
    return 0;
}

/* ---- numbers and words ---- */

static size_t digits(const char *text, size_t len)
{
    size_t count = 0;
    while (count < len && text[count] >= '0' && text[count] <= '9') {
        count++;
    }
    return count;
}

static bool number_valid(const char *text, size_t len)
{
    size_t at = len > 0 && text[0] == '-';
    size_t whole = digits(text + at, len - at);
    if (whole == 0 || (whole > 1 && text[at] == '0')) {
        return false;
    }
    at += whole;
    if (at < len && text[at] == '.') {
        size_t fraction = digits(text + at + 1, len - at - 1);
        if (fraction == 0) {
            return false;
        }
        at += 1 + fraction;
    }
    if (at < len && (text[at] == 'e' || text[at] == 'E')) {
        at++;
        at += at < len && (text[at] == '+' || text[at] == '-');
        size_t exponent = digits(text + at, len - at);
        if (exponent == 0) {
            return false;
        }
        at += exponent;
    }
    return at == len;
}

/* A number, or true, false, null: whatever ends before a mark of punctuation or white space. */
static int read_word(struct xb_json_reader *reader, struct xb_json_token *ret, struct xb_error *err)
{
    static const struct {
        const char *text;
        enum xb_json_kind kind;
    } words[] = {{"true", XB_JSON_TRUE}, {"false", XB_JSON_FALSE}, {"null", XB_JSON_NULL}};
    size_t len = 0;
    reader->keep = reader->at;
    for (;;) {
        const char *c = reader->keep + len;
        while (c < reader->end && ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                                   *c == '-' || *c == '+' || *c == '.' || *c == 'E')) {
            c++;
        }
        len = (size_t)(c - reader->keep);
        int r = c == reader->end ? more(reader, err) : 0;
        if (r < 0) {
            return r;
        }
        if (r == 0) {
            break;
        }
    }
    *ret = (struct xb_json_token){.kind = XB_JSON_NUMBER, .text = reader->keep, .len = len};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (len == strlen(words[i].text) && memcmp(ret->text, words[i].text, len) == 0) {
            ret->kind = words[i].kind;
        }
    }
    if (ret->kind == XB_JSON_NUMBER && !number_valid(ret->text, len)) {
        return xb_json_malformed(reader, "no value", err);
    }
    reader->at = reader->keep + len;
    return 0;
}

bool xb_json_token_int(const struct xb_json_token *token, int64_t *ret)
{
    bool negative = token->len > 0 && token->text[0] == '-';
    int64_t value = 0;
    for (size_t i = negative; i < token->len; i++) {
        char c = token->text[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, c - '0', &value)) {
            return false;
        }
    }
    if (token->kind != XB_JSON_NUMBER || (!negative && value == INT64_MIN)) {
        return false;
    }
    *ret = negative ? value : -value;
    return true;
}

/* ---- structure ---- */

static bool in_object(const struct xb_json_reader *reader)
{
    return reader->objects >> (reader->depth - 1) & 1;
}

static void after_value(struct xb_json_reader *reader)
{
    reader->expect = reader->depth > 0 ? EXPECT_MORE : EXPECT_END;
}

static int open_level(struct xb_json_reader *reader, bool object, struct xb_json_token *ret,
                      struct xb_error *err)
{
    if (reader->depth == XB_JSON_NESTING_MAX) {
        return xb_json_malformed(reader, "nested too deeply", err);
    }
    uint64_t bit = UINT64_C(1) << reader->depth++;
    reader->objects = object ? reader->objects | bit : reader->objects & ~bit;
    reader->expect = object ? EXPECT_FIRST_KEY : EXPECT_FIRST_VALUE;
    reader->at++;
    ret->kind = object ? XB_JSON_OBJECT : XB_JSON_ARRAY;
    return 0;
}

static int close_level(struct xb_json_reader *reader, char c, struct xb_json_token *ret,
                       struct xb_error *err)
{
    bool object = in_object(reader);
    if (c != (object ? '}' : ']')) {
        return xb_json_malformed(
            reader,
            object ? "an object goes on without a comma" : "an array goes on without a comma", err);
    }
    reader->at++;
    reader->depth--;
    ret->kind = object ? XB_JSON_OBJECT_END : XB_JSON_ARRAY_END;
    after_value(reader);
    return 0;
}

static int read_value(struct xb_json_reader *reader, char c, struct xb_json_token *ret,
                      struct xb_error *err)
{
    if (c == '{' || c == '[') {
        return open_level(reader, c == '{', ret, err);
    }
    int r = c == '"' ? read_string(reader, false, ret, err) : read_word(reader, ret, err);
    after_value(reader);
    return r;
}

int xb_json_next(struct xb_json_reader *reader, struct xb_json_token *ret, struct xb_error *err)
{
    char c = 0;
    reader->keep = NULL;
    *ret = (struct xb_json_token){.kind = XB_JSON_END};
    int r = peek(reader, &c, err);
    if (r < 0) {
        return r;
    }
    if (r == 0) {
        return reader->expect == EXPECT_END ? 0 : xb_json_malformed(reader, "it ends here", err);
    }
    if (reader->expect == EXPECT_MORE && c == ',') {
        reader->expect = in_object(reader) ? EXPECT_KEY : EXPECT_VALUE;
        reader->at++;
        r = peek(reader, &c, err);
        if (r <= 0) {
            return r < 0 ? r : xb_json_malformed(reader, "it ends here", err);
        }
    } else if (reader->expect == EXPECT_MORE || (reader->expect == EXPECT_FIRST_KEY && c == '}') ||
               (reader->expect == EXPECT_FIRST_VALUE && c == ']')) {
        return close_level(reader, c, ret, err);
    }
    if (reader->expect == EXPECT_END) {
        return xb_json_malformed(reader, "more after the value", err);
    }
    if (reader->expect == EXPECT_VALUE || reader->expect == EXPECT_FIRST_VALUE) {
        return read_value(reader, c, ret, err);
    }
    if (c != '"') {
        return xb_json_malformed(reader, "want a key", err);
    }
    reader->expect = EXPECT_VALUE;
    return read_string(reader, true, ret, err);
}

int xb_json_skip(struct xb_json_reader *reader, const struct xb_json_token *first,
                 struct xb_error *err)
{
    if (first->kind != XB_JSON_OBJECT && first->kind != XB_JSON_ARRAY) {
        return 0;
    }
    unsigned level = reader->depth;
    while (reader->depth >= level) {
        struct xb_json_token token;
        int r = xb_json_next(reader, &token, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- spans ---- */

void xb_json_mark(struct xb_json_reader *reader)
{
    reader->mark = reader->at - 1; /* the brace */
    reader->spaced = false;
}

void xb_json_span(struct xb_json_reader *reader, const char **ret, size_t *ret_len,
                  bool *ret_spaced)
{
    *ret = reader->mark;
    *ret_len = (size_t)(reader->at - reader->mark);
    *ret_spaced = reader->spaced;
    reader->mark = NULL;
}
