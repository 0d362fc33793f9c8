/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests: what is put is found again by its labels, what others put is understood, and the
 * newest of each id counts.
 */
#include "shared/codec/text.h"
#include "shared/compress/compress.h"
#include "shared/repository/snapshot.h"

#include "tests/harness/opened_repository.h"

struct found {
    struct xb_manifest *list;
    size_t count;
};

static struct found find(const char *key, const char *value)
{
    struct found found;
    char *texts[2] = {strdup(key), strdup(value)};
    const struct xb_label label = {texts[0], texts[1]};
    PROBE_OK(xb_manifest_find(repository, &label, 1, &found.list, &found.count, &err));
    free(texts[0]);
    free(texts[1]);
    return found;
}

static void forget(struct found *found)
{
    xb_manifest_list_free(found->list, found->count);
}

static size_t count(const char *key, const char *value)
{
    struct found found = find(key, value);
    forget(&found);
    return found.count;
}

/* A content of manifests as some other program may have written it. */
static void put_raw(const char *text)
{
    struct xb_buf packed = XB_BUF_INIT(1 << 20);
    struct xb_content_write_result result;
    PROBE_OK(xb_compress_gzip(text, strlen(text), &packed, &err));
    PROBE_OK(xb_content_write(repository, 'm', packed.data, packed.len, XB_COMPRESSION_NONE,
                              &result, &err));
    probe_flush(repository);
    xb_buf_free(&packed);
}

#define E(id, type, modified, more)                                                                \
    "{\"id\":\"" id "\",\"labels\":{\"type\":\"" type "\"},\"modified\":\"" modified "\"" more "}"

/* ---- our own ---- */

static void put_and_find(void **state)
{
    (void)state;
    char texts[4][20] = {"type", "thing", "na<me", "\xc3\xa9"};
    const struct xb_label labels[] = {{texts[0], texts[1]}, {texts[2], texts[3]}};
    char ids[2][XB_MANIFEST_ID_TEXT_BYTES];
    PROBE_OK(
        xb_manifest_put(repository, labels, 2, "{\"a\":[1,2.50,\"x\"],\"b\":null}", ids[0], &err));
    PROBE_OK(xb_manifest_put(repository, labels, 1, "7", ids[1], &err));
    assert_int_equal(strspn(ids[0], "0123456789abcdef"), 32);
    assert_string_not_equal(ids[0], ids[1]);
    assert_int_equal(count("type", "thing"), 0); /* not before a flush */
    probe_flush(repository);
    assert_int_equal(count("type", "thing"), 2);
    assert_int_equal(count("type", "maintenance"), 1); /* made with the repository */
    assert_int_equal(count("type", "thin"), 0);
    assert_int_equal(count("other", "thing"), 0);
    struct found found = find("na<me", "\xc3\xa9");
    assert_int_equal(found.count, 1);
    assert_string_equal(found.list[0].id, ids[0]);
    assert_string_equal(found.list[0].data, "{\"a\":[1,2.50,\"x\"],\"b\":null}");
    assert_int_equal(found.list[0].label_count, 2);
    assert_true(found.list[0].modified_ns > 0);
    forget(&found);
    struct xb_manifest *all = NULL;
    size_t all_count = 0;
    PROBE_OK(xb_manifest_find(repository, NULL, 0, &all, &all_count, &err));
    assert_int_equal(all_count, 3);
    xb_manifest_list_free(all, all_count);

    PROBE_OK(xb_manifest_delete(repository, ids[0], &err));
    probe_flush(repository);
    found = find("type", "thing");
    assert_int_equal(found.count, 1);
    assert_string_equal(found.list[0].id, ids[1]);
    assert_string_equal(found.list[0].data, "7");
    forget(&found);
}

/* Written by somebody whose clock runs ahead: what deletes it is younger all the same. */
static void deletions_are_younger(void **state)
{
    (void)state;
    static const char id[] = "0123456789abcdef0123456789abcdef";
    put_raw("{\"entries\":[{\"id\":\"0123456789abcdef0123456789abcdef\",\"labels\":{\"type\":"
            "\"late\"},\"modified\":\"2199-01-01T00:00:00.5Z\",\"data\":1}]}");
    probe_flush(repository);
    assert_int_equal(count("type", "late"), 1);
    PROBE_OK(xb_manifest_delete(repository, id, &err));
    probe_flush(repository);
    assert_int_equal(count("type", "late"), 0);
    PROBE_REFUSED(xb_manifest_delete(repository, id, &err), XB_ERR_NOT_FOUND, id);
    PROBE_REFUSED(xb_manifest_delete(repository, "77", &err), XB_ERR_NOT_FOUND, "77");
}

