/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"
#include "shared/base/file.h"
#include "shared/codec/text.h"
#include "shared/kube/yaml.h"

enum { PEM_BYTES_MAX = 1 << 20 };

/* One kubeconfig file and the folder that its relative paths start from. */
struct doc {
    xb_json *json;
    char *folder;
};

struct docs {
    size_t count;
    struct doc all[XB_KUBE_CONFIG_FILES_MAX];
};

void xb_kube_config_free(struct xb_kube_config *config)
{
    if (!config) {
        return;
    }
    free(config->server);
    free(config->namespace);
    free(config->ca_pem);
    free(config->ca_file);
    free(config->client_cert_pem);
    xb_secret_free(config->client_key_pem);
    xb_secret_free(config->token);
    free(config->token_file);
    free(config);
}

static int new_config(struct xb_kube_config **ret, struct xb_error *err)
{
    *ret = calloc(1, sizeof **ret);
    return *ret ? 0 : xb_error_no_memory(err, "a cluster configuration");
}

static int copy(char **to, const char *from, struct xb_error *err)
{
    free(*to);
    *to = strdup(from);
    return *to ? 0 : xb_error_no_memory(err, "a cluster configuration");
}

static int read_text(const char *path, char **ret, struct xb_error *err)
{
    struct xb_buf buf = XB_BUF_INIT(PEM_BYTES_MAX);
    int r = xb_file_read(path, &buf, err);
    if (r == 0) {
        free(*ret);
        *ret = xb_buf_take(&buf);
        r = *ret ? 0 : xb_error_no_memory(err, path);
    }
    xb_buf_free(&buf);
    return r;
}

static int read_secret(const char *path, struct xb_secret **ret, struct xb_error *err)
{
    struct xb_buf buf = XB_BUF_INIT(XB_SECRET_BYTES_MAX);
    int r = xb_file_read(path, &buf, err);
    if (r == 0) {
        xb_secret_free(XB_TAKE(*ret));
        r = xb_secret_new(buf.data, buf.len, ret, err);
    }
    xb_buf_wipe(&buf);
    return r;
}

/* json-c does not zero what it frees: zero the string values of a tree that held keys. */
static void wipe(xb_json *json)
{
    if (json_object_is_type(json, json_type_string)) {
        explicit_bzero((char *)(uintptr_t)json_object_get_string(json),
                       (size_t)json_object_get_string_len(json));
    } else if (json_object_is_type(json, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(json); i++) {
            wipe(json_object_array_get_idx(json, i));
        }
    } else if (json_object_is_type(json, json_type_object)) {
        json_object_object_foreach(json, key, value)
        {
            (void)key;
            wipe(value);
        }
    }
}

static void docs_done(struct docs *docs)
{
    for (size_t i = 0; i < docs->count; i++) {
        wipe(docs->all[i].json);
        json_object_put(docs->all[i].json);
        free(docs->all[i].folder);
    }
}

static int docs_add(struct docs *docs, const char *text, size_t len, const char *folder,
                    struct xb_error *err)
{
    if (docs->count == XB_KUBE_CONFIG_FILES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -E2BIG, "more than %d kubeconfig files",
                            XB_KUBE_CONFIG_FILES_MAX);
    }
    xb_json *json = NULL;
    int r = xb_kube_yaml_parse(text, len, &json, err);
    if (r < 0) {
        return r;
    }
    char *at = strdup(folder);
    if (!at || (json && !json_object_is_type(json, json_type_object))) {
        json_object_put(json);
        free(at);
        return at ? xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a kubeconfig must be a mapping")
                  : xb_error_no_memory(err, "a kubeconfig");
    }
    docs->all[docs->count++] = (struct doc){.json = json, .folder = at};
    return 0;
}

/* The entry `name` of list `list` ("clusters"...) in the first file that has it; its body is the
 * field `body`. */
static xb_json *docs_find(const struct docs *docs, const char *list, const char *name,
                          const char *body, const char **ret_folder)
{
    for (size_t i = 0; i < docs->count; i++) {
        xb_json *entry = xb_json_find(xb_json_get(docs->all[i].json, list), "name", name);
        if (entry) {
            *ret_folder = docs->all[i].folder;
            return xb_json_get(entry, body);
        }
    }
    return NULL;
}

static int resolve_path(const char *folder, const char *path, char **ret, struct xb_error *err)
{
    int r = path[0] == '/' ? asprintf(ret, "%s", path) : asprintf(ret, "%s/%s", folder, path);
    if (r < 0) {
        *ret = NULL;
        return xb_error_no_memory(err, "a path");
    }
    return 0;
}

/* Field `data_key` as base64, or the file that `file_key` names, as text. Absent: *ret stays. */
static int get_pem(xb_json *from, const char *folder, const char *data_key, const char *file_key,
                   char **ret, struct xb_error *err)
{
    const char *data = xb_json_str(from, data_key, NULL);
    const char *file = xb_json_str(from, file_key, NULL);
    int r = 0;
    if (data && *data) {
        struct xb_buf buf = XB_BUF_INIT(PEM_BYTES_MAX);
        r = xb_base64_decode(data, strlen(data), &buf, err);
        if (r == 0) {
            *ret = xb_buf_take(&buf);
            r = *ret ? 0 : xb_error_no_memory(err, data_key);
        }
        xb_buf_wipe(&buf);
        return r < 0 ? xb_error_wrap(err, "%s", data_key) : 0;
    }
    if (file && *file) {
        XB_CLEANUP(xb_freep) char *path = NULL;
        r = resolve_path(folder, file, &path, err);
        return r < 0 ? r : read_text(path, ret, err);
    }
    return 0;
}

