/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions of any kind: refused with a reason, or of a kind that comes again and again.
 */
#include "coordinator/schedule/cron.h"
#include "coordinator/schedule/zone.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xb_error err = XB_ERROR_INIT;
    struct xb_cron *cron = NULL;
    int64_t now_s = 1800000000;
    char *text = fuzz_text(data, len);
    if (xb_cron_parse(text, XB_ZONE_FOLDER, &cron, &err) < 0) {
        need(err.kind == XB_ERR_INVALID && err.text[0] && !cron);
    }
    for (int i = 0; cron && i < 3; i++) {
        int64_t next_s = 0;
        need(xb_cron_next(cron, now_s, &next_s, &err) == 0 && next_s > now_s);
        now_s = next_s;
    }
    xb_cron_free(cron);
    free(text);
    return 0;
}
