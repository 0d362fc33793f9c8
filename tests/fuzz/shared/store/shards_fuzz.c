/* SPDX-License-Identifier: Apache-2.0
 *
 * `.shards`, a NUL, and a name: rules or a refusal; and by any rules a name has one path, which
 * gives the name again and starts as listings expect.
 */
#include "shared/store/sharded/shards.h"
#include "tests/harness/fuzz.h"

/* The path of the name starts with one of the prefixes for each beginning of it. */
static void check_prefixes(const struct xb_shards *shards, const char *name, const char *path)
{
    char start[XB_STORE_NAME_BYTES_MAX + 1] = "";
    XB_CLEANUP(xb_freep)
    char(*prefixes)[XB_STORE_NAME_BYTES_MAX + 1] = calloc(shards->count + 1, sizeof *prefixes);
    need(prefixes != NULL);
    for (size_t len = 0; len <= strlen(name) && len < 64; len++) {
        memcpy(start, name, len);
        size_t count = xb_shards_prefixes(shards, start, prefixes);
        bool found = false;
        need(count <= shards->count + 1);
        for (size_t i = 0; i < count; i++) {
            found = found || strncmp(path, prefixes[i], strlen(prefixes[i])) == 0;
        }
        need(found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_shards_freep) struct xb_shards *shards = NULL;
    const uint8_t *end = len ? memchr(data, 0, len) : NULL;
    size_t rules_len = end ? (size_t)(end - data) : len;
    size_t name_len = end ? len - rules_len - 1 : 0;
    char name[2 * XB_STORE_NAME_BYTES_MAX] = "";
    char path[XB_STORE_NAME_BYTES_MAX + 1], back[XB_STORE_NAME_BYTES_MAX + 1];
    if (xb_shards_parse((const char *)data, rules_len, &shards, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT || err.kind == XB_ERR_FULL);
        return 0;
    }
    need(shards->count >= 1 && shards->count <= XB_SHARDS_OVERRIDES_MAX + 1);
    if (name_len > 0 && name_len < sizeof name) {
        memcpy(name, end + 1, name_len);
    }
    if (name[0] && xb_shards_path(shards, name, path, &err) == 0) {
        need(strlen(path) <= XB_STORE_NAME_BYTES_MAX);
        need(xb_shards_name(shards, path, back) && strcmp(back, name) == 0);
        check_prefixes(shards, name, path);
    }
    name[XB_STORE_NAME_BYTES_MAX] = '\0';
    if (xb_shards_name(shards, name, back)) { /* the same bytes as a path */
        need(xb_shards_path(shards, back, path, &err) == 0 && strcmp(path, name) == 0);
    }
    return 0;
}
