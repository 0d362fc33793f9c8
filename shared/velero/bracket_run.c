/* SPDX-License-Identifier: Apache-2.0
 * Running the hooks of a phase, and what is kept of what they said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/velero/bracket.h"

enum { TRY_AGAIN_MS = 1000 };

static void put_text(xb_json *result, const char *key, const char *text)
{
    json_object_object_add(result, key, json_object_new_string(text));
}

/* The bytes of a UTF-8 sequence that begins here and is whole; 0: there is none. */
static size_t sequence(const unsigned char *at, size_t left)
{
    size_t len = 0;
    if (at[0] < 0x80) {
        return at[0] >= ' ' || at[0] == '\n' || at[0] == '\t' ? at[0] != 0x7f : 0;
    }
    if (at[0] >= 0xc2 && at[0] < 0xe0) {
        len = 2;
    } else if (at[0] >= 0xe0 && at[0] < 0xf0) {
        len = 3;
    } else if (at[0] >= 0xf0 && at[0] < 0xf5) {
        len = 4;
    }
    if (len == 0 || len > left) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong ones, surrogates and what is above Unicode are no text either. */
    bool none = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0) ||
                (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90);
    return none ? 0 : len;
}

/* What a stream said, as text that fits into JSON and a log: other bytes become '?'. */
static void put_output(xb_json *result, const char *key, const struct xb_exec_output *output)
{
    size_t len = output->bytes.len;
    while (len > 0 &&
           (output->bytes.data[len - 1] == '\n' || output->bytes.data[len - 1] == '\r')) {
        len--;
    }
    if (len == 0) {
        return;
    }
    XB_CLEANUP(xb_freep) char *text = malloc(len + sizeof " [cut]");
    size_t filled = 0;
    for (size_t at = 0; text && at < len;) {
        const unsigned char *from = (const unsigned char *)output->bytes.data + at;
        size_t whole = sequence(from, len - at);
        if (whole == 0) {
            text[filled++] = '?';
            at++;
        } else {
            memcpy(text + filled, from, whole);
            filled += whole;
            at += whole;
        }
    }
    if (text) {
        snprintf(text + filled, sizeof " [cut]", "%s", output->truncated ? " [cut]" : "");
        put_text(result, key, text);
    }
}

void xb_bracket_put_said(xb_json *result, const struct xb_exec_result *said)
{
    put_output(result, "stdout", &said->out);
    put_output(result, "stderr", &said->err);
}

static void wait_a_moment(const atomic_bool *cancel)
{
    const struct timespec pause = {.tv_nsec = 50 * XB_NS_PER_MS};
    int64_t until_ns = xb_clock_mono_ns() + TRY_AGAIN_MS * XB_NS_PER_MS;
    while (xb_clock_mono_ns() < until_ns && !(cancel && atomic_load(cancel))) {
        (void)nanosleep(&pause, NULL);
    }
}

/* Runs one; what could not be started is tried again. */
static int execute(const struct xb_bracket_run *run, const struct xb_hook *hook, size_t bytes_max,
                   struct xb_exec_result *ret, struct xb_error *err)
{
    const struct xb_exec_command command = {.argv = (const char *const *)hook->argv,
                                            .timeout_ms = hook->timeout_ms,
                                            .output_bytes_max = bytes_max,
                                            .cancel = run->cancel};
    int r = run->exec(run->context, hook->container, &command, ret, err);
    for (int try = 1; r < 0 && err->kind == XB_ERR_RETRY && try < XB_BRACKET_TRIES_MAX; try++) {
        wait_a_moment(run->cancel);
        *err = (struct xb_error)XB_ERROR_INIT;
        r = run->exec(run->context, hook->container, &command, ret, err);
    }
    return r;
}

