/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/location_s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/file.h"
#include "shared/codec/text.h"
#include "shared/velero/velero.h"

enum {
    CUSTOMER_KEY_FILE_BYTES_MAX = 4096,
    KEYS_TEXT_BYTES = 300,
    LOOK_ATTEMPTS = 3,
    LOOK_MS = 10 * 1000
};

/* Those of Velero's plugin. */
static const char *const keys[] = {"region",
                                   "s3Url",
                                   "publicUrl",
                                   "s3ForcePathStyle",
                                   "kmsKeyId",
                                   "serverSideEncryption",
                                   "customerKeyEncryptionFile",
                                   "customerKeyEncryptionSecret",
                                   "signatureVersion",
                                   "profile",
                                   "insecureSkipTLSVerify",
                                   "enableSharedConfig",
                                   "tagging",
                                   "checksumAlgorithm"};

static bool is_provider(xb_json *location, const char *name, const char *full)
{
    const char *provider = xb_json_str(location, "spec.provider", "");
    return strcmp(provider, name) == 0 || strcmp(provider, full) == 0;
}

/* A key of spec.config, or NULL: some say something else when they are empty. */
static const char *config(xb_json *location, const char *key)
{
    char path[64];
    snprintf(path, sizeof path, "spec.config.%s", key);
    return xb_json_str(location, path, NULL);
}

/* The same where empty means that nothing was said. */
static const char *said(xb_json *location, const char *key)
{
    const char *value = config(location, key);
    return value && value[0] ? value : NULL;
}

bool xb_location_is_s3(xb_json *location)
{
    return is_provider(location, "aws", "velero.io/aws") ||
           (!is_provider(location, "fs", "xebec.io/fs") && said(location, "s3Url"));
}

/* ---- the keys ---- */

static int check_keys(xb_json *location, struct xb_error *err)
{
    xb_json *all = xb_json_get(location, "spec.config");
    if (!json_object_is_type(all, json_type_object)) {
        return 0;
    }
    json_object_object_foreach(all, key, value)
    {
        char known[KEYS_TEXT_BYTES] = "";
        bool found = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
            size_t len = strlen(known);
            found = found || strcmp(keys[i], key) == 0;
            snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", keys[i]);
        }
        if (!found) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "config.%.60s is not known for S3 locations (known: %s)", key,
                                known);
        }
        if (!json_object_is_type(value, json_type_string)) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "config.%s must be a string", key);
        }
    }
    return 0;
}

/* As Go's strconv.ParseBool, which Velero uses. *ret is left as it is when nothing is said. */
static int read_bool(xb_json *location, const char *key, bool *ret, struct xb_error *err)
{
    static const char *const words[][6] = {{"0", "f", "F", "FALSE", "false", "False"},
                                           {"1", "t", "T", "TRUE", "true", "True"}};
    const char *text = said(location, key);
    for (size_t i = 0; text && i < 6; i++) {
        if (strcmp(text, words[0][i]) == 0 || strcmp(text, words[1][i]) == 0) {
            *ret = strcmp(text, words[1][i]) == 0;
            return 0;
        }
    }
    return text ? xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                               "config.%s is '%.40s': \"true\" or \"false\" is wanted", key, text)
                : 0;
}

static int read_bools(xb_json *location, struct xb_store_s3_options *options, struct xb_error *err)
{
    bool path_style = false;
    int r = read_bool(location, "s3ForcePathStyle", &path_style, err);
    if (r < 0 || (r = read_bool(location, "insecureSkipTLSVerify", &options->insecure, err)) < 0 ||
        (r = read_bool(location, "enableSharedConfig", &options->shared_config, err)) < 0) {
        return r;
    }
    if (said(location, "s3ForcePathStyle")) {
        options->path_style = path_style ? XB_S3_PATH_YES : XB_S3_PATH_NO;
    }
    return 0;
}

static int check_choice(xb_json *location, const char *key, const char *const *choices,
                        struct xb_error *err)
{
    const char *text = said(location, key);
    for (size_t i = 0; text && choices[i]; i++) {
        if (strcmp(text, choices[i]) == 0) {
            return 0;
        }
    }
    return text ? xb_error_set(err, XB_ERR_INVALID, -EINVAL, "config.%s '%.40s' is not supported",
                               key, text)
                : 0;
}

