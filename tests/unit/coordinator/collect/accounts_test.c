/* SPDX-License-Identifier: Apache-2.0
 *
 * What bindings are an account's: those that name it as a ServiceAccount, in its namespace;
 * whatever else a binding says is passed over, and there is an end to how much is kept.
 */
#include "coordinator/collect/accounts.h"
#include "tests/harness/probe.h"

static void note(xb_json *table, const char *text, size_t *count)
{
    xb_json *binding = probe_json(text);
    PROBE_OK(xb_accounts_note(table, binding, count, &err));
    json_object_put(binding);
}

/* The names of an account's bindings, with their roles. */
static void expect(xb_json *table, const char *namespace, const char *name, const char *wanted)
{
    char text[256];
    char got[256] = "";
    struct xb_account_binding binding;
    snprintf(text, sizeof text, "{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\"}}", namespace,
             name);
    xb_json *account = probe_json(text);
    for (size_t i = 0; xb_accounts_binding(table, account, i, &binding); i++) {
        size_t len = strlen(got);
        snprintf(got + len, sizeof got - len, "%s=%s ", binding.name, binding.role);
    }
    assert_string_equal(got, wanted);
    json_object_put(account);
}

#define ACCOUNT(ns, name)                                                                          \
    "{\"kind\":\"ServiceAccount\",\"namespace\":\"" ns "\",\"name\":\"" name "\"}"
#define BINDING(name, role, subjects)                                                              \
    "{\"metadata\":{\"name\":\"" name "\"},\"roleRef\":{\"name\":\"" role                          \
    "\"},\"subjects\":" subjects "}"

static void of_an_account(void **state)
{
    xb_json *table = json_object_new_object();
    size_t count = 0;
    (void)state;
    note(table, BINDING("a", "reader", "[" ACCOUNT("web", "app") "," ACCOUNT("db", "app") "]"),
         &count);
    note(table, BINDING("b", "writer", "[" ACCOUNT("web", "app") "]"), &count);
    note(table, BINDING("c", "x", "[{\"kind\":\"User\",\"namespace\":\"web\",\"name\":\"app\"}]"),
         &count);
    assert_int_equal(count, 3);
    expect(table, "web", "app", "a=reader b=writer ");
    expect(table, "db", "app", "a=reader ");
    expect(table, "web", "other", "");
    expect(table, "", "", "");
    json_object_put(table);
}

static void whatever_a_server_says(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "null",
        "{\"subjects\":{}}",
        "{\"subjects\":[1,null,[],{\"kind\":\"ServiceAccount\"}]}",
        BINDING("a", "b", "[{\"kind\":\"ServiceAccount\",\"namespace\":\"web\",\"name\":7}]"),
        "{\"subjects\":[" ACCOUNT("web", "") "," ACCOUNT("", "app") "]}",
    };
    xb_json *table = json_object_new_object();
    size_t count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        note(table, texts[i], &count);
    }
    assert_int_equal(json_object_object_length(table), (int)count);
    expect(table, "web", "app", "");
    json_object_put(table);
}

static void an_end(void **state)
{
    xb_json *table = json_object_new_object();
    xb_json *binding = probe_json(BINDING("a", "b", "[" ACCOUNT("web", "app") "]"));
    size_t count = XB_ACCOUNT_BINDINGS_MAX - 1;
    (void)state;
    PROBE_OK(xb_accounts_note(table, binding, &count, &err));
    PROBE_REFUSED(xb_accounts_note(table, binding, &count, &err), XB_ERR_FULL);
    expect(table, "web", "app", "a=b ");
    json_object_put(binding);
    json_object_put(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_an_account),
        cmocka_unit_test(whatever_a_server_says),
        cmocka_unit_test(an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
