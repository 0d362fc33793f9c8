/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/act/observe.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { MESSAGE_BYTES = XB_KUBE_EVENT_MESSAGE_BYTES };

enum kind { BACKUP, RESTORE, PVB, PVR, LOCATION, SCHEDULE, DELETION, KINDS };

struct xb_observer {
    struct xb_meters *meters;
    struct xb_kube_events *events;
    xb_json *phases[KINDS]; /* key: the phase that was seen last */
    xb_json *ended;         /* schedule: when its last backup ended */
    xb_json *schedules;     /* backup's key: its schedule */
};

typedef void seen_fn(struct xb_observer *observer, const struct xb_sight *sight, const char *phase);

int xb_observer_new(struct xb_meters *meters, struct xb_kube_events *events,
                    struct xb_observer **ret, struct xb_error *err)
{
    struct xb_observer *observer = calloc(1, sizeof *observer);
    if (!observer) {
        return xb_error_no_memory(err, "an observer");
    }
    observer->meters = meters;
    observer->events = events;
    for (size_t i = 0; i < KINDS; i++) {
        observer->phases[i] = json_object_new_object();
    }
    observer->ended = json_object_new_object();
    observer->schedules = json_object_new_object();
    *ret = observer;
    return 0;
}

void xb_observer_free(struct xb_observer *observer)
{
    if (!observer) {
        return;
    }
    for (size_t i = 0; i < KINDS; i++) {
        json_object_put(observer->phases[i]);
    }
    json_object_put(observer->ended);
    json_object_put(observer->schedules);
    free(observer);
}

/* ---- helpers ---- */

static const char *member(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return object && json_object_object_get_ex(object, key, &value) ? json_object_get_string(value)
                                                                    : "";
}

static bool is(const char *phase, const char *other)
{
    return strcmp(phase, other) == 0;
}

static const char *schedule_of_backup(xb_json *backup)
{
    return member(xb_json_get(backup, "metadata.labels"), "velero.io/schedule-name");
}

static bool time_of(xb_json *object, const char *path, int64_t *ret_ns)
{
    struct xb_error err = XB_ERROR_INIT;
    return xb_time_parse(xb_json_str(object, path, ""), ret_ns, &err) == 0;
}

static void count(struct xb_observer *observer, const struct xb_sight *sight, unsigned meter,
                  const char *label)
{
    if (sight->leading && !sight->first) {
        xb_meters_add(observer->meters, meter, &label, 1);
    }
}

static void tell(struct xb_observer *observer, const struct xb_sight *sight,
                 const struct xb_kube_event *event)
{
    if (sight->leading && !sight->first) {
        xb_kube_events_say(observer->events, sight->resource, sight->object, event);
    }
}

/* What an ended backup or restore says of itself, in one line. */
static void sum_up(xb_json *object, const char *command, char out[MESSAGE_BYTES])
{
    const char *why = xb_json_str(object, "status.failureReason", "");
    xb_json *problems = xb_json_get(object, "status.validationErrors");
    if (problems && json_object_is_type(problems, json_type_array) &&
        json_object_array_length(problems) > 0) {
        snprintf(out, MESSAGE_BYTES, "%s",
                 json_object_get_string(json_object_array_get_idx(problems, 0)));
    } else if (why[0]) {
        snprintf(out, MESSAGE_BYTES, "%s", why);
    } else {
        snprintf(out, MESSAGE_BYTES, "%lld items, %lld errors, %lld warnings (velero %s logs %s)",
                 (long long)xb_json_int(object, "status.progress.totalItems", 0),
                 (long long)xb_json_int(object, "status.errors", 0),
                 (long long)xb_json_int(object, "status.warnings", 0), command,
                 xb_json_str(object, "metadata.name", ""));
    }
}

/* How a backup or restore ends: what is counted, and the event, but for its message. */
struct ending {
    const char *phase;
    unsigned meter;
    struct xb_kube_event event;
};

static const struct ending *ending_of(const struct ending *ends, size_t count, const char *phase)
{
    for (size_t i = 0; i < count; i++) {
        if (is(phase, ends[i].phase)) {
            return &ends[i];
        }
    }
    return NULL;
}

