/* SPDX-License-Identifier: Apache-2.0
 *
 * config.h - where the API server is, and who we are there.
 *
 * What for:  the pod's own service account, or a kubeconfig file as kubectl reads it.
 * Ownership: the caller owns the config (xb_kube_config_free zeroes keys and tokens).
 * Threads:   read-only after creation; the token source locks by itself.
 * Blocking:  reads files.
 * Shapes:    KUBECONFIG may name several files, joined by colons: the first that says something
 *            wins, as with kubectl; relative paths are relative to their file.
 * Errors:    NOT_FOUND: no configuration there; CORRUPT: not readable; INVALID: what is asked for
 *            is missing, or names a way to log in that this client refuses: exec and auth-provider
 *            plugins (they run programs), user name and password, impersonation, tls-server-name,
 *            proxy-url.
 * Limits:    XB_KUBE_CONFIG_*.
 * Source:    client-go's kubeconfig v1 schema.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/base/secret.h"

enum {
    XB_KUBE_CONFIG_BYTES_MAX = 4 << 20,
    XB_KUBE_CONFIG_FILES_MAX = 16,
    XB_KUBE_TOKEN_AGE_MAX_S = 60 /* a token file is read again when the copy is older */
};

#define XB_KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct xb_kube_config {
    char *server;    /* "https://host:port", no slash at the end */
    char *namespace; /* the current one; "default" when nothing says */
    char *ca_pem;    /* NULL: the system's roots */
    char *ca_file;   /* the same, read anew with every connection: it may be replaced; or NULL */
    bool insecure;
    char *client_cert_pem;
    struct xb_secret *client_key_pem;
    struct xb_secret *token; /* fixed token, or NULL */
    char *token_file;        /* read anew from time to time; wins over token; or NULL */
};

/* The pod's own account. `folder` NULL: XB_KUBE_SERVICE_ACCOUNT_DIR. Host and port come from
 * KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
int xb_kube_config_in_cluster(const char *folder, struct xb_kube_config **ret,
                              struct xb_error *err) XB_MUST_CHECK;

/* `path` NULL: $KUBECONFIG, else ~/.kube/config. `context` NULL: the current-context. */
int xb_kube_config_load(const char *path, const char *context, struct xb_kube_config **ret,
                        struct xb_error *err) XB_MUST_CHECK;

/* One kubeconfig's text; `folder` for its relative paths. */
int xb_kube_config_parse(const char *text, size_t len, const char *folder, const char *context,
                         struct xb_kube_config **ret, struct xb_error *err) XB_MUST_CHECK;

/* `path` if given; else the pod's own account where there is one; else as xb_kube_config_load. */
int xb_kube_config_detect(const char *path, const char *context, struct xb_kube_config **ret,
                          struct xb_error *err) XB_MUST_CHECK;

void xb_kube_config_free(struct xb_kube_config *config);
XB_DEFINE_CLEANUP(xb_kube_config_freep, struct xb_kube_config, xb_kube_config_free);
