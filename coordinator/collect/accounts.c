/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/accounts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PLACE_BYTES = 600 };

static bool place_of(const char *namespace, const char *name, char out[PLACE_BYTES])
{
    int len = snprintf(out, PLACE_BYTES, "%s/%s", namespace, name);
    return len > 0 && len < PLACE_BYTES && namespace[0] && name[0];
}

/* The names that are kept of a binding; they are shared by all its accounts. */
static xb_json *names_of(xb_json *binding)
{
    xb_json *names = json_object_new_array_ext(2);
    xb_json *name = json_object_new_string(xb_json_str(binding, "metadata.name", ""));
    xb_json *role = json_object_new_string(xb_json_str(binding, "roleRef.name", ""));
    if (!names || !name || !role) {
        json_object_put(names);
        json_object_put(name);
        json_object_put(role);
        return NULL;
    }
    json_object_array_add(names, name);
    json_object_array_add(names, role);
    return names;
}

static int add(xb_json *table, const char *place, xb_json *names, struct xb_error *err)
{
    xb_json *list = NULL;
    if (!json_object_object_get_ex(table, place, &list)) {
        list = json_object_new_array_ext(1);
        if (!list || json_object_object_add(table, place, list) < 0) {
            json_object_put(list);
            return xb_error_no_memory(err, "the accounts' bindings");
        }
    }
    if (json_object_array_add(list, json_object_get(names)) < 0) {
        json_object_put(names);
        return xb_error_no_memory(err, "the accounts' bindings");
    }
    return 0;
}

int xb_accounts_note(xb_json *table, xb_json *binding, size_t *count, struct xb_error *err)
{
    xb_json *subjects = xb_json_get(binding, "subjects");
    size_t subject_count =
        json_object_is_type(subjects, json_type_array) ? json_object_array_length(subjects) : 0;
    XB_CLEANUP(xb_json_putp) xb_json *names = names_of(binding);
    int r = names ? 0 : xb_error_no_memory(err, "the accounts' bindings");
    for (size_t i = 0; r == 0 && i < subject_count; i++) {
        char place[PLACE_BYTES];
        xb_json *subject = json_object_array_get_idx(subjects, i);
        if (strcmp(xb_json_str(subject, "kind", ""), "ServiceAccount") != 0 ||
            !place_of(xb_json_str(subject, "namespace", ""), xb_json_str(subject, "name", ""),
                      place)) {
            continue;
        }
        if (*count == XB_ACCOUNT_BINDINGS_MAX) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG,
                                "ClusterRoleBindings speak of accounts more than %d times",
                                XB_ACCOUNT_BINDINGS_MAX);
        }
        r = add(table, place, names, err);
        *count += r == 0;
    }
    return r;
}

bool xb_accounts_binding(xb_json *table, xb_json *account, size_t index,
                         struct xb_account_binding *ret)
{
    char place[PLACE_BYTES];
    xb_json *list = NULL;
    if (!place_of(xb_json_str(account, "metadata.namespace", ""),
                  xb_json_str(account, "metadata.name", ""), place) ||
        !json_object_object_get_ex(table, place, &list) ||
        index >= json_object_array_length(list)) {
        return false;
    }
    xb_json *names = json_object_array_get_idx(list, index);
    *ret = (struct xb_account_binding){
        .name = json_object_get_string(json_object_array_get_idx(names, 0)),
        .role = json_object_get_string(json_object_array_get_idx(names, 1))};
    return true;
}
