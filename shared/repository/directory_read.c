/* SPDX-License-Identifier: Apache-2.0
 * Reading a directory object. Its JSON is taken apart here, and only one entry at a time is handed
 * to the JSON library: a tree of objects for a large folder would cost ten times its text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/entry_internal.h"

enum { DIRECTORY_BYTES_MAX = 1 << 30, NESTING_MAX = 32 };

struct scan {
    const char *at, *end;
    size_t cap;                /* of the directory's entries */
    bool stream_seen, seen[2]; /* seen: `entries`, `x-special` */
};

static int malformed(const struct scan *scan, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                        "not a directory: malformed, %zu bytes before its end",
                        (size_t)(scan->end - scan->at));
}

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\n' || *scan->at == '\t' || *scan->at == '\r')) {
        scan->at++;
    }
}

static bool take(struct scan *scan, char want)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != want) {
        return false;
    }
    scan->at++;
    return true;
}

static bool skip_string(struct scan *scan)
{
    if (!take(scan, '"')) {
        return false;
    }
    while (scan->at < scan->end) {
        char c = *scan->at++;
        if (c == '"') {
            return true;
        }
        if (c == '\\' && scan->at < scan->end) {
            scan->at++;
        }
    }
    return false;
}

/* Passes over one value; only its extent is found, its inside is checked by who parses it. */
static bool skip_value(struct scan *scan)
{
    int depth = 0;
    skip_space(scan);
    do {
        if (scan->at == scan->end) {
            return false;
        }
        char c = *scan->at;
        if (c == '"') {
            if (!skip_string(scan)) {
                return false;
            }
            continue;
        }
        if ((c == ',' || c == ']' || c == '}') && depth == 0) {
            return false;
        }
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        scan->at++;
        /* A bare word or number ends before the next mark. */
        while (depth == 0 && c != '}' && c != ']' && scan->at < scan->end &&
               !strchr(",]} \n\t\r", *scan->at)) {
            scan->at++;
        }
    } while (depth > 0 && depth <= NESTING_MAX);
    return depth == 0;
}

static int parse_span(const char *start, const struct scan *scan, xb_json **ret,
                      struct xb_error *err)
{
    return xb_json_parse(start, (size_t)(scan->at - start), ret, err);
}

static int add_entry(struct scan *scan, struct xb_directory *directory, xb_json *json,
                     struct xb_error *err)
{
    if (directory->count == scan->cap) {
        size_t more = scan->cap ? 2 * scan->cap : 16;
        struct xb_entry *entries = reallocarray(directory->entries, more, sizeof *entries);
        if (!entries) {
            return xb_error_no_memory(err, "a directory");
        }
        directory->entries = entries;
        scan->cap = more;
    }
    int r = xb_entry_decode(json, &directory->entries[directory->count], err);
    directory->count += r == 0;
    return r;
}

static int parse_entries(struct scan *scan, struct xb_directory *directory, struct xb_error *err)
{
    skip_space(scan);
    if (scan->end - scan->at >= 4 && memcmp(scan->at, "null", 4) == 0) {
        scan->at += 4;
        return 0;
    }
    if (!take(scan, '[')) {
        return malformed(scan, err);
    }
    if (take(scan, ']')) {
        return 0;
    }
    for (;;) {
        skip_space(scan);
        const char *start = scan->at;
        XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
        if (!skip_value(scan)) {
            return malformed(scan, err);
        }
        int r = parse_span(start, scan, &json, err);
        if (r < 0 || (r = add_entry(scan, directory, json, err)) < 0) {
            return r;
        }
        if (take(scan, ']')) {
            return 0;
        }
        if (!take(scan, ',')) {
            return malformed(scan, err);
        }
    }
}

static bool span_is(const char *start, const struct scan *scan, const char *text)
{
    size_t len = strlen(text);
    return (size_t)(scan->at - start) == len && memcmp(start, text, len) == 0;
}

/* `x-special` holds special files only: whatever else stood there, kopia would not see. */
static int parse_special(struct scan *scan, struct xb_directory *directory, struct xb_error *err)
{
    size_t first = directory->count;
    int r = parse_entries(scan, directory, err);
    for (size_t i = first; r == 0 && i < directory->count; i++) {
        if (!directory->entries[i].node) {
            r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                             "field x-special: '%.100s' is no special file",
                             directory->entries[i].name);
        }
    }
    return r;
}

static int parse_summary(const char *value, const struct scan *scan, struct xb_directory *directory,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    int r = parse_span(value, scan, &json, err);
    if (r == 0 && json && !json_object_is_type(json, json_type_object)) {
        r = malformed(scan, err);
    }
    if (r == 0) {
        xb_summary_clear(&directory->summary);
        r = xb_summary_decode(json, &directory->summary, err);
    }
    return r;
}

