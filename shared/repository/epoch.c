/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/epoch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/cleanup.h"

enum { WATERMARK_DIGITS_MAX = 18 };

enum kind { KIND_NONE, KIND_PLAIN, KIND_SINGLE, KIND_RANGE };

struct blob {
    const char *name;
    enum kind kind;
    int64_t first, last; /* epochs; equal but for ranges */
    const char *set;     /* NULL: malformed, a set of its own */
    size_t set_len;
    uint64_t set_size;
};

/* A group's blobs are neighbours; so are, within a group, the blobs of one set. */
struct range {
    int64_t first, last;
    size_t start, count; /* the chosen complete set, in the blobs' array */
    /* The best chain that begins with this range. */
    int64_t reach;
    size_t steps;
    size_t next; /* index of the next range, or SIZE_MAX */
};

/* Reads digits up to `end` (not included); false unless there are some, and at most `limit`. */
static bool parse_number(const char *text, const char *end, int64_t limit, int64_t *ret)
{
    int64_t value = 0;
    if (text == end || end - text > WATERMARK_DIGITS_MAX) {
        return false;
    }
    for (; text < end; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        value = value * 10 + (*text - '0');
    }
    if (value > limit) {
        return false;
    }
    *ret = value;
    return true;
}

/* "...-s<id>-c<n>": the second and third of the parts between dashes. */
static void parse_set(struct blob *blob)
{
    const char *set = strchr(blob->name, '-');
    const char *size = set ? strchr(set + 1, '-') : NULL;
    if (!size || set[1] != 's' || size[1] != 'c') {
        return;
    }
    const char *end = strchr(size + 1, '-');
    int64_t count = 0;
    if (!parse_number(size + 2, end ? end : size + strlen(size), XB_EPOCH_NAMES_MAX, &count) ||
        count == 0) {
        return;
    }
    blob->set = set + 1;
    blob->set_len = (size_t)(size - set - 1);
    blob->set_size = (uint64_t)count;
}

static struct blob parse_blob(const char *name)
{
    struct blob blob = {.name = name};
    if (name[0] != 'x' || (name[1] != 'n' && name[1] != 's' && name[1] != 'r')) {
        return blob;
    }
    const char *end = strchr(name, '_');
    if (!end || !parse_number(name + 2, end, XB_EPOCH_MAX, &blob.first)) {
        return blob;
    }
    blob.last = blob.first;
    if (name[1] == 'r') {
        const char *second = strchr(end + 1, '_');
        if (!second || !parse_number(end + 1, second, XB_EPOCH_MAX, &blob.last) ||
            blob.last < blob.first || blob.last == 0) {
            return blob; /* 0..0 is ignored too, as kopia does */
        }
    }
    blob.kind = name[1] == 'n' ? KIND_PLAIN : name[1] == 's' ? KIND_SINGLE : KIND_RANGE;
    parse_set(&blob);
    return blob;
}

static int compare_sets(const struct blob *a, const struct blob *b)
{
    if (!a->set || !b->set) {
        return (a->set == NULL) - (b->set == NULL); /* a well-formed set is preferred */
    }
    size_t shared = a->set_len < b->set_len ? a->set_len : b->set_len;
    int r = memcmp(a->set, b->set, shared);
    return r ? r : (a->set_len > b->set_len) - (a->set_len < b->set_len);
}

static int compare_blobs(const void *left, const void *right)
{
    const struct blob *a = left;
    const struct blob *b = right;
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }
    if (a->last != b->last) {
        return a->last < b->last ? -1 : 1;
    }
    int r = compare_sets(a, b);
    return r ? r : strcmp(a->name, b->name);
}

static bool same_group(const struct blob *a, const struct blob *b)
{
    return a->kind == b->kind && a->first == b->first && a->last == b->last;
}

/* The end of the group that starts at `start`, and the first complete set in it (count 0: none). */
static size_t scan_group(const struct blob *blobs, size_t count, size_t start, size_t *ret_set,
                         size_t *ret_set_count)
{
    size_t end = start;
    *ret_set_count = 0;
    while (end < count && same_group(&blobs[start], &blobs[end])) {
        size_t set = end++;
        while (blobs[set].set && end < count && same_group(&blobs[set], &blobs[end]) &&
               compare_sets(&blobs[set], &blobs[end]) == 0) {
            end++;
        }
        /* The size is in every name; the largest that any of them claims must be met. */
        uint64_t want = 0;
        for (size_t i = set; i < end; i++) {
            want = blobs[i].set_size > want ? blobs[i].set_size : want;
        }
        if (*ret_set_count == 0 && (!blobs[set].set || end - set >= want)) {
            *ret_set = set;
            *ret_set_count = end - set;
        }
    }
    return end;
}

static size_t find_range(const struct range *ranges, size_t count, int64_t first)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].first < first) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool better_chain(const struct range *a, const struct range *b)
{
    return a->reach > b->reach || (a->reach == b->reach && a->steps < b->steps);
}

/* Ranges come in ascending order of `first`; a chain goes on behind `last`, so the best chains are
 * known from the end. Neighbours with the same `first` pass the best of them backwards in `best`.
 */
