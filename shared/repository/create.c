/* SPDX-License-Identifier: Apache-2.0
 * Making a new repository. One blob makes it one, kopia.repository, and it comes first: a
 * creation that is cut off leaves a repository or nothing. kopia.blobcfg (object retention) is
 * left out, as it says nothing when there is no retention; kopia writes it when it needs it. */
#include <errno.h>
#include <string.h>

#include "shared/base/random.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"
#include "shared/repository/choice.h"
#include "shared/repository/format.h"
#include "shared/repository/policy.h"
#include "shared/repository/snapshot.h"
#include "shared/repository/state.h"

enum { UNIQUE_ID_BYTES = 32 };

#define VELERO_MARKER "udmrepo.Repository"

static int refuse_item(void *context, const struct xb_store_item *item, struct xb_error *err)
{
    const struct xb_store *store = context;
    bool whole = strcmp(item->name, XB_FORMAT_BLOB) == 0;
    return xb_error_set(err, XB_ERR_CONFLICT, -EEXIST,
                        whole ? "%s: there is a repository already (%s)"
                              : "%s is not empty (%.100s): a repository is made only in an empty "
                                "place; choose another one, or remove what is left there",
                        xb_store_describe(store), item->name);
}

static bool holds_repository(struct xb_store *store, struct xb_error *err)
{
    struct xb_store_item item;
    return xb_store_stat(store, XB_FORMAT_BLOB, &item, err) == 0;
}

static int put_format(struct xb_store *store, const struct xb_format *format,
                      const struct xb_format_outer *outer, const struct xb_secret *password,
                      struct xb_error *err)
{
    const struct xb_store_put_options exclusive = {.exclusive = true};
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    struct xb_format_keys keys = {.key = NULL};
    int r = xb_format_keys_derive(outer, password, &keys, err);
    if (r < 0) {
        return r;
    }
    r = xb_format_encode(format, outer, &keys, &text, err);
    xb_format_keys_free(&keys);
    return r < 0 ? r : xb_store_put(store, XB_FORMAT_BLOB, text.data, text.len, &exclusive, err);
}

/* The label of the manifest that holds the maintenance parameters. */
static const struct xb_label *maintenance_label(void)
{
    static char type[] = "type";
    static char maintenance[] = "maintenance";
    static const struct xb_label label = {type, maintenance};
    return &label;
}

static int put_maintenance(struct xb_repository *repository, const char *owner,
                           struct xb_error *err)
{
    char id[XB_MANIFEST_ID_TEXT_BYTES];
    XB_CLEANUP(xb_buf_free) struct xb_buf data = XB_BUF_INIT(8192);
    int r = xb_buf_append_str(&data, "{\"owner\":", err);
    if (r < 0 || (r = xb_json_go_string(&data, owner, strlen(owner), err)) < 0) {
        return r;
    }
    r = xb_buf_append_str(&data,
                          ",\"quick\":{\"enabled\":true,\"interval\":3600000000000},"
                          "\"full\":{\"enabled\":true,\"interval\":86400000000000},"
                          "\"logRetention\":{\"maxTotalSize\":1073741824,\"maxCount\":10000,"
                          "\"maxAge\":2592000000000000},\"extendObjectLocks\":false,"
                          "\"listParallelism\":0}",
                          err);
    return r < 0 ? r : xb_manifest_put(repository, maintenance_label(), 1, data.data, id, err);
}

static int put_manifests(struct xb_repository *repository,
                         const struct xb_repository_create_options *options, struct xb_error *err)
{
    int r = put_maintenance(repository, options->owner ? options->owner : "default@default", err);
    if (r == 0 && options->compress) {
        r = xb_policy_put_compression(repository, err);
    }
    return r < 0 ? r : xb_repository_flush(repository, err);
}

static int put_velero_marker(struct xb_repository *repository, struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf text = XB_BUF_INIT(1024);
    int r = xb_buf_append_str(&text, "{\"uniqueID\":\"", err);
    if (r < 0 ||
        (r = xb_base64_encode(repository->unique_id, repository->unique_id_len, &text, err)) < 0 ||
        (r = xb_buf_append_str(&text, "\"}", err)) < 0) {
        return r;
    }
    return xb_store_put(repository->store, VELERO_MARKER, text.data, text.len, NULL, err);
}