static void tell_end(struct xb_observer *observer, const struct xb_sight *sight,
                     const struct xb_kube_event *end, const char *command)
{
    char message[MESSAGE_BYTES];
    struct xb_kube_event event = *end;
    sum_up(sight->object, command, message);
    event.message = message;
    tell(observer, sight, &event);
}

/* ---- backups ---- */

/* Of the schedule's last backup only: a first list comes in any order. */
static void note_last_status(struct xb_observer *observer, xb_json *backup, const char *phase)
{
    const char *schedule = schedule_of_backup(backup);
    const char *at = xb_json_str(backup, "status.completionTimestamp", "");
    if (strcmp(at, member(observer->ended, schedule)) >= 0) {
        json_object_object_add(observer->ended, schedule, json_object_new_string(at));
        xb_meters_set(observer->meters, XB_METER_BACKUP_LAST_STATUS, &schedule,
                      is(phase, "Completed"));
    }
    int64_t ended_ns = 0;
    if (is(phase, "Completed") && time_of(backup, "status.completionTimestamp", &ended_ns)) {
        const int64_t ended_s = ended_ns / XB_NS_PER_S;
        xb_meters_raise(observer->meters, XB_METER_BACKUP_LAST_SUCCESS, &schedule, (double)ended_s);
    }
}

static void measure_backup(struct xb_observer *observer, const struct xb_sight *sight)
{
    const char *schedule = schedule_of_backup(sight->object);
    int64_t from_ns = 0, to_ns = 0;
    if (!sight->leading || sight->first) {
        return;
    }
    if (time_of(sight->object, "status.startTimestamp", &from_ns) &&
        time_of(sight->object, "status.completionTimestamp", &to_ns)) {
        xb_meters_observe(observer->meters, XB_METER_BACKUP_SECONDS, &schedule,
                          (double)(to_ns - from_ns) / XB_NS_PER_S);
    }
    xb_meters_set(observer->meters, XB_METER_BACKUP_ITEMS, &schedule,
                  (double)xb_json_int(sight->object, "status.progress.totalItems", 0));
    xb_meters_set(observer->meters, XB_METER_BACKUP_ERRORS, &schedule,
                  (double)xb_json_int(sight->object, "status.errors", 0));
    if (xb_json_int(sight->object, "status.warnings", 0) > 0) {
        count(observer, sight, XB_METER_BACKUP_WARNINGS, schedule);
    }
}

static void seen_backup(struct xb_observer *observer, const struct xb_sight *sight,
                        const char *phase)
{
    static const struct ending ends[] = {
        {"Completed", XB_METER_BACKUP_SUCCESSES, {false, "BackupCompleted", NULL}},
        {"PartiallyFailed",
         XB_METER_BACKUP_PARTIAL_FAILURES,
         {true, "BackupPartiallyFailed", NULL}},
        {"Failed", XB_METER_BACKUP_FAILURES, {true, "BackupFailed", NULL}},
        {"FailedValidation",
         XB_METER_BACKUP_VALIDATION_FAILURES,
         {true, "BackupFailedValidation", NULL}},
    };
    const char *schedule = schedule_of_backup(sight->object);
    char message[MESSAGE_BYTES];
    if (is(phase, "InProgress")) {
        snprintf(message, sizeof message, "goes to storage location %s",
                 xb_json_str(sight->object, "spec.storageLocation", "?"));
        count(observer, sight, XB_METER_BACKUP_ATTEMPTS, schedule);
        tell(observer, sight, &(struct xb_kube_event){false, "BackupStarted", message});
    }
    const struct ending *end = ending_of(ends, sizeof ends / sizeof ends[0], phase);
    if (end) {
        count(observer, sight, end->meter, schedule);
        note_last_status(observer, sight->object, phase);
        measure_backup(observer, sight);
        tell_end(observer, sight, &end->event, "backup");
    }
}

/* ---- restores ---- */

/* Its own schedule, or that of its backup. */
static const char *schedule_of_restore(struct xb_observer *observer, xb_json *restore)
{
    char key[2 * XB_VELERO_NAME_BYTES];
    const char *own = xb_json_str(restore, "spec.scheduleName", "");
    snprintf(key, sizeof key, "%s/%s", xb_json_str(restore, "metadata.namespace", ""),
             xb_json_str(restore, "spec.backupName", ""));
    return own[0] ? own : member(observer->schedules, key);
}

