/* SPDX-License-Identifier: Apache-2.0
 * What all actions and plans share: work items, patches, runs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/act/orders.h"
#include "coordinator/act/restore_hooks.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"

enum { NO_RUN_S = 60 };

struct xb_step_work *xb_step_work_new(struct xb_coordinator *coordinator, xb_json *object)
{
    struct xb_step_work *work = calloc(1, sizeof *work);
    if (!work || json_object_deep_copy(object, &work->object, NULL) < 0) {
        free(work);
        return NULL;
    }
    work->coordinator = coordinator;
    return work;
}

void xb_step_work_free(void *context)
{
    struct xb_step_work *work = context;
    if (work) {
        json_object_put(work->object);
        if (work->extra) {
            json_object_put(work->extra);
        }
        free(work);
    }
}

int xb_act_patch(struct xb_coordinator *coordinator, const struct xb_kube_resource *resource,
                 xb_json *object, xb_json *patch, struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace = xb_json_str(object, "metadata.namespace", NULL),
                                    .name = xb_json_str(object, "metadata.name", "")};
    int r = xb_kube_merge_patch(coordinator->client, &ref, patch, NULL, err);
    json_object_put(patch);
    return r;
}

int xb_act_patch_status(struct xb_coordinator *coordinator, const struct xb_kube_resource *resource,
                        xb_json *object, xb_json *status, struct xb_error *err)
{
    xb_json *patch = json_object_new_object();
    json_object_object_add(patch, "status", status);
    return xb_act_patch(coordinator, resource, object, patch, err);
}

void xb_json_put_text(xb_json *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value));
}

int xb_check_leading(struct xb_coordinator *coordinator, struct xb_error *err)
{
    return xb_kube_lease_held(coordinator->lease)
               ? 0
               : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED,
                              "another coordinator leads now; nothing was published");
}

/* ---- runs ---- */

/* Thousands of objects may find no room: one of them is told now and then. Loop thread only. */
static void say_no_run(const char *key, xb_json *object, size_t count)
{
    static int64_t said_ns;
    struct xb_error err = XB_ERROR_INIT;
    int64_t now_ns = xb_clock_mono_ns();
    if (said_ns && now_ns - said_ns < NO_RUN_S * XB_NS_PER_S) {
        return;
    }
    said_ns = now_ns;
    const char *kind = xb_json_str(object, "kind", "object");
    if (count >= XB_RUNS_MAX) {
        (void)xb_error_set(&err, XB_ERR_FULL, -ENOSPC,
                           "%s %.300s has to wait: %d of its kind are under way, which is the most "
                           "that Xebec takes at a time; delete what nobody needs",
                           kind, key, XB_RUNS_MAX);
    } else {
        (void)xb_error_no_memory(&err, kind);
    }
    xb_log_error(&err, "no room");
}

struct xb_run *xb_run_of(struct xb_run **list, const char *key, xb_json *object)
{
    const char *uid = xb_json_str(object, "metadata.uid", "");
    size_t count = 0;
    for (struct xb_run *run = *list; run; run = run->next, count++) {
        if (strcmp(run->key, key) != 0) {
            continue;
        }
        if (strcmp(run->uid, uid) != 0 || run->stale) { /* another object of that name */
            xb_run_reset(run);
            run->stale = false;
            run->acted_on[0] = '\0';
            run->came_ns = xb_clock_mono_ns();
            snprintf(run->uid, sizeof run->uid, "%.63s", uid);
        }
        return run;
    }
    struct xb_run *run = count < XB_RUNS_MAX ? calloc(1, sizeof *run) : NULL;
    if (!run) {
        say_no_run(key, object, count);
        return NULL;
    }
    run->came_ns = xb_clock_mono_ns();
    snprintf(run->key, sizeof run->key, "%s", key);
    snprintf(run->uid, sizeof run->uid, "%.63s", uid);
    run->next = *list;
    *list = run;
    return run;
}

enum xb_plan xb_plan_no_run(int64_t now_ns, struct xb_action *ret)
{
    ret->at_ns = now_ns + NO_RUN_S * XB_NS_PER_S;
    return XB_PLAN_AT;
}

/* Removes a folder that this process made: flat, but for the spool's one folder below. */
static void remove_folder(const char *path, unsigned depth)
{
    XB_CLEANUP(xb_closedirp) DIR *dir = opendir(path);
    const struct dirent *entry = NULL;
    while (dir && (entry = readdir(dir))) {
        char below[XB_PATH_BYTES + NAME_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 && depth < 3) {
            snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
            remove_folder(below, depth + 1);
        }
    }
    (void)rmdir(path);
}

void xb_run_reset(struct xb_run *run)
{
    xb_record_log_free(run->log);
    run->log = NULL;
    xb_collected_free(&run->collected);
    xb_resource_list_free(&run->list);
    if (run->orders) {
        json_object_put(run->orders);
        run->orders = NULL;
    }
    if (run->volumes) {
        json_object_put(run->volumes);
        run->volumes = NULL;
    }
    if (run->infos) {
        json_object_put(run->infos);
        run->infos = NULL;
    }
    if (run->folder[0]) {
        remove_folder(run->folder, 0);
        run->folder[0] = '\0';
    }
    xb_orders_forget(run);
    xb_restore_hooks_free(run->hooks);
    run->hooks = NULL;
    xb_cron_free(run->cron);
    run->cron = NULL;
    free(run->cron_text);
    run->cron_text = NULL;
    xb_json_putp(&run->cron_problems);
    run->cron_problems = NULL;
    run->judged[0] = '\0';
    run->worked = false;
    run->noted = false;
    run->items = 0;
    run->items_total = 0;
    run->hooks_since_ns = 0;
}

