/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of a store as objects of this cluster: what is kept, what is made anew, what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/retention/import.h"
#include "shared/codec/text.h"

static const struct xb_import_place place = {
    .namespace = "velero", .location = "second", .now_ns = INT64_C(1790000000) * 1000000000};

static const char good[] =
    "{\"apiVersion\":\"velero.io/v1\",\"kind\":\"Backup\",\"metadata\":{\"name\":\"b\","
    "\"namespace\":\"elsewhere\",\"uid\":\"old\",\"resourceVersion\":\"7\",\"finalizers\":[\"x\"],"
    "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"managedFields\":[{}],"
    "\"labels\":{\"team\":\"a\",\"velero.io/storage-location\":\"first\",\"velero.io/gc-failure\":"
    "\"BSLReadOnly\"},"
    "\"annotations\":{\"velero.io/source-cluster-k8s-gitversion\":\"v1.34.4\",\"xebec.io/hooks\":"
    "\"run me\"},"
    "\"ownerReferences\":[{\"apiVersion\":\"velero.io/v1\",\"kind\":\"Schedule\",\"name\":\"s\","
    "\"uid\":\"su\",\"controller\":true},{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\","
    "\"uid\":\"pu\"}]},"
    "\"spec\":{\"storageLocation\":\"first\",\"ttl\":\"1h0m0s\",\"hooks\":{\"resources\":[{"
    "\"name\":"
    "\"h\",\"pre\":[{\"exec\":{\"command\":[\"rm\"]}}]}]}},"
    "\"status\":{\"phase\":\"Completed\",\"expiration\":\"2026-10-01T00:00:00Z\"}}";

static xb_json *parse(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *json = NULL;
    assert_int_equal(xb_json_parse(text, strlen(text), &json, &err), 0);
    return json;
}

