/* SPDX-License-Identifier: Apache-2.0
 *
 * Reports of LVM's that were cut off or changed on the way: cut, they are refused; with a bit of
 * them flipped they are refused, or say something else that LVM could say, or the same.
 */
#include "tests/harness/probe.h"
#include "tests/harness/property.h"

#include "agent/freeze/lvm.h"
#include "shared/base/file.h"

static const char *const seeds[] = {"good-thick", "good-thin", "good-copy"};

static void load(const char *name, struct xb_buf *ret)
{
    char path[512];
    snprintf(path, sizeof path, XB_TEST_DATA "/../fuzz/corpus/lvm_report_fuzz/%s", name);
    PROBE_OK(xb_file_read(path, ret, &err));
    assert_true(ret->len > 100);
}

static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct xb_buf text = XB_BUF_INIT(64 << 10);
        struct xb_lvm_report report = {.count = 77};
        load(seeds[i], &text);
        for (size_t len = 0; len < text.len; len++) {
            PROBE_REFUSED(xb_lvm_report_parse(text.data, len, &report, &err), XB_ERR_CORRUPT);
        }
        assert_int_equal(report.count, 77);
        PROBE_OK(xb_lvm_report_parse(text.data, text.len, &report, &err));
        assert_true(report.count > 0);
        xb_lvm_report_free(&report);
        xb_buf_free(&text);
    }
}

/* A snapshot is only made of what is a volume, and only as large as there is room. */
static void check(const struct xb_lvm_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_lvm_plan plan = {.extents = 0};
        const struct xb_lvm_volume *volume = &report->volumes[i];
        assert_true(volume->name[0] != '-' && !strpbrk(volume->name, "/ \n@"));
        assert_true(volume->group[0] != '-' && !strpbrk(volume->group, "/ \n@"));
        if (xb_lvm_plan(report, &volume->ids, &plan, &err) == 0 && !plan.pool) {
            assert_true(plan.extents > 0 &&
                        plan.extents <= volume->group_free_bytes / volume->extent_bytes);
        }
    }
}

static void test_flips(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct xb_buf text = XB_BUF_INIT(64 << 10);
        load(seeds[i], &text);
        size_t refused = 0;
        for (size_t bit = 0; bit < 8 * text.len; bit++) {
            struct xb_error err = XB_ERROR_INIT;
            struct xb_lvm_report report = {.count = 0};
            text.data[bit / 8] = (char)(text.data[bit / 8] ^ 1 << bit % 8);
            if (xb_lvm_report_parse(text.data, text.len, &report, &err) < 0) {
                assert_true(err.kind == XB_ERR_CORRUPT);
                refused++;
            }
            check(&report);
            xb_lvm_report_free(&report);
            text.data[bit / 8] = (char)(text.data[bit / 8] ^ 1 << bit % 8);
        }
        /* Most of it is names of columns, identities, and what holds it together. */
        assert_true(refused > 8 * text.len / 3);
        xb_buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut), cmocka_unit_test(test_flips)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
