/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of a reader, one test each, by their numbers in docs/repository-format.md. What kopia
 * might have written is made here by hand.
 */
#include "tests/harness/repository_probe.h"

#include "tests/harness/format_probe.h"
#include "tests/harness/maintenance.h"
#include "tests/harness/pack_probe.h"
#include "tests/harness/snapshot_probe.h"
#include "tests/harness/watched_repository.h"

/* Readers are watched; `repository` is the one who writes, below the hooks, by the real clock. */
static int begin(void **state)
{
    int r = setup(state);
    xb_repository_free(repository);
    repository = probe_open(base);
    events.count = 0;
    return r;
}

/* ---- blobs made by hand ---- */

#define HAND_PACK "p00112233445566778899aabbccddeeff-s0123456789abcdef147"

/* A content as an index would tell of it, in a pack with `preamble` bytes before it. */
static struct xb_index_entry hand_content(const char *text, size_t preamble)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf pack = XB_BUF_INIT(100000);
    struct xb_index_entry entry = {
        .format_version = 3, .timestamp_s = 1700000000, .plain_bytes = (uint32_t)strlen(text)};
    PROBE_OK(xb_sealer_content_id(repository->sealer, 0, text, strlen(text), &entry.id, &err));
    for (size_t i = 0; i < preamble; i++) {
        PROBE_OK(xb_buf_append(&pack, "?", 1, &err));
    }
    entry.offset = (uint32_t)pack.len;
    assert_int_equal(probe_seal_content(repository->sealer, &entry.id, text, strlen(text), &pack),
                     0);
    entry.packed_bytes = (uint32_t)pack.len - entry.offset;
    PROBE_OK(xb_buf_append_str(&pack, "whatever comes behind", &err));
    PROBE_OK(xb_store_put(base, HAND_PACK, pack.data, pack.len, NULL, &err));
    return entry;
}

static void hand_index(const struct xb_index_entry *entry, const char *pack)
{
    struct xb_names packs = {.count = 0};
    struct xb_index_entry own = *entry;
    PROBE_OK(xb_names_intern(&packs, pack, strlen(pack), &own.pack, &err));
    maintain_put_index(repository, base, "xn0_", &own, 1, &packs);
    xb_names_free(&packs);
}

static void refused(const struct xb_content_id *id, bool verify, enum xb_error_kind kind,
                    const char *words)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(100000);
    PROBE_REFUSED(xb_content_read(reader, id, verify, &out, &err), kind, words);
    assert_int_equal(out.len, 0);
}

static void readable(const struct xb_content_id *id, const char *text)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
    probe_holds(reader, id, text);
}

/* ---- 1 ---- */

static void reader_1_the_format_first_and_again_after_15_minutes(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "abc");
    probe_flush(repository);
    PROBE_OK(xb_store_delete(base, XB_FORMAT_BLOBCFG, &err)); /* it may be absent */
    XB_CLEANUP(xb_repository_freep)
    struct xb_repository *reader = probe_open_at(store, &ticks.clock);
    /* The first look is the probe's own. */
    int format = event_find(&events, 0, HOOK_GET, XB_FORMAT_BLOB);
    format = event_find(&events, format + 1, HOOK_GET, XB_FORMAT_BLOB);
    int list = event_find(&events, 0, HOOK_LIST, "x");
    assert_true(format != EVENT_NONE && format < list);
    events.count = 0;
    fake_clock_advance(&ticks, 890);
    probe_holds(reader, &a.id, "abc");
    assert_int_equal(event_count(&events, HOOK_GET, XB_FORMAT_BLOB), 0);
    fake_clock_advance(&ticks, 20);
    probe_holds(reader, &a.id, "abc");
    assert_int_equal(event_count(&events, HOOK_GET, XB_FORMAT_BLOB), 1);
    /* And what it says then counts. */
    format_probe_change(base, "\"version\":3", "\"version\":4");
    fake_clock_advance(&ticks, 901);
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(1000);
    PROBE_REFUSED(xb_content_read(reader, &a.id, false, &out, &err), XB_ERR_INVALID, "version 4");
}

/* ---- 2 ---- */

