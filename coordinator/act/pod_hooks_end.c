/* SPDX-License-Identifier: Apache-2.0
 * How hooks are run by the coordinator; post hooks that are its to run; what is said of all of
 * them. */
#include <errno.h>
#include <string.h>

#include "coordinator/act/meters.h"
#include "coordinator/act/pod_hooks.h"
#include "shared/base/log.h"
#include "shared/kube/exec.h"

enum { WHY_BYTES = 300, KIND_BYTES = 40 };

/* ---- the log ---- */

static void note_result(struct xb_record_log *log, const struct xb_hook_pod *pod, xb_json *result)
{
    char why[WHY_BYTES + XB_ERROR_TEXT_BYTES] = "exit code 0";
    char what[KIND_BYTES];
    const char *phase = xb_json_str(result, "phase", "?");
    bool session = strcmp(phase, xb_hook_phase_name(XB_HOOK_SESSION)) == 0;
    const char *note = xb_json_str(result, "note", NULL);
    const char *container = xb_json_str(result, "container", "");
    bool failed = xb_bracket_failed(result, why, sizeof why);
    snprintf(what, sizeof what, "%.20s%s", phase, session ? "" : " hook");
    if (note) {
        xb_record_log_line(log, XB_RECORD_WARNING, pod->namespace, "%s of pod %s: %.400s", what,
                           pod->name, note);
    }
    if (xb_json_bool(result, "skipped", false)) {
        snprintf(why, sizeof why, "not run, as one before it failed");
    }
    xb_record_log_line(log, failed ? XB_RECORD_ERROR : XB_RECORD_INFO, pod->namespace,
                       "%s of pod %s%s%.253s%s%.253s: %s", what, pod->name,
                       container[0] ? ", container " : "", container,
                       xb_json_str(result, "hook", "")[0] ? ", " : "",
                       xb_json_str(result, "hook", ""), why);
    static const char *const streams[] = {"stdout", "stderr"};
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; i++) {
        const char *said = xb_json_str(result, streams[i], NULL);
        if (said) {
            xb_record_log_line(log, XB_RECORD_INFO, pod->namespace, "%s of pod %s, %s: %s", what,
                               pod->name, streams[i], said);
        }
    }
}

void xb_pod_hooks_note_results(struct xb_record_log *log, const struct xb_hook_pod *pod,
                               xb_json *results)
{
    for (size_t i = 0; i < json_object_array_length(results); i++) {
        note_result(log, pod, json_object_array_get_idx(results, i));
    }
}

/* ---- through the API server ---- */

static int exec(void *context, const char *container, const struct xb_exec_command *command,
                struct xb_exec_result *ret, struct xb_error *err)
{
    const struct xb_pod_hooks_executor *executor = context;
    const struct xb_kube_exec_target target = {
        .namespace = executor->pod->namespace, .pod = executor->pod->name, .container = container};
    xb_log_info("running a hook", "namespace", target.namespace, "pod", target.pod, "container",
                container);
    return xb_kube_exec(executor->work->coordinator->client, &target, command, ret, err);
}

static struct xb_kube_ref order_ref(const struct xb_step_work *work, const char *name)
{
    return (struct xb_kube_ref){.resource = &xb_velero_pvbs,
                                .namespace = xb_json_str(work->object, "metadata.namespace", ""),
                                .name = name};
}

int xb_pod_hooks_order(struct xb_step_work *work, const char *name, xb_json **ret,
                       struct xb_error *err)
{
    const struct xb_kube_ref ref = order_ref(work, name);
    return xb_kube_get(work->coordinator->client, &ref, ret, err);
}

static int tell(void *context, const struct xb_bracket_record *record, struct xb_error *err)
{
    const struct xb_pod_hooks_executor *executor = context;
    if (!executor->leader) {
        return xb_hook_record_tell(executor->work, executor->pod, record, err);
    }
    const struct xb_kube_ref ref =
        order_ref(executor->work, xb_json_str(executor->leader, "metadata.name", ""));
    return xb_bracket_tell(executor->work->coordinator->client, &ref, record, err);
}

static int hold(void *context, const struct xb_hook *session, xb_json *result, struct xb_error *err)
{
    const struct xb_pod_hooks_executor *executor = context;
    const struct xb_held_pod pod = {.client = executor->work->coordinator->client,
                                    .namespace = executor->pod->namespace,
                                    .name = executor->pod->name,
                                    .cancel = executor->cancel};
    return xb_held_begin(executor->held, &pod, session, result, err);
}

static bool holds(void *context, xb_json *result)
{
    const struct xb_pod_hooks_executor *executor = context;
    return xb_held_lasts(executor->held, result);
}

static bool release(void *context, xb_json *result)
{
    const struct xb_pod_hooks_executor *executor = context;
    return xb_held_end(executor->held, result);
}

struct xb_bracket_run xb_pod_hooks_how(struct xb_pod_hooks_executor *executor,
                                       const atomic_bool *cancel)
{
    executor->cancel = cancel;
    return (struct xb_bracket_run){.exec = exec,
                                   .tell = tell,
                                   .hold = executor->held ? hold : NULL,
                                   .holds = executor->held ? holds : NULL,
                                   .release = executor->held ? release : NULL,
                                   .context = executor,
                                   .cancel = cancel,
                                   .who = "the coordinator"};
}

int xb_pod_hooks_get_pod(struct xb_step_work *work, const struct xb_hook_pod *pod, xb_json **ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *found = NULL;
    const struct xb_kube_ref ref = {
        .resource = &xb_core_pods, .namespace = pod->namespace, .name = pod->name};
    int r = xb_kube_get(work->coordinator->client, &ref, &found, err);
    if (r == 0 && strcmp(xb_json_str(found, "metadata.uid", ""), pod->uid) != 0) {
        r = xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "the pod is another one now");
    }
    if (r == 0) {
        *ret = XB_TAKE(found);
    }
    return r;
}

