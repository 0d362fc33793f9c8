/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restore/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/verify_internal.h"
#include "shared/base/clock.h"
#include "shared/base/workers.h"

enum { TICK_MS = 250, TRIES_MAX = 3 };

/* ---- what all share ---- */

bool xb_verify_is_damage(const struct xb_error *why)
{
    return why->kind == XB_ERR_CORRUPT || why->kind == XB_ERR_NOT_FOUND ||
           why->kind == XB_ERR_INVALID || why->kind == XB_ERR_IO;
}

void xb_verify_fail(struct xb_verify *verify, const struct xb_error *why)
{
    pthread_mutex_lock(&verify->lock);
    if (!verify->failed.code) {
        verify->failed = *why;
    }
    atomic_store(&verify->stop, true);
    pthread_cond_broadcast(&verify->changed);
    pthread_mutex_unlock(&verify->lock);
}

int xb_verify_tick(struct xb_verify *verify, struct xb_error *err)
{
    const struct xb_verify_options *options = verify->options;
    if (options->cancel && atomic_load(options->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "cancelled");
    }
    if (!options->progress) {
        return 0;
    }
    pthread_mutex_lock(&verify->lock);
    int64_t now_ns = xb_clock_mono_ns();
    if (now_ns - verify->ticked_ns > TICK_MS * XB_NS_PER_MS) {
        const struct xb_verify_progress progress = {
            .files_done = atomic_load(&verify->files),
            .files_total = verify->files_total,
            .bytes_done = atomic_load(&verify->bytes_read),
            .bytes_total = verify->reading ? atomic_load(&verify->bytes_wanted) : 0};
        options->progress(options->progress_context, &progress);
        verify->ticked_ns = now_ns;
    }
    pthread_mutex_unlock(&verify->lock);
    return 0;
}

int xb_verify_crew(struct xb_verify *verify, void (*fn)(void *verify), struct xb_error *err)
{
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    int r = xb_workers_new(verify->threads, verify->threads, &workers, err);
    if (r < 0) {
        return r;
    }
    for (unsigned i = 0; i < verify->threads; i++) {
        xb_workers_submit(workers, fn, verify);
    }
    xb_workers_drain(workers);
    if (verify->failed.code) {
        *err = verify->failed;
        return err->code;
    }
    return 0;
}

/* ---- what was found ---- */

static void keep_detail(struct xb_verify *verify, const struct xb_content_id *id,
                        const struct xb_error *why)
{
    pthread_mutex_lock(&verify->lock);
    bool room = verify->detail_count < XB_VERIFY_DETAILS_MAX;
    bool known = room && xb_verify_detail(verify, id) != NULL;
    if (!verify->details) {
        verify->details = calloc(XB_VERIFY_DETAILS_MAX, sizeof *verify->details);
    }
    /* Without room, or memory, it is named all the same, but without the reason. */
    if (room && !known && verify->details) {
        char *text = strdup(why->text);
        if (text) {
            verify->details[verify->detail_count++] =
                (struct xb_verify_detail){.id = *id, .text = text};
        }
    }
    pthread_mutex_unlock(&verify->lock);
}

void xb_verify_bad(struct xb_verify *verify, size_t content, const struct xb_error *why)
{
    struct xb_content_info info;
    atomic_store(&verify->damaged, true);
    if (!(atomic_fetch_or(&verify->state[content], XB_CONTENT_BAD) & XB_CONTENT_BAD)) {
        xb_content_view_at(verify->view, content, &info);
        keep_detail(verify, &info.id, why);
    }
}

void xb_verify_bad_id(struct xb_verify *verify, const struct xb_content_id *id,
                      const struct xb_error *why)
{
    atomic_store(&verify->damaged, true);
    keep_detail(verify, id, why);
}

const struct xb_verify_detail *xb_verify_detail(const struct xb_verify *verify,
                                                const struct xb_content_id *id)
{
    for (size_t i = 0; i < verify->detail_count; i++) {
        if (xb_content_id_compare(&verify->details[i].id, id) == 0) {
            return &verify->details[i];
        }
    }
    return NULL;
}

static char *copy_of(const char *text)
{
    return strdup(text ? text : "");
}

