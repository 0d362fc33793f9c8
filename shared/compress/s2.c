/* SPDX-License-Identifier: Apache-2.0
 * S2 streams: Snappy's framing with larger blocks, whose copies may repeat the last offset. A frame
 * is a chain of chunks: type (1 byte), length (3, little-endian), body. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "shared/base/crc32c.h"
#include "shared/compress/codecs.h"

enum {
    CHUNK_COMPRESSED = 0x00,
    CHUNK_PLAIN = 0x01,
    CHUNK_SKIPPABLE = 0x80, /* from here on: padding, indexes, what others may add */
    CHUNK_IDENTIFIER = 0xff,
    CHUNK_HEADER_BYTES = 4,
    CRC_BYTES = 4,
    IDENTIFIER_BYTES = 6,
    SIZE_BYTES_MAX = 5, /* of a block's plain size, 7 bits each */
    BLOCK_BYTES_MAX = 4 << 20,
    SNAPPY_BLOCK_BYTES_MAX = 64 << 10
};

static int corrupt(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "S2 stream: %s", what);
}

struct input {
    const unsigned char *at, *end;
};

/* A little-endian number of 1 to 4 bytes. */
static bool read_le(struct input *in, unsigned bytes, uint32_t *ret)
{
    if ((size_t)(in->end - in->at) < bytes) {
        return false;
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint32_t)in->at[i] << 8 * i;
    }
    in->at += bytes;
    *ret = value;
    return true;
}

/* ---- one block ---- */

enum { TAG_LITERAL, TAG_COPY_1, TAG_COPY_2, TAG_COPY_4 };

struct block {
    struct input in;
    unsigned char *out;
    size_t done, size;
    uint32_t offset; /* of the last copy; 0: there was none */
};

static bool copy_literal(struct block *block, unsigned tag)
{
    uint32_t length = tag >> 2;
    if (length >= 60 && !read_le(&block->in, length - 59, &length)) {
        return false;
    }
    size_t count = (size_t)length + 1;
    if (count > block->size - block->done || count > (size_t)(block->in.end - block->in.at)) {
        return false;
    }
    memcpy(block->out + block->done, block->in.at, count);
    block->in.at += count;
    block->done += count;
    return true;
}

/* A repeat's length has a form of its own: small ones in the tag, others in 1 to 3 more bytes. */
static bool read_repeat_length(struct input *in, uint32_t code, uint32_t *ret)
{
    static const uint32_t base[] = {8, 260, 65540};
    uint32_t more = 0;
    if (code < 5) {
        *ret = code + 4;
        return true;
    }
    if (!read_le(in, code - 4, &more)) {
        return false;
    }
    *ret = base[code - 5] + more;
    return true;
}

static bool read_copy(struct block *block, unsigned tag, uint32_t *ret_length)
{
    uint32_t low = 0;
    if ((tag & 3) != TAG_COPY_1) {
        *ret_length = 1 + (tag >> 2);
        return read_le(&block->in, (tag & 3) == TAG_COPY_2 ? 2 : 4, &block->offset);
    }
    uint32_t code = tag >> 2 & 7;
    if (!read_le(&block->in, 1, &low)) {
        return false;
    }
    uint32_t offset = (tag & 0xe0U) << 3 | low;
    if (offset == 0) {
        return read_repeat_length(&block->in, code, ret_length);
    }
    block->offset = offset;
    *ret_length = code + 4;
    return true;
}

static bool copy_match(struct block *block, unsigned tag)
{
    uint32_t length = 0;
    if (!read_copy(block, tag, &length) || block->offset == 0 || block->offset > block->done ||
        length > block->size - block->done) {
        return false;
    }
    unsigned char *to = block->out + block->done;
    const unsigned char *from = to - block->offset;
    if (block->offset >= length) {
        memcpy(to, from, length);
    } else {
        for (uint32_t i = 0; i < length; i++) { /* they overlap: what was just written is copied */
            to[i] = from[i];
        }
    }
    block->done += length;
    return true;
}

