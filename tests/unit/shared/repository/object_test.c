/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects: what we write is what kopia writes, what kopia may have written is read, and what does
 * not fit together is refused.
 */
#include "shared/repository/splitter.h"
#include "tests/harness/object_chunks.h"
#include "tests/harness/opened_repository.h"
#include "tests/harness/property.h"

enum { BIG_BYTES = 1 << 20 };

static void fill(unsigned char *data, size_t len)
{
    uint64_t x = 88172645463325252U;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        data[i] = (unsigned char)(x >> 32);
    }
}

/* A content, and its id as text behind `before`. */
static struct xb_object_id put(const char *before, char prefix, const char *text)
{
    struct xb_object_id id;
    char content[XB_CONTENT_ID_TEXT_BYTES];
    struct xb_content_write_result result = probe_write(repository, prefix, text);
    xb_content_id_format(&result.id, content);
    snprintf(id.text, sizeof id.text, "%s%s", before, content);
    return id;
}

#define TABLE(entries) "{\"stream\":\"kopia:indirect\",\"entries\":" entries "}\n"

__attribute__((format(printf, 2, 3))) static struct xb_object_id put_table(const char *before,
                                                                           const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof text);
    return put(before, 'x', text);
}

static struct xb_object_id write_object(const struct xb_object_writer_options *options,
                                        const void *data, size_t len,
                                        struct xb_object_stats *ret_stats)
{
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    struct xb_object_id id;
    struct xb_object_stats stats;
    PROBE_OK(xb_object_writer_new(repository, options, &writer, &err));
    PROBE_OK(xb_object_writer_write(writer, data, len, &err));
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    if (ret_stats) {
        *ret_stats = stats;
    }
    return id;
}

static const struct xb_object_writer_options file = {.split = true};

static void holds(const struct xb_object_id *id, const void *want, size_t len)
{
    struct xb_buf out = XB_BUF_INIT(8 << 20);
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    PROBE_OK(xb_object_read_all(repository, id, &out, &err));
    assert_int_equal(out.len, len);
    assert_memory_equal(out.data ? out.data : "", want, len);
    PROBE_OK(xb_object_reader_open(repository, id, &reader, &err));
    assert_int_equal(xb_object_reader_length(reader), len);
    xb_buf_free(&out);
}

static void unreadable(const struct xb_object_id *id, enum xb_error_kind kind, const char *words)
{
    struct xb_buf out = XB_BUF_INIT(8 << 20);
    PROBE_REFUSED(xb_object_read_all(repository, id, &out, &err), kind, words);
    xb_buf_free(&out);
}

static int count_content(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    (void)id;
    (void)err;
    ++*(size_t *)context;
    return 0;
}

/* ---- ids ---- */

#define HEX "71ac110e67ead91e44463745ea55695d"

static void ids(void **state)
{
    (void)state;
    static const char *const good[] = {HEX,      "k" HEX, "Ix" HEX,       "IIx" HEX,
                                       "Ik" HEX, "D" HEX, "IDx" HEX,      "Z" HEX,
                                       "ZD" HEX, "I" HEX, "IIIIIIIIx" HEX};
    static const char *const bad[] = {"",
                                      "I",
                                      "Z",
                                      "D",
                                      "IZ" HEX,
                                      "IIIIIIIIIx" HEX,
                                      "DI" HEX,
                                      "DZ" HEX,
                                      "K" HEX,
                                      "f" HEX,
                                      HEX "0",
                                      "k" HEX " ",
                                      "k" HEX "\n",
                                      "kk" HEX,
                                      HEX HEX HEX,
                                      "71AC110E67EAD91E44463745EA55695D",
                                      "../../etc/passwd"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct xb_object_id id;
        PROBE_OK(xb_object_id_parse(good[i], &id, &err));
        assert_string_equal(id.text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_object_id id;
        PROBE_REFUSED(xb_object_id_parse(bad[i], &id, &err), XB_ERR_CORRUPT, NULL);
    }
}

/* ---- writing ---- */

static void nothing_is_one_empty_content(void **state)
{
    (void)state;
    struct xb_object_stats stats;
    struct xb_object_id id = write_object(&file, "", 0, &stats);
    assert_int_equal(strlen(id.text), 32);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.chunks, 1);
    assert_int_equal(stats.new_chunks, 1);
    probe_flush(repository);
    holds(&id, "", 0);
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    const void *data = NULL;
    size_t len = 1;
    PROBE_OK(xb_object_reader_open(repository, &id, &reader, &err));
    PROBE_OK(xb_object_reader_seek(reader, 0, &err));
    PROBE_OK(xb_object_reader_next(reader, &data, &len, &err));
    assert_int_equal(len, 0);
    PROBE_REFUSED(xb_object_reader_seek(reader, 1, &err), XB_ERR_INVALID, "beyond");
}

