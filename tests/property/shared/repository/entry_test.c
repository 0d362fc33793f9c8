/* SPDX-License-Identifier: Apache-2.0
 *
 * Random entries come back from their bytes; a directory's bytes that were cut or altered are
 * refused, or are still entries that are possible.
 */
#include "tests/harness/repository_probe.h"

#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"
#include "tests/harness/property.h"

enum { ENTRIES = 3000, DIRECTORIES = 12, FLIPS = 4000, NAME_BYTES_MAX = 40 };

/* Any bytes but NUL and '/', often no UTF-8; never "." or "..". */
static char *make_name(struct property *source)
{
    static const char *const odd[] = {"\xc3\xa9", "\xe2\x80\xa8", "<",  "\\", "\"", "\x7f",
                                      "\xff",     "\xc0",         "\n", "&",  " "};
    char name[NAME_BYTES_MAX * 4 + 2] = "";
    size_t len = 0;
    size_t want = 1 + property_below(source, NAME_BYTES_MAX);
    bool plain = property_once_in(source, 2);
    while (len < want) {
        if (plain) {
            name[len++] = (char)('a' + property_below(source, 26));
        } else if (property_once_in(source, 3)) {
            const char *text = odd[property_below(source, sizeof odd / sizeof *odd)];
            memcpy(name + len, text, strlen(text));
            len += strlen(text);
        } else {
            char c = (char)(1 + property_below(source, 255));
            name[len++] = c == '/' ? '_' : c;
        }
    }
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        name[0] = 'x';
    }
    return strdup(name);
}

/* A valid text of at most 30 bytes. */
static char *make_text(struct property *source)
{
    char text[40] = "";
    size_t len = property_below(source, 30);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)(1 + property_below(source, 127));
    }
    return strdup(text);
}

static int64_t make_time(struct property *source)
{
    switch (property_below(source, 4)) {
    case 0:
        return 0;
    case 1:
        return (int64_t)property_below(source, UINT64_C(2000000000)) * 1000000000;
    default:
        return (int64_t)property_next(source);
    }
}

static void make_summary(struct property *source, struct xb_entry *entry)
{
    struct xb_summary *summary = calloc(1, sizeof *summary);
    assert_non_null(summary);
    entry->summary = summary;
    *summary = (struct xb_summary){.size = property_next(source) >> 1,
                                   .files = property_below(source, 1000),
                                   .symlinks = property_below(source, 3),
                                   .dirs = property_below(source, 9),
                                   .max_time_ns = make_time(source),
                                   .num_failed = property_below(source, 2),
                                   .num_ignored_errors = property_below(source, 2)};
    if (property_once_in(source, 4)) {
        summary->incomplete = strdup("canceled");
    }
    size_t errors = property_once_in(source, 3) ? property_below(source, 11) : 0;
    summary->errors = errors ? calloc(errors, sizeof *summary->errors) : NULL;
    for (size_t i = 0; i < errors; i++) {
        summary->errors[i] = (struct xb_summary_error){make_text(source), make_text(source)};
        summary->error_count++;
    }
}

static void make_xattrs(struct property *source, struct xb_entry *entry)
{
    size_t count = property_below(source, 5);
    entry->xattrs = count ? calloc(count, sizeof *entry->xattrs) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct xb_xattr *xattr = &entry->xattrs[i];
        xattr->len = property_below(source, 50);
        xattr->value = malloc(xattr->len + 1);
        assert_true(asprintf(&xattr->name, "user.%zu", i) > 0);
        for (size_t k = 0; k < xattr->len; k++) {
            xattr->value[k] = (unsigned char)property_next(source);
        }
        entry->xattr_count++;
    }
}

static void make_holes(struct property *source, struct xb_entry *entry)
{
    size_t count = property_below(source, 6);
    entry->holes = count ? calloc(count, sizeof *entry->holes) : NULL;
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        at += property_below(source, 100000);
        entry->holes[i] = (struct xb_hole){at, 1 + property_below(source, 100000)};
        at += entry->holes[i].len;
        entry->hole_count++;
    }
    entry->size = at + property_below(source, 1000);
}

static void make_object(struct property *source, struct xb_object_id *ret)
{
    static const char *const before[] = {"", "k", "Ix", "IIk", "D", "Z"};
    char hex[33];
    uint64_t random[2] = {property_next(source), property_next(source)};
    xb_hex_encode(random, sizeof random, hex);
    snprintf(ret->text, sizeof ret->text, "%s%s", before[property_below(source, 6)], hex);
}

