/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz.h - what every fuzz target begins with.
 *
 * What for:  a target checks with need(), which ends the process where a property does not hold.
 * Ownership: a text from fuzz_text is the caller's to free.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static inline void need(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* The input as a text; it has no room behind its NUL, so that a sanitizer sees each byte too far.
 */
static inline char *fuzz_text(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    need(text != NULL);
    if (len > 0) {
        memcpy(text, data, len);
    }
    text[len] = '\0';
    return text;
}
