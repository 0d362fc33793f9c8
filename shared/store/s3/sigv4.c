/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/sigv4.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/codec/text.h"

enum { SHA256_BYTES = 32, SCOPE_BYTES = 256 };

#define ALGORITHM "AWS4-HMAC-SHA256"

void xb_sigv4_time(int64_t wall_ns, char out[XB_SIGV4_TIME_BYTES])
{
    time_t seconds = (time_t)(wall_ns / XB_NS_PER_S);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, XB_SIGV4_TIME_BYTES, "%Y%m%dT%H%M%SZ", &tm);
}

static bool unreserved(unsigned char byte)
{
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte >= '0' && byte <= '9') || (byte && strchr("-._~", byte));
}

/* Unlike a URL's usual form, everything but the unreserved bytes is encoded, with capital hex. */
static int encode(struct xb_buf *out, const char *text, bool path, struct xb_error *err)
{
    static const char hex[] = "0123456789ABCDEF";
    int r = 0;
    for (const char *c = text; *c && r == 0; c++) {
        unsigned char byte = (unsigned char)*c;
        bool plain = unreserved(byte) || (path && byte == '/');
        char code[3] = {'%', hex[byte >> 4], hex[byte & 15]};
        r = plain ? xb_buf_append(out, c, 1, err) : xb_buf_append(out, code, 3, err);
    }
    return r;
}

int xb_sigv4_path(struct xb_buf *out, const char *text, struct xb_error *err)
{
    return encode(out, text, true, err);
}

/* The order of two texts once they are encoded: '%' comes before all that stays as it is. */
static int encoded_order(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned char x = (unsigned char)*a, y = (unsigned char)*b;
    return (unreserved(x) ? 0x100 + x : x) - (unreserved(y) ? 0x100 + y : y);
}

/* Insertion sort: a handful of pairs, and headers of one name keep their order. */
static void sort(struct xb_sigv4_pair *pairs, size_t count, bool query)
{
    for (size_t i = 1; i < count; i++) {
        struct xb_sigv4_pair pair = pairs[i];
        size_t at = i;
        for (; at > 0; at--) {
            int order = query ? encoded_order(pairs[at - 1].name, pair.name)
                              : strcmp(pairs[at - 1].name, pair.name);
            if (order == 0 && query) {
                order = encoded_order(pairs[at - 1].value, pair.value);
            }
            if (order <= 0) {
                break;
            }
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = pair;
    }
}

int xb_sigv4_query(struct xb_buf *out, struct xb_sigv4_pair *pairs, size_t count,
                   struct xb_error *err)
{
    int r = 0;
    sort(pairs, count, true);
    for (size_t i = 0; i < count && r == 0; i++) {
        r = i > 0 ? xb_buf_append_str(out, "&", err) : 0;
        r = r ? r : encode(out, pairs[i].name, false, err);
        r = r ? r : xb_buf_append_str(out, "=", err);
        r = r ? r : encode(out, pairs[i].value, false, err);
    }
    return r;
}

/* A header's value without blanks around it, and runs of blanks within as one. */
static int append_trimmed(struct xb_buf *out, const char *value, struct xb_error *err)
{
    int r = 0;
    bool blank = false, any = false;
    for (const char *c = value; *c && r == 0; c++) {
        if (*c == ' ' || *c == '\t') {
            blank = true;
            continue;
        }
        if (blank && any) {
            r = xb_buf_append_str(out, " ", err);
        }
        r = r ? r : xb_buf_append(out, c, 1, err);
        blank = false;
        any = true;
    }
    return r;
}

/* Appends "name;name" of headers that are sorted. */
static int append_names(const struct xb_sigv4_pair *headers, size_t count, struct xb_buf *out,
                        struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        if (i > 0 && strcmp(headers[i - 1].name, headers[i].name) == 0) {
            continue;
        }
        r = i > 0 ? xb_buf_append_str(out, ";", err) : 0;
        r = r ? r : xb_buf_append_str(out, headers[i].name, err);
    }
    return r;
}

