/* SPDX-License-Identifier: Apache-2.0
 *
 * strategic.h - strategic merge patches.
 *
 * What for:  the third way in which a resource modifier changes an object: as `kubectl patch` does
 *            it, with lists merged by their key.
 * Ownership: document and patch are lent and not changed; the result is the caller's and shares
 *            nothing with them.
 * Threads:   a patch may be shared by threads that only apply it.    Blocking: never (pure).
 * Shapes:    directives: `$patch: replace` and `$patch: delete` in mappings and in elements of
 *            merged lists, `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
 *            `$setElementOrder/<field>`.
 * Errors:    INVALID, naming the path in the patch: a kind that is not built in, a field that the
 *            kind does not have, an element without its list's key, a directive that makes no
 *            sense. FULL as in json_patch.h. All or nothing.
 * Source:    Kubernetes, "Strategic Merge Patch"; the types of types.h.
 */
#pragma once

#include "shared/codec/json.h"

/* `document` has apiVersion and kind. */
int xb_strategic_patch(xb_json *document, xb_json *patch, xb_json **ret,
                       struct xb_error *err) XB_MUST_CHECK;
