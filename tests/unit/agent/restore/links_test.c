/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the first name of each hard link is: as many as are allowed, found again whatever became of
 * them, in memory that does not grow with their paths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "agent/restore/internal.h"

enum { PATH_BYTES = 400 };

static void make_names(unsigned i, char id[32], char path[PATH_BYTES])
{
    snprintf(id, 32, "2049:%u", i * 7);
    int len = snprintf(path, PATH_BYTES, "folder %u/", i);
    memset(path + len, 'x', PATH_BYTES - (size_t)len - 1);
    path[PATH_BYTES - 1] = '\0';
}

static struct xb_links *new_links(void)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_links *links = NULL;
    assert_int_equal(xb_links_new(&links, &err), 0);
    return links;
}

static void many_are_found(void **state)
{
    (void)state;
    const unsigned count = XB_RESTORE_LINKS_MAX;
    char id[32], path[PATH_BYTES];
    struct xb_link_first first;
    struct xb_links *links = new_links();
    const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (unsigned i = 0; i < count; i++) {
        make_names(i, id, path);
        xb_links_begin(links, id, path);
        if (i % 3 == 0) {
            xb_links_planned(links, id, i);
        } else if (i % 3 == 1) {
            xb_links_failed(links, id);
        }
    }
    assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before < 12 * 1024 * 1024);
    for (unsigned i = 0; i < count; i++) {
        make_names(i, id, path);
        assert_int_equal(xb_links_find(links, id, &first), i % 3 != 1);
        if (i % 3 != 1) {
            assert_string_equal(first.path, path);
            assert_true(first.window == (i % 3 == 0 ? i : UINT64_MAX));
        }
    }
    /* One more is not kept; one that failed gets another first name. */
    make_names(count, id, path);
    xb_links_begin(links, id, path);
    assert_false(xb_links_find(links, id, &first));
    make_names(1, id, path);
    xb_links_begin(links, id, "another");
    assert_true(xb_links_find(links, id, &first));
    assert_string_equal(first.path, "another");
    xb_links_free(links);
}

static void none(void **state)
{
    (void)state;
    struct xb_link_first first;
    struct xb_links *links = new_links();
    assert_false(xb_links_find(links, "1:2", &first));
    xb_links_failed(links, "1:2");
    xb_links_planned(links, "1:2", 3);
    assert_false(xb_links_find(links, "1:2", &first));
    xb_links_free(links);
    xb_links_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_are_found),
        cmocka_unit_test(none),
    };
    return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
