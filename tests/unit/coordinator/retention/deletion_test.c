/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request to delete a backup needs next, what refuses it, and which snapshots go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/retention/deletion.h"
#include "shared/base/clock.h"

#define ID_A "0123456789abcdef0123456789abcdef"
#define ID_B "ffffffffffffffffffffffffffffffff"

enum { DAY = 24 * 3600 };

static xb_json *parse(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_json *json = NULL;
    assert_int_equal(xb_json_parse(text, strlen(text), &json, &err), 0);
    return json;
}

/* ---- steps ---- */

static enum xb_deletion_step next(const struct xb_deletion_facts *facts)
{
    return xb_deletion_plan(facts).step;
}

static void from_new_to_the_end(void **state)
{
    (void)state;
    struct xb_deletion_facts facts = {.phase = "", .now_ns = XB_NS_PER_S, .first = true};
    assert_int_equal(next(&facts), XB_DELETION_BEGIN);
    facts.phase = "New";
    assert_int_equal(next(&facts), XB_DELETION_BEGIN);
    facts.phase = "InProgress";
    assert_int_equal(next(&facts), XB_DELETION_REMOVE);
    facts.restores = 2;
    assert_int_equal(next(&facts), XB_DELETION_RESTORES);
    facts.restores_ns = XB_NS_PER_S;
    assert_int_equal(next(&facts), XB_DELETION_WAIT);
    assert_int_equal(xb_deletion_plan(&facts).at_ns, 61 * XB_NS_PER_S);
    facts.now_ns = 61 * XB_NS_PER_S; /* one whose finalizer nobody takes off holds nothing back */
    assert_int_equal(next(&facts), XB_DELETION_REMOVE);
    facts.phase = "Processed";
    assert_int_equal(next(&facts), XB_DELETION_WAIT);
}

static void one_request_at_a_time(void **state)
{
    (void)state;
    struct xb_deletion_facts facts = {.phase = "", .first = false};
    assert_int_equal(next(&facts), XB_DELETION_NONE);
    facts.phase = "InProgress";
    assert_int_equal(next(&facts), XB_DELETION_NONE);
    static const char *const ages[][2] = {
        {"{\"metadata\":{\"name\":\"z\",\"creationTimestamp\":\"2026-01-01T00:00:09Z\"},"
         "\"status\":{\"phase\":\"InProgress\"}}",
         "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}}"},
        {"{\"metadata\":{\"name\":\"z\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}}",
         "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"2026-01-01T00:00:09Z\"}}"},
        {"{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}}",
         "{\"metadata\":{\"name\":\"b\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}}"}};
    for (size_t i = 0; i < sizeof ages / sizeof *ages; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *first = parse(ages[i][0]);
        XB_CLEANUP(xb_json_putp) xb_json *second = parse(ages[i][1]);
        assert_true(xb_deletion_before(first, second));
        assert_false(xb_deletion_before(second, first));
        assert_false(xb_deletion_before(first, first));
    }
}

static void leftovers_are_dropped(void **state)
{
    (void)state;
    struct xb_deletion_facts facts = {.phase = "Processed", .now_ns = DAY * XB_NS_PER_S - 1};
    assert_int_equal(next(&facts), XB_DELETION_WAIT);
    assert_int_equal(xb_deletion_plan(&facts).at_ns, DAY * XB_NS_PER_S);
    facts.now_ns++;
    assert_int_equal(next(&facts), XB_DELETION_DROP);
    facts.phase = "InProgress";
    assert_int_equal(next(&facts), XB_DELETION_DROP);
    facts.phase = "New"; /* nobody has looked at it yet: the coordinator was away */
    facts.first = true;
    assert_int_equal(next(&facts), XB_DELETION_BEGIN);
    facts.phase = "?";
    assert_int_equal(next(&facts), XB_DELETION_NONE);
}

/* ---- checks ---- */

static const char good_backup[] =
    "{\"metadata\":{\"name\":\"b\",\"uid\":\"u1\"},\"spec\":{\"storageLocation\":\"here\"},"
    "\"status\":{\"phase\":\"Completed\",\"startTimestamp\":\"2026-01-01T00:00:00Z\"}}";
static const char good_location[] = "{\"spec\":{\"accessMode\":\"ReadWrite\"},\"status\":{"
                                    "\"phase\":\"Available\"}}";
static const char good_request[] = "{\"metadata\":{\"labels\":{\"velero.io/backup-uid\":\"u1\"}},"
                                   "\"spec\":{\"backupName\":\"b\"}}";

