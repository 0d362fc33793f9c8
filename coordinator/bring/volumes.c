/* SPDX-License-Identifier: Apache-2.0
 * Volumes and claims, pods that wait for their volumes, and the orders to bring the data back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/bring/internal.h"
#include "coordinator/restore/pod_volumes.h"
#include "shared/velero/location.h"

enum { POD_VOLUMES_MAX = 256, DATA_KEY_BYTES = 3 * XB_VELERO_NAME_BYTES };

/* ---- which volumes have data ---- */

static void data_key(char out[DATA_KEY_BYTES], const char *namespace, const char *pod,
                     const char *name)
{
    snprintf(out, DATA_KEY_BYTES, "%.253s/%.253s/%.253s", namespace, pod, name);
}

static bool is_whole(xb_json *pvb)
{
    return strcmp(xb_json_str(pvb, "status.phase", ""), "Completed") == 0 &&
           xb_velero_snapshot_of(pvb)[0];
}

/* By pod and volume: the one whose data is whole. By claim: any. No pod has the name "". */
int xb_bring_index_data(struct xb_bring *bring, xb_json *pvbs, struct xb_error *err)
{
    char key[DATA_KEY_BYTES];
    for (size_t i = 0; i < json_object_array_length(pvbs); i++) {
        xb_json *pvb = json_object_array_get_idx(pvbs, i);
        const char *namespace = xb_json_str(pvb, "spec.pod.namespace", "");
        const char *claim = xb_json_str(pvb, "metadata.annotations.velero\\.io/pvc-name", "");
        if (claim[0]) {
            data_key(key, namespace, "", claim);
            json_object_object_add(bring->data, key, json_object_get(pvb));
        }
        if (is_whole(pvb)) {
            if (!xb_json_str(pvb, "spec.pod.name", "")[0]) {
                json_object_array_add(bring->alone, json_object_get(pvb));
            }
            data_key(key, namespace, xb_json_str(pvb, "spec.pod.name", ""),
                     xb_json_str(pvb, "spec.volume", ""));
            if (json_object_object_add(bring->data, key, json_object_get(pvb)) < 0) {
                return xb_error_no_memory(err, "the volumes");
            }
        }
    }
    return 0;
}

xb_json *xb_bring_data_of(const struct xb_bring *bring, const char *namespace, const char *pod,
                          const char *name)
{
    char key[DATA_KEY_BYTES];
    xb_json *pvb = NULL;
    data_key(key, namespace, pod, name);
    (void)json_object_object_get_ex(bring->data, key, &pvb);
    return pvb;
}

/* ---- persistent volumes and claims ---- */

static void note_name(struct xb_bring *bring, xb_json *names, const char *name)
{
    pthread_mutex_lock(&bring->lock);
    if (names) {
        json_object_object_add(names, name, json_object_new_boolean(true));
    }
    pthread_mutex_unlock(&bring->lock);
}

static bool knows_name(struct xb_bring *bring, xb_json *names, const char *name)
{
    pthread_mutex_lock(&bring->lock);
    bool known = json_object_object_get_ex(names, name, NULL);
    pthread_mutex_unlock(&bring->lock);
    return known;
}

/* Then the claim is to have another volume. */
static bool class_changes(const struct xb_bring *bring, xb_json *pv)
{
    return json_object_object_get_ex(bring->classes.data,
                                     xb_json_str(pv, "spec.storageClassName", ""), NULL);
}

static int decide_pv(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    enum xb_bring_data where = XB_BRING_DATA_UNSAID;
    int r = xb_bring_where_data_is(bring, item, &where, err);
    if (r < 0) {
        return r;
    }
    bool data =
        where == XB_BRING_DATA_UNSAID
            ? xb_bring_data_of(bring, xb_json_str(item->object, "spec.claimRef.namespace", ""), "",
                               xb_json_str(item->object, "spec.claimRef.name", "")) != NULL
            : where == XB_BRING_DATA_APART;
    /* What is on the volume's disk comes back as it is, whatever its reclaim policy, as with
     * Velero.
     */
    if (where == XB_BRING_DATA_THERE ||
        (xb_restore_volume_way(item->object, data) == XB_RESTORE_PV_KEEP &&
         !(data && class_changes(bring, item->object)))) {
        note_name(bring, data ? bring->kept : NULL, item->from->name);
        return xb_restore_pv_keep(&bring->context, item->object, err);
    }
    xb_bring_say(item, XB_RECORD_INFO, "is not made again: its claim gets another volume");
    item->outcome = XB_BRING_PASSED_OVER;
    note_name(bring, bring->left_out, item->from->name);
    return 0;
}

