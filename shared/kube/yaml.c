/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/yaml.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

enum { NUMBER_BYTES_MAX = 64 };

struct reader {
    yaml_parser_t parser;
    unsigned nodes;
};

static int bad(const struct reader *reader, const yaml_mark_t *mark, const char *what,
               struct xb_error *err)
{
    (void)reader;
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "YAML line %zu, column %zu: %s",
                        mark->line + 1, mark->column + 1, what);
}

static int next_event(struct reader *reader, yaml_event_t *event, struct xb_error *err)
{
    if (yaml_parser_parse(&reader->parser, event)) {
        return 0;
    }
    const char *problem = reader->parser.problem ? reader->parser.problem : "not readable";
    memset(event, 0, sizeof *event);
    return bad(reader, &reader->parser.problem_mark, problem, err);
}

static bool word_in(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

/* An integer as Go writes its own: decimal, 0x, 0o, 0b, or octal with a leading zero. `text` has no
 * underscores. */
static bool read_integer(const char *text, int64_t *ret)
{
    const char *digits = text + (*text == '-' || *text == '+');
    int base = 10;
    if (digits[0] == '0' && digits[1]) {
        const char *mark = strchr("xXoObB", digits[1]);
        base = !mark ? 8 : strchr("xX", *mark) ? 16 : strchr("oO", *mark) ? 8 : 2;
        digits += mark ? 2 : 1;
    }
    if (!isxdigit((unsigned char)*digits)) {
        return false;
    }
    char *end = NULL;
    char signed_digits[NUMBER_BYTES_MAX + 2];
    snprintf(signed_digits, sizeof signed_digits, "%s%s", *text == '-' ? "-" : "", digits);
    errno = 0;
    *ret = strtoll(signed_digits, &end, base);
    return *end == '\0' && errno == 0;
}

static bool looks_like_float(const char *text)
{
    const char *c = text + (*text == '-' || *text == '+');
    size_t whole = strspn(c, "0123456789");
    size_t part = c[whole] == '.' ? strspn(c + whole + 1, "0123456789") : 0;
    c += whole + (c[whole] == '.') + part;
    if (whole + part > 0 && (*c == 'e' || *c == 'E')) {
        c += 1 + (c[1] == '-' || c[1] == '+');
        return *c && c[strspn(c, "0123456789")] == '\0';
    }
    return whole + part > 0 && *c == '\0';
}

/* Written as short as it can be read back, and an integer if it is one: as Go writes it. */
static xb_json *new_float(double real)
{
    char text[NUMBER_BYTES_MAX];
    if (real > -1e15 && real < 1e15 && (double)(int64_t)real == real) {
        return json_object_new_int64((int64_t)real);
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real) {
            break;
        }
    }
    return json_object_new_double_s(real, text);
}

static xb_json *resolve_number(const char *text, size_t len)
{
    char plain[NUMBER_BYTES_MAX + 1];
    size_t used = 0;
    if (len > NUMBER_BYTES_MAX || !strchr("+-.0123456789", *text)) {
        return NULL;
    }
    for (const char *c = text; *c; c++) {
        if (*c != '_') {
            plain[used++] = *c;
        }
    }
    plain[used] = '\0';
    int64_t integer = 0;
    if (read_integer(plain, &integer)) {
        return json_object_new_int64(integer);
    }
    double real = looks_like_float(plain) ? strtod(plain, NULL) : NAN;
    return isfinite(real) ? new_float(real) : NULL;
}

/* What a plain scalar means. */
static xb_json *resolve(const char *text, size_t len)
{
    static const char *const yes[] = {"true", "True", "TRUE", "y",  "Y",  "yes",
                                      "Yes",  "YES",  "on",   "On", "ON", NULL};
    static const char *const no[] = {"false", "False", "FALSE", "n",   "N",   "no",
                                     "No",    "NO",    "off",   "Off", "OFF", NULL};
    if (word_in(text, yes) || word_in(text, no)) {
        return json_object_new_boolean(word_in(text, yes));
    }
    xb_json *number = resolve_number(text, len);
    return number ? number : json_object_new_string_len(text, (int)len);
}

static bool is_null(const char *text)
{
    static const char *const nothing[] = {"", "~", "null", "Null", "NULL", NULL};
    return word_in(text, nothing);
}

static int read_scalar(struct reader *reader, const yaml_event_t *event, xb_json **ret,
                       struct xb_error *err)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        return bad(reader, &event->start_mark, "anchors and tags are not accepted", err);
    }
    if (strlen(text) != len) {
        return bad(reader, &event->start_mark, "a NUL byte", err);
    }
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && is_null(text)) {
        *ret = NULL;
        return 0;
    }
    *ret = plain ? resolve(text, len) : json_object_new_string_len(text, (int)len);
    return *ret ? 0 : xb_error_no_memory(err, "a YAML value");
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                     xb_json **ret, struct xb_error *err);

