/* SPDX-License-Identifier: Apache-2.0
 * Schedules: what they say, judged; and a backup made whenever one is due. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "coordinator/schedule/due.h"
#include "coordinator/schedule/zone.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/velero/spec.h"

/* On a backup: the run of its schedule that it was made for. A coordinator that dies before it has
 * noted that in the schedule finds it by this. */
#define SCHEDULED_FOR_ANNOTATION "xebec.io/scheduled-for"
#define SCHEDULE_LABEL "velero.io/schedule-name"
/* Says how the schedule was applied, which is not how the backup was. */
#define LAST_APPLIED_ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

struct schedule_work {
    struct xb_coordinator *coordinator;
    struct xb_run *run;
    xb_json *schedule;
    xb_json *backup; /* to be made first; NULL: none */
    xb_json *patch;  /* then said in the schedule */
};

static void free_work(void *context)
{
    struct schedule_work *work = context;
    if (work) {
        json_object_put(work->schedule);
        json_object_put(work->backup);
        json_object_put(work->patch);
        free(work);
    }
}

static const char *member(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return json_object_is_type(object, json_type_object) &&
                   json_object_object_get_ex(object, key, &value)
               ? json_object_get_string(value)
               : NULL;
}

static int64_t time_of(xb_json *object, const char *path, int64_t fallback_s)
{
    struct xb_error err = XB_ERROR_INIT;
    int64_t ns = 0;
    const char *text = xb_json_str(object, path, "");
    return xb_time_parse(text, &ns, &err) == 0 ? ns / XB_NS_PER_S : fallback_s;
}

static xb_json *time_text(int64_t seconds)
{
    char text[XB_TIME_TEXT_BYTES];
    xb_time_format_seconds(seconds * XB_NS_PER_S, text);
    return json_object_new_string(text);
}

/* ---- acting ---- */

static int act(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct schedule_work *work = context;
    struct xb_coordinator *coordinator = work->coordinator;
    int r = xb_check_leading(coordinator, err);
    (void)cancel;
    if (r == 0 && work->backup) {
        const struct xb_kube_ref ref = {.resource = &xb_velero_backups,
                                        .namespace = coordinator->options->namespace};
        r = xb_kube_create(coordinator->client, &ref, work->backup, NULL, err);
        if (r == 0) {
            xb_log_info("schedule is due", "schedule",
                        xb_json_str(work->schedule, "metadata.name", ""), "backup",
                        xb_json_str(work->backup, "metadata.name", ""));
        }
    }
    return r < 0 ? r
                 : xb_act_patch(coordinator, &xb_velero_schedules, work->schedule,
                                XB_TAKE(work->patch), err);
}

static void done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct schedule_work *step = work;
    (void)context;
    (void)key;
    snprintf(step->run->acted_on, sizeof step->run->acted_on, "%.63s",
             err ? "" : xb_json_str(step->schedule, "metadata.resourceVersion", ""));
}

/* `backup` and `patch` are taken over. */
static enum xb_plan plan_act(struct xb_coordinator *coordinator, struct xb_run *run,
                             xb_json *schedule, xb_json *backup, xb_json *patch,
                             struct xb_action *ret)
{
    struct schedule_work *work = calloc(1, sizeof *work);
    if (!work) {
        json_object_put(backup);
        json_object_put(patch);
        return XB_PLAN_NONE; /* the timer marks it again */
    }
    *work = (struct schedule_work){coordinator, run, json_object_get(schedule), backup, patch};
    *ret = (struct xb_action){.work = work, .run = act, .done = done, .free = free_work};
    return XB_PLAN_ACT;
}

/* ---- what it says ---- */

/* Its backups are named after it. */
enum { NAME_BYTES_MAX = 253 - sizeof "-YYYYMMDDHHMMSS" + 1 };

static void add_problem(struct xb_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add_problem(struct xb_run *run, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len >= 0) {
        json_object_array_add(run->cron_problems, json_object_new_string(text));
        free(text);
    }
}

/* Fields that are none, and what would make each of its backups impossible. Whether the template
 * makes sense beyond that is said by each backup, as with Velero. */
