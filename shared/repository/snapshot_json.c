/* SPDX-License-Identifier: Apache-2.0
 * A snapshot's record as JSON (kopia-format section 11). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"
#include "shared/repository/snapshot.h"

void xb_snapshot_device_free(struct xb_snapshot_device *device)
{
    if (device) {
        free(device->type);
        free(device->label);
        free(device->uuid);
        free(device->table);
        free(device);
    }
}

void xb_snapshot_free(struct xb_snapshot *snapshot)
{
    if (!snapshot) {
        return;
    }
    free(snapshot->host);
    free(snapshot->user);
    free(snapshot->path);
    free(snapshot->description);
    free(snapshot->incomplete);
    xb_entry_free(&snapshot->root);
    for (size_t i = 0; i < snapshot->tag_count; i++) {
        free(snapshot->tags[i].key);
        free(snapshot->tags[i].value);
    }
    free(snapshot->tags);
    for (size_t i = 0; i < snapshot->pin_count; i++) {
        free(snapshot->pins[i]);
    }
    free(snapshot->pins);
    xb_snapshot_device_free(snapshot->device);
    free(snapshot);
}

static int put_string(struct xb_buf *out, const char *before, const char *value,
                      struct xb_error *err)
{
    int r = xb_buf_append_str(out, before, err);
    const char *text = value ? value : "";
    return r < 0 ? r : xb_json_go_string(out, text, strlen(text), err);
}

static int encode_head(const struct xb_snapshot *snapshot, struct xb_buf *out, struct xb_error *err)
{
    char start[XB_TIME_TEXT_BYTES];
    char end[XB_TIME_TEXT_BYTES];
    xb_time_format(snapshot->start_ns, start);
    xb_time_format(snapshot->end_ns, end);
    int r = put_string(out, "{\"id\":\"\",\"source\":{\"host\":", snapshot->host, err);
    if (r < 0 || (r = put_string(out, ",\"userName\":", snapshot->user, err)) < 0 ||
        (r = put_string(out, ",\"path\":", snapshot->path, err)) < 0 ||
        (r = put_string(out, "},\"description\":", snapshot->description, err)) < 0) {
        return r;
    }
    return xb_buf_printf(
        out, err,
        ",\"startTime\":\"%s\",\"endTime\":\"%s\",\"stats\":{\"totalSize\":%" PRIu64
        ",\"excludedTotalSize\":0,\"fileCount\":%" PRIu64 ",\"cachedFiles\":%" PRIu64
        ",\"nonCachedFiles\":%" PRIu64 ",\"dirCount\":%" PRIu64
        ",\"excludedFileCount\":0,\"excludedDirCount\":0,\"ignoredErrorCount\":%" PRIu64
        ",\"errorCount\":%" PRIu64 "}",
        start, end, snapshot->stats.total_bytes, snapshot->stats.files,
        snapshot->stats.cached_files, snapshot->stats.non_cached_files, snapshot->stats.dirs,
        snapshot->stats.ignored_errors, snapshot->stats.errors);
}

static int encode_tags(const struct xb_snapshot *snapshot, struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < snapshot->tag_count; i++) {
        r = put_string(out, i ? "," : ",\"tags\":{", snapshot->tags[i].key, err);
        if (r == 0) {
            r = put_string(out, ":", snapshot->tags[i].value, err);
        }
    }
    if (r == 0 && snapshot->tag_count) {
        r = xb_buf_append_str(out, "}", err);
    }
    for (size_t i = 0; r == 0 && i < snapshot->pin_count; i++) {
        r = put_string(out, i ? "," : ",\"pins\":[", snapshot->pins[i], err);
    }
    if (r == 0 && snapshot->pin_count) {
        r = xb_buf_append_str(out, "]", err);
    }
    return r;
}

/* What kopia's statistics have no field for. */
static int encode_own_stats(const struct xb_snapshot *snapshot, struct xb_buf *out,
                            struct xb_error *err)
{
    if (!snapshot->stats.special_files && !snapshot->stats.changed_files &&
        !snapshot->stats.vanished) {
        return 0;
    }
    return xb_buf_printf(out, err,
                         ",\"x-stats\":{\"specialFiles\":%" PRIu64 ",\"changedFiles\":%" PRIu64
                         ",\"vanished\":%" PRIu64 "}",
                         snapshot->stats.special_files, snapshot->stats.changed_files,
                         snapshot->stats.vanished);
}

