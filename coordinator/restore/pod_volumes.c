/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/restore/pod_volumes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { VOLUME_NAME_MAX = 63, HELPER_UID = 1000 };

static xb_json *field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static size_t list_length(xb_json *list)
{
    return list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static const char *or_default(const char *text, const char *fallback)
{
    return text && text[0] != '\0' ? text : fallback;
}

/* Takes `item` over. */
static int append(xb_json *list, xb_json *item, struct xb_error *err)
{
    if (!item || json_object_array_add(list, item) < 0) {
        json_object_put(item);
        return xb_error_no_memory(err, "a JSON list");
    }
    return 0;
}

static bool is_old_wait(xb_json *container)
{
    const char *name = xb_json_str(container, "name", "");
    return strcmp(name, "restore-wait") == 0 || strcmp(name, "restic-wait") == 0;
}

/* ---- who the helper runs as ---- */

/*
 * The helper must see the marker <volume>/.velero/<UID>, or the pod never starts, and should be
 * able to remove it. The agent made it as root, in a volume whose own folder may be closed to all
 * but the application's user (0700 is what databases want). An arbitrary user, Velero's default of
 * 1000, can then do neither; root without capabilities cannot look into such a folder either. So:
 *
 * - As a rule: root with DAC_OVERRIDE (and FOWNER, to put the folder's time back), which works on
 * every volume and which Pod Security's level "baseline" allows. Nothing else: no privilege
 * escalation, a read-only root file system.
 *
 * - A pod all of whose containers demand not to run as root may live in a namespace where the level
 *   "restricted" would refuse the above, and with it the pod. Its helper runs as the container does
 *   that uses the volumes: who can use them can see the marker. It may fail to remove root's
 *   folder, which it then leaves behind with a warning.
 */
struct identity {
    bool is_root;
    int64_t uid, gid;       /* gid -1: the pod's */
    xb_json *selinux_label; /* of the container that uses the volumes, or NULL */
};

/* Whether every container of a list says runAsNonRoot by itself; sets `says_no` if one says the
 * contrary. */
static bool all_refuse_root(xb_json *containers, bool *says_no)
{
    bool all = true;
    for (size_t i = 0; i < list_length(containers); i++) {
        xb_json *container = json_object_array_get_idx(containers, i);
        if (is_old_wait(container)) {
            continue; /* how an earlier restore's helper ran says nothing about the pod */
        }
        xb_json *value = xb_json_get(container, "securityContext.runAsNonRoot");
        bool refuses = value && json_object_is_type(value, json_type_boolean) &&
                       json_object_get_boolean(value);
        all = all && refuses;
        *says_no = *says_no || (value && !refuses);
    }
    return all;
}

static bool pod_refuses_root(xb_json *spec)
{
    bool says_no = false;
    xb_json *containers = field(spec, "containers"); /* none yet: one that is made for a claim */
    bool all = all_refuse_root(containers, &says_no) && list_length(containers) > 0;
    all = all_refuse_root(field(spec, "initContainers"), &says_no) && all;
    return all || (!says_no && xb_json_bool(spec, "securityContext.runAsNonRoot", false));
}

static bool uses_a_volume(xb_json *container, const char *const *volumes, size_t count)
{
    xb_json *mounts = field(container, "volumeMounts");
    for (size_t i = 0; i < list_length(mounts); i++) {
        const char *name = xb_json_str(json_object_array_get_idx(mounts, i), "name", "");
        for (size_t k = 0; k < count; k++) {
            if (strcmp(name, volumes[k]) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* The first container that mounts one of the volumes, or NULL. */
static xb_json *volume_user(xb_json *spec, const char *const *volumes, size_t count)
{
    xb_json *containers = field(spec, "containers");
    for (size_t i = 0; i < list_length(containers); i++) {
        xb_json *container = json_object_array_get_idx(containers, i);
        if (uses_a_volume(container, volumes, count)) {
            return container;
        }
    }
    return NULL;
}

static struct identity choose_identity(xb_json *spec, const char *const *volumes, size_t count)
{
    xb_json *user = volume_user(spec, volumes, count);
    struct identity identity = {
        .is_root = !pod_refuses_root(spec),
        .gid = -1,
        .selinux_label = xb_json_get(user, "securityContext.seLinuxOptions"),
    };
    if (identity.is_root) {
        identity.gid = 0;
        return identity;
    }
    int64_t pod_uid = xb_json_int(spec, "securityContext.runAsUser", HELPER_UID);
    identity.uid = xb_json_int(user, "securityContext.runAsUser", pod_uid);
    identity.gid = xb_json_int(user, "securityContext.runAsGroup", -1);
    /* A pod that demands both root and non-root never ran; its helper must not stop at that. */
    identity.uid = identity.uid > 0 ? identity.uid : HELPER_UID;
    return identity;
}

/* Everything is said here, since what is not said comes from the pod's securityContext. */
static const char root_text[] =
    "{\"runAsUser\":0,\"runAsGroup\":0,\"runAsNonRoot\":false,\"allowPrivilegeEscalation\":false,"
    "\"readOnlyRootFilesystem\":true,\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"DAC_"
    "OVERRIDE\",\"FOWNER\"]},"
    "\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}";

static const char restricted_text[] =
    "{\"runAsNonRoot\":true,\"allowPrivilegeEscalation\":false,\"readOnlyRootFilesystem\":true,"
    "\"capabilities\":{\"drop\":[\"ALL\"]},\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}";

static int copy_of(xb_json *value, xb_json **ret, struct xb_error *err)
{
    xb_json *copy = NULL;
    if (json_object_deep_copy(value, &copy, NULL) < 0) {
        return xb_error_no_memory(err, "a copy of JSON");
    }
    *ret = copy;
    return 0;
}

static int make_security(xb_json *spec, const char *const *volumes, size_t count, xb_json **ret,
                         struct xb_error *err)
{
    struct identity identity = choose_identity(spec, volumes, count);
    const char *text = identity.is_root ? root_text : restricted_text;
    XB_CLEANUP(xb_json_putp) xb_json *security = NULL;
    int r = xb_json_parse(text, strlen(text), &security, err);
    if (r == 0 && !identity.is_root) {
        r = xb_json_set_int(security, "runAsUser", identity.uid, err);
    }
    if (r == 0 && !identity.is_root && identity.gid >= 0) {
        r = xb_json_set_int(security, "runAsGroup", identity.gid, err);
    }
    xb_json *label = NULL;
    if (r == 0 && identity.selinux_label) {
        r = copy_of(identity.selinux_label, &label, err);
    }
    if (r == 0 && label) {
        r = xb_json_set(security, "seLinuxOptions", label, err);
    }
    if (r == 0) {
        *ret = XB_TAKE(security);
    }
    return r;
}

/* ---- the container ---- */

/* A node that runs the agent has the image: a registry out of reach must not keep the pod. */
static const char container_text[] =
    "{\"name\":\"restore-wait\",\"image\":\"\",\"imagePullPolicy\":\"IfNotPresent\","
    "\"command\":[],\"args\":[],\"env\":["
    "{\"name\":\"POD_NAMESPACE\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.namespace\"}"
    "}},"
    "{\"name\":\"POD_NAME\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}}],"
    "\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"},"
    "\"limits\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"}},\"volumeMounts\":[]}";

/* An amount of nothing is none: a limit of 0 would be less than every request. */
static void drop_nothing(xb_json *amounts)
{
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(xb_json_str(amounts, names[i], ""), "0") == 0) {
            json_object_object_del(amounts, names[i]);
        }
    }
}

