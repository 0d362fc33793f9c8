/* SPDX-License-Identifier: Apache-2.0
 * Labelled records in `m` contents (kopia-format section 10). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/compress/compress.h"
#include "shared/repository/snapshot.h"
#include "shared/repository/state.h"

enum { CONTENT_PLAIN_BYTES_MAX = 256 << 20, MANIFESTS_MAX = 4000000, ID_BYTES = 16 };

struct record {
    struct xb_manifest manifest;
    bool deleted;
};

struct records {
    struct record *items;
    size_t count, cap;
};

struct ids {
    struct xb_content_id *items;
    size_t count, cap;
};

static void free_manifest(struct xb_manifest *manifest)
{
    for (size_t i = 0; i < manifest->label_count; i++) {
        free(manifest->labels[i].key);
        free(manifest->labels[i].value);
    }
    free(manifest->labels);
    free(manifest->data);
    *manifest = (struct xb_manifest){.data = NULL};
}

void xb_manifest_list_free(struct xb_manifest *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        free_manifest(&list[i]);
    }
    free(list);
}

static void free_records(struct records *records)
{
    for (size_t i = 0; i < records->count; i++) {
        free_manifest(&records->items[i].manifest);
    }
    free(records->items);
}

static int collect_id(void *context, const struct xb_content_info *info, struct xb_error *err)
{
    struct ids *ids = context;
    if (info->deleted) {
        return 0;
    }
    if (ids->count == ids->cap) {
        size_t cap = ids->cap ? 2 * ids->cap : 64;
        struct xb_content_id *items = reallocarray(ids->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "a list of manifests");
        }
        ids->items = items;
        ids->cap = cap;
    }
    ids->items[ids->count++] = info->id;
    return 0;
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

static int parse_record(xb_json *json, struct record *record, struct xb_error *err)
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

static int add_record(struct records *records, xb_json *json, struct xb_error *err)
{
    if (records->count == MANIFESTS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d manifests", MANIFESTS_MAX);
    }
    if (records->count == records->cap) {
        size_t cap = records->cap ? 2 * records->cap : 64;
        struct record *items = reallocarray(records->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "manifests");
        }
        records->items = items;
        records->cap = cap;
    }
    struct record record = {.deleted = false};
    int r = parse_record(json, &record, err);
    if (r < 0) {
        free_manifest(&record.manifest);
        return r;
    }
    records->items[records->count++] = record;
    return 0;
}

static int read_content(struct xb_repository *repository, const struct xb_content_id *id,
                        struct records *records, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf packed = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(CONTENT_PLAIN_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    xb_json *list = NULL;
    int r = xb_content_read(repository, id, false, &packed, err);
    if (r < 0 || (r = xb_compress_gunzip(packed.data, packed.len, &text, err)) < 0 ||
        (r = xb_json_parse(text.data, text.len, &json, err)) < 0 ||
        (r = xb_json_need_array(json, "entries", false, &list, err)) < 0) {
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

/* By id, the newest first. */
static int compare_records(const void *left, const void *right)
{
    const struct record *a = left;
    const struct record *b = right;
    int order = strcmp(a->manifest.id, b->manifest.id);
    if (order) {
        return order;
    }
    return (a->manifest.modified_ns < b->manifest.modified_ns) -
           (a->manifest.modified_ns > b->manifest.modified_ns);
}

static bool has_label(const struct xb_manifest *manifest, const struct xb_label *want)
{
    for (size_t i = 0; i < manifest->label_count; i++) {
        if (strcmp(manifest->labels[i].key, want->key) == 0) {
            return strcmp(manifest->labels[i].value, want->value) == 0;
        }
    }
    return false;
}

static bool matches(const struct xb_manifest *manifest, const struct xb_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!has_label(manifest, &labels[i])) {
            return false;
        }
    }
    return true;
}

static int load_records(struct xb_repository *repository, struct records *records,
                        struct xb_error *err)
{
    struct ids ids = {.items = NULL};
    int r = xb_content_list(repository, 'm', collect_id, &ids, err);
    for (size_t i = 0; r == 0 && i < ids.count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        if (read_content(repository, &ids.items[i], records, &why) < 0) {
            char text[XB_CONTENT_ID_TEXT_BYTES];
            xb_content_id_format(&ids.items[i], text);
            (void)xb_error_wrap(&why, "manifests in %s", text);
            r = xb_repository_tolerate(repository, text, &why, err);
        }
    }
    free(ids.items);
    return r;
}

int xb_manifest_find(struct xb_repository *repository, const struct xb_label *labels,
                     size_t label_count, struct xb_manifest **ret_list, size_t *ret_count,
                     struct xb_error *err)
{
    struct records records = {.items = NULL};
    int r = load_records(repository, &records, err);
    struct xb_manifest *list = r == 0 ? calloc(records.count + 1, sizeof *list) : NULL;
    if (r == 0 && !list) {
        r = xb_error_no_memory(err, "manifests");
    }
    if (r < 0) {
        free_records(&records);
        return r;
    }
    if (records.count > 0) {
        qsort(records.items, records.count, sizeof *records.items, compare_records);
    }
    size_t count = 0;
    for (size_t i = 0; i < records.count; i++) {
        struct record *record = &records.items[i];
        bool newest = i == 0 || strcmp(records.items[i - 1].manifest.id, record->manifest.id) != 0;
        if (newest && !record->deleted && matches(&record->manifest, labels, label_count)) {
            list[count++] = record->manifest;
            /* The id stays behind: the next record is compared with it. */
            record->manifest.labels = NULL;
            record->manifest.label_count = 0;
            record->manifest.data = NULL;
        }
    }
    free_records(&records);
    *ret_list = list;
    *ret_count = count;
    return 0;
}

