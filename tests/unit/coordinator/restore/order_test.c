/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
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

static int compare(const void *a, const void *b, void *order)
{
    return xb_restore_order_compare(order, *(const char *const *)a, *(const char *const *)b);
}

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
        qsort_r(names, COUNT(names), sizeof names[0], compare, NULL);
        for (size_t i = 0; i < COUNT(names); i++) {
            assert_string_equal(names[i], ordered[i]);
        }
    }
}

/* Only the kinds of the table have ranks of their own. */
static void others_share_the_middle(void **state)
{
    (void)state;
    int middle = xb_restore_rank(NULL, "deployments.apps");
    assert_int_equal(xb_restore_rank(NULL, "widgets.example.org"), middle);
    assert_int_equal(xb_restore_rank(NULL, ""), middle);
    assert_true(xb_restore_rank(NULL, "services") < middle);
    assert_true(xb_restore_rank(NULL, "clusters.cluster.x-k8s.io") > middle);
    assert_true(xb_restore_rank(NULL, "pods") < xb_restore_rank(NULL, "replicasets.apps"));
}

/* A foreign group with a known plural is another kind; a bare plural is the known one. */
static void groups_count(void **state)
{
    (void)state;
    int middle = xb_restore_rank(NULL, "deployments.apps");
    assert_int_equal(xb_restore_rank(NULL, "pods.metrics.k8s.io"), middle);
    assert_int_equal(xb_restore_rank(NULL, "services.serving.knative.dev"), middle);
    assert_int_equal(xb_restore_rank(NULL, "clusters.management.cattle.io"), middle);
    assert_int_equal(xb_restore_rank(NULL, "pod"), middle);
    assert_int_equal(xb_restore_rank(NULL, "customresourcedefinitions.apiextensions"), middle);
    assert_int_equal(xb_restore_rank(NULL, "roles"),
                     xb_restore_rank(NULL, "roles.rbac.authorization.k8s.io"));
    assert_int_equal(xb_restore_rank(NULL, "customresourcedefinitions"), 0);
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

static bool short_names(void *context, const char *word, char ret[XB_RESTORE_RESOURCE_BYTES])
{
    (void)context;
    snprintf(ret, XB_RESTORE_RESOURCE_BYTES, "deployments.apps");
    return strcmp(word, "deploy") == 0;
}

/* The flag's order is its own, but for definitions, which are first in each. */
static void users_order(void **state)
{
    (void)state;
    const char *names[] = {"services",
                           "pods",
                           "deployments.apps",
                           "jobs.batch",
                           "secrets",
                           "widgets.example.org",
                           "customresourcedefinitions.apiextensions.k8s.io"};
    static const char *const want[] = {"customresourcedefinitions.apiextensions.k8s.io",
                                       "widgets.example.org",
                                       "deployments.apps",
                                       "jobs.batch",
                                       "secrets",
                                       "services",
                                       "pods"};
    XB_CLEANUP(xb_restore_order_freep) struct xb_restore_order *order = NULL;
    struct xb_error err = XB_ERROR_INIT;
    assert_int_equal(xb_restore_order_new("widgets.example.org,deploy,-,services,pods", short_names,
                                          NULL, &order, &err),
                     0);
    qsort_r(names, COUNT(names), sizeof names[0], compare, order);
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_string_equal(names[i], want[i]);
    }
}

static void users_order_forms(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        int pods, others; /* their ranks */
    } good[] = {{"", 1, 1},       {"-", 1, 1},      {"pods", 1, 2},
                {"pods,-", 1, 2}, {"-,pods", 2, 1}, {"a,,pods,-,b", 2, 3}};
    static const char *const bad[] = {"a,-,b,-,c", "-,-"};
    for (size_t i = 0; i < COUNT(good); i++) {
        XB_CLEANUP(xb_restore_order_freep) struct xb_restore_order *order = NULL;
        struct xb_error err = XB_ERROR_INIT;
        assert_int_equal(xb_restore_order_new(good[i].flag, NULL, NULL, &order, &err), 0);
        assert_int_equal(xb_restore_rank(order, "pods"), good[i].pods);
        assert_int_equal(xb_restore_rank(order, "services"), good[i].others);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct xb_restore_order *order = NULL;
        struct xb_error err = XB_ERROR_INIT;
        assert_true(xb_restore_order_new(bad[i], NULL, NULL, &order, &err) < 0);
        assert_int_equal(err.kind, XB_ERR_INVALID);
        assert_null(order);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sorts_into_the_contracts_order),
        cmocka_unit_test(others_share_the_middle),
        cmocka_unit_test(groups_count),
        cmocka_unit_test(users_order),
        cmocka_unit_test(users_order_forms),
        cmocka_unit_test(never_restores_the_clusters_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
