/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/checksum.h"

#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "shared/base/crc32c.h"
#include "shared/base/crc_fold.h"

enum { PIECE_BYTES = 64 << 10 }; /* is still near when the next digest wants it */
#define CRC32_POLYNOMIAL UINT32_C(0xedb88320)

static const struct {
    const char *name, *header;
    size_t bytes;
} kinds[] = {
    [XB_S3_CRC32] = {"CRC32", "x-amz-checksum-crc32", 4},
    [XB_S3_CRC32C] = {"CRC32C", "x-amz-checksum-crc32c", 4},
    [XB_S3_SHA1] = {"SHA1", "x-amz-checksum-sha1", 20},
    [XB_S3_SHA256] = {"SHA256", "x-amz-checksum-sha256", 32},
    [XB_S3_MD5] = {"MD5", NULL, 16},
    [XB_S3_CHECKSUMS] = {NULL, NULL, 0},
};

const char *xb_s3_checksum_name(enum xb_s3_checksum which)
{
    return kinds[which].name;
}

const char *xb_s3_checksum_header(enum xb_s3_checksum which)
{
    return kinds[which].header;
}

int xb_s3_checksum_parse(const char *name, enum xb_s3_checksum *ret, struct xb_error *err)
{
    if (!name || !name[0]) {
        *ret = name ? XB_S3_CHECKSUMS : XB_S3_CRC32;
        return 0;
    }
    for (enum xb_s3_checksum which = XB_S3_CRC32; which <= XB_S3_SHA256; which++) {
        if (strcmp(name, kinds[which].name) == 0) {
            *ret = which;
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "unknown checksum algorithm '%.40s': known are CRC32, CRC32C, SHA1, SHA256 "
                        "and \"\" for none",
                        name);
}

static struct xb_crc_fold crc32_fold;
static pthread_once_t crc32_once = PTHREAD_ONCE_INIT;

static void prepare_crc32(void)
{
    xb_crc_fold_prepare(CRC32_POLYNOMIAL, &crc32_fold);
}

/* Most of it by multiplication, where there is one; the end, or all, by zlib. */
static uint32_t crc32_of(uint32_t crc, const unsigned char *data, size_t len)
{
    unsigned char rest[XB_CRC_FOLD_BYTES];
    pthread_once(&crc32_once, prepare_crc32);
    size_t used = xb_crc_fold(&crc32_fold, ~crc, data, len, rest);
    if (used) {
        crc = (uint32_t)crc32_z(UINT32_MAX, rest, sizeof rest); /* the state 0, inverted */
    }
    return (uint32_t)crc32_z(crc, data + used, len - used);
}

uint32_t xb_s3_crc(enum xb_s3_checksum which, uint32_t crc, const void *data, size_t len)
{
    return which == XB_S3_CRC32C ? xb_crc32c(crc, data, len) : crc32_of(crc, data, len);
}

static const EVP_MD *digest_of(enum xb_s3_checksum which)
{
    return which == XB_S3_SHA1     ? EVP_sha1()
           : which == XB_S3_SHA256 ? EVP_sha256()
           : which == XB_S3_MD5    ? EVP_md5()
                                   : NULL;
}

static int refused(enum xb_s3_checksum which, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_IO, -EIO, "OpenSSL cannot compute %s here%s", kinds[which].name,
                        which == XB_S3_MD5 ? ": does the system forbid MD5 (FIPS)?" : "");
}

int xb_s3_digests_begin(struct xb_s3_digests *digests, unsigned wanted, struct xb_error *err)
{
    *digests = (struct xb_s3_digests){.wanted = wanted};
    for (enum xb_s3_checksum which = XB_S3_SHA1; which < XB_S3_CHECKSUMS; which++) {
        if (!(wanted & 1U << which)) {
            continue;
        }
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        digests->contexts[which] = context;
        if (!context || !EVP_DigestInit_ex(context, digest_of(which), NULL)) {
            return refused(which, err);
        }
    }
    return 0;
}

static int add_piece(struct xb_s3_digests *digests, const void *data, size_t len,
                     struct xb_error *err)
{
    for (enum xb_s3_checksum which = XB_S3_CRC32; which < XB_S3_CHECKSUMS; which++) {
        if (!(digests->wanted & 1U << which)) {
            continue;
        }
        if (which <= XB_S3_CRC32C) {
            digests->crc[which] = xb_s3_crc(which, digests->crc[which], data, len);
        } else if (!EVP_DigestUpdate(digests->contexts[which], data, len)) {
            return refused(which, err);
        }
    }
    return 0;
}

int xb_s3_digests_add(struct xb_s3_digests *digests, const void *data, size_t len,
                      struct xb_error *err)
{
    const char *next = data;
    int r = 0;
    while (r == 0 && len > 0) {
        size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;
        r = add_piece(digests, next, piece, err);
        next += piece;
        len -= piece;
    }
    return r;
}

int xb_s3_digests_end(struct xb_s3_digests *digests, enum xb_s3_checksum which,
                      unsigned char out[XB_S3_DIGEST_BYTES_MAX], struct xb_error *err)
{
    if (which <= XB_S3_CRC32C) {
        uint32_t crc = htobe32(digests->crc[which]);
        memcpy(out, &crc, sizeof crc);
        return 0;
    }
    return EVP_DigestFinal_ex(digests->contexts[which], out, NULL) ? 0 : refused(which, err);
}

int xb_s3_digests_text(struct xb_s3_digests *digests, enum xb_s3_checksum which,
                       char out[XB_S3_DIGEST_TEXT_BYTES], struct xb_error *err)
{
    unsigned char raw[XB_S3_DIGEST_BYTES_MAX];
    int r = xb_s3_digests_end(digests, which, raw, err);
    if (r == 0) {
        EVP_EncodeBlock((unsigned char *)out, raw, (int)kinds[which].bytes);
    }
    return r;
}

void xb_s3_digests_done(struct xb_s3_digests *digests)
{
    for (size_t i = 0; i < XB_S3_CHECKSUMS; i++) {
        EVP_MD_CTX_free(digests->contexts[i]);
    }
    *digests = (struct xb_s3_digests){.wanted = 0};
}
