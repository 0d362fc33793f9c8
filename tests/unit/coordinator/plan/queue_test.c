/* SPDX-License-Identifier: Apache-2.0
 *
 * Which backups wait for one another, and who is next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/plan/queue.h"

static xb_json *spec_of(const char *included, const char *excluded)
{
    char text[1024];
    snprintf(text, sizeof text, "{\"includedNamespaces\": [%s], \"excludedNamespaces\": [%s]}",
             included, excluded);
    xb_json *spec = json_tokener_parse(text);
    assert_non_null(spec);
    return spec;
}

static void check(const char *in_a, const char *ex_a, const char *in_b, const char *ex_b, bool want)
{
    xb_json *a = spec_of(in_a, ex_a), *b = spec_of(in_b, ex_b);
    if (xb_queue_meet(a, b) != want || xb_queue_meet(b, a) != want) {
        fail_msg("[%s]-[%s] and [%s]-[%s]: not %d", in_a, ex_a, in_b, ex_b, want);
    }
    json_object_put(a);
    json_object_put(b);
}

#define MEET(in_a, ex_a, in_b, ex_b) check(in_a, ex_a, in_b, ex_b, true)
#define APART(in_a, ex_a, in_b, ex_b) check(in_a, ex_a, in_b, ex_b, false)

static void names(void **state)
{
    (void)state;
    MEET("\"a\"", "", "\"a\"", "");
    APART("\"a\"", "", "\"b\"", "");
    APART("\"a\"", "", "\"ab\"", "");
    MEET("\"a\", \"b\"", "", "\"c\", \"b\"", "");
    APART("\"a\", \"b\"", "", "\"c\", \"d\"", "");
    MEET("", "", "", "");
    MEET("", "", "\"a\"", "");
    MEET("\"*\"", "", "\"a\"", "");
}

static void excludes(void **state)
{
    (void)state;
    APART("", "\"a\"", "\"a\"", "");
    APART("\"*\"", "\"a\", \"b\"", "\"a\", \"b\"", "");
    MEET("\"*\"", "\"a\"", "\"a\", \"b\"", "");
    APART("\"*\"", "\"team-*\"", "\"team-1\"", "");
    APART("\"*\"", "\"team-*\"", "\"team-*\"", "");
    APART("\"a\"", "\"a\"", "\"a\"", "");
    APART("\"a*\"", "\"*\"", "\"a*\"", "");
    /* What an exclude leaves out is not known for sure: they wait. */
    MEET("\"*\"", "\"[a-z]\"", "\"a\"", "");
    MEET("\"*\"", "\"{a,b}\"", "\"a\"", "");
    MEET("\"a*\"", "\"a1\"", "\"a?\"", "");
}

static void globs(void **state)
{
    (void)state;
    MEET("\"a*\"", "", "\"*b\"", "");
    APART("\"a*\"", "", "\"b*\"", "");
    APART("\"*a\"", "", "\"*b\"", "");
    MEET("\"a*c\"", "", "\"ab*\"", "");
    MEET("\"a?c\"", "", "\"abc\"", "");
    APART("\"a?c\"", "", "\"ac\"", "");
    MEET("\"?*\"", "", "\"x\"", "");
    APART("\"??\"", "", "\"x\"", "");
    MEET("\"*x*y*\"", "", "\"*y*x*\"", "");
    MEET("\"**\"", "", "\"\"", "");
    MEET("\"[ab]c\"", "", "\"dc\"", ""); /* more than it means */
    APART("\"[ab]c\"", "", "\"dd\"", "");
    MEET("\"x-{a,b}-y\"", "", "\"x-c-y\"", "");
    APART("\"x-{a,b}-y\"", "", "\"z-a-y\"", "");
    MEET("\"[a\"", "", "\"b\"", ""); /* never closed */
    MEET("\"a\\\\*\"", "", "\"ab\"", "");
}

