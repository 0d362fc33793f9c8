/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/sharded/shards.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"

static int parse_widths(xb_json *owner, const char *where, struct xb_shards_rule *rule,
                        const char *field, struct xb_error *err)
{
    xb_json *array = NULL;
    int r = xb_json_need_array(owner, field, false, &array, err);
    if (r < 0) {
        return xb_error_wrap(err, "%s", where);
    }
    size_t count = array ? json_object_array_length(array) : 0;
    if (count > XB_SHARDS_LEVELS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s: %zu levels, at most %d are allowed",
                            where, count, XB_SHARDS_LEVELS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *width = json_object_array_get_idx(array, i);
        int64_t value =
            json_object_is_type(width, json_type_int) ? json_object_get_int64(width) : 0;
        if (value < 1 || value > XB_SHARDS_WIDTH_MAX) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "%s: level %zu is no number of 1..%d", where, i,
                                XB_SHARDS_WIDTH_MAX);
        }
        rule->widths[i] = (unsigned)value;
    }
    rule->levels = count;
    return 0;
}

static int parse_override(xb_json *json, struct xb_shards_rule *rule, struct xb_error *err)
{
    const char *prefix = "";
    if (!json_object_is_type(json, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "overrides: want objects");
    }
    int r = xb_json_need_str(json, "prefix", false, &prefix, err);
    if (r < 0) {
        return r;
    }
    rule->prefix = strdup(prefix);
    return rule->prefix ? parse_widths(json, "overrides", rule, "shards", err)
                        : xb_error_no_memory(err, "shard rules");
}

static int parse_rules(xb_json *json, struct xb_shards *shards, struct xb_error *err)
{
    xb_json *overrides = NULL;
    int64_t unsharded = 0;
    int r = xb_json_need_int(json, "maxNonShardedLength", false, &unsharded, err);
    if (r == 0) {
        r = xb_json_need_array(json, "overrides", false, &overrides, err);
    }
    if (r < 0) {
        return r;
    }
    size_t count = overrides ? json_object_array_length(overrides) : 0;
    if (count > XB_SHARDS_OVERRIDES_MAX || unsharded < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            unsharded < 0 ? "maxNonShardedLength is negative"
                                          : "too many overrides");
    }
    shards->unsharded_bytes_max = (size_t)unsharded;
    shards->rules = calloc(count + 1, sizeof *shards->rules);
    if (!shards->rules) {
        return xb_error_no_memory(err, "shard rules");
    }
    for (size_t i = 0; i < count && r == 0; i++) {
        shards->count++;
        r = parse_override(json_object_array_get_idx(overrides, i), &shards->rules[i], err);
    }
    if (r < 0) {
        return r;
    }
    struct xb_shards_rule *last = &shards->rules[shards->count++];
    last->prefix = strdup("");
    return last->prefix ? parse_widths(json, "default", last, "default", err)
                        : xb_error_no_memory(err, "shard rules");
}

int xb_shards_parse(const char *text, size_t len, struct xb_shards **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    XB_CLEANUP(xb_shards_freep) struct xb_shards *shards = calloc(1, sizeof *shards);
    if (!shards) {
        return xb_error_no_memory(err, "shard rules");
    }
    int r = xb_json_parse(text, len, &json, err);
    if (r == 0 && !json_object_is_type(json, json_type_object)) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a JSON object");
    }
    if (r == 0) {
        r = parse_rules(json, shards, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, ".shards");
    }
    *ret = XB_TAKE(shards);
    return 0;
}

int xb_shards_assumed(struct xb_shards **ret, struct xb_error *err)
{
    static const char text[] = "{\"default\":[3,3],\"maxNonShardedLength\":20}";
    return xb_shards_parse(text, sizeof text - 1, ret, err);
}

void xb_shards_free(struct xb_shards *shards)
{
    if (!shards) {
        return;
    }
    for (size_t i = 0; i < shards->count; i++) {
        free(shards->rules[i].prefix);
    }
    free(shards->rules);
    free(shards);
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Cuts `name` by a rule; `out` gets the folders and what is left. False when it does not fit. */
static bool cut(const struct xb_shards_rule *rule, const char *name, const char *suffix,
                char out[XB_STORE_NAME_BYTES_MAX + 1])
{
    size_t len = strlen(name), used = 0;
    if (len + strlen(suffix) + XB_SHARDS_LEVELS_MAX > XB_STORE_NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < rule->levels && len > rule->widths[i]; i++) {
        memcpy(out + used, name, rule->widths[i]);
        used += rule->widths[i];
        out[used++] = '/';
        name += rule->widths[i];
        len -= rule->widths[i];
    }
    memcpy(out + used, name, len);
    memcpy(out + used + len, suffix, strlen(suffix) + 1);
    return true;
}

int xb_shards_path(const struct xb_shards *shards, const char *name,
                   char out[XB_STORE_NAME_BYTES_MAX + 1], struct xb_error *err)
{
    static const struct xb_shards_rule flat = {.levels = 0};
    const struct xb_shards_rule *rule = &flat;
    if (strlen(name) > shards->unsharded_bytes_max) {
        rule = shards->rules;
        while (!starts_with(name, rule->prefix)) {
            rule++; /* the last one matches everything */
        }
    }
    if (strchr(name, '/') || !cut(rule, name, ".f", out)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "not a name for kopia's file layout: '%.100s'", name);
    }
    return 0;
}

bool xb_shards_name(const struct xb_shards *shards, const char *path,
                    char out[XB_STORE_NAME_BYTES_MAX + 1])
{
    struct xb_error ignored = XB_ERROR_INIT;
    char back[XB_STORE_NAME_BYTES_MAX + 1];
    size_t len = strlen(path), used = 0;
    if (len < 3 || strcmp(path + len - 2, ".f") != 0) {
        return false;
    }
    for (size_t i = 0; i < len - 2; i++) {
        if (path[i] != '/') {
            out[used++] = path[i];
        }
    }
    out[used] = '\0';
    /* A file at a place where its name would not be looked for is nobody's object. */
    return used > 0 && xb_shards_path(shards, out, back, &ignored) == 0 && strcmp(back, path) == 0;
}

size_t xb_shards_prefixes(const struct xb_shards *shards, const char *prefix,
                          char (*out)[XB_STORE_NAME_BYTES_MAX + 1])
{
    size_t count = 0;
    if (strlen(prefix) < XB_STORE_NAME_BYTES_MAX - XB_SHARDS_LEVELS_MAX) {
        memcpy(out[count++], prefix, strlen(prefix) + 1); /* those that stay in the root */
    }
    for (size_t i = 0; i < shards->count; i++) {
        const struct xb_shards_rule *rule = &shards->rules[i];
        if (!starts_with(prefix, rule->prefix) && !starts_with(rule->prefix, prefix)) {
            continue;
        }
        bool more = cut(rule, prefix, "", out[count]);
        for (size_t k = 0; k < count && more; k++) {
            more = !starts_with(out[count], out[k]); /* else it is listed already */
        }
        count += more;
    }
    return count;
}
