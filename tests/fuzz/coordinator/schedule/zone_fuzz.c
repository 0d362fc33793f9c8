/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of time zones: refused, or a zone in which time goes on.
 */
#include "coordinator/schedule/zone.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const int64_t moments[] = {INT64_MIN,  -62135596800, 0,
                                      1800000000, 253402300799, INT64_MAX - 1};
    struct xb_error err = XB_ERROR_INIT;
    struct xb_zone *zone = NULL;
    if (xb_zone_parse(data, len, &zone, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT && !zone);
        return 0;
    }
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        int64_t at_s = moments[i], until_s = 0;
        for (int steps = 0; steps < 4; steps++) {
            int32_t offset_s = xb_zone_offset(zone, at_s, &until_s);
            need(offset_s > -2 * 86400 && offset_s < 2 * 86400 && until_s > at_s);
            at_s = until_s == INT64_MAX ? at_s : until_s;
        }
    }
    xb_zone_free(zone);
    return 0;
}
