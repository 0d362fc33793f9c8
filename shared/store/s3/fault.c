/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"
#include "shared/store/s3/xml.h"

/* Printable and bounded: what a server says goes into logs and to terminals. */
static void clean(char *to, size_t room, const char *from)
{
    size_t len = 0;
    for (; *from && len + 1 < room; from++) {
        unsigned char c = (unsigned char)*from;
        to[len++] = (char)(c < ' ' || c == 0x7f ? ' ' : c);
    }
    to[len] = '\0';
    if (!xb_utf8_valid(to, len)) {
        for (char *c = to; *c; c++) {
            *c = (unsigned char)*c < 0x80 ? *c : '?';
        }
    }
}

void xb_s3_fault_parse(const char *body, size_t len, struct xb_s3_fault *into)
{
    struct xb_xml xml;
    struct xb_error ignored = XB_ERROR_INIT;
    enum xb_xml_event event = XB_XML_OPEN;
    bool error = false;
    xb_xml_begin(&xml, body ? body : "", body ? len : 0);
    while (xb_xml_next(&xml, &event, &ignored) == 0 && event != XB_XML_END) {
        if (event == XB_XML_OPEN) {
            error = error || (xml.depth == 1 && strcmp(xml.name, "Error") == 0);
        } else if (!error || xml.depth != 1) {
            continue;
        } else if (strcmp(xml.name, "Code") == 0) {
            clean(into->code, sizeof into->code, xb_xml_text(&xml));
        } else if (strcmp(xml.name, "Message") == 0) {
            clean(into->message, sizeof into->message, xb_xml_text(&xml));
        } else if (strcmp(xml.name, "Region") == 0) {
            clean(into->region, sizeof into->region, xb_xml_text(&xml));
        }
    }
    xb_xml_done(&xml);
}

struct meaning {
    const char *code;
    enum xb_error_kind kind;
    int errno_value;
    const char *advice;
};

static const struct meaning meanings[] = {
    {"AccessDenied", XB_ERR_DENIED, EACCES,
     "these credentials may not do this: the bucket's policy must allow GetObject, PutObject, "
     "DeleteObject, AbortMultipartUpload and ListBucket"},
    {"AllAccessDisabled", XB_ERR_DENIED, EACCES, "the bucket's owner has closed it"},
    {"AccountProblem", XB_ERR_DENIED, EACCES, "the account is blocked: ask the provider"},
    {"SignatureDoesNotMatch", XB_ERR_DENIED, EACCES,
     "is the secret access key right, and does no proxy change the requests?"},
    {"InvalidAccessKeyId", XB_ERR_DENIED, EACCES,
     "the server does not know this access key id: is it this server's?"},
    {"XAdminUserNotFound", XB_ERR_DENIED, EACCES,
     "the server does not know this access key id: is it this server's?"},
    {"ExpiredToken", XB_ERR_DENIED, EACCES, "the temporary credentials are over: get new ones"},
    {"TokenRefreshRequired", XB_ERR_DENIED, EACCES, "get new temporary credentials"},
    {"InvalidToken", XB_ERR_DENIED, EACCES,
     "the session token does not belong to these credentials"},
    {"InvalidObjectState", XB_ERR_DENIED, EACCES,
     "the object lies in an archive tier: bring it back first"},
    {"NoSuchBucket", XB_ERR_INVALID, EINVAL, "make the bucket, or correct its name"},
    {"InvalidBucketName", XB_ERR_INVALID, EINVAL, "correct the bucket's name"},
    {"NoSuchKey", XB_ERR_NOT_FOUND, ENOENT, NULL},
    {"NoSuchUpload", XB_ERR_IO, EIO, "somebody has aborted the upload: does a lifecycle rule?"},
    {"PreconditionFailed", XB_ERR_CONFLICT, EEXIST, "it exists already"},
    {"ConditionalRequestConflict", XB_ERR_RETRY, EAGAIN, NULL},
    {"OperationAborted", XB_ERR_RETRY, EAGAIN, NULL},
    {"InvalidRange", XB_ERR_CORRUPT, EBADMSG, "the object is shorter than it must be"},
    {"SlowDown", XB_ERR_RETRY, EAGAIN, "the server asks for fewer requests"},
    {"ServiceUnavailable", XB_ERR_RETRY, EAGAIN, NULL},
    {"InternalError", XB_ERR_RETRY, EAGAIN, NULL},
    {"RequestTimeout", XB_ERR_RETRY, ETIMEDOUT, NULL},
    {"IncompleteBody", XB_ERR_RETRY, EIO, NULL},
    {"BadDigest", XB_ERR_RETRY, EIO, "the bytes were changed on their way"},
    {"XAmzContentSHA256Mismatch", XB_ERR_RETRY, EIO, "the bytes were changed on their way"},
    {"XAmzContentChecksumMismatch", XB_ERR_RETRY, EIO, "the bytes were changed on their way"},
    {"QuotaExceeded", XB_ERR_FULL, EDQUOT, "the bucket's quota is used up"},
    {"XMinioStorageFull", XB_ERR_FULL, ENOSPC, "the server's disks are full"},
    {"InsufficientStorage", XB_ERR_FULL, ENOSPC, "the server's disks are full"},
    {"EntityTooLarge", XB_ERR_FULL, EFBIG, "the server takes no object of this size"},
    {"KeyTooLongError", XB_ERR_INVALID, ENAMETOOLONG, "use a shorter prefix"},
    {"InvalidEncryptionAlgorithmError", XB_ERR_INVALID, EINVAL,
     "correct serverSideEncryption: AES256 or aws:kms"},
    {"KMS.NotFoundException", XB_ERR_DENIED, EACCES, "there is no such KMS key in this region"},
    {"KMS.DisabledException", XB_ERR_DENIED, EACCES, "the KMS key is disabled"},
    {"InvalidStorageClass", XB_ERR_INVALID, EINVAL, NULL},
    {"NotImplemented", XB_ERR_INVALID, ENOSYS, "this server lacks something that is needed"},
};

