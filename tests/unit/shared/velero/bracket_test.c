/* SPDX-License-Identifier: Apache-2.0
 *
 * Brackets: what is read and written, what is next for an order, and how hooks are run between a
 * record and the next, whoever dies in the middle.
 */
#include "tests/harness/probe.h"

#include "shared/velero/bracket.h"
#include "shared/velero/point_in_time.h"

#define DIGEST "0123456789012345678901234567890123456789012345678901234567890123"

/* An order of a pod with two of them; the first leads. */
static xb_json *order(const char *name, const char *phase, const char *state)
{
    XB_CLEANUP(xb_json_putp) xb_json *members = probe_json("[\"one\",\"two\"]");
    const struct xb_bracket bracket = {.id = "uid", .hooks = DIGEST, .members = members};
    xb_json *made = json_object_new_object();
    char *text = NULL;
    char record[64];
    PROBE_OK(xb_bracket_write(&bracket, &text, &err));
    PROBE_OK(xb_json_set_str(made, "metadata.name", name, &err));
    PROBE_OK(xb_json_set_str(made, "status.phase", phase, &err));
    PROBE_OK(xb_json_set(made, "metadata.annotations", json_object_new_object(), &err));
    xb_json *annotations = xb_json_get(made, "metadata.annotations");
    json_object_object_add(annotations, XB_BRACKET_ANNOTATION, json_object_new_string(text));
    if (state) {
        snprintf(record, sizeof record, "{\"state\":\"%s\"}", state);
        json_object_object_add(annotations, XB_BRACKET_RECORD_ANNOTATION,
                               json_object_new_string(record));
    }
    free(text);
    return made;
}

struct pair {
    xb_json *one, *two;
};

static xb_json *find(void *context, const char *name)
{
    struct pair *pair = context;
    return strcmp(name, "one") == 0 ? pair->one : pair->two;
}

static void written_and_read(void **state)
{
    struct xb_bracket bracket;
    struct xb_error err = XB_ERROR_INIT;
    (void)state;
    xb_json *made = order("one", "New", NULL);
    assert_int_equal(xb_bracket_parse(made, &bracket, &err), 1);
    assert_string_equal(bracket.id, "uid");
    assert_string_equal(bracket.hooks, DIGEST);
    assert_int_equal(xb_bracket_count(&bracket), 2);
    assert_string_equal(xb_bracket_leader(&bracket), "one");
    assert_string_equal(xb_bracket_member(&bracket, 1), "two");
    xb_bracket_free(&bracket);
    json_object_put(made);
    assert_int_equal(xb_bracket_parse(NULL, &bracket, &err), 0);
}

static void hostile(void **state)
{
    static const char *const texts[] = {
        "",
        "7",
        "[]",
        "{}",
        "{\"id\":\"u\",\"hooks\":\"" DIGEST "\",\"members\":[]}",
        "{\"id\":\"u\",\"hooks\":\"" DIGEST "\",\"members\":[\"a/b\"]}",
        "{\"id\":\"u\",\"hooks\":\"" DIGEST "\",\"members\":[7]}",
        "{\"id\":\"u\",\"hooks\":\"\",\"members\":[\"a\"]}",
        "{\"id\":\"\",\"hooks\":\"" DIGEST "\",\"members\":[\"a\"]}",
        "{\"id\":\"u\",\"hooks\":\"" DIGEST "\",\"members\":[\"a\\u0000b\"]}",
    };
    static const char *const records[] = {"", "[]", "{}", "{\"state\":\"dead\"}",
                                          "{\"state\":\"done\",\"results\":{}}"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct xb_bracket bracket;
        xb_json *made = order("one", "New", NULL);
        json_object_object_add(xb_json_get(made, "metadata.annotations"), XB_BRACKET_ANNOTATION,
                               json_object_new_string(texts[i]));
        PROBE_REFUSED(xb_bracket_parse(made, &bracket, &err), XB_ERR_INVALID);
        json_object_put(made);
    }
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct xb_bracket_record record;
        xb_json *made = order("one", "New", "done");
        json_object_object_add(xb_json_get(made, "metadata.annotations"),
                               XB_BRACKET_RECORD_ANNOTATION, json_object_new_string(records[i]));
        PROBE_REFUSED(xb_bracket_record_parse(made, &record, &err), XB_ERR_INVALID);
        json_object_put(made);
    }
    char *long_text = malloc(XB_BRACKET_RECORD_BYTES_MAX + 2);
    assert_non_null(long_text);
    memset(long_text, ' ', XB_BRACKET_RECORD_BYTES_MAX + 1);
    long_text[XB_BRACKET_RECORD_BYTES_MAX + 1] = '\0';
    struct xb_bracket_record record;
    xb_json *made = order("one", "New", "done");
    json_object_object_add(xb_json_get(made, "metadata.annotations"), XB_BRACKET_RECORD_ANNOTATION,
                           json_object_new_string(long_text));
    PROBE_REFUSED(xb_bracket_record_parse(made, &record, &err), XB_ERR_INVALID);
    json_object_put(made);
    free(long_text);
}

