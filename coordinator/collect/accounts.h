/* SPDX-License-Identifier: Apache-2.0
 *
 * accounts.h - which ClusterRoleBindings speak of which ServiceAccounts.
 *
 * What for:  an account drags in its bindings and their roles. A cluster has thousands of each, so
 *            of a binding only the names are kept, and finding an account's costs the same however
 *            many there are.
 * Ownership: the caller owns the table (json_object_put); what is found is the table's.
 * Threads:   one.    Blocking: never (pure).
 * Errors:    FULL when bindings speak of accounts more than XB_ACCOUNT_BINDINGS_MAX times.
 */
#pragma once

#include "shared/codec/json.h"

enum { XB_ACCOUNT_BINDINGS_MAX = 200000 };

/* Notes a ClusterRoleBinding; *count is how often bindings speak of accounts so far. */
int xb_accounts_note(xb_json *table, xb_json *binding, size_t *count,
                     struct xb_error *err) XB_MUST_CHECK;

struct xb_account_binding {
    const char *name, *role;
};

/* The index-th of an account's; false: it has no more. */
bool xb_accounts_binding(xb_json *table, xb_json *account, size_t index,
                         struct xb_account_binding *ret);