static struct xb_entry make_entry(struct property *source)
{
    struct xb_entry entry = {.name = make_name(source),
                             .type = (enum xb_entry_type)property_below(source, 3),
                             .mode = (uint32_t)property_below(source, 010000),
                             .mtime_ns = make_time(source),
                             .uid = (uint32_t)property_next(source),
                             .gid = (uint32_t)property_below(source, 2)};
    make_object(source, &entry.object);
    if (entry.type == XB_ENTRY_DIRECTORY) {
        make_summary(source, &entry);
        return entry;
    }
    entry.size = property_once_in(source, 2) ? 0 : property_next(source) >> 1;
    if (property_once_in(source, 2)) {
        entry.inode = 1 + property_below(source, UINT64_MAX - 1);
        entry.ctime_ns = make_time(source);
    }
    bool file = entry.type == XB_ENTRY_FILE;
    if (file && property_once_in(source, 3)) {
        make_holes(source, &entry);
    }
    if (property_once_in(source, 3)) {
        entry.link = make_text(source);
    }
    if (file && property_once_in(source, 4)) {
        entry.node = "psbc"[property_below(source, 4)];
        bool device = entry.node == 'b' || entry.node == 'c';
        entry.node_major = device ? (uint32_t)property_next(source) : 0;
        entry.node_minor = device ? (uint32_t)property_below(source, 256) : 0;
        entry.object.text[0] = '\0'; /* it has no data */
    }
    entry.changed = property_once_in(source, 5);
    make_xattrs(source, &entry);
    return entry;
}

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a) {
        assert_string_equal(a, b);
    }
}

static void same_summary(const struct xb_summary *a, const struct xb_summary *b)
{
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->files, b->files);
    assert_int_equal(a->symlinks, b->symlinks);
    assert_int_equal(a->dirs, b->dirs);
    assert_int_equal(a->max_time_ns, b->max_time_ns);
    assert_int_equal(a->num_failed, b->num_failed);
    assert_int_equal(a->num_ignored_errors, b->num_ignored_errors);
    same_text(a->incomplete, b->incomplete);
    assert_int_equal(a->error_count, b->error_count);
    for (size_t i = 0; i < a->error_count; i++) {
        same_text(a->errors[i].path, b->errors[i].path);
        same_text(a->errors[i].error, b->errors[i].error);
    }
}

static void same_entry(const struct xb_entry *a, const struct xb_entry *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->mtime_ns, b->mtime_ns);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_string_equal(a->object.text, b->object.text);
    assert_int_equal(a->summary == NULL, b->summary == NULL);
    if (a->summary) {
        same_summary(a->summary, b->summary);
    }
    assert_int_equal(a->inode, b->inode);
    assert_int_equal(a->ctime_ns, b->ctime_ns);
    same_text(a->link, b->link);
    assert_int_equal(a->node, b->node);
    assert_int_equal(a->node_major, b->node_major);
    assert_int_equal(a->node_minor, b->node_minor);
    assert_int_equal(a->changed, b->changed);
    assert_int_equal(a->hole_count, b->hole_count);
    for (size_t i = 0; i < a->hole_count; i++) {
        assert_int_equal(a->holes[i].offset, b->holes[i].offset);
        assert_int_equal(a->holes[i].len, b->holes[i].len);
    }
    assert_int_equal(a->xattr_count, b->xattr_count);
    for (size_t i = 0; i < a->xattr_count; i++) {
        assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
        assert_int_equal(a->xattrs[i].len, b->xattrs[i].len);
        assert_memory_equal(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].len);
    }
}

/* What we write is known again as such, unless it holds what can be written in several ways. */
static void check_plain(const struct xb_entry *entry, const struct xb_buf *text)
{
    struct xb_json_reader reader;
    struct xb_json_token token;
    struct xb_entry again;
    bool plain = false;
    xb_json_reader_init_text(&reader, text->data, text->len);
    PROBE_OK(xb_json_next(&reader, &token, &err));
    PROBE_OK(xb_entry_read(&reader, &again, &plain, &err));
    bool device = entry->node == 'b' || entry->node == 'c';
    bool errors = entry->summary && entry->summary->error_count;
    if (!entry->xattr_count && !errors && !device && !strchr(text->data, '\\') &&
        !strstr(text->data, "x-name")) {
        assert_true(plain);
    }
    xb_entry_free(&again);
    xb_json_reader_done(&reader);
}

static void entries_come_back(void **state)
{
    (void)state;
    struct property source = property_begin("entries");
    for (int i = 0; i < ENTRIES; i++) {
        struct xb_entry entry = make_entry(&source);
        struct xb_entry again;
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_buf second = XB_BUF_INIT(1 << 20);
        PROBE_OK(xb_entry_encode(&entry, &text, &err));
        assert_true(xb_utf8_valid(text.data, text.len));
        PROBE_OK(xb_entry_decode(text.data, text.len, &again, &err));
        same_entry(&entry, &again);
        check_plain(&entry, &text);
        PROBE_OK(xb_entry_encode(&again, &second, &err));
        assert_string_equal(text.data, second.data);
        xb_entry_free(&entry);
        xb_entry_free(&again);
        xb_buf_free(&text);
        xb_buf_free(&second);
    }
}

/* A text that may be taken over is what would be written. Entries without lists, of our own
 * writing, have one. */
static void check_text(const struct xb_entry *entry, const struct xb_entry_text *text)
{
    struct xb_buf want = XB_BUF_INIT(1 << 20);
    if (text->rest) {
        PROBE_OK(xb_entry_encode_rest(entry, &want, &err));
        assert_int_equal(text->len, want.len);
        assert_memory_equal(text->rest, want.data, want.len);
    }
    xb_buf_free(&want);
}

