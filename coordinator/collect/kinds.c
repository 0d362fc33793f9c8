/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/kinds.h"

#include <string.h>
#include <strings.h>

enum { WORD_BYTES = 320 };

bool xb_kind_collectable(const struct xb_kube_api *api)
{
    static const char *const never[] = {"volumesnapshots", "volumesnapshotcontents"};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (strcmp(api->resource.group, "snapshot.storage.k8s.io") == 0 &&
            strcmp(api->resource.plural, never[i]) == 0) {
            return false;
        }
    }
    return xb_kube_api_can(api, "list") && xb_kube_api_can(api, "create") &&
           xb_kube_api_can(api, "get") && xb_kube_api_can(api, "delete");
}

struct xb_filter_kind xb_kind_of(const struct xb_kube_api *api)
{
    return (struct xb_filter_kind){.group = api->resource.group,
                                   .plural = api->resource.plural,
                                   .namespaced = api->resource.namespaced};
}

static bool is_plural(const struct xb_kube_api *api, const char *name)
{
    return strcasecmp(api->resource.plural, name) == 0;
}

static bool has_short_name(const struct xb_kube_api *api, const char *name)
{
    size_t count = api->short_names ? json_object_array_length(api->short_names) : 0;
    for (size_t i = 0; i < count; i++) {
        const char *one = json_object_get_string(json_object_array_get_idx(api->short_names, i));
        if (one && strcasecmp(one, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_singular(const struct xb_kube_api *api, const char *name)
{
    return strcasecmp(api->singular, name) == 0 || strcasecmp(api->resource.kind, name) == 0;
}

/* How a group is compared: any, as it is, by its beginning. */
static bool group_fits(const char *have, const char *want, bool by_beginning)
{
    return !want || (by_beginning ? strncasecmp(have, want, strlen(want)) == 0
                                  : strcasecmp(have, want) == 0);
}

static const struct xb_kube_api *find(const struct xb_kube_discovery *discovery, const char *name,
                                      const char *group, bool by_beginning)
{
    static bool (*const ways[])(const struct xb_kube_api *api,
                                const char *name) = {is_plural, has_short_name, is_singular};
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        for (size_t i = 0; i < xb_kube_discovery_count(discovery); i++) {
            const struct xb_kube_api *api = xb_kube_discovery_at(discovery, i);
            if (api->preferred && ways[way](api, name) &&
                group_fits(api->resource.group, group, by_beginning)) {
                return api;
            }
        }
    }
    return NULL;
}

bool xb_kind_resolve(void *discovery, const char *word, struct xb_filter_kind *ret)
{
    char name[WORD_BYTES];
    size_t len = strcspn(word, ".");
    const char *group = word[len] ? word + len + 1 : NULL;
    if (len == 0 || len >= sizeof name) {
        return false;
    }
    memcpy(name, word, len);
    name[len] = '\0';
    const struct xb_kube_api *api = find(discovery, name, group, false);
    if (!api && group) {
        api = find(discovery, name, group, true);
    }
    /* A kind that cannot be backed up is none: Velero compares such a word as it stands. */
    if (!api || !xb_kind_collectable(api)) {
        return false;
    }
    *ret = xb_kind_of(api);
    return true;
}