/* Through all that maintenance makes of an index, a content stays where it was. */
static void reader_2_the_index_in_every_state(void **state)
{
    (void)state;
    struct xb_content_write_result kept = probe_write(repository, 0, "kept");
    struct xb_content_write_result gone = probe_write(repository, 0, "gone");
    probe_flush(repository);
    PROBE_OK(xb_content_delete(repository, &gone.id, &err));
    probe_flush(repository);
    struct xb_content_info info;
    PROBE_OK(xb_content_stat(repository, &gone.id, &info, &err));
    for (long epoch = 0; epoch < 9; epoch++) {
        char text[40];
        snprintf(text, sizeof text, "of epoch %ld", epoch);
        (void)probe_write(repository, 0, text);
        probe_flush(repository);
        readable(&kept.id, "kept");
        readable(&gone.id, "gone"); /* deleted is not away */
        if (epoch >= 2) {
            assert_true(maintain_compact(repository, base, epoch - 2, epoch - 2));
            maintain_remove(base, epoch - 2);
        }
        if (epoch == 5) {
            assert_true(maintain_compact(repository, base, 0, 3));
        }
        maintain_advance(base);
    }
    assert_true(maintain_compact(repository, base, 4, 7));
    assert_int_equal(probe_count(base, "xr"), 2);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
    probe_holds(reader, &kept.id, "kept");
    for (long epoch = 0; epoch < 9; epoch++) {
        char text[40];
        snprintf(text, sizeof text, "of epoch %ld", epoch);
        assert_true(probe_write(reader, 0, text).existed);
    }
    /* The watermark: one second before the deletion, and at it. */
    maintain_watermark(base, (int64_t)info.timestamp_s - 1);
    readable(&gone.id, "gone");
    maintain_watermark(base, (int64_t)info.timestamp_s);
    refused(&gone.id, false, XB_ERR_CORRUPT, "not in the repository's index");
    readable(&kept.id, "kept");
}

/* Later wins; of the same time the one that is not deleted; then the greater pack name. */
static void reader_2_the_merge_rule(void **state)
{
    (void)state;
    static const struct {
        uint64_t a_time, b_time;
        bool a_deleted, b_deleted, b_wins;
    } cases[] = {{5, 6, false, false, true}, {6, 5, false, false, false}, {5, 6, false, true, true},
                 {6, 5, true, false, false}, {5, 5, false, true, false},  {5, 5, true, false, true},
                 {5, 5, false, false, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[20];
        snprintf(text, sizeof text, "case %zu", i);
        struct xb_index_entry a = hand_content(text, 0);
        struct xb_index_entry b = a;
        struct xb_content_info info;
        a.timestamp_s = 1700000000 + cases[i].a_time;
        b.timestamp_s = 1700000000 + cases[i].b_time;
        a.deleted = cases[i].a_deleted;
        b.deleted = cases[i].b_deleted;
        hand_index(&a, "p1-s147");
        hand_index(&b, "p2-s147");
        XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
        PROBE_OK(xb_content_stat(reader, &a.id, &info, &err));
        assert_string_equal(info.pack, cases[i].b_wins ? "p2-s147" : "p1-s147");
    }
}

/* ---- 3 ---- */

static void reader_3_manifests_are_merged(void **state)
{
    (void)state;
    static char type[] = "type", kind[] = "probe";
    const struct xb_label label = {type, kind};
    char ids[3][XB_MANIFEST_ID_TEXT_BYTES];
    struct xb_manifest *list = NULL;
    size_t count = 0;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(base);
    for (int i = 0; i < 3; i++) { /* from two handles, in contents of their own */
        struct xb_repository *at = i == 1 ? other : repository;
        PROBE_OK(xb_manifest_put(at, &label, 1, "{\"n\":1}", ids[i], &err));
        probe_flush(at);
    }
    PROBE_OK(xb_repository_refresh(other, &err));
    PROBE_OK(xb_manifest_delete(other, ids[0], &err));
    probe_flush(other);
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
    PROBE_OK(xb_manifest_find(reader, &label, 1, &list, &count, &err));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(list[i].id, ids[0]);
        assert_string_equal(list[i].data, "{\"n\":1}");
    }
    xb_manifest_list_free(list, count);
}

/* ---- 4 ---- */

static void reader_4_the_snapshot_and_its_tree(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "first file", "two", "second file", NULL};
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *written = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *read = NULL;
    PROBE_OK(snapshot_write(repository, files, &written, &err));
    XB_CLEANUP(xb_repository_freep) struct xb_repository *reader = probe_open(base);
    PROBE_OK(xb_snapshot_load(reader, written->id, &read, &err));
    assert_string_equal(read->root.object.text, written->root.object.text);
    assert_int_equal(snapshot_read(reader, read), 2);
}

/* ---- 5 ---- */

