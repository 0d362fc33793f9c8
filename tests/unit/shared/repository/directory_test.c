/* SPDX-License-Identifier: Apache-2.0
 *
 * Directory objects: kopia's bytes to the letter, and whatever else kopia may have written is read.
 */
#include "shared/codec/text.h"
#include "shared/repository/directory.h"

#include "tests/harness/opened_repository.h"

#define OBJECT "fcab135b7e0a6e8bae2398343da4be9a"
#define STREAM "{\"stream\":\"kopia:directory\","

static int64_t time_of(const char *text)
{
    int64_t ns = 0;
    PROBE_OK(xb_time_parse(text, &ns, &err));
    return ns;
}

static struct xb_directory *decoded(const char *text)
{
    struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_decode(text, strlen(text), &directory, &err));
    return directory;
}

static void refused(const char *text, const char *words)
{
    struct xb_directory *directory = NULL;
    PROBE_REFUSED(xb_directory_decode(text, strlen(text), &directory, &err), XB_ERR_CORRUPT, words);
    assert_null(directory);
}

static struct xb_entry make_entry(const char *name, enum xb_entry_type type)
{
    struct xb_entry entry = {.name = strdup(name), .type = type, .object = {OBJECT}};
    assert_non_null(entry.name);
    return entry;
}

static void add(struct xb_directory_builder *builder, const char *name, enum xb_entry_type type)
{
    struct xb_entry entry = make_entry(name, type);
    PROBE_OK(xb_directory_builder_add(builder, &entry, &err));
    assert_null(entry.name); /* taken over */
}

static struct xb_directory_builder *new_builder(void)
{
    struct xb_directory_builder *builder = NULL;
    PROBE_OK(xb_directory_builder_new(&builder, &err));
    return builder;
}

/* Writes, and gives the object's bytes. */
static struct xb_object_id write_builder(struct xb_directory_builder *builder, int64_t mtime_ns,
                                         struct xb_buf *text)
{
    struct xb_object_id id;
    struct xb_summary *summary = NULL;
    PROBE_OK(xb_directory_builder_write(builder, repository, mtime_ns, &id, &summary, &err));
    xb_summary_free(summary);
    probe_flush(repository);
    PROBE_OK(xb_object_read_all(repository, &id, text, &err));
    return id;
}

/* ---- writing ---- */

static void empty_is_kopias(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    struct xb_object_id id =
        write_builder(builder, time_of("2026-11-23T01:02:03.39465576Z"), &text);
    assert_string_equal(text.data, STREAM
                        "\"entries\":null,\"summary\":{\"size\":0,\"files\":0,\"symlinks\":0,"
                        "\"dirs\":1,\"maxTime\":\"2026-11-23T01:02:03.39465576Z\","
                        "\"numFailed\":0}}\n");
    assert_int_equal(id.text[0], 'k');
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &directory, &err));
    assert_int_equal(directory->count, 0);
    assert_int_equal(directory->summary.dirs, 1);
    assert_null(xb_directory_find(directory, "a"));
}

/* Directories first, then the rest, each in the order of their bytes. */
static void order_and_sums(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    struct xb_entry file = make_entry("b", XB_ENTRY_FILE);
    file.size = 10;
    file.mtime_ns = time_of("2026-01-02T00:00:00Z");
    PROBE_OK(xb_directory_builder_add(builder, &file, &err));
    struct xb_entry link = make_entry("B", XB_ENTRY_SYMLINK);
    link.size = 7;
    link.mode = 0777;
    PROBE_OK(xb_directory_builder_add(builder, &link, &err));
    struct xb_entry folder = make_entry("z", XB_ENTRY_DIRECTORY);
    folder.summary = calloc(1, sizeof *folder.summary);
    assert_non_null(folder.summary);
    *folder.summary = (struct xb_summary){.size = 100,
                                          .files = 3,
                                          .symlinks = 2,
                                          .dirs = 4,
                                          .max_time_ns = time_of("2026-01-03T00:00:00Z"),
                                          .num_failed = 1};
    PROBE_OK(xb_directory_builder_add(builder, &folder, &err));
    add(builder, "\xc3\xa9", XB_ENTRY_FILE);
    add(builder, "a", XB_ENTRY_DIRECTORY);
    (void)write_builder(builder, 1, &text);
    assert_string_equal(
        text.data,
        STREAM "\"entries\":[{\"name\":\"a\",\"type\":\"d\",\"obj\":\"" OBJECT "\"},"
               "{\"name\":\"z\",\"type\":\"d\",\"obj\":\"" OBJECT "\",\"summ\":{\"size\":100,"
               "\"files\":3,\"symlinks\":2,\"dirs\":4,\"maxTime\":\"2026-01-03T00:00:00Z\","
               "\"numFailed\":1}},"
               "{\"name\":\"B\",\"type\":\"s\",\"mode\":\"0777\",\"size\":7,\"obj\":\"" OBJECT
               "\"},{\"name\":\"b\",\"type\":\"f\",\"size\":10,\"mtime\":\"2026-01-02T00:00:00Z\","
               "\"obj\":\"" OBJECT "\"},{\"name\":\"\xc3\xa9\",\"type\":\"f\",\"obj\":\"" OBJECT
               "\"}],\"summary\":{\"size\":110,\"files\":5,\"symlinks\":3,\"dirs\":5,\"maxTime\":"
               "\"2026-01-03T00:00:00Z\",\"numFailed\":1}}\n");
}

