/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/velero/location.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/random.h"
#include "shared/codec/text.h"
#include "shared/repository/repository.h"
#include "shared/velero/location_s3.h"
#include "shared/velero/spec.h"
#include "shared/velero/velero.h"

enum { IDENTITY_BLOB_BYTES_MAX = 4096 };

static int with_prefix(struct xb_store *store, const char *prefix, struct xb_store **ret,
                       struct xb_error *err)
{
    char folder[XB_STORE_NAME_BYTES_MAX];
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    if (len == 0) {
        *ret = store;
        return 0;
    }
    int written = snprintf(folder, sizeof folder, "%.*s/", (int)len, prefix);
    if (written < 0 || (size_t)written >= sizeof folder) {
        xb_store_free(store);
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "objectStorage.prefix is too long");
    }
    return xb_store_prefix_open(store, folder, ret, err);
}

static int open_folder(xb_json *location, const struct xb_location_access *access,
                       struct xb_store **ret, struct xb_error *err)
{
    const char *path = xb_json_str(location, "spec.config.fspath", "");
    if (path[0] != '/') {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "provider fs needs config.fspath, the absolute path of a folder that "
                            "all nodes share");
    }
    const struct xb_store_open_options options = {.read_only = access->read_only};
    struct xb_store *store = NULL;
    int r = xb_store_open(path, &options, &store, err);
    return r < 0 ? r
                 : with_prefix(store, xb_json_str(location, "spec.objectStorage.prefix", ""), ret,
                               err);
}

static int open_bucket(xb_json *location, const struct xb_location_access *access,
                       struct xb_store **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_location_s3_done) struct xb_location_s3 s3;
    int r = xb_location_s3_read(location, access, &s3, err);
    return r < 0 ? r : xb_store_s3_open(&s3.options, ret, err);
}

int xb_location_open(xb_json *location, const struct xb_location_access *access,
                     struct xb_store **ret, struct xb_error *err)
{
    const char *provider = xb_json_str(location, "spec.provider", "");
    int r = xb_spec_need(XB_SPEC_LOCATION, location, err);
    if (r < 0) {
        return r;
    }
    if (strcmp(provider, "fs") == 0 || strcmp(provider, "xebec.io/fs") == 0) {
        return open_folder(location, access, ret, err);
    }
    return xb_location_is_s3(location)
               ? open_bucket(location, access, ret, err)
               : xb_error_set(err, XB_ERR_INVALID, -ENOTSUP,
                              "provider '%.60s' is not supported: fs, aws, and those of servers "
                              "that speak S3 (with config.s3Url) are",
                              provider);
}

int xb_location_presign(xb_json *location, struct xb_store *store, const char *key, int lifetime_s,
                        struct xb_buf *out, struct xb_error *err)
{
    const char *public = xb_json_str(location, "spec.config.publicUrl", "");
    return xb_store_presign_get(store, key, public[0] ? public : NULL, lifetime_s, out, err);
}

/* ---- identity ---- */

static int read_identity(struct xb_store *store, char out[XB_STORE_IDENTITY_BYTES],
                         struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(IDENTITY_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    int r = xb_store_get(store, XB_STORE_IDENTITY_KEY, 0, XB_STORE_TO_END, &text, err);
    if (r < 0) {
        return err->kind == XB_ERR_NOT_FOUND
                   ? xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                                  "%s holds no store identity (%s): another folder is mounted "
                                  "here, or none",
                                  xb_store_describe(store), XB_STORE_IDENTITY_KEY)
                   : r;
    }
    r = xb_json_parse(text.data ? text.data : "", text.len, &json, err);
    const char *id = r == 0 ? xb_json_str(json, "id", "") : "";
    if (r == 0 && (strlen(id) != XB_STORE_IDENTITY_BYTES - 1 ||
                   strspn(id, "0123456789abcdef") != XB_STORE_IDENTITY_BYTES - 1)) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "no identity in it");
    }
    if (r < 0) {
        return xb_error_wrap(err, "%s", XB_STORE_IDENTITY_KEY);
    }
    memcpy(out, id, XB_STORE_IDENTITY_BYTES);
    return 0;
}

int xb_location_identity(xb_json *location, struct xb_store *store,
                         char out[XB_STORE_IDENTITY_BYTES], struct xb_error *err)
{
    struct xb_error why = XB_ERROR_INIT;
    int r = read_identity(store, out, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND && xb_location_is_s3(location) &&
        strcmp(xb_json_str(location, "spec.accessMode", ""), "ReadOnly") == 0) {
        /* Not there, or the whole bucket is not. */
        r = xb_location_check_folders(store, err);
        if (r == 0) {
            memcpy(out, XB_STORE_IDENTITY_NONE, XB_STORE_IDENTITY_BYTES);
        }
        return r;
    }
    if (r < 0) {
        *err = why;
    }
    return r;
}

int xb_location_make_identity(struct xb_store *store, char out[XB_STORE_IDENTITY_BYTES],
                              struct xb_error *err)
{
    const struct xb_store_put_options exclusive = {.exclusive = true};
    unsigned char random[(XB_STORE_IDENTITY_BYTES - 1) / 2];
    char id[XB_STORE_IDENTITY_BYTES];
    char text[128];
    struct xb_error missing = XB_ERROR_INIT;
    if (read_identity(store, out, &missing) == 0) {
        return 0;
    }
    if (missing.kind != XB_ERR_NOT_FOUND) {
        *err = missing;
        return err->code;
    }
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, id);
    int len = snprintf(text, sizeof text, "{\"id\":\"%s\"}\n", id);
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_store_put(store, XB_STORE_IDENTITY_KEY, text, (size_t)len, &exclusive, &why);
    if (r < 0 && why.kind != XB_ERR_CONFLICT) {
        *err = why;
        return r;
    }
    /* If somebody else was faster, his counts. */
    return read_identity(store, out, err);
}

static int check_folder(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    static const char *const allowed[] = {"backups",  "restores", "restic",
                                          "metadata", "plugins",  "kopia"};
    (void)context;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (strcmp(item->name, allowed[i]) == 0) {
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "the location holds a folder that is not Velero's: '%.100s'; give backups "
                        "a place of their own (objectStorage.prefix)",
                        item->name);
}

int xb_location_check_folders(struct xb_store *store, struct xb_error *err)
{
    return xb_store_list_folders(store, "", check_folder, NULL, err);
}

int xb_location_repository_store(struct xb_store *store, const char *namespace, bool create,
                                 struct xb_store **ret, struct xb_error *err)
{
    char prefix[XB_VELERO_NAME_BYTES + 8];
    struct xb_store *below = NULL;
    if (!xb_velero_name_valid(namespace)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a namespace: '%.100s'", namespace);
    }
    snprintf(prefix, sizeof prefix, "kopia/%s/", namespace);
    int r = xb_store_prefix_open(xb_store_ref(store), prefix, &below, err);
    return r < 0 ? r : xb_repository_layout(below, create, ret, err);
}