static void one_chunk_is_its_content(void **state)
{
    (void)state;
    struct xb_object_stats stats;
    struct xb_object_id id = write_object(&file, "hello", 5, &stats);
    struct xb_object_id direct = put("", 0, "hello");
    assert_string_equal(id.text, direct.text);
    assert_int_equal(stats.new_bytes, 5);
    assert_true(stats.stored_bytes > 5);
    const struct xb_object_writer_options folder = {.prefix = 'k', .split = true};
    id = write_object(&folder, "hello", 5, NULL);
    assert_int_equal(id.text[0], 'k');
    assert_string_equal(id.text + 1, direct.text);
    id = write_object(&file, "hello", 5, &stats);
    assert_int_equal(stats.new_chunks, 0);
    assert_int_equal(stats.new_bytes, 0);
    assert_int_equal(stats.stored_bytes, 0);
    assert_int_equal(stats.bytes, 5);
    probe_flush(repository);
    holds(&id, "hello", 5);
}

/* The index object is JSON as kopia writes it: no "s" at 0, a newline at the end. */
static void several_chunks_have_an_index(void **state)
{
    (void)state;
    unsigned char *data = malloc(BIG_BYTES);
    assert_non_null(data);
    fill(data, BIG_BYTES);
    struct xb_object_stats stats;
    struct xb_object_id id = write_object(&file, data, BIG_BYTES, &stats);
    assert_int_equal(strncmp(id.text, "Ix", 2), 0);
    assert_true(stats.chunks > 3);
    assert_int_equal(stats.new_chunks, stats.chunks);
    probe_flush(repository);
    holds(&id, data, BIG_BYTES);

    char want[8192] = "{\"stream\":\"kopia:indirect\",\"entries\":[";
    struct object_chunks table;
    PROBE_OK(object_chunks_load(repository, &id, &table, &err));
    assert_int_equal(table.count, stats.chunks);
    assert_int_equal(table.len, BIG_BYTES);
    size_t used = strlen(want);
    for (size_t i = 0; i < table.count; i++) {
        char start[40] = "";
        if (i) {
            snprintf(start, sizeof start, "\"s\":%llu,", (unsigned long long)table.chunks[i].start);
        }
        used += (size_t)snprintf(want + used, sizeof want - used, "%s{%s\"l\":%llu,\"o\":\"%s\"}",
                                 i ? "," : "", start, (unsigned long long)table.chunks[i].len,
                                 table.chunks[i].id.text);
    }
    snprintf(want + used, sizeof want - used, "]}\n");
    struct xb_object_id inner;
    PROBE_OK(xb_object_id_parse(id.text + 1, &inner, &err));
    holds(&inner, want, strlen(want));

    /* A directory's index keeps its prefix. */
    const struct xb_object_writer_options folder = {.prefix = 'k', .split = true};
    struct xb_object_id other = write_object(&folder, data, BIG_BYTES, NULL);
    assert_int_equal(strncmp(other.text, "Ik", 2), 0);
    probe_flush(repository);
    holds(&other, data, BIG_BYTES);
    object_chunks_free(&table);
    free(data);
}

