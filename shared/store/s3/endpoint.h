/* SPDX-License-Identifier: Apache-2.0
 *
 * endpoint.h - where a bucket is: from the options to the host and path of each request.
 *
 * What for:  AWS's own hosts, servers at any address with path style or virtual hosts, IPv6
 *            literals, gateways below a path.
 * Ownership: the caller frees with xb_s3_place_done.
 * Threads:   read-only after creation.    Blocking: never.
 * Shapes:    `host` is exactly what curl sends in the Host header, since it is signed: small
 *            letters, no default port.
 * Errors:    INVALID, naming the option.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/buf.h"
#include "shared/base/error.h"

struct xb_store_s3_options;

enum { XB_S3_HOST_BYTES_MAX = 512, XB_S3_URL_BYTES_MAX = 8192 };

struct xb_s3_place {
    bool tls;
    char host[XB_S3_HOST_BYTES_MAX];
    char root[XB_S3_HOST_BYTES_MAX]; /* encoded path before the key: "/" or "/bucket/" */
};

/* `endpoint` NULL: options->endpoint, or AWS's of `region`. */
int xb_s3_place_find(const struct xb_store_s3_options *options, const char *endpoint,
                     const char *region, struct xb_s3_place *ret,
                     struct xb_error *err) XB_MUST_CHECK;
