/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/bring/wait_settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/collect/quantity.h"
#include "shared/kube/yaml.h"

struct parse {
    xb_json *data;
    xb_wait_problem_fn *problem;
    void *context;
};

static void complain(const struct parse *parse, enum xb_record_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void complain(const struct parse *parse, enum xb_record_level level, const char *format, ...)
{
    char text[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    parse->problem(parse->context, level, text);
}

/* "" where it is not said. */
static const char *value_of(const struct parse *parse, const char *key)
{
    xb_json *value = NULL;
    return json_object_is_type(parse->data, json_type_object) &&
                   json_object_object_get_ex(parse->data, key, &value) &&
                   json_object_is_type(value, json_type_string)
               ? json_object_get_string(value)
               : "";
}

/* ---- image and command ---- */

/* Behind the last ':' of an image's last part, with it; "" for none. */
static const char *tag_of(const char *image)
{
    const char *slash = strrchr(image, '/');
    const char *colon = strchr(slash ? slash : image, ':');
    return colon ? colon : "";
}

static void parse_image(const struct parse *parse, const char *own_image,
                        struct xb_wait_settings *settings)
{
    const char *image = value_of(parse, "image");
    if (!image[0]) {
        return;
    }
    if (!strchr(image, '/')) {
        complain(parse, XB_RECORD_WARNING,
                 "key image: '%.200s' is without a registry; the server's image is used", image);
        return;
    }
    const char *tag = tag_of(image)[0] || strchr(own_image, '@') ? "" : tag_of(own_image);
    int len = snprintf(settings->image, sizeof settings->image, "%s%s", image, tag);
    if (len >= (int)sizeof settings->image || strpbrk(image, " \t\n\r")) {
        settings->image[0] = '\0';
        complain(parse, XB_RECORD_ERROR, "key image: '%.200s' is no image; the server's is used",
                 image);
    }
}

static void parse_command(const struct parse *parse, struct xb_wait_settings *settings)
{
    const char *command = value_of(parse, "command");
    if (strlen(command) >= sizeof settings->command) {
        complain(parse, XB_RECORD_ERROR,
                 "key command: it is longer than %zu bytes; the default is used",
                 sizeof settings->command - 1);
        return;
    }
    snprintf(settings->command, sizeof settings->command, "%s", command);
}

/* ---- resources ---- */

static const struct {
    const char *key, *fallback;
} amounts[XB_WAIT_AMOUNTS] = {[XB_WAIT_CPU_REQUEST] = {"cpuRequest", "100m"},
                              [XB_WAIT_MEMORY_REQUEST] = {"memRequest", "128Mi"},
                              [XB_WAIT_CPU_LIMIT] = {"cpuLimit", "100m"},
                              [XB_WAIT_MEMORY_LIMIT] = {"memLimit", "128Mi"}};

static bool parse_amount(const struct parse *parse, enum xb_wait_amount which,
                         struct xb_quantity *ret, struct xb_wait_settings *settings)
{
    const char *text = value_of(parse, amounts[which].key);
    const char *used = text[0] ? text : amounts[which].fallback;
    struct xb_error why = XB_ERROR_INIT;
    if (strlen(used) >= XB_WAIT_AMOUNT_BYTES ||
        xb_quantity_parse(used, strlen(used), ret, &why) < 0) {
        complain(parse, XB_RECORD_ERROR,
                 "key %s: '%.100s' is no amount; all amounts are the default ones",
                 amounts[which].key, used);
        return false;
    }
    bool none = ret->whole == 0 && ret->nano == 0;
    snprintf(settings->amounts[which], XB_WAIT_AMOUNT_BYTES, "%s", none ? "0" : text);
    return true;
}

static bool fits(const struct parse *parse, const struct xb_quantity values[XB_WAIT_AMOUNTS],
                 enum xb_wait_amount request, enum xb_wait_amount limit)
{
    bool unlimited = values[limit].whole == 0 && values[limit].nano == 0;
    if (unlimited || xb_quantity_compare(&values[request], &values[limit]) <= 0) {
        return true;
    }
    const char *text = value_of(parse, amounts[limit].key);
    complain(parse, XB_RECORD_ERROR,
             "key %s: it is more than %s (%.60s); all amounts are the default ones",
             amounts[request].key, amounts[limit].key, text[0] ? text : amounts[limit].fallback);
    return false;
}

static void parse_amounts(const struct parse *parse, struct xb_wait_settings *settings)
{
    struct xb_quantity values[XB_WAIT_AMOUNTS];
    bool good = true;
    for (int i = 0; i < XB_WAIT_AMOUNTS; i++) {
        good = parse_amount(parse, (enum xb_wait_amount)i, &values[i], settings) && good;
    }
    if (!good || !fits(parse, values, XB_WAIT_CPU_REQUEST, XB_WAIT_CPU_LIMIT) ||
        !fits(parse, values, XB_WAIT_MEMORY_REQUEST, XB_WAIT_MEMORY_LIMIT)) {
        memset(settings->amounts, 0, sizeof settings->amounts);
    }
}

/* ---- securityContext ---- */

static const struct {
    const char *name;
    enum json_type type;
} fields[] = {
    {"allowPrivilegeEscalation", json_type_boolean},
    {"appArmorProfile", json_type_object},
    {"capabilities", json_type_object},
    {"privileged", json_type_boolean},
    {"procMount", json_type_string},
    {"readOnlyRootFilesystem", json_type_boolean},
    {"runAsGroup", json_type_int},
    {"runAsNonRoot", json_type_boolean},
    {"runAsUser", json_type_int},
    {"seLinuxOptions", json_type_object},
    {"seccompProfile", json_type_object},
    {"windowsOptions", json_type_object},
};

static bool field_fits(const char *name, xb_json *value)
{
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return json_object_is_type(value, fields[i].type);
        }
    }
    return false;
}

