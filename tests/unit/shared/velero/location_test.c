/* SPDX-License-Identifier: Apache-2.0
 *
 * From a BackupStorageLocation to its store: what is refused, whose folder it is, who is first.
 */
#include "tests/harness/probe.h"

#include <pthread.h>

#include "shared/velero/location.h"
#include "shared/velero/velero.h"

static const struct xb_location_access writing = {.namespace = "velero"};
static const struct xb_location_access reading = {.namespace = "velero", .read_only = true};

static xb_json *location(const char *provider, const char *path, const char *prefix)
{
    char text[PATH_MAX + 200];
    snprintf(text, sizeof text,
             "{\"spec\":{\"provider\":\"%s\",\"config\":{\"fspath\":\"%s\"},"
             "\"objectStorage\":{\"bucket\":\"b\",\"prefix\":\"%s\"}}}",
             provider, path, prefix);
    return probe_json(text);
}

static struct xb_store *open_at(const char *path, const char *prefix)
{
    struct xb_store *store = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *json = location("fs", path, prefix);
    PROBE_OK(xb_location_open(json, &writing, &store, &err));
    return store;
}

static void refuse(const char *provider, const char *path, const char *prefix,
                   enum xb_error_kind kind)
{
    struct xb_store *store = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *json = location(provider, path, prefix);
    PROBE_REFUSED(xb_location_open(json, &writing, &store, &err), kind);
    assert_null(store);
}

static const char *folder(void **state, const char *name)
{
    const char *path = probe_path(state, name);
    assert_int_equal(mkdir(path, 0755), 0);
    return path;
}

static void opening(void **state)
{
    const char *path = folder(state, "opening");
    XB_CLEANUP(xb_store_freep) struct xb_store *plain = open_at(path, "");
    PROBE_OK(xb_store_put(plain, "backups/x", "plain", 5, NULL, &err));
    /* A prefix with and without its slash is the same folder, and a slash alone is none. */
    XB_CLEANUP(xb_store_freep) struct xb_store *below = open_at(path, "a/b");
    PROBE_OK(xb_store_put(below, "backups/x", "below", 5, NULL, &err));
    XB_CLEANUP(xb_store_freep) struct xb_store *slash = open_at(path, "a/b//");
    XB_CLEANUP(xb_store_freep) struct xb_store *none = open_at(path, "/");
    struct xb_buf text = XB_BUF_INIT(100);
    PROBE_OK(xb_store_get(slash, "backups/x", 0, XB_STORE_TO_END, &text, &err));
    PROBE_OK(xb_store_get(none, "backups/x", 0, XB_STORE_TO_END, &text, &err));
    PROBE_OK(xb_store_get(plain, "a/b/backups/x", 0, XB_STORE_TO_END, &text, &err));
    assert_string_equal(text.data, "belowplainbelow");
    xb_buf_free(&text);
    XB_CLEANUP(xb_json_putp) xb_json *json = location("xebec.io/fs", path, "");
    XB_CLEANUP(xb_store_freep) struct xb_store *reader = NULL;
    PROBE_OK(xb_location_open(json, &reading, &reader, &err));
    PROBE_REFUSED(xb_store_put(reader, "backups/y", "y", 1, NULL, &err), XB_ERR_DENIED);
}

