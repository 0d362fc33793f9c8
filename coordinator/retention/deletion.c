/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/retention/deletion.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/velero/spec.h"

/* ---- steps ---- */

static struct xb_deletion_result step(enum xb_deletion_step what)
{
    return (struct xb_deletion_result){.step = what};
}

static struct xb_deletion_result wait_until(int64_t at_ns)
{
    return (struct xb_deletion_result){.step = XB_DELETION_WAIT, .at_ns = at_ns};
}

static struct xb_deletion_result plan_going_on(const struct xb_deletion_facts *facts)
{
    if (facts->restores == 0) {
        return step(XB_DELETION_REMOVE);
    }
    if (facts->restores_ns == 0) {
        return step(XB_DELETION_RESTORES);
    }
    int64_t end_ns = facts->restores_ns + XB_DELETION_RESTORES_S * XB_NS_PER_S;
    return facts->now_ns < end_ns ? wait_until(end_ns) : step(XB_DELETION_REMOVE);
}

struct xb_deletion_result xb_deletion_plan(const struct xb_deletion_facts *facts)
{
    int64_t end_ns = facts->created_ns + XB_DELETION_LEFTOVER_S * XB_NS_PER_S;
    bool processed = strcmp(facts->phase, "Processed") == 0;
    bool going_on = strcmp(facts->phase, "InProgress") == 0;
    bool fresh = !facts->phase[0] || strcmp(facts->phase, "New") == 0;
    if ((processed || going_on) && facts->now_ns >= end_ns) {
        return step(XB_DELETION_DROP);
    }
    if (processed) {
        return wait_until(end_ns);
    }
    if (!facts->first) {
        return step(XB_DELETION_NONE);
    }
    if (going_on) {
        return plan_going_on(facts);
    }
    return step(fresh ? XB_DELETION_BEGIN : XB_DELETION_NONE);
}

bool xb_deletion_before(xb_json *a, xb_json *b)
{
    bool begun_a = strcmp(xb_json_str(a, "status.phase", ""), "InProgress") == 0;
    bool begun_b = strcmp(xb_json_str(b, "status.phase", ""), "InProgress") == 0;
    if (begun_a != begun_b) {
        return begun_a;
    }
    int age = strcmp(xb_json_str(a, "metadata.creationTimestamp", ""),
                     xb_json_str(b, "metadata.creationTimestamp", ""));
    return age < 0 || (age == 0 && strcmp(xb_json_str(a, "metadata.name", ""),
                                          xb_json_str(b, "metadata.name", "")) < 0);
}

/* ---- checks ---- */

static int check_backup(xb_json *request, xb_json *backup, struct xb_error *err)
{
    const char *name = xb_json_str(request, "spec.backupName", "");
    const char *uid = xb_json_str(request, "metadata.labels.velero\\.io/backup-uid", "");
    int r = xb_spec_need(XB_SPEC_DELETION, request, err);
    if (r < 0) {
        return r;
    }
    if (!backup) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOENT, "backup not found: '%.253s'", name);
    }
    if (uid[0] && strcmp(uid, xb_json_str(backup, "metadata.uid", "")) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOENT,
                            "backup not found: the '%.253s' that was meant (uid %.64s) is gone, "
                            "and another one has its name",
                            name, uid);
    }
    const char *phase = xb_json_str(backup, "status.phase", "");
    if (!xb_velero_backup_phase_final(phase)) {
        return xb_error_set(err, XB_ERR_INVALID, -EBUSY,
                            "backup is still in progress: '%.253s' is %.40s; ask again when it has "
                            "ended",
                            name, phase[0] ? phase : "New");
    }
    return 0;
}

static int check_location(xb_json *backup, xb_json *location, struct xb_error *err)
{
    const char *name = xb_json_str(backup, "spec.storageLocation", "");
    if (!location) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOENT,
                            "backup storage location %.253s not found", name);
    }
    if (strcmp(xb_json_str(location, "spec.accessMode", ""), "ReadOnly") == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EROFS,
                            "cannot delete backup because backup storage location %.253s is "
                            "currently in read-only mode",
                            name);
    }
    if (strcmp(xb_json_str(location, "status.phase", ""), "Available") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENODEV,
                            "cannot delete backup because backup storage location %.253s is "
                            "currently in Unavailable state: %.150s",
                            name,
                            xb_json_str(location, "status.message", "it was not validated yet"));
    }
    return 0;
}

