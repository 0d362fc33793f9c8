/* SPDX-License-Identifier: Apache-2.0
 * Records lie one behind the other in a buffer; a full buffer is sorted and becomes a run in the
 * scratch file. A cursor merges the runs and what is in the buffer. */
#include "shared/base/sorter.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/buf.h"
#include "shared/base/scratch.h"

enum { RUN_BUFFER_BYTES = 16 * 1024, FIRST_ROWS = 16 };

/* In front of each record, in the buffer and in the runs. */
struct head {
    uint32_t key_len, value_len;
};

struct run {
    uint64_t start, end; /* in the scratch */
};

struct xb_sorter {
    const char *what;
    size_t memory_max;
    struct xb_buf records;
    uint32_t *rows; /* where each record of the buffer begins, in order if `sorted` */
    size_t row_count, row_cap;
    bool sorted;
    struct xb_scratch *scratch; /* NULL: no runs */
    struct run runs[XB_SORTER_RUNS_MAX];
    size_t run_count;
    uint64_t count;
};

/* Where a cursor is in one run, or in the buffer. */
struct source {
    struct xb_sorter_record record; /* the next one; key NULL: none is left */
    uint64_t at, end;               /* in the scratch; of the buffer: rows */
    struct xb_buf buffer;           /* bytes of the run from `base` on */
    uint64_t base;
};

struct xb_sorter_cursor {
    struct xb_sorter *sorter;
    size_t *heap; /* sources that have a record, the smallest first */
    size_t heap_count;
    bool begun; /* the first of the heap has been handed out */
    size_t count;
    struct source sources[]; /* the runs, and last the buffer */
};