static int encode_labels(const struct xb_label *labels, size_t count, struct xb_buf *out,
                         struct xb_error *err)
{
    int r = xb_buf_append_str(out, "{", err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = i ? xb_buf_append_str(out, ",", err) : 0;
        if (r == 0) {
            r = xb_json_go_string(out, labels[i].key, strlen(labels[i].key), err);
        }
        if (r == 0) {
            r = xb_buf_append_str(out, ":", err);
        }
        if (r == 0) {
            r = xb_json_go_string(out, labels[i].value, strlen(labels[i].value), err);
        }
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

static int write_entries(struct xb_repository *repository, const struct xb_buf *text,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf packed = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    struct xb_content_write_result result;
    int r = xb_compress_gzip(text->data, text->len, &packed, err);
    return r < 0 ? r
                 : xb_content_write(repository, 'm', packed.data, packed.len,
                                    XB_COMPRESSION_ZSTD_FASTEST, &result, err);
}

/* When a record was last modified, and whether it is there: the newest one of that id says. */
static bool find_newest(const struct records *records, const char *id, int64_t *ret_modified_ns)
{
    const struct record *newest = NULL;
    for (size_t i = 0; i < records->count; i++) {
        const struct record *record = &records->items[i];
        if (strcmp(record->manifest.id, id) == 0 &&
            (!newest || record->manifest.modified_ns > newest->manifest.modified_ns)) {
            newest = record;
        }
    }
    if (!newest || newest->deleted) {
        return false;
    }
    *ret_modified_ns = newest->manifest.modified_ns;
    return true;
}

/* A deletion must be younger than what it deletes, whatever this machine's clock says. */
static int encode_tombstone(const char *id, int64_t modified_ns, struct xb_buf *text,
                            struct xb_error *err)
{
    char when[XB_TIME_TEXT_BYTES];
    int64_t now_ns = xb_clock_wall_ns();
    xb_time_format(now_ns > modified_ns ? now_ns : modified_ns + 1, when);
    int r = xb_buf_append_str(text, "{\"id\":", err);
    if (r < 0 || (r = xb_json_go_string(text, id, strlen(id), err)) < 0) {
        return r;
    }
    return xb_buf_printf(
        text, err, ",\"labels\":null,\"modified\":\"%s\",\"deleted\":true,\"data\":null}", when);
}

static int encode_tombstones(struct xb_repository *repository, const char *const *ids, size_t count,
                             struct xb_buf *text, size_t *ret_written, struct xb_error *err)
{
    struct records records = {.items = NULL};
    size_t written = 0;
    int r = count ? load_records(repository, &records, err) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        int64_t modified_ns = 0;
        if (find_newest(&records, ids[i], &modified_ns)) {
            r = written++ ? xb_buf_append_str(text, ",", err) : 0;
            r = r < 0 ? r : encode_tombstone(ids[i], modified_ns, text, err);
        }
    }
    free_records(&records);
    *ret_written = written;
    return r;
}

static int encode_fresh(const struct xb_manifest_new *fresh, const char *id, struct xb_buf *text,
                        struct xb_error *err)
{
    char now[XB_TIME_TEXT_BYTES];
    xb_time_format(xb_clock_wall_ns(), now);
    int r = xb_buf_printf(text, err, "{\"id\":\"%s\",\"labels\":", id);
    if (r < 0 || (r = encode_labels(fresh->labels, fresh->label_count, text, err)) < 0 ||
        (r = xb_buf_printf(text, err, ",\"modified\":\"%s\",\"data\":", now)) < 0 ||
        (r = xb_buf_append_str(text, fresh->data, err)) < 0) {
        return r;
    }
    return xb_buf_append_str(text, "}", err);
}

int xb_manifest_replace(struct xb_repository *repository, const char *const *ids, size_t id_count,
                        const struct xb_manifest_new *fresh, char ret_id[XB_MANIFEST_ID_TEXT_BYTES],
                        struct xb_error *err)
{
    unsigned char random[ID_BYTES];
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(CONTENT_PLAIN_BYTES_MAX);
    size_t deleted = 0;
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, id);
    int r = xb_buf_append_str(&text, "{\"entries\":[", err);
    if (r < 0 || (r = encode_tombstones(repository, ids, id_count, &text, &deleted, err)) < 0 ||
        (r = deleted ? xb_buf_append_str(&text, ",", err) : 0) < 0 ||
        (r = encode_fresh(fresh, id, &text, err)) < 0 ||
        (r = xb_buf_append_str(&text, "]}\n", err)) < 0 ||
        (r = write_entries(repository, &text, err)) < 0) {
        return r;
    }
    memcpy(ret_id, id, sizeof id);
    return 0;
}

int xb_manifest_put(struct xb_repository *repository, const struct xb_label *labels,
                    size_t label_count, const char *data, char ret_id[XB_MANIFEST_ID_TEXT_BYTES],
                    struct xb_error *err)
{
    const struct xb_manifest_new fresh = {labels, label_count, data};
    return xb_manifest_replace(repository, NULL, 0, &fresh, ret_id, err);
}

int xb_manifest_delete(struct xb_repository *repository, const char *id, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(4096);
    size_t deleted = 0;
    int r = xb_buf_append_str(&text, "{\"entries\":[", err);
    if (r < 0 || (r = encode_tombstones(repository, &id, 1, &text, &deleted, err)) < 0 ||
        (r = xb_buf_append_str(&text, "]}\n", err)) < 0) {
        return r;
    }
    if (!deleted) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "there is no manifest %.40s in the repository", id);
    }
    return write_entries(repository, &text, err);
}
