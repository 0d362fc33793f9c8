/* SPDX-License-Identifier: Apache-2.0
 *
 * What the phases that go by are counted as, by whom, and what a restart finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/act/observe.h"

struct fixture {
    struct xb_meters *meters;
    struct xb_observer *observer;
    bool first, leading;
};

static const struct xb_kube_resource schedules = {"velero.io", "v1", "schedules", "Schedule", true};
static const struct xb_kube_resource deletions = {"velero.io", "v1", "deletebackuprequests",
                                                  "DeleteBackupRequest", true};

static void begin(struct fixture *f)
{
    struct xb_error err = XB_ERROR_INIT;
    *f = (struct fixture){.leading = true};
    assert_int_equal(xb_coordinator_meters_new(&f->meters, &err), 0);
    assert_int_equal(xb_observer_new(f->meters, NULL, &f->observer, &err), 0);
}

static void end(struct fixture *f)
{
    xb_observer_free(f->observer);
    xb_meters_free(f->meters);
}

/* `rest`: what follows the name in metadata, and the object's other members. */
static void see(struct fixture *f, const struct xb_kube_resource *resource, const char *name,
                const char *rest)
{
    struct xb_error err = XB_ERROR_INIT;
    char text[1000], key[100];
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    snprintf(key, sizeof key, "velero/%s", name);
    snprintf(text, sizeof text, "{\"metadata\":{\"namespace\":\"velero\",\"name\":\"%s\"%s", name,
             rest ? rest : "}");
    if (rest) {
        assert_int_equal(xb_json_parse(text, strlen(text), &object, &err), 0);
    }
    xb_observe(f->observer, &(struct xb_sight){.resource = resource,
                                               .key = key,
                                               .object = object,
                                               .first = f->first,
                                               .leading = f->leading});
}

static int value(const struct fixture *f, unsigned meter, const char *label)
{
    return (int)xb_meters_value(f->meters, meter, &label);
}

#define DAILY ",\"labels\":{\"velero.io/schedule-name\":\"daily\"}}"
#define PHASE(phase) ",\"status\":{\"phase\":\"" phase "\"}}"
#define TIMES(phase, end)                                                                          \
    ",\"status\":{\"phase\":\"" phase "\",\"startTimestamp\":\"2026-01-02T03:04:00Z\","            \
    "\"completionTimestamp\":\"" end "\",\"progress\":{\"totalItems\":30},\"warnings\":2}}"

static void backups(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    see(&f, &xb_velero_backups, "b", DAILY PHASE("New"));
    assert_int_equal(value(&f, XB_METER_BACKUP_ATTEMPTS, "daily"), 0);
    see(&f, &xb_velero_backups, "b", DAILY PHASE("InProgress"));
    see(&f, &xb_velero_backups, "b", DAILY PHASE("InProgress")); /* progress is no news */
    assert_int_equal(value(&f, XB_METER_BACKUP_ATTEMPTS, "daily"), 1);
    see(&f, &xb_velero_backups, "b", DAILY TIMES("Completed", "2026-01-02T03:05:40Z"));
    assert_int_equal(value(&f, XB_METER_BACKUP_SUCCESSES, "daily"), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_SECONDS, "daily"), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_ITEMS, "daily"), 30);
    assert_int_equal(value(&f, XB_METER_BACKUP_WARNINGS, "daily"), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_STATUS, "daily"), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_SUCCESS, "daily"), 1767323140);
    assert_int_equal(value(&f, XB_METER_BACKUP_SUCCESSES, ""), 0);
    see(&f, &xb_velero_backups, "c", "}" PHASE("InProgress"));
    see(&f, &xb_velero_backups, "c", "}" TIMES("PartiallyFailed", "2026-01-02T03:05:40Z"));
    assert_int_equal(value(&f, XB_METER_BACKUP_PARTIAL_FAILURES, ""), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_STATUS, ""), 0);
    see(&f, &xb_velero_backups, "d", "}" PHASE("FailedValidation"));
    see(&f, &xb_velero_backups, "e", "}" PHASE("Failed"));
    assert_int_equal(value(&f, XB_METER_BACKUP_VALIDATION_FAILURES, ""), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_FAILURES, ""), 1);
    assert_int_equal(value(&f, XB_METER_BACKUPS, ""), 4);
    see(&f, &xb_velero_backups, "d", NULL);
    assert_int_equal(value(&f, XB_METER_BACKUPS, ""), 3);
    end(&f);
}

/* What was there before counts nothing, but the last success is known again. */
static void restart(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.first = true;
    see(&f, &xb_velero_backups, "2", DAILY TIMES("Completed", "2026-01-02T04:00:00Z"));
    see(&f, &xb_velero_backups, "3", DAILY TIMES("Failed", "2026-01-02T05:00:00Z"));
    see(&f, &xb_velero_backups, "1", DAILY TIMES("Completed", "2026-01-02T03:30:00Z"));
    see(&f, &xb_velero_backups, "4", "}" PHASE("InProgress"));
    f.first = false;
    assert_int_equal(value(&f, XB_METER_BACKUPS, ""), 4);
    assert_int_equal(value(&f, XB_METER_BACKUP_SUCCESSES, "daily"), 0);
    assert_int_equal(value(&f, XB_METER_BACKUP_SECONDS, "daily"), 0);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_SUCCESS, "daily"), 1767326400);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_STATUS, "daily"), 0);
    assert_int_equal(value(&f, XB_METER_BACKUP_ATTEMPTS, ""), 0);
    see(&f, &xb_velero_backups, "4", "}" TIMES("Completed", "2026-01-02T06:00:00Z"));
    assert_int_equal(value(&f, XB_METER_BACKUP_SUCCESSES, ""), 1);
    /* One that stands by looks on. */
    f.leading = false;
    see(&f, &xb_velero_backups, "5", "}" PHASE("InProgress"));
    see(&f, &xb_velero_backups, "5", "}" TIMES("Completed", "2026-01-02T07:00:00Z"));
    assert_int_equal(value(&f, XB_METER_BACKUP_SUCCESSES, ""), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_LAST_SUCCESS, ""), 1767337200);
    end(&f);
}