/* The order of adding changes nothing: equal folders are one object. */
static void same_entries_same_object(void **state)
{
    (void)state;
    static const char *const names[] = {"x", "a", "m", "\xff", "Z", "0"};
    struct xb_object_id ids[2];
    for (int round = 0; round < 2; round++) {
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
        for (int i = 0; i < 6; i++) {
            int at = round ? 5 - i : i;
            add(builder, names[at], at % 2 ? XB_ENTRY_FILE : XB_ENTRY_SYMLINK);
        }
        ids[round] = write_builder(builder, round, &text);
    }
    assert_string_equal(ids[0].text, ids[1].text);
}

static void errors_are_listed(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    PROBE_OK(xb_directory_builder_add_error(builder, "b/x", "no", false, &err));
    PROBE_OK(xb_directory_builder_add_error(builder, "a", "<never>", true, &err));
    struct xb_entry folder = make_entry("d", XB_ENTRY_DIRECTORY);
    folder.summary = calloc(1, sizeof *folder.summary);
    assert_non_null(folder.summary);
    *folder.summary = (struct xb_summary){.dirs = 1, .num_failed = 2, .num_ignored_errors = 4};
    folder.summary->errors = calloc(1, sizeof *folder.summary->errors);
    assert_non_null(folder.summary->errors);
    folder.summary->error_count = 1;
    folder.summary->errors[0] =
        (struct xb_summary_error){.path = strdup("ab"), .error = strdup("")};
    folder.summary->incomplete = strdup("checkpoint");
    PROBE_OK(xb_directory_builder_add(builder, &folder, &err));
    struct xb_object_id id = write_builder(builder, 1, &text);
    assert_non_null(strstr(text.data, "\"incomplete\":\"checkpoint\",\"numFailed\":3,"
                                      "\"numIgnoredErrors\":5,\"errors\":[{\"path\":\"a\","
                                      "\"error\":\"\\u003cnever\\u003e\"},{\"path\":\"ab\","
                                      "\"error\":\"\"},{\"path\":\"b/x\",\"error\":\"no\"}]}}\n"));
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &directory, &err));
    assert_int_equal(directory->summary.num_failed, 3);
    assert_int_equal(directory->summary.error_count, 3);
    assert_string_equal(directory->summary.incomplete, "checkpoint");
    for (int i = 0; i < 30; i++) {
        PROBE_OK(xb_directory_builder_add_error(builder, "more", "no", false, &err));
    }
}

static void one_name_twice_is_not_written(void **state)
{
    (void)state;
    static const enum xb_entry_type kinds[][2] = {{XB_ENTRY_FILE, XB_ENTRY_FILE},
                                                  {XB_ENTRY_DIRECTORY, XB_ENTRY_FILE},
                                                  {XB_ENTRY_SYMLINK, XB_ENTRY_DIRECTORY}};
    for (size_t i = 0; i < 3; i++) {
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
        struct xb_object_id id;
        struct xb_summary *summary = NULL;
        add(builder, "a", kinds[i][0]);
        add(builder, "m", XB_ENTRY_DIRECTORY);
        add(builder, "a", kinds[i][1]);
        PROBE_REFUSED(xb_directory_builder_write(builder, repository, 0, &id, &summary, &err),
                      XB_ERR_INVALID, "'a'");
    }
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    struct xb_entry entry = make_entry("a/b", XB_ENTRY_FILE);
    PROBE_REFUSED(xb_directory_builder_add(builder, &entry, &err), XB_ERR_BUG, NULL);
    assert_null(entry.name); /* taken over all the same */
}

