/* SPDX-License-Identifier: Apache-2.0
 *
 * A record's files to the store and back: gzip that others read, nothing visible after a failure,
 * damage told.
 */
#include "tests/harness/probe.h"

#include <zlib.h>

#include "coordinator/record/upload.h"
#include "shared/store/fault/fault.h"

enum { LARGE = 700000 };

static struct xb_store *make_store(void)
{
    struct xb_store *store = NULL;
    PROBE_OK(xb_store_mem_open(&store, &err));
    return store;
}

/* What an object holds, unpacked by zlib's own reader. */
static char *unpacked(void **state, struct xb_store *store, const char *key, size_t *ret_len)
{
    struct xb_buf packed = XB_BUF_INIT(1 << 24);
    const char *path = probe_path(state, "unpacked");
    char *out = malloc(LARGE + 1000);
    PROBE_OK(xb_store_get(store, key, 0, XB_STORE_TO_END, &packed, &err));
    probe_write(path, packed.data, packed.len);
    xb_buf_free(&packed);
    gzFile file = gzopen(path, "rb");
    int got = gzread(file, out, LARGE + 999);
    assert_true(got >= 0);
    assert_int_equal(gzdirect(file), 0);
    assert_int_equal(gzclose(file), Z_OK);
    out[got] = '\0';
    *ret_len = (size_t)got;
    return out;
}

static void json(void **state)
{
    static const char *const texts[] = {"null", "[]", "{\"a\":[1,\"/x\",null,true]}",
                                        "\"\xc3\xa4\""};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t len = 0;
        XB_CLEANUP(xb_json_putp) xb_json *value = probe_json(texts[i]);
        XB_CLEANUP(xb_json_putp) xb_json *back = NULL;
        PROBE_OK(xb_upload_json_gz(store, "backups/b/x.json.gz", value, &err));
        XB_CLEANUP(xb_freep) char *plain = unpacked(state, store, "backups/b/x.json.gz", &len);
        assert_string_equal(plain, texts[i]);
        PROBE_OK(xb_download_json_gz(store, "backups/b/x.json.gz", 1000, &back, &err));
        probe_json_is(back, texts[i]);
    }
}

static char *random_text(size_t len)
{
    char *text = malloc(len + 1);
    uint32_t seed = 12345;
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525U + 1013904223U;
        text[i] = (char)(' ' + (seed >> 24) % 94);
    }
    text[len] = '\0';
    return text;
}

/* Sizes around those of the steps, packed and as they are. */
static void files(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, LARGE};
    const char *path = probe_path(state, "file");
    const char *back = probe_path(state, "back");
    XB_CLEANUP(xb_freep) char *data = random_text(LARGE);
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = 0;
        probe_write(path, data, sizes[i]);
        PROBE_OK(xb_upload_file(store, "packed", path, true, &err));
        XB_CLEANUP(xb_freep) char *plain = unpacked(state, store, "packed", &len);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(plain, data, len);
        PROBE_OK(xb_upload_file(store, "plain", path, false, &err));
        PROBE_OK(xb_download_file(store, "plain", back, &err));
        XB_CLEANUP(xb_freep) char *copy = probe_read(back, &len);
        assert_int_equal(len, sizes[i]);
        assert_memory_equal(copy, data, len);
    }
}

static int answer(void *context, struct xb_error *err)
{
    const bool *yes = context;
    return *yes ? 0 : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "no");
}

/* Asked at the end: with a no, what was there before stays. */
static void asked(void **state)
{
    bool yes = true;
    const struct xb_upload_question question = {answer, &yes};
    const char *path = probe_path(state, "file");
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    struct xb_buf got = XB_BUF_INIT(100);
    probe_write(path, "first", 5);
    PROBE_OK(xb_upload_file_if(store, "key", path, &question, &err));
    probe_write(path, "other", 5);
    yes = false;
    PROBE_REFUSED(xb_upload_file_if(store, "key", path, &question, &err), XB_ERR_CANCELLED);
    PROBE_OK(xb_store_get(store, "key", 0, XB_STORE_TO_END, &got, &err));
    assert_int_equal(got.len, 5);
    assert_memory_equal(got.data, "first", 5);
    xb_buf_free(&got);
    PROBE_REFUSED(xb_upload_file_if(store, "k", probe_path(state, "absent"), &question, &err),
                  XB_ERR_NOT_FOUND);
}

