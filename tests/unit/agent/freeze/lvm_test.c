/* SPDX-License-Identifier: Apache-2.0
 *
 * What snapshots of logical volumes need no LVM for: names, reports, of what there may be a copy
 * and how large, which are left over; and that it is refused elsewhere. tests/vm/lvm_test has one.
 */
#include "tests/harness/probe.h"

#include <fcntl.h>

#include "agent/freeze/lvm_node.h"

#define GROUP "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa"
#define OTHER "bbbbbb-bbbb-bbbb-bbbb-bbbb-bbbb-bbbbbb"
#define ONE "111111-1111-1111-1111-1111-1111-111111"
#define TWO "222222-2222-2222-2222-2222-2222-222222"

static const char group_id[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char one_id[] = "11111111111111111111111111111111";

/* ---- names ---- */

static void test_ids(void **state)
{
    static const char *const wrong[] = {
        "",
        "CRYPT-LUKS2-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-home",
        "LVM-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "LVM-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa11111111111111111111111111111111-real",
        "LVM-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa111111111111111111111111111111112",
        "LVM-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1111111111111111111111111111111"};
    struct xb_lvm_ids ids = {.group = "untouched"};
    char text[XB_LVM_ID_TEXT_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PROBE_REFUSED(xb_lvm_ids_of(wrong[i], &ids, &err), XB_ERR_INVALID);
    }
    assert_string_equal(ids.group, "untouched");
    PROBE_OK(xb_lvm_ids_of("LVM-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa11111111111111111111111111111111",
                           &ids, &err));
    assert_string_equal(ids.group, group_id);
    assert_string_equal(ids.volume, one_id);
    xb_lvm_id_text("abcdefGHIJklmnOPQRstuvWXYZ012345", text);
    assert_string_equal(text, "abcdef-GHIJ-klmn-OPQR-stuv-WXYZ-012345");
}

static void test_names(void **state)
{
    static const char *const wrong[] = {"", "a b", "a/b", "a@b", "a\nb", "\xc3\xa9"};
    char name[XB_LVM_NAME_BYTES] = "untouched";
    char copy[XB_LVM_NAME_BYTES];
    char device[XB_LVM_DEVICE_NAME_BYTES];
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PROBE_REFUSED(xb_lvm_copy_name(wrong[i], name, &err), XB_ERR_INVALID);
    }
    memset(copy, 'a', sizeof copy);
    copy[sizeof copy - sizeof XB_LVM_PREFIX + 1] = '\0';
    PROBE_REFUSED(xb_lvm_copy_name(copy, name, &err), XB_ERR_INVALID);
    assert_string_equal(name, "untouched");
    copy[sizeof copy - sizeof XB_LVM_PREFIX] = '\0';
    PROBE_OK(xb_lvm_copy_name(copy, name, &err));
    assert_int_equal(strlen(name), XB_LVM_NAME_BYTES - 1);
    PROBE_OK(xb_lvm_copy_name("4f0c-1", name, &err));
    assert_string_equal(name, "xebec-point-in-time-4f0c-1");
    xb_lvm_device_name("v-g", name, device);
    assert_string_equal(device, "v--g-xebec--point--in--time--4f0c--1");
}

static void test_makers(void **state)
{
    static const char *const wrong[] = {"",
                                        "xebec-made-by-",
                                        "xebec-made-by-0000abcd",
                                        "xebec-made-by-0000abcd-1-2",
                                        "xebec-made-by-0000abcd-1-2-3-4",
                                        "xebec-made-by-0000abcd-1-2-3x",
                                        "xebec-made-by-0000ABCD-1-2-3",
                                        "xebec-made-by-abcd-1-2-3",
                                        "xebec-made-by-0000abcd-01-2-3",
                                        "xebec-made-by-0000abcd-1--2-3",
                                        "xebec-made-by-0000abcd-1-2-99999999999999999999",
                                        "xebec-made-by- 000abcd-1-2-3"};
    const struct xb_lvm_maker maker = {
        .boot = 0xabcd, .pid = 4711, .started = UINT64_MAX, .made_s = 12};
    struct xb_lvm_maker found = {.pid = 77};
    char tag[XB_LVM_TAG_BYTES];
    (void)state;
    xb_lvm_maker_tag(&maker, tag);
    assert_string_equal(tag, "xebec-made-by-0000abcd-4711-18446744073709551615-12");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_false(xb_lvm_maker_parse(wrong[i], strlen(wrong[i]), &found));
    }
    assert_false(xb_lvm_maker_parse(tag, strlen(tag) - 3, &found));
    assert_int_equal(found.pid, 77);
    assert_true(xb_lvm_maker_parse(tag, strlen(tag), &found));
    assert_int_equal(found.boot, maker.boot);
    assert_int_equal(found.pid, maker.pid);
    assert_int_equal(found.started, maker.started);
    assert_int_equal(found.made_s, maker.made_s);
}