static void judge_spec(struct xb_run *run, xb_json *schedule)
{
    struct xb_error err = XB_ERROR_INIT;
    const char *name = xb_json_str(schedule, "metadata.name", "");
    if (xb_spec_check(XB_SPEC_SCHEDULE, schedule, run->cron_problems, &err) < 0) {
        add_problem(run, "%s", err.text);
    }
    if (strlen(name) > NAME_BYTES_MAX) {
        add_problem(run, "metadata.name: longer than %d bytes, so no backup can be named after it",
                    NAME_BYTES_MAX);
    }
}

/* Reads the expression, unless it is the one that was read last. */
static void judge_expression(struct xb_run *run, xb_json *schedule)
{
    const char *text = xb_json_str(schedule, "spec.schedule", "");
    struct xb_error err = XB_ERROR_INIT;
    if (run->cron && run->cron_text && strcmp(run->cron_text, text) == 0) {
        return;
    }
    free(run->cron_text);
    xb_cron_free(run->cron);
    run->cron = NULL;
    run->cron_text = strdup(text);
    if (!text[0]) {
        add_problem(run, "Schedule must be a non-empty valid Cron expression");
    } else if (xb_cron_parse(text, XB_ZONE_FOLDER, &run->cron, &err) < 0) {
        add_problem(run, "invalid schedule: %s", err.text);
    }
}

/* Looks at the schedule, unless it is the one that was looked at last. run->cron is there only if
 * nothing is wrong with it. */
static void judge(struct xb_coordinator *coordinator, struct xb_run *run, xb_json *schedule)
{
    const char *version = xb_json_str(schedule, "metadata.resourceVersion", "");
    if (run->judged[0] && strcmp(run->judged, version) == 0) {
        return;
    }
    json_object_put(run->cron_problems);
    run->cron_problems = json_object_new_array();
    judge_spec(run, schedule);
    judge_expression(run, schedule);
    if (json_object_array_length(run->cron_problems) > 0) {
        xb_cron_free(run->cron);
        run->cron = NULL;
    }
    snprintf(run->judged, sizeof run->judged, "%.63s", version);
    xb_metrics_schedule(coordinator, schedule, run->cron);
}

/* What the object must say of it; NULL: it does. */
static xb_json *verdict(const struct xb_coordinator *coordinator, const struct xb_run *run,
                        xb_json *schedule)
{
    const char *phase = run->cron ? "Enabled" : "FailedValidation";
    xb_json *said = xb_json_get(schedule, "status.validationErrors");
    bool same = said ? json_object_equal(said, run->cron_problems) != 0
                     : json_object_array_length(run->cron_problems) == 0;
    bool decided = !json_object_is_type(xb_json_get(schedule, "spec"), json_type_object) ||
                   xb_json_get(schedule, "spec.skipImmediately") != NULL;
    if (strcmp(xb_json_str(schedule, "status.phase", ""), phase) == 0 && same && decided) {
        return NULL;
    }
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", phase);
    json_object_object_add(status, "validationErrors",
                           run->cron ? NULL : json_object_get(run->cron_problems));
    json_object_object_add(patch, "status", status);
    if (!decided) { /* as Velero's server: the flag decides once, when the schedule is new */
        xb_json *spec = json_object_new_object();
        json_object_object_add(
            spec, "skipImmediately",
            json_object_new_boolean(coordinator->options->schedule_skip_immediately));
        json_object_object_add(patch, "spec", spec);
    }
    return patch;
}

/* ---- its backups ---- */

struct look {
    const char *label; /* of the schedule */
    char due[XB_TIME_TEXT_BYTES];
    bool busy;
    xb_json *made; /* the backup of the run that is due, lent */
};

static bool look_at_backup(void *context, const char *key, xb_json *backup)
{
    struct look *look = context;
    const char *label = member(xb_json_get(backup, "metadata.labels"), SCHEDULE_LABEL);
    (void)key;
    if (!label || strcmp(label, look->label) != 0) {
        return true;
    }
    const char *phase = xb_json_str(backup, "status.phase", "");
    const char *due = member(xb_json_get(backup, "metadata.annotations"), SCHEDULED_FOR_ANNOTATION);
    look->busy |= !xb_velero_backup_phase_final(phase) && strcmp(phase, "Deleting") != 0 &&
                  !xb_json_get(backup, "metadata.deletionTimestamp");
    if (due && strcmp(due, look->due) == 0) {
        look->made = backup;
    }
    return true;
}

