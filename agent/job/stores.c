/* SPDX-License-Identifier: Apache-2.0
 * What this node sees of every storage location, told in its Lease: the coordinator compares it
 * with what it sees itself (design decision 8). */
#include <stdio.h>
#include <string.h>

#include "agent/hooks/cri.h"
#include "agent/job/internal.h"
#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/velero/bracket.h"
#include "shared/velero/host_paths.h"
#include "shared/velero/location.h"
#include "shared/velero/velero.h"

enum { SEEN_TEXT_BYTES = 400, LEASE_S = 60 };

static xb_json *look_at(const struct xb_agent *agent, xb_json *location)
{
    const struct xb_location_access access = {.client = agent->client,
                                              .namespace = agent->options->namespace,
                                              .read_only = true,
                                              .limits = agent->options->limits,
                                              .look = true};
    XB_CLEANUP(xb_store_freep) struct xb_store *store = NULL;
    char identity[XB_STORE_IDENTITY_BYTES] = "";
    char text[SEEN_TEXT_BYTES];
    struct xb_error err = XB_ERROR_INIT;
    xb_json *seen = json_object_new_object();
    int r = xb_location_open(location, &access, &store, &err);
    if (r == 0) {
        r = xb_location_identity(location, store, identity, &err);
    }
    if (r == 0) {
        json_object_object_add(seen, "id", json_object_new_string(identity));
    } else {
        snprintf(text, sizeof text, "%.*s", SEEN_TEXT_BYTES - 1, err.text);
        json_object_object_add(seen, "error", json_object_new_string(text));
    }
    return seen;
}

static xb_json *make_lease(const struct xb_stores_work *work, const char *name, const char *seen)
{
    char now[XB_TIME_TEXT_BYTES];
    xb_json *lease = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *annotations = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_time_format_micro(xb_clock_wall_ns(), now);
    json_object_object_add(labels, XB_NODE_LEASE_LABEL, json_object_new_string("true"));
    json_object_object_add(annotations, XB_STORES_SEEN_ANNOTATION, json_object_new_string(seen));
    json_object_object_add(annotations, XB_BRACKET_NODE_ANNOTATION,
                           json_object_new_string(xb_cri_present(NULL) ? "true" : "false"));
    json_object_object_add(annotations, XB_PREPARES_ANNOTATION, json_object_new_string("true"));
    json_object_object_add(
        annotations, XB_BLOCK_DEVICES_ANNOTATION,
        json_object_new_string(work->agent->options->block_devices ? "true" : "false"));
    json_object_object_add(annotations, XB_HOST_PATHS_ANNOTATION,
                           json_object_new_string(work->agent->options->host_paths));
    json_object_object_add(metadata, "name", json_object_new_string(name));
    json_object_object_add(metadata, "labels", labels);
    json_object_object_add(metadata, "annotations", annotations);
    json_object_object_add(spec, "holderIdentity",
                           json_object_new_string(work->agent->options->node));
    json_object_object_add(spec, "leaseDurationSeconds", json_object_new_int64(LEASE_S));
    json_object_object_add(spec, "renewTime", json_object_new_string(now));
    json_object_object_add(lease, "apiVersion", json_object_new_string("coordination.k8s.io/v1"));
    json_object_object_add(lease, "kind", json_object_new_string("Lease"));
    json_object_object_add(lease, "metadata", metadata);
    json_object_object_add(lease, "spec", spec);
    return lease;
}

int xb_stores_report(void *context, const atomic_bool *stop, struct xb_error *err)
{
    struct xb_stores_work *work = context;
    XB_CLEANUP(xb_json_putp) xb_json *seen = json_object_new_object();
    size_t count = json_object_array_length(work->locations);
    char name[XB_VELERO_NAME_BYTES];
    (void)stop;
    for (size_t i = 0; i < count; i++) {
        xb_json *location = json_object_array_get_idx(work->locations, i);
        json_object_object_add(seen, xb_json_str(location, "metadata.name", "?"),
                               look_at(work->agent, location));
    }
    snprintf(name, sizeof name, "xebec-node-%s", work->agent->options->node);
    XB_CLEANUP(xb_json_putp)
    xb_json *lease =
        make_lease(work, name, json_object_to_json_string_ext(seen, JSON_C_TO_STRING_PLAIN));
    struct xb_kube_ref ref = {.resource = &xb_coordination_leases,
                              .namespace = work->agent->options->namespace,
                              .name = name};
    int r = xb_kube_merge_patch(work->agent->client, &ref, lease, NULL, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        ref.name = NULL;
        r = xb_kube_create(work->agent->client, &ref, lease, NULL, err);
    }
    return r;
}