/* kopia must not see special files: it would restore an empty file for each. */
static void special_files_stand_apart(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    static const char *const names[] = {"z", "b", "m"};
    for (size_t i = 0; i < 3; i++) {
        struct xb_entry node = {.name = strdup(names[i]),
                                .type = XB_ENTRY_FILE,
                                .mtime_ns = time_of("2026-01-05T00:00:00Z"),
                                .link = i == 1 ? strdup("0:7") : NULL,
                                .node = "psc"[i],
                                .node_major = i == 2 ? 1 : 0,
                                .node_minor = i == 2 ? 3 : 0};
        PROBE_OK(xb_directory_builder_add(builder, &node, &err));
    }
    add(builder, "k", XB_ENTRY_FILE);
    add(builder, "d", XB_ENTRY_DIRECTORY);
    struct xb_object_id id = write_builder(builder, 1, &text);
    assert_string_equal(text.data, STREAM
                        "\"entries\":[{\"name\":\"d\",\"type\":\"d\",\"obj\":\"" OBJECT "\"},"
                        "{\"name\":\"k\",\"type\":\"f\",\"obj\":\"" OBJECT "\"}],"
                        "\"summary\":{\"size\":0,\"files\":1,\"symlinks\":0,\"dirs\":1,"
                        "\"maxTime\":\"1970-01-01T00:00:00Z\",\"numFailed\":0},"
                        "\"x-special\":[{\"name\":\"b\",\"type\":\"f\",\"mtime\":"
                        "\"2026-01-05T00:00:00Z\",\"x-link\":\"0:7\",\"x-node\":\"s\"},"
                        "{\"name\":\"m\",\"type\":\"f\",\"mtime\":\"2026-01-05T00:00:00Z\","
                        "\"x-node\":\"c:1:3\"},"
                        "{\"name\":\"z\",\"type\":\"f\",\"mtime\":\"2026-01-05T00:00:00Z\","
                        "\"x-node\":\"p\"}]}\n");
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &directory, &err));
    assert_int_equal(directory->count, 5);
    assert_int_equal(xb_directory_find(directory, "z")->node, 'p');
    assert_int_equal(xb_directory_find(directory, "m")->node_minor, 3);
    assert_string_equal(xb_directory_find(directory, "b")->link, "0:7");
}

static void special_files_are_checked(void **state)
{
    (void)state;
#define NODE(name) "{\"name\":\"" name "\",\"type\":\"f\",\"x-node\":\"p\"}"
    /* The old form, with an object among the others; and the field before the entries. */
    static const char *const good[] = {
        STREAM "\"entries\":[{\"name\":\"a\",\"type\":\"f\",\"obj\":\"" OBJECT
               "\",\"x-node\":\"p\"}]}",
        STREAM "\"x-special\":[" NODE("a") "],\"entries\":null}",
        STREAM "\"x-special\":[" NODE("a") "]}",
        STREAM "\"entries\":[],\"x-special\":[" NODE("a") "],\"x-special\":[7]}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = decoded(good[i]);
        assert_int_equal(directory->count, 1);
        assert_int_equal(xb_directory_find(directory, "a")->node, 'p');
    }
    refused(STREAM "\"entries\":[],\"x-special\":[{\"name\":\"a\",\"type\":\"f\",\"obj\":\"" OBJECT
                   "\"}]}",
            "x-special");
    refused(STREAM "\"entries\":[],\"x-special\":[{\"name\":\"a\",\"type\":\"f\"}]}", "obj");
    refused(STREAM "\"entries\":[],\"x-special\":{}}", NULL);
}

