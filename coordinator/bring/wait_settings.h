/* SPDX-License-Identifier: Apache-2.0
 *
 * wait_settings.h - what the ConfigMap of velero.io/pod-volume-restore says of `restore-wait`.
 *
 * What for:  the image, the resources, the securityContext and the command of the container in
 *            which restored pods wait for the data of their volumes.
 * Ownership: the caller owns the settings (xb_wait_settings_free); their texts are copies.
 * Threads:   none shared.    Blocking: never (pure).
 * Shapes:    the `data` of a ConfigMap: keys image, command, cpuRequest, memRequest, cpuLimit,
 *            memLimit, secCtxRunAsUser, secCtxRunAsGroup, secCtxAllowPrivilegeEscalation, and
 *            secCtx (YAML of a whole securityContext, whose fields beat the three before).
 *            Amounts of 0 are no limit. An image without a tag gets the server's, one without a
 *            registry is not used: both as with Velero.
 * Errors:    a value that makes no sense is told by its key, and the default is used instead, for
 *            all amounts or the whole securityContext together: the volumes come back all the same.
 * Source:    velero-contract section 4, "Pod volumes".
 */
#pragma once

#include "coordinator/record/log.h"
#include "shared/codec/json.h"

enum { XB_WAIT_IMAGE_BYTES = 512, XB_WAIT_COMMAND_BYTES = 1024, XB_WAIT_AMOUNT_BYTES = 64 };

/* Of its four amounts. */
enum xb_wait_amount {
    XB_WAIT_CPU_REQUEST,
    XB_WAIT_MEMORY_REQUEST,
    XB_WAIT_CPU_LIMIT,
    XB_WAIT_MEMORY_LIMIT,
    XB_WAIT_AMOUNTS
};

/* Empty, or NULL: the default. */
struct xb_wait_settings {
    char image[XB_WAIT_IMAGE_BYTES], command[XB_WAIT_COMMAND_BYTES];
    char amounts[XB_WAIT_AMOUNTS][XB_WAIT_AMOUNT_BYTES]; /* "0": none */
    xb_json *security;
};

/* Told of each value that cannot be used, an error, and of each that has no effect, a warning.
 * `text` names the key. */
typedef void xb_wait_problem_fn(void *context, enum xb_record_level level, const char *text);

/* `own_image`: the server's. `data` may be anything, also NULL. Fails only for want of memory. */
int xb_wait_settings_parse(xb_json *data, const char *own_image, xb_wait_problem_fn *problem,
                           void *context, struct xb_wait_settings *ret,
                           struct xb_error *err) XB_MUST_CHECK;
void xb_wait_settings_free(struct xb_wait_settings *settings); /* what they own */