static xb_json *import(const char *name, const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *backup = NULL;
    if (xb_import_backup(name, text, strlen(text), &place, &backup, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return backup;
}

static void refused(const char *name, const char *text, const char *word)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *backup = NULL;
    assert_true(xb_import_backup(name, text, strlen(text), &place, &backup, &err) < 0);
    assert_null(backup);
    assert_non_null(strstr(err.text, word));
}

/* `good` with one text in place of another. */
static char *with(const char *old, const char *new)
{
    const char *at = strstr(good, old);
    assert_non_null(at);
    size_t len = sizeof good + strlen(new) + 1;
    char *text = calloc(1, len);
    snprintf(text, len, "%.*s%s%s", (int)(at - good), good, new, at + strlen(old));
    return text;
}

static void refused_with(const char *old, const char *new, const char *word)
{
    char *text = with(old, new);
    refused("b", text, word);
    free(text);
}

static const char *get(xb_json *object, const char *path)
{
    return xb_json_str(object, path, "-");
}

static void made_anew(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *backup = import("b", good);
    assert_string_equal(get(backup, "apiVersion"), "velero.io/v1");
    assert_string_equal(get(backup, "metadata.name"), "b");
    assert_string_equal(get(backup, "metadata.namespace"), "velero");
    assert_string_equal(get(backup, "spec.storageLocation"), "second");
    assert_string_equal(get(backup, "metadata.labels.velero\\.io/storage-location"), "second");
    assert_string_equal(get(backup, "metadata.labels.team"), "a");
    assert_string_equal(get(backup, "metadata.labels.velero\\.io/gc-failure"), "-");
    assert_string_equal(
        get(backup, "metadata.annotations.velero\\.io/source-cluster-k8s-gitversion"), "v1.34.4");
    assert_string_equal(get(backup, "spec.ttl"), "1h0m0s");
    assert_string_equal(get(backup, "status.phase"), "Completed");
    assert_string_equal(get(backup, "status.expiration"), "2026-10-01T00:00:00Z");
    static const char *const gone[] = {"metadata.uid",           "metadata.resourceVersion",
                                       "metadata.finalizers",    "metadata.deletionTimestamp",
                                       "metadata.managedFields", "spec.hooks"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        assert_null(xb_json_get(backup, gone[i]));
    }
}

static void nothing_to_carry_out(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *backup = import("b", good);
    const char *text = json_object_to_json_string(backup);
    assert_null(strstr(text, "run me"));
    assert_null(strstr(text, "\"rm\""));
    xb_json *owners = xb_json_get(backup, "metadata.ownerReferences");
    assert_int_equal(json_object_array_length(owners), 1);
    assert_string_equal(get(json_object_array_get_idx(owners, 0), "kind"), "Schedule");
    assert_string_equal(get(json_object_array_get_idx(owners, 0), "uid"), "su");
}

static void planted_records(void **state)
{
    (void)state;
    refused("c", good, "another backup's folder");
    refused("../b", good, "folder");
    refused("", good, "folder");
    refused("b", "", "");
    refused("b", "[]", "no object");
    refused("b", "{}", "apiVersion");
    refused_with("velero.io/v1", "velero.io/v2", "apiVersion");
    refused_with("\"Backup\"", "\"Restore\"", "kind");
    refused_with("\"name\":\"b\"", "\"name\":\"../../x\"", "another backup's folder");
    refused_with("\"name\":\"b\"", "\"name\":7", "another backup's folder");
    refused_with("\"Completed\"", "\"New\"", "'New'");
    refused_with("\"Completed\"", "\"\"", "phase");
    refused_with("\"Completed\"", "\"Queued\"", "'Queued'");
    refused_with("\"Completed\"", "\"InProgress\"", "'InProgress'");
    refused_with("\"Completed\"", "\"Deleting\"", "'Deleting'");
    refused_with("\"Completed\"", "\"FailedValidation\"", "'FailedValidation'");
    refused_with("\"Completed\"", "{}", "phase");
    refused_with("\"team\":\"a\"", "\"team\":7", "team");
    refused_with("\"labels\":{", "\"other\":{},\"labels\":7,\"l\":{", "labels");
    refused_with("\"spec\":{", "\"spec\":7,\"s\":{", "spec");
}

static void huge_records(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    xb_json *backup = NULL;
    size_t len = XB_IMPORT_MARKER_BYTES_MAX + 1;
    char *text = malloc(len);
    memset(text, '[', len);
    assert_true(xb_import_backup("b", text, len, &place, &backup, &err) < 0);
    assert_non_null(strstr(err.text, "larger"));
    /* Below the limit it is the depth that is refused. */
    assert_true(xb_import_backup("b", text, 100000, &place, &backup, &err) < 0);
    free(text);
}

static void under_way(void **state)
{
    (void)state;
    static const char *const phases[] = {"\"Finalizing\"", "\"FinalizingPartiallyFailed\"",
                                         "\"WaitingForPluginOperations\"",
                                         "\"WaitingForPluginOperationsPartiallyFailed\""};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        char *text = with("\"Completed\"", phases[i]);
        XB_CLEANUP(xb_json_putp) xb_json *none = import("b", text);
        assert_null(none);
        struct xb_import_place later = place;
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_json_putp) xb_json *expired = NULL;
        later.now_ns += INT64_C(86400) * 30 * 1000000000;
        assert_int_equal(xb_import_backup("b", text, strlen(text), &later, &expired, &err), 0);
        assert_string_equal(get(expired, "status.phase"), "PartiallyFailed");
        free(text);
    }
}

/* ---- orders ---- */

static const char good_order[] =
    "{\"apiVersion\":\"velero.io/v1\",\"kind\":\"PodVolumeBackup\",\"metadata\":{\"name\":\"b-1\","
    "\"namespace\":\"elsewhere\",\"uid\":\"old\",\"finalizers\":[\"f\"],"
    "\"labels\":{\"velero.io/backup-name\":\"x\",\"velero.io/backup-uid\":\"old\","
    "\"velero.io/pvc-uid\":\"p\"},"
    "\"annotations\":{\"velero.io/pvc-name\":\"data\",\"xebec.io/bracket\":\"{}\","
    "\"xebec.io/point-in-time\":\"t\"},"
    "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"pu\"}]},"
    "\"spec\":{\"node\":\"n\",\"backupStorageLocation\":\"first\",\"cancel\":true,\"volume\":\"v\"}"
    ","
    "\"status\":{\"phase\":\"Completed\",\"snapshotID\":\"0123456789abcdef0123456789abcdef\"}}";
static const char here[] = "{\"metadata\":{\"name\":\"b\",\"uid\":\"new\"}}";