static int append_headers(const struct xb_sigv4_pair *headers, size_t count, struct xb_buf *out,
                          struct xb_error *err)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        bool same = i > 0 && strcmp(headers[i - 1].name, headers[i].name) == 0;
        if (!same && i > 0) {
            r = xb_buf_append_str(out, "\n", err);
        }
        r = r ? r : xb_buf_append_str(out, same ? "" : headers[i].name, err);
        r = r ? r : xb_buf_append_str(out, same ? "," : ":", err);
        r = r ? r : append_trimmed(out, headers[i].value, err);
    }
    return r ? r : xb_buf_append_str(out, count ? "\n\n" : "\n", err);
}

static int sorted_headers(const struct xb_sigv4_request *request,
                          struct xb_sigv4_pair out[XB_SIGV4_PAIRS_MAX], struct xb_error *err)
{
    if (request->header_count > XB_SIGV4_PAIRS_MAX) {
        return xb_error_set(err, XB_ERR_BUG, -E2BIG, "more than %d headers to sign",
                            XB_SIGV4_PAIRS_MAX);
    }
    for (size_t i = 0; i < request->header_count; i++) {
        out[i] = request->headers[i];
    }
    sort(out, request->header_count, false);
    return 0;
}

int xb_sigv4_canonical(const struct xb_sigv4_request *request, struct xb_buf *out,
                       struct xb_error *err)
{
    struct xb_sigv4_pair headers[XB_SIGV4_PAIRS_MAX];
    int r = sorted_headers(request, headers, err);
    r = r ? r
          : xb_buf_printf(out, err, "%s\n%s\n%s\n", request->method, request->path, request->query);
    r = r ? r : append_headers(headers, request->header_count, out, err);
    r = r ? r : append_names(headers, request->header_count, out, err);
    return r ? r : xb_buf_printf(out, err, "\n%s", request->payload);
}

static int scope(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                 char out[SCOPE_BYTES], struct xb_error *err)
{
    int len = snprintf(out, SCOPE_BYTES, "%.8s/%s/%s/aws4_request", request->time, key->region,
                       key->service);
    return len > 0 && len < SCOPE_BYTES
               ? 0
               : xb_error_set(err, XB_ERR_INVALID, -EINVAL, "the region's name is too long");
}

int xb_sigv4_to_sign(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                     struct xb_buf *out, struct xb_error *err)
{
    struct xb_buf canonical = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    unsigned char digest[SHA256_BYTES];
    char hex[XB_SIGV4_HEX_BYTES], where[SCOPE_BYTES];
    int r = xb_sigv4_canonical(request, &canonical, err);
    if (r == 0 && !EVP_Digest(canonical.data, canonical.len, digest, NULL, EVP_sha256(), NULL)) {
        r = xb_error_set(err, XB_ERR_BUG, -EIO, "OpenSSL cannot compute a SHA-256");
    }
    xb_buf_free(&canonical);
    r = r ? r : scope(key, request, where, err);
    if (r < 0) {
        return r;
    }
    xb_hex_encode(digest, sizeof digest, hex);
    return xb_buf_printf(out, err, ALGORITHM "\n%s\n%s\n%s", request->time, where, hex);
}

static bool hmac(const void *key, size_t key_len, const char *text, size_t len,
                 unsigned char out[SHA256_BYTES])
{
    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, len, out, NULL) !=
           NULL;
}

/* The key of a day, region and service, derived so that the secret itself signs nothing. */
static bool derive(const struct xb_sigv4_key *key, const char *time,
                   unsigned char out[SHA256_BYTES])
{
    unsigned char first[4 + 256];
    size_t len = key->secret->len;
    if (len > sizeof first - 4) {
        return false;
    }
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, key->secret->data, len);
    bool good = hmac(first, len + 4, time, 8, out) &&
                hmac(out, SHA256_BYTES, key->region, strlen(key->region), out) &&
                hmac(out, SHA256_BYTES, key->service, strlen(key->service), out) &&
                hmac(out, SHA256_BYTES, "aws4_request", 12, out);
    explicit_bzero(first, sizeof first);
    return good;
}