static int refuse_fields(xb_json *from, const char *const fields[], const char *what,
                         struct xb_error *err)
{
    for (; *fields; fields++) {
        if (xb_json_get(from, *fields)) {
            return xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                                "%s uses '%s', which this client does not support: use a client "
                                "certificate, token or tokenFile",
                                what, *fields);
        }
    }
    return 0;
}

/* Scheme and host, without a slash at the end: paths are put after it. */
static int take_server(struct xb_kube_config *config, const char *server, struct xb_error *err)
{
    size_t len = strlen(server);
    while (len > 0 && server[len - 1] == '/') {
        len--;
    }
    if ((strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0) || len > 1024 ||
        strpbrk(server, " \t\r\n?#@")) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not an API server's URL: '%.100s'",
                            server);
    }
    free(config->server);
    config->server = strndup(server, len);
    return config->server ? 0 : xb_error_no_memory(err, "a URL");
}

static int take_cluster(struct xb_kube_config *config, const struct docs *docs, const char *name,
                        struct xb_error *err)
{
    static const char *const refused[] = {"tls-server-name", "proxy-url", NULL};
    const char *folder = NULL;
    xb_json *cluster = docs_find(docs, "clusters", name, "cluster", &folder);
    const char *server = xb_json_str(cluster, "server", NULL);
    if (!server) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no server for cluster '%.100s'", name);
    }
    config->insecure = xb_json_bool(cluster, "insecure-skip-tls-verify", false);
    int r = refuse_fields(cluster, refused, "the cluster entry", err);
    r = r ? r : take_server(config, server, err);
    return r ? r
             : get_pem(cluster, folder, "certificate-authority-data", "certificate-authority",
                       &config->ca_pem, err);
}

static int take_key(struct xb_kube_config *config, xb_json *user, const char *folder,
                    struct xb_error *err)
{
    char *pem = NULL;
    int r = get_pem(user, folder, "client-key-data", "client-key", &pem, err);
    if (r == 0 && pem) {
        r = xb_secret_new(pem, strlen(pem), &config->client_key_pem, err);
        explicit_bzero(pem, strlen(pem));
    }
    free(pem);
    if (r == 0 && !config->client_key_pem != !config->client_cert_pem) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "a client certificate needs its key, and a key its certificate");
    }
    return r;
}

static int take_user(struct xb_kube_config *config, const struct docs *docs, const char *name,
                     struct xb_error *err)
{
    static const char *const refused[] = {"exec", "auth-provider", "username",  "password",
                                          "as",   "as-uid",        "as-groups", "as-user-extra",
                                          NULL};
    const char *folder = NULL;
    xb_json *user = docs_find(docs, "users", name, "user", &folder);
    if (!folder) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no user '%.100s'", name);
    }
    int r = refuse_fields(user, refused, "the user entry", err);
    r = r ? r
          : get_pem(user, folder, "client-certificate-data", "client-certificate",
                    &config->client_cert_pem, err);
    r = r ? r : take_key(config, user, folder, err);
    const char *token = xb_json_str(user, "token", NULL);
    const char *file = xb_json_str(user, "tokenFile", NULL);
    if (r == 0 && file && *file) {
        r = resolve_path(folder, file, &config->token_file, err);
    } else if (r == 0 && token && *token) {
        r = xb_secret_new(token, strlen(token), &config->token, err);
    }
    return r;
}

static int take_context(struct xb_kube_config *config, const struct docs *docs, const char *wanted,
                        struct xb_error *err)
{
    const char *name = wanted;
    for (size_t i = 0; i < docs->count && (!name || !*name); i++) {
        name = xb_json_str(docs->all[i].json, "current-context", NULL);
    }
    if (!name || !*name) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no current-context and none given");
    }
    const char *folder = NULL;
    xb_json *context = docs_find(docs, "contexts", name, "context", &folder);
    const char *cluster = xb_json_str(context, "cluster", NULL);
    const char *user = xb_json_str(context, "user", NULL);
    if (!cluster) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "no context '%.100s' with a cluster",
                            name);
    }
    const char *namespace = xb_json_str(context, "namespace", NULL);
    int r = copy(&config->namespace, namespace && *namespace ? namespace : "default", err);
    r = r ? r : take_cluster(config, docs, cluster, err);
    if (r == 0 && user && *user) {
        r = take_user(config, docs, user, err);
    }
    return r < 0 ? xb_error_wrap(err, "context '%.100s'", name) : 0;
}

static int config_of_docs(const struct docs *docs, const char *context, struct xb_kube_config **ret,
                          struct xb_error *err)
{
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    int r = new_config(&config, err);
    r = r ? r : take_context(config, docs, context, err);
    if (r == 0) {
        *ret = XB_TAKE(config);
    }
    return r;
}

