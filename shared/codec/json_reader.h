/* SPDX-License-Identifier: Apache-2.0
 *
 * json_reader.h - JSON of any length, token by token.
 *
 * What for:  directory objects and objects' indexes, which may be larger than the memory. Texts
 *            that are small and looked at in any order are json.h's.
 * Ownership: the caller owns the struct and ends with xb_json_reader_done; its fields are the
 *            reader's own. A token's text lives until the next call.
 * Threads:   one at a time.    Blocking: as the source does.
 * Shapes:    RFC 8259, nothing more lenient: one value, white space around it allowed; strings are
 *            UTF-8, a lone surrogate becomes U+FFFD. Keys may come several times.
 * Errors:    CORRUPT with the byte at which the text is wrong; the source's own as they are. After
 *            an error the reader is of no use any more.
 * Limits:    nesting <= XB_JSON_NESTING_MAX; a token, and what is between mark and place, <=
 *            XB_JSON_SPAN_BYTES_MAX.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

enum { XB_JSON_NESTING_MAX = 64, XB_JSON_SPAN_BYTES_MAX = 8 << 20 };

enum xb_json_kind {
    XB_JSON_END, /* of the text */
    XB_JSON_OBJECT,
    XB_JSON_OBJECT_END,
    XB_JSON_ARRAY,
    XB_JSON_ARRAY_END,
    XB_JSON_KEY,
    XB_JSON_STRING,
    XB_JSON_NUMBER,
    XB_JSON_TRUE,
    XB_JSON_FALSE,
    XB_JSON_NULL
};

struct xb_json_token {
    enum xb_json_kind kind;
    const char *text; /* KEY, STRING: unescaped; NUMBER: as it stands. No NUL behind it. */
    size_t len;
    bool plain; /* KEY, STRING: Go would write it with just these bytes (kopia-format section 11) */
};

/* Puts the next bytes, at most `room`, at `to`; none at the end. */
typedef int xb_json_source_fn(void *context, char *to, size_t room, size_t *ret_len,
                              struct xb_error *err);

struct xb_json_reader {
    xb_json_source_fn *source; /* NULL: all is in the window */
    void *context;
    const char *window, *at, *end;
    uint64_t base; /* where the window begins in the text */
    char *memory;  /* the window's, or NULL */
    size_t memory_bytes;
    const char *keep;   /* of the token under way; NULL: none */
    const char *mark;   /* NULL: none */
    struct xb_buf text; /* of a string with escapes */
    uint64_t objects;   /* bit per level: it is an object */
    unsigned depth;
    int expect;
    bool spaced;
};

/* `window_bytes`: how much is asked of the source at once; the window grows for longer tokens. */
void xb_json_reader_init(struct xb_json_reader *reader, xb_json_source_fn *source, void *context,
                         size_t window_bytes);
/* Reads a text where it lies; spans of it are pieces of it. */
void xb_json_reader_init_text(struct xb_json_reader *reader, const char *text, size_t len);
void xb_json_reader_done(struct xb_json_reader *reader);

int xb_json_next(struct xb_json_reader *reader, struct xb_json_token *ret,
                 struct xb_error *err) XB_MUST_CHECK;
/* Passes over the rest of the value that begins with this token. */
int xb_json_skip(struct xb_json_reader *reader, const struct xb_json_token *first,
                 struct xb_error *err) XB_MUST_CHECK;

/* Begins a span at the token that was handed out last, which must be an OBJECT. */
void xb_json_mark(struct xb_json_reader *reader);
/* The text from the mark to the end of the last token, until the next call; the mark is gone.
 * *ret_spaced: there was white space between its tokens. */
void xb_json_span(struct xb_json_reader *reader, const char **ret, size_t *ret_len,
                  bool *ret_spaced);

/* How many bytes of the text are behind. */
uint64_t xb_json_offset(const struct xb_json_reader *reader);
/* Gives the window's memory back. The source must go on at xb_json_offset. No mark is set. */
void xb_json_drop_window(struct xb_json_reader *reader);
/* A reader of a text goes on with a source, once its window is dropped. */
void xb_json_reader_attach(struct xb_json_reader *reader, xb_json_source_fn *source, void *context,
                           size_t window_bytes);

/* Where a reader is between two tokens, to go on there again; the source must then do so, too. */
struct xb_json_place {
    uint64_t offset, objects;
    unsigned depth;
    int expect;
};
void xb_json_place(const struct xb_json_reader *reader, struct xb_json_place *ret);
void xb_json_go(struct xb_json_reader *reader, const struct xb_json_place *place);

/* "not valid JSON at byte N: <why>" */
int xb_json_malformed(const struct xb_json_reader *reader, const char *why, struct xb_error *err);

static inline bool xb_json_token_is(const struct xb_json_token *token, const char *text, size_t len)
{
    return token->len == len && __builtin_memcmp(token->text, text, len) == 0;
}

/* False unless it is a whole number within int64. */
bool xb_json_token_int(const struct xb_json_token *token, int64_t *ret);
