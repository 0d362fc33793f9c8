/* SPDX-License-Identifier: Apache-2.0
 *
 * A volume that was made anew gets the reclaim policy and the labels of the one that was backed up,
 * and keeps what its provisioner put on.
 */
#include "tests/harness/probe.h"

#include "coordinator/bring/finish.h"

static void patches(void **state)
{
    (void)state;
    static const struct {
        const char *pv, *wanted, *patch; /* NULL: none */
    } all[] = {
        {"{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Delete\"}}",
         "{\"reclaimPolicy\":\"Retain\"}",
         "{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}"},
        {"{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}",
         "{\"reclaimPolicy\":\"Retain\",\"labels\":{}}", NULL},
        {"{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Delete\"}}", "{\"reclaimPolicy\":\"\"}",
         NULL},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"own\":\"x\"}}}",
         "{\"labels\":{\"a\":\"2\",\"b\":\"3\"}}",
         "{\"metadata\":{\"labels\":{\"a\":\"2\",\"b\":\"3\"}}}"},
        {"{\"metadata\":{\"labels\":{\"a\":\"1\",\"own\":\"x\"}}}", "{\"labels\":{\"a\":\"1\"}}",
         NULL},
        {"{\"metadata\":{}}", "{\"labels\":{\"a.b/c\":\"1\"},\"reclaimPolicy\":\"Delete\"}",
         "{\"metadata\":{\"labels\":{\"a.b/c\":\"1\"}},\"spec\":{"
         "\"persistentVolumeReclaimPolicy\":\"Delete\"}}"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *pv = probe_json(all[i].pv);
        XB_CLEANUP(xb_json_putp) xb_json *wanted = probe_json(all[i].wanted);
        XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
        PROBE_OK(xb_bring_finish_patch(pv, wanted, &patch, &err));
        if (all[i].patch) {
            probe_json_is(patch, all[i].patch);
        } else {
            assert_null(patch);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
