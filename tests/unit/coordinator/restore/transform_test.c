/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects as a backup holds them, and what is sent to the API server. JSON is written with ' for "
 * to stay readable.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/restore/transform.h"

#define ROLE_BINDINGS "rolebindings.rbac.authorization.k8s.io"
#define CRDS "customresourcedefinitions.apiextensions.k8s.io"
#define WEBHOOKS "validatingwebhookconfigurations.admissionregistration.k8s.io"

/* No labels, so that expected objects stay short; one test has them. */
static struct xb_restore_context plain = {.restore_uid = "uid"};

static xb_json *json(const char *text)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_freep) char *quoted = strdup(text);
    assert_non_null(quoted);
    for (char *c = quoted; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    xb_json *value = NULL;
    if (xb_json_parse(quoted, strlen(quoted), &value, &err) < 0) {
        fail_msg("%s in %s", err.text, quoted);
    }
    return value;
}

static void assert_json(xb_json *got, const char *want_text)
{
    XB_CLEANUP(xb_json_putp) xb_json *want = json(want_text);
    if (!json_object_equal(got, want)) {
        fail_msg("have %s\nwant %s",
                 json_object_to_json_string_ext(got, JSON_C_TO_STRING_NOSLASHESCAPE),
                 json_object_to_json_string_ext(want, JSON_C_TO_STRING_NOSLASHESCAPE));
    }
}

static void creates_with(const struct xb_restore_context *context, const char *resource,
                         const char *from, const char *to)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_decision decision = XB_RESTORE_SKIP;
    char reason[XB_RESTORE_REASON_BYTES] = "?";
    XB_CLEANUP(xb_json_putp) xb_json *object = json(from);
    if (xb_restore_transform(context, resource, object, &decision, reason, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(decision, XB_RESTORE_CREATE);
    assert_string_equal(reason, "");
    /* Every object gets labels; these are only checked where they matter. */
    xb_json *labels = xb_json_get(object, "metadata.labels");
    assert_non_null(labels);
    if (json_object_object_length(labels) == 0) {
        json_object_object_del(xb_json_get(object, "metadata"), "labels");
    }
    assert_json(object, to);
}

static void creates(const char *resource, const char *from, const char *to)
{
    creates_with(&plain, resource, from, to);
}

static void skips_with(const struct xb_restore_context *context, const char *resource,
                       const char *from)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_decision decision = XB_RESTORE_CREATE;
    char reason[XB_RESTORE_REASON_BYTES] = "";
    XB_CLEANUP(xb_json_putp) xb_json *object = json(from);
    assert_int_equal(xb_restore_transform(context, resource, object, &decision, reason, &err), 0);
    assert_int_equal(decision, XB_RESTORE_SKIP);
    assert_true(reason[0] != '\0');
}

static void skips(const char *resource, const char *from)
{
    skips_with(&plain, resource, from);
}

static void refuses(const char *from)
{
    struct xb_error err = XB_ERROR_INIT;
    enum xb_restore_decision decision = XB_RESTORE_CREATE;
    char reason[XB_RESTORE_REASON_BYTES] = "";
    XB_CLEANUP(xb_json_putp) xb_json *object = json(from);
    assert_int_equal(xb_restore_transform(&plain, "pods", object, &decision, reason, &err),
                     -EBADMSG);
    assert_int_equal(err.kind, XB_ERR_CORRUPT);
}

/* ---- metadata ---- */

static void keeps_of_metadata_only_what_is_the_owners(void **state)
{
    (void)state;
    creates("configmaps",
            "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','generateName':'c-',"
            "'namespace':'n','selfLink':'/x','uid':'u','resourceVersion':'7','generation':3,"
            "'creationTimestamp':'2026-01-01T00:00:00Z','deletionTimestamp':'x',"
            "'deletionGracePeriodSeconds':1,'ownerReferences':[{'uid':'o'}],"
            "'managedFields':[{'manager':'m'}],'labels':{'a':'1'},'annotations':{'b.c/d':'2'},"
            "'finalizers':['f/g']},'data':{'k':'v'},'status':{'x':1}}",
            "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'n',"
            "'labels':{'a':'1'},'annotations':{'b.c/d':'2'},'finalizers':['f/g']},"
            "'data':{'k':'v'}}");
}