static void copy_texts(xb_json *from, xb_json *to)
{
    if (!json_object_is_type(from, json_type_object)) {
        return;
    }
    json_object_object_foreach(from, key, value)
    {
        if (strcmp(key, LAST_APPLIED_ANNOTATION) != 0) {
            json_object_object_add(to, key, json_object_get(value));
        }
    }
}

static xb_json *make_metadata(xb_json *schedule, const struct look *look, int64_t now_s)
{
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *own = xb_json_get(schedule, "spec.template.metadata.labels");
    char name[2 * XB_VELERO_NAME_BYTES];
    char when[XB_TIME_TEXT_BYTES];
    xb_time_format_seconds(now_s * XB_NS_PER_S, when);
    int len = snprintf(name, sizeof name, "%.253s-", xb_json_str(schedule, "metadata.name", ""));
    for (const char *at = when; *at; at++) { /* YYYYMMDDHHMMSS */
        if (*at >= '0' && *at <= '9') {
            name[len++] = *at;
        }
    }
    name[len] = '\0';
    copy_texts(own ? own : xb_json_get(schedule, "metadata.labels"), labels);
    own = xb_json_get(schedule, "spec.template.metadata.annotations");
    copy_texts(own ? own : xb_json_get(schedule, "metadata.annotations"), annotations);
    xb_json_put_text(labels, SCHEDULE_LABEL, look->label);
    xb_json_put_text(annotations, SCHEDULED_FOR_ANNOTATION, look->due);
    xb_json_put_text(metadata, "name", name);
    xb_json_put_text(metadata, "namespace", xb_json_str(schedule, "metadata.namespace", ""));
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(metadata, "annotations", annotations);
    if (xb_json_bool(schedule, "spec.useOwnerReferencesInBackup", false)) {
        xb_json *owners = json_object_new_array();
        json_object_array_add(owners, xb_velero_owner_reference(schedule, "Schedule"));
        json_object_object_add(metadata, "ownerReferences", owners);
    }
    return metadata;
}

static xb_json *make_backup(xb_json *schedule, const struct look *look, int64_t now_s)
{
    xb_json *backup = json_object_new_object();
    xb_json *spec = NULL;
    xb_json *template = xb_json_get(schedule, "spec.template");
    if (!template || json_object_deep_copy(template, &spec, NULL) < 0) {
        spec = json_object_new_object();
    }
    xb_json_put_text(backup, "apiVersion", "velero.io/v1");
    xb_json_put_text(backup, "kind", "Backup");
    json_object_object_add(backup, "metadata", make_metadata(schedule, look, now_s));
    json_object_object_add(backup, "spec", spec);
    return backup;
}

/* ---- plan ---- */

static xb_json *status_patch(const char *key, int64_t seconds)
{
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    json_object_object_add(status, key, time_text(seconds));
    json_object_object_add(patch, "status", status);
    return patch;
}

static xb_json *skip_patch(int64_t now_s)
{
    xb_json *patch = status_patch("lastSkipped", now_s);
    xb_json *spec = json_object_new_object();
    json_object_object_add(spec, "skipImmediately", json_object_new_boolean(false));
    json_object_object_add(patch, "spec", spec);
    return patch;
}

static xb_json *rewind_patch(const struct xb_schedule_facts *facts, xb_json *schedule)
{
    xb_json *patch = status_patch("lastSkipped", facts->now_s);
    if (facts->last_backup_s > facts->now_s) {
        json_object_object_add(xb_json_get(patch, "status"), "lastBackup", time_text(facts->now_s));
    }
    xb_log_warning("the last run of a schedule lies in the future: the clock was set back; it goes "
                   "on from now",
                   "schedule", xb_json_str(schedule, "metadata.name", ""));
    return patch;
}

