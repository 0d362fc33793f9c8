/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/point_in_time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"

static const char *const consistencies[XB_CONSISTENCIES] = {"fuzzy", "per-file", "crash"};

const char *xb_consistency_name(enum xb_consistency consistency)
{
    return consistencies[consistency];
}

/* ---- reading ---- */

static int invalid(struct xb_error *err, const char *what)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "annotation " XB_POINT_IN_TIME_ANNOTATION ": %s", what);
}

/* The annotation's text; NULL: there is none. */
static const char *annotation(xb_json *order, const char *key, size_t *ret_len)
{
    xb_json *value = NULL;
    (void)json_object_object_get_ex(xb_json_get(order, "metadata.annotations"), key, &value);
    if (!json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    *ret_len = (size_t)json_object_get_string_len(value);
    return json_object_get_string(value);
}

static bool is_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9');
        if (!letter && !(text[i] == '-' && i > 0)) {
            return false;
        }
    }
    return len > 0;
}

/* Into a field of `size` bytes, cut between characters; what a log could not show becomes '?'. */
static void put_words(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    bool valid = xb_utf8_valid(text, len);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        out[i] = byte < ' ' || byte == 0x7f || (byte >= 0x80 && !valid) ? '?' : text[i];
    }
    out[len] = '\0';
}

static int read_texts(xb_json *json, struct xb_point_in_time *point, struct xb_error *err)
{
    const char *method = xb_json_str(json, "method", "");
    const char *consistency = xb_json_str(json, "consistency", "");
    size_t len = strlen(method);
    size_t at = 0;
    while (at < XB_CONSISTENCIES && strcmp(consistencies[at], consistency) != 0) {
        at++;
    }
    if (at == XB_CONSISTENCIES) {
        return invalid(err, "consistency is none of crash, per-file and fuzzy");
    }
    if (len >= sizeof point->method || !is_word(method, len)) {
        return invalid(err, "method is no name of one");
    }
    point->consistency = (enum xb_consistency)at;
    put_words(point->method, sizeof point->method, method);
    put_words(point->reason, sizeof point->reason, xb_json_str(json, "reason", ""));
    put_words(point->problem, sizeof point->problem, xb_json_str(json, "problem", ""));
    return 0;
}

static int read_numbers(xb_json *json, struct xb_point_in_time *point, struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    point->held_us = -1;
    if (xb_time_parse(xb_json_str(json, "time", ""), &point->time_ns, &why) < 0) {
        return invalid(err, "time is none");
    }
    if (xb_json_need_int(json, "copyMicroseconds", true, &point->copy_us, &why) < 0 ||
        xb_json_need_int(json, "frozenMicroseconds", false, &point->frozen_us, &why) < 0 ||
        xb_json_need_int(json, "heldMicroseconds", false, &point->held_us, &why) < 0 ||
        xb_json_need_int(json, "changedFiles", false, &point->changed_files, &why) < 0) {
        return invalid(err, why.text);
    }
    if (point->copy_us < 0 || point->frozen_us < 0 || point->held_us < -1 ||
        point->changed_files < 0) {
        return invalid(err, "a number is negative");
    }
    return 0;
}

int xb_point_in_time_parse(xb_json *order, struct xb_point_in_time *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    struct xb_error why = XB_ERROR_INIT;
    struct xb_point_in_time point = {.changed_files = 0};
    size_t len = 0;
    const char *text = annotation(order, XB_POINT_IN_TIME_ANNOTATION, &len);
    if (!text) {
        return 0;
    }
    if (len > XB_POINT_IN_TIME_BYTES_MAX) {
        return invalid(err, "it is too long");
    }
    if (xb_json_parse(text, len, &json, &why) < 0 || !json_object_is_type(json, json_type_object)) {
        return invalid(err, why.code ? why.text : "want an object");
    }
    const char *uid = xb_json_str(json, "uid", "");
    if (!uid[0] || strlen(uid) >= sizeof point.uid) {
        return invalid(err, "uid is none");
    }
    if (strcmp(uid, xb_json_str(order, "metadata.uid", "")) != 0) {
        return 0;
    }
    put_words(point.uid, sizeof point.uid, uid);
    int r = read_texts(json, &point, err);
    if (r < 0 || (r = read_numbers(json, &point, err)) < 0) {
        return r;
    }
    *ret = point;
    return 1;
}

