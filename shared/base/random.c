/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void xb_random_bytes(void *out, size_t len)
{
    unsigned char *next = out;
    while (len > 0) {
        ssize_t got = getrandom(next, len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            abort();
        }
        next += got;
        len -= (size_t)got;
    }
}
