/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "shared/base/buf.h"

enum { READ_BLOCK_BYTES = 64 * 1024 };
/* Everything that comes out of gzip: the items, and what surrounds them. */
#define PLAIN_BYTES_MAX (2 * XB_TARBALL_BYTES_MAX)

static const char format_version[] = "1.1.0\n";

struct xb_tarball_writer {
    struct archive *archive;
    int fd;
    char *path;
};

static int archive_failed(struct archive *archive, const char *path, const char *verb,
                          struct xb_error *err)
{
    int code = archive_errno(archive);
    const char *said = archive_error_string(archive);
    if (code == ENOSPC || code == EDQUOT) {
        return xb_error_set(err, XB_ERR_FULL, -code,
                            "cannot %s %s: no space left on the scratch disk", verb, path);
    }
    return xb_error_set(err, code > 0 ? XB_ERR_IO : XB_ERR_CORRUPT, code > 0 ? -code : -EBADMSG,
                        "cannot %s %s: %s", verb, path, said ? said : "unknown reason");
}

/* libarchive warns of a name that is not ASCII when the process has no locale (a daemon has none),
 * and then takes its bytes as they are, which is what is wanted. */
static bool header_done(int result, const char *name)
{
    if (result == ARCHIVE_OK) {
        return true;
    }
    for (; result == ARCHIVE_WARN && name && *name; name++) {
        if ((unsigned char)*name >= 0x80) {
            return true;
        }
    }
    return false;
}

static int put_entry(struct xb_tarball_writer *writer, const char *name, const char *data,
                     size_t len, struct xb_error *err)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry) {
        return xb_error_no_memory(err, "an archive entry");
    }
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)len);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0755);
    int r = 0;
    if (!header_done(archive_write_header(writer->archive, entry), name) ||
        archive_write_data(writer->archive, data, len) != (la_ssize_t)len) {
        r = archive_failed(writer->archive, writer->path, "write", err);
    }
    archive_entry_free(entry);
    return r;
}

int xb_tarball_writer_new(const char *path, struct xb_tarball_writer **ret, struct xb_error *err)
{
    XB_CLEANUP(xb_tarball_writer_freep)
    struct xb_tarball_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        return xb_error_no_memory(err, "a tarball");
    }
    writer->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (writer->fd < 0) {
        return xb_error_errno(err, errno, "cannot create %s", path);
    }
    writer->path = strdup(path);
    writer->archive = archive_write_new();
    if (!writer->path || !writer->archive) {
        return xb_error_no_memory(err, "a tarball");
    }
    /* pax keeps long names; "restricted" leaves its extra headers out where plain ustar says it
     * all, as other readers like it. */
    if (archive_write_set_format_pax_restricted(writer->archive) != ARCHIVE_OK ||
        archive_write_add_filter_gzip(writer->archive) != ARCHIVE_OK ||
        archive_write_set_options(writer->archive, "gzip:!timestamp") != ARCHIVE_OK ||
        archive_write_open_fd(writer->archive, writer->fd) != ARCHIVE_OK) {
        return archive_failed(writer->archive, path, "start", err);
    }
    int r = put_entry(writer, "metadata/version", format_version, sizeof format_version - 1, err);
    if (r < 0) {
        return r;
    }
    *ret = XB_TAKE(writer);
    return 0;
}

static int item_path(const struct xb_tarball_item *item, bool preferred,
                     char out[XB_TARBALL_PATH_BYTES_MAX + 1], struct xb_error *err)
{
    bool in_namespace = item->namespace[0] != '\0';
    bool in_version = preferred || item->other_version;
    if (!xb_tarball_part_valid(item->resource) || !xb_tarball_part_valid(item->version) ||
        !xb_tarball_part_valid(item->name) ||
        (in_namespace && !xb_tarball_part_valid(item->namespace))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s %s/%s cannot be named in an archive",
                            item->resource, item->namespace, item->name);
    }
    int len = snprintf(out, XB_TARBALL_PATH_BYTES_MAX + 1, "resources/%s/%s%s%s%s%s/%s.json",
                       item->resource, in_version ? item->version : "",
                       preferred ? XB_TARBALL_PREFERRED : "", in_version ? "/" : "",
                       in_namespace ? "namespaces/" : "cluster",
                       in_namespace ? item->namespace : "", item->name);
    if (len > XB_TARBALL_PATH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_INVALID, -ENAMETOOLONG, "%s %s/%s: the name is too long",
                            item->resource, item->namespace, item->name);
    }
    return 0;
}

