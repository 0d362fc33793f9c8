/* SPDX-License-Identifier: Apache-2.0
 *
 * What the record says of each volume: one entry for every one, in the words that Velero's restore
 * heeds, and what was skipped never after what was backed up.
 */
#include "coordinator/collect/volume_info.h"
#include "tests/harness/probe.h"

static char pod[] = "web", namespace[] = "shop", uid[] = "u-1", node[] = "n1", data[] = "data",
            logs[] = "logs", claim[] = "claim", claim_uid[] = "c-1", pv[] = "pv-1",
            reason[] = "because", lone[] = "lone";

static void count(void *context, const struct xb_collected_volume *volume, xb_json *order)
{
    assert_null(volume->skipped);
    ((int *)context)[order != NULL]++;
}

static void check(struct xb_collected_volume *volumes, size_t volume_count, const char *orders,
                  const char *expected)
{
    int ended[2] = {0, 0};
    const struct xb_collected collected = {.volumes = volumes, .volume_count = volume_count};
    XB_CLEANUP(xb_json_putp) xb_json *list = probe_json(orders);
    XB_CLEANUP(xb_json_putp) xb_json *infos = NULL;
    const struct xb_volume_infos what = {
        .collected = &collected, .orders = list, .ended = count, .context = ended};
    size_t wanted = 0;
    PROBE_OK(xb_volume_infos(&what, &infos, &err));
    assert_int_equal(json_object_array_length(infos), volume_count);
    for (size_t i = 0; i < volume_count; i++) {
        wanted += volumes[i].skipped == NULL;
    }
    assert_int_equal(ended[0] + ended[1], wanted);
    probe_json_is(infos, expected);
}

static struct xb_collected_volume of_claim(void)
{
    return (struct xb_collected_volume){.pod_namespace = namespace,
                                        .pod = pod,
                                        .pod_uid = uid,
                                        .node = node,
                                        .volume = data,
                                        .claim = claim,
                                        .claim_uid = claim_uid,
                                        .persistent_volume = pv};
}

#define ORDER(volume, status)                                                                      \
    "{\"spec\":{\"pod\":{\"uid\":\"u-1\"},\"volume\":\"" volume "\"},\"status\":{" status "}}"
#define WHOSE(volume)                                                                              \
    "\"uploaderType\":\"kopia\",\"volumeName\":\"" volume "\",\"podName\":\"web\","                \
    "\"podNamespace\":\"shop\",\"nodeName\":\"n1\"}}"
#define OF_CLAIM "{\"pvcName\":\"claim\",\"pvcNamespace\":\"shop\",\"pvName\":\"pv-1\","

static void backed_up(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *pv_info = probe_json("{\"reclaimPolicy\":\"Retain\",\"labels\":{\"a\":\"b\"}}");
    struct xb_collected_volume volume = of_claim();
    volume.pv_info = pv_info;
    check(
        &volume, 1,
        "[" ORDER("logs", "\"phase\":\"Failed\"") "," ORDER(
            "data", "\"phase\":\"Completed\",\"snapshotID\":\"s\",\"progress\":{\"totalBytes\":9},"
                    "\"incrementalBytes\":2,\"startTimestamp\":\"t1\",\"completionTimestamp\":"
                    "\"t2\"") "]",
        "[" OF_CLAIM "\"snapshotDataMoved\":false,\"skipped\":false,\"pvInfo\":{\"reclaimPolicy\":"
        "\"Retain\",\"labels\":{\"a\":\"b\"}},\"backupMethod\":\"PodVolumeBackup\",\"result\":"
        "\"succeeded\",\"startTimestamp\":\"t1\",\"completionTimestamp\":\"t2\",\"pvbInfo\":{"
        "\"snapshotHandle\":\"s\",\"size\":9,\"incrementalSize\":2,\"Phase\":\"Completed\"," WHOSE(
            "data") "]");
}

