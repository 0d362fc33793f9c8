/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/codec/fields.h"

#include <errno.h>
#include <string.h>

xb_json *xb_field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    bool found = json_object_is_type(object, json_type_object) &&
                 json_object_object_get_ex(object, key, &value);
    return found ? value : NULL;
}

const char *xb_field_text(xb_json *scalar)
{
    const char *text = scalar ? json_object_get_string(scalar) : NULL;
    return text ? text : "";
}

static bool is_scalar(xb_json *value)
{
    return !value || (!json_object_is_type(value, json_type_object) &&
                      !json_object_is_type(value, json_type_array));
}

static bool all_scalars(xb_json *value)
{
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            if (!is_scalar(json_object_array_get_idx(value, i))) {
                return false;
            }
        }
        return true;
    }
    json_object_object_foreach(value, key, item)
    {
        (void)key;
        if (!is_scalar(item)) {
            return false;
        }
    }
    return true;
}

/* NULL: the value has the shape; else what is wanted. Null is absent. */
static const char *shape_problem(xb_json *value, enum xb_field_shape shape)
{
    static const char *const wanted[] = {[XB_FIELD_TEXT] = "a text",
                                         [XB_FIELD_TEXTS] = "a list of texts",
                                         [XB_FIELD_TEXT_MAP] = "a mapping of texts to texts",
                                         [XB_FIELD_OBJECT] = "a mapping",
                                         [XB_FIELD_LIST] = "a list"};
    bool list = json_object_is_type(value, json_type_array);
    bool object = json_object_is_type(value, json_type_object);
    bool good = !value;
    switch (shape) {
    case XB_FIELD_TEXT:
        good = good || is_scalar(value);
        break;
    case XB_FIELD_TEXTS:
        good = good || (list && all_scalars(value));
        break;
    case XB_FIELD_TEXT_MAP:
        good = good || (object && all_scalars(value));
        break;
    case XB_FIELD_OBJECT:
        good = good || object;
        break;
    case XB_FIELD_LIST:
        good = good || list;
        break;
    }
    return good ? NULL : wanted[shape];
}

int xb_fields_check(xb_json *object, const char *where, const struct xb_field *fields,
                    struct xb_error *err)
{
    if (!object) {
        return 0;
    }
    json_object_object_foreach(object, key, value)
    {
        const struct xb_field *field = fields;
        while (field->name && strcmp(field->name, key) != 0) {
            field++;
        }
        if (!field->name) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "unknown field '%s%.100s'", where,
                                key);
        }
        const char *wanted = shape_problem(value, field->shape);
        if (wanted) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "field '%s%s': want %s", where, key,
                                wanted);
        }
    }
    return 0;
}

int xb_field_only_text(xb_json *data, const char **ret_key, const char **ret_text,
                       struct xb_error *err)
{
    int count = json_object_is_type(data, json_type_object) ? json_object_object_length(data) : 0;
    if (count != 1) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "it has %d data keys, want exactly one",
                            count);
    }
    json_object_object_foreach(data, key, value)
    {
        *ret_key = key;
        *ret_text = xb_field_text(value);
    }
    return 0;
}
