/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h - hex, base64 and times as text.
 *
 * What for:  the encodings that the Velero contract and kopia's format use.
 * Ownership: caller's buffers.
 * Threads:   none shared.    Blocking: never.
 * Errors:    CORRUPT with what was wrong (never the whole input: it may be a secret).
 * Source:    RFC 4648 (base64, padded), RFC 3339 (times), Go's duration syntax.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

enum { XB_TIME_TEXT_BYTES = 40 };

/* Lower-case hex and a NUL: out has room for 2*len+1. */
void xb_hex_encode(const void *data, size_t len, char *out);
/* Exactly `text_len` digits (even, lower or upper case) into text_len/2 bytes. */
int xb_hex_decode(const char *text, size_t text_len, void *out, struct xb_error *err) XB_MUST_CHECK;

/* Appends; standard alphabet with padding, no line breaks. */
int xb_base64_encode(const void *data, size_t len, struct xb_buf *out,
                     struct xb_error *err) XB_MUST_CHECK;
/* Appends the decoded bytes; strict (padding required, no white space). */
int xb_base64_decode(const char *text, size_t len, struct xb_buf *out,
                     struct xb_error *err) XB_MUST_CHECK;

/* As Go's time.RFC3339Nano in UTC: fraction without trailing zeros, "Z". */
void xb_time_format(int64_t ns, char out[XB_TIME_TEXT_BYTES]);
/* As Kubernetes' metav1.Time: whole seconds. */
void xb_time_format_seconds(int64_t ns, char out[XB_TIME_TEXT_BYTES]);
/* As Kubernetes' metav1.MicroTime: exactly six digits of fraction. */
void xb_time_format_micro(int64_t ns, char out[XB_TIME_TEXT_BYTES]);
/* Any RFC 3339 time with zone; up to 9 digits of fraction; CORRUPT outside int64 ns (1677..2262).
 */
int xb_time_parse(const char *text, int64_t *ret_ns, struct xb_error *err) XB_MUST_CHECK;
/* The quick way for what xb_time_format writes, which need not end with a NUL. False: anything
 * else, which may still be a time. */
bool xb_time_read(const char *text, size_t len, int64_t *ret_ns);

/* Go's duration text ("4h0m0s", "1.5h", "250ms"); INVALID when malformed or out of range. */
int xb_duration_parse(const char *text, int64_t *ret_ns, struct xb_error *err) XB_MUST_CHECK;
/* "10m0s", as Go prints it. */
void xb_duration_format(int64_t ns, char out[XB_TIME_TEXT_BYTES]);

/* Whether the bytes are valid UTF-8 (no surrogates, no overlongs, <= U+10FFFF). */
bool xb_utf8_valid(const char *text, size_t len);
