/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/kube/request.h"

#include <errno.h>
#include <string.h>

static int append_part(struct xb_buf *out, const char *part, const char *what, struct xb_error *err)
{
    if (!*part || strchr(part, '/') || strcmp(part, ".") == 0 || strcmp(part, "..") == 0 ||
        strlen(part) > 253) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not a %s: '%.100s'", what, part);
    }
    int r = xb_buf_append(out, "/", 1, err);
    return r ? r : xb_http_escape(out, part, err);
}

int xb_kube_path(const struct xb_kube_ref *ref, struct xb_buf *out, struct xb_error *err)
{
    const struct xb_kube_resource *resource = ref->resource;
    int r;
    if (*resource->group) {
        r = xb_buf_append_str(out, "/apis", err);
        r = r ? r : append_part(out, resource->group, "API group", err);
    } else {
        r = xb_buf_append_str(out, "/api", err);
    }
    r = r ? r : append_part(out, resource->version, "API version", err);
    if (r == 0 && resource->namespaced && ref->namespace) {
        r = xb_buf_append_str(out, "/namespaces", err);
        r = r ? r : append_part(out, ref->namespace, "namespace", err);
    }
    r = r ? r : append_part(out, resource->plural, "resource", err);
    if (r == 0 && ref->name) {
        r = append_part(out, ref->name, "name", err);
    }
    if (r == 0 && ref->subresource) {
        r = append_part(out, ref->subresource, "subresource", err);
    }
    return r;
}

int xb_kube_url_query(struct xb_buf *url, const char *key, const char *value, struct xb_error *err)
{
    if (!value || !*value) {
        return 0;
    }
    int r = xb_buf_append(url, strchr(url->data, '?') ? "&" : "?", 1, err);
    r = r ? r : xb_buf_append_str(url, key, err);
    r = r ? r : xb_buf_append(url, "=", 1, err);
    return r ? r : xb_http_escape(url, value, err);
}

int xb_kube_url_list(const struct xb_kube_client *client, const struct xb_kube_list *list,
                     struct xb_buf *out, struct xb_error *err)
{
    struct xb_kube_ref ref = {.resource = list->resource, .namespace = list->namespace};
    int r = xb_kube_url(client, &ref, out, err);
    r = r ? r : xb_kube_url_query(out, "labelSelector", list->label_selector, err);
    return r ? r : xb_kube_url_query(out, "fieldSelector", list->field_selector, err);
}

void xb_kube_describe(char *text, size_t size, const char *verb, const struct xb_kube_ref *ref)
{
    const struct xb_kube_resource *resource = ref->resource;
    bool placed = ref->namespace && resource->namespaced;
    snprintf(text, size, "%s %s%s%s%s%s%s%s%s%s", verb, resource->plural,
             *resource->group ? "." : "", resource->group, placed || ref->name ? " " : "",
             placed ? ref->namespace : "", placed && ref->name ? "/" : "",
             ref->name ? ref->name : "", ref->subresource ? "/" : "",
             ref->subresource ? ref->subresource : "");
}

struct meaning {
    int status;
    enum xb_error_kind kind;
    int code;
};

static struct meaning meaning_of(int status, const char *reason)
{
    static const struct meaning table[] = {
        {400, XB_ERR_INVALID, -EINVAL},  {401, XB_ERR_DENIED, -EACCES},
        {403, XB_ERR_DENIED, -EPERM},    {404, XB_ERR_NOT_FOUND, -ENOENT},
        {405, XB_ERR_INVALID, -ENOTSUP}, {406, XB_ERR_INVALID, -ENOTSUP},
        {409, XB_ERR_CONFLICT, -ESTALE}, {410, XB_ERR_RETRY, -EIDRM},
        {413, XB_ERR_INVALID, -E2BIG},   {415, XB_ERR_INVALID, -ENOTSUP},
        {422, XB_ERR_INVALID, -EINVAL},  {429, XB_ERR_RETRY, -EBUSY},
        {504, XB_ERR_RETRY, -ETIMEDOUT},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].status == status) {
            struct meaning meaning = table[i];
            if (status == 409 && strcmp(reason, "AlreadyExists") == 0) {
                meaning.code = -EEXIST;
            }
            return meaning;
        }
    }
    if (status >= 500) {
        return (struct meaning){status, XB_ERR_RETRY, -EIO};
    }
    return (struct meaning){status, XB_ERR_INVALID, -EPROTO};
}

