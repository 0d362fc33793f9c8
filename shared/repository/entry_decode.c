/* SPDX-License-Identifier: Apache-2.0
 * Entries and summaries from JSON. Absent fields are legal, wrong ones are not. On the way it is
 * seen whether the text is, byte for byte, what entry_encode.c would write: then it can be taken
 * over. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/repository/entry_internal.h"

enum { GO_SETUID = 1 << 23, GO_SETGID = 1 << 22, GO_STICKY = 1 << 20, NODE_BYTES_MAX = 40 };

struct decode {
    struct xb_json_reader *reader;
    struct xb_entry *entry;
    char *stored;              /* `name`; entry->name is `x-name`, if there is one */
    char node[NODE_BYTES_MAX]; /* `x-node` */
    bool has_type, has_object, plain;
    size_t next; /* the field that stands behind the last one in what we write */
};

static int wrong(const char *field, const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field %s: %s", field, why);
}

/* ---- values ---- */

int xb_json_read_text(const struct xb_json_token *token, const char *field, char **ret,
                      struct xb_error *err)
{
    if (token->kind != XB_JSON_STRING) {
        return wrong(field, "want a string", err);
    }
    if (memchr(token->text, '\0', token->len)) {
        return wrong(field, "holds a NUL byte", err);
    }
    char *copy = malloc(token->len + 1);
    if (!copy) {
        return xb_error_no_memory(err, "an entry");
    }
    memcpy(copy, token->text, token->len);
    copy[token->len] = '\0';
    free(*ret);
    *ret = copy;
    return 0;
}

int xb_json_read_count(const struct xb_json_token *token, const char *field, uint64_t *ret,
                       bool *plain, struct xb_error *err)
{
    int64_t value = 0;
    if (token->kind != XB_JSON_NUMBER || !xb_json_token_int(token, &value) || value == INT64_MAX) {
        return wrong(field, "want a whole number", err);
    }
    if (value < 0) {
        return wrong(field, "below zero", err);
    }
    *plain = *plain && token->text[0] != '-';
    *ret = (uint64_t)value;
    return 0;
}

int xb_json_read_time(const struct xb_json_token *token, const char *field, int64_t *ret,
                      bool *plain, struct xb_error *err)
{
    if (token->kind == XB_JSON_STRING && xb_time_read(token->text, token->len, ret)) {
        *plain = *plain && token->plain;
        return 0;
    }
    *plain = false;
    char *text = NULL;
    int r = xb_json_read_text(token, field, &text, err);
    if (r < 0) {
        return r;
    }
    r = xb_time_parse(text, ret, err);
    free(text);
    return r < 0 ? xb_error_wrap(err, "field %s", field) : 0;
}

/* ---- the fields, in the order in which they are written ---- */

static int read_name(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    decode->plain &= token->plain;
    return xb_json_read_text(token, "name", &decode->stored, err);
}

static int read_type(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    static const char types[] = "dfs";
    if (token->kind != XB_JSON_STRING) {
        return wrong("type", "want a string", err);
    }
    const char *found = token->len == 1 ? memchr(types, token->text[0], sizeof types - 1) : NULL;
    if (!found) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "entries of type '%.*s' are unknown",
                            token->len < 20 ? (int)token->len : 20, token->text);
    }
    decode->entry->type = (enum xb_entry_type)(found - types);
    decode->has_type = true;
    decode->plain &= token->plain;
    return 0;
}

static int read_mode(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    uint32_t mode = 0;
    if (token->kind != XB_JSON_STRING) {
        return wrong("mode", "want a string", err);
    }
    for (size_t i = 0; i < token->len; i++) {
        if (token->text[i] < '0' || token->text[i] > '7' || token->len > 11) {
            return wrong("mode", "not octal", err);
        }
        mode = mode * 8 + (uint32_t)(token->text[i] - '0');
    }
    const uint32_t known = 0777U | GO_SETUID | GO_SETGID | GO_STICKY;
    decode->plain &= token->plain && token->len > 1 && token->text[0] == '0' &&
                     token->text[1] != '0' && (mode & ~known) == 0;
    decode->entry->mode = (mode & 0777U) | (mode & GO_SETUID ? 04000U : 0) |
                          (mode & GO_SETGID ? 02000U : 0) | (mode & GO_STICKY ? 01000U : 0);
    return 0;
}