/* The fields of secCtx, over those that are there. False: it is none. */
static bool add_whole(const struct parse *parse, xb_json *security)
{
    const char *text = value_of(parse, "secCtx");
    XB_CLEANUP(xb_json_putp) xb_json *whole = NULL;
    struct xb_error why = XB_ERROR_INIT;
    if (xb_kube_yaml_parse(text, strlen(text), &whole, &why) < 0) {
        complain(parse, XB_RECORD_ERROR, "key secCtx: %.400s; the default securityContext is used",
                 why.text);
        return false;
    }
    if (whole && !json_object_is_type(whole, json_type_object)) {
        complain(parse, XB_RECORD_ERROR,
                 "key secCtx: it is no mapping; the default securityContext is used");
        return false;
    }
    if (!whole) {
        return true;
    }
    json_object_object_foreach(whole, name, value)
    {
        if (!field_fits(name, value)) {
            complain(parse, XB_RECORD_ERROR,
                     "key secCtx: a securityContext has no field %.100s of this type; the default "
                     "one is used",
                     name);
            return false;
        }
        json_object_object_add(security, name, json_object_get(value));
    }
    return true;
}

static bool add_id(const struct parse *parse, const char *key, const char *name, xb_json *security)
{
    const char *text = value_of(parse, key);
    char *end = NULL;
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (!text[0]) {
        return true;
    }
    if (errno || *end || strspn(text, "0123456789") == 0 || id > INT32_MAX) {
        complain(parse, XB_RECORD_ERROR,
                 "key %s: '%.100s' is no id; the default securityContext is used", key, text);
        return false;
    }
    return json_object_object_add(security, name, json_object_new_int64(id)) == 0;
}

/* As Go reads a truth value. */
static bool add_escalation(const struct parse *parse, xb_json *security)
{
    static const char *const words[2][6] = {{"0", "f", "F", "false", "FALSE", "False"},
                                            {"1", "t", "T", "true", "TRUE", "True"}};
    const char *text = value_of(parse, "secCtxAllowPrivilegeEscalation");
    for (int value = 0; value < 2; value++) {
        for (size_t i = 0; i < 6; i++) {
            if (strcmp(text, words[value][i]) == 0) {
                return json_object_object_add(security, "allowPrivilegeEscalation",
                                              json_object_new_boolean(value)) == 0;
            }
        }
    }
    if (text[0]) {
        complain(parse, XB_RECORD_ERROR,
                 "key secCtxAllowPrivilegeEscalation: '%.100s' is neither true nor false; the "
                 "default securityContext is used",
                 text);
    }
    return !text[0];
}

static int parse_security(const struct parse *parse, struct xb_wait_settings *settings,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *security = json_object_new_object();
    if (!security) {
        return xb_error_no_memory(err, "settings");
    }
    bool said = value_of(parse, "secCtx")[0] || value_of(parse, "secCtxRunAsUser")[0] ||
                value_of(parse, "secCtxRunAsGroup")[0] ||
                value_of(parse, "secCtxAllowPrivilegeEscalation")[0];
    bool good = add_id(parse, "secCtxRunAsUser", "runAsUser", security);
    good = add_id(parse, "secCtxRunAsGroup", "runAsGroup", security) && good;
    good = add_escalation(parse, security) && good;
    good = add_whole(parse, security) && good;
    if (said && good) {
        settings->security = XB_TAKE(security);
    }
    return 0;
}

/* A slip of the pen, most likely. */
static void find_unknown(const struct parse *parse)
{
    static const char *const keys[] = {"image",
                                       "command",
                                       "cpuRequest",
                                       "memRequest",
                                       "cpuLimit",
                                       "memLimit",
                                       "secCtx",
                                       "secCtxRunAsUser",
                                       "secCtxRunAsGroup",
                                       "secCtxAllowPrivilegeEscalation"};
    json_object_object_foreach(parse->data, key, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            known = known || strcmp(key, keys[i]) == 0;
        }
        if (!known) {
            complain(parse, XB_RECORD_WARNING, "key %.100s: there is no such setting", key);
        }
        (void)value;
    }
}

int xb_wait_settings_parse(xb_json *data, const char *own_image, xb_wait_problem_fn *problem,
                           void *context, struct xb_wait_settings *ret, struct xb_error *err)
{
    const struct parse parse = {.data = data, .problem = problem, .context = context};
    struct xb_wait_settings settings = {.security = NULL};
    if (json_object_is_type(data, json_type_object)) {
        find_unknown(&parse);
    }
    parse_image(&parse, own_image, &settings);
    parse_command(&parse, &settings);
    parse_amounts(&parse, &settings);
    int r = parse_security(&parse, &settings, err);
    if (r == 0) {
        *ret = settings;
    }
    return r;
}

void xb_wait_settings_free(struct xb_wait_settings *settings)
{
    json_object_put(settings->security);
    settings->security = NULL;
}