/* The cursor sees what the whole directory has, but for names that come several times. */
static void check_cursor(const char *text, size_t len, const struct xb_directory *directory)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    PROBE_OK(xb_directory_open_text(text, len, &cursor, &err));
    for (size_t i = 0; i < directory->count; i++) {
        const struct xb_entry *want = &directory->entries[i];
        PROBE_OK(xb_directory_next(cursor, &entry, &err));
        assert_non_null(entry);
        assert_int_equal(entry->type, want->type);
        assert_string_equal(entry->object.text, want->object.text);
        if (!entry->renamed && !want->renamed) {
            assert_string_equal(entry->name, want->name);
        }
        const struct xb_entry_text *have = xb_directory_cursor_text(cursor);
        assert_int_equal(have->len, directory->texts[i].len);
        if (have->rest) {
            assert_memory_equal(have->rest, directory->texts[i].rest, have->len);
        }
    }
    PROBE_OK(xb_directory_next(cursor, &entry, &err));
    assert_null(entry);
    assert_int_equal(xb_directory_cursor_tally(cursor)->count, directory->count);
    assert_true(xb_summary_equal(xb_directory_cursor_summary(cursor), &directory->summary));
}

/* What was taken must be possible: names that stay in their folder, each once, in both orders. */
static void check_directory(const struct xb_directory *directory)
{
    for (size_t i = 0; i < directory->count; i++) {
        const struct xb_entry *entry = &directory->entries[i];
        check_text(entry, &directory->texts[i]);
        assert_true(xb_entry_name_valid(entry->name, strlen(entry->name)));
        assert_ptr_equal(xb_directory_find(directory, entry->name), entry);
        assert_true(entry->type <= XB_ENTRY_SYMLINK && entry->mode <= 07777);
        struct xb_object_id id;
        if (!entry->node || entry->object.text[0]) {
            PROBE_OK(xb_object_id_parse(entry->object.text, &id, &err));
        }
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        PROBE_OK(xb_entry_encode(entry, &text, &err));
        xb_buf_free(&text);
    }
}

/* From memory that ends with the text, so that a sanitizer sees each byte too far. */
static void try_decode(const char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_directory *directory = NULL;
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, text, len);
    int r = xb_directory_decode(exact, len, &directory, &err);
    if (r == 0) {
        check_directory(directory);
        check_cursor(exact, len, directory);
        xb_directory_free(directory);
    } else {
        assert_null(directory);
        assert_int_equal(err.code, r);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
    }
    free(exact);
}

static void make_entries(struct property *source, bool special, struct xb_buf *text)
{
    size_t count = property_below(source, special ? 4 : 12);
    for (size_t i = 0; i < count;) {
        struct xb_entry entry = make_entry(source);
        if (!special || entry.node) {
            PROBE_OK(xb_buf_append_str(text, i++ ? "," : "", &err));
            PROBE_OK(xb_entry_encode(&entry, text, &err));
        }
        xb_entry_free(&entry);
    }
}

static void make_directory(struct property *source, struct xb_buf *text)
{
    PROBE_OK(xb_buf_append_str(text, "{\"stream\":\"kopia:directory\",\"entries\":[", &err));
    make_entries(source, false, text);
    PROBE_OK(xb_buf_append_str(text, "],\"summary\":{\"size\":1,\"dirs\":1}", &err));
    PROBE_OK(xb_buf_append_str(text, ",\"x-special\":[", &err));
    make_entries(source, true, text);
    PROBE_OK(xb_buf_append_str(text, "]}\n", &err));
}

static void damaged_directories(void **state)
{
    (void)state;
    struct property source = property_begin("directories");
    for (int round = 0; round < DIRECTORIES; round++) {
        struct xb_buf text = XB_BUF_INIT(1 << 20);
        struct xb_directory *directory = NULL;
        make_directory(&source, &text);
        PROBE_OK(xb_directory_decode(text.data, text.len, &directory, &err));
        check_directory(directory);
        check_cursor(text.data, text.len, directory);
        xb_directory_free(directory);
        for (size_t cut = 0; cut + 1 < text.len; cut += 1 + text.len / 700) {
            struct xb_error err = XB_ERROR_INIT;
            directory = NULL; /* without its end nothing is a directory */
            assert_true(xb_directory_decode(text.data, cut, &directory, &err) < 0);
            assert_int_equal(err.kind, XB_ERR_CORRUPT);
            try_decode(text.data, cut);
        }
        for (int i = 0; i < FLIPS / DIRECTORIES; i++) {
            size_t at = property_below(&source, text.len);
            char before = text.data[at];
            if (property_once_in(&source, 2)) {
                unsigned flipped = (unsigned char)before ^ 1U << property_below(&source, 8);
                text.data[at] = (char)flipped;
            } else {
                text.data[at] = "\"\\{}[],:0\xff"[property_below(&source, 10)];
            }
            try_decode(text.data, text.len);
            text.data[at] = before;
        }
        xb_buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(entries_come_back),
                                       cmocka_unit_test(damaged_directories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
