/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot's record of any kind: refused, or a snapshot that, written anew, reads back the same.
 */
#include "shared/repository/snapshot.h"
#include "tests/harness/fuzz.h"

/* Encodes, and decodes that; the text is appended. */
static struct xb_snapshot *again(const struct xb_snapshot *snapshot, struct xb_buf *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_snapshot *made = NULL;
    need(xb_snapshot_encode(snapshot, text, &err) == 0);
    need(xb_snapshot_decode("0123", text->data, text->len, &made, &err) == 0);
    need(made->tag_count <= snapshot->tag_count && made->pin_count == snapshot->pin_count);
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_snapshot *snapshot = NULL;
    if (xb_snapshot_decode("0123", (const char *)data, len, &snapshot, &err) < 0) {
        need(!snapshot && err.code < 0);
        return 0;
    }
    need(snapshot->host[0] && snapshot->user[0] && snapshot->path[0] && snapshot->root.name[0]);
    /* The first writing may mend bytes that are no UTF-8; from then on nothing changes. */
    struct xb_buf mended = XB_BUF_INIT(64 << 20);
    struct xb_buf first = XB_BUF_INIT(64 << 20);
    struct xb_buf second = XB_BUF_INIT(64 << 20);
    struct xb_snapshot *one = again(snapshot, &mended);
    struct xb_snapshot *two = again(one, &first);
    xb_snapshot_free(again(two, &second));
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_snapshot_free(snapshot);
    xb_snapshot_free(one);
    xb_snapshot_free(two);
    xb_buf_free(&mended);
    xb_buf_free(&first);
    xb_buf_free(&second);
    return 0;
}
