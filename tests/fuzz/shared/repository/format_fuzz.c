/* SPDX-License-Identifier: Apache-2.0
 *
 * Both texts of a format blob, the outer one and the one that is sealed in it, and that of the
 * retention.
 */
#include "shared/crypto/aead.h"
#include "shared/repository/format.h"
#include "shared/repository/retention.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t now_ns = INT64_C(1700000000) * 1000000000;
    struct xb_error err = XB_ERROR_INIT;
    struct xb_format_outer outer;
    struct xb_format format;
    if (xb_format_outer_parse((const char *)data, len, &outer, &err) == 0) {
        need(outer.unique_id_len >= 16 && outer.unique_id_len <= sizeof outer.unique_id);
        need(outer.sealed.len >= XB_AEAD_OVERHEAD_BYTES);
        need(outer.key_algorithm[0] && strlen(outer.key_algorithm) < XB_FORMAT_NAME_BYTES);
        xb_format_outer_free(&outer);
    } else {
        need(err.code < 0);
    }
    err = (struct xb_error)XB_ERROR_INIT;
    if (xb_format_parse((const char *)data, len, now_ns, &format, &err) == 0) {
        need(format.version == 2 || format.version == 3);
        need(format.epochs && format.pack_bytes_max > 0 && format.epoch_refresh_ns > 0);
        need(format.hash[0] && format.encryption[0] && format.splitter[0]);
        need(format.hash_secret->len >= 16 && format.master_key->len >= 16);
        xb_format_free(&format);
    } else {
        need(err.code < 0);
    }
    struct xb_retention retention;
    err = (struct xb_error)XB_ERROR_INIT;
    if (xb_retention_parse((const char *)data, len, &retention, &err) == 0) {
        need(retention.period_ns >= 0 && strlen(retention.mode) < sizeof retention.mode);
    } else {
        need(err.code < 0);
    }
    return 0;
}
