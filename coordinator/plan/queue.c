/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan/queue.h"

#include <string.h>

/* ---- patterns ---- */

/* A pattern as symbols: a byte, or one of these, which no name has in it. */
enum { ANY = 1, MANY = 2 };

struct symbols {
    unsigned char at[XB_QUEUE_PATTERN_BYTES_MAX];
    size_t count;
    bool literal; /* a name */
    bool exact;   /* the symbols mean what the pattern does; else they mean more */
};

/* Classes become any character and alternatives any characters: more than they mean, which makes
 * two backups wait that need not. False: too long. */
static bool read_symbols(const char *pattern, struct symbols *ret)
{
    *ret = (struct symbols){.literal = true, .exact = true};
    for (const char *at = pattern; *at; at++) {
        unsigned char symbol = (unsigned char)*at;
        if (ret->count >= XB_QUEUE_PATTERN_BYTES_MAX) {
            return false;
        }
        const char *end = *at == '{' ? strchr(at, '}') : *at == '[' ? strchr(at, ']') : at;
        if (*at == '*' || *at == '{' || !end) {
            symbol = MANY;
        } else if (*at == '?' || *at == '[' || *at == '\\') {
            symbol = ANY;
        }
        ret->exact = ret->exact && *at != '{' && *at != '[' && *at != '\\';
        ret->literal = ret->literal && symbol > MANY;
        end = *at == '\\' && at[1] ? at + 1 : end;
        at = end ? end : at + strlen(at) - 1; /* never closed: anything may follow */
        ret->at[ret->count++] = symbol;
    }
    return true;
}

/* Whether some name fits both: by rows of "do the rests from here on meet", from the ends. */
static bool symbols_meet(const struct symbols *a, const struct symbols *b)
{
    bool rows[2][XB_QUEUE_PATTERN_BYTES_MAX + 1] = {{false}};
    for (size_t i = a->count + 1; i-- > 0;) {
        bool *row = rows[i % 2], *below = rows[(i + 1) % 2];
        bool last = i == a->count;
        for (size_t j = b->count + 1; j-- > 0;) {
            bool end = j == b->count;
            bool many_a = !last && a->at[i] == MANY, many_b = !end && b->at[j] == MANY;
            if (last && end) {
                row[j] = true;
            } else if (many_a || many_b) {
                row[j] = (!last && below[j]) || (!end && row[j + 1]);
            } else {
                row[j] = !last && !end && below[j + 1] &&
                         (a->at[i] == b->at[j] || a->at[i] == ANY || b->at[j] == ANY);
            }
        }
    }
    return rows[0][0];
}

/* ---- namespaces ---- */

static xb_json *list_of(xb_json *spec, const char *name)
{
    xb_json *list = xb_json_get(spec, name);
    return json_object_is_type(list, json_type_array) && json_object_array_length(list) > 0 ? list
                                                                                            : NULL;
}

static size_t count_of(xb_json *list)
{
    return list ? json_object_array_length(list) : 0;
}

static const char *text_of(xb_json *list, size_t i)
{
    const char *text = json_object_get_string(json_object_array_get_idx(list, i));
    return text ? text : "";
}

/* Whether the excludes surely leave out whatever both patterns fit. */
static bool leaves_out(xb_json *excludes, const char *a, const char *b, const struct symbols *name)
{
    for (size_t i = 0; i < count_of(excludes); i++) {
        const char *pattern = text_of(excludes, i);
        struct symbols symbols;
        if (strcmp(pattern, "*") == 0 || strcmp(pattern, a) == 0 || strcmp(pattern, b) == 0 ||
            (name && read_symbols(pattern, &symbols) && symbols.exact &&
             symbols_meet(&symbols, name))) {
            return true;
        }
    }
    return false;
}

static bool pair_meets(xb_json *spec_a, const char *a, xb_json *spec_b, const char *b)
{
    struct symbols one, other;
    if (!read_symbols(a, &one) || !read_symbols(b, &other)) {
        return true;
    }
    const struct symbols *name = one.literal ? &one : other.literal ? &other : NULL;
    return symbols_meet(&one, &other) &&
           !leaves_out(list_of(spec_a, "excludedNamespaces"), a, b, name) &&
           !leaves_out(list_of(spec_b, "excludedNamespaces"), a, b, name);
}

bool xb_queue_meet(xb_json *spec_a, xb_json *spec_b)
{
    xb_json *list_a = list_of(spec_a, "includedNamespaces");
    xb_json *list_b = list_of(spec_b, "includedNamespaces");
    size_t count_a = list_a ? count_of(list_a) : 1, count_b = list_b ? count_of(list_b) : 1;
    size_t excludes = 1 + count_of(list_of(spec_a, "excludedNamespaces")) +
                      count_of(list_of(spec_b, "excludedNamespaces"));
    if (count_a > XB_QUEUE_PAIRS_MAX / count_b / excludes) {
        return true;
    }
    for (size_t i = 0; i < count_a; i++) {
        for (size_t j = 0; j < count_b; j++) {
            if (pair_meets(spec_a, list_a ? text_of(list_a, i) : "*", spec_b,
                           list_b ? text_of(list_b, j) : "*")) {
                return true;
            }
        }
    }
    return false;
}

/* ---- restores ---- */

static bool is_everything(xb_json *includes)
{
    for (size_t i = 0; i < count_of(includes); i++) {
        if (strcmp(text_of(includes, i), "*") == 0) {
            return true;
        }
    }
    return count_of(includes) == 0;
}

