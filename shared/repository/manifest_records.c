/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/manifest_records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"
#include "shared/codec/text.h"

void xb_manifest_empty(struct xb_manifest *manifest)
{
    for (size_t i = 0; i < manifest->label_count; i++) {
        free(manifest->labels[i].key);
        free(manifest->labels[i].value);
    }
    free(manifest->labels);
    free(manifest->data);
    *manifest = (struct xb_manifest){.data = NULL};
}

void xb_manifest_records_free(struct xb_manifest_records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        xb_manifest_empty(&records->items[i].manifest);
    }
    free(records->items);
}

static int parse_labels(xb_json *json, struct xb_manifest *manifest, struct xb_error *err)
{
    xb_json *labels = NULL;
    int r = xb_json_need_object(json, "labels", false, &labels, err);
    int count = labels ? json_object_object_length(labels) : 0;
    if (r < 0 || count == 0) {
        return r;
    }
    if (count > XB_MANIFEST_LABELS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "too many labels");
    }
    manifest->labels = calloc((size_t)count, sizeof *manifest->labels);
    if (!manifest->labels) {
        return xb_error_no_memory(err, "a manifest");
    }
    json_object_object_foreach(labels, key, value)
    {
        struct xb_label *label = &manifest->labels[manifest->label_count++];
        const char *text =
            json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
        label->key = strdup(key);
        label->value = text ? strdup(text) : NULL;
        if (!label->key || !label->value) {
            return text
                       ? xb_error_no_memory(err, "a manifest")
                       : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "label %.60s is no text", key);
        }
    }
    return 0;
}

static int parse_record(xb_json *json, struct xb_manifest_record *record, struct xb_error *err)
{
    const char *id = NULL;
    const char *modified = NULL;
    int r = xb_json_need_str(json, "id", true, &id, err);
    if (r < 0 || (r = xb_json_need_str(json, "modified", true, &modified, err)) < 0 ||
        (r = xb_json_need_bool(json, "deleted", false, &record->deleted, err)) < 0 ||
        (r = xb_time_parse(modified, &record->manifest.modified_ns, err)) < 0) {
        return r;
    }
    size_t len = strlen(id);
    if (len == 0 || len >= sizeof record->manifest.id) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a manifest's id is malformed");
    }
    memcpy(record->manifest.id, id, len + 1);
    r = parse_labels(json, &record->manifest, err);
    if (r < 0) {
        return r;
    }
    struct xb_buf data = XB_BUF_INIT(XB_MANIFEST_BYTES_MAX);
    xb_json *value = xb_json_get(json, "data");
    r = value ? xb_json_write(value, &data, err) : xb_buf_append_str(&data, "null", err);
    if (r == 0) {
        record->manifest.data = xb_buf_take(&data);
    }
    xb_buf_free(&data);
    return r;
}

static int add_record(struct xb_manifest_records *records, xb_json *json, struct xb_error *err)
{
    if (records->count == XB_MANIFESTS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d manifests", XB_MANIFESTS_MAX);
    }
    if (records->count == records->cap) {
        size_t cap = records->cap ? 2 * records->cap : 64;
        struct xb_manifest_record *items = reallocarray(records->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "manifests");
        }
        records->items = items;
        records->cap = cap;
    }
    struct xb_manifest_record record = {.deleted = false};
    int r = parse_record(json, &record, err);
    if (r < 0) {
        xb_manifest_empty(&record.manifest);
        return r;
    }
    records->items[records->count++] = record;
    return 0;
}

int xb_manifest_records_parse(const char *text, size_t len, struct xb_manifest_records *records,
                              struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    xb_json *list = NULL;
    int r = xb_json_parse(text, len, &json, err);
    if (r < 0 || (r = xb_json_need_array(json, "entries", false, &list, err)) < 0) {
        return r;
    }
    if (!json_object_is_type(json, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not an object with entries");
    }
    size_t count = list ? json_object_array_length(list) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = add_record(records, json_object_array_get_idx(list, i), err);
    }
    return r;
}
