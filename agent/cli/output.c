/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { PLAIN_EVERY_S = 10 };

static int exit_status(const struct xb_error *err)
{
    return err->kind == XB_ERR_CORRUPT     ? XB_EXIT_DAMAGED
           : err->kind == XB_ERR_CANCELLED ? XB_EXIT_INTERRUPTED
                                           : XB_EXIT_FAILED;
}

int xb_cli_fail(const struct xb_cli_common *common, const struct xb_error *err)
{
    if (common->json) {
        xb_json *json = json_object_new_object();
        xb_json *error = json_object_new_object();
        json_object_object_add(error, "kind",
                               json_object_new_string(xb_error_kind_name(err->kind)));
        json_object_object_add(error, "text", json_object_new_string(err->text));
        json_object_object_add(json, "error", error);
        xb_cli_print_json(json);
    }
    fprintf(stderr, "xebec: ");
    xb_cli_print_name(stderr, err->kind == XB_ERR_CANCELLED ? "interrupted" : err->text);
    fprintf(stderr, "\n");
    return exit_status(err);
}

int xb_cli_finish(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return status;
    }
    fprintf(stderr, "xebec: standard output did not take the whole answer\n");
    return status == XB_EXIT_OK ? XB_EXIT_FAILED : status;
}

/* How many of the next few bytes are UTF-8. */
static size_t valid_bytes(const char *text)
{
    size_t len = strnlen(text, 4);
    while (len > 0 && !xb_utf8_valid(text, len)) {
        len--;
    }
    return len;
}

void xb_cli_add_count(xb_json *json, const char *key, uint64_t value)
{
    json_object_object_add(json, key, json_object_new_int64((int64_t)value));
}

static void add_text(xb_json *json, const char *key, const char *value)
{
    json_object_object_add(json, key, json_object_new_string(value ? value : ""));
}

xb_json *xb_cli_device_json(const struct xb_snapshot_device *device)
{
    if (!device) {
        return NULL;
    }
    xb_json *json = json_object_new_object();
    add_text(json, "kind", device->block ? "block" : "image");
    xb_cli_add_count(json, "size", device->bytes);
    xb_cli_add_count(json, "sectorSize", device->sector_bytes);
    xb_cli_add_count(json, "freeBytes", device->free_bytes);
    add_text(json, "type", device->type);
    add_text(json, "label", device->label);
    add_text(json, "uuid", device->uuid);
    add_text(json, "table", device->table);
    return json;
}

void xb_cli_print_json(xb_json *json)
{
    /* A name may be any bytes, JSON may not: what is no text becomes U+FFFD. */
    for (const char *text = json_object_to_json_string_ext(
             json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
         *text;) {
        size_t len = valid_bytes(text);
        printf("%.*s", len ? (int)len : 6, len ? text : "\\ufffd");
        text += len ? len : 1;
    }
    printf("\n");
    json_object_put(json);
}

void xb_cli_print_message(const char *path, const char *text)
{
    fprintf(stderr, "  ");
    xb_cli_print_name(stderr, path);
    fprintf(stderr, ": ");
    xb_cli_print_name(stderr, text);
    fprintf(stderr, "\n");
}

const char *xb_cli_size(uint64_t bytes, char out[XB_CLI_TEXT_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    size_t unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out, XB_CLI_TEXT_BYTES, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
             units[unit]);
    return out;
}

const char *xb_cli_time(int64_t ns, char out[XB_CLI_TEXT_BYTES])
{
    time_t seconds = (time_t)(ns / XB_NS_PER_S);
    struct tm parts;
    if (!localtime_r(&seconds, &parts) ||
        strftime(out, XB_CLI_TEXT_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        snprintf(out, XB_CLI_TEXT_BYTES, "?");
    }
    return out;
}

void xb_cli_print_name(FILE *out, const char *name)
{
    size_t len = strlen(name);
    bool text = xb_utf8_valid(name, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c < 32 || c == 127 || c == '\\' || (c >= 128 && !text)) {
            fprintf(out, "\\x%02x", c);
        } else {
            putc(c, out);
        }
    }
}

void xb_cli_progress_begin(struct xb_cli_progress *progress, const struct xb_cli_common *common,
                           const char *verb)
{
    bool terminal = isatty(STDERR_FILENO) == 1;
    *progress =
        (struct xb_cli_progress){.wanted = !common->no_progress && (terminal || !common->json),
                                 .terminal = terminal,
                                 .started_ns = xb_clock_mono_ns(),
                                 .said_ns = xb_clock_mono_ns(),
                                 .verb = verb};
}

static void describe(const struct xb_cli_progress *progress, const struct xb_cli_amount *amount,
                     char *out, size_t size)
{
    char done[XB_CLI_TEXT_BYTES];
    char total[XB_CLI_TEXT_BYTES];
    char rate[XB_CLI_TEXT_BYTES];
    double seconds = (double)(xb_clock_mono_ns() - progress->started_ns) / 1e9;
    uint64_t per_second = seconds > 0.2 ? (uint64_t)((double)amount->bytes_done / seconds) : 0;
    xb_cli_size(amount->bytes_done, done);
    xb_cli_size(amount->bytes_total, total);
    xb_cli_size(per_second, rate);
    bool known = amount->bytes_total >= amount->bytes_done && amount->bytes_total > 0;
    if (known) {
        unsigned percent =
            (unsigned)(100.0 * (double)amount->bytes_done / (double)amount->bytes_total);
        snprintf(out, size, "%s: %3u %%  %s of %s, %" PRIu64 " files, %s/s", progress->verb,
                 percent, done, total, amount->files_done, rate);
    } else {
        snprintf(out, size, "%s: %s, %" PRIu64 " files, %s/s", progress->verb, done,
                 amount->files_done, rate);
    }
}

void xb_cli_progress_show(struct xb_cli_progress *progress, const struct xb_cli_amount *amount)
{
    enum { BAR_WIDTH = 24, LINE_BYTES = 256 };
    char line[LINE_BYTES];
    int64_t now = xb_clock_mono_ns();
    if (!progress->wanted ||
        (!progress->terminal && now - progress->said_ns < PLAIN_EVERY_S * XB_NS_PER_S)) {
        return;
    }
    progress->said_ns = now;
    describe(progress, amount, line, sizeof line);
    if (!progress->terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    char bar[BAR_WIDTH + 1];
    double part =
        amount->bytes_total ? (double)amount->bytes_done / (double)amount->bytes_total : 0;
    int full = (int)(part * BAR_WIDTH);
    full = full > BAR_WIDTH ? BAR_WIDTH : full;
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)full);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r[%s] %s\033[K", bar, line);
    fflush(stderr);
    progress->shown = true;
}

void xb_cli_progress_end(struct xb_cli_progress *progress)
{
    if (progress->shown) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
    }
}