void xb_run_drop(struct xb_run **list, const char *key)
{
    for (struct xb_run **at = list; *at; at = &(*at)->next) {
        if (strcmp((*at)->key, key) == 0) {
            struct xb_run *run = *at;
            *at = run->next;
            xb_run_reset(run);
            free(run);
            return;
        }
    }
}

int xb_run_begin(struct xb_coordinator *coordinator, struct xb_run *run, const char *kind,
                 struct xb_error *err)
{
    char log[XB_PATH_BYTES + 16];
    xb_run_reset(run);
    int written = snprintf(run->folder, sizeof run->folder, "%s/xebec-%s-%s",
                           coordinator->options->scratch, kind, run->uid);
    if (written < 0 || (size_t)written >= sizeof run->folder - 32 || strchr(run->uid, '/')) {
        run->folder[0] = '\0';
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "the scratch folder's path");
    }
    remove_folder(run->folder, 0);
    if (mkdir(run->folder, 0700) < 0) {
        return xb_error_errno(err, errno, "scratch folder %s", run->folder);
    }
    snprintf(run->tarball, sizeof run->tarball, "%.*s/items.tar.gz", XB_PATH_BYTES - 32,
             run->folder);
    snprintf(log, sizeof log, "%s/log", run->folder);
    run->orders = json_object_new_array();
    run->volumes = json_object_new_array();
    return xb_record_log_new(log, &run->log, err);
}

/* ---- for the plans ---- */

/* The run's orders, as the cache has them; those that are gone are left out. */
void xb_plan_add_orders(struct xb_step_work *work, struct xb_kube_informer *informer)
{
    size_t count = work->run->orders ? json_object_array_length(work->run->orders) : 0;
    for (size_t i = 0; i < count; i++) {
        char key[2 * XB_VELERO_NAME_BYTES];
        snprintf(key, sizeof key, "%s/%s", work->coordinator->options->namespace,
                 json_object_get_string(json_object_array_get_idx(work->run->orders, i)));
        xb_json *order = xb_kube_informer_get(informer, key);
        if (order) {
            json_object_array_add(work->extra, json_object_get(order));
        }
    }
}

/* What the step needs of the loop's world, copied. */
struct xb_step_work *xb_plan_work(struct xb_coordinator *coordinator, xb_json *object,
                                  struct xb_run *run, const struct xb_step_result *step)
{
    struct xb_step_work *work = xb_step_work_new(coordinator, object);
    if (!work) {
        return NULL;
    }
    work->run = run;
    work->step = step->step;
    work->position = step->position;
    work->extra = json_object_new_array();
    return work;
}

enum xb_plan xb_plan_act(struct xb_step_work *work,
                         int (*run)(void *, const atomic_bool *, struct xb_error *),
                         struct xb_action *ret)
{
    if (!work) {
        return XB_PLAN_NONE;
    }
    *ret = (struct xb_action){
        .work = work, .run = run, .done = xb_step_done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}

enum xb_plan xb_plan_orders(struct xb_step_work *work, struct xb_kube_informer *informer,
                            const struct xb_kube_resource *resource, struct xb_action *ret)
{
    if (!work) {
        return XB_PLAN_NONE;
    }
    const bool cancels = work->step == XB_STEP_CANCEL;
    const char *namespace = work->coordinator->options->namespace;
    json_object_put(work->extra);
    work->extra = cancels ? xb_orders_late(work->run, informer, namespace)
                          : xb_orders_idle(work->run, informer, namespace);
    work->orders = resource;
    return xb_plan_act(work, cancels ? xb_orders_cancel : xb_orders_seek, ret);
}

bool xb_plan_is_old(const struct xb_run *run, xb_json *object)
{
    return run->acted_on[0] &&
           strcmp(run->acted_on, xb_json_str(object, "metadata.resourceVersion", "")) == 0;
}

/* The answer comes back through the watch; only what this process knows changes here. */
void xb_step_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_step_work *step = work;
    (void)context;
    (void)key;
    if (err && step->step == XB_STEP_WORK) {
        xb_run_reset(step->run); /* done again from the start */
    }
    if (!err && step->step == XB_STEP_CANCEL) {
        xb_orders_cancelled(step->run);
    }
    if (!err && step->step == XB_STEP_SEEK) {
        xb_orders_sought(step->run);
    }
    /* Every other step has changed the object: what the cache shows until then is old. */
    snprintf(step->run->acted_on, sizeof step->run->acted_on, "%.63s",
             err || step->step == XB_STEP_WORK || step->step == XB_STEP_CANCEL ||
                     step->step == XB_STEP_SEEK || step->step == XB_STEP_HOOKS
                 ? ""
                 : xb_json_str(step->object, "metadata.resourceVersion", ""));
}
