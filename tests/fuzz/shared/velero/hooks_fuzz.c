/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as a Backup, a pod and an order: hooks stay within their limits, what is checked can be
 * used, and annotations of an order are a bracket and a record or are refused. The input's lines
 * are the three; a fourth is an annotation's text as it is.
 */
#include "shared/velero/bracket.h"
#include "shared/velero/restore_hooks.h"
#include "tests/harness/fuzz.h"

static void check_hooks(xb_json *backup, xb_json *pod)
{
    struct xb_hooks hooks;
    struct xb_error err = XB_ERROR_INIT;
    char first[XB_HOOKS_DIGEST_BYTES];
    char second[XB_HOOKS_DIGEST_BYTES];
    (void)!xb_hooks_check(backup, &err);
    err = (struct xb_error)XB_ERROR_INIT;
    if (xb_hooks_of(backup, pod, &hooks, &err) < 0) {
        need(err.kind == XB_ERR_INVALID);
        return;
    }
    for (int phase = 0; phase < XB_HOOK_PHASES; phase++) {
        const struct xb_hook_list *list = &hooks.phases[phase];
        need(list->count <= XB_HOOKS_MAX);
        for (size_t i = 0; i < list->count; i++) {
            const struct xb_hook *hook = &list->hooks[i];
            const struct xb_exec_command command = {.argv = (const char *const *)hook->argv,
                                                    .timeout_ms = hook->timeout_ms};
            need(hook->name && hook->container);
            need(hook->problem || (hook->container[0] && hook->timeout_ms > 0 &&
                                   xb_exec_command_check(&command, &err) == 0));
            need(hook->problem || (phase == XB_HOOK_SESSION) == (hook->ready && hook->end));
            need(hook->problem || !hook->ready ||
                 (hook->ready[0] && !strpbrk(hook->ready, "\r\n") && !strpbrk(hook->end, "\r\n")));
        }
    }
    need(xb_hooks_digest(&hooks, first, &err) == 0);
    need(xb_hooks_digest(&hooks, second, &err) == 0 && strcmp(first, second) == 0);
    xb_hooks_free(&hooks);
}

/* What was checked can be run, and what goes into a pod are objects with names of their own. */
static void check_restore(xb_json *restore, xb_json *pod)
{
    struct xb_hook_list list;
    struct xb_error err = XB_ERROR_INIT;
    char why[64];
    (void)!xb_restore_hooks_check(restore, &err);
    err = (struct xb_error)XB_ERROR_INIT;
    if (xb_restore_hooks_of(restore, pod, &list, &err) == 0) {
        need(list.count <= XB_HOOKS_MAX);
        for (size_t i = 0; i < list.count; i++) {
            const struct xb_hook *hook = &list.hooks[i];
            const struct xb_exec_command command = {.argv = (const char *const *)hook->argv,
                                                    .timeout_ms = hook->timeout_ms};
            need(hook->wait_ms >= 0 && hook->name && hook->container);
            need(hook->problem || xb_exec_command_check(&command, &err) == 0);
            (void)xb_restore_hook_look(pod, hook->container, hook->wait_ready, why, sizeof why);
        }
        xb_hook_list_free(&list);
    } else {
        need(err.kind == XB_ERR_INVALID);
    }
    err = (struct xb_error)XB_ERROR_INIT;
    need(xb_restore_hooks_add_init(restore, pod, &err) == 0 || err.code != 0);
}

static xb_json *find(void *context, const char *name)
{
    (void)name;
    return context;
}

static void check_order(xb_json *order)
{
    struct xb_bracket bracket;
    struct xb_bracket_record record;
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_bracket_parse(order, &bracket, &err);
    (void)xb_bracket_next(order, find, order);
    (void)xb_bracket_look(order);
    if (r > 0) {
        char *text = NULL;
        need(xb_bracket_count(&bracket) > 0 && xb_bracket_leader(&bracket) != NULL);
        need(xb_bracket_write(&bracket, &text, &err) == 0);
        free(text);
        xb_bracket_free(&bracket);
    } else {
        need(r == 0 || err.kind == XB_ERR_INVALID);
    }
    if (xb_bracket_record_parse(order, &record, &err) == 0) {
        int64_t attempted = 0;
        int64_t failed = 0;
        xb_json *patch = NULL;
        xb_bracket_record_count(&record, &attempted, &failed);
        need(failed <= attempted);
        need(xb_bracket_record_patch(&record, &patch, &err) == 0);
        json_object_put(patch);
        xb_bracket_record_free(&record);
    }
}

/* The text as each annotation that is parsed. */
static void check_text(const char *text)
{
    static const char *const keys[] = {"pre.hook.backup.velero.io/command",
                                       "post.hook.backup.velero.io/timeout",
                                       "post.hook.backup.velero.io/command",
                                       "hook.backup.velero.io/container",
                                       "post.hook.restore.velero.io/command",
                                       "post.hook.restore.velero.io/wait-timeout",
                                       "post.hook.restore.velero.io/wait-for-ready",
                                       "init.hook.restore.velero.io/container-image",
                                       "init.hook.restore.velero.io/command",
                                       XB_SESSION_ANNOTATION "command",
                                       XB_SESSION_ANNOTATION "ready",
                                       XB_SESSION_ANNOTATION "end"};
    XB_CLEANUP(xb_json_putp) xb_json *pod = json_object_new_object();
    struct xb_error err = XB_ERROR_INIT;
    xb_json *annotations = json_object_new_object();
    need(xb_json_set(pod, "metadata.annotations", annotations, &err) == 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_object_object_add(annotations, keys[i], json_object_new_string(text));
    }
    check_hooks(NULL, pod);
    check_restore(NULL, pod);
    json_object_object_add(annotations, XB_BRACKET_ANNOTATION, json_object_new_string(text));
    json_object_object_add(annotations, XB_BRACKET_RECORD_ANNOTATION, json_object_new_string(text));
    check_order(pod);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    xb_json *objects[3] = {NULL, NULL, NULL};
    if (len > 1 << 16) {
        return 0;
    }
    char *text = fuzz_text(data, len);
    char *line = text;
    for (size_t i = 0; i < 3 && line; i++) {
        struct xb_error err = XB_ERROR_INIT;
        char *end = strchr(line, '\n');
        size_t bytes = end ? (size_t)(end - line) : strlen(line);
        if (xb_json_parse(line, bytes, &objects[i], &err) < 0) {
            objects[i] = NULL;
        }
        line = end ? end + 1 : NULL;
    }
    check_hooks(objects[0], objects[1]);
    check_restore(objects[0], objects[1]);
    check_order(objects[2]);
    check_text(line ? line : text);
    for (size_t i = 0; i < 3; i++) {
        json_object_put(objects[i]);
    }
    free(text);
    return 0;
}
