/* SPDX-License-Identifier: Apache-2.0
 *
 * update_oracle.h - whether the patch of an update does what it is for, told by other code than
 * that which made it.
 *
 * What for:  a fuzz target and a property test judge the same patches by the same rules.
 * Ownership: results are the caller's.    Threads: as JSON.    Blocking: never.
 * Source:    RFC 7386, section 2.
 */
#pragma once

#include <string.h>

#include "shared/codec/json.h"

/* What a server has after the patch: a copy, `target` stays as it is. NULL is JSON's null. */
static inline xb_json *oracle_apply(xb_json *target, xb_json *patch)
{
    if (!json_object_is_type(patch, json_type_object)) {
        return json_object_get(patch);
    }
    xb_json *result = json_object_new_object();
    if (json_object_is_type(target, json_type_object)) {
        json_object_object_foreach(target, key, value)
        {
            json_object_object_add(result, key, json_object_get(value));
        }
    }
    json_object_object_foreach(patch, changed, to)
    {
        xb_json *from = NULL;
        (void)json_object_object_get_ex(result, changed, &from);
        if (to) {
            json_object_object_add(result, changed, oracle_apply(from, to));
        } else {
            json_object_object_del(result, changed);
        }
    }
    return result;
}

/* A copy without nulls in objects, which are as good as absent; those in lists are values. */
static inline xb_json *oracle_without_nulls(xb_json *value)
{
    if (!json_object_is_type(value, json_type_object)) {
        return json_object_get(value);
    }
    xb_json *result = json_object_new_object();
    json_object_object_foreach(value, key, item)
    {
        if (item) {
            json_object_object_add(result, key, oracle_without_nulls(item));
        }
    }
    return result;
}

/* What of an object is its owner's, and so is to be as in the backup. */
static inline xb_json *oracle_owned(xb_json *object)
{
    static const char *const owned[] = {"labels", "annotations", "finalizers"};
    xb_json *part = json_object_new_object(), *metadata = json_object_new_object();
    json_object_object_foreach(object, key, value)
    {
        if (strcmp(key, "status") != 0 && strcmp(key, "metadata") != 0) {
            json_object_object_add(part, key, json_object_get(value));
        }
    }
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        xb_json *of = NULL, *field = NULL;
        (void)json_object_object_get_ex(object, "metadata", &of);
        (void)json_object_object_get_ex(of, owned[i], &field);
        json_object_object_add(metadata, owned[i], json_object_get(field));
    }
    json_object_object_add(part, "metadata", metadata);
    xb_json *result = oracle_without_nulls(part);
    json_object_put(part);
    return result;
}

/* The same to the owner. */
static inline bool oracle_same(xb_json *one, xb_json *other)
{
    XB_CLEANUP(xb_json_putp) xb_json *left = oracle_owned(one);
    XB_CLEANUP(xb_json_putp) xb_json *right = oracle_owned(other);
    return json_object_equal(left, right);
}

/* Nothing but what is the owner's is in the patch. */
static inline bool oracle_keeps_off(xb_json *patch)
{
    xb_json *metadata = NULL;
    bool off =
        json_object_object_length(patch) > 0 && !json_object_object_get_ex(patch, "status", NULL);
    if (json_object_object_get_ex(patch, "metadata", &metadata)) {
        off = off && json_object_is_type(metadata, json_type_object);
        json_object_object_foreach(metadata, key, value)
        {
            (void)value;
            off = off && (strcmp(key, "labels") == 0 || strcmp(key, "annotations") == 0 ||
                          strcmp(key, "finalizers") == 0);
        }
    }
    return off;
}
