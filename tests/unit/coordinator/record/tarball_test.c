/* SPDX-License-Identifier: Apache-2.0
 *
 * The item tarball: what the writer makes, what the reader takes from others' archives, and what it
 * refuses.
 */
#include "tests/harness/archive_probe.h"

#include <fcntl.h>
#include <locale.h>
#include <zlib.h>

#include "coordinator/record/tarball.h"

enum { SEEN_MAX = 64 };

/* What the reader handed out: "resource|version|namespace|name|json", in order. */
struct seen {
    char *items[SEEN_MAX];
    size_t count, stop_at;
};

static int see(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
               struct xb_error *err)
{
    struct seen *seen = context;
    assert_true(seen->count < SEEN_MAX);
    assert_true(asprintf(&seen->items[seen->count], "%s|%s|%s|%s|%.*s", item->resource,
                         item->version, item->namespace, item->name, (int)len, json) > 0);
    seen->count++;
    return seen->count == seen->stop_at ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough")
                                        : 0;
}

static void forget(struct seen *seen)
{
    while (seen->count > 0) {
        free(seen->items[--seen->count]);
    }
}

static void check_read(const char *path, const char *const *expected)
{
    struct seen seen = {.count = 0};
    PROBE_OK(xb_tarball_read(path, see, &seen, &err));
    for (size_t i = 0; i < seen.count; i++) {
        assert_string_equal(seen.items[i], expected[i] ? expected[i] : "(no more)");
    }
    assert_null(expected[seen.count]);
    forget(&seen);
}

/* Refused, and nothing was handed out. */
static void check_refused(const char *path, enum xb_error_kind kind)
{
    struct seen seen = {.count = 0};
    PROBE_REFUSED(xb_tarball_read(path, see, &seen, &err), kind);
    assert_int_equal(seen.count, 0);
    forget(&seen);
}

static void add(struct xb_tarball_writer *writer, const char *resource, const char *version,
                const char *namespace, const char *name, const char *json)
{
    const struct xb_tarball_item item = {resource, version, namespace, name, false};
    PROBE_OK(xb_tarball_writer_add(writer, &item, json, strlen(json), &err));
}

/* The writer ------------------------------------------------------------------------------------
 */

/* Entries, modes and paths exactly as contract section 2 and Velero's own tarballs have them. */
static void written_as_velero_does(void **state)
{
    static const char *const paths[] = {
        "metadata/version", "resources/deployments.apps/namespaces/web/api.json",
        "resources/deployments.apps/v1-preferredversion/namespaces/web/api.json",
        "resources/persistentvolumes/cluster/pv-1.json",
        "resources/persistentvolumes/v1-preferredversion/cluster/pv-1.json"};
    static const char *const bodies[] = {"1.1.0\n", "{\"a\":1}", "{\"a\":1}", "{}", "{}"};
    const char *path = probe_path(state, "written.tar.gz");
    struct xb_tarball_writer *writer = NULL;
    PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
    add(writer, "deployments.apps", "v1", "web", "api", "{\"a\":1}");
    add(writer, "persistentvolumes", "v1", "", "pv-1", "{}");
    PROBE_OK(xb_tarball_writer_finish(writer, &err));
    xb_tarball_writer_free(writer);
    struct archive *archive = archive_read_new();
    struct archive_entry *entry = NULL;
    archive_read_support_format_tar(archive);
    archive_read_support_filter_gzip(archive);
    assert_int_equal(archive_read_open_filename(archive, path, 4096), ARCHIVE_OK);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char body[100] = "";
        assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_OK);
        assert_string_equal(archive_entry_pathname(entry), paths[i]);
        assert_int_equal(archive_entry_filetype(entry), AE_IFREG);
        assert_int_equal(archive_entry_perm(entry), 0755);
        assert_int_equal(archive_read_data(archive, body, sizeof body - 1), strlen(bodies[i]));
        assert_string_equal(body, bodies[i]);
    }
    assert_int_equal(archive_read_next_header(archive, &entry), ARCHIVE_EOF);
    archive_read_free(archive);
}