/* What is next for the order `of` when both are in these phases. */
static void next_steps(void **state)
{
    static const struct {
        const char *record, *one, *two; /* phases; NULL: it is not there */
        enum xb_bracket_step first, second;
        bool due; /* the post hooks */
    } cases[] = {
        {NULL, "New", "New", XB_BRACKET_GO, XB_BRACKET_WAIT, false},
        {NULL, "New", NULL, XB_BRACKET_WAIT, XB_BRACKET_NONE, false},
        /* Begun, and by nobody that lives: thawed before all else. */
        {"pre-begun", "InProgress", "New", XB_BRACKET_WAIT, XB_BRACKET_WAIT, true},
        {"pre-begun", "InProgress", NULL, XB_BRACKET_WAIT, XB_BRACKET_NONE, true},
        {"pre-done", "InProgress", "New", XB_BRACKET_GO, XB_BRACKET_GO, false},
        {"pre-done", "Completed", "InProgress", XB_BRACKET_OVER, XB_BRACKET_GO, false},
        {"pre-done", "Completed", "Failed", XB_BRACKET_OVER, XB_BRACKET_OVER, true},
        {"pre-done", "Completed", NULL, XB_BRACKET_OVER, XB_BRACKET_NONE, true},
        {"pre-begun", "Canceled", "Canceled", XB_BRACKET_OVER, XB_BRACKET_OVER, true},
        {"post-begun", "Completed", "Completed", XB_BRACKET_OVER, XB_BRACKET_OVER, true},
        {"done", "Completed", "Completed", XB_BRACKET_OVER, XB_BRACKET_OVER, false},
        {"done", "New", "New", XB_BRACKET_GO, XB_BRACKET_GO, false},
        /* A leader that ended without its hooks takes the others along; there is nothing to close.
         */
        {NULL, "Failed", "New", XB_BRACKET_OVER, XB_BRACKET_GO, false},
        {NULL, "Failed", "Failed", XB_BRACKET_OVER, XB_BRACKET_OVER, false},
        {"dead", "New", "New", XB_BRACKET_NONE, XB_BRACKET_NONE, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair pair = {order("one", cases[i].one, cases[i].record),
                            cases[i].two ? order("two", cases[i].two, NULL) : NULL};
        assert_int_equal(xb_bracket_next(pair.one, find, &pair), cases[i].first);
        assert_int_equal(xb_bracket_due(pair.one, find, &pair), cases[i].due);
        if (pair.two) {
            assert_int_equal(xb_bracket_next(pair.two, find, &pair), cases[i].second);
            assert_int_equal(xb_bracket_look(pair.two), XB_BRACKET_UNBEGUN);
            assert_false(xb_bracket_due(pair.two, find, &pair));
        }
        bool begun = cases[i].record && strcmp(cases[i].record, "dead") != 0;
        assert_int_equal(xb_bracket_look(pair.one) != XB_BRACKET_UNBEGUN, begun);
        json_object_put(pair.one);
        json_object_put(pair.two);
    }
    struct pair cancelled = {order("one", "New", NULL), NULL};
    PROBE_OK(xb_json_set_bool(cancelled.one, "spec.cancel", true, &err));
    assert_int_equal(xb_bracket_next(cancelled.one, find, &cancelled), XB_BRACKET_GO);
    json_object_put(cancelled.one);
    xb_json *plain = probe_json("{\"metadata\":{\"name\":\"p\"}}");
    assert_int_equal(xb_bracket_next(plain, find, NULL), XB_BRACKET_NONE);
    assert_false(xb_bracket_due(plain, find, NULL));
    json_object_put(plain);
}

static void fix(xb_json *order, const char *uid)
{
    struct xb_point_in_time point = {.method = "btrfs", .consistency = XB_CONSISTENCY_CRASH};
    xb_json *patch = NULL;
    snprintf(point.uid, sizeof point.uid, "%s", uid);
    PROBE_OK(xb_point_in_time_patch(&point, &patch, &err));
    PROBE_OK(xb_json_set_str(order, "metadata.uid", "own", &err));
    json_object_object_foreach(xb_json_get(patch, "metadata.annotations"), key, value)
    {
        json_object_object_add(xb_json_get(order, "metadata.annotations"), key,
                               json_object_get(value));
    }
    json_object_put(patch);
}

/* Only volumes that are read as they are keep the bracket open, whatever phase their orders are
 * in. */
static void copies_are_not_waited_for(void **state)
{
    struct pair pair = {order("one", "InProgress", "pre-done"), order("two", "Prepared", NULL)};
    (void)state;
    fix(pair.one, "own");
    assert_false(xb_bracket_due(pair.one, find, &pair));
    fix(pair.two, "another"); /* a copy of somebody else's word */
    assert_false(xb_bracket_due(pair.one, find, &pair));
    fix(pair.two, "own");
    assert_true(xb_bracket_due(pair.one, find, &pair));
    assert_int_equal(xb_bracket_next(pair.one, find, &pair), XB_BRACKET_GO);
    assert_int_equal(xb_bracket_next(pair.two, find, &pair), XB_BRACKET_GO);
    json_object_put(pair.one);
    json_object_put(pair.two);
}

/* ---- running ---- */

/* A runtime and an API server in a few lines: what was run and told, in order; a kill at a step. */
struct world {
    char log[1024];
    int steps, kill_at; /* 0: never */
    bool dies, dead;    /* killed, it does nothing more, not even thaw */
    bool copies;        /* there are some of all volumes */
    bool away;          /* the API server, from the pre hooks on */
    int busy;           /* so many times it cannot be asked right now */
    int exit_codes[8];
    int run;
    xb_json *written; /* the record, as on the order */
    const char *out;
};

static bool killed(struct world *world, struct xb_error *err)
{
    world->steps++;
    if (world->kill_at && world->steps >= world->kill_at) {
        world->dead = world->dies;
        xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "killed");
        return true;
    }
    return false;
}