static void labels_tell_backup_and_restore(void **state)
{
    (void)state;
    struct xb_restore_context context = {.backup_label = "b2", .restore_label = "r2"};
    creates_with(&context, "configmaps", "{'metadata':{'name':'c'}}",
                 "{'metadata':{'name':'c','labels':{'velero.io/backup-name':'b2',"
                 "'velero.io/restore-name':'r2'}}}");
    creates_with(&context, "configmaps",
                 "{'metadata':{'name':'c','labels':{'a':'1','velero.io/backup-name':'old'}}}",
                 "{'metadata':{'name':'c','labels':{'a':'1','velero.io/backup-name':'b2',"
                 "'velero.io/restore-name':'r2'}}}");
}

static void maps_namespaces(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *mapping = json("{'a.b':'to','a':'b','empty':'','number':1}");
    struct xb_restore_context context = {.namespace_mapping = mapping};
    assert_string_equal(xb_restore_namespace(&context, "a"), "b");
    assert_string_equal(xb_restore_namespace(&context, "a.b"), "to");
    assert_string_equal(xb_restore_namespace(&context, "b"), "b");
    assert_string_equal(xb_restore_namespace(&context, "empty"), "empty");
    assert_string_equal(xb_restore_namespace(&context, "number"), "number");
    assert_string_equal(xb_restore_namespace(&plain, "a"), "a");
    creates_with(&context, "secrets", "{'metadata':{'name':'a','namespace':'a'}}",
                 "{'metadata':{'name':'a','namespace':'b'}}");
    creates_with(&context, "namespaces",
                 "{'metadata':{'name':'a','labels':{'kubernetes.io/metadata.name':'a'},"
                 "'annotations':{'x':'y'}}}",
                 "{'metadata':{'name':'b','labels':{'kubernetes.io/metadata.name':'b'},"
                 "'annotations':{'x':'y'}}}");
    creates_with(&context, "persistentvolumes", "{'metadata':{'name':'a'}}",
                 "{'metadata':{'name':'a'}}");
}

static void refuses_broken_metadata(void **state)
{
    (void)state;
    refuses("[]");
    refuses("null");
    refuses("7");
    refuses("{}");
    refuses("{'metadata':[]}");
    refuses("{'metadata':{}}");
    refuses("{'metadata':{'name':''}}");
    refuses("{'metadata':{'name':1}}");
    refuses("{'metadata':{'name':'a\\u0000b'}}");
    refuses("{'metadata':{'name':'a','namespace':{}}}");
    refuses("{'metadata':{'name':'a','labels':[]}}");
    refuses("{'metadata':{'name':'a','annotations':'x'}}");
    refuses("{'metadata':{'name':'a','finalizers':{}}}");
}

/* What is wrong elsewhere is the API server's to refuse: nothing is lost or made up here. */
static void leaves_broken_specs(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "pods",   "services", "jobs.batch",      ROLE_BINDINGS,           CRDS,
        WEBHOOKS, "secrets",  "serviceaccounts", "persistentvolumeclaims"};
    static const char *const texts[] = {
        "{'metadata':{'name':'a'},'spec':7}", "{'metadata':{'name':'a'},'spec':[]}",
        "{'metadata':{'name':'a'},'spec':{'containers':{},'volumes':7,'ports':[1,null,[]]}}",
        "{'metadata':{'name':'a'},'subjects':[null,7],'secrets':[null],'webhooks':[null,3]}"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
            creates(kinds[i], texts[k], texts[k]);
        }
    }
}

/* ---- skipping ---- */

static void skips_what_has_ended(void **state)
{
    (void)state;
    skips("pods", "{'metadata':{'name':'p'},'status':{'phase':'Succeeded'}}");
    skips("pods", "{'metadata':{'name':'p'},'status':{'phase':'Failed'}}");
    skips("pods", "{'metadata':{'name':'p','annotations':{'kubernetes.io/config.mirror':'h'}}}");
    skips("jobs.batch", "{'metadata':{'name':'j'},'status':{'completionTime':'2026-01-01'}}");
    skips("secrets", "{'metadata':{'name':'s'},'type':'kubernetes.io/service-account-token'}");
    skips("apiservices.apiregistration.k8s.io",
          "{'metadata':{'name':'v1.','labels':{'kube-aggregator.kubernetes.io/automanaged':''}}}");
}