int xb_sorter_compare(const struct xb_sorter_record *a, const struct xb_sorter_record *b)
{
    size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order = memcmp(a->key, b->key, len);
    return order ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

int xb_sorter_new(const char *what, size_t memory_max, struct xb_sorter **ret, struct xb_error *err)
{
    struct xb_sorter *sorter = calloc(1, sizeof *sorter);
    if (!sorter) {
        return xb_error_no_memory(err, what);
    }
    sorter->what = what;
    sorter->memory_max = memory_max;
    sorter->records.max = memory_max + XB_SORTER_RECORD_BYTES_MAX + sizeof(struct head);
    sorter->sorted = true;
    *ret = sorter;
    return 0;
}

void xb_sorter_free(struct xb_sorter *sorter)
{
    if (sorter) {
        xb_buf_free(&sorter->records);
        free(sorter->rows);
        xb_scratch_free(sorter->scratch);
        free(sorter);
    }
}

uint64_t xb_sorter_count(const struct xb_sorter *sorter)
{
    return sorter->count;
}

static void record_at(const char *bytes, struct xb_sorter_record *ret)
{
    struct head head;
    memcpy(&head, bytes, sizeof head);
    *ret = (struct xb_sorter_record){.key = bytes + sizeof head,
                                     .key_len = head.key_len,
                                     .value = bytes + sizeof head + head.key_len,
                                     .value_len = head.value_len};
}

static int compare_rows(const void *left, const void *right, void *context)
{
    const char *records = context;
    const uint32_t *a = left;
    const uint32_t *b = right;
    struct xb_sorter_record first, second;
    record_at(records + *a, &first);
    record_at(records + *b, &second);
    return xb_sorter_compare(&first, &second);
}

static void sort_rows(struct xb_sorter *sorter)
{
    if (!sorter->sorted) {
        qsort_r(sorter->rows, sorter->row_count, sizeof *sorter->rows, compare_rows,
                sorter->records.data);
        sorter->sorted = true;
    }
}

static int append_record(struct xb_scratch *scratch, const struct xb_sorter_record *record,
                         struct xb_error *err)
{
    const struct head head = {(uint32_t)record->key_len, (uint32_t)record->value_len};
    int r = xb_scratch_append(scratch, &head, sizeof head, err);
    if (r == 0) {
        r = xb_scratch_append(scratch, record->key, record->key_len, err);
    }
    return r < 0 ? r : xb_scratch_append(scratch, record->value, record->value_len, err);
}

/* All runs become one, so that a cursor's memory stays bounded. The buffer is empty. */
static int merge_runs(struct xb_sorter *sorter, struct xb_error *err)
{
    XB_CLEANUP(xb_scratch_freep) struct xb_scratch *merged = NULL;
    XB_CLEANUP(xb_sorter_closep) struct xb_sorter_cursor *cursor = NULL;
    struct xb_sorter_record record;
    int r = xb_scratch_new(sorter->what, RUN_BUFFER_BYTES, &merged, err);
    if (r == 0) {
        r = xb_sorter_open(sorter, &cursor, err);
    }
    while (r == 0 && (r = xb_sorter_next(cursor, &record, err)) == 0 && record.key) {
        r = append_record(merged, &record, err);
    }
    if (r < 0) {
        return r;
    }
    xb_scratch_free(sorter->scratch);
    sorter->scratch = XB_TAKE(merged);
    sorter->runs[0] = (struct run){0, xb_scratch_length(sorter->scratch)};
    sorter->run_count = 1;
    return 0;
}

/* The buffer becomes a run. */
static int spill(struct xb_sorter *sorter, struct xb_error *err)
{
    int r =
        sorter->scratch ? 0 : xb_scratch_new(sorter->what, RUN_BUFFER_BYTES, &sorter->scratch, err);
    if (r < 0) {
        return r;
    }
    struct run run = {.start = xb_scratch_length(sorter->scratch)};
    sort_rows(sorter);
    for (size_t i = 0; r == 0 && i < sorter->row_count; i++) {
        struct xb_sorter_record record;
        record_at(sorter->records.data + sorter->rows[i], &record);
        r = append_record(sorter->scratch, &record, err);
    }
    if (r < 0) {
        return r;
    }
    run.end = xb_scratch_length(sorter->scratch);
    sorter->runs[sorter->run_count++] = run;
    sorter->row_count = 0;
    /* A single large record shall not stay for ever. */
    if (sorter->records.cap > 2 * sorter->memory_max) {
        xb_buf_free(&sorter->records);
    }
    xb_buf_clear(&sorter->records);
    return sorter->run_count == XB_SORTER_RUNS_MAX ? merge_runs(sorter, err) : 0;
}

static int reserve_row(struct xb_sorter *sorter, struct xb_error *err)
{
    if (sorter->row_count < sorter->row_cap) {
        return 0;
    }
    size_t cap = sorter->row_cap ? 2 * sorter->row_cap : FIRST_ROWS;
    uint32_t *rows = reallocarray(sorter->rows, cap, sizeof *rows);
    if (!rows) {
        return xb_error_no_memory(err, sorter->what);
    }
    sorter->rows = rows;
    sorter->row_cap = cap;
    return 0;
}

int xb_sorter_add(struct xb_sorter *sorter, const struct xb_sorter_record *record,
                  struct xb_error *err)
{
    if (record->key_len > XB_SORTER_RECORD_BYTES_MAX ||
        record->value_len > XB_SORTER_RECORD_BYTES_MAX - record->key_len) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "%s: one of them has %zu bytes", sorter->what,
                            record->key_len + record->value_len);
    }
    const struct head head = {(uint32_t)record->key_len, (uint32_t)record->value_len};
    size_t len = sizeof head + record->key_len + record->value_len;
    int r = sorter->row_count > 0 &&
                    sorter->records.len + len + sorter->row_count * sizeof *sorter->rows >
                        sorter->memory_max
                ? spill(sorter, err)
                : 0;
    if (r < 0 || (r = reserve_row(sorter, err)) < 0 ||
        (r = xb_buf_reserve(&sorter->records, len, err)) < 0) {
        return r;
    }
    struct xb_sorter_record last;
    if (sorter->sorted && sorter->row_count > 0) {
        record_at(sorter->records.data + sorter->rows[sorter->row_count - 1], &last);
        sorter->sorted = xb_sorter_compare(&last, record) <= 0;
    }
    char *to = sorter->records.data + sorter->records.len;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, record->key, record->key_len);
    if (record->value_len > 0) {
        memcpy(to + sizeof head + record->key_len, record->value, record->value_len);
    }
    sorter->rows[sorter->row_count++] = (uint32_t)sorter->records.len;
    sorter->records.len += len;
    sorter->count++;
    return 0;
}

/* ---- going through them ---- */