/* One "key": value of the outer object. */
static int parse_member(struct scan *scan, struct xb_directory *directory, struct xb_error *err)
{
    static const char *const lists[] = {"\"entries\"", "\"x-special\""};
    skip_space(scan);
    const char *key = scan->at;
    if (!skip_string(scan)) {
        return malformed(scan, err);
    }
    bool stream = span_is(key, scan, "\"stream\"");
    bool summary = span_is(key, scan, "\"summary\"");
    size_t list = span_is(key, scan, lists[0]) ? 0 : span_is(key, scan, lists[1]) ? 1 : 2;
    if (!take(scan, ':')) {
        return malformed(scan, err);
    }
    if (list < 2 && !scan->seen[list]) {
        scan->seen[list] = true;
        return list ? parse_special(scan, directory, err) : parse_entries(scan, directory, err);
    }
    skip_space(scan);
    const char *value = scan->at;
    if (!skip_value(scan)) {
        return malformed(scan, err);
    }
    scan->stream_seen |= stream && span_is(value, scan, "\"kopia:directory\"");
    return summary ? parse_summary(value, scan, directory, err) : 0;
}

static int parse_directory(struct scan *scan, struct xb_directory *directory, struct xb_error *err)
{
    if (!take(scan, '{')) {
        return malformed(scan, err);
    }
    do {
        int r = parse_member(scan, directory, err);
        if (r < 0) {
            return r;
        }
    } while (take(scan, ','));
    bool closed = take(scan, '}');
    skip_space(scan);
    if (!closed || scan->at != scan->end || !scan->stream_seen) {
        return malformed(scan, err);
    }
    return 0;
}

static int compare_by_name(const void *left, const void *right, void *context)
{
    const struct xb_entry *entries = context;
    const uint32_t *a = left;
    const uint32_t *b = right;
    int order = strcmp(entries[*a].name, entries[*b].name);
    return order ? order : (*a > *b) - (*a < *b);
}

static void sort_names(struct xb_directory *directory)
{
    qsort_r(directory->by_name, directory->count, sizeof *directory->by_name, compare_by_name,
            directory->entries);
}

/* The first free one of NAME~2, NAME~3, ...; *number goes on behind it. */
static int free_name(const struct xb_directory *directory, const char *name, size_t *number,
                     char **ret, struct xb_error *err)
{
    for (;;) {
        char *made = NULL;
        if (asprintf(&made, "%s~%zu", name, ++*number) < 0) {
            return xb_error_no_memory(err, "a directory");
        }
        if (!xb_directory_find(directory, made)) {
            *ret = made;
            return 0;
        }
        free(made);
    }
}

/* kopia stores all names that are no UTF-8 with the same letters, so that a folder of its can hold
 * one name several times. Each of them is an entry with data of its own: all but the first get
 * another name. Names that are made up here differ: the same end in other numbers, others before
 * their last '~'. */
static int tell_apart(struct xb_directory *directory, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char **made = calloc(directory->count + 1, sizeof *made);
    size_t number = 1;
    bool any = false;
    int r = made ? 0 : xb_error_no_memory(err, "a directory");
    for (size_t i = 1; r == 0 && i < directory->count; i++) {
        const char *name = directory->entries[directory->by_name[i]].name;
        if (strcmp(directory->entries[directory->by_name[i - 1]].name, name) != 0) {
            number = 1;
            continue;
        }
        r = free_name(directory, name, &number, &made[directory->by_name[i]], err);
        any = true;
    }
    for (size_t i = 0; any && i < directory->count; i++) {
        struct xb_entry *entry = &directory->entries[i];
        if (r == 0 && made[i]) {
            free(entry->name);
            entry->name = XB_TAKE(made[i]);
            entry->renamed = true;
        }
        free(made[i]);
    }
    if (r == 0 && any) {
        sort_names(directory);
    }
    return r;
}

/* An order by raw name, for finding. */
static int index_names(struct xb_directory *directory, struct xb_error *err)
{
    if (directory->count > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "too many entries");
    }
    directory->by_name = reallocarray(NULL, directory->count + 1, sizeof *directory->by_name);
    if (!directory->by_name) {
        return xb_error_no_memory(err, "a directory");
    }
    for (size_t i = 0; i < directory->count; i++) {
        directory->by_name[i] = (uint32_t)i;
    }
    sort_names(directory);
    return tell_apart(directory, err);
}

int xb_directory_decode(const char *data, size_t len, struct xb_directory **ret,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = calloc(1, sizeof *directory);
    if (!directory) {
        return xb_error_no_memory(err, "a directory");
    }
    struct scan scan = {.at = data, .end = data + len};
    int r = parse_directory(&scan, directory, err);
    if (r < 0 || (r = index_names(directory, err)) < 0) {
        return r;
    }
    *ret = XB_TAKE(directory);
    return 0;
}

int xb_directory_read(struct xb_repository *repository, const struct xb_object_id *id,
                      struct xb_directory **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(DIRECTORY_BYTES_MAX);
    int r = xb_object_read_all(repository, id, &text, err);
    if (r == 0) {
        r = xb_directory_decode(text.data ? text.data : "", text.len, ret, err);
    }
    return r < 0 ? xb_error_wrap(err, "directory %s", id->text) : 0;
}

const struct xb_entry *xb_directory_find(const struct xb_directory *directory, const char *name)
{
    size_t low = 0;
    size_t high = directory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct xb_entry *entry = &directory->entries[directory->by_name[middle]];
        int order = strcmp(entry->name, name);
        if (order == 0) {
            return entry;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void xb_directory_free(struct xb_directory *directory)
{
    if (!directory) {
        return;
    }
    for (size_t i = 0; i < directory->count; i++) {
        xb_entry_free(&directory->entries[i]);
    }
    free(directory->entries);
    free(directory->by_name);
    xb_summary_clear(&directory->summary);
    free(directory);
}