/* ---- what is wrong with an object ---- */

enum { CAUSE_BYTES = 300, CAUSE_WHOLE_BYTES = 120 };

/* What is wrong with a field: without the value, which may be a whole object in Go's notation, and
 * without the difference of two specs, which stands in further lines. */
static void append_cause(char text[CAUSE_BYTES], const char *field, const char *message)
{
    static const char value[] = "Invalid value: ";
    size_t used = strlen(text), len = strcspn(message, "\n");
    if (len > CAUSE_WHOLE_BYTES && strncmp(message, value, sizeof value - 1) == 0) {
        size_t skip = len;
        while (skip > 0 && strncmp(message + skip, ": ", 2) != 0) {
            skip--;
        }
        skip += 2;
        message += skip;
        len -= skip;
    }
    snprintf(text + used, CAUSE_BYTES - used, "%s%.120s%s%.*s", used ? "; " : "", field,
             field[0] ? ": " : "", (int)(len < CAUSE_BYTES ? len : CAUSE_BYTES), message);
}

/* The fields that the server does not take, from the list that it sends along with a message in
 * which they are hard to find; "": it sends none. */
static void tell_causes(xb_json *object, char text[CAUSE_BYTES])
{
    xb_json *causes = xb_json_get(object, "details.causes");
    text[0] = '\0';
    for (size_t i = 0; json_object_is_type(causes, json_type_array) &&
                       i < json_object_array_length(causes) && strlen(text) < CAUSE_BYTES - 1;
         i++) {
        xb_json *cause = json_object_array_get_idx(causes, i);
        const char *message = xb_json_str(cause, "message", "");
        if (message[0]) {
            append_cause(text, xb_json_str(cause, "field", ""), message);
        }
    }
}

int xb_kube_status_object_error(int status, xb_json *object, const char *what, struct xb_error *err)
{
    const char *reason = xb_json_str(object, "reason", "");
    const char *message = xb_json_str(object, "message", "");
    /* A watch says 410 in the object only, and older servers say only the reason. */
    if (strcmp(reason, "Expired") == 0 || strcmp(reason, "Gone") == 0) {
        status = 410;
    }
    struct meaning meaning = meaning_of(status, reason);
    const char *advice = "";
    char causes[CAUSE_BYTES] = "";
    if (status == 422) {
        tell_causes(object, causes);
        message = causes[0] ? causes : message;
    }
    if (status == 401) {
        advice = " (is the token or certificate still valid?)";
    } else if (status == 403) {
        advice = " (a Role or ClusterRole must grant this)";
    }
    return xb_error_set(err, meaning.kind, meaning.code, "%.200s: %d %.64s%s%.300s%s", what, status,
                        reason, *reason && *message ? ": " : "", message, advice);
}

int xb_kube_status_error(const struct xb_http_response *response, const char *what,
                         struct xb_error *err)
{
    struct xb_error ignored = XB_ERROR_INIT;
    xb_json *object = NULL;
    if (response->body.len > 0 &&
        xb_json_parse(response->body.data, response->body.len, &object, &ignored) < 0) {
        object = NULL; /* a proxy's own page, for example: the number must do */
    }
    int r = xb_kube_status_object_error(response->status, object, what, err);
    json_object_put(object);
    return r;
}

int xb_kube_item_complete(xb_json *item, const struct xb_kube_resource *resource,
                          struct xb_error *err)
{
    char version[600];
    snprintf(version, sizeof version, "%s%s%s", resource->group, *resource->group ? "/" : "",
             resource->version);
    int r = 0;
    if (!xb_json_get(item, "apiVersion")) {
        r = xb_json_set_str(item, "apiVersion", version, err);
    }
    if (r == 0 && !xb_json_get(item, "kind")) {
        r = xb_json_set_str(item, "kind", resource->kind, err);
    }
    return r;
}
