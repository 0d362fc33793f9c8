/* SPDX-License-Identifier: Apache-2.0
 *
 * fault.h - what an S3 server's refusal means, and what to do about it.
 *
 * What for:  the one place that knows S3's error codes. Pure.
 * Ownership: borrowed during the call.
 * Threads:   any.    Blocking: never.
 * Shapes:    the server's own words are shown bounded and without control bytes: they are hostile
 *            until cleaned.
 * Errors:    sets one, by design.
 * Source:    S3's "Error responses".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"

enum {
    XB_S3_FAULT_CODE_BYTES = 64,
    XB_S3_FAULT_MESSAGE_BYTES = 200,
    XB_S3_FAULT_SKEW_S = 15 * 60 /* how far apart S3 lets the clocks be */
};

struct xb_s3_fault {
    int status;
    char code[XB_S3_FAULT_CODE_BYTES];       /* "": the answer named none */
    char message[XB_S3_FAULT_MESSAGE_BYTES]; /* cleaned */
    char region[XB_S3_FAULT_CODE_BYTES];     /* where the bucket is, when it said so */
};

/* Fills code, message and region from an answer's body, which may be anything. */
void xb_s3_fault_parse(const char *body, size_t len, struct xb_s3_fault *into);

/* Whether the same request may do better later. */
bool xb_s3_fault_passing(const struct xb_s3_fault *fault);

struct xb_s3_fault_about {
    const char *what; /* the object's name, or NULL: the bucket */
    const char *bucket;
    const char *region; /* ours */
    int64_t clock_ns;   /* server minus us */
    bool clock_known;
};

/* Sets `err` and returns its code. */
int xb_s3_fault_tell(const struct xb_s3_fault *fault, const struct xb_s3_fault_about *about,
                     struct xb_error *err);
