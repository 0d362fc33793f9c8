/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/store/s3/endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/store/s3/s3.h"
#include "shared/store/s3/sigv4.h"

enum { BUCKET_BYTES_MAX = 255, LABEL_BYTES_MAX = 63 };

/* Letters that cannot change the meaning of a URL; S3's own rules are stricter, some servers' are
 * not. */
static int check_bucket(const char *bucket, struct xb_error *err)
{
    size_t len = bucket ? strnlen(bucket, BUCKET_BYTES_MAX + 1) : 0;
    bool good = len > 0 && len <= BUCKET_BYTES_MAX && isalnum((unsigned char)bucket[0]);
    for (size_t i = 0; i < len && good; i++) {
        good = isalnum((unsigned char)bucket[i]) || strchr("-._", bucket[i]);
    }
    return good ? 0
                : xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not the name of a bucket: '%.100s'",
                               len ? bucket : "");
}

/* Whether the name can be part of a host name that a certificate for "*.host" covers. */
static bool is_label(const char *bucket)
{
    size_t len = strlen(bucket);
    bool good = len >= 3 && len <= LABEL_BYTES_MAX && bucket[len - 1] != '-';
    for (const char *c = bucket; *c && good; c++) {
        good = islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-';
    }
    return good;
}

static int not_endpoint(const char *url, const char *why, struct xb_error *err)
{
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "not an S3 endpoint: '%.200s' %s (want https://host[:port])", url, why);
}

static bool host_valid(const char *host, size_t len)
{
    size_t inner = 0;
    if (len > 2 && host[0] == '[') {
        const char *end = memchr(host, ']', len);
        inner = end ? (size_t)(end - host) + 1 : 0;
        for (size_t i = 1; i + 1 < inner; i++) {
            if (!isxdigit((unsigned char)host[i]) && host[i] != ':' && host[i] != '.') {
                return false;
            }
        }
        return inner > 3 && inner == len;
    }
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)host[i]) && !strchr("-._", host[i])) {
            return false;
        }
    }
    return len > 0;
}

/* Splits host[:port]; the port's length is 0 when there is none. */
static bool split_port(const char *authority, size_t len, size_t *ret_host, const char **ret_port,
                       size_t *ret_port_len)
{
    size_t host = len;
    while (host > 0 && isdigit((unsigned char)authority[host - 1])) {
        host--;
    }
    bool port = host > 0 && host < len && authority[host - 1] == ':';
    *ret_host = port ? host - 1 : len;
    *ret_port = authority + host;
    *ret_port_len = port ? len - host : 0;
    return *ret_port_len <= 5;
}

static int parse_endpoint(const char *url, struct xb_s3_place *ret, struct xb_error *err)
{
    bool tls = strncasecmp(url, "https://", 8) == 0;
    if (!tls && strncasecmp(url, "http://", 7) != 0) {
        return not_endpoint(url, "has no http:// or https://", err);
    }
    const char *authority = url + (tls ? 8 : 7);
    size_t len = strcspn(authority, "/?#");
    const char *path = authority + len;
    size_t path_len = strlen(path);
    while (path_len > 0 && path[path_len - 1] == '/') {
        path_len--;
    }
    size_t host_len, port_len;
    const char *port;
    if (memchr(authority, '@', len)) {
        return not_endpoint("...", "holds a user name: credentials are given apart", err);
    }
    if (!split_port(authority, len, &host_len, &port, &port_len) ||
        !host_valid(authority, host_len)) {
        return not_endpoint(url, "has no usable host and port", err);
    }
    for (size_t i = 0; i < path_len; i++) {
        if (!isalnum((unsigned char)path[i]) && !strchr("/-._~%", path[i])) {
            return not_endpoint(url, "has a path that cannot be used", err);
        }
    }
    const char *usual = tls ? "443" : "80";
    bool said = port_len > 0 && (port_len != strlen(usual) || memcmp(port, usual, port_len) != 0);
    int host = snprintf(ret->host, sizeof ret->host, "%.*s%s%.*s", (int)host_len, authority,
                        said ? ":" : "", said ? (int)port_len : 0, port);
    int root = snprintf(ret->root, sizeof ret->root, "%.*s/", (int)path_len, path);
    if (host >= (int)sizeof ret->host || root >= (int)sizeof ret->root) {
        return not_endpoint(url, "is too long", err);
    }
    for (char *c = ret->host; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    ret->tls = tls;
    return 0;
}

static int aws_endpoint(const char *region, struct xb_s3_place *ret, struct xb_error *err)
{
    bool good = region[0] && strlen(region) < 64;
    for (const char *c = region; *c && good; c++) {
        good = islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '-';
    }
    if (!good) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "not an AWS region: '%.60s'", region);
    }
    *ret = (struct xb_s3_place){.tls = true, .root = "/"};
    snprintf(ret->host, sizeof ret->host, "s3.%s.amazonaws.com%s", region,
             strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return 0;
}

int xb_s3_place_find(const struct xb_store_s3_options *options, const char *endpoint,
                     const char *region, struct xb_s3_place *ret, struct xb_error *err)
{
    struct xb_s3_place base;
    const char *url = endpoint ? endpoint : options->endpoint;
    int r = check_bucket(options->bucket, err);
    r = r ? r : url ? parse_endpoint(url, &base, err) : aws_endpoint(region, &base, err);
    if (r < 0) {
        return r;
    }
    bool path_style = options->path_style == XB_S3_PATH_YES;
    if (options->path_style == XB_S3_PATH_AUTO) {
        path_style = options->endpoint || !is_label(options->bucket);
    }
    *ret = base;
    int len = path_style
                  ? snprintf(ret->root, sizeof ret->root, "%.200s%s/", base.root, options->bucket)
                  : snprintf(ret->host, sizeof ret->host, "%s.%.250s", options->bucket, base.host);
    if (strlen(base.root) > 200 || strlen(base.host) > 250 || len >= XB_S3_HOST_BYTES_MAX) {
        return not_endpoint(url ? url : "", "is too long", err);
    }
    if (!path_style && (base.host[0] == '[' || !is_label(options->bucket))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "bucket '%.100s' cannot be a part of the host name %.100s: use path "
                            "style (s3ForcePathStyle, pathStyle=true)",
                            options->bucket, base.host);
    }
    return 0;
}