static int exec(void *context, const char *container, const struct xb_exec_command *command,
                struct xb_exec_result *ret, struct xb_error *err)
{
    struct world *world = context;
    size_t at = strlen(world->log);
    if (world->dead) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "dead");
    }
    if (world->busy > 0) {
        world->busy--;
        return xb_error_set(err, XB_ERR_RETRY, -EAGAIN, "busy");
    }
    snprintf(world->log + at, sizeof world->log - at, " %s@%s", command->argv[0], container);
    if (killed(world, err)) {
        return err->code;
    }
    *ret = xb_exec_result_for(command);
    ret->exit_code = world->exit_codes[world->run++ % 8];
    if (ret->exit_code == -1) {
        ret->timed_out = true;
    }
    if (world->out) {
        return xb_exec_output_add(&ret->out, world->out, strlen(world->out), err);
    }
    return 0;
}

static int tell(void *context, const struct xb_bracket_record *record, struct xb_error *err)
{
    struct world *world = context;
    xb_json *patch = NULL;
    if (killed(world, err)) {
        return err->code;
    }
    if (world->away && record->state != XB_BRACKET_PRE_BEGUN) {
        return xb_error_set(err, XB_ERR_RETRY, -EAGAIN, "away");
    }
    assert_int_equal(xb_bracket_record_patch(record, &patch, err), 0);
    json_object_put(world->written);
    world->written = patch;
    return 0;
}

static struct xb_bracket_run how(struct world *world)
{
    return (struct xb_bracket_run){.exec = exec, .tell = tell, .context = world, .who = "it"};
}

static xb_json *pod(void)
{
    return probe_json(
        "{\"metadata\":{\"annotations\":{}},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}");
}

