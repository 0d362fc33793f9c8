/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/order.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
 * for one with a group. A user's word that means no kind of the cluster is one of a definition that
 * is yet to come. */
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

struct xb_restore_order {
    char **words; /* the first ones, then the last ones */
    size_t first, last;
};

void xb_restore_order_free(struct xb_restore_order *order)
{
    if (!order) {
        return;
    }
    for (size_t i = 0; i < order->first + order->last; i++) {
        free(order->words[i]);
    }
    free(order->words);
    free(order);
}

static int add_word(struct xb_restore_order *order, const char *word, bool is_last,
                    struct xb_error *err)
{
    size_t count = order->first + order->last;
    char **words = reallocarray(order->words, count + 1, sizeof *words);
    if (!words) {
        return xb_error_no_memory(err, "the order of kinds");
    }
    order->words = words;
    words[count] = strdup(word);
    if (!words[count]) {
        return xb_error_no_memory(err, "the order of kinds");
    }
    order->first += is_last ? 0 : 1;
    order->last += is_last ? 1 : 0;
    return 0;
}

int xb_restore_order_new(const char *priorities, xb_restore_word_fn *fn, void *context,
                         struct xb_restore_order **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_restore_order_freep)
    struct xb_restore_order *order = calloc(1, sizeof *order);
    bool parted = false;
    int r = order ? add_word(order, first[0], false, err)
                  : xb_error_no_memory(err, "the order of kinds");
    for (const char *at = priorities; r == 0 && *at;) {
        char word[XB_RESTORE_RESOURCE_BYTES], known[XB_RESTORE_RESOURCE_BYTES];
        size_t len = strcspn(at, ",");
        if (len >= sizeof word || order->first + order->last >= XB_RESTORE_PRIORITIES_MAX ||
            (len == 1 && *at == '-' && parted)) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "--restore-resource-priorities: want names of kinds with at most "
                                "one '-' among them, such as pods,-,jobs.batch; not '%.*s'",
                                len > 100 ? 100 : (int)len, at);
        }
        snprintf(word, sizeof word, "%.*s", (int)len, at);
        if (strcmp(word, "-") == 0) {
            parted = true;
        } else if (word[0]) {
            r = add_word(order, fn && fn(context, word, known) ? known : word, parted, err);
        }
        at += len + (at[len] ? 1 : 0);
    }
    if (r == 0) {
        *ret = XB_TAKE(order);
    }
    return r;
}

/* `firsts`, all others, `lasts`. */
static int rank_in(const char *const *firsts, size_t first_count, const char *const *lasts,
                   size_t last_count, const char *resource)
{
    int place = find(firsts, first_count, resource);
    if (place >= 0) {
        return place;
    }
    place = find(lasts, last_count, resource);
    return place >= 0 ? (int)first_count + 1 + place : (int)first_count;
}

int xb_restore_rank(const struct xb_restore_order *order, const char *resource)
{
    if (!order) {
        return rank_in(first, COUNT(first), last, COUNT(last), resource);
    }
    const char *const *words = (const char *const *)order->words;
    return rank_in(words, order->first, words + order->first, order->last, resource);
}

int xb_restore_order_compare(const struct xb_restore_order *order, const char *left,
                             const char *right)
{
    int left_rank = xb_restore_rank(order, left), right_rank = xb_restore_rank(order, right);
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
