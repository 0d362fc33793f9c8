/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { NAMESPACE_BYTES_MAX = 255 };

struct xb_record_log {
    pthread_mutex_t lock;
    char *path;
    FILE *file;
    uint64_t bytes, counts[3];
    int failed_errno;
    xb_json *results; /* {"warnings":{...},"errors":{...}} */
};

int xb_record_log_new(const char *path, struct xb_record_log **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_record_log_freep) struct xb_record_log *log = calloc(1, sizeof *log);
    if (!log) {
        return xb_error_no_memory(err, "a log");
    }
    pthread_mutex_init(&log->lock, NULL);
    log->path = strdup(path);
    log->results = json_object_new_object();
    if (!log->path || !log->results) {
        return xb_error_no_memory(err, "a log");
    }
    log->file = fopen(path, "we");
    if (!log->file) {
        return xb_error_errno(err, errno, "cannot create %s", path);
    }
    int r = xb_json_set(log->results, "warnings", json_object_new_object(), err);
    if (r == 0) {
        r = xb_json_set(log->results, "errors", json_object_new_object(), err);
    }
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(log);
    return 0;
}

/* The list that a result belongs to: velero, cluster, or namespaces.<ns>; made on first use. */
static xb_json *result_list(xb_json *result, const char *namespace)
{
    xb_json *parent = result;
    const char *key = namespace ? "cluster" : "velero";
    if (namespace && namespace[0]) {
        if (!json_object_object_get_ex(result, "namespaces", &parent)) {
            parent = json_object_new_object();
            json_object_object_add(result, "namespaces", parent);
        }
        key = namespace;
    }
    xb_json *list = NULL;
    if (!json_object_object_get_ex(parent, key, &list)) {
        list = json_object_new_array();
        json_object_object_add(parent, key, list);
    }
    return list;
}

static void keep_result(struct xb_record_log *log, enum xb_record_level level,
                        const char *namespace, const char *text)
{
    if (level == XB_RECORD_INFO || log->counts[level] > XB_RECORD_RESULTS_MAX) {
        return;
    }
    xb_json *result = xb_json_get(log->results, level == XB_RECORD_ERROR ? "errors" : "warnings");
    json_object_array_add(result_list(result, namespace), json_object_new_string(text));
}

static void write_line(struct xb_record_log *log, const char *line, size_t len)
{
    if (log->bytes >= XB_RECORD_LOG_BYTES_MAX) {
        return;
    }
    log->bytes += len;
    if (log->bytes >= XB_RECORD_LOG_BYTES_MAX) {
        line = "level=warning msg=\"this log is full, further lines are left out\"\n";
        len = strlen(line);
    }
    if (fwrite(line, 1, len, log->file) != len && log->failed_errno == 0) {
        log->failed_errno = errno;
    }
}

