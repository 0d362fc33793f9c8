/* SPDX-License-Identifier: Apache-2.0
 *
 * Listings: page by page, corrected by what this process has written itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/store/s3/listing.h"
#include "shared/store/s3/overlay.h"
#include "shared/store/s3/upload.h"

enum { PAGES_MAX = 10 * 1000 * 1000 };

struct listing {
    struct xb_s3 *self;
    const char *prefix; /* relative to the store */
    bool folders;
    xb_store_item_fn *fn;
    void *context;
    struct xb_s3_page page;
    char last[XB_STORE_NAME_BYTES_MAX + 1];  /* the key told last: none is told twice in a row */
    char first[XB_STORE_NAME_BYTES_MAX + 1]; /* of the page before */
    struct xb_s3_overlay_names put, removed;
    bool *shown; /* by the listing, of `put` */
};

static int parse_page(struct xb_s3_call *call, struct xb_error *err)
{
    struct listing *listing = call->context;
    struct xb_error failure = XB_ERROR_INIT;
    xb_s3_page_done(&listing->page);
    int r = xb_s3_page_parse(call->answer.data, call->answer.len, &listing->page, &failure);
    if (r < 0 && failure.kind == XB_ERR_CORRUPT) {
        /* Perhaps cut off or mixed up on its way: worth another try. */
        return xb_error_set(err, XB_ERR_RETRY, -EBADMSG, "%s", failure.text);
    }
    if (r < 0) {
        *err = failure;
    }
    return r;
}

static int fetch_page(struct listing *listing, const char *token, struct xb_error *err)
{
    char prefix[2 * XB_STORE_NAME_BYTES_MAX + 2];
    struct xb_s3_call call = {.method = "GET", .check = parse_page, .context = listing};
    size_t len = strlen(listing->self->prefix);
    memcpy(prefix, listing->self->prefix, len);
    memcpy(prefix + len, listing->prefix, strlen(listing->prefix) + 1);
    xb_s3_query(&call, "list-type", "2");
    xb_s3_query(&call, "encoding-type", "url");
    xb_s3_query(&call, "max-keys", "1000");
    xb_s3_query(&call, "prefix", prefix);
    if (listing->folders) {
        xb_s3_query(&call, "delimiter", "/");
    }
    if (token) {
        xb_s3_query(&call, "continuation-token", token);
    }
    int r = xb_s3_call(listing->self, &call, err);
    xb_s3_call_done(&call);
    if (r < 0 && err->kind == XB_ERR_RETRY && err->code == -EBADMSG) {
        err->kind = XB_ERR_CORRUPT;
    }
    return r;
}

/* Tells an object whose listing and whose own state may differ; one that is gone is left out. */
static int tell_asked(struct listing *listing, const char *name, struct xb_error *err)
{
    struct xb_store_item item;
    struct xb_error failure = XB_ERROR_INIT;
    int r = xb_s3_stat(&listing->self->base, name, &item, &failure);
    if (r < 0 && failure.kind == XB_ERR_NOT_FOUND) {
        return 0;
    }
    if (r < 0) {
        *err = failure;
        return r;
    }
    item.name = name;
    return listing->fn(listing->context, &item, err);
}

static int tell_object(struct listing *listing, const struct xb_s3_entry *entry, const char *name,
                       struct xb_error *err)
{
    if (!xb_store_name_valid(name)) {
        return 0; /* a folder's marker ("x/"), or none of ours */
    }
    long put = xb_s3_overlay_find(&listing->put, name);
    if (put >= 0) {
        listing->shown[put] = true;
    }
    if (xb_s3_overlay_find(&listing->removed, name) >= 0) {
        return tell_asked(listing, name, err);
    }
    const struct xb_store_item item = {
        .name = name, .size = entry->size, .mtime_ns = entry->mtime_ns};
    return listing->fn(listing->context, &item, err);
}

/* "prefix/part/" of the listing; the bare part is told. */
static int tell_folder(struct listing *listing, char *name, struct xb_error *err)
{
    size_t skip = strlen(listing->prefix);
    size_t len = strlen(name);
    if (len < skip + 2 || name[len - 1] != '/') {
        return 0;
    }
    name[len - 1] = '\0';
    if (!xb_store_name_valid(name)) {
        return 0;
    }
    for (size_t i = 0; i < listing->put.count; i++) {
        const char *put = listing->put.names[i];
        if (strncmp(put, name, len - 1) == 0 && put[len - 1] == '/') {
            listing->shown[i] = true;
        }
    }
    const struct xb_store_item item = {.name = name + skip};
    return listing->fn(listing->context, &item, err);
}