/* One step: a new one, and others gone; who is gone already does not matter. */
static void replacing(void **state)
{
    (void)state;
    char texts[2][10] = {"type", "thing"};
    const struct xb_label label = {texts[0], texts[1]};
    const struct xb_manifest_new fresh = {&label, 1, "\"new\""};
    char ids[4][XB_MANIFEST_ID_TEXT_BYTES];
    for (size_t i = 0; i < 3; i++) {
        PROBE_OK(xb_manifest_put(repository, &label, 1, "\"old\"", ids[i], &err));
    }
    probe_flush(repository);
    const char *const gone[] = {ids[0], "7777", ids[2], ids[0]};
    PROBE_OK(xb_manifest_replace(repository, gone, 3, &fresh, ids[3], &err));
    probe_flush(repository);
    struct found found = find("type", "thing");
    assert_int_equal(found.count, 2);
    for (size_t i = 0; i < 2; i++) {
        bool kept = strcmp(found.list[i].id, ids[1]) == 0;
        assert_string_equal(found.list[i].id, ids[kept ? 1 : 3]);
        assert_string_equal(found.list[i].data, kept ? "\"old\"" : "\"new\"");
    }
    forget(&found);
    PROBE_OK(xb_manifest_replace(repository, gone, 4, &fresh, ids[0], &err));
    probe_flush(repository);
    assert_int_equal(count("type", "thing"), 3);
}

/* The content is gzip of kopia's JSON: one field `entries`, and no other beside it. */
static int read_manifests(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct xb_buf *all = context;
    struct xb_buf packed = XB_BUF_INIT(1 << 20);
    int r = xb_content_read(repository, &info->id, true, &packed, err);
    if (r == 0) {
        r = xb_compress_gunzip(packed.data, packed.len, all, err);
    }
    xb_buf_free(&packed);
    return r;
}

static void the_bytes_are_kopias(void **state)
{
    (void)state;
    struct xb_buf text = XB_BUF_INIT(1 << 20);
    PROBE_OK(xb_content_list(repository, 'm', read_manifests, &text, &err));
    static const char head[] = "{\"entries\":[{\"id\":\"";
    static const char middle[] = "\",\"labels\":{\"type\":\"maintenance\"},\"modified\":\"";
    static const char tail[] =
        ",\"data\":{\"owner\":\"default@default\",\"quick\":{\"enabled\":true,\"interval\":"
        "3600000000000},\"full\":{\"enabled\":true,\"interval\":86400000000000},\"logRetention\":"
        "{\"maxTotalSize\":1073741824,\"maxCount\":10000,\"maxAge\":2592000000000000},"
        "\"extendObjectLocks\":false,\"listParallelism\":0}}]}\n";
    assert_int_equal(strncmp(text.data, head, sizeof head - 1), 0);
    char *at = text.data + sizeof head - 1 + 32;
    assert_int_equal(strncmp(at, middle, sizeof middle - 1), 0);
    at = strchr(at + sizeof middle - 1, '"');
    assert_non_null(at);
    assert_string_equal(at + 1, tail);
    xb_buf_free(&text);
}

/* ---- others' ---- */

static void the_newest_counts(void **state)
{
    (void)state;
    put_raw("{\"entries\":[" E("01", "t", "2026-01-02T00:00:00Z", ",\"data\":2") "," E(
        "01", "t", "2026-01-01T00:00:00Z", ",\"data\":1") ","
                                                          "{\"id\":\"02\",\"labels\":null,"
                                                          "\"modified\":\"2026-01-03T00:00:00Z\","
                                                          "\"deleted\":true,\"data\":null}]}\n");
    put_raw("{\"entries\":[" E("02", "t", "2026-01-02T00:00:00Z", ",\"data\":5") "," E(
        "03", "t", "2026-01-01T00:00:00.5Z", ",\"data\":6,\"new\":[]") "]}");
    put_raw("{\"entries\":[" E("01", "t", "2026-01-02T00:00:00+01:00",
                               ",\"data\":3") ","
                                              "{\"id\":\"03\",\"modified\":\"2026-01-01T00:00:00."
                                              "4Z\",\"deleted\":true}]}");
    struct found found = find("type", "t");
    assert_int_equal(found.count, 2);
    assert_string_equal(found.list[0].id, "01");
    assert_string_equal(found.list[0].data, "2");
    assert_string_equal(found.list[1].id, "03");
    assert_string_equal(found.list[1].data, "6");
    forget(&found);
}

