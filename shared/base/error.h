/* SPDX-License-Identifier: Apache-2.0
 *
 * error.h - the one way in which functions of this project fail.
 *
 * What for:  a function that can fail returns 0, or a negative errno and a filled `struct
 *            xb_error`. The text tells an operator what was tried, on which thing, and what to do;
 *            `kind` tells a caller how to go on.
 * Ownership: a value on the caller's stack. Failing never allocates.
 * Threads:   none shared.    Blocking: never.
 * Rules:     `err` is the last parameter, never NULL, untouched on success. Control flow branches
 *            on `kind`, never on text. The function that ends an error logs it, once.
 */
#pragma once

#include <stdarg.h>

#define XB_MUST_CHECK __attribute__((warn_unused_result))
#define XB_PRINTF(a, b) __attribute__((format(printf, a, b)))

enum { XB_ERROR_TEXT_BYTES = 600 };

/* What a caller may do about a failure; chosen where the fault is born. */
enum xb_error_kind {
    XB_ERR_NONE = 0,
    XB_ERR_RETRY,     /* passing: the same call may succeed later */
    XB_ERR_DENIED,    /* no permission, wrong password, wrong credentials */
    XB_ERR_NOT_FOUND, /* the named thing does not exist */
    XB_ERR_CONFLICT,  /* somebody else changed or made it first */
    XB_ERR_CORRUPT,   /* bytes from outside are not what they must be */
    XB_ERR_CANCELLED, /* asked to stop */
    XB_ERR_INVALID,   /* the caller or user asked for something that makes no sense */
    XB_ERR_FULL,      /* no space, or a named limit reached */
    XB_ERR_IO,        /* the operating system refused */
    XB_ERR_BUG        /* cannot happen */
};

struct xb_error {
    int code; /* negative errno */
    enum xb_error_kind kind;
    char text[XB_ERROR_TEXT_BYTES];
};

/* An empty error, for a local: `struct xb_error err = XB_ERROR_INIT;` */
#define XB_ERROR_INIT                                                                              \
    {                                                                                              \
        .code = 0                                                                                  \
    }

/* Fills `err` and returns `code` (which must be negative). */
int xb_error_set(struct xb_error *err, enum xb_error_kind kind, int code, const char *format, ...)
    XB_PRINTF(4, 5);

/* Fills `err` from `errno_value` (positive, as in errno): kind by its meaning (ENOSPC: FULL,
 * EACCES: DENIED, ENOENT: NOT_FOUND, EEXIST: CONFLICT, EAGAIN, EINTR, ETIMEDOUT: RETRY, else IO),
 * text "<format>: <strerror>". Returns -errno_value. */
int xb_error_errno(struct xb_error *err, int errno_value, const char *format, ...) XB_PRINTF(3, 4);

/* Puts "<format>: " before the text, keeps code and kind, and returns the code. For adding the
 * story on the way up. */
int xb_error_wrap(struct xb_error *err, const char *format, ...) XB_PRINTF(2, 3);

/* Like xb_error_set with -ENOMEM. */
int xb_error_no_memory(struct xb_error *err, const char *what);

/* A short stable word for a kind ("retry", "corrupt", ...), for logs and --json. */
const char *xb_error_kind_name(enum xb_error_kind kind);
