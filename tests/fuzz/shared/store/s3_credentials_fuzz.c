/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile's name, a line end, and an AWS credentials or config file: keys without blanks or a
 * refusal. An s3:// address and an endpoint are looked at too.
 */
#include "shared/store/s3/credentials.h"
#include "shared/store/s3/endpoint.h"
#include "shared/store/s3/s3.h"
#include "tests/harness/fuzz.h"

static void check_plain(const char *text)
{
    for (; *text; text++) {
        need((unsigned char)*text > ' ' && *text != 0x7f);
    }
}

static void check_file(const char *text, const char *profile, bool config)
{
    struct xb_s3_credentials credentials = {.id = ""};
    struct xb_error err = XB_ERROR_INIT;
    bool found = false;
    if (xb_s3_credentials_parse(text, profile, config, &credentials, &found, &err) == 0) {
        check_plain(credentials.id);
        check_plain(credentials.region);
        need(found || !credentials.id[0]);
        if (credentials.secret) {
            check_plain((const char *)credentials.secret->data);
        }
    } else {
        need(err.kind == XB_ERR_INVALID);
    }
    xb_s3_credentials_done(&credentials);
}

/* A host that is taken can stand in a header and in a URL. */
static void check_endpoint(const char *bucket, const char *endpoint)
{
    struct xb_s3_place place;
    struct xb_error err = XB_ERROR_INIT;
    for (int style = XB_S3_PATH_AUTO; style <= XB_S3_PATH_NO; style++) {
        const struct xb_store_s3_options options = {
            .bucket = bucket, .endpoint = endpoint, .path_style = (enum xb_s3_path_style)style};
        if (xb_s3_place_find(&options, NULL, "us-east-1", &place, &err) < 0) {
            need(err.kind == XB_ERR_INVALID);
            continue;
        }
        check_plain(place.host);
        check_plain(place.root);
        need(place.host[0] && !strpbrk(place.host, "/?#@%"));
        need(place.root[0] == '/' && place.root[strlen(place.root) - 1] == '/');
        need(!strpbrk(place.root, "?#"));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = malloc(len + 1);
    need(text != NULL);
    memcpy(text, data, len);
    text[len] = '\0';
    char *rest = strchr(text, '\n');
    if (rest) {
        *rest++ = '\0';
        check_file(rest, text, false);
        check_file(rest, text, true);
        check_endpoint(text, rest);
    }
    check_endpoint("bucket", text);
    free(text);
    return 0;
}
