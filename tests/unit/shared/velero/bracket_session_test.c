/* SPDX-License-Identifier: Apache-2.0
 *
 * A pod's session in its bracket: when it is begun, when it must still be there, when it is told to
 * end, and what is said of one that was lost, wherever the process that held it dies.
 */
#include "tests/harness/probe.h"

#include "shared/velero/bracket.h"

struct world {
    char log[512];
    int steps, kill_at; /* 0: never */
    bool ready, lasts;
    bool here;     /* this process has it */
    int exit_code; /* of it */
    int pre_exit_code;
    xb_json *written;
};

static void say(struct world *world, const char *what)
{
    size_t at = strlen(world->log);
    snprintf(world->log + at, sizeof world->log - at, " %s", what);
}

static int step(struct world *world, struct xb_error *err)
{
    return world->kill_at && ++world->steps >= world->kill_at
               ? xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "killed")
               : 0;
}

static int exec(void *context, const char *container, const struct xb_exec_command *command,
                struct xb_exec_result *ret, struct xb_error *err)
{
    struct world *world = context;
    (void)container;
    say(world, command->argv[0]);
    *ret = xb_exec_result_for(command);
    ret->exit_code = strcmp(command->argv[0], "pre") == 0 ? world->pre_exit_code : 0;
    return step(world, err);
}

static int tell(void *context, const struct xb_bracket_record *record, struct xb_error *why)
{
    struct world *world = context;
    int r = step(world, why);
    if (r == 0) {
        json_object_put(world->written);
        PROBE_OK(xb_bracket_record_patch(record, &world->written, &err));
    }
    return r;
}

static int hold(void *context, const struct xb_hook *session, xb_json *result, struct xb_error *err)
{
    struct world *world = context;
    assert_string_equal(session->argv[0], "sql");
    say(world, "hold");
    int r = step(world, err);
    if (r == 0 && !world->ready) {
        json_object_object_add(result, "error", json_object_new_string("not ready"));
    }
    world->here = r == 0 && world->ready;
    return r ? r : world->ready;
}

static bool holds(void *context, xb_json *result)
{
    struct world *world = context;
    (void)result;
    say(world, "holds");
    return world->here && world->lasts;
}

static bool release(void *context, xb_json *result)
{
    struct world *world = context;
    if (world->here) {
        say(world, "release");
        json_object_object_add(result, "exit", json_object_new_int(world->exit_code));
    }
    return world->here;
}

static void hooks_for(const char *more, struct xb_hooks *ret)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"metadata\":{\"annotations\":{\"" XB_SESSION_ANNOTATION "command\":\"sql\"%s}},"
             "\"spec\":{\"containers\":[{\"name\":\"c\"}]}}",
             more);
    xb_json *pod = probe_json(text);
    PROBE_OK(xb_hooks_of(NULL, pod, ret, &err));
    json_object_put(pod);
}

#define WITH_HOOKS                                                                                 \
    ",\"pre.hook.backup.velero.io/command\":\"pre\",\"post.hook.backup.velero.io/command\":"       \
    "\"post\""
#define GO_ON ",\"" XB_SESSION_ANNOTATION "on-error\":\"Continue\""

/* One life of the process: from the record that is written, as far as it gets. */
static int live(struct world *world, const struct xb_hooks *hooks, struct xb_error *why)
{
    struct xb_bracket_record record;
    const struct xb_bracket_run run = {.exec = exec,
                                       .tell = tell,
                                       .hold = hold,
                                       .holds = holds,
                                       .release = release,
                                       .context = world,
                                       .who = "it"};
    PROBE_OK(xb_bracket_record_parse(world->written, &record, &err));
    int r = xb_bracket_open(&run, hooks, &record, why);
    r = r ? r : xb_bracket_close(&run, hooks, &record, why);
    xb_bracket_record_free(&record);
    return r;
}

static struct xb_bracket_record ended(const struct world *world, int64_t *attempted,
                                      int64_t *failed)
{
    struct xb_bracket_record record;
    *attempted = *failed = 0;
    PROBE_OK(xb_bracket_record_parse(world->written, &record, &err));
    assert_int_equal(record.state, XB_BRACKET_DONE);
    xb_bracket_record_count(&record, attempted, failed);
    return record;
}

