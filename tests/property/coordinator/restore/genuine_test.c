/* SPDX-License-Identifier: Apache-2.0
 *
 * An object lies where it says, and nowhere else: at any other place it is refused, and one that
 * was damaged is refused, or still says the same.
 */
#include "coordinator/restore/genuine.h"
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

enum { ROUNDS = 500, NAME_BYTES = 12, TEXT_BYTES = 300 };

struct names {
    char group[NAME_BYTES], kind[NAME_BYTES], namespace[NAME_BYTES], name[NAME_BYTES];
};

static void any_name(struct property *source, size_t least, char out[NAME_BYTES])
{
    static const char letters[] = "abcxyzKQ019-.";
    size_t len = least + (size_t)property_below(source, NAME_BYTES - least);
    for (size_t i = 0; i < len; i++) {
        out[i] = letters[property_below(source, sizeof letters - 1)];
    }
    out[len] = '\0';
}

static struct names any_names(struct property *source)
{
    struct names names;
    any_name(source, 0, names.group);
    any_name(source, 1, names.kind);
    any_name(source, 0, names.namespace);
    any_name(source, 1, names.name);
    return names;
}

static struct xb_restore_place place_of(const struct names *names)
{
    return (struct xb_restore_place){names->group, names->kind, names->namespace, names->name};
}

static size_t write_object(const struct names *names, char text[TEXT_BYTES])
{
    return (size_t)snprintf(
        text, TEXT_BYTES,
        "{\"apiVersion\":\"%s%sv1\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\"%s%s%s}}",
        names->group, names->group[0] ? "/" : "", names->kind, names->name,
        names->namespace[0] ? ",\"namespace\":\"" : "", names->namespace,
        names->namespace[0] ? "\"" : "");
}

/* One of the four names becomes another. */
static void change_one(struct property *source, struct names *names)
{
    char *const all[] = {names->group, names->kind, names->namespace, names->name};
    char *chosen = all[property_below(source, 4)];
    char before[NAME_BYTES];
    memcpy(before, chosen, NAME_BYTES);
    while (strcmp(before, chosen) == 0) {
        any_name(source, chosen == names->kind || chosen == names->name, chosen);
    }
}

static void only_its_own_place(void **state)
{
    (void)state;
    struct property source = property_begin("places");
    for (int i = 0; i < ROUNDS; i++) {
        char text[TEXT_BYTES];
        struct names names = any_names(&source);
        struct xb_restore_place place = place_of(&names);
        write_object(&names, text);
        XB_CLEANUP(xb_json_putp) xb_json *object = probe_json(text);
        PROBE_OK(xb_restore_check_place(object, &place, &err));
        struct names others = names;
        change_one(&source, &others);
        place = place_of(&others);
        PROBE_REFUSED(xb_restore_check_place(object, &place, &err), XB_ERR_CORRUPT);
    }
}

/* True: refused by somebody. */
static bool is_refused(const char *text, size_t len, const struct xb_restore_place *place)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *object = NULL;
    if (xb_json_parse(text, len, &object, &err) < 0 ||
        xb_restore_check_place(object, place, &err) < 0) {
        assert_int_equal(err.kind, XB_ERR_CORRUPT);
        return true;
    }
    assert_string_equal(xb_json_str(object, "kind", ""), place->kind);
    assert_string_equal(xb_json_str(object, "metadata.name", ""), place->name);
    assert_string_equal(xb_json_str(object, "metadata.namespace", ""), place->namespace);
    return false;
}

static void damage(void **state)
{
    (void)state;
    struct property source = property_begin("damage");
    for (int i = 0; i < ROUNDS / 10; i++) {
        char text[TEXT_BYTES];
        struct names names = any_names(&source);
        const struct xb_restore_place place = place_of(&names);
        size_t len = write_object(&names, text);
        assert_false(is_refused(text, len, &place));
        for (size_t cut = 0; cut < len; cut++) {
            assert_true(is_refused(text, cut, &place));
        }
        size_t refused = 0;
        for (size_t bit = 0; bit < len * 8; bit++) {
            text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
            refused += is_refused(text, len, &place);
            text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        }
        /* What is left are the bits of the version. */
        assert_true(refused >= len * 8 - 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_its_own_place),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
