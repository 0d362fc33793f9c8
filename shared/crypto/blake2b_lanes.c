/* SPDX-License-Identifier: Apache-2.0
 * Deals inputs out to the lanes. A lane reads straight from a part as long as a whole block that is
 * not the last one lies there; what crosses parts, and the last block, is gathered in a block of
 * the lane's own. A lane without work hashes what another one reads. */
#include "shared/crypto/blake2b_lanes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cpu.h"

enum { LANES = XB_BLAKE2B_LANES, BLOCK_BYTES = XB_BLAKE2B_BLOCK_BYTES, KEY_BYTES_MAX = 64 };

const uint64_t xb_blake2b_iv[8] = {UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b),
                                   UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
                                   UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
                                   UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179)};

typedef void kernel_fn(struct xb_blake2b_lanes *lanes, size_t blocks);
typedef void pair_fn(struct xb_blake2b_lanes *lanes, const size_t lane[2], size_t blocks);

struct xb_blake2b {
    kernel_fn *kernel;
    pair_fn *pair;     /* for one or two lanes at work; NULL: the kernel does */
    uint64_t keyed[8]; /* the state after the key's block */
    uint64_t empty[4]; /* and that of a key alone */
};

static void find_kernels(kernel_fn **ret_kernel, pair_fn **ret_pair)
{
#if defined(__x86_64__)
    enum xb_cpu level = xb_cpu_level();
    *ret_kernel = level >= XB_CPU_AVX512 ? xb_blake2b_avx512
                  : level >= XB_CPU_AVX2 ? xb_blake2b_avx2
                                         : NULL;
    *ret_pair = level >= XB_CPU_AVX512 ? xb_blake2b_pair_avx512 : NULL;
#else
    *ret_kernel = NULL;
    *ret_pair = NULL;
#endif
}

/* Lane 0: with something to follow; lane 1: alone. */
static void take_key(struct xb_blake2b *hash, const void *key, size_t key_len)
{
    unsigned char block[BLOCK_BYTES] = {0};
    struct xb_blake2b_lanes lanes = {.last = {[1] = UINT64_MAX}};
    memcpy(block, key, key_len);
    for (size_t k = 0; k < LANES; k++) {
        for (size_t i = 0; i < 8; i++) {
            lanes.h[i][k] = xb_blake2b_iv[i];
        }
        lanes.h[0][k] ^= UINT64_C(0x01010000) ^ (uint64_t)key_len << 8 ^ XB_BLAKE2B_BYTES;
        lanes.add[k] = BLOCK_BYTES;
        lanes.in[k] = block;
    }
    hash->kernel(&lanes, 1);
    for (size_t i = 0; i < 8; i++) {
        hash->keyed[i] = lanes.h[i][0];
    }
    for (size_t i = 0; i < 4; i++) {
        hash->empty[i] = lanes.h[i][1];
    }
    explicit_bzero(block, sizeof block);
    explicit_bzero(&lanes, sizeof lanes);
}

int xb_blake2b_new(const void *key, size_t key_len, struct xb_blake2b **ret, struct xb_error *err)
{
    kernel_fn *kernel = NULL;
    pair_fn *pair = NULL;
    find_kernels(&kernel, &pair);
    if (key_len == 0 || key_len > KEY_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "BLAKE2b takes keys of 1 to 64 bytes, not of %zu", key_len);
    }
    if (!kernel) {
        return 0;
    }
    struct xb_blake2b *hash = calloc(1, sizeof *hash);
    if (!hash) {
        return xb_error_no_memory(err, "a hash");
    }
    hash->kernel = kernel;
    hash->pair = pair;
    take_key(hash, key, key_len);
    *ret = hash;
    return 0;
}

void xb_blake2b_free(struct xb_blake2b *hash)
{
    if (hash) {
        explicit_bzero(hash, sizeof *hash);
    }
    free(hash);
}

bool xb_blake2b_fast_alone(const struct xb_blake2b *hash)
{
    return hash->pair != NULL;
}

/* One input on its way through a lane. */
struct lane {
    const struct xb_hash_job *job; /* NULL: the lane has nothing to do */
    const struct iovec *part;
    size_t at;   /* in that part */
    size_t left; /* bytes in this part and behind it */
    bool gathered;
    unsigned char block[BLOCK_BYTES];
};

struct run {
    const struct xb_blake2b *hash;
    const struct xb_hash_job *next, *end;
    size_t bytes;
    struct xb_blake2b_lanes lanes;
    struct lane lane[LANES];
};