static void round_trip(void **state)
{
    static const char *const expected[] = {
        "pods|v1|web|api-0|{\"kind\":\"Pod\"}", "roles.rbac.authorization.k8s.io|v1||a:b c|{}",
        "widgets.example.com|v1beta1|web|gr\303\266\303\237e|{\"x\":\"\303\274\"}",
        "empty|v1|web|nothing|", NULL};
    const char *path = probe_path(state, "round.tar.gz");
    struct xb_tarball_writer *writer = NULL;
    PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
    add(writer, "pods", "v1", "web", "api-0", "{\"kind\":\"Pod\"}");
    add(writer, "roles.rbac.authorization.k8s.io", "v1", "", "a:b c", "{}");
    add(writer, "widgets.example.com", "v1beta1", "web", "gr\303\266\303\237e",
        "{\"x\":\"\303\274\"}");
    add(writer, "empty", "v1", "web", "nothing", "");
    PROBE_OK(xb_tarball_writer_finish(writer, &err));
    xb_tarball_writer_free(writer);
    check_read(path, expected);
}

/* The same items give the same bytes: nothing of the clock or the machine is in an archive. */
static void reproducible(void **state)
{
    char *data[2];
    size_t len[2];
    for (int i = 0; i < 2; i++) {
        const char *path = probe_path(state, i ? "second.tar.gz" : "first.tar.gz");
        struct xb_tarball_writer *writer = NULL;
        PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
        add(writer, "pods", "v1", "web", "api-0", "{\"kind\":\"Pod\"}");
        PROBE_OK(xb_tarball_writer_finish(writer, &err));
        xb_tarball_writer_free(writer);
        data[i] = probe_read(path, &len[i]);
        if (i == 0) {
            usleep(1100 * 1000); /* a gzip header would have another second */
        }
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(data[0], data[1], len[0]);
    free(data[0]);
    free(data[1]);
}

/* A name that could not be a file's is refused, and the archive goes on without it. */
static void writer_refuses(void **state)
{
    static const char *const expected[] = {"pods|v1|web|after|{}", NULL};
    char longest[400];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const struct xb_tarball_item bad[] = {
        {"", "v1", "web", "a", false},         {"pods", "", "web", "a", false},
        {"pods", "v1", "web", "", false},      {"..", "v1", "web", "a", false},
        {"pods", "..", "web", "a", false},     {"pods", "v1", "..", "a", false},
        {"pods", "v1", "web", "..", false},    {"a/b", "v1", "web", "a", false},
        {"pods", "v1", "a/b", "a", false},     {"pods", "v1", "", "a/../b", false},
        {"pods", "v1", "web", longest, false},
    };
    const char *path = probe_path(state, "refused.tar.gz");
    struct xb_tarball_writer *writer = NULL;
    PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        PROBE_REFUSED(xb_tarball_writer_add(writer, &bad[i], "{}", 2, &err), XB_ERR_INVALID);
    }
    add(writer, "pods", "v1", "web", "after", "{}");
    PROBE_OK(xb_tarball_writer_finish(writer, &err));
    xb_tarball_writer_free(writer);
    check_read(path, expected);
}

static void writer_failures(void **state)
{
    struct xb_tarball_writer *writer = NULL;
    PROBE_REFUSED(xb_tarball_writer_new(probe_path(state, "no/such/folder"), &writer, &err),
                  XB_ERR_NOT_FOUND);
    assert_int_equal(symlink("/dev/null", probe_path(state, "link")), 0);
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_tarball_writer_new(probe_path(state, "link"), &writer, &err) < 0);
    assert_null(writer);
    xb_tarball_writer_free(NULL);
}