/* The splitter starts anew at each part: the object's chunks are those of its parts. */
static void parts_are_cut_apart(void **state)
{
    (void)state;
    enum { PART_BYTES = 300000 };
    unsigned char *data = malloc(BIG_BYTES);
    assert_non_null(data);
    fill(data, BIG_BYTES);
    const struct xb_object_writer_options parts = {.split = true, .part_bytes = PART_BYTES};
    struct object_chunks whole;
    struct xb_object_id id = write_object(&parts, data, BIG_BYTES, NULL);
    probe_flush(repository);
    holds(&id, data, BIG_BYTES);
    PROBE_OK(object_chunks_load(repository, &id, &whole, &err));
    size_t at = 0;
    for (size_t start = 0; start < BIG_BYTES; start += PART_BYTES) {
        size_t len = BIG_BYTES - start < PART_BYTES ? BIG_BYTES - start : PART_BYTES;
        struct xb_object_stats stats;
        struct xb_object_id part = write_object(&file, data + start, len, &stats);
        assert_int_equal(stats.new_chunks, 0);
        if (part.text[0] != 'I') {
            assert_string_equal(whole.chunks[at++].id.text, part.text);
            continue;
        }
        probe_flush(repository);
        struct object_chunks table;
        PROBE_OK(object_chunks_load(repository, &part, &table, &err));
        for (size_t i = 0; i < table.count; i++, at++) {
            assert_true(at < whole.count);
            assert_string_equal(whole.chunks[at].id.text, table.chunks[i].id.text);
            assert_int_equal(whole.chunks[at].start, start + table.chunks[i].start);
        }
        object_chunks_free(&table);
    }
    assert_int_equal(at, whole.count);
    object_chunks_free(&whole);
    free(data);
}

/* As a file's hole is written: chunks of zeros by number, what is left over byte by byte. */
static void write_zeros(struct xb_object_writer *writer, uint64_t len)
{
    static const char zeros[65536];
    XB_CLEANUP(xb_object_batch_freep) struct xb_object_batch *batch = NULL;
    PROBE_OK(xb_object_batch_new(&batch, &err));
    while (len > 0) {
        uint64_t chunk = xb_object_writer_zero_chunk(writer);
        uint64_t take = len < sizeof zeros ? len : sizeof zeros;
        if (chunk > 0 && len >= chunk) {
            take = chunk;
            PROBE_OK(xb_object_writer_feed_zeros(writer, batch, &err));
        } else {
            PROBE_OK(xb_object_writer_write(writer, zeros, (size_t)take, &err));
        }
        len -= take;
        if (xb_object_batch_chunks(batch) == XB_OBJECT_BATCH_CHUNKS_MAX) {
            PROBE_OK(xb_object_writer_store(writer, batch, &err));
        }
    }
    PROBE_OK(xb_object_writer_store(writer, batch, &err));
}

/* Zeros by their number are the same as zeros byte by byte, wherever they begin and end. */
static void zeros_by_number(void **state)
{
    (void)state;
    enum { ALL_BYTES = 6 << 20 };
    static const size_t pieces[][5] = {/* data, zeros, data, ... */
                                       {0, ALL_BYTES},
                                       {1, 5 << 20},
                                       {100000, 3 << 20, 7, 1 << 20, 400000},
                                       {0, 65536, 1, 65536 * 3, 1},
                                       {70000, 65535, 70000, 1, 1},
                                       {0, 300000, 300000, 600000, 5},
                                       {0, 1, 0, 2000000, 1000000}};
    const struct xb_object_writer_options parts = {.split = true, .part_bytes = 300000};
    unsigned char *noise = malloc(ALL_BYTES);
    assert_non_null(noise);
    fill(noise, ALL_BYTES);
    for (size_t i = 0; i < 2 * sizeof pieces / sizeof *pieces; i++) {
        const size_t *lens = pieces[i / 2];
        XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
        PROBE_OK(xb_object_writer_new(repository, i % 2 ? &parts : &file, &writer, &err));
        unsigned char *all = calloc(1, ALL_BYTES + 1);
        assert_non_null(all);
        size_t len = 0;
        for (size_t k = 0; k < 5; k++) {
            if (k % 2) {
                write_zeros(writer, lens[k]);
            } else {
                memcpy(all + len, noise, lens[k]);
                PROBE_OK(xb_object_writer_write(writer, noise, lens[k], &err));
            }
            len += lens[k];
        }
        struct xb_object_id id;
        struct xb_object_stats stats;
        PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
        assert_int_equal(stats.bytes, len);
        assert_string_equal(write_object(i % 2 ? &parts : &file, all, len, NULL).text, id.text);
        probe_flush(repository);
        holds(&id, all, len);
        free(all);
    }
    free(noise);
}

