/* SPDX-License-Identifier: Apache-2.0
 *
 * archive_probe.h - archives as others make them, and files out of the fixture that Velero made.
 *
 * What for:  tests of what reads tarballs. A header: only modules above coordinator/record have
 *            libarchive.
 * Ownership: the caller's files.    Threads: as cmocka.    Blocking: as the disk.
 */
#pragma once

#include "tests/harness/probe.h"

#include <archive.h>
#include <archive_entry.h>

struct probe_entry {
    const char *path;
    const char *data;
    mode_t type;      /* 0: a plain file */
    const char *link; /* a hard link's target, or a symbolic link's */
};

/* Packs the entries (ended by a NULL path) with gzip, or as plain tar. */
static inline void probe_pack(const char *path, const struct probe_entry *entries, bool gzip)
{
    struct archive *archive = archive_write_new();
    assert_int_equal(archive_write_set_format_pax_restricted(archive), ARCHIVE_OK);
    if (gzip) {
        assert_int_equal(archive_write_add_filter_gzip(archive), ARCHIVE_OK);
    }
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (; entries->path; entries++) {
        struct archive_entry *entry = archive_entry_new();
        size_t len = entries->data ? strlen(entries->data) : 0;
        mode_t type = entries->type ? entries->type : AE_IFREG;
        archive_entry_set_pathname(entry, entries->path);
        archive_entry_set_filetype(entry, type);
        archive_entry_set_perm(entry, 0755);
        archive_entry_set_size(entry, (la_int64_t)len);
        if (entries->link && type == AE_IFLNK) {
            archive_entry_set_symlink(entry, entries->link);
        } else if (entries->link) {
            archive_entry_set_hardlink(entry, entries->link);
        }
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(archive, entries->data ? entries->data : "", len), len);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

/* The bytes of one file out of the bucket that Velero 1.18.3 left; the caller frees them. */
static inline char *probe_velero_file(const char *name, size_t *ret_len)
{
    struct archive *archive = archive_read_new();
    struct archive_entry *entry = NULL;
    char *data = NULL;
    archive_read_support_format_tar(archive);
    archive_read_support_filter_gzip(archive);
    assert_int_equal(archive_read_open_filename(
                         archive, XB_TEST_DATA "/velero-1.18.3/velero-1.18.3-tiny.tar.gz", 65536),
                     ARCHIVE_OK);
    while (!data && archive_read_next_header(archive, &entry) == ARCHIVE_OK) {
        if (strcmp(archive_entry_pathname(entry), name) == 0) {
            *ret_len = (size_t)archive_entry_size(entry);
            data = calloc(1, *ret_len + 1);
            assert_non_null(data);
            assert_int_equal(archive_read_data(archive, data, *ret_len), *ret_len);
        }
    }
    archive_read_free(archive);
    if (!data) {
        fail_msg("the fixture holds no %s", name);
    }
    return data;
}
