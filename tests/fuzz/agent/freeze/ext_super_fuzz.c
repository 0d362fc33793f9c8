/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a superblock: refused, or one of three answers, the same each time.
 */
#include "agent/freeze/ext.h"
#include "tests/harness/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    unsigned char block[XB_EXT_SUPER_BYTES] = {0};
    struct xb_error err = XB_ERROR_INIT;
    enum xb_ext_journal journal = XB_EXT_JOURNAL_NONE;
    enum xb_ext_journal again = XB_EXT_JOURNAL_NONE;
    memcpy(block, data, len < sizeof block ? len : sizeof block);
    if (xb_ext_journal_parse(block, &journal, &err) < 0) {
        need(err.kind == XB_ERR_CORRUPT && (block[0x38] != 0x53 || block[0x39] != 0xef));
        return 0;
    }
    need(block[0x38] == 0x53 && block[0x39] == 0xef);
    need(journal <= XB_EXT_JOURNAL_ELSEWHERE);
    need(xb_ext_journal_parse(block, &again, &err) == 0 && again == journal);
    return 0;
}