/* Whether the volume that the claim had came back for it. One that was there may be another
 * claim's: that of before, which was deleted, or one of the namespace that it was mapped from. */
static int find_kept(struct xb_bring *bring, struct xb_bring_item *item, bool *ret,
                     struct xb_error *err)
{
    const char *volume = xb_json_str(item->object, "spec.volumeName", "");
    const struct xb_kube_ref ref = {.resource = &xb_core_pvs, .name = volume};
    XB_CLEANUP(xb_json_putp) xb_json *live = NULL;
    struct xb_error why = XB_ERROR_INIT;
    *ret = false;
    if (!knows_name(bring, bring->kept, volume) || !xb_velero_name_valid(volume)) {
        return 0;
    }
    int r = xb_kube_get(bring->options->client, &ref, &live, &why);
    if (r < 0 && why.kind != XB_ERR_NOT_FOUND) {
        *err = why;
        return r;
    }
    *ret = r == 0 &&
           xb_restore_pv_is_free(live, xb_restore_namespace(&bring->context, item->from->namespace),
                                 item->from->name);
    return 0;
}

static int decide_claim(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    const char *volume = xb_json_str(item->object, "spec.volumeName", "");
    bool data = xb_bring_data_of(bring, item->from->namespace, "", item->from->name) != NULL;
    bool kept = false;
    int r = data ? find_kept(bring, item, &kept, err) : 0;
    if (r < 0) {
        return r;
    }
    if ((data && !kept) || knows_name(bring, bring->left_out, volume)) {
        xb_restore_pvc_detach(item->object);
    }
    if (data) {
        xb_restore_pvc_drop_source(item->object);
    }
    return 0;
}

/* Whose data comes back through a pod gets a fresh volume, and so does a claim of which only an
 * empty volume would come back, for which its class makes a new one. */
int xb_bring_decide_volume(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    if (xb_bring_is(item, "persistentvolumes")) {
        return decide_pv(bring, item, err);
    }
    return xb_bring_is(item, "persistentvolumeclaims") ? decide_claim(bring, item, err) : 0;
}

/* ---- pods ---- */

/* A claim that was backed up without a pod comes back through any that has it. */
static xb_json *data_for(const struct xb_bring *bring, const char *namespace, const char *pod,
                         xb_json *volume)
{
    xb_json *data = xb_bring_data_of(bring, namespace, pod, xb_json_str(volume, "name", ""));
    return data ? data
                : xb_bring_alone(bring, namespace,
                                 xb_json_str(volume, "persistentVolumeClaim.claimName", ""));
}

struct with_data {
    const char *name; /* of a volume */
    xb_json *data;
};

/* `pod`: its name in the backup. */
static size_t volumes_with_data(const struct xb_bring *bring, const struct xb_bring_item *item,
                                xb_json *pod, struct with_data found[POD_VOLUMES_MAX])
{
    xb_json *volumes = xb_json_get(pod, "spec.volumes");
    size_t count = 0;
    size_t length =
        json_object_is_type(volumes, json_type_array) ? json_object_array_length(volumes) : 0;
    for (size_t i = 0; i < length && count < POD_VOLUMES_MAX; i++) {
        xb_json *volume = json_object_array_get_idx(volumes, i);
        xb_json *data = data_for(bring, item->from->namespace, item->from->name, volume);
        if (data) {
            found[count++] = (struct with_data){xb_json_str(volume, "name", ""), data};
        }
    }
    return count;
}

int xb_bring_wait_for_volumes(struct xb_bring *bring, struct xb_bring_item *item,
                              struct xb_error *err)
{
    struct with_data found[POD_VOLUMES_MAX];
    const char *names[POD_VOLUMES_MAX];
    if (!xb_bring_is(item, "pods")) {
        return 0;
    }
    size_t count = volumes_with_data(bring, item, item->object, found);
    for (size_t i = 0; i < count; i++) {
        names[i] = found[i].name;
    }
    if (count > 0 && bring->waiting.problem) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s", bring->waiting.problem);
    }
    return xb_restore_add_wait(&bring->context, item->object, names, count, err);
}

