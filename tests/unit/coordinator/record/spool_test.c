/* SPDX-License-Identifier: Apache-2.0
 *
 * Items on scratch disk: in groups, in order, as often as asked; what an earlier life left is gone.
 */
#include "tests/harness/probe.h"

#include "coordinator/record/spool.h"

static struct xb_spool *make_spool(void **state, const char *name)
{
    struct xb_spool *spool = NULL;
    PROBE_OK(xb_spool_new(probe_path(state, name), &spool, &err));
    return spool;
}

static void add(struct xb_spool *spool, const char *resource, const char *name, const char *json)
{
    const struct xb_tarball_item item = {resource, "v1", name[0] == 'n' ? "" : "web", name, false};
    PROBE_OK(xb_spool_add(spool, &item, json, strlen(json), &err));
}

/* "name=json;" of each, and the rest compared. */
static int collect(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                   struct xb_error *err)
{
    struct xb_buf *out = context;
    assert_string_equal(item->version, "v1");
    assert_string_equal(item->namespace, item->name[0] == 'n' ? "" : "web");
    assert_int_equal(strlen(json), len);
    return xb_buf_printf(out, err, "%s=%s;", item->name, json);
}

static void check_group(struct xb_spool *spool, size_t index, const char *name,
                        const char *expected)
{
    struct xb_buf text = XB_BUF_INIT(10000);
    assert_string_equal(xb_spool_group_name(spool, index), name);
    PROBE_OK(xb_spool_read(spool, index, collect, &text, &err));
    assert_string_equal(text.data ? text.data : "", expected);
    xb_buf_free(&text);
}

static void groups(void **state)
{
    XB_CLEANUP(xb_spool_freep) struct xb_spool *spool = make_spool(state, "groups");
    assert_int_equal(xb_spool_group_count(spool), 0);
    add(spool, "pods", "a", "1");
    add(spool, "deployments.apps", "b", "2");
    add(spool, "pods", "n", "");
    add(spool, "pods", "a", "3");
    assert_int_equal(xb_spool_group_count(spool), 2);
    check_group(spool, 0, "pods", "a=1;n=;a=3;");
    check_group(spool, 0, "pods", "a=1;n=;a=3;");
    /* Reading does not end writing. */
    add(spool, "pods", "c", "4");
    check_group(spool, 0, "pods", "a=1;n=;a=3;c=4;");
    check_group(spool, 1, "deployments.apps", "b=2;");
}

static int stop_at_second(void *context, const struct xb_tarball_item *item, const char *json,
                          size_t len, struct xb_error *err)
{
    (void)item;
    (void)json;
    (void)len;
    return ++*(int *)context == 2 ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "enough") : 0;
}

static void callback_ends(void **state)
{
    int seen = 0;
    XB_CLEANUP(xb_spool_freep) struct xb_spool *spool = make_spool(state, "ends");
    add(spool, "pods", "a", "1");
    add(spool, "pods", "b", "2");
    add(spool, "pods", "c", "3");
    PROBE_REFUSED(xb_spool_read(spool, 0, stop_at_second, &seen, &err), XB_ERR_CANCELLED);
    assert_int_equal(seen, 2);
    add(spool, "pods", "d", "4");
    check_group(spool, 0, "pods", "a=1;b=2;c=3;d=4;");
}

static int largest(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                   struct xb_error *err)
{
    (void)context;
    (void)err;
    assert_int_equal(strlen(item->name), 255);
    assert_int_equal(len, XB_TARBALL_ITEM_BYTES_MAX);
    assert_true(json[0] == 'x' && json[len - 1] == 'x' && json[len] == '\0');
    return 0;
}

/* Whatever the tarball's reader may hand out fits. */
static void largest_item(void **state)
{
    XB_CLEANUP(xb_spool_freep) struct xb_spool *spool = make_spool(state, "largest");
    XB_CLEANUP(xb_freep) char *json = malloc(XB_TARBALL_ITEM_BYTES_MAX);
    char name[256];
    memset(json, 'x', XB_TARBALL_ITEM_BYTES_MAX);
    memset(name, 'm', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const struct xb_tarball_item item = {"pods", name, name, name, false};
    PROBE_OK(xb_spool_add(spool, &item, json, XB_TARBALL_ITEM_BYTES_MAX, &err));
    PROBE_OK(xb_spool_read(spool, 0, largest, NULL, &err));
}

/* A coordinator that was killed leaves files; the next one neither reads nor keeps them. */
static void earlier_life(void **state)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", probe_path(state, "earlier"));
    assert_int_equal(mkdir(folder, 0700), 0);
    probe_write(probe_path(state, "earlier/group-0"), "rubbish", 7);
    probe_write(probe_path(state, "earlier/group-7"), "rubbish", 7);
    struct xb_spool *spool = make_spool(state, "earlier");
    assert_int_not_equal(access(probe_path(state, "earlier/group-7"), F_OK), 0);
    assert_int_equal(xb_spool_group_count(spool), 0);
    add(spool, "pods", "a", "1");
    check_group(spool, 0, "pods", "a=1;");
    xb_spool_free(spool);
    assert_int_not_equal(access(folder, F_OK), 0);
}

static void failures(void **state)
{
    struct xb_spool *spool = NULL;
    PROBE_REFUSED(xb_spool_new(probe_path(state, "no/such"), &spool, &err), XB_ERR_NOT_FOUND);
    assert_null(spool);
    probe_write(probe_path(state, "file"), "x", 1);
    struct xb_error err = XB_ERROR_INIT;
    assert_true(xb_spool_new(probe_path(state, "file"), &spool, &err) < 0);
    assert_null(spool);
    xb_spool_free(NULL);
}

/* A full disk is known when the items are read, at the latest. */
static void full_disk(void **state)
{
    XB_CLEANUP(xb_spool_freep) struct xb_spool *spool = make_spool(state, "full");
    int seen = 0;
    assert_int_equal(symlink("/dev/full", probe_path(state, "full/group-0")), 0);
    add(spool, "pods", "a", "1");
    PROBE_REFUSED(xb_spool_read(spool, 0, stop_at_second, &seen, &err), XB_ERR_FULL);
    assert_int_equal(seen, 0);
}

static void too_many_groups(void **state)
{
    XB_CLEANUP(xb_spool_freep) struct xb_spool *spool = make_spool(state, "many");
    int added = 0;
    struct xb_error why = XB_ERROR_INIT;
    char resource[40];
    int r = 0;
    for (; r == 0 && added < XB_SPOOL_GROUPS_MAX + 1; added += r == 0) {
        snprintf(resource, sizeof resource, "kind-%d", added);
        const struct xb_tarball_item item = {resource, "v1", "", "n", false};
        r = xb_spool_add(spool, &item, "{}", 2, &why);
    }
    assert_true(r < 0);
    if (why.code != -EMFILE) { /* a smaller limit of this machine's */
        assert_int_equal(added, XB_SPOOL_GROUPS_MAX);
        assert_int_equal(why.kind, XB_ERR_FULL);
    }
    assert_int_equal(xb_spool_group_count(spool), added);
    const struct xb_tarball_item known = {"kind-0", "v1", "", "n", false};
    PROBE_OK(xb_spool_add(spool, &known, "{}", 2, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups),          cmocka_unit_test(callback_ends),
        cmocka_unit_test(largest_item),    cmocka_unit_test(earlier_life),
        cmocka_unit_test(failures),        cmocka_unit_test(full_disk),
        cmocka_unit_test(too_many_groups),
    };
    return cmocka_run_group_tests(tests, probe_folder_make, probe_folder_remove);
}
