/* SPDX-License-Identifier: Apache-2.0
 *
 * random.h - random bytes from the kernel, good enough for keys and nonces.
 *
 * Threads: any.    Blocking: only before the kernel's pool is seeded at boot. Never fails: a kernel
 * without getrandom ends the process.
 */
#pragma once

#include <stddef.h>

void xb_random_bytes(void *out, size_t len);