int xb_tarball_writer_add(struct xb_tarball_writer *writer, const struct xb_tarball_item *item,
                          const char *json, size_t len, struct xb_error *err)
{
    char path[XB_TARBALL_PATH_BYTES_MAX + 1];
    for (int preferred = 0; preferred < (item->other_version ? 1 : 2); preferred++) {
        int r = item_path(item, preferred != 0, path, err);
        if (r == 0) {
            r = put_entry(writer, path, json, len, err);
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int xb_tarball_writer_finish(struct xb_tarball_writer *writer, struct xb_error *err)
{
    if (archive_write_close(writer->archive) != ARCHIVE_OK) {
        return archive_failed(writer->archive, writer->path, "end", err);
    }
    if (fsync(writer->fd) < 0) {
        return xb_error_errno(err, errno, "cannot sync %s", writer->path);
    }
    return 0;
}

void xb_tarball_writer_free(struct xb_tarball_writer *writer)
{
    if (!writer) {
        return;
    }
    if (writer->archive) {
        archive_write_free(writer->archive);
    }
    if (writer->fd >= 0) {
        close(writer->fd);
    }
    free(writer->path);
    free(writer);
}

/* The gzip side of a reading. libarchive's own does not look at the checksum. */
struct source {
    gzFile file;
    const char *path;
    uint64_t bytes;
    struct xb_error why; /* what went wrong below libarchive */
    char block[READ_BLOCK_BYTES];
};

static void source_close(struct source *source)
{
    if (source->file) {
        gzclose_r(source->file);
    }
    free(source);
}
XB_DEFINE_CLEANUP(source_closep, struct source, source_close);

static int source_open(const char *path, struct source **ret, struct xb_error *err)
{
    XB_CLEANUP(source_closep) struct source *source = calloc(1, sizeof *source);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return xb_error_errno(err, errno, "cannot open %s", path);
    }
    if (source) {
        source->path = path;
        source->file = gzdopen(fd, "rb");
    }
    if (!source || !source->file) {
        close(fd);
        return xb_error_no_memory(err, "a tarball reader");
    }
    if (gzdirect(source->file)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "%s is not gzip", path);
    }
    *ret = XB_TAKE(source);
    return 0;
}

/* The next plain bytes: how many, 0 at the end of a whole stream, or negative with why set. */
static int source_read(struct source *source)
{
    int got = gzread(source->file, source->block, sizeof source->block);
    int state = Z_OK;
    const char *said = gzerror(source->file, &state);
    if (got > 0) {
        source->bytes += (unsigned)got;
        return source->bytes <= PLAIN_BYTES_MAX
                   ? got
                   : xb_error_set(&source->why, XB_ERR_CORRUPT, -EBADMSG,
                                  "%s is larger than any backup may be", source->path);
    }
    if (state == Z_ERRNO) {
        return xb_error_errno(&source->why, errno, "cannot read %s", source->path);
    }
    return got == 0 && state == Z_OK
               ? 0
               : xb_error_set(&source->why, XB_ERR_CORRUPT, -EBADMSG,
                              "%s is damaged or cut short: %s", source->path, said);
}

static la_ssize_t on_read(struct archive *archive, void *context, const void **ret)
{
    struct source *source = context;
    int got = source_read(source);
    *ret = source->block;
    if (got < 0) {
        archive_set_error(archive, -source->why.code, "%s", source->why.text);
        return -1;
    }
    return got;
}

struct reading {
    struct archive *archive;
    struct source *source;
    const char *path;
    xb_tarball_item_fn *fn; /* NULL: only look for preferred copies */
    void *context;
    const struct xb_tarball_versions *versions; /* NULL: preferred copies are wanted */
    uint64_t items, bytes;
    bool has_preferred;
};

static int read_failed(const struct reading *reading, struct xb_error *err)
{
    if (reading->source->why.code < 0) {
        *err = reading->source->why;
        return err->code;
    }
    const char *said = archive_error_string(reading->archive);
    return archive_errno(reading->archive) == ENOMEM
               ? xb_error_no_memory(err, "a tarball reader")
               : xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "cannot read %s: %s", reading->path,
                              said ? said : "unknown reason");
}

static int read_entry(const struct reading *reading, size_t size, struct xb_buf *out,
                      struct xb_error *err)
{
    int r = xb_buf_reserve(out, size, err);
    while (r == 0) {
        char block[READ_BLOCK_BYTES];
        la_ssize_t got = archive_read_data(reading->archive, block, sizeof block);
        if (got < 0) {
            return read_failed(reading, err);
        }
        if (got == 0) {
            return 0;
        }
        r = xb_buf_append(out, block, (size_t)got, err);
    }
    return r;
}

