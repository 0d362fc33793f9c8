/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - one line per event on stderr.
 *
 * What for:  daemons log JSON lines (time, level, component, msg and the pairs given); command-line
 *            programs log plain text.
 * Shapes:    pairs are alternating keys and string values, ended by NULL; values are escaped, so
 *            hostile bytes cannot forge a line. Lines longer than XB_LOG_LINE_BYTES are cut.
 * Threads:   any; one write(2) per line.    Blocking: as stderr does.
 * Rules:     shared/ logs at debug only; the function that ends an error logs it, once; secrets are
 *            never passed.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/error.h"

enum { XB_LOG_LINE_BYTES = 8192 };

enum xb_log_level { XB_LOG_DEBUG, XB_LOG_INFO, XB_LOG_WARNING, XB_LOG_ERROR };

enum xb_log_format { XB_LOG_TEXT, XB_LOG_JSON };

/* Call once, before threads. `component` must live as long as the process. */
void xb_log_setup(const char *component, enum xb_log_level level, enum xb_log_format format);

/* Parses "debug", "info", "warning" ("warn"), "error"; false for anything else. */
bool xb_log_level_parse(const char *text, enum xb_log_level *ret);

void xb_log(enum xb_log_level level, const char *msg, ...) __attribute__((sentinel));

/* xb_log with "error" and "kind" taken from `err`. */
void xb_log_err(enum xb_log_level level, const struct xb_error *err, const char *msg, ...)
    __attribute__((sentinel));

#define xb_log_debug(...) xb_log(XB_LOG_DEBUG, __VA_ARGS__, (char *)NULL)
#define xb_log_info(...) xb_log(XB_LOG_INFO, __VA_ARGS__, (char *)NULL)
#define xb_log_warning(...) xb_log(XB_LOG_WARNING, __VA_ARGS__, (char *)NULL)
#define xb_log_error(err, ...) xb_log_err(XB_LOG_ERROR, err, __VA_ARGS__, (char *)NULL)