/* A claim that would be nobody's keeps the pod from having one of its own. */
static void skips_claims_of_pods(void **state)
{
    (void)state;
    skips("persistentvolumeclaims",
          "{'metadata':{'name':'p-v','ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'p',"
          "'controller':true}]}}");
    creates("persistentvolumeclaims",
            "{'metadata':{'name':'c','ownerReferences':[{'apiVersion':'v1','kind':'Pod'},"
            "{'apiVersion':'apps/v1','kind':'StatefulSet','controller':true}]}}",
            "{'metadata':{'name':'c'}}");
}

static void creates_what_has_not(void **state)
{
    (void)state;
    creates("pods", "{'metadata':{'name':'p'},'status':{'phase':'Running'}}",
            "{'metadata':{'name':'p'}}");
    creates("jobs.batch", "{'metadata':{'name':'j'},'status':{'completionTime':null}}",
            "{'metadata':{'name':'j'}}");
    creates("secrets", "{'metadata':{'name':'s'},'type':'Opaque','data':{'token':'eA=='}}",
            "{'metadata':{'name':'s'},'type':'Opaque','data':{'token':'eA=='}}");
    creates("apiservices.apiregistration.k8s.io", "{'metadata':{'name':'v1.x'}}",
            "{'metadata':{'name':'v1.x'}}");
    /* Another kind with such a phase or label. */
    creates("persistentvolumes", "{'metadata':{'name':'p'},'status':{'phase':'Failed'}}",
            "{'metadata':{'name':'p'}}");
}

static void keeps_hand_made_tokens_if_asked(void **state)
{
    (void)state;
    struct xb_restore_context context = {.keep_token_secrets = true};
    creates_with(&context, "secrets",
                 "{'metadata':{'name':'ci','annotations':{'kubernetes.io/service-account.name':"
                 "'sa','kubernetes.io/service-account.uid':'u'}},'data':{'token':'eA==',"
                 "'ca.crt':'eA==','extra':'eA=='},'type':'kubernetes.io/service-account-token'}",
                 "{'metadata':{'name':'ci','annotations':{'kubernetes.io/service-account.name':"
                 "'sa'}},'data':{'extra':'eA=='},'type':'kubernetes.io/service-account-token'}");
    creates_with(&context, "secrets",
                 "{'metadata':{'name':'sa-ci','annotations':{'kubernetes.io/service-account.name':"
                 "'sa'}},'type':'kubernetes.io/service-account-token'}",
                 "{'metadata':{'name':'sa-ci','annotations':{'kubernetes.io/service-account.name':"
                 "'sa'}},'type':'kubernetes.io/service-account-token'}");
    skips_with(&context, "secrets",
               "{'metadata':{'name':'sa-token-x7k2p','annotations':{"
               "'kubernetes.io/service-account.name':'sa'}},"
               "'type':'kubernetes.io/service-account-token'}");
}

/* ---- kinds ---- */

static void frees_jobs_of_their_controller(void **state)
{
    (void)state;
    creates("jobs.batch",
            "{'metadata':{'name':'j','labels':{'controller-uid':'u','job-name':'j'}},'spec':{"
            "'selector':{'matchLabels':{'batch.kubernetes.io/controller-uid':'u','x':'y'}},"
            "'template':{'metadata':{'labels':{'controller-uid':'u','a':'b',"
            "'batch.kubernetes.io/controller-uid':'u'}}}}}",
            "{'metadata':{'name':'j','labels':{'controller-uid':'u','job-name':'j'}},'spec':{"
            "'selector':{'matchLabels':{'x':'y'}},"
            "'template':{'metadata':{'labels':{'a':'b'}}}}}");
}

