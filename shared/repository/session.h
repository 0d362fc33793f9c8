/* SPDX-License-Identifier: Apache-2.0
 *
 * session.h - the marker that protects a writer's packs until they are indexed.
 *
 * What for:  a session's id, its marker blob, and its end. Internal to the repository.
 * Ownership: the caller owns the struct; all zeros is "no session".
 * Threads:   the caller locks.    Blocking: yes (store).
 * Errors:    INVALID when this machine's clock and the store's differ by more than the format
 *            tolerates: ages of blobs decide what is deleted. CONFLICT when a session is so old
 *            that its packs may have been deleted by others.
 * Limits:    a session is used for XB_SESSION_HOURS_MAX: its marker protects packs for 96 hours.
 *            The marker of one that took longer than XB_SESSION_HOURS_SHORT is left where it is:
 *            maintenance may have looked at the index before the commit, and looks for the marker
 *            after it; only packs of the last 24 hours are safe without one.
 * Source:    kopia-format sections 7, 13.1 and 13.7.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/clock.h"
#include "shared/repository/seal.h"
#include "shared/store/store.h"

enum {
    XB_SESSION_ID_BYTES = 32,
    XB_SESSION_SKEW_S_MAX = 300,
    XB_SESSION_HOURS_MAX = 72,
    XB_SESSION_HOURS_SHORT = 12
};

struct xb_session {
    char id[XB_SESSION_ID_BYTES]; /* "": none */
    char marker[XB_SEAL_BLOB_NAME_BYTES];
    int64_t begun_ns; /* wall time, as its marker says */
};

struct xb_session_owner {
    const char *username, *hostname;
};

/* Puts the marker; afterwards packs may be written under session->id. */
int xb_session_begin(struct xb_session *session, struct xb_store *store,
                     const struct xb_sealer *sealer, const struct xb_session_owner *owner,
                     const struct xb_clock *clock, struct xb_error *err) XB_MUST_CHECK;
/* CONFLICT if the session is too old to be relied upon. */
int xb_session_check_age(const struct xb_session *session, int64_t now_ns,
                         struct xb_error *err) XB_MUST_CHECK;
/* Ends the session, once everything is indexed, and removes its marker if it was short. When that
 * fails the session is over all the same: the marker goes when it is old. */
int xb_session_end(struct xb_session *session, struct xb_store *store, int64_t now_ns,
                   struct xb_error *err) XB_MUST_CHECK;