static void chain_ranges(struct range *ranges, size_t *best, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        struct range *r = &ranges[i];
        size_t at = find_range(ranges, count, r->last + 1);
        bool goes_on = at < count && ranges[at].first == r->last + 1;
        r->next = goes_on ? best[at] : SIZE_MAX;
        r->reach = goes_on ? ranges[best[at]].reach : r->last;
        r->steps = goes_on ? ranges[best[at]].steps + 1 : 1;
        bool follows = i + 1 < count && ranges[i + 1].first == r->first;
        best[i] = follows && !better_chain(r, &ranges[best[i + 1]]) ? best[i + 1] : i;
    }
}

struct work {
    struct blob *blobs;
    size_t count;
    struct range *ranges;
    size_t range_count;
    size_t *best;
    const char **active;
    size_t active_count;
};

static void work_free(struct work *work)
{
    free(work->blobs);
    free(work->ranges);
    free(work->best);
    free(work->active);
}

static void take(struct work *work, size_t start, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        work->active[work->active_count++] = work->blobs[start + i].name;
    }
}

/* Step 1: the chain of complete ranges from epoch 0 that reaches furthest. Returns the first epoch
 * behind it. */
static int64_t take_ranges(struct work *work)
{
    size_t i = 0;
    while (i < work->count && work->blobs[i].kind != KIND_RANGE) {
        i++;
    }
    while (i < work->count) {
        struct range r = {.first = work->blobs[i].first, .last = work->blobs[i].last};
        i = scan_group(work->blobs, work->count, i, &r.start, &r.count);
        if (r.count > 0) {
            work->ranges[work->range_count++] = r;
        }
    }
    chain_ranges(work->ranges, work->best, work->range_count);
    if (work->range_count == 0 || work->ranges[0].first != 0) {
        return 0;
    }
    int64_t start = 0;
    for (size_t at = work->best[0]; at != SIZE_MAX; at = work->ranges[at].next) {
        take(work, work->ranges[at].start, work->ranges[at].count);
        start = work->ranges[at].last + 1;
    }
    return start;
}

/* Step 2: epochs start..W+1, from a complete compaction if the epoch is settled, else blob by blob.
 */
static void take_epochs(struct work *work, int64_t start, int64_t write_epoch)
{
    size_t singles = 0;
    while (singles < work->count && work->blobs[singles].kind == KIND_PLAIN) {
        singles++;
    }
    size_t plain = 0;
    size_t single = singles;
    size_t single_end = singles;
    while (single_end < work->count && work->blobs[single_end].kind == KIND_SINGLE) {
        single_end++;
    }
    while (plain < singles || single < single_end) {
        int64_t epoch = plain < singles ? work->blobs[plain].first : work->blobs[single].first;
        if (single < single_end && work->blobs[single].first < epoch) {
            epoch = work->blobs[single].first;
        }
        size_t plain_end = plain;
        while (plain_end < singles && work->blobs[plain_end].first == epoch) {
            plain_end++;
        }
        size_t set = 0;
        size_t set_count = 0;
        if (single < single_end && work->blobs[single].first == epoch) {
            single = scan_group(work->blobs, single_end, single, &set, &set_count);
        }
        if (epoch >= start && epoch <= write_epoch + 1) {
            if (epoch <= write_epoch - 2 && set_count > 0) {
                take(work, set, set_count);
            } else {
                take(work, plain, plain_end - plain);
            }
        }
        plain = plain_end;
    }
}

static void read_marks(const char *name, struct xb_epoch_set *set)
{
    int64_t value = 0;
    if (name[0] != 'x') {
        return;
    }
    if (name[1] == 'w' && parse_number(name + 2, name + strlen(name), INT64_MAX, &value) &&
        value > set->watermark_s) {
        set->watermark_s = value;
    }
    const char *end = strchr(name, '_');
    if (name[1] == 'e' &&
        parse_number(name + 2, end ? end : name + strlen(name), XB_EPOCH_MAX, &value) &&
        value > set->write_epoch) {
        set->write_epoch = value;
    }
}

int xb_epoch_compute(const char *const *names, size_t count, struct xb_epoch_set *ret,
                     struct xb_error *err)
{
    if (count > XB_EPOCH_NAMES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "%zu index blobs, more than the allowed %d",
                            count, XB_EPOCH_NAMES_MAX);
    }
    XB_CLEANUP(work_free)
    struct work work = {.blobs = calloc(count + 1, sizeof *work.blobs),
                        .ranges = calloc(count + 1, sizeof *work.ranges),
                        .best = calloc(count + 1, sizeof *work.best),
                        .active = calloc(count + 1, sizeof *work.active)};
    if (!work.blobs || !work.ranges || !work.best || !work.active) {
        return xb_error_no_memory(err, "the list of index blobs");
    }
    struct xb_epoch_set set = {.watermark_s = XB_EPOCH_NO_WATERMARK};
    for (size_t i = 0; i < count; i++) {
        read_marks(names[i], &set);
        struct blob blob = parse_blob(names[i]);
        if (blob.kind != KIND_NONE) {
            work.blobs[work.count++] = blob;
        }
    }
    qsort(work.blobs, work.count, sizeof *work.blobs, compare_blobs);
    take_epochs(&work, take_ranges(&work), set.write_epoch);
    set.active_count = work.active_count;
    set.active = XB_TAKE(work.active);
    *ret = set;
    return 0;
}

void xb_epoch_set_free(struct xb_epoch_set *set)
{
    free(set->active);
    *set = (struct xb_epoch_set){.watermark_s = XB_EPOCH_NO_WATERMARK};
}
