/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/modify/types.h"

#include <stdio.h>
#include <string.h>

static const struct xb_patch_type *find_type(const char *name, size_t len)
{
    for (size_t i = 0; i < xb_patch_type_count; i++) {
        const char *one = xb_patch_types[i].name;
        if (strncmp(one, name, len) == 0 && one[len] == '\0') {
            return &xb_patch_types[i];
        }
    }
    return NULL; /* "-" */
}

const struct xb_patch_type *xb_patch_type_of_kind(const char *api_version, const char *kind)
{
    for (size_t i = 0; i < xb_patch_kind_count; i++) {
        const struct xb_patch_kind *one = &xb_patch_kinds[i];
        if (strcmp(one->kind, kind) == 0 && strcmp(one->api_version, api_version) == 0) {
            return find_type(one->type, strlen(one->type));
        }
    }
    return NULL;
}

/* `shape` is what stands behind the field's name, `len` bytes long. */
static void read_shape(const char *shape, size_t len, struct xb_patch_field *ret)
{
    const char *colon = memchr(shape, ':', len);
    *ret = (struct xb_patch_field){
        .type = colon ? find_type(colon + 1, len - (size_t)(colon + 1 - shape)) : NULL,
        .list = shape[0] == '[',
        .merged = shape[0] != '!'};
    if (ret->list) {
        size_t key = strcspn(shape + 1, "]");
        ret->merged = key > 0;
        if (shape[1] != '+') {
            snprintf(ret->key, sizeof ret->key, "%.*s", (int)key, shape + 1);
        }
    }
}

bool xb_patch_field_find(const struct xb_patch_type *type, const char *name,
                         struct xb_patch_field *ret)
{
    const char *at = type ? type->fields : "";
    size_t name_len = strlen(name);
    while (*at) {
        size_t len = strcspn(at, " ");
        size_t word = strcspn(at, ":{[!");
        if (word == name_len && memcmp(at, name, word) == 0) {
            read_shape(at + word, len - word, ret);
            return true;
        }
        at += len + (at[len] == ' ');
    }
    return false;
}