/* A stand-in gives way to the file that is really called so, and to another of its kind. */
static void stand_ins_give_way(void **state)
{
    (void)state;
    static const char *const names[] = {"\xe9", "_~af64644c8602d3a4", "_~af64644c8602d3a4~1",
                                        "_~af64644c8602d3a4~2~", "other"};
    struct xb_object_id ids[2];
    for (int round = 0; round < 2; round++) {
        XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
        for (int i = 0; i < 5; i++) {
            add(builder, names[round ? 4 - i : i], XB_ENTRY_FILE);
        }
        ids[round] = write_builder(builder, 1, &text);
        /* The hash in the names above is the one of "\xe9", else this test tests nothing. */
        assert_non_null(strstr(text.data,
                               "{\"name\":\"_~af64644c8602d3a4~2\",\"type\":\"f\",\"obj\":"
                               "\"" OBJECT "\",\"x-name\":\"6Q==\"}"));
    }
    assert_string_equal(ids[0].text, ids[1].text);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &ids[0], &directory, &err));
    assert_int_equal(directory->count, 5);
    for (int i = 0; i < 5; i++) {
        assert_non_null(xb_directory_find(directory, names[i]));
    }
}

/* A folder as far as it has come: with what the other builder has, and the first one goes on. */
static void checkpoints_leave_the_builder(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *more = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(10000);
    struct xb_entry file = make_entry("b", XB_ENTRY_FILE);
    file.size = 10;
    file.mtime_ns = time_of("2026-01-02T00:00:00Z");
    PROBE_OK(xb_directory_builder_add(builder, &file, &err));
    PROBE_OK(xb_directory_builder_add_error(builder, "x", "no", false, &err));
    struct xb_entry part = make_entry("a", XB_ENTRY_FILE);
    part.size = 5;
    part.mtime_ns = time_of("2026-01-03T00:00:00Z");
    PROBE_OK(xb_directory_builder_add(more, &part, &err));
    struct xb_object_id id, alone;
    struct xb_summary *summary = NULL;
    PROBE_OK(xb_directory_builder_checkpoint(builder, more, repository, &id, &summary, &err));
    assert_string_equal(summary->incomplete, "checkpoint");
    assert_int_equal(summary->files, 2);
    assert_int_equal(summary->size, 15);
    assert_int_equal(summary->dirs, 1);
    assert_int_equal(summary->num_failed, 1);
    assert_int_equal(summary->error_count, 1);
    assert_int_equal(summary->max_time_ns, time_of("2026-01-03T00:00:00Z"));
    xb_summary_free(summary);
    PROBE_OK(xb_directory_builder_checkpoint(builder, NULL, repository, &alone, &summary, &err));
    assert_string_equal(summary->incomplete, "checkpoint");
    assert_int_equal(summary->files, 1);
    assert_int_equal(summary->dirs, 1);
    assert_int_equal(summary->max_time_ns, time_of("2026-01-02T00:00:00Z"));
    xb_summary_free(summary);
    probe_flush(repository);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &directory, &err));
    assert_int_equal(directory->count, 2);
    assert_string_equal(directory->summary.incomplete, "checkpoint");

    add(builder, "c", XB_ENTRY_FILE);
    (void)write_builder(builder, 1, &text);
    assert_string_equal(text.data, STREAM
                        "\"entries\":[{\"name\":\"b\",\"type\":\"f\",\"size\":10,\"mtime\":"
                        "\"2026-01-02T00:00:00Z\",\"obj\":\"" OBJECT "\"},{\"name\":\"c\","
                        "\"type\":\"f\",\"obj\":\"" OBJECT "\"}],\"summary\":{\"size\":10,"
                        "\"files\":2,\"symlinks\":0,\"dirs\":1,\"maxTime\":"
                        "\"2026-01-02T00:00:00Z\",\"numFailed\":1,\"errors\":[{\"path\":\"x\","
                        "\"error\":\"no\"}]}}\n");
}