static int encode_device(const struct xb_snapshot_device *device, struct xb_buf *out,
                         struct xb_error *err)
{
    const struct {
        const char *before, *value;
    } texts[] = {{",\"type\":", device->type},
                 {",\"label\":", device->label},
                 {",\"uuid\":", device->uuid},
                 {",\"table\":", device->table}};
    int r = xb_buf_printf(out, err,
                          ",\"x-device\":{\"kind\":\"%s\",\"size\":%" PRIu64
                          ",\"sectorSize\":%" PRIu32 ",\"freeBytes\":%" PRIu64,
                          device->block ? "block" : "image", device->bytes, device->sector_bytes,
                          device->free_bytes);
    for (size_t i = 0; r == 0 && i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].value && texts[i].value[0]) {
            r = put_string(out, texts[i].before, texts[i].value, err);
        }
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

int xb_snapshot_encode(const struct xb_snapshot *snapshot, struct xb_buf *out, struct xb_error *err)
{
    int r = encode_head(snapshot, out, err);
    if (r == 0 && snapshot->incomplete) {
        r = put_string(out, ",\"incomplete\":", snapshot->incomplete, err);
    }
    if (r == 0) {
        r = xb_buf_append_str(out, ",\"rootEntry\":", err);
    }
    if (r == 0) {
        r = xb_entry_encode(&snapshot->root, out, err);
    }
    if (r == 0) {
        r = encode_tags(snapshot, out, err);
    }
    if (r == 0) {
        r = encode_own_stats(snapshot, out, err);
    }
    if (r == 0 && snapshot->device) {
        r = encode_device(snapshot->device, out, err);
    }
    return r < 0 ? r : xb_buf_append_str(out, "}", err);
}

static int copy_text(xb_json *json, const char *path, bool required, char **ret,
                     struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, path, required, &text, err);
    if (r < 0) {
        return r;
    }
    if (required && !text[0]) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s is empty", path);
    }
    *ret = strdup(text ? text : "");
    return *ret ? 0 : xb_error_no_memory(err, "a snapshot");
}

static int decode_time(xb_json *json, const char *path, int64_t *ret, struct xb_error *err)
{
    const char *text = NULL;
    int r = xb_json_need_str(json, path, true, &text, err);
    if (r == 0) {
        r = xb_time_parse(text, ret, err);
    }
    return r < 0 ? xb_error_wrap(err, "field %s", path) : 0;
}

static uint64_t count_of(xb_json *json, const char *path)
{
    int64_t value = xb_json_int(json, path, 0);
    return value > 0 ? (uint64_t)value : 0;
}

static void decode_stats(xb_json *json, struct xb_snapshot *snapshot)
{
    snapshot->stats.total_bytes = count_of(json, "stats.totalSize");
    snapshot->stats.files = count_of(json, "stats.fileCount");
    snapshot->stats.cached_files = count_of(json, "stats.cachedFiles");
    snapshot->stats.non_cached_files = count_of(json, "stats.nonCachedFiles");
    snapshot->stats.dirs = count_of(json, "stats.dirCount");
    snapshot->stats.errors = count_of(json, "stats.errorCount");
    snapshot->stats.ignored_errors = count_of(json, "stats.ignoredErrorCount");
    snapshot->stats.special_files = count_of(json, "x-stats.specialFiles");
    snapshot->stats.changed_files = count_of(json, "x-stats.changedFiles");
    snapshot->stats.vanished = count_of(json, "x-stats.vanished");
}

static int decode_tags(xb_json *json, struct xb_snapshot *snapshot, struct xb_error *err)
{
    xb_json *tags = NULL;
    int r = xb_json_need_object(json, "tags", false, &tags, err);
    int count = tags ? json_object_object_length(tags) : 0;
    if (r < 0 || count == 0) {
        return r;
    }
    if (count > XB_MANIFEST_LABELS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "too many tags");
    }
    snapshot->tags = calloc((size_t)count, sizeof *snapshot->tags);
    if (!snapshot->tags) {
        return xb_error_no_memory(err, "a snapshot");
    }
    json_object_object_foreach(tags, key, value)
    {
        struct xb_label *tag = &snapshot->tags[snapshot->tag_count++];
        const char *text =
            json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
        tag->key = strdup(key);
        tag->value = text ? strdup(text) : NULL;
        if (!tag->key || !tag->value) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "tag %.60s is no text", key);
        }
    }
    return 0;
}

