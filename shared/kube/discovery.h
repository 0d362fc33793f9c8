/* SPDX-License-Identifier: Apache-2.0
 *
 * discovery.h - what the API server serves.
 *
 * What for:  backing up "everything", and turning what a user writes ("deploy", "pods",
 *            "volumes.example.com") into a resource.
 * Ownership: the caller owns the discovery; what lookups return belongs to it.
 * Threads:   read-only after creation, so any.
 * Blocking:  xb_kube_discover: two requests, or on old servers one per group and version.
 * Shapes:    the server's order: core group first, versions by the group's preference.
 * Errors:    as client.h. A group whose own server does not answer is not an error but is told by
 *            xb_kube_discovery_failed, so that nothing is left out in silence.
 * Limits:    XB_KUBE_DISCOVERY_*.
 * Source:    apidiscovery.k8s.io/v2, and APIGroupList.
 */
#pragma once

#include "shared/kube/client.h"

enum { XB_KUBE_DISCOVERY_GROUPS_MAX = 4096, XB_KUBE_DISCOVERY_RESOURCES_MAX = 65536 };

struct xb_kube_discovery;

/* One resource in one version. Subresources are not listed. */
struct xb_kube_api {
    struct xb_kube_resource resource;
    const char *singular; /* may be "" */
    bool preferred;       /* of this group's resource, this is the version to use */
    xb_json *verbs, *short_names, *categories; /* arrays of strings, or NULL */
};

int xb_kube_discover(struct xb_kube_client *client, struct xb_kube_discovery **ret,
                     struct xb_error *err) XB_MUST_CHECK;
void xb_kube_discovery_free(struct xb_kube_discovery *discovery);
XB_DEFINE_CLEANUP(xb_kube_discovery_freep, struct xb_kube_discovery, xb_kube_discovery_free);

size_t xb_kube_discovery_count(const struct xb_kube_discovery *discovery);
const struct xb_kube_api *xb_kube_discovery_at(const struct xb_kube_discovery *discovery,
                                               size_t index);

/* Groups (with version) that are registered but did not answer; `index` from 0, NULL after the
 * last. Text: "group/version: why". */
const char *xb_kube_discovery_failed(const struct xb_kube_discovery *discovery, size_t index);

bool xb_kube_api_can(const struct xb_kube_api *api, const char *verb);

/* By exact group and plural; `version` NULL: the preferred one. */
const struct xb_kube_api *xb_kube_discovery_find_plural(const struct xb_kube_discovery *discovery,
                                                        const char *group, const char *version,
                                                        const char *plural);
