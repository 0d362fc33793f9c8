/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of blobs, one a line: whatever they are, a set of some of them, each once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"
#include "shared/repository/epoch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { NAMES_MAX = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_epoch_set set;
    XB_CLEANUP(xb_freep) char *text = malloc(len + 1);
    if (!text) {
        return 0;
    }
    memcpy(text, data, len);
    text[len] = '\0';
    for (char *line = text; line && count < NAMES_MAX;) {
        char *end = strchr(line, '\n');
        names[count++] = line;
        line = end ? end + 1 : NULL;
        if (end) {
            *end = '\0';
        }
    }
    if (xb_epoch_compute(names, count, &set, &err) < 0) {
        abort();
    }
    if (set.active_count > count || set.write_epoch < 0 || set.write_epoch > XB_EPOCH_MAX) {
        abort();
    }
    for (size_t i = 0; i < set.active_count; i++) {
        size_t k = 0;
        while (k < count && names[k] != set.active[i]) {
            k++;
        }
        if (k == count) { /* not one of ours, or here twice */
            abort();
        }
        names[k] = NULL;
    }
    xb_epoch_set_free(&set);
    return 0;
}