/* Without a pod: skipped for Velero, by namespace, with its snapshot for people. */
static void without_pod(void **state)
{
    (void)state;
    static char nothing[] = "";
    struct xb_collected_volume volume = of_claim();
    volume.pod = nothing;
    volume.pod_uid = NULL;
    volume.volume = claim;
    check(
        &volume, 1,
        "[{\"spec\":{\"pod\":{\"namespace\":\"other\"},\"volume\":\"claim\"},\"status\":{\"phase\":"
        "\"Failed\"}},{\"spec\":{\"pod\":{\"namespace\":\"shop\"},\"volume\":\"claim\"},\"status\":"
        "{"
        "\"phase\":\"Completed\",\"snapshotID\":\"s\",\"progress\":{\"totalBytes\":9}}}]",
        "[" OF_CLAIM
        "\"snapshotDataMoved\":false,\"skipped\":true,\"skippedReason\":\"no running pod mounts "
        "it: Xebec has backed it up where it lies, and only Xebec restores it\",\"pvbInfo\":{"
        "\"snapshotHandle\":\"s\",\"size\":9,\"incrementalSize\":0,\"Phase\":\"Completed\","
        "\"uploaderType\":\"kopia\",\"volumeName\":\"claim\",\"podName\":\"\",\"podNamespace\":"
        "\"shop\",\"nodeName\":\"n1\"}}]");
}

static void failed(void **state)
{
    (void)state;
    struct xb_collected_volume volume = of_claim();
    volume.claim = NULL;
    check(&volume, 1, "[" ORDER("data", "\"phase\":\"Canceled\"") "]",
          "[{\"snapshotDataMoved\":false,\"skipped\":false,\"backupMethod\":\"PodVolumeBackup\","
          "\"result\":\"failed\",\"pvbInfo\":{\"snapshotHandle\":\"\",\"size\":0,"
          "\"incrementalSize\":0,\"Phase\":\"Canceled\"," WHOSE("data") "]");
    check(&volume, 1, "[]",
          "[{\"snapshotDataMoved\":false,\"skipped\":false,\"backupMethod\":\"PodVolumeBackup\","
          "\"result\":\"failed\",\"pvbInfo\":{" WHOSE("data") "]");
}

/* Of a volume that two pods share, the entry with the data comes last. */
static void skipped(void **state)
{
    (void)state;
    struct xb_collected_volume volumes[] = {of_claim(), of_claim(), of_claim()};
    volumes[1].skipped = reason;
    volumes[1].volume = logs;
    volumes[2] =
        (struct xb_collected_volume){.pod_namespace = namespace, .claim = lone, .skipped = reason};
    check(volumes, 3, "[]",
          "[" OF_CLAIM "\"snapshotDataMoved\":false,\"skipped\":true,\"skippedReason\":\"because\","
          "\"pvbInfo\":{" WHOSE("logs") ",{\"pvcName\":\"lone\",\"pvcNamespace\":\"shop\","
                                        "\"pvName\":\"\",\"snapshotDataMoved\":false,\"skipped\":"
                                        "true,\"skippedReason\":"
                                        "\"because\"}," OF_CLAIM
                                        "\"snapshotDataMoved\":false,\"skipped\":false,"
                                        "\"backupMethod\":\"PodVolumeBackup\",\"result\":"
                                        "\"failed\",\"pvbInfo\":{" WHOSE("data") "]");
}

/* Orders with one of a copy, whose annotation is the order o-1's. */
static xb_json *copied(const char *order_uid)
{
    static const char order[] =
        "[{\"metadata\":{\"uid\":\"%s\",\"annotations\":{\"xebec.io/point-in-time\":"
        "\"{\\\"uid\\\":\\\"o-1\\\",\\\"method\\\":\\\"btrfs\\\",\\\"consistency\\\":"
        "\\\"crash\\\",\\\"time\\\":\\\"2026-11-26T11:00:00.000001Z\\\","
        "\\\"copyMicroseconds\\\":812}\"}},\"spec\":{\"pod\":{\"uid\":\"u-1\"},"
        "\"volume\":\"data\"},\"status\":{\"phase\":\"Completed\"}}]";
    char text[sizeof order + 8];
    snprintf(text, sizeof text, order, order_uid);
    return probe_json(text);
}

