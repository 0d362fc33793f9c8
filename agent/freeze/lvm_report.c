/* SPDX-License-Identifier: Apache-2.0
 * LVM's reports. All values are texts in them. A name goes back to LVM as an argument, so one that
 * LVM itself would not take makes the whole report none of LVM's. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/freeze/lvm.h"
#include "agent/mapper/mapper.h"
#include "shared/codec/json.h"

enum { PERCENT_MAX = 10000, TAGS_BYTES_MAX = 64 << 10 };

static int corrupt(const char *field, const char *value, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "LVM's report: %s '%.60s' makes no sense",
                        field, value);
}

/* ---- values ---- */

/* Of the form that xb_lvm_id_text gives. */
static int read_id(const char *field, const char *text, char ret[XB_LVM_ID_BYTES],
                   struct xb_error *err)
{
    char again[XB_LVM_ID_TEXT_BYTES];
    char id[XB_LVM_ID_BYTES];
    size_t len = 0;
    for (const char *at = text; *at && len < sizeof id; at++) {
        if (isalnum((unsigned char)*at)) {
            id[len++] = *at;
        }
    }
    if (len != sizeof id - 1) {
        return corrupt(field, text, err);
    }
    id[len] = '\0';
    xb_lvm_id_text(id, again);
    if (strcmp(again, text) != 0) {
        return corrupt(field, text, err);
    }
    memcpy(ret, id, sizeof id);
    return 0;
}

static int read_name(const char *field, const char *text, char ret[XB_LVM_NAME_BYTES],
                     struct xb_error *err)
{
    size_t len = strlen(text);
    bool bad = len == 0 || len >= XB_LVM_NAME_BYTES || text[0] == '-' || strcmp(text, ".") == 0 ||
               strcmp(text, "..") == 0;
    for (size_t i = 0; i < len && !bad; i++) {
        bad = !isalnum((unsigned char)text[i]) && !strchr("+_.-", text[i]);
    }
    if (bad) {
        return corrupt(field, text, err);
    }
    memcpy(ret, text, len + 1);
    return 0;
}

static int read_attributes(const char *field, const char *text, char *ret, size_t len,
                           struct xb_error *err)
{
    if (strlen(text) != len) {
        return corrupt(field, text, err);
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalpha((unsigned char)text[i]) && text[i] != '-') {
            return corrupt(field, text, err);
        }
    }
    memcpy(ret, text, len + 1);
    return 0;
}

static int read_bytes(const char *field, const char *text, uint64_t *ret, struct xb_error *err)
{
    uint64_t number = 0;
    const char *at = text;
    if (!xb_mapper_number(&at, &number) || *at) {
        return corrupt(field, text, err);
    }
    *ret = number;
    return 0;
}

/* "12.34", or "" where there is none. */
static int read_percent(const char *field, const char *text, int *ret, struct xb_error *err)
{
    uint64_t whole = 0;
    uint64_t part = 0;
    if (text[0] == '\0') {
        *ret = -1;
        return 0;
    }
    const char *at = text;
    bool good = xb_mapper_number(&at, &whole) && *at == '.' && strlen(at) == sizeof ".34" - 1;
    at += good;
    good = good && xb_mapper_number(&at, &part) && !*at && whole <= PERCENT_MAX / 100;
    if (!good || whole * 100 + part > PERCENT_MAX) {
        return corrupt(field, text, err);
    }
    *ret = (int)(whole * 100 + part);
    return 0;
}

static void read_tags(const char *tags, struct xb_lvm_volume *volume)
{
    bool tagged = false;
    for (const char *at = tags; *at;) {
        size_t len = strcspn(at, ",");
        tagged = tagged || (len == sizeof XB_LVM_TAG - 1 && memcmp(at, XB_LVM_TAG, len) == 0);
        (void)xb_lvm_maker_parse(at, len, &volume->maker);
        at += len + (at[len] == ',');
    }
    const size_t prefix = sizeof XB_LVM_PREFIX - 1;
    volume->ours =
        tagged && strncmp(volume->name, XB_LVM_PREFIX, prefix) == 0 && volume->name[prefix];
    if (!volume->ours) {
        volume->maker = (struct xb_lvm_maker){.boot = 0};
    }
}

/* ---- volumes ---- */

static int read_names(xb_json *row, struct xb_lvm_volume *volume, struct xb_error *err)
{
    const char *id = NULL, *name = NULL, *group_id = NULL, *group = NULL, *pool_id = NULL;
    const char *tags = NULL;
    int r = xb_json_need_str(row, "lv_uuid", true, &id, err);
    r = r ? r : xb_json_need_str(row, "lv_name", true, &name, err);
    r = r ? r : xb_json_need_str(row, "vg_uuid", true, &group_id, err);
    r = r ? r : xb_json_need_str(row, "vg_name", true, &group, err);
    r = r ? r : xb_json_need_str(row, "pool_lv_uuid", true, &pool_id, err);
    r = r ? r : xb_json_need_str(row, "lv_tags", true, &tags, err);
    r = r ? r : read_id("lv_uuid", id, volume->ids.volume, err);
    r = r ? r : read_id("vg_uuid", group_id, volume->ids.group, err);
    r = r ? r : read_name("lv_name", name, volume->name, err);
    r = r ? r : read_name("vg_name", group, volume->group, err);
    if (r == 0 && pool_id[0]) {
        r = read_id("pool_lv_uuid", pool_id, volume->pool_id, err);
    }
    if (r == 0 && strlen(tags) > TAGS_BYTES_MAX) {
        r = xb_error_set(err, XB_ERR_FULL, -E2BIG, "%.60s has too many tags", name);
    }
    if (r == 0) {
        read_tags(tags, volume);
    }
    return r;
}