/* ---- in place of an agent that is gone ---- */

static int close_leader(struct xb_step_work *work, xb_json *leader, const atomic_bool *cancel,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    struct xb_hooks hooks = {.phases = {{.hooks = NULL}}};
    struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
    struct xb_error why = XB_ERROR_INIT;
    const struct xb_hook_pod own = {.namespace = xb_json_str(leader, "spec.pod.namespace", ""),
                                    .name = xb_json_str(leader, "spec.pod.name", ""),
                                    .uid = xb_json_str(leader, "spec.pod.uid", "?")};
    struct xb_pod_hooks_executor executor = {.work = work, .pod = &own, .leader = leader};
    int r = xb_bracket_record_parse(leader, &record, err);
    if (r < 0 || record.state == XB_BRACKET_UNBEGUN || record.state == XB_BRACKET_DONE) {
        xb_bracket_record_free(&record);
        return r;
    }
    record.taken = true;
    if ((r = xb_pod_hooks_get_pod(work, &own, &pod, &why)) < 0 ||
        (r = xb_hooks_of(work->object, pod, &hooks, &why)) < 0) {
        if (why.kind == XB_ERR_RETRY) {
            *err = why;
        } else {
            xb_bracket_record_fail(&record, XB_HOOK_POST, why.text);
            record.state = XB_BRACKET_DONE;
            r = tell(&executor, &record, err);
        }
    } else {
        const struct xb_bracket_run run = xb_pod_hooks_how(&executor, cancel);
        r = xb_bracket_close(&run, &hooks, &record, err);
    }
    xb_hooks_free(&hooks);
    xb_bracket_record_free(&record);
    return r;
}

int xb_pod_hooks_close(struct xb_step_work *work, const atomic_bool *cancel, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        XB_CLEANUP(xb_json_putp) xb_json *leader = NULL;
        xb_json *seen = json_object_array_get_idx(work->extra, i);
        r = xb_pod_hooks_order(work, xb_json_str(seen, "metadata.name", ""), &leader, err);
        if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
            *err = (struct xb_error)XB_ERROR_INIT;
            r = 0;
        } else if (r == 0) {
            r = close_leader(work, leader, cancel, err);
        }
    }
    return r;
}

/* ---- at the end ---- */

/* How long the application was held. */
static void note_time(struct xb_step_work *work, const struct xb_hook_pod *pod,
                      const struct xb_bracket_record *record)
{
    double seconds = (double)(record->ended_ms - record->begun_ms) / 1000;
    char held[80] = "";
    if (record->begun_ms <= 0 || record->ended_ms < record->begun_ms) {
        return; /* without post hooks, nobody knows when it went on */
    }
    if (record->held_us > 0) {
        snprintf(held, sizeof held, ", of which %.6f s from the last pre to the first post hook",
                 (double)record->held_us / 1e6);
    }
    xb_record_log_line(work->run->log, XB_RECORD_INFO, pod->namespace,
                       "pod %s was between its pre and its post hooks for %.3f s%s", pod->name,
                       seconds, held);
    xb_meters_observe(work->coordinator->meters, XB_METER_FREEZE_SECONDS, NULL, seconds);
}

struct merging {
    struct xb_step_work *work;
    xb_json *unheld;
};

static void merge_record(void *context, const struct xb_hook_pod *pod,
                         const struct xb_bracket_record *record)
{
    const struct merging *merging = context;
    struct xb_step_work *work = merging->work;
    xb_pod_hooks_note_results(work->run->log, pod, record->results);
    note_time(work, pod, record);
    xb_bracket_record_count(record, &work->hooks_attempted, &work->hooks_failed);
    if (record->session == XB_BRACKET_SESSION_LOST) {
        json_object_object_add(merging->unheld, pod->uid, json_object_new_boolean(true));
    }
    if (record->state != XB_BRACKET_UNBEGUN && record->state != XB_BRACKET_DONE) {
        xb_record_log_line(work->run->log, XB_RECORD_ERROR, pod->namespace,
                           "it is not known whether the post hooks of pod %s have been run: look "
                           "whether the application is still frozen",
                           pod->name);
    }
}

int xb_pod_hooks_merge(struct xb_step_work *work, xb_json **ret_unheld, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *unheld = json_object_new_object();
    struct merging merging = {.work = work, .unheld = unheld};
    work->hooks_attempted = 0;
    work->hooks_failed = 0;
    int r = xb_hook_records_each(work, merge_record, &merging, err);
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        xb_json *order = json_object_array_get_idx(work->extra, i);
        const struct xb_hook_pod pod = {.namespace = xb_json_str(order, "spec.pod.namespace", ""),
                                        .name = xb_json_str(order, "spec.pod.name", ""),
                                        .uid = xb_json_str(order, "spec.pod.uid", "")};
        struct xb_bracket_record record = {.state = XB_BRACKET_UNBEGUN};
        struct xb_error why = XB_ERROR_INIT;
        if (xb_bracket_record_parse(order, &record, &why) < 0) {
            xb_record_log_line(work->run->log, XB_RECORD_ERROR, pod.namespace, "%s", why.text);
            continue;
        }
        merge_record(&merging, &pod, &record);
        xb_bracket_record_free(&record);
    }
    if (r == 0) {
        *ret_unheld = XB_TAKE(unheld);
    }
    return r;
}
