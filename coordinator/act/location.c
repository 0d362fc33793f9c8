/* SPDX-License-Identifier: Apache-2.0
 * Storage locations: are they there, and do all nodes see the same one? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "coordinator/retention/due.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"

enum { MESSAGE_BYTES = 1000 };

struct xb_location_access xb_location_access(const struct xb_coordinator *coordinator,
                                             bool read_only)
{
    return (struct xb_location_access){.client = coordinator->client,
                                       .namespace = coordinator->options->namespace,
                                       .read_only = read_only};
}

int xb_get_location(struct xb_coordinator *coordinator, const char *name, xb_json **ret,
                    struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_velero_locations,
                                    .namespace = coordinator->options->namespace,
                                    .name = name};
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no storage location is named");
    }
    int r = xb_kube_get(coordinator->client, &ref, ret, err);
    return r < 0 && err->kind == XB_ERR_NOT_FOUND
               ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                              "an existing backup storage location wasn't specified: '%s' does not "
                              "exist",
                              name)
               : r;
}

/* The identity that this location had when it was first found good; "" before. A store that is not
 * mounted looks like an empty one: without this, backups would go to the disk below it. */
static const char *known_identity(xb_json *location)
{
    xb_json *annotations = xb_json_get(location, "metadata.annotations");
    xb_json *known = NULL;
    return annotations &&
                   json_object_object_get_ex(annotations, XB_STORE_IDENTITY_ANNOTATION, &known)
               ? json_object_get_string(known)
               : "";
}

static int compare_known(xb_json *location, const char *identity, struct xb_error *err)
{
    const char *known = known_identity(location);
    return !known[0] || strcmp(known, identity) == 0
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EXDEV,
                              "the store is another one than before; if that is meant, remove "
                              "annotation " XB_STORE_IDENTITY_ANNOTATION " from the location");
}

/* A location that is Available. */
static int get_available(struct xb_coordinator *coordinator, const char *name, xb_json **ret,
                         struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    int r = xb_get_location(coordinator, name, &location, err);
    if (r < 0) {
        return r;
    }
    if (strcmp(xb_json_str(location, "status.phase", ""), "Available") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENODEV,
                            "backup storage location '%s' is unavailable: %s", name,
                            xb_json_str(location, "status.message", "it was not validated yet"));
    }
    *ret = XB_TAKE(location);
    return 0;
}

static int open_checked(struct xb_coordinator *coordinator, xb_json *location, bool read_only,
                        struct xb_store **ret, char identity[XB_STORE_IDENTITY_BYTES],
                        struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    const struct xb_location_access access = xb_location_access(coordinator, read_only);
    int r = xb_location_open(location, &access, &store, err);
    if (r < 0 || (r = xb_location_identity(location, store, identity, err)) < 0 ||
        (r = compare_known(location, identity, err)) < 0) {
        return xb_error_wrap(err, "storage location %s",
                             xb_json_str(location, "metadata.name", "?"));
    }
    *ret = XB_TAKE(store);
    return 0;
}

static bool is_read_only(xb_json *location)
{
    return strcmp(xb_json_str(location, "spec.accessMode", ""), "ReadOnly") == 0;
}

int xb_open_location(struct xb_coordinator *coordinator, const char *name, bool read_only,
                     struct xb_store **ret, char identity[XB_STORE_IDENTITY_BYTES],
                     struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    int r = get_available(coordinator, name, &location, err);
    if (r < 0) {
        return r;
    }
    if (!read_only && is_read_only(location)) {
        return xb_error_set(err, XB_ERR_INVALID, -EROFS,
                            "backup can't be created because backup storage location %s is "
                            "currently in read-only mode",
                            name);
    }
    return open_checked(coordinator, location, read_only, ret, identity, err);
}

int xb_open_location_for_restore(struct xb_coordinator *coordinator, const char *name,
                                 struct xb_store **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    char identity[XB_STORE_IDENTITY_BYTES];
    int r = get_available(coordinator, name, &location, err);
    return r < 0 ? r : open_checked(coordinator, location, false, ret, identity, err);
}

