/* SPDX-License-Identifier: Apache-2.0
 *
 * What a record says of its volumes: each is found by its own name and by its claim's, with what
 * was said of it; and from a damaged record nothing worse comes than that a volume is not known.
 */
#include "coordinator/bring/internal.h"
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

enum { VOLUMES = 40, ROUNDS = 50, TEXT_BYTES = 400 };

static const char *const methods[] = {"PodVolumeBackup", "CSISnapshot", "NativeSnapshot", "other"};

static struct xb_bring begin(struct xb_brought *brought, xb_json *infos)
{
    brought->volumes = json_object_new_array();
    return (struct xb_bring){.infos = infos,
                             .info_of = json_object_new_object(),
                             .restore = json_object_new_object(),
                             .lock = PTHREAD_MUTEX_INITIALIZER,
                             .brought = brought};
}

static void end(struct xb_bring *bring)
{
    json_object_put(bring->infos);
    json_object_put(bring->info_of);
    json_object_put(bring->restore);
    json_object_put(bring->brought->volumes);
}

/* Negative: it is told that its data cannot be restored. */
static int where(struct xb_bring *bring, const char *volume)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_bring_data data = XB_BRING_DATA_UNSAID;
    const struct xb_tarball_item from = {
        .resource = "persistentvolumes", .version = "v1", .namespace = "", .name = volume};
    struct xb_bring_item item = {.from = &from};
    int r = xb_bring_where_data_is(bring, &item, &data, &err);
    assert_true(r == 0 || err.kind == XB_ERR_INVALID);
    xb_record_lines_free(&item.lines);
    return r < 0 ? r : (int)data;
}

static void note(struct xb_bring *bring, const char *claim)
{
    const struct xb_tarball_item from = {
        .resource = "persistentvolumeclaims", .version = "v1", .namespace = "web", .name = claim};
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json("{\"metadata\":{\"name\":\"c\"}}");
    struct xb_bring_item item = {.from = &from, .object = object, .there = true};
    PROBE_OK(xb_bring_note_volume(bring, &item, &err));
}

static void write_info(char text[TEXT_BYTES], size_t i, size_t method)
{
    snprintf(text, TEXT_BYTES,
             "{\"backupMethod\":\"%s\",\"pvName\":\"pv-%zu\",\"pvcName\":\"c-%zu\","
             "\"pvcNamespace\":\"web\",\"pvInfo\":{\"reclaimPolicy\":\"p-%zu\","
             "\"labels\":{\"is\":\"l-%zu\"}}}",
             methods[method], i, i, i, i);
}

static void each_is_found(void **state)
{
    (void)state;
    struct property source = property_begin("infos");
    for (int round = 0; round < ROUNDS; round++) {
        size_t method[VOLUMES], kept = 0;
        struct xb_brought brought = {0};
        struct xb_bring bring = begin(&brought, json_object_new_array());
        char text[TEXT_BYTES], name[40];
        for (size_t i = 0; i < VOLUMES; i++) {
            method[i] = property_below(&source, sizeof methods / sizeof methods[0]);
            write_info(text, i, method[i]);
            json_object_array_add(bring.infos, probe_json(text));
        }
        PROBE_OK(xb_bring_index_infos(&bring, &err));
        for (size_t i = 0; i < VOLUMES; i++) {
            static const int wanted[] = {XB_BRING_DATA_APART, XB_BRING_DATA_APART, -ENOTSUP,
                                         XB_BRING_DATA_NONE};
            snprintf(name, sizeof name, "pv-%zu", i);
            assert_int_equal(where(&bring, name), wanted[method[i]]);
            snprintf(name, sizeof name, "c-%zu", i);
            note(&bring, name);
            if (method[i] > 1) {
                continue;
            }
            xb_json *volume = json_object_array_get_idx(brought.volumes, kept++);
            snprintf(name, sizeof name, "p-%zu", i);
            assert_string_equal(xb_json_str(volume, "reclaimPolicy", ""), name);
            snprintf(name, sizeof name, "l-%zu", i);
            assert_string_equal(xb_json_str(volume, "labels.is", ""), name);
        }
        assert_int_equal(json_object_array_length(brought.volumes), kept);
        assert_int_equal(where(&bring, "pv-x"), XB_BRING_DATA_UNSAID);
        end(&bring);
    }
}

/* How many volumes are kept of a record with this text; negative: it is no JSON. */
static int kept_of(const char *text, size_t len)
{
    struct xb_error why = XB_ERROR_INIT;
    xb_json *infos = NULL;
    if (xb_json_parse(text, len, &infos, &why) < 0) {
        return -1;
    }
    assert_true(json_object_is_type(infos, json_type_array));
    struct xb_brought brought = {0};
    struct xb_bring bring = begin(&brought, infos);
    PROBE_OK(xb_bring_index_infos(&bring, &err));
    (void)where(&bring, "pv-0");
    note(&bring, "c-0");
    int kept = (int)json_object_array_length(brought.volumes);
    end(&bring);
    return kept;
}

static void damage_is_harmless(void **state)
{
    (void)state;
    char info[TEXT_BYTES], text[TEXT_BYTES + 2];
    write_info(info, 0, 0);
    size_t len = (size_t)snprintf(text, sizeof text, "[%s]", info);
    assert_int_equal(kept_of(text, len), 1);
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(kept_of(text, cut), -1);
    }
    for (size_t bit = 8; bit < (len - 1) * 8; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        assert_true(kept_of(text, len) <= 1);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found),
        cmocka_unit_test(damage_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
