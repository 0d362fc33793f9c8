/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/record/tarball.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/buf.h"

enum { READ_BLOCK_BYTES = 64 * 1024, PARTS_MAX = 6 };

static const char format_version[] = "1.1.0\n";
static const char preferred_mark[] = "-preferredversion";

struct xb_tarball_writer {
    struct archive *archive;
    int fd;
    uint64_t items;
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
    if (archive_write_header(writer->archive, entry) != ARCHIVE_OK ||
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

static bool part_valid(const char *part)
{
    size_t len = strlen(part);
    return len > 0 && len <= 255 && !strchr(part, '/') && strcmp(part, ".") != 0 &&
           strcmp(part, "..") != 0;
}

static int item_path(const struct xb_tarball_item *item, bool preferred,
                     char out[XB_TARBALL_PATH_BYTES_MAX + 1], struct xb_error *err)
{
    bool in_namespace = item->namespace[0] != '\0';
    if (!part_valid(item->resource) || !part_valid(item->version) || !part_valid(item->name) ||
        (in_namespace && !part_valid(item->namespace))) {
        return xb_error_set(err, XB_ERR_INVALID, -EINVAL, "%s %s/%s cannot be named in an archive",
                            item->resource, item->namespace, item->name);
    }
    int len = snprintf(
        out, XB_TARBALL_PATH_BYTES_MAX + 1, "resources/%s/%s%s%s%s%s/%s.json", item->resource,
        preferred ? item->version : "", preferred ? preferred_mark : "", preferred ? "/" : "",
        in_namespace ? "namespaces/" : "cluster", in_namespace ? item->namespace : "", item->name);
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
    for (int preferred = 0; preferred < 2; preferred++) {
        int r = item_path(item, preferred != 0, path, err);
        if (r == 0) {
            r = put_entry(writer, path, json, len, err);
        }
        if (r < 0) {
            return r;
        }
    }
    writer->items++;
    return 0;
}

uint64_t xb_tarball_writer_items(const struct xb_tarball_writer *writer)
{
    return writer->items;
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

/* Cuts `space` at slashes. Returns the number of parts, or -1 for a path that leaves the archive or
 * has too many parts. */
static int split_path(char *space, char *parts[PARTS_MAX])
{
    int count = 0;
    char *rest = space;
    char *part;
    while ((part = strsep(&rest, "/")) != NULL) {
        if (count == PARTS_MAX || !part_valid(part)) {
            return -1;
        }
        parts[count++] = part;
    }
    return count;
}

/* Takes "-preferredversion" off a version; false when it is not there. */
static bool take_preferred(char *version)
{
    size_t len = strlen(version);
    size_t mark = sizeof preferred_mark - 1;
    if (len <= mark || strcmp(version + len - mark, preferred_mark) != 0) {
        return false;
    }
    version[len - mark] = '\0';
    return true;
}

static bool take_json_suffix(char *name)
{
    size_t len = strlen(name);
    if (len <= 5 || strcmp(name + len - 5, ".json") != 0) {
        return false;
    }
    name[len - 5] = '\0';
    return true;
}

int xb_tarball_parse_path(const char *path, char space[XB_TARBALL_PATH_BYTES_MAX + 1],
                          struct xb_tarball_item *ret, bool *ret_is_item, struct xb_error *err)
{
    char *parts[PARTS_MAX];
    if (strncmp(path, "./", 2) == 0) {
        path += 2;
    }
    size_t len = strlen(path);
    if (len > XB_TARBALL_PATH_BYTES_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG, "a path of %zu bytes in the archive",
                            len);
    }
    memcpy(space, path, len + 1);
    int count = split_path(space, parts);
    if (count < 0) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "the archive holds the path %.200s, which no backup has", path);
    }
    *ret_is_item = false;
    if (strcmp(parts[0], "resources") != 0 || count < 4) {
        return 0;
    }
    /* resources/R/cluster/N.json, resources/R/namespaces/NS/N.json, and both with
     * V-preferredversion after R */
    int at = 2;
    const char *version = "";
    if (strcmp(parts[2], "cluster") != 0 && strcmp(parts[2], "namespaces") != 0) {
        if (!take_preferred(parts[2])) {
            return 0;
        }
        version = parts[2];
        at = 3;
    }
    bool in_namespace = strcmp(parts[at], "namespaces") == 0;
    int want = at + (in_namespace ? 3 : 2);
    if (count != want || (!in_namespace && strcmp(parts[at], "cluster") != 0) ||
        !take_json_suffix(parts[count - 1])) {
        return 0;
    }
    *ret = (struct xb_tarball_item){.resource = parts[1],
                                    .version = version,
                                    .namespace = in_namespace ? parts[at + 1] : "",
                                    .name = parts[count - 1]};
    *ret_is_item = true;
    return 0;
}

