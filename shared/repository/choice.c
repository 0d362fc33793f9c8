/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/choice.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/crypto/hash.h"
#include "shared/repository/seal.h"

enum { SAMPLE_BYTES = 256 * 1024, ROUNDS = 5, KEY_BYTES = 32, IV_BYTES = 16, LANES_MAX = 8 };

/* In front is what is fast on most machines. All of them are known to every kopia that knows format
 * 3, and to Velero. */
static const char *const hash_names[] = {"BLAKE3-256-128", "HMAC-SHA256-128", "BLAKE2B-256-128"};
static const char *const encryption_names[] = {"AES256-GCM-HMAC-SHA256",
                                               "CHACHA20-POLY1305-HMAC-SHA256"};
#define SPLITTER "DYNAMIC-1M-BUZHASH"

/* A later candidate must beat an earlier one by this. */
static const double clearly_faster = 1.25;

static const unsigned char zeros[SAMPLE_BYTES];

/* What other threads do meanwhile does not count. */
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void keep_best(struct xb_choice_candidate *candidate, int64_t start_ns, size_t samples)
{
    int64_t took = cpu_ns() - start_ns;
    double rate = (double)(samples * SAMPLE_BYTES) / (double)(took > 0 ? took : 1);
    candidate->gb_per_s = rate > candidate->gb_per_s ? rate : candidate->gb_per_s;
}

static int measure_hash(const char *name, struct xb_choice_candidate *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    unsigned char out[XB_HASH_BYTES_MAX];
    struct iovec part = {.iov_len = sizeof zeros};
    const void *from = zeros;
    struct xb_hash_job jobs[LANES_MAX];
    memcpy(&part.iov_base, &from, sizeof from); /* it is only read */
    *ret = (struct xb_choice_candidate){.name = name};
    if (!xb_hash_available(name)) {
        return 0;
    }
    int r = xb_hash_new(name, zeros, KEY_BYTES, &hash, err);
    size_t lanes = r == 0 ? xb_hash_lanes(hash) : 0; /* as the contents of a backup are hashed */
    lanes = lanes < LANES_MAX ? lanes : LANES_MAX;
    for (size_t k = 0; k < lanes; k++) {
        jobs[k] = (struct xb_hash_job){&part, 1, out};
    }
    for (int i = 0; r == 0 && i < ROUNDS; i++) {
        int64_t start_ns = cpu_ns();
        r = xb_hash_compute_many(hash, jobs, lanes, err);
        keep_best(ret, start_ns, lanes);
    }
    return r;
}

static int measure_encryption(const char *name, struct xb_choice_candidate *ret,
                              struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = NULL;
    XB_CLEANUP(xb_buf_free)
    struct xb_buf out = XB_BUF_INIT(SAMPLE_BYTES + XB_SEAL_OVERHEAD_BYTES);
    *ret = (struct xb_choice_candidate){.name = name};
    int r = xb_secret_new(zeros, KEY_BYTES, &key, err);
    if (r == 0) {
        r = xb_sealer_new("HMAC-SHA256-128", name, key, key, &sealer, err);
    }
    for (int i = 0; r == 0 && i < ROUNDS; i++) {
        int64_t start_ns = cpu_ns();
        xb_buf_clear(&out);
        r = xb_seal(sealer, zeros, IV_BYTES, NULL, zeros, sizeof zeros, &out, err);
        keep_best(ret, start_ns, 1);
    }
    return r;
}

const char *xb_choice_best(const struct xb_choice_candidate candidates[XB_CHOICE_CANDIDATES])
{
    const struct xb_choice_candidate *best = NULL;
    for (size_t i = 0; i < XB_CHOICE_CANDIDATES; i++) {
        const struct xb_choice_candidate *one = &candidates[i];
        if (one->name && one->gb_per_s > 0 &&
            (!best || one->gb_per_s > best->gb_per_s * clearly_faster)) {
            best = one;
        }
    }
    return best ? best->name : NULL;
}

int xb_choice_make(struct xb_choice *ret, struct xb_error *err)
{
    struct xb_choice choice = {.splitter = SPLITTER};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof hash_names / sizeof *hash_names; i++) {
        r = measure_hash(hash_names[i], &choice.hashes[i], err);
    }
    for (size_t i = 0; r == 0 && i < sizeof encryption_names / sizeof *encryption_names; i++) {
        r = measure_encryption(encryption_names[i], &choice.encryptions[i], err);
    }
    choice.hash = xb_choice_best(choice.hashes);
    choice.encryption = xb_choice_best(choice.encryptions);
    if (r == 0 && (!choice.hash || !choice.encryption)) {
        r = xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                         "OpenSSL offers no algorithm for a new repository");
    }
    if (r < 0) {
        return xb_error_wrap(err, "choosing algorithms");
    }
    *ret = choice;
    return 0;
}

void xb_choice_format(const struct xb_choice_candidate candidates[XB_CHOICE_CANDIDATES],
                      char out[XB_CHOICE_TEXT_BYTES])
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < XB_CHOICE_CANDIDATES && candidates[i].name; i++) {
        char rate[32] = "not in this build";
        if (candidates[i].gb_per_s > 0) {
            snprintf(rate, sizeof rate, "%.1f GB/s", candidates[i].gb_per_s);
        }
        int wrote = snprintf(out + len, XB_CHOICE_TEXT_BYTES - len, "%s%s %s", i ? ", " : "",
                             candidates[i].name, rate);
        len += wrote > 0 && (size_t)wrote < XB_CHOICE_TEXT_BYTES - len ? (size_t)wrote : 0;
    }
}
