/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/collect/volume_info.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "shared/velero/point_in_time.h"
#include "shared/velero/velero.h"

enum { KEY_BYTES = 512 };

static void put_text(xb_json *object, const char *key, const char *value)
{
    json_object_object_add(object, key, json_object_new_string(value ? value : ""));
}

static void put_present(xb_json *object, const char *key, const char *value)
{
    if (value && value[0]) {
        put_text(object, key, value);
    }
}

/* Without a pod a volume's name is its claim's, of which each namespace may have one. */
static void put_key(char key[KEY_BYTES], const char *namespace, const char *pod_uid,
                    const char *volume)
{
    snprintf(key, KEY_BYTES, "%s/%s/%s", pod_uid[0] ? "" : namespace, pod_uid, volume);
}

/* Places by pod and volume. The orders are the cache's, which another thread has: no reference is
 * taken. */
static xb_json *index_orders(xb_json *orders)
{
    xb_json *index = json_object_new_object();
    for (size_t i = 0; index && i < json_object_array_length(orders); i++) {
        char key[KEY_BYTES];
        xb_json *order = json_object_array_get_idx(orders, i);
        put_key(key, xb_json_str(order, "spec.pod.namespace", ""),
                xb_json_str(order, "spec.pod.uid", ""), xb_json_str(order, "spec.volume", ""));
        json_object_object_add(index, key, json_object_new_int64((int64_t)i));
    }
    return index;
}

/* Whose volume it is; with an order, how it went. */
static xb_json *pvb_info(const struct xb_collected_volume *volume, xb_json *order)
{
    xb_json *info = json_object_new_object();
    if (order) {
        put_text(info, "snapshotHandle", xb_velero_snapshot_of(order));
        json_object_object_add(
            info, "size",
            json_object_new_int64(xb_json_int(order, "status.progress.totalBytes", 0)));
        json_object_object_add(
            info, "incrementalSize",
            json_object_new_int64(xb_json_int(order, "status.incrementalBytes", 0)));
        put_text(info, "Phase", xb_json_str(order, "status.phase", ""));
    }
    put_text(info, "uploaderType", "kopia");
    put_text(info, "volumeName", volume->volume);
    put_text(info, "podName", volume->pod);
    put_text(info, "podNamespace", volume->pod_namespace);
    put_text(info, "nodeName", volume->node);
    return info;
}

static xb_json *begin(const struct xb_collected_volume *volume)
{
    xb_json *info = json_object_new_object();
    if (volume->claim) {
        put_text(info, "pvcName", volume->claim);
        put_text(info, "pvcNamespace", volume->pod_namespace);
        put_text(info, "pvName", volume->persistent_volume);
    }
    json_object_object_add(info, "snapshotDataMoved", json_object_new_boolean(false));
    json_object_object_add(info, "skipped", json_object_new_boolean(volume->skipped != NULL));
    if (volume->pv_info) {
        json_object_object_add(info, "pvInfo", json_object_get(volume->pv_info));
    }
    return info;
}

static xb_json *of_skipped(const struct xb_collected_volume *volume)
{
    xb_json *info = begin(volume);
    put_text(info, "skippedReason", volume->skipped);
    if (volume->pod) {
        json_object_object_add(info, "pvbInfo", pvb_info(volume, NULL));
    }
    return info;
}

/* Velero finds no pod through which such data comes back, or must not see its snapshot: it must
 * treat the claim as one without data. Xebec goes by the order. */
static bool is_ours_alone(const struct xb_collected_volume *volume, xb_json *order)
{
    return !volume->pod_uid || (volume->claim && xb_velero_snapshot_of(order)[0] &&
                                !xb_json_str(order, "status.snapshotID", "")[0]);
}

static xb_json *of_ours_alone(const struct xb_collected_volume *volume, xb_json *order)
{
    xb_json *info = begin(volume);
    bool good = strcmp(xb_json_str(order, "status.phase", ""), "Completed") == 0;
    json_object_object_add(info, "skipped", json_object_new_boolean(true));
    put_text(info, "skippedReason",
             volume->pod_uid ? "it is a raw block device: Xebec has backed it up, and only Xebec "
                               "restores it"
             : good ? "no running pod mounts it: Xebec has backed it up where it lies, and "
                      "only Xebec restores it"
                    : "no running pod mounts it, and its backup where it lies has failed");
    json_object_object_add(info, "pvbInfo", pvb_info(volume, order));
    return info;
}

/* Xebec's own: Velero passes over it. */
static void put_point(xb_json *info, xb_json *order, bool unheld)
{
    struct xb_point_in_time point;
    struct xb_error ignored = XB_ERROR_INIT; /* it is in the log */
    if (xb_point_in_time_parse(order, &point, &ignored) > 0) {
        xb_json *json = xb_point_in_time_json(&point);
        json_object_object_del(json, "uid");
        if (unheld) {
            put_text(json, "unheld", XB_VOLUME_UNHELD);
        }
        json_object_object_add(info, "pointInTime", json);
    }
}