static void orders_made_anew(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *recorded = parse(good_order);
    XB_CLEANUP(xb_json_putp) xb_json *backup = parse(here);
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    assert_int_equal(xb_import_order(recorded, backup, &place, &order, &err), 0);
    assert_string_equal(get(order, "metadata.name"), "b-1");
    assert_string_equal(get(order, "metadata.namespace"), "velero");
    assert_string_equal(get(order, "metadata.labels.velero\\.io/backup-name"), "b");
    assert_string_equal(get(order, "metadata.labels.velero\\.io/backup-uid"), "new");
    assert_string_equal(get(order, "metadata.labels.velero\\.io/pvc-uid"), "p");
    assert_string_equal(get(order, "metadata.annotations.velero\\.io/pvc-name"), "data");
    assert_string_equal(get(order, "metadata.annotations.xebec\\.io/point-in-time"), "t");
    assert_string_equal(get(order, "metadata.annotations.xebec\\.io/bracket"), "-");
    assert_string_equal(get(order, "spec.backupStorageLocation"), "second");
    assert_null(xb_json_get(order, "spec.cancel"));
    assert_null(xb_json_get(order, "metadata.finalizers"));
    xb_json *owners = xb_json_get(order, "metadata.ownerReferences");
    assert_int_equal(json_object_array_length(owners), 1);
    assert_string_equal(get(json_object_array_get_idx(owners, 0), "uid"), "new");
    assert_true(xb_json_bool(recorded, "spec.cancel", false)); /* the record is as it was */
}

/* Velero writes the elements of that list without apiVersion and kind. */
static void orders_as_velero_writes_them(void **state)
{
    (void)state;
    static const char *const type = "\"kind\":\"PodVolumeBackup\",";
    char text[2000];
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *backup = parse(here);
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    const char *rest = strstr(good_order, type) + strlen(type);
    snprintf(text, sizeof text, "{%s", rest);
    XB_CLEANUP(xb_json_putp) xb_json *recorded = parse(text);
    assert_int_equal(xb_import_order(recorded, backup, &place, &order, &err), 0);
    assert_string_equal(get(order, "apiVersion"), "velero.io/v1");
    assert_string_equal(get(order, "kind"), "PodVolumeBackup");
    assert_string_equal(get(order, "spec.volume"), "v");
    static const char *const half[] = {"\"kind\":\"PodVolumeBackup\"",
                                       "\"apiVersion\":\"velero.io/v1\"", "\"kind\":\"\""};
    for (size_t i = 0; i < sizeof half / sizeof *half; i++) {
        snprintf(text, sizeof text, "{%s,%s", half[i], rest);
        XB_CLEANUP(xb_json_putp) xb_json *wrong = parse(text);
        xb_json *none = NULL;
        assert_int_equal(xb_import_order(wrong, backup, &place, &none, &err), -EINVAL);
    }
}

static void planted_orders(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *backup = parse(here);
    static const char *const bad[][2] = {{"\"Completed\"", "\"New\""},
                                         {"\"Completed\"", "\"\""},
                                         {"\"Completed\"", "\"InProgress\""},
                                         {"\"name\":\"b-1\"", "\"name\":\"../b\""},
                                         {"\"name\":\"b-1\"", "\"name\":\"\""},
                                         {"PodVolumeBackup", "PodVolumeRestore"},
                                         {"velero.io/v1", "apps/v1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[2000];
        struct xb_error err = XB_ERROR_INIT;
        const char *at = strstr(good_order, bad[i][0]);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good_order), good_order, bad[i][1],
                 at + strlen(bad[i][0]));
        XB_CLEANUP(xb_json_putp) xb_json *recorded = parse(text);
        xb_json *order = NULL;
        assert_true(xb_import_order(recorded, backup, &place, &order, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_null(order);
    }
    struct xb_error err = XB_ERROR_INIT;
    xb_json *order = NULL;
    assert_true(xb_import_order(NULL, backup, &place, &order, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_anew),       cmocka_unit_test(nothing_to_carry_out),
        cmocka_unit_test(planted_records), cmocka_unit_test(huge_records),
        cmocka_unit_test(under_way),       cmocka_unit_test(orders_made_anew),
        cmocka_unit_test(planted_orders),  cmocka_unit_test(orders_as_velero_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