static void seen_restore(struct xb_observer *observer, const struct xb_sight *sight,
                         const char *phase)
{
    static const struct ending ends[] = {
        {"Completed", XB_METER_RESTORE_SUCCESSES, {false, "RestoreCompleted", NULL}},
        {"PartiallyFailed",
         XB_METER_RESTORE_PARTIAL_FAILURES,
         {true, "RestorePartiallyFailed", NULL}},
        {"Failed", XB_METER_RESTORE_FAILURES, {true, "RestoreFailed", NULL}},
        {"FailedValidation",
         XB_METER_RESTORE_VALIDATION_FAILURES,
         {true, "RestoreFailedValidation", NULL}},
    };
    const char *schedule = schedule_of_restore(observer, sight->object);
    char message[MESSAGE_BYTES];
    if (is(phase, "InProgress")) {
        snprintf(message, sizeof message, "from backup %s",
                 xb_json_str(sight->object, "spec.backupName", "?"));
        count(observer, sight, XB_METER_RESTORE_ATTEMPTS, schedule);
        tell(observer, sight, &(struct xb_kube_event){false, "RestoreStarted", message});
    }
    const struct ending *end = ending_of(ends, sizeof ends / sizeof ends[0], phase);
    if (end) {
        count(observer, sight, end->meter, schedule);
        tell_end(observer, sight, &end->event, "restore");
    }
}

/* ---- volumes ---- */

static void tell_volume(struct xb_observer *observer, const struct xb_sight *sight,
                        const char *reason)
{
    char message[MESSAGE_BYTES];
    snprintf(message, sizeof message, "volume %s of pod %s/%s: %.500s",
             xb_json_str(sight->object, "spec.volume", "?"),
             xb_json_str(sight->object, "spec.pod.namespace", "?"),
             xb_json_str(sight->object, "spec.pod.name", "?"),
             xb_json_str(sight->object, "status.message", ""));
    tell(observer, sight, &(struct xb_kube_event){true, reason, message});
}

static void seen_pvb(struct xb_observer *observer, const struct xb_sight *sight, const char *phase)
{
    if (!xb_velero_data_phase_final(phase) || !sight->leading || sight->first) {
        return;
    }
    xb_meters_add(observer->meters, XB_METER_VOLUMES, &phase, 1);
    if (is(phase, "Completed")) {
        xb_meters_add(observer->meters, XB_METER_BYTES_READ, NULL,
                      (double)xb_json_int(sight->object, "status.progress.totalBytes", 0));
        xb_meters_add(observer->meters, XB_METER_BYTES_NEW, NULL,
                      (double)xb_json_int(sight->object, "status.incrementalBytes", 0));
    } else {
        tell_volume(observer, sight,
                    is(phase, "Canceled") ? "PodVolumeBackupCanceled" : "PodVolumeBackupFailed");
    }
}

static void seen_pvr(struct xb_observer *observer, const struct xb_sight *sight, const char *phase)
{
    if (xb_velero_data_phase_final(phase) && !is(phase, "Completed")) {
        tell_volume(observer, sight,
                    is(phase, "Canceled") ? "PodVolumeRestoreCanceled" : "PodVolumeRestoreFailed");
    }
}

/* ---- the rest ---- */

static void seen_location(struct xb_observer *observer, const struct xb_sight *sight,
                          const char *phase)
{
    const char *name = xb_json_str(sight->object, "metadata.name", "");
    bool good = is(phase, "Available");
    if (!phase[0]) {
        return;
    }
    xb_meters_set(observer->meters, XB_METER_LOCATION_STATUS, &name, good);
    tell(observer, sight,
         &(struct xb_kube_event){!good, good ? "LocationAvailable" : "LocationUnavailable",
                                 good ? "the store can be used"
                                      : xb_json_str(sight->object, "status.message", "")});
}

static void seen_schedule(struct xb_observer *observer, const struct xb_sight *sight,
                          const char *phase)
{
    char message[MESSAGE_BYTES];
    xb_coordinator_meters_schedule(observer->meters,
                                   xb_json_str(sight->object, "metadata.name", ""));
    if (is(phase, "FailedValidation")) {
        sum_up(sight->object, "schedule", message);
        tell(observer, sight, &(struct xb_kube_event){true, "ScheduleFailedValidation", message});
    }
}