static bool wanted(const struct reading *reading, const struct xb_tarball_item *item,
                   enum xb_tarball_copy copy)
{
    if (copy == XB_TARBALL_PLAIN) {
        return !reading->has_preferred;
    }
    return reading->versions ? reading->versions->wants(reading->versions->context, item, copy)
                             : copy == XB_TARBALL_PREFERRED_VERSION;
}

static int take_entry(struct reading *reading, struct archive_entry *entry, struct xb_error *err)
{
    char space[XB_TARBALL_PATH_BYTES_MAX + 1];
    struct xb_tarball_item item;
    enum xb_tarball_copy copy = XB_TARBALL_NO_ITEM;
    const char *name = archive_entry_pathname(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR) {
        return 0;
    }
    if (!name || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%s holds an entry that is no plain file: %.200s", reading->path,
                            name ? name : "(no name)");
    }
    int r = xb_tarball_parse_path(name, space, &item, &copy, err);
    if (r < 0 || copy == XB_TARBALL_NO_ITEM) {
        return r;
    }
    la_int64_t size = archive_entry_size(entry);
    reading->bytes += size > 0 ? (uint64_t)size : 0;
    if (size < 0 || size > XB_TARBALL_ITEM_BYTES_MAX || reading->bytes > XB_TARBALL_BYTES_MAX ||
        ++reading->items > XB_TARBALL_ITEMS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%s is larger than any backup may be (at %.200s)", reading->path, name);
    }
    reading->has_preferred = reading->has_preferred || copy == XB_TARBALL_PREFERRED_VERSION;
    if (!reading->fn) {
        return reading->versions && copy != XB_TARBALL_PLAIN
                   ? reading->versions->seen(reading->versions->context, &item, copy, err)
                   : 0;
    }
    if (!wanted(reading, &item, copy)) {
        return 0;
    }
    struct xb_buf json = XB_BUF_INIT(XB_TARBALL_ITEM_BYTES_MAX);
    r = read_entry(reading, (size_t)size, &json, err);
    if (r == 0) {
        r = reading->fn(reading->context, &item, json.data ? json.data : "", json.len, err);
    }
    xb_buf_free(&json);
    return r;
}

static void archive_read_freep(struct archive **archive)
{
    if (*archive) {
        archive_read_free(*archive);
    }
}

/* After the archive's end: only the last bytes of the stream say that all of it was right. */
static int read_rest(struct source *source, struct xb_error *err)
{
    int got = 0;
    while ((got = source_read(source)) > 0) {
    }
    if (got < 0) {
        *err = source->why;
    }
    return got;
}

static int read_through(struct reading *reading, struct xb_error *err)
{
    XB_CLEANUP(source_closep) struct source *source = NULL;
    XB_CLEANUP(archive_read_freep) struct archive *archive = archive_read_new();
    if (!archive) {
        return xb_error_no_memory(err, "a tarball reader");
    }
    int r = source_open(reading->path, &source, err);
    if (r < 0) {
        return r;
    }
    reading->archive = archive;
    reading->source = source;
    reading->items = 0;
    reading->bytes = 0;
    archive_read_support_format_tar(archive);
    if (archive_read_open(archive, source, NULL, on_read, NULL) != ARCHIVE_OK) {
        return read_failed(reading, err);
    }
    while (r == 0) {
        struct archive_entry *entry = NULL;
        int state = archive_read_next_header(archive, &entry);
        if (state == ARCHIVE_EOF) {
            return read_rest(source, err);
        }
        r = header_done(state, entry ? archive_entry_pathname(entry) : NULL)
                ? take_entry(reading, entry, err)
                : read_failed(reading, err);
    }
    return r;
}

int xb_tarball_read(const char *path, xb_tarball_item_fn *fn, void *context, struct xb_error *err)
{
    return xb_tarball_read_versions(path, NULL, fn, context, err);
}

int xb_tarball_read_versions(const char *path, const struct xb_tarball_versions *versions,
                             xb_tarball_item_fn *fn, void *context, struct xb_error *err)
{
    /* Twice: only the end tells whether an archive has preferred copies, and a damaged one is found
     * before anything is handed out. */
    struct reading reading = {.path = path, .versions = versions};
    int r = read_through(&reading, err);
    if (r == 0) {
        reading.fn = fn;
        reading.context = context;
        r = read_through(&reading, err);
    }
    return r;
}
