/* SPDX-License-Identifier: Apache-2.0
 *
 * existingResourcePolicy update: the patch makes what is there like what the backup has, takes away
 * what it lacks, and leaves alone what is the cluster's; the labels alone, too.
 */
#include "tests/harness/probe.h"

#include "coordinator/restore/existing.h"

#define META(labels) "\"metadata\":{\"name\":\"a\",\"namespace\":\"w\",\"labels\":{" labels "}}"

static void updates(void **state)
{
    (void)state;
    static const struct {
        const char *existing, *wanted, *patch; /* NULL: none */
    } all[] = {
        {"{\"data\":{\"a\":\"1\"}," META("") "}", "{\"data\":{\"a\":\"1\"}," META("") "}", NULL},
        {"{\"data\":{\"a\":\"1\",\"b\":\"2\"}," META("") "}",
         "{\"data\":{\"a\":\"3\"}," META("") "}", "{\"data\":{\"a\":\"3\",\"b\":null}}"},
        {"{\"data\":{\"a\":\"1\"}," META("") "}", "{" META("") "}", "{\"data\":null}"},
        {"{" META("") "}", "{\"data\":{\"a\":\"1\"}," META("") "}", "{\"data\":{\"a\":\"1\"}}"},
        {"{" META("\"x\":\"1\",\"velero.io/restore-name\":\"old\"") "}",
         "{" META("\"velero.io/restore-name\":\"new\"") "}",
         "{\"metadata\":{\"labels\":{\"velero.io/restore-name\":\"new\",\"x\":null}}}"},
        {"{\"spec\":{\"list\":[1,2],\"deep\":{\"er\":{\"a\":1}}}}",
         "{\"spec\":{\"list\":[2],\"deep\":{\"er\":{\"a\":2}}}}",
         "{\"spec\":{\"list\":[2],\"deep\":{\"er\":{\"a\":2}}}}"},
        {"{\"spec\":{\"a\":{\"b\":1}}}", "{\"spec\":{\"a\":\"text\"}}",
         "{\"spec\":{\"a\":\"text\"}}"},
        {"{\"status\":{\"phase\":\"Active\"},\"metadata\":{\"uid\":\"1\",\"generation\":3,"
         "\"managedFields\":[]}}",
         "{\"metadata\":{}}", NULL},
        {"{\"spec\":{\"a\":1}}", "{\"spec\":{\"a\":1,\"b\":null}}", NULL},
        {"{\"metadata\":{\"finalizers\":[\"x\"]}}", "{\"metadata\":{}}",
         "{\"metadata\":{\"finalizers\":null}}"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *existing = probe_json(all[i].existing);
        XB_CLEANUP(xb_json_putp) xb_json *wanted = probe_json(all[i].wanted);
        XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
        PROBE_OK(xb_restore_update_patch(existing, wanted, &patch, &err));
        if (!all[i].patch) {
            assert_null(patch);
            continue;
        }
        assert_non_null(patch);
        XB_CLEANUP(xb_json_putp) xb_json *want = probe_json(all[i].patch);
        if (!json_object_equal(patch, want)) {
            fail_msg("%s", json_object_to_json_string(patch));
        }
    }
}

static void labels(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *existing = probe_json("{" META("\"x\":\"1\"") "}");
    XB_CLEANUP(xb_json_putp)
    xb_json *wanted = probe_json("{" META("\"y\":\"1\",\"velero.io/backup-name\":\"b\","
                                          "\"velero.io/restore-name\":\"r\"") "}");
    XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *none = NULL;
    PROBE_OK(xb_restore_label_patch(existing, wanted, &patch, &err));
    probe_json_is(patch, "{\"metadata\":{\"labels\":{\"velero.io/backup-name\":\"b\","
                         "\"velero.io/restore-name\":\"r\"}}}");
    PROBE_OK(xb_restore_label_patch(wanted, wanted, &none, &err));
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(updates),
        cmocka_unit_test(labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
