/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *xb_method_policy_of(xb_json *object)
{
    xb_json *value = NULL;
    (void)json_object_object_get_ex(xb_json_get(object, "metadata.annotations"),
                                    XB_POINT_IN_TIME_POLICY, &value);
    return value ? json_object_get_string(value) : NULL;
}

static void append(char *text, size_t size, const char *more)
{
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s%s", len ? "; " : "", more);
}

/* Nothing is left: whose words they were. */
static int contradiction(const struct xb_method_policy *policies, size_t count,
                         struct xb_error *err)
{
    char said[XB_ERROR_TEXT_BYTES / 2] = "";
    for (size_t i = 0; i < count; i++) {
        char one[XB_ERROR_TEXT_BYTES / 2];
        if (policies[i].text) {
            snprintf(one, sizeof one, "%.120s: '%.40s'", policies[i].who, policies[i].text);
            append(said, sizeof said, one);
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "no method of copying is left that all of these allow: %s", said);
}

static int parse(const char *text, struct xb_freeze_methods *ret, struct xb_error *err)
{
    return xb_freeze_methods_parse(strcmp(text, "off") == 0 ? "live" : text, ret, err);
}

int xb_method_policies(const struct xb_method_policy *policies, size_t count,
                       struct xb_freeze_methods *ret, char problem[XB_POINT_IN_TIME_WHY_BYTES],
                       struct xb_error *err)
{
    struct xb_freeze_methods methods = XB_FREEZE_METHODS_ALL;
    problem[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        struct xb_error why = XB_ERROR_INIT;
        struct xb_freeze_methods own = XB_FREEZE_METHODS_ALL;
        if (policies[i].text && parse(policies[i].text, &own, &why) < 0) {
            char one[XB_POINT_IN_TIME_WHY_BYTES];
            snprintf(one, sizeof one, "%.150s: %.200s", policies[i].who, why.text);
            append(problem, XB_POINT_IN_TIME_WHY_BYTES, one);
            own = XB_FREEZE_METHODS_ALL;
        }
        methods = xb_freeze_methods_both(methods, own);
    }
    if (!xb_freeze_methods_left(methods)) {
        return contradiction(policies, count, err);
    }
    *ret = methods;
    return 0;
}