static void frees_pods_of_node_and_token(void **state)
{
    (void)state;
    creates("pods",
            "{'metadata':{'name':'p'},'spec':{'nodeName':'n1','priority':5,"
            "'priorityClassName':'high','serviceAccountName':'web',"
            "'volumes':[{'name':'web-token-abcde','secret':{'secretName':'web-token-abcde'}},"
            "{'name':'web-token-cache','persistentVolumeClaim':{'claimName':'c'}},"
            "{'name':'other-token-abcde','secret':{'secretName':'s'}},"
            "{'name':'kube-api-access-x','projected':{'sources':[]}}],"
            "'containers':[{'name':'a','volumeMounts':[{'name':'web-token-abcde','mountPath':'/t'},"
            "{'name':'web-token-cache','mountPath':'/c'},"
            "{'name':'kube-api-access-x','mountPath':'/k'}]},{'name':'b'}],"
            "'initContainers':[{'name':'i','volumeMounts':[{'name':'other-token-abcde',"
            "'mountPath':'/o'},{'name':'web-token-abcde','mountPath':'/t'}]}],"
            "'ephemeralContainers':[{'name':'debug'}]}}",
            "{'metadata':{'name':'p'},'spec':{"
            "'priorityClassName':'high','serviceAccountName':'web',"
            "'volumes':[{'name':'web-token-cache','persistentVolumeClaim':{'claimName':'c'}},"
            "{'name':'other-token-abcde','secret':{'secretName':'s'}},"
            "{'name':'kube-api-access-x','projected':{'sources':[]}}],"
            "'containers':[{'name':'a','volumeMounts':["
            "{'name':'web-token-cache','mountPath':'/c'},"
            "{'name':'kube-api-access-x','mountPath':'/k'}]},{'name':'b'}],"
            "'initContainers':[{'name':'i','volumeMounts':[{'name':'other-token-abcde',"
            "'mountPath':'/o'}]}]}}");
}

static void frees_services_of_addresses(void **state)
{
    (void)state;
    creates("services",
            "{'metadata':{'name':'s'},'spec':{'clusterIP':'10.0.0.1','clusterIPs':['10.0.0.1'],"
            "'type':'NodePort','ports':[{'port':80,'protocol':'TCP','nodePort':30080}],"
            "'healthCheckNodePort':31000}}",
            "{'metadata':{'name':'s'},'spec':{'type':'NodePort',"
            "'ports':[{'port':80,'protocol':'TCP'}]}}");
    creates("services",
            "{'metadata':{'name':'s'},'spec':{'clusterIP':'None','clusterIPs':['None']}}",
            "{'metadata':{'name':'s'},'spec':{'clusterIP':'None','clusterIPs':['None']}}");
    struct xb_restore_context context = {.preserve_node_ports = true};
    creates_with(&context, "services",
                 "{'metadata':{'name':'s'},'spec':{'clusterIP':'10.0.0.1','healthCheckNodePort':3,"
                 "'ports':[{'port':80,'nodePort':30080}]}}",
                 "{'metadata':{'name':'s'},'spec':{'healthCheckNodePort':3,"
                 "'ports':[{'port':80,'nodePort':30080}]}}");
}

/* The text of an annotation is JSON in JSON. */
#define APPLIED(text)                                                                              \
    "'annotations':{'kubectl.kubernetes.io/last-applied-configuration':'" text "'}"

static void keeps_node_ports_that_were_applied(void **state)
{
    (void)state;
    creates("services",
            "{'metadata':{'name':'s'," APPLIED(
                "{\\'spec\\':{\\'healthCheckNodePort\\':32000,\\'ports\\':["
                "{\\'name\\':\\'web\\',\\'nodePort\\':30080},{\\'nodePort\\':\\'30081\\'},"
                "{\\'nodePort\\':30082},{\\'name\\':\\'no\\'}]}}") "},"
                                                                   "'spec':{'healthCheckNodePort':"
                                                                   "32000,'ports':["
                                                                   "{'name':'web','nodePort':30080}"
                                                                   ",{'nodePort':30081},{'nodePort'"
                                                                   ":30082},"
                                                                   "{'nodePort':30083},{'name':'no'"
                                                                   ",'nodePort':30084}]}}",
            "{'metadata':{'name':'s'," APPLIED(
                "{\\'spec\\':{\\'healthCheckNodePort\\':32000,\\'ports\\':["
                "{\\'name\\':\\'web\\',\\'nodePort\\':30080},{\\'nodePort\\':\\'30081\\'},"
                "{\\'nodePort\\':30082},{\\'name\\':\\'no\\'}]}}") "},"
                                                                   "'spec':{'healthCheckNodePort':"
                                                                   "32000,'ports':["
                                                                   "{'name':'web','nodePort':30080}"
                                                                   ",{'nodePort':30081},{'nodePort'"
                                                                   ":30082},"
                                                                   "{},{'name':'no'}]}}");
}