static void test_who_lives(void **state)
{
    struct xb_lvm_maker self;
    struct xb_lvm_maker other;
    (void)state;
    PROBE_OK(xb_lvm_maker_self(&self, &err));
    assert_int_equal(self.pid, getpid());
    assert_true(xb_lvm_maker_lives(&self));
    other = self;
    other.started++;
    assert_false(xb_lvm_maker_lives(&other)); /* of the same number, later */
    other = self;
    other.boot++;
    assert_false(xb_lvm_maker_lives(&other));
    other = self;
    other.pid = UINT64_MAX;
    assert_false(xb_lvm_maker_lives(&other));
}

/* ---- reports ---- */

struct row {
    const char *id, *name, *group_id, *group, *attributes, *group_attributes, *lock, *pool, *tags,
        *bytes, *group_bytes, *free, *extent, *data, *metadata;
};
static const struct row thick = {.id = ONE,
                                 .name = "data",
                                 .group_id = GROUP,
                                 .group = "vg",
                                 .attributes = "-wi-ao----",
                                 .group_attributes = "wz--n-",
                                 .lock = "",
                                 .pool = "",
                                 .tags = "",
                                 .bytes = "1073741824",
                                 .group_bytes = "10737418240",
                                 .free = "9663676416",
                                 .extent = "4194304",
                                 .data = "",
                                 .metadata = ""};

static size_t add_row(char *text, size_t at, size_t size, const struct row *row)
{
    int len = snprintf(
        text + at, size - at,
        "%s{\"lv_uuid\":\"%s\",\"lv_name\":\"%s\",\"vg_uuid\":\"%s\",\"vg_name\":\"%s\","
        "\"lv_attr\":\"%s\",\"vg_attr\":\"%s\",\"vg_lock_type\":\"%s\",\"pool_lv_uuid\":\"%s\","
        "\"lv_tags\":\"%s\",\"lv_size\":\"%s\",\"vg_size\":\"%s\",\"vg_free\":\"%s\","
        "\"vg_extent_size\":\"%s\",\"data_percent\":\"%s\",\"metadata_percent\":\"%s\"}",
        at > 0 && text[at - 1] == '}' ? ",\n" : "", row->id, row->name, row->group_id, row->group,
        row->attributes, row->group_attributes, row->lock, row->pool, row->tags, row->bytes,
        row->group_bytes, row->free, row->extent, row->data, row->metadata);
    assert_true(len > 0 && (size_t)len < size - at);
    return at + (size_t)len;
}

static int parse(const struct row *rows, size_t count, struct xb_lvm_report *ret,
                 struct xb_error *err)
{
    char text[4096] = "\n  {\n \"report\": [ { \"lv\": [";
    size_t at = strlen(text);
    for (size_t i = 0; i < count; i++) {
        at = add_row(text, at, sizeof text - 20, &rows[i]);
    }
    snprintf(text + at, sizeof text - at, "] } ]\n , \"log\": [] }\n");
    return xb_lvm_report_parse(text, strlen(text), ret, err);
}

static void test_a_report(void **state)
{
    struct row rows[] = {thick, thick};
    XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
    (void)state;
    rows[1].id = TWO;
    rows[1].name = XB_LVM_PREFIX "x";
    rows[1].tags = "before," XB_LVM_TAG ",xebec-made-by-0000abcd-1-2-3";
    rows[1].lock = "dlm";
    rows[1].pool = ONE;
    rows[1].data = "12.05";
    rows[1].metadata = "100.00";
    PROBE_OK(parse(rows, 2, &report, &err));
    assert_int_equal(report.count, 2);
    const struct xb_lvm_volume *volume = xb_lvm_find(&report, one_id);
    assert_ptr_equal(volume, &report.volumes[0]);
    assert_string_equal(volume->ids.group, group_id);
    assert_string_equal(volume->name, "data");
    assert_string_equal(volume->group, "vg");
    assert_string_equal(volume->attributes, "-wi-ao----");
    assert_string_equal(volume->group_attributes, "wz--n-");
    assert_false(volume->shared || volume->ours);
    assert_string_equal(volume->pool_id, "");
    assert_int_equal(volume->bytes, 1 << 30);
    assert_int_equal(volume->group_bytes, UINT64_C(10) << 30);
    assert_int_equal(volume->group_free_bytes, UINT64_C(9) << 30);
    assert_int_equal(volume->extent_bytes, 4 << 20);
    assert_int_equal(volume->data_percent, -1);
    volume = &report.volumes[1];
    assert_true(volume->shared && volume->ours);
    assert_int_equal(volume->maker.made_s, 3);
    assert_string_equal(volume->pool_id, one_id);
    assert_int_equal(volume->data_percent, 1205);
    assert_int_equal(volume->metadata_percent, 10000);
    assert_null(xb_lvm_find(&report, "3"));
}