/* The longest names that Kubernetes has still fit, and come back whole. */
static void longest_names(void **state)
{
    char resource[256], namespace[64], name[251];
    const char *path = probe_path(state, "longest.tar.gz");
    struct xb_tarball_writer *writer = NULL;
    struct seen seen = {.count = 0};
    memset(resource, 'r', sizeof resource - 1);
    memset(namespace, 's', sizeof namespace - 1);
    memset(name, 'n', sizeof name - 1);
    resource[sizeof resource - 1] = namespace[sizeof namespace - 1] = name[sizeof name - 1] = '\0';
    PROBE_OK(xb_tarball_writer_new(path, &writer, &err));
    add(writer, resource, "v1alpha1", namespace, name, "{}");
    PROBE_OK(xb_tarball_writer_finish(writer, &err));
    xb_tarball_writer_free(writer);
    PROBE_OK(xb_tarball_read(path, see, &seen, &err));
    assert_int_equal(seen.count, 1);
    assert_int_equal(strlen(seen.items[0]), 255 + 1 + 8 + 1 + 63 + 1 + 250 + 1 + 2);
    forget(&seen);
}

/* The reader ------------------------------------------------------------------------------------
 */

/* Folders, other versions' copies and the order of copies change nothing. */
static void others_archives(void **state)
{
    static const struct probe_entry entries[] = {
        {"resources/", NULL, AE_IFDIR, NULL},
        {"resources/pods/", NULL, AE_IFDIR, NULL},
        {"resources/pods/v1-preferredversion/namespaces/a/p.json", "1", 0, NULL},
        {"resources/pods/namespaces/a/p.json", "1", 0, NULL},
        {"resources/widgets.e.com/v1alpha1/cluster/w.json", "old", 0, NULL},
        {"resources/widgets.e.com/cluster/w.json", "2", 0, NULL},
        {"resources/widgets.e.com/v1-preferredversion/cluster/w.json", "2", 0, NULL},
        {"metadata/version", "1.1.0\n", 0, NULL},
        {NULL, NULL, 0, NULL}};
    static const char *const expected[] = {"pods|v1|a|p|1", "widgets.e.com|v1||w|2", NULL};
    probe_pack(probe_path(state, "others.tar.gz"), entries, true);
    check_read(probe_path(state, "others.tar.gz"), expected);
}

static int count_versions(void *context, const struct xb_tarball_item *item,
                          enum xb_tarball_copy copy, struct xb_error *err)
{
    unsigned *counts = context;
    (void)item;
    (void)err;
    counts[copy == XB_TARBALL_OTHER_VERSION]++;
    return 0;
}

static bool only_alpha(void *context, const struct xb_tarball_item *item, enum xb_tarball_copy copy)
{
    unsigned *counts = context;
    assert_int_equal(counts[0] + counts[1], 3); /* all were seen before */
    return strcmp(item->resource, "pods") == 0 ? copy == XB_TARBALL_PREFERRED_VERSION
                                               : strcmp(item->version, "v1alpha1") == 0;
}

/* Other versions' copies are handed out where they are wanted in place of the preferred ones. */
static void other_versions(void **state)
{
    static const struct probe_entry entries[] = {
        {"resources/pods/v1-preferredversion/namespaces/a/p.json", "1", 0, NULL},
        {"resources/pods/namespaces/a/p.json", "1", 0, NULL},
        {"resources/widgets.e.com/v1alpha1/cluster/w.json", "old", 0, NULL},
        {"resources/widgets.e.com/cluster/w.json", "2", 0, NULL},
        {"resources/widgets.e.com/v1-preferredversion/cluster/w.json", "2", 0, NULL},
        {NULL, NULL, 0, NULL}};
    unsigned counts[2] = {0, 0};
    const struct xb_tarball_versions versions = {count_versions, only_alpha, counts};
    struct seen seen = {.count = 0};
    probe_pack(probe_path(state, "versions.tar.gz"), entries, true);
    PROBE_OK(xb_tarball_read_versions(probe_path(state, "versions.tar.gz"), &versions, see, &seen,
                                      &err));
    assert_int_equal(counts[1], 1);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.items[0], "pods|v1|a|p|1");
    assert_string_equal(seen.items[1], "widgets.e.com|v1alpha1||w|old");
    forget(&seen);
}

