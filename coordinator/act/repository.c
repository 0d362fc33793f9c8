/* SPDX-License-Identifier: Apache-2.0
 * The repository of a namespace's volumes: made by the coordinator, so that no two agents do. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/act/internal.h"
#include "shared/base/log.h"
#include "shared/codec/text.h"
#include "shared/repository/choice.h"
#include "shared/repository/repository.h"

#define PASSWORD_SECRET "velero-repo-credentials"
#define PASSWORD_KEY "repository-password"
/* Velero's own, and public: whoever wants another one makes the Secret before the first backup. */
#define PASSWORD_DEFAULT "static-passw0rd"

static int make_password(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *secret = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *data = json_object_new_object();
    const struct xb_kube_ref ref = {.resource = &xb_core_secrets,
                                    .namespace = coordinator->options->namespace};
    xb_json_put_text(metadata, "name", PASSWORD_SECRET);
    xb_json_put_text(data, PASSWORD_KEY, PASSWORD_DEFAULT);
    xb_json_put_text(secret, "apiVersion", "v1");
    xb_json_put_text(secret, "kind", "Secret");
    xb_json_put_text(secret, "type", "Opaque");
    json_object_object_add(secret, "metadata", metadata);
    json_object_object_add(secret, "stringData", data);
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_kube_create(coordinator->client, &ref, secret, NULL, &why);
    if (r < 0 && why.kind != XB_ERR_CONFLICT) {
        *err = why;
        return r;
    }
    return 0;
}

static int get_password(struct xb_coordinator *coordinator, struct xb_secret **ret,
                        struct xb_error *err)
{
    const struct xb_kube_ref ref = {.resource = &xb_core_secrets,
                                    .namespace = coordinator->options->namespace,
                                    .name = PASSWORD_SECRET};
    XB_CLEANUP(xb_json_putp) xb_json *secret = NULL;
    struct xb_error missing = XB_ERROR_INIT;
    int r = xb_kube_get(coordinator->client, &ref, &secret, &missing);
    if (r < 0 && missing.kind == XB_ERR_NOT_FOUND) {
        r = make_password(coordinator, err);
        if (r == 0) {
            r = xb_kube_get(coordinator->client, &ref, &secret, err);
        }
    } else if (r < 0) {
        *err = missing;
    }
    return r < 0 ? r : xb_velero_secret(secret, PASSWORD_KEY, true, ret, err);
}

int xb_need_password(struct xb_coordinator *coordinator, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    return get_password(coordinator, &password, err);
}

/* The fastest algorithms that the format has, chosen by measuring. Velero and kopia know all of
 * them and use what the repository says, so its maker need not ask who else will write to it. */
static int make_new(struct xb_store *store, const struct xb_secret *password, struct xb_error *err)
{
    struct xb_choice choice;
    struct xb_store *kept = xb_store_ref(store);
    int r = xb_choice_make(&choice, err);
    if (r < 0) {
        xb_store_free(store);
    } else {
        const struct xb_repository_create_options create = {.hash = choice.hash,
                                                            .encryption = choice.encryption,
                                                            .splitter = choice.splitter,
                                                            .compress = true,
                                                            .velero_marker = true};
        r = xb_repository_create(store, password, &create, err);
    }
    if (r == 0) {
        char hashes[XB_CHOICE_TEXT_BYTES];
        xb_choice_format(choice.hashes, hashes);
        xb_log_info("repository made", "store", xb_store_describe(kept), "hash", choice.hash,
                    "encryption", choice.encryption, "splitter", choice.splitter, "measured",
                    hashes);
    }
    xb_store_free(kept);
    return r;
}

/* Ends the making of a repository that was cut off, and gives one that an older Velero made the
 * marker without which Velero 1.18 does not write to it. */
static int complete(struct xb_repository *repository, const struct xb_repository_place *place,
                    struct xb_error *err)
{
    const struct xb_repository_create_options wanted = {.velero_marker = true};
    bool put = false;
    int r = xb_repository_complete(repository, &wanted, &put, err);
    if (r == 0 && put) {
        xb_log_info("repository completed: its making had been cut off, or an older Velero made it",
                    "namespace", place->namespace, "location", place->location);
    }
    return r;
}

/* The store is taken over. As every Velero does, so that either may go on where the other left
 * off. */
static int open_in(struct xb_store *store, const struct xb_secret *password,
                   struct xb_repository **ret, struct xb_error *err)
{
    struct xb_repository_open_options options = {.username = "default", .hostname = "default"};
    char folder[XB_CACHE_PATH_BYTES];
    if (xb_repository_cache_folder_default(folder, &options.cache_wanted)) {
        options.cache_folder = folder;
    }
    return xb_repository_open(store, password, &options, ret, err);
}

