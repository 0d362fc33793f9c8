/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders that are larger than the memory meant for them: written through scratch files and read
 * entry by entry they are the folders they would be in memory. What is kept of a parent is taken
 * over.
 */
#include "shared/repository/directory_internal.h"
#include "tests/harness/opened_repository.h"
#include "tests/harness/property.h"

enum { MANY = 30000, FEW = 40 };

#define OBJECT "fcab135b7e0a6e8bae2398343da4be9a"
#define NAMED(name, type) "{\"name\":\"" name "\",\"type\":\"" type "\",\"obj\":\"" OBJECT "\"}"
#define LIST(entries) "{\"stream\":\"kopia:directory\",\"entries\":[" entries "]}"

/* By turns a file, a folder, a fifo, a name that is no UTF-8 and one that is called as that is
 * stored. */
static struct xb_entry make_entry(size_t number)
{
    struct xb_entry entry = {.type = number % 5 == 1 ? XB_ENTRY_DIRECTORY : XB_ENTRY_FILE,
                             .mode = 0640,
                             .size = number,
                             .mtime_ns = 1000000000 + (int64_t)number,
                             .inode = number + 1,
                             .ctime_ns = 1 + (int64_t)number,
                             .node = number % 5 == 2 ? 'p' : 0};
    char raw[80], stored[XB_ENTRY_STORED_NAME_BYTES];
    snprintf(raw, sizeof raw, "%zu-\xe9-a-name-of-some-length", number / 5);
    xb_entry_stored_name(raw, stored);
    entry.name = strdup(number % 5 == 4 ? raw : number % 5 == 3 ? stored : "");
    if (number % 5 < 3) {
        free(entry.name);
        assert_true(asprintf(&entry.name, "%zu-a-name-of-some-length", number) > 0);
    }
    if (!entry.node) {
        snprintf(entry.object.text, sizeof entry.object.text, "%032zx", number);
    }
    return entry;
}

static void add_all(struct xb_directory_builder *builder, const uint32_t *order, size_t first,
                    size_t end)
{
    for (size_t i = first; i < end; i++) {
        struct xb_entry entry = make_entry(order[i]);
        PROBE_OK(xb_directory_builder_add(builder, &entry, &err));
    }
}

static uint32_t *make_order(struct property *source, size_t count)
{
    uint32_t *order = calloc(count, sizeof *order);
    assert_non_null(order);
    for (size_t i = 0; i < count; i++) {
        size_t other = property_below(source, i + 1);
        order[i] = order[other];
        order[other] = (uint32_t)i;
    }
    return order;
}

static unsigned group_of(const struct xb_entry *entry)
{
    return entry->type == XB_ENTRY_DIRECTORY ? 0 : entry->node ? 2 : 1;
}

/* All entries are there once, in the right order; every one comes back. */
static void check_object(const struct xb_object_id *id, size_t count, bool rest)
{
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    XB_CLEANUP(xb_freep) unsigned char *seen = calloc(count, 1);
    char before[XB_ENTRY_STORED_NAME_BYTES] = "", text[XB_ENTRY_STORED_NAME_BYTES] = "";
    unsigned group = 0;
    struct xb_entry *entry = NULL;
    PROBE_OK(xb_directory_open(repository, id, &cursor, &err));
    for (size_t i = 0; i < count; i++) {
        PROBE_OK(xb_directory_next(cursor, &entry, &err));
        assert_non_null(entry);
        size_t number = (size_t)entry->inode - 1;
        struct xb_entry want = make_entry(number);
        assert_string_equal(entry->name, want.name);
        assert_string_equal(entry->object.text, want.object.text);
        assert_false(seen[number]++);
        xb_entry_free(&want);
        xb_entry_stored_name(entry->name, text);
        assert_true(group_of(entry) >= group);
        if (group_of(entry) == group) {
            assert_true(strcmp(before, text) <= 0);
        }
        group = group_of(entry);
        strcpy(before, text);
        if (rest && i % 997 == 0) {
            xb_directory_cursor_rest(cursor);
            assert_true(xb_directory_cursor_memory(cursor) < 10000);
        }
    }
    PROBE_OK(xb_directory_next(cursor, &entry, &err));
    assert_null(entry);
    assert_int_equal(xb_directory_cursor_tally(cursor)->count, count);
    assert_true(xb_directory_cursor_memory(cursor) < (16U << 20));
}

