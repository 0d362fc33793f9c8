/* SPDX-License-Identifier: Apache-2.0
 * The index of an object, chunk by chunk. What is remembered of it are a few places to go on from.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/object_internal.h"
#include "shared/repository/object_text.h"

enum { FIRST_STRIDE = 64, MARKS_MAX = 512, FIRST_MARKS = 4 };

/* In front of the chunk with this number. */
struct mark {
    uint64_t number, start;
    struct xb_json_place place;
};

enum place { PLACE_START, PLACE_MEMBERS, PLACE_ENTRIES, PLACE_END };

struct xb_object_table {
    struct xb_object_text text;
    struct xb_object_id id; /* for errors; "": a text */
    enum place place;
    bool stream_seen, entries_seen;
    uint64_t number, start; /* of the chunk that is read next */
    struct mark *marks;
    size_t mark_count, mark_cap;
    uint64_t stride;
    struct xb_object_chunk found; /* by seeking; handed out next */
    bool has_found;
};

static int new_table(struct xb_object_table **ret, struct xb_error *err)
{
    struct xb_object_table *table = calloc(1, sizeof *table);
    if (!table) {
        return xb_error_no_memory(err, "an object's parts");
    }
    table->stride = FIRST_STRIDE;
    *ret = table;
    return 0;
}

int xb_object_table_open(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_object_table **ret, struct xb_error *err)
{
    struct xb_object_id inner;
    struct xb_object_table *table = NULL;
    memcpy(inner.text, id->text + 1, sizeof inner.text - 1);
    inner.text[sizeof inner.text - 1] = '\0';
    int r = new_table(&table, err);
    if (r < 0) {
        return r;
    }
    table->id = *id;
    r = xb_object_text_open(&table->text, repository, &inner, level + 1, err);
    if (r < 0) {
        free(table);
        return xb_error_wrap(err, "object %s", id->text);
    }
    *ret = table;
    return 0;
}

int xb_object_table_open_text(const char *text, size_t len, struct xb_object_table **ret,
                              struct xb_error *err)
{
    int r = new_table(ret, err);
    if (r == 0) {
        xb_object_text_init(&(*ret)->text, text, len);
    }
    return r;
}

void xb_object_table_free(struct xb_object_table *table)
{
    if (table) {
        xb_object_text_close(&table->text);
        free(table->marks);
        free(table);
    }
}

uint64_t xb_object_table_length(const struct xb_object_table *table)
{
    return table->start;
}

/* ---- marks ---- */

/* Every second one goes. */
static void thin_marks(struct xb_object_table *table)
{
    for (size_t i = 0; 2 * i < table->mark_count; i++) {
        table->marks[i] = table->marks[2 * i];
    }
    table->mark_count = (table->mark_count + 1) / 2;
    table->stride *= 2;
}

static int note_mark(struct xb_object_table *table, struct xb_error *err)
{
    if (table->number != table->mark_count * table->stride) {
        return 0;
    }
    if (table->mark_count == MARKS_MAX) {
        thin_marks(table);
        if (table->number != table->mark_count * table->stride) {
            return 0;
        }
    }
    if (table->mark_count == table->mark_cap) {
        size_t cap = table->mark_cap ? 2 * table->mark_cap : FIRST_MARKS;
        struct mark *marks = reallocarray(table->marks, cap, sizeof *marks);
        if (!marks) {
            return xb_error_no_memory(err, "an object's parts");
        }
        table->marks = marks;
        table->mark_cap = cap;
    }
    struct mark *mark = &table->marks[table->mark_count++];
    *mark = (struct mark){.number = table->number, .start = table->start};
    xb_json_place(&table->text.json, &mark->place);
    return 0;
}

static void go_to(struct xb_object_table *table, const struct mark *mark)
{
    xb_object_text_go(&table->text, &mark->place);
    table->place = PLACE_ENTRIES;
    table->number = mark->number;
    table->start = mark->start;
    table->has_found = false;
}

/* ---- chunks ---- */

static int malformed(const struct xb_object_table *table, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "not an indirect object: malformed at byte %llu",
                        (unsigned long long)xb_json_offset(&table->text.json));
}

static int read_id(const struct xb_json_token *token, struct xb_object_id *ret,
                   struct xb_error *err)
{
    char text[XB_OBJECT_ID_TEXT_BYTES];
    if (token->kind != XB_JSON_STRING || token->len >= sizeof text ||
        memchr(token->text, '\0', token->len)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field o: no object id");
    }
    memcpy(text, token->text, token->len);
    text[token->len] = '\0';
    return xb_object_id_parse(text, ret, err);
}

struct row {
    int64_t start, len;
    bool has_id;
};

static int read_value(const struct xb_json_token *key, const struct xb_json_token *token,
                      struct row *row, struct xb_object_chunk *ret, struct xb_error *err)
{
    if (xb_json_token_is(key, "o", 1)) {
        row->has_id = true;
        return read_id(token, &ret->id, err);
    }
    int64_t *number = xb_json_token_is(key, "s", 1) ? &row->start : &row->len;
    return xb_json_token_int(token, number)
               ? 0
               : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %c: want a whole number",
                              number == &row->start ? 's' : 'l');
}

