/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of hooks: a round trip changes nothing, and what is cut or altered is refused or is
 * another record that holds together. Two sides find the same hooks in the same objects, however
 * they are ordered.
 */
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

#include "shared/velero/bracket.h"

enum { RECORDS = 200, FLIPS = 40 };

static xb_json *annotated(const char *text)
{
    xb_json *order = json_object_new_object();
    PROBE_OK(xb_json_set(order, "metadata.annotations", json_object_new_object(), &err));
    json_object_object_add(xb_json_get(order, "metadata.annotations"), XB_BRACKET_RECORD_ANNOTATION,
                           json_object_new_string(text));
    return order;
}

static char *written(const struct xb_bracket_record *record)
{
    xb_json *patch = NULL;
    xb_json *text = NULL;
    PROBE_OK(xb_bracket_record_patch(record, &patch, &err));
    assert_true(json_object_object_get_ex(xb_json_get(patch, "metadata.annotations"),
                                          XB_BRACKET_RECORD_ANNOTATION, &text));
    char *copy = strdup(json_object_get_string(text));
    assert_non_null(copy);
    json_object_put(patch);
    return copy;
}

static struct xb_bracket_record random_record(struct property *source)
{
    static const char *const results[] = {"{\"phase\":\"pre\",\"exit\":0}",
                                          "{\"exit\":3}",
                                          "{\"timedOut\":true}",
                                          "{\"error\":\"<x> \\\"y\\\"\"}",
                                          "{\"skipped\":true}",
                                          "{\"exit\":0,\"stdout\":\"a\\nb \\u00e9\"}"};
    struct xb_bracket_record record = {.state = (enum xb_bracket_state)property_below(source, 5),
                                       .session =
                                           (enum xb_bracket_session)property_below(source, 3),
                                       .refused = property_once_in(source, 3),
                                       .taken = property_once_in(source, 5),
                                       .begun_ms = (int64_t)property_below(source, 1000),
                                       .ended_ms = (int64_t)property_below(source, 1000),
                                       .held_us = (int64_t)property_below(source, 3),
                                       .results = json_object_new_array()};
    for (size_t i = property_below(source, 9); i > 0; i--) {
        json_object_array_add(record.results, probe_json(results[property_below(source, 6)]));
    }
    return record;
}

static void holds_together(xb_json *order)
{
    struct xb_bracket_record record;
    struct xb_error err = XB_ERROR_INIT;
    int64_t attempted = 0;
    int64_t failed = 0;
    if (xb_bracket_record_parse(order, &record, &err) < 0) {
        assert_int_equal(err.kind, XB_ERR_INVALID);
        return;
    }
    xb_bracket_record_count(&record, &attempted, &failed);
    assert_true(failed <= attempted);
    assert_true(record.state <= XB_BRACKET_DONE);
    xb_bracket_record_free(&record);
}

static void round_trips(void **state)
{
    struct property source = property_begin("records of hooks");
    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        struct xb_bracket_record record = random_record(&source);
        struct xb_bracket_record again;
        char *text = written(&record);
        xb_json *order = annotated(text);
        PROBE_OK(xb_bracket_record_parse(order, &again, &err));
        char *second = written(&again);
        assert_string_equal(text, second);
        assert_int_equal(again.state, record.state);
        assert_int_equal(again.session, record.session);
        assert_int_equal(again.refused, record.refused);
        assert_int_equal(again.begun_ms, record.begun_ms);
        assert_int_equal(again.ended_ms, record.ended_ms);
        assert_int_equal(again.held_us, record.held_us);
        json_object_put(order);
        xb_bracket_record_free(&again);
        free(second);
        /* Every truncation is refused. */
        size_t len = strlen(text);
        char kept = 0;
        size_t cut = property_below(&source, len);
        kept = text[cut];
        text[cut] = '\0';
        order = annotated(text);
        PROBE_REFUSED(xb_bracket_record_parse(order, &again, &err), XB_ERR_INVALID);
        json_object_put(order);
        text[cut] = kept;
        for (int flip = 0; flip < FLIPS; flip++) {
            size_t at = property_below(&source, len);
            char bit = (char)(1 << property_below(&source, 7));
            text[at] = (char)(text[at] ^ bit);
            order = annotated(text);
            holds_together(order);
            json_object_put(order);
            text[at] = (char)(text[at] ^ bit);
        }
        free(text);
        xb_bracket_record_free(&record);
    }
}

/* The agent reads the pod anew: its annotations come in another order, and other ones with them. */
static void same_on_both_sides(void **state)
{
    static const char *const parts[] = {
        "\"pre.hook.backup.velero.io/command\":\"[\\\"a\\\",\\\"b\\\"]\"",
        "\"pre.hook.backup.velero.io/timeout\":\"9s\"",
        "\"post.hook.backup.velero.io/command\":\"c\"",
        "\"post.hook.backup.velero.io/on-error\":\"Continue\"",
        "\"other\":\"x\"",
        "\"one-more\":\"y\""};
    struct property source = property_begin("hooks of both sides");
    char first[XB_HOOKS_DIGEST_BYTES] = "";
    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        struct xb_hooks hooks;
        char digest[XB_HOOKS_DIGEST_BYTES];
        struct xb_buf text = XB_BUF_INIT(8192);
        size_t begin = property_below(&source, 6);
        size_t count = 0;
        PROBE_OK(xb_buf_append_str(&text,
                                   "{\"spec\":{\"containers\":[{\"name\":\"c\"}]},"
                                   "\"metadata\":{\"annotations\":{",
                                   &err));
        for (size_t j = 0; j < 6; j++) {
            size_t part = (begin + j) % 6;
            if (part < 4 || property_once_in(&source, 2)) {
                PROBE_OK(xb_buf_printf(&text, &err, "%s%s", count++ ? "," : "", parts[part]));
            }
        }
        PROBE_OK(xb_buf_append_str(&text, "}}}", &err));
        xb_json *pod = probe_json(text.data);
        PROBE_OK(xb_hooks_of(NULL, pod, &hooks, &err));
        PROBE_OK(xb_hooks_digest(&hooks, digest, &err));
        if (i > 0) {
            assert_string_equal(digest, first);
        }
        memcpy(first, digest, sizeof first);
        xb_hooks_free(&hooks);
        json_object_put(pod);
        xb_buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(same_on_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
