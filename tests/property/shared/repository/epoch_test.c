/* SPDX-License-Identifier: Apache-2.0
 *
 * The active index set of random lists of names is one that the rule of kopia-format section 8
 * allows, found here by trying everything. The order of the names changes nothing that counts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/repository/epoch.h"
#include "tests/harness/property.h"

enum { BLOBS_MAX = 60, EPOCHS = 9, SETS = 3, ROUNDS = 4000, NONE = -1 };

/* A blob as it was meant; its name is made from it. */
struct blob {
    char kind; /* 'n', 's', 'r'; 'e': a marker; 'w': a watermark; '?': a stranger */
    int first, last;
    int set, set_size; /* set NONE: malformed */
    bool active;       /* what xb_epoch_compute said */
    char name[64];
};

static struct blob blobs[BLOBS_MAX];
static size_t blob_count;
static int write_epoch;
static int64_t watermark_s;
/* Each set of a group has one size, as its writer gives it. */
static int set_sizes[EPOCHS + 1][EPOCHS + 1][SETS];

static void name_blob(struct property *source, struct blob *blob, size_t number)
{
    static const char *const strangers[] = {"xq0_%zu", "xn_%zu",  "xs-1_%zu", "xr0_%zu",
                                            "x%zu",    "xnA_%zu", "p%zu",     "xr0_0_%zu"};
    char suffix[32] = "";
    if (blob->set != NONE) {
        snprintf(suffix, sizeof suffix, "-s%d-c%d", blob->set, blob->set_size);
    } else if (property_once_in(source, 2)) {
        snprintf(suffix, sizeof suffix, "%s", property_once_in(source, 2) ? "-s1" : "-s1-x2");
    }
    if (blob->kind == 'e') {
        snprintf(blob->name, sizeof blob->name, "xe%d", blob->first);
    } else if (blob->kind == 'r') {
        snprintf(blob->name, sizeof blob->name, "xr%d_%d_%zu%s", blob->first, blob->last, number,
                 suffix);
    } else if (blob->kind != '?') {
        snprintf(blob->name, sizeof blob->name, "x%c%d_%zu%s", blob->kind, blob->first, number,
                 suffix);
    } else {
        size_t used = 0;
        const char *form = strangers[property_below(source, 8)];
        for (; *form && used + 24 < sizeof blob->name; form++) {
            if (strncmp(form, "%zu", 3) == 0) {
                used += (size_t)snprintf(blob->name + used, 24, "%zu", number);
                form += 2;
            } else {
                blob->name[used++] = *form;
            }
        }
        blob->name[used] = '\0';
    }
}

static void make_blobs(struct property *source)
{
    blob_count = property_below(source, BLOBS_MAX);
    write_epoch = 0;
    watermark_s = XB_EPOCH_NO_WATERMARK;
    for (int i = 0; i <= EPOCHS; i++) {
        for (int k = 0; k <= EPOCHS; k++) {
            for (int s = 0; s < SETS; s++) {
                set_sizes[i][k][s] = 1 + (int)property_below(source, 3);
            }
        }
    }
    for (size_t i = 0; i < blob_count; i++) {
        static const char kinds[] = "nnnnssssrrrrrrew?";
        struct blob *blob = &blobs[i];
        *blob = (struct blob){.kind = kinds[property_below(source, sizeof kinds - 1)]};
        blob->first = (int)property_below(source, EPOCHS);
        blob->last = blob->first;
        if (blob->kind == 'r') {
            blob->first = property_once_in(source, 3) ? 0 : blob->first;
            blob->last =
                blob->first + (int)property_below(source, (uint64_t)(EPOCHS - blob->first));
            if (blob->last == 0) {
                blob->kind = '?'; /* 0..0 does not count */
            }
        }
        blob->set = property_once_in(source, 8) ? NONE : (int)property_below(source, SETS);
        blob->set_size = blob->set == NONE ? 1 : set_sizes[blob->first][blob->last][blob->set];
        if (blob->kind == 'w') {
            int64_t mark_s = (int64_t)property_below(source, UINT64_C(4000000000));
            blob->set = NONE;
            watermark_s = mark_s > watermark_s ? mark_s : watermark_s;
            snprintf(blob->name, sizeof blob->name, "xw%lld", (long long)mark_s);
        } else if (blob->kind == 'e') {
            blob->set = NONE;
            write_epoch = blob->first > write_epoch ? blob->first : write_epoch;
            snprintf(blob->name, sizeof blob->name, "xe%d", blob->first);
        } else {
            name_blob(source, blob, i);
        }
    }
}

static bool in_group(const struct blob *blob, char kind, int first, int last)
{
    return blob->kind == kind && blob->first == first && blob->last == last;
}

/* Whether the group has a complete set. */
static bool has_complete(char kind, int first, int last)
{
    for (size_t i = 0; i < blob_count; i++) {
        if (!in_group(&blobs[i], kind, first, last)) {
            continue;
        }
        int members = 0;
        for (size_t k = 0; k < blob_count && blobs[i].set != NONE; k++) {
            members += in_group(&blobs[k], kind, first, last) && blobs[k].set == blobs[i].set;
        }
        if (blobs[i].set == NONE || members >= blobs[i].set_size) {
            return true;
        }
    }
    return false;
}