/* What never shifts is cut at fixed places, whatever the repository's splitter; zeros, too. */
static void cuts_of_its_own(void **state)
{
    (void)state;
    enum { PIECE_BYTES = 1 << 20, ALL_BYTES = 3 * PIECE_BYTES + 5 };
    const struct xb_object_writer_options fixed = {.split = true, .splitter = "FIXED-1M"};
    const struct xb_object_writer_options unknown = {.split = true, .splitter = "FIXED-1X"};
    XB_CLEANUP(xb_object_pieces_freep) struct xb_object_pieces *pieces = NULL;
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    struct xb_object_piece piece;
    struct xb_object_id id;
    struct xb_object_stats stats;
    unsigned char *data = calloc(1, ALL_BYTES);
    assert_non_null(data);
    fill(data, PIECE_BYTES);
    fill(data + 3 * PIECE_BYTES, 5);
    PROBE_OK(xb_object_writer_new(repository, &fixed, &writer, &err));
    PROBE_OK(xb_object_writer_write(writer, data, PIECE_BYTES, &err));
    write_zeros(writer, (uint64_t)2 * PIECE_BYTES);
    PROBE_OK(xb_object_writer_write(writer, data + 3 * PIECE_BYTES, 5, &err));
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    probe_flush(repository);
    holds(&id, data, ALL_BYTES);
    assert_int_equal(stats.chunks, 4);
    assert_int_equal(stats.new_chunks, 3);
    PROBE_OK(xb_object_pieces_open(repository, &id, &pieces, &err));
    for (uint64_t i = 0; i < 4; i++) {
        PROBE_OK(xb_object_pieces_next(pieces, &piece, &err));
        assert_int_equal(piece.offset, i * PIECE_BYTES);
        assert_int_equal(piece.len, i < 3 ? PIECE_BYTES : 5);
    }
    PROBE_REFUSED(xb_object_writer_new(repository, &unknown, &writer, &err), XB_ERR_INVALID,
                  "FIXED-1X");
    free(data);
}

/* A large hole is a matter of its chunks' number, not of its bytes. */
static void large_holes(void **state)
{
    (void)state;
    enum { PIECES = 64 };
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    struct xb_object_id id;
    struct xb_object_stats stats;
    PROBE_OK(xb_object_writer_new(repository, &file, &writer, &err));
    for (int i = 0; i < PIECES; i++) {
        write_zeros(writer, UINT64_C(1) << 30);
    }
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    assert_int_equal(stats.bytes, (uint64_t)PIECES << 30);
    assert_int_equal(stats.new_bytes, 64 << 10);
    probe_flush(repository);
    PROBE_OK(xb_object_reader_open(repository, &id, &reader, &err));
    assert_int_equal(xb_object_reader_length(reader), (uint64_t)PIECES << 30);
}

static void writers_are_used_again(void **state)
{
    (void)state;
    unsigned char *data = malloc(BIG_BYTES);
    assert_non_null(data);
    fill(data, BIG_BYTES);
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    struct xb_object_id first;
    struct xb_object_id second;
    struct xb_object_stats stats;
    PROBE_OK(xb_object_writer_new(repository, &file, &writer, &err));
    PROBE_OK(xb_object_writer_write(writer, data, BIG_BYTES, &err));
    PROBE_OK(xb_object_writer_finish(writer, &first, &stats, &err));
    PROBE_OK(xb_object_writer_write(writer, data + 5, 500000, &err));
    xb_object_writer_abort(writer);
    for (size_t at = 0; at < BIG_BYTES; at += 9999) {
        size_t len = BIG_BYTES - at < 9999 ? BIG_BYTES - at : 9999;
        PROBE_OK(xb_object_writer_write(writer, data + at, len, &err));
    }
    PROBE_OK(xb_object_writer_finish(writer, &second, &stats, &err));
    assert_string_equal(first.text, second.text);
    assert_int_equal(stats.bytes, BIG_BYTES);
    assert_int_equal(stats.new_chunks, 0);
    free(data);
}

