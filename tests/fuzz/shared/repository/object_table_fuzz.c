/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of an indirect object: refused, or parts that follow one another without a gap.
 */
#include "tests/harness/fuzz.h"
#include "tests/harness/object_chunks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct object_chunks table;
    if (object_chunks_parse((const char *)data, len, &table, &err) < 0) {
        need(err.code < 0);
        return 0;
    }
    uint64_t at = 0;
    for (size_t i = 0; i < table.count; i++) {
        struct xb_object_parts parts;
        need(table.chunks[i].start == at);
        at += table.chunks[i].len;
        need(at <= INT64_MAX);
        need(xb_object_id_split(&table.chunks[i].id, &parts, &err) == 0);
        need(parts.depth <= XB_OBJECT_DEPTH_MAX && parts.content.len > 0);
    }
    need(at == table.len);
    object_chunks_free(&table);
    return 0;
}
