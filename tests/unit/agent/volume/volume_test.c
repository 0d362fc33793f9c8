/* SPDX-License-Identifier: Apache-2.0
 *
 * From a pod and a volume's name to its folder: all shapes that the kubelet makes, and nothing
 * outside of the pods' root whatever the names and links say.
 */
#include "tests/harness/volume_probe.h"

#include <fcntl.h>

#define POD "0b6fd1b2-6d2a-4d0e-9d55-0a8b7d7c1e10"
#define OTHER_POD "1b6fd1b2-6d2a-4d0e-9d55-0a8b7d7c1e10"
#define EMPTY_DIRS "kubernetes.io~empty-dir"
#define CSI "kubernetes.io~csi"

static struct xb_volume_place place_of(void **state, const char *folder, bool csi)
{
    return (struct xb_volume_place){
        .pods_root = *state, .pod_uid = POD, .folder = folder, .csi = csi};
}

static void check_opens(const struct xb_volume_place *place, const char *path)
{
    struct xb_volume volume = {.fd = -1};
    struct stat st;
    PROBE_OK(xb_volume_open(place, &volume, &err));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(volume.st.st_ino, st.st_ino);
    assert_int_equal(volume.st.st_dev, st.st_dev);
    assert_string_equal(volume.path, path);
    assert_int_equal(fstat(volume.fd, &st), 0);
    assert_int_equal(st.st_ino, volume.st.st_ino);
    assert_true((fcntl(volume.fd, F_GETFD) & FD_CLOEXEC) != 0);
    PROBE_OK(xb_volume_still_there(place, &volume, &err));
    xb_volume_close(&volume);
    assert_int_equal(volume.fd, -1);
    assert_null(volume.path);
    xb_volume_close(&volume);
}

static void opening(void **state)
{
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/cache");
    probe_make_folder(state, POD "/volumes/kubernetes.io~configmap/conf");
    probe_make_folder(state, POD "/volumes/" CSI "/pvc-1/mount");
    probe_make_folder(state, POD "/volumes/kubernetes.io~nfs/pv.with.dots");
    struct xb_volume_place place = place_of(state, "cache", false);
    check_opens(&place, probe_path(state, POD "/volumes/" EMPTY_DIRS "/cache"));
    place = place_of(state, "pv.with.dots", false);
    check_opens(&place, probe_path(state, POD "/volumes/kubernetes.io~nfs/pv.with.dots"));
    /* The data of a CSI volume is below "mount", and only the API tells that it is one. */
    place = place_of(state, "pvc-1", true);
    check_opens(&place, probe_path(state, POD "/volumes/" CSI "/pvc-1/mount"));
    place = place_of(state, "pvc-1", false);
    check_opens(&place, probe_path(state, POD "/volumes/" CSI "/pvc-1"));
    place = place_of(state, "cache", true);
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
}

static void missing(void **state)
{
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/there");
    struct xb_volume_place place = place_of(state, "absent", false);
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
    place = place_of(state, "there", false);
    place.pod_uid = OTHER_POD;
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
    place = place_of(state, "there", false);
    place.pods_root = "/nonexistent/pods";
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
    /* A file is no volume. */
    probe_write(probe_path(state, POD "/volumes/" EMPTY_DIRS "/file"), "x", 1);
    place = place_of(state, "file", false);
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
}

/* Two folders that fit: neither is guessed. */
static void ambiguous(void **state)
{
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/twice");
    probe_make_folder(state, POD "/volumes/" CSI "/twice/mount");
    struct xb_volume_place place = place_of(state, "twice", false);
    volume_is_refused(&place, XB_ERR_CONFLICT);
    probe_make_folder(state, POD "/volumes/.hidden/once");
    probe_make_folder(state, POD "/volumes/" CSI "/once");
    place = place_of(state, "once", false);
    check_opens(&place, probe_path(state, POD "/volumes/" CSI "/once"));
}

