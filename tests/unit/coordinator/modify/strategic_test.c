/* SPDX-License-Identifier: Apache-2.0
 *
 * Strategic merge patches: which lists are merged and by what, every directive, the order of what
 * comes out, and what is refused by its path. tests/interop/modify_test holds the same against
 * kubectl.
 */
#include "coordinator/modify/strategic.h"
#include "coordinator/modify/types.h"
#include "tests/harness/probe.h"

#define POD(spec)                                                                                  \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":"      \
    "\"1\"},\"finalizers\":[\"f/1\",\"f/2\"]},\"spec\":" spec "}"
#define TWO POD("{\"containers\":[{\"name\":\"a\",\"image\":\"x:1\"},{\"name\":\"b\"}]}")

static int apply(const char *document, const char *patch, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = probe_json(document);
    XB_CLEANUP(xb_json_putp) xb_json *change = probe_json(patch);
    XB_CLEANUP(xb_json_putp) xb_json *json_before = probe_json(document);
    XB_CLEANUP(xb_json_putp) xb_json *change_before = probe_json(patch);
    int r = xb_strategic_patch(json, change, ret, err);
    assert_true(json_object_equal(json, json_before));
    assert_true(json_object_equal(change, change_before));
    return r;
}

static void makes(const char *document, const char *patch, const char *expected)
{
    XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *wanted = probe_json(expected);
    PROBE_OK(apply(document, patch, &result, &err));
    if (!json_object_equal(result, wanted)) {
        probe_json_is(result, expected);
    }
}

/* The text must say `why`. */
static void refused(const char *document, const char *patch, const char *why)
{
    xb_json *result = NULL;
    struct xb_error err = XB_ERROR_INIT;
    int r = apply(document, patch, &result, &err);
    if (r == 0 || !strstr(err.text, why)) {
        fail_msg("%s: %d '%s', want '%s'", patch, r, err.text, why);
    }
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_null(result);
}

static void lists_are_merged_by_their_key(void **state)
{
    (void)state;
    /* What the patch has comes in the patch's order; what it does not have stays where it was. */
    makes(TWO, "{\"spec\":{\"containers\":[{\"name\":\"b\",\"image\":\"y\"}]}}",
          POD("{\"containers\":[{\"name\":\"a\",\"image\":\"x:1\"},{\"name\":\"b\",\"image\":"
              "\"y\"}]}"));
    makes(TWO, "{\"spec\":{\"containers\":[{\"name\":\"c\",\"stdin\":null}]}}",
          POD("{\"containers\":[{\"name\":\"c\"},{\"name\":\"a\",\"image\":\"x:1\"},{\"name\":"
              "\"b\"}]}"));
    makes(TWO, "{\"spec\":{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\",\"image\":null}]}}",
          POD("{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}"));
    makes(POD("{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"1\"}],"
              "\"volumeMounts\":[{\"mountPath\":\"/m\",\"name\":\"v\"}],\"command\":[\"x\",\"y\"]"
              ",\"ports\":[{\"containerPort\":80,\"name\":\"http\"}]}]}"),
          "{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"2\"}],"
          "\"volumeMounts\":[{\"mountPath\":\"/m\",\"readOnly\":true}],\"command\":[\"z\"],"
          "\"ports\":[{\"containerPort\":80,\"protocol\":\"UDP\"}]}]}}",
          POD("{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"X\",\"value\":\"2\"}],"
              "\"volumeMounts\":[{\"mountPath\":\"/m\",\"name\":\"v\",\"readOnly\":true}],"
              "\"command\":[\"z\"],\"ports\":[{\"containerPort\":80,\"name\":\"http\","
              "\"protocol\":\"UDP\"}]}]}"));
    /* Tolerations have no key: a list of them is replaced. */
    makes(POD("{\"tolerations\":[{\"key\":\"a\"},{\"key\":\"b\"}]}"),
          "{\"spec\":{\"tolerations\":[{\"key\":\"c\"}]}}",
          POD("{\"tolerations\":[{\"key\":\"c\"}]}"));
    /* Finalizers are scalars that are merged; labels are a mapping. */
    makes("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"finalizers\":[\"a\","
          "\"b\"],\"labels\":{\"x\":\"1\",\"y\":\"1\"}}}",
          "{\"metadata\":{\"finalizers\":[\"c\",\"a\"],\"labels\":{\"x\":null,\"z\":\"1\"}}}",
          "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"finalizers\":[\"c\",\"a\""
          ",\"b\"],\"labels\":{\"y\":\"1\",\"z\":\"1\"}}}");
}

