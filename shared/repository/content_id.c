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
    const char *hex = text + (len - digits);
    for (size_t i = 0; i < digits; i++) {
        if (!((hex[i] >= '0' && hex[i] <= '9') || (hex[i] >= 'a' && hex[i] <= 'f'))) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "a content id is lower-case hex after its prefix");
        }
    }
    int r = xb_hex_decode(hex, digits, id.hash, err);
    if (r < 0) {
        return r;
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
