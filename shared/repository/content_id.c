/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/state.h"

void xb_content_id_format(const struct xb_content_id *id, char out[XB_CONTENT_ID_TEXT_BYTES])
{
    size_t len = id->len <= XB_CONTENT_HASH_BYTES_MAX ? id->len : XB_CONTENT_HASH_BYTES_MAX;
    if (id->prefix) {
        *out++ = id->prefix;
    }
    xb_hex_encode(id->hash, len, out);
}

/* The value of a lower-case digit with VALID beside it; 0: none. */
enum { VALID = 0x10 };
static const unsigned char hex_digits[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
    ['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
    ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f};

/* Upper case is refused, unlike by xb_hex_decode; and a walk does this for every file. */
static bool decode_lower(const char *hex, size_t digits, uint8_t *ret)
{
    unsigned valid = VALID;
    for (size_t i = 0; i < digits; i += 2) {
        unsigned high = hex_digits[(unsigned char)hex[i]];
        unsigned low = hex_digits[(unsigned char)hex[i + 1]];
        valid &= high & low;
        ret[i / 2] = (uint8_t)(high << 4 | (low & 0xf));
    }
    return valid != 0;
}

int xb_content_id_parse(const char *text, size_t len, struct xb_content_id *ret,
                        struct xb_error *err)
{
    struct xb_content_id id = {.prefix = 0};
    size_t digits = len;
    if (len % 2 == 1) {
        id.prefix = text[0];
        digits--;
        if (id.prefix < 'g' || id.prefix > 'z') {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "a content id starts with a letter g to z or has an even number of "
                                "digits");
        }
    }
    if (digits == 0 || digits > 2 * (size_t)XB_CONTENT_HASH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "a content id has 1 to %d bytes of hash, not %zu",
                            XB_CONTENT_HASH_BYTES_MAX, digits / 2);
    }
    if (!decode_lower(text + (len - digits), digits, id.hash)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "a content id is lower-case hex after its prefix");
    }
    id.len = (uint8_t)(digits / 2);
    *ret = id;
    return 0;
}

int xb_content_id_compare(const struct xb_content_id *a, const struct xb_content_id *b)
{
    if (a->prefix != b->prefix) {
        return (unsigned char)a->prefix < (unsigned char)b->prefix ? -1 : 1;
    }
    size_t shared = a->len < b->len ? a->len : b->len;
    int r = memcmp(a->hash, b->hash, shared);
    if (r != 0) {
        return r;
    }
    return (a->len > b->len) - (a->len < b->len);
}

int xb_content_wrap(struct xb_error *err, const struct xb_content_id *id)
{
    char text[XB_CONTENT_ID_TEXT_BYTES];
    xb_content_id_format(id, text);
    return xb_error_wrap(err, "content %s", text);
}
