/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/discovery.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "shared/kube/request.h"

#define ACCEPT_AGGREGATED                                                                          \
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"                        \
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"                   \
    "application/json"

struct xb_kube_discovery {
    xb_json *documents; /* every answer: the strings below point into them */
    size_t count, room;
    struct xb_kube_api *all;
    xb_json *failed; /* array of texts */
};

void xb_kube_discovery_free(struct xb_kube_discovery *discovery)
{
    if (!discovery) {
        return;
    }
    json_object_put(discovery->documents);
    json_object_put(discovery->failed);
    free(discovery->all);
    free(discovery);
}

static int note_failed(struct xb_kube_discovery *discovery, const char *group, const char *version,
                       const char *why, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *text = NULL;
    if (asprintf(&text, "%s/%s: %s", group, version, why) < 0) {
        text = NULL;
        return xb_error_no_memory(err, "discovery");
    }
    xb_json *json = json_object_new_string(text);
    if (!json || json_object_array_add(discovery->failed, json) < 0) {
        json_object_put(json);
        return xb_error_no_memory(err, "discovery");
    }
    return 0;
}

/* Whether an earlier version of the same group has this resource already. */
static bool seen_in_group(const struct xb_kube_discovery *discovery, size_t from,
                          const char *plural)
{
    for (size_t i = from; i < discovery->count; i++) {
        if (strcmp(discovery->all[i].resource.plural, plural) == 0) {
            return true;
        }
    }
    return false;
}

/* `from`: index of the group's first resource. */
static int add_api(struct xb_kube_discovery *discovery, size_t from, struct xb_kube_api api,
                   struct xb_error *err)
{
    const struct xb_kube_resource *resource = &api.resource;
    if (!*resource->plural || !*resource->kind || strchr(resource->plural, '/')) {
        return 0; /* a subresource, or nothing that could be asked for */
    }
    if (discovery->count == discovery->room) {
        size_t room = discovery->room ? discovery->room * 2 : 128;
        struct xb_kube_api *all = room <= XB_KUBE_DISCOVERY_RESOURCES_MAX
                                      ? reallocarray(discovery->all, room, sizeof *discovery->all)
                                      : NULL;
        if (!all) {
            return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d served resources",
                                XB_KUBE_DISCOVERY_RESOURCES_MAX);
        }
        discovery->all = all;
        discovery->room = room;
    }
    api.preferred = !seen_in_group(discovery, from, resource->plural);
    discovery->all[discovery->count++] = api;
    return 0;
}

static xb_json *array_at(xb_json *object, const char *path)
{
    xb_json *array = xb_json_get(object, path);
    return json_object_is_type(array, json_type_array) ? array : NULL;
}

static size_t array_count(xb_json *array)
{
    return array ? json_object_array_length(array) : 0;
}

static int add_aggregated_version(struct xb_kube_discovery *discovery, size_t from,
                                  const char *group, xb_json *version, struct xb_error *err)
{
    const char *name = xb_json_str(version, "version", "");
    xb_json *resources = array_at(version, "resources");
    int r = 0;
    if (strcmp(xb_json_str(version, "freshness", "Current"), "Stale") == 0) {
        r = note_failed(discovery, group, name, "its API server does not answer", err);
    }
    for (size_t i = 0; i < array_count(resources) && r == 0; i++) {
        xb_json *one = json_object_array_get_idx(resources, i);
        struct xb_kube_api api = {
            .resource = {.group = group,
                         .version = name,
                         .plural = xb_json_str(one, "resource", ""),
                         .kind = xb_json_str(one, "responseKind.kind", ""),
                         .namespaced = strcmp(xb_json_str(one, "scope", ""), "Namespaced") == 0},
            .singular = xb_json_str(one, "singularResource", ""),
            .verbs = array_at(one, "verbs"),
            .short_names = array_at(one, "shortNames"),
            .categories = array_at(one, "categories"),
        };
        r = add_api(discovery, from, api, err);
    }
    return r;
}

static int add_aggregated(struct xb_kube_discovery *discovery, xb_json *document,
                          struct xb_error *err)
{
    xb_json *groups = array_at(document, "items");
    int r = 0;
    if (array_count(groups) > XB_KUBE_DISCOVERY_GROUPS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d API groups",
                            XB_KUBE_DISCOVERY_GROUPS_MAX);
    }
    for (size_t i = 0; i < array_count(groups); i++) {
        xb_json *group = json_object_array_get_idx(groups, i);
        xb_json *versions = array_at(group, "versions");
        const char *name = xb_json_str(group, "metadata.name", "");
        size_t from = discovery->count;
        for (size_t k = 0; k < array_count(versions) && r == 0; k++) {
            r = add_aggregated_version(discovery, from, name,
                                       json_object_array_get_idx(versions, k), err);
        }
    }
    return r;
}

/* A document is kept as long as the discovery lives. */
static int fetch_document(struct xb_kube_client *client, struct xb_kube_discovery *discovery,
                          const char *path, xb_json **ret, struct xb_error *err)
{
    struct xb_http_response response = {.status = 0};
    int r = xb_kube_fetch(client, path, ACCEPT_AGGREGATED, &response, err);
    if (r < 0) {
        return xb_error_wrap(err, "discovery of %s", path);
    }
    xb_json *document = NULL;
    if (response.status != 200) {
        r = xb_kube_status_error(&response, path, err);
    } else {
        r = xb_json_parse(response.body.data ? response.body.data : "", response.body.len,
                          &document, err);
    }
    xb_http_response_free(&response);
    if (r == 0 && json_object_array_add(discovery->documents, document) < 0) {
        json_object_put(document);
        r = xb_error_no_memory(err, "discovery");
    }
    if (r < 0) {
        return xb_error_wrap(err, "discovery of %s", path);
    }
    *ret = document;
    return 0;
}

