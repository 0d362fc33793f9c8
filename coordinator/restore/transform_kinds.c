/* SPDX-License-Identifier: Apache-2.0
 *
 * What each kind needs before it can be created again: the built-in item actions that look at
 * nothing but the object.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/restore/transform.h"

enum { NAME_BYTES_MAX = 254, PORT_KEY_BYTES = 400 };

static xb_json *field(xb_json *object, const char *key)
{
    xb_json *value = NULL;
    return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static void drop(xb_json *object, const char *key)
{
    if (json_object_is_type(object, json_type_object)) {
        json_object_object_del(object, key);
    }
}

static size_t list_length(xb_json *list)
{
    return list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Sets are objects whose values do not matter. */
static int set_add(xb_json *set, const char *member, struct xb_error *err)
{
    xb_json *present = json_object_new_boolean(true);
    if (!present || json_object_object_add(set, member, present) < 0) {
        json_object_put(present);
        return xb_error_no_memory(err, "a set of names");
    }
    return 0;
}

/* ---- jobs ---- */

static void drop_controller_uid(xb_json *labels)
{
    drop(labels, "controller-uid");
    drop(labels, "batch.kubernetes.io/controller-uid");
}

/* These labels name the old job's uid; the API server adds the new one's. Those of the job itself
 * select nothing, and stay, as with Velero. */
static int act_job(const struct xb_restore_context *context, xb_json *job, struct xb_error *err)
{
    (void)context;
    (void)err;
    drop_controller_uid(xb_json_get(job, "spec.template.metadata.labels"));
    drop_controller_uid(xb_json_get(job, "spec.selector.matchLabels"));
    return 0;
}

/* ---- pods ---- */

/* Token volumes of old clusters are Secrets named like this. A volume of another sort with such a
 * name is somebody's data and stays, as do the projected kube-api-access-* volumes: they name no
 * Secret, and admission adds none where one is mounted. */
static int drop_token_volumes(xb_json *volumes, const char *prefix, xb_json *dropped,
                              struct xb_error *err)
{
    for (size_t i = list_length(volumes); i-- > 0;) {
        xb_json *volume = json_object_array_get_idx(volumes, i);
        const char *name = xb_json_str(volume, "name", "");
        if (!starts_with(name, prefix) || !field(volume, "secret")) {
            continue;
        }
        int r = set_add(dropped, name, err);
        if (r < 0) {
            return r;
        }
        json_object_array_del_idx(volumes, i, 1);
    }
    return 0;
}

static void drop_mounts(xb_json *containers, xb_json *dropped)
{
    for (size_t i = 0; i < list_length(containers); i++) {
        xb_json *mounts = field(json_object_array_get_idx(containers, i), "volumeMounts");
        for (size_t k = list_length(mounts); k-- > 0;) {
            const char *name = xb_json_str(json_object_array_get_idx(mounts, k), "name", "");
            if (field(dropped, name)) {
                json_object_array_del_idx(mounts, k, 1);
            }
        }
    }
}

static int act_pod(const struct xb_restore_context *context, xb_json *pod, struct xb_error *err)
{
    (void)context;
    xb_json *spec = xb_json_get(pod, "spec");
    drop(spec, "nodeName");
    drop(spec, "priority"); /* admission computes it from the class, which may differ here */
    /* Ephemeral containers can only be added to a pod that runs: a creation with them is refused.
     */
    drop(spec, "ephemeralContainers");

    const char *account = xb_json_str(spec, "serviceAccountName", "default");
    char prefix[NAME_BYTES_MAX + sizeof "-token-"];
    int len = snprintf(prefix, sizeof prefix, "%s-token-", account);
    if (len < 0 || (size_t)len >= sizeof prefix) {
        return 0; /* no account has such a name */
    }
    XB_CLEANUP(xb_json_putp) xb_json *dropped = json_object_new_object();
    if (!dropped) {
        return xb_error_no_memory(err, "a set of names");
    }
    int r = drop_token_volumes(field(spec, "volumes"), prefix, dropped, err);
    if (r == 0 && json_object_object_length(dropped) > 0) {
        drop_mounts(field(spec, "containers"), dropped);
        drop_mounts(field(spec, "initContainers"), dropped);
    }
    return r;
}