static void reader_5_a_content_is_its_stretch_and_nothing_else(void **state)
{
    (void)state;
    XB_CLEANUP(xb_buf_free) struct xb_buf other = XB_BUF_INIT(1000);
    struct xb_index_entry good = hand_content("a content", 77);
    hand_index(&good, HAND_PACK);
    readable(&good.id, "a content"); /* what lies before and behind is nobody's matter */

    struct xb_index_entry wrong = good;
    wrong.timestamp_s++;
    wrong.plain_bytes++;
    hand_index(&wrong, HAND_PACK);
    refused(&good.id, false, XB_ERR_CORRUPT, "bytes long instead of");

    wrong = good; /* the index says compressed, the bytes do not */
    wrong.timestamp_s += 2;
    wrong.compression = XB_COMPRESSION_ZSTD_FASTEST;
    hand_index(&wrong, HAND_PACK);
    refused(&good.id, false, XB_ERR_CORRUPT, HAND_PACK);

    wrong = good; /* a stretch beside the right one */
    wrong.timestamp_s += 3;
    wrong.offset++;
    hand_index(&wrong, HAND_PACK);
    refused(&good.id, false, XB_ERR_CORRUPT, HAND_PACK);

    wrong = good; /* beyond the pack's end */
    wrong.timestamp_s += 4;
    wrong.offset = 1 << 20;
    hand_index(&wrong, HAND_PACK);
    refused(&good.id, false, XB_ERR_CORRUPT, HAND_PACK);
}

/* Sealed as it must be, but not what its id says: that takes a hash to see. */
static void reader_5_verify_computes_the_hash(void **state)
{
    (void)state;
    struct xb_index_entry entry = hand_content("what it says to be", 32);
    XB_CLEANUP(xb_buf_free) struct xb_buf pack = XB_BUF_INIT(1000);
    assert_int_equal(probe_seal_content(repository->sealer, &entry.id, "what it is", 10, &pack), 0);
    entry.offset = 0;
    entry.packed_bytes = (uint32_t)pack.len;
    entry.plain_bytes = 10;
    PROBE_OK(xb_store_put(base, HAND_PACK, pack.data, pack.len, NULL, &err));
    hand_index(&entry, HAND_PACK);
    refused(&entry.id, true, XB_ERR_CORRUPT, "another hash");
}

/* ---- 6 ---- */

static void folder_reads(const char *text, size_t entries)
{
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    PROBE_OK(xb_directory_decode(text, strlen(text), &directory, &err));
    assert_int_equal(directory->count, entries);
}

static void reader_6_folders_with_little_or_too_much_in_them(void **state)
{
    (void)state;
#define OBJ "\"obj\":\"k71ac110e67ead91e44463745ea55695d\""
    folder_reads("{\"stream\":\"kopia:directory\",\"entries\":null,\"summary\":{}}", 0);
    folder_reads("{\"stream\":\"kopia:directory\",\"entries\":[],\"summary\":{}}", 0);
    folder_reads("{\"stream\":\"kopia:directory\",\"entries\":[{\"name\":\"a\",\"type\":\"f\"," OBJ
                 "}],\"summary\":{}}",
                 1); /* no size, mode, time, owner */
    folder_reads("{\"stream\":\"kopia:directory\",\"future\":[1],\"entries\":[{\"name\":\"a\","
                 "\"type\":\"d\",\"x-unknown\":{\"deep\":[{}]}," OBJ "}],\"summary\":{\"more\":1}}",
                 1);
}

static void reader_6_objects_of_any_shape(void **state)
{
    (void)state;
    char one[XB_CONTENT_ID_TEXT_BYTES];
    char none[XB_CONTENT_ID_TEXT_BYTES];
    char inner[XB_CONTENT_ID_TEXT_BYTES];
    char outer[XB_CONTENT_ID_TEXT_BYTES];
    char text[400];
    struct xb_object_id id;
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(1000);
    struct xb_content_write_result a = probe_write(repository, 0, "12345");
    struct xb_content_write_result b = probe_write(repository, 0, "");
    xb_content_id_format(&a.id, one);
    xb_content_id_format(&b.id, none);
    /* A chunk of no length at the end, as kopia's parallel uploads leave; and an index of indexes.
     */
    snprintf(text, sizeof text,
             "{\"stream\":\"kopia:indirect\",\"entries\":[{\"l\":5,\"o\":\"%s\"},{\"s\":5,\"l\":5,"
             "\"o\":\"%s\"},{\"s\":10,\"o\":\"%s\"}]}\n",
             one, one, none);
    struct xb_content_write_result c = probe_write(repository, 'x', text);
    xb_content_id_format(&c.id, inner);
    snprintf(text, sizeof text,
             "{\"stream\":\"kopia:indirect\",\"entries\":[{\"l\":10,\"o\":\"I%s\"},{\"s\":10,"
             "\"l\":5,\"o\":\"%s\"}],\"future\":1}\n",
             inner, one);
    struct xb_content_write_result d = probe_write(repository, 'x', text);
    xb_content_id_format(&d.id, outer);
    probe_flush(repository);
    snprintf(text, sizeof text, "I%s", outer);
    PROBE_OK(xb_object_id_parse(text, &id, &err));
    PROBE_OK(xb_object_read_all(repository, &id, &out, &err));
    assert_string_equal(out.data, "123451234512345");
}