/* Large enough for several chunks. */
static void large_directories(void **state)
{
    (void)state;
    enum { ENTRIES = 20000 };
    XB_CLEANUP(xb_directory_builder_freep) struct xb_directory_builder *builder = new_builder();
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(100 << 20);
    for (int i = 0; i < ENTRIES; i++) {
        char name[40];
        snprintf(name, sizeof name, "file-%05d", (i * 7919) % ENTRIES);
        add(builder, name, XB_ENTRY_FILE);
    }
    struct xb_object_id id = write_builder(builder, 1, &text);
    assert_int_equal(strncmp(id.text, "Ik", 2), 0);
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_read(repository, &id, &directory, &err));
    assert_int_equal(directory->count, ENTRIES);
    assert_int_equal(directory->summary.files, ENTRIES);
    for (int i = 0; i < ENTRIES; i++) {
        char name[40];
        snprintf(name, sizeof name, "file-%05d", i);
        assert_string_equal(directory->entries[i].name, name);
        assert_ptr_equal(xb_directory_find(directory, name), &directory->entries[i]);
    }
    assert_null(xb_directory_find(directory, "file-20000"));
    assert_null(xb_directory_find(directory, ""));
}

/* ---- reading ---- */

static void what_kopia_may_write_reads(void **state)
{
    (void)state;
    static const char *const empty[] = {
        STREAM "\"entries\":null}",
        STREAM "\"entries\":[]}",
        "{\"stream\":\"kopia:directory\"}",
        " { \"summary\" : { } ,\n\t\"entries\" : [ ] , \"stream\" : \"kopia:directory\" }\r\n ",
        STREAM
        "\"x-new\":[{\"a\":\"]}\\\"\"},1.5e3,null,true],\"entries\":null,\"n\":-1,\"s\":\"\"}",
    };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = decoded(empty[i]);
        assert_int_equal(directory->count, 0);
    }
    XB_CLEANUP(xb_directory_freep)
    struct xb_directory *directory =
        decoded("{\"entries\":[ {\"name\":\"b\",\"type\":\"f\",\"obj\":\"" OBJECT
                "\",\"new\":{\"deep\":[\"}\"]}} ,{\"name\":\"a\",\"type\":\"s\",\"obj\":\"" OBJECT
                "\"}],\"summary\":{\"size\":7,\"new\":[]},\"stream\":\"kopia:directory\"}");
    assert_int_equal(directory->count, 2);
    assert_int_equal(directory->summary.size, 7);
    /* In stored order, and found by name. */
    assert_string_equal(directory->entries[0].name, "b");
    assert_ptr_equal(xb_directory_find(directory, "a"), &directory->entries[1]);
    assert_ptr_equal(xb_directory_find(directory, "b"), &directory->entries[0]);
    assert_null(xb_directory_find(directory, "c"));
}

#define NAMED(name, type) "{\"name\":\"" name "\",\"type\":\"" type "\",\"obj\":\"" OBJECT "\"}"

/* kopia gives all names that are no UTF-8 the same letters: none of these files is lost. */
static void one_name_several_times_is_told_apart(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_freep)
    struct xb_directory *directory = decoded(
        STREAM "\"entries\":[" NAMED("a", "d") "," NAMED("a", "f") "," NAMED("a~2", "f") "," NAMED(
            "a", "s") "," NAMED("b", "f") ",{\"name\":\"c\",\"x-name\":\"Yg==\",\"type\":\"f\","
                                          "\"obj\":\"" OBJECT "\"}]}");
    static const char *const names[] = {"a", "a~3", "a~2", "a~4", "b", "b~2"};
    static const bool renamed[] = {false, true, false, true, false, true};
    assert_int_equal(directory->count, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(directory->entries[i].name, names[i]);
        assert_int_equal(directory->entries[i].renamed, renamed[i]);
        assert_ptr_equal(xb_directory_find(directory, names[i]), &directory->entries[i]);
    }
}

static void a_summary_that_is_null_is_absent(void **state)
{
    (void)state;
    XB_CLEANUP(xb_directory_freep)
    struct xb_directory *directory = decoded(STREAM "\"entries\":[],\"summary\":null}");
    assert_int_equal(directory->count, 0);
    assert_int_equal(directory->summary.dirs, 0);
}

