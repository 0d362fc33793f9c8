/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/restore_hooks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/pod_hooks.h"
#include "shared/base/clock.h"
#include "shared/base/workers.h"
#include "shared/codec/text.h"
#include "shared/http/retry.h"
#include "shared/velero/restore_hooks.h"

enum { WHY_BYTES = 400, REASON_BYTES = 700 };

enum state {
    LOOKED_AT,
    BUSY,  /* a thread runs its hooks */
    ENDED, /* all have ended; not in the log yet */
    NOTED
};

struct pod {
    struct xb_restore_hooks *all;
    struct xb_hook_pod own; /* its texts are `id`'s */
    xb_json *id;
    bool known; /* its hooks are */
    struct xb_hook_list hooks;
    struct xb_bracket_record record; /* results have their hook's "index" */
    xb_json *seen;                   /* the pod, as it was looked at last */
    int64_t up_ns;                   /* monotonic: when a container was first seen up, of those
                                        whose hooks have not been run */
    enum state state;                /* below the lock while threads run */
};

struct xb_restore_hooks {
    struct xb_step_work *work; /* of the step under way */
    const atomic_bool *cancel;
    struct xb_workers *workers;
    xb_json *by_uid; /* uid: index */
    size_t count, open;
    int64_t since_ns, look_ns; /* monotonic */
    pthread_mutex_t lock;      /* of states, and all below */
    char *stopped;             /* by which failure; NULL: by none */
    struct xb_error failure;   /* of a thread, the first */
    struct pod pods[];
};

static const char *text(xb_json *object, const char *key)
{
    return xb_json_str(object, key, "");
}

size_t xb_restore_hooks_open(const struct xb_run *run)
{
    return run->hooks ? run->hooks->open : 0;
}

int64_t xb_restore_hooks_look_ns(const struct xb_run *run)
{
    return run->hooks ? run->hooks->look_ns : 0;
}

void xb_restore_hooks_free(struct xb_restore_hooks *hooks)
{
    if (!hooks) {
        return;
    }
    for (size_t i = 0; i < hooks->count; i++) {
        struct pod *pod = &hooks->pods[i];
        xb_hook_list_free(&pod->hooks);
        xb_bracket_record_free(&pod->record);
        json_object_put(pod->seen);
        json_object_put(pod->id);
    }
    json_object_put(hooks->by_uid);
    pthread_mutex_destroy(&hooks->lock);
    free(hooks->stopped);
    free(hooks);
}

/* ---- results ---- */

static xb_json *result_of(const struct pod *pod, size_t index)
{
    for (size_t i = 0; i < json_object_array_length(pod->record.results); i++) {
        xb_json *result = json_object_array_get_idx(pod->record.results, i);
        if (xb_json_int(result, "index", -1) == (int64_t)index) {
            return result;
        }
    }
    return NULL;
}

static xb_json *add_result(struct pod *pod, size_t index)
{
    const struct xb_hook *hook = &pod->hooks.hooks[index];
    xb_json *result = json_object_new_object();
    xb_json_put_text(result, "phase", xb_hook_phase_name(XB_HOOK_POST));
    xb_json_put_text(result, "hook", hook->name);
    xb_json_put_text(result, "container", hook->container);
    json_object_object_add(result, "index", json_object_new_int64((int64_t)index));
    json_object_array_add(pod->record.results, result);
    return result;
}

static bool all_have_results(const struct pod *pod)
{
    return json_object_array_length(pod->record.results) >= pod->hooks.count;
}

/* It is not run, ever. */
static void refuse(struct pod *pod, size_t index, const char *why)
{
    char reason[REASON_BYTES];
    snprintf(reason, sizeof reason, "not run: %s", why);
    xb_json_put_text(add_result(pod, index), "error", reason);
}

static void refuse_all(struct pod *pod, const char *why)
{
    for (size_t i = 0; i < pod->hooks.count; i++) {
        if (!result_of(pod, i)) {
            refuse(pod, i, why);
        }
    }
}

/* ---- what an earlier process has done ---- */

