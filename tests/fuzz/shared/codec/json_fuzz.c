/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON of any kind: refused, or written and read again as the same text. Go's strings are JSON.
 */
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "tests/harness/fuzz.h"

static void check_again(xb_json *json)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf first = XB_BUF_INIT(1 << 24), second = XB_BUF_INIT(1 << 24);
    XB_CLEANUP(xb_json_putp) xb_json *again = NULL;
    need(xb_json_write(json, &first, &err) == 0);
    need(xb_json_parse(first.data, first.len, &again, &err) == 0);
    need(xb_json_write(again, &second, &err) == 0);
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_buf_free(&first);
    xb_buf_free(&second);
}

static void check_accessors(xb_json *json, const char *path)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *text = NULL;
    int64_t number = 0;
    xb_json *value = NULL;
    if (xb_json_need_str(json, path, true, &text, &err) == 0) {
        need(text && strcmp(xb_json_str(json, path, "?"), text) == 0);
    }
    if (xb_json_need_int(json, path, true, &number, &err) == 0) {
        need(xb_json_int(json, path, number ^ 1) == number);
    }
    if (xb_json_need_array(json, path, true, &value, &err) == 0) {
        need(value == xb_json_get(json, path));
    }
}

static void check_go_string(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 24);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    need(xb_json_go_string(&out, (const char *)data, len, &err) == 0);
    need(xb_utf8_valid(out.data, out.len) && strlen(out.data) == out.len);
    need(xb_json_parse(out.data, out.len, &json, &err) == 0);
    need(json_object_is_type(json, json_type_string));
    if (xb_utf8_valid((const char *)data, len)) {
        need((size_t)json_object_get_string_len(json) == len &&
             memcmp(json_object_get_string(json), data, len) == 0);
    }
    xb_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    if (len > 1 << 16) {
        return 0;
    }
    if (xb_json_parse((const char *)data, len, &json, &err) == 0) {
        check_again(json);
        check_accessors(json, "a.b");
        check_accessors(json, "metadata.name");
    } else {
        need(err.kind == XB_ERR_CORRUPT && json == NULL);
    }
    check_go_string(data, len);
    return 0;
}
