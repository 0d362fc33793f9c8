/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/random.h"
#include "shared/codec/json.h"
#include "shared/codec/text.h"

enum { RANDOM_BYTES = 8, MARKER_BYTES_MAX = 8192 };

#define YEAR_2000_S INT64_C(946684800)
#define MONTH_S (INT64_C(30) * 86400)

/* The store stamped the marker at some time while it was put: between `before` and `after` by our
 * clock, if the clocks agree. */
static int check_clock(struct xb_store *store, const char *marker, int64_t before_ns,
                       int64_t after_ns, struct xb_error *err)
{
    struct xb_store_item item;
    int r = xb_store_stat(store, marker, &item, err);
    if (r < 0) {
        return r;
    }
    int64_t skew_ns = item.mtime_ns > after_ns    ? item.mtime_ns - after_ns
                      : item.mtime_ns < before_ns ? item.mtime_ns - before_ns
                                                  : 0;
    int64_t skew_s = skew_ns / XB_NS_PER_S;
    if (skew_s > XB_SESSION_SKEW_S_MAX || skew_s < -XB_SESSION_SKEW_S_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ETIME,
                            "the clock of %s is %" PRId64 " s %s this machine's (at most %d are "
                            "safe): set the clock, then try again",
                            xb_store_describe(store), skew_s < 0 ? -skew_s : skew_s,
                            skew_s < 0 ? "behind" : "ahead of", XB_SESSION_SKEW_S_MAX);
    }
    return 0;
}

static int encode_marker(const char *id, const struct xb_session_owner *owner, int64_t now_ns,
                         struct xb_buf *out, struct xb_error *err)
{
    char now[XB_TIME_TEXT_BYTES];
    xb_time_format(now_ns, now);
    int r = xb_buf_printf(out, err,
                          "{\"id\":\"%s\",\"startTime\":\"%s\",\"checkpointTime\":\"%s\","
                          "\"username\":",
                          id, now, now);
    if (r < 0 || (r = xb_json_go_string(out, owner->username, strlen(owner->username), err)) < 0 ||
        (r = xb_buf_append_str(out, ",\"hostname\":", err)) < 0 ||
        (r = xb_json_go_string(out, owner->hostname, strlen(owner->hostname), err)) < 0) {
        return r;
    }
    return xb_buf_append_str(out, "}", err);
}

int xb_session_begin(struct xb_session *session, struct xb_store *store,
                     const struct xb_sealer *sealer, const struct xb_session_owner *owner,
                     const struct xb_clock *clock, struct xb_error *err)
{
    struct xb_session begun = {.begun_ns = clock->wall_ns(clock->context)};
    unsigned char random[RANDOM_BYTES];
    char hex[2 * RANDOM_BYTES + 1];
    xb_random_bytes(random, sizeof random);
    xb_hex_encode(random, sizeof random, hex);
    int64_t months = (begun.begun_ns / XB_NS_PER_S - YEAR_2000_S) / MONTH_S;
    snprintf(begun.id, sizeof begun.id, "s%s%" PRIx64, hex, (uint64_t)(months > 0 ? months : 0));

    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(MARKER_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(MARKER_BYTES_MAX);
    int r = encode_marker(begun.id, owner, begun.begun_ns, &plain, err);
    if (r < 0 ||
        (r = xb_seal_blob(sealer, "s", begun.id, plain.data, plain.len, begun.marker, &sealed,
                          err)) < 0 ||
        (r = xb_store_put(store, begun.marker, sealed.data, sealed.len, NULL, err)) < 0) {
        return r;
    }
    r = check_clock(store, begun.marker, begun.begun_ns, clock->wall_ns(clock->context), err);
    if (r < 0) {
        struct xb_error ignored = XB_ERROR_INIT;
        (void)!xb_store_delete(store, begun.marker, &ignored); /* no pack was written under it */
        return r;
    }
    *session = begun;
    return 0;
}

static int64_t age_hours(const struct xb_session *session, int64_t now_ns)
{
    return (now_ns - session->begun_ns) / (3600 * XB_NS_PER_S);
}

int xb_session_check_age(const struct xb_session *session, int64_t now_ns, struct xb_error *err)
{
    int64_t hours = age_hours(session, now_ns);
    if (hours < XB_SESSION_HOURS_MAX) {
        return 0;
    }
    return xb_error_set(err, XB_ERR_CONFLICT, -ESTALE,
                        "what was written since the last commit is %" PRId64
                        " hours old, and others may have removed it: nothing of it is kept; "
                        "start again",
                        hours);
}

int xb_session_end(struct xb_session *session, struct xb_store *store, int64_t now_ns,
                   struct xb_error *err)
{
    struct xb_session over = *session;
    *session = (struct xb_session){.id = ""};
    bool remove = over.id[0] && age_hours(&over, now_ns) < XB_SESSION_HOURS_SHORT;
    return remove ? xb_store_delete(store, over.marker, err) : 0;
}
