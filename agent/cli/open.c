/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "shared/base/budget.h"
#include "shared/http/limits.h"
#include "shared/store/s3/s3.h"

int xb_cli_password(const struct xb_cli_common *common, bool twice, struct xb_secret **ret,
                    struct xb_error *err)
{
    if (common->password_file) {
        return xb_secret_from_file(common->password_file, ret, err);
    }
    char *value = getenv("XEBEC_PASSWORD");
    if (value) {
        int r = xb_secret_new(value, strlen(value), ret, err);
        /* What this process starts must not inherit it. */
        explicit_bzero(value, strlen(value));
        (void)unsetenv("XEBEC_PASSWORD");
        return r;
    }
    int r = xb_secret_from_prompt("Repository password: ", ret, err);
    if (r < 0) {
        return xb_error_wrap(err, "no password: set XEBEC_PASSWORD or use --password-file");
    }
    if (twice) {
        XB_CLEANUP(xb_secret_freep) struct xb_secret *again = NULL;
        r = xb_secret_from_prompt("The same password again: ", &again, err);
        if (r == 0 &&
            ((*ret)->len != again->len || memcmp((*ret)->data, again->data, again->len) != 0)) {
            r = xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the two passwords differ");
        }
        if (r < 0) {
            xb_secret_free(*ret);
            *ret = NULL;
        }
    }
    return r;
}

int xb_cli_memory(int64_t bytes, struct xb_error *err)
{
    const char *text = getenv("XEBEC_MEMORY");
    if (!bytes && text && text[0] && !xb_cli_rate(text, &bytes)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "XEBEC_MEMORY is a size, like 64M or 1G, not '%.60s'", text);
    }
    return xb_budget_choose((uint64_t)bytes, err);
}

int xb_cli_store_options(const struct xb_cli_common *common, struct xb_store_open_options *options,
                         struct xb_error *err)
{
    static struct xb_http_limits *limits; /* commands run on the main thread */
    if (!limits && (common->upload_limit || common->download_limit)) {
        int r = xb_http_limits_new((uint64_t)common->upload_limit, (uint64_t)common->download_limit,
                                   &limits, err);
        if (r < 0) {
            return r;
        }
    }
    options->limits = limits;
    xb_store_s3_stage_limit((uint64_t)common->scratch_limit);
    return xb_cli_memory(common->memory, err);
}

int xb_cli_store(const struct xb_cli_common *common, bool create, bool read_only,
                 struct xb_store **ret, struct xb_error *err)
{
    const char *url = common->repository ? common->repository : getenv("XEBEC_REPOSITORY");
    if (!url || !url[0]) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "which repository? use --repository file:///PATH or "
                            "s3://BUCKET/PREFIX, or set XEBEC_REPOSITORY");
    }
    struct xb_store_open_options options = {.create = create, .read_only = read_only};
    struct xb_store *store = NULL;
    int r = xb_cli_store_options(common, &options, err);
    r = r ? r : xb_store_open(url, &options, &store, err);
    return r < 0 ? r : xb_repository_layout(store, create, ret, err);
}

int xb_cli_open(const struct xb_cli_common *common, enum xb_cli_access access,
                struct xb_repository **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_secret_freep) struct xb_secret *password = NULL;
    char hostname[256] = "localhost";
    const struct passwd *user = getpwuid(geteuid());
    struct xb_store *store = NULL;
    bool read_only = access != XB_CLI_WRITE;
    int r = xb_cli_store(common, false, read_only, &store, err);
    if (r < 0) {
        return r;
    }
    r = xb_cli_password(common, false, &password, err);
    if (r < 0) {
        xb_store_free(store);
        return r;
    }
    (void)gethostname(hostname, sizeof hostname - 1);
    struct xb_repository_open_options options = {.read_only = read_only,
                                                 .tolerate_damage = access == XB_CLI_INSPECT,
                                                 .username = user ? user->pw_name : "root",
                                                 .hostname = hostname,
                                                 .cache_folder = common->cache_dir,
                                                 .cache_wanted = common->cache_dir != NULL,
                                                 .cache_bytes_max = (uint64_t)common->cache_limit};
    char folder[XB_CACHE_PATH_BYTES];
    if (!common->cache_dir && xb_repository_cache_folder_default(folder, &options.cache_wanted)) {
        options.cache_folder = folder;
    } else if (common->cache_dir && !common->cache_dir[0]) {
        options.cache_folder = NULL;
    }
    return xb_repository_open(store, password, &options, ret, err);
}

static int pick_latest(struct xb_snapshot_list *list, struct xb_snapshot **ret,
                       struct xb_error *err)
{
    for (size_t i = list->count; i > 0; i--) {
        if (!list->items[i - 1]->incomplete) {
            *ret = XB_TAKE(list->items[i - 1]);
            return 0;
        }
    }
    return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT, "there is no snapshot in the repository");
}

static int pick_by_id(struct xb_snapshot_list *list, const char *text, struct xb_snapshot **ret,
                      struct xb_error *err)
{
    struct xb_snapshot **found = NULL;
    size_t len = strlen(text);
    if (len == 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "a snapshot's id is empty");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->items[i]->id, text, len) != 0) {
            continue;
        }
        if (found) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.40s' is the beginning of more than one snapshot's id: give "
                                "more of it",
                                text);
        }
        found = &list->items[i];
    }
    if (!found) {
        return xb_error_set(err, XB_ERR_NOT_FOUND, -ENOENT,
                            "there is no snapshot '%.60s' (xebec snapshots lists them)", text);
    }
    *ret = XB_TAKE(*found);
    return 0;
}

int xb_cli_find_snapshot(struct xb_repository *repository, const char *text,
                         struct xb_snapshot **ret, struct xb_error *err)
{
    struct xb_snapshot_list list = {.items = NULL};
    int r = xb_snapshot_list(repository, NULL, &list, err);
    if (r < 0) {
        return r;
    }
    r = strcmp(text, "latest") == 0 ? pick_latest(&list, ret, err)
                                    : pick_by_id(&list, text, ret, err);
    xb_snapshot_list_free(&list);
    return r;
}