static int check_choices(xb_json *location, struct xb_error *err)
{
    static const char *const checksums[] = {"CRC32", "CRC32C", "SHA1", "SHA256", NULL};
    static const char *const signatures[] = {"4", NULL};
    int r = check_choice(location, "checksumAlgorithm", checksums, err);
    if (r == 0) {
        r = check_choice(location, "signatureVersion", signatures, err);
    }
    if (r < 0) {
        return r;
    }
    int methods = (said(location, "kmsKeyId") != NULL) +
                  (said(location, "customerKeyEncryptionFile") != NULL) +
                  (said(location, "customerKeyEncryptionSecret") != NULL);
    return methods <= 1 ? 0
                        : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                       "only one of config.kmsKeyId, customerKeyEncryptionFile and "
                                       "customerKeyEncryptionSecret may be set");
}

static int is_url(const char *key, const char *url, struct xb_error *err)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                              "config.%s is '%.100s': it must begin with http:// or https://", key,
                              url);
}

/* Without slashes before and after it. */
static int copy_trimmed(const char *what, const char *text, char out[XB_STORE_NAME_BYTES_MAX],
                        struct xb_error *err)
{
    text += strspn(text, "/");
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '/') {
        len--;
    }
    if (len >= XB_STORE_NAME_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "%s is too long", what);
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return 0;
}

static int read_place(xb_json *location, struct xb_location_s3 *s3, struct xb_error *err)
{
    struct xb_store_s3_options *options = &s3->options;
    const char *bucket = xb_json_str(location, "spec.objectStorage.bucket", "");
    const char *url = said(location, "s3Url");
    const char *public = said(location, "publicUrl");
    if (!bucket[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "objectStorage.bucket is empty");
    }
    if (strchr(bucket, '/')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "objectStorage.bucket '%.100s' must not contain a '/': put what "
                            "follows the bucket's name into objectStorage.prefix",
                            bucket);
    }
    int r = url ? is_url("s3Url", url, err) : 0;
    if (r < 0 || (public && (r = is_url("publicUrl", public, err)) < 0) ||
        (r = copy_trimmed("config.s3Url", url ? url : "", s3->endpoint, err)) < 0 ||
        (r = copy_trimmed("objectStorage.prefix",
                          xb_json_str(location, "spec.objectStorage.prefix", ""), s3->prefix,
                          err)) < 0) {
        return r;
    }
    options->bucket = bucket;
    options->prefix = s3->prefix;
    options->endpoint = url ? s3->endpoint : NULL;
    options->region = said(location, "region");
    options->profile = said(location, "profile");
    options->server_side_encryption = said(location, "serverSideEncryption");
    options->kms_key_id = said(location, "kmsKeyId");
    options->tagging = said(location, "tagging");
    options->checksum_algorithm = config(location, "checksumAlgorithm");
    return 0;
}

/* Locations are looked at again and again: whoever waits long for one says nothing of the others.
 */
static void be_quick(struct xb_store_s3_options *options)
{
    options->retry = (struct xb_http_retry){.attempts_max = LOOK_ATTEMPTS, .budget_ms = LOOK_MS};
    options->stall_s = LOOK_MS / 1000;
}

/* ---- Secrets and files ---- */

static int get_secret(const struct xb_location_access *access, const char *name, xb_json **ret,
                      struct xb_error *err)
{
    const struct xb_kube_ref ref = {
        .resource = &xb_core_secrets, .namespace = access->namespace, .name = name};
    if (!xb_velero_name_valid(name)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not the name of a Secret: '%.100s'",
                            name);
    }
    if (!access->client) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "Secret %s cannot be read: there is no cluster", name);
    }
    int r = xb_kube_get(access->client, &ref, ret, err);
    if (r == 0) {
        return 0;
    }
    if (err->kind == XB_ERR_NOT_FOUND) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "there is no Secret %s in namespace %s: make it, or name another one",
                            name, access->namespace);
    }
    if (err->kind == XB_ERR_DENIED) {
        return xb_error_set(err, XB_ERR_DENIED, -EACCES,
                            "Secret %s may not be read from here: add its name to resourceNames "
                            "in the Role xebec-agent (namespace %s)",
                            name, access->namespace);
    }
    return xb_error_wrap(err, "Secret %s", name);
}

static int read_credentials(xb_json *location, const struct xb_location_access *access,
                            struct xb_location_s3 *s3, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    const char *key = xb_json_str(location, "spec.credential.key", "");
    if (!xb_json_get(location, "spec.credential")) {
        return 0; /* the driver looks where the environment says */
    }
    int r = get_secret(access, xb_json_str(location, "spec.credential.name", ""), &secret, err);
    if (r == 0) {
        r = xb_velero_secret(secret, key, false, &s3->credentials, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, "spec.credential");
    }
    s3->options.credentials = (const char *)s3->credentials->data;
    return 0;
}

