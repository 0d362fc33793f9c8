/* SPDX-License-Identifier: Apache-2.0
 *
 * containers.h - which container of a runtime is meant; and the requests, packed.
 *
 * What for:  inside agent/hooks only.
 * Ownership: caller's buffers.
 * Threads:   any.    Blocking: never (pure).
 * Errors:    CORRUPT: not a list of containers, or more of one than XB_CONTAINERS_BYTES_MAX in
 *            memory; INVALID: what no container can be named.
 */
#pragma once

#include "agent/hooks/cri.h"

enum {
    XB_CONTAINER_ID_BYTES = 129,
    XB_CONTAINER_WORD_BYTES_MAX = 253, /* of a pod's uid, or a container's name */
    XB_CONTAINERS_BYTES_MAX = 8 << 20  /* what an answer may take when it is unpacked */
};

/* Appends a ListContainersRequest for the running ones of that name in that pod. */
int xb_containers_request(const struct xb_cri_target *target, struct xb_buf *out,
                          struct xb_error *err) XB_MUST_CHECK;

/* From a ListContainersResponse: the running one with exactly these labels and the highest attempt.
 * What the runtime filtered is checked again. *ret "": none. */
int xb_containers_choose(const void *data, size_t len, const struct xb_cri_target *target,
                         char ret[XB_CONTAINER_ID_BYTES], struct xb_error *err) XB_MUST_CHECK;

/* Appends an ExecSyncRequest. */
int xb_containers_exec_request(const char *id, const char *const *argv, int64_t timeout_s,
                               struct xb_buf *out, struct xb_error *err) XB_MUST_CHECK;
