/* SPDX-License-Identifier: Apache-2.0
 *
 * A BackupStorageLocation as anybody may have written it: refused with a reason, or options that
 * the driver can take. Files are not read: what names one is left out.
 */
#include "shared/codec/json.h"
#include "shared/velero/location_s3.h"
#include "tests/harness/fuzz.h"

static void check(xb_json *location, bool look)
{
    const struct xb_location_access access = {.namespace = "velero", .look = look};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_location_s3 s3;
    if (xb_location_s3_read(location, &access, &s3, &err) < 0) {
        need(err.kind == XB_ERR_INVALID || err.kind == XB_ERR_FULL || err.kind == XB_ERR_CORRUPT);
        need(err.text[0] && !s3.credentials && !s3.customer_key);
        return;
    }
    const struct xb_store_s3_options *options = &s3.options;
    size_t len = strlen(options->prefix);
    need(options->bucket[0] && !strchr(options->bucket, '/'));
    need(len == 0 || (options->prefix[0] != '/' && options->prefix[len - 1] != '/'));
    need(!options->endpoint || strncmp(options->endpoint, "http", 4) == 0);
    need(!options->credentials && !options->customer_key); /* there is no cluster to read them */
    need(look == (options->stall_s > 0));
    xb_location_s3_done(&s3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    XB_CLEANUP(xb_json_putp) xb_json *location = NULL;
    if (xb_json_parse((const char *)data, len, &location, &err) < 0) {
        return 0;
    }
    xb_json *config = xb_json_get(location, "spec.config");
    if (json_object_is_type(config, json_type_object)) {
        json_object_object_del(config, "customerKeyEncryptionFile");
    }
    check(location, false);
    check(location, true);
    (void)xb_location_is_s3(location);
    return 0;
}
