/* SPDX-License-Identifier: Apache-2.0
 *
 * What an order says of its moment: a round trip changes nothing, and what is cut or altered is
 * refused or is another word that holds together. An application is thawed by such a word alone,
 * and only by one of its own order: with another's, a cut or a mangled one it stays as it is.
 */
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

#include "shared/velero/point_in_time.h"

enum { POINTS = 300, FLIPS = 40 };

#define UID "6b5f8f0c-2d1e-4c3b-9a8e-7f60d1c2b3a4"

static struct xb_point_in_time random_point(struct property *source)
{
    static const char *const methods[] = {"live", "btrfs-snapshot", "reflink-tree", "x-1"};
    static const char *const texts[] = {"", "a \"b\" </c>", "\xc3\xa9 \xe2\x82\xac", "line"};
    struct xb_point_in_time point = {
        .uid = UID,
        .consistency = (enum xb_consistency)property_below(source, XB_CONSISTENCIES),
        .time_ns = (int64_t)property_below(source, UINT64_C(4000000000000000)) * 1000,
        .copy_us = (int64_t)property_below(source, INT64_MAX),
        .held_us = (int64_t)property_below(source, 3) - 1,
        .changed_files = (int64_t)property_below(source, 5)};
    snprintf(point.method, sizeof point.method, "%s", methods[property_below(source, 4)]);
    snprintf(point.reason, sizeof point.reason, "%s", texts[property_below(source, 4)]);
    snprintf(point.problem, sizeof point.problem, "%s", texts[property_below(source, 4)]);
    return point;
}

static xb_json *order_of(const struct xb_point_in_time *point)
{
    xb_json *order = NULL;
    PROBE_OK(xb_point_in_time_patch(point, &order, &err));
    PROBE_OK(xb_json_set_str(order, "metadata.uid", UID, &err));
    return order;
}

static void same(const struct xb_point_in_time *want, const struct xb_point_in_time *got)
{
    assert_string_equal(got->uid, want->uid);
    assert_string_equal(got->method, want->method);
    assert_string_equal(got->reason, want->reason);
    assert_string_equal(got->problem, want->problem);
    assert_int_equal(got->consistency, want->consistency);
    assert_int_equal(got->time_ns, want->time_ns);
    assert_int_equal(got->copy_us, want->copy_us);
    assert_int_equal(got->held_us, want->held_us);
    assert_int_equal(got->changed_files, want->changed_files);
}

static void round_trips(void **state)
{
    struct property source = property_begin("points in time");
    (void)state;
    for (int i = 0; i < POINTS; i++) {
        const struct xb_point_in_time point = random_point(&source);
        struct xb_point_in_time again;
        struct xb_error err = XB_ERROR_INIT;
        XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&point);
        assert_int_equal(xb_point_in_time_parse(order, &again, &err), 1);
        same(&point, &again);
    }
}

/* What is parsed and what thaws are the same, and of the order itself. */
static int say(xb_json *order, const char *text)
{
    struct xb_point_in_time point;
    struct xb_error err = XB_ERROR_INIT;
    xb_json *annotations = xb_json_get(order, "metadata.annotations");
    json_object_object_add(annotations, XB_POINT_IN_TIME_ANNOTATION, json_object_new_string(text));
    int r = xb_point_in_time_parse(order, &point, &err);
    assert_int_equal(xb_point_in_time_fixed(order), r > 0);
    if (r > 0) {
        assert_string_equal(point.uid, UID);
        assert_true(point.consistency < XB_CONSISTENCIES && point.copy_us >= 0 &&
                    point.held_us >= -1 && point.changed_files >= 0 && point.method[0]);
    } else if (r < 0) {
        assert_int_equal(err.kind, XB_ERR_INVALID);
    }
    return r;
}

static void altered(void **state)
{
    struct property source = property_begin("points in time, altered");
    (void)state;
    for (int i = 0; i < POINTS; i++) {
        const struct xb_point_in_time point = random_point(&source);
        XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&point);
        xb_json *annotations = xb_json_get(order, "metadata.annotations");
        xb_json *text = NULL;
        (void)json_object_object_get_ex(annotations, XB_POINT_IN_TIME_ANNOTATION, &text);
        char *bytes = strdup(json_object_get_string(text));
        assert_non_null(bytes);
        size_t len = strlen(bytes);
        assert_int_equal(say(order, bytes), 1);
        for (int flip = 0; flip < FLIPS; flip++) {
            size_t at = property_below(&source, len);
            bool cut = property_once_in(&source, 4);
            char before = bytes[at];
            unsigned char flipped = (unsigned char)before;
            flipped ^= (unsigned char)(1U << property_below(&source, 7));
            bytes[at] = (char)(cut ? 0 : flipped);
            int r = say(order, bytes);
            assert_false(cut && r > 0);
            bytes[at] = before;
        }
        free(bytes);
    }
}

/* Copied along with something, or meant for another try of the same name. */
static void of_another(void **state)
{
    struct property source = property_begin("points in time of others");
    (void)state;
    for (int i = 0; i < POINTS; i++) {
        const struct xb_point_in_time point = random_point(&source);
        XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&point);
        xb_json *text = NULL;
        (void)json_object_object_get_ex(xb_json_get(order, "metadata.annotations"),
                                        XB_POINT_IN_TIME_ANNOTATION, &text);
        XB_CLEANUP(xb_freep) char *bytes = strdup(json_object_get_string(text));
        assert_non_null(bytes);
        char *uid = strstr(bytes, UID);
        assert_non_null(uid);
        size_t at = property_below(&source, sizeof UID - 1);
        unsigned char flipped = (unsigned char)uid[at];
        flipped ^= (unsigned char)(1U << property_below(&source, 7));
        uid[at] = (char)flipped;
        assert_true(say(order, bytes) <= 0);
        uid[at] = UID[at];
        assert_int_equal(say(order, bytes), 1);
        char other[sizeof UID] = UID; /* the order was made anew */
        other[at] = other[at] == '0' ? '1' : '0';
        PROBE_OK(xb_json_set_str(order, "metadata.uid", other, &err));
        assert_int_equal(say(order, bytes), 0);
        PROBE_OK(xb_json_set_str(order, "metadata.uid", "", &err));
        assert_int_equal(say(order, bytes), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(round_trips), cmocka_unit_test(altered),
                                       cmocka_unit_test(of_another)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
