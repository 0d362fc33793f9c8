/* SPDX-License-Identifier: Apache-2.0
 *
 * How fast each algorithm is on one core of this machine: hashes, encryptions, splitters and
 * compressors, on contents of 1 MiB and of 4 KiB, with all instructions that there are and with
 * fewer; and memcpy as a yardstick. Printed, never asserted.
 *
 * usage: bench_algorithms [--json]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/cpu.h"
#include "shared/base/random.h"
#include "shared/compress/compress.h"
#include "shared/crypto/gcm.h"
#include "shared/crypto/hash.h"
#include "shared/repository/seal.h"
#include "shared/repository/splitter.h"

enum { BYTES = 64 << 20, LARGE = 1 << 20, SMALL = 4096, PART = 256 << 10, AT_ONCE_MAX = 8 };

static unsigned char *noise, *text, *room;
static bool json, any;

static void fail(const struct xb_error *err)
{
    fprintf(stderr, "bench: %s\n", err->text);
    exit(1);
}

/* gbps[1] 0: there is no such figure. `path`: whose code it was. */
static void row(const char *kind, const char *name, const char *path, const double gbps[2])
{
    if (json) {
        printf("%s{\"kind\": \"%s\", \"name\": \"%s\", \"path\": \"%s\", \"large\": %.3f",
               any ? ",\n  " : "  ", kind, name, path, gbps[0]);
        printf(gbps[1] > 0 ? ", \"small\": %.3f}" : "}", gbps[1]);
    } else {
        printf("%-12s %-32s %-18s %7.2f", kind, name, path, gbps[0]);
        printf(gbps[1] > 0 ? " %7.2f\n" : "\n", gbps[1]);
    }
    any = true;
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

/* Blocks as they come from files; the whole is one stream. */
static int split_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    struct xb_splitter_state state = {.scanned = 0};
    (void)err;
    for (size_t at = 0; at < len;) {
        size_t block = PART - at % PART;
        size_t cut = xb_splitter_feed(context, &state, data + at, block);
        at += cut ? cut : block;
    }
    return 0;
}

/* A content in blocks, as most are. */
static size_t cut_parts(const unsigned char *data, size_t len, struct iovec *parts)
{
    size_t count = 0;
    for (size_t at = 0; at < len; at += parts[count++].iov_len) {
        parts[count].iov_len = len - at < PART ? len - at : PART;
        memcpy(&parts[count].iov_base, &(const unsigned char *){data + at}, sizeof data);
    }
    return count;
}

static int encode_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    bool smaller = false;
    struct iovec parts[LARGE / PART];
    size_t count = cut_parts(data, len, parts);
    xb_buf_clear(context);
    return xb_compress_encode_parts(XB_COMPRESS_ZSTD_FASTEST, parts, count, context, &smaller, err);
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

static int copy_one(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    (void)context, (void)err;
    memcpy(room, data, len);
    __asm__ volatile("" ::: "memory");
    return 0;
}

static const size_t pieces[2] = {LARGE, SMALL};

static void rates(work_fn *work, void *context, const unsigned char *data, double gbps[2])
{
    for (size_t k = 0; k < 2; k++) {
        gbps[k] = rate(work, context, data, pieces[k]);
    }
}

struct many {
    const struct xb_hash *hash;
    size_t at_once;
};

/* Every so many contents at once: the calls between only tell how many there are. */
static int hash_some(void *context, const unsigned char *data, size_t len, struct xb_error *err)
{
    const struct many *many = context;
    struct iovec parts[AT_ONCE_MAX];
    struct xb_hash_job jobs[AT_ONCE_MAX];
    unsigned char out[AT_ONCE_MAX][XB_HASH_BYTES_MAX];
    size_t len_of_one = len / many->at_once;
    for (size_t i = 0; i < many->at_once; i++) {
        cut_parts(data + i * len_of_one, len_of_one, &parts[i]);
        jobs[i] = (struct xb_hash_job){&parts[i], 1, out[i]};
    }
    return xb_hash_compute_many(many->hash, jobs, many->at_once, err);
}

static void hash_rows(const char *name, const char *path)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_hash_freep) struct xb_hash *hash = NULL;
    double gbps[2];
    char label[64];
    if (xb_hash_new(name, noise, 32, &hash, &err) < 0) {
        fail(&err);
    }
    rates(hash_one, hash, noise, gbps);
    row("hash", name, path, gbps);
    struct many many = {hash, xb_hash_lanes(hash)};
    if (many.at_once > 1) {
        for (size_t k = 0; k < 2; k++) {
            size_t piece = k == 0 ? PART : SMALL; /* of one of them */
            gbps[k] = rate(hash_some, &many, noise, many.at_once * piece);
        }
        snprintf(label, sizeof label, "%s, %zu at once", name, many.at_once);
        row("hash", label, path, gbps);
    }
}

