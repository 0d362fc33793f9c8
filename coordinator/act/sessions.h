/* SPDX-License-Identifier: Apache-2.0
 *
 * sessions.h - sessions that the coordinator holds open in pods while they are copied; for the
 *              files of this folder only.
 *
 * What for:  what a pod's hooks cannot hold, as their connection to a database ends with them. When
 *            one is begun, when it must still be there and when it is told to end is the bracket's
 *            to say (shared/velero/bracket.h); here is how.
 * Ownership: struct xb_held is its caller's, and empty while nothing is held.
 * Threads:   one step at a time per backup.
 * Blocking:  as shared/kube/session.h.
 * Limits:    one session per pod of a block; a session that dies is seen by the next look.
 */
#pragma once

#include "shared/kube/session.h"
#include "shared/velero/bracket.h"

struct xb_held {
    struct xb_kube_session *session; /* NULL: none */
    bool copied; /* it was there when everything had been copied: what follows is no loss */
};

struct xb_held_pod {
    struct xb_kube_client *client;
    const char *namespace, *name;
    const atomic_bool *cancel;
};

/* As xb_bracket_run.hold, .holds and .release. What is lost, or was told to end, is freed. */
int xb_held_begin(struct xb_held *held, const struct xb_held_pod *pod,
                  const struct xb_hook *session, xb_json *result,
                  struct xb_error *err) XB_MUST_CHECK;
bool xb_held_lasts(struct xb_held *held, xb_json *result);
bool xb_held_end(struct xb_held *held, xb_json *result);

/* Whether it has been lost meanwhile: then nothing is to be waited for. */
bool xb_held_look(struct xb_held *held);
/* Everything has been copied. */
void xb_held_copied(struct xb_held *held);
/* Closes the connection, upon which the command ends by itself. */
void xb_held_free(struct xb_held *held);
