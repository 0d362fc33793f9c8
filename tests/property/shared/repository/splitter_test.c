/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever the bytes, the sizes of the chunks and of the blocks that are fed, and the instructions
 * that the machine has, cuts lie where the definition puts them: it is spelled out here once more,
 * without anything rolling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cpu.h"
#include "shared/repository/splitter.h"
#include "tests/harness/property.h"

enum { WINDOW = XB_SPLITTER_WINDOW, ROUNDS = 200, BYTES_MAX = 1 << 19, CUTS_MAX = BYTES_MAX / 64 };

/* What single bytes contribute, read off the splitter itself (its table has vectors elsewhere): a
 * window of one byte b and zeros else is a cut for a mask of one bit iff that bit is clear. */
static uint32_t values[256];

static bool is_cut(const unsigned char window[WINDOW], uint32_t mask, bool rabin_karp)
{
    const struct xb_splitter splitter = {
        .min = WINDOW, .max = 2 * WINDOW, .mask = mask, .rabin_karp = rabin_karp};
    struct xb_splitter_state state = {.scanned = 0};
    return xb_splitter_feed(&splitter, &state, window, WINDOW) == WINDOW;
}

static int read_values(void **state)
{
    (void)state;
    /* All zeros cancel out: each value appears twice at every rotation. So the last byte changed
     * from 0 to b gives values[0] ^ values[b]; a constant of all values changes no hash. */
    for (unsigned b = 1; b < 256; b++) {
        unsigned char window[WINDOW] = {0};
        window[WINDOW - 1] = (unsigned char)b;
        for (unsigned bit = 0; bit < 32; bit++) {
            values[b] |= (uint32_t)!is_cut(window, UINT32_C(1) << bit, false) << bit;
        }
    }
    return 0;
}

static uint32_t turned(uint32_t value, unsigned by)
{
    return by % 32 ? value << by % 32 | value >> (32 - by % 32) : value;
}

static uint32_t buzhash(const unsigned char *window)
{
    uint32_t hash = 0;
    for (unsigned i = 0; i < WINDOW; i++) {
        hash ^= turned(values[window[i]], WINDOW - 1 - i);
    }
    return hash;
}

/* Hashes of all windows that end within the data, so that each need be computed only once. */
static uint32_t hashes[BYTES_MAX + 1];

static size_t expected(const struct xb_splitter *splitter, const unsigned char *data, size_t len,
                       size_t *cuts)
{
    size_t count = 0, start = 0;
    for (size_t end = WINDOW; end <= len; end++) {
        if (!splitter->rabin_karp) {
            hashes[end] = buzhash(data + end - WINDOW);
        }
    }
    for (size_t end = 1; end <= len; end++) {
        size_t chunk = end - start;
        bool hit = splitter->mask && chunk >= splitter->min &&
                   (splitter->rabin_karp ? is_cut(data + end - WINDOW, splitter->mask, true)
                                         : (hashes[end] & splitter->mask) == 0);
        if (hit || chunk == splitter->max) {
            cuts[count++] = end;
            start = end;
        }
    }
    return count;
}

/* Feeds blocks of random sizes, each in memory of its own that ends where it ends. */
static size_t fed(struct property *source, const struct xb_splitter *splitter,
                  const unsigned char *data, size_t len, size_t *cuts)
{
    struct xb_splitter_state state = {.scanned = 0};
    size_t count = 0;
    size_t most = (size_t)1 << (3 + property_below(source, 17));
    for (size_t at = 0; at < len;) {
        size_t some = 1 + property_below(source, most);
        some = some < len - at ? some : len - at;
        unsigned char *block = malloc(some);
        assert_non_null(block);
        memcpy(block, data + at, some);
        for (size_t done = 0, cut = 1; done < some && cut; done += cut) {
            cut = xb_splitter_feed(splitter, &state, block + done, some - done);
            assert_true(cut <= some - done);
            if (cut) {
                cuts[count++] = at + done + cut;
            }
        }
        free(block);
        at += some;
    }
    return count;
}

/* Noise, runs of one byte, short periods, and mixtures. */
static void make(struct property *source, unsigned char *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t run = 1 + property_below(source, len);
        uint64_t kind = property_below(source, 3);
        size_t period = 1 + property_below(source, 100);
        run = run < len - at ? run : len - at;
        for (size_t i = 0; i < run; i++) {
            data[at + i] = kind == 0                  ? (unsigned char)property_next(source)
                           : kind == 1 && i >= period ? data[at + i - period]
                                                      : (unsigned char)property_below(source, 4);
        }
        at += run;
    }
}

static struct xb_splitter some_splitter(struct property *source, bool rabin_karp)
{
    uint32_t min = WINDOW + (uint32_t)property_below(source, 1 << (1 + property_below(source, 16)));
    uint32_t max = min + (uint32_t)property_below(source, 1 << (1 + property_below(source, 17)));
    uint32_t mask = (UINT32_C(1) << (1 + property_below(source, 23))) - 1;
    return (struct xb_splitter){.min = min, .max = max, .mask = mask, .rabin_karp = rabin_karp};
}

static void cuts_are_as_defined(void **state)
{
    (void)state;
    static unsigned char data[BYTES_MAX];
    static size_t want[CUTS_MAX], got[CUTS_MAX];
    struct property source = property_begin("splitter");
    size_t all = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        bool rabin_karp = property_below(&source, 10) == 0;
        struct xb_splitter splitter = some_splitter(&source, rabin_karp);
        size_t len =
            property_below(&source, BYTES_MAX >> (rabin_karp ? 4 : property_below(&source, 6)));
        make(&source, data, len);
        xb_cpu_limit(property_once_in(&source, 3) ? XB_CPU_PORTABLE : XB_CPU_AVX512_VBMI);
        size_t count = expected(&splitter, data, len, want);
        all += count;
        assert_int_equal(fed(&source, &splitter, data, len, got), count);
        assert_memory_equal(got, want, count * sizeof *want);
    }
    assert_true(all > (size_t)10 * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cuts_are_as_defined)};
    return cmocka_run_group_tests(tests, read_values, NULL);
}
