/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/index_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/file.h"

enum { CODE_BYTES = 16, WRITE_BYTES = 4096 };

/* Also tells the byte order and, by its last digits, the layout. */
#define FILE_MAGIC UINT64_C(0x7865626563690001)
#define TAIL_NUMBER UINT64_MAX /* in place of a block's */

/* No padding: it is hashed and compared as bytes. */
struct tail {
    uint64_t magic, body_bytes;
    struct xb_index_head head;
};

/* A block with what its code covers in front. */
struct block {
    unsigned char id[XB_INDEX_RUN_ID_BYTES];
    uint64_t number, len;
    unsigned char data[XB_INDEX_FILE_BLOCK_BYTES];
};

_Static_assert(sizeof(struct tail) ==
                   2 * sizeof(uint64_t) + 2 * XB_INDEX_RUN_ID_BYTES + 2 * sizeof(uint64_t) +
                       2 * XB_INDEX_SECTIONS * sizeof(uint64_t) +
                       XB_INDEX_PREFIXES * sizeof(struct xb_index_group) + 4 * sizeof(uint32_t),
               "the tail has padding");
_Static_assert(sizeof(struct tail) <= XB_INDEX_FILE_BLOCK_BYTES, "the tail is too large");

int xb_index_file_hash(const unsigned char *key, size_t key_len, struct xb_hash **ret,
                       struct xb_error *err)
{
    const char *name = xb_hash_available("BLAKE3-256-128") ? "BLAKE3-256-128" : "HMAC-SHA256-128";
    return xb_hash_new(name, key, key_len, ret, err);
}

static uint64_t code_count(uint64_t body_bytes)
{
    return (body_bytes + XB_INDEX_FILE_BLOCK_BYTES - 1) / XB_INDEX_FILE_BLOCK_BYTES;
}

static int code_of(const struct xb_hash *hash, const struct block *block,
                   unsigned char ret[CODE_BYTES], struct xb_error *err)
{
    unsigned char out[XB_HASH_BYTES_MAX];
    size_t len = offsetof(struct block, data) + (size_t)block->len;
    int r = xb_hash_compute(hash, block, len, out, err);
    if (r == 0) {
        memcpy(ret, out, CODE_BYTES);
    }
    return r;
}

static void fill_tail_block(struct block *block, const struct tail *tail)
{
    memcpy(block->id, tail->head.id, sizeof block->id);
    block->number = TAIL_NUMBER;
    block->len = sizeof *tail;
    memcpy(block->data, tail, sizeof *tail);
}

/* ---- reading ---- */

static int foreign(struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a merged index, or not a whole one");
}

static int read_tail(int fd, const struct xb_hash *hash, struct block *block, struct tail *ret,
                     struct xb_error *err)
{
    struct stat st;
    unsigned char want[CODE_BYTES];
    unsigned char code[CODE_BYTES];
    if (fstat(fd, &st) < 0) {
        return xb_error_errno(err, errno, "cannot look at a merged index");
    }
    uint64_t size = (uint64_t)st.st_size;
    if (size < sizeof *ret + CODE_BYTES) {
        return foreign(err);
    }
    off_t at = (off_t)(size - sizeof *ret - CODE_BYTES);
    int r = xb_file_pread_all(fd, ret, sizeof *ret, at, "a merged index", err);
    r = r ? r
          : xb_file_pread_all(fd, want, sizeof want, at + (off_t)sizeof *ret, "a merged index",
                              err);
    if (r < 0) {
        return r;
    }
    fill_tail_block(block, ret);
    if ((r = code_of(hash, block, code, err)) < 0) {
        return r;
    }
    if (ret->magic != FILE_MAGIC || memcmp(code, want, CODE_BYTES) != 0 || ret->body_bytes > size ||
        ret->body_bytes + code_count(ret->body_bytes) * CODE_BYTES != (uint64_t)at) {
        return foreign(err);
    }
    return 0;
}

