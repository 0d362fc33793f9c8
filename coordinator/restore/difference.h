/* SPDX-License-Identifier: Apache-2.0
 *
 * difference.h - what a patch changes, in words.
 *
 * What for:  a dry run tells what a restore would change about an object that is there.
 * Ownership: everything is lent.
 * Threads:   an object belongs to one thread.    Blocking: never (pure).
 * Shapes:    objects are hostile: any JSON.
 * Limits:    XB_RESTORE_DIFFERENCES_MAX fields are named, the others counted; values are cut.
 */
#pragma once

#include <stdbool.h>

#include "shared/codec/json.h"

enum { XB_RESTORE_DIFFERENCE_BYTES = 3000, XB_RESTORE_DIFFERENCES_MAX = 16 };

/* `patch`: a JSON merge patch about `existing`. Values of Secrets are not to be told: `hidden`. */
void xb_restore_difference(xb_json *existing, xb_json *patch, bool hidden,
                           char out[XB_RESTORE_DIFFERENCE_BYTES]);
