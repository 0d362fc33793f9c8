/* SPDX-License-Identifier: Apache-2.0
 *
 * Links that let somebody else read one object for a while, without our credentials.
 */
#include <errno.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/store/s3/call.h"

static int check(const struct xb_s3 *self, int64_t lifetime_s, struct xb_error *err)
{
    if (lifetime_s < 1 || lifetime_s > XB_S3_PRESIGN_S_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "a presigned link lives 1 second to 7 days");
    }
    if (self->customer_key) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL,
                            "objects encrypted with a customer's key cannot be read by a link "
                            "alone");
    }
    return 0;
}

static int find_place(const struct xb_s3 *self, const char *public_url, struct xb_s3_place *ret,
                      struct xb_error *err)
{
    if (!public_url || !public_url[0]) {
        *ret = self->place;
        return 0;
    }
    const struct xb_store_s3_options options = {
        .bucket = self->bucket, .endpoint = self->endpoint, .path_style = self->path_style};
    return xb_s3_place_find(&options, public_url, self->credentials.region, ret, err);
}

static int presign(const struct xb_s3 *self, const struct xb_s3_place *place, const char *path,
                   int64_t lifetime_s, struct xb_buf *out, struct xb_error *err)
{
    char time[XB_SIGV4_TIME_BYTES];
    struct xb_sigv4_pair pairs[6];
    const struct xb_sigv4_pair host = {"host", place->host};
    const struct xb_s3_credentials *who = &self->credentials;
    const struct xb_sigv4_key key = {who->id, who->secret, who->region, "s3"};
    struct xb_sigv4_request request = {.method = "GET",
                                       .path = path,
                                       .query = "",
                                       .headers = &host,
                                       .header_count = 1,
                                       .payload = XB_SIGV4_UNSIGNED,
                                       .time = time};
    struct xb_sigv4_presign link = {.pairs = pairs,
                                    .lifetime_s = lifetime_s,
                                    .token = who->token ? (const char *)who->token->data : NULL};
    xb_sigv4_time(xb_clock_wall_ns(), time);
    int r = xb_buf_printf(out, err, "%s://%s%s?", place->tls ? "https" : "http", place->host, path);
    return r ? r : xb_sigv4_presign(&key, &request, &link, out, err);
}

int xb_s3_presign(struct xb_store *store, const char *name, const char *public_url,
                  int64_t lifetime_s, struct xb_buf *out, struct xb_error *err)
{
    const struct xb_s3 *self = (const struct xb_s3 *)store;
    struct xb_s3_place place;
    struct xb_buf path = XB_BUF_INIT(XB_S3_URL_BYTES_MAX);
    size_t start = out->len;
    int r = check(self, lifetime_s, err);
    r = r ? r : find_place(self, public_url, &place, err);
    r = r ? r : xb_s3_path(self, &place, name, &path, err);
    r = r ? r : presign(self, &place, path.data, lifetime_s, out, err);
    xb_buf_free(&path);
    if (r < 0) {
        out->len = start;
    }
    return r;
}
