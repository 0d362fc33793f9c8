/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/nodes.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/restore/mapping.h"

#define HOSTNAME "kubernetes.io/hostname"

enum { NAMES_BYTES = 300 };

static size_t length(xb_json *list)
{
    return json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *text_of(xb_json *value)
{
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

/* ---- one name ---- */

/* NULL: it stays as it is. */
static const char *other_name(const struct xb_node_map *map, const char *name)
{
    xb_json *to = NULL;
    return json_object_is_type(map->names, json_type_object) &&
                   json_object_object_get_ex(map->names, name, &to) && text_of(to)[0]
               ? text_of(to)
               : NULL;
}

static bool is_there(const struct xb_node_map *map, const char *name)
{
    return !json_object_is_type(map->there, json_type_object) ||
           json_object_object_get_ex(map->there, name, NULL);
}

/* A copy, because objects of several threads share nothing. */
static xb_json *named(const struct xb_node_map *map, const char *from, const char *to)
{
    map->mapped(map->context, from, to);
    return json_object_new_string(to);
}

/* ---- affinity ---- */

static int map_values(const struct xb_node_map *map, xb_json *values, struct xb_error *err)
{
    for (size_t i = 0; i < length(values); i++) {
        const char *from = text_of(json_object_array_get_idx(values, i));
        const char *to = other_name(map, from);
        xb_json *value = to ? named(map, from, to) : NULL;
        if (to && (!value || json_object_array_put_idx(values, i, value) < 0)) {
            json_object_put(value);
            return xb_error_no_memory(err, "a node's name");
        }
    }
    return 0;
}

/* Whether some of the names is a node's, or nothing is asked for. */
static bool some_there(const struct xb_node_map *map, xb_json *values, char names[NAMES_BYTES])
{
    names[0] = '\0';
    for (size_t i = 0; i < length(values); i++) {
        const char *name = text_of(json_object_array_get_idx(values, i));
        size_t used = strlen(names);
        if (is_there(map, name)) {
            return true;
        }
        snprintf(names + used, NAMES_BYTES - used, "%s%s", used > 0 ? ", " : "", name);
    }
    return length(values) == 0;
}

/* One of matchExpressions or matchFields. False: no node of here can match it, and `lost` names
 * what it asks for. */
static int map_condition(const struct xb_node_map *map, xb_json *condition, const char *key,
                         char lost[NAMES_BYTES], struct xb_error *err)
{
    xb_json *values = xb_json_get(condition, "values");
    lost[0] = '\0';
    if (strcmp(xb_json_str(condition, "key", ""), key) != 0) {
        return 0;
    }
    int r = map_values(map, values, err);
    if (r == 0 && (strcmp(xb_json_str(condition, "operator", ""), "In") != 0 ||
                   some_there(map, values, lost))) {
        lost[0] = '\0';
    }
    return r;
}

static int map_term(const struct xb_node_map *map, xb_json *term, char lost[NAMES_BYTES],
                    struct xb_error *err)
{
    static const char *const lists[][2] = {{"matchExpressions", HOSTNAME},
                                           {"matchFields", "metadata.name"}};
    int r = 0;
    lost[0] = '\0';
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        xb_json *conditions = xb_json_get(term, lists[i][0]);
        for (size_t k = 0; r == 0 && k < length(conditions); k++) {
            char names[NAMES_BYTES];
            r = map_condition(map, json_object_array_get_idx(conditions, k), lists[i][1], names,
                              err);
            if (r == 0 && names[0] && !lost[0]) {
                memcpy(lost, names, sizeof names);
            }
        }
    }
    return r;
}

/* One term is enough: it is lost when all are. */
static int map_required(const struct xb_node_map *map, xb_json *selector, struct xb_error *err)
{
    xb_json *terms = xb_json_get(selector, "nodeSelectorTerms");
    char all[NAMES_BYTES] = "";
    size_t lost = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < length(terms); i++) {
        char names[NAMES_BYTES];
        size_t used = strlen(all);
        r = map_term(map, json_object_array_get_idx(terms, i), names, err);
        lost += r == 0 && names[0];
        snprintf(all + used, sizeof all - used, "%s%s", used > 0 && names[0] ? ", " : "", names);
    }
    if (r == 0 && lost > 0 && lost == length(terms)) {
        map->lost(map->context, all);
    }
    return r;
}

static int map_preferred(const struct xb_node_map *map, xb_json *list, struct xb_error *err)
{
    char names[NAMES_BYTES];
    int r = 0;
    for (size_t i = 0; r == 0 && i < length(list); i++) {
        r = map_term(map, xb_json_get(json_object_array_get_idx(list, i), "preference"), names,
                     err);
    }
    return r;
}

/* ---- objects ---- */

static int map_selector(const struct xb_node_map *map, xb_json *selector, struct xb_error *err)
{
    xb_json *name = NULL;
    if (!json_object_is_type(selector, json_type_object) ||
        !json_object_object_get_ex(selector, HOSTNAME, &name) || !text_of(name)[0]) {
        return 0;
    }
    const char *to = other_name(map, text_of(name));
    xb_json *value = to ? named(map, text_of(name), to) : NULL;
    if (to && (!value || json_object_object_add(selector, HOSTNAME, value) < 0)) {
        json_object_put(value);
        return xb_error_no_memory(err, "a node's name");
    }
    const char *now = to ? to : text_of(name);
    if (!is_there(map, now)) {
        map->lost(map->context, now);
    }
    return 0;
}

bool xb_restore_has_nodes(const char *resource)
{
    return strcmp(resource, "persistentvolumes") == 0 || xb_restore_pod_spec(resource) != NULL;
}

int xb_restore_map_nodes(const struct xb_node_map *map, const char *resource, xb_json *object,
                         struct xb_error *err)
{
    if (strcmp(resource, "persistentvolumes") == 0) {
        return map_required(map, xb_json_get(object, "spec.nodeAffinity.required"), err);
    }
    const char *path = xb_restore_pod_spec(resource);
    if (!path) {
        return 0;
    }
    xb_json *spec = xb_json_get(object, path);
    xb_json *affinity = xb_json_get(spec, "affinity.nodeAffinity");
    int r = map_selector(map, xb_json_get(spec, "nodeSelector"), err);
    r = r ? r
          : map_required(
                map, xb_json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"), err);
    return r ? r
             : map_preferred(
                   map, xb_json_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution"),
                   err);
}
