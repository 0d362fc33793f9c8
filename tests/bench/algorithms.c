/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast each algorithm is on one core of this machine: hashes, encryptions, splitters and
 * compressors, on contents of 1 MiB and of 4 KiB. Printed, never asserted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shared/base/random.h"
#include "shared/compress/compress.h"
#include "shared/crypto/hash.h"
#include "shared/repository/seal.h"
#include "shared/repository/splitter.h"

enum { BYTES = 64 << 20, LARGE = 1 << 20, SMALL = 4096 };

static unsigned char *noise, *text;

static void fail(const struct xb_error *err)
{
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

static void row(const char *kind, const char *name, const double gbps[2])
{
    printf("%-12s %-36s %7.2f %7.2f\n", kind, name, gbps[0], gbps[1]);
    fflush(stdout);
}

typedef int work_fn(void *context, const unsigned char *data, size_t len, struct xb_error *err);

/* CPU time, so that what else runs here does not count. */
static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* GB/s over all of `data` in pieces; the better of two rounds. */
static double rate(work_fn *work, void *context, const unsigned char *data, size_t piece)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t best = INT64_MAX;
    for (int round = 0; round < 2; round++) {
        int64_t start = cpu_ns();
        for (size_t i = 0; i + piece <= BYTES; i += piece) {
            if (work(context, data + i, piece, &err) < 0) {
                fail(&err);
            }
        }
        int64_t took = cpu_ns() - start;
        best = took < best ? took : best;
    }
    return (double)BYTES / (double)best;
}

static int hash_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    unsigned char out[XB_HASH_BYTES_MAX];
    return xb_hash_compute(context, data, len, out, err);
}

struct sealing {
    struct xb_sealer *sealer;
    struct xb_buf sealed, plain;
};

static const unsigned char iv[16];

static int seal_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    struct sealing *sealing = context;
    xb_buf_clear(&sealing->sealed);
    return xb_seal(sealing->sealer, iv, sizeof iv, NULL, data, len, &sealing->sealed, err);
}

static int unseal_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    struct sealing *sealing = context;
    (void)data, (void)len;
    xb_buf_clear(&sealing->plain);
    return xb_unseal(sealing->sealer, iv, sizeof iv, sealing->sealed.data, sealing->sealed.len,
                     &sealing->plain, err);
}

static int split_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    struct xb_splitter_state state = {.scanned = 0};
    (void)err;
    for (size_t start = 0, cut = 1; cut; start += cut) {
        cut = xb_splitter_feed(context, &state, data + start, len - start);
    }
    return 0;
}

static int encode_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    bool smaller = false;
    xb_buf_clear(context);
    return xb_compress_encode(XB_COMPRESS_ZSTD_FASTEST, data, len, context, &smaller, err);
}

static int decode_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf out = XB_BUF_INIT(len);
    const struct xb_buf *packed = context;
    (void)data;
    return packed->len ? xb_compress_decode(XB_COMPRESS_ZSTD_FASTEST, packed->data, packed->len,
                                            len, &out, err)
                       : 0;
}

static void hashes(void)
{
    static const size_t pieces[2] = {LARGE, SMALL};
    for (size_t i = 0; xb_hash_name(i); i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
        double gbps[2];
        if (!xb_hash_available(xb_hash_name(i))) {
            printf("%-12s %-36s not in this build\n", "hash", xb_hash_name(i));
            continue;
        }
        if (xb_hash_new(xb_hash_name(i), noise, 32, &hash, &err) < 0) {
            fail(&err);
        }
        for (size_t k = 0; k < 2; k++) {
            gbps[k] = rate(hash_one, hash, noise, pieces[k]);
        }
        row("hash", xb_hash_name(i), gbps);
    }
}

static void encryptions(void)
{
    static const char *const names[] = {"AES256-GCM-HMAC-SHA256", "CHACHA20-POLY1305-HMAC-SHA256"};
    static const size_t pieces[2] = {LARGE, SMALL};
    for (size_t i = 0; i < 2; i++) {
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
        struct sealing sealing = {.sealed = XB_BUF_INIT(2 * LARGE),
                                  .plain = XB_BUF_INIT(2 * LARGE)};
        double seal[2], unseal[2];
        if (xb_secret_new(noise, 32, &secret, &err) < 0 ||
            xb_sealer_new("HMAC-SHA256-128", names[i], secret, secret, &sealing.sealer, &err) < 0) {
            fail(&err);
        }
        for (size_t k = 0; k < 2; k++) {
            seal[k] = rate(seal_one, &sealing, noise, pieces[k]);
            unseal[k] = rate(unseal_one, &sealing, noise, pieces[k]);
        }
        row("seal", names[i], seal);
        row("unseal", names[i], unseal);
        xb_sealer_free(sealing.sealer);
        xb_buf_free(&sealing.sealed);
        xb_buf_free(&sealing.plain);
    }
}

static void splitters(void)
{
    static const char *const names[] = {
        "FIXED-1M",           "DYNAMIC-1M-BUZHASH",   "DYNAMIC-2M-BUZHASH",
        "DYNAMIC-4M-BUZHASH", "DYNAMIC-1M-RABINKARP", "DYNAMIC-4M-RABINKARP"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_splitter splitter;
        if (xb_splitter_parse(names[i], &splitter, &err) < 0) {
            fail(&err);
        }
        printf("%-12s %-36s %7.2f\n", "split", names[i], rate(split_one, &splitter, noise, BYTES));
    }
}

static void compressors(void)
{
    static const char *const names[] = {"zstd-fastest, noise", "zstd-fastest, text"};
    static const size_t pieces[2] = {LARGE, SMALL};
    for (size_t i = 0; i < 2; i++) {
        struct xb_buf packed = XB_BUF_INIT(2 * LARGE);
        double encode[2], decode[2];
        for (size_t k = 0; k < 2; k++) {
            encode[k] = rate(encode_one, &packed, i ? text : noise, pieces[k]);
            decode[k] = rate(decode_one, &packed, i ? text : noise, pieces[k]);
        }
        row("compress", names[i], encode);
        if (i) {
            row("decompress", names[i], decode);
        }
        xb_buf_free(&packed);
    }
}

/* Words in sentences, so that it shrinks as prose does. */
static void make_text(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i < BYTES;) {
        x = x * 1664525 + 1013904223;
        char word[16];
        int len = snprintf(word, sizeof word, "%x%s", (x >> 20) % 3000, x >> 28 ? " " : ".\n");
        for (int k = 0; k < len && i < BYTES; k++) {
            text[i++] = (unsigned char)word[k];
        }
    }
}

int main(void)
{
    noise = malloc(BYTES);
    text = malloc(BYTES);
    if (!noise || !text) {
        return 1;
    }
    xb_random_bytes(noise, BYTES);
    make_text();
    printf("%-12s %-36s %7s %7s   GB/s on one core\n", "", "contents of", "1 MiB", "4 KiB");
    hashes();
    encryptions();
    splitters();
    compressors();
    free(noise);
    free(text);
    return 0;
}