static int add_legacy_version(struct xb_kube_client *client, struct xb_kube_discovery *discovery,
                              size_t from, struct xb_kube_resource place, struct xb_error *err)
{
    char path[600];
    struct xb_error failure = XB_ERROR_INIT;
    xb_json *document = NULL;
    snprintf(path, sizeof path, "%s%s/%s", *place.group ? "/apis/" : "/api", place.group,
             place.version);
    int r = fetch_document(client, discovery, path, &document, &failure);
    if (r < 0) {
        return note_failed(discovery, place.group, place.version, failure.text, err);
    }
    xb_json *resources = array_at(document, "resources");
    for (size_t i = 0; i < array_count(resources) && r == 0; i++) {
        xb_json *one = json_object_array_get_idx(resources, i);
        struct xb_kube_api api = {
            .resource = {.group = place.group,
                         .version = place.version,
                         .plural = xb_json_str(one, "name", ""),
                         .kind = xb_json_str(one, "kind", ""),
                         .namespaced = xb_json_bool(one, "namespaced", false)},
            .singular = xb_json_str(one, "singularName", ""),
            .verbs = array_at(one, "verbs"),
            .short_names = array_at(one, "shortNames"),
            .categories = array_at(one, "categories"),
        };
        r = add_api(discovery, from, api, err);
    }
    return r;
}

/* The preferred version first, then the others in the server's order. */
static int add_legacy_group(struct xb_kube_client *client, struct xb_kube_discovery *discovery,
                            xb_json *group, struct xb_error *err)
{
    const char *name = xb_json_str(group, "name", "");
    const char *preferred = xb_json_str(group, "preferredVersion.version", "");
    xb_json *versions = array_at(group, "versions");
    size_t from = discovery->count;
    int r = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < array_count(versions) && r == 0; i++) {
            const char *version =
                xb_json_str(json_object_array_get_idx(versions, i), "version", "");
            if ((strcmp(version, preferred) == 0) == (round == 0)) {
                struct xb_kube_resource place = {.group = name, .version = version};
                r = add_legacy_version(client, discovery, from, place, err);
            }
        }
    }
    return r;
}

static int add_legacy(struct xb_kube_client *client, struct xb_kube_discovery *discovery,
                      xb_json *document, struct xb_error *err)
{
    xb_json *core = array_at(document, "versions"); /* APIVersions, of /api */
    xb_json *groups = array_at(document, "groups");
    size_t from = discovery->count;
    int r = 0;
    for (size_t i = 0; i < array_count(core) && r == 0; i++) {
        const char *version = json_object_get_string(json_object_array_get_idx(core, i));
        struct xb_kube_resource place = {.group = "", .version = version ? version : ""};
        r = add_legacy_version(client, discovery, from, place, err);
    }
    if (array_count(groups) > XB_KUBE_DISCOVERY_GROUPS_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "more than %d API groups",
                            XB_KUBE_DISCOVERY_GROUPS_MAX);
    }
    for (size_t i = 0; i < array_count(groups) && r == 0; i++) {
        r = add_legacy_group(client, discovery, json_object_array_get_idx(groups, i), err);
    }
    return r;
}

int xb_kube_discover(struct xb_kube_client *client, struct xb_kube_discovery **ret,
                     struct xb_error *err)
{
    static const char *const roots[] = {"/api", "/apis"};
    XB_CLEANUP(xb_kube_discovery_freep)
    struct xb_kube_discovery *discovery = calloc(1, sizeof *discovery);
    if (!discovery || !(discovery->documents = json_object_new_array()) ||
        !(discovery->failed = json_object_new_array())) {
        return xb_error_no_memory(err, "discovery");
    }
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        xb_json *document = NULL;
        int r = fetch_document(client, discovery, roots[i], &document, err);
        if (r == 0) {
            const char *kind = xb_json_str(document, "kind", "");
            r = strcmp(kind, "APIGroupDiscoveryList") == 0
                    ? add_aggregated(discovery, document, err)
                    : add_legacy(client, discovery, document, err);
        }
        if (r < 0) {
            return r;
        }
    }
    *ret = XB_TAKE(discovery);
    return 0;
}

size_t xb_kube_discovery_count(const struct xb_kube_discovery *discovery)
{
    return discovery->count;
}

const struct xb_kube_api *xb_kube_discovery_at(const struct xb_kube_discovery *discovery,
                                               size_t index)
{
    return index < discovery->count ? &discovery->all[index] : NULL;
}

const char *xb_kube_discovery_failed(const struct xb_kube_discovery *discovery, size_t index)
{
    return index < json_object_array_length(discovery->failed)
               ? json_object_get_string(json_object_array_get_idx(discovery->failed, index))
               : NULL;
}

static bool array_has(xb_json *array, const char *word)
{
    for (size_t i = 0; i < array_count(array); i++) {
        const char *one = json_object_get_string(json_object_array_get_idx(array, i));
        if (one && strcasecmp(one, word) == 0) {
            return true;
        }
    }
    return false;
}

bool xb_kube_api_can(const struct xb_kube_api *api, const char *verb)
{
    return array_has(api->verbs, verb);
}

const struct xb_kube_api *xb_kube_discovery_find_plural(const struct xb_kube_discovery *discovery,
                                                        const char *group, const char *version,
                                                        const char *plural)
{
    for (size_t i = 0; i < discovery->count; i++) {
        const struct xb_kube_api *api = &discovery->all[i];
        bool versioned = version ? strcmp(api->resource.version, version) == 0 : api->preferred;
        if (versioned && strcmp(api->resource.plural, plural) == 0 &&
            strcmp(api->resource.group, group) == 0) {
            return api;
        }
    }
    return NULL;
}