static void test_what_is_ours(void **state)
{
    static const struct {
        const char *name, *tags;
        bool ours;
    } cases[] = {{"xebec-point-in-time-a", XB_LVM_TAG, true},
                 {"xebec-point-in-time-a", "x," XB_LVM_TAG, true},
                 {"xebec-point-in-time-", XB_LVM_TAG, false},
                 {"xebec-point-in-time-a", "", false},
                 {"xebec-point-in-time-a", XB_LVM_TAG "s", false},
                 {"xebec-point-in-time-a", "xebec-made-by-0000abcd-1-2-3", false},
                 {"data", XB_LVM_TAG, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row row = thick;
        XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
        row.name = cases[i].name;
        row.tags = cases[i].tags;
        PROBE_OK(parse(&row, 1, &report, &err));
        assert_int_equal(report.volumes[0].ours, cases[i].ours);
        assert_int_equal(report.volumes[0].maker.boot, 0);
    }
}

static void test_wrong_values(void **state)
{
    static const struct {
        size_t field;
        const char *value;
    } cases[] = {{offsetof(struct row, id), ""},
                 {offsetof(struct row, id), "111111-1111-1111-1111-1111-1111-11111"},
                 {offsetof(struct row, id), "11111-11111-1111-1111-1111-1111-111111"},
                 {offsetof(struct row, id), "111111-1111-1111-1111-1111-1111-111111 "},
                 {offsetof(struct row, group_id), "11111111111111111111111111111111"},
                 {offsetof(struct row, pool), "pool"},
                 {offsetof(struct row, name), ""},
                 {offsetof(struct row, name), "-f"},
                 {offsetof(struct row, name), ".."},
                 {offsetof(struct row, name), "a b"},
                 {offsetof(struct row, name), "[pool_tdata]"},
                 {offsetof(struct row, group), "a/b"},
                 {offsetof(struct row, group), "--config"},
                 {offsetof(struct row, attributes), "-wi-ao---"},
                 {offsetof(struct row, attributes), "-wi-ao-----"},
                 {offsetof(struct row, attributes), "-wi ao----"},
                 {offsetof(struct row, group_attributes), "wz--n"},
                 {offsetof(struct row, bytes), ""},
                 {offsetof(struct row, bytes), "-1"},
                 {offsetof(struct row, bytes), "1.00g"},
                 {offsetof(struct row, bytes), "18446744073709551616"},
                 {offsetof(struct row, extent), "0x10"},
                 {offsetof(struct row, data), "12"},
                 {offsetof(struct row, data), "12.345"},
                 {offsetof(struct row, data), "100.01"},
                 {offsetof(struct row, data), "-1.00"},
                 {offsetof(struct row, metadata), "nan"}};
    struct xb_lvm_report report = {.count = 77};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row row = thick;
        memcpy((char *)&row + cases[i].field, &cases[i].value, sizeof cases[i].value);
        PROBE_REFUSED(parse(&row, 1, &report, &err), XB_ERR_CORRUPT);
    }
    assert_int_equal(report.count, 77);
}

static void test_wrong_shapes(void **state)
{
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"report\":{}}",
                                        "{\"report\":[]}",
                                        "{\"report\":[[]]}",
                                        "{\"report\":[{}]}",
                                        "{\"report\":[{\"lv\":[]},{\"lv\":[]}]}",
                                        "{\"report\":[{\"lv\":{}}]}",
                                        "{\"report\":[{\"lv\":[7]}]}",
                                        "{\"report\":[{\"lv\":[null]}]}",
                                        "{\"report\":[{\"lv\":[{}]}]}"};
    struct xb_lvm_report report = {.count = 0};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        PROBE_REFUSED(xb_lvm_report_parse(wrong[i], strlen(wrong[i]), &report, &err),
                      XB_ERR_CORRUPT);
    }
    PROBE_OK(parse(NULL, 0, &report, &err));
    assert_int_equal(report.count, 0);
    xb_lvm_report_free(&report);
}

