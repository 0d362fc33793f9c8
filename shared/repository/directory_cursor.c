/* SPDX-License-Identifier: Apache-2.0
 * Reading a directory object entry by entry. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/directory_internal.h"
#include "shared/repository/object_text.h"

enum { FIRST_NAMES = 64 };

static const char lossy_mark[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Hashes of names, in open addressing; 0 is a free place. */
struct names {
    uint64_t *slots;
    size_t count, cap;
};

enum place { PLACE_START, PLACE_MEMBERS, PLACE_ENTRIES, PLACE_SPECIAL, PLACE_END };

struct xb_directory_cursor {
    struct xb_repository *repository; /* NULL: a text */
    struct xb_object_id id;
    struct xb_object_text object;
    enum place place;
    bool stream_seen, seen[2]; /* seen: `entries`, `x-special` */
    bool as_stored;            /* names stay as they are */
    struct xb_entry entry;
    struct xb_entry_text text;
    struct xb_directory_tally tally;
    struct xb_summary summary;
    struct names names;
    struct xb_buf last; /* the name before, as stored */
    size_t number;      /* of the last one that was made of it */
};

static int new_cursor(struct xb_directory_cursor **ret, struct xb_error *err)
{
    struct xb_directory_cursor *cursor = calloc(1, sizeof *cursor);
    if (!cursor) {
        return xb_error_no_memory(err, "a directory");
    }
    cursor->last.max = XB_ENTRY_NAME_BYTES_MAX + 1;
    *ret = cursor;
    return 0;
}

int xb_directory_open_text(const char *text, size_t len, struct xb_directory_cursor **ret,
                           struct xb_error *err)
{
    int r = new_cursor(ret, err);
    if (r == 0) {
        xb_object_text_init(&(*ret)->object, text, len);
    }
    return r;
}

int xb_directory_open(struct xb_repository *repository, const struct xb_object_id *id,
                      struct xb_directory_cursor **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    int r = new_cursor(&cursor, err);
    if (r < 0) {
        return r;
    }
    cursor->repository = repository;
    cursor->id = *id;
    r = xb_object_text_open(&cursor->object, repository, id, 0, err);
    if (r < 0) {
        return xb_error_wrap(err, "directory %s", id->text);
    }
    *ret = XB_TAKE(cursor);
    return 0;
}

void xb_directory_cursor_rest(struct xb_directory_cursor *cursor)
{
    cursor->text = (struct xb_entry_text){.rest = NULL};
    xb_object_text_rest(&cursor->object);
}

size_t xb_directory_cursor_memory(const struct xb_directory_cursor *cursor)
{
    return sizeof *cursor + xb_object_text_memory(&cursor->object) +
           cursor->names.cap * sizeof *cursor->names.slots;
}

size_t xb_directory_cursor_wait(struct xb_directory_cursor *cursor, size_t held)
{
    if (held + xb_directory_cursor_memory(cursor) > XB_DIRECTORY_HELD_BYTES_MAX) {
        xb_directory_cursor_rest(cursor);
    }
    return held + xb_directory_cursor_memory(cursor);
}

const struct xb_directory_tally *xb_directory_cursor_tally(const struct xb_directory_cursor *cursor)
{
    return &cursor->tally;
}

const struct xb_summary *xb_directory_cursor_summary(const struct xb_directory_cursor *cursor)
{
    return &cursor->summary;
}

const struct xb_entry_text *xb_directory_cursor_text(const struct xb_directory_cursor *cursor)
{
    return &cursor->text;
}

void xb_directory_cursor_as_stored(struct xb_directory_cursor *cursor)
{
    cursor->as_stored = true;
}

void xb_directory_close(struct xb_directory_cursor *cursor)
{
    if (!cursor) {
        return;
    }
    xb_object_text_close(&cursor->object);
    xb_entry_free(&cursor->entry);
    xb_summary_clear(&cursor->summary);
    free(cursor->names.slots);
    xb_buf_free(&cursor->last);
    free(cursor);
}

/* ---- names that come several times ---- */

static uint64_t name_hash(const char *name)
{
    uint64_t hash = xb_fnv1a(name);
    return hash ? hash : 1;
}

