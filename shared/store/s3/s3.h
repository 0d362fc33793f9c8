/* SPDX-License-Identifier: Apache-2.0
 *
 * s3.h - a bucket of an S3 server as a store.
 *
 * What for:  the driver for AWS's S3 and the many servers that speak its protocol. xb_store_open
 *            takes "s3://bucket/prefix?..." (store.h) and fills these options from it and the
 *            environment; Velero's BackupStorageLocation fills them itself.
 * Ownership: everything here is borrowed during the call, `limits` while the store lives.
 * Threads:   any; transfers run at once on at most connections_max connections, which are kept and
 *            used again.
 * Blocking:  yes. Opening reads files and the environment, and asks the server nothing.
 * Shapes:    an object's key is the prefix, a '/' and its name. Whole objects are one PutObject up
 *            to 4 parts' size (256 MiB), a multipart upload above; uploads are staged, in memory up
 *            to XB_S3_STAGED_MEMORY_MAX for the whole process, beyond that in an unlinked file of
 *            scratch_dir, so that they can be sent again.
 * Errors:    as store.h; INVALID for options that make no sense, a bucket that does not exist or is
 *            elsewhere; DENIED names what the server said and what to do. Passing failures are
 *            tried again here, with a bounded number of attempts.
 * Source:    the S3 REST API (2006-03-01), AWS Signature Version 4, kopia-format section 1.
 */
#pragma once

#include "shared/base/secret.h"
#include "shared/http/limits.h"
#include "shared/http/retry.h"
#include "shared/store/store.h"

enum {
    XB_S3_PART_BYTES = 64 << 20,        /* default of part_bytes */
    XB_S3_CONNECTIONS_MAX = 16,         /* default of connections_max */
    XB_S3_STALL_S = 90,                 /* default of stall_s */
    XB_S3_CUSTOMER_KEY_BYTES = 32,      /* SSE-C: AES-256 */
    XB_S3_PRESIGN_S_MAX = 7 * 24 * 3600 /* the longest life of a presigned link */
};

/* How the bucket is named in a request: "https://host/bucket/key" is path style. */
enum xb_s3_path_style {
    XB_S3_PATH_AUTO, /* path style when an endpoint is given, or the bucket's name needs it */
    XB_S3_PATH_YES,
    XB_S3_PATH_NO
};

struct xb_store_s3_options {
    const char *bucket;
    const char *prefix;   /* "" or "a/b"; NULL: "" */
    const char *endpoint; /* "https://host[:port][/path]"; NULL: AWS's for the region. http://: no
                             TLS */
    const char *region;   /* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, us-east-1 */
    enum xb_s3_path_style path_style;

    /* The text of an AWS credentials file (NULL: the environment's AWS_ACCESS_KEY_ID,
     * AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; then the file AWS_SHARED_CREDENTIALS_FILE or
     * ~/.aws/credentials). */
    const char *credentials;
    const char *profile; /* NULL: AWS_PROFILE, "default" */
    bool shared_config;  /* read AWS_CONFIG_FILE or ~/.aws/config too */

    const char *ca_pem;  /* trusted roots; NULL and no ca_file: the system's */
    const char *ca_file; /* read once; ca_pem wins */
    bool insecure;       /* do not check the server's certificate */
    const char *client_cert_file, *client_key_file; /* PEM, read once */

    const char *server_side_encryption;   /* "AES256", "aws:kms"; NULL: the bucket's default */
    const char *kms_key_id;               /* implies "aws:kms" */
    const struct xb_secret *customer_key; /* SSE-C, 32 bytes; needs TLS */
    const char *tagging;                  /* "key=value&key2=value2"; NULL: none */
    const char *checksum_algorithm;       /* CRC32, CRC32C, SHA1, SHA256; "": none; NULL: CRC32 */

    const char *scratch_dir; /* where uploads are staged; NULL: TMPDIR, /var/tmp, /tmp */
    bool read_only;
    unsigned connections_max;      /* 0: XB_S3_CONNECTIONS_MAX */
    struct xb_http_limits *limits; /* shared by all clients of the process; may be NULL */
    struct xb_http_retry retry;    /* zeroes: the driver's own */
    uint64_t part_bytes;           /* of multipart uploads, of objects of more than 4 parts; 0:
                                      XB_S3_PART_BYTES. For tests: AWS takes none below 5 MiB */
    int stall_s; /* a transfer that stands still this long is tried again; 0: XB_S3_STALL_S */
};

int xb_store_s3_open(const struct xb_store_s3_options *options, struct xb_store **ret,
                     struct xb_error *err) XB_MUST_CHECK;

/* How far the server's clock was ahead of ours in its last answer; false when no answer of a
 * driver of this kind has said a time yet. To the second. */
bool xb_store_s3_clock_offset(struct xb_store *store, int64_t *ret_ns);

/* How much of the disk the uploads of this process may take before they are sent (0: the default):
 * who wants more waits while others are being sent. */
#define XB_S3_STAGED_BYTES_MAX (UINT64_C(1) << 30)
void xb_store_s3_stage_limit(uint64_t bytes);

/* How much of the memory they take before they go to the disk. For tests: less than the default. */
enum { XB_S3_STAGED_MEMORY_MAX = 32 << 20 };
void xb_store_s3_stage_memory(size_t bytes);
