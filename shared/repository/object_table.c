/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/json.h"
#include "shared/repository/object_internal.h"

static int parse_chunk(xb_json *json, uint64_t expect_start, struct xb_object_chunk *chunk,
                       struct xb_error *err)
{
    int64_t start = 0;
    int64_t len = 0;
    const char *id = NULL;
    int r = xb_json_need_int(json, "s", false, &start, err);
    if (r < 0 || (r = xb_json_need_int(json, "l", false, &len, err)) < 0 ||
        (r = xb_json_need_str(json, "o", true, &id, err)) < 0 ||
        (r = xb_object_id_parse(id, &chunk->id, err)) < 0) {
        return r;
    }
    if (start < 0 || len < 0 || (uint64_t)start != expect_start ||
        (uint64_t)len > (uint64_t)INT64_MAX - (uint64_t)start) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "its parts do not follow one another at byte %llu",
                            (unsigned long long)expect_start);
    }
    chunk->start = (uint64_t)start;
    chunk->len = (uint64_t)len;
    return 0;
}

static int parse_chunks(xb_json *list, struct xb_object_table *table, struct xb_error *err)
{
    size_t count = json_object_array_length(list);
    table->chunks = calloc(count ? count : 1, sizeof *table->chunks);
    if (!table->chunks) {
        return xb_error_no_memory(err, "an object's parts");
    }
    for (size_t i = 0; i < count; i++) {
        int r = parse_chunk(json_object_array_get_idx(list, i), table->len, &table->chunks[i], err);
        if (r < 0) {
            return r;
        }
        table->count++;
        table->len += table->chunks[i].len;
    }
    return 0;
}

int xb_object_table_parse(const char *text, size_t len, struct xb_object_table *ret,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    struct xb_object_table table = {.chunks = NULL};
    const char *stream = NULL;
    xb_json *list = NULL;
    int r = xb_json_parse(text, len, &json, err);
    if (r < 0 || (r = xb_json_need_str(json, "stream", true, &stream, err)) < 0 ||
        (r = xb_json_need_array(json, "entries", false, &list, err)) < 0) {
        return r;
    }
    if (strcmp(stream, "kopia:indirect") != 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not an indirect object");
    }
    r = list ? parse_chunks(list, &table, err) : 0;
    if (r < 0) {
        xb_object_table_free(&table);
        return r;
    }
    *ret = table;
    return 0;
}

void xb_object_table_free(struct xb_object_table *table)
{
    free(table->chunks);
    *table = (struct xb_object_table){.chunks = NULL};
}

int xb_object_table_load(struct xb_repository *repository, const struct xb_object_id *id,
                         unsigned level, struct xb_object_table *ret, struct xb_error *err)
{
    struct xb_object_id inner;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_OBJECT_INDEX_BYTES_MAX);
    memcpy(inner.text, id->text + 1, sizeof inner.text - 1);
    inner.text[sizeof inner.text - 1] = '\0';
    int r = xb_object_read_level(repository, &inner, level + 1, &text, err);
    if (r == 0) {
        r = xb_object_table_parse(text.data, text.len, ret, err);
    }
    return r < 0 ? xb_error_wrap(err, "object %s", id->text) : 0;
}
