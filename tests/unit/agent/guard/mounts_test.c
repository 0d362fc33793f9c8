/* SPDX-License-Identifier: Apache-2.0
 *
 * Which file systems may be frozen, on the mounts of an agent's container.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agent/guard/mounts.h"

/* The agent's root, what kubelet and runtime have mounted, the kubelet's folder, two volumes. */
static const char usual[] =
    "100 90 0:50 / / rw - overlay overlay rw,lowerdir=/a\n"
    "101 100 8:1 /var/lib/kubelet/pods/agent/etc-hosts /etc/hosts rw - ext4 /dev/sda1 rw\n"
    "102 100 8:1 /var/lib/kubelet/pods /host_pods rw master:3 - ext4 /dev/sda1 rw\n"
    "103 102 7:1 / /host_pods/u-1/volumes/kubernetes.io~local-volume/data rw master:9 - ext4 "
    "/dev/loop1 rw\n"
    "104 102 7:2 / /host_pods/u-2/volumes/kubernetes.io~local-volume/data rw - xfs /dev/loop2 rw\n"
    "105 102 8:1 /srv/disk /host_pods/u-1/volumes/kubernetes.io~local-volume/part rw - ext4 "
    "/dev/sda1 rw\n"
    "106 102 0:60 / /host_pods/u-1/volumes/kubernetes.io~nfs/share rw - nfs4 server:/x rw\n";

static int ask(const char *text, const struct xb_guard_mount_question *question,
               struct xb_error *err)
{
    struct xb_mounts mounts = {.count = 0};
    *err = (struct xb_error)XB_ERROR_INIT;
    int r = xb_mounts_parse(text, strlen(text), &mounts, err);
    assert_int_equal(r, 0);
    r = xb_guard_mounts_judge(&mounts, question, err);
    xb_mounts_free(&mounts);
    return r;
}

static int judge(const char *text, uint64_t id, const char *uid, struct xb_error *err)
{
    const struct xb_guard_mount_question question = {
        .mount_id = id, .pods_root = "/host_pods", .pod_uid = uid};
    return ask(text, &question, err);
}

static void denied(const char *text, uint64_t id, const char *uid, const char *why)
{
    struct xb_error err;
    assert_true(judge(text, id, uid, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_DENIED);
    assert_non_null(strstr(err.text, why));
}

static void test_usual(void **state)
{
    (void)state;
    struct xb_error err;
    assert_int_equal(judge(usual, 103, "u-1", &err), 0);
    assert_int_equal(judge(usual, 104, "u-2", &err), 0);
    denied(usual, 104, "u-1", "in use elsewhere");     /* another pod's */
    denied(usual, 103, "u", "in use elsewhere");       /* ... whose uid begins like that */
    denied(usual, 102, "u-1", "a folder of a larger"); /* the kubelet's state */
    denied(usual, 105, "u-1", "a folder of a larger"); /* a local volume on the node's disk */
    denied(usual, 106, "u-1", "its kind");
    denied(usual, 100, "u-1", "its kind");
    denied(usual, 999, "u-1", "not seen here");
}

/* The same file system, once more: whoever has it is stopped, too. */
static void test_shared(void **state)
{
    (void)state;
    static const char *const others[] = {
        "110 102 7:1 / /host_pods/u-2/volumes/kubernetes.io~local-volume/data rw - ext4 x rw\n",
        "110 100 7:1 / /var/lib/xebec-store rw - ext4 x rw\n",
        "110 100 7:1 /sandbox/resolv.conf /etc/resolv.conf rw - ext4 x rw\n",
        "110 102 7:1 / /host_pods/u-1 rw - ext4 x rw\n"};
    char text[sizeof usual + 200];
    struct xb_error err;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(text, sizeof text, "%s%s", usual, others[i]);
        denied(text, 103, "u-1", "in use elsewhere");
    }
    snprintf(text, sizeof text, "%s%s", usual,
             "110 102 7:1 /a /host_pods/u-1/volume-subpaths/data/main/0 rw - ext4 x rw\n");
    assert_int_equal(judge(text, 103, "u-1", &err), 0); /* the pod's own */
}

/* A local volume is mounted on the node, too, and that is no other's use of it; but all else is. */
static void test_local(void **state)
{
    (void)state;
    struct xb_guard_mount_question question = {.mount_id = 103,
                                               .pods_root = "/host_pods",
                                               .pod_uid = "u-1",
                                               .home = "/var/lib/loop-files/data"};
    char text[sizeof usual + 300];
    struct xb_error err;
    snprintf(text, sizeof text, "%s%s", usual,
             "110 100 7:1 / /var/lib/loop-files/data rw - ext4 /dev/loop1 rw\n");
    denied(text, 103, "u-1", "in use elsewhere");
    assert_int_equal(ask(text, &question, &err), 0);
    question.home = "/var/lib/loop-files";
    assert_true(ask(text, &question, &err) < 0);
    question.home = "/var/lib/loop-files/data";
    snprintf(
        text, sizeof text, "%s%s", usual,
        "110 100 7:1 / /var/lib/loop-files/data rw - ext4 /dev/loop1 rw\n"
        "111 102 7:1 / /host_pods/u-2/volumes/kubernetes.io~local-volume/data rw - ext4 x rw\n");
    assert_true(ask(text, &question, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_DENIED);
}

#define TASK "/host_run/containerd/state/io.containerd.runtime.v2.task/k8s.io/c3bc"

/* What the agent's container sees of its own root, below the runtime's folder. */
static void test_in_containers(void **state)
{
    (void)state;
    static const char *const others[] = {
        "111 102 7:1 / " TASK "/rootfs/host_pods/u-2/volumes/x/data rw - ext4 x rw\n",
        "111 102 7:1 / " TASK "/rootfs/data rw - ext4 x rw\n",
        "111 102 7:1 / " TASK "/rootfs rw - ext4 x rw\n",
        "111 102 7:1 / " TASK "/rootfs2/host_pods/u-1/volumes/x/data rw - ext4 x rw\n"};
    const struct xb_guard_mount_question question = {
        .mount_id = 103, .pods_root = "/host_pods", .pod_uid = "u-1", .home = "/srv/data"};
    char text[sizeof usual + 600];
    struct xb_error err;
    int len = snprintf(text, sizeof text, "%s%s", usual,
                       "109 102 7:1 / " TASK "/rootfs/host_pods/u-1/volumes/x/data rw - ext4 x rw\n"
                       "110 102 7:1 / " TASK "/rootfs/srv/data rw - ext4 x rw\n");
    assert_int_equal(ask(text, &question, &err), 0);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(text + len, sizeof text - (size_t)len, "%s", others[i]);
        assert_true(ask(text, &question, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_DENIED);
    }
}

/* What is compared is the place itself, not how the kernel writes it. */
static void test_decoded(void **state)
{
    (void)state;
    struct xb_error err;
    static const char text[] = "103 1 7:1 / /host_pods/u\\0401/my\\040data rw - ext4 x rw\n";
    assert_int_equal(judge(text, 103, "u 1", &err), 0);
    denied(text, 103, "u\\0401", "in use elsewhere");
}

static void test_questions(void **state)
{
    (void)state;
    struct xb_error err;
    denied("", 103, "u-1", "not seen here");
    assert_true(judge(usual, 103, "", &err) < 0);
    assert_true(judge(usual, 103, "u-1/../u-2", &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),   cmocka_unit_test(test_shared),
        cmocka_unit_test(test_local),   cmocka_unit_test(test_in_containers),
        cmocka_unit_test(test_decoded), cmocka_unit_test(test_questions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
