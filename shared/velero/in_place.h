/* SPDX-License-Identifier: Apache-2.0
 *
 * in_place.h - a restore of one volume, or of one path in it, into what is running.
 *
 * What for:  annotations of a Restore, which the stock command line can set, say that nothing else
 *            is to be restored. The coordinator makes the order by them, and the agent reads them
 *            again, from the Restore: an order alone gives no right to write into a running pod.
 * Ownership: the caller's struct.    Threads: none shared.    Blocking: never (pure).
 * Shapes:    xebec.io/volume: "<namespace>/<pod>/<volume>", or "<namespace>/<claim>", as in the
 *            backup; xebec.io/path: "a/b", without it the whole volume; xebec.io/into: "<pod>" or
 *            "claim/<name>", which is made, both in the namespace that the Restore maps to; without
 *            it the pod of the same name, or a running one that has the claim.
 * Errors:    INVALID, naming the annotation, in words for status.validationErrors.
 * Limits:    those below.
 */
#pragma once

#include "shared/codec/json.h"

#define XB_IN_PLACE_VOLUME_ANNOTATION "xebec.io/volume"
#define XB_IN_PLACE_PATH_ANNOTATION "xebec.io/path"
#define XB_IN_PLACE_INTO_ANNOTATION "xebec.io/into"
/* Of a PodVolumeRestore: its pod does not wait for it. */
#define XB_IN_PLACE_ORDER_ANNOTATION "xebec.io/in-place"

enum { XB_IN_PLACE_NAME_BYTES = 254, XB_IN_PLACE_PATH_BYTES = 2048, XB_IN_PLACE_PARTS_MAX = 100 };

struct xb_in_place {
    bool wanted;
    char namespace[XB_IN_PLACE_NAME_BYTES];                           /* in the backup */
    char pod[XB_IN_PLACE_NAME_BYTES], volume[XB_IN_PLACE_NAME_BYTES]; /* or both empty, and: */
    char claim[XB_IN_PLACE_NAME_BYTES];
    char into_pod[XB_IN_PLACE_NAME_BYTES], into_claim[XB_IN_PLACE_NAME_BYTES]; /* one, or none */
    char path[XB_IN_PLACE_PATH_BYTES]; /* no "", "." or ".." among its parts */
};

/* Of a Restore. Without any of the annotations, `wanted` is false. */
int xb_in_place_parse(xb_json *restore, struct xb_in_place *ret,
                      struct xb_error *err) XB_MUST_CHECK;
/* Where it goes by the Restore's mapping; lent by either. */
const char *xb_in_place_namespace(xb_json *restore, const struct xb_in_place *in_place);
/* Whether an order says so (a hint only). */
bool xb_in_place_order(xb_json *order);
