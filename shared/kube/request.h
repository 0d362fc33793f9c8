/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h - paths, tokens and failures of API requests, for client.c, discovery.c, informer.c.
 *
 * What for:  inside shared/kube only.
 * Threads:   any.
 * Blocking:  xb_kube_bearer reads a small file once a minute; the rest never.
 */
#pragma once

#include "shared/http/http.h"
#include "shared/kube/client.h"

/* Appends the path of a ref, from the server's root. */
int xb_kube_path(const struct xb_kube_ref *ref, struct xb_buf *out,
                 struct xb_error *err) XB_MUST_CHECK;
/* Appends server and path of a ref: ".../namespaces/n/pods/x/status". INVALID for names that
 * cannot be in a path. */
int xb_kube_url(const struct xb_kube_client *client, const struct xb_kube_ref *ref,
                struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
/* Appends "?key=value" or "&key=value", escaped; nothing when value is NULL or "". */
int xb_kube_url_query(struct xb_buf *url, const char *key, const char *value,
                      struct xb_error *err) XB_MUST_CHECK;
int xb_kube_url_list(const struct xb_kube_client *client, const struct xb_kube_list *list,
                     struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;

/* A copy of the token now valid; NULL in *ret when there is none. `anew`: the server refused the
 * last one, so read the file whatever its age. */
int xb_kube_bearer(struct xb_kube_client *client, bool anew, struct xb_secret **ret,
                   struct xb_error *err) XB_MUST_CHECK;
/* Whether reading the token file again could help. */
bool xb_kube_bearer_renewable(const struct xb_kube_client *client);
struct xb_http_client *xb_kube_http(struct xb_kube_client *client);

/* "list pods web/api/status", for messages. */
void xb_kube_describe(char *text, size_t size, const char *verb, const struct xb_kube_ref *ref);

/* One page of a list, or whatever the server answers instead. FULL: more than
 * XB_KUBE_PAGE_BYTES_MAX. */
int xb_kube_fetch_page(struct xb_kube_client *client, const char *url, const atomic_bool *cancel,
                       struct xb_http_response *ret, struct xb_error *err) XB_MUST_CHECK;

/* GET of `path` (from the server's root) with its Accept header (NULL: JSON). */
int xb_kube_fetch(struct xb_kube_client *client, const char *path, const char *accept,
                  struct xb_http_response *ret, struct xb_error *err) XB_MUST_CHECK;

/* The failure that a status other than 2xx means; `what` tells verb and object. */
int xb_kube_status_error(const struct xb_http_response *response, const char *what,
                         struct xb_error *err) XB_MUST_CHECK;
/* The same from a Status object, as watches send. */
int xb_kube_status_object_error(int status, xb_json *object, const char *what,
                                struct xb_error *err) XB_MUST_CHECK;