static int decode_pins(xb_json *json, struct xb_snapshot *snapshot, struct xb_error *err)
{
    xb_json *pins = NULL;
    int r = xb_json_need_array(json, "pins", false, &pins, err);
    size_t count = pins ? json_object_array_length(pins) : 0;
    if (r < 0 || count == 0) {
        return r;
    }
    if (count > XB_MANIFEST_LABELS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "too many pins");
    }
    snapshot->pins = calloc(count, sizeof *snapshot->pins);
    if (!snapshot->pins) {
        return xb_error_no_memory(err, "a snapshot");
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *pin = json_object_array_get_idx(pins, i);
        const char *text =
            json_object_is_type(pin, json_type_string) ? json_object_get_string(pin) : NULL;
        snapshot->pins[i] = text ? strdup(text) : NULL;
        if (!snapshot->pins[i]) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a pin is no text");
        }
        snapshot->pin_count++;
    }
    return 0;
}

static int decode_device(xb_json *json, struct xb_snapshot *snapshot, struct xb_error *err)
{
    xb_json *own = NULL;
    int r = xb_json_need_object(json, "x-device", false, &own, err);
    if (r < 0 || !own) {
        return r;
    }
    struct xb_snapshot_device *device = snapshot->device = calloc(1, sizeof *device);
    if (!device) {
        return xb_error_no_memory(err, "a snapshot");
    }
    device->block = strcmp(xb_json_str(own, "kind", ""), "block") == 0;
    device->bytes = count_of(own, "size");
    device->sector_bytes = (uint32_t)count_of(own, "sectorSize");
    device->free_bytes = count_of(own, "freeBytes");
    if ((r = copy_text(own, "type", false, &device->type, err)) < 0 ||
        (r = copy_text(own, "label", false, &device->label, err)) < 0 ||
        (r = copy_text(own, "uuid", false, &device->uuid, err)) < 0) {
        return r;
    }
    return copy_text(own, "table", false, &device->table, err);
}

/* Entries have a parser of their own. */
static int decode_root(xb_json *root, struct xb_entry *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_JSON_SPAN_BYTES_MAX);
    int r = xb_json_write(root, &text, err);
    return r < 0 ? r : xb_entry_decode(text.data, text.len, ret, err);
}

static int decode(xb_json *json, struct xb_snapshot *snapshot, struct xb_error *err)
{
    xb_json *root = NULL;
    const char *incomplete = NULL;
    int r = copy_text(json, "source.host", true, &snapshot->host, err);
    if (r < 0 || (r = copy_text(json, "source.userName", true, &snapshot->user, err)) < 0 ||
        (r = copy_text(json, "source.path", true, &snapshot->path, err)) < 0 ||
        (r = copy_text(json, "description", false, &snapshot->description, err)) < 0 ||
        (r = decode_time(json, "startTime", &snapshot->start_ns, err)) < 0 ||
        (r = decode_time(json, "endTime", &snapshot->end_ns, err)) < 0 ||
        (r = xb_json_need_str(json, "incomplete", false, &incomplete, err)) < 0 ||
        (r = xb_json_need_object(json, "rootEntry", true, &root, err)) < 0 ||
        (r = decode_root(root, &snapshot->root, err)) < 0) {
        return r;
    }
    if (incomplete && incomplete[0] && !(snapshot->incomplete = strdup(incomplete))) {
        return xb_error_no_memory(err, "a snapshot");
    }
    decode_stats(json, snapshot);
    r = decode_tags(json, snapshot, err);
    if (r == 0) {
        r = decode_device(json, snapshot, err);
    }
    return r < 0 ? r : decode_pins(json, snapshot, err);
}

int xb_snapshot_decode(const char *id, const char *data, size_t len, struct xb_snapshot **ret,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (!snapshot) {
        return xb_error_no_memory(err, "a snapshot");
    }
    size_t id_len = strnlen(id, sizeof snapshot->id - 1);
    memcpy(snapshot->id, id, id_len);
    int r = xb_json_parse(data, len, &json, err);
    if (r == 0) {
        r = decode(json, snapshot, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, "snapshot %s", snapshot->id);
    }
    *ret = XB_TAKE(snapshot);
    return 0;
}