/* A node that has told nothing for a while is gone, or its agent is: no statement about the store.
 */
static bool recent(xb_json *lease)
{
    int64_t renewed_ns = 0;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_time_parse(xb_json_str(lease, "spec.renewTime", ""), &renewed_ns, &err) < 0) {
        return false;
    }
    return xb_clock_wall_ns() - renewed_ns < XB_AGENT_REPORT_S * XB_NS_PER_S;
}

/* What a node's agent has told of a location; NULL: nothing, or nothing recent. */
static xb_json *report_of(xb_json *lease, const char *location)
{
    XB_CLEANUP(xb_json_putp) xb_json *report = NULL;
    struct xb_error ignored = XB_ERROR_INIT;
    xb_json *annotations = xb_json_get(lease, "metadata.annotations");
    xb_json *text = NULL;
    xb_json *seen = NULL;
    if (!recent(lease) || !annotations ||
        !json_object_object_get_ex(annotations, XB_STORES_SEEN_ANNOTATION, &text) ||
        xb_json_parse(json_object_get_string(text), strlen(json_object_get_string(text)), &report,
                      &ignored) < 0) {
        return NULL;
    }
    return json_object_object_get_ex(report, location, &seen) ? json_object_get(seen) : NULL;
}

static int compare_node(xb_json *lease, xb_json *location, const char *identity,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp)
    xb_json *seen = report_of(lease, xb_json_str(location, "metadata.name", ""));
    const char *id = xb_json_str(seen, "id", "");
    if (!seen || strcmp(id, identity) == 0) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_INVALID, -EXDEV, "node %s does not see this store: %s. %s",
                        xb_json_str(lease, "spec.holderIdentity", "?"),
                        id[0] ? "it sees another one at the same place"
                              : xb_json_str(seen, "error", "no reason was given"),
                        xb_location_is_s3(location)
                            ? "Every node must reach the same bucket, with the same credentials"
                            : "Mount the same file system at the same path on every node");
}

/* Whether the store has been used: then one without an identity is not it. */
static bool is_known(const struct xb_step_work *work)
{
    const char *name = xb_json_str(work->object, "metadata.name", "");
    bool known = known_identity(work->object)[0] != '\0';
    for (size_t i = 0; !known && i < json_object_array_length(work->extra); i++) {
        XB_CLEANUP(xb_json_putp)
        xb_json *seen = report_of(json_object_array_get_idx(work->extra, i), name);
        const char *id = xb_json_str(seen, "id", "");
        known = id[0] != '\0' && strcmp(id, XB_STORE_IDENTITY_NONE) != 0;
    }
    return known;
}

/* What this process sees. An identity is made only where nobody has ever seen one. */
static int look(struct xb_step_work *work, char identity[XB_STORE_IDENTITY_BYTES],
                struct xb_error *err)
{
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    xb_json *location = work->object;
    bool read_only = is_read_only(location);
    struct xb_location_access access = xb_location_access(work->coordinator, read_only);
    access.look = true;
    int r = xb_location_open(location, &access, &store, err);
    if (r < 0 || (r = xb_location_check_folders(store, err)) < 0) {
        return r;
    }
    if (!is_known(work) && !read_only) {
        return xb_location_make_identity(store, identity, err);
    }
    r = xb_location_identity(location, store, identity, err);
    return r < 0 ? r : compare_known(location, identity, err);
}

static int validate(struct xb_step_work *work, char identity[XB_STORE_IDENTITY_BYTES],
                    struct xb_error *err)
{
    const char *node = work->coordinator->options->node;
    int r = look(work, identity, err);
    if (r < 0) {
        return node ? xb_error_wrap(err, "the coordinator, on node %s", node) : r;
    }
    for (size_t i = 0; r == 0 && i < json_object_array_length(work->extra); i++) {
        r = compare_node(json_object_array_get_idx(work->extra, i), work->object, identity, err);
    }
    return r;
}

