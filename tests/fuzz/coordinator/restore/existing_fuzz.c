/* SPDX-License-Identifier: Apache-2.0
 *
 * An object that is there and the one that a backup has, any JSON both, one a line: the patch makes
 * the one like the other and nothing more, a second one has nothing to do, and what a dry run tells
 * of it is a text within its bounds.
 */
#include "coordinator/restore/difference.h"
#include "coordinator/restore/existing.h"
#include "tests/harness/fuzz.h"
#include "tests/harness/update_oracle.h"

static void check_telling(xb_json *existing, xb_json *patch)
{
    char text[XB_RESTORE_DIFFERENCE_BYTES];
    for (int hidden = 0; hidden < 2; hidden++) {
        memset(text, 'x', sizeof text);
        xb_restore_difference(existing, patch, hidden != 0, text);
        need(strnlen(text, sizeof text) < sizeof text);
    }
}

static void check_update(xb_json *existing, xb_json *wanted)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL, *result = NULL, *again = NULL;
    if (xb_restore_update_patch(existing, wanted, &patch, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT && patch == NULL);
        need(!json_object_is_type(existing, json_type_object) ||
             !json_object_is_type(wanted, json_type_object));
        return;
    }
    if (!patch) {
        need(oracle_same(existing, wanted));
        return;
    }
    need(oracle_keeps_off(patch));
    result = oracle_apply(existing, patch);
    need(oracle_same(result, wanted));
    need(xb_restore_update_patch(result, wanted, &again, &err) == 0 && !again);
    check_telling(existing, patch);
}

static void check_labels(xb_json *existing, xb_json *wanted)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL, *result = NULL, *again = NULL;
    need(xb_restore_label_patch(existing, wanted, &patch, &err) == 0);
    if (patch) {
        need(oracle_keeps_off(patch));
        result = oracle_apply(existing, patch);
        need(xb_restore_label_patch(result, wanted, &again, &err) == 0 && !again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *existing = NULL, *wanted = NULL;
    const uint8_t *end = len > 0 ? memchr(data, '\n', len) : NULL;
    if (len > 1 << 16 || !end) {
        return 0;
    }
    size_t first = (size_t)(end - data);
    if (xb_json_parse((const char *)data, first, &existing, &err) < 0 ||
        xb_json_parse((const char *)end + 1, len - first - 1, &wanted, &err) < 0) {
        return 0;
    }
    check_update(existing, wanted);
    check_labels(existing, wanted);
    check_telling(existing, wanted);
    return 0;
}
