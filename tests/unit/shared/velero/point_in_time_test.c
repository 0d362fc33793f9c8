/* SPDX-License-Identifier: Apache-2.0
 *
 * What an order says of its moment: written, read, of another order, hostile, in words.
 */
#include "tests/harness/probe.h"

#include "shared/velero/point_in_time.h"

static const struct xb_point_in_time copied = {.uid = "order-uid",
                                               .method = "btrfs-snapshot",
                                               .consistency = XB_CONSISTENCY_CRASH,
                                               .time_ns = 1764154800123456000,
                                               .copy_us = 812,
                                               .frozen_us = 640,
                                               .held_us = 1900};

static xb_json *order_with(const char *uid, const char *text)
{
    xb_json *order = json_object_new_object();
    PROBE_OK(xb_json_set_str(order, "metadata.uid", uid, &err));
    PROBE_OK(xb_json_set(order, "metadata.annotations", json_object_new_object(), &err));
    if (text) {
        json_object_object_add(xb_json_get(order, "metadata.annotations"),
                               XB_POINT_IN_TIME_ANNOTATION, json_object_new_string(text));
    }
    return order;
}

static xb_json *order_of(const struct xb_point_in_time *point, const char *uid)
{
    xb_json *order = NULL;
    PROBE_OK(xb_point_in_time_patch(point, &order, &err));
    if (uid) {
        PROBE_OK(xb_json_set_str(order, "metadata.uid", uid, &err));
    }
    return order;
}

static void written_and_read(void **state)
{
    struct xb_point_in_time again;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *patch = order_of(&copied, NULL);
    XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&copied, "order-uid");
    (void)state;
    assert_false(xb_point_in_time_fixed(patch)); /* it has no uid: it is not the one */
    assert_int_equal(xb_point_in_time_parse(order, &again, &err), 1);
    assert_string_equal(again.uid, copied.uid);
    assert_string_equal(again.method, copied.method);
    assert_int_equal(again.consistency, copied.consistency);
    assert_int_equal(again.time_ns, copied.time_ns);
    assert_int_equal(again.copy_us, copied.copy_us);
    assert_int_equal(again.frozen_us, copied.frozen_us);
    assert_int_equal(again.held_us, copied.held_us);
    assert_int_equal(again.changed_files, 0);
    assert_string_equal(again.reason, "");
    assert_true(xb_point_in_time_fixed(order));
}

/* An annotation that came along when its object was copied says nothing about the copy. */
static void of_another(void **state)
{
    struct xb_point_in_time again;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&copied, "another");
    XB_CLEANUP(xb_json_putp) xb_json *bare = order_with("order-uid", NULL);
    (void)state;
    assert_int_equal(xb_point_in_time_parse(order, &again, &err), 0);
    assert_false(xb_point_in_time_fixed(order));
    assert_int_equal(xb_point_in_time_parse(bare, &again, &err), 0);
    assert_int_equal(xb_point_in_time_parse(NULL, &again, &err), 0);
    assert_int_equal(err.code, 0);
}

#define HEAD "{\"uid\":\"u\",\"method\":\"live\",\"consistency\":\"fuzzy\","
#define TIME "\"time\":\"2026-11-26T11:00:00Z\""

static void hostile(void **state)
{
    static const char *const texts[] = {
        "",
        "7",
        "[]",
        "{}",
        HEAD TIME "}",
        HEAD "\"time\":\"soon\",\"copyMicroseconds\":1}",
        HEAD TIME ",\"copyMicroseconds\":-1}",
        HEAD TIME ",\"copyMicroseconds\":\"1\"}",
        HEAD TIME ",\"copyMicroseconds\":1,\"heldMicroseconds\":-7}",
        HEAD TIME ",\"copyMicroseconds\":1,\"frozenMicroseconds\":-1}",
        HEAD TIME ",\"copyMicroseconds\":1,\"changedFiles\":true}",
        "{\"uid\":\"u\",\"method\":\"live\",\"consistency\":\"app\"," TIME
        ",\"copyMicroseconds\":1}",
        "{\"uid\":\"u\",\"method\":\"../x\",\"consistency\":\"crash\"," TIME
        ",\"copyMicroseconds\":1}",
        "{\"uid\":\"u\",\"method\":\"\",\"consistency\":\"crash\"," TIME ",\"copyMicroseconds\":1}",
        "{\"uid\":\"u\",\"method\":\"a-name-that-is-much-longer-than-any\",\"consistency\":"
        "\"crash\"," TIME ",\"copyMicroseconds\":1}",
        "{\"uid\":7,\"method\":\"live\",\"consistency\":\"fuzzy\"," TIME ",\"copyMicroseconds\":1}",
    };
    struct xb_point_in_time point;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *order = order_with("u", texts[i]);
        PROBE_REFUSED(xb_point_in_time_parse(order, &point, &err), XB_ERR_INVALID);
        assert_false(xb_point_in_time_fixed(order));
    }
    char *long_text = malloc(XB_POINT_IN_TIME_BYTES_MAX + 2);
    assert_non_null(long_text);
    memset(long_text, ' ', XB_POINT_IN_TIME_BYTES_MAX + 1);
    long_text[XB_POINT_IN_TIME_BYTES_MAX + 1] = '\0';
    XB_CLEANUP(xb_json_putp) xb_json *order = order_with("u", long_text);
    PROBE_REFUSED(xb_point_in_time_parse(order, &point, &err), XB_ERR_INVALID);
    free(long_text);
}

