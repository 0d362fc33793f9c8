/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders of the node itself, beneath one that an administrator named and nowhere else; and what
 * claims, volumes and pods say of one another.
 */
#include "tests/harness/volume_probe.h"

#define POD "0b6fd1b2-6d2a-4d0e-9d55-0a8b7d7c1e10"

/* Of one place at a time. */
static char pods_root[PATH_MAX], host_root[PATH_MAX];

static struct xb_volume_place host_place(void **state, const char *path, size_t allowed)
{
    snprintf(pods_root, sizeof pods_root, "%s", probe_path(state, "pods"));
    snprintf(host_root, sizeof host_root, "%s", probe_path(state, "host"));
    return (struct xb_volume_place){.pods_root = pods_root,
                                    .pod_uid = POD,
                                    .folder = "",
                                    .host = {.root = host_root, .path = path, .allowed = allowed}};
}

static void check_host(void **state, const char *path, size_t allowed, enum xb_error_kind kind)
{
    struct xb_volume_place place = host_place(state, path, allowed);
    volume_is_refused(&place, kind);
}

static void check_opens_host(void **state, const char *path, size_t allowed, const char *there)
{
    struct xb_volume_place place = host_place(state, path, allowed);
    struct xb_volume volume = {.fd = -1};
    struct stat st;
    PROBE_OK(xb_volume_open(&place, &volume, &err));
    assert_int_equal(stat(probe_path(state, there), &st), 0);
    assert_int_equal(volume.st.st_ino, st.st_ino);
    assert_string_equal(volume.path, path);
    PROBE_OK(xb_volume_still_there(&place, &volume, &err));
    xb_volume_close(&volume);
}

static void host_folders(void **state)
{
    probe_make_folder(state, "pods/" POD);
    probe_make_folder(state, "host/data/a/b");
    check_opens_host(state, "/data/a/b", 5, "host/data/a/b");
    check_opens_host(state, "/data/a/", 5, "host/data/a");
    check_opens_host(state, "/data", 5, "host/data");
    check_opens_host(state, "/data/a", 7, "host/data/a");
    check_host(state, "/data/c", 5, XB_ERR_NOT_FOUND);
    check_host(state, "/else/a", 5, XB_ERR_NOT_FOUND); /* not mounted into the agent */
    probe_write(probe_path(state, "host/data/file"), "x", 1);
    check_host(state, "/data/file", 5, XB_ERR_INVALID);
    /* Without a pod only if the caller says so. */
    struct xb_volume_place place = host_place(state, "/data/a/b", 5);
    struct xb_volume volume = {.fd = -1};
    place.pod_uid = NULL;
    PROBE_OK(xb_volume_open(&place, &volume, &err));
    xb_volume_close(&volume);
    place.host.path = NULL;
    volume_is_refused(&place, XB_ERR_INVALID);
    place.folder = "a";
    volume_is_refused(&place, XB_ERR_INVALID);
    /* Nor of a pod that is not here, whatever the API says. */
    assert_int_equal(rmdir(probe_path(state, "pods/" POD)), 0);
    check_host(state, "/data/a/b", 5, XB_ERR_NOT_FOUND);
    assert_int_equal(symlink(".", probe_path(state, "pods/" POD)), 0);
    check_host(state, "/data/a/b", 5, XB_ERR_NOT_FOUND);
}

/* Only the way to the administrator's folder may have links. */
static void host_links(void **state)
{
    probe_make_folder(state, "pods/" POD);
    probe_make_folder(state, "host/real/a/b");
    probe_make_folder(state, "secret/b");
    assert_int_equal(symlink("real", probe_path(state, "host/data")), 0);
    check_opens_host(state, "/data/a/b", 5, "host/real/a/b");
    static const char *const links[][2] = {{"host/real/out", "../../secret"},
                                           {"host/real/abs", "/etc"},
                                           {"host/real/in", "a"},
                                           {"host/real/a/up", ".."}};
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        assert_int_equal(symlink(links[i][1], probe_path(state, links[i][0])), 0);
    }
    check_host(state, "/data/out", 5, XB_ERR_INVALID);
    check_host(state, "/data/out/b", 5, XB_ERR_INVALID);
    check_host(state, "/data/abs", 5, XB_ERR_INVALID);
    check_host(state, "/data/in", 5, XB_ERR_INVALID);
    check_host(state, "/data/in/b", 5, XB_ERR_INVALID);
    check_host(state, "/data/a/up", 5, XB_ERR_INVALID);
    static const char *const paths[] = {"/data/..", "/data/../../secret/b", "/data/a/../../../x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct xb_volume_place place = host_place(state, paths[i], 5);
        volume_is_not_opened(&place);
    }
}