int xb_bracket_run_hook(const struct xb_bracket_run *run, const struct xb_hook_list *list,
                        size_t index, xb_json *result, struct xb_error *err)
{
    const struct xb_hook *hook = &list->hooks[index];
    size_t share = XB_BRACKET_OUTPUTS_BYTES / (2 * list->count);
    size_t bytes_max = share < XB_BRACKET_OUTPUT_BYTES ? share : XB_BRACKET_OUTPUT_BYTES;
    struct xb_exec_result said = {.exit_code = -1};
    struct xb_error why = XB_ERROR_INIT;
    if (hook->note) {
        put_text(result, "note", hook->note);
    }
    if (hook->problem) {
        put_text(result, "error", hook->problem);
        return 0;
    }
    if (execute(run, hook, bytes_max, &said, &why) < 0) {
        put_text(result, "error", why.text);
        if (why.kind == XB_ERR_CANCELLED) {
            *err = why;
            return why.code;
        }
        return 0;
    }
    if (said.timed_out) {
        char duration[XB_TIME_TEXT_BYTES];
        xb_duration_format((int64_t)hook->timeout_ms * XB_NS_PER_MS, duration);
        json_object_object_add(result, "timedOut", json_object_new_boolean(true));
        put_text(result, "timeout", duration);
    } else {
        json_object_object_add(result, "exit", json_object_new_int(said.exit_code));
    }
    xb_bracket_put_said(result, &said);
    xb_exec_result_free(&said);
    return 0;
}

static xb_json *new_result(enum xb_hook_phase phase, const struct xb_hook *hook)
{
    xb_json *result = json_object_new_object();
    put_text(result, "phase", xb_hook_phase_name(phase));
    put_text(result, "hook", hook->name);
    put_text(result, "container", hook->container);
    return result;
}

int xb_bracket_run(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                   enum xb_hook_phase phase, struct xb_bracket_record *record, struct xb_error *err)
{
    const struct xb_hook_list *list = &hooks->phases[phase];
    char ignored[8];
    int r = 0;
    if (phase == XB_HOOK_POST && run->thaw) {
        run->thaw(run->context, record);
    }
    for (size_t i = 0; r == 0 && i < list->count; i++) {
        const struct xb_hook *hook = &list->hooks[i];
        xb_json *result = new_result(phase, hook);
        json_object_array_add(record->results, result);
        if (phase == XB_HOOK_PRE && record->refused) {
            json_object_object_add(result, "skipped", json_object_new_boolean(true));
            continue;
        }
        r = xb_bracket_run_hook(run, list, i, result, err);
        if (phase == XB_HOOK_PRE && !hook->go_on &&
            xb_bracket_failed(result, ignored, sizeof ignored)) {
            record->refused = true;
        }
    }
    return r;
}

/* ---- the session ---- */

/* The pod's; NULL: it has none. */
static const struct xb_hook *session_of(const struct xb_hooks *hooks)
{
    const struct xb_hook_list *list = &hooks->phases[XB_HOOK_SESSION];
    return list->count > 0 ? &list->hooks[0] : NULL;
}

/* Once the pre hooks have been run. */
static int begin_session(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                         struct xb_bracket_record *record, struct xb_error *err)
{
    const struct xb_hook *session = session_of(hooks);
    if (!session || record->refused) {
        return 0;
    }
    XB_CLEANUP(xb_json_putp) xb_json *result = new_result(XB_HOOK_SESSION, session);
    int r = 0;
    if (session->problem) {
        put_text(result, "error", session->problem);
    } else if (!run->hold) {
        put_text(result, "error", "only the coordinator can hold a session");
    } else {
        r = run->hold(run->context, session, result, err);
    }
    if (r > 0) { /* its result comes with its end */
        record->session = XB_BRACKET_SESSION_HELD;
        return 0;
    }
    if (session->note) {
        put_text(result, "note", session->note);
    }
    record->refused = !session->go_on;
    json_object_array_add(record->results, XB_TAKE(result));
    return r;
}