/* More than one step of a download, over what was there before. */
static void large_download(void **state)
{
    const size_t len = 9 * 1024 * 1024 + 7;
    const char *back = probe_path(state, "large");
    size_t got = 0;
    XB_CLEANUP(xb_freep) char *data = random_text(len);
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    PROBE_OK(xb_store_put(store, "large", data, len, NULL, &err));
    PROBE_OK(xb_download_file(store, "large", back, &err));
    XB_CLEANUP(xb_freep) char *copy = probe_read(back, &got);
    assert_int_equal(got, len);
    assert_memory_equal(copy, data, len);
    PROBE_OK(xb_store_put(store, "small", "x", 1, NULL, &err));
    PROBE_OK(xb_download_file(store, "small", back, &err));
    XB_CLEANUP(xb_freep) char *small = probe_read(back, &got);
    assert_string_equal(small, "x");
}

static void missing(void **state)
{
    xb_json *json_back = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    PROBE_REFUSED(xb_upload_file(store, "k", probe_path(state, "absent"), true, &err),
                  XB_ERR_NOT_FOUND);
    PROBE_REFUSED(xb_download_file(store, "k", probe_path(state, "b"), &err), XB_ERR_NOT_FOUND);
    PROBE_REFUSED(xb_download_json_gz(store, "k", 100, &json_back, &err), XB_ERR_NOT_FOUND);
    probe_write(probe_path(state, "there"), "x", 1);
    PROBE_REFUSED(xb_upload_file(store, "../k", probe_path(state, "there"), true, &err),
                  XB_ERR_INVALID);
    PROBE_REFUSED(xb_upload_json_gz(store, "", NULL, &err), XB_ERR_INVALID);
    /* A folder opens and cannot be read: nothing of it becomes an object. */
    struct xb_error why = XB_ERROR_INIT;
    struct xb_store_item item;
    assert_true(xb_upload_file(store, "folder", *state, false, &why) < 0);
    assert_true(xb_upload_file(store, "folder", *state, true, &why) < 0);
    PROBE_REFUSED(xb_store_stat(store, "folder", &item, &err), XB_ERR_NOT_FOUND);
}

/* Cut anywhere, damaged, not gzip, or more than it may be. */
static void damaged(void **state)
{
    (void)state;
    struct xb_buf packed = XB_BUF_INIT(1 << 20);
    xb_json *back = NULL;
    XB_CLEANUP(xb_json_putp)
    xb_json *value = probe_json("{\"names\":[\"a\",\"b\",\"c\",\"dddddddddddddddddddddddd\"]}");
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    PROBE_OK(xb_upload_json_gz(store, "whole", value, &err));
    PROBE_OK(xb_store_get(store, "whole", 0, XB_STORE_TO_END, &packed, &err));
    for (size_t len = 0; len < packed.len; len++) {
        PROBE_OK(xb_store_put(store, "cut", packed.data, len, NULL, &err));
        PROBE_REFUSED(xb_download_json_gz(store, "cut", 1000, &back, &err), XB_ERR_CORRUPT);
    }
    for (size_t at = 10; at < packed.len; at++) { /* behind gzip's head */
        packed.data[at] ^= 0x10;
        PROBE_OK(xb_store_put(store, "bad", packed.data, packed.len, NULL, &err));
        PROBE_REFUSED(xb_download_json_gz(store, "bad", 1000, &back, &err), XB_ERR_CORRUPT);
        packed.data[at] ^= 0x10;
    }
    PROBE_OK(xb_store_put(store, "plain", "{\"a\":1}", 7, NULL, &err));
    PROBE_REFUSED(xb_download_json_gz(store, "plain", 1000, &back, &err), XB_ERR_CORRUPT);
    assert_null(back);
    xb_buf_free(&packed);
}