static int read_size(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    int r = xb_json_read_count(token, "size", &decode->entry->size, &decode->plain, err);
    decode->plain &= decode->entry->size > 0 && decode->entry->type != XB_ENTRY_DIRECTORY;
    return r;
}

static int read_mtime(struct decode *decode, const struct xb_json_token *token,
                      struct xb_error *err)
{
    int r = xb_json_read_time(token, "mtime", &decode->entry->mtime_ns, &decode->plain, err);
    decode->plain &= decode->entry->mtime_ns != 0;
    return r;
}

static int read_owner(struct decode *decode, const struct xb_json_token *token, const char *field,
                      uint32_t *ret, struct xb_error *err)
{
    uint64_t value = 0;
    int r = xb_json_read_count(token, field, &value, &decode->plain, err);
    if (r == 0 && value > UINT32_MAX) {
        return wrong("uid or gid", "out of range", err);
    }
    *ret = (uint32_t)value;
    decode->plain &= value > 0;
    return r;
}

static int read_uid(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    return read_owner(decode, token, "uid", &decode->entry->uid, err);
}

static int read_gid(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    return read_owner(decode, token, "gid", &decode->entry->gid, err);
}

static int read_object(struct decode *decode, const struct xb_json_token *token,
                       struct xb_error *err)
{
    char text[XB_OBJECT_ID_TEXT_BYTES];
    if (token->kind != XB_JSON_STRING) {
        return wrong("obj", "want a string", err);
    }
    if (token->len >= sizeof text || memchr(token->text, '\0', token->len)) {
        return wrong("obj", "no object id", err);
    }
    memcpy(text, token->text, token->len);
    text[token->len] = '\0';
    decode->has_object = true;
    decode->plain &= token->plain;
    return xb_object_id_parse(text, &decode->entry->object, err);
}

static int read_summary(struct decode *decode, const struct xb_json_token *token,
                        struct xb_error *err)
{
    if (token->kind != XB_JSON_OBJECT) {
        return wrong("summ", "want an object", err);
    }
    struct xb_summary *summary = calloc(1, sizeof *summary);
    if (!summary) {
        return xb_error_no_memory(err, "an entry");
    }
    xb_summary_free(decode->entry->summary);
    decode->entry->summary = summary;
    return xb_summary_read(decode->reader, summary, &decode->plain, err);
}

static int read_raw_name(struct decode *decode, const struct xb_json_token *token,
                         struct xb_error *err)
{
    struct xb_buf name = XB_BUF_INIT(token->len);
    decode->plain = false;
    if (token->kind != XB_JSON_STRING) {
        return wrong("x-name", "want a string", err);
    }
    int r = xb_base64_decode(token->text, token->len, &name, err);
    if (r == 0 && !xb_entry_name_valid(name.data ? name.data : "", name.len)) {
        r = wrong("x-name", "empty, '.', '..', too long or holds '/'", err);
    }
    if (r < 0) {
        xb_buf_free(&name);
        return r;
    }
    free(decode->entry->name);
    decode->entry->name = xb_buf_take(&name);
    return 0;
}

static int read_link(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    decode->plain &= token->plain;
    return xb_json_read_text(token, "x-link", &decode->entry->link, err);
}

