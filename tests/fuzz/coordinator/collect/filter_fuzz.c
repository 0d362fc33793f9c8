/* SPDX-License-Identifier: Apache-2.0
 *
 * Any JSON as a Backup's spec and any as an object: a filter is always made, and what it answers
 * hangs together. The input's first line is the spec, the rest is the object.
 */
#include "coordinator/collect/filter.h"
#include "coordinator/collect/resource_list.h"
#include "coordinator/collect/volumes.h"
#include "tests/harness/fuzz.h"

static void check_namespaces(const struct xb_filter *filter, xb_json *spec)
{
    size_t named = xb_filter_named_count(filter);
    for (size_t i = 0; i < named; i++) {
        const char *name = xb_filter_named(filter, i);
        need(name != NULL && !strpbrk(name, "*?["));
    }
    need(xb_filter_named(filter, named) == NULL);
    if (xb_filter_takes_all_namespaces(filter)) {
        need(xb_filter_takes_namespace(filter, "any"));
        need(!xb_filter_only_named(filter));
    }
    if (xb_filter_problem_count(filter) == 0 && xb_filter_only_named(filter)) {
        bool excluded = xb_json_get(spec, "excludedNamespaces") != NULL;
        need(excluded || xb_filter_takes_namespace(filter, xb_filter_named(filter, 0)));
    }
}

static bool resolve(void *context, const char *word, struct xb_filter_kind *ret)
{
    (void)context;
    *ret = (struct xb_filter_kind){"apps", "deployments", word[0] == 'd'};
    return word[0] < 'p';
}

static void check_kinds(const struct xb_filter *filter)
{
    static const struct xb_filter_kind kinds[] = {
        {"", "pods", true}, {"apps", "deployments", true}, {"", "persistentvolumes", false}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool listed = xb_filter_takes_kind(filter, &kinds[i]);
        bool related = xb_filter_takes_related(filter, &kinds[i]);
        /* What is listed may also be dragged in. */
        need(!listed || related || xb_filter_problem_count(filter) > 0);
        need(!kinds[i].namespaced || listed == related);
    }
}

static void check_object(const struct xb_filter *filter, xb_json *spec, xb_json *object)
{
    bool taken = xb_filter_takes_object(filter, object);
    need(!taken || !xb_filter_excluded_by_label(object));
    if (!xb_json_get(spec, "labelSelector") && !xb_json_get(spec, "orLabelSelectors")) {
        need(taken == !xb_filter_excluded_by_label(object));
    }
    (void)xb_selector_matches(object, xb_json_get(object, "metadata.labels"));
    (void)xb_selector_matches(spec, object);
}

static void check_volumes(xb_json *pod)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count = volumes && json_object_is_type(volumes, json_type_array)
                       ? json_object_array_length(volumes)
                       : 0;
    for (size_t i = 0; i < count; i++) {
        for (unsigned way = 0; way < 20; way++) {
            const struct xb_volume_facts facts = {.by_default = way & 1,
                                                  .claims_left_out = way & 2,
                                                  .action = (enum xb_policy_action)(way / 4),
                                                  .claim = way & 1 ? pod : NULL,
                                                  .persistent_volume = way & 2 ? pod : NULL};
            const struct xb_volume_choice choice =
                xb_volume_choose(pod, json_object_array_get_idx(volumes, i), &facts);
            need((choice.verdict == XB_VOLUME_TAKE) == (choice.reason == NULL));
        }
    }
}

static void check_pod(xb_json *pod)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_resource_list list = {.kinds = NULL};
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    check_volumes(pod);
    need(xb_resource_list_add(&list, pod, NULL, &err) == 0);
    need(xb_resource_list_add(&list, pod, "created", &err) == 0);
    need(xb_resource_list_json(&list, &json, &err) == 0);
    need(json_object_object_length(json) == 1);
    xb_resource_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *spec = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    const uint8_t *end = len > 0 ? memchr(data, '\n', len) : NULL;
    if (len > 1 << 14 || !end) {
        return 0;
    }
    const char *text = (const char *)end + 1;
    if (xb_json_parse((const char *)data, (size_t)(end - data), &spec, &err) < 0 ||
        xb_json_parse(text, len - (size_t)(text - (const char *)data), &object, &err) < 0) {
        return 0;
    }
    need(xb_filter_new(spec, &filter, &err) == 0);
    need(xb_filter_problem_count(filter) <= XB_FILTER_PROBLEMS_MAX);
    for (size_t i = 0; i < xb_filter_problem_count(filter); i++) {
        need(xb_filter_problem(filter, i)[0] != '\0');
    }
    check_namespaces(filter, spec);
    check_kinds(filter);
    need(xb_filter_resolve(filter, resolve, NULL, &err) == 0);
    check_kinds(filter);
    check_object(filter, spec, object);
    check_pod(object);
    return 0;
}