static void hostile_names(void **state)
{
    static const char pod_folder[] = POD "/";
    static const char *const folders[] = {"", ".", "..", "../x", "a/b", "/etc", ".x"};
    static const char *const pods[] = {"",
                                       "..",
                                       "../../../../../../../../../../../../x",
                                       pod_folder,
                                       "0b6fd1b2-6d2a-4d0e-9d55-0a8b7d7c1e1",
                                       "0b6fd1b2-6d2a-4d0e-9d55-0a8b7d7c1e1/",
                                       "0B6FD1B2-6D2A-4D0E-9D55-0A8B7D7C1E10"};
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/x");
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        struct xb_volume_place place = place_of(state, folders[i], false);
        volume_is_refused(&place, XB_ERR_INVALID);
    }
    for (size_t i = 0; i < sizeof pods / sizeof *pods; i++) {
        struct xb_volume_place place = place_of(state, "x", false);
        place.pod_uid = pods[i];
        volume_is_refused(&place, XB_ERR_INVALID);
    }
    char longest[NAME_MAX + 2];
    memset(longest, 'v', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct xb_volume_place place = place_of(state, longest, false);
    volume_is_refused(&place, XB_ERR_INVALID);
    longest[NAME_MAX] = '\0';
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
}

/* A link anywhere on the way is not followed, wherever it leads. */
static void links(void **state)
{
    probe_make_folder(state, "outside/x");
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/real");
    probe_make_folder(state, POD "/volumes/" CSI "/linked");
    assert_int_equal(symlink("real", probe_path(state, POD "/volumes/" EMPTY_DIRS "/soft")), 0);
    assert_int_equal(symlink("../../../outside", probe_path(state, POD "/volumes/plugin")), 0);
    assert_int_equal(symlink("/etc", probe_path(state, POD "/volumes/" CSI "/linked/mount")), 0);
    struct xb_volume_place place = place_of(state, "soft", false);
    volume_is_not_opened(&place);
    place = place_of(state, "x", false); /* below the linked plugin folder */
    volume_is_not_opened(&place);
    place = place_of(state, "linked", true);
    volume_is_not_opened(&place);
    assert_int_equal(symlink(POD, probe_path(state, OTHER_POD)), 0);
    place = place_of(state, "real", false);
    place.pod_uid = OTHER_POD;
    volume_is_not_opened(&place);
}

/* Gone or replaced, it is told. */
static void still_there(void **state)
{
    struct xb_volume volume = {.fd = -1};
    struct xb_volume_place place = place_of(state, "moving", false);
    probe_make_folder(state, POD "/volumes/" EMPTY_DIRS "/moving");
    PROBE_OK(xb_volume_open(&place, &volume, &err));
    const char *path = probe_path(state, POD "/volumes/" EMPTY_DIRS "/moving");
    PROBE_OK(xb_volume_still_there(&place, &volume, &err));
    assert_int_equal(rename(path, probe_path(state, "aside")), 0);
    PROBE_REFUSED(xb_volume_still_there(&place, &volume, &err), XB_ERR_NOT_FOUND);
    assert_int_equal(mkdir(path, 0755), 0);
    PROBE_REFUSED(xb_volume_still_there(&place, &volume, &err), XB_ERR_CONFLICT);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(probe_path(state, "aside"), path), 0);
    PROBE_OK(xb_volume_still_there(&place, &volume, &err));
    xb_volume_close(&volume);
}

/* What the API says ---------------------------------------------------------------------------- */

static void sources(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = probe_json(
        "{\"metadata\":{\"name\":\"web-0\"},\"spec\":{\"volumes\":[7,{\"name\":\"own\","
        "\"ephemeral\":{\"volumeClaimTemplate\":{}}},{\"name\":\"claim\",\"persistentVolumeClaim\":"
        "{\"claimName\":"
        "\"data\"}},{\"name\":\"scratch\",\"emptyDir\":{}},{\"name\":\"csi\",\"csi\":{\"driver\":"
        "\"d\"}},{\"name\":\"nfs\",\"nfs\":{}}]}}");
    struct xb_volume_source source;
    PROBE_OK(xb_volume_source(pod, "claim", &source, &err));
    assert_string_equal(source.claim, "data");
    assert_false(source.csi);
    assert_null(source.refused);
    PROBE_OK(xb_volume_source(pod, "scratch", &source, &err));
    assert_string_equal(source.claim, "");
    assert_null(source.refused);
    assert_false(source.csi);
    PROBE_OK(xb_volume_source(pod, "own", &source, &err));
    assert_string_equal(source.claim, "web-0-own");
    PROBE_OK(xb_volume_source(pod, "csi", &source, &err));
    assert_true(source.csi);
    assert_null(source.refused);
    PROBE_OK(xb_volume_source(pod, "nfs", &source, &err));
    assert_null(source.refused);
    assert_null(source.host_path);
}