/* ---- orders ---- */

/* The claim that a pod has as a volume; *ret: empty for volumes of another kind. */
static void claim_of(xb_json *pod, const char *volume, char ret[XB_VELERO_NAME_BYTES])
{
    xb_json *one = xb_json_find(xb_json_get(pod, "spec.volumes"), "name", volume);
    if (xb_json_get(one, "ephemeral")) { /* made for the pod, named after both */
        snprintf(ret, XB_VELERO_NAME_BYTES, "%s-%s", xb_json_str(pod, "metadata.name", ""), volume);
    } else {
        snprintf(ret, XB_VELERO_NAME_BYTES, "%s",
                 xb_json_str(one, "persistentVolumeClaim.claimName", ""));
    }
}

/* The claim, as Velero's orders have it: its uid in a label; its name as in a PodVolumeBackup, for
 * the record, because the pod may be gone when that is written. */
static int fill_claim(const struct xb_bring *bring, const struct xb_bring_order *wanted,
                      xb_json *metadata, struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *claim = NULL;
    claim_of(wanted->pod, wanted->volume, name);
    if (!xb_velero_name_valid(name)) {
        return 0;
    }
    const struct xb_kube_ref ref = {.resource = &xb_core_pvcs,
                                    .namespace = xb_json_str(wanted->pod, "metadata.namespace", ""),
                                    .name = name};
    int r = xb_json_set_str(metadata, "annotations.velero\\.io/pvc-name", name, err);
    r = r ? r : xb_kube_get(bring->options->client, &ref, &claim, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) { /* it may come yet */
        *err = (struct xb_error)XB_ERROR_INIT;
        return 0;
    }
    return r ? r
             : xb_json_set_str(metadata, "labels.velero\\.io/pvc-uid",
                               xb_json_str(claim, "metadata.uid", ""), err);
}

static int fill_metadata(const struct xb_bring *bring, const struct xb_bring_order *wanted,
                         const char *name, xb_json *order, struct xb_error *err)
{
    xb_json *metadata = xb_velero_order_metadata(bring->restore, "Restore", name);
    int r = xb_json_set(order, "metadata", metadata, err);
    if (r == 0) {
        json_object_object_add(
            xb_json_get(metadata, "labels"), "velero.io/pod-uid",
            json_object_new_string(xb_json_str(wanted->pod, "metadata.uid", "")));
        xb_json *annotations = json_object_new_object();
        r = xb_json_set(metadata, "annotations", annotations, err);
        if (r == 0) {
            json_object_object_add(annotations, XB_STORE_IDENTITY_ANNOTATION,
                                   json_object_new_string(bring->options->identity));
        }
        if (r == 0 && wanted->in_place) {
            json_object_object_add(annotations, XB_IN_PLACE_ORDER_ANNOTATION,
                                   json_object_new_string("true"));
        }
        r = r ? r : fill_claim(bring, wanted, metadata, err);
    }
    return r;
}

/* As text, both, as Velero's agents read them; without a word of the restore about uploads there is
 * none here. */
static int fill_settings(const struct xb_bring *bring, xb_json *order, struct xb_error *err)
{
    char number[24];
    int64_t parallel = xb_json_int(bring->restore, "spec.uploaderConfig.parallelFilesDownload", 0);
    int r = 0;
    if (xb_json_get(bring->restore, "spec.uploaderConfig")) {
        bool sparse = xb_json_bool(bring->restore, "spec.uploaderConfig.writeSparseFiles", false);
        r = xb_json_set_str(order, "spec.uploaderSettings.WriteSparseFiles",
                            sparse ? "true" : "false", err);
    }
    if (r == 0 && parallel > 0) {
        snprintf(number, sizeof number, "%lld", (long long)parallel);
        r = xb_json_set_str(order, "spec.uploaderSettings.ParallelFilesDownload", number, err);
    }
    return r;
}