static xb_json *add_session(const struct xb_hooks *hooks, struct xb_bracket_record *record)
{
    static const struct xb_hook unknown = {.name = (char *)"", .container = (char *)""};
    const struct xb_hook *session = session_of(hooks); /* maybe not any more */
    xb_json *result = new_result(XB_HOOK_SESSION, session ? session : &unknown);
    if (session && session->note) {
        put_text(result, "note", session->note);
    }
    json_object_array_add(record->results, result);
    return result;
}

/* While everything has been copied: whether it has lasted so long. */
static void look_at_session(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                            struct xb_bracket_record *record)
{
    if (record->session != XB_BRACKET_SESSION_HELD || record->state != XB_BRACKET_PRE_DONE) {
        return;
    }
    XB_CLEANUP(xb_json_putp) xb_json *why = json_object_new_object();
    if (run->holds && run->holds(run->context, why)) {
        return;
    }
    xb_json *result = add_session(hooks, record);
    record->session = XB_BRACKET_SESSION_LOST;
    json_object_object_foreach(why, key, value)
    {
        json_object_object_add(result, key, json_object_get(value));
    }
    if (!xb_json_get(why, "error")) {
        put_text(result, "error", "the process that held it has ended, and it with that");
    }
}

static void end_session(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                        struct xb_bracket_record *record)
{
    char why[200];
    if (record->session != XB_BRACKET_SESSION_HELD) {
        return;
    }
    xb_json *result = add_session(hooks, record);
    record->session = XB_BRACKET_SESSION_NONE;
    if (!run->release || !run->release(run->context, result)) {
        snprintf(why, sizeof why, "%s ended while it told it to end: how it ended is not known",
                 run->who);
        put_text(result, "error", why);
    }
}

/* ---- the bracket ---- */

/* Whoever died in the middle leaves it open how the hooks ended: that is a failure. */
static void note_interrupted(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                             struct xb_bracket_record *record)
{
    const struct xb_hook_list *list = &hooks->phases[XB_HOOK_PRE];
    const struct xb_hook *session = session_of(hooks);
    char why[200];
    if (list->count > 0) {
        snprintf(why, sizeof why, "%s ended while it ran them: how they ended is not known",
                 run->who);
        xb_bracket_record_fail(record, XB_HOOK_PRE, why);
    }
    for (size_t i = 0; i < list->count; i++) {
        record->refused = record->refused || !list->hooks[i].go_on;
    }
    if (session) {
        snprintf(why, sizeof why, "%s ended before it was ready: nothing was held", run->who);
        xb_bracket_record_fail(record, XB_HOOK_SESSION, why);
        record->refused = record->refused || !session->go_on;
    }
}

static int enter(const struct xb_bracket_run *run, struct xb_bracket_record *record,
                 enum xb_bracket_state state, struct xb_error *err)
{
    record->state = state;
    return run->tell ? run->tell(run->context, record, err) : 0;
}

int xb_bracket_open(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                    struct xb_bracket_record *record, struct xb_error *err)
{
    int r = 0;
    if (record->state >= XB_BRACKET_PRE_DONE) {
        return 0;
    }
    if (record->state == XB_BRACKET_PRE_BEGUN) {
        note_interrupted(run, hooks, record);
    } else {
        record->begun_ms = xb_clock_wall_ns() / XB_NS_PER_MS;
        if ((r = enter(run, record, XB_BRACKET_PRE_BEGUN, err)) < 0 ||
            (r = xb_bracket_run(run, hooks, XB_HOOK_PRE, record, err)) < 0 ||
            (r = begin_session(run, hooks, record, err)) < 0) {
            return r;
        }
    }
    bool more = hooks->phases[XB_HOOK_POST].count > 0 || record->session != XB_BRACKET_SESSION_NONE;
    return enter(run, record, more ? XB_BRACKET_PRE_DONE : XB_BRACKET_DONE, err);
}

