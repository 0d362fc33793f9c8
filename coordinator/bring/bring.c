/* SPDX-License-Identifier: Apache-2.0
 * A restore's work from beginning to end. */
#include "coordinator/bring/bring.h"

#include <errno.h>
#include <time.h>

#include "coordinator/bring/internal.h"
#include "coordinator/bring/validate.h"
#include "coordinator/collect/kinds.h"
#include "shared/base/clock.h"
#include "shared/http/retry.h"

/* ---- what steps ask ---- */

bool xb_bring_goes_on(struct xb_bring *bring)
{
    pthread_mutex_lock(&bring->lock);
    bool failed = bring->failed;
    pthread_mutex_unlock(&bring->lock);
    return !failed && !atomic_load(bring->options->cancel);
}

int xb_bring_may_write(const struct xb_bring *bring, struct xb_error *err)
{
    if (atomic_load(bring->options->cancel)) {
        return xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED, "the coordinator ends");
    }
    return bring->options->may_write(bring->options->context)
               ? 0
               : xb_error_set(err, XB_ERR_CANCELLED, -ECANCELED,
                              "another coordinator leads now; the restore is left to it");
}

bool xb_bring_pause(const struct xb_bring *bring, int64_t ms)
{
    return xb_http_retry_sleep(ms, bring->options->cancel);
}

/* Whether it is this thread's turn to tell. With the lock held. */
static bool is_due(struct xb_bring *bring)
{
    int64_t now_ns = xb_clock_mono_ns();
    if (bring->telling || now_ns - bring->told_ns < XB_BRING_PROGRESS_MS * XB_NS_PER_MS) {
        return false;
    }
    bring->told_ns = now_ns;
    bring->telling = true;
    return true;
}

void xb_bring_tell(struct xb_bring *bring)
{
    XB_CLEANUP(xb_freep) char *mark = xb_bring_track_mark(bring->track);
    struct xb_bring_progress progress = {.mark = mark};
    pthread_mutex_lock(&bring->lock);
    progress.items = bring->brought->items;
    progress.items_total = bring->brought->items_total;
    pthread_mutex_unlock(&bring->lock);
    bring->options->progress(bring->options->context, &progress);
    pthread_mutex_lock(&bring->lock);
    bring->telling = false;
    pthread_mutex_unlock(&bring->lock);
}

int xb_bring_list(struct xb_bring *bring, xb_json *object, const char *word, struct xb_error *err)
{
    bring->brought->items++;
    bring->brought->items_total++;
    return xb_resource_list_add(&bring->brought->list, object, word, err);
}

void xb_bring_tell_now_and_then(struct xb_bring *bring)
{
    pthread_mutex_lock(&bring->lock);
    bool due = is_due(bring);
    pthread_mutex_unlock(&bring->lock);
    if (due) {
        xb_bring_tell(bring);
    }
}

/* ---- what the cluster serves ---- */

const struct xb_kube_api *xb_bring_api(const struct xb_bring *bring, const char *resource,
                                       const char *version)
{
    char plural[256];
    size_t len = strcspn(resource, ".");
    if (len >= sizeof plural) {
        return NULL;
    }
    memcpy(plural, resource, len);
    plural[len] = '\0';
    const char *group = resource[len] ? resource + len + 1 : "";
    return xb_kube_discovery_find_plural(bring->discovery, group, version[0] ? version : NULL,
                                         plural);
}

int xb_bring_discover(struct xb_bring *bring, struct xb_error *err)
{
    struct xb_kube_discovery *fresh = NULL;
    int r = xb_kube_discover(bring->options->client, &fresh, err);
    if (r == 0) {
        xb_kube_discovery_free(bring->discovery);
        bring->discovery = fresh;
        r = xb_filter_resolve(bring->filter, xb_kind_resolve, fresh, err);
    }
    if (r == 0 && bring->status_filter) {
        r = xb_filter_resolve(bring->status_filter, xb_kind_resolve, fresh, err);
    }
    return r;
}

/* ---- begin and end ---- */

static int fill_context(struct xb_bring *bring, struct xb_error *err)
{
    xb_json *restore = bring->restore;
    const char *backup = xb_json_str(restore, "spec.backupName", "");
    const char *name = xb_json_str(restore, "metadata.name", "");
    int r = xb_velero_label(backup, bring->backup_label, err);
    if (r == 0) {
        r = xb_velero_label(name, bring->restore_label, err);
    }
    bring->context = (struct xb_restore_context){
        .backup_name = backup,
        .restore_name = name,
        .backup_label = bring->backup_label,
        .restore_label = bring->restore_label,
        .restore_uid = xb_json_str(restore, "metadata.uid", ""),
        .namespace_mapping = xb_json_get(restore, "spec.namespaceMapping"),
        .preserve_node_ports = xb_json_bool(restore, "spec.preserveNodePorts", false),
        .keep_token_secrets = true,
        .helper_image = bring->options->helper_image};
    return r;
}

