/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts of content and object ids: refused as corrupt, or ids that are written as they were read.
 */
#include "shared/repository/object_internal.h"
#include "shared/repository/repository.h"
#include "tests/harness/fuzz.h"

static void check_content(const char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_content_id id, again;
    char back[XB_CONTENT_ID_TEXT_BYTES];
    if (xb_content_id_parse(text, len, &id, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT);
        return;
    }
    need(id.len > 0 && id.len <= XB_CONTENT_HASH_BYTES_MAX);
    need(id.prefix == 0 || (id.prefix >= 'g' && id.prefix <= 'z'));
    xb_content_id_format(&id, back);
    need(strlen(back) == len && memcmp(back, text, len) == 0);
    need(xb_content_id_parse(back, len, &again, &err) == 0);
    need(xb_content_id_compare(&id, &again) == 0);
}

static void check_object(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_object_id id;
    struct xb_object_parts parts;
    if (xb_object_id_parse(text, &id, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT);
        return;
    }
    need(strcmp(id.text, text) == 0);
    need(xb_object_id_split(&id, &parts, &err) == 0);
    need(parts.depth <= XB_OBJECT_DEPTH_MAX && !(parts.packed && parts.depth > 0));
    need(parts.content.len > 0 && parts.content.len <= XB_CONTENT_HASH_BYTES_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = fuzz_text(data, len);
    check_content(text, len);
    check_object(text);
    free(text);
    return 0;
}