/* Post hooks without a word to anybody before they have been run. */
static void thaw(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                 struct xb_bracket_record *record)
{
    struct xb_bracket_run surely = *run;
    struct xb_error ignored = XB_ERROR_INIT;
    surely.cancel = NULL;
    (void)!xb_bracket_run(&surely, hooks, XB_HOOK_POST, record, &ignored);
    record->ended_ms = xb_clock_wall_ns() / XB_NS_PER_MS;
    record->state = XB_BRACKET_DONE;
}

/* From the last pre hook on, however that ended. */
static int hold(const struct xb_bracket_run *run, const struct xb_hooks *hooks, bool cancelled,
                struct xb_bracket_record *record, struct xb_error *err)
{
    const int64_t held_ns = xb_clock_mono_ns();
    bool over = cancelled || record->refused || (run->copy && run->copy(run->context));
    struct xb_error why = XB_ERROR_INIT;
    int r = 0;
    if (!over) {
        bool more = hooks->phases[XB_HOOK_POST].count > 0;
        r = enter(run, record, more ? XB_BRACKET_PRE_DONE : XB_BRACKET_DONE, &why);
    }
    if (over || r < 0) { /* what nobody could find again is not left frozen */
        record->held_us = (xb_clock_mono_ns() - held_ns) / 1000;
        thaw(run, hooks, record);
    }
    if (over) {
        r = enter(run, record, XB_BRACKET_DONE, &why);
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

int xb_bracket_pass(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                    struct xb_bracket_record *record, struct xb_error *err)
{
    if (record->state >= XB_BRACKET_PRE_DONE) {
        return 0;
    }
    if (record->state == XB_BRACKET_PRE_BEGUN) {
        return xb_bracket_close(run, hooks, record, err);
    }
    record->begun_ms = xb_clock_wall_ns() / XB_NS_PER_MS;
    int r = enter(run, record, XB_BRACKET_PRE_BEGUN, err);
    if (r < 0) {
        record->state = XB_BRACKET_UNBEGUN; /* no hook has been run */
        return r;
    }
    struct xb_error why = XB_ERROR_INIT;
    int cancelled = xb_bracket_run(run, hooks, XB_HOOK_PRE, record, &why);
    r = hold(run, hooks, cancelled < 0, record, err);
    if (cancelled < 0) {
        *err = why;
        return cancelled;
    }
    return r;
}

int xb_bracket_close(const struct xb_bracket_run *run, const struct xb_hooks *hooks,
                     struct xb_bracket_record *record, struct xb_error *err)
{
    if (record->state == XB_BRACKET_UNBEGUN || record->state == XB_BRACKET_DONE) {
        return 0;
    }
    if (record->state == XB_BRACKET_PRE_BEGUN) {
        note_interrupted(run, hooks, record);
    }
    look_at_session(run, hooks, record);
    int r = enter(run, record, XB_BRACKET_POST_BEGUN, err);
    if (r < 0) {
        return r;
    }
    end_session(run, hooks, record);
    if ((r = xb_bracket_run(run, hooks, XB_HOOK_POST, record, err)) < 0) {
        return r;
    }
    record->ended_ms = xb_clock_wall_ns() / XB_NS_PER_MS;
    return enter(run, record, XB_BRACKET_DONE, err);
}

int xb_bracket_tell(struct xb_kube_client *client, const struct xb_kube_ref *where,
                    const struct xb_bracket_record *record, struct xb_error *err)
{
    const struct timespec pause = {.tv_sec = 1};
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    int r = xb_bracket_record_patch(record, &patch, err);
    if (r < 0) {
        return r;
    }
    r = xb_kube_merge_patch(client, where, patch, NULL, err);
    for (int try = 1; r < 0 && err->kind == XB_ERR_RETRY && try < XB_BRACKET_TELL_TRIES_MAX;
         try++) {
        (void)nanosleep(&pause, NULL);
        *err = (struct xb_error)XB_ERROR_INIT;
        r = xb_kube_merge_patch(client, where, patch, NULL, err);
    }
    return r;
}