static int has_maintenance(struct xb_repository *repository, bool *ret, struct xb_error *err)
{
    struct xb_manifest *list = NULL;
    size_t count = 0;
    int r = xb_manifest_find(repository, maintenance_label(), 1, &list, &count, err);
    if (r == 0) {
        xb_manifest_list_free(list, count);
        *ret = count > 0;
    }
    return r;
}

static int has_marker(struct xb_repository *repository, bool *ret, struct xb_error *err)
{
    struct xb_store_item item;
    struct xb_error missing = XB_ERROR_INIT;
    int r = xb_store_stat(repository->store, VELERO_MARKER, &item, &missing);
    if (r < 0 && missing.kind != XB_ERR_NOT_FOUND) {
        *err = missing;
        return r;
    }
    *ret = r == 0;
    return 0;
}

int xb_repository_complete(struct xb_repository *repository,
                           const struct xb_repository_create_options *options, bool *ret_put,
                           struct xb_error *err)
{
    bool manifests = false;
    bool marker = true;
    int r = has_maintenance(repository, &manifests, err);
    if (r == 0 && options->velero_marker) {
        r = has_marker(repository, &marker, err);
    }
    if (r == 0 && !manifests) {
        r = put_manifests(repository, options, err);
    }
    if (r == 0 && !marker) {
        r = put_velero_marker(repository, err);
    }
    if (r == 0) {
        *ret_put = !manifests || !marker;
    }
    return r;
}

/* Checks the names before anything is written. */
static int check_algorithms(const struct xb_format *format, struct xb_error *err)
{
    XB_CLEANUP(xb_sealer_freep) struct xb_sealer *sealer = NULL;
    return xb_sealer_new(format->hash, format->encryption, format->hash_secret, format->master_key,
                         &sealer, err);
}

static int put_new(struct xb_store *store, const struct xb_secret *password,
                   struct xb_format *format, struct xb_error *err)
{
    struct xb_format_outer outer = {.unique_id_len = UNIQUE_ID_BYTES,
                                    .key_algorithm = "scrypt-65536-8-1"};
    xb_random_bytes(outer.unique_id, UNIQUE_ID_BYTES);
    int r = check_algorithms(format, err);
    if (r < 0 || (r = xb_store_list(store, "", refuse_item, store, err)) < 0) {
        return r;
    }
    return put_format(store, format, &outer, password, err);
}

/* Makes it, or ends the making of one that was cut off; whole ones are a CONFLICT. */
static int create(struct xb_store *store, const struct xb_secret *password,
                  const struct xb_repository_create_options *options, struct xb_format *format,
                  struct xb_error *err)
{
    const struct xb_store_item whole = {.name = XB_FORMAT_BLOB};
    struct xb_error missing = XB_ERROR_INIT;
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    bool put = false;
    /* Asked first, because a listing may meet another blob before. */
    bool found = holds_repository(store, &missing);
    int r = 0;
    if (!found && missing.kind != XB_ERR_NOT_FOUND) {
        *err = missing;
        return err->code;
    }
    if (!found && (r = put_new(store, password, format, err)) < 0) {
        return r;
    }
    r = xb_repository_open(xb_store_ref(store), password, NULL, &repository,
                           found ? &missing : err);
    if (r == 0) {
        r = xb_repository_complete(repository, options, &put, found ? &missing : err);
    }
    return found && !put ? refuse_item(store, &whole, err) : r;
}

int xb_repository_create(struct xb_store *store, const struct xb_secret *password,
                         const struct xb_repository_create_options *options, struct xb_error *err)
{
    static const struct xb_repository_create_options defaults = {.hash = NULL};
    const struct xb_repository_create_options *use = options ? options : &defaults;
    struct xb_format format = {.version = 0};
    struct xb_choice choice = {.hash = use->hash};
    int r = use->hash && use->encryption && use->splitter ? 0 : xb_choice_make(&choice, err);
    if (r == 0) {
        r = xb_format_make(use->hash ? use->hash : choice.hash,
                           use->encryption ? use->encryption : choice.encryption,
                           use->splitter ? use->splitter : choice.splitter, &format, err);
    }
    if (r == 0) {
        r = create(store, password, use, &format, err);
        xb_format_free(&format);
    }
    xb_store_free(store);
    return r < 0 ? xb_error_wrap(err, "creating the repository") : 0;
}
