/* SPDX-License-Identifier: Apache-2.0
 *
 * meters.h - what a program counts and measures, as Prometheus reads it.
 *
 * What for:  one table of meters per program says names, texts, kinds and labels; the code counts
 *            by number. Readers get HELP, TYPE and every series in the order of the table.
 * Ownership: the table (and all it points to) must outlive the meters; label values are copied.
 * Threads:   any.
 * Blocking:  never.
 * Shapes:    a series is a meter with one set of label values, as many as the table names, in its
 *            order. Counters only grow; a series exists from its first touch (adding 0 is one).
 * Errors:    only where a text is written. A series for which there is no memory is not counted.
 * Limits:    XB_METER_SERIES_MAX series of one meter: then that goes which was not touched for
 *            longest, so that names of objects as labels cannot grow without end.
 * Source:    the Prometheus text format, version 0.0.4.
 */
#pragma once

#include <stddef.h>

#include "shared/base/buf.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum {
    XB_METER_LABELS_MAX = 4,
    XB_METER_BUCKETS_MAX = 12,
    XB_METER_SERIES_MAX = 500,
    XB_METER_VALUE_BYTES_MAX = 254 /* of a label; longer ones are cut */
};

enum xb_meter_kind { XB_METER_COUNTER, XB_METER_GAUGE, XB_METER_HISTOGRAM };

struct xb_meter {
    const char *name, *help;
    enum xb_meter_kind kind;
    const char *labels[XB_METER_LABELS_MAX];
    const double *buckets; /* of histograms: upper bounds, growing */
    size_t bucket_count;
};

/* What Velero's histograms are cut at: one minute to four hours. */
enum { XB_METER_LONG_BUCKETS = 9 };
extern const double xb_meter_long_buckets[XB_METER_LONG_BUCKETS];

struct xb_meters;

int xb_meters_new(const struct xb_meter *table, size_t count, struct xb_meters **ret,
                  struct xb_error *err) XB_MUST_CHECK;
void xb_meters_free(struct xb_meters *meters);
XB_DEFINE_CLEANUP(xb_meters_freep, struct xb_meters, xb_meters_free);

/* `values`: the label values, NULL for a meter without labels. NULL meters: nothing happens. */
void xb_meters_add(struct xb_meters *meters, unsigned meter, const char *const *values, double by);
void xb_meters_set(struct xb_meters *meters, unsigned meter, const char *const *values, double to);
/* Sets a gauge unless it is higher already. */
void xb_meters_raise(struct xb_meters *meters, unsigned meter, const char *const *values,
                     double to);
void xb_meters_observe(struct xb_meters *meters, unsigned meter, const char *const *values,
                       double value);
/* The series is gone: the thing that it was about is. */
void xb_meters_drop(struct xb_meters *meters, unsigned meter, const char *const *values);

/* The value of a series, for tests; 0 where there is none. Of a histogram: how many. */
double xb_meters_value(struct xb_meters *meters, unsigned meter, const char *const *values);

/* Appends the whole text. */
int xb_meters_write(struct xb_meters *meters, struct xb_buf *out,
                    struct xb_error *err) XB_MUST_CHECK;
