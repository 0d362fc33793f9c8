/* SPDX-License-Identifier: Apache-2.0
 *
 * volume_info.h - what a record says of each volume.
 *
 * What for:  the file volumeinfo, which tells a restore how to make a volume, and people what is
 *            in the backup and what is not, and why.
 * Ownership: the result is the caller's.    Threads: any.    Blocking: never (pure).
 * Rules:     what was skipped has no backup method, as Velero expects, and stands before what was
 *            backed up: of several entries of one PersistentVolume a restore heeds the last.
 *            `pointInTime` is Xebec's own field: what the order says of its moment, and `unheld`
 *            where its application was not held then.
 * Source:    velero-contract section 2, "BackupVolumeInfo".
 */
#pragma once

#include "coordinator/collect/collect.h"

/* Of a volume of a pod whose session was lost (shared/velero/bracket.h). */
#define XB_VOLUME_UNHELD                                                                           \
    "the session that held its application was lost before everything was copied"

/* `orders`: an array of the backup's PodVolumeBackups. `unheld`: an object by uid of pods of which
 * that is to be said; may be NULL. `ended`, which may be NULL, is called for
 * each volume that was to be backed up, with its order (NULL: there is none any more). */
struct xb_volume_infos {
    const struct xb_collected *collected;
    xb_json *orders;
    xb_json *unheld;
    void (*ended)(void *context, const struct xb_collected_volume *volume, xb_json *order);
    void *context;
};
int xb_volume_infos(const struct xb_volume_infos *what, xb_json **ret,
                    struct xb_error *err) XB_MUST_CHECK;

/* In a line for people, of which moments the volumes of such an array are: "3 volumes: 2 crash
 * (btrfs), 1 fuzzy (live); longest copy 812 us". Empty where nothing is known of any. */
enum { XB_VOLUME_POINTS_BYTES = 400 };
void xb_volume_points(xb_json *infos, char out[XB_VOLUME_POINTS_BYTES]);
