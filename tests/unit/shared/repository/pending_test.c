/* SPDX-License-Identifier: Apache-2.0
 *
 * Contents written since the last flush are found by their ids, however many there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "shared/repository/pending.h"

/* Ids whose first bytes are often equal, under three prefixes. */
static struct xb_content_id make_id(uint32_t i)
{
    struct xb_content_id id = {.prefix = i % 3 == 0 ? 0 : i % 3 == 1 ? 'k' : 'x', .len = 16};
    id.hash[0] = (uint8_t)(i / 3 % 7);
    memcpy(id.hash + 12, &i, sizeof i);
    return id;
}

static void found_by_id(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct xb_pending pending = {.count = 0};
    struct xb_content_id absent = make_id(COUNT + 5);
    assert_null(xb_pending_find(&pending, &absent));
    for (uint32_t i = 0; i < COUNT; i++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_index_entry entry = {.id = make_id(i), .plain_bytes = i};
        assert_null(xb_pending_find(&pending, &entry.id));
        assert_int_equal(xb_pending_add(&pending, &entry, &err), 0);
    }
    assert_int_equal(pending.count, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct xb_content_id id = make_id(i);
        struct xb_index_entry *entry = xb_pending_find(&pending, &id);
        assert_non_null(entry);
        assert_int_equal(entry->plain_bytes, i);
        entry->plain_bytes = i + 1;
        assert_int_equal(pending.entries[i].plain_bytes, i + 1);
    }
    assert_null(xb_pending_find(&pending, &absent));
    /* Sorted, each is still found as what it was. */
    xb_pending_sort(&pending);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct xb_content_id id = make_id(i);
        assert_int_equal(xb_pending_find(&pending, &id)->plain_bytes, i + 1);
        assert_true(i == 0 ||
                    xb_content_id_compare(&pending.entries[i - 1].id, &pending.entries[i].id) < 0);
    }
    assert_null(xb_pending_find(&pending, &absent));
    /* The same hash under another prefix, or cut, is another content. */
    struct xb_content_id other = make_id(0);
    other.prefix = 'z';
    assert_null(xb_pending_find(&pending, &other));
    other = make_id(0);
    other.len = 15;
    assert_null(xb_pending_find(&pending, &other));
    xb_pending_free(&pending);
    assert_int_equal(pending.count, 0);
    assert_null(xb_pending_find(&pending, &absent));
    xb_pending_free(&pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(found_by_id)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