/* A namespace may come out of somebody else's archive: quoted unless it is a plain word. */
static int append_namespace(const char *namespace, struct xb_buf *out, struct xb_error *err)
{
    size_t len = strnlen(namespace, NAMESPACE_BYTES_MAX);
    int r = xb_buf_append_str(out, " namespace=", err);
    if (r < 0) {
        return r;
    }
    return namespace[strspn(namespace, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-._")]
               ? xb_json_go_string(out, namespace, len, err)
               : xb_buf_append(out, namespace, len, err);
}

/* Quoted as logrus quotes: one line, whatever the text holds. */
static void format_line(enum xb_record_level level, const char *namespace, const char *text,
                        struct xb_buf *out)
{
    static const char *const names[] = {"info", "warning", "error"};
    struct xb_error ignored = XB_ERROR_INIT;
    char now[XB_TIME_TEXT_BYTES];
    xb_time_format_seconds(xb_clock_wall_ns(), now);
    int r = xb_buf_printf(out, &ignored, "time=\"%s\" level=%s msg=", now, names[level]);
    if (r == 0) {
        r = xb_json_go_string(out, text, strlen(text), &ignored);
    }
    if (r == 0 && namespace && namespace[0]) {
        r = append_namespace(namespace, out, &ignored);
    }
    if (r == 0) {
        r = xb_buf_append(out, "\n", 1, &ignored);
    }
    (void)r; /* the buffer holds six times the longest texts */
}

/* With the lock held. */
static void add_line(struct xb_record_log *log, enum xb_record_level level, const char *namespace,
                     const char *text)
{
    struct xb_buf line = XB_BUF_INIT(6 * (XB_RECORD_LINE_BYTES_MAX + NAMESPACE_BYTES_MAX) + 1024);
    format_line(level, namespace, text, &line);
    log->counts[level]++;
    keep_result(log, level, namespace, text);
    if (line.len > 0) {
        write_line(log, line.data, line.len);
    }
    xb_buf_free(&line);
}

void xb_record_log_line(struct xb_record_log *log, enum xb_record_level level,
                        const char *namespace, const char *format, ...)
{
    char text[XB_RECORD_LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&log->lock);
    add_line(log, level, namespace, text);
    pthread_mutex_unlock(&log->lock);
}

/* ---- lines that stay together ---- */

struct xb_record_kept {
    struct xb_record_kept *next;
    enum xb_record_level level;
    const char *namespace; /* after the text; NULL: none */
    char text[];
};

void xb_record_lines_add(struct xb_record_lines *lines, enum xb_record_level level,
                         const char *namespace, const char *format, ...)
{
    char text[XB_RECORD_LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (lines->count >= XB_RECORD_KEPT_MAX) {
        return;
    }
    if (lines->count == XB_RECORD_KEPT_MAX - 1) {
        level = XB_RECORD_WARNING;
        snprintf(text, sizeof text, "there is more to say than %d lines; the rest is left out",
                 XB_RECORD_KEPT_MAX - 1);
    }
    size_t len = strlen(text) + 1;
    size_t extra = namespace ? strlen(namespace) + 1 : 0;
    struct xb_record_kept *kept = malloc(sizeof *kept + len + extra);
    if (!kept) {
        return;
    }
    *kept = (struct xb_record_kept){.level = level};
    memcpy(kept->text, text, len);
    if (namespace) {
        kept->namespace = memcpy(kept->text + len, namespace, extra);
    }
    *(lines->end ? lines->end : &lines->first) = kept;
    lines->end = &kept->next;
    lines->count++;
}

void xb_record_lines_put(struct xb_record_lines *lines, struct xb_record_log *log)
{
    pthread_mutex_lock(&log->lock);
    for (const struct xb_record_kept *kept = lines->first; kept; kept = kept->next) {
        add_line(log, kept->level, kept->namespace, kept->text);
    }
    pthread_mutex_unlock(&log->lock);
    xb_record_lines_free(lines);
}

void xb_record_lines_free(struct xb_record_lines *lines)
{
    for (struct xb_record_kept *kept = lines->first; kept;) {
        struct xb_record_kept *next = kept->next;
        free(kept);
        kept = next;
    }
    *lines = (struct xb_record_lines){.first = NULL};
}

/* ---- what is known of it ---- */

uint64_t xb_record_log_warnings(struct xb_record_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t count = log->counts[XB_RECORD_WARNING];
    pthread_mutex_unlock(&log->lock);
    return count;
}

uint64_t xb_record_log_errors(struct xb_record_log *log)
{
    pthread_mutex_lock(&log->lock);
    uint64_t count = log->counts[XB_RECORD_ERROR];
    pthread_mutex_unlock(&log->lock);
    return count;
}

xb_json *xb_record_log_results(struct xb_record_log *log)
{
    pthread_mutex_lock(&log->lock);
    xb_json *results = json_object_get(log->results);
    pthread_mutex_unlock(&log->lock);
    return results;
}

int xb_record_log_finish(struct xb_record_log *log, struct xb_error *err)
{
    pthread_mutex_lock(&log->lock);
    if (fflush(log->file) != 0 && log->failed_errno == 0) {
        log->failed_errno = errno;
    }
    int failed = log->failed_errno;
    pthread_mutex_unlock(&log->lock);
    return failed ? xb_error_errno(err, failed, "cannot write the log %s", log->path) : 0;
}

const char *xb_record_log_path(const struct xb_record_log *log)
{
    return log->path;
}

void xb_record_log_free(struct xb_record_log *log)
{
    if (!log) {
        return;
    }
    if (log->file) {
        fclose(log->file);
        unlink(log->path);
    }
    if (log->results) {
        json_object_put(log->results);
    }
    pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
}
