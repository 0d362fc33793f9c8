/* SPDX-License-Identifier: Apache-2.0
 *
 * The text of an `m` content: refused, or records that are whole.
 */
#include "shared/codec/json.h"
#include "shared/repository/manifest_records.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_manifest_records records = {.items = NULL};
    if (xb_manifest_records_parse((const char *)data, len, &records, &err) < 0) {
        need(err.code < 0 && err.text[0]);
    }
    for (size_t i = 0; i < records.count; i++) {
        const struct xb_manifest *manifest = &records.items[i].manifest;
        xb_json *json = NULL;
        size_t id_len = strnlen(manifest->id, sizeof manifest->id);
        need(id_len > 0 && id_len < sizeof manifest->id);
        need(manifest->label_count <= XB_MANIFEST_LABELS_MAX);
        for (size_t k = 0; k < manifest->label_count; k++) {
            need(manifest->labels[k].key && manifest->labels[k].value);
        }
        need(xb_json_parse(manifest->data, strlen(manifest->data), &json, &err) == 0);
        (void)json_object_put(json);
    }
    xb_manifest_records_free(&records);
    return 0;
}
