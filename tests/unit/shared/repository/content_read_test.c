/* SPDX-License-Identifier: Apache-2.0
 *
 * Contents are read once more before they are called damaged, found again after they were moved,
 * and opened from bytes that were read in one piece with others.
 */
#include "tests/harness/repository_probe.h"

#include "shared/repository/object.h"
#include "shared/store/fault/fault.h"

#include <time.h>

static struct xb_store *store;
static struct xb_fault *fault;
static struct xb_repository *repository;

static int setup(void **state)
{
    (void)state;
    PROBE_OK(xb_store_fault_open(probe_repository_store(), &store, &fault, &err));
    repository = probe_open(store);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    xb_repository_free(repository);
    xb_store_free(store);
    return 0;
}

static void break_gets(enum xb_fault_effect effect, uint64_t nth, uint64_t amount)
{
    const struct xb_fault_rule rule = {.call = XB_FAULT_GET,
                                       .effect = effect,
                                       .nth = nth,
                                       .name_prefix = "p",
                                       .kind = XB_ERR_RETRY,
                                       .amount = amount};
    xb_fault_clear(fault);
    PROBE_OK(xb_fault_add(fault, &rule, &err));
}

static void wrong_bytes_are_read_again(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 0, "some bytes of a file");
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(1000);
    probe_flush(repository);
    for (uint64_t bit = 0; bit < 40 * 8; bit += 37) {
        break_gets(XB_FAULT_FLIP, 1, bit);
        probe_holds(repository, &a.id, "some bytes of a file");
    }
    break_gets(XB_FAULT_CUT, 1, 3);
    probe_holds(repository, &a.id, "some bytes of a file");
    /* What is wrong each time is damage. */
    break_gets(XB_FAULT_FLIP, 0, 100);
    uint64_t before = xb_fault_count(fault, XB_FAULT_GET);
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT, "pack");
    assert_int_equal(xb_fault_count(fault, XB_FAULT_GET) - before, 2);
    break_gets(XB_FAULT_CUT, 0, 3);
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_CORRUPT,
                  "another number");
    /* What is no answer at all is the store's business, which tried again by itself. */
    break_gets(XB_FAULT_FAIL, 1, 0);
    PROBE_REFUSED(xb_content_read(repository, &a.id, false, &out, &err), XB_ERR_RETRY, NULL);
    assert_int_equal(out.len, 0);
}

static void one_read_opens_many(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "two, which is longer", "three"};
    struct xb_content_info infos[3];
    struct xb_buf sealed = XB_BUF_INIT(100000);
    struct xb_buf plain = XB_BUF_INIT(100000);
    struct xb_content_id ids[3];
    for (size_t i = 0; i < 3; i++) {
        ids[i] = probe_write(repository, 0, texts[i]).id;
    }
    probe_flush(repository);
    for (size_t i = 0; i < 3; i++) {
        PROBE_OK(xb_content_locate(repository, &ids[i], &infos[i], &err));
        assert_string_equal(infos[i].pack, infos[0].pack);
    }
    uint64_t first = infos[0].pack_offset;
    uint64_t len = infos[2].pack_offset + infos[2].packed_bytes - first;
    PROBE_OK(xb_content_fetch(repository, infos[0].pack, first, len, &sealed, &err));
    for (size_t i = 0; i < 3; i++) {
        const char *at = sealed.data + (infos[i].pack_offset - first);
        xb_buf_clear(&plain);
        PROBE_OK(xb_buf_append(&plain, "keep", 4, &err));
        PROBE_OK(xb_content_open(repository, &infos[i], at, true, &plain, &err));
        assert_int_equal(plain.len, 4 + strlen(texts[i]));
        assert_string_equal(plain.data + 4, texts[i]);
        /* Another one's bytes, or another length or key, are refused, and nothing is left. */
        struct xb_content_info wrong = infos[i];
        wrong.id = infos[(i + 1) % 3].id;
        xb_buf_clear(&plain);
        PROBE_OK(xb_buf_append(&plain, "keep", 4, &err));
        PROBE_REFUSED(xb_content_open(repository, &wrong, at, false, &plain, &err), XB_ERR_CORRUPT,
                      infos[0].pack);
        wrong = infos[i];
        wrong.plain_bytes++;
        PROBE_REFUSED(xb_content_open(repository, &wrong, at, false, &plain, &err), XB_ERR_CORRUPT,
                      "bytes long");
        wrong = infos[i];
        wrong.key_id = 1;
        PROBE_REFUSED(xb_content_open(repository, &wrong, at, false, &plain, &err), XB_ERR_INVALID,
                      "unknown key");
        assert_string_equal(plain.data, "keep");
    }
    xb_buf_free(&sealed);
    xb_buf_free(&plain);
}

