/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs cut into parts at random give what they give in one piece: every hash, many at once, with
 * all instructions that this machine has and with fewer; and both ciphers, in place and elsewhere.
 * What is to come out says OpenSSL, which does all but BLAKE3 where instructions are limited. Each
 * part has memory of its own, so that a sanitizer sees every byte read or written beside it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cpu.h"
#include "shared/crypto/aead.h"
#include "shared/crypto/hash.h"
#include "tests/harness/property.h"

enum { ROUNDS = 60, INPUTS_MAX = 11, LEN_MAX = 20000, PARTS_MAX = 12, KEY_BYTES = 32 };

struct input {
    unsigned char bytes[LEN_MAX];
    size_t len;
    struct iovec parts[PARTS_MAX];
    size_t count;
};

static struct input inputs[INPUTS_MAX];

/* Mostly around the sizes of blocks, where it is easy to be wrong. */
static size_t some_len(struct property *source)
{
    switch (property_below(source, 4)) {
    case 0:
        return property_below(source, 4);
    case 1:
        return 64 * property_below(source, 9) + property_below(source, 3);
    case 2:
        return 128 * property_below(source, 40);
    default:
        return property_below(source, LEN_MAX);
    }
}

static struct iovec own(const unsigned char *bytes, size_t len)
{
    struct iovec part = {malloc(len ? len : 1), len};
    assert_non_null(part.iov_base);
    memcpy(part.iov_base, bytes, len);
    return part;
}

/* Cuts bytes into parts, some of them empty. */
static size_t cut(struct property *source, const unsigned char *bytes, size_t len,
                  struct iovec parts[PARTS_MAX])
{
    size_t count = 0;
    while (count < PARTS_MAX - 1 && property_below(source, 8) > 0) {
        size_t some = some_len(source);
        some = some < len ? some : len;
        parts[count++] = own(bytes, some);
        bytes += some;
        len -= some;
    }
    parts[count++] = own(bytes, len);
    return count;
}

static void drop(struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(parts[i].iov_base);
    }
}

static void make(struct property *source, struct input *input)
{
    input->len = some_len(source);
    for (size_t i = 0; i < input->len; i++) {
        input->bytes[i] = (unsigned char)property_next(source);
    }
    input->count = cut(source, input->bytes, input->len, input->parts);
}

static void hash_round(struct property *source, const struct xb_hash *hash,
                       const struct xb_hash *reference)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_hash_job jobs[INPUTS_MAX];
    unsigned char got[INPUTS_MAX][XB_HASH_BYTES_MAX + 1], want[XB_HASH_BYTES_MAX];
    size_t count = property_below(source, INPUTS_MAX + 1), bytes = xb_hash_bytes(hash);
    for (size_t i = 0; i < count; i++) {
        make(source, &inputs[i]);
        jobs[i] = (struct xb_hash_job){inputs[i].parts, inputs[i].count, got[i]};
        got[i][bytes] = 0xee;
    }
    assert_int_equal(xb_hash_compute_many(hash, jobs, count, &err), 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(xb_hash_compute(reference, inputs[i].bytes, inputs[i].len, want, &err), 0);
        assert_memory_equal(got[i], want, bytes);
        assert_int_equal(got[i][bytes], 0xee);
        drop(inputs[i].parts, inputs[i].count);
    }
}

static void hashes_of_parts(void **state)
{
    (void)state;
    struct property source = property_begin("parts");
    const enum xb_cpu best = xb_cpu_level();
    for (size_t i = 0; xb_hash_name(i); i++) {
        for (enum xb_cpu level = XB_CPU_PORTABLE; level <= best; level++) {
            struct xb_error err = XB_ERROR_INIT;
            XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL, *reference = NULL;
            unsigned char key[64];
            size_t key_len =
                1 + property_below(&source, strncmp(xb_hash_name(i), "BLAKE2S", 7) ? 64 : 32);
            if (!xb_hash_available(xb_hash_name(i))) {
                continue;
            }
            for (size_t k = 0; k < sizeof key; k++) {
                key[k] = (unsigned char)property_next(&source);
            }
            xb_cpu_limit(level);
            assert_int_equal(xb_cpu_level(), level);
            assert_int_equal(xb_hash_new(xb_hash_name(i), key, key_len, &hash, &err), 0);
            xb_cpu_limit(XB_CPU_PORTABLE);
            assert_int_equal(xb_hash_new(xb_hash_name(i), key, key_len, &reference, &err), 0);
            xb_cpu_limit(best);
            assert_true(xb_hash_lanes(hash) >= 1);
            assert_int_equal(xb_hash_lanes(reference), 1);
            for (size_t round = 0; round < ROUNDS; round++) {
                hash_round(&source, hash, reference);
            }
        }
    }
}

