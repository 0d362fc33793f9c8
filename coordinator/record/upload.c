/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "shared/base/file.h"

enum {
    STEP_BYTES = 64 * 1024,
    DOWNLOAD_STEP_BYTES = 4 * 1024 * 1024,
    GZIP_WINDOW = 15 + 16 /* zlib: the largest window, gzip header */
};

struct gzip_upload {
    struct xb_store_upload *upload;
    z_stream stream;
    unsigned char out[STEP_BYTES];
};

static int gzip_step(struct gzip_upload *gz, const void *data, size_t len, int flush,
                     struct xb_error *err)
{
    unsigned char *in;
    memcpy(&in, &data, sizeof in); /* zlib's pointer is not const; it does not write */
    gz->stream.next_in = in;
    gz->stream.avail_in = (unsigned)len;
    int state;
    do {
        gz->stream.next_out = gz->out;
        gz->stream.avail_out = sizeof gz->out;
        state = deflate(&gz->stream, flush);
        int r =
            xb_store_upload_write(gz->upload, gz->out, sizeof gz->out - gz->stream.avail_out, err);
        if (r < 0) {
            return r;
        }
    } while (gz->stream.avail_out == 0 || (flush == Z_FINISH && state == Z_OK));
    return 0;
}

static void gzip_free(struct gzip_upload *gz)
{
    deflateEnd(&gz->stream);
    xb_store_upload_free(gz->upload);
    free(gz);
}
XB_DEFINE_CLEANUP(gzip_freep, struct gzip_upload, gzip_free);

static int gzip_begin(struct xb_store *store, const char *key, struct gzip_upload **ret,
                      struct xb_error *err)
{
    XB_CLEANUP(gzip_freep) struct gzip_upload *gz = calloc(1, sizeof *gz);
    if (!gz || deflateInit2(&gz->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8,
                            Z_DEFAULT_STRATEGY) != Z_OK) {
        return xb_error_no_memory(err, "gzip");
    }
    int r = xb_store_upload_begin(store, key, NULL, &gz->upload, err);
    if (r == 0) {
        *ret = XB_TAKE(gz);
    }
    return r;
}

static int gzip_end(struct gzip_upload *gz, struct xb_error *err)
{
    int r = gzip_step(gz, NULL, 0, Z_FINISH, err);
    return r < 0 ? r : xb_store_upload_commit(gz->upload, err);
}

int xb_upload_json_gz(struct xb_store *store, const char *key, xb_json *json, struct xb_error *err)
{
    XB_CLEANUP(gzip_freep) struct gzip_upload *gz = NULL;
    size_t len = 0;
    const char *text = json_object_to_json_string_length(
        json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    if (!text || len > UINT32_MAX) {
        return xb_error_no_memory(err, key);
    }
    int r = gzip_begin(store, key, &gz, err);
    if (r == 0) {
        r = gzip_step(gz, text, len, Z_NO_FLUSH, err);
    }
    return r < 0 ? r : gzip_end(gz, err);
}

/* Feeds a file's bytes to the upload, packed by `gz` if that is set. */
static int feed_file(int fd, const char *path, struct gzip_upload *gz,
                     struct xb_store_upload *upload, struct xb_error *err)
{
    char step[STEP_BYTES];
    for (;;) {
        ssize_t got = read(fd, step, sizeof step);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return xb_error_errno(err, errno, "cannot read %s", path);
        }
        if (got == 0) {
            return 0;
        }
        int r = gz ? gzip_step(gz, step, (size_t)got, Z_NO_FLUSH, err)
                   : xb_store_upload_write(upload, step, (size_t)got, err);
        if (r < 0) {
            return r;
        }
    }
}