static int check_body(int fd, const struct xb_hash *hash, struct block *block,
                      const struct tail *tail, struct xb_error *err)
{
    unsigned char codes[WRITE_BYTES];
    unsigned char code[CODE_BYTES];
    uint64_t count = code_count(tail->body_bytes);
    memcpy(block->id, tail->head.id, sizeof block->id);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = i * XB_INDEX_FILE_BLOCK_BYTES;
        uint64_t left = tail->body_bytes - at;
        size_t in_step = (size_t)(i * CODE_BYTES % sizeof codes);
        int r = 0;
        if (in_step == 0) {
            uint64_t codes_left = (count - i) * CODE_BYTES;
            size_t len = codes_left < sizeof codes ? (size_t)codes_left : sizeof codes;
            r = xb_file_pread_all(fd, codes, len, (off_t)(tail->body_bytes + i * CODE_BYTES),
                                  "a merged index", err);
        }
        block->number = i;
        block->len = left < XB_INDEX_FILE_BLOCK_BYTES ? left : XB_INDEX_FILE_BLOCK_BYTES;
        r = r ? r
              : xb_file_pread_all(fd, block->data, (size_t)block->len, (off_t)at, "a merged index",
                                  err);
        r = r ? r : code_of(hash, block, code, err);
        if (r == 0 && memcmp(code, codes + in_step, CODE_BYTES) != 0) {
            r = foreign(err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static int map_run(int fd, const struct tail *tail, struct xb_index_run **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_index_run_unrefp) struct xb_index_run *run = calloc(1, sizeof *run);
    if (!run) {
        return xb_error_no_memory(err, "the index");
    }
    atomic_init(&run->refs, 1);
    atomic_init(&run->saved, true);
    run->spill = (struct xb_spill)XB_SPILL_INIT(-1);
    run->head = tail->head;
    void *map = mmap(NULL, (size_t)tail->body_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        return xb_error_errno(err, errno, "cannot map a merged index");
    }
    run->map = map;
    run->map_len = (size_t)tail->body_bytes;
    int r = xb_index_run_attach(run, map, tail->body_bytes, err);
    if (r == 0) {
        *ret = XB_TAKE(run);
    }
    return r;
}

int xb_index_file_read(int fd, const struct xb_hash *hash, struct xb_index_run **ret,
                       struct xb_error *err)
{
    struct tail tail;
    XB_CLEANUP(xb_freep) struct block *block = calloc(1, sizeof *block);
    if (!block) {
        return xb_error_no_memory(err, "the index");
    }
    int r = read_tail(fd, hash, block, &tail, err);
    r = r ? r : check_body(fd, hash, block, &tail, err);
    return r ? r : map_run(fd, &tail, ret, err);
}

/* ---- writing ---- */

static uint64_t body_len(const struct xb_index_run *run)
{
    return run->map ? run->map_len : xb_spill_len(&run->spill);
}

/* All blocks' codes behind the body. */
static int write_codes(int fd, const struct xb_hash *hash, const struct xb_index_run *run,
                       struct block *block, struct xb_error *err)
{
    unsigned char codes[WRITE_BYTES];
    size_t filled = 0;
    uint64_t len = body_len(run);
    uint64_t count = code_count(len);
    int r = 0;
    memcpy(block->id, run->head.id, sizeof block->id);
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        uint64_t at = i * XB_INDEX_FILE_BLOCK_BYTES;
        block->number = i;
        block->len = len - at < XB_INDEX_FILE_BLOCK_BYTES ? len - at : XB_INDEX_FILE_BLOCK_BYTES;
        memcpy(block->data, run->records + at, (size_t)block->len); /* records come first */
        r = code_of(hash, block, codes + filled, err);
        filled += CODE_BYTES;
        if (r == 0 && (filled == sizeof codes || i + 1 == count)) {
            r = xb_file_write_all(fd, codes, filled, "a merged index", err);
            filled = 0;
        }
    }
    return r;
}

int xb_index_file_write(int fd, const struct xb_hash *hash, const struct xb_index_run *run,
                        bool whole, struct xb_error *err)
{
    unsigned char code[CODE_BYTES];
    struct tail tail = {FILE_MAGIC, body_len(run), run->head};
    XB_CLEANUP(xb_freep) struct block *block = calloc(1, sizeof *block);
    if (!block) {
        return xb_error_no_memory(err, "the index");
    }
    if (lseek(fd, whole ? 0 : (off_t)tail.body_bytes, SEEK_SET) < 0) {
        return xb_error_errno(err, errno, "cannot write a merged index");
    }
    int r =
        whole ? xb_file_write_all(fd, run->records, (size_t)tail.body_bytes, "a merged index", err)
              : 0;
    r = r ? r : write_codes(fd, hash, run, block, err);
    if (r < 0) {
        return r;
    }
    fill_tail_block(block, &tail);
    r = code_of(hash, block, code, err);
    r = r ? r : xb_file_write_all(fd, &tail, sizeof tail, "a merged index", err);
    return r ? r : xb_file_write_all(fd, code, sizeof code, "a merged index", err);
}