static void many_entries_go_through_scratch(void **state)
{
    (void)state;
    static const size_t counts[] = {FEW, MANY};
    struct property source = property_begin("folders");
    for (size_t c = 0; c < 2; c++) {
        size_t count = counts[c];
        XB_CLEANUP(xb_freep) uint32_t *order = make_order(&source, count);
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *more = NULL;
        XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = NULL;
        XB_CLEANUP(xb_summary_freep) struct xb_summary *checkpoint = NULL;
        struct xb_object_id id, part;
        PROBE_OK(xb_directory_builder_new(&builder, &err));
        PROBE_OK(xb_directory_builder_new(&more, &err));
        add_all(builder, order, 0, count / 2);
        add_all(more, order, count / 2, count);
        PROBE_OK(
            xb_directory_builder_checkpoint(builder, more, repository, &part, &checkpoint, &err));
        add_all(builder, order, count / 2, count); /* it went on, and has all now */
        PROBE_OK(xb_directory_builder_write(builder, repository, 0, &id, &summary, &err));
        probe_flush(repository);
        assert_int_equal(summary->files, checkpoint->files);
        assert_int_equal(summary->files, count / 5 * 3);
        check_object(&part, count, false);
        check_object(&id, count, true);
    }
}

/* The numbers that stand-ins get do not depend on how many entries there are. */
static void one_name_twice_is_found_among_many(void **state)
{
    (void)state;
    struct property source = property_begin("twice");
    XB_CLEANUP(xb_freep) uint32_t *order = make_order(&source, MANY);
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    struct xb_summary *summary = NULL;
    struct xb_object_id id;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    add_all(builder, order, 0, MANY);
    add_all(builder, order, 17, 18);
    PROBE_REFUSED(xb_directory_builder_write(builder, repository, 0, &id, &summary, &err),
                  XB_ERR_INVALID, "two entries");
}

/* ---- what a parent has ---- */

static struct xb_object_id write_few(size_t count)
{
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = NULL;
    struct xb_object_id id;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    for (size_t i = 0; i < count; i++) {
        struct xb_entry entry = make_entry(i);
        PROBE_OK(xb_directory_builder_add(builder, &entry, &err));
    }
    PROBE_OK(xb_directory_builder_write(builder, repository, 0, &id, &summary, &err));
    probe_flush(repository);
    return id;
}

enum change { NOTHING, ONE_LESS, ONE_MORE, ONE_OTHER, ONE_TWICE, AN_ERROR, OVER, OVER_OTHER };

/* Keeps the parent's entries, but for the change. */
static struct xb_object_id keep(const struct xb_directory *parent, const struct xb_object_id *id,
                                enum change change)
{
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
    XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = NULL;
    struct xb_object_id made;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    for (size_t i = 0; i < parent->count; i++) {
        const struct xb_entry *entry = &parent->entries[i];
        const struct xb_entry_text *text = xb_directory_text(parent, entry);
        bool changed = i == 3 && change != NOTHING && change != ONE_MORE && change != AN_ERROR;
        if (!changed) {
            PROBE_OK(xb_directory_builder_keep_text(builder, entry, text, true, &err));
        } else if (change != ONE_LESS) {
            struct xb_entry other = make_entry((size_t)entry->inode - 1);
            other.mode = change == ONE_OTHER || change == OVER_OTHER ? 0600 : other.mode;
            bool over = change == OVER || change == OVER_OTHER;
            PROBE_OK(xb_directory_builder_add_over(builder, &other, over ? text : NULL, &err));
        }
    }
    if (change == ONE_MORE) {
        struct xb_entry other = make_entry(FEW);
        PROBE_OK(xb_directory_builder_add(builder, &other, &err));
    }
    if (change == AN_ERROR) {
        PROBE_OK(xb_directory_builder_add_error(builder, "x", "no", true, &err));
    }
    PROBE_OK(xb_directory_builder_parent(builder, id, &parent->tally, &parent->summary, &err));
    PROBE_OK(xb_directory_builder_write(builder, repository, 0, &made, &summary, &err));
    return made;
}