static struct xb_schedule_facts facts_of(const struct xb_run *run, xb_json *schedule,
                                         int64_t now_ns)
{
    return (struct xb_schedule_facts){
        .cron = run->cron,
        .paused = xb_json_bool(schedule, "spec.paused", false),
        .skip = xb_json_bool(schedule, "spec.skipImmediately", false),
        .now_s = now_ns / XB_NS_PER_S,
        .created_s = time_of(schedule, "metadata.creationTimestamp", now_ns / XB_NS_PER_S),
        .last_backup_s = time_of(schedule, "status.lastBackup", XB_SCHEDULE_NEVER),
        .last_skipped_s = time_of(schedule, "status.lastSkipped", XB_SCHEDULE_NEVER)};
}

static enum xb_plan plan_run(struct xb_coordinator *coordinator, struct xb_run *run,
                             xb_json *schedule, const struct xb_schedule_facts *facts,
                             struct xb_action *ret)
{
    char label[XB_VELERO_LABEL_BYTES] = "";
    struct xb_error err = XB_ERROR_INIT;
    struct look look = {.label = label};
    struct xb_schedule_facts full = *facts;
    struct xb_schedule_result next = xb_schedule_next(facts);
    xb_time_format_seconds(next.at_s * XB_NS_PER_S, look.due);
    if (xb_velero_label(xb_json_str(schedule, "metadata.name", ""), label, &err) < 0) {
        return XB_PLAN_NONE;
    }
    xb_kube_informer_each(coordinator->watched[XB_WATCH_BACKUPS], look_at_backup, &look);
    if (look.made) { /* and not noted, because somebody died in between */
        return plan_act(coordinator, run, schedule, NULL,
                        status_patch("lastBackup", time_of(look.made, "metadata.creationTimestamp",
                                                           facts->now_s)),
                        ret);
    }
    full.busy = look.busy;
    if (xb_schedule_next(&full).step != XB_SCHEDULE_RUN) {
        return XB_PLAN_NONE; /* the end of that backup marks it again */
    }
    return plan_act(coordinator, run, schedule, make_backup(schedule, &look, facts->now_s),
                    status_patch("lastBackup", facts->now_s), ret);
}

static enum xb_plan plan_judged(struct xb_coordinator *coordinator, struct xb_run *run,
                                xb_json *schedule, int64_t now_ns, struct xb_action *ret)
{
    const struct xb_schedule_facts facts = facts_of(run, schedule, now_ns);
    const struct xb_schedule_result next = xb_schedule_next(&facts);
    switch (next.step) {
    case XB_SCHEDULE_WAIT:
        ret->at_ns = next.at_s * XB_NS_PER_S;
        return XB_PLAN_AT;
    case XB_SCHEDULE_SKIP:
        return plan_act(coordinator, run, schedule, NULL, skip_patch(facts.now_s), ret);
    case XB_SCHEDULE_REWIND:
        return plan_act(coordinator, run, schedule, NULL, rewind_patch(&facts, schedule), ret);
    case XB_SCHEDULE_RUN:
        return plan_run(coordinator, run, schedule, &facts, ret);
    case XB_SCHEDULE_NONE:
    default:
        return XB_PLAN_NONE;
    }
}

enum xb_plan xb_plan_schedules(void *context, const char *key, int64_t now_ns,
                               struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *schedule = xb_kube_informer_get(coordinator->watched[XB_WATCH_SCHEDULES], key);
    if (!schedule || xb_json_get(schedule, "metadata.deletionTimestamp")) {
        xb_run_drop(&coordinator->schedule_runs, key);
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->schedule_runs, key, schedule);
    if (!run) {
        return xb_plan_no_run(now_ns, ret);
    }
    if (!xb_kube_informer_synced(coordinator->watched[XB_WATCH_BACKUPS]) ||
        (run->acted_on[0] &&
         strcmp(run->acted_on, xb_json_str(schedule, "metadata.resourceVersion", "")) == 0)) {
        return XB_PLAN_NONE;
    }
    judge(coordinator, run, schedule);
    xb_json *patch = verdict(coordinator, run, schedule);
    return patch ? plan_act(coordinator, run, schedule, NULL, patch, ret)
                 : plan_judged(coordinator, run, schedule, now_ns, ret);
}
