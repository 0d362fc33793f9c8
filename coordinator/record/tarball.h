/* SPDX-License-Identifier: Apache-2.0
 *
 * tarball.h - a backup's item tarball: written item by item, read item by item.
 *
 * What for:  <backup>.tar.gz of the contract (section 2): every item twice, under
 *            `resources/<plural.group>/...` and under
 *            `resources/<plural.group>/<version>-preferredversion/...`, and `metadata/version`. The
 *            only user of libarchive.
 * Ownership: the caller owns writer and reader; what a callback is shown is valid only during it.
 * Threads:   one at a time per writer or reader.
 * Blocking:  yes (scratch disk, gzip): on a worker.
 * Shapes:    regular files only, mode 0755, compact JSON.
 * Errors:    FULL when the scratch disk is full; CORRUPT for an archive that is cut short, not
 *            gzip, holds anything but files and folders, a path that leaves the archive, or more
 *            than the limits.
 * Limits:    an item <= XB_TARBALL_ITEM_BYTES_MAX, items <= XB_TARBALL_ITEMS_MAX, all together <=
 *            XB_TARBALL_BYTES_MAX (a bomb's ceiling).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_TARBALL_ITEM_BYTES_MAX = 32 * 1024 * 1024,
    XB_TARBALL_ITEMS_MAX = 20 * 1000 * 1000,
    XB_TARBALL_PATH_BYTES_MAX = 1024
};
#define XB_TARBALL_BYTES_MAX (UINT64_C(64) * 1024 * 1024 * 1024)

/* Where an item stands: "pods" or "deployments.apps", its version, its namespace ("" for cluster
 * scope) and name. */
struct xb_tarball_item {
    const char *resource;
    const char *version;
    const char *namespace;
    const char *name;
    bool other_version; /* written only under its version: the preferred one is there beside it */
};

struct xb_tarball_writer;

/* Creates or empties the file at `path`, and puts metadata/version into it. */
int xb_tarball_writer_new(const char *path, struct xb_tarball_writer **ret,
                          struct xb_error *err) XB_MUST_CHECK;
/* Adds both entries of an item. INVALID when a part of its name could not be a file's name. */
int xb_tarball_writer_add(struct xb_tarball_writer *writer, const struct xb_tarball_item *item,
                          const char *json, size_t len, struct xb_error *err) XB_MUST_CHECK;
/* Ends the archive and syncs the file. */
int xb_tarball_writer_finish(struct xb_tarball_writer *writer, struct xb_error *err) XB_MUST_CHECK;
void xb_tarball_writer_free(struct xb_tarball_writer *writer);
XB_DEFINE_CLEANUP(xb_tarball_writer_freep, struct xb_tarball_writer, xb_tarball_writer_free);

/* Called for the preferred-version copy of each item (and for the plain copy when an archive has
 * only that: Velero's before 1.4). `version` is "" for a plain copy. A negative return ends the
 * reading. */
typedef int xb_tarball_item_fn(void *context, const struct xb_tarball_item *item, const char *json,
                               size_t len, struct xb_error *err);

int xb_tarball_read(const char *path, xb_tarball_item_fn *fn, void *context,
                    struct xb_error *err) XB_MUST_CHECK;

/* The copies that an archive may have of an item. */
enum xb_tarball_copy {
    XB_TARBALL_NO_ITEM,
    XB_TARBALL_PLAIN,             /* resources/R/...: says no version */
    XB_TARBALL_PREFERRED_VERSION, /* resources/R/V-preferredversion/... */
    XB_TARBALL_OTHER_VERSION      /* resources/R/V/...: where EnableAPIGroupVersions was on */
};
#define XB_TARBALL_PREFERRED "-preferredversion"

/* Whose copies in which versions are handed out, in place of the preferred ones: `seen` is called
 * for every copy that says its version before `wants` is asked for the first time. */
struct xb_tarball_versions {
    int (*seen)(void *context, const struct xb_tarball_item *item, enum xb_tarball_copy copy,
                struct xb_error *err);
    bool (*wants)(void *context, const struct xb_tarball_item *item, enum xb_tarball_copy copy);
    void *context;
};
int xb_tarball_read_versions(const char *path, const struct xb_tarball_versions *versions,
                             xb_tarball_item_fn *fn, void *context,
                             struct xb_error *err) XB_MUST_CHECK;

/* Splits an entry's path into an item (pure; the fuzz target). CORRUPT for paths that no writer of
 * this layout makes. `space` holds the parts that *ret points into. */
int xb_tarball_parse_path(const char *path, char space[XB_TARBALL_PATH_BYTES_MAX + 1],
                          struct xb_tarball_item *ret, enum xb_tarball_copy *ret_copy,
                          struct xb_error *err) XB_MUST_CHECK;

/* Whether a text can be one part of such a path. */
bool xb_tarball_part_valid(const char *part);
