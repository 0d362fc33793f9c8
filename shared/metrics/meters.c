/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/metrics/meters.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_BYTES = 40 };

const double xb_meter_long_buckets[XB_METER_LONG_BUCKETS] = {60,   300,  600,   900,  1800,
                                                             3600, 7200, 10800, 14400};

struct series {
    struct series *next;
    uint64_t touched;
    char *values[XB_METER_LABELS_MAX];
    double value; /* of histograms: the sum */
    uint64_t count;
    uint64_t buckets[XB_METER_BUCKETS_MAX];
};

struct xb_meters {
    const struct xb_meter *table;
    size_t count;
    pthread_mutex_t lock; /* all below */
    uint64_t touches;
    struct series **series; /* a list for each meter */
};

static size_t label_count(const struct xb_meter *meter)
{
    size_t count = 0;
    while (count < XB_METER_LABELS_MAX && meter->labels[count]) {
        count++;
    }
    return count;
}

int xb_meters_new(const struct xb_meter *table, size_t count, struct xb_meters **ret,
                  struct xb_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!table[i].name || !table[i].help || table[i].bucket_count > XB_METER_BUCKETS_MAX) {
            return xb_error_set(err, XB_ERR_BUG, -EINVAL, "row %zu of a table of meters", i);
        }
    }
    XB_CLEANUP(xb_freep) struct xb_meters *meters = calloc(1, sizeof *meters);
    XB_CLEANUP(xb_freep) struct series **series = calloc(count ? count : 1, sizeof(void *));
    if (!meters || !series) {
        return xb_error_no_memory(err, "meters");
    }
    meters->table = table;
    meters->count = count;
    meters->series = XB_TAKE(series);
    pthread_mutex_init(&meters->lock, NULL);
    *ret = XB_TAKE(meters);
    return 0;
}

static void free_series(struct series *series)
{
    for (size_t i = 0; i < XB_METER_LABELS_MAX; i++) {
        free(series->values[i]);
    }
    free(series);
}

void xb_meters_free(struct xb_meters *meters)
{
    if (!meters) {
        return;
    }
    for (size_t i = 0; i < meters->count; i++) {
        while (meters->series[i]) {
            struct series *first = meters->series[i];
            meters->series[i] = first->next;
            free_series(first);
        }
    }
    pthread_mutex_destroy(&meters->lock);
    free(meters->series);
    free(meters);
}

/* ---- finding ---- */

static bool same(const struct series *series, size_t labels, const char *const *values)
{
    for (size_t i = 0; i < labels; i++) {
        const char *value = values && values[i] ? values[i] : "";
        if (strncmp(series->values[i], value, XB_METER_VALUE_BYTES_MAX) != 0) {
            return false;
        }
    }
    return true;
}

/* Where the list points to the series, or to the end of the list. */
static struct series **find(struct xb_meters *meters, unsigned meter, const char *const *values)
{
    size_t labels = label_count(&meters->table[meter]);
    struct series **at = &meters->series[meter];
    while (*at && !same(*at, labels, values)) {
        at = &(*at)->next;
    }
    return at;
}

static void make_room(struct xb_meters *meters, unsigned meter)
{
    struct series **oldest = &meters->series[meter];
    size_t count = 0;
    for (struct series **at = oldest; *at; at = &(*at)->next, count++) {
        oldest = (*at)->touched < (*oldest)->touched ? at : oldest;
    }
    if (count >= XB_METER_SERIES_MAX) {
        struct series *gone = *oldest;
        *oldest = gone->next;
        free_series(gone);
    }
}

/* With the lock held. The series, made where it is not there; NULL without memory. */
static struct series *touch(struct xb_meters *meters, unsigned meter, const char *const *values)
{
    struct series *series = *find(meters, meter, values);
    if (!series) {
        make_room(meters, meter);
        series = calloc(1, sizeof *series);
        size_t labels = label_count(&meters->table[meter]);
        for (size_t i = 0; series && i < labels; i++) {
            series->values[i] =
                strndup(values && values[i] ? values[i] : "", XB_METER_VALUE_BYTES_MAX);
            if (!series->values[i]) {
                free_series(series);
                series = NULL;
            }
        }
        if (!series) {
            return NULL;
        }
        *find(meters, meter, values) = series;
    }
    series->touched = ++meters->touches;
    return series;
}

static bool usable(const struct xb_meters *meters, unsigned meter)
{
    return meters && meter < meters->count;
}

/* ---- counting ---- */

void xb_meters_add(struct xb_meters *meters, unsigned meter, const char *const *values, double by)
{
    if (!usable(meters, meter) || !(by >= 0)) {
        return;
    }
    pthread_mutex_lock(&meters->lock);
    struct series *series = touch(meters, meter, values);
    if (series) {
        series->value += by;
    }
    pthread_mutex_unlock(&meters->lock);
}

void xb_meters_set(struct xb_meters *meters, unsigned meter, const char *const *values, double to)
{
    if (!usable(meters, meter)) {
        return;
    }
    pthread_mutex_lock(&meters->lock);
    struct series *series = touch(meters, meter, values);
    if (series) {
        series->value = to;
    }
    pthread_mutex_unlock(&meters->lock);
}