int xb_upload_file(struct xb_store *store, const char *key, const char *path, bool gzip,
                   struct xb_error *err)
{
    XB_CLEANUP(gzip_freep) struct gzip_upload *gz = NULL;
    XB_CLEANUP(xb_store_upload_freep) struct xb_store_upload *upload = NULL;
    XB_CLEANUP(xb_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot open %s", path);
    }
    int r = gzip ? gzip_begin(store, key, &gz, err)
                 : xb_store_upload_begin(store, key, NULL, &upload, err);
    if (r == 0) {
        r = feed_file(fd, path, gz, upload, err);
    }
    if (r < 0) {
        return r;
    }
    return gzip ? gzip_end(gz, err) : xb_store_upload_commit(upload, err);
}

int xb_upload_file_if(struct xb_store *store, const char *key, const char *path,
                      const struct xb_upload_question *question, struct xb_error *err)
{
    XB_CLEANUP(xb_store_upload_freep) struct xb_store_upload *upload = NULL;
    XB_CLEANUP(xb_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot open %s", path);
    }
    int r = xb_store_upload_begin(store, key, NULL, &upload, err);
    if (r < 0 || (r = feed_file(fd, path, NULL, upload, err)) < 0 ||
        (r = question->may(question->context, err)) < 0) {
        return r;
    }
    return xb_store_upload_commit(upload, err);
}

int xb_download_file(struct xb_store *store, const char *key, const char *path,
                     struct xb_error *err)
{
    struct xb_store_item item;
    int r = xb_store_stat(store, key, &item, err);
    if (r < 0) {
        return r;
    }
    XB_CLEANUP(xb_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot create %s", path);
    }
    struct xb_buf step = XB_BUF_INIT(DOWNLOAD_STEP_BYTES);
    for (uint64_t at = 0; r == 0 && at < item.size; at += step.len) {
        uint64_t left = item.size - at;
        xb_buf_clear(&step);
        r = xb_store_get(store, key, at, left < DOWNLOAD_STEP_BYTES ? left : DOWNLOAD_STEP_BYTES,
                         &step, err);
        if (r == 0) {
            r = xb_file_write_all(fd, step.data, step.len, path, err);
        }
    }
    xb_buf_free(&step);
    return r;
}

static int gunzip(const struct xb_buf *packed, const char *key, struct xb_buf *plain,
                  struct xb_error *err)
{
    z_stream stream = {.zalloc = NULL};
    unsigned char out[STEP_BYTES];
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK) {
        return xb_error_no_memory(err, "gzip");
    }
    stream.next_in = (unsigned char *)packed->data;
    stream.avail_in = (unsigned)packed->len;
    int state = Z_OK;
    int r = 0;
    while (r == 0 && state == Z_OK) {
        stream.next_out = out;
        stream.avail_out = sizeof out;
        state = inflate(&stream, Z_NO_FLUSH);
        r = xb_buf_append(plain, out, sizeof out - stream.avail_out, err);
    }
    inflateEnd(&stream);
    if (r == 0 && state != Z_STREAM_END) {
        r = xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "object %s is damaged or cut short (gzip)",
                         key);
    }
    return r;
}

int xb_download_json_gz(struct xb_store *store, const char *key, size_t bytes_max, xb_json **ret,
                        struct xb_error *err)
{
    /* What does not pack gets a little longer. */
    size_t room = bytes_max < XB_STORE_GET_BYTES_MAX ? bytes_max : XB_STORE_GET_BYTES_MAX;
    struct xb_buf packed = XB_BUF_INIT(room + room / 1024 + 64);
    struct xb_buf plain = XB_BUF_INIT(bytes_max);
    int r = xb_store_get(store, key, 0, XB_STORE_TO_END, &packed, err);
    if (r == 0) {
        r = gunzip(&packed, key, &plain, err);
    }
    if (r == 0) {
        r = xb_json_parse(plain.data ? plain.data : "", plain.len, ret, err);
        r = r < 0 ? xb_error_wrap(err, "object %s", key) : 0;
    }
    xb_buf_free(&packed);
    xb_buf_free(&plain);
    return r;
}
