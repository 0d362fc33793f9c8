/* SPDX-License-Identifier: Apache-2.0
 *
 * mapping.h - other storage classes and images for what is restored.
 *
 * What for:  two ConfigMaps of Velero's: a cluster has another storage class, or another registry,
 *            than the one that was backed up.
 * Ownership: `data` (the ConfigMap's) is lent and only read, so that threads may share it. An
 *            object is changed in place and stays the caller's.
 * Threads:   an object belongs to one thread.    Blocking: never (pure).
 * Shapes:    objects are hostile: what is not as Kubernetes has it is left as it is.
 * Errors:    FULL (no memory); what the callback fails with.
 * Source:    velero-contract section 4, "Built-in item actions": change-storage-class,
 *            change-image-name.
 */
#pragma once

#include "shared/codec/json.h"

/* Told of each change before it is made; a negative return ends with it, the object then changed in
 * part. */
typedef int xb_restore_mapped_fn(void *context, const char *from, const char *to,
                                 struct xb_error *err);

/* Where objects of a kind have a pod's spec; NULL: nowhere. */
const char *xb_restore_pod_spec(const char *resource);

/* Whether objects of that kind have such names. */
bool xb_restore_has_classes(const char *resource);
bool xb_restore_has_images(const char *resource);

/* `data` is "old": "new". Of PersistentVolumes, claims, and the claims' templates of StatefulSets.
 */
int xb_restore_map_classes(xb_json *data, const char *resource, xb_json *object,
                           xb_restore_mapped_fn *mapped, void *context,
                           struct xb_error *err) XB_MUST_CHECK;

/* The values of `data` are "old,new": parts of images' names. The first row, by its key, whose old
 * part is in an image's name, replaces it there wherever it stands. Of pods, and of all kinds that
 * have a pod's template. */
int xb_restore_map_images(xb_json *data, const char *resource, xb_json *object,
                          xb_restore_mapped_fn *mapped, void *context,
                          struct xb_error *err) XB_MUST_CHECK;