/* Raw block devices ---------------------------------------------------------------------------- */

#define PLUGIN "pods/" POD "/volumeDevices/kubernetes.io~local-volume"

static void check_device(void **state, const char *target, enum xb_error_kind kind)
{
    struct xb_volume_place place = host_place(state, NULL, 0);
    place.folder = "pv";
    place.devices = host_root;
    assert_true(unlink(probe_path(state, PLUGIN "/pv")) == 0 || errno == ENOENT);
    assert_int_equal(symlink(target, probe_path(state, PLUGIN "/pv")), 0);
    volume_is_refused(&place, kind);
}

/* Only what the kubelet's link names in the node's /dev, and only if it is a block device. */
static void devices(void **state)
{
    probe_make_folder(state, PLUGIN);
    probe_make_folder(state, "host/mapper");
    probe_write(probe_path(state, "host/file"), "x", 1);
    probe_write(probe_path(state, "outside"), "x", 1);
    assert_int_equal(symlink("../file", probe_path(state, "host/mapper/link")), 0);
    assert_int_equal(symlink("../../outside", probe_path(state, "host/mapper/out")), 0);
    check_device(state, "/dev/file", XB_ERR_INVALID);        /* no block device */
    check_device(state, "/dev/mapper/link", XB_ERR_INVALID); /* the same, through a link */
    check_device(state, "/dev/none", XB_ERR_NOT_FOUND);
    check_device(state, "/etc/passwd", XB_ERR_INVALID);
    check_device(state, "../../../outside", XB_ERR_INVALID);
    struct xb_volume_place place = host_place(state, NULL, 0);
    struct xb_volume volume = {.fd = -1};
    struct xb_error err = XB_ERROR_INIT;
    place.devices = host_root;
    place.folder = "other";
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
    static const char *const outside[] = {"/dev/mapper/out", "/dev/../outside", "/dev//etc/passwd"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        assert_int_equal(unlink(probe_path(state, PLUGIN "/pv")), 0);
        assert_int_equal(symlink(outside[i], probe_path(state, PLUGIN "/pv")), 0);
        place.folder = "pv";
        assert_int_equal(xb_volume_open(&place, &volume, &err), -EXDEV); /* not even opened */
    }
    probe_make_folder(state, "pods/" POD "/volumeDevices/kubernetes.io~csi");
    assert_int_equal(
        symlink("/dev/file", probe_path(state, "pods/" POD "/volumeDevices/kubernetes.io~csi/pv")),
        0);
    volume_is_refused(&place, XB_ERR_CONFLICT);
}

/* Where the waiting container of a restored pod looks for the sign. */
static void signs(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = probe_json(
        "{\"spec\":{\"initContainers\":[{\"name\":\"x\",\"volumeMounts\":[{\"name\":\"n\","
        "\"mountPath\":\"/restores/c\"}]},{\"name\":\"restore-wait\",\"volumeMounts\":[7,"
        "{\"name\":\"a\",\"mountPath\":\"/restores/a\"},"
        "{\"name\":\"s\",\"mountPath\":\"/restores/b\"}]}]}}");
    assert_string_equal(xb_volume_sign(pod, "a"), "a");
    assert_string_equal(xb_volume_sign(pod, "b"), "s");
    assert_null(xb_volume_sign(pod, "c"));
    assert_null(xb_volume_sign(pod, ""));
    assert_null(xb_volume_sign(NULL, "a"));
}

static xb_json *claim_with(const char *path, const char *value)
{
    xb_json *claim = probe_json("{\"metadata\":{\"namespace\":\"n\",\"name\":\"c\",\"uid\":\"u\","
                                "\"ownerReferences\":[{\"kind\":\"Pod\",\"uid\":\"p\","
                                "\"controller\":true}]},\"spec\":{\"volumeName\":\"pv\"},"
                                "\"status\":{\"phase\":\"Bound\"}}");
    if (path) {
        PROBE_OK(xb_json_set(claim, path, probe_json(value), &err));
    }
    return claim;
}

