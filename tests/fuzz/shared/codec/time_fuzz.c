/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of times, durations, hex and base64: refused, or written again and read as the same.
 */
#include "shared/codec/text.h"
#include "tests/harness/fuzz.h"

static void check_times(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    char again[XB_TIME_TEXT_BYTES];
    int64_t ns = 0, back = 0;
    if (xb_time_parse(text, &ns, &err) == 0) {
        xb_time_format(ns, again);
        need(xb_time_parse(again, &back, &err) == 0 && back == ns);
        xb_time_format_seconds(ns, again);
        need(strlen(again) == 20);
    }
    if (xb_duration_parse(text, &ns, &err) == 0) {
        xb_duration_format(ns, again);
        need(xb_duration_parse(again, &back, &err) == 0 && back == ns);
    }
}

static void check_encodings(const char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf plain = XB_BUF_INIT(1 << 16), again = XB_BUF_INIT(1 << 17);
    if (xb_base64_decode(text, len, &plain, &err) == 0) {
        need(xb_base64_encode(plain.data, plain.len, &again, &err) == 0);
        need(again.len == len); /* the last digit may have carried bits that do not count */
        need(len < 4 || memcmp(again.data, text, len - 4) == 0);
    }
    xb_buf_clear(&plain);
    need(xb_buf_reserve(&plain, len, &err) == 0);
    if (xb_hex_decode(text, len, plain.data, &err) == 0) {
        xb_buf_clear(&again);
        need(xb_buf_reserve(&again, len + 1, &err) == 0);
        xb_hex_encode(plain.data, len / 2, again.data);
        need(strncasecmp(again.data, text, len) == 0);
    }
    xb_buf_free(&plain);
    xb_buf_free(&again);
    (void)xb_utf8_valid(text, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 1 << 15) {
        return 0;
    }
    char *text = malloc(len + 1);
    need(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    check_times(text);
    free(text);
    check_encodings((const char *)data, len);
    return 0;
}
