/* SPDX-License-Identifier: Apache-2.0
 *
 * What is there becomes like what the backup has, by one patch, whatever both are; a second one has
 * nothing to do; and nothing that is the cluster's is in it.
 */
#include "coordinator/restore/difference.h"
#include "coordinator/restore/existing.h"
#include "tests/harness/probe.h"
#include "tests/harness/property.h"
#include "tests/harness/update_oracle.h"

enum { ROUNDS = 4000, DEPTH = 4, KEYS = 6 };

static const char *const keys[KEYS] = {"a", "b/c", "", "labels", "status", "metadata"};

/* Any value, NULL for null among them. */
static xb_json *any(struct property *source, unsigned depth)
{
    uint64_t kind = property_below(source, depth > 0 ? 7 : 4);
    if (kind == 0) {
        return NULL;
    }
    if (kind == 1) {
        return json_object_new_int64((int64_t)property_below(source, 5));
    }
    if (kind == 2) {
        return json_object_new_string(keys[property_below(source, KEYS)]);
    }
    if (kind == 3) {
        return json_object_new_boolean(property_once_in(source, 2));
    }
    xb_json *value = kind == 4 ? json_object_new_array() : json_object_new_object();
    for (uint64_t i = property_below(source, KEYS); i > 0; i--) {
        xb_json *inner = any(source, depth - 1);
        if (kind == 4) {
            json_object_array_add(value, inner);
        } else {
            json_object_object_add(value, keys[property_below(source, KEYS)], inner);
        }
    }
    return value;
}

static xb_json *any_object(struct property *source)
{
    static const char *const owned[] = {"labels", "annotations", "finalizers", "uid"};
    xb_json *object = json_object_new_object();
    json_object_object_add(object, "spec", any(source, DEPTH));
    json_object_object_add(object, "data", any(source, DEPTH));
    json_object_object_add(object, "status", any(source, 1));
    xb_json *metadata = property_once_in(source, 9) ? any(source, 2) : json_object_new_object();
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        if (json_object_is_type(metadata, json_type_object) && !property_once_in(source, 3)) {
            json_object_object_add(metadata, owned[i], any(source, 2));
        }
    }
    json_object_object_add(object, "metadata", metadata);
    return object;
}

static void a_patch_makes_the_wanted_one(void **state)
{
    (void)state;
    struct property source = property_begin("update");
    size_t patches = 0;
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *existing = any_object(&source);
        XB_CLEANUP(xb_json_putp) xb_json *wanted = any_object(&source);
        XB_CLEANUP(xb_json_putp) xb_json *patch = NULL;
        XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
        XB_CLEANUP(xb_json_putp) xb_json *again = NULL;
        char text[XB_RESTORE_DIFFERENCE_BYTES];
        PROBE_OK(xb_restore_update_patch(existing, wanted, &patch, &err));
        if (!patch) {
            assert_true(oracle_same(existing, wanted));
            continue;
        }
        patches++;
        assert_true(oracle_keeps_off(patch));
        result = oracle_apply(existing, patch);
        if (!oracle_same(result, wanted)) {
            fail_msg("%s\npatched by %s", json_object_to_json_string(existing),
                     json_object_to_json_string(patch));
        }
        PROBE_OK(xb_restore_update_patch(result, wanted, &again, &err));
        assert_null(again);
        xb_restore_difference(existing, patch, false, text);
        assert_true(text[0] != '\0' && strlen(text) < sizeof text);
    }
    assert_true(patches > ROUNDS / 2);
}

/* Nothing is made of what is no object. */
static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const none[] = {"[1]", "7", "\"text\"", "true", "1.5"};
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json("{\"a\":1}");
    for (size_t i = 0; i <= sizeof none / sizeof none[0]; i++) {
        XB_CLEANUP(xb_json_putp)
        xb_json *other = i < sizeof none / sizeof none[0] ? probe_json(none[i]) : NULL;
        xb_json *patch = NULL;
        PROBE_REFUSED(xb_restore_update_patch(other, object, &patch, &err), XB_ERR_CORRUPT);
        PROBE_REFUSED(xb_restore_update_patch(object, other, &patch, &err), XB_ERR_CORRUPT);
        PROBE_OK(xb_restore_label_patch(other, object, &patch, &err));
        PROBE_OK(xb_restore_label_patch(object, other, &patch, &err));
        assert_null(patch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patch_makes_the_wanted_one),
        cmocka_unit_test(what_is_no_object_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