/* Takes the active blobs of a group off the list if they are exactly one complete set. */
static bool take_one_set(char kind, int first, int last)
{
    int set = NONE, members = 0, active = 0, active_malformed = 0;
    for (size_t i = 0; i < blob_count; i++) {
        if (in_group(&blobs[i], kind, first, last) && blobs[i].active) {
            set = blobs[i].set;
            active++;
            active_malformed += set == NONE;
        }
    }
    if (active_malformed > 0) {
        set = NONE;
        members = 1;
    }
    for (size_t i = 0; i < blob_count; i++) {
        if (in_group(&blobs[i], kind, first, last) && set != NONE && blobs[i].set == set) {
            members++;
            if (!blobs[i].active || members > active) {
                return false;
            }
        }
    }
    bool good =
        active > 0 && active == members && (set == NONE || members >= set_sizes[first][last][set]);
    for (size_t i = 0; i < blob_count; i++) {
        if (in_group(&blobs[i], kind, first, last)) {
            blobs[i].active = false;
        }
    }
    return good;
}

struct chain {
    int reach, steps;
};

/* The best chain of complete ranges that begins at `first`: all are tried. */
static struct chain best_chain(int first)
{
    struct chain best = {first - 1, 0};
    for (int last = first; last < EPOCHS; last++) {
        if (!has_complete('r', first, last)) {
            continue;
        }
        struct chain rest = best_chain(last + 1);
        rest.steps++;
        if (rest.reach > best.reach || (rest.reach == best.reach && rest.steps < best.steps)) {
            best = rest;
        }
    }
    return best;
}

/* The active ranges must be a chain from 0, as good as the best. Returns the epoch behind it. */
static int check_chain(void)
{
    struct chain best = best_chain(0);
    int next = 0, steps = 0;
    for (bool found = true; found; steps += found) {
        found = false;
        for (size_t i = 0; i < blob_count && !found; i++) {
            if (blobs[i].active && blobs[i].kind == 'r' && blobs[i].first == next) {
                int last = blobs[i].last;
                assert_true(take_one_set('r', next, last));
                next = last + 1;
                found = true;
            }
        }
    }
    assert_int_equal(next, best.reach + 1);
    assert_int_equal(steps, best.steps);
    return next;
}

static void check_epoch(int epoch)
{
    if (epoch <= write_epoch - 2 && has_complete('s', epoch, epoch)) {
        assert_true(take_one_set('s', epoch, epoch));
        return;
    }
    for (size_t i = 0; i < blob_count; i++) {
        if (in_group(&blobs[i], 'n', epoch, epoch)) {
            assert_true(blobs[i].active);
            blobs[i].active = false;
        }
    }
}

static void mark_active(const struct xb_epoch_set *set)
{
    for (size_t i = 0; i < blob_count; i++) {
        blobs[i].active = false;
    }
    for (size_t k = 0; k < set->active_count; k++) {
        size_t i = 0;
        while (i < blob_count && blobs[i].name != set->active[k]) {
            i++;
        }
        assert_true(i < blob_count && !blobs[i].active); /* one of ours, and once */
        blobs[i].active = true;
    }
}

static void against_the_rule(void **state)
{
    (void)state;
    struct property source = property_begin("epoch against_the_rule");
    for (int round = 0; round < ROUNDS; round++) {
        struct xb_error err = XB_ERROR_INIT;
        struct xb_epoch_set set;
        const char *names[BLOBS_MAX];
        make_blobs(&source);
        for (size_t i = 0; i < blob_count; i++) {
            names[i] = blobs[i].name;
        }
        assert_int_equal(xb_epoch_compute(names, blob_count, &set, &err), 0);
        assert_int_equal(set.write_epoch, write_epoch);
        assert_true(set.watermark_s == watermark_s);
        mark_active(&set);
        int start = check_chain();
        for (int epoch = start; epoch <= write_epoch + 1; epoch++) {
            check_epoch(epoch);
        }
        for (size_t i = 0; i < blob_count; i++) {
            assert_false(blobs[i].active); /* nothing else */
        }
        xb_epoch_set_free(&set);
    }
}

/* Names of any bytes: never more than was given, each once, and the numbers stay in bounds. */
static void any_names(void **state)
{
    (void)state;
    static const char letters[] = "xxxnsrew0123456789__--c-s";
    struct property source = property_begin("epoch any_names");
    for (int round = 0; round < ROUNDS; round++) {
        static char texts[BLOBS_MAX][32];
        const char *names[BLOBS_MAX];
        struct xb_error err = XB_ERROR_INIT;
        struct xb_epoch_set set;
        size_t count = property_below(&source, BLOBS_MAX);
        for (size_t i = 0; i < count; i++) {
            size_t len = property_below(&source, sizeof texts[0]);
            for (size_t k = 0; k < len; k++) {
                texts[i][k] = property_once_in(&source, 50)
                                  ? (char)(1 + property_below(&source, 255))
                                  : letters[property_below(&source, sizeof letters - 1)];
            }
            texts[i][0] = len > 0 ? 'x' : '\0';
            texts[i][len] = '\0';
            names[i] = texts[i];
        }
        assert_int_equal(xb_epoch_compute(names, count, &set, &err), 0);
        assert_true(set.active_count <= count);
        assert_true(set.write_epoch >= 0 && set.write_epoch <= XB_EPOCH_MAX);
        for (size_t i = 0; i < set.active_count; i++) {
            assert_true(set.active[i] >= texts[0] && set.active[i] < texts[0] + sizeof texts);
            for (size_t k = 0; k < i; k++) {
                assert_ptr_not_equal(set.active[i], set.active[k]);
            }
        }
        xb_epoch_set_free(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_the_rule),
        cmocka_unit_test(any_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
