/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of Date and Retry-After: not said, or a time that can be waited. Escaped for a URL, the
 * same bytes are plain.
 */
#include "shared/http/http.h"
#include "shared/http/retry.h"
#include "tests/harness/fuzz.h"

enum { DAY_MS = 24 * 3600 * 1000 };

static void check_escaped(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    need(xb_http_escape(&out, text, &err) == 0);
    for (size_t i = 0; i < out.len; i++) {
        need((unsigned char)out.data[i] > ' ' && (unsigned char)out.data[i] < 0x7f);
    }
    xb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 1 << 16) {
        return 0;
    }
    char *text = fuzz_text(data, len);
    int64_t date_s = xb_http_date_parse(text);
    need(date_s >= -1 && date_s <= XB_HTTP_DATE_MAX_S);
    int64_t wait_ms = xb_http_retry_after_parse(text);
    need(wait_ms >= -1 && wait_ms <= DAY_MS);
    need(xb_http_retry_delay_ms(1, 100, wait_ms) >= 0);
    check_escaped(text);
    free(text);
    return 0;
}