static const struct meaning *find(const char *code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strcmp(meanings[i].code, code) == 0) {
            return &meanings[i];
        }
    }
    return NULL;
}

/* By the status: a HEAD's answer has no body, gateways send their own pages, and some servers have
 * codes of their own. */
static struct meaning by_status(int status, const char *code)
{
    bool missing = !code[0] || strncmp(code, "NoSuch", 6) == 0 || strcmp(code, "NotFound") == 0;
    if (status == 401 || status == 403) {
        return (struct meaning){NULL, XB_ERR_DENIED, EACCES,
                                "are the credentials and their rights as they should be?"};
    }
    if (status == 404 && missing) {
        return (struct meaning){NULL, XB_ERR_NOT_FOUND, ENOENT, NULL};
    }
    if (status == 412) {
        return (struct meaning){NULL, XB_ERR_CONFLICT, EEXIST, "it exists already"};
    }
    if (status == 416) {
        return (struct meaning){NULL, XB_ERR_CORRUPT, EBADMSG,
                                "the object is shorter than it must be"};
    }
    if (status == 507) {
        return (struct meaning){NULL, XB_ERR_FULL, ENOSPC, "the server's disks are full"};
    }
    if (status == 408 || status == 409 || status == 429 || (status >= 500 && status != 501)) {
        return (struct meaning){NULL, XB_ERR_RETRY, EAGAIN, NULL};
    }
    return (struct meaning){NULL, XB_ERR_INVALID, EINVAL,
                            "is the endpoint an S3 server, and is the address right?"};
}

bool xb_s3_fault_passing(const struct xb_s3_fault *fault)
{
    const struct meaning *known = find(fault->code);
    return known ? known->kind == XB_ERR_RETRY
                 : by_status(fault->status, fault->code).kind == XB_ERR_RETRY;
}

/* "the server answers 403 AccessDenied (words)" */
static void answer_text(const struct xb_s3_fault *fault, char *out, size_t room)
{
    snprintf(out, room, "the server answers %d%s%s%s%s%s", fault->status, fault->code[0] ? " " : "",
             fault->code, fault->message[0] ? " (" : "", fault->message,
             fault->message[0] ? ")" : "");
}

static bool is(const struct xb_s3_fault *fault, const char *code)
{
    return strcmp(fault->code, code) == 0;
}

static int tell_clock(const struct xb_s3_fault_about *about, const char *answer,
                      struct xb_error *err)
{
    int64_t seconds = about->clock_ns / XB_NS_PER_S;
    char by[64] = "";
    if (about->clock_known && seconds != 0) {
        snprintf(by, sizeof by, " by %" PRId64 " s: it is %s", seconds < 0 ? -seconds : seconds,
                 seconds < 0 ? "fast" : "slow");
    }
    return xb_error_set(err, XB_ERR_DENIED, -EACCES,
                        "this machine's clock differs from the server's%s. Set it (chrony, "
                        "systemd-timesyncd): %s",
                        by, answer);
}

static int tell_region(const struct xb_s3_fault *fault, const struct xb_s3_fault_about *about,
                       const char *answer, struct xb_error *err)
{
    if (fault->region[0] && strcmp(fault->region, about->region) != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "bucket %.100s is in region %s, not in %.60s: set region=%s (%s)",
                            about->bucket, fault->region, about->region, fault->region, answer);
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "bucket %.100s has another endpoint or region than this one (%.60s): "
                        "correct them (%s)",
                        about->bucket, about->region, answer);
}

int xb_s3_fault_tell(const struct xb_s3_fault *fault, const struct xb_s3_fault_about *about,
                     struct xb_error *err)
{
    char answer[XB_S3_FAULT_CODE_BYTES + XB_S3_FAULT_MESSAGE_BYTES + 64];
    answer_text(fault, answer, sizeof answer);
    int64_t apart = about->clock_ns < 0 ? -about->clock_ns : about->clock_ns;
    bool skewed = fault->status == 403 && !fault->code[0] && about->clock_known &&
                  apart > XB_S3_FAULT_SKEW_S * XB_NS_PER_S; /* a HEAD's answer says no code */
    if (is(fault, "RequestTimeTooSkewed") || skewed) {
        return tell_clock(about, answer, err);
    }
    if (fault->status == 301 || fault->status == 307 || is(fault, "PermanentRedirect") ||
        is(fault, "AuthorizationHeaderMalformed") ||
        is(fault, "IllegalLocationConstraintException")) {
        return tell_region(fault, about, answer, err);
    }
    const struct meaning *known = find(fault->code);
    struct meaning meaning = known ? *known : by_status(fault->status, fault->code);
    if (about->what && meaning.kind == XB_ERR_NOT_FOUND) {
        return xb_error_set(err, meaning.kind, -ENOENT, "%.300s does not exist", about->what);
    }
    if (!about->what && meaning.kind == XB_ERR_NOT_FOUND) {
        meaning = *find("NoSuchBucket");
    }
    return xb_error_set(err, meaning.kind, -meaning.errno_value, "%s%.200s: %s%s%s",
                        about->what ? "" : "bucket ", about->what ? about->what : about->bucket,
                        answer, meaning.advice ? ": " : "", meaning.advice ? meaning.advice : "");
}