static void reader_6_any_first_bytes_of_a_pack_and_last_ones_of_an_index(void **state)
{
    (void)state;
    static const size_t preambles[] = {0, 1, 32, 5000};
    for (size_t i = 0; i < 4; i++) {
        char text[20];
        snprintf(text, sizeof text, "preamble %zu", preambles[i]);
        struct xb_index_entry entry = hand_content(text, preambles[i]);
        hand_index(&entry, HAND_PACK);
        readable(&entry.id, text);
    }
    struct xb_index_entry entry = hand_content("index with a tail", 3);
    struct xb_names packs = {.count = 0};
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(100000);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(100000);
    char name[XB_SEAL_BLOB_NAME_BYTES];
    PROBE_OK(xb_names_intern(&packs, HAND_PACK, strlen(HAND_PACK), &entry.pack, &err));
    PROBE_OK(xb_index_encode(&entry, 1, &packs, &plain, &err));
    PROBE_OK(xb_buf_append_str(&plain, "thirty-two random bytes or others", &err));
    PROBE_OK(xb_seal_blob(repository->sealer, "xn0_", "s0123456789abcdef147-c1", plain.data,
                          plain.len, name, &sealed, &err));
    PROBE_OK(xb_store_put(base, name, sealed.data, sealed.len, NULL, &err));
    readable(&entry.id, "index with a tail");
    xb_names_free(&packs);
}

/* ---- 7 ---- */

static void reader_7_unknown_keys_and_compressions(void **state)
{
    (void)state;
    struct xb_index_entry entry = hand_content("a content", 0);
    entry.key_id = 1;
    hand_index(&entry, HAND_PACK);
    refused(&entry.id, false, XB_ERR_INVALID, "unknown key");
    XB_CLEANUP(xb_buf_free) struct xb_buf pack = XB_BUF_INIT(1000);
    entry = hand_content("another", 0);
    entry.compression = 0x7777;
    assert_int_equal(
        probe_seal_content(repository->sealer, &entry.id, "\0\0\x77\x77 and so on", 14, &pack), 0);
    entry.packed_bytes = (uint32_t)pack.len;
    PROBE_OK(xb_store_put(base, HAND_PACK, pack.data, pack.len, NULL, &err));
    hand_index(&entry, HAND_PACK);
    refused(&entry.id, false, XB_ERR_INVALID, "7777");
}

static void reader_7_unknown_formats(void **state)
{
    static const struct {
        const char *from, *to, *words;
    } cases[] = {
        {"\"version\"", "\"ecc\":\"REED-SOLOMON-CRC32\",\"eccOverheadPercent\":1,\"version\"",
         "REED-SOLOMON-CRC32"},
        {"\"version\"", "\"requiredFeatures\":[{\"feature\":\"warp\"}],\"version\"", "warp"},
        {"BLAKE2B-256-128", "BLAKE9", "BLAKE9"},
        {"AES256-GCM-HMAC-SHA256", "DES", "DES"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_repository *opened = NULL;
        (void)setup(state);
        format_probe_change(base, cases[i].from, cases[i].to);
        PROBE_REFUSED(
            xb_repository_open_with(xb_store_ref(base), probe_keys(base), NULL, &opened, &err),
            XB_ERR_INVALID, cases[i].words);
        (void)teardown(state);
    }
}

static void reader_7_names_that_lead_elsewhere(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", "..", "a/b", "/", "../a", "a\\u0000b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[300];
        struct xb_directory *directory = NULL;
        snprintf(text, sizeof text,
                 "{\"stream\":\"kopia:directory\",\"entries\":[{\"name\":\"%s\",\"type\":\"f\"," OBJ
                 "}],\"summary\":{}}",
                 names[i]);
        PROBE_REFUSED(xb_directory_decode(text, strlen(text), &directory, &err), XB_ERR_CORRUPT,
                      NULL);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reader_1_the_format_first_and_again_after_15_minutes),
        TEST(reader_2_the_index_in_every_state),
        TEST(reader_2_the_merge_rule),
        TEST(reader_3_manifests_are_merged),
        TEST(reader_4_the_snapshot_and_its_tree),
        TEST(reader_5_a_content_is_its_stretch_and_nothing_else),
        TEST(reader_5_verify_computes_the_hash),
        TEST(reader_6_folders_with_little_or_too_much_in_them),
        TEST(reader_6_objects_of_any_shape),
        TEST(reader_6_any_first_bytes_of_a_pack_and_last_ones_of_an_index),
        TEST(reader_7_unknown_keys_and_compressions),
        cmocka_unit_test(reader_7_unknown_formats),
        TEST(reader_7_names_that_lead_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
