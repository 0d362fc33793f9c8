/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that may be a mountinfo: an answer in any case, and a yes only where the mount that is
 * asked about is there with the file system's own root and below the pod's folder.
 */
#include "agent/guard/mounts.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct xb_guard_mount_question question = {
        .mount_id = 77, .pods_root = "/host_pods", .pod_uid = "u-1"};
    struct xb_error err = XB_ERROR_INIT;
    char *text = fuzz_text(data, len);
    int r = xb_guard_mounts_judge(text, &question, &err);
    need((r < 0) == (err.code != 0) && r <= 0);
    need(r < 0 || (strstr(text, "77 ") && strstr(text, " / /host_pods/u-1/")));
    free(text);
    return 0;
}