static bool parse_u64(const char *text, const char **ret_end, uint64_t *ret)
{
    char *end = NULL;
    if (*text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *ret = strtoull(text, &end, 10);
    *ret_end = end;
    return errno == 0;
}

/* Only for comparing: what cannot be read is unknown. */
static int read_inode(struct decode *decode, const struct xb_json_token *token,
                      struct xb_error *err)
{
    uint64_t value = 0;
    bool good = token->kind == XB_JSON_STRING && token->len > 0;
    (void)err;
    for (size_t i = 0; good && i < token->len; i++) {
        unsigned digit = (unsigned char)token->text[i] - (unsigned)'0';
        good = digit <= 9 && !__builtin_mul_overflow(value, 10, &value) &&
               !__builtin_add_overflow(value, digit, &value);
    }
    decode->entry->inode = good ? value : 0;
    decode->plain &= good && value > 0 && token->plain && token->text[0] != '0';
    return 0;
}

static int read_ctime(struct decode *decode, const struct xb_json_token *token,
                      struct xb_error *err)
{
    int r = xb_json_read_time(token, "x-ctime", &decode->entry->ctime_ns, &decode->plain, err);
    decode->plain &= decode->entry->ctime_ns != 0;
    return r;
}

/* It is judged at the end, when the type is known. */
static int read_node(struct decode *decode, const struct xb_json_token *token, struct xb_error *err)
{
    if (token->kind != XB_JSON_STRING) {
        return wrong("x-node", "want a string", err);
    }
    if (token->len == 0 || token->len >= sizeof decode->node ||
        memchr(token->text, '\0', token->len)) {
        return wrong("x-node", "no special file", err);
    }
    memcpy(decode->node, token->text, token->len);
    decode->node[token->len] = '\0';
    decode->plain &= token->plain;
    return 0;
}

static int read_changed(struct decode *decode, const struct xb_json_token *token,
                        struct xb_error *err)
{
    if (token->kind != XB_JSON_TRUE && token->kind != XB_JSON_FALSE) {
        return wrong("x-changed", "want true or false", err);
    }
    decode->entry->changed = token->kind == XB_JSON_TRUE;
    decode->plain &= decode->entry->changed;
    return 0;
}

static int read_xattrs(struct decode *decode, const struct xb_json_token *token,
                       struct xb_error *err)
{
    decode->plain = false; /* base64 has more than one way to write a value */
    return xb_entry_read_xattrs(decode->reader, token, decode->entry, err);
}

static int read_holes(struct decode *decode, const struct xb_json_token *token,
                      struct xb_error *err)
{
    return xb_entry_read_holes(decode->reader, token, decode->entry, &decode->plain, err);
}

/* ---- the entry ---- */

typedef int read_fn(struct decode *decode, const struct xb_json_token *token, struct xb_error *err);

static const struct field {
    const char *name;
    size_t len;
    read_fn *read;
} fields[] = {
    {"name", 4, read_name},       {"type", 4, read_type},        {"mode", 4, read_mode},
    {"size", 4, read_size},       {"mtime", 5, read_mtime},      {"uid", 3, read_uid},
    {"gid", 3, read_gid},         {"obj", 3, read_object},       {"summ", 4, read_summary},
    {"x-name", 6, read_raw_name}, {"x-xattr", 7, read_xattrs},   {"x-link", 6, read_link},
    {"x-ino", 5, read_inode},     {"x-ctime", 7, read_ctime},    {"x-holes", 7, read_holes},
    {"x-node", 6, read_node},     {"x-changed", 9, read_changed}};
enum { FIELDS = sizeof fields / sizeof *fields };

/* NULL: nobody knows it. It is looked for behind the last one first, where it mostly is. */
static const struct field *find_field(struct decode *decode, const struct xb_json_token *key)
{
    for (size_t i = 0; i < FIELDS; i++) {
        size_t at = decode->next + i < FIELDS ? decode->next + i : decode->next + i - FIELDS;
        if (xb_json_token_is(key, fields[at].name, fields[at].len)) {
            decode->plain &= at >= decode->next && key->plain;
            decode->next = at + 1;
            return &fields[at];
        }
    }
    decode->plain = false;
    return NULL;
}

static int read_fields(struct decode *decode, struct xb_error *err)
{
    for (;;) {
        struct xb_json_token token;
        int r = xb_json_next(decode->reader, &token, err);
        if (r < 0 || token.kind == XB_JSON_OBJECT_END) {
            return r;
        }
        const struct field *field = find_field(decode, &token);
        r = xb_json_next(decode->reader, &token, err);
        if (r == 0 && field && token.kind != XB_JSON_NULL) {
            r = field->read(decode, &token, err);
        } else if (r == 0) {
            decode->plain = false;
            r = xb_json_skip(decode->reader, &token, err);
        }
        if (r < 0) {
            return r;
        }
    }
}

static int judge_name(struct decode *decode, struct xb_error *err)
{
    if (!decode->stored) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field name is missing");
    }
    if (decode->entry->name) {
        return 0;
    }
    /* Velero's block uploads have a device's whole path for a name: the last part of it is one. */
    const char *slash = decode->stored[0] == '/' ? strrchr(decode->stored, '/') : NULL;
    const char *name = slash ? slash + 1 : decode->stored;
    if (!xb_entry_name_valid(name, strlen(name))) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "an entry's name is empty, '.', '..', too long or holds '/'");
    }
    decode->plain = decode->plain && !slash;
    decode->entry->name = slash ? strdup(name) : XB_TAKE(decode->stored);
    return decode->entry->name ? 0 : xb_error_no_memory(err, "a directory");
}