/* Four lanes where there is AVX2, for the hash of which Velero's repositories are full. */
static void lanes(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    assert_int_equal(xb_hash_new("BLAKE2B-256-128", "key", 3, &hash, &err), 0);
    assert_int_equal(xb_hash_lanes(hash), xb_cpu_level() >= XB_CPU_AVX2 ? 4 : 1);
    struct xb_hash *none = NULL;
    unsigned char key[65] = {0};
    assert_int_equal(xb_hash_new("BLAKE2B-256", key, sizeof key, &none, &err), -EINVAL);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_null(none);
}

static void assert_parts(const struct iovec *parts, size_t count, const unsigned char *want,
                         size_t len)
{
    for (size_t i = 0; i < count && len > 0; i++) {
        size_t some = parts[i].iov_len < len ? parts[i].iov_len : len;
        assert_memory_equal(parts[i].iov_base, want, some);
        want += some;
        len -= some;
    }
    assert_int_equal(len, 0);
}

/* Seals the input's parts in place or into another cut, compares with what OpenSSL makes of one
 * piece under the same nonce, opens that likewise; at last with one bit of the tag flipped. */
static void aead_round(struct property *source, const struct xb_aead *aead,
                       const struct xb_aead *reference)
{
    static unsigned char sealed[LEN_MAX + XB_AEAD_OVERHEAD_BYTES];
    static const unsigned char zeros[LEN_MAX + 7];
    struct xb_error err = XB_ERROR_INIT;
    struct input *input = &inputs[0];
    const struct xb_aead_data associated = {"an initialization vector", property_below(source, 24)};
    unsigned char key[XB_AEAD_KEY_BYTES];
    struct xb_aead_ends ends;
    struct iovec other[PARTS_MAX];
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (unsigned char)property_next(source);
    }
    make(source, input);
    struct xb_aead_data plain = {input->bytes, input->len};
    bool in_place = property_below(source, 2) == 0;
    size_t other_count = cut(source, zeros, input->len + property_below(source, 8), other);
    struct xb_aead_parts parts = {input->parts, input->count, in_place ? input->parts : other,
                                  in_place ? input->count : other_count};
    assert_int_equal(xb_aead_seal_parts(aead, key, &associated, &parts, &ends, &err), 0);
    assert_int_equal(xb_aead_seal(reference, key, ends.nonce, &associated, &plain, sealed, &err),
                     0);
    assert_parts(parts.to, parts.to_count, sealed + XB_AEAD_NONCE_BYTES, input->len);
    assert_memory_equal(ends.tag, sealed + XB_AEAD_NONCE_BYTES + input->len, sizeof ends.tag);
    struct xb_aead_parts back = {parts.to, parts.to_count, input->parts, input->count};
    if (!in_place) { /* `to` may be larger than the message */
        drop(other, other_count);
        other_count = cut(source, sealed + XB_AEAD_NONCE_BYTES, input->len, other);
        back.from_count = other_count;
    }
    assert_int_equal(xb_aead_open_parts(aead, key, &associated, &back, &ends, &err), 0);
    assert_parts(back.to, back.to_count, input->bytes, input->len);
    ends.tag[property_below(source, sizeof ends.tag)] ^= 4;
    assert_int_equal(xb_aead_open_parts(aead, key, &associated, &back, &ends, &err), -EBADMSG);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
    assert_parts(back.to, back.to_count, zeros, input->len);
    drop(input->parts, input->count);
    drop(other, other_count);
}

static void ciphers_of_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"AES-256-GCM", "CHACHA20-POLY1305"};
    struct property source = property_begin("parts");
    for (size_t n = 0; n < 2; n++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL, *reference = NULL;
        assert_int_equal(xb_aead_new(names[n], &aead, &err), 0);
        xb_cpu_limit(XB_CPU_PORTABLE);
        assert_int_equal(xb_aead_new(names[n], &reference, &err), 0);
        xb_cpu_limit(XB_CPU_AVX512_VBMI);
        for (size_t round = 0; round < 6 * ROUNDS; round++) {
            aead_round(&source, aead, reference);
            aead_round(&source, reference, reference);
        }
    }
}

/* Room for one byte too few is refused before anything is written. */
static void too_little_room(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_aead_freep) struct xb_aead *aead = NULL;
    assert_int_equal(xb_aead_new("AES-256-GCM", &aead, &err), 0);
    unsigned char from[8] = "message", to[8] = "before!";
    struct iovec in[] = {{from, 3}, {from + 3, 5}}, out[] = {{to, 4}, {to + 4, 3}};
    struct xb_aead_parts parts = {in, 2, out, 2};
    const struct xb_aead_data none = {NULL, 0};
    const unsigned char key[XB_AEAD_KEY_BYTES] = {0};
    struct xb_aead_ends ends = {{0}, {0}};
    assert_int_equal(xb_aead_seal_parts(aead, key, &none, &parts, &ends, &err), -ENOBUFS);
    assert_int_equal(xb_aead_open_parts(aead, key, &none, &parts, &ends, &err), -ENOBUFS);
    assert_string_equal((char *)to, "before!");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_of_parts),
        cmocka_unit_test(lanes),
        cmocka_unit_test(ciphers_of_parts),
        cmocka_unit_test(too_little_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
