/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/plan/backup_spec.h"

#include <stdio.h>
#include <string.h>

#include "shared/codec/text.h"

enum { PROBLEM_BYTES = 600 };

/* ---- times and switches ---- */

/* Go's programs write a time that nobody has said as "0s". */
static bool is_open(xb_json *spec, const char *field)
{
    struct xb_error ignored = XB_ERROR_INIT;
    const char *text = xb_json_str(spec, field, "");
    int64_t ns = 0;
    return !text[0] || (xb_duration_parse(text, &ns, &ignored) == 0 && ns == 0);
}

static void put_time(xb_json *out, xb_json *spec, const char *field, int64_t ns)
{
    char text[XB_TIME_TEXT_BYTES];
    if (is_open(spec, field)) {
        xb_duration_format(ns, text);
        json_object_object_add(out, field, json_object_new_string(text));
    }
}

bool xb_backup_moves_data(xb_json *spec, const struct xb_backup_defaults *defaults)
{
    return xb_json_bool(spec, "snapshotMoveData", defaults->snapshot_move_data);
}

xb_json *xb_backup_spec_defaults(xb_json *spec, const struct xb_backup_defaults *defaults)
{
    static const int64_t csi_snapshot_ns = 600LL * 1000 * 1000 * 1000; /* Velero has no flag */
    static const char namespaces[] = "includedNamespaces";
    xb_json *out = json_object_new_object();
    xb_json *included = xb_json_get(spec, namespaces);
    bool old_name = xb_json_bool(spec, "defaultVolumesToRestic", false);
    if (!included || (json_object_is_type(included, json_type_array) &&
                      json_object_array_length(included) == 0)) {
        json_object_object_add(out, namespaces, json_object_new_array());
        json_object_array_add(xb_json_get(out, namespaces), json_object_new_string("*"));
    }
    if (old_name || !xb_json_get(spec, "defaultVolumesToFsBackup")) {
        json_object_object_add(out, "defaultVolumesToFsBackup",
                               json_object_new_boolean(old_name || defaults->fs_backup));
    }
    if (!xb_json_get(spec, "snapshotMoveData")) {
        json_object_object_add(out, "snapshotMoveData",
                               json_object_new_boolean(defaults->snapshot_move_data));
    }
    put_time(out, spec, "csiSnapshotTimeout", csi_snapshot_ns);
    put_time(out, spec, "itemOperationTimeout", defaults->item_operation_ns);
    if (!xb_json_str(spec, "volumeGroupSnapshotLabelKey", "")[0]) {
        json_object_object_add(out, "volumeGroupSnapshotLabelKey",
                               json_object_new_string(defaults->group_label));
    }
    return out;
}

/* ---- snapshot locations ---- */

