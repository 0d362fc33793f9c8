/* SPDX-License-Identifier: Apache-2.0
 * What the record says of each volume (volumeinfo): how its data was backed up, and how it was set
 * up, which the volume that is made anew for its claim is to be like. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/bring/internal.h"

enum { KEY_BYTES = 520 };

/* No namespace has the name "". */
static void key_of(char out[KEY_BYTES], const char *namespace, const char *name)
{
    snprintf(out, KEY_BYTES, "%.253s/%.253s", namespace, name);
}

static int add(struct xb_bring *bring, const char *namespace, const char *name, xb_json *info,
               struct xb_error *err)
{
    char key[KEY_BYTES];
    if (!name[0]) {
        return 0;
    }
    key_of(key, namespace, name);
    if (json_object_object_add(bring->info_of, key, json_object_get(info)) < 0) {
        json_object_put(info);
        return xb_error_no_memory(err, "the volumes");
    }
    return 0;
}

int xb_bring_index_infos(struct xb_bring *bring, struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < json_object_array_length(bring->infos); i++) {
        xb_json *info = json_object_array_get_idx(bring->infos, i);
        const char *namespace = xb_json_str(info, "pvcNamespace", "");
        r = add(bring, "", xb_json_str(info, "pvName", ""), info, err);
        r = r || !namespace[0] ? r
                               : add(bring, namespace, xb_json_str(info, "pvcName", ""), info, err);
    }
    return r;
}

static xb_json *info_of(const struct xb_bring *bring, const char *namespace, const char *name)
{
    char key[KEY_BYTES];
    xb_json *info = NULL;
    key_of(key, namespace, name);
    (void)json_object_object_get_ex(bring->info_of, key, &info);
    return info;
}

/* ---- where the data is ---- */

/* A claim whose volume comes back empty must not go unsaid. */
int xb_bring_where_data_is(struct xb_bring *bring, struct xb_bring_item *item,
                           enum xb_bring_data *ret, struct xb_error *err)
{
    xb_json *info = info_of(bring, "", item->from->name);
    const char *method = xb_json_str(info, "backupMethod", "");
    bool wanted = xb_json_bool(bring->restore, "spec.restorePVs", true);
    bool native = strcmp(method, "NativeSnapshot") == 0;
    if (native && wanted) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "its data is in a snapshot of a disk, which Xebec cannot restore; "
                            "--restore-volumes=false restores it without");
    }
    bool snapshot = strcmp(method, "CSISnapshot") == 0;
    if (snapshot) {
        xb_bring_say(item, wanted ? XB_RECORD_ERROR : XB_RECORD_INFO,
                     "its data is in a CSI snapshot, which Xebec cannot restore; its claim gets an "
                     "empty volume");
    }
    bool ours = xb_bring_is_ours(xb_bring_data_of(bring, xb_json_str(info, "pvcNamespace", ""), "",
                                                  xb_json_str(info, "pvcName", "")));
    *ret = !info                                                        ? XB_BRING_DATA_UNSAID
           : native                                                     ? XB_BRING_DATA_THERE
           : snapshot || ours || strcmp(method, "PodVolumeBackup") == 0 ? XB_BRING_DATA_APART
                                                                        : XB_BRING_DATA_NONE;
    return 0;
}

/* ---- what the new volume is to be like ---- */

static int add_finish(xb_json *claim, xb_json *info, xb_json *list, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *one = json_object_new_object();
    xb_json *labels = NULL;
    xb_json *from = xb_json_get(info, "pvInfo.labels");
    int r = xb_json_set_str(one, "namespace", xb_json_str(claim, "metadata.namespace", ""), err);
    r = r ? r : xb_json_set_str(one, "claim", xb_json_str(claim, "metadata.name", ""), err);
    r = r ? r
          : xb_json_set_str(one, "reclaimPolicy", xb_json_str(info, "pvInfo.reclaimPolicy", ""),
                            err);
    if (r == 0 && json_object_is_type(from, json_type_object)) {
        r = json_object_deep_copy(from, &labels, NULL) < 0
                ? xb_error_no_memory(err, "labels")
                : xb_json_set(one, "labels", labels, err);
    }
    if (r == 0 && json_object_array_add(list, one) == 0) {
        (void)XB_TAKE(one);
        return 0;
    }
    return r ? r : xb_error_no_memory(err, "the volumes");
}

int xb_bring_note_volume(struct xb_bring *bring, struct xb_bring_item *item, struct xb_error *err)
{
    if (!xb_bring_is(item, "persistentvolumeclaims") || !item->there) {
        return 0;
    }
    xb_bring_note_alone(bring, item);
    xb_json *info = info_of(bring, item->from->namespace, item->from->name);
    const char *method = xb_json_str(info, "backupMethod", "");
    if (!xb_json_get(info, "pvInfo") ||
        (strcmp(method, "PodVolumeBackup") != 0 && strcmp(method, "CSISnapshot") != 0)) {
        return 0;
    }
    pthread_mutex_lock(&bring->lock);
    int r = add_finish(item->object, info, bring->brought->volumes, err);
    pthread_mutex_unlock(&bring->lock);
    return r;
}