/* Makes the next `len` bytes of the run available in the source's buffer. */
static int fill(const struct xb_sorter *sorter, struct source *source, size_t len, const char **ret,
                struct xb_error *err)
{
    if (len > source->end - source->at) {
        return xb_error_set(err, XB_ERR_BUG, -EINVAL, "%s: a run is too short", sorter->what);
    }
    if (source->at + len > source->base + source->buffer.len) {
        uint64_t left = source->end - source->at;
        size_t want = len > RUN_BUFFER_BYTES ? len : RUN_BUFFER_BYTES;
        want = want < left ? want : (size_t)left;
        xb_buf_clear(&source->buffer);
        int r = xb_buf_reserve(&source->buffer, want, err);
        if (r == 0) {
            r = xb_scratch_read(sorter->scratch, source->at, source->buffer.data, want, err);
        }
        if (r < 0) {
            return r;
        }
        source->base = source->at;
        source->buffer.len = want;
    }
    *ret = source->buffer.data + (source->at - source->base);
    return 0;
}

static int advance(const struct xb_sorter *sorter, struct source *source, bool is_run,
                   struct xb_error *err)
{
    source->record.key = NULL;
    if (source->at == source->end) {
        return 0;
    }
    if (!is_run) {
        record_at(sorter->records.data + sorter->rows[source->at++], &source->record);
        return 0;
    }
    struct head head;
    const char *bytes = NULL;
    int r = fill(sorter, source, sizeof head, &bytes, err);
    if (r < 0) {
        return r;
    }
    memcpy(&head, bytes, sizeof head);
    size_t len = sizeof head + head.key_len + (size_t)head.value_len;
    r = fill(sorter, source, len, &bytes, err);
    if (r == 0) {
        record_at(bytes, &source->record);
        source->at += len;
    }
    return r;
}

static bool before(const struct xb_sorter_cursor *cursor, size_t a, size_t b)
{
    return xb_sorter_compare(&cursor->sources[cursor->heap[a]].record,
                             &cursor->sources[cursor->heap[b]].record) < 0;
}

static void sift_down(struct xb_sorter_cursor *cursor, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < cursor->heap_count;
             child++) {
            least = before(cursor, child, least) ? child : least;
        }
        if (least == at) {
            return;
        }
        size_t swap = cursor->heap[at];
        cursor->heap[at] = cursor->heap[least];
        cursor->heap[least] = swap;
        at = least;
    }
}

void xb_sorter_close(struct xb_sorter_cursor *cursor)
{
    if (!cursor) {
        return;
    }
    for (size_t i = 0; i < cursor->count; i++) {
        xb_buf_free(&cursor->sources[i].buffer);
    }
    free(cursor->heap);
    free(cursor);
}

int xb_sorter_open(struct xb_sorter *sorter, struct xb_sorter_cursor **ret, struct xb_error *err)
{
    size_t count = sorter->run_count + 1;
    XB_CLEANUP(xb_sorter_closep)
    struct xb_sorter_cursor *cursor = calloc(1, sizeof *cursor + count * sizeof *cursor->sources);
    if (!cursor || !(cursor->heap = calloc(count, sizeof *cursor->heap))) {
        return xb_error_no_memory(err, sorter->what);
    }
    sort_rows(sorter);
    cursor->sorter = sorter;
    cursor->count = count;
    for (size_t i = 0; i < count; i++) {
        struct source *source = &cursor->sources[i];
        bool is_run = i < sorter->run_count;
        source->buffer.max = XB_SORTER_RECORD_BYTES_MAX + sizeof(struct head);
        source->at = is_run ? sorter->runs[i].start : 0;
        source->end = is_run ? sorter->runs[i].end : sorter->row_count;
        int r = advance(sorter, source, is_run, err);
        if (r < 0) {
            return r;
        }
        if (source->record.key) {
            cursor->heap[cursor->heap_count++] = i;
        }
    }
    for (size_t i = cursor->heap_count; i-- > 0;) {
        sift_down(cursor, i);
    }
    *ret = XB_TAKE(cursor);
    return 0;
}

int xb_sorter_next(struct xb_sorter_cursor *cursor, struct xb_sorter_record *ret,
                   struct xb_error *err)
{
    if (cursor->begun) {
        size_t first = cursor->heap[0];
        struct source *source = &cursor->sources[first];
        int r = advance(cursor->sorter, source, first < cursor->sorter->run_count, err);
        if (r < 0) {
            return r;
        }
        if (!source->record.key) {
            cursor->heap[0] = cursor->heap[--cursor->heap_count];
        }
        sift_down(cursor, 0);
    }
    cursor->begun = cursor->heap_count > 0;
    *ret = cursor->begun ? cursor->sources[cursor->heap[0]].record
                         : (struct xb_sorter_record){.key = NULL};
    return 0;
}
