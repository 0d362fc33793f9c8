/* SPDX-License-Identifier: Apache-2.0
 *
 * link.h - links to downloads that carry their own permission, for a while.
 *
 * What for:  a folder has no presigned URLs as S3 has; the coordinator serves an artifact itself to
 *            whoever holds a link that it signed. The link says which artifact of which backup or
 *            restore is meant; it never says where that lies in the store.
 * Ownership: values and the caller's buffers.
 * Threads:   any.
 * Blocking:  never; CPU only.
 * Shapes:    "/download/v1/<payload>.<mac>", both base64url without padding; the payload is
 *            "<kind>/<location>/<name>/<expiry in s>", the MAC is HMAC-SHA256 over all that stands
 *            before the dot. Exactly one text is right for each payload. Names are those of
 *            Kubernetes objects: labels of a-z, 0-9, '-', joined by dots.
 * Errors:    DENIED: altered, cut, made with another key, or over; INVALID: a link that cannot be
 *            made. No text shows a link.
 * Limits:    XB_DOWNLOAD_NAME_BYTES_MAX per name, XB_DOWNLOAD_LINK_BYTES per link.
 * Source:    velero-contract section 1 (DownloadRequest); RFC 4648 section 5, RFC 2104.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/error.h"
#include "shared/base/secret.h"

enum {
    XB_DOWNLOAD_NAME_BYTES_MAX = 253,
    XB_DOWNLOAD_LINK_BYTES = 1024, /* with the NUL */
    XB_DOWNLOAD_KEY_BYTES_MIN = 32
};

#define XB_DOWNLOAD_PATH_PREFIX "/download/v1/"

/* What a DownloadRequest may ask for. */
enum xb_download_kind {
    XB_DOWNLOAD_BACKUP_LOG,
    XB_DOWNLOAD_BACKUP_CONTENTS,
    XB_DOWNLOAD_BACKUP_VOLUME_SNAPSHOTS,
    XB_DOWNLOAD_BACKUP_ITEM_OPERATIONS,
    XB_DOWNLOAD_BACKUP_RESOURCE_LIST,
    XB_DOWNLOAD_BACKUP_RESULTS,
    XB_DOWNLOAD_BACKUP_VOLUME_INFOS,
    XB_DOWNLOAD_CSI_BACKUP_VOLUME_SNAPSHOTS,
    XB_DOWNLOAD_CSI_BACKUP_VOLUME_SNAPSHOT_CONTENTS,
    XB_DOWNLOAD_RESTORE_LOG,
    XB_DOWNLOAD_RESTORE_RESULTS,
    XB_DOWNLOAD_RESTORE_RESOURCE_LIST,
    XB_DOWNLOAD_RESTORE_ITEM_OPERATIONS,
    XB_DOWNLOAD_RESTORE_VOLUME_INFO,
    XB_DOWNLOAD_KINDS
};

struct xb_download {
    enum xb_download_kind kind;
    char location[XB_DOWNLOAD_NAME_BYTES_MAX + 1]; /* of the BackupStorageLocation */
    char name[XB_DOWNLOAD_NAME_BYTES_MAX + 1];     /* of the backup or restore */
    int64_t expires_s;                             /* since 1970; refused from then on */
};

/* "BackupLog", "RestoreResults", ...: as spec.target.kind has it. */
const char *xb_download_kind_name(enum xb_download_kind kind);
bool xb_download_kind_parse(const char *name, enum xb_download_kind *ret);

/* Whether `name` may stand in a link. */
bool xb_download_name_valid(const char *name);

/* `key`: at least XB_DOWNLOAD_KEY_BYTES_MIN random bytes, used for nothing else. */
int xb_download_link_make(const struct xb_secret *key, const struct xb_download *what,
                          char ret_path[XB_DOWNLOAD_LINK_BYTES],
                          struct xb_error *err) XB_MUST_CHECK;

/* Nothing of the path is looked at before its MAC has been found right, in constant time. */
int xb_download_link_parse(const struct xb_secret *key, const char *path, int64_t now_s,
                           struct xb_download *ret, struct xb_error *err) XB_MUST_CHECK;