/* What is too much to compare waits. */
static void limits(void **state)
{
    char longest[2 * XB_QUEUE_PATTERN_BYTES_MAX], quoted[2 * XB_QUEUE_PATTERN_BYTES_MAX];
    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[XB_QUEUE_PATTERN_BYTES_MAX + 1] = '\0';
    snprintf(quoted, sizeof quoted, "\"%.300s\"", longest);
    MEET(quoted, "", "\"b\"", "");
    longest[XB_QUEUE_PATTERN_BYTES_MAX] = '\0';
    snprintf(quoted, sizeof quoted, "\"%.300s\"", longest);
    APART(quoted, "", "\"b\"", "");
    xb_json *many = json_tokener_parse("{\"includedNamespaces\": []}");
    xb_json *list = xb_json_get(many, "includedNamespaces");
    for (int i = 0; i <= XB_QUEUE_PAIRS_MAX; i++) {
        json_object_array_add(list, json_object_new_string("a"));
    }
    xb_json *other = spec_of("\"b\"", "");
    assert_true(xb_queue_meet(many, other));
    json_object_put(many);
    json_object_put(other);
    /* Wrong types are judged later; here they mean everything. */
    many = json_tokener_parse("{\"includedNamespaces\": 7, \"excludedNamespaces\": {\"a\": 1}}");
    other = json_tokener_parse("{\"includedNamespaces\": [null, 5, {}]}");
    assert_true(xb_queue_meet(many, other));
    assert_true(xb_queue_meet(NULL, NULL));
    json_object_put(many);
    json_object_put(other);
}

static struct xb_step_facts seen(struct xb_queue *queue, size_t running_max)
{
    struct xb_step_facts facts = {.phase = "Queued", .running_max = running_max};
    xb_queue_facts(queue, &facts);
    return facts;
}

static void who_is_next(void **state)
{
    xb_json *a = spec_of("\"a\"", ""), *b = spec_of("\"b\"", ""), *ab = spec_of("\"a\",\"b\"", "");
    xb_json *c = spec_of("\"c\"", "");
    (void)state;
    /* `a` runs, `ab` waits for it, and the own one for neither. */
    struct xb_queue queue = {.own = {.key = "z", .spec = c, .position = 5, .created = "2"}};
    xb_queue_add(&queue, "InProgress", &(struct xb_queue_entry){"r", a, 0, "0"});
    xb_queue_add(&queue, "Queued", &(struct xb_queue_entry){"q", ab, 1, "1"});
    xb_queue_add(&queue, "Completed", &(struct xb_queue_entry){"e", c, 0, "0"});
    struct xb_step_facts facts = seen(&queue, 2);
    assert_int_equal(xb_plan_backup(&facts).step, XB_STEP_READY);
    facts = seen(&queue, 1);
    assert_int_equal(xb_plan_backup(&facts).step, XB_STEP_MOVE);
    assert_int_equal(xb_plan_backup(&facts).position, 2);
    /* Another one that may start is before it: the last free place is that one's. */
    xb_queue_add(&queue, "Queued", &(struct xb_queue_entry){"s", spec_of("\"d\"", ""), 5, "1"});
    facts = seen(&queue, 2);
    assert_int_equal(facts.ready_ahead, 1);
    assert_int_not_equal(xb_plan_backup(&facts).step, XB_STEP_READY);
    facts = seen(&queue, 3);
    assert_int_equal(xb_plan_backup(&facts).step, XB_STEP_READY);
    json_object_put(queue.ahead[1].spec);
    /* Behind one that waits, and would meet it: `b` may not overtake `ab`. */
    queue = (struct xb_queue){.own = {.key = "z", .spec = b, .position = 2, .created = "2"}};
    xb_queue_add(&queue, "ReadyToStart", &(struct xb_queue_entry){"r", a, 0, "0"});
    xb_queue_add(&queue, "Queued", &(struct xb_queue_entry){"q", ab, 1, "1"});
    facts = seen(&queue, 9);
    assert_true(facts.conflict);
    assert_int_equal(xb_plan_backup(&facts).step, XB_STEP_NONE);
    json_object_put(a);
    json_object_put(b);
    json_object_put(ab);
    json_object_put(c);
}

/* Three that a coordinator meets at its start: by the time, and by the name within a second. */
static void who_came_first(void **state)
{
    static const struct xb_queue_entry entries[] = {
        {"v/b", NULL, 0, "2026-11-26T00:00:01Z"},
        {"v/a", NULL, 0, "2026-11-26T00:00:02Z"},
        {"v/c", NULL, 0, "2026-11-26T00:00:01Z"},
    };
    static const size_t ahead[] = {0, 2, 1};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct xb_queue queue = {.own = entries[i]};
        for (size_t j = 0; j < 3; j++) {
            if (j != i) {
                xb_queue_add(&queue, j ? "New" : "", &entries[j]);
            }
        }
        struct xb_step_facts facts = seen(&queue, 1);
        assert_int_equal(facts.unqueued_ahead, ahead[i]);
        facts.phase = "";
        assert_int_equal(xb_plan_backup(&facts).step, ahead[i] ? XB_STEP_WAIT : XB_STEP_QUEUE);
    }
}

