/* SPDX-License-Identifier: Apache-2.0
 *
 * A kubeconfig from outside: whatever it says, it is refused with a reason or gives a server with a
 * scheme and no white space. Its relative paths point where nothing is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/kube/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    if (memmem(data, size, "/dev", 4) || memmem(data, size, "/proc", 5)) {
        return 0; /* files that never end, or that differ each time */
    }
    int r = xb_kube_config_parse((const char *)data, size, "/nonexistent", NULL, &config, &err);
    if (r < 0) {
        if (config || !*err.text || err.kind == XB_ERR_BUG) {
            abort();
        }
        return 0;
    }
    if (strncmp(config->server, "http", 4) != 0 || strpbrk(config->server, " \t\r\n") ||
        !config->namespace) {
        abort();
    }
    return 0;
}
