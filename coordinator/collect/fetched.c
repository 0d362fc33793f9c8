/* SPDX-License-Identifier: Apache-2.0
 * Single objects, fetched once: what a pod's volumes were judged by is what is taken a moment
 * later. Only the last ones are kept, since they are asked for again soon or not at all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/internal.h"

static struct xb_fetched_object *find(struct collection *collection, const char *place)
{
    for (size_t i = 0; i < XB_FETCHED_MAX; i++) {
        struct xb_fetched_object *one = &collection->fetched.objects[i];
        if (one->place && strcmp(one->place, place) == 0) {
            return one;
        }
    }
    return NULL;
}

static void put_place(char place[XB_FETCHED_PLACE_BYTES], const struct xb_kube_resource *resource,
                      const char *namespace, const char *name)
{
    snprintf(place, XB_FETCHED_PLACE_BYTES, "%s.%s/%s/%s", resource->plural, resource->group,
             namespace ? namespace : "", name);
}

/* In the place of the oldest one. Without memory it is asked for again. */
static void keep(struct xb_fetched *fetched, const char *place, xb_json *object)
{
    struct xb_fetched_object *one = &fetched->objects[fetched->next];
    char *copy = strdup(place);
    if (!copy) {
        return;
    }
    free(one->place);
    xb_json_putp(&one->object);
    *one = (struct xb_fetched_object){copy, json_object_get(object)};
    fetched->next = (fetched->next + 1) % XB_FETCHED_MAX;
}

int xb_collect_fetch(struct collection *collection, const struct xb_kube_resource *resource,
                     const char *namespace, const char *name, xb_json **ret, struct xb_error *err)
{
    char place[XB_FETCHED_PLACE_BYTES];
    put_place(place, resource, namespace, name);
    const struct xb_fetched_object *known = find(collection, place);
    if (known) {
        *ret = json_object_get(known->object);
        return 0;
    }
    const struct xb_kube_ref ref = {.resource = resource,
                                    .namespace = namespace,
                                    .name = name,
                                    .cancel = collection->options->cancel};
    int r = xb_kube_get(collection->options->client, &ref, ret, err);
    if (r == 0) {
        keep(&collection->fetched, place, *ret);
    }
    return r;
}

bool xb_collect_has_fetched(struct collection *collection, const struct xb_kube_resource *resource,
                            const char *namespace, const char *name)
{
    char place[XB_FETCHED_PLACE_BYTES];
    put_place(place, resource, namespace, name);
    return find(collection, place) != NULL;
}

void xb_collect_forget_fetched(struct xb_fetched *fetched)
{
    for (size_t i = 0; i < XB_FETCHED_MAX; i++) {
        free(fetched->objects[i].place);
        xb_json_putp(&fetched->objects[i].object);
        fetched->objects[i] = (struct xb_fetched_object){NULL, NULL};
    }
}
