/* SPDX-License-Identifier: Apache-2.0
 *
 * resource_list.h - what a backup or restore holds, by kind: "v1/Pod" to its names.
 *
 * What for:  <b>-resource-list.json.gz (velero-contract section 2).
 * Ownership: the caller owns the struct; all zeros is empty.    Threads: one at a time.
 * Blocking:  never.    Limits: XB_RESOURCE_LIST_BYTES_MAX of names.
 */
#pragma once

#include "shared/base/buf.h"
#include "shared/codec/json.h"

enum { XB_RESOURCE_LIST_BYTES_MAX = 512 * 1024 * 1024, XB_RESOURCE_LIST_KINDS_MAX = 8192 };

struct xb_resource_kind {
    char *key;
    struct xb_buf names; /* each with its NUL */
    size_t count;
};
struct xb_resource_list {
    struct xb_resource_kind *kinds;
    size_t count;
};

/* `suffix`: "created" and the like for restores, written in brackets, NULL for backups. */
int xb_resource_list_add(struct xb_resource_list *list, xb_json *object, const char *suffix,
                         struct xb_error *err) XB_MUST_CHECK;
/* Names sorted. */
int xb_resource_list_json(const struct xb_resource_list *list, xb_json **ret,
                          struct xb_error *err) XB_MUST_CHECK;
void xb_resource_list_free(struct xb_resource_list *list);
