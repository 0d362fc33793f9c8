/* SPDX-License-Identifier: Apache-2.0
 * What became of every entry: counts, a bounded list, and events. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/internal.h"

char *xb_restore_path(const struct frame *frame, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s%s%s", frame->path, frame->path[0] && name[0] ? "/" : "", name) < 0
               ? NULL
               : path;
}

/* With the lock held. */
static void tell(const struct restore *restore, enum xb_restore_action action, const char *path,
                 const char *text)
{
    if (restore->options->event) {
        const struct xb_restore_event event = {action, path ? path : "?", text};
        restore->options->event(restore->options->event_context, &event);
    }
}

/* With the lock held. Takes the path over. */
static void list_message(struct restore *restore, char *path, const char *text)
{
    struct xb_restore_result *result = &restore->result;
    struct xb_restore_message *messages = NULL;
    if (result->message_count < XB_RESTORE_MESSAGES_MAX) {
        messages = reallocarray(result->messages, result->message_count + 1, sizeof *messages);
    }
    if (!messages) {
        free(path);
        return;
    }
    result->messages = messages;
    struct xb_restore_message message = {.path = path, .text = strdup(text)};
    if (message.path && message.text) {
        messages[result->message_count++] = message;
    } else {
        free(message.path);
        free(message.text);
    }
}

void xb_restore_note_failure(struct restore *restore, const struct frame *frame, const char *name,
                             const struct xb_error *why)
{
    char *path = xb_restore_path(frame, name);
    pthread_mutex_lock(&restore->lock);
    restore->result.failed++;
    restore->result.damaged = restore->result.damaged || why->kind == XB_ERR_CORRUPT;
    tell(restore, XB_RESTORE_FAIL, path, why->text);
    list_message(restore, path, why->text);
    pthread_mutex_unlock(&restore->lock);
}

void xb_restore_note_skip(struct restore *restore, const struct frame *frame, const char *name,
                          const char *text)
{
    char *path = xb_restore_path(frame, name);
    pthread_mutex_lock(&restore->lock);
    restore->result.skipped++;
    tell(restore, XB_RESTORE_SKIP, path, text);
    list_message(restore, path, text);
    pthread_mutex_unlock(&restore->lock);
}

void xb_restore_note_extra(const struct frame *frame, const char *name)
{
    struct restore *restore = frame->restore;
    struct xb_restore_result *result = &restore->result;
    char *path = xb_restore_path(frame, name);
    pthread_mutex_lock(&restore->lock);
    result->extra++;
    tell(restore, XB_RESTORE_EXTRA, path, NULL);
    if (path && result->extra_name_count < XB_RESTORE_EXTRA_NAMES_MAX) {
        result->extra_names[result->extra_name_count++] = XB_TAKE(path);
    }
    pthread_mutex_unlock(&restore->lock);
    free(path);
}

void xb_restore_note_done(const struct frame *frame, const char *name,
                          enum xb_restore_action action)
{
    struct restore *restore = frame->restore;
    struct xb_restore_result *result = &restore->result;
    XB_CLEANUP(xb_freep)
    char *path = restore->options->event ? xb_restore_path(frame, name) : NULL;
    pthread_mutex_lock(&restore->lock);
    result->created += action == XB_RESTORE_CREATE;
    result->replaced += action == XB_RESTORE_REPLACE;
    result->kept += action == XB_RESTORE_KEEP;
    tell(restore, action, path, NULL);
    pthread_mutex_unlock(&restore->lock);
}

void xb_restore_entry_failed(struct frame *frame, const char *name, struct xb_error *err)
{
    struct restore *restore = frame->restore;
    if (err->kind == XB_ERR_CANCELLED || err->kind == XB_ERR_FULL || err->code == -EROFS ||
        err->code == -EDQUOT) {
        (void)!xb_error_wrap(err, "'%.300s%s%.200s'", frame->path, frame->path[0] ? "/" : "", name);
        xb_restore_fail(restore, err);
    } else {
        xb_restore_note_failure(restore, frame, name, err);
    }
}

void xb_restore_count(struct restore *restore, uint64_t *counter, uint64_t amount)
{
    pthread_mutex_lock(&restore->lock);
    *counter += amount;
    pthread_mutex_unlock(&restore->lock);
}

void xb_restore_count_read(struct restore *restore, uint64_t bytes)
{
    pthread_mutex_lock(&restore->lock);
    restore->result.reads++;
    restore->result.bytes_read += bytes;
    pthread_mutex_unlock(&restore->lock);
}

void xb_restore_result_free(struct xb_restore_result *result)
{
    for (size_t i = 0; i < result->message_count; i++) {
        free(result->messages[i].path);
        free(result->messages[i].text);
    }
    for (size_t i = 0; i < result->extra_name_count; i++) {
        free(result->extra_names[i]);
    }
    free(result->messages);
    result->messages = NULL;
    result->message_count = result->extra_name_count = 0;
}
