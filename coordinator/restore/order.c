/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/order.h"

#include <stddef.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Pods stand before replica sets on purpose: the controllers then adopt the restored pods, with
 * their restored volumes, in place of making new ones. Services and endpoints come after the pods
 * so that nothing is sent to them too early. */
static const char *const first[] = {
    "customresourcedefinitions.apiextensions.k8s.io",
    "namespaces",
    "storageclasses.storage.k8s.io",
    "volumesnapshotclasses.snapshot.storage.k8s.io",
    "volumesnapshotcontents.snapshot.storage.k8s.io",
    "volumesnapshots.snapshot.storage.k8s.io",
    "datauploads.velero.io",
    "persistentvolumes",
    "persistentvolumeclaims",
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "serviceaccounts",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "secrets",
    "configmaps",
    "limitranges",
    "priorityclasses.scheduling.k8s.io",
    "pods",
    "replicasets.apps",
    "clusterclasses.cluster.x-k8s.io",
    "endpoints",
    "services",
};

static const char *const last[] = {
    "clusterbootstraps.run.tanzu.vmware.com",      "clusters.cluster.x-k8s.io",
    "clusterresourcesets.addons.cluster.x-k8s.io", "apps.kappctrl.k14s.io",
    "packageinstalls.packaging.carvel.dev",
};

/* Velero does make orders again that were given long ago: a DeleteBackupRequest of a record would
 * delete. */
static const char *const never[] = {
    "nodes",
    "events",
    "events.events.k8s.io",
    "csinodes.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "backups.velero.io",
    "restores.velero.io",
    "backuprepositories.velero.io",
    "resticrepositories.velero.io",
    "podvolumebackups.velero.io",
    "podvolumerestores.velero.io",
    "deletebackuprequests.velero.io",
    "downloadrequests.velero.io",
    "serverstatusrequests.velero.io",
};

/* "pods" is only the core kind, never "pods.metrics.k8s.io"; but a name without a group may stand
 * for one with a group. */
static bool matches(const char *entry, const char *resource)
{
    if (strcmp(entry, resource) == 0) {
        return true;
    }
    size_t len = strlen(resource);
    return len > 0 && !strchr(resource, '.') && strncmp(entry, resource, len) == 0 &&
           entry[len] == '.';
}

static int find(const char *const *entries, size_t count, const char *resource)
{
    for (size_t i = 0; i < count; i++) {
        if (matches(entries[i], resource)) {
            return (int)i;
        }
    }
    return -1;
}

int xb_restore_rank(const char *resource)
{
    int place = find(first, COUNT(first), resource);
    if (place >= 0) {
        return place;
    }
    place = find(last, COUNT(last), resource);
    return place >= 0 ? (int)COUNT(first) + 1 + place : (int)COUNT(first);
}

int xb_restore_order_compare(const void *a, const void *b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    int left_rank = xb_restore_rank(left), right_rank = xb_restore_rank(right);
    if (left_rank != right_rank) {
        return left_rank < right_rank ? -1 : 1;
    }
    return strcmp(left, right);
}

bool xb_restore_never(const char *resource)
{
    /* Exact names only: a foreign "backups.postgresql.cnpg.io" is somebody's data, and a bare
     * "backups" could be just that. */
    for (size_t i = 0; i < COUNT(never); i++) {
        if (strcmp(never[i], resource) == 0) {
            return true;
        }
    }
    return false;
}