static void hooks_for(const char *on_error, struct xb_hooks *ret)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"spec\":{\"hooks\":{\"resources\":[{\"pre\":[{\"exec\":{\"command\":[\"a\"],\"onError\":"
        "\"%s\"}},{\"exec\":{\"command\":[\"b\"]}}],\"post\":[{\"exec\":{\"command\":[\"y\"]}},"
        "{\"exec\":{\"command\":[\"z\"]}}]}]}}}",
        on_error);
    xb_json *backup = probe_json(text);
    xb_json *of = pod();
    PROBE_OK(xb_hooks_of(backup, of, ret, &err));
    json_object_put(of);
    json_object_put(backup);
}

/* One life of the process: from the record that is written, as far as it gets. */
static int live(struct world *world, const struct xb_hooks *hooks, bool *ret_refused,
                struct xb_error *err)
{
    struct xb_bracket_record record;
    const struct xb_bracket_run run = how(world);
    assert_int_equal(xb_bracket_record_parse(world->written, &record, err), 0);
    int r = xb_bracket_open(&run, hooks, &record, err);
    if (r == 0) {
        r = xb_bracket_close(&run, hooks, &record, err);
    }
    *ret_refused = record.refused;
    xb_bracket_record_free(&record);
    return r;
}

static void counts_are(const struct world *world, int64_t attempted, int64_t failed)
{
    struct xb_bracket_record record;
    int64_t got_attempted = 0;
    int64_t got_failed = 0;
    PROBE_OK(xb_bracket_record_parse(world->written, &record, &err));
    xb_bracket_record_count(&record, &got_attempted, &got_failed);
    assert_int_equal(record.state, XB_BRACKET_DONE);
    assert_int_equal(got_attempted, attempted);
    assert_int_equal(got_failed, failed);
    assert_true(record.begun_ms > 0 && record.ended_ms >= record.begun_ms);
    xb_bracket_record_free(&record);
}