/* Makes it, or opens what is there, which proves that the password fits. */
static int make_repository(const struct xb_repository_place *place,
                           const struct xb_secret *password, struct xb_error *err)
{
    XB_CLEANUP(xb_repository_freep) struct xb_repository *repository = NULL;
    struct xb_store *store = NULL;
    int r = xb_location_repository_store(place->store, place->namespace, true, &store, err);
    if (r < 0) {
        return r;
    }
    struct xb_error missing = XB_ERROR_INIT;
    r = open_in(xb_store_ref(store), password, &repository, &missing);
    if (r < 0 && missing.kind == XB_ERR_NOT_FOUND) {
        return make_new(store, password, err);
    }
    xb_store_free(store);
    if (r < 0) {
        *err = missing;
        return r;
    }
    return complete(repository, place, err);
}

static int put_object(struct xb_coordinator *coordinator, const struct xb_repository_place *place,
                      const char *problem, struct xb_error *err)
{
    char name[2 * XB_VELERO_NAME_BYTES], label[XB_VELERO_LABEL_BYTES], every[XB_TIME_TEXT_BYTES];
    int r = xb_velero_label(place->location, label, err);
    if (r < 0) {
        return r;
    }
    snprintf(name, sizeof name, "%s-%s-kopia", place->namespace, place->location);
    XB_CLEANUP(xb_json_putp) xb_json *object = json_object_new_object();
    xb_json *metadata = json_object_new_object();
    xb_json *labels = json_object_new_object();
    xb_json *spec = json_object_new_object();
    xb_json *status = json_object_new_object();
    xb_json_put_text(labels, "velero.io/volume-namespace", place->namespace);
    xb_json_put_text(labels, "velero.io/storage-location", label);
    xb_json_put_text(labels, "velero.io/repository-type", "kopia");
    xb_json_put_text(metadata, "name", name);
    json_object_object_add(metadata, "labels", labels);
    xb_json_put_text(spec, "volumeNamespace", place->namespace);
    xb_json_put_text(spec, "backupStorageLocation", place->location);
    xb_json_put_text(spec, "repositoryType", "kopia");
    xb_duration_format(coordinator->options->maintain_ns, every);
    xb_json_put_text(spec, "maintenanceFrequency", every);
    xb_json_put_text(spec, "resticIdentifier", "");
    xb_json_put_text(status, "phase", problem ? "NotReady" : "Ready");
    xb_json_put_text(status, "message", problem ? problem : "");
    xb_json_put_text(object, "apiVersion", "velero.io/v1");
    xb_json_put_text(object, "kind", "BackupRepository");
    json_object_object_add(object, "metadata", metadata);
    json_object_object_add(object, "spec", spec);
    json_object_object_add(object, "status", status);
    struct xb_kube_ref ref = {.resource = &xb_velero_repositories,
                              .namespace = coordinator->options->namespace,
                              .name = name};
    XB_CLEANUP(xb_json_putp) xb_json *patch = json_object_new_object();
    json_object_object_add(patch, "status", json_object_get(status));
    r = xb_kube_merge_patch(coordinator->client, &ref, patch, NULL, err);
    if (r < 0 && err->kind == XB_ERR_NOT_FOUND) {
        ref.name = NULL;
        r = xb_kube_create(coordinator->client, &ref, object, NULL, err);
    }
    return r;
}

int xb_ensure_repository(struct xb_coordinator *coordinator,
                         const struct xb_repository_place *place, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    struct xb_error told = XB_ERROR_INIT;
    int r = get_password(coordinator, &password, err);
    if (r == 0) {
        r = make_repository(place, password, err);
    }
    if (put_object(coordinator, place, r < 0 ? err->text : NULL, &told) < 0) {
        xb_log_error(&told, "the BackupRepository could not be written", "namespace",
                     place->namespace);
    }
    return r < 0 ? xb_error_wrap(err, "repository of namespace %s", place->namespace) : 0;
}

int xb_open_repository(struct xb_coordinator *coordinator, struct xb_store *store,
                       const char *namespace, struct xb_repository **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    struct xb_store *below = NULL;
    int r = get_password(coordinator, &password, err);
    if (r < 0 || (r = xb_location_repository_store(store, namespace, false, &below, err)) < 0) {
        return r;
    }
    return open_in(below, password, ret, err);
}
