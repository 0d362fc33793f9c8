/* SPDX-License-Identifier: Apache-2.0
 *
 * upload.h - files of a record on their way into the store and back.
 *
 * What for:  the record's small files are gzip (contract section 2); the tarball is one already.
 *            Streams: memory does not depend on the size.
 * Threads:   any.    Blocking: yes.
 * Ownership: nothing is kept.
 * Errors:    the store's; CORRUPT for a gzip stream that is cut or damaged; FULL beyond the
 *            ceiling.
 */
#pragma once

#include <stdint.h>

#include "shared/codec/json.h"
#include "shared/store/store.h"

/* Puts a JSON document, gzipped. */
int xb_upload_json_gz(struct xb_store *store, const char *key, xb_json *json,
                      struct xb_error *err) XB_MUST_CHECK;

/* Puts a file, gzipped on the way if `gzip`. */
int xb_upload_file(struct xb_store *store, const char *key, const char *path, bool gzip,
                   struct xb_error *err) XB_MUST_CHECK;

/* The same, but asks right before the file appears in the store: while a large one was on its way,
 * another coordinator may have begun to lead. */
struct xb_upload_question {
    int (*may)(void *context, struct xb_error *err); /* a negative answer is the upload's */
    void *context;
};
int xb_upload_file_if(struct xb_store *store, const char *key, const char *path,
                      const struct xb_upload_question *question,
                      struct xb_error *err) XB_MUST_CHECK; /* as it is, not gzipped */

/* Gets an object into a new file. */
int xb_download_file(struct xb_store *store, const char *key, const char *path,
                     struct xb_error *err) XB_MUST_CHECK;

/* Gets a gzipped JSON document of at most `bytes_max` plain bytes. */
int xb_download_json_gz(struct xb_store *store, const char *key, size_t bytes_max, xb_json **ret,
                        struct xb_error *err) XB_MUST_CHECK;
