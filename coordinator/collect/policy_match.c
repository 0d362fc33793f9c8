/* SPDX-License-Identifier: Apache-2.0
 * Which rule of a policy is about a volume. */
#include <string.h>

#include "coordinator/collect/policy_internal.h"

/* What a rule asks about. */
struct view {
    xb_json *source; /* holds the field that says which type of volume it is */
    xb_json *claim;
    struct xb_quantity capacity;
    const char *storage_class;
};

static struct view look(const struct xb_policy_volume *volume)
{
    struct view view = {.claim = volume->claim, .storage_class = ""};
    struct xb_error ignored = XB_ERROR_INIT;
    if (volume->persistent_volume) {
        const char *capacity = xb_json_str(volume->persistent_volume, "spec.capacity.storage", "");
        view.source = xb_json_get(volume->persistent_volume, "spec");
        view.storage_class = xb_json_str(volume->persistent_volume, "spec.storageClassName", "");
        if (xb_quantity_parse(capacity, strlen(capacity), &view.capacity, &ignored) < 0) {
            view.capacity = (struct xb_quantity){.whole = 0};
        }
    } else {
        view.source = volume->pod_volume;
    }
    return view;
}

static bool is_zero(const struct xb_quantity *quantity)
{
    return quantity->whole == 0 && quantity->nano == 0;
}

/* A bound of nothing is none. */
static bool capacity_fits(const struct xb_policy_rule *rule, const struct view *view)
{
    return (is_zero(&rule->lower) || xb_quantity_compare(&rule->lower, &view->capacity) <= 0) &&
           (is_zero(&rule->upper) || xb_quantity_compare(&rule->upper, &view->capacity) >= 0);
}

static bool list_has(xb_json *list, const char *text)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (strcmp(xb_field_text(json_object_array_get_idx(list, i)), text) == 0) {
            return true;
        }
    }
    return false;
}

/* An empty or absent list asks nothing; a volume that has nothing of the kind fits no other. */
static bool one_of(xb_json *conditions, const char *field, const char *have)
{
    xb_json *list = xb_field(conditions, field);
    return !list || json_object_array_length(list) == 0 || (have[0] && list_has(list, have));
}

/* An empty or absent text asks nothing. */
static bool text_fits(xb_json *wanted, const char *field, xb_json *have, const char *path)
{
    const char *text = xb_field_text(xb_field(wanted, field));
    return !text[0] || strcmp(text, xb_json_str(have, path, "")) == 0;
}

/* Every pair of `wanted` is in `have`. */
static bool holds_all(xb_json *wanted, xb_json *have)
{
    if (!wanted) {
        return true;
    }
    json_object_object_foreach(wanted, key, value)
    {
        xb_json *found = NULL;
        if (!json_object_is_type(have, json_type_object) ||
            !json_object_object_get_ex(have, key, &found) ||
            strcmp(xb_field_text(found), xb_field_text(value)) != 0) {
            return false;
        }
    }
    return true;
}

static bool nfs_fits(xb_json *conditions, const struct view *view)
{
    xb_json *wanted = xb_field(conditions, "nfs");
    xb_json *have = xb_field(view->source, "nfs");
    return !wanted || (have && text_fits(wanted, "server", have, "server") &&
                       text_fits(wanted, "path", have, "path"));
}

static bool csi_fits(xb_json *conditions, const struct view *view)
{
    xb_json *wanted = xb_field(conditions, "csi");
    xb_json *have = xb_field(view->source, "csi");
    return !wanted ||
           (have && text_fits(wanted, "driver", have, "driver") &&
            holds_all(xb_field(wanted, "volumeAttributes"), xb_field(have, "volumeAttributes")));
}

/* The types' names are those of their fields, but for one. A volume has one source, but its
 * description has other fields, too: only these are types. */
static bool has_type(const struct view *view, const char *type)
{
    static const char *const types[] = {"awsElasticBlockStore",
                                        "azureDisk",
                                        "azureFile",
                                        "cephfs",
                                        "cinder",
                                        "configMap",
                                        "csi",
                                        "downwardAPI",
                                        "emptyDir",
                                        "ephemeral",
                                        "fc",
                                        "flexVolume",
                                        "flocker",
                                        "gitRepo",
                                        "glusterfs",
                                        "gcePersistentDisk",
                                        "hostPath",
                                        "iscsi",
                                        "local",
                                        "nfs",
                                        "photonPersistentDisk",
                                        "projected",
                                        "quobyte",
                                        "portworxVolume",
                                        "rbd",
                                        "scaleIO",
                                        "secret",
                                        "storageOS",
                                        "vsphereVolume"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(type, types[i]) == 0) {
            const char *field = strcmp(type, "storageOS") == 0 ? "storageos" : type;
            return xb_field(view->source, field) != NULL;
        }
    }
    return false;
}

static bool type_fits(xb_json *conditions, const struct view *view)
{
    xb_json *list = xb_field(conditions, "volumeTypes");
    size_t count = list ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < count; i++) {
        if (has_type(view, xb_field_text(json_object_array_get_idx(list, i)))) {
            return true;
        }
    }
    return count == 0;
}

/* The same modes, in whatever order. */
static bool modes_fit(xb_json *conditions, const struct view *view)
{
    xb_json *wanted = xb_field(conditions, "pvcAccessModes");
    xb_json *have = xb_json_get(view->claim, "spec.accessModes");
    size_t count = wanted ? json_object_array_length(wanted) : 0;
    if (count == 0) {
        return true;
    }
    if (!json_object_is_type(have, json_type_array) || json_object_array_length(have) != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!list_has(wanted, xb_field_text(json_object_array_get_idx(have, i))) ||
            !list_has(have, xb_field_text(json_object_array_get_idx(wanted, i)))) {
            return false;
        }
    }
    return true;
}

static bool rule_fits(const struct xb_policy_rule *rule, const struct view *view)
{
    xb_json *conditions = rule->conditions;
    return capacity_fits(rule, view) && one_of(conditions, "storageClass", view->storage_class) &&
           nfs_fits(conditions, view) && csi_fits(conditions, view) &&
           type_fits(conditions, view) &&
           holds_all(xb_field(conditions, "pvcLabels"),
                     xb_json_get(view->claim, "metadata.labels")) &&
           one_of(conditions, "pvcPhase", xb_json_str(view->claim, "status.phase", "")) &&
           text_fits(conditions, "pvcVolumeMode", view->claim, "spec.volumeMode") &&
           modes_fit(conditions, view);
}

enum xb_policy_action xb_policy_match(const struct xb_policy *policy,
                                      const struct xb_policy_volume *volume)
{
    const struct view view = look(volume);
    for (; policy; policy = policy->after) {
        for (size_t i = 0; i < policy->rule_count; i++) {
            if (rule_fits(&policy->rules[i], &view)) {
                return policy->rules[i].action;
            }
        }
    }
    return XB_POLICY_NONE;
}

struct xb_policy *xb_policy_follow(struct xb_policy *policy, struct xb_policy *after)
{
    if (after) {
        json_object_object_del(after->tree, "includeExcludePolicy");
    }
    if (!policy) {
        return after;
    }
    xb_policy_free(policy->after);
    policy->after = after;
    return policy;
}