static int add_texts(const struct xb_restore_context *context, xb_json *container,
                     struct xb_error *err)
{
    const struct {
        const char *path, *value;
    } texts[] = {
        {"image", context->helper_image},
        {"resources.requests.cpu", context->helper_cpu_request},
        {"resources.requests.memory", context->helper_memory_request},
        {"resources.limits.cpu", context->helper_cpu_limit},
        {"resources.limits.memory", context->helper_memory_limit},
    };
    const char *command = or_default(context->helper_command, "/velero-restore-helper");
    int r = append(field(container, "command"), json_object_new_string(command), err);
    if (r == 0) {
        r = append(field(container, "args"), json_object_new_string(context->restore_uid), err);
    }
    for (size_t i = 0; r == 0 && i < sizeof texts / sizeof texts[0]; i++) {
        const char *value = or_default(texts[i].value, NULL);
        r = value ? xb_json_set_str(container, texts[i].path, value, err) : 0;
    }
    drop_nothing(xb_json_get(container, "resources.requests"));
    drop_nothing(xb_json_get(container, "resources.limits"));
    return r;
}

/* The name becomes part of a path, so only what Kubernetes allows: letters, digits, dashes. */
static bool name_valid(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= VOLUME_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len;
}

static bool pod_has_volume(xb_json *spec, const char *name)
{
    return xb_json_find(field(spec, "volumes"), "name", name) != NULL;
}

/* ---- devices ---- */

static bool has_device(xb_json *containers, const char *volume)
{
    for (size_t i = 0; i < list_length(containers); i++) {
        xb_json *devices = field(json_object_array_get_idx(containers, i), "volumeDevices");
        for (size_t j = 0; j < list_length(devices); j++) {
            if (strcmp(xb_json_str(json_object_array_get_idx(devices, j), "name", ""), volume) ==
                0) {
                return true;
            }
        }
    }
    return false;
}

static bool is_device(xb_json *spec, const char *volume)
{
    return has_device(field(spec, "containers"), volume) ||
           has_device(field(spec, "initContainers"), volume);
}