static void restores(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    see(&f, &xb_velero_backups, "b", DAILY PHASE("Completed"));
    see(&f, &xb_velero_restores, "r", "},\"spec\":{\"backupName\":\"b\"}" PHASE("InProgress"));
    assert_int_equal(value(&f, XB_METER_RESTORE_ATTEMPTS, "daily"), 1);
    see(&f, &xb_velero_restores, "r", "},\"spec\":{\"backupName\":\"b\"}" PHASE("Completed"));
    assert_int_equal(value(&f, XB_METER_RESTORE_SUCCESSES, "daily"), 1);
    see(&f, &xb_velero_restores, "s", "},\"spec\":{\"scheduleName\":\"own\"}" PHASE("Failed"));
    assert_int_equal(value(&f, XB_METER_RESTORE_FAILURES, "own"), 1);
    see(&f, &xb_velero_restores, "t", "}" PHASE("PartiallyFailed"));
    see(&f, &xb_velero_restores, "u", "}" PHASE("FailedValidation"));
    assert_int_equal(value(&f, XB_METER_RESTORE_PARTIAL_FAILURES, ""), 1);
    assert_int_equal(value(&f, XB_METER_RESTORE_VALIDATION_FAILURES, ""), 1);
    assert_int_equal(value(&f, XB_METER_RESTORES, ""), 4);
    end(&f);
}

static void volumes(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    see(&f, &xb_velero_pvbs, "v", "}" PHASE("InProgress"));
    see(&f, &xb_velero_pvbs, "v",
        "},\"status\":{\"phase\":\"Completed\",\"incrementalBytes\":7,"
        "\"progress\":{\"totalBytes\":100}}}");
    see(&f, &xb_velero_pvbs, "w", "}" PHASE("Failed"));
    assert_int_equal(value(&f, XB_METER_VOLUMES, "Completed"), 1);
    assert_int_equal(value(&f, XB_METER_VOLUMES, "Failed"), 1);
    assert_int_equal((int)xb_meters_value(f.meters, XB_METER_BYTES_READ, NULL), 100);
    assert_int_equal((int)xb_meters_value(f.meters, XB_METER_BYTES_NEW, NULL), 7);
    end(&f);
}

static void the_rest(void **state)
{
    (void)state;
    struct fixture f;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_buf out = XB_BUF_INIT(1 << 20);
    begin(&f);
    see(&f, &xb_velero_locations, "l", "}" PHASE("Available"));
    assert_int_equal(value(&f, XB_METER_LOCATION_STATUS, "l"), 1);
    see(&f, &xb_velero_locations, "l", "}" PHASE("Unavailable"));
    see(&f, &schedules, "daily", "}" PHASE("Enabled"));
    see(&f, &xb_velero_backups, "b", DAILY PHASE("Completed"));
    see(&f, &deletions, "x", "},\"spec\":{\"backupName\":\"b\"}" PHASE("InProgress"));
    see(&f, &xb_velero_backups, "b", DAILY PHASE("Deleting"));
    see(&f, &deletions, "x", "},\"spec\":{\"backupName\":\"b\"}" PHASE("Processed"));
    see(&f, &deletions, "y", "},\"spec\":{\"backupName\":\"b\"}" PHASE("InProgress"));
    see(&f, &deletions, "y",
        "},\"spec\":{\"backupName\":\"b\"},\"status\":{\"phase\":\"Processed\",\"errors\":[\"e\"]}"
        "}");
    assert_int_equal(value(&f, XB_METER_BACKUP_DELETION_ATTEMPTS, "daily"), 2);
    assert_int_equal(value(&f, XB_METER_BACKUP_DELETION_SUCCESSES, "daily"), 1);
    assert_int_equal(value(&f, XB_METER_BACKUP_DELETION_FAILURES, "daily"), 1);
    assert_int_equal(xb_meters_write(f.meters, &out, &err), 0);
    assert_non_null(strstr(out.data, "velero_backup_location_status_gauge{backup_location_name="
                                     "\"l\"} 0\n"));
    assert_non_null(strstr(out.data, "velero_backup_attempt_total{schedule=\"daily\"} 0\n"));
    /* Gone: with all that was about them. */
    see(&f, &xb_velero_locations, "l", NULL);
    see(&f, &schedules, "daily", NULL);
    xb_buf_clear(&out);
    assert_int_equal(xb_meters_write(f.meters, &out, &err), 0);
    assert_null(strstr(out.data, "daily"));
    assert_null(strstr(out.data, "backup_location_name"));
    assert_non_null(strstr(out.data, "# TYPE velero_backup_attempt_total counter\n"
                                     "velero_backup_attempt_total{schedule=\"\"} 0\n"));
    assert_non_null(strstr(out.data, "velero_volume_snapshot_attempt_total{schedule=\"\"} 0\n"));
    /* A kind that nobody counts, and phases that are no text. */
    see(&f, &xb_core_pods, "p", "}" PHASE("Running"));
    see(&f, &xb_velero_backups, "odd", "},\"status\":[1]}");
    see(&f, &xb_velero_backups, "odd", "},\"status\":{\"phase\":{\"a\":1}}}");
    xb_buf_free(&out);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backups), cmocka_unit_test(restart),  cmocka_unit_test(restores),
        cmocka_unit_test(volumes), cmocka_unit_test(the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
