/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/restore/order.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The contract's order, with three kinds of no rank in the middle. */
static const char *const ordered[] = {
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
    "applications.argoproj.io",
    "deployments.apps",
    "ingresses.networking.k8s.io",
    "clusterbootstraps.run.tanzu.vmware.com",
    "clusters.cluster.x-k8s.io",
    "clusterresourcesets.addons.cluster.x-k8s.io",
    "apps.kappctrl.k14s.io",
    "packageinstalls.packaging.carvel.dev",
};

/* Sorting any shuffle gives the contract's order. */
static void sorts_into_the_contracts_order(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed < 50; seed++) {
        const char *names[COUNT(ordered)];
        memcpy(names, ordered, sizeof names);
        for (size_t i = COUNT(names) - 1; i > 0; i--) {
            size_t other = (seed * 2654435761U + i * 40503U) % (i + 1);
            const char *taken = names[i];
            names[i] = names[other];
            names[other] = taken;
        }
        qsort(names, COUNT(names), sizeof names[0], xb_restore_order_compare);
        for (size_t i = 0; i < COUNT(names); i++) {
            assert_string_equal(names[i], ordered[i]);
        }
    }
}

/* Only the kinds of the table have ranks of their own. */
static void others_share_the_middle(void **state)
{
    (void)state;
    int middle = xb_restore_rank("deployments.apps");
    assert_int_equal(xb_restore_rank("widgets.example.org"), middle);
    assert_int_equal(xb_restore_rank(""), middle);
    assert_true(xb_restore_rank("services") < middle);
    assert_true(xb_restore_rank("clusters.cluster.x-k8s.io") > middle);
    assert_true(xb_restore_rank("pods") < xb_restore_rank("replicasets.apps"));
}

/* A foreign group with a known plural is another kind; a bare plural is the known one. */
static void groups_count(void **state)
{
    (void)state;
    int middle = xb_restore_rank("deployments.apps");
    assert_int_equal(xb_restore_rank("pods.metrics.k8s.io"), middle);
    assert_int_equal(xb_restore_rank("services.serving.knative.dev"), middle);
    assert_int_equal(xb_restore_rank("clusters.management.cattle.io"), middle);
    assert_int_equal(xb_restore_rank("pod"), middle);
    assert_int_equal(xb_restore_rank("customresourcedefinitions.apiextensions"), middle);
    assert_int_equal(xb_restore_rank("roles"), xb_restore_rank("roles.rbac.authorization.k8s.io"));
    assert_int_equal(xb_restore_rank("customresourcedefinitions"), 0);
}

static void never_restores_the_clusters_own(void **state)
{
    (void)state;
    static const char *const yes[] = {"nodes",
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
                                      "serverstatusrequests.velero.io"};
    static const char *const no[] = {"pods",
                                     "node",
                                     "nodes.metrics.k8s.io",
                                     "backups.postgresql.cnpg.io",
                                     "restores.example.org",
                                     "backups",
                                     "schedules.velero.io",
                                     "datauploads.velero.io",
                                     ""};
    for (size_t i = 0; i < COUNT(yes); i++) {
        assert_true(xb_restore_never(yes[i]));
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        assert_false(xb_restore_never(no[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_into_the_contracts_order),
        cmocka_unit_test(others_share_the_middle),
        cmocka_unit_test(groups_count),
        cmocka_unit_test(never_restores_the_clusters_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
