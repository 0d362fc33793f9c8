/* SPDX-License-Identifier: Apache-2.0
 *
 * host_paths.h - folders of a node that an administrator lets its agent read and write.
 *
 * What for:  volumes that are a path of the node (hostPath). Whoever may write a pod chooses the
 *            path, so only what is beneath a folder of this list counts as data of an application.
 *            The agent obeys its own list; it tells the coordinator, which orders by it.
 * Ownership: lends.    Threads: any.    Blocking: never (pure).
 * Shapes:    "/a/b:/c": absolute paths with colons between them, as they are on the host, without
 *            "." and "..", none of them "/". A path is compared by its parts: "/a" is not above
 *            "/ab". What links make of it is for whoever opens it.
 * Errors:    INVALID, by the folder.
 */
#pragma once

#include <stddef.h>

#include "shared/base/error.h"

/* Of a node's Lease: its agent's list. */
#define XB_HOST_PATHS_ANNOTATION "xebec.io/host-paths"

/* The same: "true" if the agent can read and write raw block devices. */
#define XB_BLOCK_DEVICES_ANNOTATION "xebec.io/block-devices"

enum { XB_HOST_PATHS_BYTES = 4096 };

int xb_host_paths_check(const char *list, struct xb_error *err) XB_MUST_CHECK;

/* How much of `path` is the folder on the list that it is or lies beneath, the longest of them; 0:
 * there is none, or `path` is not plain. `list` may be NULL. */
size_t xb_host_paths_find(const char *list, const char *path);