/* A claim's author may name any volume; it is believed where that volume says so, too. */
static void bindings(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"spec.volumeName", "\"other\""}, {"status.phase", "\"Pending\""},
        {"status.phase", "\"Lost\""},     {"metadata.uid", "\"v\""},
        {"metadata.uid", "\"\""},         {"metadata.name", "\"d\""},
        {"metadata.namespace", "\"m\""}};
    XB_CLEANUP(xb_json_putp)
    xb_json *pv = probe_json("{\"metadata\":{\"name\":\"pv\"},\"spec\":{\"claimRef\":{"
                             "\"namespace\":\"n\",\"name\":\"c\",\"uid\":\"u\"}}}");
    XB_CLEANUP(xb_json_putp) xb_json *bare = probe_json("{\"metadata\":{\"name\":\"pv\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *good = claim_with(NULL, NULL);
    assert_null(xb_volume_binding_doubt(good, pv));
    assert_non_null(xb_volume_binding_doubt(good, bare));
    assert_non_null(xb_volume_binding_doubt(good, NULL));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *bad = claim_with(wrong[i][0], wrong[i][1]);
        assert_non_null(xb_volume_binding_doubt(bad, pv));
    }
}

static void owned_claims(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "[]", "7", "[{\"kind\":\"Pod\",\"uid\":\"q\",\"controller\":true}]",
        "[{\"kind\":\"Pod\",\"uid\":\"p\"}]",
        "[{\"kind\":\"StatefulSet\",\"uid\":\"p\",\"controller\":true}]"};
    XB_CLEANUP(xb_json_putp) xb_json *pod = probe_json("{\"metadata\":{\"uid\":\"p\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *good = claim_with(NULL, NULL);
    assert_null(xb_volume_ownership_doubt(good, pod));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *bad = claim_with("metadata.ownerReferences", wrong[i]);
        assert_non_null(xb_volume_ownership_doubt(bad, pod));
    }
}

static void node_paths(void **state)
{
    (void)state;
#define AFFINITY "\"nodeAffinity\":{\"required\":{}}"
    XB_CLEANUP(xb_json_putp)
    xb_json *local = probe_json("{\"spec\":{\"local\":{\"path\":\"/a\"}," AFFINITY "}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *host = probe_json("{\"spec\":{\"hostPath\":{\"path\":\"/b\"}," AFFINITY "}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *anywhere = probe_json("{\"spec\":{\"hostPath\":{\"path\":\"/b\"}}}");
    XB_CLEANUP(xb_json_putp) xb_json *csi = probe_json("{\"spec\":{\"csi\":{}," AFFINITY "}}");
    assert_string_equal(xb_volume_node_path(local), "/a");
    assert_string_equal(xb_volume_node_path(host), "/b");
    assert_null(xb_volume_node_path(anywhere));
    assert_null(xb_volume_node_path(csi));
}

static void mounts(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = probe_json(
        "{\"spec\":{\"containers\":[{\"volumeMounts\":[{\"name\":\"a\"}],\"volumeDevices\":[{"
        "\"name\":"
        "\"d\"}]}],\"initContainers\":[{},{\"volumeMounts\":[7,{\"name\":\"b\"}]}]},\"status\":{"
        "\"initContainerStatuses\":[{\"state\":{\"running\":{}}}]}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *waits =
        probe_json("{\"status\":{\"containerStatuses\":[{\"state\":{\"waiting\":{}}},7]}}");
    assert_true(xb_volume_mounted(pod, "a"));
    assert_true(xb_volume_mounted(pod, "b"));
    assert_false(xb_volume_mounted(pod, "c"));
    assert_true(xb_volume_mounted(pod, "d")); /* as a device */
    assert_true(xb_volume_pod_started(pod));
    assert_false(xb_volume_pod_started(waits));
    assert_false(xb_volume_pod_started(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(host_folders, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(host_links, probe_folder_make, probe_folder_remove),
        cmocka_unit_test(bindings),
        cmocka_unit_test(owned_claims),
        cmocka_unit_test(mounts),
        cmocka_unit_test(node_paths),
        cmocka_unit_test(signs),
        cmocka_unit_test_setup_teardown(devices, probe_folder_make, probe_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