static void keeps_node_ports_that_a_manager_owns(void **state)
{
    (void)state;
    static const char managed[] =
        "{'metadata':{'name':'s'%s,'managedFields':[{'manager':'a','fieldsV1':{'f:spec':"
        "{'f:healthCheckNodePort':{},'f:ports':{'k:{\\'port\\':80,\\'protocol\\':\\'TCP\\'}':"
        "{'f:nodePort':{}},'k:{\\'port\\':81,\\'protocol\\':\\'TCP\\'}':{'f:port':{}}}}}},"
        "{'manager':'b','fieldsV1':7},null]},'spec':{'healthCheckNodePort':32000,'ports':["
        "{'port':80,'protocol':'TCP','nodePort':1},{'port':80,'protocol':'UDP','nodePort':2},"
        "{'port':81,'protocol':'TCP','nodePort':3}]}}";
    char text[2000];
    snprintf(text, sizeof text, managed, "");
    creates("services", text,
            "{'metadata':{'name':'s'},'spec':{'healthCheckNodePort':32000,'ports':["
            "{'port':80,'protocol':'TCP','nodePort':1},{'port':80,'protocol':'UDP'},"
            "{'port':81,'protocol':'TCP'}]}}");
    /* An annotation that is no JSON is as good as none. */
    snprintf(text, sizeof text, managed, "," APPLIED("{oops"));
    creates("services", text,
            "{'metadata':{'name':'s'," APPLIED("{oops") "},'spec':{'healthCheckNodePort':32000,"
                                                        "'ports':[{'port':80,'protocol':'TCP','"
                                                        "nodePort':1},{'port':80,'protocol':'UDP'},"
                                                        "{'port':81,'protocol':'TCP'}]}}");
}

static void drops_token_references_of_accounts(void **state)
{
    (void)state;
    creates("serviceaccounts",
            "{'metadata':{'name':'sa'},'secrets':[{'name':'sa-token-1'},{'name':'mine'},"
            "{'name':'sa-token-2'},{'name':'sa2-token-1'}],'imagePullSecrets':[{'name':'reg'}]}",
            "{'metadata':{'name':'sa'},'secrets':[{'name':'mine'},{'name':'sa2-token-1'}],"
            "'imagePullSecrets':[{'name':'reg'}]}");
}

static void frees_claims(void **state)
{
    (void)state;
    creates("persistentvolumeclaims",
            "{'metadata':{'name':'c','annotations':{'pv.kubernetes.io/bind-completed':'yes',"
            "'pv.kubernetes.io/bound-by-controller':'yes',"
            "'volume.kubernetes.io/storage-provisioner':'p',"
            "'volume.beta.kubernetes.io/storage-provisioner':'p',"
            "'volume.kubernetes.io/selected-node':'n1','mine':'1'}},"
            "'spec':{'volumeName':'pv1'},'status':{'phase':'Bound'}}",
            "{'metadata':{'name':'c','annotations':{'mine':'1'}},'spec':{'volumeName':'pv1'}}");
}

static void maps_subjects_of_bindings(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *mapping = json("{'a':'b'}");
    struct xb_restore_context context = {.namespace_mapping = mapping};
    static const char from[] = "{'metadata':{'name':'x'},'subjects':[{'name':'s','namespace':'a'},"
                               "{'name':'t','namespace':'c'},{'name':'group'}]}";
    static const char to[] = "{'metadata':{'name':'x'},'subjects':[{'name':'s','namespace':'b'},"
                             "{'name':'t','namespace':'c'},{'name':'group'}]}";
    creates_with(&context, ROLE_BINDINGS, from, to);
    creates_with(&context, "clusterrolebindings.rbac.authorization.k8s.io", from, to);
    creates_with(&context, "configmaps", from, from);
}