static int read_state(xb_json *row, struct xb_lvm_volume *volume, struct xb_error *err)
{
    const char *attributes = NULL, *group_attributes = NULL, *lock = NULL;
    int r = xb_json_need_str(row, "lv_attr", true, &attributes, err);
    r = r ? r : xb_json_need_str(row, "vg_attr", true, &group_attributes, err);
    r = r ? r : xb_json_need_str(row, "vg_lock_type", true, &lock, err);
    r = r ? r : read_attributes("lv_attr", attributes, volume->attributes, XB_LVM_ATTRIBUTES, err);
    r = r ? r
          : read_attributes("vg_attr", group_attributes, volume->group_attributes,
                            XB_LVM_GROUP_ATTRIBUTES, err);
    if (r == 0) {
        volume->shared = lock[0] && strcmp(lock, "none") != 0;
    }
    return r;
}

static int read_sizes(xb_json *row, struct xb_lvm_volume *volume, struct xb_error *err)
{
    const struct {
        const char *field;
        uint64_t *ret;
    } sizes[] = {{"lv_size", &volume->bytes},
                 {"vg_size", &volume->group_bytes},
                 {"vg_free", &volume->group_free_bytes},
                 {"vg_extent_size", &volume->extent_bytes}};
    const struct {
        const char *field;
        int *ret;
    } percents[] = {{"data_percent", &volume->data_percent},
                    {"metadata_percent", &volume->metadata_percent}};
    const char *text = NULL;
    int r = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && r == 0; i++) {
        r = xb_json_need_str(row, sizes[i].field, true, &text, err);
        r = r ? r : read_bytes(sizes[i].field, text, sizes[i].ret, err);
    }
    for (size_t i = 0; i < sizeof percents / sizeof *percents && r == 0; i++) {
        r = xb_json_need_str(row, percents[i].field, true, &text, err);
        r = r ? r : read_percent(percents[i].field, text, percents[i].ret, err);
    }
    return r;
}

static int read_volume(xb_json *row, struct xb_lvm_volume *volume, struct xb_error *err)
{
    if (!json_object_is_type(row, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "LVM's report: want objects");
    }
    int r = read_names(row, volume, err);
    r = r ? r : read_state(row, volume, err);
    return r ? r : read_sizes(row, volume, err);
}

/* {"report": [{"lv": [{...}, ...]}]} */
static int find_rows(xb_json *report, xb_json **ret, struct xb_error *err)
{
    xb_json *reports = NULL;
    int r = json_object_is_type(report, json_type_object)
                ? xb_json_need_array(report, "report", true, &reports, err)
                : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "LVM's report: want an object");
    if (r < 0) {
        return r;
    }
    xb_json *first =
        json_object_array_length(reports) == 1 ? json_object_array_get_idx(reports, 0) : NULL;
    return json_object_is_type(first, json_type_object)
               ? xb_json_need_array(first, "lv", true, ret, err)
               : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "LVM's report: want one report");
}

int xb_lvm_report_parse(const char *text, size_t len, struct xb_lvm_report *ret,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *report = NULL;
    xb_json *rows = NULL;
    int r = xb_json_parse(text, len, &report, err);
    if (r < 0 || (r = find_rows(report, &rows, err)) < 0) {
        return r;
    }
    size_t count = json_object_array_length(rows);
    if (count > XB_LVM_VOLUMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d logical volumes",
                            XB_LVM_VOLUMES_MAX);
    }
    XB_CLEANUP(xb_freep) struct xb_lvm_volume *volumes = calloc(count + 1, sizeof *volumes);
    if (!volumes) {
        return xb_error_no_memory(err, "LVM's report");
    }
    for (size_t i = 0; i < count; i++) {
        r = read_volume(json_object_array_get_idx(rows, i), &volumes[i], err);
        if (r < 0) {
            return r;
        }
    }
    *ret = (struct xb_lvm_report){.volumes = XB_TAKE(volumes), .count = count};
    return 0;
}

void xb_lvm_report_free(struct xb_lvm_report *report)
{
    free(report->volumes);
    *report = (struct xb_lvm_report){.count = 0};
}

const struct xb_lvm_volume *xb_lvm_find(const struct xb_lvm_report *report, const char *id)
{
    for (size_t i = 0; i < report->count; i++) {
        if (strcmp(report->volumes[i].ids.volume, id) == 0) {
            return &report->volumes[i];
        }
    }
    return NULL;
}
