/* SPDX-License-Identifier: Apache-2.0
 *
 * Random records of an `m` content come back as they were written; a text that is cut anywhere is
 * refused, and one with flipped bits is refused or gives whole records.
 */
#include "tests/harness/repository_probe.h"

#include "shared/codec/json.h"
#include "shared/repository/manifest_records.h"
#include "tests/harness/property.h"

enum { ROUNDS = 60, RECORDS_MAX = 6, TEXT_BYTES_MAX = 64 };

/* Letters, and what JSON writes in a special way. */
static void random_text(struct property *source, char *text)
{
    static const char letters[] = "abcXYZ 019/-_:.\"\\\n\t<>&{}[],";
    size_t len = 1 + property_below(source, TEXT_BYTES_MAX - 1);
    for (size_t i = 0; i < len; i++) {
        text[i] = letters[property_below(source, sizeof letters - 1)];
    }
    text[len] = '\0';
}

static xb_json *random_record(struct property *source, size_t number)
{
    char text[TEXT_BYTES_MAX];
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    xb_json *record = json_object_new_object();
    xb_json *labels = json_object_new_object();
    for (uint64_t i = property_below(source, 5); i > 0; i--) {
        char key[20];
        snprintf(key, sizeof key, "label %d", (int)i);
        random_text(source, text);
        json_object_object_add(labels, key, json_object_new_string(text));
    }
    snprintf(id, sizeof id, "%016" PRIx64 "%04zx", property_next(source), number);
    json_object_object_add(record, "id", json_object_new_string(id));
    json_object_object_add(record, "labels", labels);
    snprintf(text, sizeof text, "2026-11-%02d", 1 + (int)property_below(source, 28));
    snprintf(text + 10, sizeof text - 10, "T01:02:03.%09dZ", (int)property_below(source, 1000000));
    json_object_object_add(record, "modified", json_object_new_string(text));
    if (property_once_in(source, 3)) {
        json_object_object_add(record, "deleted", json_object_new_boolean(true));
    }
    random_text(source, text);
    json_object_object_add(record, "data", json_object_new_string(text));
    return record;
}

static void same_record(xb_json *want, const struct xb_manifest_record *got)
{
    XB_CLEANUP(xb_json_putp) xb_json *data = NULL;
    xb_json *labels = xb_json_get(want, "labels");
    assert_string_equal(got->manifest.id, xb_json_str(want, "id", ""));
    assert_int_equal(got->deleted, xb_json_get(want, "deleted") != NULL);
    assert_int_equal(got->manifest.label_count, json_object_object_length(labels));
    for (size_t i = 0; i < got->manifest.label_count; i++) {
        const struct xb_label *label = &got->manifest.labels[i];
        assert_string_equal(label->value, xb_json_str(labels, label->key, NULL));
    }
    PROBE_OK(xb_json_parse(got->manifest.data, strlen(got->manifest.data), &data, &err));
    assert_true(json_object_equal(data, xb_json_get(want, "data")));
}

static void refused_when_cut(const char *text, size_t len)
{
    /* The last byte is the bracket: without it nothing is whole. */
    for (size_t cut = 0; cut < len; cut++) {
        struct xb_manifest_records records = {.items = NULL};
        PROBE_REFUSED(xb_manifest_records_parse(text, cut, &records, &err), XB_ERR_CORRUPT, NULL);
        xb_manifest_records_free(&records);
    }
}

static void whole_when_flipped(struct property *source, char *text, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    for (int i = 0; i < 200; i++) {
        struct xb_manifest_records records = {.items = NULL};
        size_t at = property_below(source, len);
        char bit = (char)(1 << property_below(source, 7));
        text[at] = (char)(text[at] ^ bit);
        (void)!xb_manifest_records_parse(text, len, &records, &err);
        for (size_t k = 0; k < records.count; k++) {
            assert_true(records.items[k].manifest.id[0] != '\0');
            assert_non_null(records.items[k].manifest.data);
        }
        text[at] = (char)(text[at] ^ bit);
        xb_manifest_records_free(&records);
    }
}

static void records_come_back(void **state)
{
    (void)state;
    struct property source = property_begin("manifest");
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_manifest_records records = {.items = NULL};
        XB_CLEANUP(xb_json_putp) xb_json *all = json_object_new_object();
        XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(1 << 20);
        xb_json *list = json_object_new_array();
        size_t count = property_below(&source, RECORDS_MAX + 1);
        for (size_t i = 0; i < count; i++) {
            json_object_array_add(list, random_record(&source, i));
        }
        json_object_object_add(all, "entries", list);
        PROBE_OK(xb_json_write(all, &text, &err));
        PROBE_OK(xb_manifest_records_parse(text.data, text.len, &records, &err));
        assert_int_equal(records.count, count);
        for (size_t i = 0; i < count; i++) {
            same_record(json_object_array_get_idx(list, i), &records.items[i]);
        }
        xb_manifest_records_free(&records);
        refused_when_cut(text.data, text.len);
        whole_when_flipped(&source, text.data, text.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(records_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
