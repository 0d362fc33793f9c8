/* SPDX-License-Identifier: Apache-2.0
 *
 * multiplex.h - transfers of many threads over few HTTP/2 connections.
 *
 * What for:  inside shared/http only. A blocking transfer has a connection to itself; here one
 *            thread drives the transfers of all callers together, so that they share connections
 *            as HTTP/2 lets them.
 * Ownership: the caller owns the multiplex and its handles; a handle is the multiplex's during the
 *            call.
 * Threads:   perform from any; callbacks of a transfer run on the multiplex's own thread, so they
 *            must not block.
 * Blocking:  perform until the transfer has ended.
 * Limits:    XB_HTTP_MULTIPLEX_CONNECTIONS_MAX to one server.
 */
#pragma once

#include <curl/curl.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"

enum { XB_HTTP_MULTIPLEX_CONNECTIONS_MAX = 2 };

struct xb_http_multiplex;

int xb_http_multiplex_new(struct xb_http_multiplex **ret, struct xb_error *err) XB_MUST_CHECK;
CURLcode xb_http_multiplex_perform(struct xb_http_multiplex *multiplex, CURL *easy);
/* No transfer may be under way. */
void xb_http_multiplex_free(struct xb_http_multiplex *multiplex);
