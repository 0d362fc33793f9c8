/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/bracket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/velero/point_in_time.h"
#include "shared/velero/velero.h"

static const char *const states[] = {"unbegun", "pre-begun", "pre-done", "post-begun", "done"};

static const char *const sessions[] = {"", "held", "lost"};

enum { STATES = sizeof states / sizeof states[0], SESSIONS = sizeof sessions / sizeof sessions[0] };

/* The annotation's text; NULL: there is none. */
static const char *annotation(xb_json *order, const char *key, size_t bytes_max,
                              struct xb_error *err)
{
    xb_json *value = NULL;
    (void)json_object_object_get_ex(xb_json_get(order, "metadata.annotations"), key, &value);
    if (!value) {
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string) ||
        (size_t)json_object_get_string_len(value) > bytes_max) {
        xb_error_set(err, XB_ERR_INVALID, -EINVAL, "annotation %s is too long, or no text", key);
        return NULL;
    }
    return json_object_get_string(value);
}

static int parse(xb_json *order, const char *key, size_t bytes_max, xb_json **ret,
                 struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    const char *text = annotation(order, key, bytes_max, &why);
    if (!text) {
        *err = why.code ? why : *err;
        return why.code;
    }
    if (xb_json_parse(text, strlen(text), ret, &why) < 0 ||
        !json_object_is_type(*ret, json_type_object)) {
        json_object_put(*ret);
        *ret = NULL;
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "annotation %s: %s", key,
                            why.code ? why.text : "want an object");
    }
    return 1;
}

/* ---- the bracket ---- */

static bool members_valid(xb_json *members)
{
    size_t count =
        json_object_is_type(members, json_type_array) ? json_object_array_length(members) : 0;
    if (count == 0 || count > XB_BRACKET_MEMBERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        xb_json *name = json_object_array_get_idx(members, i);
        if (!json_object_is_type(name, json_type_string) ||
            strlen(json_object_get_string(name)) != (size_t)json_object_get_string_len(name) ||
            !xb_velero_name_valid(json_object_get_string(name))) {
            return false;
        }
    }
    return true;
}

int xb_bracket_parse(xb_json *order, struct xb_bracket *ret, struct xb_error *err)
{
    xb_json *json = NULL;
    int r = parse(order, XB_BRACKET_ANNOTATION, XB_BRACKET_BYTES_MAX, &json, err);
    if (r <= 0) {
        return r;
    }
    const struct xb_bracket bracket = {.json = json,
                                       .id = xb_json_str(json, "id", ""),
                                       .hooks = xb_json_str(json, "hooks", ""),
                                       .members = xb_json_get(json, "members")};
    if (!bracket.id[0] || strlen(bracket.hooks) != XB_HOOKS_DIGEST_BYTES - 1 ||
        !members_valid(bracket.members)) {
        json_object_put(json);
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "annotation " XB_BRACKET_ANNOTATION ": want id, members and hooks");
    }
    *ret = bracket;
    return 1;
}

void xb_bracket_free(struct xb_bracket *bracket)
{
    json_object_put(bracket->json);
    *bracket = (struct xb_bracket){.json = NULL};
}

size_t xb_bracket_count(const struct xb_bracket *bracket)
{
    return json_object_array_length(bracket->members);
}

const char *xb_bracket_member(const struct xb_bracket *bracket, size_t index)
{
    return json_object_get_string(json_object_array_get_idx(bracket->members, index));
}

const char *xb_bracket_leader(const struct xb_bracket *bracket)
{
    return xb_bracket_member(bracket, 0);
}

int xb_bracket_write(const struct xb_bracket *bracket, char **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = json_object_new_object();
    if (!members_valid(bracket->members)) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG,
                            "a pod with hooks has more than %d volumes to back up",
                            XB_BRACKET_MEMBERS_MAX);
    }
    json_object_object_add(json, "id", json_object_new_string(bracket->id));
    json_object_object_add(json, "hooks", json_object_new_string(bracket->hooks));
    json_object_object_add(json, "members", json_object_get(bracket->members));
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
    char *copy = text ? strdup(text) : NULL;
    if (!copy) {
        return xb_error_no_memory(err, "a pod's bracket");
    }
    *ret = copy;
    return 0;
}

/* ---- the record ---- */

static size_t place_of(const char *name, const char *const *names, size_t count)
{
    size_t at = 0;
    while (at < count && strcmp(names[at], name) != 0) {
        at++;
    }
    return at;
}

