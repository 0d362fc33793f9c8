/* SPDX-License-Identifier: Apache-2.0
 *
 * Resource modifiers: any text is refused with a reason or can be put to objects; a rule that
 * cannot be applied leaves the object as it was, and what comes out is an object of bounded size.
 */
#include "coordinator/modify/json_patch.h"
#include "coordinator/modify/modify.h"
#include "tests/harness/fuzz.h"

static const char *const objects[][2] = {
    {"deployments.apps",
     "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
     "\"namespace\":\"shop\",\"labels\":{\"app\":\"web\"},\"finalizers\":[\"a\"]},\"spec\":{"
     "\"replicas\":3,\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"x:1\","
     "\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"ports\":[{\"containerPort\":80}]},{\"name\":"
     "\"b\"}],\"tolerations\":[{\"key\":\"k\"}]}}}}"},
    {"configmaps", "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\","
                   "\"namespace\":\"shop\"},\"data\":{\"a/b~c\":\"1\",\"list\":[1,[2,[3]]]}}"},
    {"widgets.example.com", "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{"
                            "\"name\":\"w\"},\"spec\":{\"a\":null,\"b\":[{}]}}"},
};

struct told {
    unsigned applied, others;
};

static void tell(void *context, enum xb_modify_outcome outcome, const char *text)
{
    struct told *told = context;
    need(text[0] != '\0');
    told->applied += outcome == XB_MODIFY_APPLIED;
    told->others += outcome != XB_MODIFY_APPLIED;
}

static void apply(const struct xb_modifiers *modifiers, const char *resource, const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    struct told told = {0};
    XB_CLEANUP(xb_json_putp) xb_json *before = NULL;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    need(xb_json_parse(text, strlen(text), &before, &err) == 0);
    need(xb_json_parse(text, strlen(text), &object, &err) == 0);
    need(xb_modifiers_apply(modifiers, resource, &object, tell, &told, &err) == 0);
    need(told.applied > 0 || json_object_equal(object, before));
    need(xb_json_str(object, "kind", "")[0] && xb_json_str(object, "metadata.name", "")[0]);
    need(xb_patch_weight(object, XB_PATCH_BYTES_MAX) <= XB_PATCH_BYTES_MAX);
    /* It is no deeper than what can be read again. */
    const char *written = json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
    XB_CLEANUP(xb_json_putp) xb_json *again = NULL;
    need(xb_json_parse(written, strlen(written), &again, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_modifiers_freep) struct xb_modifiers *modifiers = NULL;
    if (len > 1 << 14) {
        return 0;
    }
    char *text = fuzz_text(data, len);
    int r = xb_modifiers_parse(text, len, &modifiers, &err);
    free(text);
    need((r == 0) == (modifiers != NULL));
    if (r < 0) {
        need(err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        apply(modifiers, objects[i][0], objects[i][1]);
    }
    return 0;
}
