/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/restore/versions.h"
#include "tests/harness/probe.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* A cluster that serves one kind, "bands.music.io", in these versions, the preferred one first. */
struct cluster {
    const char *versions[4];
};

static bool serves(void *context, const char *resource, const char *version)
{
    struct cluster *cluster = context;
    for (size_t i = 0; i < COUNT(cluster->versions) && cluster->versions[i]; i++) {
        if (strcmp(resource, "bands.music.io") == 0 && strcmp(cluster->versions[i], version) == 0) {
            return true;
        }
    }
    return false;
}

static const char *preferred(void *context, const char *resource)
{
    struct cluster *cluster = context;
    return strcmp(resource, "bands.music.io") == 0 ? cluster->versions[0] : NULL;
}

/* What is chosen for a record with these versions, its preferred one first. */
static void check(struct cluster cluster, const char *const *record, const char *priorities,
                  const char *expected)
{
    XB_CLEANUP(xb_restore_versions_freep) struct xb_restore_versions *versions = NULL;
    const struct xb_restore_served served = {serves, preferred, &cluster};
    PROBE_OK(xb_restore_versions_new(&served, priorities, &versions, &err));
    assert_null(xb_restore_versions_chosen(versions, "bands.music.io"));
    for (size_t i = 0; record[i]; i++) { /* objects have every version in turn */
        PROBE_OK(xb_restore_versions_seen(versions, "bands.music.io", record[i], i == 0, &err));
        PROBE_OK(xb_restore_versions_seen(versions, "bands.music.io", record[i], i == 0, &err));
    }
    assert_string_equal(xb_restore_versions_chosen(versions, "bands.music.io"), expected);
    assert_null(xb_restore_versions_chosen(versions, "bands"));
}

static void choices(void **state)
{
    (void)state;
    static const char *const old[] = {"v1", "v2beta2", "v2beta1", NULL};
    /* Nothing is served yet: its definition may be in the record. */
    check((struct cluster){{NULL}}, old, NULL, "v1");
    /* What the cluster prefers, even if the backup's cluster preferred another one. */
    check((struct cluster){{"v2beta2", "v1"}}, old, NULL, "v2beta2");
    check((struct cluster){{"v1", "v2beta2"}}, old, NULL, "v1");
    /* Else what the backup's cluster preferred. */
    check((struct cluster){{"v3", "v2beta2", "v1"}}, old, NULL, "v1");
    /* Else the best of the others. */
    check((struct cluster){{"v3", "v2beta1", "v2beta2"}}, old, NULL, "v2beta2");
    /* Nothing in common: it fails by the name of what was preferred. */
    check((struct cluster){{"v3", "v2alpha1"}}, old, NULL, "v1");
}

static void users_order(void **state)
{
    (void)state;
    static const char *const old[] = {"v1", "v2beta2", "v2beta1", NULL};
    const struct cluster here = {{"v2", "v2beta2", "v2beta1"}};
    check(here, old, "bands.music.io=v2beta1,v2beta2,v2", "v2beta1");
    check(here, old, "pods=v7\n\n  bands.music.io = v9, v2beta1\r\n", "v2beta1");
    /* Not for this kind, nothing that both have, or not of the form: as without. */
    check(here, old, "bands.music.io.x=v2beta1\nxbands.music.io=v2beta1", "v2beta2");
    check(here, old, "bands.music.io=v1,v2", "v2beta2");
    check(here, old, "bands.music.io v2beta1", "v2beta2");
    check(here, old, "bands.music.io=", "v2beta2");
    check(here, old, "bands.music.io=\nv2beta1", "v2beta2");
    check((struct cluster){{NULL}}, old, "bands.music.io=v2beta1", "v1");
}

static void ranks(void **state)
{
    (void)state;
    static const char *const ordered[] = {
        "v10",       "v2",   "v1",    "v11beta2", "v10beta3", "v3beta1", "v12alpha1",
        "v11alpha2", "foo1", "foo10", "v",        "v1gamma1", "v1x"};
    for (size_t i = 0; i < COUNT(ordered); i++) {
        for (size_t k = 0; k < COUNT(ordered); k++) {
            int got = xb_restore_version_compare(ordered[i], ordered[k]);
            assert_int_equal((got > 0) - (got < 0), (i > k) - (i < k));
        }
    }
}

static void limits(void **state)
{
    (void)state;
    XB_CLEANUP(xb_restore_versions_freep) struct xb_restore_versions *versions = NULL;
    struct cluster cluster = {{"v1"}};
    const struct xb_restore_served served = {serves, preferred, &cluster};
    PROBE_OK(xb_restore_versions_new(&served, NULL, &versions, &err));
    for (int i = 0; i < XB_RESTORE_VERSIONS_MAX; i++) {
        char version[16];
        snprintf(version, sizeof version, "v%d", i);
        PROBE_OK(xb_restore_versions_seen(versions, "pods", version, false, &err));
    }
    PROBE_REFUSED(xb_restore_versions_seen(versions, "pods", "v999", false, &err), XB_ERR_CORRUPT);
    /* No copy of it was the preferred one, and the cluster does not serve it. */
    assert_null(xb_restore_versions_chosen(versions, "pods"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(choices), cmocka_unit_test(users_order),
                                       cmocka_unit_test(ranks), cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
