/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/informer.h"

#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/random.h"
#include "shared/http/retry.h"
#include "shared/http/stream.h"
#include "shared/kube/lines.h"
#include "shared/kube/objects.h"
#include "shared/kube/request.h"

enum { URL_BYTES_MAX = 16 << 10, STEADY_S = 5, KEY_BYTES_MAX = 520 };

enum state { STATE_LIST, STATE_WATCH, STATE_BACKOFF };

struct xb_kube_informer {
    struct xb_kube_informer_options options;
    struct xb_kube_resource resource;
    char *strings[7]; /* copies that options and resource point into */
    enum state state, after_backoff;
    struct xb_http_stream *stream;
    struct xb_timer *timer;
    bool synced, token_refused;
    unsigned failures; /* in a row */
    /* LIST */
    struct json_tokener *tokener;
    xb_json *page;
    size_t page_bytes;
    unsigned limit;
    char *next; /* continue token */
    uint64_t round;
    /* WATCH */
    struct xb_kube_lines lines;
    char *version; /* resourceVersion to go on from: opaque */
    int64_t watch_began_ns;
    struct xb_kube_objects *objects;
    struct xb_kube_informer_counts counts;
};

static void enter(struct xb_kube_informer *informer, enum state state);

static const char *state_name(enum state state)
{
    static const char *const names[] = {"LIST", "WATCH", "BACKOFF"};
    return names[state];
}

static int keep_text(char **to, const char *from, struct xb_error *err)
{
    char *text = strdup(from);
    if (!text) {
        return xb_error_no_memory(err, "an informer");
    }
    free(*to);
    *to = text;
    return 0;
}

/* A failure ends here: it is logged, and the machine waits before it goes on with `next`. */
static void fail(struct xb_kube_informer *informer, const struct xb_error *err, enum state next)
{
    informer->counts.failures++;
    informer->failures += informer->failures < 32 ? 1 : 0;
    xb_log_err(XB_LOG_WARNING, err, "following objects failed and will be tried again", "resource",
               informer->resource.plural, "state", state_name(informer->state), "next",
               state_name(next), (char *)NULL);
    informer->after_backoff = next;
    enter(informer, STATE_BACKOFF);
}

/* Where to go on after a failure of the present state. */
static void fail_here(struct xb_kube_informer *informer, const struct xb_error *err)
{
    informer->token_refused = err->code == -EACCES;
    bool relist = informer->state == STATE_LIST || err->kind == XB_ERR_CORRUPT ||
                  err->code == -EIDRM || informer->failures >= XB_KUBE_INFORMER_RESUMES_MAX;
    if (relist) {
        free(XB_TAKE(informer->next));
    }
    fail(informer, err, relist ? STATE_LIST : STATE_WATCH);
}

static int key_of(xb_json *object, char key[KEY_BYTES_MAX], struct xb_error *err)
{
    const char *namespace = NULL;
    const char *name = NULL;
    int r = xb_json_need_str(object, "metadata.name", true, &name, err);
    r = r ? r : xb_json_need_str(object, "metadata.namespace", false, &namespace, err);
    if (r < 0) {
        return r;
    }
    bool placed = namespace && *namespace;
    int len =
        snprintf(key, KEY_BYTES_MAX, "%s%s%s", placed ? namespace : "", placed ? "/" : "", name);
    return len < KEY_BYTES_MAX && *name
               ? 0
               : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an object without a usable name");
}

static int put_object(struct xb_kube_informer *informer, xb_json *object, struct xb_error *err)
{
    char key[KEY_BYTES_MAX];
    int r = key_of(object, key, err);
    if (r < 0) {
        return r;
    }
    if (informer->options.trim) {
        informer->options.trim(informer->options.context, object);
    }
    r = xb_kube_objects_put(informer->objects, key, object, informer->round, err);
    if (r > 0) {
        informer->options.on_change(informer->options.context, key, object);
    }
    return r < 0 ? r : 0;
}

static void remove_object(struct xb_kube_informer *informer, const char *key)
{
    if (xb_kube_objects_remove(informer->objects, key)) {
        informer->options.on_change(informer->options.context, key, NULL);
    }
}