static void what_is_kept_is_the_parent(void **state)
{
    (void)state;
    struct xb_object_id id = write_few(FEW);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *parent = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &parent, &err));
    for (enum change change = NOTHING; change <= OVER_OTHER; change++) {
        bool same = change == NOTHING || change == ONE_TWICE || change == OVER;
        struct xb_object_id made = keep(parent, &id, change);
        assert_int_equal(strcmp(made.text, id.text) == 0, same);
    }
}

/* The id of a parent that would be written otherwise: handed out only if all of it is kept, and
 * only as long as it is there. */
static void a_parent_of_others_is_taken_over(void **state)
{
    (void)state;
    struct xb_content_write_result result = probe_write(
        repository, 'k',
        "{\"stream\":\"kopia:directory\", \"entries\":[" NAMED("b", "f") "," NAMED(
            "a",
            "f") "],\"summary\":{\"files\":2,\"dirs\":1,\"maxTime\":\"1970-01-01T00:00:00Z\"}}");
    struct xb_object_id id, made[3];
    XB_CLEANUP(xb_directory_freep) struct xb_directory *parent = NULL;
    xb_content_id_format(&result.id, id.text);
    probe_flush(repository);
    PROBE_OK(xb_directory_read(repository, &id, &parent, &err));
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = NULL;
        XB_CLEANUP(xb_summary_freep) struct xb_summary *summary = NULL;
        struct xb_object_id told = id;
        PROBE_OK(xb_directory_builder_new(&builder, &err));
        for (size_t k = 0; k < parent->count; k++) {
            /* In the second round one of them twice, and none of the other: as many, not the same.
             */
            const struct xb_entry *entry = &parent->entries[i == 1 ? 0 : k];
            struct xb_entry copy = {.name = strdup(i == 1 && k == 1 ? "c" : entry->name),
                                    .type = entry->type,
                                    .object = entry->object};
            PROBE_OK(xb_directory_builder_keep_text(builder, &copy, NULL, true, &err));
            xb_entry_free(&copy);
        }
        if (i == 2) {
            memcpy(told.text, "k" OBJECT, sizeof "k" OBJECT); /* nobody has that content */
        }
        PROBE_OK(
            xb_directory_builder_parent(builder, &told, &parent->tally, &parent->summary, &err));
        PROBE_OK(xb_directory_builder_write(builder, repository, 0, &made[i], &summary, &err));
    }
    assert_string_equal(made[0].text, id.text);
    assert_string_not_equal(made[1].text, id.text);
    assert_string_not_equal(made[2].text, id.text);
    assert_string_not_equal(made[2].text, "k" OBJECT);
}

