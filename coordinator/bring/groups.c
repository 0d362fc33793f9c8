/* SPDX-License-Identifier: Apache-2.0
 * Kind by kind, and the items of one kind by several threads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/collect/kinds.h"
#include "coordinator/restore/order.h"
#include "shared/base/workers.h"

/* An item with what it lends, in one piece. */
struct job {
    struct xb_bring *bring;
    struct xb_bring_source source;
    char text[]; /* JSON, version, namespace, name: each with its NUL */
};

static void keep_failure(struct xb_bring *bring, const struct xb_error *err)
{
    pthread_mutex_lock(&bring->lock);
    if (!bring->failed) {
        bring->failed = true;
        bring->failure = *err;
    }
    pthread_mutex_unlock(&bring->lock);
    xb_bring_track_stop(bring->track);
}

static void run_job(void *context)
{
    struct job *job = context;
    struct xb_error err = XB_ERROR_INIT;
    if (xb_bring_goes_on(job->bring)) {
        if (xb_bring_item(job->bring, &job->source, &err) < 0) {
            keep_failure(job->bring, &err);
        } else {
            xb_bring_tell_now_and_then(job->bring);
        }
    }
    free(job);
}

static const char *put_text(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    const char *start = memcpy(*at, text, size);
    *at += size;
    return start;
}

struct feeding {
    struct xb_bring *bring;
    struct xb_workers *workers;
};

static int feed(void *context, const struct xb_tarball_item *item, const char *json, size_t len,
                struct xb_error *err)
{
    struct feeding *feeding = context;
    if (!xb_bring_goes_on(feeding->bring)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
    }
    struct job *job = malloc(sizeof *job + len + 1 + strlen(item->version) +
                             strlen(item->namespace) + strlen(item->name) + 3);
    if (!job) {
        return xb_error_no_memory(err, "an item");
    }
    *job = (struct job){.bring = feeding->bring, .source = {.from = *item, .len = len}};
    memcpy(job->text, json, len);
    job->text[len] = '\0';
    char *at = job->text + len + 1;
    job->source.text = job->text;
    job->source.from.version = put_text(&at, item->version);
    job->source.from.namespace = put_text(&at, item->namespace);
    job->source.from.name = put_text(&at, item->name);
    job->source.number = xb_bring_track_begin_item(feeding->bring->track);
    xb_workers_submit(feeding->workers, run_job, job);
    return 0;
}

/* ---- their order ---- */

struct group {
    const char *name; /* first: compared through it */
    size_t index;
};

static int compare_groups(const void *left, const void *right, void *order)
{
    const struct group *a = left;
    const struct group *b = right;
    return xb_restore_order_compare(order, a->name, b->name);
}

/* A kind in the order of the flag, as records have it. */
static bool known_as(void *context, const char *word, char ret[XB_RESTORE_RESOURCE_BYTES])
{
    const struct xb_bring *bring = context;
    struct xb_filter_kind kind;
    if (!xb_kind_resolve(bring->discovery, word, &kind)) {
        return false;
    }
    snprintf(ret, XB_RESTORE_RESOURCE_BYTES, "%s%s%s", kind.plural, kind.group[0] ? "." : "",
             kind.group);
    return true;
}

static int bring_group(struct feeding *feeding, const struct group *group, struct xb_error *err)
{
    struct xb_bring *bring = feeding->bring;
    int r = xb_spool_read(bring->spool, group->index, feed, feeding, err);
    xb_workers_drain(feeding->workers);
    if (bring->failed) { /* no thread is at it any more */
        *err = bring->failure;
        return err->code;
    }
    if (r == 0 && !bring->options->dry_run && strcmp(group->name, XB_BRING_DEFINITIONS) == 0) {
        r = xb_bring_await_definitions(bring, err);
    }
    return r;
}

static int make_track(struct xb_bring *bring, const struct group *groups, size_t count,
                      struct xb_error *err)
{
    XB_CLEANUP(xb_freep) const char **names = calloc(count + 1, sizeof *names);
    if (!names) {
        return xb_error_no_memory(err, "the kinds");
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = groups[i].name;
    }
    int r = xb_bring_track_new(names, count, bring->options->mark, &bring->track, err);
    if (r == 0) {
        xb_bring_track_log(bring->track, bring->options->log);
    }
    return r;
}

static size_t place_of(const struct group *groups, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(groups[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void move_before(struct group *groups, size_t count, const char *name, const char *other)
{
    size_t from = place_of(groups, count, name), to = place_of(groups, count, other);
    if (from == count || to == count || from < to) {
        return;
    }
    const struct group moved = groups[from];
    memmove(&groups[to + 1], &groups[to], (from - to) * sizeof *groups);
    groups[to] = moved;
}

/* Whatever users say: what a claim is to be follows from its volume, and a pod is refused without
 * its class. Velero brings these along with the claim and the pod. */
static void keep_needs(struct group *groups, size_t count)
{
    move_before(groups, count, "persistentvolumeclaims", "pods");
    move_before(groups, count, "priorityclasses.scheduling.k8s.io", "pods");
    move_before(groups, count, "persistentvolumes", "persistentvolumeclaims");
}

/* In their order. */
static int sort_groups(struct xb_bring *bring, struct group **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_restore_order_freep) struct xb_restore_order *order = NULL;
    size_t count = xb_spool_group_count(bring->spool);
    struct group *groups = calloc(count + 1, sizeof *groups);
    if (!groups) {
        return xb_error_no_memory(err, "the kinds");
    }
    for (size_t i = 0; i < count; i++) {
        groups[i] = (struct group){xb_spool_group_name(bring->spool, i), i};
    }
    *ret = groups;
    if (bring->options->priorities) {
        int r = xb_restore_order_new(bring->options->priorities, known_as, bring, &order, err);
        if (r < 0) {
            return r;
        }
    }
    qsort_r(groups, count, sizeof *groups, compare_groups, order);
    keep_needs(groups, count);
    return make_track(bring, groups, count, err);
}

int xb_bring_groups(struct xb_bring *bring, struct xb_error *err)
{
    XB_CLEANUP(xb_workers_freep) struct xb_workers *workers = NULL;
    XB_CLEANUP(xb_freep) struct group *groups = NULL;
    int r = sort_groups(bring, &groups, err);
    r = r ? r : xb_bring_namespaces(bring, err);
    r = r ? r : xb_workers_new(XB_BRING_THREADS, XB_BRING_QUEUE_MAX, &workers, err);
    struct feeding feeding = {bring, workers};
    for (size_t i = 0; r == 0 && i < xb_spool_group_count(bring->spool); i++) {
        xb_bring_track_begin_group(bring->track, i);
        r = bring_group(&feeding, &groups[i], err);
    }
    if (r == 0) { /* volumes may take hours from here */
        xb_bring_track_end(bring->track);
        xb_bring_tell(bring);
    }
    return r;
}
