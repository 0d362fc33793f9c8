/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h - the log of one backup or restore, as `velero backup logs` shows it, with its warnings and
 * errors counted and kept.
 *
 * What for:  contract section 2: `<b>-logs.gz` holds lines `time=... level=... msg=...`;
 *            `<b>-results.gz` holds the warnings and errors by velero, cluster and namespace; every
 *            error line makes the backup PartiallyFailed.
 * Ownership: the caller owns the log; freeing it removes its scratch file.
 * Threads:   any.    Blocking: yes (scratch disk).
 * Limits:    a line <= XB_RECORD_LINE_BYTES_MAX, the file <= XB_RECORD_LOG_BYTES_MAX (then one line
 *            says that the rest was dropped), results <= XB_RECORD_RESULTS_MAX each (all are
 *            counted).
 * Errors:    writing a line never fails its caller: a full scratch disk is remembered and reported
 *            by xb_record_log_finish.
 */
#pragma once

#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/codec/json.h"

enum {
    XB_RECORD_LINE_BYTES_MAX = 4096,
    XB_RECORD_LOG_BYTES_MAX = 256 * 1024 * 1024,
    XB_RECORD_RESULTS_MAX = 10000,
    XB_RECORD_KEPT_MAX = 256
};

enum xb_record_level { XB_RECORD_INFO, XB_RECORD_WARNING, XB_RECORD_ERROR };

struct xb_record_log;

int xb_record_log_new(const char *path, struct xb_record_log **ret,
                      struct xb_error *err) XB_MUST_CHECK;

/* Adds a line. `namespace` "" means cluster scope, NULL that the line is about no resource
 * ("velero" in the results). */
void xb_record_log_line(struct xb_record_log *log, enum xb_record_level level,
                        const char *namespace, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Lines that stay together in the log although others write to it at the same time: kept until they
 * are put into it in one go. All zeros is empty. */
struct xb_record_lines {
    struct xb_record_kept *first, **end;
    size_t count;
};
/* Beyond XB_RECORD_KEPT_MAX lines the last one says that the rest was left out. */
void xb_record_lines_add(struct xb_record_lines *lines, enum xb_record_level level,
                         const char *namespace, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Writes and forgets them. */
void xb_record_lines_put(struct xb_record_lines *lines, struct xb_record_log *log);
void xb_record_lines_free(struct xb_record_lines *lines);

uint64_t xb_record_log_warnings(struct xb_record_log *log);
uint64_t xb_record_log_errors(struct xb_record_log *log);

/* The document of <b>-results.gz. The caller puts it. */
xb_json *xb_record_log_results(struct xb_record_log *log);

/* Flushes; says if any line was lost. The path stays readable until the log is freed. */
int xb_record_log_finish(struct xb_record_log *log, struct xb_error *err) XB_MUST_CHECK;
const char *xb_record_log_path(const struct xb_record_log *log);

void xb_record_log_free(struct xb_record_log *log);
XB_DEFINE_CLEANUP(xb_record_log_freep, struct xb_record_log, xb_record_log_free);