static void refuses(const char *request, const char *backup, const char *location, const char *word)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *asked = parse(request);
    XB_CLEANUP(xb_json_putp) xb_json *object = backup ? parse(backup) : NULL;
    XB_CLEANUP(xb_json_putp) xb_json *place = location ? parse(location) : NULL;
    bool recorded = true;
    int r = xb_deletion_check(asked, object, place, &recorded, &err);
    if (!word) {
        assert_int_equal(r, 0);
        return;
    }
    assert_true(r < 0);
    assert_int_equal(err.kind, XB_ERR_INVALID);
    assert_non_null(strstr(err.text, word));
}

static void what_refuses(void **state)
{
    (void)state;
    refuses(good_request, good_backup, good_location, NULL);
    refuses("{\"spec\":{\"backupName\":\"b\"}}", good_backup, good_location, NULL);
    refuses("{\"spec\":{}}", good_backup, good_location, "backupName");
    refuses(good_request, NULL, NULL, "not found");
    refuses("{\"metadata\":{\"labels\":{\"velero.io/backup-uid\":\"u0\"}},\"spec\":{"
            "\"backupName\":\"b\"}}",
            good_backup, good_location, "another one");
    refuses(good_request, good_backup, NULL, "location here not found");
    refuses(good_request, good_backup,
            "{\"spec\":{\"accessMode\":\"ReadOnly\"},\"status\":{\"phase\":\"Available\"}}",
            "read-only");
    refuses(good_request, good_backup,
            "{\"spec\":{},\"status\":{\"phase\":\"Unavailable\",\"message\":\"no such bucket\"}}",
            "no such bucket");
    refuses(good_request, good_backup, "{}", "Unavailable");
}

static void refuses_phase(const char *phase, const char *word)
{
    char backup[400];
    snprintf(backup, sizeof backup,
             "{\"metadata\":{\"uid\":\"u1\"},\"spec\":{\"storageLocation\":\"here\"},\"status\":{"
             "\"phase\":\"%s\",\"startTimestamp\":\"x\"}}",
             phase);
    refuses(good_request, backup, good_location, word);
}

static void running_backups_stay(void **state)
{
    (void)state;
    static const char *const open[] = {"",           "New",        "Queued", "ReadyToStart",
                                       "InProgress", "Finalizing", "Other"};
    static const char *const ended[] = {"Completed", "PartiallyFailed", "Failed",
                                        "FailedValidation", "Deleting"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        refuses_phase(open[i], "in progress");
    }
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++) {
        refuses_phase(ended[i], NULL);
    }
}

/* One that never began has nothing in any location, and needs none to go. */
static void what_never_began(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *request = parse(good_request);
    XB_CLEANUP(xb_json_putp)
    xb_json *backup = parse("{\"metadata\":{\"uid\":\"u1\"},\"spec\":{\"storageLocation\":"
                            "\"nowhere\"},\"status\":{\"phase\":\"FailedValidation\"}}");
    bool recorded = true;
    assert_int_equal(xb_deletion_check(request, backup, NULL, &recorded, &err), 0);
    assert_false(recorded);
}