static void remember_identity(struct xb_step_work *work, const char *identity, xb_json *patch)
{
    if (!known_identity(work->object)[0] && strcmp(identity, XB_STORE_IDENTITY_NONE) != 0) {
        xb_json *metadata = json_object_new_object();
        xb_json *annotations = json_object_new_object();
        xb_json_put_text(annotations, XB_STORE_IDENTITY_ANNOTATION, identity);
        json_object_object_add(metadata, "annotations", annotations);
        json_object_object_add(patch, "metadata", metadata);
    }
}

/* The command line trusts what stands in the location: our authority must be there for it to fetch
 * logs from us. A bucket has an authority of its own, or none: there ours would be in the way, in a
 * location that was a folder before. */
static void offer_ca(struct xb_step_work *work, bool good, xb_json *patch)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_CERTIFICATE_PEM_BYTES_MAX * 2);
    if (xb_downloads_ca(work->coordinator, &text, &err) < 0) {
        return;
    }
    bool ours = strcmp(xb_json_str(work->object, "spec.objectStorage.caCert", ""), text.data) == 0;
    if (xb_location_is_s3(work->object)) {
        if (ours) {
            (void)!xb_json_set(patch, "spec.objectStorage.caCert", NULL, &err);
        }
    } else if (good && !ours && !xb_json_get(work->object, "spec.objectStorage.caCertRef")) {
        (void)!xb_json_set_str(patch, "spec.objectStorage.caCert", text.data, &err);
    }
}

static void put_default(struct xb_step_work *work, xb_json *patch)
{
    struct xb_error err = XB_ERROR_INIT;
    if (work->what == XB_DUE_DEFAULT_KEEP) {
        return;
    }
    bool set = work->what == XB_DUE_DEFAULT_SET;
    xb_log_info("the default storage location", "location",
                xb_json_str(work->object, "metadata.name", ""), "is", set ? "this one" : "another");
    (void)!xb_json_set_bool(patch, "spec.default", set, &err);
}

int xb_act_location(void *context, const atomic_bool *cancel, struct xb_error *err)
{
    struct xb_step_work *work = context;
    struct xb_error why = XB_ERROR_INIT;
    char message[MESSAGE_BYTES];
    char identity[XB_STORE_IDENTITY_BYTES];
    (void)cancel;
    int r = validate(work, identity, &why);
    const char *phase = r == 0 ? "Available" : "Unavailable";
    snprintf(message, sizeof message, "%.*s", MESSAGE_BYTES - 1, r == 0 ? "" : why.text);
    if (strcmp(phase, xb_json_str(work->object, "status.phase", "")) != 0 ||
        strcmp(message, xb_json_str(work->object, "status.message", "")) != 0) {
        xb_log_info("storage location", "location", xb_json_str(work->object, "metadata.name", ""),
                    "phase", phase, "message", message);
    }
    xb_json *patch = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(status, "phase", phase);
    xb_json_put_text(status, "message", message);
    json_object_object_add(status, "lastValidationTime", xb_velero_now());
    json_object_object_add(patch, "status", status);
    offer_ca(work, r == 0, patch);
    put_default(work, patch);
    if (r == 0) {
        remember_identity(work, identity, patch);
    }
    return xb_act_patch(work->coordinator, &xb_velero_locations, work->object, patch, err);
}

/* ---- plan ---- */

static bool add_lease(void *context, const char *key, xb_json *lease)
{
    (void)key;
    json_object_array_add(context, json_object_get(lease));
    return true;
}

/* What an administrator may change about a location: judged again at once when he does. */
static void fingerprint(xb_json *location, char out[XB_VELERO_NAME_BYTES])
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *spec = xb_json_get(location, "spec");
    const char *parts[] = {spec ? json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PLAIN) : "",
                           known_identity(location), NULL};
    if (xb_velero_derived_name("spec", parts, out, &err) < 0) {
        out[0] = '\0';
    }
}

