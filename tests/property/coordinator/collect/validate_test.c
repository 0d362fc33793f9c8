/* SPDX-License-Identifier: Apache-2.0
 *
 * Specs with mistakes in them: whatever is changed in a good spec, either every problem names a
 * field and there is no filter, or every field is of its type and all of the filter is obeyed.
 */
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

#include "coordinator/collect/validate.h"
#include "shared/velero/hooks.h"

enum { SPECS = 3000, CHANGES_MAX = 4, DEPTH_MAX = 8 };

static const char good_spec[] =
    "{\"includedNamespaces\":[\"a\",\"b-*\"],\"excludedNamespaces\":[\"c\"],"
    "\"includedNamespaceScopedResources\":[\"pods\",\"deployments.apps\"],"
    "\"excludedClusterScopedResources\":[\"nodes\"],"
    "\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"},\"matchExpressions\":[{\"key\":\"k\","
    "\"operator\":\"In\",\"values\":[\"v\"]}]},"
    "\"snapshotVolumes\":false,\"snapshotMoveData\":false,\"defaultVolumesToFsBackup\":true,"
    "\"ttl\":\"720h0m0s\",\"storageLocation\":\"default\",\"volumeSnapshotLocations\":[\"l\"],"
    "\"orderedResources\":{\"pods\":\"a/one,a/two\"},\"itemOperationTimeout\":\"4h\","
    "\"resourcePolicy\":{\"kind\":\"configmap\",\"name\":\"p\"},"
    "\"uploaderConfig\":{\"parallelFilesUpload\":3},\"metadata\":{\"labels\":{\"a\":\"b\"}},"
    "\"hooks\":{\"resources\":[{\"name\":\"h\",\"includedNamespaces\":[\"a\"],"
    "\"labelSelector\":{\"matchLabels\":{\"app\":\"x\"}},"
    "\"pre\":[{\"exec\":{\"container\":\"c\",\"command\":[\"/bin/true\"],\"onError\":\"Fail\","
    "\"timeout\":\"30s\"}}]}]}}";

/* What the readers of a spec take for granted, said once more and in another way. */
static const struct {
    const char *path;
    enum json_type type;
} typed[] = {{"includedNamespaces", json_type_array},
             {"excludedNamespaces", json_type_array},
             {"includedNamespaceScopedResources", json_type_array},
             {"excludedClusterScopedResources", json_type_array},
             {"labelSelector", json_type_object},
             {"labelSelector.matchLabels", json_type_object},
             {"labelSelector.matchExpressions", json_type_array},
             {"snapshotVolumes", json_type_boolean},
             {"snapshotMoveData", json_type_boolean},
             {"defaultVolumesToFsBackup", json_type_boolean},
             {"ttl", json_type_string},
             {"storageLocation", json_type_string},
             {"volumeSnapshotLocations", json_type_array},
             {"orderedResources", json_type_object},
             {"orderedResources.pods", json_type_string},
             {"itemOperationTimeout", json_type_string},
             {"resourcePolicy", json_type_object},
             {"resourcePolicy.kind", json_type_string},
             {"resourcePolicy.name", json_type_string},
             {"uploaderConfig", json_type_object},
             {"uploaderConfig.parallelFilesUpload", json_type_int},
             {"metadata", json_type_object},
             {"metadata.labels", json_type_object},
             {"hooks", json_type_object},
             {"hooks.resources", json_type_array}};

static xb_json *random_value(struct property *source)
{
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-1",
                                         "7",
                                         "1e300",
                                         "99999999999999999999",
                                         "\"\"",
                                         "\"*\"",
                                         "\"a\"",
                                         "\"../x\"",
                                         "\"a/b\"",
                                         "\"true\"",
                                         "\"3\"",
                                         "\"a\\u0000b\"",
                                         "[]",
                                         "[\"a\"]",
                                         "[null]",
                                         "[[]]",
                                         "[7]",
                                         "{}",
                                         "{\"a\":\"b\"}",
                                         "{\"a\":{\"a\":{\"a\":[{\"a\":1}]}}}",
                                         "\"-5m\"",
                                         "\"9999999h\"",
                                         "\"**\"",
                                         "\"[\"",
                                         "\"\\ud83d\\ude00\"",
                                         "\"%2e%2e\""};
    if (property_once_in(source, 40)) {
        xb_json *list = json_object_new_array();
        for (size_t i = 0; i < 20000; i++) {
            json_object_array_add(list, json_object_new_string("a"));
        }
        return list;
    }
    return probe_json(values[property_below(source, sizeof values / sizeof values[0])]);
}

