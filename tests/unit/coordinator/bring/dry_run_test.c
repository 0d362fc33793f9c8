/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a Restore is a dry run: a typo must not become a restore.
 */
#include "coordinator/bring/dry_run.h"
#include "tests/harness/probe.h"

static void annotation(void **state)
{
    (void)state;
    static const struct {
        const char *metadata;
        int answer; /* negative: refused */
    } all[] = {
        {"{}", 0},
        {"{\"annotations\":{\"other\":\"true\"}}", 0},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"true\"}}", 1},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"false\"}}", 0},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"True\"}}", -1},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"yes\"}}", -1},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"true \"}}", -1},
        {"{\"annotations\":{\"xebec.io/dry-run\":\"\"}}", -1},
        {"{\"annotations\":{\"xebec.io/dry-run\":true}}", -1},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *restore = json_object_new_object();
        bool dry_run = false;
        json_object_object_add(restore, "metadata", probe_json(all[i].metadata));
        if (all[i].answer < 0) {
            PROBE_REFUSED(xb_restore_is_dry_run(restore, &dry_run, &err), XB_ERR_INVALID);
        } else {
            PROBE_OK(xb_restore_is_dry_run(restore, &dry_run, &err));
        }
        assert_int_equal(dry_run, all[i].answer == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
