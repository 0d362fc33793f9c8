/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as resource policies: refused with a reason, or a policy whose answers hang together.
 */
#include "coordinator/collect/filter.h"
#include "coordinator/collect/policy.h"
#include "tests/harness/fuzz.h"

static xb_json *json(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *value = NULL;
    need(xb_json_parse(text, strlen(text), &value, &err) == 0);
    return value;
}

static void check_matches(const struct xb_policy *policy)
{
    static const char *const volumes[] = {
        "{\"spec\":{\"capacity\":{\"storage\":\"10Gi\"},\"storageClassName\":\"fast\",\"csi\":{"
        "\"driver\":\"d\",\"volumeAttributes\":{\"a\":\"1\"}}}}",
        "{\"spec\":{\"capacity\":{\"storage\":\"x\"},\"nfs\":{\"server\":\"s\",\"path\":\"/p\"}}}",
        "{\"spec\":{\"csi\":[],\"nfs\":7,\"capacity\":{\"storage\":{}}}}", "{}"};
    for (size_t i = 0; i < sizeof volumes / sizeof *volumes; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *volume = json(volumes[i]);
        XB_CLEANUP(xb_json_putp)
        xb_json *claim = json("{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"accessModes\":["
                              "\"ReadWriteOnce\"]},\"status\":{\"phase\":\"Bound\"}}");
        const struct xb_policy_volume bound = {.claim = claim, .persistent_volume = volume};
        const struct xb_policy_volume inline_volume = {.pod_volume = volume};
        const struct xb_policy_volume odd = {.claim = volume};
        need(xb_policy_match(policy, &bound) <= XB_POLICY_CUSTOM);
        need(xb_policy_match(policy, &inline_volume) <= XB_POLICY_CUSTOM);
        need(xb_policy_match(policy, &odd) <= XB_POLICY_CUSTOM);
    }
}

static bool resolve(void *context, const char *word, struct xb_filter_kind *ret)
{
    (void)context;
    *ret = (struct xb_filter_kind){"", "pods", word[0] != 'n'};
    return word[0] >= 'n';
}

static void check_filters(const struct xb_policy *policy)
{
    static const char *const specs[] = {"{}", "{\"includedNamespaceScopedResources\":[\"*\"]}",
                                        "{\"excludedClusterScopedResources\":7}"};
    struct xb_error err = XB_ERROR_INIT;
    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *spec = json(specs[i]);
        XB_CLEANUP(xb_filter_freep) struct xb_filter *filter = NULL;
        need(xb_filter_new(spec, &filter, &err) == 0);
        need(xb_filter_combine(filter, xb_policy_filters(policy), &err) == 0);
        need(xb_filter_resolve(filter, resolve, NULL, &err) == 0);
        need(xb_policy_filters_problem(policy, spec) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_policy_freep) struct xb_policy *policy = NULL;
    if (len > 1 << 14) {
        return 0;
    }
    char *text = fuzz_text(data, len);
    int r = xb_policy_parse(text, len, &policy, &err);
    free(text);
    need((r == 0) == (policy != NULL));
    if (r < 0) {
        need(err.text[0] != '\0');
        return 0;
    }
    check_matches(policy);
    check_filters(policy);
    return 0;
}