static void malformed_directories_are_refused(void **state)
{
    (void)state;
#define ENTRY "{\"name\":\"a\",\"type\":\"f\",\"obj\":\"" OBJECT "\"}"
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"entries\":[]}",
        "{\"stream\":\"kopia:indirect\",\"entries\":[]}",
        "{\"stream\":\"kopia:directory2\",\"entries\":[]}",
        "{\"stream\":1,\"entries\":[]}",
        STREAM "\"entries\":{}}",
        STREAM "\"entries\":7}",
        STREAM "\"entries\":\"\"}",
        STREAM "\"entries\":nul}",
        STREAM "\"entries\":[",
        STREAM "\"entries\":[]",
        STREAM "\"entries\":[]}}",
        STREAM "\"entries\":[]},",
        STREAM "\"entries\":[]} x",
        STREAM "\"entries\":[],}",
        STREAM "\"entries\":[null]}",
        STREAM "\"entries\":[1]}",
        STREAM "\"entries\":[\"a\"]}",
        STREAM "\"entries\":[[]]}",
        STREAM "\"entries\":[{}]}",
        STREAM "\"entries\":[" ENTRY ",]}",
        STREAM "\"entries\":[," ENTRY "]}",
        STREAM "\"entries\":[" ENTRY " " ENTRY "]}",
        STREAM "\"entries\":[" ENTRY "}",
        STREAM "\"entries\":[{\"name\":\"a\"]}",
        STREAM "\"entries\":[],\"summary\":[]}",
        STREAM "\"entries\":[],\"summary\":7}",
        STREAM "\"entries\":[],\"summary\":{\"dirs\":\"1\"}}",
        STREAM "\"entries\":[],\"x\":}",
        STREAM "\"entries\":[],\"x\" 1}",
        STREAM "\"entries\":[],x:1}",
        STREAM "\"entries\":[],\"x\":\"",
        STREAM "\"entries\":[],\"x\":\"\\\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refused(bad[i], NULL);
    }
    refused(STREAM "\"entries\":[{\"name\":\"../a\",\"type\":\"f\",\"obj\":\"" OBJECT "\"}]}",
            "name");
    refused(STREAM "\"entries\":[{\"name\":\"a\",\"type\":\"q\",\"obj\":\"" OBJECT "\"}]}", "'q'");
}

/* Nesting costs no stack, neither in an entry nor beside it. */
static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP + 1000);
    assert_non_null(text);
    static const char *const heads[] = {
        STREAM "\"x\":", STREAM "\"entries\":[{\"name\":", STREAM "\"summary\":{\"size\":"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(heads[i]);
        memcpy(text, heads[i], len);
        memset(text + len, i == 1 ? '{' : '[', DEEP);
        memset(text + len + DEEP, i == 1 ? '}' : ']', DEEP);
        memcpy(text + len + 2 * DEEP, "}", 2);
        refused(text, NULL);
    }
    free(text);
}

static void damaged_objects_are_named(void **state)
{
    (void)state;
    struct xb_content_write_result result = probe_write(repository, 'k', "{\"stream\":\"x\"}");
    struct xb_object_id id;
    struct xb_directory *directory = NULL;
    xb_content_id_format(&result.id, id.text);
    probe_flush(repository);
    PROBE_REFUSED(xb_directory_read(repository, &id, &directory, &err), XB_ERR_CORRUPT, id.text);
    PROBE_OK(xb_object_id_parse("k" OBJECT, &id, &err));
    PROBE_REFUSED(xb_directory_read(repository, &id, &directory, &err), XB_ERR_CORRUPT, id.text);
    result = probe_write(repository, 'k', "");
    xb_content_id_format(&result.id, id.text);
    probe_flush(repository);
    PROBE_REFUSED(xb_directory_read(repository, &id, &directory, &err), XB_ERR_CORRUPT, id.text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_is_kopias, setup, teardown),
        cmocka_unit_test_setup_teardown(order_and_sums, setup, teardown),
        cmocka_unit_test_setup_teardown(same_entries_same_object, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(one_name_twice_is_not_written, setup, teardown),
        cmocka_unit_test_setup_teardown(special_files_stand_apart, setup, teardown),
        cmocka_unit_test(special_files_are_checked),
        cmocka_unit_test_setup_teardown(stand_ins_give_way, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_leave_the_builder, setup, teardown),
        cmocka_unit_test_setup_teardown(large_directories, setup, teardown),
        cmocka_unit_test(what_kopia_may_write_reads),
        cmocka_unit_test(one_name_several_times_is_told_apart),
        cmocka_unit_test(a_summary_that_is_null_is_absent),
        cmocka_unit_test(malformed_directories_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test_setup_teardown(damaged_objects_are_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