static void hashes(enum xb_cpu best)
{
    for (size_t i = 0; xb_hash_name(i); i++) {
        bool blake2b = strncmp(xb_hash_name(i), "BLAKE2B", 7) == 0;
        if (!xb_hash_available(xb_hash_name(i))) {
            continue;
        }
        for (enum xb_cpu level = XB_CPU_PORTABLE; level <= XB_CPU_AVX512 && level <= best;
             level++) {
            if (level == XB_CPU_PORTABLE || blake2b) {
                xb_cpu_limit(level);
                hash_rows(xb_hash_name(i), blake2b && level > XB_CPU_PORTABLE ? xb_cpu_name(level)
                                           : strncmp(xb_hash_name(i), "BLAKE3", 6) == 0
                                               ? "its authors'"
                                               : "OpenSSL");
            }
        }
        xb_cpu_limit(best);
    }
}

static void encryption_rows(const char *name, const char *path)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *secret = NULL;
    struct sealing sealing = {.sealed = XB_BUF_INIT(2 * LARGE), .plain = XB_BUF_INIT(2 * LARGE)};
    double seal[2], unseal[2];
    if (xb_secret_new(noise, 32, &secret, &err) < 0 ||
        xb_sealer_new("HMAC-SHA256-128", name, secret, secret, &sealing.sealer, &err) < 0) {
        fail(&err);
    }
    for (size_t k = 0; k < 2; k++) {
        seal[k] = rate(seal_one, &sealing, noise, pieces[k]);
        unseal[k] = rate(unseal_one, &sealing, noise, pieces[k]);
    }
    row("seal", name, path, seal);
    row("unseal", name, path, unseal);
    xb_sealer_free(sealing.sealer);
    xb_buf_free(&sealing.sealed);
    xb_buf_free(&sealing.plain);
}

static void encryptions(enum xb_cpu best)
{
    xb_cpu_limit(XB_CPU_PORTABLE);
    encryption_rows("AES256-GCM-HMAC-SHA256", "OpenSSL");
    encryption_rows("CHACHA20-POLY1305-HMAC-SHA256", "OpenSSL");
    xb_cpu_limit(best);
    if (xb_gcm_here()) {
        encryption_rows("AES256-GCM-HMAC-SHA256", "VAES");
    }
}

static void splitters(enum xb_cpu best)
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
        bool lanes = strstr(names[i], "BUZHASH") && best == XB_CPU_AVX512_VBMI;
        for (int k = 0; k <= lanes; k++) {
            xb_cpu_limit(k ? best : XB_CPU_PORTABLE);
            const double gbps[2] = {rate(split_one, &splitter, noise, BYTES)};
            row("split", names[i], xb_cpu_name(k ? best : XB_CPU_PORTABLE), gbps);
        }
        xb_cpu_limit(best);
    }
}

static void compressors(void)
{
    static const char *const names[] = {"zstd-fastest, noise", "zstd-fastest, text"};
    for (size_t i = 0; i < 2; i++) {
        struct xb_buf packed = XB_BUF_INIT(2 * LARGE);
        double encode[2], decode[2];
        for (size_t k = 0; k < 2; k++) {
            encode[k] = rate(encode_one, &packed, i ? text : noise, pieces[k]);
            decode[k] = rate(decode_one, &packed, i ? text : noise, pieces[k]);
        }
        row("compress", names[i], "zstd", encode);
        if (i) {
            row("decompress", names[i], "zstd", decode);
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

int main(int argc, char **argv)
{
    const enum xb_cpu best = xb_cpu_level();
    json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 2 || (argc == 2 && !json)) {
        fprintf(stderr, "usage: bench_algorithms [--json]\n");
        return 2;
    }
    noise = malloc(BYTES);
    text = malloc(BYTES);
    room = malloc(LARGE);
    if (!noise || !text || !room) {
        return 1;
    }
    xb_random_bytes(noise, BYTES);
    make_text();
    if (json) {
        printf("{\"cpu\": \"%s\", \"unit\": \"GB/s\", \"rows\": [\n", xb_cpu_name(best));
    } else {
        printf("%-12s %-32s %-18s %7s %7s   GB/s on one core (%s)\n", "", "contents of", "",
               "1 MiB", "4 KiB", xb_cpu_name(best));
    }
    double gbps[2];
    rates(copy_one, NULL, noise, gbps);
    row("memory", "memcpy", "libc", gbps);
    hashes(best);
    encryptions(best);
    splitters(best);
    compressors();
    fputs(json ? "\n]}\n" : "", stdout);
    free(noise);
    free(text);
    free(room);
    return 0;
}