static int read_sequence(struct reader *reader, unsigned depth, xb_json *array,
                         struct xb_error *err)
{
    for (;;) {
        yaml_event_t event;
        xb_json *item = NULL;
        int r = next_event(reader, &event, err);
        bool end = r == 0 && event.type == YAML_SEQUENCE_END_EVENT;
        if (r == 0 && !end) {
            r = read_node(reader, &event, depth, &item, err);
        }
        yaml_event_delete(&event);
        if (r < 0 || end) {
            return r;
        }
        if (json_object_array_add(array, item) < 0) {
            json_object_put(item);
            return xb_error_no_memory(err, "a YAML list");
        }
    }
}

static int read_pair(struct reader *reader, const yaml_event_t *key_event, unsigned depth,
                     xb_json *object, struct xb_error *err)
{
    const char *key = (const char *)key_event->data.scalar.value;
    if (key_event->type != YAML_SCALAR_EVENT || key_event->data.scalar.anchor ||
        key_event->data.scalar.tag || strlen(key) != key_event->data.scalar.length) {
        return bad(reader, &key_event->start_mark, "a key must be plain text", err);
    }
    if (json_object_object_get_ex(object, key, NULL)) {
        char what[160];
        snprintf(what, sizeof what, "the key '%.100s' is there twice", key);
        return bad(reader, &key_event->start_mark, what, err);
    }
    yaml_event_t event;
    xb_json *value = NULL;
    int r = next_event(reader, &event, err);
    if (r == 0) {
        r = read_node(reader, &event, depth, &value, err);
    }
    yaml_event_delete(&event);
    if (r == 0 && json_object_object_add(object, key, value) < 0) {
        json_object_put(value);
        r = xb_error_no_memory(err, "a YAML mapping");
    }
    return r;
}

static int read_mapping(struct reader *reader, unsigned depth, xb_json *object,
                        struct xb_error *err)
{
    for (;;) {
        yaml_event_t event;
        int r = next_event(reader, &event, err);
        bool end = r == 0 && event.type == YAML_MAPPING_END_EVENT;
        if (r == 0 && !end) {
            r = read_pair(reader, &event, depth, object, err);
        }
        yaml_event_delete(&event);
        if (r < 0 || end) {
            return r;
        }
    }
}

static int read_node(struct reader *reader, const yaml_event_t *event, unsigned depth,
                     xb_json **ret, struct xb_error *err)
{
    if (depth == 0 || ++reader->nodes > XB_KUBE_YAML_NODES_MAX) {
        return bad(reader, &event->start_mark, "nested too deep, or too many values", err);
    }
    if (event->type == YAML_SCALAR_EVENT) {
        return read_scalar(reader, event, ret, err);
    }
    bool sequence = event->type == YAML_SEQUENCE_START_EVENT;
    if (!sequence && event->type != YAML_MAPPING_START_EVENT) {
        return bad(reader, &event->start_mark, "aliases are not accepted", err);
    }
    if (sequence ? event->data.sequence_start.anchor || event->data.sequence_start.tag
                 : event->data.mapping_start.anchor || event->data.mapping_start.tag) {
        return bad(reader, &event->start_mark, "anchors and tags are not accepted", err);
    }
    xb_json *value = sequence ? json_object_new_array() : json_object_new_object();
    if (!value) {
        return xb_error_no_memory(err, "a YAML value");
    }
    int r = sequence ? read_sequence(reader, depth - 1, value, err)
                     : read_mapping(reader, depth - 1, value, err);
    if (r < 0) {
        json_object_put(value);
        return r;
    }
    *ret = value;
    return 0;
}

static int read_stream(struct reader *reader, xb_json **ret, struct xb_error *err)
{
    unsigned documents = 0;
    for (;;) {
        yaml_event_t event;
        int r = next_event(reader, &event, err);
        yaml_event_type_t type = event.type;
        if (r == 0 && type == YAML_DOCUMENT_START_EVENT && ++documents > 1) {
            r = bad(reader, &event.start_mark, "more than one document", err);
        } else if (r == 0 && type != YAML_STREAM_START_EVENT && type != YAML_STREAM_END_EVENT &&
                   type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT) {
            r = read_node(reader, &event, XB_KUBE_YAML_DEPTH_MAX, ret, err);
        }
        yaml_event_delete(&event);
        if (r < 0 || type == YAML_STREAM_END_EVENT) {
            return r;
        }
    }
}

int xb_kube_yaml_parse(const char *text, size_t len, xb_json **ret, struct xb_error *err)
{
    struct reader reader = {.nodes = 0};
    if (len > XB_KUBE_YAML_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "YAML text of %zu bytes", len);
    }
    if (!yaml_parser_initialize(&reader.parser)) {
        return xb_error_no_memory(err, "a YAML parser");
    }
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    xb_json *value = NULL;
    int r = read_stream(&reader, &value, err);
    yaml_parser_delete(&reader.parser);
    if (r < 0) {
        json_object_put(value);
        return r;
    }
    *ret = value;
    return 0;
}