static void refused(void **state)
{
    const char *path = folder(state, "refused");
    char longest[XB_STORE_NAME_BYTES_MAX + 10];
    memset(longest, 'p', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    refuse("aws", path, "", XB_ERR_INVALID); /* fspath is no key of S3's */
    refuse("minio", "", "", XB_ERR_INVALID); /* without s3Url nobody knows what it is */
    refuse("", path, "", XB_ERR_INVALID);
    refuse("fs", "", "", XB_ERR_INVALID);
    refuse("fs", "relative/path", "", XB_ERR_INVALID);
    refuse("fs", "file:///tmp", "", XB_ERR_INVALID);
    refuse("fs", path, "../..", XB_ERR_INVALID);
    refuse("fs", path, "a/../../b", XB_ERR_INVALID);
    refuse("fs", path, "/absolute", XB_ERR_INVALID);
    refuse("fs", path, longest, XB_ERR_INVALID);
    refuse("fs", probe_path(state, "missing"), "", XB_ERR_NOT_FOUND);
    XB_CLEANUP(xb_json_putp) xb_json *odd = probe_json("{\"spec\":{\"provider\":7}}");
    struct xb_store *store = NULL;
    PROBE_REFUSED(xb_location_open(odd, &writing, &store, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_location_open(NULL, &writing, &store, &err), XB_ERR_INVALID);
}

/* Made once, the same for everyone, in a folder that Velero does not mind. */
static void identity(void **state)
{
    char first[XB_STORE_IDENTITY_BYTES], again[XB_STORE_IDENTITY_BYTES];
    XB_CLEANUP(xb_store_freep) struct xb_store *store = open_at(folder(state, "identity"), "");
    XB_CLEANUP(xb_store_freep) struct xb_store *other = open_at(folder(state, "other"), "");
    PROBE_REFUSED(xb_location_identity(NULL, store, first, &err), XB_ERR_NOT_FOUND);
    PROBE_OK(xb_location_make_identity(store, first, &err));
    assert_int_equal(strlen(first), XB_STORE_IDENTITY_BYTES - 1);
    PROBE_OK(xb_location_identity(NULL, store, again, &err));
    assert_string_equal(first, again);
    PROBE_OK(xb_location_make_identity(store, again, &err));
    assert_string_equal(first, again);
    PROBE_OK(xb_location_make_identity(other, again, &err));
    assert_string_not_equal(first, again);
    PROBE_OK(xb_location_check_folders(store, &err));
}

/* A damaged identity is never replaced: all would then see a new store where their data is. */
static void identity_damaged(void **state)
{
    static const char *const damaged[] = {"",
                                          "{}",
                                          "{\"id\":7}",
                                          "[]",
                                          "{\"id\":\"0123456789abcdef0123456789abcde\"}",
                                          "{\"id\":\"0123456789abcdef0123456789abcdef0\"}",
                                          "{\"id\":\"0123456789ABCDEF0123456789ABCDEF\"}",
                                          "{\"id\":"};
    char id[XB_STORE_IDENTITY_BYTES];
    XB_CLEANUP(xb_store_freep) struct xb_store *store = open_at(folder(state, "damaged"), "");
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        struct xb_buf text = XB_BUF_INIT(100);
        PROBE_OK(
            xb_store_put(store, XB_STORE_IDENTITY_KEY, damaged[i], strlen(damaged[i]), NULL, &err));
        PROBE_REFUSED(xb_location_identity(NULL, store, id, &err), XB_ERR_CORRUPT);
        PROBE_REFUSED(xb_location_make_identity(store, id, &err), XB_ERR_CORRUPT);
        PROBE_OK(xb_store_get(store, XB_STORE_IDENTITY_KEY, 0, XB_STORE_TO_END, &text, &err));
        assert_string_equal(text.data ? text.data : "", damaged[i]);
        xb_buf_free(&text);
    }
    XB_CLEANUP(xb_freep) char *large = malloc(5000);
    memset(large, ' ', 5000);
    PROBE_OK(xb_store_put(store, XB_STORE_IDENTITY_KEY, large, 5000, NULL, &err));
    PROBE_REFUSED(xb_location_make_identity(store, id, &err), XB_ERR_FULL);
}

enum { RACERS = 4, RACES = 30 };

struct racer {
    struct xb_store *store;
    char id[XB_STORE_IDENTITY_BYTES];
    int code, left_in_err;
};

static void *race(void *context)
{
    struct racer *racer = context;
    struct xb_error err = XB_ERROR_INIT;
    racer->code = xb_location_make_identity(racer->store, racer->id, &err);
    racer->left_in_err = err.code;
    return NULL;
}

/* Several at once agree, and the losers know of no error. */
static void identity_race(void **state)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = open_at(folder(state, "race"), "");
    for (int i = 0; i < RACES; i++) {
        struct racer racers[RACERS];
        pthread_t threads[RACERS];
        PROBE_OK(xb_store_delete(store, XB_STORE_IDENTITY_KEY, &err));
        for (size_t k = 0; k < RACERS; k++) {
            racers[k].store = store;
            assert_int_equal(pthread_create(&threads[k], NULL, race, &racers[k]), 0);
        }
        for (size_t k = 0; k < RACERS; k++) {
            assert_int_equal(pthread_join(threads[k], NULL), 0);
        }
        for (size_t k = 0; k < RACERS; k++) {
            assert_int_equal(racers[k].code, 0);
            assert_int_equal(racers[k].left_in_err, 0);
            assert_string_equal(racers[k].id, racers[0].id);
        }
    }
}

static void folders(void **state)
{
    static const char *const allowed[] = {"backups/b/x", "restores/r/x", "restic/x",
                                          "metadata/x",  "plugins/x",    "kopia/n/x"};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = open_at(folder(state, "folders"), "");
    PROBE_OK(xb_location_check_folders(store, &err));
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        PROBE_OK(xb_store_put(store, allowed[i], "x", 1, NULL, &err));
    }
    PROBE_OK(xb_store_put(store, "README", "x", 1, NULL, &err)); /* files do not count */
    PROBE_OK(xb_location_check_folders(store, &err));
    PROBE_OK(xb_store_put(store, "photos/x", "x", 1, NULL, &err));
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_location_check_folders(store, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "photos"));
}

/* "kopia/<namespace>/", and no namespace leads out of it. */
static void repositories(void **state)
{
    static const char *const bad[] = {"", "..", ".", "a/b", "../kopia/b", "-a", "a b"};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = open_at(folder(state, "repos"), "p");
    XB_CLEANUP(xb_store_freep) struct xb_store *below = NULL;
    PROBE_OK(xb_location_repository_store(store, "web", true, &below, &err));
    PROBE_OK(xb_store_put(below, "kopia.repository", "{}", 2, NULL, &err));
    struct xb_store_item item;
    /* Velero's own agents and kopia's see it under this very name. */
    struct xb_error missing = XB_ERROR_INIT;
    bool plain = xb_store_stat(store, "kopia/web/kopia.repository", &item, &missing) == 0;
    bool sharded = xb_store_stat(store, "kopia/web/kopia.repository.f", &item, &missing) == 0;
    assert_true(plain || sharded);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xb_store *none = NULL;
        PROBE_REFUSED(xb_location_repository_store(store, bad[i], true, &none, &err),
                      XB_ERR_INVALID);
        assert_null(none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening),       cmocka_unit_test(refused),
        cmocka_unit_test(identity),      cmocka_unit_test(identity_damaged),
        cmocka_unit_test(identity_race), cmocka_unit_test(folders),
        cmocka_unit_test(repositories),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