static void mends_definitions(void **state)
{
    (void)state;
    creates(CRDS,
            "{'apiVersion':'apiextensions.k8s.io/v1','metadata':{'name':'x'},'spec':{"
            "'preserveUnknownFields':true,'versions':[{'name':'v1','schema':{'openAPIV3Schema':"
            "{'type':'object'}}},{'name':'v2'},null]},'status':{'conditions':[]}}",
            "{'apiVersion':'apiextensions.k8s.io/v1','metadata':{'name':'x'},'spec':{"
            "'preserveUnknownFields':false,'versions':[{'name':'v1','schema':{'openAPIV3Schema':"
            "{'type':'object','x-kubernetes-preserve-unknown-fields':true}}},{'name':'v2'},"
            "null]}}");
    static const char fine[] =
        "{'apiVersion':'apiextensions.k8s.io/v1','metadata':{'name':'x'},'spec':{'versions':["
        "{'schema':{'openAPIV3Schema':{'type':'object'}}}]}}";
    creates(CRDS, fine, fine);
    static const char beta[] =
        "{'apiVersion':'apiextensions.k8s.io/v1beta1','metadata':{'name':'x'},'spec':{"
        "'preserveUnknownFields':true}}";
    creates(CRDS, beta, beta);
}

static void mends_webhooks(void **state)
{
    (void)state;
    static const char from[] =
        "{'apiVersion':'admissionregistration.k8s.io/%s','metadata':{'name':'x'},'webhooks':["
        "{'sideEffects':'Unknown'},{'sideEffects':'None'},{'sideEffects':'NoneOnDryRun'},{}]}";
    char text[500];
    snprintf(text, sizeof text, from, "v1");
    creates(WEBHOOKS, text,
            "{'apiVersion':'admissionregistration.k8s.io/v1','metadata':{'name':'x'},'webhooks':["
            "{'sideEffects':'None'},{'sideEffects':'None'},{'sideEffects':'NoneOnDryRun'},"
            "{'sideEffects':'None'}]}");
    snprintf(text, sizeof text, from, "v1beta1");
    creates(WEBHOOKS, text, text);
}

/* ---- volumes ---- */

