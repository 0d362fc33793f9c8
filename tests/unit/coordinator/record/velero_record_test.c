/* SPDX-License-Identifier: Apache-2.0
 *
 * The record that Velero 1.18.3 left of a real namespace (tests/data): its tarball read item by
 * item, rewritten entry by entry, and its JSON files.
 */
#include "tests/harness/archive_probe.h"

#include "coordinator/record/tarball.h"
#include "coordinator/record/upload.h"

enum { ITEMS = 20 };

static void put_fixture(void **state, const char *name)
{
    char member[200];
    size_t len = 0;
    snprintf(member, sizeof member, "backups/tiny-1/%s", name);
    XB_CLEANUP(xb_freep) char *data = probe_velero_file(member, &len);
    probe_write(probe_path(state, name), data, len);
}

struct copying {
    struct xb_tarball_writer *writer;
    size_t items;
    bool pod, role, account;
};

static bool is(const struct xb_tarball_item *item, const char *resource, const char *namespace,
               const char *name)
{
    return strcmp(item->resource, resource) == 0 && strcmp(item->namespace, namespace) == 0 &&
           strcmp(item->name, name) == 0;
}

/* Each is the JSON of the object that its path names. */
static int copy_item(void *context, const struct xb_tarball_item *item, const char *text,
                     size_t len, struct xb_error *err)
{
    struct copying *copying = context;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    int r = xb_json_parse(text, len, &object, err);
    assert_int_equal(r, 0);
    assert_string_equal(item->version, "v1");
    assert_string_equal(xb_json_str(object, "metadata.name", ""), item->name);
    assert_string_equal(xb_json_str(object, "metadata.namespace", ""), item->namespace);
    copying->items++;
    copying->pod |= is(item, "pods", "tiny", "web-0");
    copying->role |= is(item, "clusterroles.rbac.authorization.k8s.io", "", "tiny-reader");
    copying->account |= is(item, "serviceaccounts", "tiny", "web");
    return xb_tarball_writer_add(copying->writer, item, text, len, err);
}

/* The next entry's header and body of both archives are the same; false at the end of both. */
static bool same_entry(struct archive *first, struct archive *second)
{
    struct archive_entry *one = NULL, *two = NULL;
    char body[2][20000];
    int r = archive_read_next_header(first, &one);
    assert_int_equal(archive_read_next_header(second, &two), r);
    if (r == ARCHIVE_EOF) {
        return false;
    }
    assert_int_equal(r, ARCHIVE_OK);
    assert_string_equal(archive_entry_pathname(one), archive_entry_pathname(two));
    assert_int_equal(archive_entry_size(one), archive_entry_size(two));
    assert_int_equal(archive_entry_mode(one), archive_entry_mode(two));
    la_ssize_t len = archive_read_data(first, body[0], sizeof body[0]);
    assert_int_equal(archive_read_data(second, body[1], sizeof body[1]), len);
    assert_memory_equal(body[0], body[1], (size_t)len);
    return true;
}

static struct archive *open_archive(const char *path)
{
    struct archive *archive = archive_read_new();
    archive_read_support_format_tar(archive);
    archive_read_support_filter_gzip(archive);
    assert_int_equal(archive_read_open_filename(archive, path, 65536), ARCHIVE_OK);
    return archive;
}

/* Read and written again it has the same entries, in the same order, byte for byte. */
static void tarball(void **state)
{
    const char *copy = probe_path(state, "copy.tar.gz");
    struct copying copying = {.items = 0};
    put_fixture(state, "tiny-1.tar.gz");
    const char *path = probe_path(state, "tiny-1.tar.gz");
    PROBE_OK(xb_tarball_writer_new(copy, &copying.writer, &err));
    PROBE_OK(xb_tarball_read(path, copy_item, &copying, &err));
    PROBE_OK(xb_tarball_writer_finish(copying.writer, &err));
    xb_tarball_writer_free(copying.writer);
    assert_int_equal(copying.items, ITEMS);
    assert_true(copying.pod && copying.role && copying.account);
    struct archive *theirs = open_archive(path);
    struct archive *ours = open_archive(copy);
    size_t entries = 0;
    while (same_entry(theirs, ours)) {
        entries++;
    }
    assert_int_equal(entries, 2 * ITEMS + 1);
    archive_read_free(theirs);
    archive_read_free(ours);
}

static xb_json *document(void **state, const char *name)
{
    xb_json *json = NULL;
    struct xb_store *store = NULL;
    put_fixture(state, name);
    PROBE_OK(xb_store_open(*state, NULL, &store, &err));
    PROBE_OK(xb_download_json_gz(store, name, 100000, &json, &err));
    xb_store_free(store);
    return json;
}

static void documents(void **state)
{
    XB_CLEANUP(xb_json_putp) xb_json *results = document(state, "tiny-1-results.gz");
    probe_json_is(results, "{\"errors\":{},\"warnings\":{}}");
    XB_CLEANUP(xb_json_putp) xb_json *none = document(state, "tiny-1-volumesnapshots.json.gz");
    assert_null(none);
    XB_CLEANUP(xb_json_putp) xb_json *operations = document(state, "tiny-1-itemoperations.json.gz");
    assert_int_equal(json_object_array_length(operations), 0);
    XB_CLEANUP(xb_json_putp) xb_json *list = document(state, "tiny-1-resource-list.json.gz");
    assert_int_equal(json_object_object_length(list), 13);
    XB_CLEANUP(xb_json_putp) xb_json *orders = document(state, "tiny-1-podvolumebackups.json.gz");
    assert_int_equal(json_object_array_length(orders), 2);
    assert_string_equal(xb_json_str(json_object_array_get_idx(orders, 0), "status.phase", ""),
                        "Completed");
    XB_CLEANUP(xb_json_putp) xb_json *volumes = document(state, "tiny-1-volumeinfo.json.gz");
    assert_string_equal(
        xb_json_str(json_object_array_get_idx(volumes, 0), "pvbInfo.snapshotHandle", ""),
        "8b2f4c6fddb01a35d59daaeff7d85e86");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tarball),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
