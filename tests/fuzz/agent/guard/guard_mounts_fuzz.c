/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of mounts: an answer in any case, and a yes only where the mount that is
 * asked about is there with the file system's own root and below the pod's folder.
 */
#include "agent/guard/mounts.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct xb_guard_mount_question question = {
        .mount_id = 77, .pods_root = "/host_pods", .pod_uid = "u-1"};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_mounts mounts = {.count = 0};
    bool there = false;
    if (xb_mounts_parse((const char *)data, len, &mounts, &err) < 0) {
        return 0;
    }
    int r = xb_guard_mounts_judge(&mounts, &question, &err);
    need((r < 0) == (err.code != 0) && r <= 0);
    for (size_t i = 0; r == 0 && i < mounts.count; i++) {
        const struct xb_mount *mount = &mounts.items[i];
        there |= mount->id == 77 && strcmp(mount->root, "/") == 0 &&
                 strncmp(mount->point, "/host_pods/u-1/", 15) == 0;
    }
    need(r < 0 || there);
    xb_mounts_free(&mounts);
    return 0;
}