static void ways_of_volumes(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *gone = json("{'spec':{'persistentVolumeReclaimPolicy':'Delete'}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *retained = json("{'spec':{'persistentVolumeReclaimPolicy':'Retain'}}");
    assert_int_equal(xb_restore_volume_way(gone, false), XB_RESTORE_PV_SKIP);
    assert_int_equal(xb_restore_volume_way(gone, true), XB_RESTORE_PV_SKIP);
    assert_int_equal(xb_restore_volume_way(retained, true), XB_RESTORE_PV_SKIP);
    assert_int_equal(xb_restore_volume_way(retained, false), XB_RESTORE_PV_KEEP);
}

/* A folder of a node comes back with its data in it, unless a provisioner had made it. */
static void ways_of_host_paths(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *by_hand = json("{'spec':{'persistentVolumeReclaimPolicy':'Retain','hostPath':{}}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *gone = json("{'spec':{'persistentVolumeReclaimPolicy':'Delete','hostPath':{}}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *made = json("{'metadata':{'annotations':{'pv.kubernetes.io/provisioned-by':'x'}},"
                         "'spec':{'persistentVolumeReclaimPolicy':'Retain','hostPath':{}}}");
    assert_int_equal(xb_restore_volume_way(by_hand, true), XB_RESTORE_PV_KEEP);
    assert_int_equal(xb_restore_volume_way(gone, true), XB_RESTORE_PV_SKIP);
    assert_int_equal(xb_restore_volume_way(made, true), XB_RESTORE_PV_SKIP);
    assert_int_equal(xb_restore_volume_way(made, false), XB_RESTORE_PV_KEEP);
}

static void free_volumes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool free;
    } cases[] = {{"{'spec':{}}", true},
                 {"{'spec':{'claimRef':{'namespace':'n','name':'c'}}}", true},
                 {"{'spec':{'claimRef':{'namespace':'n','name':'c','uid':'u'}}}", false},
                 {"{'spec':{'claimRef':{'namespace':'n','name':'d'}}}", false},
                 {"{'spec':{'claimRef':{'namespace':'m','name':'c'}}}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *pv = json(cases[i].text);
        assert_int_equal(xb_restore_pv_is_free(pv, "n", "c"), cases[i].free);
    }
}

static void detaches_claims(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *claim = json("{'metadata':{'annotations':{'pv.kubernetes.io/bind-completed':'yes',"
                          "'pv.kubernetes.io/bound-by-controller':'yes','x':'y'}},'spec':{"
                          "'volumeName':'pv','storageClassName':'s','dataSource':{'name':'d'},"
                          "'dataSourceRef':{'name':'d'}}}");
    xb_restore_pvc_detach(claim);
    assert_json(claim, "{'metadata':{'annotations':{'x':'y'}},'spec':{'storageClassName':'s',"
                       "'dataSource':{'name':'d'},'dataSourceRef':{'name':'d'}}}");
    xb_restore_pvc_drop_source(claim);
    assert_json(claim, "{'metadata':{'annotations':{'x':'y'}},'spec':{'storageClassName':'s'}}");
}

static void keeps_volumes_for_their_claims(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *mapping = json("{'a':'b'}");
    struct xb_restore_context context = {.namespace_mapping = mapping};
    XB_CLEANUP(xb_json_putp)
    xb_json *volume = json("{'metadata':{'annotations':{'pv.kubernetes.io/provisioned-by':'p',"
                           "'pv.kubernetes.io/bound-by-controller':'yes'}},'spec':{'claimRef':{"
                           "'namespace':'a','name':'c','uid':'u','resourceVersion':'9'}}}");
    assert_int_equal(xb_restore_pv_keep(&context, volume, &err), 0);
    assert_json(volume, "{'metadata':{'annotations':{'pv.kubernetes.io/provisioned-by':'p'}},"
                        "'spec':{'claimRef':{'namespace':'b','name':'c'}}}");
    XB_CLEANUP(xb_json_putp) xb_json *unclaimed = json("{'spec':{}}");
    assert_int_equal(xb_restore_pv_keep(&context, unclaimed, &err), 0);
    assert_json(unclaimed, "{'spec':{}}");
}

/* ---- what is there already ---- */

static bool equal(const char *existing, const char *wanted)
{
    XB_CLEANUP(xb_json_putp) xb_json *a = json(existing);
    XB_CLEANUP(xb_json_putp) xb_json *b = json(wanted);
    bool same = xb_restore_equal(a, b);
    assert_int_equal(xb_restore_equal(b, a), same);
    return same;
}

static void sees_equal_objects(void **state)
{
    (void)state;
    assert_true(equal("{'metadata':{'name':'c','uid':'u','resourceVersion':'1','labels':{'a':'1',"
                      "'velero.io/restore-name':'old'}},'data':{'k':'v','n':2},'status':{'x':1}}",
                      "{'metadata':{'labels':{'velero.io/backup-name':'b','a':'1'},'name':'c'},"
                      "'data':{'n':2,'k':'v'}}"));
    assert_true(equal("{'metadata':{'name':'c'},'spec':null,'rules':[]}",
                      "{'metadata':{'name':'c','labels':{},'annotations':{},'finalizers':[]}}"));
    assert_true(equal("{'metadata':{'name':'c'}}",
                      "{'metadata':{'name':'c','labels':{'velero.io/backup-name':'b'}}}"));
}

static void sees_every_difference(void **state)
{
    (void)state;
    static const char base[] = "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
                               "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'}}";
    static const char *const others[] = {
        "{'metadata':{'name':'d','namespace':'n','labels':{'a':'1'},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'m','labels':{'a':'1'},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'2'},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1','z':''},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
        "'annotations':{},'finalizers':['f']},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
        "'annotations':{'b':'2'}},'data':{'k':'v'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'w'}}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
        "'annotations':{'b':'2'},'finalizers':['f']},'data':{'k':'v'},'immutable':true}",
        "{'metadata':{'name':'c','namespace':'n','labels':{'a':'1'},"
        "'annotations':{'b':'2'},'finalizers':['f']}}",
        "[]",
    };
    assert_true(equal(base, base));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(equal(base, others[i]));
    }
}

/* A service that was restored before is the wanted one again, once both had their addresses taken.
 */
static void sees_equal_services_after_the_action(void **state)
{
    (void)state;
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp)
    xb_json *existing = json("{'metadata':{'name':'s','uid':'u'},'spec':{'clusterIP':'10.0.0.9',"
                             "'clusterIPs':['10.0.0.9'],'ports':[{'port':80}]}}");
    XB_CLEANUP(xb_json_putp)
    xb_json *wanted = json("{'metadata':{'name':'s'},'spec':{'ports':[{'port':80}]}}");
    assert_false(xb_restore_equal(existing, wanted));
    assert_int_equal(xb_restore_act(&plain, "services", existing, &err), 0);
    assert_true(xb_restore_equal(existing, wanted));
}

