/* SPDX-License-Identifier: Apache-2.0
 *
 * Velero's names: labels of long names, keys in the bucket, names made from parts, final phases.
 */
#include "tests/harness/probe.h"

#include "shared/velero/velero.h"

static char *repeat(char letter, size_t len)
{
    char *text = malloc(len + 1);
    assert_non_null(text);
    memset(text, letter, len);
    text[len] = '\0';
    return text;
}

/* Up to 63 bytes as they are, longer ones cut to 57 and six hex digits of their sha256. */
static void labels(void **state)
{
    (void)state;
    char out[XB_VELERO_LABEL_BYTES];
    PROBE_OK(xb_velero_label("", out, &err));
    assert_string_equal(out, "");
    PROBE_OK(xb_velero_label("nightly", out, &err));
    assert_string_equal(out, "nightly");
    XB_CLEANUP(xb_freep) char *fits = repeat('a', 63);
    PROBE_OK(xb_velero_label(fits, out, &err));
    assert_string_equal(out, fits);
    XB_CLEANUP(xb_freep) char *longer = repeat('a', 64);
    PROBE_OK(xb_velero_label(longer, out, &err));
    /* printf 'a%.0s' {1..64} | sha256sum */
    assert_string_equal(out, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                             "ffe054");
    XB_CLEANUP(xb_freep) char *longest = repeat('a', 253);
    PROBE_OK(xb_velero_label(longest, out, &err));
    assert_int_equal(strlen(out), 63);
    assert_memory_equal(out, longest, 57);
    assert_string_not_equal(out + 57, "ffe054");
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "tiny-1", "a.b-c.9", "9", "A"};
    static const char *const bad[] = {"",     ".",   "..",   "../x", "a/b",      "-a", ".a",  "a b",
                                      "a\nb", "a_b", "a%2f", "a:b",  "\xc3\xa9", "a*", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(xb_velero_name_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(xb_velero_name_valid(bad[i]));
    }
    XB_CLEANUP(xb_freep) char *longest = repeat('a', 253);
    XB_CLEANUP(xb_freep) char *longer = repeat('a', 254);
    assert_true(xb_velero_name_valid(longest));
    assert_false(xb_velero_name_valid(longer));
}

/* The same parts give the same name, others another one, wherever one part ends. */
static void derived_names(void **state)
{
    (void)state;
    char first[XB_VELERO_NAME_BYTES], second[XB_VELERO_NAME_BYTES];
    static const char *const ab[] = {"ab", "c", NULL}, *const a[] = {"a", "bc", NULL},
                             *const abc[] = {"abc", NULL}, *const three[] = {"ab", "c", "", NULL};
    PROBE_OK(xb_velero_derived_name("tiny-1", ab, first, &err));
    assert_memory_equal(first, "tiny-1-", 7);
    assert_int_equal(strlen(first), 7 + 12);
    assert_int_equal(strspn(first + 7, "0123456789abcdef"), 12);
    PROBE_OK(xb_velero_derived_name("tiny-1", ab, second, &err));
    assert_string_equal(first, second);
    PROBE_OK(xb_velero_derived_name("tiny-1", a, second, &err));
    assert_string_not_equal(first, second);
    PROBE_OK(xb_velero_derived_name("tiny-1", abc, second, &err));
    assert_string_not_equal(first, second);
    PROBE_OK(xb_velero_derived_name("tiny-1", three, second, &err));
    assert_string_not_equal(first, second);
}

/* However long the prefix and wherever it is cut, Kubernetes takes the name. */
static void derived_names_of_long_prefixes(void **state)
{
    (void)state;
    static const char *const parts[] = {"uid", NULL};
    for (size_t dot = 230; dot < 250; dot++) {
        char name[XB_VELERO_NAME_BYTES];
        XB_CLEANUP(xb_freep) char *prefix = repeat('b', 253);
        prefix[dot] = '.';
        PROBE_OK(xb_velero_derived_name(prefix, parts, name, &err));
        assert_in_range(strlen(name), 250, 253);
        assert_true(xb_velero_name_valid(name));
        assert_null(strstr(name, ".-")); /* no label may begin with a dash */
        assert_null(strstr(name, "-."));
        assert_null(strstr(name, ".."));
    }
}

