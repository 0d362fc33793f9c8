/* SPDX-License-Identifier: Apache-2.0
 *
 * url.h - opening "s3://bucket/prefix?key=value&...": for store.c.
 *
 * Ownership: all is borrowed during the call, the limits while the store lives.
 * Threads:   any; reads the environment.    Blocking: reads files.
 * Errors:    INVALID names the parameter; as s3.h.
 */
#pragma once

#include "shared/store/store.h"

/* `url` starts with "s3://". */
int xb_store_s3_open_url(const char *url, const struct xb_store_open_options *options,
                         struct xb_store **ret, struct xb_error *err) XB_MUST_CHECK;
