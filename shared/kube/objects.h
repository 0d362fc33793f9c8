/* SPDX-License-Identifier: Apache-2.0
 *
 * objects.h - objects by key, for the informer.
 *
 * What for:  lookups, and telling which objects a complete list did not name.
 * Ownership: holds a reference to each object.
 * Threads:   one.    Blocking: never.
 * Limits:    `max` objects.
 */
#pragma once

#include <stdint.h>

#include "shared/codec/json.h"

struct xb_kube_objects;

int xb_kube_objects_new(size_t max, struct xb_kube_objects **ret,
                        struct xb_error *err) XB_MUST_CHECK;
void xb_kube_objects_free(struct xb_kube_objects *objects);
size_t xb_kube_objects_count(const struct xb_kube_objects *objects);
xb_json *xb_kube_objects_get(const struct xb_kube_objects *objects, const char *key);

/* Puts `object` (takes a reference) and stamps it with `round`. Returns 1 when this is news, 0 when
 * the object there has the same resourceVersion; or a negative errno. */
int xb_kube_objects_put(struct xb_kube_objects *objects, const char *key, xb_json *object,
                        uint64_t round, struct xb_error *err) XB_MUST_CHECK;
/* Whether it was there. */
bool xb_kube_objects_remove(struct xb_kube_objects *objects, const char *key);

/* Removes one object not stamped with `round`, and hands out its key (free it); NULL: no more. */
char *xb_kube_objects_remove_old(struct xb_kube_objects *objects, uint64_t round);

void xb_kube_objects_each(const struct xb_kube_objects *objects,
                          bool (*fn)(void *context, const char *key, xb_json *object),
                          void *context);