static void free_message(struct xb_verify_message *message)
{
    free(message->snapshot);
    free(message->path);
    free(message->object);
    free(message->content);
    free(message->pack);
    free(message->index);
    free(message->text);
}

int xb_verify_note(struct xb_verify *verify, const struct xb_verify_hit *hit, struct xb_error *err)
{
    struct xb_verify_result *result = &verify->result;
    result->damaged++;
    if (result->message_count == XB_VERIFY_MESSAGES_MAX) {
        return 0;
    }
    struct xb_verify_message *messages =
        reallocarray(result->messages, result->message_count + 1, sizeof *messages);
    if (!messages) {
        return xb_error_no_memory(err, "a report");
    }
    result->messages = messages;
    struct xb_verify_message message = {.snapshot = copy_of(hit->snapshot),
                                        .path = copy_of(hit->path),
                                        .object = copy_of(hit->object),
                                        .content = copy_of(hit->content),
                                        .pack = copy_of(hit->pack),
                                        .index = copy_of(hit->index),
                                        .text = copy_of(hit->text)};
    if (!message.snapshot || !message.path || !message.object || !message.content ||
        !message.pack || !message.index || !message.text) {
        free_message(&message);
        return xb_error_no_memory(err, "a report");
    }
    messages[result->message_count++] = message;
    return 0;
}

int xb_verify_warn(struct xb_verify *verify, const char *blob, struct xb_error *err,
                   const char *format, ...)
{
    struct xb_verify_result *result = &verify->result;
    char *text = NULL;
    va_list arguments;
    int r = 0;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) {
        text = NULL;
    }
    va_end(arguments);
    char *name = strdup(blob);
    pthread_mutex_lock(&verify->lock);
    result->warned++;
    if (result->warning_count < XB_VERIFY_WARNINGS_MAX) {
        struct xb_verify_warning *warnings =
            reallocarray(result->warnings, result->warning_count + 1, sizeof *warnings);
        result->warnings = warnings ? warnings : result->warnings;
        if (warnings && name && text) {
            warnings[result->warning_count++] =
                (struct xb_verify_warning){.blob = XB_TAKE(name), .text = XB_TAKE(text)};
        } else {
            r = xb_error_no_memory(err, "a report");
        }
    }
    pthread_mutex_unlock(&verify->lock);
    free(name);
    free(text);
    return r;
}

void xb_verify_result_free(struct xb_verify_result *result)
{
    for (size_t i = 0; i < result->message_count; i++) {
        free_message(&result->messages[i]);
    }
    for (size_t i = 0; i < result->warning_count; i++) {
        free(result->warnings[i].blob);
        free(result->warnings[i].text);
    }
    free(result->messages);
    free(result->warnings);
    *result = (struct xb_verify_result){.messages = NULL};
}

/* ---- the run ---- */

static int note_loss(void *context, const struct xb_loss *loss, struct xb_error *err)
{
    struct xb_verify *verify = context;
    char text[XB_ERROR_TEXT_BYTES + 200];
    snprintf(text, sizeof text, "%s: %s", loss->why,
             loss->name[0] == 'm' ? "snapshots that only it tells of are not listed at all"
                                  : "what only it names is missing, in the files that are listed "
                                    "here, and maybe whole snapshots");
    const struct xb_verify_hit hit = {.index = loss->name, .text = text};
    return xb_verify_note(verify, &hit, err);
}

static int note_unreadable(struct xb_verify *verify, const struct xb_snapshot_list *list,
                           struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < list->unreadable_count; i++) {
        const struct xb_verify_hit hit = {.snapshot = "?", .text = list->unreadable[i]};
        r = xb_verify_note(verify, &hit, err);
    }
    return r;
}

static int begin(struct xb_verify *verify, struct xb_error *err)
{
    xb_repository_read_anew(verify->repository);
    int r = xb_content_view_open(verify->repository, &verify->view, err);
    if (r < 0) {
        return r;
    }
    size_t count = xb_content_view_count(verify->view);
    verify->state = count <= UINT32_MAX ? calloc(count + 1, sizeof *verify->state) : NULL;
    return verify->state ? xb_verify_list_packs(verify, verify->view, &verify->packs, err)
                         : xb_error_no_memory(err, "a list of contents");
}

