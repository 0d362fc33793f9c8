/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/readahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/pack.h"

enum {
    PACKS_MAX = 16, /* whose use is remembered */
    LEVEL_BYTES = 64 * 1024,
    LEVEL_MAX = 2, /* each reads four times as much as the one below */
    USEFUL_HITS = 2,
    SIZE_UNKNOWN = 1 /* the store would not say */
};

struct block {
    char pack[XB_PACK_NAME_BYTES]; /* "": free */
    uint64_t offset, len;
    uint64_t used; /* when, by the clock */
    struct xb_buf data;
    bool loading;
};

/* What is known of a pack. */
struct known {
    char pack[XB_PACK_NAME_BYTES];
    uint64_t size; /* 0: not asked for yet; SIZE_UNKNOWN */
    uint64_t used;
    unsigned loads, level;
    unsigned hits; /* since the last load */
};

struct xb_readahead {
    pthread_mutex_t lock;
    pthread_cond_t loaded;
    struct block blocks[XB_READAHEAD_BLOCKS];
    struct known packs[PACKS_MAX];
    uint64_t clock;
};

/* What is asked for. */
struct stretch {
    const char *pack;
    uint64_t offset, len;
};

int xb_readahead_new(struct xb_readahead **ret, struct xb_error *err)
{
    struct xb_readahead *readahead = calloc(1, sizeof *readahead);
    if (!readahead) {
        return xb_error_no_memory(err, "a repository");
    }
    pthread_mutex_init(&readahead->lock, NULL);
    pthread_cond_init(&readahead->loaded, NULL);
    for (size_t i = 0; i < XB_READAHEAD_BLOCKS; i++) {
        readahead->blocks[i].data.max =
            XB_READAHEAD_BLOCK_BYTES_MAX + XB_READAHEAD_CONTENT_BYTES_MAX;
    }
    *ret = readahead;
    return 0;
}

void xb_readahead_free(struct xb_readahead *readahead)
{
    if (!readahead) {
        return;
    }
    for (size_t i = 0; i < XB_READAHEAD_BLOCKS; i++) {
        xb_buf_free(&readahead->blocks[i].data);
    }
    pthread_mutex_destroy(&readahead->lock);
    pthread_cond_destroy(&readahead->loaded);
    free(readahead);
}

void xb_readahead_forget(struct xb_readahead *readahead, const char *pack)
{
    pthread_mutex_lock(&readahead->lock);
    for (size_t i = 0; i < XB_READAHEAD_BLOCKS; i++) {
        struct block *block = &readahead->blocks[i];
        if (!block->loading && (!pack || strcmp(block->pack, pack) == 0)) {
            block->pack[0] = '\0';
        }
    }
    pthread_mutex_unlock(&readahead->lock);
}

/* All below: with the lock held, unless said otherwise. */

static struct block *find_block(struct xb_readahead *readahead, const struct stretch *want)
{
    for (size_t i = 0; i < XB_READAHEAD_BLOCKS; i++) {
        struct block *block = &readahead->blocks[i];
        if (want->offset >= block->offset &&
            want->offset + want->len <= block->offset + block->len &&
            strcmp(block->pack, want->pack) == 0) {
            return block;
        }
    }
    return NULL;
}

/* The one used least lately that nobody is filling; NULL: all are being filled. */
static struct block *oldest_block(struct xb_readahead *readahead)
{
    struct block *oldest = NULL;
    for (size_t i = 0; i < XB_READAHEAD_BLOCKS; i++) {
        struct block *block = &readahead->blocks[i];
        uint64_t used = block->pack[0] ? block->used : 0;
        if (!block->loading && (!oldest || used < oldest->used)) {
            oldest = block;
            oldest->used = used;
        }
    }
    return oldest;
}

static struct known *know(struct xb_readahead *readahead, const char *pack)
{
    struct known *oldest = &readahead->packs[0];
    for (size_t i = 0; i < PACKS_MAX; i++) {
        struct known *known = &readahead->packs[i];
        if (strcmp(known->pack, pack) == 0) {
            known->used = ++readahead->clock;
            return known;
        }
        oldest = known->used < oldest->used ? known : oldest;
    }
    *oldest = (struct known){.used = ++readahead->clock};
    snprintf(oldest->pack, sizeof oldest->pack, "%s", pack);
    return oldest;
}

/* What is read instead. In a pack of unknown size what stands before it, which is where a folder's
 * own folders are; else what follows, if the bytes before it are there, or the piece of the pack
 * that it lies in. */
static struct stretch widen(struct xb_readahead *readahead, const struct known *known,
                            const struct stretch *want)
{
    struct stretch wide = *want;
    const struct stretch before = {want->pack, want->offset - (want->offset > 0), 1};
    uint64_t bytes = (uint64_t)LEVEL_BYTES << 2 * known->level;
    uint64_t end = want->offset + want->len;
    if (want->len >= bytes) {
        return wide;
    }
    if (known->size < end) {
        wide.offset = end > bytes ? end - bytes : 0;
    } else {
        wide.offset -= find_block(readahead, &before) ? 0 : want->offset % bytes;
        uint64_t wide_end = wide.offset + bytes < known->size ? wide.offset + bytes : known->size;
        end = wide_end > end ? wide_end : end;
    }
    wide.len = end - wide.offset;
    return wide;
}

