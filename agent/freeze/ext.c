/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/freeze/ext.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { AT_MAGIC = 0x38, AT_REVISION = 0x4c, AT_COMPATIBLE = 0x5c, AT_JOURNAL_INODE = 0xe0 };
enum { MAGIC = 0xef53, HAS_JOURNAL = 4 };

static uint32_t number_at(const unsigned char *at)
{
    uint32_t number;
    memcpy(&number, at, sizeof number);
    return le32toh(number);
}

int xb_ext_journal_parse(const unsigned char block[XB_EXT_SUPER_BYTES], enum xb_ext_journal *ret,
                         struct xb_error *err)
{
    if ((number_at(block + AT_MAGIC) & 0xffff) != MAGIC) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "its superblock is no ext4's");
    }
    /* The first revision had no features. */
    bool has = number_at(block + AT_REVISION) > 0 && number_at(block + AT_COMPATIBLE) & HAS_JOURNAL;
    *ret = !has                                       ? XB_EXT_JOURNAL_NONE
           : number_at(block + AT_JOURNAL_INODE) != 0 ? XB_EXT_JOURNAL_WITHIN
                                                      : XB_EXT_JOURNAL_ELSEWHERE;
    return 0;
}