/* Only an entry of a file's type can stand for a special one. */
static int judge_node(struct decode *decode, struct xb_error *err)
{
    const char *text = decode->node;
    uint64_t major = 0;
    uint64_t minor = 0;
    if (!text[0]) {
        return 0;
    }
    if (decode->entry->type != XB_ENTRY_FILE) {
        decode->plain = false;
        return 0;
    }
    const char *end = text + 1;
    bool device = text[0] == 'b' || text[0] == 'c';
    bool valid = device ? text[1] == ':' && parse_u64(text + 2, &end, &major) && *end == ':' &&
                              parse_u64(end + 1, &end, &minor)
                        : text[0] == 'p' || text[0] == 's';
    if (!valid || *end || major > UINT32_MAX || minor > UINT32_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field x-node: '%.40s'", text);
    }
    decode->plain &= !device && !decode->has_object;
    decode->entry->node = text[0];
    decode->entry->node_major = (uint32_t)major;
    decode->entry->node_minor = (uint32_t)minor;
    return 0;
}

/* Holes lie one behind the other within the file; anything else is not taken. */
static int judge_holes(struct decode *decode, struct xb_error *err)
{
    struct xb_entry *entry = decode->entry;
    uint64_t end = 0;
    if (entry->type != XB_ENTRY_FILE) {
        decode->plain &= entry->hole_count == 0;
        free(XB_TAKE(entry->holes));
        entry->hole_count = 0;
    }
    for (size_t i = 0; i < entry->hole_count; i++) {
        const struct xb_hole *hole = &entry->holes[i];
        if (hole->len == 0 || hole->offset < end || hole->offset > entry->size ||
            hole->len > entry->size - hole->offset) {
            return wrong("x-holes", "out of order", err);
        }
        end = hole->offset + hole->len;
    }
    return 0;
}

static int judge(struct decode *decode, struct xb_error *err)
{
    int r = judge_name(decode, err);
    if (r < 0) {
        return r;
    }
    if (!decode->has_type) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field type is missing");
    }
    r = judge_node(decode, err);
    if (r == 0 && !decode->has_object && !decode->entry->node) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "field obj is missing");
    }
    return r < 0 ? r : judge_holes(decode, err);
}

int xb_entry_read(struct xb_json_reader *reader, struct xb_entry *ret, bool *ret_plain,
                  struct xb_error *err)
{
    struct xb_entry entry = {.name = NULL};
    struct decode decode = {.reader = reader, .entry = &entry, .plain = true};
    int r = read_fields(&decode, err);
    if (r == 0) {
        r = judge(&decode, err);
    }
    if (r < 0 && (entry.name || decode.stored)) {
        r = xb_error_wrap(err, "entry '%.100s'", entry.name ? entry.name : decode.stored);
    }
    free(decode.stored);
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    *ret = entry;
    *ret_plain = decode.plain;
    return 0;
}

int xb_entry_decode(const char *text, size_t len, struct xb_entry *ret, struct xb_error *err)
{
    struct xb_json_reader reader;
    struct xb_json_token token;
    struct xb_entry entry = {.name = NULL};
    bool plain = false;
    xb_json_reader_init_text(&reader, text, len);
    int r = xb_json_next(&reader, &token, err);
    if (r == 0 && token.kind != XB_JSON_OBJECT) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an entry is not an object");
    }
    if (r == 0) {
        r = xb_entry_read(&reader, &entry, &plain, err);
    }
    if (r == 0) {
        r = xb_json_next(&reader, &token, err);
    }
    xb_json_reader_done(&reader);
    if (r < 0) {
        xb_entry_free(&entry);
        return r;
    }
    *ret = entry;
    return 0;
}