static void what_is_missing_is_legal(void **state)
{
    (void)state;
    put_raw("{}");
    put_raw("{\"entries\":null}");
    put_raw("{\"entries\":[]}\n");
    put_raw("{\"entries\":[{\"id\":\"x1\",\"modified\":\"2026-01-01T00:00:00Z\"}]}");
    put_raw("{\"entries\":[" E("x2", "t", "2026-01-01T00:00:00Z", "") "]}");
    struct found found = find("type", "t");
    assert_int_equal(found.count, 1);
    assert_string_equal(found.list[0].data, "null");
    forget(&found);
    struct xb_manifest *all = NULL;
    size_t all_count = 0;
    PROBE_OK(xb_manifest_find(repository, NULL, 0, &all, &all_count, &err));
    assert_int_equal(all_count, 3);
    xb_manifest_list_free(all, all_count);
}

static void what_cannot_be_parsed_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"entries\":{}}",
        "{\"entries\":[1]}",
        "{\"entries\":[null]}",
        "{\"entries\":[{}]}",
        "{\"entries\":[{\"id\":7,\"modified\":\"2026-01-01T00:00:00Z\"}]}",
        "{\"entries\":[{\"id\":\"\",\"modified\":\"2026-01-01T00:00:00Z\"}]}",
        "{\"entries\":[{\"id\":\"0123456789abcdef0123456789abcdef0\",\"modified\":"
        "\"2026-01-01T00:00:00Z\"}]}",
        "{\"entries\":[{\"id\":\"1\"}]}",
        "{\"entries\":[{\"id\":\"1\",\"modified\":\"soon\"}]}",
        "{\"entries\":[{\"id\":\"1\",\"modified\":\"2026-01-01T00:00:00Z\",\"deleted\":1}]}",
        "{\"entries\":[{\"id\":\"1\",\"modified\":\"2026-01-01T00:00:00Z\",\"labels\":[]}]}",
        "{\"entries\":[{\"id\":\"1\",\"modified\":\"2026-01-01T00:00:00Z\",\"labels\":{\"a\":1}}]}",
        "{\"entries\":[{\"id\":\"1\",\"modified\":\"2026-01-01T00:00:00Z\",\"labels\":{\"a\":null}}"
        "]}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)setup(state);
        struct xb_manifest *list = NULL;
        size_t list_count = 0;
        put_raw(bad[i]);
        PROBE_REFUSED(xb_manifest_find(repository, NULL, 0, &list, &list_count, &err),
                      XB_ERR_CORRUPT, "manifests in m");
        assert_null(list);
        (void)teardown(state);
    }
    (void)setup(state);
    struct xb_manifest *list = NULL;
    size_t list_count = 0;
    (void)probe_write(repository, 'm', "this is no gzip");
    probe_flush(repository);
    PROBE_REFUSED(xb_manifest_find(repository, NULL, 0, &list, &list_count, &err), XB_ERR_CORRUPT,
                  "manifests in m");
    (void)teardown(state);
}

static int collect_first(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    (void)err;
    *(struct xb_content_id *)context = info->id;
    return 0;
}

/* What a compaction has marked deleted does not count any more. */
static void deleted_contents_do_not_count(void **state)
{
    (void)state;
    struct xb_content_id id;
    PROBE_OK(xb_content_list(repository, 'm', collect_first, &id, &err));
    assert_int_equal(count("type", "maintenance"), 1);
    PROBE_OK(xb_content_delete(repository, &id, &err));
    probe_flush(repository);
    assert_int_equal(count("type", "maintenance"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(put_and_find, setup, teardown),
        cmocka_unit_test_setup_teardown(the_bytes_are_kopias, setup, teardown),
        cmocka_unit_test_setup_teardown(the_newest_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_missing_is_legal, setup, teardown),
        cmocka_unit_test(what_cannot_be_parsed_is_an_error),
        cmocka_unit_test_setup_teardown(deleted_contents_do_not_count, setup, teardown),
        cmocka_unit_test_setup_teardown(deletions_are_younger, setup, teardown),
        cmocka_unit_test_setup_teardown(replacing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