static void outcomes(void **state)
{
    static const struct {
        const char *on_error;
        int exit_codes[4];
        const char *log;
        bool refused;
        int failed;
    } cases[] = {
        {"Fail", {0, 0, 0, 0}, " a@c b@c y@c z@c", false, 0},
        {"Fail", {3, 0, 0, 0}, " a@c y@c z@c", true, 1},
        {"Continue", {3, 0, 0, 0}, " a@c b@c y@c z@c", false, 1},
        {"Continue", {-1, 1, 1, 1}, " a@c b@c y@c z@c", true, 4},
        {"Fail", {-1, 0, 9, 0}, " a@c y@c z@c", true, 2},
        {"Fail", {0, 0, 9, 0}, " a@c b@c y@c z@c", false, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_hooks hooks;
        struct world world = {.kill_at = 0};
        bool refused = false;
        memcpy(world.exit_codes, cases[i].exit_codes, sizeof cases[i].exit_codes);
        hooks_for(cases[i].on_error, &hooks);
        PROBE_OK(live(&world, &hooks, &refused, &err));
        assert_string_equal(world.log, cases[i].log);
        assert_int_equal(refused, cases[i].refused);
        counts_are(&world, 4, cases[i].failed);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* Killed at every step, and started again: no pre hook runs twice, and what was begun is closed. */
static void killed_anywhere(void **state)
{
    (void)state;
    for (int at = 1; at <= 9; at++) {
        struct xb_hooks hooks;
        struct world world = {.kill_at = at};
        bool refused = false;
        struct xb_error death = XB_ERROR_INIT;
        hooks_for("Fail", &hooks);
        int r = live(&world, &hooks, &refused, &death);
        assert_true(r < 0 || at == 9);
        world.kill_at = 0;
        PROBE_OK(live(&world, &hooks, &refused, &err));
        const char *first = strstr(world.log, "a@c");
        const char *second = strstr(world.log, "b@c");
        assert_true(!first || !strstr(first + 1, "a@c"));
        assert_true(!second || !strstr(second + 1, "b@c"));
        assert_non_null(strstr(world.log, "y@c z@c"));
        /* Begun and not known to have ended: a failure, and the pod is left out. */
        assert_int_equal(refused, at >= 2 && at <= 4);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* ---- with copies ---- */

static bool copy(void *context)
{
    struct world *world = context;
    struct xb_error ignored = XB_ERROR_INIT;
    size_t at = strlen(world->log);
    if (world->dead) {
        return true;
    }
    snprintf(world->log + at, sizeof world->log - at, " copy");
    (void)killed(world, &ignored);
    return world->copies;
}

/* One life, from the record that is written to the end of the pass. */
static int pass(struct world *world, const struct xb_hooks *hooks, struct xb_bracket_record *ret,
                struct xb_error *err)
{
    struct xb_bracket_run run = how(world);
    run.copy = copy;
    assert_int_equal(xb_bracket_record_parse(world->written, ret, err), 0);
    return xb_bracket_pass(&run, hooks, ret, err);
}

static void passes(void **state)
{
    static const struct {
        const char *on_error, *log;
        int exit_codes[4];
        enum xb_bracket_state ends;
        bool copies, refused;
    } cases[] = {
        {"Fail", " a@c b@c copy y@c z@c", {0}, XB_BRACKET_DONE, true, false},
        {"Fail", " a@c b@c copy y@c z@c", {0, 0, 7, 7}, XB_BRACKET_DONE, true, false},
        /* Without copies the application is held until the volumes have been read. */
        {"Fail", " a@c b@c copy", {0}, XB_BRACKET_PRE_DONE, false, false},
        /* A pod that is not backed up is not copied either. */
        {"Fail", " a@c y@c z@c", {3}, XB_BRACKET_DONE, true, true},
        {"Fail", " a@c y@c z@c", {3}, XB_BRACKET_DONE, false, true},
        {"Continue", " a@c b@c copy y@c z@c", {3}, XB_BRACKET_DONE, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_hooks hooks;
        struct xb_bracket_record record;
        struct world world = {.copies = cases[i].copies};
        memcpy(world.exit_codes, cases[i].exit_codes, sizeof cases[i].exit_codes);
        hooks_for(cases[i].on_error, &hooks);
        PROBE_OK(pass(&world, &hooks, &record, &err));
        assert_string_equal(world.log, cases[i].log);
        assert_int_equal(record.state, cases[i].ends);
        assert_int_equal(record.refused, cases[i].refused);
        assert_int_equal(record.ended_ms > 0, cases[i].ends == XB_BRACKET_DONE);
        assert_int_equal(world.steps - world.run - (int)(strstr(world.log, "copy") != NULL), 2);
        xb_bracket_record_free(&record);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* Nobody waits for a server while the application is held. */
static void passes_without_a_server(void **state)
{
    (void)state;
    for (int copies = 0; copies <= 1; copies++) {
        struct xb_hooks hooks;
        struct xb_bracket_record record;
        struct world world = {.copies = copies, .away = true};
        hooks_for("Fail", &hooks);
        struct xb_error why = XB_ERROR_INIT;
        assert_true(pass(&world, &hooks, &record, &why) < 0);
        assert_int_equal(why.kind, XB_ERR_RETRY);
        assert_string_equal(world.log, " a@c b@c copy y@c z@c");
        assert_int_equal(record.state, XB_BRACKET_DONE);
        xb_bracket_record_free(&record);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

/* Told to stop in a pre hook: it thaws before it goes. */
static void cancelled_thaws(void **state)
{
    struct xb_hooks hooks;
    struct xb_bracket_record record;
    struct world world = {.kill_at = 2, .copies = true};
    struct xb_error why = XB_ERROR_INIT;
    (void)state;
    hooks_for("Fail", &hooks);
    assert_true(pass(&world, &hooks, &record, &why) < 0);
    assert_int_equal(why.kind, XB_ERR_CANCELLED);
    assert_string_equal(world.log, " a@c y@c");
    xb_bracket_record_free(&record);
    json_object_put(world.written);
    xb_hooks_free(&hooks);
}

/* Killed at every step and started again: no pre hook runs twice, and all that was begun is
 * thawed. */
static void passes_killed_anywhere(void **state)
{
    (void)state;
    for (int at = 1; at <= 8; at++) {
        struct xb_hooks hooks;
        struct xb_bracket_record record;
        struct world world = {.kill_at = at, .dies = true, .copies = true};
        struct xb_error death = XB_ERROR_INIT;
        hooks_for("Fail", &hooks);
        int r = pass(&world, &hooks, &record, &death);
        assert_true(r < 0 || at == 8);
        xb_bracket_record_free(&record);
        world.kill_at = 0;
        world.dead = false;
        PROBE_OK(pass(&world, &hooks, &record, &err));
        const char *first = strstr(world.log, "a@c");
        assert_true(!first || !strstr(first + 1, "a@c"));
        const char *last = strstr(world.log, "z@c");
        assert_true(last && strstr(world.log, "y@c z@c"));
        assert_int_equal(record.state, XB_BRACKET_DONE);
        /* Nobody knows whether the copies were made while the application was held. */
        assert_int_equal(record.refused, at >= 2 && at <= 7);
        xb_bracket_record_free(&record);
        json_object_put(world.written);
        xb_hooks_free(&hooks);
    }
}

static void busy_runtimes(void **state)
{
    struct xb_hooks hooks;
    struct world world = {.busy = XB_BRACKET_TRIES_MAX - 1};
    bool refused = false;
    (void)state;
    hooks_for("Fail", &hooks);
    PROBE_OK(live(&world, &hooks, &refused, &err));
    counts_are(&world, 4, 0);
    assert_false(refused);
    json_object_put(world.written);
    xb_hooks_free(&hooks);
}

static void what_they_say(void **state)
{
    struct xb_hooks hooks;
    struct world world = {.out = "ok \xc3\xa9\xff\x01\tend\xe2\x82\n\n"};
    bool refused = false;
    struct xb_bracket_record record;
    (void)state;
    hooks_for("Fail", &hooks);
    PROBE_OK(live(&world, &hooks, &refused, &err));
    PROBE_OK(xb_bracket_record_parse(world.written, &record, &err));
    xb_json *result = json_object_array_get_idx(record.results, 0);
    assert_string_equal(xb_json_str(result, "stdout", ""), "ok \xc3\xa9??\tend??");
    assert_null(xb_json_get(result, "stderr"));
    assert_string_equal(xb_json_str(result, "phase", ""), "pre");
    assert_string_equal(xb_json_str(result, "container", ""), "c");
    xb_bracket_record_free(&record);
    json_object_put(world.written);
    xb_hooks_free(&hooks);
}

/* However much 32 hooks say, the record stays one that is read again. */
static void much_said(void **state)
{
    struct xb_buf text = XB_BUF_INIT(65536);
    struct xb_hooks hooks;
    struct xb_bracket_record record;
    struct world world = {.kill_at = 0};
    bool refused = false;
    char *said = malloc(100001);
    (void)state;
    assert_non_null(said);
    memset(said, '"', 100000);
    said[100000] = '\0';
    world.out = said;
    PROBE_OK(xb_buf_append_str(&text, "{\"spec\":{\"hooks\":{\"resources\":[{\"pre\":[", &err));
    for (int i = 0; i < 2 * XB_HOOKS_MAX; i++) {
        const char *between = i == XB_HOOKS_MAX ? "],\"post\":[" : i ? "," : "";
        PROBE_OK(xb_buf_printf(&text, &err, "%s{\"exec\":{\"command\":[\"a\"]}}", between));
    }
    PROBE_OK(xb_buf_append_str(&text, "]}]}}}", &err));
    xb_json *backup = probe_json(text.data);
    xb_json *of = pod();
    PROBE_OK(xb_hooks_of(backup, of, &hooks, &err));
    PROBE_OK(live(&world, &hooks, &refused, &err));
    PROBE_OK(xb_bracket_record_parse(world.written, &record, &err));
    assert_int_equal(json_object_array_length(record.results), 2 * XB_HOOKS_MAX);
    xb_bracket_record_free(&record);
    xb_hooks_free(&hooks);
    json_object_put(world.written);
    json_object_put(of);
    json_object_put(backup);
    xb_buf_free(&text);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_and_read), cmocka_unit_test(hostile),
        cmocka_unit_test(next_steps),       cmocka_unit_test(copies_are_not_waited_for),
        cmocka_unit_test(passes),           cmocka_unit_test(passes_without_a_server),
        cmocka_unit_test(cancelled_thaws),  cmocka_unit_test(passes_killed_anywhere),
        cmocka_unit_test(outcomes),         cmocka_unit_test(killed_anywhere),
        cmocka_unit_test(busy_runtimes),    cmocka_unit_test(what_they_say),
        cmocka_unit_test(much_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