/* The name of the emptyDir in the place of the index-th volume. */
static void sign_name(char out[VOLUME_NAME_MAX + 1], size_t index)
{
    snprintf(out, VOLUME_NAME_MAX + 1, "restore-wait-%zu", index);
}

static int add_sign_volume(xb_json *spec, const char *name, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *volume = json_object_new_object();
    int r = xb_json_set_str(volume, "name", name, err);
    r = r ? r : xb_json_set(volume, "emptyDir", json_object_new_object(), err);
    return r ? r : append(field(spec, "volumes"), XB_TAKE(volume), err);
}

/* An earlier restore has left some. */
static int add_sign_volumes(xb_json *spec, const char *const *volumes, size_t count,
                            struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        char name[VOLUME_NAME_MAX + 1];
        sign_name(name, i);
        if (is_device(spec, volumes[i]) && !pod_has_volume(spec, name)) {
            r = add_sign_volume(spec, name, err);
        }
    }
    return r;
}

static int add_mount(xb_json *mounts, const char *volume, const char *at, struct xb_error *err)
{
    char path[sizeof "/restores/" + VOLUME_NAME_MAX];
    snprintf(path, sizeof path, "/restores/%s", at);
    XB_CLEANUP(xb_json_putp) xb_json *mount = json_object_new_object();
    if (!mount) {
        return xb_error_no_memory(err, "a mount");
    }
    int r = xb_json_set_str(mount, "name", volume, err);
    if (r == 0) {
        r = xb_json_set_str(mount, "mountPath", path, err);
    }
    return r < 0 ? r : append(mounts, XB_TAKE(mount), err);
}

static int add_mounts(xb_json *spec, xb_json *container, const char *const *volumes, size_t count,
                      struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        bool again = false; /* nothing may be mounted twice at one path */
        for (size_t k = 0; k < i; k++) {
            again = again || strcmp(volumes[k], volumes[i]) == 0;
        }
        char sign[VOLUME_NAME_MAX + 1];
        sign_name(sign, i);
        r = again ? 0
                  : add_mount(field(container, "volumeMounts"),
                              is_device(spec, volumes[i]) ? sign : volumes[i], volumes[i], err);
    }
    return r;
}

static int make_wait(const struct xb_restore_context *context, xb_json *spec,
                     const char *const *volumes, size_t count, xb_json **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *container = NULL;
    xb_json *security = NULL;
    int r = xb_json_parse(container_text, strlen(container_text), &container, err);
    if (r == 0) {
        r = add_texts(context, container, err);
    }
    if (r == 0) {
        r = add_mounts(spec, container, volumes, count, err);
    }
    if (r == 0) {
        r = context->helper_security ? copy_of(context->helper_security, &security, err)
                                     : make_security(spec, volumes, count, &security, err);
    }
    if (r == 0) {
        r = xb_json_set(container, "securityContext", security, err);
    }
    if (r == 0) {
        *ret = XB_TAKE(container);
    }
    return r;
}

/* ---- the pod ---- */

static int check(const struct xb_restore_context *context, xb_json *spec,
                 const char *const *volumes, size_t count, struct xb_error *err)
{
    const char *image = or_default(context->helper_image, NULL);
    const char *uid = or_default(context->restore_uid, NULL);
    if (count > 0 && (!image || !uid)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "waiting for volumes needs the helper's image and the restore's UID");
    }
    for (size_t i = 0; i < count; i++) {
        if (!name_valid(volumes[i]) || !pod_has_volume(spec, volumes[i])) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the pod has no volume \"%.100s\"",
                                volumes[i]);
        }
    }
    return 0;
}

int xb_restore_add_wait(const struct xb_restore_context *context, xb_json *pod,
                        const char *const *volumes, size_t count, struct xb_error *err)
{
    xb_json *spec = NULL, *old = NULL, *wait = NULL;
    int r = xb_json_need_object(pod, "spec", true, &spec, err);
    if (r == 0) {
        r = xb_json_need_array(pod, "spec.initContainers", false, &old, err);
    }
    if (r == 0) {
        r = check(context, spec, volumes, count, err);
    }
    XB_CLEANUP(xb_json_putp) xb_json *list = json_object_new_array();
    if (r == 0 && !list) {
        r = xb_error_no_memory(err, "a JSON list");
    }
    if (r == 0 && count > 0) {
        r = make_wait(context, spec, volumes, count, &wait, err);
    }
    if (r == 0 && wait) {
        r = append(list, wait, err);
    }
    for (size_t i = 0; r == 0 && i < list_length(old); i++) {
        xb_json *container = json_object_array_get_idx(old, i);
        r = is_old_wait(container) ? 0 : append(list, json_object_get(container), err);
    }
    /* All or nothing: up to here the pod is as it was. */
    r = r ? r : add_sign_volumes(spec, volumes, count, err);
    return r == 0 && (old || wait) ? xb_json_set(spec, "initContainers", XB_TAKE(list), err) : r;
}
