/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server fills in of a Backup's spec, and which snapshot locations it names.
 */
#include "tests/harness/probe.h"

#include "coordinator/plan/backup_spec.h"

#define HOUR (INT64_C(3600) * 1000000000)

static const struct xb_backup_defaults defaults = {
    .item_operation_ns = 4 * HOUR, .group_label = "velero.io/volume-group", .fs_backup = true};

static void fills(const char *spec_text, const char *want)
{
    xb_json *spec = probe_json(spec_text);
    xb_json *out = xb_backup_spec_defaults(spec, &defaults);
    probe_json_is(out, want);
    json_object_put(out);
    json_object_put(spec);
}

/* All that is open; "0s" is how Go's programs write what nobody has said. */
static void open_fields(void **state)
{
    (void)state;
    static const char all[] = "{\"includedNamespaces\":[\"*\"],\"defaultVolumesToFsBackup\":true,"
                              "\"snapshotMoveData\":false,\"csiSnapshotTimeout\":\"10m0s\","
                              "\"itemOperationTimeout\":\"4h0m0s\",\"volumeGroupSnapshotLabelKey\":"
                              "\"velero.io/volume-group\"}";
    fills("{}", all);
    fills("{\"includedNamespaces\":[],\"csiSnapshotTimeout\":\"0s\",\"itemOperationTimeout\":\"\"}",
          all);
}

static void said_fields(void **state)
{
    (void)state;
    fills("{\"includedNamespaces\":[\"a\"],\"defaultVolumesToFsBackup\":false,\"snapshotMoveData\":"
          "false,\"csiSnapshotTimeout\":"
          "\"1m\",\"itemOperationTimeout\":\"2h\",\"volumeGroupSnapshotLabelKey\":\"a/b\"}",
          "{}");
    fills("{\"includedNamespaces\":[\"a\"],\"defaultVolumesToFsBackup\":false,\"snapshotMoveData\":"
          "false,\"csiSnapshotTimeout\":"
          "\"soon\",\"itemOperationTimeout\":\"2h\",\"volumeGroupSnapshotLabelKey\":\"a/b\"}",
          "{}");
}

static void old_name_beats(void **state)
{
    (void)state;
    xb_json *spec =
        probe_json("{\"defaultVolumesToRestic\":true,\"defaultVolumesToFsBackup\":false}");
    const struct xb_backup_defaults none = {.group_label = "g"};
    xb_json *out = xb_backup_spec_defaults(spec, &none);
    assert_true(xb_json_bool(out, "defaultVolumesToFsBackup", false));
    json_object_put(out);
    json_object_put(spec);
}

static void moves_data(void **state)
{
    (void)state;
    xb_json *open = probe_json("{}");
    xb_json *no = probe_json("{\"snapshotMoveData\":false}");
    const struct xb_backup_defaults move = {.snapshot_move_data = true, .group_label = "g"};
    assert_true(xb_backup_moves_data(open, &move));
    assert_false(xb_backup_moves_data(no, &move));
    assert_false(xb_backup_moves_data(open, &defaults));
    json_object_put(open);
    json_object_put(no);
}

/* ---- snapshot locations ---- */

#define LOCATION(name, provider)                                                                   \
    "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"provider\":\"" provider "\"}}"
#define ONE LOCATION("west", "aws")
#define TWO ONE "," LOCATION("east", "aws")
#define MIXED TWO "," LOCATION("disk", "csi")

static void chooses(const char *named, const char *there, const char *flag, const char *want,
                    const char *problem)
{
    char text[2048];
    snprintf(text, sizeof text, "[%s]", there);
    const struct xb_snapshot_locations facts = {
        .named = named ? probe_json(named) : NULL, .there = probe_json(text), .defaults = flag};
    xb_json *problems = json_object_new_array();
    xb_json *chosen = xb_backup_snapshot_locations(&facts, problems);
    probe_json_is(chosen, want);
    if (problem) {
        assert_int_equal(json_object_array_length(problems), 1);
        const char *said = json_object_get_string(json_object_array_get_idx(problems, 0));
        if (!strstr(said, problem)) {
            fail_msg("'%s' says nothing of '%s'", said, problem);
        }
    } else {
        assert_int_equal(json_object_array_length(problems), 0);
    }
    json_object_put(chosen);
    json_object_put(problems);
    json_object_put(facts.named);
    json_object_put(facts.there);
}

static void snapshot_locations(void **state)
{
    (void)state;
    chooses(NULL, "", NULL, "[]", NULL);
    chooses(NULL, ONE, NULL, "[\"west\"]", NULL);
    chooses("[]", ONE, NULL, "[\"west\"]", NULL);
    chooses("[\"east\"]", TWO, NULL, "[\"east\"]", NULL);
    chooses("[\"east\",\"east\"]", TWO, NULL, "[\"east\"]", NULL);
    chooses("[\"east\"]", MIXED, NULL, "[\"east\",\"disk\"]", NULL);
    chooses(NULL, MIXED, "csi:other,aws:east", "[\"east\",\"disk\"]", NULL);
    chooses("[\"west\"]", MIXED, "aws:east", "[\"west\",\"disk\"]", NULL);
}

static void snapshot_locations_refused(void **state)
{
    (void)state;
    chooses("[\"north\"]", ONE, NULL, "[\"west\"]", "no VolumeSnapshotLocation 'north'");
    chooses("[null]", "", NULL, "[]", "no VolumeSnapshotLocation ''");
    chooses("[\"east\",\"west\"]", TWO, NULL, "[\"east\"]", "more than one for provider aws: east");
    chooses(NULL, TWO, NULL, "[]", "provider aws has more than one");
    chooses(NULL, TWO, "aws:", "[]", "provider aws has more than one");
    chooses(NULL, TWO, "aw:east,awss:east,:east,", "[]", "provider aws has more than one");
    chooses(NULL, TWO, "aws:north", "[]", "--default-volume-snapshot-locations: there is no");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_fields),        cmocka_unit_test(said_fields),
        cmocka_unit_test(old_name_beats),     cmocka_unit_test(moves_data),
        cmocka_unit_test(snapshot_locations), cmocka_unit_test(snapshot_locations_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
