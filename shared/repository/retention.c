/* SPDX-License-Identifier: Apache-2.0 */
#include "shared/repository/retention.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/codec/json.h"

int xb_retention_parse(const char *text, size_t len, struct xb_retention *ret, struct xb_error *err)
{
    struct xb_retention retention = {.period_ns = 0};
    XB_CLEANUP(xb_json_putp) xb_json *root = NULL;
    const char *mode = "";
    int r = xb_json_parse(text, len, &root, err);
    if (r < 0 || (r = xb_json_need_str(root, "retentionMode", false, &mode, err)) < 0 ||
        (r = xb_json_need_int(root, "retentionPeriod", false, &retention.period_ns, err)) < 0) {
        return r;
    }
    size_t mode_len = mode ? strlen(mode) : 0;
    if (mode_len >= sizeof retention.mode || retention.period_ns < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "not a mode and a period");
    }
    memcpy(retention.mode, mode_len ? mode : "", mode_len + 1);
    *ret = retention;
    return 0;
}

int xb_retention_check(struct xb_store *store, const struct xb_format_keys *keys,
                       struct xb_error *err)
{
    XB_CLEANUP(xb_buf_free) struct xb_buf sealed = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    XB_CLEANUP(xb_buf_free) struct xb_buf plain = XB_BUF_INIT(XB_FORMAT_BLOB_BYTES_MAX);
    struct xb_retention retention;
    struct xb_error why = XB_ERROR_INIT;
    int r = xb_store_get(store, XB_FORMAT_BLOBCFG, 0, XB_STORE_TO_END, &sealed, &why);
    if (r < 0 && why.kind == XB_ERR_NOT_FOUND) {
        return 0;
    }
    if (r < 0) {
        *err = why;
        return r;
    }
    if ((r = xb_format_unseal(keys, XB_FORMAT_BLOBCFG, &sealed, &plain, err)) < 0) {
        return r;
    }
    if ((r = xb_retention_parse(plain.data, plain.len, &retention, err)) < 0) {
        return xb_error_wrap(err, "%s", XB_FORMAT_BLOBCFG);
    }
    if (retention.mode[0] && retention.period_ns > 0) {
        return xb_error_set(
            err, XB_ERR_INVALID, -ENOTSUP,
            "its blobs are to be locked in the store (%s, for %" PRId64
            " hours), and xebec does not "
            "lock what it writes: it only reads this repository. To write, give the lock up: kopia "
            "repository set-parameters --retention-mode=none",
            retention.mode, retention.period_ns / (3600 * XB_NS_PER_S));
    }
    return 0;
}
