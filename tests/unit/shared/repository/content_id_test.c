/* SPDX-License-Identifier: Apache-2.0
 *
 * Content ids: text and back, what is none, and the order that indexes are in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/repository.h"

static int parse(const char *text, size_t len, struct xb_content_id *ret, struct xb_error *err)
{
    char *copy = malloc(len ? len : 1); /* ends where the text ends: a sanitizer sees overreads */
    assert_non_null(copy);
    memcpy(copy, text, len);
    int r = xb_content_id_parse(copy, len, ret, err);
    free(copy);
    return r;
}

static struct xb_content_id id_of(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_id id;
    memset(&id, 0xee, sizeof id);
    assert_int_equal(parse(text, strlen(text), &id, &err), 0);
    assert_int_equal(err.code, 0);
    return id;
}

/* Ids of the real and the synthetic repository, and of each hash length. */
static void round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "5d9461aff732d77d0cc98725ea29298c",
        "k71ac110e67ead91e44463745ea55695d",
        "x4923c94d7bcb510c6c6888733fd34bf8",
        "md3539fa670ed6ab7515ba67eb8972999",
        "g00",
        "zff",
        "00",
        "c058b4ace7a24b83460c1cb59a43c777a2b927b7ffb4b976cc26377e",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        "m5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct xb_content_id id = id_of(texts[i]);
        char text[XB_CONTENT_ID_TEXT_BYTES];
        xb_content_id_format(&id, text);
        assert_string_equal(text, texts[i]);
        assert_int_equal(id.prefix, strlen(texts[i]) % 2 ? texts[i][0] : 0);
        assert_int_equal(id.len, strlen(texts[i]) / 2);
    }
    struct xb_content_id id = id_of("k71ac");
    static const uint8_t hash[] = {0x71, 0xac};
    assert_memory_equal(id.hash, hash, 2);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {{"", 0},
               {"k", 1},
               {"f00", 3},
               {"{00", 3},
               {"K00", 3},
               {"00f", 3},
               {"kk0", 3},
               {"0g", 2},
               {"AB", 2},
               {"kAB", 3},
               {" 00", 3},
               {"00 ", 3},
               {"0\0", 2},
               {"\0"
                "00",
                3},
               {"k0\n", 3},
               {"-1", 2},
               {"\xff"
                "00",
                3},
               {"0x00", 4}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_content_id id = {.len = 77};
        assert_int_equal(parse(bad[i].text, bad[i].len, &id, &err), -EBADMSG);
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        assert_int_equal(id.len, 77); /* untouched */
    }
    char zeros[200];
    memset(zeros, '0', sizeof zeros);
    zeros[0] = 'k';
    for (size_t len = 0; len <= sizeof zeros; len++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_content_id id;
        assert_int_equal(parse(zeros, len, &id, &err) == 0, len % 2 == 1 && len > 1 && len <= 65);
        assert_int_equal(parse(zeros + 1, len - (len > 0), &id, &err) == 0,
                         len % 2 == 1 && len > 1 && len <= 65);
    }
}

/* Prefix byte first, then the bytes of the hash as unsigned numbers, then the length. */
static void order(void **state)
{
    (void)state;
    static const char *const ascending[] = {"00",   "0000", "01",  "7f",  "80",  "ff",
                                            "ff00", "g00",  "gff", "k7f", "k80", "zff"};
    size_t count = sizeof ascending / sizeof *ascending;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            struct xb_content_id a = id_of(ascending[i]), b = id_of(ascending[k]);
            int r = xb_content_id_compare(&a, &b);
            assert_int_equal((r > 0) - (r < 0), (i > k) - (i < k));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(refused),
        cmocka_unit_test(order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