static bool decode_block(struct block *block)
{
    while (block->in.at < block->in.end) {
        unsigned tag = *block->in.at++;
        if (!((tag & 3) == TAG_LITERAL ? copy_literal(block, tag) : copy_match(block, tag))) {
            return false;
        }
    }
    return block->done == block->size;
}

/* ---- the chain of chunks ---- */

struct stream {
    struct input in;
    unsigned char *out;
    size_t done, size;
    size_t block_max; /* 0: no identifier yet */
};

static bool read_block_size(struct input *in, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < SIZE_BYTES_MAX && in->at < in->end; i++) {
        unsigned char byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static int take_identifier(struct stream *stream, struct input *body, struct xb_error *err)
{
    if (body->end - body->at != IDENTIFIER_BYTES) {
        return corrupt(err, "its identifier is damaged");
    }
    if (memcmp(body->at, "S2sTwO", IDENTIFIER_BYTES) == 0) {
        stream->block_max = BLOCK_BYTES_MAX;
    } else if (memcmp(body->at, "sNaPpY", IDENTIFIER_BYTES) == 0) {
        stream->block_max = SNAPPY_BLOCK_BYTES_MAX;
    } else {
        return corrupt(err, "its identifier is damaged");
    }
    return 0;
}

static int take_data(struct stream *stream, struct input *body, bool compressed,
                     struct xb_error *err)
{
    uint32_t crc = 0;
    if (!read_le(body, CRC_BYTES, &crc)) {
        return corrupt(err, "cut short");
    }
    uint64_t size = (uint64_t)(body->end - body->at);
    if (compressed && !read_block_size(body, &size)) {
        return corrupt(err, "a block without a size");
    }
    if (size > stream->block_max) {
        return corrupt(err, "a block that is too large");
    }
    if (size > stream->size - stream->done) {
        return corrupt(err, "it holds more than it should");
    }
    unsigned char *out = stream->out + stream->done;
    struct block block = {.in = *body, .out = out, .size = (size_t)size};
    if (!compressed) {
        memcpy(out, body->at, (size_t)size);
    } else if (!decode_block(&block)) {
        return corrupt(err, "a damaged block");
    }
    uint32_t got = xb_crc32c(0, out, (size_t)size);
    if ((got >> 15 | got << 17) + UINT32_C(0xa282ead8) != crc) { /* masked, as Snappy does it */
        return corrupt(err, "a checksum does not fit");
    }
    stream->done += (size_t)size;
    return 0;
}

static int take_chunk(struct stream *stream, struct xb_error *err)
{
    uint32_t type = 0, len = 0;
    if (!read_le(&stream->in, 1, &type) || !read_le(&stream->in, CHUNK_HEADER_BYTES - 1, &len) ||
        len > (size_t)(stream->in.end - stream->in.at)) {
        return corrupt(err, "cut short");
    }
    struct input body = {stream->in.at, stream->in.at + len};
    stream->in.at += len;
    if (type == CHUNK_IDENTIFIER) {
        return take_identifier(stream, &body, err);
    }
    if (stream->block_max == 0) {
        return corrupt(err, "it does not begin with an identifier");
    }
    if (type == CHUNK_COMPRESSED || type == CHUNK_PLAIN) {
        return take_data(stream, &body, type == CHUNK_COMPRESSED, err);
    }
    return type >= CHUNK_SKIPPABLE ? 0 : corrupt(err, "a chunk of an unknown kind");
}

int xb_s2_decode(const unsigned char *data, size_t len, size_t plain_len, struct xb_buf *out,
                 struct xb_error *err)
{
    int r = xb_buf_reserve(out, plain_len, err);
    if (r < 0) {
        return r;
    }
    struct stream stream = {
        .in = {data, data + len}, .out = (unsigned char *)out->data + out->len, .size = plain_len};
    do {
        r = take_chunk(&stream, err);
    } while (r == 0 && stream.in.at < stream.in.end);
    if (r == 0 && stream.done != plain_len) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                         "S2 stream holds %zu bytes, its index entry says %zu", stream.done,
                         plain_len);
    }
    out->len += r == 0 ? plain_len : 0;
    out->data[out->len] = '\0';
    return r;
}