/* Changes one place: goes down by chance, then replaces, adds or removes. */
static void change(struct property *source, xb_json *at)
{
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        xb_json *below = NULL;
        const char *key = "novel";
        if (json_object_is_type(at, json_type_array)) {
            size_t count = json_object_array_length(at);
            size_t index = property_below(source, count + 1);
            below = index < count ? json_object_array_get_idx(at, index) : NULL;
            if (!below || property_once_in(source, 2)) {
                json_object_array_put_idx(at, index < 9 ? index : 0, random_value(source));
                return;
            }
        } else {
            size_t skip = property_below(source, (size_t)json_object_object_length(at) + 1);
            json_object_object_foreach(at, one, value)
            {
                if (skip-- == 0) {
                    key = one;
                    below = value;
                }
            }
            bool deeper = json_object_is_type(below, json_type_object) ||
                          json_object_is_type(below, json_type_array);
            if (!deeper || property_once_in(source, 3)) {
                char copy[64];
                snprintf(copy, sizeof copy, "%.60s", key);
                if (property_once_in(source, 8)) {
                    json_object_object_del(at, copy);
                } else {
                    json_object_object_add(at, copy, random_value(source));
                }
                return;
            }
        }
        at = below;
        if (!json_object_is_type(at, json_type_object) &&
            !json_object_is_type(at, json_type_array)) {
            return;
        }
    }
}

static bool names_a_field(const char *problem)
{
    static const char *const fields[] = {"spec", "labelSelector as well as orLabelSelectors",
                                         "include-resources, exclude-resources"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (strstr(problem, fields[i])) {
            return true;
        }
    }
    return false;
}

static void all_typed(xb_json *spec)
{
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        xb_json *value = xb_json_get(spec, typed[i].path);
        if (value && !json_object_is_type(value, typed[i].type)) {
            fail_msg("%s: %s", typed[i].path, json_object_to_json_string(spec));
        }
    }
    assert_null(xb_json_get(spec, "novel"));
}

/* Each word of the lists does what it says: a filter that leaves one out is half a filter. */
static void obeyed(const struct xb_filter *filter, xb_json *spec)
{
    xb_json *excluded = xb_json_get(spec, "excludedNamespaces");
    for (size_t i = 0; excluded && i < json_object_array_length(excluded); i++) {
        const char *word = json_object_get_string(json_object_array_get_idx(excluded, i));
        assert_true(strpbrk(word, "*?[") || xb_filter_excludes_namespace(filter, word));
    }
    xb_json *included = xb_json_get(spec, "includedNamespaces");
    for (size_t i = 0; included && i < json_object_array_length(included); i++) {
        const char *word = json_object_get_string(json_object_array_get_idx(included, i));
        assert_true(strpbrk(word, "*?[") || xb_filter_takes_namespace(filter, word) ||
                    xb_filter_excludes_namespace(filter, word));
    }
    assert_int_equal(xb_filter_selects(filter), xb_json_get(spec, "labelSelector") != NULL);
}

static void check(xb_json *backup, size_t *good)
{
    XB_CLEANUP(xb_json_putp) xb_json *problems = json_object_new_array();
    XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
    XB_CLEANUP(xb_filter_freep) struct xb_filter *again = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *before = NULL;
    assert_int_equal(json_object_deep_copy(backup, &before, NULL), 0);
    PROBE_OK(xb_validate_backup(backup, NULL, problems, &filter, &err));
    size_t count = json_object_array_length(problems);
    assert_true((count == 0) == (filter != NULL));
    assert_true(json_object_equal(before, backup));
    for (size_t i = 0; i < count; i++) {
        const char *problem = json_object_get_string(json_object_array_get_idx(problems, i));
        if (!names_a_field(problem)) {
            fail_msg("which field? %s", problem);
        }
    }
    if (filter) {
        ++*good;
        all_typed(xb_json_get(backup, "spec"));
        obeyed(filter, xb_json_get(backup, "spec"));
        PROBE_OK(xb_validated_filter(backup, NULL, &again, &err));
    } else {
        PROBE_REFUSED(xb_validated_filter(backup, NULL, &again, &err), XB_ERR_INVALID);
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *pod = probe_json("{\"metadata\":{\"namespace\":\"a\",\"labels\":{\"app\":\"x\"}},"
                              "\"spec\":{\"containers\":[{\"name\":\"c\"}]},"
                              "\"status\":{\"phase\":\"Running\"}}");
    struct xb_hooks hooks;
    struct xb_error err = XB_ERROR_INIT;
    if (filter && xb_hooks_of(backup, pod, &hooks, &err) == 0) {
        xb_hooks_free(&hooks);
    }
}

static void changed_specs(void **state)
{
    struct property source = property_begin("specs with mistakes");
    size_t good = 0;
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *backup = json_object_new_object();
        json_object_object_add(backup, "spec", probe_json(good_spec));
        for (size_t k = property_below(&source, CHANGES_MAX); i > 0 && k > 0; k--) {
            change(&source, backup);
            if (!json_object_is_type(backup, json_type_object)) {
                break;
            }
        }
        check(backup, &good);
        assert_true(i > 0 || good == 1); /* the unchanged one */
    }
    assert_true(good > SPECS / 20 && good < SPECS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(changed_specs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