static void copy_texts(xb_json *from, xb_json *to, const char *name)
{
    xb_json *list = json_object_new_array();
    for (size_t i = 0; i < count_of(from); i++) {
        json_object_array_add(list, json_object_new_string(text_of(from, i)));
    }
    json_object_object_add(to, name, list);
}

static const char *target_of(xb_json *mapping, const char *name)
{
    xb_json *target = NULL;
    return json_object_object_get_ex(mapping, name, &target) &&
                   json_object_is_type(target, json_type_string) &&
                   json_object_get_string_len(target) > 0
               ? json_object_get_string(target)
               : name;
}

/* Whether the name is more than one: which of them are mapped cannot be told. */
static bool is_pattern(const char *name)
{
    return name[strcspn(name, "*?[{\\")] != '\0';
}

xb_json *xb_queue_restore_spec(xb_json *restore, xb_json *backup)
{
    xb_json *spec = json_object_new_object();
    xb_json *targets = json_object_new_array();
    xb_json *mapping = xb_json_get(restore, "namespaceMapping");
    bool own = !is_everything(list_of(restore, "includedNamespaces"));
    xb_json *source = own ? restore : backup;
    xb_json *includes = list_of(source, "includedNamespaces");
    bool mapped =
        json_object_is_type(mapping, json_type_object) && json_object_object_length(mapping) > 0;
    for (size_t i = 0; i < count_of(includes); i++) {
        const char *name = text_of(includes, i);
        name = mapped && is_pattern(name) ? "*" : mapped ? target_of(mapping, name) : name;
        json_object_array_add(targets, json_object_new_string(name));
    }
    json_object_object_add(spec, "includedNamespaces", targets);
    /* What is left out may be what another name is mapped to. */
    if (!mapped) {
        copy_texts(list_of(own || !backup ? restore : backup, "excludedNamespaces"), spec,
                   "excludedNamespaces");
    }
    return spec;
}

/* ---- the queue ---- */

static bool is_older(const struct xb_queue_entry *a, const struct xb_queue_entry *b)
{
    int by_age = strcmp(a->created, b->created);
    return by_age ? by_age < 0 : strcmp(a->key, b->key) < 0;
}

static bool is_before(const struct xb_queue_entry *a, const struct xb_queue_entry *b)
{
    return a->position != b->position ? a->position < b->position : is_older(a, b);
}

/* Keeps the first ones, in their order. */
static void add_ahead(struct xb_queue *queue, const struct xb_queue_entry *entry)
{
    size_t held = queue->ahead_count < XB_QUEUE_LOOK_MAX ? queue->ahead_count : XB_QUEUE_LOOK_MAX;
    queue->ahead_count++;
    if (held == XB_QUEUE_LOOK_MAX && !is_before(entry, &queue->ahead[held - 1])) {
        return;
    }
    size_t i = held < XB_QUEUE_LOOK_MAX ? held : held - 1;
    for (; i > 0 && is_before(entry, &queue->ahead[i - 1]); i--) {
        queue->ahead[i] = queue->ahead[i - 1];
    }
    queue->ahead[i] = *entry;
}

void xb_queue_add(struct xb_queue *queue, const char *phase, const struct xb_queue_entry *entry)
{
    if (strcmp(phase, "Queued") == 0) {
        if (entry->position > queue->last_position) {
            queue->last_position = entry->position;
        }
        if (is_before(entry, &queue->own)) {
            if (entry->position > queue->before_position) {
                queue->before_position = entry->position;
            }
            add_ahead(queue, entry);
        } else if (!queue->behind || entry->position < queue->after_position) {
            queue->after_position = entry->position;
            queue->behind = true;
        }
    } else if (xb_plan_backup_runs(phase)) {
        if (queue->running_count < XB_QUEUE_LOOK_MAX) {
            queue->running[queue->running_count] = *entry;
        }
        queue->running_count++;
    } else if (xb_plan_backup_comes(phase)) {
        queue->unqueued_ahead += is_older(entry, &queue->own);
    }
}

static bool conflicts(const struct xb_queue *queue, const struct xb_queue_entry *entry,
                      size_t ahead)
{
    for (size_t i = 0; i < queue->running_count && i < XB_QUEUE_LOOK_MAX; i++) {
        if (xb_queue_meet(entry->spec, queue->running[i].spec)) {
            return true;
        }
    }
    for (size_t i = 0; i < ahead; i++) {
        if (xb_queue_meet(entry->spec, queue->ahead[i].spec)) {
            return true;
        }
    }
    return false;
}

void xb_queue_facts(const struct xb_queue *queue, struct xb_step_facts *facts)
{
    facts->running = queue->running_count;
    facts->position = queue->own.position;
    facts->last_position = queue->last_position;
    facts->unqueued_ahead = queue->unqueued_ahead;
    facts->rank = (int64_t)queue->ahead_count + 1;
    /* Only into a gap, so that nobody changes places, whatever of the others' moves is seen yet. */
    facts->rank_taken = queue->before_position >= facts->rank ||
                        (queue->behind && queue->after_position <= facts->rank);
    facts->conflict = true;
    if (facts->running >= facts->running_max || queue->ahead_count >= XB_QUEUE_LOOK_MAX) {
        return;
    }
    facts->conflict = conflicts(queue, &queue->own, queue->ahead_count);
    for (size_t i = 0; !facts->conflict && i < queue->ahead_count; i++) {
        facts->ready_ahead += !conflicts(queue, &queue->ahead[i], i);
    }
}