/* The page is parsed as it comes, so that no single turn of the loop has all of it to do. */
static int take_page_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct xb_kube_informer *informer = context;
    const char *text = data;
    informer->page_bytes += len;
    if (informer->page_bytes > XB_KUBE_PAGE_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_FULL, -E2BIG, "a page of more than %d bytes",
                            XB_KUBE_PAGE_BYTES_MAX);
    }
    size_t used = 0;
    if (!informer->page) {
        informer->page = json_tokener_parse_ex(informer->tokener, text, (int)len);
        enum json_tokener_error problem = json_tokener_get_error(informer->tokener);
        if (problem == json_tokener_continue) {
            return 0;
        }
        if (problem != json_tokener_success || !informer->page) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the list is not JSON: %s",
                                json_tokener_error_desc(problem));
        }
        used = json_tokener_get_parse_end(informer->tokener);
    }
    for (; used < len; used++) {
        if (!text[used] || !strchr(" \t\r\n", text[used])) {
            return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "more after the list");
        }
    }
    return 0;
}

static int take_items(struct xb_kube_informer *informer, struct xb_error *err)
{
    xb_json *items = NULL;
    int r = xb_json_need_array(informer->page, "items", false, &items, err);
    size_t count = r == 0 && items ? json_object_array_length(items) : 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        xb_json *item = json_object_array_get_idx(items, i);
        r = json_object_is_type(item, json_type_object)
                ? xb_kube_item_complete(item, &informer->resource, err)
                : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "an item is not an object");
        r = r ? r : put_object(informer, item, err);
    }
    return r;
}

static int finish_page(struct xb_kube_informer *informer, struct xb_error *err)
{
    const char *version = NULL;
    const char *next = NULL;
    if (!informer->page) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "the list is cut short");
    }
    int r = xb_json_need_str(informer->page, "metadata.resourceVersion", true, &version, err);
    r = r ? r : xb_json_need_str(informer->page, "metadata.continue", false, &next, err);
    r = r ? r : keep_text(&informer->version, version, err);
    r = r ? r : take_items(informer, err);
    free(XB_TAKE(informer->next));
    if (r == 0 && next && *next) {
        r = keep_text(&informer->next, next, err);
    }
    return r;
}

/* What the whole list did not name is gone. */
static void finish_list(struct xb_kube_informer *informer)
{
    char *key;
    while ((key = xb_kube_objects_remove_old(informer->objects, informer->round)) != NULL) {
        informer->options.on_change(informer->options.context, key, NULL);
        free(key);
    }
    informer->counts.lists++;
    if (!informer->synced) {
        informer->synced = true;
        if (informer->options.on_synced) {
            informer->options.on_synced(informer->options.context);
        }
    }
    enter(informer, STATE_WATCH);
}

static void end_page(void *context, const struct xb_http_response *response,
                     const struct xb_error *failure)
{
    struct xb_kube_informer *informer = context;
    struct xb_error err = XB_ERROR_INIT;
    informer->stream = NULL;
    int r = 0;
    if (failure && failure->kind == XB_ERR_FULL && informer->limit > 1) {
        informer->limit /= 2; /* big objects: the same place in smaller pages */
        enter(informer, STATE_LIST);
        return;
    }
    if (failure) {
        err = *failure;
        r = err.code;
    } else if (response->status != 200) {
        r = xb_kube_status_error(response, "list", &err);
    } else {
        r = finish_page(informer, &err);
    }
    json_object_put(XB_TAKE(informer->page));
    if (r < 0) {
        fail_here(informer, &err);
    } else if (informer->next) {
        enter(informer, STATE_LIST);
    } else {
        finish_list(informer);
    }
}

static int take_event(void *context, const char *line, size_t len, struct xb_error *err)
{
    struct xb_kube_informer *informer = context;
    XB_CLEANUP(xb_json_putp) xb_json *event = NULL;
    xb_json *object = NULL;
    const char *type = NULL;
    const char *version = NULL;
    char key[KEY_BYTES_MAX];
    int r = xb_json_parse(line, len, &event, err);
    r = r ? r : xb_json_need_str(event, "type", true, &type, err);
    r = r ? r : xb_json_need_object(event, "object", true, &object, err);
    if (r == 0 && strcmp(type, "ERROR") == 0) {
        return xb_kube_status_object_error((int)xb_json_int(object, "code", 500), object, "watch",
                                           err);
    }
    r = r ? r : xb_json_need_str(object, "metadata.resourceVersion", true, &version, err);
    r = r ? r : keep_text(&informer->version, version, err);
    if (r != 0) {
        return r;
    }
    informer->failures = 0;
    informer->counts.events++;
    if (strcmp(type, "BOOKMARK") == 0) {
        return 0;
    }
    if (strcmp(type, "DELETED") == 0) {
        r = key_of(object, key, err);
        if (r == 0) {
            remove_object(informer, key);
        }
        return r;
    }
    if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
        return put_object(informer, object, err);
    }
    return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a watch event of type '%.40s'", type);
}

