/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/base/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"

static struct {
    const char *component;
    enum xb_log_level level;
    enum xb_log_format format;
} settings = {"xebec", XB_LOG_INFO, XB_LOG_TEXT};

struct line {
    char text[XB_LOG_LINE_BYTES];
    size_t len;
};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

void xb_log_setup(const char *component, enum xb_log_level level, enum xb_log_format format)
{
    settings.component = component;
    settings.level = level;
    settings.format = format;
}

bool xb_log_level_parse(const char *text, enum xb_log_level *ret)
{
    if (strcmp(text, "warn") == 0) {
        text = "warning";
    }
    for (int i = 0; i <= XB_LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (enum xb_log_level)i;
            return true;
        }
    }
    return false;
}

static void line_put(struct line *line, const char *text, size_t len)
{
    size_t room = sizeof line->text - 8 - line->len; /* the end of the line always fits */
    if (len > room) {
        len = room;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
}

static void line_puts(struct line *line, const char *text)
{
    line_put(line, text, strlen(text));
}

/* Escapes what could end a JSON string or a line. Bytes >= 0x80 pass: the text is UTF-8 or is shown
 * as it is. */
static void line_escaped(struct line *line, const char *text)
{
    for (const char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        char escape[8];
        if (byte == '"' || byte == '\\') {
            snprintf(escape, sizeof escape, "\\%c", byte);
            line_puts(line, escape);
        } else if (byte < 0x20 || byte == 0x7f) {
            snprintf(escape, sizeof escape, "\\u%04x", byte);
            line_puts(line, escape);
        } else {
            line_put(line, c, 1);
        }
    }
}

static void line_pair(struct line *line, const char *key, const char *value)
{
    if (settings.format == XB_LOG_JSON) {
        line_puts(line, ",\"");
        line_escaped(line, key);
        line_puts(line, "\":\"");
        line_escaped(line, value ? value : "");
        line_puts(line, "\"");
    } else {
        line_puts(line, "  ");
        line_puts(line, key);
        line_puts(line, "=");
        line_escaped(line, value ? value : "");
    }
}

static void line_start(struct line *line, enum xb_log_level level, const char *msg)
{
    if (settings.format == XB_LOG_TEXT) {
        line_puts(line, settings.component);
        line_puts(line, ": ");
        if (level != XB_LOG_INFO) {
            line_puts(line, level_names[level]);
            line_puts(line, ": ");
        }
        line_escaped(line, msg);
        return;
    }
    int64_t now = xb_clock_wall_ns();
    time_t seconds = (time_t)(now / XB_NS_PER_S);
    struct tm tm;
    char ts[40];
    gmtime_r(&seconds, &tm);
    size_t len = strftime(ts, sizeof ts, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ts + len, sizeof ts - len, ".%03dZ", (int)(now % XB_NS_PER_S / XB_NS_PER_MS));
    line_puts(line, "{\"time\":\"");
    line_puts(line, ts);
    line_puts(line, "\",\"level\":\"");
    line_puts(line, level_names[level]);
    line_puts(line, "\",\"component\":\"");
    line_escaped(line, settings.component);
    line_puts(line, "\",\"msg\":\"");
    line_escaped(line, msg);
    line_puts(line, "\"");
}

static void line_pairs(struct line *line, va_list args)
{
    const char *key;
    while ((key = va_arg(args, const char *)) != NULL) {
        const char *value = va_arg(args, const char *);
        line_pair(line, key, value);
    }
}

static void line_end(struct line *line)
{
    line_puts(line, settings.format == XB_LOG_JSON ? "}\n" : "\n");
    if (line->text[line->len - 1] != '\n') { /* cut: close it so that the next line is whole */
        const char *end = settings.format == XB_LOG_JSON ? "\"}\n" : "...\n";
        memcpy(line->text + line->len, end, strlen(end));
        line->len += strlen(end);
    }
    ssize_t ignored = write(STDERR_FILENO, line->text, line->len);
    (void)ignored; /* nowhere to report a failing stderr */
}

void xb_log(enum xb_log_level level, const char *msg, ...)
{
    if (level < settings.level) {
        return;
    }
    struct line line = {.len = 0};
    line_start(&line, level, msg);
    va_list args;
    va_start(args, msg);
    line_pairs(&line, args);
    va_end(args);
    line_end(&line);
}

void xb_log_err(enum xb_log_level level, const struct xb_error *err, const char *msg, ...)
{
    if (level < settings.level) {
        return;
    }
    struct line line = {.len = 0};
    line_start(&line, level, msg);
    va_list args;
    va_start(args, msg);
    line_pairs(&line, args);
    va_end(args);
    line_pair(&line, "error", err->text);
    line_pair(&line, "kind", xb_error_kind_name(err->kind));
    line_end(&line);
}