static uint64_t *find_slot(uint64_t *slots, size_t cap, uint64_t hash)
{
    size_t at = (size_t)(hash ^ hash >> 32) & (cap - 1);
    while (slots[at] && slots[at] != hash) {
        at = (at + 1) & (cap - 1);
    }
    return &slots[at];
}

static bool has_name(const struct names *names, uint64_t hash)
{
    return names->cap && *find_slot(names->slots, names->cap, hash) == hash;
}

static int add_name(struct names *names, uint64_t hash, struct xb_error *err)
{
    if (2 * names->count >= names->cap) {
        size_t cap = names->cap ? 2 * names->cap : FIRST_NAMES;
        if (names->count >= XB_DIRECTORY_LOSSY_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                                "more than %d names that kopia could not store",
                                XB_DIRECTORY_LOSSY_MAX);
        }
        uint64_t *slots = calloc(cap, sizeof *slots);
        if (!slots) {
            return xb_error_no_memory(err, "a directory");
        }
        for (size_t i = 0; i < names->cap; i++) {
            if (names->slots[i]) {
                *find_slot(slots, cap, names->slots[i]) = names->slots[i];
            }
        }
        free(names->slots);
        names->slots = slots;
        names->cap = cap;
    }
    *find_slot(names->slots, names->cap, hash) = hash;
    names->count++;
    return 0;
}

static int rename_entry(struct xb_directory_cursor *cursor, struct xb_error *err)
{
    struct xb_entry *entry = &cursor->entry;
    for (;;) {
        char *made = NULL;
        if (asprintf(&made, "%s~%zu", entry->name, ++cursor->number) < 0) {
            return xb_error_no_memory(err, "a directory");
        }
        uint64_t hash = name_hash(made);
        if (!has_name(&cursor->names, hash)) {
            free(entry->name);
            entry->name = made;
            entry->renamed = true;
            return add_name(&cursor->names, hash, err);
        }
        free(made);
    }
}

/* The first entry of a name keeps it. */
static int tell_apart(struct xb_directory_cursor *cursor, struct xb_error *err)
{
    const char *name = cursor->entry.name;
    size_t len = strlen(name);
    bool again = cursor->last.len == len && memcmp(cursor->last.data, name, len) == 0;
    bool lossy = memmem(name, len, lossy_mark, sizeof lossy_mark - 1) != NULL;
    int r = 0;
    if (!again) {
        cursor->number = 1;
        xb_buf_clear(&cursor->last);
        r = xb_buf_append(&cursor->last, name, len, err);
    }
    if (r < 0 || (!again && !lossy && cursor->names.count == 0)) {
        return r;
    }
    uint64_t hash = name_hash(name);
    if (again || has_name(&cursor->names, hash)) {
        return rename_entry(cursor, err);
    }
    return lossy ? add_name(&cursor->names, hash, err) : 0;
}

/* ---- the directory's members ---- */

static int no_directory(const struct xb_directory_cursor *cursor, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a directory: malformed at byte %llu",
                        (unsigned long long)xb_json_offset(&cursor->object.json));
}

static int open_list(struct xb_directory_cursor *cursor, size_t list, struct xb_error *err)
{
    struct xb_json_token token;
    int r = xb_json_next(&cursor->object.json, &token, err);
    cursor->seen[list] = true;
    if (r < 0 || token.kind == XB_JSON_NULL) {
        return r;
    }
    if (token.kind != XB_JSON_ARRAY) {
        return no_directory(cursor, err);
    }
    cursor->place = list ? PLACE_SPECIAL : PLACE_ENTRIES;
    return 0;
}

static int read_summary(struct xb_directory_cursor *cursor, const struct xb_json_token *token,
                        struct xb_error *err)
{
    bool plain = false;
    if (token->kind == XB_JSON_NULL) {
        return 0;
    }
    if (token->kind != XB_JSON_OBJECT) {
        return no_directory(cursor, err);
    }
    xb_summary_clear(&cursor->summary);
    return xb_summary_read(&cursor->object.json, &cursor->summary, &plain, err);
}

