/* SPDX-License-Identifier: Apache-2.0
 *
 * stage.h - where uploads lie until they are sent: some memory, files without names beyond that,
 * and how much of the disk they may take.
 *
 * What for:  write.c. All stores of the process share the limits: they share memory and the disk,
 *            too.
 * Ownership: the upload owns its stage.
 * Threads:   one stage by one thread at a time; any number of stages.
 * Blocking:  yes. A write that goes beyond the limit, or finds the disk full, waits while other
 *            uploads are being sent: these end, and give their room back. When none is, it goes
 *            beyond the limit, since nobody else could make room; a full disk is then an error.
 * Errors:    FULL names the folder and says what to do.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/error.h"
#include "shared/http/http.h"
#include "shared/store/s3/s3.h"

enum {
    XB_S3_STAGE_BLOCK_BYTES = 1 << 20,
    XB_S3_STAGE_BLOCKS_MAX = XB_S3_STAGED_MEMORY_MAX / XB_S3_STAGE_BLOCK_BYTES
};

struct xb_s3_stage {
    char *folder; /* for messages */
    int fd;
    uint64_t len;
    uint64_t file_bytes; /* of these, the last ones: at the same places in the file */
    char *blocks[XB_S3_STAGE_BLOCKS_MAX];
    size_t block_count;
    bool sending;
};

/* `folder` NULL: TMPDIR, /var/tmp, /tmp. */
int xb_s3_stage_open(const char *folder, struct xb_s3_stage *ret,
                     struct xb_error *err) XB_MUST_CHECK;
/* `name` is the object's, for messages. */
int xb_s3_stage_write(struct xb_s3_stage *stage, const char *name, const void *data, size_t len,
                      struct xb_error *err) XB_MUST_CHECK;
/* A part of it, to be sent; valid while the stage is. */
struct xb_http_body_file xb_s3_stage_body(const struct xb_s3_stage *stage, uint64_t offset,
                                          uint64_t len);
/* From now on it is being sent, and will be closed soon. */
void xb_s3_stage_send(struct xb_s3_stage *stage);
void xb_s3_stage_close(struct xb_s3_stage *stage); /* NULL-safe for a stage that is all zeros */
