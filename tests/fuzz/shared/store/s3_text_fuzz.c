/* SPDX-License-Identifier: Apache-2.0
 *
 * Words in a store's address and in a server's answers: an escaped key is refused, or decoded in
 * place to one that is not longer; a checksum's name is one of those known, or refused.
 */
#include "shared/store/s3/checksum.h"
#include "shared/store/s3/listing.h"
#include "tests/harness/fuzz.h"

static void check_decoded(const uint8_t *data, size_t len, bool (*decode)(char *text), char plus)
{
    char *text = fuzz_text(data, len);
    char *before = fuzz_text(data, len);
    size_t shown = strlen(text);
    bool escaped = strpbrk(before, "%+") != NULL;
    bool good = decode(text);
    need(good || escaped);
    if (good) {
        need(strlen(text) <= shown);
        need(escaped || strcmp(text, before) == 0);
        const char *first = strpbrk(before, "%+");
        need(!first || *first != '+' || text[first - before] == plus);
    }
    free(text);
    free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_s3_checksum which = XB_S3_MD5;
    check_decoded(data, len, xb_s3_url_decode, ' ');
    check_decoded(data, len, xb_s3_percent_decode, '+');
    char *text = fuzz_text(data, len);
    if (xb_s3_checksum_parse(text, &which, &err) == 0) {
        const char *name = xb_s3_checksum_name(which);
        need(text[0] ? name && strcmp(name, text) == 0 : which == XB_S3_CHECKSUMS);
    } else {
        need(err.kind == XB_ERR_INVALID && which == XB_S3_MD5);
    }
    free(text);
    return 0;
}
