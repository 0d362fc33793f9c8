/* SPDX-License-Identifier: Apache-2.0
 *
 * A record out of a store: refused, or a backup and orders that have ended, with nothing in them to
 * carry out and nothing of another cluster. The input is the marker's text, read also as an order
 * and as what a deletion takes its snapshots from.
 */
#include "coordinator/retention/deletion.h"
#include "coordinator/retention/import.h"
#include "tests/harness/fuzz.h"

static const struct xb_import_place place = {
    .namespace = "velero", .location = "here", .now_ns = INT64_C(1790000000) * 1000000000};

static bool is(xb_json *object, const char *path, const char *word)
{
    return strcmp(xb_json_str(object, path, ""), word) == 0;
}

static void check_metadata(xb_json *object)
{
    static const char *const gone[] = {"uid", "resourceVersion", "finalizers", "generateName",
                                       "deletionTimestamp"};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        need(!json_object_object_get_ex(xb_json_get(object, "metadata"), gone[i], NULL));
    }
    need(is(object, "metadata.namespace", "velero"));
    need(xb_velero_name_valid(xb_json_str(object, "metadata.name", "")));
}

static void check_backup(xb_json *backup)
{
    check_metadata(backup);
    need(is(backup, "metadata.name", "b"));
    need(is(backup, "spec.storageLocation", "here"));
    need(is(backup, "status.phase", "Completed") || is(backup, "status.phase", "PartiallyFailed") ||
         is(backup, "status.phase", "Failed"));
    need(!json_object_object_get_ex(xb_json_get(backup, "spec"), "hooks", NULL));
    xb_json *owners = xb_json_get(backup, "metadata.ownerReferences");
    need(json_object_array_length(owners) <= XB_IMPORT_OWNERS_MAX);
    for (size_t i = 0; i < json_object_array_length(owners); i++) {
        need(is(json_object_array_get_idx(owners, i), "kind", "Schedule"));
    }
}

static void check_order(xb_json *order)
{
    check_metadata(order);
    need(xb_velero_data_phase_final(xb_json_str(order, "status.phase", "")));
    xb_json *owners = xb_json_get(order, "metadata.ownerReferences");
    need(json_object_array_length(owners) == 1);
    need(is(json_object_array_get_idx(owners, 0), "uid", "new"));
}

static void check_snapshots(xb_json *order)
{
    struct xb_deletion_snapshots list = {.items = NULL};
    struct xb_error err = XB_ERROR_INIT;
    if (xb_deletion_add(&list, order, &err) == 0 && list.count == 1) {
        need(strlen(list.items[0].id) == XB_DELETION_SNAPSHOT_ID_BYTES - 1);
        need(xb_velero_name_valid(list.items[0].namespace));
        xb_deletion_spare(&list, order);
        need(list.count == 0);
    }
    xb_deletion_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *backup = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *recorded = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *order = NULL;
    static const char owner_text[] = "{\"metadata\":{\"name\":\"b\",\"uid\":\"new\"}}";
    XB_CLEANUP(xb_json_putp) xb_json *owner = NULL;
    char *text = fuzz_text(data, len);
    need(xb_json_parse(owner_text, sizeof owner_text - 1, &owner, &err) == 0);
    if (xb_import_backup("b", text, len, &place, &backup, &err) == 0 && backup) {
        check_backup(backup);
    }
    if (xb_json_parse(text, len, &recorded, &err) == 0) {
        if (xb_import_order(recorded, owner, &place, &order, &err) == 0) {
            check_order(order);
        }
        check_snapshots(recorded);
        bool recorded_there = false;
        (void)!xb_deletion_check(recorded, recorded, recorded, &recorded_there, &err);
        (void)xb_deletion_own_marker(recorded, recorded);
    }
    free(text);
    return 0;
}