/* A clock that has jumped makes requests for backups that have not expired by any other clock. */
static void expired_by_another_clock(void **state)
{
    (void)state;
    static const struct {
        const char *created, *expiration;
        bool refused;
    } cases[] = {
        {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false},
        {"2026-01-01T00:00:00Z", "2025-01-01T00:00:00Z", false},
        {"2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", false}, /* clocks differ a little */
        {"2026-01-01T00:00:00Z", "2026-01-01T00:05:01Z", true},
        {"2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", true},
        {"2026-01-01T00:00:00Z", "", true}, /* it does not expire any more */
        {"", "2025-01-01T00:00:00Z", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char request[400], backup[400];
        snprintf(
            request, sizeof request,
            "{\"metadata\":{\"creationTimestamp\":\"%s\",\"annotations\":{\"xebec.io/expired\":"
            "\"true\"}},\"spec\":{\"backupName\":\"b\"}}",
            cases[i].created);
        snprintf(backup, sizeof backup,
                 "{\"spec\":{},\"status\":{\"phase\":\"Completed\",\"expiration\":\"%s\"}}",
                 cases[i].expiration);
        refuses(request, backup, good_location, cases[i].refused ? "API server's clock" : NULL);
    }
    refuses("{\"spec\":{\"backupName\":\"b\"}}",
            "{\"status\":{\"phase\":\"Completed\",\"expiration\":\"2036-01-01T00:00:00Z\"}}",
            good_location, NULL); /* somebody wants it gone before it expires */
}

static void whose_marker(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *backup = parse(good_backup);
    static const struct {
        const char *marker;
        bool own;
    } cases[] = {
        {"{\"metadata\":{\"uid\":\"u1\"}}", true},
        {"{\"metadata\":{\"uid\":\"u2\"},\"status\":{\"startTimestamp\":\"2026-01-01T00:00:00Z\"}}",
         true}, /* it came from the store, and has a new uid */
        {"{\"metadata\":{\"uid\":\"u2\"},\"status\":{\"startTimestamp\":\"2025-01-01T00:00:00Z\"}}",
         false},
        {"{}", false},
        {"[]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *marker = parse(cases[i].marker);
        assert_int_equal(xb_deletion_own_marker(marker, backup), cases[i].own);
    }
    XB_CLEANUP(xb_json_putp) xb_json *empty = parse("{}");
    assert_false(xb_deletion_own_marker(empty, empty));
}

/* ---- snapshots ---- */

static xb_json *order(const char *namespace, const char *id)
{
    char text[300];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"name\":\"o\"},\"spec\":{\"pod\":{\"namespace\":\"%s\"}},\"status\":{"
             "\"snapshotID\":\"%s\"}}",
             namespace, id);
    return parse(text);
}

static int add(struct xb_deletion_snapshots *list, const char *namespace, const char *id)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *one = order(namespace, id);
    int r = xb_deletion_add(list, one, &err);
    assert_true(r == 0 || err.kind == XB_ERR_INVALID);
    return r;
}

static void snapshots_by_namespace(void **state)
{
    (void)state;
    struct xb_deletion_snapshots list = {.items = NULL};
    assert_int_equal(add(&list, "two", ID_A), 0);
    assert_int_equal(add(&list, "one", ID_B), 0);
    assert_int_equal(add(&list, "one", ID_A), 0);
    assert_int_equal(add(&list, "one", ID_B), 0); /* by its object and by the record */
    assert_int_equal(add(&list, "one", ""), 0);   /* it failed */
    xb_deletion_sort(&list);
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0].namespace, "one");
    assert_string_equal(list.items[0].id, ID_A);
    assert_string_equal(list.items[1].id, ID_B);
    assert_string_equal(list.items[2].namespace, "two");
    XB_CLEANUP(xb_json_putp) xb_json *foreign = order("one", ID_A);
    xb_deletion_spare(&list, foreign);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0].id, ID_B);
    assert_string_equal(list.items[1].namespace, "two"); /* the same id elsewhere is another */
    xb_deletion_free(&list);
    assert_int_equal(list.count, 0);
    xb_deletion_sort(&list);
}

static void what_is_no_snapshot(void **state)
{
    (void)state;
    struct xb_deletion_snapshots list = {.items = NULL};
    struct xb_error err = XB_ERROR_INIT;
    static const char *const ids[] = {"x", "0123456789ABCDEF0123456789ABCDEF", ID_A "0",
                                      "../../../../../../../../../../etc", "0123456789abcdef"};
    static const char *const namespaces[] = {"", "..", "a/b", "../kopia", "-x"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        assert_true(add(&list, "one", ids[i]) < 0);
        assert_true(add(&list, namespaces[i], ID_A) < 0);
    }
    XB_CLEANUP(xb_json_putp)
    xb_json *restic = parse("{\"spec\":{\"uploaderType\":\"restic\",\"pod\":{\"namespace\":\"n\"}},"
                            "\"status\":{\"snapshotID\":\"abcd\"}}");
    assert_true(xb_deletion_add(&list, restic, &err) < 0);
    assert_non_null(strstr(err.text, "restic"));
    assert_int_equal(list.count, 0);
    xb_deletion_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_new_to_the_end),   cmocka_unit_test(one_request_at_a_time),
        cmocka_unit_test(leftovers_are_dropped), cmocka_unit_test(what_refuses),
        cmocka_unit_test(running_backups_stay),  cmocka_unit_test(what_never_began),
        cmocka_unit_test(whose_marker),          cmocka_unit_test(snapshots_by_namespace),
        cmocka_unit_test(what_is_no_snapshot),   cmocka_unit_test(expired_by_another_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
