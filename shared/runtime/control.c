/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/runtime/control.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stddef.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/random.h"

enum { CROWDED_PAUSE_MS = 50 };

/* One key. It is in the tree while anything is known of it, in the dirty list while `listed`, in
 * the ended list while `ended`. */
struct item {
    struct xb_control *control;
    struct item *next_dirty, *next_ended, *next_known, **known_at;
    bool listed;  /* in the dirty list */
    bool dirty;   /* to be planned, also when it cannot be listed because it runs */
    bool running; /* an action is with the workers, or ended and not yet reported */
    bool held;    /* `timer` runs because of a failure: dirty marks must wait for it */
    unsigned failures, conflicts;
    struct xb_timer *timer;
    atomic_bool cancel;
    struct xb_action action;
    int result;
    struct xb_error err;
    char key[];
};

struct xb_control {
    struct xb_control_options options;
    char *name;
    unsigned actions_max;
    bool paused, stopping; /* loop thread */
    unsigned in_flight;    /* loop thread: started and not yet reported */
    struct xb_loop_task task;
    pthread_mutex_t lock; /* all below */
    pthread_cond_t ended;
    void *tree;
    struct item *known;
    struct item *dirty_first, *dirty_last;
    struct item *ended_first;
    unsigned running; /* with the workers right now */
    struct xb_control_counts counts;
};

static int compare(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    return strcmp(x->key, y->key);
}

static void list_dirty(struct xb_control *control, struct item *entry)
{
    if (entry->listed) {
        return;
    }
    entry->listed = true;
    entry->next_dirty = NULL;
    if (control->dirty_last) {
        control->dirty_last->next_dirty = entry;
    } else {
        control->dirty_first = entry;
    }
    control->dirty_last = entry;
    control->counts.dirty++;
}

static struct item *pop_dirty(struct xb_control *control)
{
    struct item *entry = control->dirty_first;
    if (entry) {
        control->dirty_first = entry->next_dirty;
        control->dirty_last = control->dirty_first ? control->dirty_last : NULL;
        entry->listed = false;
        control->counts.dirty--;
    }
    return entry;
}

/* Marks with the lock held. Running and held entries are listed when that ends. */
static void mark(struct xb_control *control, struct item *entry)
{
    entry->dirty = true;
    if (!entry->running && !entry->held) {
        list_dirty(control, entry);
    }
}

static struct item *find_or_add(struct xb_control *control, const char *key)
{
    size_t len = strlen(key);
    if (len > XB_CONTROL_KEY_BYTES_MAX) {
        return NULL;
    }
    struct item *entry = calloc(1, sizeof *entry + len + 1);
    if (!entry) {
        return NULL;
    }
    memcpy(entry->key, key, len + 1);
    void **at = tfind(entry, &control->tree, compare);
    if (at) {
        free(entry);
        return *(struct item **)at;
    }
    if (control->counts.keys >= XB_CONTROL_KEYS_MAX || !tsearch(entry, &control->tree, compare)) {
        free(entry);
        return NULL;
    }
    entry->control = control;
    atomic_init(&entry->cancel, false);
    entry->next_known = control->known;
    entry->known_at = &control->known;
    if (control->known) {
        control->known->known_at = &entry->next_known;
    }
    control->known = entry;
    control->counts.keys++;
    return entry;
}

/* With the lock held. */
static void forget(struct xb_control *control, struct item *entry)
{
    tdelete(entry, &control->tree, compare);
    *entry->known_at = entry->next_known;
    if (entry->next_known) {
        entry->next_known->known_at = entry->known_at;
    }
    control->counts.keys--;
    xb_timer_free(entry->timer);
    free(entry);
}

void xb_control_dirty(struct xb_control *control, const char *key)
{
    pthread_mutex_lock(&control->lock);
    struct item *entry = find_or_add(control, key);
    if (entry) {
        mark(control, entry);
    }
    pthread_mutex_unlock(&control->lock);
    if (!entry) {
        struct xb_error err = XB_ERROR_INIT;
        xb_error_set(&err, XB_ERR_FULL, -E2BIG, "no room for another key (at most %d)",
                     XB_CONTROL_KEYS_MAX);
        xb_log_error(&err, "a change was not noted", "control", control->name, "key", key);
        return;
    }
    xb_loop_task_post(control->options.loop, &control->task);
}

void xb_control_cancel(struct xb_control *control, const char *key)
{
    pthread_mutex_lock(&control->lock);
    for (struct item *entry = control->known; entry; entry = entry->next_known) {
        if (entry->running && strcmp(entry->key, key) == 0) {
            atomic_store(&entry->cancel, true);
        }
    }
    pthread_mutex_unlock(&control->lock);
}