static void seen_deletion(struct xb_observer *observer, const struct xb_sight *sight,
                          const char *phase)
{
    char key[2 * XB_VELERO_NAME_BYTES];
    snprintf(key, sizeof key, "%s/%s", xb_json_str(sight->object, "metadata.namespace", ""),
             xb_json_str(sight->object, "spec.backupName", ""));
    const char *schedule = member(observer->schedules, key);
    if (is(phase, "InProgress")) {
        count(observer, sight, XB_METER_BACKUP_DELETION_ATTEMPTS, schedule);
    } else if (is(phase, "Processed")) {
        xb_json *errors = xb_json_get(sight->object, "status.errors");
        bool failed = errors && json_object_is_type(errors, json_type_array) &&
                      json_object_array_length(errors) > 0;
        count(observer, sight,
              failed ? XB_METER_BACKUP_DELETION_FAILURES : XB_METER_BACKUP_DELETION_SUCCESSES,
              schedule);
        if (failed) {
            tell(observer, sight,
                 &(struct xb_kube_event){
                     true, "BackupDeletionFailed",
                     json_object_get_string(json_object_array_get_idx(errors, 0))});
        }
    }
}

static void gone(struct xb_observer *observer, const struct xb_sight *sight, enum kind kind)
{
    const char *slash = strchr(sight->key, '/');
    const char *name = slash ? slash + 1 : sight->key;
    if (kind == LOCATION) {
        xb_meters_drop(observer->meters, XB_METER_LOCATION_STATUS, &name);
    } else if (kind == SCHEDULE) {
        xb_coordinator_meters_schedule_gone(observer->meters, name);
        json_object_object_del(observer->ended, name);
    } else if (kind == BACKUP) {
        json_object_object_del(observer->schedules, sight->key);
    }
    json_object_object_del(observer->phases[kind], sight->key);
}

static void recount(struct xb_observer *observer, enum kind kind)
{
    if (kind == BACKUP || kind == RESTORE) {
        xb_meters_set(observer->meters, kind == BACKUP ? XB_METER_BACKUPS : XB_METER_RESTORES, NULL,
                      (double)json_object_object_length(observer->phases[kind]));
    }
}

/* Whether the object's phase is another one than before. */
static bool is_news(struct xb_observer *observer, const struct xb_sight *sight, enum kind kind,
                    const char *phase)
{
    xb_json *last = NULL;
    bool known = json_object_object_get_ex(observer->phases[kind], sight->key, &last);
    if (known && is(json_object_get_string(last), phase)) {
        return false;
    }
    json_object_object_add(observer->phases[kind], sight->key, json_object_new_string(phase));
    if (kind == BACKUP && schedule_of_backup(sight->object)[0]) {
        json_object_object_add(observer->schedules, sight->key,
                               json_object_new_string(schedule_of_backup(sight->object)));
    }
    return true;
}

void xb_observe(struct xb_observer *observer, const struct xb_sight *sight)
{
    static const struct {
        const char *name;
        seen_fn *seen;
    } kinds[KINDS] = {[BACKUP] = {"Backup", seen_backup},
                      [RESTORE] = {"Restore", seen_restore},
                      [PVB] = {"PodVolumeBackup", seen_pvb},
                      [PVR] = {"PodVolumeRestore", seen_pvr},
                      [LOCATION] = {"BackupStorageLocation", seen_location},
                      [SCHEDULE] = {"Schedule", seen_schedule},
                      [DELETION] = {"DeleteBackupRequest", seen_deletion}};
    enum kind kind = BACKUP;
    while (kind < KINDS && !is(kinds[kind].name, sight->resource->kind)) {
        kind++;
    }
    if (kind == KINDS) {
        return;
    }
    if (!sight->object) {
        gone(observer, sight, kind);
        recount(observer, kind);
        return;
    }
    const char *phase = xb_json_str(sight->object, "status.phase", "");
    if (is_news(observer, sight, kind, phase)) {
        recount(observer, kind);
        kinds[kind].seen(observer, sight, phase);
    }
}