static int tell_page(struct listing *listing, struct xb_error *err)
{
    size_t own = strlen(listing->self->prefix);
    size_t len = strlen(listing->prefix);
    int r = 0;
    for (size_t i = 0; i < listing->page.count && r == 0; i++) {
        const struct xb_s3_entry *entry = &listing->page.entries[i];
        char *key = listing->page.keys.data + entry->key;
        if (strncmp(key, listing->self->prefix, own) != 0 ||
            strncmp(key + own, listing->prefix, len) != 0) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                                "the server lists a key that was not asked for: %.200s", key);
        }
        if (strcmp(key, listing->last) == 0 || entry->folder != listing->folders) {
            continue;
        }
        memcpy(listing->last, key, strlen(key) + 1);
        r = entry->folder ? tell_folder(listing, key + own, err)
                          : tell_object(listing, entry, key + own, err);
    }
    return r;
}

/* The same first key, or the same token, again: the listing would go on for ever. */
static int check_advance(struct listing *listing, const char *token, struct xb_error *err)
{
    struct xb_s3_page *page = &listing->page;
    const char *first = page->count ? xb_s3_page_key(page, 0) : "";
    bool same = (token && page->token.data && strcmp(token, page->token.data) == 0) ||
                (first[0] && strcmp(first, listing->first) == 0);
    if (same) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the server's listing does not advance: the same page again");
    }
    memcpy(listing->first, first, strlen(first) + 1);
    return 0;
}

static int run_pages(struct listing *listing, struct xb_error *err)
{
    XB_CLEANUP(xb_freep) char *token = NULL;
    for (long pages = 0; pages < PAGES_MAX; pages++) {
        int r = fetch_page(listing, token, err);
        r = r ? r : check_advance(listing, token, err);
        free(token);
        bool more = r == 0 && listing->page.truncated;
        token = more ? xb_buf_take(&listing->page.token) : NULL;
        if (more && !token) {
            return xb_error_no_memory(err, "a listing");
        }
        r = r ? r : tell_page(listing, err);
        if (r < 0 || !more) {
            return r;
        }
    }
    return xb_error_set(err, XB_ERR_FULL, -E2BIG, "a listing of more than %d pages", PAGES_MAX);
}

/* What was put lately and the listing did not show. */
static int tell_put(struct listing *listing, struct xb_error *err)
{
    size_t skip = strlen(listing->prefix);
    char told[XB_STORE_NAME_BYTES_MAX + 1] = "";
    int r = 0;
    for (size_t i = 0; i < listing->put.count && r == 0; i++) {
        const char *name = listing->put.names[i];
        const char *slash = strchr(name + skip, '/');
        if (listing->shown[i] || (listing->folders && !slash)) {
            continue;
        }
        if (!listing->folders) {
            r = tell_asked(listing, name, err);
            continue;
        }
        struct xb_store_item item;
        size_t len = (size_t)(slash - name) - skip;
        struct xb_error missing = XB_ERROR_INIT;
        if ((strlen(told) == len && memcmp(told, name + skip, len) == 0) ||
            xb_s3_stat(&listing->self->base, name, &item, &missing) < 0) {
            continue; /* told already, or removed by somebody else */
        }
        memcpy(told, name + skip, len);
        told[len] = '\0';
        item = (struct xb_store_item){.name = told};
        r = listing->fn(listing->context, &item, err);
    }
    return r;
}

static int list(struct listing *listing, struct xb_error *err)
{
    struct xb_s3 *self = listing->self;
    int64_t now = xb_clock_mono_ns();
    int r = xb_s3_overlay_names(self->overlay, listing->prefix, true, now, &listing->put, err);
    r = r ? r
          : xb_s3_overlay_names(self->overlay, listing->prefix, false, now, &listing->removed, err);
    if (r == 0 && !(listing->shown = calloc(listing->put.count + 1, sizeof *listing->shown))) {
        r = xb_error_no_memory(err, "a listing");
    }
    r = r ? r : run_pages(listing, err);
    r = r ? r : tell_put(listing, err);
    xb_s3_page_done(&listing->page);
    xb_s3_overlay_names_free(&listing->put);
    xb_s3_overlay_names_free(&listing->removed);
    free(listing->shown);
    free(listing);
    return r;
}

static int begin_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                      void *context, struct listing **ret, struct xb_error *err)
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) {
        return xb_error_no_memory(err, "a listing");
    }
    listing->self = (struct xb_s3 *)store;
    listing->prefix = prefix;
    listing->fn = fn;
    listing->context = context;
    *ret = listing;
    return 0;
}

int xb_s3_list(struct xb_store *store, const char *prefix, xb_store_item_fn *fn, void *context,
               struct xb_error *err)
{
    struct listing *listing = NULL;
    int r = begin_list(store, prefix, fn, context, &listing, err);
    return r ? r : list(listing, err);
}

int xb_s3_list_folders(struct xb_store *store, const char *prefix, xb_store_item_fn *fn,
                       void *context, struct xb_error *err)
{
    struct listing *listing = NULL;
    int r = begin_list(store, prefix, fn, context, &listing, err);
    if (r == 0) {
        listing->folders = true;
        r = list(listing, err);
    }
    return r;
}
