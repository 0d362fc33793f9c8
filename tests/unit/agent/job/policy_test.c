/* SPDX-License-Identifier: Apache-2.0
 *
 * Which copies are wanted: what several say together, what makes no sense, what contradicts.
 */
#include "tests/harness/probe.h"

#include "agent/freeze/freeze.h"
#include "agent/job/policy.h"

enum {
    LIVE = 1 << XB_FREEZE_LIVE,
    TREE = 1 << XB_FREEZE_TREE,
    IMAGE = 1 << XB_FREEZE_IMAGE,
    ZFS = 1 << XB_FREEZE_ZFS,
    BTRFS = 1 << XB_FREEZE_BTRFS
};

static int ask(const char *space, const char *claim, const char *pod, unsigned *ret,
               char problem[XB_POINT_IN_TIME_WHY_BYTES], struct xb_error *err)
{
    const struct xb_method_policy all[] = {
        {"namespace shop", space}, {"claim data", claim}, {"pod db", pod}};
    struct xb_freeze_methods methods;
    int r = xb_method_policies(all, 3, &methods, problem, err);
    if (r == 0) {
        *ret = xb_freeze_methods_left(methods);
    }
    return r;
}

static void the_strictest_wins(void **state)
{
    static const struct {
        const char *space, *claim, *pod;
        unsigned methods;
    } cases[] = {
        {NULL, NULL, NULL, XB_FREEZE_ANY},
        {"auto", "", NULL, XB_FREEZE_ANY},
        {"live", NULL, "auto", LIVE},
        {NULL, "off", NULL, LIVE},
        {"-reflink-tree", NULL, NULL, XB_FREEZE_ANY & ~(unsigned)TREE},
        {"-reflink-tree", "btrfs,reflink-tree", NULL, BTRFS},
        {"btrfs,live", "live,reflink-file", "auto", LIVE},
        {"-live", NULL, "-reflink-tree", XB_FREEZE_ANY & ~(unsigned)(LIVE | TREE)},
        {NULL, NULL, "reflink-file", IMAGE},
        {"auto,zfs", NULL, "auto", XB_FREEZE_ANY | (unsigned)ZFS},
        {NULL, "zfs,live", NULL, ZFS | LIVE},
        {"-zfs", "zfs,live", NULL, LIVE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char problem[XB_POINT_IN_TIME_WHY_BYTES];
        unsigned methods = 0;
        PROBE_OK(ask(cases[i].space, cases[i].claim, cases[i].pod, &methods, problem, &err));
        assert_int_equal(methods, cases[i].methods);
        assert_string_equal(problem, "");
    }
}

/* Said by name, and passed over: the volume is backed up as the others have it. */
static void nonsense(void **state)
{
    char problem[XB_POINT_IN_TIME_WHY_BYTES];
    unsigned methods = 0;
    (void)state;
    PROBE_OK(ask("fast", "live", NULL, &methods, problem, &err));
    assert_int_equal(methods, LIVE);
    assert_non_null(strstr(problem, "namespace shop"));
    assert_non_null(strstr(problem, "'fast'"));
    PROBE_OK(ask("fast", NULL, "LIVE", &methods, problem, &err));
    assert_int_equal(methods, XB_FREEZE_ANY);
    assert_non_null(strstr(problem, "pod db"));
}

static void contradictions(void **state)
{
    char problem[XB_POINT_IN_TIME_WHY_BYTES];
    unsigned methods = 7;
    struct xb_error err = XB_ERROR_INIT;
    (void)state;
    assert_true(ask("live", NULL, "btrfs", &methods, problem, &err) < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, "namespace shop: 'live'"));
    assert_non_null(strstr(err.text, "pod db: 'btrfs'"));
    assert_null(strstr(err.text, "claim data"));
    assert_int_equal(methods, 7);
}

static void annotations(void **state)
{
    XB_CLEANUP(xb_json_putp)
    xb_json *said =
        probe_json("{\"metadata\":{\"annotations\":{\"" XB_POINT_IN_TIME_POLICY "\":\"live\"}}}");
    XB_CLEANUP(xb_json_putp) xb_json *silent = probe_json("{\"metadata\":{}}");
    (void)state;
    assert_string_equal(xb_method_policy_of(said), "live");
    assert_null(xb_method_policy_of(silent));
    assert_null(xb_method_policy_of(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_strictest_wins),
                                       cmocka_unit_test(nonsense), cmocka_unit_test(contradictions),
                                       cmocka_unit_test(annotations)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
