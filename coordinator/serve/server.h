/* SPDX-License-Identifier: Apache-2.0
 *
 * server.h - serves artifacts over HTTPS to who holds a link (link.h).
 *
 * What for:  `velero backup logs`, `describe` and `download` against a store that cannot presign.
 * Ownership: the caller frees a server, which stops it; key and certificate are copied. `context`
 *            must outlive it.
 * Threads:   start and free from one thread; `open` is called from the server's own threads,
 *            several at a time.
 * Blocking:  start, no; free, up to XB_LISTENER_STOP_MS and one read of the store.
 * Shapes:    GET and HEAD of a link: 200 with Content-Length and the object's bytes as they are;
 *            403 for a link that is wrong or over, 404 for an object that is not there, 503 for a
 *            failure that may pass, 500 for others. "/healthz": 200 "ok". All else 404. Ranges are
 *            not known. Why something failed is logged, not told.
 * Errors:    CONFLICT: the port is taken; INVALID: key or options; DENIED; IO.
 * Limits:    XB_SERVER_CONNECTIONS_MAX connections, XB_SERVER_PIECE_BYTES read at a time for each;
 *            an idle connection is closed after XB_SERVER_TIMEOUT_S. An object that is replaced,
 *            cut or removed while it is sent ends the connection before Content-Length is reached.
 *            A read that hangs holds up all connections of its thread (of XB_SERVER_THREADS).
 * Source:    velero-contract sections 1 and 2.
 */
#pragma once

#include <stdint.h>

#include "coordinator/serve/certificate.h"
#include "coordinator/serve/link.h"
#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/base/secret.h"
#include "shared/store/store.h"

enum {
    XB_SERVER_CONNECTIONS_MAX = 64,
    XB_SERVER_PIECE_BYTES = 256 * 1024,
    XB_SERVER_TIMEOUT_S = 60,
    XB_SERVER_THREADS = 4,
    XB_SERVER_KEY_BYTES = XB_STORE_NAME_BYTES_MAX + 1
};

/* Where an artifact lies: a handle on the store, which the server frees (xb_store_ref), and the
 * object's name in it. NOT_FOUND: no such location, backup or restore. `what` has passed its check;
 * the object's name must be made from kind and name alone. */
typedef int xb_server_open_fn(void *context, const struct xb_download *what,
                              struct xb_store **ret_store, char key[XB_SERVER_KEY_BYTES],
                              struct xb_error *err);

struct xb_server_options {
    const char *address; /* numeric; NULL: every one, IPv6 and IPv4 */
    uint16_t port;       /* 0: any free one */
    const struct xb_secret *link_key;
    const struct xb_certificate *certificate;
    xb_server_open_fn *open;
    void *context;
};

struct xb_server;

int xb_server_start(const struct xb_server_options *options, struct xb_server **ret,
                    struct xb_error *err) XB_MUST_CHECK;

uint16_t xb_server_port(const struct xb_server *server);

/* Takes no new connections, lets running downloads end for XB_LISTENER_STOP_MS, breaks off the
 * rest. A new certificate comes into use by free and start. */
void xb_server_free(struct xb_server *server);
XB_DEFINE_CLEANUP(xb_server_freep, struct xb_server, xb_server_free);