static void host_sources(void **state)
{
    (void)state;
    struct xb_volume_source source;
    XB_CLEANUP(xb_json_putp)
    xb_json *host = probe_json("{\"spec\":{\"volumes\":[{\"name\":\"host\",\"hostPath\":{\"path\":"
                               "\"/data/x\"}},{\"name\":\"odd\",\"hostPath\":{}}]}}");
    PROBE_OK(xb_volume_source(host, "host", &source, &err));
    assert_string_equal(source.host_path, "/data/x");
    PROBE_OK(xb_volume_source(host, "odd", &source, &err));
    assert_string_equal(source.host_path, "");
    XB_CLEANUP(xb_json_putp)
    xb_json *pv = probe_json("{\"spec\":{\"hostPath\":{\"path\":\"/data/y\"}}}");
    assert_string_equal(xb_volume_host_path(pv), "/data/y");
    assert_null(xb_volume_host_path(host));
}

static void no_sources(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = probe_json("{\"spec\":{\"volumes\":[{\"name\":\"claim\",\"emptyDir\":{}}]}}");
    struct xb_volume_source source;
    PROBE_REFUSED(xb_volume_source(pod, "absent", &source, &err), XB_ERR_NOT_FOUND);
    PROBE_REFUSED(xb_volume_source(NULL, "claim", &source, &err), XB_ERR_NOT_FOUND);
    XB_CLEANUP(xb_json_putp) xb_json *odd = probe_json("{\"spec\":{\"volumes\":{\"name\":1}}}");
    PROBE_REFUSED(xb_volume_source(odd, "claim", &source, &err), XB_ERR_NOT_FOUND);
}

/* The sources of contract section 3 that are never read, an order for them or not. */
static void refused_sources(void **state)
{
    (void)state;
    static const char *const kinds[] = {"secret", "configMap", "projected", "downwardAPI"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char text[200];
        struct xb_volume_source source;
        snprintf(text, sizeof text, "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"%s\":{}}]}}",
                 kinds[i]);
        XB_CLEANUP(xb_json_putp) xb_json *pod = probe_json(text);
        PROBE_OK(xb_volume_source(pod, "v", &source, &err));
        assert_non_null(source.refused);
    }
}

static void persistent_volumes(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *csi = probe_json("{\"spec\":{\"csi\":{\"driver\":\"d\"}}}");
    XB_CLEANUP(xb_json_putp) xb_json *nfs = probe_json("{\"spec\":{\"nfs\":{},\"csi\":null}}");
    assert_true(xb_volume_is_csi(csi));
    assert_false(xb_volume_is_csi(nfs));
    assert_false(xb_volume_is_csi(NULL));
}

/* Annotations tell of drivers; whether there are such is the cluster's to say. */
static void drivers(void **state)
{
    (void)state;
    const char *names[XB_VOLUME_DRIVERS_MAX];
    XB_CLEANUP(xb_json_putp)
    xb_json *both = probe_json("{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/migrated-to\":"
                               "\"new.csi\",\"pv.kubernetes.io/provisioned-by\":\"old\"}}}");
    assert_int_equal(xb_volume_drivers(both, names), 2);
    assert_string_equal(names[0], "old");
    assert_string_equal(names[1], "new.csi");
    static const char *const none[] = {
        "{}", "{\"metadata\":{\"annotations\":[]}}",
        "{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/migrated-to\":7,"
        "\"pv.kubernetes.io/provisioned-by\":\"\",\"provisioned-by\":\"x\"}}}"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *volume = probe_json(none[i]);
        assert_int_equal(xb_volume_drivers(volume, names), 0);
    }
}

