/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - the marker that protects a writer's packs until they are indexed.
 *
 * What for:  a session's id, its marker blob, and its end. Internal to the repository.
 * Ownership: the caller owns the struct; all zeros is "no session".
 * Threads:   the caller locks.    Blocking: yes (store).
 * Errors:    INVALID when this machine's clock and the store's differ by more than the format
 *            tolerates: ages of blobs decide what is deleted.
 * Source:    kopia-format sections 7 and 13.1.
 */
#pragma once

#include <stdbool.h>

#include "shared/repository/seal.h"
#include "shared/store/store.h"

enum { XB_SESSION_ID_BYTES = 32, XB_SESSION_SKEW_S_MAX = 300 };

struct xb_session {
    char id[XB_SESSION_ID_BYTES]; /* "": none */
    char marker[XB_SEAL_BLOB_NAME_BYTES];
};

struct xb_session_owner {
    const char *username, *hostname;
};

/* Puts the marker; afterwards packs may be written under session->id. */
int xb_session_begin(struct xb_session *session, struct xb_store *store,
                     const struct xb_sealer *sealer, const struct xb_session_owner *owner,
                     int64_t now_ns, struct xb_error *err) XB_MUST_CHECK;
/* Removes the marker once everything is indexed. */
int xb_session_end(struct xb_session *session, struct xb_store *store,
                   struct xb_error *err) XB_MUST_CHECK;