static void without_splitting_there_is_one_content(void **state)
{
    (void)state;
    unsigned char *data = malloc(BIG_BYTES);
    assert_non_null(data);
    fill(data, BIG_BYTES);
    const struct xb_object_writer_options whole = {.split = false};
    struct xb_object_stats stats;
    struct xb_object_id id = write_object(&whole, data, BIG_BYTES, &stats);
    assert_int_equal(strlen(id.text), 32);
    assert_int_equal(stats.chunks, 1);
    probe_flush(repository);
    holds(&id, data, BIG_BYTES);
    free(data);
}

/* ---- reading what others wrote ---- */

static void empty_chunks_are_legal(void **state)
{
    (void)state;
    struct xb_object_id abc = put("", 0, "abc");
    struct xb_object_id none = put("", 0, "");
    struct xb_object_id id =
        put_table("I",
                  TABLE("[{\"o\":\"%s\"},{\"l\":3,\"o\":\"%s\"},{\"s\":3,\"o\":\"%s\"},"
                        "{\"s\":3,\"l\":3,\"o\":\"%s\",\"new\":[1]},{\"s\":6,\"o\":\"%s\"}]"),
                  none.text, abc.text, none.text, abc.text, none.text);
    struct xb_object_id empty = put_table("I", TABLE("null"));
    struct xb_object_id missing = put("I", 'x', "{\"stream\":\"kopia:indirect\",\"x-more\":{}}");
    probe_flush(repository);
    holds(&id, "abcabc", 6);
    holds(&empty, "", 0);
    holds(&missing, "", 0);
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    PROBE_OK(xb_object_reader_open(repository, &id, &reader, &err));
    for (uint64_t at = 0; at <= 6; at++) {
        const void *data = NULL;
        size_t len = 0;
        PROBE_OK(xb_object_reader_seek(reader, at, &err));
        PROBE_OK(xb_object_reader_next(reader, &data, &len, &err));
        assert_int_equal(len, at == 6 ? 0 : 3 - at % 3);
        assert_memory_equal(len ? data : "", "abc" + at % 3, len);
    }
}

static void nested_objects(void **state)
{
    (void)state;
    struct xb_object_id abc = put("", 0, "abc");
    struct xb_object_id de = put("D", 0, "de");
    struct xb_object_id inner = put_table(
        "I", TABLE("[{\"l\":3,\"o\":\"%s\"},{\"s\":3,\"l\":2,\"o\":\"%s\"}]"), abc.text, de.text);
    struct xb_object_id outer = put_table(
        "I",
        TABLE("[{\"l\":5,\"o\":\"%s\"},{\"s\":5,\"l\":3,\"o\":\"%s\"},{\"s\":8,\"l\":5,\"o\":"
              "\"%s\"}]"),
        inner.text, abc.text, inner.text);
    probe_flush(repository);
    holds(&outer, "abcdeabcabcde", 13);
    for (uint64_t at = 0; at < 13; at++) {
        XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
        const void *data = NULL;
        size_t len = 0;
        PROBE_OK(xb_object_reader_open(repository, &outer, &reader, &err));
        PROBE_OK(xb_object_reader_seek(reader, at, &err));
        PROBE_OK(xb_object_reader_next(reader, &data, &len, &err));
        assert_true(len > 0 && len <= 13 - at);
        assert_memory_equal(data, "abcdeabcabcde" + at, len);
    }
    /* The table itself may be cut: IIx. */
    char text[400];
    snprintf(text, sizeof text, TABLE("[{\"l\":3,\"o\":\"%s\"}]"), abc.text);
    char head[11] = "";
    memcpy(head, text, 10);
    struct xb_object_id left = put("", 'x', head);
    struct xb_object_id right = put("", 'x', text + 10);
    struct xb_object_id twice =
        put_table("II", TABLE("[{\"l\":10,\"o\":\"%s\"},{\"s\":10,\"l\":%zu,\"o\":\"%s\"}]"),
                  left.text, strlen(text) - 10, right.text);
    probe_flush(repository);
    holds(&twice, "abc", 3);
}