/* What it was at when it ended may have run, or run still. */
static void end_interrupted(struct pod *pod)
{
    for (size_t i = 0; i < json_object_array_length(pod->record.results); i++) {
        xb_json *result = json_object_array_get_idx(pod->record.results, i);
        if (xb_json_bool(result, "begun", false)) {
            json_object_object_del(result, "begun");
            xb_json_put_text(result, "error",
                             "the coordinator ended while it ran: how it ended is not known, and "
                             "it is not run again");
        }
    }
}

static void stop_by(struct xb_restore_hooks *all, const struct pod *pod, xb_json *result)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "a hook of pod %.100s/%.100s failed, and its onError is Fail: %.150s",
             pod->own.namespace, pod->own.name, text(result, "hook"));
    pthread_mutex_lock(&all->lock);
    all->stopped = all->stopped ? all->stopped : strdup(why);
    pthread_mutex_unlock(&all->lock);
}

static void take_record(void *context, const struct xb_hook_pod *own,
                        const struct xb_bracket_record *record)
{
    struct xb_restore_hooks *all = context;
    xb_json *index = NULL;
    if (!json_object_object_get_ex(all->by_uid, own->uid, &index)) {
        if (record->state != XB_BRACKET_DONE) {
            xb_record_log_line(all->work->run->log, XB_RECORD_ERROR, own->namespace,
                               "post hooks of pod %s: it was deleted before all of them had ended",
                               own->name);
        }
        xb_pod_hooks_note_results(all->work->run->log, own, record->results);
        xb_bracket_record_count(record, &all->work->run->hooks_attempted,
                                &all->work->run->hooks_failed);
        return;
    }
    struct pod *pod = &all->pods[json_object_get_int64(index)];
    json_object_put(pod->record.results);
    pod->record.results = json_object_get(record->results);
    pod->record.state = record->state;
    end_interrupted(pod);
    pod->state = record->state == XB_BRACKET_DONE ? ENDED : LOOKED_AT;
    for (size_t i = 0; i < json_object_array_length(pod->record.results); i++) {
        char ignored[8];
        xb_json *result = json_object_array_get_idx(pod->record.results, i);
        if (xb_json_bool(result, "stops", false) &&
            xb_bracket_failed(result, ignored, sizeof ignored)) {
            stop_by(all, pod, result);
        }
    }
}

static int fill(struct xb_restore_hooks *all, xb_json *pods, struct xb_error *err)
{
    all->by_uid = json_object_new_object();
    for (size_t i = 0; all->by_uid && i < all->count; i++) {
        struct pod *pod = &all->pods[i];
        pod->all = all;
        pod->id = json_object_get(json_object_array_get_idx(pods, i));
        pod->own = (struct xb_hook_pod){.namespace = text(pod->id, "namespace"),
                                        .name = text(pod->id, "name"),
                                        .uid = text(pod->id, "uid")};
        pod->record.results = json_object_new_array();
        if (!pod->record.results ||
            json_object_object_add(all->by_uid, pod->own.uid, json_object_new_int64((int64_t)i))) {
            return xb_error_no_memory(err, "the hooks of a restore");
        }
    }
    return all->by_uid ? 0 : xb_error_no_memory(err, "the hooks of a restore");
}

int xb_restore_hooks_begin(struct xb_step_work *work, xb_json *pods, bool resumes,
                           struct xb_error *err)
{
    size_t count = json_object_array_length(pods);
    struct xb_restore_hooks *all = calloc(1, sizeof *all + count * sizeof *all->pods);
    if (!all) {
        return xb_error_no_memory(err, "the hooks of a restore");
    }
    pthread_mutex_init(&all->lock, NULL);
    all->work = work;
    all->count = count;
    all->open = count;
    all->since_ns = xb_clock_mono_ns();
    all->failure = (struct xb_error)XB_ERROR_INIT;
    work->run->hooks_attempted = 0;
    work->run->hooks_failed = 0;
    int r = fill(all, pods, err);
    if (r == 0 && resumes) {
        r = xb_hook_records_each(work, take_record, all, err);
    }
    if (r < 0) {
        xb_restore_hooks_free(all);
        return r;
    }
    work->run->hooks = all;
    return 0;
}

