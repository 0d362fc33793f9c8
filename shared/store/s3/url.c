/* SPDX-License-Identifier: Apache-2.0
 *
 * "s3://bucket/prefix?endpoint=..." for the command line. What is secret never stands in it.
 */
#include "shared/store/s3/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/store/s3/listing.h"
#include "shared/store/s3/s3.h"

static int set_flag(const char *key, const char *value, bool *ret, struct xb_error *err)
{
    bool yes = strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "false") != 0) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s is true or false, not '%.60s'", key,
                            value);
    }
    *ret = yes;
    return 0;
}

static int set(struct xb_store_s3_options *options, const char *key, const char *value,
               struct xb_error *err)
{
    const struct {
        const char *name;
        const char **to;
    } texts[] = {{"endpoint", &options->endpoint},
                 {"region", &options->region},
                 {"profile", &options->profile},
                 {"caFile", &options->ca_file},
                 {"clientCert", &options->client_cert_file},
                 {"clientKey", &options->client_key_file},
                 {"checksum", &options->checksum_algorithm}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].name) == 0) {
            *texts[i].to = value;
            return 0;
        }
    }
    if (strcmp(key, "insecure") == 0) {
        return set_flag(key, value, &options->insecure, err);
    }
    if (strcmp(key, "pathStyle") == 0) {
        bool yes = false;
        int r = set_flag(key, value, &yes, err);
        options->path_style = yes ? XB_S3_PATH_YES : XB_S3_PATH_NO;
        return r;
    }
    return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                        "unknown parameter '%.60s' in an s3:// address: known are endpoint, "
                        "region, profile, pathStyle, caFile, insecure, clientCert, clientKey, "
                        "checksum (credentials go into the environment or a file)",
                        key);
}

/* Splits "key=value&..." in place. */
static int take_query(struct xb_store_s3_options *options, char *query, struct xb_error *err)
{
    int r = 0;
    for (char *at = query; at && *at && r == 0;) {
        char *next = strchr(at, '&');
        if (next) {
            *next++ = '\0';
        }
        char *value = strchr(at, '=');
        if (!value) {
            return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                                "'%.60s' in an s3:// address has no value", at);
        }
        *value++ = '\0';
        /* A '+' is itself in addresses that people write. */
        r = xb_s3_percent_decode(value)
                ? set(options, at, value, err)
                : xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                               "%.60s in an s3:// address holds a '%%' without two hex digits", at);
        at = next;
    }
    return r;
}

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static void fill_from_environment(struct xb_store_s3_options *options)
{
    if (!options->endpoint) {
        options->endpoint = env("AWS_ENDPOINT_URL_S3");
    }
    if (!options->endpoint) {
        options->endpoint = env("AWS_ENDPOINT_URL");
    }
    if (!options->ca_file) {
        options->ca_file = env("AWS_CA_BUNDLE");
    }
}

int xb_store_s3_open_url(const char *url, const struct xb_store_open_options *options,
                         struct xb_store **ret, struct xb_error *err)
{
    struct xb_store_s3_options s3 = {
        .shared_config = true, .read_only = options->read_only, .limits = options->limits};
    XB_CLEANUP(xb_freep) char *copy = strdup(url + strlen("s3://"));
    if (!copy) {
        return xb_error_no_memory(err, "an S3 store");
    }
    char *query = strchr(copy, '?');
    if (query) {
        *query++ = '\0';
    }
    char *prefix = strchr(copy, '/');
    if (prefix) {
        *prefix++ = '\0';
    }
    s3.bucket = copy;
    s3.prefix = prefix;
    if (strchr(copy, '@')) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "an s3:// address holds no credentials: set AWS_ACCESS_KEY_ID and "
                            "AWS_SECRET_ACCESS_KEY, or use a profile");
    }
    if (prefix && !xb_s3_percent_decode(prefix)) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "the prefix in '%.200s' holds a '%%' without two hex digits", url);
    }
    int r = take_query(&s3, query, err);
    if (r < 0) {
        return r;
    }
    fill_from_environment(&s3);
    return xb_store_s3_open(&s3, ret, err);
}
