/* SPDX-License-Identifier: Apache-2.0
 *
 * Patches: a merge patch made from two documents makes the one of the other; each step of a JSON
 * patch has another that takes it back; a strategic patch that is put twice is as good as put once;
 * and damaged rules are refused with a reason, or are rules.
 */
#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/modify.h"
#include "coordinator/modify/strategic.h"
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

enum { ROUNDS = 2000, DEPTH_MAX = 4, KEYS = 5 };

static const char *const keys[KEYS] = {"a", "b/c", "d~e", "f", ""};

/* Any value; without nulls, which a merge patch cannot make. */
static xb_json *any(struct property *source, unsigned depth)
{
    uint64_t kind = property_below(source, depth > 0 ? 6 : 3);
    if (kind == 0) {
        return json_object_new_int64((int64_t)property_below(source, 5));
    }
    if (kind == 1) {
        return json_object_new_string(keys[property_below(source, KEYS)]);
    }
    if (kind == 2) {
        return json_object_new_boolean(property_once_in(source, 2));
    }
    xb_json *value = kind == 3 ? json_object_new_array() : json_object_new_object();
    for (uint64_t i = property_below(source, KEYS); i > 0; i--) {
        xb_json *inner = any(source, depth - 1);
        if (kind == 3) {
            json_object_array_add(value, inner);
        } else {
            json_object_object_add(value, keys[property_below(source, KEYS)], inner);
        }
    }
    return value;
}

static xb_json *any_object(struct property *source)
{
    for (;;) {
        xb_json *value = any(source, DEPTH_MAX);
        if (json_object_is_type(value, json_type_object)) {
            return value;
        }
        json_object_put(value);
    }
}

/* The merge patch that makes `to` of `from`. */
static xb_json *difference(xb_json *from, xb_json *to)
{
    xb_json *patch = json_object_new_object();
    {
        json_object_object_foreach(from, key, value)
        {
            (void)value;
            if (!json_object_object_get_ex(to, key, NULL)) {
                json_object_object_add(patch, key, NULL);
            }
        }
    }
    json_object_object_foreach(to, key, value)
    {
        xb_json *before = json_object_object_get(from, key);
        if (json_object_equal(before, value)) {
            continue;
        }
        bool both = json_object_is_type(before, json_type_object) &&
                    json_object_is_type(value, json_type_object);
        json_object_object_add(patch, key,
                               both ? difference(before, value) : json_object_get(value));
    }
    return patch;
}

static void a_merge_patch_makes_the_other(void **state)
{
    (void)state;
    struct property source = property_begin("merge");
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *from = any_object(&source);
        XB_CLEANUP(xb_json_putp) xb_json *to = any_object(&source);
        XB_CLEANUP(xb_json_putp) xb_json *patch = difference(from, to);
        XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
        PROBE_OK(xb_json_merge_patch(from, patch, &result, &err));
        assert_true(json_object_equal(result, to));
    }
}

/* A path to some place in the value, as a pointer; *parent is what holds it. */
static void any_place(struct property *source, xb_json *value, char path[256], xb_json **parent)
{
    size_t used = 0;
    path[0] = '\0';
    *parent = NULL;
    while (used < 200) {
        bool list = json_object_is_type(value, json_type_array);
        size_t count = list ? json_object_array_length(value)
                       : json_object_is_type(value, json_type_object)
                           ? (size_t)json_object_object_length(value)
                           : 0;
        if (count == 0 || (*parent && property_once_in(source, 3))) {
            return;
        }
        uint64_t chosen = property_below(source, count);
        *parent = value;
        if (list) {
            used += (size_t)snprintf(path + used, 256 - used, "/%u", (unsigned)chosen);
            value = json_object_array_get_idx(value, chosen);
            continue;
        }
        xb_json *next = NULL;
        json_object_object_foreach(value, key, item)
        {
            if (chosen-- == 0) {
                static const char *const written[KEYS] = {"a", "b~1c", "d~0e", "f", ""};
                for (size_t k = 0; k < KEYS; k++) {
                    if (strcmp(keys[k], key) == 0) {
                        used += (size_t)snprintf(path + used, 256 - used, "/%s", written[k]);
                    }
                }
                next = item;
                break;
            }
        }
        value = next;
    }
}