/* The object whose opening brace was read. */
static int read_chunk(struct xb_object_table *table, struct xb_object_chunk *ret,
                      struct xb_error *err)
{
    struct xb_json_reader *json = &table->text.json;
    struct xb_json_token token;
    struct row row = {.start = 0};
    int r = 0;
    while (r == 0 && (r = xb_json_next(json, &token, err)) == 0 && token.kind == XB_JSON_KEY) {
        char letter[1] = {token.len == 1 ? token.text[0] : '?'};
        const struct xb_json_token key = {.text = letter, .len = 1};
        bool known = letter[0] == 's' || letter[0] == 'l' || letter[0] == 'o';
        r = xb_json_next(json, &token, err);
        if (r == 0) {
            r = known && token.kind != XB_JSON_NULL ? read_value(&key, &token, &row, ret, err)
                                                    : xb_json_skip(json, &token, err);
        }
    }
    if (r < 0) {
        return r;
    }
    if (!row.has_id) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field o is missing");
    }
    if (row.start < 0 || row.len < 0 || (uint64_t)row.start != table->start ||
        (uint64_t)row.len > (uint64_t)INT64_MAX - (uint64_t)row.start) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "its parts do not follow one another at byte %llu",
                            (unsigned long long)table->start);
    }
    ret->start = table->start;
    ret->len = (uint64_t)row.len;
    table->start += ret->len;
    table->number++;
    return 0;
}

/* ---- the table's members ---- */

static int read_member(struct xb_object_table *table, const struct xb_json_token *key,
                       struct xb_error *err)
{
    struct xb_json_token token;
    bool stream = xb_json_token_is(key, "stream", 6);
    bool entries = xb_json_token_is(key, "entries", 7) && !table->entries_seen;
    int r = xb_json_next(&table->text.json, &token, err);
    if (r < 0) {
        return r;
    }
    if (stream) {
        table->stream_seen =
            token.kind == XB_JSON_STRING && xb_json_token_is(&token, "kopia:indirect", 14);
        return table->stream_seen ? 0 : malformed(table, err);
    }
    if (!entries || token.kind == XB_JSON_NULL) {
        return xb_json_skip(&table->text.json, &token, err);
    }
    table->entries_seen = true;
    if (token.kind != XB_JSON_ARRAY) {
        return malformed(table, err);
    }
    table->place = PLACE_ENTRIES;
    return 0;
}

/* The next member, or the end. */
static int go_on(struct xb_object_table *table, struct xb_error *err)
{
    struct xb_json_token token;
    int r = xb_json_next(&table->text.json, &token, err);
    if (r < 0 || token.kind == XB_JSON_KEY) {
        return r < 0 ? r : read_member(table, &token, err);
    }
    if (table->place == PLACE_START && token.kind == XB_JSON_OBJECT) {
        table->place = PLACE_MEMBERS;
        return 0;
    }
    if (token.kind != XB_JSON_OBJECT_END || !table->stream_seen) {
        return malformed(table, err);
    }
    table->place = PLACE_END;
    return xb_json_next(&table->text.json, &token, err);
}

static int next_chunk(struct xb_object_table *table, struct xb_object_chunk *ret, bool *ret_more,
                      struct xb_error *err)
{
    struct xb_json_token token;
    int r = note_mark(table, err);
    if (r < 0 || (r = xb_json_next(&table->text.json, &token, err)) < 0) {
        return r;
    }
    if (token.kind == XB_JSON_ARRAY_END) {
        table->place = PLACE_MEMBERS;
        return 0;
    }
    if (token.kind != XB_JSON_OBJECT) {
        return malformed(table, err);
    }
    *ret_more = true;
    return read_chunk(table, ret, err);
}

int xb_object_table_next(struct xb_object_table *table, struct xb_object_chunk *ret, bool *ret_more,
                         struct xb_error *err)
{
    struct xb_object_chunk chunk = {.start = 0};
    bool more = table->has_found;
    int r = 0;
    if (more) {
        chunk = table->found;
        table->has_found = false;
    }
    while (r == 0 && !more && table->place != PLACE_END) {
        r = table->place == PLACE_ENTRIES ? next_chunk(table, &chunk, &more, err)
                                          : go_on(table, err);
    }
    if (r < 0) {
        return table->id.text[0] ? xb_error_wrap(err, "object %s", table->id.text) : r;
    }
    *ret = chunk;
    *ret_more = more;
    return 0;
}

/* The last mark that is not behind the offset; NULL: there is none. */
static const struct mark *mark_before(const struct xb_object_table *table, uint64_t offset)
{
    size_t low = 0;
    size_t high = table->mark_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->marks[middle].start <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low > 0 ? &table->marks[low - 1] : NULL;
}

int xb_object_table_seek(struct xb_object_table *table, uint64_t offset,
                         const struct xb_object_chunk **ret, struct xb_error *err)
{
    const struct mark *mark = mark_before(table, offset);
    if (mark && (table->has_found || table->start > offset || mark->start > table->start ||
                 table->place == PLACE_END)) {
        go_to(table, mark);
    }
    struct xb_object_chunk chunk;
    bool more = true;
    do {
        int r = xb_object_table_next(table, &chunk, &more, err);
        if (r < 0) {
            return r;
        }
    } while (more && chunk.start + chunk.len <= offset);
    table->found = chunk;
    table->has_found = more;
    *ret = more ? &table->found : NULL;
    return 0;
}

int xb_object_table_measure(struct xb_object_table *table, uint64_t *ret_len, struct xb_error *err)
{
    struct xb_object_chunk chunk;
    bool more = true;
    while (more) {
        int r = xb_object_table_next(table, &chunk, &more, err);
        if (r < 0) {
            return r;
        }
    }
    *ret_len = table->start;
    if (table->mark_count > 0) {
        go_to(table, &table->marks[0]);
    }
    return 0;
}