/* A name beyond ASCII as Go's archives have it: a pax header in UTF-8. The reader has no locale. */
static void names_in_utf8(void **state)
{
    static const struct probe_entry entries[] = {
        {"resources/roles/v1-preferredversion/cluster/gr\xc3\xb6\xc3\x9f"
         "e.json",
         "1", 0, NULL},
        {"resources/roles/v1-preferredversion/cluster/after.json", "2", 0, NULL},
        {NULL, NULL, 0, NULL}};
    static const char *const expected[] = {"roles|v1||gr\xc3\xb6\xc3\x9f"
                                           "e|1",
                                           "roles|v1||after|2", NULL};
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
    if (!utf8) {
        skip();
    }
    locale_t before = uselocale(utf8);
    probe_pack(probe_path(state, "utf8.tar.gz"), entries, true);
    uselocale(before);
    freelocale(utf8);
    check_read(probe_path(state, "utf8.tar.gz"), expected);
}

/* Before 1.4 Velero wrote plain copies only. */
static void plain_copies(void **state)
{
    static const struct probe_entry entries[] = {
        {"metadata/version", "1\n", 0, NULL},
        {"resources/pods/namespaces/a/p.json", "1", 0, NULL},
        {"resources/nodes/cluster/n.json", "2", 0, NULL},
        {NULL, NULL, 0, NULL}};
    static const char *const expected[] = {"pods||a|p|1", "nodes|||n|2", NULL};
    static const struct probe_entry none[] = {{"metadata/version", "1.1.0\n", 0, NULL},
                                              {NULL, NULL, 0, NULL}};
    static const char *const nothing[] = {NULL};
    probe_pack(probe_path(state, "plain.tar.gz"), entries, true);
    check_read(probe_path(state, "plain.tar.gz"), expected);
    probe_pack(probe_path(state, "none.tar.gz"), none, true);
    check_read(probe_path(state, "none.tar.gz"), nothing);
}

#define GOOD                                                                                       \
    {                                                                                              \
        "resources/pods/v1-preferredversion/namespaces/a/p.json", "1", 0, NULL                     \
    }

/* One bad entry, even the last one, and nothing is handed out. */
static void hostile_archives(void **state)
{
    static const struct probe_entry bad[] = {
        {"resources/pods/v1-preferredversion/namespaces/../p.json", "1", 0, NULL},
        {"../../etc/cron.d/x", "1", 0, NULL},
        {"/etc/passwd", "1", 0, NULL},
        {"resources/pods/namespaces/a/l.json", NULL, AE_IFLNK, "/etc/passwd"},
        {"resources/pods/namespaces/a/h.json", NULL, 0, "resources/pods/namespaces/a/p.json"},
        {"resources/pods/namespaces/a/f.json", NULL, AE_IFIFO, NULL},
        {"resources/pods/namespaces/a/c.json", NULL, AE_IFCHR, NULL},
        {"a/b/c/d/e/f/g", "1", 0, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct probe_entry entries[] = {GOOD, bad[i], {NULL, NULL, 0, NULL}};
        probe_pack(probe_path(state, "hostile.tar.gz"), entries, true);
        check_refused(probe_path(state, "hostile.tar.gz"), XB_ERR_CORRUPT);
    }
}

/* An item of more than the limit, made of holes and zeros, costs neither memory nor disk. */
static void bomb(void **state)
{
    const char *path = probe_path(state, "bomb.tar.gz");
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    XB_CLEANUP(xb_freep) char *zeros = calloc(1, 1 << 20);
    archive_write_set_format_pax_restricted(archive);
    archive_write_add_filter_gzip(archive);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    archive_entry_set_pathname(entry, "resources/pods/cluster/p.json");
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, XB_TARBALL_ITEM_BYTES_MAX + 1);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    for (int i = 0; i < XB_TARBALL_ITEM_BYTES_MAX >> 20; i++) {
        assert_int_equal(archive_write_data(archive, zeros, 1 << 20), 1 << 20);
    }
    assert_int_equal(archive_write_data(archive, zeros, 1), 1);
    archive_entry_free(entry);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
    check_refused(path, XB_ERR_CORRUPT);
}