/* What the order says of its moment goes along; what another order said does not. */
static void points(void **state)
{
    struct xb_collected_volume volume = of_claim();
    const struct xb_collected collected = {.volumes = &volume, .volume_count = 1};
    (void)state;
    for (int own = 0; own <= 1; own++) {
        XB_CLEANUP(xb_json_putp) xb_json *list = copied(own ? "o-1" : "o-2");
        XB_CLEANUP(xb_json_putp) xb_json *infos = NULL;
        const struct xb_volume_infos what = {.collected = &collected, .orders = list};
        PROBE_OK(xb_volume_infos(&what, &infos, &err));
        xb_json *point = xb_json_get(json_object_array_get_idx(infos, 0), "pointInTime");
        assert_int_equal(point != NULL, own);
        if (own) {
            probe_json_is(point, "{\"method\":\"btrfs\",\"consistency\":\"crash\",\"time\":"
                                 "\"2026-11-26T11:00:00.000001Z\",\"copyMicroseconds\":812}");
        }
    }
}

/* Of the pods that are named, and of no others. */
static void unheld(void **state)
{
    struct xb_collected_volume volume = of_claim();
    const struct xb_collected collected = {.volumes = &volume, .volume_count = 1};
    XB_CLEANUP(xb_json_putp) xb_json *list = copied("o-1");
    (void)state;
    for (int lost = 0; lost <= 1; lost++) {
        char line[XB_VOLUME_POINTS_BYTES];
        XB_CLEANUP(xb_json_putp)
        xb_json *pods = probe_json(lost ? "{\"u-1\":true}" : "{\"u-2\":true}");
        XB_CLEANUP(xb_json_putp) xb_json *infos = NULL;
        const struct xb_volume_infos what = {
            .collected = &collected, .orders = list, .unheld = pods};
        PROBE_OK(xb_volume_infos(&what, &infos, &err));
        xb_json *point = xb_json_get(json_object_array_get_idx(infos, 0), "pointInTime");
        assert_int_equal(xb_json_get(point, "unheld") != NULL, lost);
        xb_volume_points(infos, line);
        assert_string_equal(line, lost
                                      ? "1 volume: 1 crash (btrfs); 1 not held; longest copy 812 us"
                                      : "1 volume: 1 crash (btrfs); longest copy 812 us");
    }
}

static void points_in_a_line(void **state)
{
    static const struct {
        const char *infos, *line;
    } cases[] = {
        {"[]", ""},
        {"[{\"result\":\"succeeded\"},{\"skipped\":true}]", ""},
        {"[{\"result\":\"succeeded\",\"pointInTime\":{\"method\":\"live\",\"consistency\":"
         "\"fuzzy\",\"copyMicroseconds\":7000000,\"changedFiles\":2}}]",
         "1 volume: 1 fuzzy (live); 2 files changed while they were read"},
        {"[{\"skipped\":true},{\"result\":\"succeeded\"},{\"pointInTime\":{\"method\":\"btrfs\","
         "\"consistency\":\"crash\",\"copyMicroseconds\":812,\"heldMicroseconds\":1900}},"
         "{\"pointInTime\":{\"method\":\"btrfs\",\"consistency\":\"crash\",\"copyMicroseconds\":"
         "9}},{\"pointInTime\":{\"method\":\"live\",\"consistency\":\"fuzzy\"}}]",
         "4 volumes: 2 crash (btrfs), 1 fuzzy (live), 1 unknown; longest copy 812 us; longest hold "
         "1900 us"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *infos = probe_json(cases[i].infos);
        char line[XB_VOLUME_POINTS_BYTES];
        xb_volume_points(infos, line);
        assert_string_equal(line, cases[i].line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backed_up), cmocka_unit_test(without_pod),
        cmocka_unit_test(failed),    cmocka_unit_test(skipped),
        cmocka_unit_test(points),    cmocka_unit_test(points_in_a_line),
        cmocka_unit_test(unheld),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
