/* SPDX-License-Identifier: Apache-2.0
 *
 * hooks_internal.h - what the hooks of backups and those of restores have in common; for the files
 * of hooks and restore_hooks only.
 *
 * What for:  one reading of words, commands, times, containers and selectors.
 */
#pragma once

#include "shared/velero/hooks.h"

enum { XB_HOOKS_FIELD_BYTES = 320 };

/* Of an array; 0 for anything else. */
size_t xb_hook_length(xb_json *list);
/* A string without a NUL byte in it, or NULL. */
const char *xb_hook_text(xb_json *value);
/* A pod's annotation; "" where there is none. */
const char *xb_hook_annotation(xb_json *pod, const char *key);

/* One more, all zero; xb_hook_finished tells whether what every hook has is there. */
int xb_hook_add(struct xb_hook_list *list, struct xb_hook **ret,
                struct xb_error *err) XB_MUST_CHECK;
int xb_hook_finished(const struct xb_hook *hook, struct xb_error *err) XB_MUST_CHECK;

void xb_hook_clear(struct xb_hook *hook);

/* Keeps the first of what is wrong with a hook. */
void xb_hook_note(char **where, const char *format, ...) XB_PRINTF(2, 3);
/* An array of strings as argv; what it cannot be is told by the return: NULL, or why. */
const char *xb_hook_command(xb_json *list, char ***ret);
/* A list as JSON if it begins like one, else one word. */
void xb_hook_annotated_command(struct xb_hook *hook, const char *key, const char *text);
/* "": the first one. */
void xb_hook_set_container(struct xb_hook *hook, xb_json *pod, const char *wanted);
/* Go's duration; "" and 0 mean the fallback. False: it is none that a hook may have. */
bool xb_hook_time(const char *text, int fallback_ms, int *ret_ms);
/* Whether an entry of spec.hooks.resources is for a pod. */
bool xb_hook_is_for(xb_json *resource, xb_json *pod);

/* ---- hooks_check.c: what is wrong with an entry, by field ---- */

/* What every entry of spec.hooks.resources has besides its hooks. */
int xb_hooks_check_selection(xb_json *resource, const char *field,
                             struct xb_error *err) XB_MUST_CHECK;
/* The command, container and onError of an exec. */
int xb_hooks_check_exec(xb_json *exec, const char *field, struct xb_error *err) XB_MUST_CHECK;
/* A time that a hook may have, or nothing. */
int xb_hooks_check_time(xb_json *exec, const char *key, const char *field,
                        struct xb_error *err) XB_MUST_CHECK;
/* A list that is there or not. */
int xb_hooks_check_list(xb_json *object, const char *key, const char *field, xb_json **ret,
                        struct xb_error *err) XB_MUST_CHECK;
/* Runs `check` on each entry of spec.hooks.resources. */
int xb_hooks_check_each(xb_json *object,
                        int (*check)(xb_json *resource, const char *field, struct xb_error *err),
                        struct xb_error *err) XB_MUST_CHECK;
int xb_hooks_wrong(struct xb_error *err, const char *field, const char *why);

/* A hook of a spec's `exec`: its name, command and container; the rest is the caller's. */
struct xb_hook_exec {
    xb_json *pod;
    const char *name;
    xb_json *exec;
};
int xb_hook_add_exec(struct xb_hook_list *list, const struct xb_hook_exec *from,
                     struct xb_hook **ret, struct xb_error *err) XB_MUST_CHECK;