static int read_entry(struct archive *archive, const char *path, size_t size, struct xb_buf *out,
                      struct xb_error *err)
{
    int r = xb_buf_reserve(out, size, err);
    while (r == 0) {
        char block[READ_BLOCK_BYTES];
        la_ssize_t got = archive_read_data(archive, block, sizeof block);
        if (got < 0) {
            return archive_failed(archive, path, "read", err);
        }
        if (got == 0) {
            return 0;
        }
        r = xb_buf_append(out, block, (size_t)got, err);
    }
    return r;
}

struct reading {
    struct archive *archive;
    const char *path;
    xb_tarball_item_fn *fn; /* NULL: only look for preferred copies */
    void *context;
    uint64_t items, bytes;
    bool has_preferred;
};

static int take_entry(struct reading *reading, struct archive_entry *entry, struct xb_error *err)
{
    char space[XB_TARBALL_PATH_BYTES_MAX + 1];
    struct xb_tarball_item item;
    bool is_item = false;
    const char *name = archive_entry_pathname(entry);
    if (archive_entry_filetype(entry) == AE_IFDIR) {
        return 0;
    }
    if (!name || archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry)) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%s holds an entry that is no plain file: %.200s", reading->path,
                            name ? name : "(no name)");
    }
    int r = xb_tarball_parse_path(name, space, &item, &is_item, err);
    if (r < 0 || !is_item) {
        return r;
    }
    la_int64_t size = archive_entry_size(entry);
    reading->bytes += size > 0 ? (uint64_t)size : 0;
    if (size < 0 || size > XB_TARBALL_ITEM_BYTES_MAX || reading->bytes > XB_TARBALL_BYTES_MAX ||
        ++reading->items > XB_TARBALL_ITEMS_MAX) {
        return xb_error_set(err, XB_ERR_CORRUPT, -EBADMSG,
                            "%s is larger than any backup may be (at %.200s)", reading->path, name);
    }
    reading->has_preferred = reading->has_preferred || item.version[0];
    if (!reading->fn || (reading->has_preferred && !item.version[0])) {
        return 0;
    }
    struct xb_buf json = XB_BUF_INIT(XB_TARBALL_ITEM_BYTES_MAX);
    r = read_entry(reading->archive, reading->path, (size_t)size, &json, err);
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

static int read_through(struct reading *reading, struct xb_error *err)
{
    XB_CLEANUP(archive_read_freep) struct archive *archive = archive_read_new();
    if (!archive) {
        return xb_error_no_memory(err, "a tarball reader");
    }
    archive_read_support_format_tar(archive);
    archive_read_support_filter_gzip(archive);
    if (archive_read_open_filename(archive, reading->path, READ_BLOCK_BYTES) != ARCHIVE_OK) {
        return archive_failed(archive, reading->path, "open", err);
    }
    reading->archive = archive;
    reading->items = 0;
    reading->bytes = 0;
    for (;;) {
        struct archive_entry *entry;
        int r = archive_read_next_header(archive, &entry);
        if (r == ARCHIVE_EOF) {
            return 0;
        }
        if (r != ARCHIVE_OK) {
            return archive_failed(archive, reading->path, "read", err);
        }
        r = take_entry(reading, entry, err);
        if (r < 0) {
            return r;
        }
    }
}

int xb_tarball_read(const char *path, xb_tarball_item_fn *fn, void *context, struct xb_error *err)
{
    /* Twice: only the end tells whether an archive has preferred copies, and a damaged one is found
     * before anything is handed out. */
    struct reading reading = {.path = path};
    int r = read_through(&reading, err);
    if (r == 0) {
        reading.fn = fn;
        reading.context = context;
        r = read_through(&reading, err);
    }
    return r;
}