/* A bomb is refused at the ceiling, whichever side is too large; text that is no JSON too. */
static void ceilings(void **state)
{
    xb_json *back = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    XB_CLEANUP(xb_freep) char *zeros = calloc(1, LARGE);
    XB_CLEANUP(xb_freep) char *noise = random_text(LARGE);
    memset(zeros, ' ', LARGE);
    probe_write(probe_path(state, "zeros"), zeros, LARGE);
    PROBE_OK(xb_upload_file(store, "bomb", probe_path(state, "zeros"), true, &err));
    PROBE_REFUSED(xb_download_json_gz(store, "bomb", 100000, &back, &err), XB_ERR_FULL);
    PROBE_REFUSED(xb_download_json_gz(store, "bomb", LARGE - 1, &back, &err), XB_ERR_FULL);
    PROBE_REFUSED(xb_download_json_gz(store, "bomb", LARGE, &back, &err), XB_ERR_CORRUPT);
    probe_write(probe_path(state, "noise"), noise, LARGE);
    PROBE_OK(xb_upload_file(store, "noise", probe_path(state, "noise"), true, &err));
    PROBE_REFUSED(xb_download_json_gz(store, "noise", 100000, &back, &err), XB_ERR_FULL);
    assert_null(back);
}

/* A document of exactly the limit is taken, however badly it packs. */
static void exactly_the_limit(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *value = probe_json("{\"a\":1}");
    XB_CLEANUP(xb_json_putp) xb_json *back = NULL;
    xb_json *none = NULL;
    XB_CLEANUP(xb_store_freep) struct xb_store *store = make_store();
    PROBE_OK(xb_upload_json_gz(store, "small", value, &err));
    PROBE_OK(xb_download_json_gz(store, "small", 7, &back, &err));
    PROBE_REFUSED(xb_download_json_gz(store, "small", 6, &none, &err), XB_ERR_FULL);
}

/* The store refuses in the middle or at the end: the error arrives, the old object stays. */
static void store_failures(void **state)
{
    static const enum xb_fault_call calls[] = {XB_FAULT_BEGIN, XB_FAULT_WRITE, XB_FAULT_COMMIT};
    const char *path = probe_path(state, "data");
    struct xb_store *store = NULL;
    struct xb_fault *fault = NULL;
    XB_CLEANUP(xb_freep) char *data = random_text(LARGE);
    XB_CLEANUP(xb_json_putp) xb_json *value = probe_json("{\"a\":1}");
    probe_write(path, data, LARGE);
    PROBE_OK(xb_store_fault_open(make_store(), &store, &fault, &err));
    PROBE_OK(xb_store_put(store, "key", "old", 3, NULL, &err));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct xb_fault_rule rule = {
            .call = calls[i], .effect = XB_FAULT_FAIL, .kind = XB_ERR_FULL};
        struct xb_buf kept = XB_BUF_INIT(100);
        PROBE_OK(xb_fault_add(fault, &rule, &err));
        PROBE_REFUSED(xb_upload_file(store, "key", path, true, &err), XB_ERR_FULL);
        PROBE_REFUSED(xb_upload_file(store, "key", path, false, &err), XB_ERR_FULL);
        PROBE_REFUSED(xb_upload_json_gz(store, "key", value, &err), XB_ERR_FULL);
        xb_fault_clear(fault);
        PROBE_OK(xb_store_get(store, "key", 0, XB_STORE_TO_END, &kept, &err));
        assert_string_equal(kept.data, "old");
        xb_buf_free(&kept);
    }
    const struct xb_fault_rule second = {
        .call = XB_FAULT_GET, .effect = XB_FAULT_FAIL, .nth = 2, .kind = XB_ERR_RETRY};
    XB_CLEANUP(xb_freep) char *more = random_text(5 * 1024 * 1024);
    PROBE_OK(xb_store_put(store, "large", more, 5 * 1024 * 1024, NULL, &err));
    PROBE_OK(xb_fault_add(fault, &second, &err));
    PROBE_REFUSED(xb_download_file(store, "large", probe_path(state, "part"), &err), XB_ERR_RETRY);
    xb_store_free(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json),           cmocka_unit_test(files),
        cmocka_unit_test(asked),          cmocka_unit_test(large_download),
        cmocka_unit_test(missing),        cmocka_unit_test(damaged),
        cmocka_unit_test(ceilings),       cmocka_unit_test(exactly_the_limit),
        cmocka_unit_test(store_failures),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
