/* SPDX-License-Identifier: Apache-2.0
 *
 * location_s3.h - what a BackupStorageLocation says of an S3 store; for location.c and its tests.
 *
 * What for:  the config keys of Velero's plugin for AWS become the options of the S3 driver: every
 *            key is understood or refused by its name, so that nothing that was asked for is left
 *            out in silence. The Secrets that the location names are read here.
 * Ownership: xb_location_s3_done frees what was read and zeroes what is secret; the options point
 *            into the struct and into `location`, which must live as long.
 * Threads:   any.    Blocking: yes, where Secrets or files are named.
 * Errors:    INVALID: a key or value that makes no sense, named; the Kubernetes client's and the
 *            file's, with what has to be put right.
 * Limits:    XB_LOCATION_CA_BYTES_MAX of certificates; a Secret's value: XB_SECRET_BYTES_MAX.
 * Source:    velero-contract section 6 (BSL provider `aws`).
 */
#pragma once

#include "shared/base/secret.h"
#include "shared/store/s3/s3.h"
#include "shared/velero/location.h"

enum { XB_LOCATION_CA_BYTES_MAX = 1024 * 1024 };

struct xb_location_s3 {
    struct xb_store_s3_options options;
    struct xb_secret *credentials, *customer_key;
    struct xb_buf ca;
    char prefix[XB_STORE_NAME_BYTES_MAX], endpoint[XB_STORE_NAME_BYTES_MAX];
};

int xb_location_s3_read(xb_json *location, const struct xb_location_access *access,
                        struct xb_location_s3 *ret, struct xb_error *err) XB_MUST_CHECK;
void xb_location_s3_done(struct xb_location_s3 *s3);
