/* SPDX-License-Identifier: Apache-2.0
 *
 * secret.h - bytes that must not outlive their use: passwords, keys, tokens.
 *
 * What for:  a holder that is zeroed when freed, is kept out of core dumps where the kernel allows
 *            it, and has no print function.
 * Ownership: the caller owns the pointer; free with xb_secret_free (NULL is fine).
 * Threads:   read-only after creation.    Blocking: reading a file blocks.
 * Limits:    XB_SECRET_BYTES_MAX bytes.
 */
#pragma once

#include <stddef.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_SECRET_BYTES_MAX = 65536 };

struct xb_secret {
    size_t len;
    unsigned char *data; /* a NUL byte follows, not counted */
};

int xb_secret_new(const void *data, size_t len, struct xb_secret **ret,
                  struct xb_error *err) XB_MUST_CHECK;

/* Reads a whole file and drops trailing white space, as Velero does with its password Secret
 * (contract, section 6). */
int xb_secret_from_file(const char *path, struct xb_secret **ret,
                        struct xb_error *err) XB_MUST_CHECK;

/* Asks at the terminal with echo off; DENIED when there is no terminal. */
int xb_secret_from_prompt(const char *prompt, struct xb_secret **ret,
                          struct xb_error *err) XB_MUST_CHECK;

void xb_secret_free(struct xb_secret *secret);
XB_DEFINE_CLEANUP(xb_secret_freep, struct xb_secret, xb_secret_free);
