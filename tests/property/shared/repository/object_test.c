/* SPDX-License-Identifier: Apache-2.0
 *
 * Random bytes, written in random pieces, come back the same from any place on, whatever the
 * splitter, the parts and the compression.
 */
#include "tests/harness/repository_probe.h"

#include "shared/repository/object.h"
#include "tests/harness/property.h"

enum { BYTES_MAX = 3 << 20, ROUNDS = 25, SEEKS = 40 };

/* Random, constant and repeated stretches. */
static size_t make_bytes(struct property *source, unsigned char *data)
{
    static const size_t sizes[] = {1, 100, 70000, 300000, BYTES_MAX};
    size_t len = property_below(source, sizes[property_below(source, 5)] + 1);
    for (size_t at = 0; at < len;) {
        size_t stretch = 1 + property_below(source, 200000);
        stretch = stretch < len - at ? stretch : len - at;
        switch (property_below(source, 3)) {
        case 0:
            memset(data + at, (int)property_below(source, 3), stretch);
            break;
        case 1:
            for (size_t i = 0; i < stretch; i++) {
                data[at + i] = (unsigned char)property_next(source);
            }
            break;
        default:
            memmove(data + at, data + property_below(source, at + 1), stretch);
            break;
        }
        at += stretch;
    }
    return len;
}

static void write_pieces(struct property *source, struct xb_object_writer *writer,
                         const unsigned char *data, size_t len)
{
    size_t most = 1 + property_below(source, property_once_in(source, 3) ? 1000 : 500000);
    for (size_t at = 0; at < len;) {
        size_t piece = 1 + property_below(source, most);
        piece = piece < len - at ? piece : len - at;
        PROBE_OK(xb_object_writer_write(writer, data + at, piece, &err));
        at += piece;
    }
}

/* Reads from `offset` on, at most `len` bytes, and compares. */
static void read_from(struct xb_object_reader *reader, uint64_t offset, size_t len,
                      const unsigned char *data, size_t total)
{
    PROBE_OK(xb_object_reader_seek(reader, offset, &err));
    size_t at = offset;
    while (at < offset + len) {
        const void *piece = NULL;
        size_t got = 0;
        PROBE_OK(xb_object_reader_next(reader, &piece, &got, &err));
        assert_true(got <= total - at);
        if (got == 0) {
            break;
        }
        assert_memory_equal(piece, data + at, got);
        at += got;
    }
    assert_true(at >= offset + len || at == total);
}

static int count_bytes(void *context, const struct xb_content_id *id, struct xb_error *err)
{
    (void)id;
    (void)err;
    ++*(size_t *)context;
    return 0;
}

static void round_trip(struct property *source, struct xb_repository *repository,
                       unsigned char *data)
{
    static const enum xb_compression kinds[] = {XB_COMPRESSION_NONE, XB_COMPRESSION_ZSTD,
                                                XB_COMPRESSION_ZSTD_FASTEST};
    const struct xb_object_writer_options options = {
        .prefix = property_once_in(source, 3) ? 'k' : 0,
        .compression = kinds[property_below(source, 3)],
        .split = true,
        .part_bytes = property_once_in(source, 2) ? 0 : 1 + property_below(source, 900000)};
    XB_CLEANUP(xb_object_writer_freep) struct xb_object_writer *writer = NULL;
    XB_CLEANUP(xb_object_reader_freep) struct xb_object_reader *reader = NULL;
    struct xb_object_id id;
    struct xb_object_id again;
    struct xb_object_stats stats;
    size_t len = make_bytes(source, data);
    PROBE_OK(xb_object_writer_new(repository, &options, &writer, &err));
    write_pieces(source, writer, data, len);
    PROBE_OK(xb_object_writer_finish(writer, &id, &stats, &err));
    assert_int_equal(stats.bytes, len);
    /* Other pieces, same object. */
    write_pieces(source, writer, data, len);
    PROBE_OK(xb_object_writer_finish(writer, &again, &stats, &err));
    assert_string_equal(id.text, again.text);
    assert_int_equal(stats.new_chunks, 0);
    probe_flush(repository);
    PROBE_OK(xb_object_reader_open(repository, &id, &reader, &err));
    assert_int_equal(xb_object_reader_length(reader), len);
    read_from(reader, 0, len, data, len);
    for (int i = 0; i < SEEKS; i++) {
        uint64_t offset = property_below(source, len + 1);
        read_from(reader, offset, property_below(source, 200000), data, len);
    }
    struct xb_object_id parsed;
    PROBE_OK(xb_object_id_parse(id.text, &parsed, &err));
    size_t contents = 0;
    PROBE_OK(xb_object_verify(repository, &id, true, count_bytes, &contents, &err));
    assert_true(contents >= stats.chunks);
}

static void objects_come_back(const char *splitter)
{
    struct property source = property_begin(splitter);
    const struct xb_repository_create_options options = {.splitter = splitter};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = probe_create(&options);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = probe_open(store);
    unsigned char *data = malloc(BYTES_MAX);
    assert_non_null(data);
    for (int round = 0; round < ROUNDS; round++) {
        round_trip(&source, repository, data);
    }
    free(data);
}

static void dynamic(void **state)
{
    (void)state;
    objects_come_back("DYNAMIC-128K-BUZHASH");
}

static void fixed(void **state)
{
    (void)state;
    objects_come_back("FIXED-128K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(dynamic), cmocka_unit_test(fixed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