/* ---- of what there may be a copy ---- */

static int plan(const struct row *rows, size_t count, struct xb_lvm_plan *ret,
                struct xb_lvm_report *report, struct xb_error *err)
{
    struct xb_lvm_ids ids = {.group = ""};
    memcpy(ids.group, group_id, sizeof group_id);
    memcpy(ids.volume, one_id, sizeof one_id);
    int r = parse(rows, count, report, err);
    return r ? r : xb_lvm_plan(report, &ids, ret, err);
}

static void test_thick_sizes(void **state)
{
    static const struct {
        const char *bytes, *group_bytes, *free;
        uint64_t extents; /* 0: too little */
    } cases[] = {
        {"1073741824", "10737418240", "9663676416", 51}, /* a fifth */
        {"268435456", "10737418240", "9663676416", 16},  /* at least 64 MiB */
        {"33554432", "10737418240", "9663676416", 8},    /* at most as large as it is */
        {"1073741824", "1073741824", "214748364", 25},   /* as much as leaves a tenth */
        {"1073741824", "1073741824", "160000000", 0},    /* 12 of 51: not a quarter */
        {"1073741824", "1073741824", "107374182", 0},    /* a tenth is free */
        {"1073741824", "1073741824", "0", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row row = thick;
        struct xb_lvm_plan found = {.extents = 0};
        XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
        row.bytes = cases[i].bytes;
        row.group_bytes = cases[i].group_bytes;
        row.free = cases[i].free;
        if (cases[i].extents == 0) {
            PROBE_REFUSED(plan(&row, 1, &found, &report, &err), XB_ERR_FULL);
            continue;
        }
        PROBE_OK(plan(&row, 1, &found, &report, &err));
        assert_null(found.pool);
        assert_ptr_equal(found.origin, &report.volumes[0]);
        assert_int_equal(found.extents, cases[i].extents);
    }
}

static void refused(const struct row *rows, size_t count, const char *why)
{
    struct xb_lvm_plan found;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
    assert_true(plan(rows, count, &found, &report, &err) < 0);
    if (!strstr(err.text, why)) {
        fail_msg("'%s' is not in '%s'", why, err.text);
    }
}

static void test_what_is_refused(void **state)
{
    static const struct {
        const char *attributes, *group_attributes, *lock, *why;
    } cases[] = {{"swi-aos---", "wz--n-", "", "is a snapshot itself"},
                 {"Swi-aos---", "wz--n-", "", "is a snapshot itself"},
                 {"Owi-aos---", "wz--n-", "", "snapshots have not been tried"},
                 {"rwi-aor---", "wz--n-", "", "snapshots have not been tried"},
                 {"Cwi-aoC---", "wz--n-", "", "snapshots have not been tried"},
                 {"twi-aotz--", "wz--n-", "", "snapshots have not been tried"},
                 {"-ri-ao----", "wz--n-", "", "is read-only"},
                 {"-wi-so----", "wz--n-", "", "is not simply active"},
                 {"-wi-------", "wz--n-", "", "is not simply active"},
                 {"-wi-ao--p-", "wz--n-", "", "is not whole"},
                 {"Vwi-aotz--", "wz--n-", "", "is thin and is not"},
                 {"-wi-ao----", "rz--n-", "", "read-only"},
                 {"-wi-ao----", "wzx-n-", "", "something is missing"},
                 {"-wi-ao----", "wz-pn-", "", "something is missing"},
                 {"-wi-ao----", "wz--ns", "", "several nodes share"},
                 {"-wi-ao----", "wz--nc", "", "several nodes share"},
                 {"-wi-ao----", "wz--n-", "sanlock", "several nodes share"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row row = thick;
        row.attributes = cases[i].attributes;
        row.group_attributes = cases[i].group_attributes;
        row.lock = cases[i].lock;
        refused(&row, 1, cases[i].why);
    }
    struct row other = thick;
    other.id = TWO;
    refused(&other, 1, "does not know its logical volume");
    other = thick;
    other.group_id = OTHER;
    refused(&other, 1, "does not know its logical volume");
}

static void test_thin(void **state)
{
    static const struct {
        const char *attributes, *data, *metadata, *why; /* NULL: it may */
    } cases[] = {{"twi-aotz--", "80.00", "80.00", NULL},
                 {"twi-aotz--", "80.01", "5.00", "is full by 80 %"},
                 {"twi-aotz--", "5.00", "81.00", "its metadata by 81 %"},
                 {"twi-aotz--", "", "5.00", "not well"},
                 {"twi-aotz--", "5.00", "", "not well"},
                 {"twi-aotzD-", "5.00", "5.00", "not well"},
                 {"twi-cotz--", "5.00", "5.00", "not well"},
                 {"-wi-ao----", "5.00", "5.00", "not well"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct row rows[] = {thick, thick};
        rows[0].attributes = "Vwi-aotz--";
        rows[0].pool = TWO;
        rows[0].free = "0"; /* it costs the pool's */
        rows[1].id = TWO;
        rows[1].name = "pool";
        rows[1].attributes = cases[i].attributes;
        rows[1].data = cases[i].data;
        rows[1].metadata = cases[i].metadata;
        if (cases[i].why) {
            refused(rows, 2, cases[i].why);
            continue;
        }
        struct xb_lvm_plan found;
        XB_CLEANUP(xb_lvm_report_free) struct xb_lvm_report report = {.count = 0};
        PROBE_OK(plan(rows, 2, &found, &report, &err));
        assert_ptr_equal(found.pool, &report.volumes[1]);
        refused(rows, 1, "a pool that LVM does not know");
    }
}

/* ---- what is left over ---- */

static void test_left_over(void **state)
{
    static const struct {
        const char *attributes;
        uint64_t now_s;
        uint32_t boot;
        bool ours, alive, left;
    } cases[] = {{"swi-a-s---", 1000, 1, true, false, true},
                 {"Vwi---tz--", 1000, 1, true, false, true},
                 {"swi-aos---", 1000, 1, true, false, false},  /* it is read */
                 {"-wi-XX--X-", 1000, 1, true, false, true},   /* lvremove will not, if it is */
                 {"swi-a-s---", 1000, 1, false, false, false}, /* somebody else's */
                 {"swi-a-s---", 1000, 0, true, false, false},
                 {"swi-a-s---", 1060, 1, true, true, false}, /* it is about to be opened */
                 {"swi-a-s---", 1061, 1, true, true, true}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct xb_lvm_volume volume = {.ours = cases[i].ours,
                                       .maker = {.boot = cases[i].boot, .made_s = 1000}};
        memcpy(volume.attributes, cases[i].attributes, sizeof volume.attributes);
        assert_int_equal(xb_lvm_is_left_over(&volume, cases[i].alive, cases[i].now_s),
                         cases[i].left);
    }
}

/* ---- elsewhere ---- */

static void test_elsewhere(void **state)
{
    int removed = 0;
    struct xb_freeze *freeze = NULL;
    struct xb_error why = XB_ERROR_INIT;
    struct xb_lvm_device device;
    const struct xb_lvm_device_wanted none = {.id_begins = "LVM-none", .name = "none"};
    XB_CLEANUP(xb_closep) int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct xb_freeze_request request = {
        .root_fd = fd, .path = "/dev/shm", .name = "copy", .methods = 1U << XB_FREEZE_LVM};
    (void)state;
    assert_int_equal(xb_lvm_sweep(&request, &removed), 0);
    assert_int_equal(removed, 0);
    assert_true(xb_freeze_prepare(&request, &freeze, &why) < 0);
    assert_int_equal(why.kind, XB_ERR_INVALID);
    assert_non_null(strstr(why.text, "lvm: its file system is tmpfs"));
    assert_null(freeze);
    PROBE_REFUSED(xb_lvm_device_by_number(1, 3, &device, &err), XB_ERR_INVALID);
    PROBE_REFUSED(xb_lvm_device_find(&none, &device, &err), XB_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_makers),       cmocka_unit_test(test_who_lives),
        cmocka_unit_test(test_a_report),     cmocka_unit_test(test_what_is_ours),
        cmocka_unit_test(test_wrong_values), cmocka_unit_test(test_wrong_shapes),
        cmocka_unit_test(test_thick_sizes),  cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_thin),         cmocka_unit_test(test_left_over),
        cmocka_unit_test(test_elsewhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