static void merges_accounts(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *existing = json("{'metadata':{'name':'sa','labels':{'a':'here','b':'1'}},'secrets':["
                             "{'name':'sa-token-new'},{'name':'both'}],'imagePullSecrets':["
                             "{'name':'reg'}]}");
    XB_CLEANUP(xb_json_putp)
    xb_json *wanted = json("{'metadata':{'name':'sa','labels':{'a':'backup','c':'2',"
                           "'velero.io/backup-name':'b'},'annotations':{'x.y/z':'3','null':null}},"
                           "'secrets':[{'name':'both'},{'name':'mine'},{'name':'mine'},{},null],"
                           "'imagePullSecrets':[{'name':'reg'}]}");
    XB_CLEANUP(xb_json_putp) xb_json *patch = xb_restore_merge_service_account(existing, wanted);
    assert_json(patch, "{'secrets':[{'name':'sa-token-new'},{'name':'both'},{'name':'mine'}],"
                       "'metadata':{'labels':{'c':'2'},'annotations':{'x.y/z':'3'}}}");
}

static void merges_nothing_into_equal_accounts(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp)
    xb_json *existing = json("{'metadata':{'name':'sa','labels':{'a':'1'}},'secrets':[{'name':'x'},"
                             "{'name':'y'}]}");
    XB_CLEANUP(xb_json_putp)
    xb_json *wanted = json("{'metadata':{'name':'sa','labels':{'a':'2','velero.io/backup-name':'b',"
                           "'velero.io/restore-name':'r'}},'secrets':[{'name':'y'}],"
                           "'imagePullSecrets':[]}");
    assert_null(xb_restore_merge_service_account(existing, wanted));
    XB_CLEANUP(xb_json_putp) xb_json *list = json("[]");
    assert_null(xb_restore_merge_service_account(existing, list));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_of_metadata_only_what_is_the_owners),
        cmocka_unit_test(labels_tell_backup_and_restore),
        cmocka_unit_test(maps_namespaces),
        cmocka_unit_test(refuses_broken_metadata),
        cmocka_unit_test(leaves_broken_specs),
        cmocka_unit_test(skips_what_has_ended),
        cmocka_unit_test(skips_claims_of_pods),
        cmocka_unit_test(creates_what_has_not),
        cmocka_unit_test(keeps_hand_made_tokens_if_asked),
        cmocka_unit_test(frees_jobs_of_their_controller),
        cmocka_unit_test(frees_pods_of_node_and_token),
        cmocka_unit_test(frees_services_of_addresses),
        cmocka_unit_test(keeps_node_ports_that_were_applied),
        cmocka_unit_test(keeps_node_ports_that_a_manager_owns),
        cmocka_unit_test(drops_token_references_of_accounts),
        cmocka_unit_test(frees_claims),
        cmocka_unit_test(maps_subjects_of_bindings),
        cmocka_unit_test(mends_definitions),
        cmocka_unit_test(mends_webhooks),
        cmocka_unit_test(ways_of_volumes),
        cmocka_unit_test(ways_of_host_paths),
        cmocka_unit_test(free_volumes),
        cmocka_unit_test(detaches_claims),
        cmocka_unit_test(keeps_volumes_for_their_claims),
        cmocka_unit_test(sees_equal_objects),
        cmocka_unit_test(sees_every_difference),
        cmocka_unit_test(sees_equal_services_after_the_action),
        cmocka_unit_test(merges_accounts),
        cmocka_unit_test(merges_nothing_into_equal_accounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