/* ---- services ---- */

/* "<name>" or, without one, the number, in a form that no managedFields key has. */
static bool port_key(xb_json *port, char key[PORT_KEY_BYTES])
{
    const char *name = xb_json_str(port, "name", "");
    int len;
    if (name[0] != '\0') {
        len = snprintf(key, PORT_KEY_BYTES, "name %s", name);
    } else {
        /* Applied text may have the number in quotes. */
        const char *text = xb_json_str(port, "nodePort", NULL);
        len = text ? snprintf(key, PORT_KEY_BYTES, "number %s", text)
                   : snprintf(key, PORT_KEY_BYTES, "number %lld",
                              (long long)xb_json_int(port, "nodePort", 0));
    }
    return len > 0 && len < PORT_KEY_BYTES;
}

/* As managedFields name an item of the list of ports. */
static bool managed_port_key(xb_json *port, char key[PORT_KEY_BYTES])
{
    int len =
        snprintf(key, PORT_KEY_BYTES, "k:{\"port\":%lld,\"protocol\":\"%s\"}",
                 (long long)xb_json_int(port, "port", 0), xb_json_str(port, "protocol", "TCP"));
    return len > 0 && len < PORT_KEY_BYTES;
}

static bool applied_node_port(xb_json *port)
{
    xb_json *value = field(port, "nodePort");
    if (value && json_object_is_type(value, json_type_string)) {
        return json_object_get_string_len(value) > 0 &&
               strcmp(json_object_get_string(value), "0") != 0;
    }
    return xb_json_int(port, "nodePort", 0) > 0;
}