struct default_view {
    xb_json *location;
    struct xb_due_default_facts facts;
};

static bool look_at_default(void *context, const char *key, xb_json *other)
{
    struct default_view *view = context;
    const char *own_name = xb_json_str(view->location, "metadata.name", "");
    const char *name = xb_json_str(other, "metadata.name", "");
    (void)key;
    if (strcmp(name, own_name) == 0 || !xb_json_bool(other, "spec.default", false)) {
        return true;
    }
    int age = strcmp(xb_json_str(other, "metadata.creationTimestamp", ""),
                     xb_json_str(view->location, "metadata.creationTimestamp", ""));
    view->facts.others++;
    view->facts.younger += age > 0 || (age == 0 && strcmp(name, own_name) > 0);
    return true;
}

/* At most one location is the default: several, or none, are put right. */
static enum xb_due_default default_change(struct xb_coordinator *coordinator, xb_json *location)
{
    struct default_view view = {.location = location};
    if (!xb_kube_informer_synced(coordinator->watched[XB_WATCH_LOCATIONS])) {
        return XB_DUE_DEFAULT_KEEP;
    }
    view.facts.is_default = xb_json_bool(location, "spec.default", false);
    view.facts.named = strcmp(xb_json_str(location, "metadata.name", ""),
                              coordinator->options->default_location) == 0;
    xb_kube_informer_each(coordinator->watched[XB_WATCH_LOCATIONS], look_at_default, &view);
    return xb_due_default(&view.facts);
}

enum xb_plan xb_plan_locations(void *context, const char *key, int64_t now_ns,
                               struct xb_action *ret)
{
    struct xb_coordinator *coordinator = context;
    xb_json *location = xb_kube_informer_get(coordinator->watched[XB_WATCH_LOCATIONS], key);
    char judged[XB_VELERO_NAME_BYTES];
    if (!location) {
        return XB_PLAN_NONE;
    }
    struct xb_run *run = xb_run_of(&coordinator->location_runs, key, location);
    fingerprint(location, judged);
    enum xb_due_default change = default_change(coordinator, location);
    bool same = change == XB_DUE_DEFAULT_KEEP && run && run->worked &&
                run->generation == coordinator->stores_generation &&
                strcmp(run->acted_on, judged) == 0;
    const struct xb_due_validation facts = {
        .frequency = xb_json_str(location, "spec.validationFrequency", NULL),
        .validated = xb_json_str(location, "status.lastValidationTime", NULL),
        .frequency_ns = coordinator->options->validation_ns,
        .now_ns = now_ns};
    const int64_t due_ns = xb_due_validation(&facts);
    if (same && due_ns > now_ns) {
        ret->at_ns = due_ns;
        return due_ns == XB_DUE_NEVER ? XB_PLAN_NONE : XB_PLAN_AT;
    }
    struct xb_step_work *work = run ? xb_step_work_new(coordinator, location) : NULL;
    if (!work) {
        return XB_PLAN_NONE;
    }
    work->run = run;
    work->what = change;
    work->generation = coordinator->stores_generation;
    work->extra = json_object_new_array();
    xb_kube_informer_each(coordinator->watched[XB_WATCH_NODES], add_lease, work->extra);
    *ret = (struct xb_action){
        .work = work, .run = xb_act_location, .done = xb_location_done, .free = xb_step_work_free};
    return XB_PLAN_ACT;
}

void xb_location_done(void *context, const char *key, void *work, const struct xb_error *err)
{
    struct xb_step_work *step = work;
    (void)context;
    (void)key;
    if (!err) {
        char judged[XB_VELERO_NAME_BYTES];
        fingerprint(step->object, judged);
        snprintf(step->run->acted_on, sizeof step->run->acted_on, "%.63s", judged);
        step->run->worked = true;
        step->run->generation = step->generation;
    }
}