int xb_bracket_record_parse(xb_json *order, struct xb_bracket_record *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    int r = parse(order, XB_BRACKET_RECORD_ANNOTATION, XB_BRACKET_RECORD_BYTES_MAX, &json, err);
    if (r < 0) {
        return r;
    }
    if (r > 0) {
        size_t at = place_of(xb_json_str(json, "state", ""), states, STATES);
        size_t session = place_of(xb_json_str(json, "session", ""), sessions, SESSIONS);
        xb_json *results = xb_json_get(json, "results");
        if (at == STATES || session == SESSIONS ||
            (results && !json_object_is_type(results, json_type_array))) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "annotation " XB_BRACKET_RECORD_ANNOTATION
                                ": want known states, and a list of results");
        }
        record.state = (enum xb_bracket_state)at;
        record.session = (enum xb_bracket_session)session;
        record.refused = xb_json_bool(json, "refused", false);
        record.taken = xb_json_bool(json, "taken", false);
        record.begun_ms = xb_json_int(json, "begunMs", 0);
        record.ended_ms = xb_json_int(json, "endedMs", 0);
        record.held_us = xb_json_int(json, "heldUs", 0);
        record.results = json_object_get(results);
    }
    if (!record.results) {
        record.results = json_object_new_array();
    }
    *ret = record;
    return 0;
}

int xb_bracket_record_patch(const struct xb_bracket_record *record, xb_json **ret,
                            struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = json_object_new_object();
    json_object_object_add(json, "state", json_object_new_string(states[record->state]));
    if (record->refused) {
        json_object_object_add(json, "refused", json_object_new_boolean(true));
    }
    if (record->taken) {
        json_object_object_add(json, "taken", json_object_new_boolean(true));
    }
    if (record->session != XB_BRACKET_SESSION_NONE) {
        json_object_object_add(json, "session", json_object_new_string(sessions[record->session]));
    }
    if (record->begun_ms > 0) {
        json_object_object_add(json, "begunMs", json_object_new_int64(record->begun_ms));
    }
    if (record->ended_ms > 0) {
        json_object_object_add(json, "endedMs", json_object_new_int64(record->ended_ms));
    }
    if (record->held_us > 0) {
        json_object_object_add(json, "heldUs", json_object_new_int64(record->held_us));
    }
    json_object_object_add(json, "results", json_object_get(record->results));
    const char *text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
    if (!text) {
        return xb_error_no_memory(err, "the record of hooks");
    }
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    json_object_object_add(annotations, XB_BRACKET_RECORD_ANNOTATION, json_object_new_string(text));
    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(patch, "metadata", metadata);
    *ret = XB_TAKE(patch);
    return 0;
}

void xb_bracket_record_free(struct xb_bracket_record *record)
{
    json_object_put(record->results);
    *record = (struct xb_bracket_record){.results = NULL};
}

bool xb_bracket_failed(xb_json *result, char *text, size_t size)
{
    const char *error = xb_json_str(result, "error", NULL);
    if (xb_json_bool(result, "skipped", false)) {
        return false;
    }
    if (xb_json_bool(result, "timedOut", false)) {
        snprintf(text, size, "timed out after %.20s", xb_json_str(result, "timeout", "its time"));
    } else if (error) {
        snprintf(text, size, "%s", error);
    } else if (xb_json_int(result, "exit", -1) != 0) {
        snprintf(text, size, "exit code %lld", (long long)xb_json_int(result, "exit", -1));
    } else {
        return false;
    }
    return true;
}

void xb_bracket_record_count(const struct xb_bracket_record *record, int64_t *attempted,
                             int64_t *failed)
{
    char text[8];
    size_t count = json_object_array_length(record->results);
    for (size_t i = 0; i < count; i++) {
        (*attempted)++;
        *failed +=
            xb_bracket_failed(json_object_array_get_idx(record->results, i), text, sizeof text);
    }
}

static xb_json *add_result(struct xb_bracket_record *record, enum xb_hook_phase phase)
{
    xb_json *result = json_object_new_object();
    json_object_object_add(result, "phase", json_object_new_string(xb_hook_phase_name(phase)));
    json_object_array_add(record->results, result);
    return result;
}

static void put_text(xb_json *result, const char *key, const char *text)
{
    json_object_object_add(result, key, json_object_new_string(text));
}

void xb_bracket_record_fail(struct xb_bracket_record *record, enum xb_hook_phase phase,
                            const char *why)
{
    put_text(add_result(record, phase), "error", why);
}

