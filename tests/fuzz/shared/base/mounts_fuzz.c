/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that may be a list of mounts: refused as a whole, or every line is a mount whose fields
 * are texts of this list, as long as its line at most.
 */
#include "shared/base/mounts.h"
#include "tests/harness/fuzz.h"

static void need_text(const struct xb_mounts *mounts, size_t len, const char *text, size_t min)
{
    need(text >= mounts->text && text <= mounts->text + len);
    need(strlen(text) >= min && strlen(text) <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts = {.count = 77};
    char *text = fuzz_text(data, len);
    int r = xb_mounts_parse(text, len, &mounts, &err);
    need((r < 0) == (err.code != 0) && (r < 0) == (mounts.items == NULL));
    size_t lines = 0;
    for (size_t i = 0; i < len; i++) {
        lines += text[i] == '\n';
    }
    need(r < 0 || mounts.count == lines);
    for (size_t i = 0; r == 0 && i < mounts.count; i++) {
        const struct xb_mount *mount = &mounts.items[i];
        need_text(&mounts, len, mount->root, 1);
        need_text(&mounts, len, mount->point, 1);
        need_text(&mounts, len, mount->options, 1);
        need_text(&mounts, len, mount->type, 1);
        need_text(&mounts, len, mount->source, 0);
    }
    free(text);
    if (r == 0) {
        xb_mounts_free(&mounts);
    }
    return 0;
}