/* ---- whose turn has come ---- */

/* Several hooks of a container run one after the other: one that wants it ready holds all. */
static bool wants_ready(const struct pod *pod, const char *container)
{
    for (size_t i = 0; i < pod->hooks.count; i++) {
        const struct xb_hook *hook = &pod->hooks.hooks[i];
        if (hook->wait_ready && strcmp(hook->container, container) == 0) {
            return true;
        }
    }
    return false;
}

/* Monotonic; INT64_MAX: not known yet. */
static int64_t deadline_of(const struct pod *pod, const struct xb_hook *hook, int64_t *ret_span_ns)
{
    const struct xb_restore_hooks *all = pod->all;
    const struct xb_step_work *work = all->work;
    if (hook->wait_ms > 0) {
        *ret_span_ns = hook->wait_ms * XB_NS_PER_MS;
        return all->since_ns + *ret_span_ns;
    }
    *ret_span_ns = work->coordinator->options->resource_timeout_ns;
    return work->run->hooks_since_ns ? work->run->hooks_since_ns + *ret_span_ns : INT64_MAX;
}

static void refuse_late(struct pod *pod, size_t index, int64_t span_ns, const char *why)
{
    char reason[WHY_BYTES + 200];
    char span[XB_TIME_TEXT_BYTES];
    const struct xb_hook *hook = &pod->hooks.hooks[index];
    xb_duration_format(span_ns, span);
    snprintf(reason, sizeof reason, "container %.100s was not %s within %s%s: %s", hook->container,
             wants_ready(pod, hook->container) ? "ready" : "running", span,
             hook->wait_ms > 0 ? " (the hook's wait-timeout)" : " (--resource-timeout)", why);
    refuse(pod, index, reason);
}

/* True: some hook is to be run now. What will not be run any more gets its result. */
static bool judge(struct pod *pod)
{
    bool due = false;
    char why[WHY_BYTES];
    for (size_t i = 0; i < pod->hooks.count; i++) {
        const struct xb_hook *hook = &pod->hooks.hooks[i];
        int64_t span_ns = 0;
        if (result_of(pod, i)) {
            continue;
        }
        if (hook->problem) {
            refuse(pod, i, hook->problem);
            continue;
        }
        switch (xb_restore_hook_look(pod->seen, hook->container, wants_ready(pod, hook->container),
                                     why, sizeof why)) {
        case XB_RESTORE_HOOK_RUNS:
            due = true;
            break;
        case XB_RESTORE_HOOK_NEVER:
            refuse(pod, i, why);
            break;
        case XB_RESTORE_HOOK_WAITS:
            if (xb_clock_mono_ns() > deadline_of(pod, hook, &span_ns)) {
                refuse_late(pod, i, span_ns, why);
            }
            break;
        }
    }
    return due;
}

/* ---- running ---- */

static int run_one(struct pod *pod, const struct xb_bracket_run *how, size_t index,
                   struct xb_error *err)
{
    const struct xb_hook *hook = &pod->hooks.hooks[index];
    char ignored[8];
    xb_json *result = add_result(pod, index);
    json_object_object_add(result, "begun", json_object_new_boolean(true));
    pod->record.state = XB_BRACKET_POST_BEGUN;
    int r = how->tell(how->context, &pod->record, err);
    if (r < 0) { /* nothing was run */
        size_t last = json_object_array_length(pod->record.results) - 1;
        json_object_array_del_idx(pod->record.results, last, 1);
        return r;
    }
    r = xb_bracket_run_hook(how, &pod->hooks, index, result, err);
    json_object_object_del(result, "begun");
    if (r == 0 && !hook->go_on && xb_bracket_failed(result, ignored, sizeof ignored)) {
        json_object_object_add(result, "stops", json_object_new_boolean(true));
        stop_by(pod->all, pod, result);
    }
    return r ? r : how->tell(how->context, &pod->record, err);
}

static bool is_stopped(struct xb_restore_hooks *all)
{
    pthread_mutex_lock(&all->lock);
    bool stopped = all->stopped != NULL;
    pthread_mutex_unlock(&all->lock);
    return stopped;
}