/* One "key": value of the outer object. */
static int read_member(struct xb_directory_cursor *cursor, const struct xb_json_token *key,
                       struct xb_error *err)
{
    static const char *const lists[] = {"entries", "x-special"};
    struct xb_json_token token;
    for (size_t i = 0; i < 2; i++) {
        if (!cursor->seen[i] && xb_json_token_is(key, lists[i], strlen(lists[i]))) {
            return open_list(cursor, i, err);
        }
    }
    bool stream = xb_json_token_is(key, "stream", 6);
    bool summary = xb_json_token_is(key, "summary", 7);
    int r = xb_json_next(&cursor->object.json, &token, err);
    if (r == 0 && summary) {
        return read_summary(cursor, &token, err);
    }
    if (r == 0 && stream) {
        cursor->stream_seen =
            token.kind == XB_JSON_STRING && xb_json_token_is(&token, "kopia:directory", 15);
        return cursor->stream_seen ? 0 : no_directory(cursor, err);
    }
    return r < 0 ? r : xb_json_skip(&cursor->object.json, &token, err);
}

/* The next member, or the end. */
static int go_on(struct xb_directory_cursor *cursor, struct xb_error *err)
{
    struct xb_json_token token;
    int r = xb_json_next(&cursor->object.json, &token, err);
    if (r < 0 || token.kind == XB_JSON_KEY) {
        return r < 0 ? r : read_member(cursor, &token, err);
    }
    if (cursor->place == PLACE_START && token.kind == XB_JSON_OBJECT) {
        cursor->place = PLACE_MEMBERS;
        return 0;
    }
    if (token.kind != XB_JSON_OBJECT_END || !cursor->stream_seen) {
        return no_directory(cursor, err);
    }
    cursor->place = PLACE_END;
    return xb_json_next(&cursor->object.json, &token, err);
}

/* ---- entries ---- */

static void keep_text(struct xb_directory_cursor *cursor, bool plain)
{
    enum { HEAD_BYTES = sizeof "{\"name\":\"\"" - 1 };
    const char *text = NULL;
    size_t len = 0;
    bool spaced = false;
    xb_json_span(&cursor->object.json, &text, &len, &spaced);
    if (plain && !spaced) {
        size_t head = HEAD_BYTES + strlen(cursor->entry.name);
        cursor->text = (struct xb_entry_text){.rest = text + head, .len = len - head};
    }
}

static int next_entry(struct xb_directory_cursor *cursor, bool *ret_found, struct xb_error *err)
{
    struct xb_json_token token;
    bool plain = false;
    int r = xb_json_next(&cursor->object.json, &token, err);
    if (r == 0 && token.kind == XB_JSON_ARRAY_END) {
        cursor->place = PLACE_MEMBERS;
        return 0;
    }
    if (r == 0 && token.kind != XB_JSON_OBJECT) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an entry is not an object");
    }
    if (r < 0) {
        return r;
    }
    xb_json_mark(&cursor->object.json);
    r = xb_entry_read(&cursor->object.json, &cursor->entry, &plain, err);
    if (r < 0) {
        return r;
    }
    keep_text(cursor, plain);
    /* Whatever else stood among the special files, kopia would not see. */
    if (cursor->place == PLACE_SPECIAL && !cursor->entry.node) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "field x-special: '%.100s' is no special file", cursor->entry.name);
    }
    xb_directory_tally_add(&cursor->tally, cursor->entry.name);
    *ret_found = true;
    return cursor->as_stored ? 0 : tell_apart(cursor, err);
}

int xb_directory_next(struct xb_directory_cursor *cursor, struct xb_entry **ret,
                      struct xb_error *err)
{
    int r = 0;
    bool found = false;
    xb_entry_free(&cursor->entry);
    cursor->text = (struct xb_entry_text){.rest = NULL};
    while (r == 0 && !found && cursor->place != PLACE_END) {
        r = cursor->place == PLACE_ENTRIES || cursor->place == PLACE_SPECIAL
                ? next_entry(cursor, &found, err)
                : go_on(cursor, err);
    }
    if (r < 0) {
        return cursor->repository ? xb_error_wrap(err, "directory %s", cursor->id.text) : r;
    }
    *ret = found ? &cursor->entry : NULL;
    return 0;
}
