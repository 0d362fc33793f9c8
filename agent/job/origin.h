/* SPDX-License-Identifier: Apache-2.0
 *
 * origin.h - from which namespace a restore's order may bring data.
 *
 * What for:  an order to restore a volume names the namespace whose repository is read and the pod
 *            that gets the data. Whoever forges one would have another namespace's files put into
 *            a pod of his own; so both must follow from the Restore that owns the order.
 * Ownership: both objects are lent.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    both objects are hostile: any JSON.
 * Errors:    INVALID (-EPERM), in words for the order's message.
 * Source:    velero-contract section 4: spec.sourceNamespace, spec.namespaceMapping.
 */
#pragma once

#include "shared/codec/json.h"

/* *ret: the namespace in the backup, lent by the order. An order that names none is about the
 * namespace of its pod. */
int xb_order_origin(xb_json *order, xb_json *restore, const char **ret,
                    struct xb_error *err) XB_MUST_CHECK;