static int fill_spec(const struct xb_bring *bring, const struct xb_bring_order *wanted,
                     xb_json *order, struct xb_error *err)
{
    xb_json *pod = wanted->pod;
    xb_json *data = wanted->data;
    const struct {
        const char *path, *text;
    } texts[] = {
        {"spec.pod.kind", "Pod"},
        {"spec.pod.namespace", xb_json_str(pod, "metadata.namespace", "")},
        {"spec.pod.name", xb_json_str(pod, "metadata.name", "")},
        {"spec.pod.uid", xb_json_str(pod, "metadata.uid", "")},
        {"spec.volume", wanted->volume},
        {"spec.backupStorageLocation",
         xb_json_str(bring->options->backup, "spec.storageLocation", "")},
        {"spec.repoIdentifier", ""},
        {"spec.uploaderType", "kopia"},
        {"spec.snapshotID", xb_velero_snapshot_of(data)},
        {"spec.sourceNamespace", xb_json_str(data, "spec.pod.namespace", "")},
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof texts / sizeof *texts; i++) {
        r = xb_json_set_str(order, texts[i].path, texts[i].text, err);
    }
    r = r ? r
          : xb_json_set_int(order, "spec.snapshotSize",
                            xb_json_int(data, "status.progress.totalBytes", 0), err);
    return r < 0 ? r : fill_settings(bring, order, err);
}

/* Its name follows from what it is about, so that it is made once. */
int xb_bring_order(struct xb_bring *bring, const struct xb_bring_order *wanted,
                   struct xb_error *err)
{
    char name[XB_VELERO_NAME_BYTES];
    const char *parts[] = {bring->context.restore_uid, xb_json_str(wanted->pod, "metadata.uid", ""),
                           wanted->volume, NULL};
    XB_CLEANUP(xb_json_putp) xb_json *order = json_object_new_object();
    int r = xb_velero_derived_name(bring->context.restore_name, parts, name, err);
    r = r ? r : xb_json_set_str(order, "apiVersion", "velero.io/v1", err);
    r = r ? r : xb_json_set_str(order, "kind", "PodVolumeRestore", err);
    r = r ? r : fill_metadata(bring, wanted, name, order, err);
    r = r ? r : fill_spec(bring, wanted, order, err);
    r = r ? r : xb_bring_may_write(bring, err);
    if (r < 0) {
        return r;
    }
    const struct xb_kube_ref ref = {.resource = &xb_velero_pvrs,
                                    .namespace =
                                        xb_json_str(bring->restore, "metadata.namespace", "")};
    r = xb_kube_create(bring->options->client, &ref, order, NULL, err);
    if (r < 0 && err->kind != XB_ERR_CONFLICT) {
        return r;
    }
    *err = (struct xb_error)XB_ERROR_INIT;
    note_name(bring, bring->served, xb_velero_snapshot_of(wanted->data));
    pthread_mutex_lock(&bring->lock);
    json_object_array_add(bring->brought->orders, json_object_new_string(name));
    pthread_mutex_unlock(&bring->lock);
    return 0;
}

int xb_bring_order_volumes(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    struct with_data found[POD_VOLUMES_MAX];
    if (!xb_bring_is(item, "pods") || !item->live) {
        return 0;
    }
    size_t count = volumes_with_data(bring, item, item->live, found);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct xb_bring_order wanted = {
            .data = found[i].data, .pod = item->live, .volume = found[i].name};
        r = xb_bring_order(bring, &wanted, err);
    }
    return r;
}

void xb_bring_tell_volumes(struct xb_bring *bring, struct xb_bring_item *item)
{
    struct with_data found[POD_VOLUMES_MAX];
    size_t count =
        xb_bring_is(item, "pods") ? volumes_with_data(bring, item, item->object, found) : 0;
    for (size_t i = 0; i < count; i++) {
        xb_bring_say(item, XB_RECORD_INFO, "volume %s would get its data", found[i].name);
    }
}

/* ---- an earlier run's ---- */

static bool is_known(xb_json *orders, const char *name)
{
    for (size_t i = 0; i < json_object_array_length(orders); i++) {
        if (strcmp(json_object_get_string(json_object_array_get_idx(orders, i)), name) == 0) {
            return true;
        }
    }
    return false;
}