/* On a worker. After the unlock nothing of the control may be touched: it may be gone. */
static void run_action(void *context)
{
    struct item *entry = context;
    struct xb_control *control = entry->control;
    entry->err = (struct xb_error)XB_ERROR_INIT;
    entry->result = entry->action.run(entry->action.work, &entry->cancel, &entry->err);
    pthread_mutex_lock(&control->lock);
    entry->next_ended = control->ended_first;
    control->ended_first = entry;
    control->running--;
    xb_loop_task_post(control->options.loop, &control->task);
    pthread_cond_broadcast(&control->ended);
    pthread_mutex_unlock(&control->lock);
}

static void on_timer(void *context)
{
    struct item *entry = context;
    struct xb_control *control = entry->control;
    pthread_mutex_lock(&control->lock);
    entry->held = false;
    mark(control, entry);
    pthread_mutex_unlock(&control->lock);
    xb_loop_task_post(control->options.loop, &control->task);
}

/* Plans the entry again after a pause. Without memory for a timer: at once, which is busy but
 * right. */
static void look_again(struct item *entry, int64_t delay_ms, bool held)
{
    struct xb_control *control = entry->control;
    struct xb_error err = XB_ERROR_INIT;
    if (!entry->timer &&
        xb_timer_new(control->options.loop, on_timer, entry, &entry->timer, &err) < 0) {
        on_timer(entry);
        return;
    }
    pthread_mutex_lock(&control->lock);
    entry->held = held;
    pthread_mutex_unlock(&control->lock);
    xb_timer_start(entry->timer, delay_ms, 0);
}

static void drop_work(struct item *entry)
{
    if (entry->action.free && entry->action.work) {
        entry->action.free(entry->action.work);
    }
    entry->action = (struct xb_action){.work = NULL};
}

static void start_action(struct item *entry)
{
    struct xb_control *control = entry->control;
    atomic_store(&entry->cancel, false);
    pthread_mutex_lock(&control->lock);
    entry->running = true;
    control->running++;
    control->counts.actions++;
    pthread_mutex_unlock(&control->lock);
    control->in_flight++;
    if (xb_workers_try_submit(control->options.workers, run_action, entry)) {
        return;
    }
    /* Others fill the pool: the plan is thrown away, and made anew when there may be room. */
    pthread_mutex_lock(&control->lock);
    entry->running = false;
    entry->held = true;
    control->running--;
    control->counts.actions--;
    pthread_mutex_unlock(&control->lock);
    control->in_flight--;
    drop_work(entry);
    look_again(entry, CROWDED_PAUSE_MS, true);
}

/* Forgets a key of which nothing is known, so that keys do not pile up. */
static void rest(struct item *entry)
{
    struct xb_control *control = entry->control;
    pthread_mutex_lock(&control->lock);
    if (!entry->dirty && !entry->running) {
        forget(control, entry);
    }
    pthread_mutex_unlock(&control->lock);
}

static void plan(struct item *entry)
{
    struct xb_control *control = entry->control;
    int64_t now = xb_clock_wall_ns();
    entry->action = (struct xb_action){.work = NULL};
    if (entry->timer) {
        xb_timer_stop(entry->timer);
    }
    switch (control->options.plan(control->options.context, entry->key, now, &entry->action)) {
    case XB_PLAN_ACT:
        start_action(entry);
        return;
    case XB_PLAN_AT: {
        int64_t delay_ms = (entry->action.at_ns - now + XB_NS_PER_MS - 1) / XB_NS_PER_MS;
        delay_ms = delay_ms < 1 ? 1 : delay_ms;
        look_again(entry, delay_ms < XB_CONTROL_LOOK_AGAIN_MS ? delay_ms : XB_CONTROL_LOOK_AGAIN_MS,
                   false);
        return;
    }
    case XB_PLAN_NONE:
    default:
        rest(entry);
    }
}

/* How long to wait after `err`; 0: not at all. */
static int64_t backoff_ms(struct item *entry, const struct xb_error *err)
{
    if (err->kind == XB_ERR_CANCELLED) {
        return CROWDED_PAUSE_MS; /* asked for: not held against the key */
    }
    if (err->kind == XB_ERR_CONFLICT && entry->conflicts < XB_CONTROL_CONFLICTS_MAX) {
        entry->conflicts++;
        return 0;
    }
    bool slow = err->kind == XB_ERR_DENIED || err->kind == XB_ERR_INVALID ||
                err->kind == XB_ERR_CORRUPT || err->kind == XB_ERR_BUG;
    int64_t delay = slow ? XB_CONTROL_BACKOFF_SLOW_MS : XB_CONTROL_BACKOFF_FIRST_MS;
    for (unsigned i = 0; i < entry->failures && delay < XB_CONTROL_BACKOFF_MAX_MS; i++) {
        delay *= 2;
    }
    entry->failures += entry->failures < 32 ? 1 : 0;
    delay = delay < XB_CONTROL_BACKOFF_MAX_MS ? delay : XB_CONTROL_BACKOFF_MAX_MS;
    uint32_t dice;
    xb_random_bytes(&dice, sizeof dice);
    return delay - (int64_t)(dice % (uint64_t)(delay / 4 + 1)); /* keys must not march in step */
}