bool xb_point_in_time_fixed(xb_json *order)
{
    struct xb_point_in_time point;
    struct xb_error ignored = XB_ERROR_INIT;
    return xb_point_in_time_parse(order, &point, &ignored) > 0;
}

static bool says(xb_json *order, const char *key, const char *word)
{
    size_t len = 0;
    const char *text = annotation(order, key, &len);
    return text && strcmp(text, word) == 0;
}

bool xb_point_in_time_held(xb_json *order)
{
    return says(order, XB_HELD_ANNOTATION, "true");
}

bool xb_point_in_time_held_soon(xb_json *order)
{
    return says(order, XB_HELD_ANNOTATION, "soon");
}

bool xb_point_in_time_prepared(xb_json *order)
{
    const char *uid = xb_json_str(order, "metadata.uid", "");
    return uid[0] && says(order, XB_PREPARED_ANNOTATION, uid);
}

/* ---- writing ---- */

static void put_text(xb_json *json, const char *key, const char *text)
{
    char clean[XB_POINT_IN_TIME_WHY_BYTES];
    put_words(clean, sizeof clean, text);
    json_object_object_add(json, key, json_object_new_string(clean));
}

static void put_number(xb_json *json, const char *key, int64_t number)
{
    json_object_object_add(json, key, json_object_new_int64(number));
}

xb_json *xb_point_in_time_json(const struct xb_point_in_time *point)
{
    xb_json *json = json_object_new_object();
    char time[XB_TIME_TEXT_BYTES];
    xb_time_format_micro(point->time_ns, time);
    put_text(json, "uid", point->uid);
    put_text(json, "method", point->method);
    put_text(json, "consistency", xb_consistency_name(point->consistency));
    put_text(json, "time", time);
    put_number(json, "copyMicroseconds", point->copy_us);
    if (point->frozen_us > 0) {
        put_number(json, "frozenMicroseconds", point->frozen_us);
    }
    if (point->held_us >= 0) {
        put_number(json, "heldMicroseconds", point->held_us);
    }
    if (point->changed_files > 0) {
        put_number(json, "changedFiles", point->changed_files);
    }
    if (point->reason[0]) {
        put_text(json, "reason", point->reason);
    }
    if (point->problem[0]) {
        put_text(json, "problem", point->problem);
    }
    return json;
}

int xb_point_in_time_patch(const struct xb_point_in_time *point, xb_json **ret,
                           struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = xb_point_in_time_json(point);
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN |
                                                                JSON_C_TO_STRING_NOSLASHESCAPE);
    if (!text) {
        json_object_put(annotations);
        return xb_error_no_memory(err, "a volume's point in time");
    }
    json_object_object_add(annotations, XB_POINT_IN_TIME_ANNOTATION, json_object_new_string(text));
    int r = xb_json_set(patch, "metadata.annotations", annotations, err);
    if (r == 0) {
        *ret = XB_TAKE(patch);
    }
    return r;
}

/* ---- in words ---- */

static const char *words(enum xb_consistency consistency)
{
    static const char *const texts[XB_CONSISTENCIES] = {"fuzzy: files are of different moments",
                                                        "per-file: each file is of one moment",
                                                        "crash-consistent: all of one moment"};
    return texts[consistency];
}

void xb_point_in_time_say(const struct xb_point_in_time *point,
                          char out[XB_POINT_IN_TIME_TEXT_BYTES])
{
    char frozen[80] = "";
    char held[80] = "";
    char changed[80] = "";
    bool live = strcmp(point->method, XB_POINT_IN_TIME_LIVE) == 0;
    if (point->frozen_us > 0) {
        snprintf(frozen, sizeof frozen, "; its file system was frozen for %" PRId64 " us",
                 point->frozen_us);
    }
    if (point->held_us >= 0) {
        snprintf(held, sizeof held, "; the application was held for %" PRId64 " us",
                 point->held_us);
    }
    if (point->changed_files > 0) {
        snprintf(changed, sizeof changed,
                 "; %" PRId64 " files changed each time that they were read", point->changed_files);
    }
    snprintf(out, XB_POINT_IN_TIME_TEXT_BYTES, "%s %s in %" PRId64 " us (%s)%s%s%s%s%s",
             live ? "read" : "copied by", point->method, point->copy_us, words(point->consistency),
             frozen, held, changed, point->reason[0] ? "; no better method: " : "", point->reason);
}
