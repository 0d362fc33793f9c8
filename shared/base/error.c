/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int xb_error_set(struct xb_error *err, enum xb_error_kind kind, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->kind = kind;
    err->code = code < 0 ? code : -EINVAL;
    return err->code;
}

static enum xb_error_kind kind_of_errno(int errno_value)
{
    switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
        return XB_ERR_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return XB_ERR_DENIED;
    case ENOENT:
    case ENOTDIR:
        return XB_ERR_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return XB_ERR_CONFLICT;
    case EAGAIN:
    case EINTR:
    case ETIMEDOUT:
        return XB_ERR_RETRY;
    default:
        return XB_ERR_IO;
    }
}

int xb_error_errno(struct xb_error *err, int errno_value, const char *format, ...)
{
    char what[XB_ERROR_TEXT_BYTES / 2];
    char reason[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const char *said = strerror_r(errno_value, reason, sizeof reason);
    return xb_error_set(err, kind_of_errno(errno_value), -errno_value, "%s: %s", what, said);
}

int xb_error_wrap(struct xb_error *err, const char *format, ...)
{
    char story[XB_ERROR_TEXT_BYTES];
    char before[XB_ERROR_TEXT_BYTES / 3];
    va_list args;
    va_start(args, format);
    vsnprintf(before, sizeof before, format, args);
    va_end(args);
    memcpy(story, err->text, sizeof story);
    story[sizeof story - 1] = '\0';
    /* The end of the chain says the cause: cut the story in the middle rather than lose it. */
    snprintf(err->text, sizeof err->text, "%s: %.*s", before,
             (int)(sizeof err->text - sizeof before - 3), story);
    return err->code;
}

int xb_error_no_memory(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_FULL, -ENOMEM, "out of memory for %s", what);
}

const char *xb_error_kind_name(enum xb_error_kind kind)
{
    static const char *const names[] = {
        [XB_ERR_NONE] = "none",
        [XB_ERR_RETRY] = "retry",
        [XB_ERR_DENIED] = "denied",
        [XB_ERR_NOT_FOUND] = "not-found",
        [XB_ERR_CONFLICT] = "conflict",
        [XB_ERR_CORRUPT] = "corrupt",
        [XB_ERR_CANCELLED] = "cancelled",
        [XB_ERR_INVALID] = "invalid",
        [XB_ERR_FULL] = "full",
        [XB_ERR_IO] = "io",
        [XB_ERR_BUG] = "bug",
    };
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "unknown";
}
