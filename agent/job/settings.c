/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/job/settings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/kube/selector.h"

enum { DEFAULT_MIN = 2, DEFAULT_MAX = 4 };

static void add_name(char names[XB_SETTINGS_NAMES_BYTES], const char *name)
{
    size_t len = strlen(names);
    snprintf(names + len, XB_SETTINGS_NAMES_BYTES - len, "%s%.60s", len ? ", " : "", name);
}

static bool is_unneeded(const char *key)
{
    static const char *const keys[] = {"loadAffinity", "backupPVC",         "restorePVC",
                                       "podResources", "priorityClassName", "privilegedFsBackup",
                                       "cachePVC",     "podAnnotations",    "podLabels"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (strcmp(key, keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void note_keys(xb_json *settings, struct xb_agent_settings *ret)
{
    json_object_object_foreach(settings, key, value)
    {
        (void)value;
        if (strcmp(key, "loadConcurrency") != 0 && strcmp(key, "pointInTime") != 0) {
            add_name(is_unneeded(key) ? ret->unneeded : ret->unknown, key);
        }
    }
}

/* The smallest number of the rules that match; 0: none does. */
static int per_node(xb_json *rules, xb_json *labels, int64_t *ret, struct xb_error *err)
{
    size_t count = rules ? json_object_array_length(rules) : 0;
    int64_t smallest = 0;
    for (size_t i = 0; i < count; i++) {
        xb_json *rule = json_object_array_get_idx(rules, i);
        xb_json *selector = NULL;
        int64_t number = 0;
        if (!json_object_is_type(rule, json_type_object)) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "loadConcurrency.perNodeConfig: want objects");
        }
        int r = xb_json_need_object(rule, "nodeSelector", false, &selector, err);
        r = r ? r : xb_json_need_int(rule, "number", false, &number, err);
        if (r < 0) {
            return xb_error_wrap(err, "loadConcurrency.perNodeConfig[%zu]", i);
        }
        if (number > 0 && (!selector || xb_selector_matches(selector, labels)) &&
            (smallest == 0 || number < smallest)) {
            smallest = number;
        }
    }
    *ret = smallest;
    return 0;
}

static int load(xb_json *settings, xb_json *labels, struct xb_agent_settings *ret,
                struct xb_error *err)
{
    xb_json *rules = NULL;
    xb_json *concurrency = NULL;
    int64_t everywhere = 0, here = 0, queue = 0;
    int r = xb_json_need_object(settings, "loadConcurrency", false, &concurrency, err);
    if (r < 0 || !concurrency) {
        return r;
    }
    if ((r = xb_json_need_int(concurrency, "globalConfig", false, &everywhere, err)) < 0 ||
        (r = xb_json_need_int(concurrency, "prepareQueueLength", false, &queue, err)) < 0 ||
        (r = xb_json_need_array(concurrency, "perNodeConfig", false, &rules, err)) < 0) {
        return xb_error_wrap(err, "loadConcurrency");
    }
    if ((r = per_node(rules, labels, &here, err)) < 0) {
        return r;
    }
    if (queue != 0) {
        add_name(ret->unneeded, "loadConcurrency.prepareQueueLength");
    }
    int64_t wanted = here > 0 ? here : everywhere;
    ret->cut = wanted > XB_AGENT_JOBS_MAX;
    ret->volumes_at_once = wanted <= 0 ? 0 : ret->cut ? XB_AGENT_JOBS_MAX : (unsigned)wanted;
    return 0;
}

/* What the words mean, who copies knows. */
static int load_methods(xb_json *settings, struct xb_agent_settings *ret, struct xb_error *err)
{
    const char *said = NULL;
    int r = xb_json_need_str(settings, "pointInTime", false, &said, err);
    if (r == 0 && said && strlen(said) >= sizeof ret->point_in_time) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "pointInTime is too long");
    }
    if (r == 0) {
        snprintf(ret->point_in_time, sizeof ret->point_in_time, "%s", said ? said : "");
    }
    return r;
}

int xb_agent_settings_parse(const char *text, size_t len, xb_json *labels,
                            struct xb_agent_settings *ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *settings = NULL;
    struct xb_agent_settings found = {.volumes_at_once = 0};
    int r = xb_json_parse(text, len, &settings, err);
    if (r < 0) {
        return r;
    }
    if (!json_object_is_type(settings, json_type_object)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "want a JSON object");
    }
    note_keys(settings, &found);
    if ((r = load(settings, labels, &found, err)) < 0 ||
        (r = load_methods(settings, &found, err)) < 0) {
        return r;
    }
    *ret = found;
    return 0;
}

unsigned xb_agent_at_once_default(unsigned cpus)
{
    return cpus < DEFAULT_MIN ? DEFAULT_MIN : cpus > DEFAULT_MAX ? DEFAULT_MAX : cpus;
}
