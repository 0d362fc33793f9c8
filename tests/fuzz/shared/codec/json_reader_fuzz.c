/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as JSON, token by token: refused, or what json-c makes of them; in every kind of pieces
 * the same.
 */
#include "tests/harness/fuzz.h"
#include "tests/harness/json_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t windows[] = {1, 5, 100};
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *whole = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *other = NULL;
    if (len > 1 << 16) {
        return 0;
    }
    int r = json_from_tokens((const char *)data, len, 0, &whole, &err);
    if (r == 0) {
        need(xb_json_parse((const char *)data, len, &other, &err) == 0);
        need(json_object_equal(whole, other));
    }
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *piecewise = NULL;
        struct xb_error why = XB_ERROR_INIT;
        need((json_from_tokens((const char *)data, len, windows[i], &piecewise, &why) == 0) ==
             (r == 0));
        need(json_object_equal(piecewise, whole));
    }
    return 0;
}