static int check_expired(xb_json *request, xb_json *backup, struct xb_error *err)
{
    int64_t asked_ns = 0;
    int64_t expires_ns = 0;
    struct xb_error ignored = XB_ERROR_INIT;
    if (!xb_json_str(request, "metadata.annotations.xebec\\.io/expired", "")[0]) {
        return 0;
    }
    const char *expiration = xb_json_str(backup, "status.expiration", "");
    bool expired = xb_time_parse(xb_json_str(request, "metadata.creationTimestamp", ""), &asked_ns,
                                 &ignored) == 0 &&
                   xb_time_parse(expiration, &expires_ns, &ignored) == 0 &&
                   asked_ns / XB_NS_PER_S + XB_DELETION_SKEW_S >= expires_ns / XB_NS_PER_S;
    return expired ? 0
                   : xb_error_set(err, XB_ERR_INVALID, -ETIME,
                                  "the backup has not expired (%.40s) by the API server's clock: "
                                  "is the coordinator's clock right?",
                                  expiration);
}

int xb_deletion_check(xb_json *request, xb_json *backup, xb_json *location, bool *ret_recorded,
                      struct xb_error *err)
{
    int r = check_backup(request, backup, err);
    if (r < 0 || (r = check_expired(request, backup, err)) < 0) {
        return r;
    }
    bool recorded = xb_json_str(backup, "status.startTimestamp", "")[0] != '\0';
    r = recorded ? check_location(backup, location, err) : 0;
    if (r == 0) {
        *ret_recorded = recorded;
    }
    return r;
}

bool xb_deletion_own_marker(xb_json *marker, xb_json *backup)
{
    const char *began = xb_json_str(backup, "status.startTimestamp", "");
    return strcmp(xb_json_str(marker, "metadata.uid", "-"),
                  xb_json_str(backup, "metadata.uid", "")) == 0 ||
           (began[0] && strcmp(xb_json_str(marker, "status.startTimestamp", ""), began) == 0);
}

/* ---- snapshots ---- */

static int append(struct xb_deletion_snapshots *list, const char *namespace, const char *id,
                  struct xb_error *err)
{
    if (list->count >= XB_DELETION_SNAPSHOTS_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "the backup has more than %d snapshots",
                            XB_DELETION_SNAPSHOTS_MAX);
    }
    if (list->count == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 16;
        struct xb_deletion_snapshot *items = reallocarray(list->items, cap, sizeof *items);
        if (!items) {
            return xb_error_no_memory(err, "a list of snapshots");
        }
        list->items = items;
        list->cap = cap;
    }
    struct xb_deletion_snapshot *one = &list->items[list->count++];
    memcpy(one->namespace, namespace, strlen(namespace) + 1);
    memcpy(one->id, id, strlen(id) + 1);
    return 0;
}

int xb_deletion_add(struct xb_deletion_snapshots *list, xb_json *order, struct xb_error *err)
{
    const char *id = xb_velero_snapshot_of(order);
    const char *namespace = xb_json_str(order, "spec.pod.namespace", "");
    const char *name = xb_json_str(order, "metadata.name", "?");
    if (!id[0]) {
        return 0;
    }
    if (strcmp(xb_json_str(order, "spec.uploaderType", "kopia"), "restic") == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                            "order %.253s: its snapshot %.64s is restic's, which stays", name, id);
    }
    if (strlen(id) != XB_DELETION_SNAPSHOT_ID_BYTES - 1 ||
        strspn(id, "0123456789abcdef") != XB_DELETION_SNAPSHOT_ID_BYTES - 1) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "order %.200s: '%.64s' is no snapshot's name", name, id);
    }
    return xb_velero_name_valid(namespace)
               ? append(list, namespace, id, err)
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL, "order %.200s: '%.64s' is no namespace",
                              name, namespace);
}

static int compare(const void *left, const void *right)
{
    const struct xb_deletion_snapshot *a = left;
    const struct xb_deletion_snapshot *b = right;
    int order = strcmp(a->namespace, b->namespace);
    return order ? order : strcmp(a->id, b->id);
}

void xb_deletion_sort(struct xb_deletion_snapshots *list)
{
    size_t kept = 0;
    if (list->count > 1) {
        qsort(list->items, list->count, sizeof *list->items, compare);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (i == 0 || compare(&list->items[kept - 1], &list->items[i]) != 0) {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

void xb_deletion_spare(struct xb_deletion_snapshots *list, xb_json *order)
{
    const char *id = xb_velero_snapshot_of(order);
    const char *namespace = xb_json_str(order, "spec.pod.namespace", "");
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct xb_deletion_snapshot *one = &list->items[i];
        if (strcmp(one->id, id) != 0 || strcmp(one->namespace, namespace) != 0) {
            list->items[kept++] = *one;
        }
    }
    list->count = kept;
}

void xb_deletion_free(struct xb_deletion_snapshots *list)
{
    free(list->items);
    *list = (struct xb_deletion_snapshots){.items = NULL};
}