static void put(const struct run *run, const uint64_t h[4], unsigned char *out)
{
    unsigned char full[XB_BLAKE2B_BYTES];
    memcpy(full, h, sizeof full); /* little-endian, as all machines with a kernel */
    memcpy(out, full, run->bytes);
}

static size_t bytes_of(const struct xb_hash_job *job)
{
    size_t sum = 0;
    for (size_t i = 0; i < job->part_count; i++) {
        sum += job->parts[i].iov_len;
    }
    return sum;
}

/* The next input that has any bytes. */
static void start(struct run *run, size_t k)
{
    struct lane *lane = &run->lane[k];
    lane->job = NULL;
    while (run->next < run->end && !lane->job) {
        const struct xb_hash_job *job = run->next++;
        lane->left = bytes_of(job);
        if (lane->left == 0) {
            put(run, run->hash->empty, job->out);
            continue;
        }
        lane->job = job;
        lane->part = job->parts;
        lane->at = 0;
        for (size_t i = 0; i < 8; i++) {
            run->lanes.h[i][k] = run->hash->keyed[i];
        }
        run->lanes.counted[k] = BLOCK_BYTES;
    }
}

/* Fills the lane's own block, with zeros behind the end; returns how many bytes it got. */
static size_t gather(struct lane *lane)
{
    size_t len = 0;
    while (len < BLOCK_BYTES && lane->left > 0) {
        size_t here = lane->part->iov_len - lane->at;
        size_t some = BLOCK_BYTES - len < here ? BLOCK_BYTES - len : here;
        if (some > 0) {
            memcpy(lane->block + len, (const unsigned char *)lane->part->iov_base + lane->at, some);
        }
        lane->at += some;
        lane->left -= some;
        len += some;
        if (lane->at == lane->part->iov_len && lane->left > 0) {
            lane->part++;
            lane->at = 0;
        }
    }
    memset(lane->block + len, 0, BLOCK_BYTES - len);
    return len;
}

/* Points a busy lane at its next blocks; returns how many there are in a row. */
static size_t point(struct run *run, size_t k)
{
    struct lane *lane = &run->lane[k];
    size_t here = lane->part->iov_len - lane->at;
    size_t whole = (here < lane->left ? here : lane->left - 1) / BLOCK_BYTES;
    lane->gathered = whole == 0;
    run->lanes.add[k] = lane->gathered ? gather(lane) : BLOCK_BYTES;
    run->lanes.last[k] = lane->left == 0 ? UINT64_MAX : 0;
    run->lanes.in[k] =
        lane->gathered ? lane->block : (const unsigned char *)lane->part->iov_base + lane->at;
    return lane->gathered ? 1 : whole;
}

/* So many blocks into all lanes that have something to do; `busy` says which. */
static void take(struct run *run, const size_t busy[LANES], size_t count, size_t blocks)
{
    if (count <= 2 && run->hash->pair) {
        const size_t lane[2] = {busy[0], busy[count - 1]};
        run->hash->pair(&run->lanes, lane, blocks);
        return;
    }
    for (size_t k = 0; k < LANES; k++) {
        run->lanes.in[k] = run->lane[k].job ? run->lanes.in[k] : run->lanes.in[busy[0]];
    }
    run->hash->kernel(&run->lanes, blocks);
}

/* Goes on with all lanes for as many blocks as the one with the least has. False: all are done. */
static bool advance(struct run *run)
{
    size_t blocks = SIZE_MAX, busy[LANES], count = 0;
    for (size_t k = 0; k < LANES; k++) {
        if (run->lane[k].job) {
            size_t here = point(run, k);
            blocks = here < blocks ? here : blocks;
            busy[count++] = k;
        }
    }
    if (count == 0) {
        return false;
    }
    take(run, busy, count, blocks);
    for (size_t i = 0; i < count; i++) {
        struct lane *lane = &run->lane[busy[i]];
        size_t done = lane->gathered ? 0 : blocks * BLOCK_BYTES; /* else it was counted then */
        lane->at += done;
        lane->left -= done;
        if (lane->left == 0) {
            uint64_t h[4];
            for (size_t word = 0; word < 4; word++) {
                h[word] = run->lanes.h[word][busy[i]];
            }
            put(run, h, lane->job->out);
            start(run, busy[i]);
        }
    }
    return true;
}

void xb_blake2b_many(const struct xb_blake2b *hash, const struct xb_hash_job *jobs, size_t count,
                     size_t bytes)
{
    struct run run = {.hash = hash, .next = jobs, .end = jobs + count, .bytes = bytes};
    for (size_t k = 0; k < LANES; k++) {
        start(&run, k);
    }
    while (advance(&run)) {
    }
    explicit_bzero(&run, sizeof run);
}
