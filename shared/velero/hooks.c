/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/hooks_internal.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/text.h"
#include "shared/kube/selector.h"
#include "shared/kube/session.h"

#define ANNOTATION "hook.backup.velero.io/"

enum { MS_NS = 1000000, NOTE_BYTES_MAX = 100 };

const char *xb_hook_phase_name(enum xb_hook_phase phase)
{
    static const char *const names[XB_HOOK_PHASES] = {"pre", "post", "session"};
    return names[phase];
}

size_t xb_hook_length(xb_json *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

const char *xb_hook_text(xb_json *value)
{
    if (!json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    const char *text = json_object_get_string(value);
    return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

void xb_hook_clear(struct xb_hook *hook)
{
    for (size_t i = 0; hook->argv && hook->argv[i]; i++) {
        free(hook->argv[i]);
    }
    free(hook->argv);
    free(hook->name);
    free(hook->container);
    free(hook->ready);
    free(hook->end);
    free(hook->problem);
    free(hook->note);
    *hook = (struct xb_hook){.name = NULL};
}

void xb_hook_list_free(struct xb_hook_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        xb_hook_clear(&list->hooks[i]);
    }
    free(list->hooks);
    *list = (struct xb_hook_list){.hooks = NULL};
}

void xb_hooks_free(struct xb_hooks *hooks)
{
    for (int phase = 0; phase < XB_HOOK_PHASES; phase++) {
        xb_hook_list_free(&hooks->phases[phase]);
    }
}

bool xb_hooks_any(const struct xb_hooks *hooks)
{
    size_t count = 0;
    for (int phase = 0; phase < XB_HOOK_PHASES; phase++) {
        count += hooks->phases[phase].count;
    }
    return count > 0;
}

/* ---- one hook ---- */

void xb_hook_note(char **where, const char *format, ...)
{
    char text[4 * NOTE_BYTES_MAX];
    va_list args;
    if (*where) {
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    *where = strdup(text); /* without memory the hook is refused by its empty command */
}

const char *xb_hook_command(xb_json *list, char ***ret)
{
    size_t count = xb_hook_length(list);
    size_t bytes = 0;
    if (count == 0) {
        return "is no list of words, or an empty one";
    }
    if (count > XB_EXEC_ARGUMENTS_MAX) {
        return "has too many words";
    }
    for (size_t i = 0; i < count; i++) {
        const char *word = xb_hook_text(json_object_array_get_idx(list, i));
        if (!word) {
            return "has a word that is no text";
        }
        bytes += strlen(word) + 1;
        if (bytes > XB_HOOK_COMMAND_BYTES_MAX) {
            return "is too long";
        }
        if (i == 0 && !word[0]) {
            return "begins with an empty word";
        }
    }
    char **argv = calloc(count + 1, sizeof *argv);
    for (size_t i = 0; argv && i < count; i++) {
        argv[i] = strdup(xb_hook_text(json_object_array_get_idx(list, i)));
        if (!argv[i]) {
            for (size_t j = 0; j < i; j++) {
                free(argv[j]);
            }
            free(argv);
            return "finds no memory";
        }
    }
    if (!argv) {
        return "finds no memory";
    }
    *ret = argv;
    return NULL;
}

static bool names_container(xb_json *pod, const char *name)
{
    /* An init container that is always restarted is a sidecar, and runs as long as the pod. */
    xb_json *init = xb_json_find(xb_json_get(pod, "spec.initContainers"), "name", name);
    return xb_json_find(xb_json_get(pod, "spec.containers"), "name", name) ||
           strcmp(xb_json_str(init, "restartPolicy", ""), "Always") == 0;
}

void xb_hook_set_container(struct xb_hook *hook, xb_json *pod, const char *wanted)
{
    xb_json *containers = xb_json_get(pod, "spec.containers");
    const char *first = xb_hook_length(containers)
                            ? xb_json_str(json_object_array_get_idx(containers, 0), "name", "")
                            : "";
    const char *name = wanted[0] ? wanted : first;
    if (strlen(name) > XB_HOOK_WORD_BYTES_MAX || !names_container(pod, name)) {
        xb_hook_note(&hook->problem, "the pod has no container '%.*s'", NOTE_BYTES_MAX, name);
        name = "";
    }
    hook->container = strdup(name);
}

bool xb_hook_time(const char *text, int fallback_ms, int *ret_ms)
{
    struct xb_error ignored = XB_ERROR_INIT;
    int64_t ns = 0;
    *ret_ms = fallback_ms;
    if (!text[0]) {
        return true;
    }
    if (xb_duration_parse(text, &ns, &ignored) < 0 || ns < 0 ||
        ns > (int64_t)XB_EXEC_TIMEOUT_MS_MAX * MS_NS) {
        return false;
    }
    if (ns > 0) {
        *ret_ms = ns < MS_NS ? 1 : (int)(ns / MS_NS);
    }
    return true;
}

int xb_hook_add(struct xb_hook_list *list, struct xb_hook **ret, struct xb_error *err)
{
    if (list->count == XB_HOOKS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "a pod has more than %d hooks of a phase",
                            XB_HOOKS_MAX);
    }
    if (!list->hooks) {
        list->hooks = calloc(XB_HOOKS_MAX, sizeof *list->hooks);
        if (!list->hooks) {
            return xb_error_no_memory(err, "the hooks of a pod");
        }
    }
    *ret = &list->hooks[list->count++];
    return 0;
}

int xb_hook_finished(const struct xb_hook *hook, struct xb_error *err)
{
    return hook->name && hook->container && (hook->argv || hook->problem)
               ? 0
               : xb_error_no_memory(err, "a pod's hook");
}

/* ---- annotations ---- */

const char *xb_hook_annotation(xb_json *pod, const char *key)
{
    xb_json *value = NULL;
    (void)json_object_object_get_ex(xb_json_get(pod, "metadata.annotations"), key, &value);
    const char *text = xb_hook_text(value);
    return text ? text : "";
}

static const char *annotation(xb_json *pod, const char *prefix, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s%s", prefix, what);
    return xb_hook_annotation(pod, key);
}

void xb_hook_annotated_command(struct xb_hook *hook, const char *key, const char *text)
{
    XB_CLEANUP(xb_json_putp) xb_json *list = NULL;
    struct xb_error err = XB_ERROR_INIT;
    if (text[0] != '[') {
        list = json_object_new_array();
        json_object_array_add(list, json_object_new_string(text));
    } else if (xb_json_parse(text, strlen(text), &list, &err) < 0) {
        xb_hook_note(&hook->problem, "annotation %s is no JSON list: %.*s", key, NOTE_BYTES_MAX,
                     err.text);
        return;
    }
    const char *why = xb_hook_command(list, &hook->argv);
    if (why) {
        xb_hook_note(&hook->problem, "annotation %s %s", key, why);
    }
}

static int from_annotations(xb_json *pod, const char *prefix, struct xb_hook_list *list,
                            bool *ret_found, struct xb_error *err)
{
    char key[64];
    struct xb_hook *hook = NULL;
    const char *command = annotation(pod, prefix, "command");
    *ret_found = command[0] != '\0';
    if (!*ret_found) {
        return 0;
    }
    int r = xb_hook_add(list, &hook, err);
    if (r < 0) {
        return r;
    }
    hook->name = strdup("from-annotation");
    snprintf(key, sizeof key, "%scommand", prefix);
    xb_hook_annotated_command(hook, key, command);
    xb_hook_set_container(hook, pod, annotation(pod, prefix, "container"));
    const char *on_error = annotation(pod, prefix, "on-error");
    hook->go_on = strcmp(on_error, "Continue") == 0;
    if (on_error[0] && !hook->go_on && strcmp(on_error, "Fail") != 0) {
        xb_hook_note(&hook->note,
                     "annotation %son-error is neither Fail nor Continue: '%.*s'"
                     "; Fail is meant",
                     prefix, NOTE_BYTES_MAX, on_error);
    }
    const char *timeout = annotation(pod, prefix, "timeout");
    if (!xb_hook_time(timeout, XB_EXEC_TIMEOUT_MS, &hook->timeout_ms)) {
        xb_hook_note(&hook->note,
                     "annotation %stimeout is no time up to a day: '%.*s'; %d s "
                     "are meant",
                     prefix, NOTE_BYTES_MAX, timeout, XB_EXEC_TIMEOUT_MS / 1000);
    }
    return xb_hook_finished(hook, err);
}

/* A line that a session says or is told; an annotation that is there may be empty, where that has a
 * meaning. */
static char *session_line(xb_json *pod, const char *what, const char *fallback,
                          struct xb_hook *hook)
{
    char key[64];
    xb_json *value = NULL;
    snprintf(key, sizeof key, XB_SESSION_ANNOTATION "%s", what);
    bool there = json_object_object_get_ex(xb_json_get(pod, "metadata.annotations"), key, &value);
    const char *text = there ? xb_hook_text(value) : fallback;
    if (!text || strlen(text) > XB_KUBE_SESSION_LINE_BYTES_MAX || strpbrk(text, "\r\n")) {
        xb_hook_note(&hook->problem, "annotation %s is no line of at most %d bytes", key,
                     XB_KUBE_SESSION_LINE_BYTES_MAX);
        return NULL;
    }
    return strdup(text);
}

static int session_of(xb_json *pod, struct xb_hook_list *list, struct xb_error *err)
{
    bool found = false;
    int r = from_annotations(pod, XB_SESSION_ANNOTATION, list, &found, err);
    if (r < 0 || !found) {
        return r;
    }
    struct xb_hook *hook = &list->hooks[0];
    hook->ready = session_line(pod, "ready", "ready", hook);
    hook->end = session_line(pod, "end", "end", hook);
    if (hook->ready && !hook->ready[0]) {
        xb_hook_note(&hook->problem, "annotation " XB_SESSION_ANNOTATION "ready is an empty line");
    }
    return (hook->ready && hook->end) || hook->problem ? 0
                                                       : xb_error_no_memory(err, "a pod's session");
}

/* ---- the spec ---- */

static bool list_has(xb_json *list, const char *text)
{
    for (size_t i = 0; i < xb_hook_length(list); i++) {
        const char *pattern = xb_hook_text(json_object_array_get_idx(list, i));
        if (pattern && fnmatch(pattern, text, 0) == 0) {
            return true;
        }
    }
    return false;
}

bool xb_hooks_lists_take(xb_json *included, xb_json *excluded, const char *text)
{
    return !list_has(excluded, text) && (xb_hook_length(included) == 0 || list_has(included, text));
}

static bool list_has_pods(xb_json *list)
{
    static const char *const names[] = {"*", "pods", "pod", "po", "Pod", "Pods", "pods."};
    for (size_t i = 0; i < xb_hook_length(list); i++) {
        const char *name = xb_hook_text(json_object_array_get_idx(list, i));
        for (size_t j = 0; name && j < sizeof names / sizeof names[0]; j++) {
            if (strcmp(name, names[j]) == 0) {
                return true;
            }
        }
    }
    return false;
}

bool xb_hook_is_for(xb_json *resource, xb_json *pod)
{
    xb_json *included = xb_json_get(resource, "includedResources");
    xb_json *selector = xb_json_get(resource, "labelSelector");
    return xb_hooks_lists_take(xb_json_get(resource, "includedNamespaces"),
                               xb_json_get(resource, "excludedNamespaces"),
                               xb_json_str(pod, "metadata.namespace", "")) &&
           !list_has_pods(xb_json_get(resource, "excludedResources")) &&
           (xb_hook_length(included) == 0 || list_has_pods(included)) &&
           (!selector || xb_selector_matches(selector, xb_json_get(pod, "metadata.labels")));
}

int xb_hook_add_exec(struct xb_hook_list *list, const struct xb_hook_exec *from,
                     struct xb_hook **ret, struct xb_error *err)
{
    struct xb_hook *hook = NULL;
    int r = xb_hook_add(list, &hook, err);
    if (r < 0) {
        return r;
    }
    hook->name = strndup(from->name, XB_HOOK_WORD_BYTES_MAX);
    const char *why = xb_hook_command(xb_json_get(from->exec, "command"), &hook->argv);
    if (why) {
        xb_hook_note(&hook->problem, "its command %s", why);
    }
    xb_hook_set_container(hook, from->pod, xb_json_str(from->exec, "container", ""));
    *ret = hook;
    return 0;
}

static int from_exec(xb_json *pod, const char *name, xb_json *exec, struct xb_hook_list *list,
                     struct xb_error *err)
{
    struct xb_hook *hook = NULL;
    const struct xb_hook_exec from = {.pod = pod, .name = name, .exec = exec};
    int r = xb_hook_add_exec(list, &from, &hook, err);
    if (r < 0) {
        return r;
    }
    hook->go_on = strcmp(xb_json_str(exec, "onError", ""), "Continue") == 0;
    if (!xb_hook_time(xb_json_str(exec, "timeout", ""), XB_EXEC_TIMEOUT_MS, &hook->timeout_ms)) {
        xb_hook_note(&hook->note, "its timeout is no time up to a day");
    }
    return xb_hook_finished(hook, err);
}

static int from_spec(xb_json *backup, xb_json *pod, enum xb_hook_phase phase,
                     struct xb_hook_list *list, struct xb_error *err)
{
    xb_json *resources = xb_json_get(backup, "spec.hooks.resources");
    int r = 0;
    for (size_t i = 0; r == 0 && i < xb_hook_length(resources); i++) {
        xb_json *resource = json_object_array_get_idx(resources, i);
        xb_json *hooks = xb_json_get(resource, xb_hook_phase_name(phase));
        if (xb_hook_length(hooks) == 0 || !xb_hook_is_for(resource, pod)) {
            continue;
        }
        for (size_t j = 0; r == 0 && j < xb_hook_length(hooks); j++) {
            xb_json *exec = xb_json_get(json_object_array_get_idx(hooks, j), "exec");
            r = exec ? from_exec(pod, xb_json_str(resource, "name", ""), exec, list, err) : 0;
        }
    }
    return r;
}

static int phase_of(xb_json *backup, xb_json *pod, enum xb_hook_phase phase,
                    struct xb_hook_list *list, struct xb_error *err)
{
    bool found = false;
    int r = from_annotations(pod, phase == XB_HOOK_PRE ? "pre." ANNOTATION : "post." ANNOTATION,
                             list, &found, err);
    if (r == 0 && !found && phase == XB_HOOK_PRE) {
        r = from_annotations(pod, ANNOTATION, list, &found, err);
    }
    return r < 0 || found ? r : from_spec(backup, pod, phase, list, err);
}

int xb_hooks_of(xb_json *backup, xb_json *pod, struct xb_hooks *ret, struct xb_error *err)
{
    const char *ended = xb_json_str(pod, "status.phase", "");
    struct xb_hooks hooks = {.phases = {{.hooks = NULL}}};
    int r = 0;
    if (strcmp(ended, "Succeeded") != 0 && strcmp(ended, "Failed") != 0) {
        r = phase_of(backup, pod, XB_HOOK_PRE, &hooks.phases[XB_HOOK_PRE], err);
        if (r == 0) {
            r = phase_of(backup, pod, XB_HOOK_POST, &hooks.phases[XB_HOOK_POST], err);
        }
        r = r ? r : session_of(pod, &hooks.phases[XB_HOOK_SESSION], err);
    }
    if (r < 0) {
        xb_hooks_free(&hooks);
        return r;
    }
    *ret = hooks;
    return 0;
}

/* ---- comparing ---- */

static xb_json *describe(const struct xb_hook *hook)
{
    xb_json *parts = json_object_new_array();
    json_object_array_add(parts, json_object_new_string(hook->name));
    json_object_array_add(parts, json_object_new_string(hook->container));
    json_object_array_add(parts, json_object_new_int(hook->timeout_ms));
    json_object_array_add(parts, json_object_new_boolean(hook->go_on));
    for (size_t i = 0; hook->argv && hook->argv[i]; i++) {
        json_object_array_add(parts, json_object_new_string(hook->argv[i]));
    }
    if (hook->ready && hook->end) {
        json_object_array_add(parts, json_object_new_string(hook->ready));
        json_object_array_add(parts, json_object_new_string(hook->end));
    }
    return parts;
}

int xb_hooks_digest(const struct xb_hooks *hooks, char out[XB_HOOKS_DIGEST_BYTES],
                    struct xb_error *err)
{
    unsigned char digest[XB_SHA256_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *all = json_object_new_array();
    for (int phase = 0; phase < XB_HOOK_PHASES; phase++) {
        const struct xb_hook_list *list = &hooks->phases[phase];
        if (phase == XB_HOOK_SESSION && list->count == 0) {
            continue; /* the digest that the other side has, which may know of no sessions */
        }
        xb_json *described = json_object_new_array();
        for (size_t i = 0; i < list->count; i++) {
            json_object_array_add(described, describe(&list->hooks[i]));
        }
        json_object_array_add(all, described);
    }
    const char *text = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
    int r = text ? xb_sha256(text, strlen(text), digest, err)
                 : xb_error_no_memory(err, "the hooks of a pod");
    if (r == 0) {
        xb_hex_encode(digest, sizeof digest, out);
    }
    return r;
}
