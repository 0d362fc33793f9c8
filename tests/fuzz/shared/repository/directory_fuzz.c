/* SPDX-License-Identifier: Apache-2.0
 *
 * Directory bytes of any kind: refused, or entries that are possible, that are found by name, and
 * that, written anew, read back the same.
 */
#include "shared/repository/entry_internal.h"
#include "tests/harness/fuzz.h"

/* Encodes, and decodes that; the text is appended. */
static struct xb_entry again(const struct xb_entry *entry, struct xb_buf *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_entry made;
    need(xb_entry_encode(entry, text, &err) == 0);
    need(xb_entry_decode(text->data, text->len, &made, &err) == 0);
    need(strcmp(made.name, entry->name) == 0 && made.mode == entry->mode);
    need(made.hole_count == entry->hole_count && made.node == entry->node);
    return made;
}

/* The first writing may mend texts that are no UTF-8; from then on nothing changes. */
static void encode_again(const struct xb_entry *entry)
{
    struct xb_buf mended = XB_BUF_INIT(64 << 20);
    struct xb_buf first = XB_BUF_INIT(64 << 20);
    struct xb_buf second = XB_BUF_INIT(64 << 20);
    struct xb_entry one = again(entry, &mended);
    struct xb_entry two = again(&one, &first);
    struct xb_entry three = again(&two, &second);
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_entry_free(&one);
    xb_entry_free(&two);
    xb_entry_free(&three);
    xb_buf_free(&mended);
    xb_buf_free(&first);
    xb_buf_free(&second);
}

/* Entry by entry it is the same directory; what may be taken over is what would be written. */
static void check_cursor(const char *data, size_t len, const struct xb_directory *directory)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_directory_closep) struct xb_directory_cursor *cursor = NULL;
    struct xb_entry *entry = NULL;
    need(xb_directory_open_text(data, len, &cursor, &err) == 0);
    for (size_t i = 0; i < directory->count; i++) {
        struct xb_buf want = XB_BUF_INIT(64 << 20);
        need(xb_directory_next(cursor, &entry, &err) == 0 && entry);
        const struct xb_entry_text *text = xb_directory_cursor_text(cursor);
        need(xb_entry_name_valid(entry->name, strlen(entry->name)) || entry->renamed);
        need(xb_entry_encode_rest(entry, &want, &err) == 0);
        need(!text->rest ||
             (text->len == want.len && memcmp(text->rest, want.data, want.len) == 0));
        xb_buf_free(&want);
    }
    need(xb_directory_next(cursor, &entry, &err) == 0 && !entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_directory_freep) struct xb_directory *directory = NULL;
    if (xb_directory_decode((const char *)data, len, &directory, &err) < 0) {
        need(!directory && err.code < 0);
        return 0;
    }
    check_cursor((const char *)data, len, directory);
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