static void lengths_must_fit(void **state)
{
    (void)state;
    struct xb_object_id abc = put("", 0, "abc");
    struct xb_object_id longer = put_table("I", TABLE("[{\"l\":4,\"o\":\"%s\"}]"), abc.text);
    struct xb_object_id shorter = put_table("I", TABLE("[{\"l\":2,\"o\":\"%s\"}]"), abc.text);
    struct xb_object_id none = put_table("I", TABLE("[{\"o\":\"%s\"}]"), abc.text);
    struct xb_object_id right = put_table("I", TABLE("[{\"l\":3,\"o\":\"%s\"}]"), abc.text);
    struct xb_object_id nested = put_table("I", TABLE("[{\"l\":2,\"o\":\"%s\"}]"), right.text);
    probe_flush(repository);
    const struct xb_object_id *all[] = {&longer, &shorter, &none, &nested};
    for (size_t i = 0; i < 4; i++) {
        size_t count = 0;
        unreadable(all[i], XB_ERR_CORRUPT, "bytes where its parent says");
        PROBE_REFUSED(xb_object_verify(repository, all[i], false, count_content, &count, &err),
                      XB_ERR_CORRUPT, "bytes where its parent says");
    }
    holds(&right, "abc", 3);
}

static void tables_are_checked(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"stream\":\"kopia:directory\",\"entries\":[]}",
        "{\"stream\":1,\"entries\":[]}",
        "{\"entries\":[]}",
        TABLE("{}"),
        TABLE("[1]"),
        TABLE("[{}]"),
        TABLE("[{\"l\":3}]"),
        TABLE("[{\"l\":3,\"o\":7}]"),
        TABLE("[{\"l\":3,\"o\":\"x\"}]"),
        TABLE("[{\"l\":3,\"o\":\"" HEX "\"},{\"s\":4,\"l\":1,\"o\":\"" HEX "\"}]"),
        TABLE("[{\"l\":3,\"o\":\"" HEX "\"},{\"s\":2,\"l\":1,\"o\":\"" HEX "\"}]"),
        TABLE("[{\"s\":1,\"l\":3,\"o\":\"" HEX "\"}]"),
        TABLE("[{\"l\":-3,\"o\":\"" HEX "\"}]"),
        TABLE("[{\"l\":\"3\",\"o\":\"" HEX "\"}]"),
        TABLE("[{\"l\":3.5,\"o\":\"" HEX "\"}]"),
        TABLE("[{\"l\":9223372036854775807,\"o\":\"" HEX
              "\"},{\"s\":9223372036854775807,\"l\":1,\"o\":\"" HEX "\"}]"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct object_chunks table;
        PROBE_REFUSED(object_chunks_parse(bad[i], strlen(bad[i]), &table, &err), XB_ERR_CORRUPT,
                      NULL);
    }
    static const char good[] =
        TABLE("[{\"l\":9223372036854775806,\"o\":\"" HEX
              "\"},{\"s\":9223372036854775806,\"l\":1,\"o\":\"Ix" HEX "\"}]");
    struct object_chunks table;
    PROBE_OK(object_chunks_parse(good, strlen(good), &table, &err));
    assert_int_equal(table.len, INT64_MAX);
    assert_int_equal(table.count, 2);
    object_chunks_free(&table);
}

/* A table of many chunks, some of them empty; every place is found, forwards and backwards, though
 * only some are remembered. */
