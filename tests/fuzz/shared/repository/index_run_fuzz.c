/* SPDX-License-Identifier: Apache-2.0
 *
 * A run of index entries as a file of the cache would have it: its head, then its bytes. Codes keep
 * such bytes out before anybody looks at them; should they not, nothing is read outside of them.
 */
#include "shared/repository/index_table.h"
#include "tests/harness/fuzz.h"

static void look_up(const struct xb_index_run *run, const uint8_t *key)
{
    static const unsigned char prefixes[] = {0, 1, 'a', 'g', 'k', 'z', '{', 255};
    unsigned char own[XB_INDEX_KEY_BYTES_MAX];
    for (size_t p = 0; p < sizeof prefixes; p++) {
        size_t i = 0;
        memcpy(own, key, sizeof own);
        own[0] = prefixes[p];
        need(xb_index_run_lower(run, own) <= run->count);
        if (xb_index_run_find(run, own, &i)) {
            need(i < run->count && memcmp(xb_index_run_at(run, i), own, run->key_bytes) == 0);
        }
        (void)xb_index_run_find_hidden(run, own);
        (void)xb_index_run_lower_prefix(run, prefixes[p]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_index_run run = {.map = NULL};
    uint32_t number = 0;
    uint8_t key[XB_INDEX_KEY_BYTES_MAX] = {0};
    if (len < sizeof run.head) {
        return 0;
    }
    size_t body = len - sizeof run.head;
    unsigned char *bytes = malloc(body + 1);
    need(bytes != NULL);
    memcpy(&run.head, data, sizeof run.head);
    memcpy(bytes, data + sizeof run.head, body);
    if (xb_index_run_attach(&run, bytes, body, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT);
    } else {
        for (size_t i = 0; i < run.count && i < 64; i++) {
            memcpy(key, xb_index_run_at(&run, i), run.key_bytes);
            look_up(&run, key);
        }
        look_up(&run, key);
        for (uint32_t i = 0; i < run.packs.count && i < 64; i++) {
            need(!xb_names_find(&run.packs, xb_names_at(&run.packs, i), &number) ||
                 number < run.packs.count);
        }
        (void)xb_names_find(&run.packs, "p-not-there", &number);
    }
    free(bytes);
    return 0;
}
