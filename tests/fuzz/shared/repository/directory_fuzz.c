/* SPDX-License-Identifier: Apache-2.0
 *
 * Directory bytes of any kind: refused, or entries that are possible, that are found by name, and
 * that, written anew, read back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/entry_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Text to entry to text: the second time nothing changes any more. */
static void encode_again(const struct xb_entry *entry)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf first = XB_BUF_INIT(64 << 20);
    struct xb_buf second = XB_BUF_INIT(64 << 20);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    struct xb_entry again;
    need(xb_entry_encode(entry, &first, &err) == 0);
    need(xb_json_parse(first.data, first.len, &json, &err) == 0);
    need(xb_entry_decode(json, &again, &err) == 0);
    need(strcmp(again.name, entry->name) == 0);
    need(again.hole_count == entry->hole_count && again.xattr_count == entry->xattr_count);
    need(xb_entry_encode(&again, &second, &err) == 0);
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_entry_free(&again);
    xb_buf_free(&first);
    xb_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    if (xb_directory_decode((const char *)data, len, &directory, &err) < 0) {
        need(!directory && err.code < 0);
        return 0;
    }
    for (size_t i = 0; i < directory->count; i++) {
        const struct xb_entry *entry = &directory->entries[i];
        need(xb_entry_name_valid(entry->name, strlen(entry->name)));
        need(xb_directory_find(directory, entry->name) == entry);
        need(entry->mode <= 07777);
        uint64_t end = 0;
        for (size_t k = 0; k < entry->hole_count; k++) {
            need(entry->holes[k].offset >= end && entry->holes[k].len > 0);
            end = entry->holes[k].offset + entry->holes[k].len;
            need(end <= entry->size);
        }
        encode_again(entry);
    }
    return 0;
}