static void raw_volumes(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *block = probe_json("{\"spec\":{\"volumeMode\":\"Block\"}}");
    XB_CLEANUP(xb_json_putp) xb_json *host = probe_json("{\"spec\":{\"hostPath\":{}}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *local = probe_json("{\"spec\":{\"local\":{},\"volumeMode\":\"Filesystem\"}}");
    assert_true(xb_volume_is_device(block));
    assert_false(xb_volume_is_device(host));
    assert_false(xb_volume_is_device(local));
}

#define HASH "0123456789abcdef0123456789abcdef"

/* A mirror as the kubelet makes it, with one thing changed. */
static xb_json *mirror(const char *path, const char *value)
{
    xb_json *pod = probe_json(
        "{\"metadata\":{\"name\":\"s-node1\",\"uid\":\"api-uid\",\"annotations\":{"
        "\"kubernetes.io/config.mirror\":\"" HASH "\",\"kubernetes.io/config.hash\":\"" HASH
        "\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"node1\","
        "\"controller\":true}]},\"spec\":{\"nodeName\":\"node1\"},\"status\":{\"phase\":"
        "\"Running\"}}");
    if (path) {
        PROBE_OK(xb_json_set(pod, path, probe_json(value), &err));
    }
    return pod;
}

/* The kubelet's uid of a static pod is believed only of a mirror that can be real. */
static void static_pods(void **state)
{
    static const char *const wrong[][2] = {
        {"metadata.annotations", "{\"kubernetes.io/config.mirror\":\"" HASH "\"}"},
        {"metadata.annotations",
         "{\"kubernetes.io/config.mirror\":\"" HASH
         "\",\"kubernetes.io/config.hash\":\"1123456789abcdef0123456789abcdef\"}"},
        {"metadata.annotations",
         "{\"kubernetes.io/config.mirror\":\"6f9619ff-8b86-d011-b42d-00cf4fc964ff\","
         "\"kubernetes.io/config.hash\":\"6f9619ff-8b86-d011-b42d-00cf4fc964ff\"}"},
        {"metadata.annotations", "{\"kubernetes.io/config.mirror\":\"..\","
                                 "\"kubernetes.io/config.hash\":\"..\"}"},
        {"metadata.annotations", "{\"kubernetes.io/config.mirror\":\"\","
                                 "\"kubernetes.io/config.hash\":\"\"}"},
        {"metadata.ownerReferences", "[]"},
        {"metadata.ownerReferences",
         "[{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"node2\",\"controller\":true}]"},
        {"metadata.ownerReferences", "[{\"apiVersion\":\"apps/v1\",\"kind\":\"Node\",\"name\":"
                                     "\"node1\",\"controller\":true}]"},
        {"metadata.ownerReferences",
         "[{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"node1\"}]"},
        {"spec", "{}"},
        {"status", "{\"phase\":\"Pending\"}"},
    };
    const char *uid = NULL;
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *real = mirror(NULL, NULL);
    PROBE_OK(xb_volume_pod_uid(real, &uid, &err));
    assert_string_equal(uid, HASH);
    assert_true(xb_volume_mirrors(real, HASH));
    assert_false(xb_volume_mirrors(real, "api-uid"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *pod = mirror(wrong[i][0], wrong[i][1]);
        PROBE_REFUSED(xb_volume_pod_uid(pod, &uid, &err), XB_ERR_INVALID);
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *plain = mirror("metadata.annotations", "{\"kubernetes.io/config.hash\":\"" HASH "\"}");
    PROBE_OK(xb_volume_pod_uid(plain, &uid, &err));
    assert_string_equal(uid, "api-uid");
    assert_true(xb_volume_mirrors(plain, HASH));
    assert_false(xb_volume_mirrors(NULL, HASH));
}

/* Several kubelets' folders: the pod is below one of them, and exactly one place fits. */
static void several_roots(void **state)
{
    char roots[4 * PATH_MAX];
    probe_make_folder(state, "first/" OTHER_POD "/volumes/" EMPTY_DIRS "/data");
    probe_make_folder(state, "second/" POD "/volumes/" EMPTY_DIRS "/data");
    struct xb_volume_place place = place_of(state, "data", false);
    place.pods_root = roots;
    snprintf(roots, sizeof roots, "%s:%s:%s", probe_path(state, "first"),
             probe_path(state, "absent"), probe_path(state, "second"));
    const char *path = probe_path(state, "second/" POD "/volumes/" EMPTY_DIRS "/data");
    check_opens(&place, path);
    place.folder = "other";
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
    place.folder = "data";
    probe_make_folder(state, "first/" POD "/volumes/" CSI "/data");
    volume_is_refused(&place, XB_ERR_CONFLICT);
    snprintf(roots, sizeof roots, ":%s:", probe_path(state, "second"));
    check_opens(&place, path);
    snprintf(roots, sizeof roots, "%s:%s", probe_path(state, "absent"), probe_path(state, "gone"));
    volume_is_refused(&place, XB_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opening, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(missing, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(ambiguous, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(hostile_names, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(links, probe_folder_make, probe_folder_remove),
        cmocka_unit_test_setup_teardown(still_there, probe_folder_make, probe_folder_remove),
        cmocka_unit_test(sources),
        cmocka_unit_test(host_sources),
        cmocka_unit_test(no_sources),
        cmocka_unit_test(refused_sources),
        cmocka_unit_test(persistent_volumes),
        cmocka_unit_test(drivers),
        cmocka_unit_test(raw_volumes),
        cmocka_unit_test(static_pods),
        cmocka_unit_test_setup_teardown(several_roots, probe_folder_make, probe_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