static void end(struct xb_verify *verify)
{
    for (size_t i = 0; i < verify->detail_count; i++) {
        free(verify->details[i].text);
    }
    free(verify->details);
    free(verify->todo);
    free(verify->state);
    xb_verify_packs_free(&verify->packs);
    xb_verify_packs_free(&verify->fresh_packs);
    xb_content_view_free(verify->view);
    xb_content_view_free(verify->fresh);
    pthread_mutex_destroy(&verify->lock);
    pthread_cond_destroy(&verify->changed);
}

static int look_at_packs(struct xb_verify *verify, struct xb_error *err)
{
    int r = xb_verify_orphans(verify, err);
    return r < 0 || verify->options->data_percent < 100 ? r : xb_verify_pack_ends(verify, err);
}

static int run_all(struct xb_verify *verify, const struct xb_snapshot_list *list, bool packs,
                   struct xb_error *err)
{
    uint64_t lost = 0;
    int r = begin(verify, err);
    if (r < 0 || (r = xb_verify_walk(verify, list->items, list->count, err)) < 0 ||
        atomic_load(&verify->outdated) || (r = xb_verify_read(verify, err)) < 0 ||
        (r = xb_repository_losses(verify->repository, note_loss, verify, &lost, err)) < 0 ||
        (r = note_unreadable(verify, list, err)) < 0) {
        return r;
    }
    for (size_t i = 0; r == 0 && i < list->count && atomic_load(&verify->damaged); i++) {
        r = xb_verify_name(verify, list->items[i], err);
    }
    return r == 0 && packs ? look_at_packs(verify, err) : r;
}

static int run_once(struct xb_verify *verify, const struct xb_snapshot *snapshot,
                    struct xb_error *err)
{
    struct xb_snapshot_list list = {.items = NULL};
    union {
        const struct xb_snapshot *in;
        struct xb_snapshot *out;
    } only = {.in = snapshot}; /* it is only read */
    pthread_mutex_init(&verify->lock, NULL);
    pthread_cond_init(&verify->changed, NULL);
    if (snapshot) {
        const struct xb_snapshot_list one = {.items = &only.out, .count = 1};
        return run_all(verify, &one, false, err);
    }
    int r = xb_snapshot_list(verify->repository, NULL, &list, err);
    if (r == 0) {
        r = run_all(verify, &list, true, err);
        verify->result.snapshots = list.count;
        xb_snapshot_list_free(&list);
    }
    return r;
}

static void fill_counts(struct xb_verify *verify, const struct xb_snapshot *snapshot)
{
    struct xb_verify_result *result = &verify->result;
    result->snapshots = snapshot ? 1 : result->snapshots;
    result->files = atomic_load(&verify->files);
    result->dirs = atomic_load(&verify->dirs);
    result->contents = atomic_load(&verify->contents);
    result->contents_read = atomic_load(&verify->contents_read);
    result->bytes_read = atomic_load(&verify->bytes_read);
    result->packs = verify->packs.count;
}

int xb_verify_run(struct xb_repository *repository, const struct xb_snapshot *snapshot,
                  const struct xb_verify_options *options, struct xb_verify_result *ret,
                  struct xb_error *err)
{
    unsigned threads = options->threads ? options->threads : XB_VERIFY_THREADS;
    for (int try = 1;; try++) {
        struct xb_verify verify = {
            .repository = repository,
            .options = options,
            .threads = threads < XB_VERIFY_THREADS_MAX ? threads : XB_VERIFY_THREADS_MAX};
        int r = run_once(&verify, snapshot, err);
        bool again = r == 0 && atomic_load(&verify.outdated);
        fill_counts(&verify, snapshot);
        struct xb_verify_result result = verify.result;
        end(&verify);
        if (r == 0 && !again) {
            *ret = result;
            return 0;
        }
        xb_verify_result_free(&result);
        /* Others have written again what the index had lost: with their index from the start. */
        if (r < 0 || try == TRIES_MAX) {
            return r < 0 ? r
                         : xb_error_set(err, XB_ERR_RETRY, -EAGAIN,
                                        "the repository changes too fast to be verified");
        }
    }
}