static void places_in_a_long_table(void **state)
{
    (void)state;
    enum { CHUNKS = 40000, SEEKS = 600 };
    struct property source = property_begin("places");
    struct xb_buf text = XB_BUF_INIT(64 << 20);
    uint64_t *starts = calloc(CHUNKS + 1, sizeof *starts);
    assert_non_null(starts);
    PROBE_OK(xb_buf_append_str(&text, "{\"stream\":\"kopia:indirect\",\"entries\":[", &err));
    for (size_t i = 0; i < CHUNKS; i++) {
        uint64_t len = property_below(&source, 5);
        PROBE_OK(xb_buf_printf(&text, &err, "%s{\"s\":%llu,\"l\":%llu,\"o\":\"%032zx\"}",
                               i ? "," : "", (unsigned long long)starts[i], (unsigned long long)len,
                               i));
        starts[i + 1] = starts[i] + len;
    }
    PROBE_OK(xb_buf_append_str(&text, "]}\n", &err));
    const struct xb_object_writer_options index = {.prefix = 'x', .split = true};
    struct xb_object_id id = {.text = "I"};
    struct xb_object_id inner =
        write_object(&index, (const unsigned char *)text.data, text.len, NULL);
    probe_flush(repository);
    memcpy(id.text + 1, inner.text, sizeof id.text - 1);
    for (int stored = 0; stored < 2; stored++) {
        XB_CLEANUP(xb_object_table_freep) struct xb_object_table *table = NULL;
        uint64_t len = 0;
        PROBE_OK(stored ? xb_object_table_open(repository, &id, 0, &table, &err)
                        : xb_object_table_open_text(text.data, text.len, &table, &err));
        PROBE_OK(xb_object_table_measure(table, &len, &err));
        assert_int_equal(len, starts[CHUNKS]);
        for (size_t i = 0; i < (stored ? SEEKS / 30 : SEEKS); i++) {
            uint64_t offset = property_below(&source, len + 1);
            const struct xb_object_chunk *found = NULL;
            struct xb_object_chunk chunk;
            bool more = false;
            PROBE_OK(xb_object_table_seek(table, offset, &found, &err));
            assert_int_equal(found == NULL, offset == len);
            for (size_t k = 0; found && k < 3; k++) {
                PROBE_OK(xb_object_table_next(table, &chunk, &more, &err));
                assert_true(more || k > 0);
                if (!more) {
                    break;
                }
                size_t number = strtoul(chunk.id.text, NULL, 16);
                assert_int_equal(chunk.start, starts[number]);
                assert_int_equal(chunk.start + chunk.len, starts[number + 1]);
                assert_true(k > 0 || (chunk.start <= offset && offset < starts[number + 1]));
            }
        }
    }
    free(starts);
    xb_buf_free(&text);
}

static void what_cannot_be_read_is_named(void **state)
{
    (void)state;
    struct xb_object_id id;
    struct xb_object_id abc = put("", 0, "abc");
    struct xb_object_id gap = put_table(
        "I", TABLE("[{\"l\":3,\"o\":\"%s\"},{\"s\":3,\"l\":1,\"o\":\"" HEX "\"}]"), abc.text);
    struct xb_object_id old = put("Z", 0, "abc");
    probe_flush(repository);
    PROBE_OK(xb_object_id_parse(HEX, &id, &err));
    unreadable(&id, XB_ERR_CORRUPT, HEX);
    unreadable(&gap, XB_ERR_CORRUPT, HEX);
    unreadable(&old, XB_ERR_INVALID, old.text);
    size_t count = 0;
    PROBE_REFUSED(xb_object_verify(repository, &gap, false, count_content, &count, &err),
                  XB_ERR_CORRUPT, HEX);
    assert_int_equal(count, 2);
}

/* Whoever has the password could otherwise make the stack as deep as they like. */
static void depth_has_an_end(void **state)
{
    (void)state;
    enum { LINKS = 200 };
    for (int kind = 0; kind < 3; kind++) {
        struct xb_object_id id = put("", 0, "abc");
        for (int i = 0; i < LINKS; i++) {
            if (kind == 2) {
                /* The table's own text lies in an object that is indirect again. */
                char text[400];
                int len = snprintf(text, sizeof text, TABLE("[{\"l\":3,\"o\":\"%s\"}]"), id.text);
                struct xb_object_id direct = put("", 'x', text);
                id = put_table("II", TABLE("[{\"l\":%d,\"o\":\"%s\"}]"), len, direct.text);
            } else {
                id = put_table("I", TABLE("[{\"l\":3,\"o\":\"%s\"}]"), id.text);
            }
        }
        if (kind == 1) {
            memmove(id.text + 1, id.text, strlen(id.text) + 1);
            id.text[0] = 'I';
        }
        probe_flush(repository);
        size_t count = 0;
        unreadable(&id, XB_ERR_CORRUPT, NULL);
        PROBE_REFUSED(xb_object_verify(repository, &id, false, count_content, &count, &err),
                      XB_ERR_CORRUPT, NULL);
        assert_true(count < 100);
    }
}

