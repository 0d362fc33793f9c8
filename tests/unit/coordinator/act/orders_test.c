/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs with very many orders, and very many runs: looking at orders takes no more than a share of
 * the loop's time, however many there are and however often they change; and an object that finds
 * no room is not forgotten.
 */
#include "coordinator/act/orders.h"
#include "shared/base/clock.h"
#include "tests/harness/probe.h"

enum { ORDERS = 30000, LOOKS_LEAST = 4, SHARE_MOST = 10 };

struct fixture {
    struct xb_kube_client *client;
    struct xb_loop *loop;
    struct xb_kube_informer *informer;
    struct xb_run run;
};

/* A cache that nothing is in yet: its server was never asked. */
static void begin(struct fixture *f, size_t orders)
{
    const struct xb_kube_config config = {.server = (char[]){"http://127.0.0.1:1"}};
    char name[40];
    memset(f, 0, sizeof *f);
    PROBE_OK(xb_kube_client_new(&config, NULL, &f->client, &err));
    PROBE_OK(xb_loop_new(&f->loop, &err));
    const struct xb_kube_informer_options options = {
        .client = f->client, .loop = f->loop, .resource = &xb_velero_pvbs, .namespace = "velero"};
    PROBE_OK(xb_kube_informer_new(&options, &f->informer, &err));
    f->run = (struct xb_run){.worked = true,
                             .made_ns = xb_clock_wall_ns(),
                             .timeout_ns = 3600 * XB_NS_PER_S,
                             .orders = json_object_new_array()};
    for (size_t i = 0; i < orders; i++) {
        snprintf(name, sizeof name, "order-%zu", i);
        json_object_array_add(f->run.orders, json_object_new_string(name));
    }
}

static void end(struct fixture *f)
{
    xb_run_reset(&f->run);
    xb_kube_informer_free(f->informer);
    xb_loop_free(f->loop);
    xb_kube_client_free(f->client);
}

/* Every one of them changes all the time. */
static void many_orders_take_a_share(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, ORDERS);
    int64_t until_ns = 0, spent_ns = 0;
    const int64_t began_ns = xb_clock_mono_ns();
    for (int looks = 0; looks < LOOKS_LEAST;) {
        if (xb_orders_wait(&f.run, xb_clock_wall_ns(), &until_ns)) {
            assert_true(until_ns > xb_clock_wall_ns() - XB_NS_PER_S);
            usleep(1000);
            continue;
        }
        int64_t before_ns = xb_clock_mono_ns();
        const struct xb_orders_view view =
            xb_orders_look(&f.run, f.informer, "velero", xb_clock_wall_ns());
        spent_ns += xb_clock_mono_ns() - before_ns;
        assert_int_equal(view.open, ORDERS);
        looks++;
    }
    /* The last look is not followed by its pause. */
    int64_t all_ns = xb_clock_mono_ns() - began_ns;
    assert_true(spent_ns / LOOKS_LEAST * (LOOKS_LEAST - 1) * SHARE_MOST < all_ns);
    end(&f);
}

/* The end of few, and the end of all, is seen at once. */
static void few_orders_do_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    int64_t until_ns = 0;
    begin(&f, ORDERS);
    f.run.made_ns = 1; /* long ago: they were deleted since */
    const struct xb_orders_view view =
        xb_orders_look(&f.run, f.informer, "velero", xb_clock_wall_ns());
    assert_int_equal(view.open, 0);
    assert_false(xb_orders_wait(&f.run, xb_clock_wall_ns(), &until_ns));
    assert_false(xb_orders_was_late(&f.run, "order-1"));
    end(&f);
}

static void no_room_for_a_run(void **state)
{
    (void)state;
    struct xb_run *list = NULL;
    char key[40];
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json("{\"metadata\":{\"uid\":\"u\"}}");
    for (int i = 0; i < XB_RUNS_MAX; i++) {
        snprintf(key, sizeof key, "velero/%d", i);
        assert_non_null(xb_run_of(&list, key, object));
    }
    assert_null(xb_run_of(&list, "velero/more", object));
    assert_non_null(xb_run_of(&list, "velero/7", object));
    struct xb_action action = {.at_ns = 0};
    assert_int_equal(xb_plan_no_run(1000, &action), XB_PLAN_AT);
    assert_true(action.at_ns > 1000);
    xb_run_drop(&list, "velero/7");
    assert_non_null(xb_run_of(&list, "velero/more", object));
    while (list) {
        xb_run_drop(&list, list->key);
    }
}

/* Nothing of it is shared with the cache, whose references another thread counts. */
static void work_has_a_copy(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json("{\"spec\":{\"excludedNamespaces\":[]}}");
    struct xb_step_work *work = xb_step_work_new(NULL, object);
    xb_json *list = xb_json_get(work->object, "spec.excludedNamespaces");
    json_object_array_add(list, json_object_new_string("a"));
    probe_json_is(object, "{\"spec\":{\"excludedNamespaces\":[]}}");
    xb_step_work_free(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_orders_take_a_share),
        cmocka_unit_test(few_orders_do_not_wait),
        cmocka_unit_test(no_room_for_a_run),
        cmocka_unit_test(work_has_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
