/* SPDX-License-Identifier: Apache-2.0
 *
 * The watch-line splitter: however the bytes are cut into pieces, the same lines come out, none of
 * them with a line end or a NUL in it. The first byte says how large the pieces are.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/kube/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct lines {
    uint64_t hash;
    size_t count;
};

static int take(void *context, const char *line, size_t len, struct xb_error *err)
{
    struct lines *lines = context;
    (void)err;
    if (len == 0 || memchr(line, '\n', len) || memchr(line, '\0', len)) {
        abort();
    }
    for (size_t i = 0; i < len; i++) {
        lines->hash = lines->hash * 1099511628211U + (unsigned char)line[i];
    }
    lines->hash = lines->hash * 1099511628211U + '\n';
    lines->count++;
    return 0;
}

static int cut(const uint8_t *data, size_t size, size_t step, struct lines *ret)
{
    struct xb_kube_lines lines = XB_KUBE_LINES_INIT;
    struct xb_error err = XB_ERROR_INIT;
    int r = 0;
    *ret = (struct lines){.hash = 1};
    for (size_t at = 0; at < size && r == 0; at += step) {
        size_t len = size - at < step ? size - at : step;
        r = xb_kube_lines_feed(&lines, data + at, len, take, ret, &err);
    }
    xb_kube_lines_done(&lines);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lines pieces;
    struct lines whole;
    if (size < 2) {
        return 0;
    }
    int r = cut(data + 1, size - 1, 1 + data[0] % 32, &pieces);
    if (cut(data + 1, size - 1, size, &whole) != r || pieces.count != whole.count ||
        pieces.hash != whole.hash) {
        abort();
    }
    return 0;
}
