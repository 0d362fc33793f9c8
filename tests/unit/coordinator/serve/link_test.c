/* SPDX-License-Identifier: Apache-2.0
 *
 * Links: the kinds of the contract and no others, names of Kubernetes and no others, and a link
 * that was made elsewhere with the same key is the same link.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/serve/link.h"

static struct xb_secret *new_key(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_secret *key = NULL;
    assert_int_equal(xb_secret_new(text, strlen(text), &key, &err), 0);
    return key;
}

/* The fourteen kinds of a DownloadRequest, by name and back. */
static void kinds(void **state)
{
    (void)state;
    static const char *const names[] = {"BackupLog",
                                        "BackupContents",
                                        "BackupVolumeSnapshots",
                                        "BackupItemOperations",
                                        "BackupResourceList",
                                        "BackupResults",
                                        "BackupVolumeInfos",
                                        "CSIBackupVolumeSnapshots",
                                        "CSIBackupVolumeSnapshotContents",
                                        "RestoreLog",
                                        "RestoreResults",
                                        "RestoreResourceList",
                                        "RestoreItemOperations",
                                        "RestoreVolumeInfo"};
    static const char *const strangers[] = {"", "backuplog", "BackupLogs", "BackupLo", "Secret"};
    unsigned seen = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        enum xb_download_kind kind = XB_DOWNLOAD_KINDS;
        assert_true(xb_download_kind_parse(names[i], &kind));
        assert_string_equal(xb_download_kind_name(kind), names[i]);
        seen |= 1U << kind;
    }
    assert_int_equal(seen, (1U << XB_DOWNLOAD_KINDS) - 1);
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
        enum xb_download_kind kind = XB_DOWNLOAD_KINDS;
        assert_false(xb_download_kind_parse(strangers[i], &kind));
        assert_int_equal(kind, XB_DOWNLOAD_KINDS);
    }
    assert_null(xb_download_kind_name(XB_DOWNLOAD_KINDS));
    assert_null(xb_download_kind_name((enum xb_download_kind) - 1));
}

static void names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "0", "nightly-20240101020304", "a.b", "a--b.0.c"};
    static const char *const bad[] = {
        "",    ".",      "..",   "a.",       ".a",  "a..b", "-a", "a-",        "A",    "a_b", "a/b",
        "a b", "a%2e%2", "a\nb", "\xc3\xa4", "a:b", "a\\b", "*",  "../../etc", "a.-b", "a-.b"};
    char longest[300];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(xb_download_name_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (xb_download_name_valid(bad[i])) {
            print_error("taken: '%s'\n", bad[i]);
        }
        assert_false(xb_download_name_valid(bad[i]));
    }
    memset(longest, 'a', sizeof longest);
    longest[254] = '\0';
    assert_false(xb_download_name_valid(longest));
    longest[253] = '\0';
    assert_true(xb_download_name_valid(longest));
}

/* The format, made here by hand: links outlive the version of the program that made them. */
static void known_link(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_secret *key = new_key("0123456789abcdef0123456789abcdef");
    struct xb_download what = {.kind = XB_DOWNLOAD_BACKUP_LOG,
                               .location = "default",
                               .name = "nightly-20240101",
                               .expires_s = 4000000000};
    char path[XB_DOWNLOAD_LINK_BYTES];
    assert_int_equal(xb_download_link_make(key, &what, path, &err), 0);
    assert_string_equal(path, "/download/v1/"
                              "QmFja3VwTG9nL2RlZmF1bHQvbmlnaHRseS0yMDI0MDEwMS80MDAwMDAwMDAw"
                              ".FDcDCibw-X6MI3zKN9RrHenXhMi0juh6lMI8sWNCoAc");
    xb_secret_free(key);
}

/* The longest names fit, and what cannot be read back is not made. */
static void limits(void **state)
{
    (void)state;
    struct xb_secret *key = new_key("0123456789abcdef0123456789abcdef");
    struct xb_secret *brief = new_key("0123456789abcdef0123456789abcde");
    struct xb_download what = {.kind = XB_DOWNLOAD_CSI_BACKUP_VOLUME_SNAPSHOT_CONTENTS,
                               .expires_s = INT64_C(999999999999999999)};
    struct xb_download got;
    struct xb_error err = XB_ERROR_INIT;
    char path[XB_DOWNLOAD_LINK_BYTES] = "untouched";
    memset(what.location, 'x', XB_DOWNLOAD_NAME_BYTES_MAX);
    memset(what.name, 'y', XB_DOWNLOAD_NAME_BYTES_MAX);
    assert_true(xb_download_link_make(brief, &what, path, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_string_equal(path, "untouched");
    assert_true(xb_download_link_parse(brief, "/download/v1/", 0, &got, &err) < 0);
    err = (struct xb_error)XB_ERROR_INIT;
    assert_int_equal(xb_download_link_make(key, &what, path, &err), 0);
    assert_int_equal(xb_download_link_parse(key, path, 0, &got, &err), 0);
    assert_string_equal(got.name, what.name);

    struct xb_download bad[5];
    for (size_t i = 0; i < 5; i++) {
        bad[i] = what;
    }
    bad[0].kind = XB_DOWNLOAD_KINDS;
    bad[1].expires_s = 0;
    bad[2].expires_s = INT64_C(1000000000000000000);
    snprintf(bad[3].name, sizeof bad[3].name, "../velero-backup");
    bad[4].location[0] = '\0';
    for (size_t i = 0; i < 5; i++) {
        err = (struct xb_error)XB_ERROR_INIT;
        assert_true(xb_download_link_make(key, &bad[i], path, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
    }
    xb_secret_free(key);
    xb_secret_free(brief);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(names),
        cmocka_unit_test(known_link),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