/* Those of one container in their order; of those that are up only. */
static int run_due(struct pod *pod, const struct xb_bracket_run *how, struct xb_error *err)
{
    char why[WHY_BYTES];
    const int64_t waited_ns = xb_clock_mono_ns() - pod->up_ns; /* for a thread: not its fault */
    int r = 0;
    for (size_t i = 0; r == 0 && i < pod->hooks.count && !is_stopped(pod->all); i++) {
        const struct xb_hook *hook = &pod->hooks.hooks[i];
        int64_t span_ns = 0;
        if (result_of(pod, i) ||
            xb_restore_hook_look(pod->seen, hook->container, wants_ready(pod, hook->container), why,
                                 sizeof why) != XB_RESTORE_HOOK_RUNS) {
            continue;
        }
        int64_t deadline_ns = deadline_of(pod, hook, &span_ns);
        if (hook->wait_ms > 0 && xb_clock_mono_ns() - waited_ns > deadline_ns) {
            refuse_late(pod, i, span_ns, "its time went by with hooks before it");
            continue;
        }
        r = run_one(pod, how, i, err);
    }
    return r;
}

static void run_pod(void *context)
{
    struct pod *pod = context;
    struct xb_restore_hooks *all = pod->all;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_pod_hooks_executor executor = {.work = all->work, .pod = &pod->own};
    const struct xb_bracket_run how = xb_pod_hooks_how(&executor, all->cancel);
    int r = run_due(pod, &how, &err);
    pthread_mutex_lock(&all->lock);
    if (r < 0 && all->failure.code == 0) {
        all->failure = err;
    }
    pod->state = LOOKED_AT;
    pod->up_ns = 0;
    pthread_mutex_unlock(&all->lock);
}

/* ---- looking ---- */

static int see(void *context, xb_json *object, struct xb_error *err)
{
    struct xb_restore_hooks *all = context;
    xb_json *index = NULL;
    (void)err;
    if (!json_object_object_get_ex(all->by_uid, text(object, "metadata.uid"), &index)) {
        return 0;
    }
    struct pod *pod = &all->pods[json_object_get_int64(index)];
    pthread_mutex_lock(&all->lock);
    bool free_to_look = pod->state == LOOKED_AT;
    pthread_mutex_unlock(&all->lock);
    if (free_to_look) {
        json_object_put(pod->seen);
        pod->seen = json_object_get(object);
    }
    return 0;
}

/* All pods of the restore at once, by the label that it has put on them. */
static int see_all(struct xb_restore_hooks *all, struct xb_error *err)
{
    char label[XB_VELERO_LABEL_BYTES], selector[XB_VELERO_LABEL_BYTES + 32];
    const struct xb_kube_list list = {
        .resource = &xb_core_pods, .label_selector = selector, .cancel = all->cancel};
    int r = xb_velero_label(text(all->work->object, "metadata.name"), label, err);
    snprintf(selector, sizeof selector, "velero.io/restore-name=%s", label);
    return r ? r : xb_kube_list_pages(all->work->coordinator->client, &list, see, all, err);
}