static size_t count_of(xb_json *array)
{
    return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

static const char *name_of(xb_json *location)
{
    return xb_json_str(location, "metadata.name", "");
}

static const char *provider_of(xb_json *location)
{
    return xb_json_str(location, "spec.provider", "");
}

static xb_json *find(xb_json *there, const char *name, size_t len)
{
    for (size_t i = 0; i < count_of(there); i++) {
        xb_json *one = json_object_array_get_idx(there, i);
        if (strlen(name_of(one)) == len && memcmp(name_of(one), name, len) == 0) {
            return one;
        }
    }
    return NULL;
}

/* The one that was chosen for a provider; NULL: none yet. */
static const char *chosen_for(xb_json *chosen, xb_json *there, const char *provider)
{
    for (size_t i = 0; i < count_of(chosen); i++) {
        const char *name = json_object_get_string(json_object_array_get_idx(chosen, i));
        xb_json *one = find(there, name, strlen(name));
        if (one && strcmp(provider_of(one), provider) == 0) {
            return name;
        }
    }
    return NULL;
}

static void choose(xb_json *chosen, const char *name)
{
    json_object_array_add(chosen, json_object_new_string(name));
}

static void take_named(const struct xb_snapshot_locations *facts, xb_json *chosen,
                       xb_json *problems)
{
    for (size_t i = 0; i < count_of(facts->named); i++) {
        char problem[PROBLEM_BYTES];
        const char *name = json_object_get_string(json_object_array_get_idx(facts->named, i));
        xb_json *one = name ? find(facts->there, name, strlen(name)) : NULL;
        const char *before = one ? chosen_for(chosen, facts->there, provider_of(one)) : NULL;
        if (!one) {
            snprintf(problem, sizeof problem,
                     "spec.volumeSnapshotLocations: there is no VolumeSnapshotLocation '%.253s'",
                     name ? name : "");
        } else if (!before) {
            choose(chosen, name);
            continue;
        } else if (strcmp(before, name) != 0) {
            snprintf(problem, sizeof problem,
                     "spec.volumeSnapshotLocations: more than one for provider %.100s: %.200s and "
                     "%.200s",
                     provider_of(one), before, name);
        } else {
            continue; /* said twice */
        }
        json_object_array_add(problems, json_object_new_string(problem));
    }
}

/* The name that the flag gives for a provider, and its length; NULL: none. */
static const char *default_of(const char *defaults, const char *provider, size_t *ret_len)
{
    size_t len = strlen(provider);
    for (const char *at = defaults ? defaults : ""; *at; at += *at == ',') {
        size_t word = strcspn(at, ",");
        if (word > len + 1 && at[len] == ':' && memcmp(at, provider, len) == 0) {
            *ret_len = word - len - 1;
            return at + len + 1;
        }
        at += word;
    }
    return NULL;
}

static size_t count_provider(xb_json *there, const char *provider)
{
    size_t count = 0;
    for (size_t i = 0; i < count_of(there); i++) {
        count += strcmp(provider_of(json_object_array_get_idx(there, i)), provider) == 0;
    }
    return count;
}

static bool is_first(xb_json *there, xb_json *location)
{
    size_t i = 0;
    while (strcmp(provider_of(json_object_array_get_idx(there, i)), provider_of(location)) != 0) {
        i++;
    }
    return json_object_array_get_idx(there, i) == location;
}

/* For a provider of which nothing was said: the only one, or that of the flag. */
static void take_other(const struct xb_snapshot_locations *facts, xb_json *location,
                       xb_json *chosen, xb_json *problems)
{
    char problem[PROBLEM_BYTES];
    size_t len = 0;
    const char *provider = provider_of(location);
    if (count_provider(facts->there, provider) == 1) {
        choose(chosen, name_of(location));
        return;
    }
    const char *name = default_of(facts->defaults, provider, &len);
    xb_json *one = name ? find(facts->there, name, len) : NULL;
    if (one) {
        choose(chosen, name_of(one));
        return;
    }
    if (!is_first(facts->there, location)) {
        return; /* said once of each provider */
    }
    if (name) {
        snprintf(problem, sizeof problem,
                 "--default-volume-snapshot-locations: there is no VolumeSnapshotLocation '%.*s'",
                 len < 253 ? (int)len : 253, name);
    } else {
        snprintf(problem, sizeof problem,
                 "spec.volumeSnapshotLocations: provider %.100s has more than one "
                 "VolumeSnapshotLocation; name one here or in "
                 "--default-volume-snapshot-locations",
                 provider);
    }
    json_object_array_add(problems, json_object_new_string(problem));
}

xb_json *xb_backup_snapshot_locations(const struct xb_snapshot_locations *facts, xb_json *problems)
{
    xb_json *chosen = json_object_new_array();
    take_named(facts, chosen, problems);
    for (size_t i = 0; i < count_of(facts->there); i++) {
        xb_json *one = json_object_array_get_idx(facts->there, i);
        if (!chosen_for(chosen, facts->there, provider_of(one))) {
            take_other(facts, one, chosen, problems);
        }
    }
    return chosen;
}