/* What is too long is cut between characters, and nothing in it can break a log's line. */
static void texts_are_clean(void **state)
{
    struct xb_point_in_time point = copied;
    struct xb_point_in_time again;
    struct xb_error err = XB_ERROR_INIT;

    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *planted =
        order_with("u", HEAD TIME ",\"copyMicroseconds\":1,\"reason\":\"a\\nlevel=error\\u0007 "
                                  "\\u00e9\"}");
    assert_int_equal(xb_point_in_time_parse(planted, &again, &err), 1);
    assert_string_equal(again.reason, "a?level=error? \xc3\xa9");
    memset(point.reason, 'x', sizeof point.reason - 2);
    memcpy(point.reason + sizeof point.reason - 3, "\xc3\xa9", 3); /* just fits */
    XB_CLEANUP(xb_json_putp) xb_json *order = order_of(&point, point.uid);
    assert_int_equal(xb_point_in_time_parse(order, &again, &err), 1);
    assert_string_equal(again.reason, point.reason);
}

static void held(void **state)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = order_with("u", NULL);
    (void)state;
    assert_false(xb_point_in_time_held(order));
    assert_false(xb_point_in_time_held(NULL));
    xb_json *annotations = xb_json_get(order, "metadata.annotations");
    json_object_object_add(annotations, XB_HELD_ANNOTATION, json_object_new_boolean(true));
    assert_false(xb_point_in_time_held(order)); /* annotations are texts */
    json_object_object_add(annotations, XB_HELD_ANNOTATION, json_object_new_string("true"));
    assert_true(xb_point_in_time_held(order));
    assert_false(xb_point_in_time_held_soon(order));
    json_object_object_add(annotations, XB_HELD_ANNOTATION, json_object_new_string("soon"));
    assert_true(xb_point_in_time_held_soon(order));
    assert_false(xb_point_in_time_held(order));
}

/* By the order's own uid: an annotation that was copied along says nothing. */
static void prepared(void **state)
{
    XB_CLEANUP(xb_json_putp) xb_json *order = order_with("u", NULL);
    (void)state;
    assert_false(xb_point_in_time_prepared(order));
    assert_false(xb_point_in_time_prepared(NULL));
    xb_json *annotations = xb_json_get(order, "metadata.annotations");
    json_object_object_add(annotations, XB_PREPARED_ANNOTATION, json_object_new_string("v"));
    assert_false(xb_point_in_time_prepared(order));
    json_object_object_add(annotations, XB_PREPARED_ANNOTATION, json_object_new_string("u"));
    assert_true(xb_point_in_time_prepared(order));
    json_object_object_add(annotations, XB_PREPARED_ANNOTATION, json_object_new_string(""));
    PROBE_OK(xb_json_set_str(order, "metadata.uid", "", &err));
    assert_false(xb_point_in_time_prepared(order));
}

static void in_words(void **state)
{
    struct xb_point_in_time live = {.method = XB_POINT_IN_TIME_LIVE,
                                    .consistency = XB_CONSISTENCY_FUZZY,
                                    .copy_us = 70,
                                    .held_us = -1,
                                    .changed_files = 3,
                                    .reason = "ext4 has no copies"};
    char said[XB_POINT_IN_TIME_TEXT_BYTES];
    (void)state;
    xb_point_in_time_say(&copied, said);
    assert_string_equal(said, "copied by btrfs-snapshot in 812 us (crash-consistent: all of one "
                              "moment); its file system was frozen for 640 us; the application "
                              "was held for 1900 us");
    xb_point_in_time_say(&live, said);
    assert_string_equal(said, "read live in 70 us (fuzzy: files are of different moments); 3 files "
                              "changed each time that they were read; no better method: ext4 has "
                              "no copies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read),
        cmocka_unit_test(of_another),
        cmocka_unit_test(hostile),
        cmocka_unit_test(texts_are_clean),
        cmocka_unit_test(held),
        cmocka_unit_test(prepared),
        cmocka_unit_test(in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