/* One that the list does not have: without the label by now, or gone. */
static int see_one(struct pod *pod, bool *ret_gone, struct xb_error *err)
{
    int r = xb_pod_hooks_get_pod(pod->all->work, &pod->own, &pod->seen, err);
    *ret_gone = r < 0 && err->kind == XB_ERR_NOT_FOUND;
    if (*ret_gone) {
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r;
}

static void know_hooks(struct pod *pod)
{
    struct xb_error why = XB_ERROR_INIT;
    if (!pod->known && xb_restore_hooks_of(pod->all->work->object, pod->seen, &pod->hooks, &why)) {
        xb_bracket_record_fail(&pod->record, XB_HOOK_POST, why.text);
    }
    pod->known = true;
}

/* A pod that no thread has. */
static int look_at(struct pod *pod, struct xb_error *err)
{
    bool gone = false;
    int r = pod->seen ? 0 : see_one(pod, &gone, err);
    if (r < 0) {
        return r;
    }
    if (gone && !pod->known) {
        xb_bracket_record_fail(&pod->record, XB_HOOK_POST,
                               "not run: the pod was deleted before its hooks could be run");
        pod->known = true;
    }
    if (!gone) {
        know_hooks(pod);
    }
    if (gone) {
        refuse_all(pod, "the pod was deleted");
    } else if (is_stopped(pod->all)) {
        refuse_all(pod, pod->all->stopped);
    } else if (judge(pod)) {
        pod->up_ns = pod->up_ns ? pod->up_ns : xb_clock_mono_ns();
        pthread_mutex_lock(&pod->all->lock);
        pod->state = BUSY;
        pthread_mutex_unlock(&pod->all->lock);
        if (!xb_workers_try_submit(pod->all->workers, run_pod, pod)) {
            pod->state = LOOKED_AT; /* no room: with the next look */
        }
        return 0;
    }
    if (all_have_results(pod)) {
        bool any = json_object_array_length(pod->record.results) > 0; /* else they were taken off */
        pod->record.state = XB_BRACKET_DONE;
        r = any ? xb_hook_record_tell(pod->all->work, &pod->own, &pod->record, err) : 0;
        pod->state = r < 0 ? pod->state : ENDED;
    }
    return r;
}

static void note(struct pod *pod)
{
    struct xb_run *run = pod->all->work->run;
    xb_pod_hooks_note_results(run->log, &pod->own, pod->record.results);
    xb_bracket_record_count(&pod->record, &run->hooks_attempted, &run->hooks_failed);
    pod->state = NOTED;
}

static enum state state_of(struct pod *pod)
{
    pthread_mutex_lock(&pod->all->lock);
    enum state state = pod->state;
    pthread_mutex_unlock(&pod->all->lock);
    return state;
}

static void forget_seen(struct xb_restore_hooks *all)
{
    for (size_t i = 0; i < all->count; i++) {
        if (state_of(&all->pods[i]) != BUSY) {
            json_object_put(all->pods[i].seen);
            all->pods[i].seen = NULL;
        }
    }
}

/* One look at every pod; how many threads are at work after it. */
static int look(struct xb_restore_hooks *all, size_t *ret_busy, struct xb_error *err)
{
    size_t busy = 0, open = 0;
    forget_seen(all);
    int r = see_all(all, err);
    for (size_t i = 0; r == 0 && i < all->count; i++) {
        struct pod *pod = &all->pods[i];
        if (state_of(pod) == LOOKED_AT) {
            r = look_at(pod, err);
        }
        enum state state = state_of(pod);
        if (state == ENDED) {
            note(pod);
        }
        busy += state == BUSY;
        open += state == BUSY || state == LOOKED_AT;
    }
    if (r == 0) {
        all->open = open;
        *ret_busy = busy;
    }
    return r;
}

static int look_while_busy(struct xb_restore_hooks *all, struct xb_error *err)
{
    for (;;) {
        size_t busy = 0;
        int r = xb_check_leading(all->work->coordinator, err);
        r = r ? r : look(all, &busy, err);
        if (r < 0 || busy == 0) {
            return r;
        }
        if (!xb_http_retry_sleep(XB_RESTORE_HOOKS_LOOK_MS, all->cancel)) {
            return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "told to stop");
        }
    }
}

int xb_restore_hooks_step(struct xb_step_work *work, const atomic_bool *cancel,
                          struct xb_error *err)
{
    struct xb_restore_hooks *all = work->run->hooks;
    all->work = work;
    all->cancel = cancel;
    all->failure = (struct xb_error)XB_ERROR_INIT;
    int r = xb_workers_new(XB_RESTORE_HOOKS_THREADS, XB_RESTORE_HOOKS_THREADS, &all->workers, err);
    if (r < 0) {
        return r;
    }
    r = look_while_busy(all, err);
    xb_workers_free(all->workers); /* waits for all */
    all->workers = NULL;
    all->look_ns = xb_clock_mono_ns() + XB_RESTORE_HOOKS_LOOK_MS * XB_NS_PER_MS;
    if (r == 0 && all->failure.code != 0) {
        *err = all->failure;
        r = err->code;
    }
    return r;
}