static void directives_are_carried_out(void **state)
{
    (void)state;
    makes(TWO, "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"}]}}",
          POD("{\"containers\":[{\"name\":\"b\"}]}"));
    makes(TWO, "{\"spec\":{\"containers\":[{\"$patch\":\"replace\"},{\"name\":\"c\"}]}}",
          POD("{\"containers\":[{\"name\":\"c\"}]}"));
    makes(TWO, "{\"spec\":{\"$patch\":\"replace\",\"nodeName\":\"n\"}}",
          POD("{\"nodeName\":\"n\"}"));
    makes(TWO, "{\"spec\":{\"$patch\":\"delete\"}}", POD("{}"));
    makes(TWO, "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"a\"}]}}",
          POD("{\"containers\":[{\"name\":\"b\"},{\"name\":\"a\",\"image\":\"x:1\"}]}"));
    makes(TWO,
          "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"},{\"name\":\"c\"},{\"name\""
          ":\"a\"}],\"containers\":[{\"name\":\"c\",\"image\":\"z\"}]}}",
          POD("{\"containers\":[{\"name\":\"b\"},{\"name\":\"c\",\"image\":\"z\"},{\"name\":\"a\","
              "\"image\":\"x:1\"}]}"));
    makes("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"finalizers\":[\"a\",\"b\"]}}",
          "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":[\"a\",\"z\"]}}",
          "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"finalizers\":[\"b\"]}}");
    makes(POD("{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}"),
          "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"$retainKeys\":[\"name\",\"hostPath\"],"
          "\"hostPath\":{\"path\":\"/d\"}}]}}",
          POD("{\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/d\"}}]}"));
    makes(POD("{\"hostPID\":true,\"hostIPC\":true,\"nodeName\":\"n\",\"priority\":1,"
              "\"hostNetwork\":true}"),
          "{\"spec\":{\"$retainKeys\":[\"priority\"]}}", POD("{\"priority\":1}"));
    makes("{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"spec\":{\"selector\":{"
          "\"matchLabels\":{\"a\":\"1\"}}}}",
          "{\"spec\":{\"selector\":{\"matchLabels\":{\"$patch\":\"replace\",\"b\":\"1\"}}}}",
          "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"spec\":{\"selector\":{"
          "\"matchLabels\":{\"b\":\"1\"}}}}");
    /* What is new has no directives in it. */
    makes(POD("{}"),
          "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"delete\"},{\"name\":\"b\","
          "\"env\":[{\"$patch\":\"replace\"},{\"name\":\"X\",\"value\":null}]}]}}",
          POD("{\"containers\":[{\"name\":\"b\",\"env\":[{\"name\":\"X\"}]}]}"));
}

static void what_makes_no_sense_is_refused_by_its_path(void **state)
{
    (void)state;
    refused(TWO, "{\"spec\":{\"containers\":[{\"image\":\"x\"}]}}",
            "field 'spec.containers': element 0 lacks 'name'");
    refused(TWO, "{\"spec\":{\"containers\":[\"a\"]}}", "element 0 is no mapping");
    refused(TWO, "{\"spec\":{\"containers\":[{\"name\":\"a\",\"$patch\":\"merge\"}]}}",
            "'spec.containers': $patch of element 0");
    refused(TWO, "{\"metadata\":{\"labels\":{\"$patch\":\"x\"}}}", "'metadata.labels': $patch");
    refused(TWO,
            "{\"spec\":{\"$setElementOrder/containers\":[{\"name\":\"b\"}],\"containers\":"
            "[{\"name\":\"a\"}]}}",
            "'spec.containers': $setElementOrder");
    refused(TWO, "{\"spec\":{\"$setElementOrder/nothing\":[]}}", "'spec.nothing'");
    refused(TWO, "{\"metadata\":{\"$deleteFromPrimitiveList/finalizers\":\"x\"}}",
            "'metadata.finalizers'");
    refused(TWO, "{\"metadata\":{\"finalizers\":[1,{}]}}", "element 1 is no scalar");
    refused(TWO, "{\"spec\":{\"$retainKeys\":[\"a\"],\"nodeName\":\"x\"}}",
            "'spec': $retainKeys does not list 'nodeName'");
    refused(TWO, "{\"spec\":{\"$nothing\":1}}", "unknown directive '$nothing'");
    refused("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{\"unknown\":{\"a\":1}}}",
            "{\"spec\":{\"unknown\":{\"a\":2}}}", "field 'spec.unknown': this kind has no mapping");
    refused("{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\"}", "{\"spec\":{}}",
            "not for a Widget of example.com/v1");
    refused("{\"apiVersion\":\"v2\",\"kind\":\"Pod\"}", "{\"spec\":{}}", "not for a Pod of v2");
}

/* Every type that the table names is in it, and every kind has one. */
static void the_table_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < xb_patch_kind_count; i++) {
        const struct xb_patch_kind *kind = &xb_patch_kinds[i];
        struct xb_patch_field field;
        const struct xb_patch_type *type = xb_patch_type_of_kind(kind->api_version, kind->kind);
        assert_non_null(type);
        assert_true(xb_patch_field_find(type, "metadata", &field));
        assert_non_null(field.type);
    }
    size_t merged = 0;
    for (size_t i = 0; i < xb_patch_type_count; i++) {
        for (const char *at = xb_patch_types[i].fields; *at;) {
            char name[64];
            struct xb_patch_field field;
            size_t len = strcspn(at, " ");
            size_t word = strcspn(at, ":{[!");
            assert_true(word < len && word < sizeof name);
            snprintf(name, sizeof name, "%.*s", (int)word, at);
            assert_true(xb_patch_field_find(&xb_patch_types[i], name, &field));
            const char *colon = memchr(at, ':', len);
            if (colon && colon[1] != '-') {
                assert_non_null(field.type);
                assert_memory_equal(field.type->name, colon + 1, len - (size_t)(colon + 1 - at));
            }
            merged += field.list && field.merged;
            at += len + (at[len] == ' ');
        }
    }
    assert_true(merged > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_merged_by_their_key),
        cmocka_unit_test(directives_are_carried_out),
        cmocka_unit_test(what_makes_no_sense_is_refused_by_its_path),
        cmocka_unit_test(the_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