static xb_json *of_backed_up(const struct xb_collected_volume *volume, xb_json *order, bool unheld)
{
    if (is_ours_alone(volume, order)) {
        return of_ours_alone(volume, order);
    }
    xb_json *info = begin(volume);
    bool good = strcmp(xb_json_str(order, "status.phase", ""), "Completed") == 0;
    put_text(info, "backupMethod", "PodVolumeBackup");
    put_text(info, "result", good ? "succeeded" : "failed");
    put_present(info, "startTimestamp", xb_json_str(order, "status.startTimestamp", ""));
    put_present(info, "completionTimestamp", xb_json_str(order, "status.completionTimestamp", ""));
    json_object_object_add(info, "pvbInfo", pvb_info(volume, order));
    put_point(info, order, unheld);
    return info;
}

int xb_volume_infos(const struct xb_volume_infos *what, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *index = index_orders(what->orders);
    XB_CLEANUP(xb_json_putp) xb_json *infos = json_object_new_array();
    if (!index || !infos) {
        return xb_error_no_memory(err, "the record of the volumes");
    }
    for (int skipped = 1; skipped >= 0; skipped--) {
        for (size_t i = 0; i < what->collected->volume_count; i++) {
            const struct xb_collected_volume *volume = &what->collected->volumes[i];
            char key[KEY_BYTES];
            xb_json *place = NULL;
            if ((volume->skipped != NULL) != skipped) {
                continue;
            }
            if (skipped) {
                json_object_array_add(infos, of_skipped(volume));
                continue;
            }
            put_key(key, volume->pod_namespace, volume->pod_uid ? volume->pod_uid : "",
                    volume->volume);
            xb_json *order =
                json_object_object_get_ex(index, key, &place)
                    ? json_object_array_get_idx(what->orders, (size_t)json_object_get_int64(place))
                    : NULL;
            if (what->ended) {
                what->ended(what->context, volume, order);
            }
            bool unheld = volume->pod_uid && what->unheld &&
                          json_object_object_get_ex(what->unheld, volume->pod_uid, NULL);
            json_object_array_add(infos, of_backed_up(volume, order, unheld));
        }
    }
    *ret = XB_TAKE(infos);
    return 0;
}

/* ---- in a line ---- */

struct points {
    size_t known, unknown, unheld;
    int64_t copy_us, held_us, changed; /* the longest ones; all */
    xb_json *kinds;                    /* "crash (btrfs)": how many */
};

static void count_point(struct points *points, xb_json *info)
{
    char kind[2 * XB_POINT_IN_TIME_METHOD_BYTES];
    xb_json *point = xb_json_get(info, "pointInTime");
    if (!point) {
        points->unknown += strcmp(xb_json_str(info, "result", ""), "succeeded") == 0;
        return;
    }
    const char *method = xb_json_str(point, "method", "?");
    int64_t copy_us = xb_json_int(point, "copyMicroseconds", 0);
    int64_t held_us = xb_json_int(point, "heldMicroseconds", 0);
    bool live = strcmp(method, XB_POINT_IN_TIME_LIVE) == 0;
    points->known++;
    points->unheld += xb_json_get(point, "unheld") != NULL;
    points->copy_us = !live && copy_us > points->copy_us ? copy_us : points->copy_us;
    points->held_us = held_us > points->held_us ? held_us : points->held_us;
    points->changed += xb_json_int(point, "changedFiles", 0);
    snprintf(kind, sizeof kind, "%.15s (%.31s)", xb_json_str(point, "consistency", "?"), method);
    json_object_object_add(points->kinds, kind,
                           json_object_new_int64(xb_json_int(points->kinds, kind, 0) + 1));
}

static void add(char out[XB_VOLUME_POINTS_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(char out[XB_VOLUME_POINTS_BYTES], const char *format, ...)
{
    size_t len = strlen(out);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(out + len, XB_VOLUME_POINTS_BYTES - len, format, args);
    va_end(args);
}

void xb_volume_points(xb_json *infos, char out[XB_VOLUME_POINTS_BYTES])
{
    XB_CLEANUP(xb_json_putp) xb_json *kinds = json_object_new_object();
    struct points points = {.kinds = kinds};
    const char *between = ": ";
    size_t count = json_object_array_length(infos);
    out[0] = '\0';
    for (size_t i = 0; kinds && i < count; i++) {
        count_point(&points, json_object_array_get_idx(infos, i));
    }
    if (points.known == 0) {
        return;
    }
    count = points.known + points.unknown;
    add(out, "%zu volume%s", count, count == 1 ? "" : "s");
    json_object_object_foreach(kinds, kind, number)
    {
        add(out, "%s%lld %s", between, (long long)json_object_get_int64(number), kind);
        between = ", ";
    }
    if (points.unknown) {
        add(out, ", %zu unknown", points.unknown);
    }
    if (points.unheld) {
        add(out, "; %zu not held", points.unheld);
    }
    if (points.copy_us) {
        add(out, "; longest copy %lld us", (long long)points.copy_us);
    }
    if (points.held_us) {
        add(out, "; longest hold %lld us", (long long)points.held_us);
    }
    if (points.changed) {
        add(out, "; %lld files changed while they were read", (long long)points.changed);
    }
}
