/* SPDX-License-Identifier: Apache-2.0
 * One volume of a backup into a pod that runs: nothing is created but the order. */
#include <errno.h>
#include <string.h>

#include "coordinator/bring/internal.h"

/* ---- from where ---- */

/* The PodVolumeBackup with the data. */
static int find_data(const struct xb_bring *bring, const struct xb_in_place *wanted, xb_json **ret,
                     struct xb_error *err)
{
    bool by_claim = wanted->claim[0] != '\0';
    xb_json *data = xb_bring_data_of(bring, wanted->namespace, wanted->pod,
                                     by_claim ? wanted->claim : wanted->volume);
    bool whole = data && strcmp(xb_json_str(data, "status.phase", ""), "Completed") == 0 &&
                 xb_velero_snapshot_of(data)[0];
    if (!whole) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "backup %s has no data of %s %s/%s%s%s: see its description for the "
                            "volumes that it has",
                            bring->context.backup_name, by_claim ? "claim" : "volume",
                            wanted->namespace, by_claim ? wanted->claim : wanted->pod,
                            by_claim ? "" : "/", wanted->volume);
    }
    *ret = data;
    return 0;
}

/* ---- into what ---- */

static bool runs(xb_json *pod)
{
    return strcmp(xb_json_str(pod, "status.phase", ""), "Running") == 0 &&
           !xb_json_get(pod, "metadata.deletionTimestamp");
}

/* The name of the pod's volume that is called so or, with `claim`, has that claim; NULL: none. */
static const char *volume_of(xb_json *pod, const char *name, const char *claim)
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    xb_json *volume = claim[0] ? xb_json_find(volumes, "persistentVolumeClaim.claimName", claim)
                               : xb_json_find(volumes, "name", name);
    return xb_json_str(volume, "name", NULL);
}

struct search {
    const char *claim;
    xb_json *found; /* the first by name, so that it is the same each time */
};

static int look_at_pod(void *context, xb_json *pod, struct xb_error *err)
{
    struct search *search = context;
    (void)err;
    if (runs(pod) && volume_of(pod, "", search->claim) &&
        (!search->found || strcmp(xb_json_str(pod, "metadata.name", ""),
                                  xb_json_str(search->found, "metadata.name", "")) < 0)) {
        json_object_put(search->found);
        search->found = json_object_get(pod);
    }
    return 0;
}

static int find_by_claim(const struct xb_bring *bring, const char *namespace, const char *claim,
                         xb_json **ret, struct xb_error *err)
{
    struct search search = {.claim = claim};
    const struct xb_kube_list list = {
        .resource = &xb_core_pods, .namespace = namespace, .cancel = bring->options->cancel};
    int r = xb_kube_list_pages(bring->options->client, &list, look_at_pod, &search, err);
    if (r == 0 && !search.found) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "no running pod has claim %s/%s mounted: start one", namespace, claim);
    }
    if (r < 0) {
        json_object_put(search.found);
        return r;
    }
    *ret = search.found;
    return 0;
}

static int find_by_name(const struct xb_bring *bring, const char *namespace, const char *name,
                        xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const struct xb_kube_ref ref = {.resource = &xb_core_pods,
                                    .namespace = namespace,
                                    .name = name,
                                    .cancel = bring->options->cancel};
    int r = xb_kube_get(bring->options->client, &ref, &pod, err);
    if (r < 0) {
        return r;
    }
    if (!runs(pod)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "pod %s/%s does not run (%s): a restore in place needs one that does",
                            namespace, name, xb_json_str(pod, "status.phase", "?"));
    }
    *ret = XB_TAKE(pod);
    return 0;
}

/* The pod and the name of its volume, lent by it. */
static int find_target(const struct xb_bring *bring, const struct xb_in_place *wanted,
                       xb_json *data, xb_json **ret_pod, const char **ret_volume,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const char *namespace = xb_in_place_namespace(bring->restore, wanted);
    const char *name = wanted->into_pod[0] ? wanted->into_pod : wanted->pod;
    int r = name[0] ? find_by_name(bring, namespace, name, &pod, err)
                    : find_by_claim(bring, namespace, wanted->claim, &pod, err);
    if (r < 0) {
        return r;
    }
    const char *volume = volume_of(pod, xb_json_str(data, "spec.volume", ""), wanted->claim);
    if (!volume) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "pod %s/%s has no such volume (%s)",
                            namespace, xb_json_str(pod, "metadata.name", ""),
                            wanted->claim[0] ? wanted->claim : wanted->volume);
    }
    *ret_volume = volume;
    *ret_pod = XB_TAKE(pod);
    return 0;
}

int xb_bring_in_place(struct xb_bring *bring, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const struct xb_in_place *wanted = &bring->in_place;
    struct xb_bring_order order = {.in_place = true};
    int r = find_data(bring, wanted, &order.data, err);
    if (r == 0) {
        r = wanted->into_claim[0]
                ? xb_bring_new_claim(bring, order.data, &pod, &order.volume, err)
                : find_target(bring, wanted, order.data, &pod, &order.volume, err);
    }
    order.pod = pod;
    if (r == 0 && !bring->options->dry_run) {
        r = xb_bring_order(bring, &order, err);
    }
    if (r == 0) {
        xb_record_log_line(
            bring->options->log, XB_RECORD_INFO, xb_json_str(pod, "metadata.namespace", ""),
            "in place: %s%s%s goes into volume %s of pod %s; nothing "
            "else is restored",
            wanted->path[0] ? "'" : "", wanted->path[0] ? wanted->path : "all data",
            wanted->path[0] ? "'" : "", order.volume, xb_json_str(pod, "metadata.name", ""));
    }
    return r;
}