static void no_archives(void **state)
{
    static const struct probe_entry entries[] = {GOOD, {NULL, NULL, 0, NULL}};
    struct seen seen = {.count = 0};
    PROBE_REFUSED(xb_tarball_read(probe_path(state, "missing"), see, &seen, &err),
                  XB_ERR_NOT_FOUND);
    probe_write(probe_path(state, "empty"), "", 0);
    check_refused(probe_path(state, "empty"), XB_ERR_CORRUPT);
    probe_write(probe_path(state, "text"), "this is no archive\n", 19);
    check_refused(probe_path(state, "text"), XB_ERR_CORRUPT);
    probe_pack(probe_path(state, "bare.tar"), entries, false);
    check_refused(probe_path(state, "bare.tar"), XB_ERR_CORRUPT);
    gzFile file = gzopen(probe_path(state, "text.gz"), "wb");
    assert_int_equal(gzwrite(file, "this is no tar\n", 15), 15);
    assert_int_equal(gzclose(file), Z_OK);
    check_refused(probe_path(state, "text.gz"), XB_ERR_CORRUPT);
}

/* A flipped bit of an item's text is known by gzip's checksum alone: packed without compression,
 * the stream decodes well. */
static void wrong_checksum(void **state)
{
    static const struct probe_entry entries[] = {
        {"resources/secrets/v1-preferredversion/namespaces/a/s.json", "{\"marker\":\"abcdefgh\"}",
         0, NULL},
        {NULL, NULL, 0, NULL}};
    size_t len = 0;
    probe_pack(probe_path(state, "sum.tar"), entries, false);
    XB_CLEANUP(xb_freep) char *plain = probe_read(probe_path(state, "sum.tar"), &len);
    gzFile file = gzopen(probe_path(state, "sum.tar.gz"), "wb0");
    assert_int_equal(gzwrite(file, plain, (unsigned)len), len);
    assert_int_equal(gzclose(file), Z_OK);
    XB_CLEANUP(xb_freep) char *packed = probe_read(probe_path(state, "sum.tar.gz"), &len);
    static const char *const expected[] = {"secrets|v1|a|s|{\"marker\":\"abcdefgh\"}", NULL};
    check_read(probe_path(state, "sum.tar.gz"), expected);
    char *at = memmem(packed, len, "abcdefgh", 8);
    assert_non_null(at);
    at[2] ^= 1;
    probe_write(probe_path(state, "sum.tar.gz"), packed, len);
    check_refused(probe_path(state, "sum.tar.gz"), XB_ERR_CORRUPT);
    at[2] ^= 1;
    packed[len - 2] ^= 4; /* the length in the trailer */
    probe_write(probe_path(state, "sum.tar.gz"), packed, len);
    check_refused(probe_path(state, "sum.tar.gz"), XB_ERR_CORRUPT);
}

/* The caller's error ends the reading and comes back as it is. */
static void callback_ends(void **state)
{
    static const struct probe_entry entries[] = {
        {"resources/pods/namespaces/a/1.json", "1", 0, NULL},
        {"resources/pods/namespaces/a/2.json", "2", 0, NULL},
        {"resources/pods/namespaces/a/3.json", "3", 0, NULL},
        {NULL, NULL, 0, NULL}};
    struct seen seen = {.stop_at = 2};
    probe_pack(probe_path(state, "three.tar.gz"), entries, true);
    PROBE_REFUSED(xb_tarball_read(probe_path(state, "three.tar.gz"), see, &seen, &err),
                  XB_ERR_CANCELLED);
    assert_int_equal(seen.count, 2);
    forget(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_as_velero_does),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(reproducible),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(writer_failures),
        cmocka_unit_test(longest_names),
        cmocka_unit_test(others_archives),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(plain_copies),
        cmocka_unit_test(hostile_archives),
        cmocka_unit_test(bomb),
        cmocka_unit_test(names_in_utf8),
        cmocka_unit_test(no_archives),
        cmocka_unit_test(wrong_checksum),
        cmocka_unit_test(callback_ends),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