static void each_step_can_be_taken_back(void **state)
{
    (void)state;
    struct property source = property_begin("steps");
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *document = any_object(&source);
        XB_CLEANUP(xb_json_putp) xb_json *value = any(&source, 2);
        XB_CLEANUP(xb_json_putp) xb_json *before = NULL;
        XB_CLEANUP(xb_json_putp) xb_json *result = NULL;
        xb_json *parent = NULL;
        char path[256];
        any_place(&source, document, path, &parent);
        if (!parent) {
            continue;
        }
        /* Put aside, replaced, proven, and put back: nothing has happened. */
        const struct xb_patch_step steps[] = {
            {.operation = XB_PATCH_COPY, .from = path, .path = "/aside"},
            {.operation = XB_PATCH_REPLACE, .path = path, .value = value},
            {.operation = XB_PATCH_TEST, .path = path, .value = value},
            {.operation = XB_PATCH_REMOVE, .path = path},
            {.operation = XB_PATCH_MOVE, .from = "/aside", .path = path},
        };
        PROBE_OK(xb_json_patch(document, steps, sizeof steps / sizeof *steps, &result, &err));
        assert_true(json_object_equal(result, document));
        /* What is inserted into a list moves the others, and taking it out moves them back. */
        const struct xb_patch_step insert[] = {
            {.operation = XB_PATCH_ADD, .path = path, .value = value},
            {.operation = XB_PATCH_REMOVE, .path = path},
        };
        if (json_object_is_type(parent, json_type_array)) {
            PROBE_OK(xb_json_patch(document, insert, 2, &before, &err));
            assert_true(json_object_equal(before, document));
        }
    }
}

/* A pod's containers, in any order and with anything in them. */
static xb_json *containers(struct property *source, bool directives)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    xb_json *list = json_object_new_array();
    size_t first = property_below(source, 4);
    for (size_t i = 0; i < property_below(source, 4); i++) {
        xb_json *one = json_object_new_object();
        json_object_object_add(one, "name", json_object_new_string(names[(first + 3 * i) % 4]));
        if (directives && property_once_in(source, 4)) {
            json_object_object_add(one, "$patch", json_object_new_string("delete"));
        } else {
            json_object_object_add(one, "image", any(source, 0));
            xb_json *limits = json_object_new_object();
            xb_json *resources = json_object_new_object();
            json_object_object_add(limits, keys[property_below(source, KEYS)], any(source, 0));
            json_object_object_add(resources, "limits", limits);
            json_object_object_add(one, "resources", resources);
        }
        json_object_array_add(list, one);
    }
    return list;
}

static xb_json *pod(xb_json *list)
{
    xb_json *json = probe_json("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"spec\":{}}");
    json_object_object_add(xb_json_get(json, "spec"), "containers", list);
    return json;
}

static void a_strategic_patch_put_twice_is_put_once(void **state)
{
    (void)state;
    struct property source = property_begin("strategic");
    for (int i = 0; i < ROUNDS; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *document = pod(containers(&source, false));
        XB_CLEANUP(xb_json_putp) xb_json *patch = pod(containers(&source, true));
        XB_CLEANUP(xb_json_putp) xb_json *once = NULL;
        XB_CLEANUP(xb_json_putp) xb_json *twice = NULL;
        PROBE_OK(xb_strategic_patch(document, patch, &once, &err));
        PROBE_OK(xb_strategic_patch(once, patch, &twice, &err));
        assert_true(json_object_equal(once, twice));
    }
}

static const char rules[] =
    "version: v1\nresourceModifierRules:\n- conditions:\n    groupResource: 'pods'\n"
    "    namespaces: [a]\n    resourceNameRegex: '^x-[0-9]+$'\n"
    "    labelSelector: {matchLabels: {a: b}}\n    matches: [{path: /a, value: '1'}]\n"
    "  patches:\n  - {operation: add, path: /a/b, value: '{\"a\": [1]}'}\n"
    "  - {operation: move, path: /a, from: /b}\n- conditions: {groupResource: '*.apps'}\n"
    "  strategicPatches: [{patchData: 'spec: {replicas: 1}'}]\n";

static void parse_damaged(const char *text, size_t len, unsigned *refused)
{
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    struct xb_error err = XB_ERROR_INIT;
    int r = xb_modifiers_parse(text, len, &modifiers, &err);
    assert_int_equal(r == 0, modifiers != NULL);
    assert_true(r == 0 || err.text[0]);
    *refused += r < 0;
}

static void damaged_rules_are_refused_or_are_rules(void **state)
{
    (void)state;
    struct property source = property_begin("damage");
    unsigned refused = 0;
    for (size_t len = 0; len < sizeof rules - 1; len++) {
        char *text = malloc(len + 1); /* of this size, for a sanitizer */
        assert_non_null(text);
        memcpy(text, rules, len);
        text[len] = '\0';
        parse_damaged(text, len, &refused);
        free(text);
    }
    assert_true(refused > sizeof rules / 2); /* a rule without patches is none */
    refused = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char text[sizeof rules];
        memcpy(text, rules, sizeof rules);
        for (uint64_t k = property_below(&source, 3); k < 3; k++) {
            text[property_below(&source, sizeof rules - 1)] ^=
                (char)(1U << property_below(&source, 8));
        }
        parse_damaged(text, sizeof rules - 1, &refused);
    }
    assert_true(refused > ROUNDS / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_merge_patch_makes_the_other),
        cmocka_unit_test(each_step_can_be_taken_back),
        cmocka_unit_test(a_strategic_patch_put_twice_is_put_once),
        cmocka_unit_test(damaged_rules_are_refused_or_are_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