void xb_bracket_record_lose(struct xb_bracket_record *record, const char *why)
{
    if (record->session == XB_BRACKET_SESSION_HELD) {
        record->session = record->state < XB_BRACKET_POST_BEGUN ? XB_BRACKET_SESSION_LOST
                                                                : XB_BRACKET_SESSION_NONE;
        xb_bracket_record_fail(record, XB_HOOK_SESSION, why);
    }
}

/* ---- what to do ---- */

static bool ended(xb_json *order)
{
    return xb_velero_data_phase_final(xb_json_str(order, "status.phase", ""));
}

struct members {
    size_t missing;
    size_t live; /* the application's own files are still read for them, or will be */
};

static struct members count_members(const struct xb_bracket *bracket, xb_bracket_find_fn *find,
                                    void *context)
{
    struct members members = {.missing = 0};
    for (size_t i = 0; i < xb_bracket_count(bracket); i++) {
        xb_json *member = find(context, xb_bracket_member(bracket, i));
        members.missing += member == NULL;
        members.live += member && !ended(member) && !xb_point_in_time_fixed(member);
    }
    return members;
}

static bool begun(const struct xb_bracket_record *record)
{
    return record->state != XB_BRACKET_UNBEGUN && record->state != XB_BRACKET_DONE;
}

/* An order in its bracket. */
struct view {
    xb_json *order, *leader; /* leader NULL: it is not there */
    struct xb_bracket bracket;
    struct xb_bracket_record record; /* the leader's; UNBEGUN without one */
    struct members members;
    bool leads;
};

/* False: there is no bracket, or a record that is none: the order itself will say so. */
static bool look(xb_json *order, xb_bracket_find_fn *find, void *context, struct view *ret)
{
    struct xb_error ignored = XB_ERROR_INIT;
    struct view view = {.order = order};
    if (xb_bracket_parse(order, &view.bracket, &ignored) <= 0) {
        return false;
    }
    view.leader = find(context, xb_bracket_leader(&view.bracket));
    view.members = count_members(&view.bracket, find, context);
    view.leads =
        strcmp(xb_json_str(order, "metadata.name", ""), xb_bracket_leader(&view.bracket)) == 0;
    if (view.leader && xb_bracket_record_parse(view.leader, &view.record, &ignored) < 0) {
        xb_bracket_free(&view.bracket);
        return false;
    }
    *ret = view;
    return true;
}

static void forget(struct view *view)
{
    xb_bracket_record_free(&view->record);
    xb_bracket_free(&view->bracket);
}

static enum xb_bracket_step next_of(const struct view *view)
{
    if (ended(view->order)) {
        return XB_BRACKET_OVER;
    }
    if (view->record.state >= XB_BRACKET_PRE_DONE ||
        xb_json_bool(view->order, "spec.cancel", false) ||
        (view->leader && !view->leads && ended(view->leader))) {
        return XB_BRACKET_GO;
    }
    /* One whose pre hooks were begun is thawed first, by whoever comes to it (xb_bracket_due). */
    bool may = view->record.state == XB_BRACKET_UNBEGUN && view->members.missing == 0;
    return view->leads && may ? XB_BRACKET_GO : XB_BRACKET_WAIT;
}

enum xb_bracket_step xb_bracket_next(xb_json *order, xb_bracket_find_fn *find, void *context)
{
    struct view view;
    if (!look(order, find, context, &view)) {
        return XB_BRACKET_NONE;
    }
    enum xb_bracket_step step = next_of(&view);
    forget(&view);
    return step;
}

bool xb_bracket_due(xb_json *order, xb_bracket_find_fn *find, void *context)
{
    struct view view;
    if (!look(order, find, context, &view)) {
        return false;
    }
    bool due = view.leads && !view.record.taken && begun(&view.record) &&
               (view.record.state == XB_BRACKET_PRE_BEGUN || view.members.live == 0);
    forget(&view);
    return due;
}

enum xb_bracket_state xb_bracket_look(xb_json *order)
{
    struct xb_bracket bracket;
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    struct xb_error ignored = XB_ERROR_INIT;
    if (xb_bracket_parse(order, &bracket, &ignored) <= 0) {
        return XB_BRACKET_UNBEGUN;
    }
    if (strcmp(xb_json_str(order, "metadata.name", ""), xb_bracket_leader(&bracket)) != 0 ||
        xb_bracket_record_parse(order, &record, &ignored) < 0) {
        record.state = XB_BRACKET_UNBEGUN;
    }
    enum xb_bracket_state state = record.state;
    xb_bracket_record_free(&record);
    xb_bracket_free(&bracket);
    return state;
}