int xb_sigv4_signature(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                       char out[XB_SIGV4_HEX_BYTES], struct xb_error *err)
{
    struct xb_buf text = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    unsigned char derived[SHA256_BYTES], digest[SHA256_BYTES];
    int r = xb_sigv4_to_sign(key, request, &text, err);
    if (r == 0 && (!derive(key, request->time, derived) ||
                   !hmac(derived, sizeof derived, text.data, text.len, digest))) {
        r = xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                         "cannot sign a request: the secret access key is too long");
    }
    explicit_bzero(derived, sizeof derived);
    xb_buf_free(&text);
    if (r == 0) {
        xb_hex_encode(digest, sizeof digest, out);
    }
    return r;
}

int xb_sigv4_authorize(const struct xb_sigv4_key *key, const struct xb_sigv4_request *request,
                       struct xb_buf *out, struct xb_error *err)
{
    struct xb_sigv4_pair headers[XB_SIGV4_PAIRS_MAX];
    char signature[XB_SIGV4_HEX_BYTES], where[SCOPE_BYTES];
    int r = xb_sigv4_signature(key, request, signature, err);
    r = r ? r : scope(key, request, where, err);
    r = r ? r : sorted_headers(request, headers, err);
    r = r ? r
          : xb_buf_printf(out, err, ALGORITHM " Credential=%s/%s,SignedHeaders=", key->id, where);
    r = r ? r : append_names(headers, request->header_count, out, err);
    return r ? r : xb_buf_printf(out, err, ",Signature=%s", signature);
}

int xb_sigv4_presign(const struct xb_sigv4_key *key, struct xb_sigv4_request *request,
                     struct xb_sigv4_presign *presign, struct xb_buf *out, struct xb_error *err)
{
    struct xb_sigv4_pair headers[XB_SIGV4_PAIRS_MAX];
    struct xb_buf query = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    struct xb_buf names = XB_BUF_INIT(XB_SIGV4_TEXT_BYTES_MAX);
    char where[SCOPE_BYTES], credential[2 * SCOPE_BYTES], lifetime[32];
    char signature[XB_SIGV4_HEX_BYTES];
    struct xb_sigv4_pair *pairs = presign->pairs;
    size_t count = presign->count;
    int r = scope(key, request, where, err);
    r = r ? r : sorted_headers(request, headers, err);
    r = r ? r : append_names(headers, request->header_count, &names, err);
    if (r == 0) {
        snprintf(credential, sizeof credential, "%.200s/%s", key->id, where);
        snprintf(lifetime, sizeof lifetime, "%" PRId64, presign->lifetime_s);
        pairs[count++] = (struct xb_sigv4_pair){"X-Amz-Algorithm", ALGORITHM};
        pairs[count++] = (struct xb_sigv4_pair){"X-Amz-Credential", credential};
        pairs[count++] = (struct xb_sigv4_pair){"X-Amz-Date", request->time};
        pairs[count++] = (struct xb_sigv4_pair){"X-Amz-Expires", lifetime};
        pairs[count++] = (struct xb_sigv4_pair){"X-Amz-SignedHeaders", names.data};
        if (presign->token) {
            pairs[count++] = (struct xb_sigv4_pair){"X-Amz-Security-Token", presign->token};
        }
        r = xb_sigv4_query(&query, pairs, count, err);
    }
    if (r == 0) {
        request->query = query.data;
        r = xb_sigv4_signature(key, request, signature, err);
        request->query = "";
    }
    r = r ? r : xb_buf_printf(out, err, "%s&X-Amz-Signature=%s", query.data, signature);
    xb_buf_free(&names);
    xb_buf_wipe(&query);
    return r;
}