static void keys(void **state)
{
    (void)state;
    char key[XB_VELERO_KEY_BYTES];
    PROBE_OK(xb_velero_backup_key("b", ".tar.gz", key, &err));
    assert_string_equal(key, "backups/b/b.tar.gz");
    PROBE_OK(xb_velero_backup_key("b", "-logs.gz", key, &err));
    assert_string_equal(key, "backups/b/b-logs.gz");
    PROBE_OK(xb_velero_marker_key("b", key, &err));
    assert_string_equal(key, "backups/b/velero-backup.json");
    PROBE_OK(xb_velero_restore_key("r", "-results.gz", key, &err));
    assert_string_equal(key, "restores/r/restore-r-results.gz");
    PROBE_OK(xb_velero_restore_key("r", "-volumeinfo.json.gz", key, &err));
    assert_string_equal(key, "restores/r/r-volumeinfo.json.gz");
    XB_CLEANUP(xb_freep) char *longest = repeat('a', 253);
    PROBE_OK(xb_velero_backup_key(longest, "-csi-volumesnapshotcontents.json.gz", key, &err));
    assert_int_equal(strlen(key), 8 + 253 + 1 + 253 + 35);
}

static void keys_of_no_name(void **state)
{
    (void)state;
    char key[XB_VELERO_KEY_BYTES];
    PROBE_REFUSED(xb_velero_backup_key("../x", ".tar.gz", key, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_velero_marker_key("", key, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_velero_restore_key("a/b", "-logs.gz", key, &err), XB_ERR_INVALID);
}

/* Every kind that the command line asks for has the key that contract section 2 gives it. */
static void download_keys(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *key;
    } wanted[] = {
        {"BackupLog", "backups/n/n-logs.gz"},
        {"BackupContents", "backups/n/n.tar.gz"},
        {"BackupVolumeSnapshots", "backups/n/n-volumesnapshots.json.gz"},
        {"BackupItemOperations", "backups/n/n-itemoperations.json.gz"},
        {"BackupResourceList", "backups/n/n-resource-list.json.gz"},
        {"BackupResults", "backups/n/n-results.gz"},
        {"BackupVolumeInfos", "backups/n/n-volumeinfo.json.gz"},
        {"CSIBackupVolumeSnapshots", "backups/n/n-csi-volumesnapshots.json.gz"},
        {"CSIBackupVolumeSnapshotContents", "backups/n/n-csi-volumesnapshotcontents.json.gz"},
        {"RestoreLog", "restores/n/restore-n-logs.gz"},
        {"RestoreResults", "restores/n/restore-n-results.gz"},
        {"RestoreResourceList", "restores/n/restore-n-resource-list.json.gz"},
        {"RestoreItemOperations", "restores/n/restore-n-itemoperations.json.gz"},
        {"RestoreVolumeInfo", "restores/n/n-volumeinfo.json.gz"},
    };
    char key[XB_VELERO_KEY_BYTES];
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        PROBE_OK(xb_velero_download_key(wanted[i].kind, "n", key, &err));
        assert_string_equal(key, wanted[i].key);
        PROBE_REFUSED(xb_velero_download_key(wanted[i].kind, "../n", key, &err), XB_ERR_INVALID);
    }
    PROBE_REFUSED(xb_velero_download_key("backuplog", "n", key, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_velero_download_key("", "n", key, &err), XB_ERR_INVALID);
}

/* Exactly the phases of section 1 that nothing follows. */
static void phases(void **state)
{
    (void)state;
    static const char *const data_open[] = {"",           "New",       "Accepted", "Prepared",
                                            "InProgress", "Canceling", "completed"};
    static const char *const data_final[] = {"Completed", "Failed", "Canceled"};
    static const char *const backup_open[] = {"",
                                              "New",
                                              "Queued",
                                              "ReadyToStart",
                                              "InProgress",
                                              "Finalizing",
                                              "FinalizingPartiallyFailed",
                                              "WaitingForPluginOperations",
                                              "WaitingForPluginOperationsPartiallyFailed"};
    static const char *const backup_final[] = {"Completed", "PartiallyFailed", "Failed",
                                               "FailedValidation", "Deleting"};
    for (size_t i = 0; i < sizeof data_open / sizeof *data_open; i++) {
        assert_false(xb_velero_data_phase_final(data_open[i]));
    }
    for (size_t i = 0; i < sizeof data_final / sizeof *data_final; i++) {
        assert_true(xb_velero_data_phase_final(data_final[i]));
    }
    for (size_t i = 0; i < sizeof backup_open / sizeof *backup_open; i++) {
        assert_false(xb_velero_backup_phase_final(backup_open[i]));
    }
    for (size_t i = 0; i < sizeof backup_final / sizeof *backup_final; i++) {
        assert_true(xb_velero_backup_phase_final(backup_final[i]));
    }
}

static void owners(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *object = probe_json("{\"metadata\":{\"ownerReferences\":[7,null,{\"kind\":3},"
                                 "{\"kind\":\"Job\",\"name\":\"j\"},"
                                 "{\"kind\":\"Backup\",\"name\":\"b\"},"
                                 "{\"kind\":\"Backup\",\"name\":\"c\"}]}}");
    assert_string_equal(xb_json_str(xb_velero_owner(object, "Backup"), "name", ""), "b");
    assert_null(xb_velero_owner(object, "Restore"));
    XB_CLEANUP(xb_json_putp) xb_json *odd = probe_json("{\"metadata\":{\"ownerReferences\":{}}}");
    assert_null(xb_velero_owner(odd, "Backup"));
    assert_null(xb_velero_owner(NULL, "Backup"));
}

/* Only a text maps a namespace. */
static void mapped_namespaces(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *mapping = probe_json("{\"a\":\"b\",\"b\":\"c\",\"none\":\"\",\"number\":7}");
    XB_CLEANUP(xb_json_putp) xb_json *odd = probe_json("[\"a\"]");
    assert_string_equal(xb_velero_mapped_namespace(mapping, "a"), "b");
    assert_string_equal(xb_velero_mapped_namespace(mapping, "c"), "c");
    assert_string_equal(xb_velero_mapped_namespace(mapping, "none"), "none");
    assert_string_equal(xb_velero_mapped_namespace(mapping, "number"), "number");
    assert_string_equal(xb_velero_mapped_namespace(odd, "a"), "a");
    assert_string_equal(xb_velero_mapped_namespace(NULL, "a"), "a");
}

/* A password loses the newline that an editor left; a key keeps every byte, also one that looks
 * like white space. */
static void secrets(void **state)
{
    (void)state;
    static const char text[] =
        "{\"data\":{\"password\":\"cHcKIAo=\",\"key\":\"AQIgCgA=\",\"none\":\"\"}}";
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *key = NULL;
    struct xb_secret *none = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_json_parse(text, sizeof text - 1, &json, &err), 0);
    assert_int_equal(xb_velero_secret(json, "password", true, &password, &err), 0);
    assert_int_equal(password->len, 2);
    assert_memory_equal(password->data, "pw", 2);
    assert_int_equal(xb_velero_secret(json, "key", false, &key, &err), 0);
    assert_int_equal(key->len, 5);
    assert_memory_equal(key->data, "\x01\x02 \n\0", 5);
    assert_true(xb_velero_secret(json, "none", true, &none, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_true(xb_velero_secret(json, "absent", true, &none, &err) < 0);
    assert_null(none);
}

/* Whole seconds, UTC, as Kubernetes' metav1.Time. */
static void now(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *time = xb_velero_now();
    const char *text = json_object_get_string(time);
    assert_int_equal(strlen(text), strlen("2026-01-02T03:04:05Z"));
    assert_true(text[4] == '-' && text[10] == 'T' && text[19] == 'Z');
}

/* A snapshot that Velero must not see is in an annotation; one that it sees counts first. */
static void snapshots(void **state)
{
    (void)state;
    static const struct {
        const char *text, *id;
    } cases[] = {
        {"{\"status\":{\"snapshotID\":\"a\"}}", "a"},
        {"{\"metadata\":{\"annotations\":{\"xebec.io/snapshot-id\":\"b\"}},\"status\":{}}", "b"},
        {"{\"metadata\":{\"annotations\":{\"xebec.io/snapshot-id\":\"b\"}},\"status\":{"
         "\"snapshotID\":\"a\"}}",
         "a"},
        {"{\"metadata\":{\"annotations\":{\"xebec.io/snapshot-id\":7}}}", ""},
        {"{\"metadata\":{\"annotations\":[]}}", ""},
        {"{}", ""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *order = probe_json(cases[i].text);
        assert_string_equal(xb_velero_snapshot_of(order), cases[i].id);
    }
    assert_string_equal(xb_velero_snapshot_of(NULL), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots),
        cmocka_unit_test(labels),
        cmocka_unit_test(names),
        cmocka_unit_test(derived_names),
        cmocka_unit_test(derived_names_of_long_prefixes),
        cmocka_unit_test(keys),
        cmocka_unit_test(keys_of_no_name),
        cmocka_unit_test(download_keys),
        cmocka_unit_test(phases),
        cmocka_unit_test(owners),
        cmocka_unit_test(secrets),
        cmocka_unit_test(now),
        cmocka_unit_test(mapped_namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