int xb_kube_config_parse(const char *text, size_t len, const char *folder, const char *context,
                         struct xb_kube_config **ret, struct xb_error *err)
{
    struct docs docs = {.count = 0};
    int r = docs_add(&docs, text, len, folder, err);
    r = r ? r : config_of_docs(&docs, context, ret, err);
    docs_done(&docs);
    return r;
}

static int docs_add_file(struct docs *docs, const char *path, struct xb_error *err)
{
    struct xb_buf buf = XB_BUF_INIT(XB_KUBE_CONFIG_BYTES_MAX);
    const char *slash = strrchr(path, '/');
    XB_CLEANUP(xb_freep)
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    if (!folder) {
        return xb_error_no_memory(err, "a path");
    }
    int r = xb_file_read(path, &buf, err);
    if (r == 0) {
        r = docs_add(docs, buf.data ? buf.data : "", buf.len, folder, err);
        r = r < 0 ? xb_error_wrap(err, "kubeconfig %.200s", path) : 0;
    }
    xb_buf_wipe(&buf);
    return r;
}

/* Like kubectl, a file of the list that does not exist is passed over, unless none does. */
static int docs_add_list(struct docs *docs, const char *list, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *copied = strdup(list);
    if (!copied) {
        return xb_error_no_memory(err, "a path");
    }
    struct xb_error missing = XB_ERROR_INIT;
    char *rest = copied;
    char *path;
    while ((path = strsep(&rest, ":")) != NULL) {
        struct xb_error failure = XB_ERROR_INIT;
        if (*path == '\0' || docs_add_file(docs, path, &failure) == 0) {
            continue;
        }
        if (failure.kind != XB_ERR_NOT_FOUND) {
            *err = failure;
            return failure.code;
        }
        missing = failure;
    }
    if (docs->count == 0) {
        if (missing.code == 0) {
            return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "no kubeconfig named");
        }
        *err = missing;
        return missing.code;
    }
    return 0;
}

int xb_kube_config_load(const char *path, const char *context, struct xb_kube_config **ret,
                        struct xb_error *err)
{
    struct docs docs = {.count = 0};
    const char *env = getenv("KUBECONFIG");
    const char *home = getenv("HOME");
    int r;
    if (path) {
        r = docs_add_file(&docs, path, err);
    } else if (env && *env) {
        r = docs_add_list(&docs, env, err);
    } else {
        XB_CLEANUP(xb_freep) char *usual = NULL;
        r = resolve_path(home ? home : "", ".kube/config", &usual, err);
        r = r ? r : docs_add_file(&docs, usual, err);
    }
    r = r ? r : config_of_docs(&docs, context, ret, err);
    docs_done(&docs);
    return r;
}

static int in_cluster_files(struct xb_kube_config *config, const char *folder, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *ca = NULL;
    XB_CLEANUP(xb_freep) char *namespace = NULL;
    int r = resolve_path(folder, "token", &config->token_file, err);
    r = r ? r : resolve_path(folder, "ca.crt", &ca, err);
    r = r ? r : resolve_path(folder, "namespace", &namespace, err);
    if (r < 0) {
        return r;
    }
    /* Read once now, so that a missing token is told here and not by the first request. */
    r = read_secret(config->token_file, &config->token, err);
    r = r ? r : read_text(ca, &config->ca_pem, err);
    if (r < 0) {
        return r;
    }
    config->ca_file = XB_TAKE(ca);
    struct xb_error missing = XB_ERROR_INIT;
    if (read_text(namespace, &config->namespace, &missing) < 0) {
        return copy(&config->namespace, "default", err);
    }
    config->namespace[strcspn(config->namespace, " \t\r\n")] = '\0';
    return 0;
}

int xb_kube_config_in_cluster(const char *folder, struct xb_kube_config **ret, struct xb_error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !*host || !port || !*port) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set");
    }
    XB_CLEANUP(xb_kube_config_freep) struct xb_kube_config *config = NULL;
    XB_CLEANUP(xb_freep) char *url = NULL;
    int r = new_config(&config, err);
    if (r < 0) {
        return r;
    }
    bool ipv6 = strchr(host, ':') != NULL;
    if (asprintf(&url, ipv6 ? "https://[%s]:%s" : "https://%s:%s", host, port) < 0) {
        url = NULL;
        return xb_error_no_memory(err, "a URL");
    }
    r = take_server(config, url, err);
    r = r ? r : in_cluster_files(config, folder ? folder : XB_KUBE_SERVICE_ACCOUNT_DIR, err);
    if (r == 0) {
        *ret = XB_TAKE(config);
    }
    return r;
}

int xb_kube_config_detect(const char *path, const char *context, struct xb_kube_config **ret,
                          struct xb_error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST");
    bool inside = !path && host && *host && access(XB_KUBE_SERVICE_ACCOUNT_DIR "/token", R_OK) == 0;
    return inside ? xb_kube_config_in_cluster(NULL, ret, err)
                  : xb_kube_config_load(path, context, ret, err);
}