static int begin(struct xb_bring *bring, struct xb_error *err)
{
    pthread_condattr_t attr;
    pthread_mutex_init(&bring->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&bring->settled, &attr);
    pthread_condattr_destroy(&attr);
    bring->data = json_object_new_object();
    bring->namespaces = json_object_new_object();
    bring->settling = json_object_new_object();
    bring->classes_seen = json_object_new_object();
    bring->left_out = json_object_new_object();
    bring->kept = json_object_new_object();
    bring->alone = json_object_new_array();
    bring->alone_made = json_object_new_object();
    bring->served = json_object_new_object();
    bring->related = json_object_new_object();
    bring->info_of = json_object_new_object();
    bring->brought->volumes = json_object_new_array();
    bring->claims = json_object_new_object();
    bring->definitions = json_object_new_array();
    bring->pretended = json_object_new_object();
    bring->brought->orders = json_object_new_array();
    bring->brought->hooked = json_object_new_array();
    if (!bring->data || !bring->namespaces || !bring->settling || !bring->left_out ||
        !bring->kept || !bring->alone || !bring->alone_made || !bring->served ||
        !bring->classes_seen || !bring->related || !bring->info_of || !bring->claims ||
        !bring->definitions || !bring->pretended || !bring->brought->orders ||
        !bring->brought->volumes || !bring->brought->hooked ||
        json_object_deep_copy(bring->options->restore, &bring->restore, NULL) < 0) {
        return xb_error_no_memory(err, "a restore");
    }
    int r = fill_context(bring, err);
    r = r ? r : xb_in_place_parse(bring->restore, &bring->in_place, err);
    r = r ? r : xb_validated_restore_filter(bring->restore, &bring->filter, err);
    return r ? r : xb_bring_status_filter(bring->restore, &bring->status_filter, err);
}

static void end(struct xb_bring *bring)
{
    xb_json *const own[] = {
        bring->data,         bring->infos,   bring->namespaces, bring->settling, bring->left_out,
        bring->kept,         bring->alone,   bring->alone_made, bring->served,   bring->definitions,
        bring->classes_seen, bring->related, bring->info_of,    bring->claims,   bring->pretended};
    xb_bring_forget_settings(bring);
    xb_spool_free(bring->spool);
    xb_bring_track_free(bring->track);
    xb_filter_free(bring->filter);
    xb_filter_free(bring->status_filter);
    xb_kube_discovery_free(bring->discovery);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        json_object_put(own[i]);
    }
    json_object_put(bring->restore);
    pthread_cond_destroy(&bring->settled);
    pthread_mutex_destroy(&bring->lock);
}

/* Everything that the filters take. */
static int bring_items(struct xb_bring *bring, struct xb_error *err)
{
    int r = xb_bring_discover(bring, err);
    r = r ? r : xb_bring_read_settings(bring, err);
    r = r ? r : xb_bring_load(bring, err);
    r = r ? r : xb_bring_groups(bring, err);
    r = r ? r : xb_bring_find_orders(bring, err);
    return r ? r : xb_bring_alone_volumes(bring, err);
}

static int bring_volume(struct xb_bring *bring, struct xb_error *err)
{
    int r = xb_bring_load_volumes(bring, err);
    return r ? r : xb_bring_in_place(bring, err);
}

int xb_bring(const struct xb_bring_options *options, struct xb_brought *ret, struct xb_error *err)
{
    struct xb_bring bring = {.options = options, .brought = ret};
    *ret = (struct xb_brought){.items = 0};
    int r = begin(&bring, err);
    if (r == 0) {
        xb_record_log_line(options->log, XB_RECORD_INFO, NULL,
                           "restore of backup %s begins (Xebec %s)", bring.context.backup_name,
                           XB_VERSION);
        r = bring.in_place.wanted ? bring_volume(&bring, err) : bring_items(&bring, err);
    }
    if (r == 0) {
        xb_record_log_line(options->log, XB_RECORD_INFO, NULL, "%llu items, %zu volumes ordered",
                           (unsigned long long)ret->items, json_object_array_length(ret->orders));
    }
    if (r == 0 && options->dry_run) {
        xb_bring_tell_dry_run(&bring);
    }
    end(&bring);
    return r;
}

void xb_brought_free(struct xb_brought *brought)
{
    xb_resource_list_free(&brought->list);
    json_object_put(brought->orders);
    json_object_put(brought->volumes);
    brought->orders = NULL;
    json_object_put(brought->hooked);
    brought->hooked = NULL;
    brought->volumes = NULL;
}
