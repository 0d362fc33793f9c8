/* SPDX-License-Identifier: Apache-2.0
 * Lists, page by page: the next page is on its way while one is worked on. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/codec/slices.h"
#include "shared/kube/request.h"

enum { URL_BYTES_MAX = 16 << 10 };

struct fetched {
    struct xb_http_response response;
    unsigned limit; /* what it was asked with, when objects turned out to be too large */
    int code;
    struct xb_error err;
};

/* A listing under way. */
struct pages {
    struct xb_kube_client *client;
    const struct xb_kube_list *list;
    xb_kube_item_fn *fn; /* one of the two */
    xb_kube_text_fn *text_fn;
    void *context;
    char what[400];
    unsigned limit;
    char *next; /* continue token */
    bool handed;
    bool running; /* a page is being fetched by `thread` into `ahead` */
    pthread_t thread;
    struct fetched ahead;
};

static int fetch_once(struct pages *pages, unsigned limit, struct xb_http_response *ret,
                      struct xb_error *err)
{
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    char number[16];
    snprintf(number, sizeof number, "%u", limit);
    int r = xb_kube_url_list(pages->client, pages->list, &url, err);
    r = r ? r : xb_kube_url_query(&url, "limit", number, err);
    r = r ? r : xb_kube_url_query(&url, "continue", pages->next, err);
    r = r ? r : xb_kube_fetch_page(pages->client, url.data, pages->list->cancel, ret, err);
    xb_buf_free(&url);
    return r;
}

static void fetch(struct pages *pages, struct fetched *ret)
{
    *ret = (struct fetched){.limit = pages->limit};
    ret->err = (struct xb_error)XB_ERROR_INIT;
    ret->code = fetch_once(pages, ret->limit, &ret->response, &ret->err);
    while (ret->code < 0 && ret->err.kind == XB_ERR_FULL && ret->limit > 1) {
        ret->limit /= 2; /* big objects: the same place in smaller pages */
        ret->err = (struct xb_error)XB_ERROR_INIT;
        ret->code = fetch_once(pages, ret->limit, &ret->response, &ret->err);
    }
}

static void *run_ahead(void *context)
{
    struct pages *pages = context;
    fetch(pages, &pages->ahead);
    return NULL;
}

/* The page asked for ahead, or one asked for now. */
static void get_page(struct pages *pages, struct fetched *ret)
{
    if (!pages->running) {
        fetch(pages, ret);
        return;
    }
    pthread_join(pages->thread, NULL);
    pages->running = false;
    *ret = pages->ahead;
}

/* From here on the thread reads `next` and `limit`: nothing else touches them until it is joined.
 * Without a thread the page is fetched when its turn comes. */
static void go_ahead(struct pages *pages)
{
    pages->running = pages->next && pthread_create(&pages->thread, NULL, run_ahead, pages) == 0;
}

static int keep_next(struct pages *pages, const char *next, struct xb_error *err)
{
    free(XB_TAKE(pages->next));
    if (*next && !(pages->next = strdup(next))) {
        return xb_error_no_memory(err, "a list");
    }
    return 0;
}

/* ---- objects ---- */

static int hand_items(struct pages *pages, xb_json *page, struct xb_error *err)
{
    xb_json *items = NULL;
    int r = xb_json_need_array(page, "items", false, &items, err);
    size_t count = r == 0 && items ? json_object_array_length(items) : 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        xb_json *item = json_object_array_get_idx(items, i);
        if (!json_object_is_type(item, json_type_object)) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an item is not an object");
        }
        r = xb_kube_item_complete(item, pages->list->resource, err);
        if (r == 0) {
            pages->handed = true;
            r = pages->fn(pages->context, item, err);
        }
    }
    return r ? r : keep_next(pages, xb_json_str(page, "metadata.continue", ""), err);
}

static int hand_objects(struct pages *pages, struct xb_http_response *response,
                        struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *page = NULL;
    int r = xb_json_parse(response->body.data ? response->body.data : "", response->body.len, &page,
                          err);
    xb_http_response_free(response); /* before the items are worked on: text and tree are large */
    return r < 0 ? xb_error_wrap(err, "%.190s", pages->what) : hand_items(pages, page, err);
}

/* ---- texts ---- */

static int find_next(struct pages *pages, struct xb_slice metadata, struct xb_error *err)
{
    XB_CLEANUP(xb_json_putp) xb_json *json = NULL;
    int r = xb_json_parse(metadata.text, metadata.len, &json, err);
    return r ? r : keep_next(pages, xb_json_str(json, "continue", ""), err);
}