/* Each object's table is itself the bytes of the next object: reading one needs all the others. */
static void depth_of_tables_of_tables_has_an_end(void **state)
{
    (void)state;
    enum { LINKS = 40, TEXT_BYTES = 400 };
    char texts[LINKS + 1][TEXT_BYTES] = {"abc"};
    struct xb_object_id ids[LINKS + 1];
    for (int i = 0; i < LINKS; i++) {
        struct xb_object_id direct = put("", 0, texts[i]);
        snprintf(texts[i + 1], TEXT_BYTES, TABLE("[{\"l\":%zu,\"o\":\"%s\"}]"), strlen(texts[i]),
                 direct.text);
    }
    struct xb_object_id last = put("", 0, texts[LINKS]);
    for (int i = LINKS - 1; i >= 0; i--) {
        last =
            put_table("II", TABLE("[{\"l\":%zu,\"o\":\"%s\"}]"), strlen(texts[i + 1]), last.text);
        ids[i] = last;
    }
    probe_flush(repository);
    size_t count = 0;
    holds(&ids[LINKS - 1], texts[LINKS - 1], strlen(texts[LINKS - 1]));
    unreadable(&ids[0], XB_ERR_CORRUPT, NULL);
    PROBE_REFUSED(xb_object_verify(repository, &ids[0], false, count_content, &count, &err),
                  XB_ERR_CORRUPT, "too deeply");
}

static int refuse_content(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    (void)context;
    (void)id;
    return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough");
}

static void verify_names_every_content(void **state)
{
    (void)state;
    unsigned char *data = malloc(BIG_BYTES);
    assert_non_null(data);
    fill(data, BIG_BYTES);
    struct xb_object_stats stats;
    struct xb_object_id id = write_object(&file, data, BIG_BYTES, &stats);
    probe_flush(repository);
    for (int read = 0; read < 2; read++) {
        size_t count = 0;
        PROBE_OK(xb_object_verify(repository, &id, read, count_content, &count, &err));
        assert_int_equal(count, stats.chunks + 1);
    }
    PROBE_REFUSED(xb_object_verify(repository, &id, false, refuse_content, NULL, &err),
                  XB_ERR_CANCELLED, "enough");
    /* With the packs gone, only reading the data shows it; the index content is read anyway. */
    struct probe_names packs = probe_list(store, "p");
    for (size_t i = 0; i < packs.count; i++) {
        PROBE_OK(xb_store_delete(store, packs.names[i], &err));
    }
    size_t count = 0;
    PROBE_OK(xb_object_verify(repository, &id, false, count_content, &count, &err));
    PROBE_REFUSED(xb_object_verify(repository, &id, true, count_content, &count, &err),
                  XB_ERR_CORRUPT, packs.names[0]);
    probe_names_free(&packs);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids),
        cmocka_unit_test_setup_teardown(nothing_is_one_empty_content, setup, teardown),
        cmocka_unit_test_setup_teardown(one_chunk_is_its_content, setup, teardown),
        cmocka_unit_test_setup_teardown(several_chunks_have_an_index, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_are_cut_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(zeros_by_number, setup, teardown),
        cmocka_unit_test_setup_teardown(cuts_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(large_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(writers_are_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(without_splitting_there_is_one_content, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_chunks_are_legal, setup, teardown),
        cmocka_unit_test_setup_teardown(nested_objects, setup, teardown),
        cmocka_unit_test_setup_teardown(lengths_must_fit, setup, teardown),
        cmocka_unit_test(tables_are_checked),
        cmocka_unit_test_setup_teardown(places_in_a_long_table, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_read_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_of_tables_of_tables_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(verify_names_every_content, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