void xb_meters_raise(struct xb_meters *meters, unsigned meter, const char *const *values, double to)
{
    if (!usable(meters, meter)) {
        return;
    }
    pthread_mutex_lock(&meters->lock);
    struct series *series = touch(meters, meter, values);
    if (series && series->value < to) {
        series->value = to;
    }
    pthread_mutex_unlock(&meters->lock);
}

void xb_meters_observe(struct xb_meters *meters, unsigned meter, const char *const *values,
                       double value)
{
    if (!usable(meters, meter) || isnan(value)) {
        return;
    }
    pthread_mutex_lock(&meters->lock);
    struct series *series = touch(meters, meter, values);
    const struct xb_meter *row = &meters->table[meter];
    if (series) {
        series->value += value;
        series->count++;
        for (size_t i = 0; i < row->bucket_count; i++) {
            series->buckets[i] += value <= row->buckets[i];
        }
    }
    pthread_mutex_unlock(&meters->lock);
}

void xb_meters_drop(struct xb_meters *meters, unsigned meter, const char *const *values)
{
    if (!usable(meters, meter)) {
        return;
    }
    pthread_mutex_lock(&meters->lock);
    struct series **at = find(meters, meter, values);
    struct series *gone = *at;
    if (gone) {
        *at = gone->next;
        free_series(gone);
    }
    pthread_mutex_unlock(&meters->lock);
}

double xb_meters_value(struct xb_meters *meters, unsigned meter, const char *const *values)
{
    double value = 0;
    if (!usable(meters, meter)) {
        return 0;
    }
    pthread_mutex_lock(&meters->lock);
    const struct series *series = *find(meters, meter, values);
    if (series) {
        value =
            meters->table[meter].kind == XB_METER_HISTOGRAM ? (double)series->count : series->value;
    }
    pthread_mutex_unlock(&meters->lock);
    return value;
}

/* ---- writing ---- */

static void number(double value, char out[NUMBER_BYTES])
{
    if (isinf(value)) {
        snprintf(out, NUMBER_BYTES, value > 0 ? "+Inf" : "-Inf");
    } else {
        snprintf(out, NUMBER_BYTES, "%.15g", value);
    }
}

static int write_value(struct xb_buf *out, const char *value, struct xb_error *err)
{
    int r = 0;
    for (; *value && r == 0; value++) {
        r = *value == '\n'                    ? xb_buf_append_str(out, "\\n", err)
            : *value == '"' || *value == '\\' ? xb_buf_printf(out, err, "\\%c", *value)
                                              : xb_buf_append(out, value, 1, err);
    }
    return r;
}

/* "name_suffix{label="value",le="60"} 3". */
static int write_line(struct xb_buf *out, const struct xb_meter *meter, const struct series *series,
                      const char *const ends[3], struct xb_error *err)
{
    const char *suffix = ends[0], *le = ends[1], *value = ends[2];
    size_t labels = label_count(meter);
    int r = xb_buf_printf(out, err, "%s%s", meter->name, suffix);
    for (size_t i = 0; r == 0 && i < labels; i++) {
        r = xb_buf_printf(out, err, "%s%s=\"", i ? "," : "{", meter->labels[i]);
        r = r ? r : write_value(out, series->values[i], err);
        r = r ? r : xb_buf_append_str(out, "\"", err);
    }
    if (r == 0 && le) {
        r = xb_buf_printf(out, err, "%sle=\"%s\"", labels ? "," : "{", le);
    }
    return r ? r : xb_buf_printf(out, err, "%s %s\n", labels || le ? "}" : "", value);
}

static int write_histogram(struct xb_buf *out, const struct xb_meter *meter,
                           const struct series *series, struct xb_error *err)
{
    char le[NUMBER_BYTES], value[NUMBER_BYTES];
    int r = 0;
    for (size_t i = 0; r == 0 && i < meter->bucket_count; i++) {
        number(meter->buckets[i], le);
        number((double)series->buckets[i], value);
        r = write_line(out, meter, series, (const char *[]){"_bucket", le, value}, err);
    }
    number((double)series->count, value);
    r = r ? r : write_line(out, meter, series, (const char *[]){"_bucket", "+Inf", value}, err);
    number(series->value, le);
    r = r ? r : write_line(out, meter, series, (const char *[]){"_sum", NULL, le}, err);
    return r ? r : write_line(out, meter, series, (const char *[]){"_count", NULL, value}, err);
}

static int write_meter(struct xb_buf *out, const struct xb_meter *meter,
                       const struct series *series, struct xb_error *err)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    if (!series) {
        return 0;
    }
    int r = xb_buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", meter->name, meter->help,
                          meter->name, kinds[meter->kind]);
    for (; series && r == 0; series = series->next) {
        if (meter->kind == XB_METER_HISTOGRAM) {
            r = write_histogram(out, meter, series, err);
        } else {
            char value[NUMBER_BYTES];
            number(series->value, value);
            r = write_line(out, meter, series, (const char *[]){"", NULL, value}, err);
        }
    }
    return r;
}

int xb_meters_write(struct xb_meters *meters, struct xb_buf *out, struct xb_error *err)
{
    int r = 0;
    pthread_mutex_lock(&meters->lock);
    for (size_t i = 0; r == 0 && i < meters->count; i++) {
        r = write_meter(out, &meters->table[i], meters->series[i], err);
    }
    pthread_mutex_unlock(&meters->lock);
    return r;
}
