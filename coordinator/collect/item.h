/* SPDX-License-Identifier: Apache-2.0
 *
 * item.h - an object on its way into the tarball.
 *
 * What for:  most objects are passed on as the server wrote them. Their head, which is what filters
 *            look at, is all that is taken apart.
 * Ownership: the caller's; a head is put with json_object_put.    Threads: any.
 * Blocking:  never (pure).
 * Errors:    CORRUPT for what is no object with a name.
 * Source:    velero-contract sections 2 (tarball) and 3 ("Built-in item actions").
 */
#pragma once

#include "shared/base/buf.h"
#include "shared/codec/json.h"
#include "shared/kube/client.h"

/* Of an object's text: apiVersion and kind (the resource's when it has none), of metadata what
 * filters and records ask for (name, namespace, uid, labels, deletionTimestamp), status.phase. */
int xb_item_head(const char *text, size_t len, const struct xb_kube_resource *resource,
                 xb_json **ret, struct xb_error *err) XB_MUST_CHECK;

/* Appends an object's text, with apiVersion and kind put into it when it has none. */
int xb_item_text(const char *text, size_t len, const struct xb_kube_resource *resource,
                 struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* Takes off a bound claim what would keep a new one from being provisioned: its data source, its
 * selector (unless its class is ""), and labels that other backups and restores left. */
void xb_item_clean_claim(xb_json *claim, const char *backup);
