/* SPDX-License-Identifier: Apache-2.0
 *
 * ext.h - what an ext2, ext3 or ext4 says of its journal (pure); for the files of this folder only.
 *
 * What for:  all three have one magic number, and the kernel mounts them by one name: but a copy of
 *            one without a journal, made while it is written, may be in no order at all.
 * Shapes:    the superblock, XB_EXT_SUPER_BYTES from XB_EXT_SUPER_OFFSET on.
 * Errors:    CORRUPT: it is none.
 * Source:    the kernel's Documentation/filesystems/ext4/super.rst.
 */
#pragma once

#include "shared/base/error.h"

enum { XB_EXT_SUPER_OFFSET = 1024, XB_EXT_SUPER_BYTES = 1024 };

enum xb_ext_journal {
    XB_EXT_JOURNAL_NONE,
    XB_EXT_JOURNAL_WITHIN,   /* a file of its own */
    XB_EXT_JOURNAL_ELSEWHERE /* another device */
};

int xb_ext_journal_parse(const unsigned char block[XB_EXT_SUPER_BYTES], enum xb_ext_journal *ret,
                         struct xb_error *err) XB_MUST_CHECK;