static int take_watch_data(void *context, const void *data, size_t len, struct xb_error *err)
{
    struct xb_kube_informer *informer = context;
    return xb_kube_lines_feed(&informer->lines, data, len, take_event, informer, err);
}

static void end_watch(void *context, const struct xb_http_response *response,
                      const struct xb_error *failure)
{
    struct xb_kube_informer *informer = context;
    struct xb_error err = XB_ERROR_INIT;
    informer->stream = NULL;
    xb_kube_lines_reset(&informer->lines);
    bool steady = xb_clock_mono_ns() - informer->watch_began_ns > STEADY_S * XB_NS_PER_S;
    if (failure) {
        fail_here(informer, failure);
    } else if (response->status != 200) {
        (void)!xb_kube_status_error(response, "watch", &err);
        fail_here(informer, &err);
    } else if (steady) {
        informer->failures = 0;
        enter(informer, STATE_WATCH); /* the server's regular end: go on from the last version */
    } else {
        xb_error_set(&err, XB_ERR_RETRY, -EPIPE, "the server ended the watch at once");
        fail_here(informer, &err);
    }
}

static int build_url(struct xb_kube_informer *informer, struct xb_buf *url, int *ret_timeout_ms,
                     struct xb_error *err)
{
    struct xb_kube_list list = {.resource = &informer->resource,
                                .namespace = informer->options.namespace,
                                .label_selector = informer->options.label_selector,
                                .field_selector = informer->options.field_selector};
    char number[16];
    int r = xb_kube_url_list(informer->options.client, &list, url, err);
    if (informer->state == STATE_LIST) {
        snprintf(number, sizeof number, "%u", informer->limit);
        *ret_timeout_ms = XB_KUBE_INFORMER_LIST_S * 1000;
        r = r ? r : xb_kube_url_query(url, "limit", number, err);
        return r ? r : xb_kube_url_query(url, "continue", informer->next, err);
    }
    uint32_t dice; /* watches of many agents must not end in the same second */
    xb_random_bytes(&dice, sizeof dice);
    unsigned seconds = XB_KUBE_INFORMER_WATCH_S + dice % XB_KUBE_INFORMER_WATCH_S;
    snprintf(number, sizeof number, "%u", seconds);
    *ret_timeout_ms = (int)(seconds + XB_KUBE_INFORMER_GRACE_S) * 1000;
    r = r ? r : xb_kube_url_query(url, "watch", "true", err);
    r = r ? r : xb_kube_url_query(url, "allowWatchBookmarks", "true", err);
    r = r ? r : xb_kube_url_query(url, "timeoutSeconds", number, err);
    return r ? r : xb_kube_url_query(url, "resourceVersion", informer->version, err);
}

static int start_stream(struct xb_kube_informer *informer, struct xb_error *err)
{
    static const char *const headers[] = {"Accept: application/json", NULL};
    bool list = informer->state == STATE_LIST;
    XB_CLEANUP(xb_secret_freep) struct xb_secret *bearer = NULL;
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    struct xb_http_request request = {.headers = headers};
    struct xb_http_stream_options options = {
        .client = xb_kube_http(informer->options.client),
        .request = &request,
        .on_data = list ? take_page_data : take_watch_data,
        .on_end = list ? end_page : end_watch,
        .context = informer,
    };
    int r = build_url(informer, &url, &request.timeout_ms, err);
    r = r ? r : xb_kube_bearer(informer->options.client, informer->token_refused, &bearer, err);
    request.url = url.data;
    request.bearer = bearer;
    r = r ? r
          : xb_http_stream_start(xb_loop_http(informer->options.loop), &options, &informer->stream,
                                 err);
    xb_buf_free(&url);
    informer->token_refused = false;
    return r;
}

static void on_timer(void *context)
{
    struct xb_kube_informer *informer = context;
    enter(informer, informer->after_backoff);
}

