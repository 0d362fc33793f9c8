/* SPDX-License-Identifier: Apache-2.0
 *
 * credentials.h - who we are to an S3 server, from AWS's files and environment.
 *
 * What for:  the places where AWS's own tools look, in their order.
 * Ownership: the caller frees with xb_s3_credentials_done; a zeroed struct may be done.
 * Threads:   read-only after creation; loading reads the environment.
 * Blocking:  reads files.
 * Shapes:    INI files: "[default]", in the config file "[profile x]"; keys in small letters.
 * Errors:    DENIED: no credentials, with where they were looked for; INVALID: a profile that is
 *            not there, or half of a pair. No text ever holds a key.
 * Limits:    files of XB_SECRET_BYTES_MAX bytes.
 * Source:    "Configuration and credential file settings" of the AWS CLI's manual.
 */
#pragma once

#include <stdbool.h>

#include "shared/base/secret.h"

struct xb_store_s3_options;

enum { XB_S3_KEY_ID_BYTES_MAX = 200, XB_S3_REGION_BYTES_MAX = 64 };

struct xb_s3_credentials {
    char id[XB_S3_KEY_ID_BYTES_MAX + 1];
    struct xb_secret *secret;
    struct xb_secret *token; /* of temporary credentials; else NULL */
    char region[XB_S3_REGION_BYTES_MAX + 1];
};

int xb_s3_credentials_load(const struct xb_store_s3_options *options, struct xb_s3_credentials *ret,
                           struct xb_error *err) XB_MUST_CHECK;
void xb_s3_credentials_done(struct xb_s3_credentials *credentials);

/* Takes what profile `profile` of an INI text says and is not yet set; true when the profile is
 * there. `config`: sections are called "profile x". */
int xb_s3_credentials_parse(const char *text, const char *profile, bool config,
                            struct xb_s3_credentials *into, bool *ret_found,
                            struct xb_error *err) XB_MUST_CHECK;