static int hand_slices(struct pages *pages, struct xb_slice items, struct xb_error *err)
{
    struct xb_slices slices;
    struct xb_slice ignored;
    struct xb_slice item;
    int have = 0;
    if (xb_slice_is(items, "null")) {
        return 0; /* as Go writes an empty list */
    }
    int r = xb_slices_begin(&slices, items, err);
    if (r == 0 && slices.object) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "items are not a list");
    }
    while (r == 0 && (have = xb_slices_next(&slices, &ignored, &item, err)) > 0) {
        if (item.text[0] != '{') {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an item is not an object");
        }
        pages->handed = true;
        r = pages->text_fn(pages->context, item.text, item.len, err);
    }
    return r ? r : have;
}

/* Smaller pages where objects are large; never larger again, as their like follows. */
static void fit_limit(struct pages *pages, size_t page_bytes)
{
    while (page_bytes > XB_KUBE_PAGE_GOAL_BYTES && pages->limit > 1) {
        pages->limit /= 2;
        page_bytes /= 2;
    }
}

static int hand_texts(struct pages *pages, struct xb_http_response *response, struct xb_error *err)
{
    struct xb_slice page = {response->body.data ? response->body.data : "", response->body.len};
    struct xb_slice items = {"null", 4};
    struct xb_slice metadata = {"{}", 2};
    struct xb_slice key;
    struct xb_slice value;
    struct xb_slices slices;
    int have = 0;
    int r = xb_slices_begin(&slices, page, err);
    while (r == 0 && (have = xb_slices_next(&slices, &key, &value, err)) > 0) {
        if (xb_slice_is(key, "items")) {
            items = value;
        } else if (xb_slice_is(key, "metadata")) {
            metadata = value;
        }
    }
    r = r ? r : have;
    r = r ? r : find_next(pages, metadata, err);
    if (r < 0) {
        return xb_error_wrap(err, "%.190s", pages->what);
    }
    fit_limit(pages, page.len);
    go_ahead(pages);
    return hand_slices(pages, items, err);
}

/* ---- both ---- */

static int one_page(struct pages *pages, struct xb_error *err)
{
    struct fetched fetched;
    get_page(pages, &fetched);
    pages->limit = fetched.limit;
    if (fetched.code < 0) {
        *err = fetched.err;
        return xb_error_wrap(err, "%.190s", pages->what);
    }
    int r;
    if (fetched.response.status != 200) {
        r = xb_kube_status_error(&fetched.response, pages->what, err);
    } else if (pages->fn) {
        r = hand_objects(pages, &fetched.response, err);
    } else {
        r = hand_texts(pages, &fetched.response, err);
    }
    xb_http_response_free(&fetched.response);
    return r;
}

static int all_pages(struct pages *pages, struct xb_error *err)
{
    unsigned restarts = 0;
    for (unsigned count = 0; count < XB_KUBE_PAGES_MAX; count++) {
        struct xb_error failure = XB_ERROR_INIT;
        int r = one_page(pages, &failure);
        if (r < 0 && failure.code == -EIDRM && !pages->handed &&
            restarts++ < XB_KUBE_LIST_RESTARTS_MAX) {
            free(XB_TAKE(pages->next));
            continue;
        }
        if (r < 0) {
            *err = failure;
        }
        if (r < 0 || !pages->next) {
            return r;
        }
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s: more than %d pages", pages->what,
                        XB_KUBE_PAGES_MAX);
}

static int list_all(struct pages *pages, struct xb_error *err)
{
    struct xb_kube_ref ref = {.resource = pages->list->resource,
                              .namespace = pages->list->namespace};
    xb_kube_describe(pages->what, sizeof pages->what, "list", &ref);
    pages->limit = pages->list->limit ? pages->list->limit : XB_KUBE_PAGE_OBJECTS;
    int r = all_pages(pages, err);
    if (pages->running) {
        pthread_join(pages->thread, NULL);
        if (pages->ahead.code == 0) {
            xb_http_response_free(&pages->ahead.response);
        }
    }
    free(pages->next);
    return r;
}

int xb_kube_list_pages(struct xb_kube_client *client, const struct xb_kube_list *list,
                       xb_kube_item_fn *fn, void *context, struct xb_error *err)
{
    struct pages pages = {.client = client, .list = list, .fn = fn, .context = context};
    return list_all(&pages, err);
}

int xb_kube_list_texts(struct xb_kube_client *client, const struct xb_kube_list *list,
                       xb_kube_text_fn *fn, void *context, struct xb_error *err)
{
    struct pages pages = {.client = client, .list = list, .text_fn = fn, .context = context};
    return list_all(&pages, err);
}
