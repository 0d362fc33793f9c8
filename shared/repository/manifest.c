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
#include "shared/repository/manifest_records.h"
#include "shared/repository/snapshot.h"
#include "shared/repository/state.h"

enum { CONTENT_PLAIN_BYTES_MAX = 256 << 20, ID_BYTES = 16 };

struct ids {
    struct xb_content_id *items;
    size_t count, cap;
};

void xb_manifest_list_free(struct xb_manifest *list, size_t count)
{
    for (size_t i = 0; list && i < count; i++) {
        xb_manifest_empty(&list[i]);
    }
    free(list);
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

static int read_content(struct xb_repository *repository, const struct xb_content_id *id,
                        struct xb_manifest_records *records, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf packed = XB_BUF_INIT(XB_CONTENT_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(CONTENT_PLAIN_BYTES_MAX);
    int r = xb_content_read(repository, id, false, &packed, err);
    if (r < 0 || (r = xb_compress_gunzip(packed.data, packed.len, &text, err)) < 0) {
        return r;
    }
    return xb_manifest_records_parse(text.data, text.len, records, err);
}

/* By id, the newest first. */
static int compare_records(const void *left, const void *right)
{
    const struct xb_manifest_record *a = left;
    const struct xb_manifest_record *b = right;
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

static int load_records(struct xb_repository *repository, struct xb_manifest_records *records,
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
    struct xb_manifest_records records = {.items = NULL};
    int r = load_records(repository, &records, err);
    struct xb_manifest *list = r == 0 ? calloc(records.count + 1, sizeof *list) : NULL;
    if (r == 0 && !list) {
        r = xb_error_no_memory(err, "manifests");
    }
    if (r < 0) {
        xb_manifest_records_free(&records);
        return r;
    }
    if (records.count > 0) {
        qsort(records.items, records.count, sizeof *records.items, compare_records);
    }
    size_t count = 0;
    for (size_t i = 0; i < records.count; i++) {
        struct xb_manifest_record *record = &records.items[i];
        bool newest = i == 0 || strcmp(records.items[i - 1].manifest.id, record->manifest.id) != 0;
        if (newest && !record->deleted && matches(&record->manifest, labels, label_count)) {
            list[count++] = record->manifest;
            /* The id stays behind: the next record is compared with it. */
            record->manifest.labels = NULL;
            record->manifest.label_count = 0;
            record->manifest.data = NULL;
        }
    }
    xb_manifest_records_free(&records);
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
static bool find_newest(const struct xb_manifest_records *records, const char *id,
                        int64_t *ret_modified_ns)
{
    const struct xb_manifest_record *newest = NULL;
    for (size_t i = 0; i < records->count; i++) {
        const struct xb_manifest_record *record = &records->items[i];
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
    struct xb_manifest_records records = {.items = NULL};
    size_t written = 0;
    int r = count ? load_records(repository, &records, err) : 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        int64_t modified_ns = 0;
        if (find_newest(&records, ids[i], &modified_ns)) {
            r = written++ ? xb_buf_append_str(text, ",", err) : 0;
            r = r < 0 ? r : encode_tombstone(ids[i], modified_ns, text, err);
        }
    }
    xb_manifest_records_free(&records);
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

int xb_manifest_delete_many(struct xb_repository *repository, const char *const *ids, size_t count,
                            size_t *ret_deleted, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(CONTENT_PLAIN_BYTES_MAX);
    size_t deleted = 0;
    int r = xb_buf_append_str(&text, "{\"entries\":[", err);
    if (r < 0 || (r = encode_tombstones(repository, ids, count, &text, &deleted, err)) < 0 ||
        (r = xb_buf_append_str(&text, "]}\n", err)) < 0 ||
        (r = deleted ? write_entries(repository, &text, err) : 0) < 0) {
        return r;
    }
    *ret_deleted = deleted;
    return 0;
}

int xb_manifest_delete(struct xb_repository *repository, const char *id, struct xb_error *err)
{
    size_t deleted = 0;
    int r = xb_manifest_delete_many(repository, &id, 1, &deleted, err);
    return r < 0 || deleted ? r
                            : xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                                           "there is no manifest %.40s in the repository", id);
}