/* Whether what was read last was of use decides how much is read now. */
static void judge(struct known *known)
{
    if (known->hits >= USEFUL_HITS && known->level < LEVEL_MAX) {
        known->level++;
    } else if (known->hits == 0 && known->level > 0) {
        known->level--;
    }
    known->hits = 0;
    known->loads++;
}

static int copy(const struct block *block, const struct stretch *want, struct xb_buf *out,
                struct xb_error *err)
{
    return xb_buf_append(out, block->data.data + (want->offset - block->offset), (size_t)want->len,
                         err);
}

/* *ret_found: it was there, and is appended. Waits while another thread reads it. */
static int take(struct xb_readahead *readahead, const struct stretch *want, struct xb_buf *out,
                bool *ret_found, struct xb_error *err)
{
    struct block *block = find_block(readahead, want);
    while (block && block->loading) {
        pthread_cond_wait(&readahead->loaded, &readahead->lock);
        block = find_block(readahead, want);
    }
    *ret_found = block != NULL;
    if (!block) {
        return 0;
    }
    block->used = ++readahead->clock;
    know(readahead, want->pack)->hits++;
    return copy(block, want, out, err);
}

/* A block to read it into, marked as being loaded; NULL: none is free. */
static struct block *claim(struct xb_readahead *readahead, const struct stretch *want)
{
    struct block *block = oldest_block(readahead);
    struct known *known = know(readahead, want->pack);
    if (!block) {
        return NULL;
    }
    judge(known);
    const struct stretch wide = widen(readahead, known, want);
    snprintf(block->pack, sizeof block->pack, "%s", want->pack);
    block->offset = wide.offset;
    block->len = wide.len;
    block->used = ++readahead->clock;
    block->loading = true;
    return block;
}

/* ---- without the lock ---- */

/* A pack that is asked for a second time is worth the question. Where there is no answer, it goes
 * on without. */
static uint64_t ask_size(struct xb_store *store, const char *pack)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct xb_store_item item;
    return xb_store_stat(store, pack, &item, &ignored) == 0 ? item.size : SIZE_UNKNOWN;
}

static int get(struct xb_store *store, const struct stretch *want, struct xb_buf *out,
               struct xb_error *err)
{
    size_t before = out->len;
    int r = xb_store_get(store, want->pack, want->offset, want->len, out, err);
    if (r == 0 && out->len - before != want->len) {
        out->len = before;
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the store sent another number of bytes");
    }
    return r;
}

/* While a block is being loaded nobody else looks into it. */
static int load(struct xb_readahead *readahead, struct xb_store *store, struct block *block,
                const struct stretch *want, struct xb_buf *out, struct xb_error *err)
{
    const struct stretch wide = {want->pack, block->offset, block->len};
    xb_buf_clear(&block->data);
    int r = get(store, &wide, &block->data, err);
    pthread_mutex_lock(&readahead->lock);
    block->loading = false;
    if (r < 0) {
        block->pack[0] = '\0';
    } else {
        r = copy(block, want, out, err);
    }
    pthread_cond_broadcast(&readahead->loaded);
    pthread_mutex_unlock(&readahead->lock);
    return r;
}

int xb_readahead_read(struct xb_readahead *readahead, struct xb_store *store, const char *pack,
                      uint64_t offset, uint64_t len, struct xb_buf *out, struct xb_error *err)
{
    const struct stretch want = {pack, offset, len};
    struct xb_error first = XB_ERROR_INIT;
    struct block *block = NULL;
    bool found = false;
    if (len > XB_READAHEAD_CONTENT_BYTES_MAX) {
        return get(store, &want, out, err);
    }
    pthread_mutex_lock(&readahead->lock);
    int r = take(readahead, &want, out, &found, err);
    if (!found && know(readahead, pack)->loads > 0 && know(readahead, pack)->size == 0) {
        pthread_mutex_unlock(&readahead->lock);
        uint64_t size = ask_size(store, pack);
        pthread_mutex_lock(&readahead->lock);
        know(readahead, pack)->size = size;
        r = take(readahead, &want, out, &found, err);
    }
    block = found ? NULL : claim(readahead, &want);
    pthread_mutex_unlock(&readahead->lock);
    if (found) {
        return r;
    }
    r = block ? load(readahead, store, block, &want, out, &first) : -1;
    /* What surrounds it may be damaged, gone, or in a bad sector: that is not its own fault. */
    if (r < 0 && (!block || first.kind == XB_ERR_CORRUPT || first.kind == XB_ERR_FULL ||
                  first.kind == XB_ERR_IO)) {
        return get(store, &want, out, err);
    }
    if (r < 0) {
        *err = first;
    }
    return r;
}