/* Only the text that would be written is taken over: all of these mean the same or nearly so. */
static void only_our_text_is_taken_over(void **state)
{
    (void)state;
#define OURS "\"mode\":\"0644\",\"size\":7,\"mtime\":\"2026-01-05T00:00:00Z\",\"uid\":1,"
#define OBJ "\"obj\":\"" OBJECT "\""
    static const struct {
        const char *fields;
        bool ours;
    } cases[] = {
        {OURS OBJ, true},
        {OBJ, true},
        {OURS OBJ ",\"x-ino\":\"12\",\"x-ctime\":\"2026-01-05T00:00:00.5Z\"", true},
        {OURS OBJ ",\"x-holes\":[0,3,4,2],\"x-changed\":true", true},
        {OBJ ",\"size\":7", false}, /* another order */
        {"\"size\":7,\"mode\":\"0644\"," OBJ, false},
        {"\"size\":7,\"size\":7," OBJ, false},
        {OURS OBJ ",\"new\":1", false},
        {OURS " " OBJ, false},
        {"\"size\":0," OBJ, false}, /* what is left out */
        {"\"uid\":0," OBJ, false},
        {"\"uid\":-0," OBJ, false},
        {"\"uid\":null," OBJ, false},
        {"\"mode\":\"0\"," OBJ, false},
        {"\"mode\":\"00644\"," OBJ, false}, /* written otherwise */
        {"\"mode\":\"644\"," OBJ, false},
        {"\"mode\":\"0100644\"," OBJ, false},
        {"\"mtime\":\"1970-01-01T00:00:00Z\"," OBJ, false},
        {"\"mtime\":\"2026-01-05T00:00:00.50Z\"," OBJ, false},
        {"\"mtime\":\"2026-01-05T01:00:00+01:00\"," OBJ, false},
        {OBJ ",\"x-ino\":\"012\"", false},
        {OBJ ",\"x-ino\":\"0\"", false},
        {OBJ ",\"x-changed\":false", false},
        {OBJ ",\"x-holes\":[]", false},
        {OBJ ",\"x-link\":\"\\u0041\"", false},
        {OBJ ",\"x-node\":\"p\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
        struct xb_entry *entry = NULL;
        char text[1000];
        snprintf(text, sizeof text, LIST("{\"name\":\"a\",\"type\":\"f\",%s}"), cases[i].fields);
        PROBE_OK(xb_directory_open_text(text, strlen(text), &cursor, &err));
        PROBE_OK(xb_directory_next(cursor, &entry, &err));
        if ((xb_directory_cursor_text(cursor)->rest != NULL) != cases[i].ours) {
            fail_msg("%s", cases[i].fields);
        }
    }
}

/* ---- names that kopia stored several times ---- */

static void lossy_names_are_told_apart(void **state)
{
    (void)state;
#define LOSSY "a\xef\xbf\xbd"
    static const char text[] = LIST(
        NAMED(LOSSY, "d") "," NAMED("x", "d") "," NAMED(LOSSY, "f") "," NAMED(LOSSY, "f") "," NAMED(
            "b", "f") "," NAMED("b", "s") "," NAMED(LOSSY, "f") "," NAMED(LOSSY "~2", "f"));
    static const char *const names[] = {LOSSY, "x",   LOSSY "~2", LOSSY "~3",
                                        "b",   "b~2", LOSSY "~4", LOSSY "~2~2"};
    static const bool renamed[] = {false, false, true, true, false, true, true, true};
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    PROBE_OK(xb_directory_open_text(text, sizeof text - 1, &cursor, &err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        PROBE_OK(xb_directory_next(cursor, &entry, &err));
        assert_string_equal(entry->name, names[i]);
        assert_int_equal(entry->renamed, renamed[i]);
    }
    PROBE_OK(xb_directory_next(cursor, &entry, &err));
    assert_null(entry);
}

/* Damage is found where it is; what stands before it has been handed out. */
static void damage_is_found_where_it_is(void **state)
{
    (void)state;
    static const char text[] = LIST(NAMED("a", "f") "," NAMED("../b", "f"));
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    PROBE_OK(xb_directory_open_text(text, sizeof text - 1, &cursor, &err));
    PROBE_OK(xb_directory_next(cursor, &entry, &err));
    assert_string_equal(entry->name, "a");
    struct xb_entry mine = *entry;
    *entry = (struct xb_entry){.name = NULL}; /* taken */
    PROBE_REFUSED(xb_directory_next(cursor, &entry, &err), XB_ERR_CORRUPT, "../b");
    assert_string_equal(mine.name, "a");
    xb_entry_free(&mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(many_entries_go_through_scratch, setup, teardown),
        cmocka_unit_test_setup_teardown(one_name_twice_is_found_among_many, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_kept_is_the_parent, setup, teardown),
        cmocka_unit_test_setup_teardown(a_parent_of_others_is_taken_over, setup, teardown),
        cmocka_unit_test(only_our_text_is_taken_over),
        cmocka_unit_test(lossy_names_are_told_apart),
        cmocka_unit_test(damage_is_found_where_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
