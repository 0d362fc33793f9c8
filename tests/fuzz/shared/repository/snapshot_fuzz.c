/* SPDX-License-Identifier: Apache-2.0
 *
 * A snapshot's record of any kind: refused, or a snapshot that, written anew, reads back the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf first = XB_BUF_INIT(64 << 20);
    struct xb_buf second = XB_BUF_INIT(64 << 20);
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *snapshot = NULL;
    XB_CLEANUP(xb_snapshot_freep) struct xb_snapshot *again = NULL;
    if (xb_snapshot_decode("0123", (const char *)data, len, &snapshot, &err) < 0) {
        need(!snapshot && err.code < 0);
        return 0;
    }
    need(snapshot->host[0] && snapshot->user[0] && snapshot->path[0] && snapshot->root.name[0]);
    need(xb_snapshot_encode(snapshot, &first, &err) == 0);
    need(xb_snapshot_decode("0123", first.data, first.len, &again, &err) == 0);
    need(again->tag_count <= snapshot->tag_count && again->pin_count == snapshot->pin_count);
    need(xb_snapshot_encode(again, &second, &err) == 0);
    need(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    xb_buf_free(&first);
    xb_buf_free(&second);
    return 0;
}