static void enter(struct xb_kube_informer *informer, enum state state)
{
    struct xb_error err = XB_ERROR_INIT;
    xb_log_debug("informer", "resource", informer->resource.plural, "from",
                 state_name(informer->state), "to", state_name(state));
    informer->state = state;
    switch (state) {
    case STATE_BACKOFF:
        xb_timer_start(
            informer->timer,
            xb_http_retry_delay_ms(informer->failures, XB_KUBE_INFORMER_BACKOFF_FIRST_MS, -1), 0);
        return;
    case STATE_LIST:
        informer->round += informer->next ? 0 : 1;
        informer->page_bytes = 0;
        json_object_put(XB_TAKE(informer->page));
        json_tokener_reset(informer->tokener);
        break;
    case STATE_WATCH:
    default:
        informer->counts.watches++;
        informer->watch_began_ns = xb_clock_mono_ns();
        xb_kube_lines_reset(&informer->lines);
        break;
    }
    if (start_stream(informer, &err) < 0) {
        fail_here(informer, &err);
    }
}

static int copy_options(struct xb_kube_informer *informer,
                        const struct xb_kube_informer_options *options, struct xb_error *err)
{
    const char *from[] = {options->resource->group,  options->resource->version,
                          options->resource->plural, options->resource->kind,
                          options->namespace,        options->label_selector,
                          options->field_selector};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        if (from[i] && keep_text(&informer->strings[i], from[i], err) < 0) {
            return err->code;
        }
    }
    informer->options = *options;
    informer->resource = (struct xb_kube_resource){.group = informer->strings[0],
                                                   .version = informer->strings[1],
                                                   .plural = informer->strings[2],
                                                   .kind = informer->strings[3],
                                                   .namespaced = options->resource->namespaced};
    informer->options.resource = &informer->resource;
    informer->options.namespace = informer->strings[4];
    informer->options.label_selector = informer->strings[5];
    informer->options.field_selector = informer->strings[6];
    informer->limit = options->limit ? options->limit : XB_KUBE_PAGE_OBJECTS;
    return 0;
}

int xb_kube_informer_new(const struct xb_kube_informer_options *options,
                         struct xb_kube_informer **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_kube_informer_freep)
    struct xb_kube_informer *informer = calloc(1, sizeof *informer);
    if (!informer) {
        return xb_error_no_memory(err, "an informer");
    }
    informer->lines = (struct xb_kube_lines)XB_KUBE_LINES_INIT;
    informer->tokener = json_tokener_new_ex(XB_JSON_DEPTH_MAX);
    if (!informer->tokener) {
        return xb_error_no_memory(err, "an informer");
    }
    json_tokener_set_flags(informer->tokener, JSON_TOKENER_STRICT);
    size_t max = options->objects_max ? options->objects_max : XB_KUBE_INFORMER_OBJECTS_MAX;
    int r = copy_options(informer, options, err);
    r = r ? r : xb_kube_objects_new(max, &informer->objects, err);
    r = r ? r : xb_timer_new(options->loop, on_timer, informer, &informer->timer, err);
    if (r < 0) {
        return r;
    }
    struct xb_buf url = XB_BUF_INIT(URL_BYTES_MAX);
    int timeout_ms;
    r = build_url(informer, &url, &timeout_ms, err); /* names that can never work are told here */
    xb_buf_free(&url);
    if (r < 0) {
        return r;
    }
    enter(informer, STATE_LIST);
    *ret = XB_TAKE(informer);
    return 0;
}

void xb_kube_informer_free(struct xb_kube_informer *informer)
{
    if (!informer) {
        return;
    }
    xb_http_stream_cancel(informer->stream);
    xb_timer_free(informer->timer);
    xb_kube_lines_done(&informer->lines);
    xb_kube_objects_free(informer->objects);
    json_object_put(informer->page);
    if (informer->tokener) {
        json_tokener_free(informer->tokener);
    }
    for (size_t i = 0; i < sizeof informer->strings / sizeof *informer->strings; i++) {
        free(informer->strings[i]);
    }
    free(informer->next);
    free(informer->version);
    free(informer);
}

bool xb_kube_informer_synced(const struct xb_kube_informer *informer)
{
    return informer->synced;
}

xb_json *xb_kube_informer_get(const struct xb_kube_informer *informer, const char *key)
{
    return xb_kube_objects_get(informer->objects, key);
}

void xb_kube_informer_each(const struct xb_kube_informer *informer,
                           bool (*fn)(void *context, const char *key, xb_json *object),
                           void *context)
{
    xb_kube_objects_each(informer->objects, fn, context);
}

void xb_kube_informer_counts(const struct xb_kube_informer *informer,
                             struct xb_kube_informer_counts *ret)
{
    *ret = informer->counts;
    ret->objects = xb_kube_objects_count(informer->objects);
}