static int add_order(void *context, xb_json *order, struct xb_error *err)
{
    struct xb_bring *bring = context;
    const char *name = xb_json_str(order, "metadata.name", "");
    (void)err;
    if (!is_known(bring->brought->orders, name)) {
        json_object_array_add(bring->brought->orders, json_object_new_string(name));
    }
    note_name(bring, bring->served, xb_json_str(order, "spec.snapshotID", ""));
    return 0;
}

int xb_bring_find_orders(struct xb_bring *bring, struct xb_error *err)
{
    char selector[128];
    if (!xb_bring_track_resumes(bring->track)) {
        return 0;
    }
    snprintf(selector, sizeof selector, "velero.io/restore-uid=%.63s", bring->context.restore_uid);
    const struct xb_kube_list list = {.resource = &xb_velero_pvrs,
                                      .namespace =
                                          xb_json_str(bring->restore, "metadata.namespace", ""),
                                      .label_selector = selector,
                                      .cancel = bring->options->cancel};
    return xb_kube_list_pages(bring->options->client, &list, add_order, bring, err);
}

/* ---- claims without pods ---- */

bool xb_bring_is_ours(xb_json *pvb)
{
    return pvb && is_whole(pvb) &&
           (!xb_json_str(pvb, "spec.pod.name", "")[0] ||
            !xb_json_str(pvb, "status.snapshotID", "")[0]);
}

xb_json *xb_bring_alone(const struct xb_bring *bring, const char *namespace, const char *claim)
{
    xb_json *pvb = claim[0] ? xb_bring_data_of(bring, namespace, "", claim) : NULL;
    return pvb && !xb_json_str(pvb, "spec.pod.name", "")[0] && is_whole(pvb) ? pvb : NULL;
}

void xb_bring_note_alone(struct xb_bring *bring, const struct xb_bring_item *item)
{
    char key[DATA_KEY_BYTES];
    data_key(key, item->from->namespace, "", item->from->name);
    if (xb_bring_alone(bring, item->from->namespace, item->from->name)) {
        note_name(bring, bring->alone_made, key);
    }
}

static int bring_alone(struct xb_bring *bring, xb_json *pvb, struct xb_error *err)
{
    char key[DATA_KEY_BYTES];
    XB_CLEANUP(xb_json_putp) xb_json *pod = NULL;
    const char *namespace = xb_json_str(pvb, "spec.pod.namespace", "");
    const char *claim = xb_json_str(pvb, "spec.volume", "");
    struct xb_bring_order order = {.data = pvb};
    data_key(key, namespace, "", claim);
    if (!knows_name(bring, bring->alone_made, key) ||
        knows_name(bring, bring->served, xb_velero_snapshot_of(pvb))) {
        return 0;
    }
    int r = xb_bring_hold_claim(bring, namespace, claim, &pod, &order.volume, err);
    order.pod = pod;
    r = r ? r : xb_bring_order(bring, &order, err);
    if (r == 0) {
        xb_record_log_line(bring->options->log, XB_RECORD_INFO,
                           xb_json_str(pod, "metadata.namespace", ""),
                           "no pod of the restore has claim %s: its data comes back through pod "
                           "%s, which ends then",
                           claim, xb_json_str(pod, "metadata.name", ""));
    }
    return r;
}

int xb_bring_alone_volumes(struct xb_bring *bring, struct xb_error *err)
{
    size_t count = bring->options->dry_run ? 0 : json_object_array_length(bring->alone);
    for (size_t i = 0; i < count; i++) {
        xb_json *pvb = json_object_array_get_idx(bring->alone, i);
        struct xb_error why = XB_ERROR_INIT;
        if (bring_alone(bring, pvb, &why) == 0) {
            continue;
        }
        if (why.kind == XB_ERR_RETRY || why.kind == XB_ERR_CANCELLED) {
            *err = why;
            return why.code;
        }
        xb_record_log_line(
            bring->options->log, XB_RECORD_ERROR,
            xb_restore_namespace(&bring->context, xb_json_str(pvb, "spec.pod.namespace", "")),
            "the data of claim %s is not restored: %s", xb_json_str(pvb, "spec.volume", ""),
            why.text);
    }
    return 0;
}
