/* SPDX-License-Identifier: Apache-2.0
 *
 * snapshot.h - snapshot manifests: the records that make a tree findable, and manifests in general.
 *
 * What for:  publish, list, load and delete snapshots; put and find other manifests (maintenance,
 *            policy).
 * Ownership: returned records are freed by the caller.
 * Threads:   any.    Blocking: yes.
 * Rules:     kopia-format sections 10 and 11. A snapshot's JSON is parsed again, and its root is
 *            looked up, before it is published: kopia's content collection deletes the data of a
 *            manifest that it cannot parse. A manifest that we cannot parse is an error that names
 *            it, never skipped in silence: listing reports it in `unreadable`.
 */
#pragma once

#include "shared/repository/directory.h"

enum {
    XB_MANIFEST_ID_TEXT_BYTES = 33,
    XB_MANIFEST_LABELS_MAX = 64,
    XB_MANIFEST_BYTES_MAX = 16 * 1024 * 1024,
    XB_SNAPSHOTS_MAX = 1000000
};

struct xb_label {
    char *key, *value;
};

struct xb_manifest {
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    int64_t modified_ns;
    struct xb_label *labels;
    size_t label_count;
    char *data; /* raw JSON */
};

/* Loads all live manifests that carry every given label ("type=snapshot"), merged by the rule of
 * section 10. */
int xb_manifest_find(struct xb_repository *repository, const struct xb_label *labels,
                     size_t label_count, struct xb_manifest **ret_list, size_t *ret_count,
                     struct xb_error *err) XB_MUST_CHECK;
void xb_manifest_list_free(struct xb_manifest *list, size_t count);

/* Writes one; not durable before xb_repository_flush. */
int xb_manifest_put(struct xb_repository *repository, const struct xb_label *labels,
                    size_t label_count, const char *data, char ret_id[XB_MANIFEST_ID_TEXT_BYTES],
                    struct xb_error *err) XB_MUST_CHECK;
struct xb_manifest_new {
    const struct xb_label *labels;
    size_t label_count;
    const char *data; /* raw JSON */
};
/* The same, and deletes others in one step: who sees the new one does not see them any more. Those
 * that are gone already are passed over. */
int xb_manifest_replace(struct xb_repository *repository, const char *const *ids, size_t id_count,
                        const struct xb_manifest_new *fresh, char ret_id[XB_MANIFEST_ID_TEXT_BYTES],
                        struct xb_error *err) XB_MUST_CHECK;
/* NOT_FOUND if it is not there. Not durable before xb_repository_flush. */
int xb_manifest_delete(struct xb_repository *repository, const char *id,
                       struct xb_error *err) XB_MUST_CHECK;
/* The same for many in one step; those that are gone already are passed over. */
int xb_manifest_delete_many(struct xb_repository *repository, const char *const *ids, size_t count,
                            size_t *ret_deleted, struct xb_error *err) XB_MUST_CHECK;

/* What the snapshot of a block device or an image file says of it: the field x-device. */
struct xb_snapshot_device {
    bool block; /* false: an image file */
    uint64_t bytes;
    uint32_t sector_bytes;
    char *type, *label, *uuid; /* of the file system on it; NULL or "": none was found */
    char *table;               /* kind of its partition table; NULL or "": none */
    uint64_t free_bytes; /* not read: its file system uses them for nothing. They are zeros in the
                            object */
};
void xb_snapshot_device_free(struct xb_snapshot_device *device);
XB_DEFINE_CLEANUP(xb_snapshot_device_freep, struct xb_snapshot_device, xb_snapshot_device_free);

struct xb_snapshot {
    char id[XB_MANIFEST_ID_TEXT_BYTES]; /* the manifest's id: PVB.status.snapshotID */
    char *host, *user, *path, *description;
    int64_t start_ns, end_ns;
    char *incomplete; /* NULL: complete */
    struct xb_entry root;
    struct xb_label *tags;
    size_t tag_count;
    char **pins;
    size_t pin_count;
    struct {
        uint64_t total_bytes, files, cached_files, non_cached_files, dirs, errors, ignored_errors;
        /* Ours, in the field x-stats; 0 in kopia's snapshots. */
        uint64_t special_files, changed_files, vanished;
    } stats;
    struct xb_snapshot_device *device; /* NULL: of a folder */
};

/* Checks, writes the manifest and flushes; fills snapshot->id. When it returns 0 the snapshot is
 * there for good. In the same step checkpoints of the same source and tags are deleted: by a
 * complete snapshot those that began before it or with it, by a checkpoint the earlier ones of the
 * same run (those with its start time). */
int xb_snapshot_publish(struct xb_repository *repository, struct xb_snapshot *snapshot,
                        struct xb_error *err) XB_MUST_CHECK;

int xb_snapshot_load(struct xb_repository *repository, const char *id, struct xb_snapshot **ret,
                     struct xb_error *err) XB_MUST_CHECK;

struct xb_snapshot_filter {
    const char *host, *user, *path; /* NULL: any */
    const struct xb_label *tags;
    size_t tag_count;
};
struct xb_snapshot_list {
    struct xb_snapshot **items; /* oldest first by start time */
    size_t count;
    char *
        *unreadable; /* ids of manifests of type snapshot that cannot be parsed, with the reason */
    size_t unreadable_count;
};
int xb_snapshot_list(struct xb_repository *repository, const struct xb_snapshot_filter *filter,
                     struct xb_snapshot_list *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_snapshot_list_free(struct xb_snapshot_list *list);

/* What a new backup of the source can take over from: the latest complete snapshot with these tags,
 * and then the checkpoints that are younger than it, the youngest first. */
enum { XB_SNAPSHOT_PARENTS_MAX = 4 };
struct xb_snapshot_parents {
    struct xb_snapshot *items[XB_SNAPSHOT_PARENTS_MAX];
    size_t count;
};
int xb_snapshot_find_parents(struct xb_repository *repository,
                             const struct xb_snapshot_filter *filter,
                             struct xb_snapshot_parents *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_snapshot_parents_free(struct xb_snapshot_parents *parents);

int xb_snapshot_delete(struct xb_repository *repository, const char *id,
                       struct xb_error *err) XB_MUST_CHECK;
/* Those of the ids that are snapshots (of other manifests none is touched), also such as cannot be
 * read, in one step. When it returns 0 they are gone for good. */
int xb_snapshot_delete_many(struct xb_repository *repository, const char *const *ids, size_t count,
                            size_t *ret_deleted, struct xb_error *err) XB_MUST_CHECK;

void xb_snapshot_free(struct xb_snapshot *snapshot);
XB_DEFINE_CLEANUP(xb_snapshot_freep, struct xb_snapshot, xb_snapshot_free);

/* Parses the `data` of a snapshot manifest (pure; the fuzz target). */
int xb_snapshot_decode(const char *id, const char *data, size_t len, struct xb_snapshot **ret,
                       struct xb_error *err) XB_MUST_CHECK;
int xb_snapshot_encode(const struct xb_snapshot *snapshot, struct xb_buf *out,
                       struct xb_error *err) XB_MUST_CHECK;