/* The same where they lie, compressed or not. Bytes that do not open are spoilt, and told. */
static void opened_where_they_lie(void **state)
{
    (void)state;
    enum { BYTES = 5000 };
    static char text[BYTES];
    struct xb_buf sealed = XB_BUF_INIT(100000);
    struct xb_buf scratch = XB_BUF_INIT(100000);
    struct xb_content_write_result written[2];
    memset(text, 'x', sizeof text);
    for (unsigned i = 0; i < 2; i++) {
        const enum xb_compression compression = i == 0 ? XB_COMPRESSION_NONE : XB_COMPRESSION_ZSTD;
        text[0] = (char)('0' + i);
        PROBE_OK(xb_content_write(repository, 0, text, BYTES, compression, &written[i], &err));
    }
    probe_flush(repository);
    for (unsigned i = 0; i < 2; i++) {
        struct xb_content_info info;
        const char *data = NULL;
        text[0] = (char)('0' + i);
        PROBE_OK(xb_content_locate(repository, &written[i].id, &info, &err));
        assert_int_equal(info.compression != 0, i == 1);
        for (unsigned wrong = 0; wrong < 4; wrong++) {
            xb_buf_clear(&sealed);
            PROBE_OK(xb_content_fetch(repository, info.pack, info.pack_offset, info.packed_bytes,
                                      &sealed, &err));
            struct xb_content_info bad = info;
            const unsigned at = wrong == 1 ? 3 : info.packed_bytes - 3;
            sealed.data[at] = (char)(sealed.data[at] ^ (wrong == 1 || wrong == 2));
            bad.plain_bytes += wrong == 3;
            if (wrong == 0) {
                PROBE_OK(xb_content_open_here(repository, &info, sealed.data, true, &scratch, &data,
                                              &err));
                assert_memory_equal(data, text, BYTES);
                assert_true(i == 1 || (data > sealed.data && data < sealed.data + sealed.len));
                data = NULL;
                continue;
            }
            PROBE_REFUSED(
                xb_content_open_here(repository, &bad, sealed.data, false, &scratch, &data, &err),
                XB_ERR_CORRUPT, info.pack);
            assert_null(data);
        }
        info.packed_bytes = 5;
        PROBE_REFUSED(
            xb_content_open_here(repository, &info, sealed.data, false, &scratch, &data, &err),
            XB_ERR_CORRUPT, "too short");
    }
    xb_buf_free(&sealed);
    xb_buf_free(&scratch);
}

static void ids_are_recomputed(void **state)
{
    (void)state;
    struct xb_content_write_result a = probe_write(repository, 'k', "text");
    struct xb_content_id id;
    PROBE_OK(xb_content_identify(repository, 'k', "text", 4, &id, &err));
    assert_int_equal(xb_content_id_compare(&id, &a.id), 0);
    PROBE_OK(xb_content_identify(repository, 0, "text", 4, &id, &err));
    assert_true(xb_content_id_compare(&id, &a.id) != 0);
}

/* Somebody else's content is found by reading the index anew, once a second at most. */
static void later_contents_are_found(void **state)
{
    (void)state;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *other = probe_open(store);
    struct xb_content_info info;
    struct xb_content_id nobodys = {.len = 16};
    struct xb_content_write_result a = probe_write(other, 0, "theirs");
    probe_flush(other);
    const struct timespec second = {.tv_sec = 1, .tv_nsec = 50000000};
    nanosleep(&second, NULL);
    PROBE_OK(xb_content_locate(repository, &a.id, &info, &err));
    uint64_t before = xb_fault_count(fault, XB_FAULT_LIST);
    for (int i = 0; i < 50; i++) {
        PROBE_REFUSED(xb_content_locate(repository, &nobodys, &info, &err), XB_ERR_CORRUPT,
                      "00000000000000000000000000000000");
    }
    assert_true(xb_fault_count(fault, XB_FAULT_LIST) - before <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(wrong_bytes_are_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(one_read_opens_many, setup, teardown),
        cmocka_unit_test_setup_teardown(opened_where_they_lie, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_are_recomputed, setup, teardown),
        cmocka_unit_test_setup_teardown(later_contents_are_found, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
