/* SPDX-License-Identifier: Apache-2.0
 *
 * Random links: what is made is read back; no other text, key or time is taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "coordinator/serve/link.h"
#include "tests/harness/property.h"

enum { ROUNDS = 300, ALTERED_PER_ROUND = 60, LINKS_ALL_BITS = 6 };

static struct xb_secret *random_key(struct property *source)
{
    unsigned char bytes[64];
    struct xb_error err = XB_ERROR_INIT;
    struct xb_secret *key = NULL;
    size_t len = 32 + property_below(source, 33);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (unsigned char)property_next(source);
    }
    assert_int_equal(xb_secret_new(bytes, len, &key, &err), 0);
    return key;
}

static void random_name(struct property *source, char *out)
{
    static const char inner[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    size_t len = property_once_in(source, 5) ? 253 : 1 + property_below(source, 40);
    for (size_t i = 0; i < len; i++) {
        bool plain = i == 0 || i == len - 1 || out[i - 1] == '.' || out[i - 1] == '-';
        out[i] = inner[property_below(source, plain ? 36 : 38)];
    }
    out[len] = '\0';
}

static struct xb_download random_download(struct property *source)
{
    struct xb_download what = {.kind = (enum xb_download_kind)property_below(source, 14)};
    random_name(source, what.location);
    random_name(source, what.name);
    what.expires_s = 1 + (int64_t)property_below(source, UINT64_C(4000000000));
    return what;
}

static void refused(const struct xb_secret *key, const char *path, int64_t now_s)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_download got = {.expires_s = -7};
    int r = xb_download_link_parse(key, path, now_s, &got, &err);
    if (r >= 0) {
        print_error("taken: %s\n", path);
    }
    assert_true(r < 0);
    assert_int_equal(err.kind, XB_ERR_DENIED);
    assert_int_equal(got.expires_s, -7); /* untouched on failure */
    if (strlen(path) > 40) {
        assert_null(strstr(err.text, path)); /* a link is a permission: it is not shown */
    }
}

/* Every link comes back as what it was made of, until it is over. */
static void round_trip(void **state)
{
    (void)state;
    struct property source = property_begin("round_trip");
    for (int i = 0; i < ROUNDS; i++) {
        struct xb_error err = XB_ERROR_INIT;
        char path[XB_DOWNLOAD_LINK_BYTES];
        struct xb_secret *key = random_key(&source), *other = random_key(&source);
        struct xb_download what = random_download(&source), got;
        assert_int_equal(xb_download_link_make(key, &what, path, &err), 0);
        assert_int_equal(xb_download_link_parse(key, path, what.expires_s - 1, &got, &err), 0);
        assert_int_equal(got.kind, what.kind);
        assert_string_equal(got.location, what.location);
        assert_string_equal(got.name, what.name);
        assert_int_equal(got.expires_s, what.expires_s);
        refused(key, path, what.expires_s);
        refused(key, path, INT64_MAX);
        refused(other, path, 0);
        xb_secret_free(key);
        xb_secret_free(other);
    }
}

/* One of: a flipped bit, a cut, an insertion, a deletion, two bytes exchanged, a longer text. False
 * when the text came out as it was. */
static bool alter(struct property *source, const char *path, char *out)
{
    size_t len = strlen(path), at = property_below(source, len);
    char byte = (char)(1 + property_below(source, 255));
    memcpy(out, path, len + 1);
    switch (property_below(source, 6)) {
    case 0:
        out[at] = (char)(out[at] ^ (1 << property_below(source, 8)));
        break;
    case 1:
        out[at] = '\0';
        break;
    case 2:
        memmove(out + at + 1, out + at, len - at + 1);
        out[at] = byte;
        break;
    case 3:
        memmove(out + at, out + at + 1, len - at);
        break;
    case 4: {
        size_t with = property_below(source, len);
        char kept = out[at];
        out[at] = out[with];
        out[with] = kept;
        break;
    }
    default:
        out[len] = byte;
        out[len + 1] = '\0';
    }
    return strcmp(out, path) != 0;
}

static void altered(void **state)
{
    (void)state;
    struct property source = property_begin("altered");
    for (int i = 0; i < ROUNDS; i++) {
        struct xb_error err = XB_ERROR_INIT;
        char path[XB_DOWNLOAD_LINK_BYTES], bad[XB_DOWNLOAD_LINK_BYTES + 2];
        struct xb_secret *key = random_key(&source);
        struct xb_download what = random_download(&source);
        assert_int_equal(xb_download_link_make(key, &what, path, &err), 0);
        for (int j = 0; j < ALTERED_PER_ROUND; j++) {
            if (alter(&source, path, bad)) {
                refused(key, bad, 0);
            }
        }
        xb_secret_free(key);
    }
}

/* Each bit and each length of a few links, so that none is left to luck. */
static void all_bits(void **state)
{
    (void)state;
    struct property source = property_begin("all_bits");
    for (int i = 0; i < LINKS_ALL_BITS; i++) {
        struct xb_error err = XB_ERROR_INIT;
        char path[XB_DOWNLOAD_LINK_BYTES], bad[XB_DOWNLOAD_LINK_BYTES];
        struct xb_secret *key = random_key(&source);
        struct xb_download what = random_download(&source);
        assert_int_equal(xb_download_link_make(key, &what, path, &err), 0);
        size_t len = strlen(path);
        for (size_t bit = 0; bit < len * 8; bit++) {
            memcpy(bad, path, len + 1);
            bad[bit / 8] = (char)(bad[bit / 8] ^ (1 << bit % 8));
            refused(key, bad, 0);
        }
        for (size_t cut = 1; cut < len; cut++) {
            memcpy(bad, path, len + 1);
            bad[cut] = '\0';
            refused(key, bad, 0);
            refused(key, path + cut, 0);
        }
        xb_secret_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(altered),
        cmocka_unit_test(all_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
