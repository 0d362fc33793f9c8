/* SPDX-License-Identifier: Apache-2.0
 *
 * point_in_time.h - of which moment a volume's backup is, and how well it holds together.
 *
 * What for:  an agent writes it on its order (a PodVolumeBackup) as an annotation, as soon as
 *            nothing more is read from the application's own files: at once where there is a copy
 *            of them, at the end of the reading where there is none. So it is both the record of
 *            what the backup is worth, and the only sign by which whoever holds the application
 *            lets it go on (a phase says nothing of the kind: Velero's agents set some of them
 *            before they have read anything).
 * Ownership: plain values; a patch is the caller's.
 * Threads:   any.    Blocking: never (pure).
 * Shapes:    annotation XB_POINT_IN_TIME_ANNOTATION: {"uid": the order's, "method",
 *            "consistency": "crash", "per-file" or "fuzzy", "time", "copyMicroseconds",
 *            "frozenMicroseconds", "heldMicroseconds", "changedFiles", "reason", "problem"}, of
 *            which the last five may be missing. Annotation XB_HELD_ANNOTATION, by the
 *            coordinator: "true", it holds the application until the order says of which moment it
 *            is; a copy is made before all else. "soon": it will, and nothing is read before; what
 *            a copy needs is prepared, so that making it takes moments. Then the agent writes
 *            XB_PREPARED_ANNOTATION, the order's uid: nobody has to wait for it any longer,
 *            whatever has come of it.
 * Rules:     an annotation with another uid than its order's was copied along with something, and
 *            says nothing.
 * Errors:    INVALID: an annotation that is none of ours.
 * Limits:    XB_POINT_IN_TIME_*.
 */
#pragma once

#include "shared/codec/json.h"

#define XB_POINT_IN_TIME_ANNOTATION "xebec.io/point-in-time"
#define XB_HELD_ANNOTATION "xebec.io/held"
#define XB_PREPARED_ANNOTATION "xebec.io/prepared"
/* On a node's Lease: "true", its agent knows what "soon" means. */
#define XB_PREPARES_ANNOTATION "xebec.io/prepares"
/* Method of a volume that was read as it was, while others may have written it. */
#define XB_POINT_IN_TIME_LIVE "live"

enum {
    XB_POINT_IN_TIME_BYTES_MAX = 4 << 10,
    XB_POINT_IN_TIME_UID_BYTES = 64,
    XB_POINT_IN_TIME_METHOD_BYTES = 32, /* letters, digits and hyphens */
    XB_POINT_IN_TIME_WHY_BYTES = 400,
    XB_POINT_IN_TIME_TEXT_BYTES = 1200
};

enum xb_consistency {
    XB_CONSISTENCY_FUZZY,    /* files are of different moments, and some changed while they were
                                read */
    XB_CONSISTENCY_PER_FILE, /* each file is of one moment, but not all of the same */
    XB_CONSISTENCY_CRASH,    /* all of one moment, as after a loss of power */
    XB_CONSISTENCIES
};

struct xb_point_in_time {
    char uid[XB_POINT_IN_TIME_UID_BYTES];
    char method[XB_POINT_IN_TIME_METHOD_BYTES];
    enum xb_consistency consistency;
    int64_t time_ns;   /* wall: when the copy was made; of a live read, when it had ended */
    int64_t copy_us;   /* how long the copy took to be made; of a live read, the reading */
    int64_t frozen_us; /* how long the file system was frozen for it; 0: it was not */
    int64_t held_us; /* from the end of the last pre hook to the begin of the first post hook, where
                      one agent has run both; negative: not known */
    int64_t changed_files;                    /* changed again and again while they were read */
    char reason[XB_POINT_IN_TIME_WHY_BYTES];  /* why there is no better method; "": there is none */
    char problem[XB_POINT_IN_TIME_WHY_BYTES]; /* an error for an administrator; "": none */
};

/* 1: the order says of which moment it is; 0: it does not. `order` may be NULL. */
int xb_point_in_time_parse(xb_json *order, struct xb_point_in_time *ret,
                           struct xb_error *err) XB_MUST_CHECK;
/* Whether nothing more is read from the application's own files. */
bool xb_point_in_time_fixed(xb_json *order);
/* Whether the coordinator waits for just that. */
bool xb_point_in_time_held(xb_json *order);
/* Whether it will. */
bool xb_point_in_time_held_soon(xb_json *order);
/* Whether the agent has prepared for it. */
bool xb_point_in_time_prepared(xb_json *order);

/* A merge patch for the order; what is longer than its field is cut. */
int xb_point_in_time_patch(const struct xb_point_in_time *point, xb_json **ret,
                           struct xb_error *err) XB_MUST_CHECK;
/* The annotation's value as an object, for records. */
xb_json *xb_point_in_time_json(const struct xb_point_in_time *point);

const char *xb_consistency_name(enum xb_consistency consistency);
/* In words, for a log: "copied by btrfs-snapshot in 0.8 ms, crash-consistent; held for 1.9 ms". */
void xb_point_in_time_say(const struct xb_point_in_time *point,
                          char out[XB_POINT_IN_TIME_TEXT_BYTES]);