/* The ports whose nodePort somebody chose by `kubectl apply`. */
static int ports_from_applied(xb_json *applied, xb_json *chosen, struct xb_error *err)
{
    char key[PORT_KEY_BYTES];
    xb_json *ports = xb_json_get(applied, "spec.ports");
    for (size_t i = 0; i < list_length(ports); i++) {
        xb_json *port = json_object_array_get_idx(ports, i);
        int r = applied_node_port(port) && port_key(port, key) ? set_add(chosen, key, err) : 0;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* The same by server-side apply or plain creation: what the API server picked by itself is in
 * nobody's fields. */
static int ports_from_managers(xb_json *managers, xb_json *chosen, struct xb_error *err)
{
    for (size_t i = 0; i < list_length(managers); i++) {
        xb_json *manager = json_object_array_get_idx(managers, i);
        xb_json *ports = xb_json_get(manager, "fieldsV1.f:spec.f:ports");
        if (!ports || !json_object_is_type(ports, json_type_object)) {
            continue;
        }
        json_object_object_foreach(ports, key, fields)
        {
            int r = field(fields, "f:nodePort") ? set_add(chosen, key, err) : 0;
            if (r < 0) {
                return r;
            }
        }
    }
    return 0;
}

static bool health_port_chosen(xb_json *applied, xb_json *managers)
{
    if (xb_json_int(applied, "spec.healthCheckNodePort", 0) > 0) {
        return true;
    }
    for (size_t i = 0; i < list_length(managers); i++) {
        xb_json *manager = json_object_array_get_idx(managers, i);
        if (xb_json_get(manager, "fieldsV1.f:spec.f:healthCheckNodePort")) {
            return true;
        }
    }
    return false;
}

static void drop_node_ports(xb_json *ports, bool by_manager, xb_json *chosen)
{
    char key[PORT_KEY_BYTES];
    for (size_t i = 0; i < list_length(ports); i++) {
        xb_json *port = json_object_array_get_idx(ports, i);
        bool keyed = by_manager ? managed_port_key(port, key) : port_key(port, key);
        if (!keyed || !field(chosen, key)) {
            drop(port, "nodePort");
        }
    }
}

/* The text of kubectl's annotation, or NULL when there is none that can be read: then the managers
 * are asked. */
static xb_json *last_applied(xb_json *service)
{
    struct xb_error ignored = XB_ERROR_INIT;
    xb_json *applied = NULL;
    const char *text = xb_json_str(
        service, "metadata.annotations.kubectl\\.kubernetes\\.io/last-applied-configuration", NULL);
    if (!text || xb_json_parse(text, strlen(text), &applied, &ignored) < 0) {
        return NULL;
    }
    return applied;
}

static int drop_picked_ports(xb_json *service, struct xb_error *err)
{
    xb_json *spec = xb_json_get(service, "spec");
    xb_json *managers = xb_json_get(service, "metadata.managedFields");
    XB_CLEANUP(xb_json_putp) xb_json *applied = last_applied(service);
    XB_CLEANUP(xb_json_putp) xb_json *chosen = json_object_new_object();
    if (!chosen) {
        return xb_error_no_memory(err, "a set of ports");
    }
    int r = applied ? ports_from_applied(applied, chosen, err)
                    : ports_from_managers(managers, chosen, err);
    if (r < 0) {
        return r;
    }
    drop_node_ports(field(spec, "ports"), applied == NULL, chosen);
    if (!health_port_chosen(applied, managers)) {
        drop(spec, "healthCheckNodePort");
    }
    return 0;
}

static int act_service(const struct xb_restore_context *context, xb_json *service,
                       struct xb_error *err)
{
    xb_json *spec = xb_json_get(service, "spec");
    /* "None" is a choice (a headless service); an address was picked by the old cluster. */
    if (strcmp(xb_json_str(spec, "clusterIP", ""), "None") != 0) {
        drop(spec, "clusterIP");
        drop(spec, "clusterIPs");
    }
    return context->preserve_node_ports ? 0 : drop_picked_ports(service, err);
}

/* ---- accounts and secrets ---- */

static int act_service_account(const struct xb_restore_context *context, xb_json *account,
                               struct xb_error *err)
{
    (void)context;
    (void)err;
    char prefix[NAME_BYTES_MAX + sizeof "-token-"];
    int len =
        snprintf(prefix, sizeof prefix, "%s-token-", xb_json_str(account, "metadata.name", ""));
    if (len < 0 || (size_t)len >= sizeof prefix) {
        return 0;
    }
    xb_json *secrets = xb_json_get(account, "secrets");
    for (size_t i = list_length(secrets); i-- > 0;) {
        const char *name = xb_json_str(json_object_array_get_idx(secrets, i), "name", "");
        if (starts_with(name, prefix)) {
            json_object_array_del_idx(secrets, i, 1);
        }
    }
    return 0;
}

/* The old account's uid would make the cluster delete the Secret at once, and the old cluster's
 * token opens nothing here. The controller fills both in again. */
static int act_secret(const struct xb_restore_context *context, xb_json *secret,
                      struct xb_error *err)
{
    (void)context;
    (void)err;
    const char *type = xb_json_str(secret, "type", "");
    if (strcmp(type, "kubernetes.io/service-account-token") == 0) {
        drop(xb_json_get(secret, "metadata.annotations"), "kubernetes.io/service-account.uid");
        drop(xb_json_get(secret, "data"), "token");
        drop(xb_json_get(secret, "data"), "ca.crt");
    }
    return 0;
}

/* Subjects of both kinds of bindings are accounts in namespaces that may have moved. */
static int act_binding(const struct xb_restore_context *context, xb_json *binding,
                       struct xb_error *err)
{
    xb_json *subjects = xb_json_get(binding, "subjects");
    for (size_t i = 0; i < list_length(subjects); i++) {
        xb_json *subject = json_object_array_get_idx(subjects, i);
        const char *from = xb_json_str(subject, "namespace", NULL);
        const char *to = from ? xb_restore_namespace(context, from) : NULL;
        int r = to == from ? 0 : xb_json_set_str(subject, "namespace", to, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- claims ---- */

/* What the old cluster's controllers noted. A selected node that does not exist here would keep
 * the claim pending for ever. */
static int act_claim(const struct xb_restore_context *context, xb_json *claim, struct xb_error *err)
{
    static const char *const notes[] = {
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.kubernetes.io/storage-provisioner",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
        "velero.io/volume-snapshot-name",
        "velero.io/data-upload-name",
    };
    (void)context;
    (void)err;
    xb_json *annotations = xb_json_get(claim, "metadata.annotations");
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        drop(annotations, notes[i]);
    }
    return 0;
}

/* ---- extensions of the API ---- */

/* v1 refuses preserveUnknownFields; each version's schema says the same in its own field. v1beta1
 * allows it and stays as it is. */
static int act_crd(const struct xb_restore_context *context, xb_json *crd, struct xb_error *err)
{
    (void)context;
    if (strcmp(xb_json_str(crd, "apiVersion", ""), "apiextensions.k8s.io/v1") != 0 ||
        !xb_json_bool(crd, "spec.preserveUnknownFields", false)) {
        return 0;
    }
    int r = xb_json_set_bool(crd, "spec.preserveUnknownFields", false, err);
    xb_json *versions = xb_json_get(crd, "spec.versions");
    for (size_t i = 0; r == 0 && i < list_length(versions); i++) {
        xb_json *version = json_object_array_get_idx(versions, i);
        xb_json *schema = xb_json_get(version, "schema.openAPIV3Schema");
        if (schema && json_object_is_type(schema, json_type_object)) {
            r = xb_json_set_bool(schema, "x-kubernetes-preserve-unknown-fields", true, err);
        }
    }
    return r;
}

/* v1 takes only two values; what v1beta1 stored as Unknown or Some is refused. */
static int act_webhooks(const struct xb_restore_context *context, xb_json *configuration,
                        struct xb_error *err)
{
    (void)context;
    if (strcmp(xb_json_str(configuration, "apiVersion", ""), "admissionregistration.k8s.io/v1") !=
        0) {
        return 0;
    }
    xb_json *webhooks = xb_json_get(configuration, "webhooks");
    for (size_t i = 0; i < list_length(webhooks); i++) {
        xb_json *webhook = json_object_array_get_idx(webhooks, i);
        const char *effects = xb_json_str(webhook, "sideEffects", "");
        if (!json_object_is_type(webhook, json_type_object) || strcmp(effects, "None") == 0 ||
            strcmp(effects, "NoneOnDryRun") == 0) {
            continue;
        }
        int r = xb_json_set_str(webhook, "sideEffects", "None", err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- the table ---- */

static const struct {
    const char *resource;
    int (*act)(const struct xb_restore_context *context, xb_json *object, struct xb_error *err);
} actions[] = {
    {"jobs.batch", act_job},
    {"pods", act_pod},
    {"services", act_service},
    {"serviceaccounts", act_service_account},
    {"secrets", act_secret},
    {"rolebindings.rbac.authorization.k8s.io", act_binding},
    {"clusterrolebindings.rbac.authorization.k8s.io", act_binding},
    {"persistentvolumeclaims", act_claim},
    {"customresourcedefinitions.apiextensions.k8s.io", act_crd},
    {"mutatingwebhookconfigurations.admissionregistration.k8s.io", act_webhooks},
    {"validatingwebhookconfigurations.admissionregistration.k8s.io", act_webhooks},
};

int xb_restore_act(const struct xb_restore_context *context, const char *resource, xb_json *object,
                   struct xb_error *err)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].resource, resource) == 0) {
            return actions[i].act(context, object, err);
        }
    }
    return 0;
}