static void report(struct item *entry)
{
    struct xb_control *control = entry->control;
    bool failed = entry->result < 0;
    int64_t delay = 0;
    if (entry->action.done) {
        entry->action.done(control->options.context, entry->key, entry->action.work,
                           failed ? &entry->err : NULL);
    }
    drop_work(entry);
    control->in_flight--;
    if (!failed) {
        entry->failures = 0;
        entry->conflicts = 0;
    } else {
        delay = backoff_ms(entry, &entry->err);
        if (entry->err.kind != XB_ERR_CANCELLED && delay > 0) {
            xb_log_error(&entry->err, "an action failed and will be tried again", "control",
                         control->name, "key", entry->key);
        }
    }
    pthread_mutex_lock(&control->lock);
    entry->running = false;
    entry->held = delay > 0;
    control->counts.failures += failed ? 1 : 0;
    if (delay == 0) {
        mark(control, entry);
    }
    pthread_mutex_unlock(&control->lock);
    if (delay > 0) {
        look_again(entry, delay, true);
    }
}

static void report_ended(struct xb_control *control)
{
    pthread_mutex_lock(&control->lock);
    struct item *entry = control->ended_first;
    control->ended_first = NULL;
    pthread_mutex_unlock(&control->lock);
    while (entry) {
        struct item *next = entry->next_ended;
        report(entry);
        entry = next;
    }
}

/* The turn of the loop: what ended is reported, then a bounded number of keys is planned. */
static void turn(void *context)
{
    struct xb_control *control = context;
    report_ended(control);
    for (int i = 0; i < XB_CONTROL_PLANS_PER_TURN; i++) {
        if (control->paused || control->stopping || control->in_flight >= control->actions_max) {
            return; /* an action's end, or going on, comes back here */
        }
        pthread_mutex_lock(&control->lock);
        struct item *entry = pop_dirty(control);
        if (entry) {
            entry->dirty = false;
            control->counts.plans++;
        }
        pthread_mutex_unlock(&control->lock);
        if (!entry) {
            return;
        }
        plan(entry);
    }
    xb_loop_task_post(control->options.loop, &control->task);
}

int xb_control_new(const struct xb_control_options *options, struct xb_control **ret,
                   struct xb_error *err)
{
    struct xb_control *control = calloc(1, sizeof *control);
    if (!control) {
        return xb_error_no_memory(err, "a control loop");
    }
    control->options = *options;
    control->actions_max = options->actions_max ? options->actions_max : XB_CONTROL_ACTIONS_MAX;
    control->name = strdup(options->name ? options->name : "control");
    if (!control->name) {
        free(control);
        return xb_error_no_memory(err, "a control loop");
    }
    control->task = (struct xb_loop_task){.fn = turn, .context = control};
    pthread_mutex_init(&control->lock, NULL);
    pthread_cond_init(&control->ended, NULL);
    *ret = control;
    return 0;
}

static void cancel_all(struct xb_control *control)
{
    pthread_mutex_lock(&control->lock);
    for (struct item *entry = control->known; entry; entry = entry->next_known) {
        if (entry->running) {
            atomic_store(&entry->cancel, true);
        }
    }
    pthread_mutex_unlock(&control->lock);
}

void xb_control_pause(struct xb_control *control, bool paused)
{
    control->paused = paused;
    if (paused) {
        cancel_all(control);
        return;
    }
    pthread_mutex_lock(&control->lock);
    for (struct item *entry = control->known; entry; entry = entry->next_known) {
        mark(control, entry);
    }
    pthread_mutex_unlock(&control->lock);
    xb_loop_task_post(control->options.loop, &control->task);
}

void xb_control_stop(struct xb_control *control)
{
    control->stopping = true;
    cancel_all(control);
}

void xb_control_drain(struct xb_control *control)
{
    xb_control_stop(control);
    pthread_mutex_lock(&control->lock);
    while (control->running > 0) {
        pthread_cond_wait(&control->ended, &control->lock);
    }
    pthread_mutex_unlock(&control->lock);
}

void xb_control_free(struct xb_control *control)
{
    if (!control) {
        return;
    }
    xb_control_drain(control);
    xb_loop_task_cancel(control->options.loop, &control->task);
    pthread_mutex_lock(&control->lock);
    while (control->known) {
        drop_work(control->known);
        forget(control, control->known);
    }
    pthread_mutex_unlock(&control->lock);
    pthread_cond_destroy(&control->ended);
    pthread_mutex_destroy(&control->lock);
    free(control->name);
    free(control);
}

void xb_control_counts(struct xb_control *control, struct xb_control_counts *ret)
{
    pthread_mutex_lock(&control->lock);
    *ret = control->counts;
    ret->running = control->running;
    pthread_mutex_unlock(&control->lock);
}