static void outcomes(void **state)
{
    static const struct {
        const char *more, *log;
        struct world world;
        enum xb_bracket_session session;
        bool refused;
        int attempted, failed;
    } cases[] = {
        {WITH_HOOKS,
         " pre hold holds release post",
         {.ready = true, .lasts = true},
         0,
         false,
         3,
         0},
        {"", " hold holds release", {.ready = true, .lasts = true}, 0, false, 1, 0},
        {"", " hold holds release", {.ready = true, .lasts = true, .exit_code = 1}, 0, false, 1, 1},
        /* Without it nothing is copied, but the application goes on. */
        {WITH_HOOKS, " pre hold post", {.ready = false}, 0, true, 3, 1},
        {WITH_HOOKS GO_ON, " pre hold post", {.ready = false}, 0, false, 3, 1},
        {WITH_HOOKS, " pre post", {.ready = true, .pre_exit_code = 1}, 0, true, 2, 1},
        {WITH_HOOKS,
         " pre hold holds post",
         {.ready = true, .lasts = false},
         XB_BRACKET_SESSION_LOST,
         false,
         3,
         1},
        /* What makes no sense is not begun. */
        {WITH_HOOKS ",\"" XB_SESSION_ANNOTATION "ready\":\"\"",
         " pre post",
         {.ready = true},
         0,
         true,
         3,
         1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_hooks hooks;
        struct world world = cases[i].world;
        int64_t attempted = 0;
        int64_t failed = 0;
        hooks_for(cases[i].more, &hooks);
        PROBE_OK(live(&world, &hooks, &err));
        assert_string_equal(world.log, cases[i].log);
        struct xb_bracket_record record = ended(&world, &attempted, &failed);
        assert_int_equal(record.session, cases[i].session);
        assert_int_equal(record.refused, cases[i].refused);
        assert_int_equal(attempted, cases[i].attempted);
        assert_int_equal(failed, cases[i].failed);
        xb_bracket_record_free(&record);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* The one that goes on has no session of the one before it: what was held then is lost, unless it
 * had been told to end. */
static void killed_anywhere(void **state)
{
    enum { NOT_BEGUN = 1, ENTERED = 5, COPIED = 6, ALL = 8 };
    (void)state;
    for (int at = 1; at <= ALL; at++) {
        struct xb_hooks hooks;
        struct world world = {.kill_at = at, .ready = true, .lasts = true};
        struct xb_error death = XB_ERROR_INIT;
        int64_t attempted = 0;
        int64_t failed = 0;
        hooks_for(WITH_HOOKS, &hooks);
        assert_true(live(&world, &hooks, &death) < 0 || at == ALL);
        world.kill_at = 0;
        world.here = false;
        PROBE_OK(live(&world, &hooks, &err));
        const char *first = strstr(world.log, "hold");
        assert_true(strstr(world.log, " hold holds release post") || at < ALL);
        assert_true(!first || !strstr(first + 1, " hold ")); /* never begun twice */
        assert_non_null(strstr(world.log, "post"));
        struct xb_bracket_record record = ended(&world, &attempted, &failed);
        assert_int_equal(record.session,
                         at == ENTERED ? XB_BRACKET_SESSION_LOST : XB_BRACKET_SESSION_NONE);
        assert_int_equal(record.refused, at > NOT_BEGUN && at < ENTERED);
        assert_int_equal(failed > 0, at > NOT_BEGUN && at < ALL);
        if (at >= COPIED && at < ALL) {
            xb_json *last = json_object_array_get_idx(record.results, 1);
            assert_non_null(strstr(xb_json_str(last, "error", ""), "how it ended is not known"));
        }
        xb_bracket_record_free(&record);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* An agent has no way to hold one. */
static void by_nobody(void **state)
{
    struct xb_hooks hooks;
    struct world world = {.ready = true};
    struct xb_bracket_record record;
    const struct xb_bracket_run run = {.exec = exec, .tell = tell, .context = &world, .who = "it"};
    (void)state;
    hooks_for("", &hooks);
    PROBE_OK(xb_bracket_record_parse(NULL, &record, &err));
    PROBE_OK(xb_bracket_open(&run, &hooks, &record, &err));
    assert_true(record.refused);
    assert_int_equal(record.session, XB_BRACKET_SESSION_NONE);
    xb_bracket_record_free(&record);
    json_object_put(world.written);
    xb_hooks_free(&hooks);
}

static void lost_by_name(void **state)
{
    (void)state;
    for (int told = 0; told <= 1; told++) {
        struct xb_bracket_record record = {.state =
                                               told ? XB_BRACKET_POST_BEGUN : XB_BRACKET_PRE_DONE,
                                           .session = XB_BRACKET_SESSION_HELD,
                                           .results = json_object_new_array()};
        xb_bracket_record_lose(&record, "the pod is gone");
        assert_int_equal(record.session, told ? XB_BRACKET_SESSION_NONE : XB_BRACKET_SESSION_LOST);
        assert_int_equal(json_object_array_length(record.results), 1);
        xb_bracket_record_lose(&record, "the pod is gone");
        assert_int_equal(json_object_array_length(record.results), 1);
        xb_bracket_record_free(&record);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outcomes),
        cmocka_unit_test(killed_anywhere),
        cmocka_unit_test(by_nobody),
        cmocka_unit_test(lost_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