/* Far behind, nobody is looked at; the place is right all the same. */
static void a_long_queue(void **state)
{
    struct xb_queue queue = {.own = {.key = "z", .position = 1000, .created = "2"}};
    (void)state;
    for (int i = 2 * XB_QUEUE_LOOK_MAX; i > 0; i--) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        xb_queue_add(&queue, "Queued", &(struct xb_queue_entry){"k", NULL, i, "1"});
    }
    struct xb_step_facts facts = seen(&queue, 1);
    assert_int_equal(facts.rank, 2 * XB_QUEUE_LOOK_MAX + 1);
    assert_int_equal(queue.ahead[0].position, 1);
    assert_int_equal(queue.ahead[XB_QUEUE_LOOK_MAX - 1].position, XB_QUEUE_LOOK_MAX);
    assert_int_equal(xb_plan_backup(&facts).step, XB_STEP_MOVE);
    assert_int_equal(xb_plan_backup(&facts).position, 2 * XB_QUEUE_LOOK_MAX + 1);
}

/* What a restore writes to. */
static void check_restore(const char *restore, const char *backup, const char *want)
{
    xb_json *from = json_tokener_parse(restore);
    xb_json *of = backup ? json_tokener_parse(backup) : NULL;
    xb_json *spec = xb_queue_restore_spec(from, of);
    xb_json *wanted = json_tokener_parse(want);
    assert_non_null(from);
    assert_non_null(wanted);
    if (!json_object_equal(spec, wanted)) {
        fail_msg("%s of %s: %s", restore, backup ? backup : "-", json_object_to_json_string(spec));
    }
    json_object_put(from);
    json_object_put(of);
    json_object_put(spec);
    json_object_put(wanted);
}

static void restores(void **state)
{
    (void)state;
    check_restore("{}", NULL, "{'includedNamespaces': [], 'excludedNamespaces': []}");
    check_restore("{'includedNamespaces': ['a']}", "{'includedNamespaces': ['a', 'b']}",
                  "{'includedNamespaces': ['a'], 'excludedNamespaces': []}");
    check_restore("{}", "{'includedNamespaces': ['a', 'b'], 'excludedNamespaces': ['c']}",
                  "{'includedNamespaces': ['a', 'b'], 'excludedNamespaces': ['c']}");
    check_restore("{'includedNamespaces': ['*']}", "{'includedNamespaces': ['a']}",
                  "{'includedNamespaces': ['a'], 'excludedNamespaces': []}");
    check_restore("{'excludedNamespaces': ['c']}", NULL,
                  "{'includedNamespaces': [], 'excludedNamespaces': ['c']}");
    /* Mapped: the names that are written to. */
    check_restore("{'includedNamespaces': ['a', 'b'], 'namespaceMapping': {'a': 'x'}}", NULL,
                  "{'includedNamespaces': ['x', 'b']}");
    check_restore("{'namespaceMapping': {'a': 'x'}}", "{'includedNamespaces': ['a']}",
                  "{'includedNamespaces': ['x']}");
    check_restore("{'includedNamespaces': ['a*'], 'namespaceMapping': {'a1': 'x'}}", NULL,
                  "{'includedNamespaces': ['*']}");
    check_restore("{'excludedNamespaces': ['x'], 'namespaceMapping': {'a': 'x'}}", NULL,
                  "{'includedNamespaces': []}");
    check_restore("{'includedNamespaces': ['a', 7], 'namespaceMapping': {'a': 8, 'b': ''}}", NULL,
                  "{'includedNamespaces': ['a', '7']}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),       cmocka_unit_test(excludes),
        cmocka_unit_test(globs),       cmocka_unit_test(limits),
        cmocka_unit_test(who_is_next), cmocka_unit_test(a_long_queue),
        cmocka_unit_test(restores),    cmocka_unit_test(who_came_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