static int key_from_secret(const char *text, const struct xb_location_access *access,
                           struct xb_secret **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    char name[XB_VELERO_NAME_BYTES];
    const char *slash = strchr(text, '/');
    if (!slash || strchr(slash + 1, '/') || (size_t)(slash - text) >= sizeof name) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "'%.100s' is not of the form SECRET/KEY",
                            text);
    }
    snprintf(name, sizeof name, "%.*s", (int)(slash - text), text);
    int r = get_secret(access, name, &secret, err);
    if (r == 0) {
        r = xb_velero_secret(secret, slash + 1, false, ret, err);
    }
    return r;
}

/* The first bytes count, as for Velero: an editor may have left a newline after them. */
static int key_from_file(const char *path, struct xb_secret **ret, struct xb_error *err)
{
    struct xb_buf bytes = XB_BUF_INIT(CUSTOMER_KEY_FILE_BYTES_MAX);
    int r = xb_file_read(path, &bytes, err);
    if (r == 0) {
        size_t len =
            bytes.len < XB_S3_CUSTOMER_KEY_BYTES ? bytes.len : (size_t)XB_S3_CUSTOMER_KEY_BYTES;
        r = xb_secret_new(bytes.data, len, ret, err);
    }
    xb_buf_wipe(&bytes);
    return r;
}

static int read_customer_key(xb_json *location, const struct xb_location_access *access,
                             struct xb_location_s3 *s3, struct xb_error *err)
{
    const char *secret = said(location, "customerKeyEncryptionSecret");
    const char *file = said(location, "customerKeyEncryptionFile");
    const char *key = secret ? "customerKeyEncryptionSecret" : "customerKeyEncryptionFile";
    if (!secret && !file) {
        return 0;
    }
    int r = secret ? key_from_secret(secret, access, &s3->customer_key, err)
                   : key_from_file(file, &s3->customer_key, err);
    if (r == 0 && s3->customer_key->len != XB_S3_CUSTOMER_KEY_BYTES) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the key has %zu bytes, not %d",
                         s3->customer_key->len, XB_S3_CUSTOMER_KEY_BYTES);
    }
    s3->options.customer_key = s3->customer_key;
    return r < 0 ? xb_error_wrap(err, "config.%s", key) : 0;
}

static int read_ca(xb_json *location, const struct xb_location_access *access,
                   struct xb_location_s3 *s3, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    const char *encoded = xb_json_str(location, "spec.objectStorage.caCert", "");
    bool by_name = xb_json_get(location, "spec.objectStorage.caCertRef") != NULL;
    const char *field = by_name ? "objectStorage.caCertRef" : "objectStorage.caCert";
    int r = 0;
    if (by_name && encoded[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "objectStorage has both caCert and caCertRef: remove one");
    }
    if (by_name) {
        const char *key = xb_json_str(location, "spec.objectStorage.caCertRef.key", "");
        xb_json *value = NULL;
        r = get_secret(access, xb_json_str(location, "spec.objectStorage.caCertRef.name", ""),
                       &secret, err);
        (void)json_object_object_get_ex(xb_json_get(secret, "data"), key, &value);
        encoded = value ? json_object_get_string(value) : "";
        if (r == 0 && !encoded[0]) {
            r = xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the Secret has no key '%.100s'", key);
        }
    }
    if (r == 0) {
        r = xb_base64_decode(encoded, strlen(encoded), &s3->ca, err);
    }
    if (r < 0) {
        return xb_error_wrap(err, "%s", field);
    }
    s3->options.ca_pem = s3->ca.len > 0 ? s3->ca.data : NULL;
    return 0;
}

int xb_location_s3_read(xb_json *location, const struct xb_location_access *access,
                        struct xb_location_s3 *ret, struct xb_error *err)
{
    *ret = (struct xb_location_s3){
        .options = {.read_only = access->read_only, .limits = access->limits},
        .ca = XB_BUF_INIT(XB_LOCATION_CA_BYTES_MAX)};
    int r = check_keys(location, err);
    if (r < 0 || (r = check_choices(location, err)) < 0 ||
        (r = read_bools(location, &ret->options, err)) < 0 ||
        (r = read_place(location, ret, err)) < 0 ||
        (r = read_credentials(location, access, ret, err)) < 0 ||
        (r = read_customer_key(location, access, ret, err)) < 0 ||
        (r = read_ca(location, access, ret, err)) < 0) {
        xb_location_s3_done(ret);
        return r;
    }
    if (access->look) {
        be_quick(&ret->options);
    }
    return 0;
}

void xb_location_s3_done(struct xb_location_s3 *s3)
{
    xb_secret_free(s3->credentials);
    xb_secret_free(s3->customer_key);
    xb_buf_free(&s3->ca);
    *s3 = (struct xb_location_s3){.ca = XB_BUF_INIT(XB_LOCATION_CA_BYTES_MAX)};
}
