/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate.h - the coordinator's own certificate authority and server certificate.
 *
 * What for:  downloads are served over TLS without asking the operator for certificates: an
 *            authority is made once, and a server certificate signed by it whenever the old one
 *            must go.
 * Ownership: the caller frees a certificate; the key in it is zeroed then.
 * Threads:   any; nothing is shared.
 * Blocking:  never; CPU only.
 * Shapes:    PEM text; EC P-256; times in seconds since 1970. A certificate from elsewhere may be a
 *            chain, its own one first, with any kind of key.
 * Errors:    CORRUPT: not PEM, a key under a password, a key of another certificate; INVALID: a
 *            name that is neither a DNS name nor an IP address. No text shows a key.
 * Limits:    XB_CERTIFICATE_PEM_BYTES_MAX, XB_CERTIFICATE_NAMES_MAX.
 * Source:    RFC 5280, RFC 6125.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/cleanup.h"
#include "shared/base/error.h"
#include "shared/base/secret.h"

enum { XB_CERTIFICATE_PEM_BYTES_MAX = 65536, XB_CERTIFICATE_NAMES_MAX = 64 };

#define XB_CERTIFICATE_DAY_S INT64_C(86400)
#define XB_CERTIFICATE_CA_S (3650 * XB_CERTIFICATE_DAY_S)
#define XB_CERTIFICATE_SERVER_S (365 * XB_CERTIFICATE_DAY_S)

struct xb_certificate {
    char *pem;             /* NUL-terminated */
    struct xb_secret *key; /* PEM */
};

/* DNS names ("velero.velero.svc") and addresses ("10.0.0.1", "fd00::1"), as the client dials them.
 */
struct xb_certificate_names {
    const char *const *names;
    size_t count;
};

/* A self-signed authority for XB_CERTIFICATE_CA_S from now. `common_name`: 1 to 64 bytes. */
int xb_certificate_make_ca(const char *common_name, int64_t now_s, struct xb_certificate **ret,
                           struct xb_error *err) XB_MUST_CHECK;

/* Whether a certificate can be made for it: a DNS name or an address (pure). */
bool xb_certificate_name_valid(const char *name);

/* A certificate for TLS servers, for XB_CERTIFICATE_SERVER_S but never longer than its authority.
 */
int xb_certificate_make_server(const struct xb_certificate *ca,
                               const struct xb_certificate_names *names, int64_t now_s,
                               struct xb_certificate **ret, struct xb_error *err) XB_MUST_CHECK;

/* From a Secret or a file; copies both. The key must be that of the (first) certificate. */
int xb_certificate_load(const char *pem, size_t pem_len, const struct xb_secret *key,
                        struct xb_certificate **ret, struct xb_error *err) XB_MUST_CHECK;

enum xb_certificate_fault {
    XB_CERTIFICATE_GOOD = 0,
    XB_CERTIFICATE_OLD,     /* over, or so near to it that it must be replaced */
    XB_CERTIFICATE_EARLY,   /* not valid yet: a clock is or was wrong */
    XB_CERTIFICATE_PURPOSE, /* not an authority, or not for servers */
    XB_CERTIFICATE_ISSUER,  /* not signed by the authority */
    XB_CERTIFICATE_NAMES    /* some name is not in it */
};

struct xb_certificate_state {
    enum xb_certificate_fault fault; /* anything but GOOD: replace it now */
    int64_t not_before_s, not_after_s;
    int64_t renew_at_s; /* from then on it is OLD: look again */
};

/* An authority is OLD as soon as it can no longer sign a server certificate of full length. */
int xb_certificate_check_ca(const struct xb_certificate *ca, int64_t now_s,
                            struct xb_certificate_state *ret, struct xb_error *err) XB_MUST_CHECK;

struct xb_certificate_wanted {
    const struct xb_certificate *ca;          /* NULL: whoever signed it */
    const struct xb_certificate_names *names; /* NULL: whatever the names */
    int64_t now_s;
};

/* OLD in the last third of its life. */
int xb_certificate_check_server(const struct xb_certificate *certificate,
                                const struct xb_certificate_wanted *wanted,
                                struct xb_certificate_state *ret,
                                struct xb_error *err) XB_MUST_CHECK;

/* A short stable word ("good", "old", ...), for logs. */
const char *xb_certificate_fault_name(enum xb_certificate_fault fault);

void xb_certificate_free(struct xb_certificate *certificate);
XB_DEFINE_CLEANUP(xb_certificate_freep, struct xb_certificate, xb_certificate_free);
